"""Transients of a current: short rises over a baseline, as metastable pits make them."""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from corroscope.current.charge import Charge
from corroscope.current.record import Current

TRANSIENTS: Final = ("start_s", "peak_s", "end_s", "rise_s", "duration_s", "height_ua", "charge_uc")
"""Columns of the table of transients."""

MAD_SD: Final = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""

LEAST_BASELINE: Final = 5
"""Samples of the window of the baseline, at least."""


def noise_ua(current_ua: NDArray[np.float64]) -> float:
    """Standard deviation of the noise between neighbouring samples.

    From the median absolute second difference, which steady changes do not reach and single
    transients hardly move.

    Parameters
    ----------
    current_ua
        ``(n,)``, microamperes.

    Returns
    -------
    float
        Microamperes; NaN for fewer than three samples.

    References
    ----------
    P. J. Rousseeuw, C. Croux, J. Am. Stat. Assoc. 88, 1993, 1273,
    doi:10.1080/01621459.1993.10476408: the median absolute deviation as a scale.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> bool(abs(noise_ua(rng.normal(0, 2, 5000)) - 2) < 0.1)
    True
    """
    if len(current_ua) < 3:
        return np.nan
    second = np.diff(current_ua, 2)
    return float(MAD_SD * np.median(np.abs(second - np.median(second))) / np.sqrt(6))


def find_transients(
    current: Current, *, window_s: float, threshold: float = 5.0, least_s: float = 0.0
) -> pd.DataFrame:
    """Find transients: rises over a running baseline that come back or end with the record.

    The baseline is a running median of the current. A transient begins and ends where the
    current leaves and meets the baseline within one standard deviation of the noise, and
    its highest sample is more than ``threshold`` standard deviations over it. Between
    samples that are far apart nothing is known; a transient does not reach across.

    Parameters
    ----------
    current
        The record.
    window_s
        Width of the running median; longer than twice the longest transient that is looked for.
    threshold
        Height of a transient in standard deviations of the noise.
    least_s
        Shortest duration.

    Returns
    -------
    DataFrame
        One row for each: ``start_s``, ``peak_s``, ``end_s`` on the record's clock, ``rise_s``
        and ``duration_s``, ``height_ua`` and ``charge_uc`` over the baseline.

    Raises
    ------
    ValueError
        If the window or the threshold is not above 0.

    References
    ----------
    G. T. Burstein, P. C. Pistorius, S. P. Mattin, Corros. Sci. 35, 1993, 57,
    doi:10.1016/0010-938X(93)90133-2: current transients of metastable pits.

    Examples
    --------
    >>> from corroscope.current.table import Asked, Header, make_current, Row
    >>> time_s = np.arange(0, 60, 0.1)
    >>> values = 2 + 3 * np.exp(-(((time_s - 30) / 0.5) ** 2))
    >>> values += np.random.default_rng(0).normal(0, 0.02, 600)
    >>> rows = [Row(n, [f"{t:.1f}", str(i)]) for n, (t, i) in enumerate(zip(time_s, values))]
    >>> record = make_current(["time/s", "I/µA"], None, rows, Header("a", "", ""), Asked())
    >>> found = find_transients(record, window_s=10)
    >>> len(found), round(float(found["charge_uc"][0]), 1)
    (1, 2.6)
    """
    if window_s <= 0 or threshold <= 0:
        raise ValueError(f"window_s {window_s:g} and threshold {threshold:g}: both above 0")
    time_s, values = current.time_s, current.current_ua
    noise = noise_ua(values)
    if not np.isfinite(noise):
        return pd.DataFrame({name: np.zeros(0) for name in TRANSIENTS})
    step = float(np.median(np.diff(time_s)))
    width = min(max(round(window_s / step), LEAST_BASELINE), len(values))
    baseline = median_filter(values, width, mode="nearest")
    over = values - baseline
    # Printed currents may have no noise at all: then their last digit is the noise.
    noise = max(noise, _digit(values))
    raised = over > noise
    apart = np.append(False, np.diff(time_s) > max(10 * step, window_s))
    edges = np.flatnonzero(np.append(True, (np.diff(raised.astype(int)) != 0) | apart[1:]))
    ends = np.append(edges[1:], len(values))
    charge = Charge(time_s, over)
    rows = []
    for first, after in zip(edges, ends, strict=True):
        if not raised[first]:
            continue
        peak = first + int(np.argmax(over[first:after]))
        if over[peak] <= threshold * noise:
            continue
        start = first - 1 if first > 0 and not apart[first] else first
        end = after if after < len(values) and not apart[after] else after - 1
        if time_s[end] - time_s[start] < least_s:
            continue
        through = charge.until(time_s[[start, end]])
        rows.append(
            {
                "start_s": time_s[start],
                "peak_s": time_s[peak],
                "end_s": time_s[end],
                "rise_s": time_s[peak] - time_s[start],
                "duration_s": time_s[end] - time_s[start],
                "height_ua": over[peak],
                "charge_uc": through[1] - through[0],
            }
        )
    return pd.DataFrame(rows, columns=list(TRANSIENTS), dtype=np.float64)


def _digit(values: NDArray[np.float64]) -> float:
    """The smallest step between different values."""
    steps = np.diff(np.unique(values))
    return float(steps.min()) if steps.size else np.finfo(np.float64).tiny
