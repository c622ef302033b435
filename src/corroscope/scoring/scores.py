"""Scores from counts."""

from corroscope.scoring.counts import Counts


def scores(counts: Counts) -> dict[str, float]:
    """Dice, accuracy, precision and the like, pooled over what was counted.

    Parameters
    ----------
    counts
        Counts of one image or the sum over several.

    Returns
    -------
    dict of str to float
        Pixels: ``dice``, ``iou``, ``accuracy``, ``precision``, ``recall``,
        ``specificity``. Particles: ``particle_f1_iou30``, ``particle_f1_iou50`` and
        ``particle_f1_3px``, with ``particle_precision`` and ``particle_recall`` at IoU
        0.3; ``count_bias`` is predicted over annotated particles, minus 1. What would
        be 0/0 is NaN.

    Notes
    -----
    Accuracy and specificity say little where particles are rare: with 0.6 % of them,
    calling all pixels background has an accuracy of 99.4 % and a specificity of 1.

    Examples
    --------
    >>> result = scores(Counts(true_positive=8, false_positive=2, false_negative=2))
    >>> round(result["dice"], 3), round(result["count_bias"], 3)
    (0.8, nan)
    """
    c = counts
    tp, fp, fn, tn = c.true_positive, c.false_positive, c.false_negative, c.true_negative
    particles = c.predicted + c.annotated
    return {
        "dice": _ratio(2 * tp, 2 * tp + fp + fn),
        "iou": _ratio(tp, tp + fp + fn),
        "accuracy": _ratio(tp + tn, tp + fp + fn + tn),
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "particle_f1_iou30": _ratio(2 * c.matched_iou_30, particles),
        "particle_f1_iou50": _ratio(2 * c.matched_iou_50, particles),
        "particle_f1_3px": _ratio(2 * c.matched_3px, particles),
        "particle_precision": _ratio(c.matched_iou_30, c.predicted),
        "particle_recall": _ratio(c.matched_iou_30, c.annotated),
        "count_bias": _ratio(c.predicted - c.annotated, c.annotated),
    }


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
