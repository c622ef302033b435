"""What a network's probabilities are worth against what the annotator drew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from corroscope.learning.clusters import clusters_of
from corroscope.learning.dataset import Patch
from corroscope.learning.surfaces import surface_groups
from corroscope.scoring.bootstrap import intervals
from corroscope.scoring.calibration import (
    BINS,
    Reliability,
    expected_calibration_error,
    reliability,
)
from corroscope.scoring.counts import Counts, count
from corroscope.scoring.scores import scores
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
UNCHOSEN: Final = OperatingPoint(0.5, 1)
NEARLY: Final = 0.01
"""How far below the highest sum of Dice and particle F1 an operating point may be."""


@dataclass(frozen=True)
class Judged:
    """Probabilities of patches that the network was not trained on.

    Attributes
    ----------
    patches
        The patches, with their masks.
    probabilities
        ``(height, width)`` for each.
    folds
        For each patch the number of the fold in which it was predicted.
    """

    patches: Sequence[Patch]
    probabilities: Sequence[NDArray[np.float32]]
    folds: Sequence[int]

    @cached_property
    def counts_at_points(self) -> list[list[Counts]]:
        """For each patch its counts at each of `POINTS`: seconds, asked for several times."""
        return _counts_at_points(self.patches, self.probabilities)


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

    Near its highest value the sum hardly changes, while the number of particles does: of all
    that are within `NEARLY` of the highest, the one with the smallest count bias is taken.

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
    return _best_point(_counts_at_points(patches, probabilities))


def _counts_at_points(
    patches: Sequence[Patch], probabilities: Sequence[NDArray[np.float32]]
) -> list[list[Counts]]:
    """For each patch its counts at each of `POINTS`."""
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


def _best_point(counts: Sequence[Sequence[Counts]]) -> OperatingPoint:
    tried: list[tuple[float, float, OperatingPoint]] = []
    for number, point in enumerate(POINTS):
        found = scores(sum((at_points[number] for at_points in counts), Counts()))
        value = float(np.nan_to_num(found["dice"]) + np.nan_to_num(found["particle_f1_iou30"]))
        tried.append((value, abs(float(np.nan_to_num(found["count_bias"]))), point))
    highest = max(value for value, _, _ in tried)
    good = [(bias, -value, point) for value, bias, point in tried if value >= highest - NEARLY]
    return min(good)[2]


def nested_points(judged: Judged, shared: NDArray[np.bool_]) -> dict[int, OperatingPoint]:
    """For each fold the operating point in which its own patches had no say.

    Parameters
    ----------
    judged
        Patches with their predictions.
    shared
        ``(n, n)``, which of the patches share surface.

    Returns
    -------
    dict of int to OperatingPoint
        Chosen on patches that share no surface with those of the fold; 0.5 and 1 px where there
        are none.
    """
    folds = sorted(set(judged.folds))
    if len(folds) == 1:
        return {folds[0]: UNCHOSEN}
    counts = judged.counts_at_points
    points = {}
    for fold in folds:
        in_fold = np.array([f == fold for f in judged.folds])
        others = np.flatnonzero(~shared[in_fold].any(axis=0)).tolist()
        points[fold] = _best_point([counts[i] for i in others]) if others else UNCHOSEN
    return points


def nested_counts(judged: Judged, shared: NDArray[np.bool_]) -> list[Counts]:
    """Counts of each patch, at the operating point that `nested_points` gives its fold.

    Parameters
    ----------
    judged, shared
        As for `nested_points`.

    Returns
    -------
    list of Counts
        For each patch.
    """
    points = nested_points(judged, shared)
    return [
        count_at(patch, probability, *points[fold])
        for patch, probability, fold in zip(
            judged.patches, judged.probabilities, judged.folds, strict=True
        )
    ]


def judge(judged: Judged, shared: NDArray[np.bool_], rng: np.random.Generator) -> dict[str, Any]:
    """Pooled scores with intervals, and the operating point that a bundle should use.

    Each fold is scored at the operating point chosen on patches that share no surface
    with it, so that nothing on them has a say in the threshold they are judged with.
    Where there are none, as with a single fold, the scores are at threshold 0.5,
    without dropping any particle.

    Parameters
    ----------
    judged
        Patches with their predictions.
    shared
        ``(n, n)``, which of the patches share surface.
    rng
        For the bootstrap.

    Returns
    -------
    dict
        ``threshold``, ``min_area_px`` and ``peak`` chosen on all; ``scores`` and
        ``intervals_95``; ``calibration_error``, the expected calibration error near objects;
        ``patches`` and ``surfaces`` (their numbers); and how it was
        done in ``method``.
    """
    point = _best_point(judged.counts_at_points)
    folds = set(judged.folds)
    counts = nested_counts(judged, shared)
    clusters = clusters_of(shared)
    if len(folds) > 1:
        method = (
            f"{len(folds)} folds, each judged by a network and an operating point that "
            "were chosen on other surface"
        )
    else:
        method = "patches on surface not used for training, at threshold 0.5"
    return {
        **point._asdict(),
        "scores": finite(scores(sum(counts, Counts()))),
        "intervals_95": finite_bounds(intervals(counts, clusters.labels.tolist(), rng)),
        "calibration_error": finite_or_none(expected_calibration_error(near_objects(judged))),
        "patches": len(judged.patches),
        "surfaces": len(set(surface_groups(shared).tolist())),
        "method": f"{method}; intervals by resampling {clusters.words}",
    }


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


def near_objects(judged: Judged) -> Reliability:
    """Sort the pixels near objects by the probability that was predicted.

    Parameters
    ----------
    judged
        Patches with their predictions.

    Returns
    -------
    Reliability
        Sum over the patches.
    """
    return sum(
        (
            reliability(probability, patch.mask, patch.ignored)
            for patch, probability in zip(judged.patches, judged.probabilities, strict=True)
        ),
        Reliability(*np.zeros((3, BINS), np.int64)),
    )


def finite(values: dict[str, float]) -> dict[str, float | None]:
    """Scores as JSON can hold them: rounded, undefined ones as None.

    Parameters
    ----------
    values
        Scores by name.

    Returns
    -------
    dict of str to float or None
        The same, to four digits.

    Examples
    --------
    >>> finite({"dice": 0.70711, "recall": float("nan")})
    {'dice': 0.7071, 'recall': None}
    """
    return {name: finite_or_none(value) for name, value in values.items()}


def finite_bounds(bounds: Mapping[str, tuple[float, float]]) -> dict[str, list[float | None]]:
    """Bounds as JSON can hold them: rounded, undefined ones as None.

    Parameters
    ----------
    bounds
        Lower and upper bound by name of the score.

    Returns
    -------
    dict of str to list
        The same, to four digits.

    Examples
    --------
    >>> finite_bounds({"dice": (0.5, float("nan"))})
    {'dice': [0.5, None]}
    """
    return {
        name: [finite_or_none(low), finite_or_none(high)] for name, (low, high) in bounds.items()
    }


def finite_or_none(value: float) -> float | None:
    """A number to four digits, or None for NaN.

    Parameters
    ----------
    value
        The number.

    Returns
    -------
    float or None
        What JSON can hold.
    """
    return round(value, 4) if np.isfinite(value) else None
