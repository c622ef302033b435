"""How well one series follows another at each of many lags, when noise remembers itself."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

ROOTS: Final = (-0.4, 0.0, 0.5, 0.8, 0.95, 1.0)
"""Candidate roots of the noise's autoregression, per frame. On a level, two roots of 0 are white
noise of each measurement (of a volume, say); 1 and 0 are white noise of the rate; 1 and 0.8 is a
rate that wanders."""

PAIRS: Final = tuple((one, two) for one in ROOTS for two in ROOTS if one >= two and one >= 0)
"""All pairs of them."""


class Gains(NamedTuple):
    """What following the other series at a lag explains.

    Attributes
    ----------
    gain
        ``(lags, series)``, logarithm of the likelihood ratio against not following it; minus
        infinity where too few times are shared.
    pair
        ``(lags, series)``, which of `PAIRS` describes the noise best.
    correlation
        ``(lags, series)``, of both series whitened by these roots.
    """

    gain: NDArray[np.float64]
    pair: NDArray[np.int64]
    correlation: NDArray[np.float64]


def filtered(values: NDArray[np.float64], roots: tuple[float, float]) -> NDArray[np.float64]:
    """Whiten along the first axis by an autoregression of two roots.

    Parameters
    ----------
    values
        ``(times, …)``.
    roots
        Of the autoregression.

    Returns
    -------
    ndarray of float64
        ``(times - 2, …)``.

    Examples
    --------
    >>> filtered(np.array([0.0, 1.0, 4.0, 9.0]), (1.0, 1.0))
    array([2., 2.])
    """
    total, product = sum(roots), roots[0] * roots[1]
    return np.asarray(values[2:] - total * values[1:-1] + product * values[:-2], np.float64)


def lag_gains(
    levels: NDArray[np.float64],
    shifted: NDArray[np.float64],
    covered: NDArray[np.bool_],
    drift: NDArray[np.float64],
    spread: NDArray[np.float64],
    fewest: int,
) -> Gains:
    """Judge how well levels follow another series at each lag, better than noise alone would.

    For each lag and each pair of roots, levels are regressed on the drift and on the shifted
    series after whitening. Likelihoods are taken at the best pair with and without the shifted
    series. Following with the opposite sign gains nothing.

    Parameters
    ----------
    levels
        ``(times, series)``: the same times, several series.
    shifted
        ``(lags, times)``: the other series at each lag.
    covered
        ``(lags, times)``: where it is known.
    drift
        ``(times, columns)``: what may be added to any series, such as 1 and time.
    spread
        ``(times - 2,)``: standard deviation of the whitened noise, up to a factor.
    fewest
        Times that must be covered.

    Returns
    -------
    Gains
        For each lag and series.

    References
    ----------
    D. Cochrane, G. H. Orcutt, J. Am. Stat. Assoc. 44, 1949, 32, doi:10.1080/01621459.1949.10483290:
    regression after whitening by the autoregression of the noise.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> source = np.cumsum(rng.standard_normal(62))
    >>> levels = source[1:-1, None] + 0.1 * rng.standard_normal((60, 1))
    >>> shifted = np.stack([source[:-2], source[1:-1], source[2:]])
    >>> drift = np.ones((60, 1))
    >>> covered, spread = np.ones((3, 60), bool), np.ones(58)
    >>> int(lag_gains(levels, shifted, covered, drift, spread, 20).gain.argmax())
    1
    """
    rows = covered[:, 2:] & covered[:, 1:-1] & covered[:, :-2]
    number = rows.sum(axis=1)
    weights = rows.astype(np.float64)
    enough = number >= fewest
    shape = (len(shifted), levels.shape[1])
    without = np.full(shape, -np.inf)
    best = np.full(shape, -np.inf)
    pair_of = np.zeros(shape, np.int64)
    correlation = np.zeros(shape)
    half = number[:, None] / 2
    tiny = np.finfo(np.float64).tiny
    for place, pair in enumerate(PAIRS):
        y = filtered(levels, pair) / spread[:, None]
        x = _columns(drift, pair) / spread[:, None]
        c = filtered(shifted.T, pair).T / spread
        alone, explained, r = _regress(y, x, c * weights, weights)
        level_0 = -half * np.log(np.maximum(alone, tiny))
        level_1 = -half * np.log(np.maximum(alone - explained, tiny))
        without = np.maximum(without, level_0)
        better = level_1 > best
        best = np.where(better, level_1, best)
        pair_of = np.where(better, place, pair_of)
        correlation = np.where(better, r, correlation)
    gain = np.where(enough[:, None], best - without, -np.inf)
    return Gains(gain, pair_of, correlation)


def _columns(drift: NDArray[np.float64], pair: tuple[float, float]) -> NDArray[np.float64]:
    """The drift whitened, without what a root of 1 takes away; each of length 1."""
    x = filtered(drift, pair)
    length = np.sqrt((x**2).sum(axis=0))
    kept = length > 1e-6 * np.sqrt((drift**2).sum(axis=0))
    return np.asarray(x[:, kept] / length[kept])


def _regress(
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    c: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Sums of squares of ``y`` beside ``x``, what ``c`` explains of it, and their correlation."""
    yy = weights @ y**2
    cy = c @ y
    cc = np.broadcast_to((c**2).sum(axis=1)[:, None], cy.shape)
    width = x.shape[1]
    if width:
        xx = np.einsum("ln,ni,nj->lij", weights, x, x)
        inverse = np.linalg.pinv(xx, hermitian=True)
        xc = c @ x
        xy = np.stack([weights @ (x[:, i : i + 1] * y) for i in range(width)], axis=1)
        solved = np.einsum("lij,ljs->lis", inverse, xy)
        yy = yy - (xy * solved).sum(axis=1)
        cy = cy - np.einsum("li,lis->ls", xc, solved)
        cc = cc - np.einsum("li,lij,lj->l", xc, inverse, xc)[:, None]
    good = (cc > 1e-12) & (yy > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.where(good, cy / np.sqrt(cc * yy), 0.0)
    r = np.clip(r, -1.0, 1.0)
    return yy, np.where(r > 0, yy * r**2, 0.0), r


def sample_paths(
    fitted: NDArray[np.float64],
    start: NDArray[np.float64],
    innovations: NDArray[np.float64],
    roots: tuple[float, float],
) -> NDArray[np.float64]:
    """Add noise that remembers itself to a fitted course.

    Parameters
    ----------
    fitted
        ``(times,)``.
    start
        ``(2,)``: the noise at the first two times.
    innovations
        ``(times - 2, paths)``: what is new in the noise at each time.
    roots
        Of its autoregression.

    Returns
    -------
    ndarray of float64
        ``(times, paths)``.

    Examples
    --------
    >>> sample_paths(np.zeros(3), np.array([1.0, 2.0]), np.zeros((1, 1)), (1.0, 0.0)).T
    array([[1., 2., 2.]])
    """
    total, product = sum(roots), roots[0] * roots[1]
    noise = np.empty((len(fitted), innovations.shape[1]))
    noise[:2] = start[:, None]
    for time in range(2, len(fitted)):
        noise[time] = total * noise[time - 1] - product * noise[time - 2] + innovations[time - 2]
    return np.asarray(noise + fitted[:, None])


def weighted_gains(
    level: NDArray[np.float64],
    shifted: NDArray[np.float64],
    covered: NDArray[np.bool_],
    drift: NDArray[np.float64],
    spread: NDArray[np.float64],
    pair: tuple[float, float],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Gain at each lag when times have weights, the roots of the noise being known.

    Parameters
    ----------
    level
        ``(times,)``.
    shifted, covered
        ``(lags, times)``, as in `lag_gains`.
    drift
        ``(times, columns)``.
    spread
        ``(times - 2,)``, as in `lag_gains`.
    pair
        Roots of the noise.
    weights
        ``(draws, times - 2)``: of whitened times.

    Returns
    -------
    ndarray of float64
        ``(lags, draws)``, logarithm of the likelihood ratio against the fit without the other
        series at the same lag.

    Examples
    --------
    >>> source = np.random.default_rng(0).standard_normal(42)
    >>> shifted = np.stack([source[:-2], source[1:-1], source[2:]])
    >>> level, covered = source[1:-1] + 0.01 * source[:-2] ** 2, np.ones((3, 40), bool)
    >>> gain = weighted_gains(
    ...     level, shifted, covered, np.ones((40, 1)), np.ones(38), (0.0, 0.0), np.ones((2, 38))
    ... )
    >>> gain.argmax(axis=0).tolist()
    [1, 1]
    """
    rows = covered[:, 2:] & covered[:, 1:-1] & covered[:, :-2]
    y = filtered(level, pair) / spread
    x = _columns(drift, pair) / spread[:, None]
    c = filtered(shifted.T, pair).T / spread * rows
    mask = rows.astype(np.float64)
    yy, cy, cc = mask @ (weights * y**2).T, c @ (weights * y).T, c**2 @ weights.T
    if x.shape[1]:
        width = range(x.shape[1])
        xx = np.stack(
            [np.stack([mask @ (weights * x[:, i] * x[:, j]).T for j in width], -1) for i in width],
            -2,
        )
        inverse = np.linalg.pinv(xx, hermitian=True)
        xy = np.stack([mask @ (weights * x[:, i] * y).T for i in width], -1)
        xc = np.stack([c @ (weights * x[:, i]).T for i in width], -1)
        solved = np.einsum("ldij,ldj->ldi", inverse, xy)
        yy = yy - (xy * solved).sum(axis=-1)
        cy = cy - (xc * solved).sum(axis=-1)
        cc = cc - np.einsum("ldi,ldij,ldj->ld", xc, inverse, xc)
    good = (cc > 1e-12) & (yy > 0) & (cy > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(good, cy**2 / (cc * yy), 0.0)
    number = mask @ weights.T
    return np.asarray(-number / 2 * np.log(np.maximum(1 - share, np.finfo(np.float64).tiny)))
