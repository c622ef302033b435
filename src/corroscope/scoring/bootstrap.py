"""How sure one can be of a score: bootstrap over pieces of surface."""

from collections.abc import Hashable, Sequence
from dataclasses import astuple

import numpy as np
from numpy.typing import NDArray

from corroscope.scoring.counts import Counts
from corroscope.scoring.scores import scores


def intervals(
    counts: Sequence[Counts],
    clusters: Sequence[Hashable],
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = 2000,
) -> dict[str, tuple[float, float]]:
    """Bootstrap intervals of the pooled scores, over clusters of dependent images.

    Parameters
    ----------
    counts
        Counts of each image.
    clusters
        For each image the piece of surface it shows; images of one cluster are drawn
        together, since they are not independent.
    rng
        Source of randomness.
    level
        Coverage aimed at.
    resamples
        Number of resamples.

    Returns
    -------
    dict of str to (float, float)
        Lower and upper bound by name of the score; NaN where it is undefined in every
        resample, or where all images are of one cluster.

    Notes
    -----
    The percentile bootstrap is too narrow when there are few clusters.

    References
    ----------
    B. Efron, R. J. Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13.

    Examples
    --------
    >>> counts = [Counts(true_positive=t, false_positive=10 - t) for t in (9, 7, 8, 6)]
    >>> low, high = intervals(counts, "aabb", np.random.default_rng(0))["precision"]
    >>> round(low, 2), round(high, 2)
    (0.7, 0.8)
    """
    table = _by_cluster(counts, clusters)
    values = [_values(sums) for sums in _resampled([table], rng, resamples)]
    return _bounds(values[0], level)


def difference_intervals(
    first: Sequence[Counts],
    second: Sequence[Counts],
    clusters: Sequence[Hashable],
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = 2000,
) -> dict[str, tuple[float, float]]:
    """Paired bootstrap intervals of how much better the second of two predictions scores.

    Both are scored on the same images, and each resample takes the same clusters of both:
    that some images are harder than others does not widen the interval.

    Parameters
    ----------
    first, second
        Counts of each image, by two predictions.
    clusters, rng, level, resamples
        As for `intervals`.

    Returns
    -------
    dict of str to (float, float)
        Bounds of the second's score minus the first's, by name of the score.

    References
    ----------
    B. Efron, R. J. Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 16.

    Examples
    --------
    >>> worse = [Counts(true_positive=t, false_positive=10 - t) for t in (2, 6, 3, 5)]
    >>> better = [Counts(true_positive=t + 2, false_positive=8 - t) for t in (2, 6, 3, 5)]
    >>> rng = np.random.default_rng(0)
    >>> low, high = difference_intervals(worse, better, "abcd", rng)["precision"]
    >>> round(low, 2), round(high, 2)
    (0.2, 0.2)
    """
    tables = [_by_cluster(first, clusters), _by_cluster(second, clusters)]
    before, after = (_values(sums) for sums in _resampled(tables, rng, resamples))
    return _bounds(after - before, level)


def _by_cluster(counts: Sequence[Counts], clusters: Sequence[Hashable]) -> NDArray[np.int64]:
    """One row of sums for each cluster, in order of first appearance."""
    pooled: dict[Hashable, Counts] = {}
    for cluster, one in zip(clusters, counts, strict=True):
        pooled[cluster] = pooled.get(cluster, Counts()) + one
    return np.array([astuple(member) for member in pooled.values()], np.int64)


def _resampled(
    tables: Sequence[NDArray[np.int64]], rng: np.random.Generator, resamples: int
) -> list[NDArray[np.int64]]:
    """Sums over clusters drawn with replacement, the same ones of every table."""
    members = len(tables[0])
    if members < 2:  # one cluster tells nothing of how clusters differ
        return [np.zeros((0, table.shape[-1]), np.int64) for table in tables]
    drawn = rng.integers(members, size=(resamples, members))
    return [table[drawn].sum(axis=1) for table in tables]


def _values(sums: NDArray[np.int64]) -> NDArray[np.float64]:
    rows = [list(scores(Counts(*row)).values()) for row in sums.tolist()]
    return np.array(rows, np.float64).reshape(len(sums), len(scores(Counts())))


def _bounds(values: NDArray[np.float64], level: float) -> dict[str, tuple[float, float]]:
    tails = [(1 - level) / 2, (1 + level) / 2]
    bounds = {}
    for column, name in enumerate(scores(Counts())):
        defined = values[~np.isnan(values[:, column]), column]
        low, high = np.quantile(defined, tails) if defined.size else (np.nan, np.nan)
        bounds[name] = (float(low), float(high))
    return bounds
