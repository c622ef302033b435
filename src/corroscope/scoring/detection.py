"""Precision and recall of particles over their scores."""

from typing import Final

import numpy as np
import pandas as pd

CRITERIA: Final = ("matched_iou_30", "matched_iou_50", "matched_3px")
"""Columns of `corroscope.tables.JUDGED_PARTICLES` that say who is right."""


def detection_curve(particles: pd.DataFrame, criterion: str) -> pd.DataFrame:
    """Precision and recall of the predicted particles with at least each score.

    Parameters
    ----------
    particles
        Joined tables of `corroscope.scoring.particles.judge_particles`, made with
        probabilities. The curve goes no further than the predictions do: make them at a low
        threshold.
    criterion
        One of `CRITERIA`.

    Returns
    -------
    pandas.DataFrame
        ``score``, falling and each once, ``precision`` and ``recall``. Recall is NaN where
        no particle is annotated.

    Raises
    ------
    ValueError
        If there is no such criterion, or predicted particles have no score.

    Notes
    -----
    Pairs are those of the matching of all particles, so that the curve ends at the precision
    and recall that `corroscope.scoring.scores.scores` gives. The COCO evaluation gives an
    annotated particle to the best-scored prediction first; the two differ only where several
    predictions lie on one particle, each with a sufficient overlap.

    Examples
    --------
    >>> table = pd.DataFrame({
    ...     "side": ["annotated", "annotated", "predicted", "predicted"],
    ...     "score": [np.nan, np.nan, 0.9, 0.6],
    ...     "matched_3px": [True, False, False, True],
    ... })
    >>> detection_curve(table, "matched_3px").values.tolist()
    [[0.9, 0.0, 0.0], [0.6, 0.5, 0.5]]
    """
    if criterion not in CRITERIA:
        raise ValueError(f"{criterion}: must be one of {', '.join(CRITERIA)}")
    predicted = particles[particles["side"] == "predicted"]
    if predicted["score"].isna().any():
        raise ValueError("predicted particles without a score: judge them with probabilities")
    annotated = int((particles["side"] == "annotated").sum())
    by_score = predicted.groupby("score")[criterion].agg(["sum", "size"])[::-1].cumsum()
    right = by_score["sum"].to_numpy(np.float64)
    return pd.DataFrame(
        {
            "score": by_score.index.to_numpy(np.float64),
            "precision": right / by_score["size"].to_numpy(np.float64),
            "recall": right / annotated if annotated else np.full(right.size, np.nan),
        }
    )


def detection_average_precision(
    particles: pd.DataFrame, criterion: str, *, points: int | None = 101
) -> float:
    """Mean over recall of the highest precision at that recall or more.

    Parameters
    ----------
    particles, criterion
        As for `detection_curve`.
    points
        At how many equally spaced recalls from 0 to 1 to look, 101 as COCO does; None
        integrates exactly, as PASCAL VOC does since 2010.

    Returns
    -------
    float
        0 to 1, higher is better; recalls that are not reached have a precision of 0. NaN
        where no particle is annotated.

    Raises
    ------
    ValueError
        As `detection_curve`.

    References
    ----------
    T.-Y. Lin et al., *Microsoft COCO*, ECCV 2014; M. Everingham et al., *The PASCAL visual
    object classes challenge: a retrospective*, International Journal of Computer Vision
    111, 2015, doi:10.1007/s11263-014-0733-5.

    Examples
    --------
    >>> table = pd.DataFrame({
    ...     "side": ["annotated", "annotated", "predicted", "predicted"],
    ...     "score": [np.nan, np.nan, 0.9, 0.6],
    ...     "matched_3px": [True, False, True, False],
    ... })
    >>> detection_average_precision(table, "matched_3px", points=None)
    0.5
    >>> round(detection_average_precision(table, "matched_3px"), 3)
    0.505
    """
    curve = detection_curve(particles, criterion)
    if not (particles["side"] == "annotated").any():
        return float("nan")
    recall = curve["recall"].to_numpy()
    best = np.maximum.accumulate(curve["precision"].to_numpy()[::-1])[::-1]
    if points is None:
        return float((np.diff(recall, prepend=0.0) * best).sum())
    reached = np.searchsorted(recall, np.linspace(0, 1, points))
    return float(np.append(best, 0.0)[reached].mean())
