"""Charge of the current beside the volume of the pits that were seen, by Faraday's law."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.current.alloys import FARADAY_C_MOL, Alloy
from corroscope.current.charge import Charge
from corroscope.current.record import Current
from corroscope.errors import CurrentError

LEAST_SAMPLES: Final = 10
"""Samples before the first birth that a passive current is estimated from, at least."""

BLOCKS: Final = 8
"""Parts into which they fall, whose means tell the error: neighbouring samples are alike."""


@dataclass(frozen=True)
class Passive:
    """The current without pits.

    Attributes
    ----------
    current_ua
        Its value.
    sigma_ua
        Its standard error; 0 where it was told.
    source
        Where it comes from, in words.
    """

    current_ua: float
    sigma_ua: float
    source: str


def passive_current(
    current: Current,
    offset_s: float,
    first_birth_s: float,
    *,
    told_ua: float | None = None,
    guard_s: float = 0.0,
) -> Passive:
    """Take the passive current as told, or estimate it from before the first birth.

    Parameters
    ----------
    current
        The record.
    offset_s
        What to add to its times to have the frames'.
    first_birth_s
        Birth of the first pit, on the frames' clock.
    told_ua
        The passive current where it is known, microamperes.
    guard_s
        Time before the birth that is left out, since births and offset have errors.

    Returns
    -------
    Passive
        Its value and error.

    Raises
    ------
    CurrentError
        If it was not told and the record begins too late to estimate it.

    Examples
    --------
    >>> from corroscope.current.table import Asked, Header, make_current, Row
    >>> rows = [Row(n, [str(n), "2"]) for n in range(40)]
    >>> record = make_current(["time/s", "I/µA"], None, rows, Header("a", "", ""), Asked())
    >>> passive_current(record, 0.0, 30.0).current_ua
    2.0
    """
    if told_ua is not None:
        return Passive(told_ua, 0.0, "told")
    before = current.current_ua[current.time_s + offset_s < first_birth_s - guard_s]
    if len(before) < LEAST_SAMPLES:
        raise CurrentError(
            f"{current.source.file} has {len(before)} samples before the first pit, "
            f"{LEAST_SAMPLES} are needed to estimate the passive current; give it"
        )
    parts = np.array_split(before, min(BLOCKS, len(before) // 2))
    means = np.array([part.mean() for part in parts])
    sigma = max(
        float(means.std(ddof=1) / np.sqrt(len(means))),
        float(before.std(ddof=1) / np.sqrt(len(before))),
    )
    return Passive(
        float(before.mean()), sigma, f"mean of {len(before)} samples before the first birth"
    )


@dataclass(frozen=True, eq=False)
class Faraday:
    """Volume dissolved by the current beside the volume seen.

    Attributes
    ----------
    time_s
        ``(n,)``: frames that the record covers.
    charge_uc
        ``(n,)``: charge over the passive current since the first of them.
    dissolved_um3
        ``(n,)``: volume that this charge dissolves.
    seen_um3
        ``(n,)``: volume of all pits, half spheres below their areas, over that at the first.
    ratio, ratio_low, ratio_high
        Seen over dissolved at the last, with a 95 % interval from the errors of the passive
        current and of the area; NaN where nothing was dissolved for certain.
    passive
        What was taken off.
    alloy
        Of which metal.
    """

    time_s: NDArray[np.float64]
    charge_uc: NDArray[np.float64]
    dissolved_um3: NDArray[np.float64]
    seen_um3: NDArray[np.float64]
    ratio: float
    ratio_low: float
    ratio_high: float
    passive: Passive
    alloy: Alloy


def compare_volumes(
    current: Current,
    offset_s: float,
    frame_time_s: NDArray[np.float64],
    pits: pd.DataFrame,
    passive: Passive,
    *,
    pixel_size_um: float | None,
    alloy: Alloy | None,
    area_error: float = 0.1,
) -> Faraday:
    """Compare the volume that the charge dissolves with that of the pits.

    Pits are taken to be half spheres below their open area. Flat or undercut pits, current
    that reduces oxygen or hydrogen on the same electrode, and pits outside the picture all
    move the ratio away from 1: it is a check, not a calibration.

    Parameters
    ----------
    current
        The record.
    offset_s
        What to add to its times to have the frames'.
    frame_time_s
        ``(frames,)``, times from the first frame; NaN where unknown.
    pits
        One row for each pit in each frame, with ``frame`` and ``area_px``.
    passive
        The current without pits.
    pixel_size_um
        Side of a pixel; None where unknown.
    alloy
        Of which metal; None where unknown.
    area_error
        Relative standard error of the areas, common to all pits.

    Returns
    -------
    Faraday
        Both volumes through time, and their ratio.

    Raises
    ------
    CurrentError
        If pixel size or alloy is unknown, or the record covers fewer than two frames.

    References
    ----------
    P. C. Pistorius, G. T. Burstein, Philos. Trans. R. Soc. A 341, 1992, 531,
    doi:10.1098/rsta.1992.0114: volumes of pits from their charge, as half spheres.

    Examples
    --------
    >>> from corroscope.current.alloys import find_alloy
    >>> from corroscope.current.table import Asked, Header, make_current, Row
    >>> rows = [Row(n, [str(n), "2"]) for n in range(40)]
    >>> record = make_current(["time/s", "I/µA"], None, rows, Header("a", "", ""), Asked())
    >>> pits = pd.DataFrame({"frame": [1], "area_px": [30.0]})
    >>> found = compare_volumes(record, 0.0, np.array([0.0, 10.0]), pits, Passive(1.0, 0.0, "told"),
    ...     pixel_size_um=1.0, alloy=find_alloy("Fe"))
    >>> round(found.ratio, 3)
    0.168
    """
    missing = [
        name
        for name, value in (("the pixel size", pixel_size_um), ("the alloy", alloy))
        if value is None
    ]
    if pixel_size_um is None or alloy is None:
        raise CurrentError(f"volumes cannot be compared without {' and '.join(missing)}; give it")
    start, end = current.time_s[[0, -1]] + offset_s
    with np.errstate(invalid="ignore"):
        covered = (frame_time_s >= start - 1e-9) & (frame_time_s <= end + 1e-9)
    if covered.sum() < 2:
        raise CurrentError(
            f"{current.source.file} covers {covered.sum()} frames; "
            "two are needed to compare volumes"
        )
    time_s = frame_time_s[covered]
    through = Charge(current.time_s, current.current_ua).until(time_s - offset_s)
    lasted = time_s - time_s[0]
    charge = through - through[0] - passive.current_ua * lasted
    per_uc = alloy.volume_um3(1.0)
    radius = np.sqrt(pits["area_px"].to_numpy(np.float64) / np.pi) * pixel_size_um
    volume = np.bincount(
        pits["frame"].to_numpy(np.int64),
        2 / 3 * np.pi * np.nan_to_num(radius) ** 3,
        minlength=len(frame_time_s),
    )[covered]
    seen = volume - volume[0]
    dissolved = charge * per_uc
    error = passive.sigma_ua * lasted[-1] * per_uc
    ratio, low, high = _ratio(float(seen[-1]), float(dissolved[-1]), float(error), area_error)
    return Faraday(time_s, charge, dissolved, seen, ratio, low, high, passive, alloy)


def _ratio(
    seen: float, dissolved: float, error: float, area_error: float
) -> tuple[float, float, float]:
    """Of two numbers with errors, after Fieller; the volume's error is 3/2 of the area's."""
    if dissolved <= 1.96 * error or seen < 0:
        return np.nan, np.nan, np.nan
    t2 = 1.96**2
    sigma = 1.5 * area_error * seen
    a = dissolved**2 - t2 * error**2
    b = seen * dissolved
    c = seen**2 - t2 * sigma**2
    root = np.sqrt(max(b**2 - a * c, 0.0))
    return seen / dissolved, max((b - root) / a, 0.0), (b + root) / a


def stability_product(
    area_px: NDArray[np.float64],
    time_s: NDArray[np.float64],
    pixel_size_um: float,
    alloy: Alloy,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Current of one pit and its stability product, from how fast its area grows.

    For a half sphere i = F · density / EW · dr/dt over the whole wall, so that i · r is
    F · density / EW · (dA/dt) / (2 π), and the current i · 2 π r².

    Parameters
    ----------
    area_px
        ``(n,)``, its open area, n at least 2.
    time_s
        ``(n,)``, strictly increasing.
    pixel_size_um
        Side of a pixel.
    alloy
        Of which metal.

    Returns
    -------
    current_ua : ndarray of float64
        ``(n,)``, its current.
    product_a_m : ndarray of float64
        ``(n,)``, i · r in amperes per metre; 0.3 A/m is usually needed for growth without a
        cover in stainless steel.

    References
    ----------
    P. C. Pistorius, G. T. Burstein, Philos. Trans. R. Soc. A 341, 1992, 531,
    doi:10.1098/rsta.1992.0114.

    Examples
    --------
    >>> from corroscope.current.alloys import find_alloy
    >>> current_ua, product = stability_product(
    ...     np.array([10.0, 20.0, 30.0]), np.arange(3.0), 0.5, find_alloy("304L"))
    >>> product.round(4)
    array([0.0121, 0.0121, 0.0121])
    """
    growth_um2_s = np.gradient(area_px, time_s) * pixel_size_um**2
    per_um3_c = FARADAY_C_MOL * alloy.density_g_cm3 * 1e-12 / alloy.equivalent_weight()
    product = per_um3_c * growth_um2_s / (2 * np.pi) * 1e6
    radius_m = np.sqrt(np.maximum(area_px, 0.0) / np.pi) * pixel_size_um * 1e-6
    return np.asarray(product * 2 * np.pi * radius_m * 1e6), np.asarray(product)
