"""Scores from counts: each is one weighted sum of counts over another."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np

from corroscope.scoring.counts import Counts


class Ratio(NamedTuple):
    """How a score comes from counts: ``part / whole + offset``.

    Both are weighted sums of fields of `corroscope.scoring.counts.Counts`, so that a score of
    many sets of images, as in a bootstrap, is two matrix products and a division.

    Attributes
    ----------
    part, whole
        Weights by name of the field; other fields have none.
    offset
        What is added to the quotient.
    """

    part: dict[str, float]
    whole: dict[str, float]
    offset: float = 0.0


class Score(NamedTuple):
    """One score: what it is made of and how to read it. None has a unit.

    Attributes
    ----------
    ratio
        How it comes from counts.
    meaning
        What it says, in a few words.
    better
        Which way is better.
    lowest, highest
        Bounds of its values.
    """

    ratio: Ratio
    meaning: str
    better: Literal["higher", "lower", "nearer to 0"] = "higher"
    lowest: float = 0.0
    highest: float = 1.0


class Spread(NamedTuple):
    """One score of several images, each on its own.

    Attributes
    ----------
    mean, median
        Over the images where it is defined; NaN where it is so in none.
    defined, undefined
        Number of images where it has a value, and where it is 0/0.
    """

    mean: float
    median: float
    defined: int
    undefined: int


_PREDICTED_PX: Final = {"true_positive": 1.0, "false_positive": 1.0}
_ANNOTATED_PX: Final = {"true_positive": 1.0, "false_negative": 1.0}
_BOTH_PX: Final = {"true_positive": 2.0, "false_positive": 1.0, "false_negative": 1.0}
_ALL_PX: Final = {
    "true_positive": 1.0, "false_positive": 1.0, "false_negative": 1.0, "true_negative": 1.0,
}  # fmt: skip
_PREDICTED: Final = {"predicted": 1.0}
_ANNOTATED: Final = {"annotated": 1.0}
_BOTH: Final = {"predicted": 1.0, "annotated": 1.0}
_INFINITE: Final = float("inf")

SCORES: Final[dict[str, Score]] = {
    "dice": Score(Ratio({"true_positive": 2.0}, _BOTH_PX), "Dice of pixels"),
    "dice_1px": Score(
        Ratio({"near_annotated": 1.0, "near_predicted": 1.0}, _BOTH_PX),
        "Dice of pixels, outlines 1 px off forgiven",
    ),
    "iou": Score(
        Ratio(
            {"true_positive": 1.0},
            {"true_positive": 1.0, "false_positive": 1.0, "false_negative": 1.0},
        ),
        "intersection over union of pixels",
    ),
    "accuracy": Score(
        Ratio({"true_positive": 1.0, "true_negative": 1.0}, _ALL_PX),
        "share of all pixels that are right (high even when nothing is found)",
    ),
    "precision": Score(
        Ratio({"true_positive": 1.0}, _PREDICTED_PX), "share of predicted pixels that are annotated"
    ),
    "recall": Score(
        Ratio({"true_positive": 1.0}, _ANNOTATED_PX), "share of annotated pixels that are predicted"
    ),
    "specificity": Score(
        Ratio({"true_negative": 1.0}, {"true_negative": 1.0, "false_positive": 1.0}),
        "share of background pixels that are left alone (high even when nothing is found)",
    ),
    "particle_f1_iou30": Score(
        Ratio({"matched_iou_30": 2.0}, _BOTH), "F1 of particles, matched at IoU ≥ 0.3"
    ),
    "particle_f1_iou50": Score(
        Ratio({"matched_iou_50": 2.0}, _BOTH), "F1 of particles, matched at IoU ≥ 0.5"
    ),
    "particle_f1_3px": Score(
        Ratio({"matched_3px": 2.0}, _BOTH), "F1 of particles, matched at centroids ≤ 3 px apart"
    ),
    "particle_precision": Score(
        Ratio({"matched_iou_30": 1.0}, _PREDICTED),
        "share of predicted particles that are matched at IoU ≥ 0.3",
    ),
    "particle_precision_iou50": Score(
        Ratio({"matched_iou_50": 1.0}, _PREDICTED),
        "share of predicted particles that are matched at IoU ≥ 0.5",
    ),
    "particle_precision_3px": Score(
        Ratio({"matched_3px": 1.0}, _PREDICTED),
        "share of predicted particles that are matched at centroids ≤ 3 px apart",
    ),
    "particle_recall": Score(
        Ratio({"matched_iou_30": 1.0}, _ANNOTATED),
        "share of annotated particles that are matched at IoU ≥ 0.3",
    ),
    "particle_recall_iou50": Score(
        Ratio({"matched_iou_50": 1.0}, _ANNOTATED),
        "share of annotated particles that are matched at IoU ≥ 0.5",
    ),
    "particle_recall_3px": Score(
        Ratio({"matched_3px": 1.0}, _ANNOTATED),
        "share of annotated particles that are matched at centroids ≤ 3 px apart",
    ),
    "particle_sq_iou30": Score(
        Ratio({"iou_sum_30": 1.0}, {"matched_iou_30": 1.0}),
        "segmentation quality: mean IoU of the pairs at IoU ≥ 0.3",
        lowest=0.3,
    ),
    "particle_sq_iou50": Score(
        Ratio({"iou_sum_50": 1.0}, {"matched_iou_50": 1.0}),
        "segmentation quality: mean IoU of the pairs at IoU ≥ 0.5",
        lowest=0.5,
    ),
    "particle_pq_iou30": Score(
        Ratio({"iou_sum_30": 2.0}, _BOTH),
        "panoptic quality at IoU ≥ 0.3, of the most pairs and among these of the largest sum "
        "of IoU",
    ),
    "particle_pq_iou50": Score(Ratio({"iou_sum_50": 2.0}, _BOTH), "panoptic quality at IoU ≥ 0.5"),
    "count_bias": Score(
        Ratio(_PREDICTED, _ANNOTATED, -1.0),
        "predicted over annotated particles, minus 1",
        "nearer to 0",
        -1.0,
        _INFINITE,
    ),
    "area_bias": Score(
        Ratio({"matched_predicted_px": 1.0}, {"matched_annotated_px": 1.0}, -1.0),
        "predicted over annotated area of the pairs at IoU ≥ 0.3, minus 1",
        "nearer to 0",
        -0.7,
        1 / 0.3 - 1,
    ),
    "coverage_bias": Score(
        Ratio(_PREDICTED_PX, _ANNOTATED_PX, -1.0),
        "predicted over annotated area of everything, minus 1",
        "nearer to 0",
        -1.0,
        _INFINITE,
    ),
    "false_positives_per_empty_image": Score(
        Ratio({"false_on_empty": 1.0}, {"empty_images": 1.0}),
        "predicted particles on an image without annotated ones",
        "lower",
        0.0,
        _INFINITE,
    ),
}
"""Every score that comes from counts, by name, in the order of reports."""

RATIOS: Final[dict[str, Ratio]] = {name: score.ratio for name, score in SCORES.items()}
"""How each score comes from counts, in the order of `scores`."""

MEANING: Final[dict[str, str]] = {name: score.meaning for name, score in SCORES.items()}
"""What each score says, in a few words."""


def scores(counts: Counts) -> dict[str, float]:
    """Dice, accuracy, precision and the like, pooled over what was counted.

    Parameters
    ----------
    counts
        Counts of one image or the sum over several.

    Returns
    -------
    dict of str to float
        The scores of `SCORES`, which says what each is. What would be 0/0 is NaN.

    Notes
    -----
    Accuracy and specificity say little where particles are rare: with 0.6 % of them,
    calling all pixels background has an accuracy of 99.4 % and a specificity of 1.

    Panoptic quality is defined for an IoU above 0.5, where a particle has one partner at most.
    Below, pairs have to be chosen; here they are those of the largest number of pairs and,
    among such choices, of the largest sum of IoU. It is the product of ``particle_f1`` and
    ``particle_sq`` at the same IoU.

    References
    ----------
    A. Kirillov et al., *Panoptic segmentation*, CVPR 2019, doi:10.1109/CVPR.2019.00963.

    Examples
    --------
    >>> result = scores(Counts(true_positive=8, false_positive=2, false_negative=2))
    >>> round(result["dice"], 3), round(result["count_bias"], 3)
    (0.8, nan)
    """
    values = vars(counts)
    return {name: _value(ratio, values) for name, ratio in RATIOS.items()}


def score(counts: Counts, name: str) -> float:
    """One of the scores of `scores`, without the others.

    Parameters
    ----------
    counts
        Counts of one image or the sum over several.
    name
        One of `SCORES`.

    Returns
    -------
    float
        The score; NaN for 0/0.

    Raises
    ------
    KeyError
        If there is no such score.

    Examples
    --------
    >>> score(Counts(true_positive=8, false_positive=2, false_negative=2), "dice")
    0.8
    """
    return _value(RATIOS[name], vars(counts))


def per_image(counts: Sequence[Counts]) -> dict[str, Spread]:
    """Scores of each image on its own, and in how many they are undefined.

    An image weighs the same here whether it shows one particle or a hundred, and one
    where a score is 0/0 has no say in it: compare with the pooled scores.

    Parameters
    ----------
    counts
        Counts of each image.

    Returns
    -------
    dict of str to Spread
        By name of the score.

    Examples
    --------
    >>> spread = per_image([Counts(true_positive=1), Counts(1, 1), Counts()])["precision"]
    >>> spread.mean, spread.defined, spread.undefined
    (0.75, 2, 1)
    """
    table = [scores(one) for one in counts]
    spreads = {}
    for name in RATIOS:
        values = np.array([row[name] for row in table], np.float64)
        known = values[~np.isnan(values)]
        mean, median = (known.mean(), np.median(known)) if known.size else (np.nan, np.nan)
        spreads[name] = Spread(float(mean), float(median), known.size, values.size - known.size)
    return spreads


def _value(ratio: Ratio, values: dict[str, float]) -> float:
    whole = sum(weight * values[name] for name, weight in ratio.whole.items())
    if not whole:
        return float("nan")
    return sum(weight * values[name] for name, weight in ratio.part.items()) / whole + ratio.offset
