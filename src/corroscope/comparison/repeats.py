"""Runs of one condition: their mean and median, with intervals over runs."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, t

LEVEL = 0.95
"""Of all intervals."""


class Repeated(NamedTuple):
    """What several runs of one condition say together.

    Attributes
    ----------
    runs
        Number of runs with a value.
    mean, mean_low, mean_high
        Their mean and its interval by Student's t; bounds are NaN below two runs, and where all
        values are equal, which tells nothing of how far they scatter.
    median, median_low, median_high
        Their median and its exact interval by order statistics; bounds are NaN below six runs,
        which is where one of 95 % begins.
    sd
        Standard deviation between runs; NaN below two.
    """

    runs: int
    mean: float
    mean_low: float
    mean_high: float
    median: float
    median_low: float
    median_high: float
    sd: float


def over_repeats(
    values: NDArray[np.float64], *, least: float = -np.inf, most: float = np.inf
) -> Repeated:
    """Put the runs of one condition together.

    The run is the unit: particles of one run share its metal, electrolyte and illumination, and
    taking each for an independent experiment would make intervals far too narrow. Student's
    interval supposes that runs scatter as a normal distribution; the one of the median supposes
    nothing but independence.

    Parameters
    ----------
    values
        ``(runs,)``, one of each run; NaN are left out.
    least, most
        Between which the measure always is. Bounds are cut there, which takes nothing from the
        coverage.

    Returns
    -------
    Repeated
        Mean and median with 95 % intervals.

    References
    ----------
    S. H. Hurlbert, *Pseudoreplication and the design of ecological field experiments*, Ecological
    Monographs 54, 187–211, 1984; W. J. Conover, *Practical Nonparametric Statistics*, 3rd ed.,
    1999, section 3.2.

    Examples
    --------
    >>> found = over_repeats(np.array([1.0, 2.0, 3.0, np.nan]))
    >>> found.runs, found.mean, round(found.mean_low, 3), found.median_low
    (3, 2.0, -0.484, nan)
    """
    known = np.sort(values[~np.isnan(values)])
    count = known.size
    nan = float("nan")
    if count == 0:
        return Repeated(0, *([nan] * 7))
    mean, median = float(known.mean()), float(np.median(known))
    if count == 1:
        return Repeated(1, mean, nan, nan, median, nan, nan, nan)
    sd = float(known.std(ddof=1))
    # Equal counts are common with few events; no scatter seen is no certainty.
    half = float(t.ppf((1 + LEVEL) / 2, count - 1)) * sd / np.sqrt(count) if sd > 0 else nan
    low, high = (float(np.clip(mean + sign * half, least, most)) for sign in (-1, 1))
    # Largest k for which fewer than k runs below the median are rarer than 2.5 %.
    outer = np.arange(1, count // 2 + 1)
    rank = int(np.count_nonzero(binom.cdf(outer - 1, count, 0.5) <= (1 - LEVEL) / 2))
    bounds = (float(known[rank - 1]), float(known[count - rank])) if rank else (nan, nan)
    return Repeated(count, mean, low, high, median, *bounds, sd)
