"""What is counted on one image, so that any score of any set of images is a sum away."""

from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True)
class Counts:
    """Pixels and particles of one image, or, added up, of several; without what is ignored.

    Attributes
    ----------
    true_positive, false_positive, false_negative, true_negative
        Pixels.
    predicted, annotated
        Particles in the prediction and in the annotation.
    matched_iou_30, matched_iou_50
        Pairs of a one-to-one matching at an intersection over union of at least
        0.3 and 0.5.
    matched_3px
        Pairs of a one-to-one matching whose centroids are at most 3 px apart.
    """

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0
    true_negative: int = 0
    predicted: int = 0
    annotated: int = 0
    matched_iou_30: int = 0
    matched_iou_50: int = 0
    matched_3px: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return Counts(**sums)


def count(
    prediction: NDArray[np.bool_],
    annotation: NDArray[np.bool_],
    ignored: NDArray[np.bool_] | None = None,
) -> Counts:
    """Compare a predicted mask with an annotated one.

    Particles are connected pixels, those that touch at a corner included. They are
    matched one to one so that as many pairs as possible fulfil the criterion (the
    Hungarian method).

    Ignored pixels are counted nowhere, whatever was annotated there. A predicted particle of
    which half or more is ignored counts neither as found nor as false; of others, the pixels
    that are not ignored are compared.

    Parameters
    ----------
    prediction, annotation
        ``(height, width)``, true in particles.
    ignored
        ``(height, width)``, true where nothing counts; None where all does.

    Returns
    -------
    Counts
        The counts of this image.

    Raises
    ------
    ValueError
        If the masks differ in shape.

    References
    ----------
    L. Maier-Hein et al., *Metrics reloaded*, Nature Methods 21, 2024,
    doi:10.1038/s41592-023-02151-z: for many small objects, matching by low overlap
    or by centre distance.

    Examples
    --------
    >>> annotation = np.zeros((9, 9), bool)
    >>> annotation[1:4, 1:4] = annotation[6:8, 6:8] = True
    >>> prediction = np.zeros((9, 9), bool)
    >>> prediction[1:4, 1:3] = True
    >>> result = count(prediction, annotation)
    >>> result.true_positive, result.false_negative, result.matched_iou_50, result.annotated
    (6, 7, 1, 2)
    """
    if ignored is None:
        ignored = np.zeros_like(annotation)
    for other in (annotation, ignored):
        if other.shape != prediction.shape:
            raise ValueError(f"masks of shapes {prediction.shape} and {other.shape} differ")
    predicted, predicted_centres = _particles(prediction, ignored)
    prediction, annotation = prediction & ~ignored, annotation & ~ignored
    annotated, annotated_centres = _particles(annotation, ignored)
    hit = int(np.count_nonzero(prediction & annotation))
    predicted_px, annotated_px = int(prediction.sum()), int(annotation.sum())
    counted_px = ignored.size - int(np.count_nonzero(ignored))
    iou = _pairwise_iou(predicted, annotated, len(predicted_centres), len(annotated_centres))
    distance = np.linalg.norm(predicted_centres[:, None] - annotated_centres[None], axis=-1)
    return Counts(
        true_positive=hit,
        false_positive=predicted_px - hit,
        false_negative=annotated_px - hit,
        true_negative=counted_px - predicted_px - annotated_px + hit,
        predicted=len(predicted_centres),
        annotated=len(annotated_centres),
        matched_iou_30=_matches(iou >= 0.3),
        matched_iou_50=_matches(iou >= 0.5),
        matched_3px=_matches(distance <= 3.0),
    )


def _particles(
    mask: NDArray[np.bool_], ignored: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Labels from 1 and the centroid of each, of what is not ignored.

    Particles of which half or more is ignored have no label.
    """
    _, labels, statistics, centroids = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S
    )
    if not ignored.any():
        return np.asarray(labels), np.asarray(centroids[1:])
    area = statistics[:, cv2.CC_STAT_AREA]
    hidden = np.bincount(labels[ignored], minlength=area.size)
    kept = 2 * hidden < area
    kept[0] = False
    labels = np.where(kept, np.cumsum(kept), 0)[labels].astype(np.int32)
    labels[ignored] = 0
    rows, columns = np.nonzero(labels)
    size = np.bincount(labels[rows, columns])[1:]
    sums = [np.bincount(labels[rows, columns], weights=at)[1:] for at in (columns, rows)]
    return labels, np.stack(sums, axis=-1) / size[:, None]


def _pairwise_iou(
    predicted: NDArray[np.int32], annotated: NDArray[np.int32], rows: int, columns: int
) -> NDArray[np.float64]:
    pairs = predicted.ravel().astype(np.int64) * (columns + 1) + annotated.ravel()
    table = np.bincount(pairs, minlength=(rows + 1) * (columns + 1))
    table = table.reshape(rows + 1, columns + 1)
    overlap = table[1:, 1:]
    union = table[1:].sum(axis=1)[:, None] + table[:, 1:].sum(axis=0)[None] - overlap
    return np.asarray(overlap / np.maximum(union, 1))


def _matches(allowed: NDArray[np.bool_]) -> int:
    if allowed.size == 0:
        return 0
    chosen = linear_sum_assignment(allowed, maximize=True)
    return int(np.count_nonzero(allowed[chosen]))
