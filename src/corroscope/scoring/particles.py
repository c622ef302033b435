"""A table of what became of each particle, annotated or predicted."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.scoring.matching import Matching, Particles, match
from corroscope.tables import JUDGED_PARTICLES


class _Side(NamedTuple):
    """One side of a matching, seen from there."""

    name: str
    here: Particles
    there: Particles
    mine: NDArray[np.intp]
    partner: NDArray[np.intp]
    iou: NDArray[np.float64]
    iou_50: NDArray[np.intp]
    centroids_3px: NDArray[np.intp]


def judge_particles(
    prediction: NDArray[np.bool_],
    annotation: NDArray[np.bool_],
    ignored: NDArray[np.bool_] | None = None,
    *,
    contrast: NDArray[np.floating] | None = None,
    probability: NDArray[np.floating] | None = None,
) -> pd.DataFrame:
    """Tell of each particle of a prediction and an annotation whether it has a partner.

    Parameters
    ----------
    prediction, annotation
        ``(height, width)``, true in particles.
    ignored
        ``(height, width)``, true where nothing counts, as in
        `corroscope.scoring.counts.count`; None where all does.
    contrast
        ``(height, width)``, relative contrast of the frame, negative where it is darker than
        its background. Without it, the column of this name is NaN.
    probability
        ``(height, width)``, 0 to 1. Without it, the column ``score`` is NaN.

    Returns
    -------
    pandas.DataFrame
        The columns of `JUDGED_PARTICLES`: first the annotated particles, then the
        predicted ones, each in the order of their first pixels by row, then column.

    Raises
    ------
    ValueError
        If the arrays differ in shape.

    Notes
    -----
    Tables of several images may be joined: what is made of them does not look at ``particle``
    and ``partner``, which are numbers within one image.

    Examples
    --------
    >>> annotation = np.zeros((9, 9), bool)
    >>> annotation[1:4, 1:4] = annotation[6:8, 6:8] = True
    >>> prediction = np.zeros((9, 9), bool)
    >>> prediction[1:4, 1:3] = True
    >>> table = judge_particles(prediction, annotation)
    >>> table[["side", "area_px", "partner", "matched_iou_50"]].values.tolist()
    [['annotated', 9, 1, True], ['annotated', 4, 0, False], ['predicted', 6, 1, True]]
    """
    for values in (contrast, probability):
        if values is not None and values.shape != prediction.shape:
            raise ValueError(f"values of shape {values.shape} for masks of {prediction.shape}")
    found = match(prediction, annotation, ignored)
    sides = _sides(found)
    orders = [_by_first_pixel(side.here.labels) for side in sides]
    table = pd.concat(
        [
            _rows(side, order, _ranks(other), contrast, probability)
            for side, order, other in zip(sides, orders, reversed(orders), strict=True)
        ],
        ignore_index=True,
    )
    return table.astype({column.name: column.dtype for column in JUDGED_PARTICLES})


def _sides(found: Matching) -> tuple[_Side, _Side]:
    pairs = found.iou_30
    return (
        _Side(
            "annotated", found.annotated, found.predicted,
            pairs.annotated, pairs.predicted, pairs.value,
            found.iou_50.annotated, found.centroids_3px.annotated,
        ),
        _Side(
            "predicted", found.predicted, found.annotated,
            pairs.predicted, pairs.annotated, pairs.value,
            found.iou_50.predicted, found.centroids_3px.predicted,
        ),
    )  # fmt: skip


def _by_first_pixel(labels: NDArray[np.int32]) -> NDArray[np.intp]:
    inside = labels[labels > 0]
    _, first = np.unique(inside, return_index=True)
    return np.argsort(first)


def _ranks(order: NDArray[np.intp]) -> NDArray[np.intp]:
    ranks = np.empty_like(order)
    ranks[order] = np.arange(order.size)
    return ranks


def _rows(
    side: _Side,
    order: NDArray[np.intp],
    ranks_there: NDArray[np.intp],
    contrast: NDArray[np.floating] | None,
    probability: NDArray[np.floating] | None,
) -> pd.DataFrame:
    number = side.here.area_px.size
    partner, partner_area = np.zeros(number, np.int64), np.full(number, np.nan)
    iou = np.full(number, np.nan)
    partner[side.mine] = ranks_there[side.partner] + 1
    partner_area[side.mine] = side.there.area_px[side.partner]
    iou[side.mine] = side.iou
    columns: dict[str, NDArray[np.generic]] = {
        "y_px": side.here.centroid_px[:, 0],
        "x_px": side.here.centroid_px[:, 1],
        "area_px": side.here.area_px,
        "contrast": -_means(side.here, contrast),
        "score": _means(side.here, probability),
        "partner": partner,
        "iou": iou,
        "partner_area_px": partner_area,
        "matched_iou_30": np.isin(np.arange(number), side.mine),
        "matched_iou_50": np.isin(np.arange(number), side.iou_50),
        "matched_3px": np.isin(np.arange(number), side.centroids_3px),
    }
    return pd.DataFrame(
        {"side": side.name, "particle": np.arange(1, number + 1)}
        | {name: values[order] for name, values in columns.items()}
    )


def _means(particles: Particles, values: NDArray[np.floating] | None) -> NDArray[np.float64]:
    """Mean over each particle; NaN without values."""
    if values is None:
        return np.full(particles.area_px.size, np.nan)
    inside = particles.labels > 0
    sums = np.bincount(
        particles.labels[inside] - 1, weights=values[inside], minlength=particles.area_px.size
    )
    return np.asarray(sums / particles.area_px)
