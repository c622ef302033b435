"""Which probabilities count as a particle: chosen on patches that the network has not seen."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from corroscope.learning.dataset import Patch
from corroscope.scoring.counts import Counts, count
from corroscope.scoring.scores import score
from corroscope.segmentation.particles import OperatingPoint, find_particles

THRESHOLDS: Final = tuple(round(0.05 * k, 2) for k in range(4, 17))
SMALLEST_AREAS_PX: Final = (1, 3, 5, 7, 9)
PEAKS: Final = (0.5, 0.6, 0.7, 0.8, 0.9)
POINTS: Final = tuple(
    OperatingPoint(threshold, min_area_px, peak)
    for threshold in THRESHOLDS
    for min_area_px in SMALLEST_AREAS_PX
    for peak in (0.0, *(peak for peak in PEAKS if peak > threshold))
)
"""Operating points that are tried."""
NEARLY: Final = 0.01
"""Differences of the sum of Dice and particle F1 that are not worth a choice."""


def count_at(
    patch: Patch,
    probability: NDArray[np.float32],
    threshold: float,
    min_area_px: int,
    peak: float = 0.0,
) -> Counts:
    """Counts of one patch at one operating point; what is ignored counts for nothing.

    Parameters
    ----------
    patch
        The patch.
    probability
        ``(height, width)``.
    threshold, min_area_px, peak
        As in `corroscope.segmentation.particles.OperatingPoint`.

    Returns
    -------
    Counts
        The counts.
    """
    found = find_particles(probability, threshold, min_area_px, peak) > 0
    return count(found, patch.mask, patch.ignored)


def operating_point(
    patches: Sequence[Patch], probabilities: Sequence[NDArray[np.float32]]
) -> OperatingPoint:
    """Operating point with a high sum of Dice and particle F1, at which counts agree.

    The one that `best_point` takes.

    Parameters
    ----------
    patches
        Patches that the network was not trained on.
    probabilities
        ``(height, width)`` for each.

    Returns
    -------
    OperatingPoint
        One of `POINTS`.

    Examples
    --------
    >>> mask = np.zeros((8, 8), bool)
    >>> mask[2:5, 2:5] = True
    >>> patch = Patch("a.png", np.zeros((8, 8), np.uint8), mask)
    >>> operating_point([patch], [np.where(mask, 0.33, 0.27).astype(np.float32)])
    OperatingPoint(threshold=0.3, min_area_px=1, peak=0.0)
    """
    return best_point(counts_at_points(patches, probabilities))


def counts_at_points(
    patches: Sequence[Patch], probabilities: Sequence[NDArray[np.float32]]
) -> list[list[Counts]]:
    """Count at each of `POINTS`.

    Parameters
    ----------
    patches
        The patches.
    probabilities
        ``(height, width)`` for each.

    Returns
    -------
    list of list of Counts
        For each patch one at each point.
    """
    return [
        _counts_of_patch(patch, probability)
        for patch, probability in zip(patches, probabilities, strict=True)
    ]


def _counts_of_patch(patch: Patch, probability: NDArray[np.float32]) -> list[Counts]:
    """What `count_at` gives, but each set of particles, which many points share, counted once."""
    counts: list[Counts] = []
    for threshold, points in groupby(POINTS, key=lambda point: point.threshold):
        labels = find_particles(probability, threshold, 1)
        numbers = np.arange(1, labels.max(initial=0) + 1)
        areas = np.bincount(labels.ravel(), minlength=len(numbers) + 1)[1:]
        peaks = np.atleast_1d(ndimage.maximum(probability, labels, numbers)) if numbers.size else 0
        known: dict[bytes, Counts] = {}
        for point in points:
            kept = np.append(False, (areas >= point.min_area_px) & (peaks >= point.peak))
            key = kept.tobytes()
            if key not in known:
                known[key] = count(kept[labels], patch.mask, patch.ignored)
            counts.append(known[key])
    return counts


def best_point(
    counts: Sequence[Sequence[Counts]], complete: Sequence[Sequence[Counts]] | None = None
) -> OperatingPoint:
    """Choose one of `POINTS` with a high sum of Dice and particle F1, and at which counts agree.

    Near its highest value the sum hardly changes, while the number of particles does: of all
    that are nearly as good, the one with the smallest count bias is taken.

    Parameters
    ----------
    counts
        For each patch its counts at each of `POINTS`, as from `counts_at_points`.
    complete
        Those of them by which is told whether counts agree; by default all.

    Returns
    -------
    OperatingPoint
        What is chosen; the first of equal ones.

    Examples
    --------
    >>> pixels = {"true_positive": 80, "false_positive": 9, "false_negative": 9}
    >>> many = Counts(**pixels, predicted=130, annotated=100, matched_iou_30=92)
    >>> alike = Counts(**pixels, predicted=100, annotated=100, matched_iou_30=80)
    >>> best_point([[many] * 9 + [alike] * (len(POINTS) - 9)]) == POINTS[9]
    True
    """
    pooled = _pooled(counts)
    numbered = pooled if complete is None else _pooled(complete)
    sums = [dice_and_f1(each) for each in pooled]
    good = max(sums) - NEARLY
    _, _, number = min(
        (abs(float(np.nan_to_num(score(numbered[number], "count_bias")))), -value, number)
        for number, value in enumerate(sums)
        if value >= good
    )
    return POINTS[number]


def _pooled(counts: Sequence[Sequence[Counts]]) -> list[Counts]:
    return [
        sum((at_points[number] for at_points in counts), Counts()) for number in range(len(POINTS))
    ]


def dice_and_f1(counts: Counts) -> float:
    """Sum of Dice and particle F1, by which is chosen; 0 where there is nothing.

    Parameters
    ----------
    counts
        Of all patches.

    Returns
    -------
    float
        0 to 2.

    Examples
    --------
    >>> dice_and_f1(Counts(true_positive=9, predicted=1, annotated=1, matched_iou_30=1))
    2.0
    """
    return sum(float(np.nan_to_num(score(counts, name))) for name in ("dice", "particle_f1_iou30"))


def point_of(metrics: Mapping[str, Any]) -> OperatingPoint:
    """The operating point that is written down in metrics.

    Parameters
    ----------
    metrics
        With ``threshold``, ``min_area_px`` and, unless it is 0, ``peak``.

    Returns
    -------
    OperatingPoint
        The same.

    Examples
    --------
    >>> point_of({"threshold": 0.4, "min_area_px": 7, "peak": 0.6, "patches": 74})
    OperatingPoint(threshold=0.4, min_area_px=7, peak=0.6)
    """
    return OperatingPoint(metrics["threshold"], metrics["min_area_px"], metrics.get("peak", 0.0))
