"""How far a corrected count may be off on a piece of surface that was not measured."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import t as student_t

FEWEST_CLUSTERS: Final = 6
"""Pieces of surface that an interval is measured on: a spread of fewer is itself unknown."""

NEWTON: Final = 8
"""Steps of the fit to crowding; it starts near its end."""

LEVEL: Final = 0.95
"""Of all intervals."""

HALF: Final = 0.5
"""Added to counts whose logarithm is taken, so that none is no exception."""


class Crowding(NamedTuple):
    """What the density of particles does to a corrected count.

    Attributes
    ----------
    factor
        For the frame.
    of_clusters
        ``(clusters,)``, for each cluster of the calibration.
    place
        ``(1 + clusters, regressors)``, what the factors were fitted by: the frame, then clusters.
    """

    factor: float
    of_clusters: NDArray[np.float64]
    place: NDArray[np.float64]


class Spread(NamedTuple):
    """How far corrections by other clusters miss.

    Attributes
    ----------
    some
        ``(clusters,)`` bool, which have any particle.
    number
        ``(clusters,)``, particles found.
    among, chance
        σ² and φ; NaN where fewer than `FEWEST_CLUSTERS` have any.
    """

    some: NDArray[np.bool_]
    number: NDArray[np.float64]
    among: float
    chance: float


def crowding(
    true: NDArray[np.integer],
    number: NDArray[np.integer],
    corrected: NDArray[np.float64],
    clusters_px: NDArray[np.float64] | None,
    found: float,
    field_px: float | None,
) -> Crowding:
    """Fit a factor to the density of particles: where many lie close, more are missed.

    Parameters
    ----------
    true, number, corrected
        ``(clusters,)``, particles there are, those found, and their number corrected by the others.
    clusters_px
        ``(clusters,)``, pixels of each; None where unknown.
    found, field_px
        Particles found in a frame, and its pixels; None where unknown.

    Returns
    -------
    Crowding
        Of 1 where pixels are unknown, clusters few, or all of one density.

    Notes
    -----
    The factor is exp(a + b d) of the particles found per pixel d, as overlaps are in proportion to
    it, fitted to the truths as a Poisson mean of free scale by Newton's method, so that their sum
    comes out right. Beyond the densities of the calibration it is that of the nearest.

    Examples
    --------
    >>> number, one = np.arange(10, 60, 5), np.ones(10)
    >>> true = np.rint(number * np.exp(number / 100)).astype(int)
    >>> fitted = crowding(true, number, number.astype(float), 1e5 * one, 50.0, 1e5)
    >>> round(fitted.factor, 1)  # exp(0.5)
    1.6
    """
    clusters = len(corrected)
    plain = Crowding(1.0, np.ones(clusters), np.ones((clusters + 1, 1)))
    if field_px is None or clusters_px is None or clusters < FEWEST_CLUSTERS:
        return plain
    density = number / clusters_px
    if np.ptp(density) == 0:
        return plain
    own = np.clip(found / field_px, density.min(), density.max())
    scaled = (np.append(own, density) - density.mean()) / density.std()
    place = np.column_stack([np.ones(clusters + 1), scaled])
    slopes = np.zeros(2)
    for _ in range(NEWTON):
        mean = (corrected + HALF) * np.exp(place[1:] @ slopes)
        weighted = place[1:].T * mean
        slopes = slopes + np.linalg.solve(weighted @ place[1:], place[1:].T @ (true - mean))
    factor = np.exp(place @ slopes)
    return Crowding(float(factor[0]), factor[1:], place)


def spread(
    true: NDArray[np.integer],
    number: NDArray[np.integer],
    corrected: NDArray[np.float64],
    least_chance: float = 0.0,
) -> Spread:
    """Measure how far corrections by the others miss what clusters truly have.

    Parameters
    ----------
    true, number, corrected
        ``(clusters,)``, particles there are, those found, and their number corrected by the others.
    least_chance
        φ is at least this.

    Returns
    -------
    Spread
        Variances of the greatest likelihood: logarithms of true over corrected are normal about 0
        with variance σ² + φ/(n + ½).

    Examples
    --------
    >>> number = np.full(8, 100)
    >>> measured = spread(number, number, 1.0 * number, least_chance=0.3)
    >>> measured.among < 1e-5, measured.chance
    (True, 0.3)
    """
    some = np.asarray((true > 0) | (number > 0))
    if np.count_nonzero(some) < FEWEST_CLUSTERS:
        return Spread(some, number.astype(np.float64), np.nan, np.nan)
    error = np.log((true + HALF) / (corrected + HALF))[some]
    among, chance = _likeliest(error, number[some].astype(np.float64) + HALF)
    return Spread(some, number.astype(np.float64), among, max(chance, least_chance))


def prediction_interval(
    corrected: float, distinct: float, measured: Spread, crowded: Crowding
) -> tuple[float, float]:
    """Say between what bounds the truth of a new piece of surface lies, at 95 %.

    Parameters
    ----------
    corrected
        The corrected count.
    distinct
        Different particles found.
    measured, crowded
        As from `spread` and `crowding`.

    Returns
    -------
    low, high : float
        NaN where too few clusters have any particle.

    Notes
    -----
    They are ``(corrected + ½) exp(± t s) − ½`` with ``s² = σ² + φ/(n + ½) + h``, where h is the
    variance of the factor for crowding, or about σ²/k without one, and t is Student's.

    Examples
    --------
    >>> some, number, place = np.ones(10, bool), np.full(10, 100.0), np.ones((11, 1))
    >>> measured = Spread(some, number, 0.0, 1.0)
    >>> low, high = prediction_interval(100.0, 100.0, measured, Crowding(1.0, number / 100, place))
    >>> round(low), round(high)
    (79, 127)
    """
    if np.isnan(measured.among):
        return np.nan, np.nan
    own, rows = crowded.place[0], crowded.place[1:][measured.some]
    weights = 1 / (measured.among + measured.chance / (measured.number[measured.some] + HALF))
    fitted = float(own @ np.linalg.pinv((rows.T * weights) @ rows) @ own)
    variance = measured.among + measured.chance / (distinct + HALF) + fitted
    freedom = len(rows) - rows.shape[1]
    reach = float(np.exp(student_t.ppf(0.5 + LEVEL / 2, freedom) * np.sqrt(variance)))
    return max(0.0, (corrected + HALF) / reach - HALF), (corrected + HALF) * reach - HALF


def _likeliest(error: NDArray[np.float64], number: NDArray[np.float64]) -> tuple[float, float]:
    """σ² and φ of normal errors about 0 with variance σ² + φ/n."""

    def unlikely(logs: NDArray[np.float64]) -> float:
        variance = np.exp(logs[0]) + np.exp(logs[1]) / number
        return float(np.sum(np.log(variance) + error**2 / variance))

    bounds = [(-14.0, 3.0)] * 2  # an error of 0.1 % to one of a factor of 90
    starts = [(-6.0, -1.0), (-2.0, -4.0), (-12.0, -1.0)]
    fits = [minimize(unlikely, start, bounds=bounds, method="L-BFGS-B") for start in starts]
    best = min(fits, key=lambda fit: float(fit.fun))
    among, chance = np.exp(best.x)
    return float(among), float(chance)
