"""How well annotators agree, by the scores that judge a network: the ceiling of these."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from corroscope.scoring.bootstrap import intervals
from corroscope.scoring.counts import Counts, count
from corroscope.scoring.scores import scores


@dataclass(frozen=True)
class Agreement:
    """Agreement of two annotations of the same pixels.

    Attributes
    ----------
    source
        Where the two come from.
    pairs
        Number of pictures, or pieces of them, that were annotated twice.
    surfaces
        Number of separate pieces of surface that they show.
    counted_px
        Pixels of all pairs; those that several pairs share count several times.
    distinct_px
        Pixels that were annotated more than once, each counted once; without what is ignored,
        as in ``counted_px``.
    particles
        Mean number of particles in an annotation, over all pairs.
    scores
        Pooled scores by name, as `corroscope.scoring.scores.scores` has them.
    intervals_95
        Lower and upper bound by name, by resampling surfaces; NaN where there are too few.
    """

    source: str
    pairs: int
    surfaces: int
    counted_px: int
    distinct_px: int
    particles: float
    scores: dict[str, float]
    intervals_95: dict[str, tuple[float, float]]


def count_both_ways(
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    ignored: NDArray[np.bool_] | None = None,
) -> Counts:
    """Count one annotation against another, each once in the role of the prediction.

    Neither is the truth, so that the order must not matter. Dice, IoU and F1 come out as
    they would one way; precision and recall both become what is common over the mean of the
    two, and the bias of the number and of the area becomes 0.

    Parameters
    ----------
    first, second
        ``(height, width)``, true in particles.
    ignored
        ``(height, width)``, true where either annotator ignores; None where neither does.

    Returns
    -------
    Counts
        The sum of both ways: twice the pixels and particles.

    Examples
    --------
    >>> first, second = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    >>> first[1, 1:3] = second[1, 1:4] = True
    >>> found = scores(count_both_ways(first, second))
    >>> found["dice"] == found["precision"] == found["recall"] == 0.8
    True
    """
    return count(first, second, ignored) + count(second, first, ignored)


def summarise(
    counts: Sequence[Counts],
    clusters: Sequence[Hashable],
    rng: np.random.Generator,
    *,
    source: str,
    distinct_px: int,
) -> Agreement:
    """Pool what was counted on all pairs, with intervals over pieces of surface.

    Parameters
    ----------
    counts
        What `count_both_ways` gave for each pair.
    clusters
        For each pair the piece of surface it shows.
    rng
        For the intervals.
    source, distinct_px
        As in `Agreement`.

    Returns
    -------
    Agreement
        The result.

    Examples
    --------
    >>> mask = np.eye(8, dtype=bool)
    >>> both = [count_both_ways(mask, mask)] * 2
    >>> found = summarise(both, "ab", np.random.default_rng(0), source="made", distinct_px=128)
    >>> found.pairs, found.surfaces, found.particles, found.counted_px, found.scores["dice"]
    (2, 2, 2.0, 128, 1.0)
    """
    total = sum(counts, Counts())
    pixels = total.true_positive + total.false_positive + total.false_negative + total.true_negative
    return Agreement(
        source,
        len(counts),
        len(set(clusters)),
        pixels // 2,
        distinct_px,
        (total.predicted + total.annotated) / 4,
        scores(total),
        intervals(counts, clusters, rng),
    )
