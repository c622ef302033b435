"""How a bundle finds particles where there is a reference: chosen where networks saw nothing."""

from collections.abc import Callable, Iterable, Mapping
from itertools import cycle
from typing import Final

import numpy as np
from numpy.typing import NDArray

from corroscope.learning.dataset import Patch
from corroscope.learning.operating_points import best_point, counts_at_points
from corroscope.learning.pairs import Paired, synthetic_pairs
from corroscope.scoring.counts import Counts
from corroscope.segmentation.particles import OperatingPoint
from corroscope.segmentation.segmenter import Segmenter

HELD_OUT: Final = 60
"""Synthetic pairs that no network has learnt from: about as many particles as real pairs have."""


def predict_compared(pair: Paired, segmenter: Segmenter) -> NDArray[np.float32]:
    """Let a network look at a frame with its reference.

    Parameters
    ----------
    pair
        Frame and reference.
    segmenter
        A network that compares.

    Returns
    -------
    ndarray of float32
        ``(height, width)``, probability of a particle.
    """
    reference = np.where(pair.covered, pair.reference, np.float32(np.nan))
    return segmenter.probability(pair.contrast, reference)


def compared_points(
    pairs: Iterable[tuple[Paired, int]],
    near: Callable[[Paired, int], bool],
    segmenters: Mapping[int, Segmenter],
    background_sigma_px: float,
    seed: int,
) -> tuple[OperatingPoint, dict[int, OperatingPoint]]:
    """Choose operating points for frames with a reference, by what has arrived since it.

    Real pairs are few, and what annotators left out counts as found wrongly in them; synthetic
    pairs are complete, but not real. Both have a say, through pooled counts. Of points that are
    nearly as good as the best, that one is taken at which as many are found in synthetic pairs as
    there are: of real pairs nobody knows how many.

    Parameters
    ----------
    pairs
        Real pairs, each with the number of a network that has not seen its surface.
    near
        Whether a pair shares surface with the patches of a fold.
    segmenters
        The network of each fold, which look at synthetic pairs in turn.
    background_sigma_px
        SD of the Gaussian background that contrast is relative to.
    seed
        Of the training; synthetic pairs are of the next one.

    Returns
    -------
    point : OperatingPoint
        As `corroscope.learning.operating_points.best_point` chooses it, on all pairs.
    nested : dict of int to OperatingPoint
        For each fold the same, without pairs that share surface with it.
    """
    synthetic = synthetic_pairs(HELD_OUT, background_sigma_px, seed + 1)
    always = []
    for pair, fold in zip(synthetic, cycle(sorted(segmenters)), strict=False):
        always += _counted(pair, segmenters[fold])
    real = []
    allowed: dict[int, list[int]] = {fold: [] for fold in segmenters}
    for number, (pair, fold) in enumerate(pairs):
        real += _counted(pair, segmenters[fold])
        for other, numbers in allowed.items():
            if not near(pair, other):
                numbers.append(number)
    nested = {
        fold: best_point([*always, *(real[i] for i in numbers)], complete=always)
        for fold, numbers in allowed.items()
    }
    return best_point([*always, *real], complete=always), nested


def _counted(pair: Paired, segmenter: Segmenter) -> list[list[Counts]]:
    """Count particles that have arrived, as if they were what is annotated, at all points."""
    ignored = pair.doubtful | ~pair.covered
    patch = Patch(pair.later, pair.contrast, pair.arrived & ~ignored, ignored=ignored)
    return counts_at_points([patch], [predict_compared(pair, segmenter)])
