"""How sure one can be of a score: resampling over pieces of surface."""

from collections.abc import Hashable, Sequence
from dataclasses import fields
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from corroscope.scoring.counts import Counts
from corroscope.scoring.scores import RATIOS, SCORES

Verdict = Literal["better", "worse", "undecided"]

ROUNDING: Final = 1e-9
"""Difference that may come from the order in which numbers were added up."""


def intervals(
    counts: Sequence[Counts],
    clusters: Sequence[Hashable],
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = 2000,
) -> dict[str, tuple[float, float]]:
    """Intervals of the pooled scores, by resampling clusters of dependent images.

    Each resample takes each cluster with probability 1/2, twice or not at all (the
    double-or-nothing bootstrap; twice or once is the same to a ratio), and the interval leaves
    out equally many of its values on either side. Where there are no more than ``resamples``
    subsets of clusters, all of them are taken and nothing is left to chance.

    Parameters
    ----------
    counts
        Counts of each image.
    clusters
        For each image what it depends on, such as the piece of surface it shows; images of one
        cluster are taken together. Clusters may be of very different sizes.
    rng
        Source of randomness.
    level
        Coverage aimed at, between 0 and 1.
    resamples
        Number of resamples.

    Returns
    -------
    dict of str to (float, float)
        Lower and upper bound by name of the score. Both are NaN where it is defined in too few
        clusters for this level, that is where more than ``(1 - level) / 2`` of the subsets have
        none of them: an interval of 95 % needs 6 clusters.

    Raises
    ------
    ValueError
        If `level` is not between 0 and 1, or there are not as many clusters as counts.

    Notes
    -----
    What is covered is the score of all images of which these are a sample: the expected value
    of what the score divides, over the expected value of what it divides by.

    Let ``part`` and ``whole`` be the sums of a cluster, and ``truth`` that score. If
    ``part - truth * whole`` is independent from cluster to cluster and symmetric about 0, the
    truth is as likely in any of the gaps between the values of the subsets as in another, be the
    clusters as unequal as they may: the interval then covers exactly. The usual percentile
    bootstrap is too narrow for few or unequal clusters.

    References
    ----------
    J. A. Hartigan, *Using subsample values as typical values*, Journal of the American
    Statistical Association 64, 1969, 1303–1317.

    A. B. Owen, D. Eckles, *Bootstrapping data arrays of arbitrary order*, Annals of Applied
    Statistics 6, 2012, doi:10.1214/12-AOAS547.

    Examples
    --------
    >>> counts = [Counts(true_positive=t, false_positive=10 - t) for t in (9, 7, 8, 6, 7, 9, 8)]
    >>> low, high = intervals(counts, "abcdefg", np.random.default_rng(0))["precision"]
    >>> round(low, 2), round(high, 2)
    (0.65, 0.9)
    """
    subsets = _subsets(len(set(clusters)), rng, level, resamples)
    return _bounds(_values(counts, clusters, subsets), level)


def difference_intervals(
    first: Sequence[Counts],
    second: Sequence[Counts],
    clusters: Sequence[Hashable],
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = 2000,
) -> dict[str, tuple[float, float]]:
    """Paired intervals of how the second of two predictions differs from the first.

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
        Bounds of the second's score minus the first's, by name of the score. Of scores that are
        best near 0, such as ``count_bias``, it is the second's absolute value minus the first's.
        NaN as for `intervals`.

    Raises
    ------
    ValueError
        As for `intervals`.

    References
    ----------
    As for `intervals`; and I. A. Canay, J. P. Romano, A. M. Shaikh, *Randomization tests under
    an approximate symmetry assumption*, Econometrica 85, 2017, doi:10.3982/ECTA13081, on few
    and unequal clusters.

    Examples
    --------
    >>> hits = (2, 6, 3, 5, 4, 6, 2)
    >>> worse = [Counts(true_positive=t, false_positive=10 - t) for t in hits]
    >>> better = [Counts(true_positive=t + 2, false_positive=8 - t) for t in hits]
    >>> rng = np.random.default_rng(0)
    >>> low, high = difference_intervals(worse, better, "abcdefg", rng)["precision"]
    >>> round(low, 2), round(high, 2)
    (0.2, 0.2)
    """
    subsets = _subsets(len(set(clusters)), rng, level, resamples)
    before, after = (_values(counts, clusters, subsets) for counts in (first, second))
    near_0 = [score.better == "nearer to 0" for score in SCORES.values()]
    change = np.where(near_0, np.abs(after) - np.abs(before), after - before)
    return _bounds(change, level)


def verdict(name: str, difference: tuple[float, float]) -> Verdict:
    """Whether the second of two predictions is better by a score.

    Parameters
    ----------
    name
        The score, one of `corroscope.scoring.scores.SCORES`, which says what is better.
    difference
        Its bounds from `difference_intervals`.

    Returns
    -------
    {"better", "worse", "undecided"}
        "undecided" where the interval holds 0, or where there is none. Where neither prediction
        is better, a 95 % interval says "better" in about one case of 40, and "worse" as often;
        with several scores one of them does so more often.

    Raises
    ------
    KeyError
        If there is no such score.

    Examples
    --------
    >>> verdict("dice", (0.01, 0.04)), verdict("dice", (-0.01, 0.04))
    ('better', 'undecided')
    >>> verdict("count_bias", (0.01, 0.04))
    'worse'
    """
    low, high = difference
    if SCORES[name].better != "higher":
        low, high = -high, -low
    if low > ROUNDING:
        return "better"
    return "worse" if high < -ROUNDING else "undecided"


def _subsets(
    clusters: int, rng: np.random.Generator, level: float, resamples: int
) -> NDArray[np.float64]:
    """``(resamples, clusters)``, 1 where a cluster is taken; with each its complement."""
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not between 0 and 1")
    if 2**clusters <= resamples:
        codes = np.arange(2**clusters)[:, None]
        return np.asarray((codes >> np.arange(clusters)) & 1, np.float64)
    # None and all of them are always among the draws: this keeps the coverage with few draws.
    drawn = np.zeros((max(resamples // 2, 1), clusters))
    drawn[1:] = rng.integers(2, size=drawn[1:].shape)
    return np.concatenate([drawn, 1 - drawn])


def _values(
    counts: Sequence[Counts], clusters: Sequence[Hashable], subsets: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Scores of each subset of clusters, ``(subsets, scores)``."""
    names = [field.name for field in fields(Counts)]
    place = {cluster: row for row, cluster in enumerate(dict.fromkeys(clusters))}
    table = np.zeros((len(place), len(names)))
    for cluster, one in zip(clusters, counts, strict=True):
        table[place[cluster]] += [getattr(one, name) for name in names]
    part, whole = (
        np.array([[weights.get(name, 0.0) for weights in sides] for name in names])
        for sides in zip(*((r.part, r.whole) for r in RATIOS.values()), strict=True)
    )
    offset = np.array([ratio.offset for ratio in RATIOS.values()])
    divisor = subsets @ (table @ whole)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(divisor != 0, subsets @ (table @ part) / divisor + offset, np.nan)


def _bounds(values: NDArray[np.float64], level: float) -> dict[str, tuple[float, float]]:
    """Of each column what is left when equally many values are taken off either end."""
    # A whisker more: 1 - 0.9 is less than 0.1.
    outside = int((1 - level) / 2 * len(values) + 1e-9)
    bounds = {}
    for column, name in zip(np.sort(values, axis=0).T, RATIOS, strict=True):
        defined = column[~np.isnan(column)]
        # An undefined one might be anything, so it stands outside at both ends.
        outside_defined = outside - (column.size - defined.size)
        if outside_defined < 0 or 2 * outside_defined >= defined.size:
            bounds[name] = (float("nan"), float("nan"))
        else:
            low, high = defined[outside_defined], defined[-1 - outside_defined]
            bounds[name] = (float(low), float(high))
    return bounds
