"""What is counted on one image, so that any score of any set of images is a sum away."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from corroscope.scoring.matching import match


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
    iou_sum_30, iou_sum_50
        Sum of the intersection over union of these pairs.
    matched_predicted_px, matched_annotated_px
        Area of the particles of the pairs at 0.3, in the prediction and in the annotation.
    near_annotated, near_predicted
        Predicted pixels that are annotated or touch one that is, be it at a corner; and
        annotated pixels that are predicted or touch one that is.
    images
        Images.
    empty_images
        Images without an annotated particle, of which some pixel is not ignored.
    false_on_empty
        Predicted particles on them.
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
    iou_sum_30: float = 0.0
    iou_sum_50: float = 0.0
    matched_predicted_px: int = 0
    matched_annotated_px: int = 0
    near_annotated: int = 0
    near_predicted: int = 0
    images: int = 0
    empty_images: int = 0
    false_on_empty: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        # Operating points are chosen by thousands of sums, so without going by names.
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Counts(*(one + another for one, another in pairs))


def count(
    prediction: NDArray[np.bool_],
    annotation: NDArray[np.bool_],
    ignored: NDArray[np.bool_] | None = None,
) -> Counts:
    """Compare a predicted mask with an annotated one.

    Particles are connected pixels, those that touch at a corner included. They are
    matched one to one so that as many pairs as possible fulfil the criterion, as in
    `corroscope.scoring.matching.match`.

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
        The counts of this image, with `Counts.images` 1.

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
    found = match(prediction, annotation, ignored)
    if ignored is not None:
        prediction, annotation = prediction & ~ignored, annotation & ~ignored
    hit = int(np.count_nonzero(prediction & annotation))
    predicted_px, annotated_px = int(prediction.sum()), int(annotation.sum())
    counted_px = annotation.size - (0 if ignored is None else int(ignored.sum()))
    predicted, annotated = found.predicted.area_px, found.annotated.area_px
    # Where all is ignored, nothing could have been found.
    empty = counted_px > 0 and annotated.size == 0
    return Counts(
        true_positive=hit,
        false_positive=predicted_px - hit,
        false_negative=annotated_px - hit,
        true_negative=counted_px - predicted_px - annotated_px + hit,
        predicted=predicted.size,
        annotated=annotated.size,
        matched_iou_30=found.iou_30.value.size,
        matched_iou_50=found.iou_50.value.size,
        matched_3px=found.centroids_3px.value.size,
        iou_sum_30=float(found.iou_30.value.sum()),
        iou_sum_50=float(found.iou_50.value.sum()),
        matched_predicted_px=int(predicted[found.iou_30.predicted].sum()),
        matched_annotated_px=int(annotated[found.iou_30.annotated].sum()),
        near_annotated=int((prediction & _widened(annotation)).sum()),
        near_predicted=int((annotation & _widened(prediction)).sum()),
        images=1,
        empty_images=int(empty),
        false_on_empty=predicted.size if empty else 0,
    )


def _widened(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """By 1 px, over corners too."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
