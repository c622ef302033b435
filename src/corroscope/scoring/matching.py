"""Which particle of a prediction is which of an annotation."""

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

REACH_PX: Final = 3.0
"""Centroids at most so far apart may be those of one particle."""


class Particles(NamedTuple):
    """The particles of one mask, without what is ignored.

    Attributes
    ----------
    labels
        ``(height, width)``, 0 for background and what is ignored, particles from 1.
    area_px
        ``(n,)``, number of pixels.
    centroid_px
        ``(n, 2)``, row and column.
    """

    labels: NDArray[np.int32]
    area_px: NDArray[np.int64]
    centroid_px: NDArray[np.float64]


class Pairs(NamedTuple):
    """Particles of a prediction beside particles of an annotation.

    Attributes
    ----------
    predicted, annotated
        ``(pairs,)``, indices from 0.
    value
        ``(pairs,)``, how well each pair fits together: more is better.
    """

    predicted: NDArray[np.intp]
    annotated: NDArray[np.intp]
    value: NDArray[np.float64]


class Matching(NamedTuple):
    """Particles of both sides and who is whose partner, by each criterion.

    Attributes
    ----------
    predicted, annotated
        The particles.
    iou_30, iou_50
        Pairs with an intersection over union of at least 0.3 and 0.5, which is their value.
    centroids_3px
        Pairs whose centroids are at most 3 px apart; the value is minus that distance.
    """

    predicted: Particles
    annotated: Particles
    iou_30: Pairs
    iou_50: Pairs
    centroids_3px: Pairs


def match(
    prediction: NDArray[np.bool_],
    annotation: NDArray[np.bool_],
    ignored: NDArray[np.bool_] | None = None,
) -> Matching:
    """Find the particles of two masks and match them one to one.

    Particles are connected pixels, those that touch at a corner included. Of all one-to-one
    matchings whose pairs fulfil the criterion, one of the most pairs is taken, and among these
    one of the largest sum of intersection over union, or of the smallest sum of distances.

    What is ignored is treated as in `corroscope.scoring.counts.count`.

    Parameters
    ----------
    prediction, annotation
        ``(height, width)``, true in particles.
    ignored
        ``(height, width)``, true where nothing counts; None where all does.

    Returns
    -------
    Matching
        Particles and pairs.

    Raises
    ------
    ValueError
        If the masks differ in shape.

    References
    ----------
    H. W. Kuhn, *The Hungarian method for the assignment problem*, Naval Research Logistics
    Quarterly 2, 1955, doi:10.1002/nav.3800020109.

    Examples
    --------
    >>> annotation = np.zeros((9, 9), bool)
    >>> annotation[1:4, 1:4] = annotation[6:8, 6:8] = True
    >>> prediction = np.zeros((9, 9), bool)
    >>> prediction[1:4, 1:3] = True
    >>> found = match(prediction, annotation)
    >>> found.iou_30.annotated, found.iou_30.value.round(2), found.annotated.area_px
    (array([0]), array([0.67]), array([9, 4]))
    """
    for other in (annotation,) if ignored is None else (annotation, ignored):
        if other.shape != prediction.shape:
            raise ValueError(f"masks of shapes {prediction.shape} and {other.shape} differ")
    hidden = ignored is not None and bool(ignored.any())
    if ignored is not None and hidden:
        annotation = annotation & ~ignored
    predicted = _particles(prediction, ignored if hidden else None)
    annotated = _particles(annotation, None)
    overlapping = _overlapping(predicted, annotated)
    return Matching(
        predicted,
        annotated,
        iou_30=one_to_one(overlapping, 0.3),
        iou_50=one_to_one(overlapping, 0.5),
        centroids_3px=one_to_one(_neighbours(predicted, annotated), -REACH_PX),
    )


def one_to_one(pairs: Pairs, at_least: float) -> Pairs:
    """Choose as many pairs as possible so that none has two partners.

    Parameters
    ----------
    pairs
        Pairs to choose from, each once.
    at_least
        Pairs of a smaller value may not be chosen.

    Returns
    -------
    Pairs
        Of the largest choices the one of the largest sum of values, by the predicted one.

    Examples
    --------
    >>> pairs = Pairs(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0.9, 0.4, 0.4]))
    >>> one_to_one(pairs, 0.3).annotated, one_to_one(pairs, 0.5).annotated
    (array([1, 0]), array([0]))
    """
    allowed = pairs.value >= at_least
    predicted, annotated = pairs.predicted[allowed], pairs.annotated[allowed]
    value = pairs.value[allowed]
    # Most pairs have no rival; only the others need a search.
    rival = (np.bincount(predicted)[predicted] > 1) | (np.bincount(annotated)[annotated] > 1)
    if rival.any():
        rows, row = np.unique(predicted[rival], return_inverse=True)
        columns, column = np.unique(annotated[rival], return_inverse=True)
        # A further pair outweighs whatever the values of the others could bring.
        spread = float(np.ptp(value[rival])) + 1.0
        gain = np.zeros((rows.size, columns.size))
        gain[row, column] = value[rival] - value[rival].min() + spread * min(gain.shape)
        chosen = np.zeros(gain.shape, bool)
        chosen[linear_sum_assignment(gain, maximize=True)] = True
        kept = ~rival
        kept[rival] = chosen[row, column]
        predicted, annotated, value = predicted[kept], annotated[kept], value[kept]
    order = np.argsort(predicted)
    return Pairs(predicted[order], annotated[order], value[order])


def _particles(mask: NDArray[np.bool_], ignored: NDArray[np.bool_] | None) -> Particles:
    """What is not ignored; particles of which half or more is are no particles."""
    number, found = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    labels = np.asarray(found, np.int32)
    # Particles are few pixels: to measure them alone is quicker than OpenCV's statistics.
    inside = np.flatnonzero(mask)
    members = labels.ravel()[inside]
    if ignored is not None:
        hidden = ignored.ravel()[inside]
        area = np.bincount(members, minlength=number)
        kept = 2 * np.bincount(members[hidden], minlength=number) < area
        kept[0] = False
        members = np.where(kept, np.cumsum(kept), 0)[members].astype(np.int32)
        members[hidden] = 0
        labels = np.zeros(mask.shape, np.int32)
        labels.ravel()[inside] = members
        number = int(np.count_nonzero(kept)) + 1
    area = np.bincount(members, minlength=number)[1:]
    sums = [
        np.bincount(members, weights=at, minlength=number)[1:]
        for at in np.unravel_index(inside, mask.shape)
    ]
    return Particles(labels, area, np.asarray(np.stack(sums, axis=-1) / area[:, None], np.float64))


def _overlapping(predicted: Particles, annotated: Particles) -> Pairs:
    """All pairs with a common pixel, with their intersection over union."""
    ones, others = predicted.labels.ravel(), annotated.labels.ravel()
    common = np.flatnonzero((ones > 0) & (others > 0))
    width = annotated.area_px.size + 1
    keys, overlap = np.unique(
        ones[common].astype(np.int64) * width + others[common], return_counts=True
    )
    one, other = keys // width - 1, keys % width - 1
    union = predicted.area_px[one] + annotated.area_px[other] - overlap
    return Pairs(one, other, overlap / union)


def _neighbours(predicted: Particles, annotated: Particles) -> Pairs:
    """All pairs with centroids within reach, with minus their distance."""
    order = np.argsort(annotated.centroid_px[:, 0])
    heights, rows = annotated.centroid_px[order, 0], predicted.centroid_px[:, 0]
    # Only the rows around need a look; a little more of them, against rounding.
    first = np.searchsorted(heights, rows - 1.01 * REACH_PX)
    number = np.searchsorted(heights, rows + 1.01 * REACH_PX) - first
    one = np.repeat(np.arange(rows.size), number)
    within = np.arange(one.size) - np.repeat(np.cumsum(number) - number, number)
    other = order[np.repeat(first, number) + within]
    apart = predicted.centroid_px[one] - annotated.centroid_px[other]
    distance = np.hypot(apart[:, 0], apart[:, 1])
    close = distance <= REACH_PX
    return Pairs(one[close], other[close], -distance[close])
