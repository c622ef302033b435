"""The law by which an opening grows: area = c · age^n, with birth, death and honest intervals."""

from functools import partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.stats import t as student

from corroscope.errors import SettingsError

FEWEST: Final = 4
"""Areas that a law of three unknowns is fitted to, at least."""

STEEPEST: Final = 4.0
"""Exponents looked at: 0.05 to this. Diffusion gives 0.5 to 1, constant current density in a
half sphere 2, an accelerating pit somewhat more."""

AREA_ERROR_PX: Final = 1.0
"""SD of the area of a region of a few pixels, in px²: part of a pixel, and the rim of optics."""

_FLATTEST: Final = 0.05
SCALE_ERROR: Final = 0.05
"""SD by which areas of small and of large openings may be wrong against each other: optics, lace
and the edge of a hole count for more when it is small. No number of frames takes that away."""

LEAST_SIGMA: Final = 0.02
"""SD of the square root of area, in pixels, that is always allowed for."""


class Growth(NamedTuple):
    """A law of growth as fitted; times in the unit of those given.

    Attributes
    ----------
    coefficient
        c, area at the age of 1.
    born, born_low, born_high
        Time of birth, and its 95 % interval.
    exponent, exponent_low, exponent_high
        n and its 95 % interval.
    died
        When growth ceased; NaN where it did not.
    sigma
        SD of the square root of area about the law.
    correlation
        Of what is left in one frame with what is left in the next.
    fitted
        Number of areas.
    bic
        Bayesian information criterion; the lowest of several laws is to be believed.
    """

    coefficient: float
    born: float
    born_low: float
    born_high: float
    exponent: float
    exponent_low: float
    exponent_high: float
    died: float
    sigma: float
    correlation: float
    fitted: int
    bic: float

    @property
    def bounded(self) -> bool:
        """Whether what was seen rules out the steepest and the flattest law."""
        return self.exponent_low > _FLATTEST * 1.01 and self.exponent_high < STEEPEST * 0.99

    def area(self, time: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Area at given times.

        Parameters
        ----------
        time
            Times, in the unit of those fitted.

        Returns
        -------
        ndarray of float64
            0 before birth, constant after death.
        """
        until = np.asarray(time, np.float64)
        if np.isfinite(self.died):
            until = np.minimum(until, self.died)
        age = np.maximum(until - self.born, 0.0)
        return np.asarray(self.coefficient * age**self.exponent)


class _Data(NamedTuple):
    """Areas as square roots, with the SD that each has from pixels alone."""

    time: NDArray[np.float64]
    root: NDArray[np.float64]
    error: NDArray[np.float64]
    absent: float
    """Last time at which it was not there; −inf if that is unknown."""
    least: float
    """Square root of the area that would have been seen then."""


def fit_growth(
    time: NDArray[np.float64],
    area: NDArray[np.float64],
    absent: float = -np.inf,
    least_area: float = 1.0,
    deaths: bool = True,
) -> Growth | None:
    """Fit ``area = c · (time − birth)^n``, with the death where growth stops for good.

    The square root of area is fitted, which is as a radius: an edge is known equally well at
    a small and at a large pit. Single wrong areas (a particle at the rim) weigh little. Whether
    growth has stopped is decided by the Bayesian information criterion over all times at which
    it may have. Intervals are those of the profile likelihood, widened by the correlation of
    successive residuals, with Student's t for the unknown noise.

    Parameters
    ----------
    time
        ``(n,)``, rising.
    area
        ``(n,)``, above 0.
    absent
        The last time before at which it was not seen; −inf where it always was.
    least_area
        The area that would have been seen then.
    deaths
        Whether growth may have stopped.

    Returns
    -------
    Growth or None
        None where less than `FEWEST` areas are given, or they do not tell a law: none that
        rises, or an exponent out of range.

    Raises
    ------
    SettingsError
        If times do not rise or an area is not above 0.

    References
    ----------
    D. M. Bates & D. G. Watts, *Nonlinear Regression Analysis and Its Applications*, Wiley 1988,
    chapter 6 (profile intervals); P. J. Huber, *Robust estimation of a location parameter*,
    Annals of Mathematical Statistics 35, 1964; G. Schwarz, *Estimating the dimension of a
    model*, Annals of Statistics 6, 1978.

    Examples
    --------
    >>> time = np.arange(3.0, 30.0)
    >>> law = fit_growth(time, 12 * (time - 2.5) ** 0.8, absent=2.0)
    >>> round(law.born, 2), round(law.exponent, 2), round(law.coefficient, 1), law.died
    (2.5, 0.8, 12.0, nan)
    """
    if len(time) > 1 and not (np.diff(time) > 0).all():
        raise SettingsError("times of a pit's areas do not rise; give each time once, in order")
    if not (area > 0).all():
        raise SettingsError("a pit's area is not above 0; leave out where it was not seen")
    if len(time) < FEWEST:
        return None
    root = np.sqrt(area)
    data = _Data(time, root, AREA_ERROR_PX / (2 * root), absent, np.sqrt(least_area))
    best = _fitted(data, np.inf)
    if deaths:
        for died in _candidates(data):
            other = _fitted(data, died)
            if other is not None and (best is None or other.bic < best.bic):
                best = other
        if best is not None and np.isfinite(best.died):
            best = _refined(data, best)
    if best is None or not _FLATTEST * 1.01 < best.exponent < STEEPEST * 0.99:
        return None
    return _with_intervals(data, best)


def _refined(data: _Data, best: "_Fit") -> "_Fit":
    """The death between frames."""
    place = int(np.searchsorted(data.time, best.died))
    low, high = data.time[max(place - 1, 1)], data.time[min(place + 1, len(data.time) - 1)]
    for died in np.linspace(low, high, 9)[1:-1]:
        other = _fitted(data, float(died))
        if other is not None and other.bic < best.bic:
            best = other
    return best


def _candidates(data: _Data) -> NDArray[np.float64]:
    """Times at which growth may have stopped: three areas at least before, two after."""
    inner = data.time[2:-2]
    if len(inner) <= 24:
        return np.asarray(inner)
    return np.asarray(np.unique(np.quantile(inner, np.linspace(0, 1, 24), method="nearest")))


class _Fit(NamedTuple):
    """The best law with a given death."""

    log_scale: float
    born: float
    exponent: float
    died: float
    sigma: float
    weight: NDArray[np.float64]
    bic: float


def _curve(
    data: _Data, born: NDArray[np.float64] | float, exponent: NDArray[np.float64] | float,
    died: float,
) -> NDArray[np.float64]:  # fmt: skip
    """Square root of the area without its scale, ``(…, n)``."""
    until = np.minimum(data.time, died)
    age = np.maximum(until - np.asarray(born)[..., None], 1e-9)
    return np.asarray(age ** (np.asarray(exponent)[..., None] / 2))


def _fitted(data: _Data, died: float) -> _Fit | None:
    start = _start(data, died)
    if start is None:
        return None
    sigma = max(LEAST_SIGMA, start[3])
    first = float(data.time[0])
    step = float(np.median(np.diff(data.time)))
    until = np.minimum(data.time, died)
    solution = None
    for _ in range(2):  # the second time with the noise as it was found
        spread = np.sqrt(sigma**2 + data.error**2)
        residuals = partial(_residuals, data, until, spread, sigma)

        guess = (
            np.array([start[0], np.log(first - start[1]), start[2]])
            if solution is None
            else solution.x
        )
        low = np.array([-50.0, np.log(1e-3 * step), _FLATTEST])
        high = np.array([50.0, np.log(1e4 * step + 10 * (data.time[-1] - first)), STEEPEST])
        solution = least_squares(
            residuals,
            np.clip(guess, low + 1e-6, high - 1e-6),
            bounds=(low, high),
            loss="soft_l1",
            f_scale=1.5,
            x_scale=(1.0, 1.0, 0.3),
            max_nfev=60,
        )
        left = residuals(solution.x)[:-1]
        scale = 1.4826 * float(np.median(np.abs(left))) * np.sqrt(len(left) / max(1, len(left) - 3))
        sigma = max(LEAST_SIGMA, min(3.0, scale) * sigma) if scale > 0 else LEAST_SIGMA
    assert solution is not None
    spread = np.sqrt(sigma**2 + data.error**2)
    age = until - first + np.exp(solution.x[1])
    left = (np.exp(solution.x[0] + solution.x[2] / 2 * np.log(age)) - data.root) / spread
    weight = 1 / np.sqrt(1 + (left / 1.5) ** 2) / spread**2
    deviance = float((2 * 1.5**2 * (np.sqrt(1 + (left / 1.5) ** 2) - 1)).sum())
    deviance += float(2 * np.log(spread).sum())
    unknowns = 4 if np.isinf(died) else 5
    return _Fit(
        float(solution.x[0]),
        first - float(np.exp(solution.x[1])),
        float(solution.x[2]),
        died,
        sigma,
        weight,
        deviance + unknowns * np.log(len(data.time)),
    )


def _residuals(
    data: _Data,
    until: NDArray[np.float64],
    spread: NDArray[np.float64],
    sigma: float,
    unknown: NDArray[np.float64],
) -> NDArray[np.float64]:
    """What a law leaves, and by how much it is too large where nothing was seen."""
    first, gap = float(data.time[0]), np.exp(unknown[1])
    root = np.exp(unknown[0] + unknown[2] / 2 * np.log(until - first + gap))
    over = 0.0
    if np.isfinite(data.absent):
        before = max(data.absent - first + gap, 1e-9)
        there = np.exp(unknown[0] + unknown[2] / 2 * np.log(before))
        over = max(0.0, there - data.least) / np.hypot(sigma, 0.5)
    return np.append((root - data.root) / spread, over)


def _start(data: _Data, died: float) -> tuple[float, float, float, float] | None:
    """Best of a coarse grid: log of the scale, birth, exponent, SD."""
    first, step = float(data.time[0]), float(np.median(np.diff(data.time)))
    length = float(data.time[-1] - first)
    back = step * np.geomspace(0.02, max(2.0, 2 * length / step), 24)
    exponents = np.array([0.2, 0.35, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 1.9, 2.4, 3.0])
    born, exponent = (x.ravel() for x in np.meshgrid(first - back, exponents, indexing="ij"))
    curve = _curve(data, born, exponent, died)
    scale = np.median(data.root / curve, axis=-1)
    left = np.abs(data.root - scale[:, None] * curve)
    cost = left.mean(axis=-1)
    if np.isfinite(data.absent):
        there = scale * np.maximum(data.absent - born, 0) ** (exponent / 2)
        cost = cost + np.maximum(0, there - data.least) / len(data.time)
    at = int(np.argmin(cost))
    return (
        float(np.log(scale[at])),
        float(born[at]),
        float(exponent[at]),
        float(1.4826 * np.median(left[at])),
    )


def _with_intervals(data: _Data, fit: _Fit) -> Growth:
    curve = _curve(data, fit.born, fit.exponent, fit.died)
    left = (data.root - np.exp(fit.log_scale) * curve) * np.sqrt(fit.weight)
    correlation = _correlation(left)
    effective = max(1.0, len(left) * (1 - correlation) / (1 + correlation))
    spare = max(1.0, effective - 3)
    # Squared residuals that one unknown may add: σ² t² for independent ones, more else.
    noise = float((left**2).sum()) / max(1, len(left) - 3) * len(left) / effective
    noise = max(noise, 1e-12)
    allowed = noise * float(student.ppf(0.975, spare)) ** 2
    births, exponents, profile = _profile(data, fit, allowed)
    low_n, high_n = _range(exponents, profile.min(axis=0), allowed)
    ages = np.minimum(data.time[[0, -1]], fit.died) - fit.born
    tilt = 1.96 * SCALE_ERROR / max(np.log(max(ages[1], 1e-9) / max(ages[0], 1e-9)), 1e-9)
    low_n = max(_FLATTEST, fit.exponent - np.hypot(fit.exponent - low_n, tilt))
    high_n = min(STEEPEST, fit.exponent + np.hypot(high_n - fit.exponent, tilt))
    low_b, high_b = _range(births, profile.min(axis=1), allowed)
    return Growth(
        coefficient=float(np.exp(2 * fit.log_scale)),
        born=fit.born,
        born_low=min(low_b, fit.born),
        born_high=max(high_b, fit.born),
        exponent=fit.exponent,
        exponent_low=min(low_n, fit.exponent),
        exponent_high=max(high_n, fit.exponent),
        died=fit.died if np.isfinite(fit.died) else np.nan,
        sigma=fit.sigma,
        correlation=correlation,
        fitted=len(left),
        bic=fit.bic,
    )


def _correlation(left: NDArray[np.float64]) -> float:
    """Of successive residuals, corrected for the three unknowns that were taken out."""
    power = float((left**2).sum())
    if power == 0 or len(left) < 6:
        return 0.0
    raw = float((left[1:] * left[:-1]).sum()) / power
    return float(np.clip(raw + (3 + raw) / len(left), 0.0, 0.95))


def _profile(
    data: _Data, fit: _Fit, allowed: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Squared residuals added, ``(births, exponents)``, on a grid that holds the interval."""
    first = float(data.time[0])
    gap = first - fit.born
    step = float(np.median(np.diff(data.time)))
    wide_n, wide_b = 0.1, 1.0
    for _ in range(12):
        exponents = np.clip(fit.exponent + wide_n * np.linspace(-1, 1, 61), _FLATTEST, STEEPEST)
        # Evenly in the logarithm of the time from birth to the first area.
        gaps = np.clip(gap * np.exp(wide_b * np.linspace(-1, 1, 61)), 1e-3 * step, 1e4 * step + gap)
        births = first - gaps
        grid = _added(data, fit, births, exponents)
        by_n, by_b = grid.min(axis=0), grid.min(axis=1)
        more_n = min(by_n[0], by_n[-1]) < allowed
        more_b = (by_b[0] < allowed and gaps[0] > 2e-3 * step) or by_b[-1] < allowed
        if more_n and wide_n < STEEPEST:
            wide_n *= 1.8
        elif (by_n < allowed).sum() < 12 and wide_n > 1e-4:
            wide_n *= 0.4
        elif more_b and wide_b < 12:
            wide_b *= 1.8
        else:
            break
    return births, exponents, grid


def _added(
    data: _Data, fit: _Fit, births: NDArray[np.float64], exponents: NDArray[np.float64]
) -> NDArray[np.float64]:
    until = np.minimum(data.time, fit.died)
    age = np.log(np.maximum(until - births[:, None], 1e-9))
    curve = np.exp(exponents[:, None, None] / 2 * age)  # (exponents, births, n)
    weighted = curve * fit.weight
    scale = (weighted @ data.root) / np.einsum("ebn,ebn->eb", weighted, curve)
    square = float((fit.weight * data.root**2).sum())
    total = square - scale * (weighted @ data.root)
    if np.isfinite(data.absent):
        before = np.maximum(data.absent - births, 1e-9)
        there = scale * np.exp(exponents[:, None] / 2 * np.log(before))
        total = total + (np.maximum(0, there - data.least) / np.hypot(fit.sigma, 0.5)) ** 2
    total = total.T
    return np.asarray(total - total.min())


def _range(
    values: NDArray[np.float64], added: NDArray[np.float64], allowed: float
) -> tuple[float, float]:
    """Least and greatest value whose profile stays below the limit."""
    order = np.argsort(values)
    values, added = values[order], added[order]
    below = np.flatnonzero(added <= allowed)
    ends = []
    for inner, outer in ((below[0], below[0] - 1), (below[-1], below[-1] + 1)):
        if outer < 0 or outer >= len(values):
            ends.append(float(values[inner]))
            continue
        share = (allowed - added[inner]) / (added[outer] - added[inner])
        ends.append(float(values[inner] + share * (values[outer] - values[inner])))
    return ends[0], ends[1]
