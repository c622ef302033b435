"""Offset between the clocks of potentiostat and camera, from what both have recorded."""

from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.stats import t as student_t

from corroscope.current.clocks import clock_offset
from corroscope.current.following import FEWEST, Seen, coarse_lags, shift, sum_up
from corroscope.current.growth import other_births
from corroscope.current.lags import PAIRS, filtered, lag_gains, sample_paths, weighted_gains
from corroscope.current.record import Current

LIMIT_S: Final = 120.0
"""How far wall clocks are assumed to be wrong at most: computers that nobody sets drift by up to a
second a day, but are set by hand to the minute."""

HIGHEST_P: Final = 0.01
"""An offset with a larger p-value is not believed."""

RIVAL: Final = 3.0
"""A second peak is a rival if its log-likelihood is lower by less: odds of 20 to 1."""

PROFILE: Final = 1.92
"""Lags whose log-likelihood is lower by less are within the 95 % interval of one parameter."""

SHAPES: Final = 0.2
"""Relative standard deviation of the factor between a pit's volume and its area to the power 3/2:
depths of half a radius to one and a half."""

BLOCK: Final = 2
"""Whitened frames that are weighted together, since two roots leave some memory."""

SMOOTH: Final = 16
"""Into how many parts the frames fall within which noise is taken to be even."""

FLOOR: Final = 0.05
"""Share of the mean square noise that is added everywhere: less cannot be told from it."""

REACH: Final = 4.0
"""How many frame intervals round the best lag are searched finely."""


@dataclass(frozen=True, eq=False)
class Offset:
    """Offset between the two clocks.

    Attributes
    ----------
    offset_s
        What to add to the record's times to have the frames'; NaN where it is not believed.
    sigma_s
        Its standard error.
    low_s, high_s
        Its 95 % interval.
    correlation
        Of current and optical signal at the best lag, both whitened.
    p_value
        Probability that a signal of the same kind which has nothing to do with the current
        follows it as well as this one at its best lag.
    believed
        Whether it is to be used.
    reason
        Why it is not believed; empty if it is.
    clock_s
        The same offset as the wall clocks have it; NaN where one is unknown.
    lag_s, gain
        ``(lags,)``: the search, and by how much following the current at each lag raises the
        log-likelihood; empty where there was none.
    """

    offset_s: float
    sigma_s: float
    low_s: float
    high_s: float
    correlation: float
    p_value: float
    believed: bool
    reason: str
    clock_s: float
    lag_s: NDArray[np.float64]
    gain: NDArray[np.float64]


def find_offset(
    current: Current,
    frame_time_s: NDArray[np.float64],
    optical_rate: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    relation: Literal["charge", "current"] = "charge",
    clock_s: float | None = None,
    day: date | None = None,
    limit_s: float = LIMIT_S,
    resamples: int = 200,
) -> Offset:
    """Find the offset between the clocks of potentiostat and camera.

    What was seen is summed up over the frames (the volume of all pits, or the number of
    births), and is to follow the charge (or the current) at some lag, besides a constant and a
    steady drift. The lag of the highest likelihood is taken; the noise is an autoregression
    with two roots, chosen with it, so that noise of the volume, of its growth, and errors that
    stay are all told from the current. Lags lie between frames as well.

    The standard error and the interval are from fits in which frames have random weights, so
    that noise of the current counts as well as noise of the optical signal; where the signal is
    given for each pit, also from fits in which each pit has another shape. The p-value is from
    simulated paths that do not follow the current, with the innovations of the optical signal
    in another order, so that large jumps and trends alone are no evidence; and, by pit, from the
    same pits born at other times, since any two runs of pits look alike. The larger one counts.
    With wall clocks the search is within ``limit_s`` of what they say, without them wherever half
    of the frames are covered.

    Parameters
    ----------
    current
        The record.
    frame_time_s
        ``(frames,)``, times from the first frame, NaN where unknown.
    optical_rate
        ``(frames,)`` or, by pit, ``(frames, pits)``: what happened per second since the last
        frame before that has a rate, as from `corroscope.current.growth.volume_growth`; NaN
        where a frame tells nothing. Give volumes by pit: a sum alone does not tell whether
        another run would not look the same.
    rng
        Source of simulated paths and weights.
    relation
        Whether the sum of the optical signal follows the charge (growth of volume) or the
        current (births, since each adds to it).
    clock_s, day
        Wall clock of the first frame in seconds since midnight, and its day; None if unknown.
    limit_s
        By how much wall clocks may be wrong.
    resamples
        Weighted fits for the interval, and simulated paths for the p-value.

    Returns
    -------
    Offset
        Not believed, with the reason, where nothing correlates or data are too few.

    Raises
    ------
    CurrentError
        If the record does not overlap the frames, as in `corroscope.current.clocks.clock_offset`.

    References
    ----------
    G. E. P. Box, G. M. Jenkins, G. C. Reinsel, G. M. Ljung, *Time Series Analysis*, 5th ed.,
    Wiley 2015, ch. 12: both series are whitened before they are cross-correlated.
    D. B. Rubin, Ann. Stat. 9, 1981, 130, doi:10.1214/aos/1176345338: the Bayesian bootstrap.
    P. Bühlmann, Bernoulli 3, 1997, 123, doi:10.2307/3318584: the sieve bootstrap, which
    simulates a series from its autoregression.

    Examples
    --------
    >>> from corroscope.current.charge import Charge
    >>> from corroscope.current.table import Asked, Header, make_current, Row
    >>> rng = np.random.default_rng(0)
    >>> time_s = np.arange(0, 70, 0.5)
    >>> steps = np.cumsum(rng.standard_normal(141))
    >>> values = np.interp(time_s, np.arange(141) / 2, steps)
    >>> rows = [Row(n, [str(t), str(i)]) for n, (t, i) in enumerate(zip(time_s, values))]
    >>> record = make_current(["time/s", "I/µA"], None, rows, Header("a", "", ""), Asked())
    >>> frames = np.arange(50.0)
    >>> level = Charge(record.time_s, record.current_ua).until(frames + 7.25)
    >>> found = find_offset(record, frames, np.append(np.nan, np.diff(level)), rng, resamples=99)
    >>> found.believed, round(found.offset_s, 1)
    (True, -7.2)
    """
    known = frame_time_s[np.isfinite(frame_time_s)]
    duration_s = float(known[-1] - known[0]) if known.size else 0.0
    expected = clock_offset(current, duration_s, clock_s, day, limit_s=limit_s)
    seen, reason = sum_up(current, frame_time_s, optical_rate, relation)
    if seen is None:
        return _nothing(reason, expected)
    step = float(np.median(np.diff(seen.time_s)))
    lags = coarse_lags(seen, expected, limit_s, step)
    fewest = max(FEWEST - 2, (len(seen.time_s) - 2) // 2)
    shifted, covered = shift(seen, lags)
    spread = _spread(_noise(seen.level, seen.drift)[1])
    found = lag_gains(seen.level[:, None], shifted, covered, seen.drift, spread, fewest)
    gain = found.gain[:, 0]
    if not np.isfinite(gain).any():
        return _nothing(
            f"the record covers fewer than {max(FEWEST, len(seen.time_s) // 2)} frames "
            "wherever it was looked for",
            expected,
        )
    best = int(np.argmax(gain))
    if gain[best] <= 0:
        return _nothing("the optical signal nowhere follows the current", expected)
    p_value = _p_value(seen, shifted, covered, fewest, best, resamples, rng)
    fine = lags[best] + np.linspace(-REACH, REACH, 321) * step
    offset_s, sigma, half, correlation = _refined(seen, fine, spread, fewest, resamples, rng)
    reason = _doubt(lags, gain, best, step, p_value)
    believed = not reason
    return Offset(
        offset_s if believed else np.nan,
        sigma if believed else np.nan,
        offset_s - half if believed else np.nan,
        offset_s + half if believed else np.nan,
        correlation,
        p_value,
        believed,
        reason,
        expected,
        lags,
        gain,
    )


def _nothing(reason: str, clock_s: float) -> Offset:
    none = np.zeros(0)
    nan = np.nan
    return Offset(nan, nan, nan, nan, nan, nan, False, reason, clock_s, none, none)


def _p_value(
    seen: Seen,
    shifted: NDArray[np.float64],
    covered: NDArray[np.bool_],
    fewest: int,
    best: int,
    resamples: int,
    rng: np.random.Generator,
) -> float:
    """Share of unrelated signals that follow as well at their best lag as this one does at its."""
    level, drift = seen.level, seen.drift
    roots, new, coefficients = _noise(level, drift)
    spread = _spread(new)
    fitted = drift @ coefficients
    standard = new / spread
    innovations = spread[:, None] * rng.choice(standard - standard.mean(), (len(new), resamples))
    paths = sample_paths(fitted, (level - fitted)[:2], innovations, roots)
    # The spread of one signal is not that of another; all are judged as if it were even.
    even = np.ones_like(spread)
    kinds = [paths]
    if seen.parts.shape[1]:
        kinds.append(other_births(seen.time_s, seen.parts, resamples, rng))
    shares = []
    for kind in kinds:
        both = np.column_stack([level, kind])
        found = lag_gains(both, shifted, covered, drift, even, fewest).gain
        as_well = np.count_nonzero(found[:, 1:].max(axis=0) >= found[best, 0])
        shares.append((1 + as_well) / (1 + resamples))
    return float(max(shares))


def _noise(
    level: NDArray[np.float64], columns: NDArray[np.float64]
) -> tuple[tuple[float, float], NDArray[np.float64], NDArray[np.float64]]:
    """Roots of what columns leave of a level, its whitened rest, and their coefficients."""
    fits = [_rest(filtered(level, pair), filtered(columns, pair)) for pair in PAIRS]
    best = int(np.argmin([np.sum(rest**2) for rest, _ in fits]))
    return PAIRS[best], *fits[best]


def _spread(new: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation of whitened noise through time, smooth and never nothing."""
    width = max(len(new) / SMOOTH, 2.0)
    smooth = gaussian_filter1d(new**2, width, mode="nearest")
    return np.asarray(np.sqrt(smooth + FLOOR * np.mean(new**2) + np.finfo(np.float64).tiny))


def _refined(
    seen: Seen,
    lags: NDArray[np.float64],
    spread: NDArray[np.float64],
    fewest: int,
    resamples: int,
    rng: np.random.Generator,
) -> tuple[float, float, float, float]:
    """The best lag, its standard error, half its interval, and the correlation there."""
    shifted, covered = shift(seen, lags)
    for _ in range(2):
        found = lag_gains(seen.level[:, None], shifted, covered, seen.drift, spread, fewest)
        gain = found.gain[:, 0]
        best = int(np.argmax(gain))
        roots = PAIRS[int(found.pair[best, 0])]
        columns = np.column_stack([shifted[best], seen.drift])
        # Where the record does not reach, there is no rest to be measured.
        rows = (covered[best, 2:] & covered[best, 1:-1] & covered[best, :-2]).nonzero()[0]
        y, x = filtered(seen.level, roots)[rows], filtered(columns, roots)[rows]
        new = _rest(y, x)[0]
        spread = np.interp(np.arange(len(spread)), rows, _spread(new))
    blocks = rng.exponential(size=(resamples, (len(spread)) // BLOCK + 2))
    at = (np.arange(len(spread))[None] + rng.integers(BLOCK, size=(resamples, 1))) // BLOCK
    weights = np.take_along_axis(blocks, at, axis=1)
    gains = weighted_gains(seen.level, shifted, covered, seen.drift, spread, roots, weights)
    draws = np.array([_peak(lags, column) for column in gains.T])
    # What a lag does to each frame's fit says how many frames the lag hangs on.
    slope = filtered(np.gradient(shifted, axis=0)[best], roots)[rows] / spread[rows]
    slope = _rest(slope, x / spread[rows, None])[0] ** 2
    number = max(float(slope.sum() ** 2 / max((slope**2).sum(), 1e-300)) / BLOCK, 2.0)
    sampling = float(np.median(np.diff(seen.current.time_s)))
    variance = np.var(draws) * number / (number - 1) + sampling**2 / 12
    if seen.parts.shape[1]:
        factors = SHAPES * rng.standard_normal((seen.parts.shape[1], resamples))
        others = seen.level[:, None] + seen.parts @ factors
        gains = lag_gains(others, shifted, covered, seen.drift, spread, fewest).gain
        variance += np.var([_peak(lags, column) for column in gains.T])
    sigma = np.sqrt(variance)
    likely = lags[gain > gain[best] - PROFILE]
    half = max(
        float(student_t.ppf(0.975, number - 1) * sigma),
        float(np.abs(likely - lags[best]).max()),
    )
    return _peak(lags, gain), float(sigma), half, float(found.correlation[best, 0])


def _rest(
    values: NDArray[np.float64], columns: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    coefficients = np.linalg.lstsq(columns, values, rcond=1e-8)[0]
    return np.asarray(values - columns @ coefficients), np.asarray(coefficients, np.float64)


def _peak(lags: NDArray[np.float64], gain: NDArray[np.float64]) -> float:
    """Where a parabola through the highest three values has its top."""
    best = int(np.argmax(gain))
    if 0 < best < len(lags) - 1:
        before, top, after = gain[best - 1 : best + 2]
        bend = before - 2 * top + after
        if np.isfinite(bend) and bend < 0:
            return float(lags[best] + 0.5 * (before - after) / bend * (lags[1] - lags[0]))
    return float(lags[best])


def _doubt(
    lags: NDArray[np.float64],
    gain: NDArray[np.float64],
    best: int,
    step: float,
    p_value: float,
) -> str:
    """Why the best lag is not to be believed; empty if it is."""
    if p_value > HIGHEST_P:
        return (
            f"an unrelated signal would follow the current as well with p = {p_value:.2g} "
            f"(at most {HIGHEST_P:g} is believed)"
        )
    usable = np.flatnonzero(np.isfinite(gain))
    if best in (usable[0], usable[-1]):
        return "the best lag is at the end of what was searched"
    far = np.abs(lags - lags[best]) > REACH * step
    if far.any() and gain[far].max() > gain[best] - RIVAL:
        return f"a lag of {lags[far][np.argmax(gain[far])]:.4g} s fits about as well"
    return ""
