"""The log-normal law of areas of which the smallest are not seen."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_ndtr
from scipy.stats import binom, norm

FEWEST: Final = 10
"""Areas that a fit needs; with fewer its interval would be wider than what is to be told."""

LEAST_SHARE: Final = 0.2
"""Of the law that must lie above the smallest area: with less, its middle would be a guess."""


class LogNormal(NamedTuple):
    """A fitted law.

    Attributes
    ----------
    median, median_low, median_high
        Of the law, smaller areas included, with its 95 % interval.
    sigma, sigma_low, sigma_high
        Standard deviation of the logarithm, with its 95 % interval.
    seen
        Share of the law above the smallest area.
    """

    median: float
    median_low: float
    median_high: float
    sigma: float
    sigma_low: float
    sigma_high: float
    seen: float

    def share_of_at_least(self, area: NDArray[np.float64], least: float) -> NDArray[np.float64]:
        """Share of areas of at least each area, among those of at least ``least``."""
        above = self._tail(area) / (self._tail(np.array([least]))[0] if least > 0 else 1.0)
        return np.minimum(above, 1.0)

    def _tail(self, area: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(divide="ignore"):
            tail: NDArray[np.float64] = norm.sf(np.log(area / self.median) / self.sigma)
        return tail


def fit_log_normal(area: NDArray[np.float64], least: float = 0.0) -> LogNormal | None:
    """Fit a log-normal law by maximum likelihood, left-truncated at the smallest area.

    Intervals come from the curvature of the likelihood, in the logarithm of sigma.

    Parameters
    ----------
    area
        ``(particles,)``, all at least ``least``; taken as independent.
    least
        Smaller ones are not seen.

    Returns
    -------
    LogNormal or None
        None where there are fewer than `FEWEST` areas, all are alike, or less than `LEAST_SHARE`
        of the law would be seen.

    References
    ----------
    A. C. Cohen, *Truncated and Censored Samples*, Marcel Dekker, 1991.

    Examples
    --------
    >>> area = np.random.default_rng(0).lognormal(3, 0.5, 4000)
    >>> law = fit_log_normal(area[area > 15], 15)
    >>> bool(law.median_low < np.exp(3) < law.median_high)
    True
    """
    logs = np.log(area[area >= max(least, np.finfo(float).tiny)])
    if logs.size < FEWEST or np.ptp(logs) == 0:
        return None
    edge = np.log(least) if least > 0 else -np.inf

    def cost(at: NDArray[np.float64]) -> float:
        middle, sigma = at[0], np.exp(at[1])
        z = (logs - middle) / sigma
        unseen = log_ndtr((middle - edge) / sigma) if np.isfinite(edge) else 0.0
        return float(0.5 * np.sum(z * z) + logs.size * (at[1] + unseen))

    start = np.array([logs.mean(), np.log(logs.std())])
    found = minimize(cost, start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9,
                                                                 "maxiter": 4000})  # fmt: skip
    best: NDArray[np.float64] = np.asarray(found.x, np.float64)
    sigma = float(np.exp(best[1]))
    seen = float(norm.cdf((best[0] - edge) / sigma)) if np.isfinite(edge) else 1.0
    curvature = _curvature(cost, best)
    if not found.success or seen < LEAST_SHARE or np.linalg.eigvalsh(curvature).min() <= 0:
        return None
    errors = 1.959963985 * np.sqrt(np.diag(np.linalg.inv(curvature)))
    ends = [np.exp(best + sign * errors) for sign in (-1, 1)]
    median = float(np.exp(best[0]))
    return LogNormal(
        median, float(ends[0][0]), float(ends[1][0]), sigma, float(ends[0][1]),
        float(ends[1][1]), seen,
    )  # fmt: skip


def median_interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Find a median with its 95 % interval, whatever the law.

    Parameters
    ----------
    values
        ``(n,)``, taken as independent.

    Returns
    -------
    median, low, high : float
        The interval ends at two of the values, and covers at least 95 %; NaN where there are too
        few for that (five or fewer).

    References
    ----------
    W. J. Conover, *Practical Nonparametric Statistics*, 3rd ed., Wiley, 1999, section 3.2.

    Examples
    --------
    >>> median_interval(np.arange(1.0, 10.0))
    (5.0, 2.0, 8.0)
    """
    ordered = np.sort(values[np.isfinite(values)])
    if not ordered.size:
        return np.nan, np.nan, np.nan
    # Values left out at each end: at most 2.5 % of coin tosses have so few heads or fewer.
    left = int(np.sum(binom.cdf(np.arange(ordered.size), ordered.size, 0.5) <= 0.025))
    middle = float(np.median(ordered))
    if left < 1:
        return middle, np.nan, np.nan
    return middle, float(ordered[left - 1]), float(ordered[-left])


def _curvature(cost: object, at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Second differences."""
    step = 1e-4
    value = np.zeros((2, 2))
    assert callable(cost)
    for j in range(2):
        for k in range(2):
            a, b = np.eye(2)[j] * step, np.eye(2)[k] * step
            value[j, k] = (
                cost(at + a + b) - cost(at + a - b) - cost(at - a + b) + cost(at - a - b)
            ) / (4 * step * step)
    return value
