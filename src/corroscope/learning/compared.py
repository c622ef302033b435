"""How a bundle finds particles where there is a reference: chosen where networks saw nothing."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corroscope.learning.dataset import Patch
from corroscope.learning.operating_points import best_point, counts_at_points
from corroscope.learning.pairs import Paired, synthetic_pairs
from corroscope.segmentation.particles import OperatingPoint
from corroscope.segmentation.segmenter import Segmenter

HELD_OUT: Final = 60
"""Synthetic pairs that no network has learnt from: about as many particles as real pairs have."""


class Predicted(NamedTuple):
    """A pair, and what a network says of it that has not seen its surface.

    Attributes
    ----------
    pair
        Frame and reference.
    fold
        Number of the network.
    alone, compared
        ``(height, width)``, probabilities without the reference and with it.
    """

    pair: Paired
    fold: int
    alone: NDArray[np.float32]
    compared: NDArray[np.float32]


def predict_pair(pair: Paired, fold: int, segmenter: Segmenter) -> Predicted:
    """Let a network look at a frame with and without its reference.

    Parameters
    ----------
    pair
        Frame and reference.
    fold
        Number of the network.
    segmenter
        The network, which compares.

    Returns
    -------
    Predicted
        Both.
    """
    reference = np.where(pair.covered, pair.reference, np.float32(np.nan))
    alone, compared = (segmenter.probability(pair.contrast, given) for given in (None, reference))
    return Predicted(pair, fold, alone, compared)


def compared_points(
    predicted: Sequence[Predicted],
    segmenters: Mapping[int, Segmenter],
    background_sigma_px: float,
    seed: int,
) -> tuple[OperatingPoint, dict[int, OperatingPoint]]:
    """Choose operating points for frames with a reference, by what has arrived since it.

    Real pairs are few, and what annotators left out counts as found wrongly in them; synthetic
    pairs are complete, but not real. Both have a say, through pooled counts; how many are found has
    none, since of real pairs nobody knows how many there are.

    Parameters
    ----------
    predicted
        Real pairs.
    segmenters
        The network of each fold, which look at synthetic pairs in turn.
    background_sigma_px
        SD of the Gaussian background that contrast is relative to.
    seed
        Of the training; synthetic pairs are of another one.

    Returns
    -------
    point : OperatingPoint
        With the highest sum of Dice and particle F1 on all pairs.
    nested : dict of int to OperatingPoint
        For each fold the one chosen on pairs of the others.
    """
    synthetic = synthetic_pairs(HELD_OUT, background_sigma_px, seed + 1)
    pairs = [
        *predicted,
        *(
            predict_pair(pair, fold, segmenters[fold])
            for pair, fold in zip(synthetic, cycle(sorted(segmenters)), strict=False)
        ),
    ]
    counts = counts_at_points([_as_patch(one.pair) for one in pairs], [p.compared for p in pairs])
    nested = {
        fold: best_point(
            [c for c, one in zip(counts, pairs, strict=True) if one.fold != fold], nearly=0
        )[1]
        for fold in segmenters
    }
    return best_point(counts, nearly=0)[1], nested


def _as_patch(pair: Paired) -> Patch:
    """Particles that have arrived, as if they were what is annotated."""
    ignored = pair.doubtful | ~pair.covered
    return Patch(pair.later, pair.contrast, pair.arrived & ~ignored, ignored=ignored)
