"""Recall and precision of particles of one kind at a time: by size, by contrast."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.scoring.detection import CRITERIA

AREA_EDGES_PX: Final = (0.0, 10.0, 20.0, 30.0, 50.0, 100.0, float("inf"))
"""Bounds of the classes of size, in px²."""


def stratify(
    particles: pd.DataFrame, column: str, edges: Sequence[float], criterion: str
) -> pd.DataFrame:
    """Recall and precision of particles in classes of one of their properties.

    Recall is that of the annotated particles whose own value is in the class, precision that of
    the predicted ones. The two particles of a pair may be of different classes, which is
    why there is no F1 of a class.

    Parameters
    ----------
    particles
        Joined tables of `corroscope.scoring.particles.judge_particles`.
    column
        The property, such as ``area_px`` or ``contrast``.
    edges
        Rising bounds of the classes, each of which contains its lower one.
    criterion
        One of `corroscope.scoring.detection.CRITERIA`.

    Returns
    -------
    pandas.DataFrame
        For each class ``lower`` and ``upper`` bound, the number of ``annotated`` particles,
        of those ``found``, ``recall``, the number of ``predicted`` particles, of those
        ``right``, and ``precision``. What would be 0/0 is NaN.

    Raises
    ------
    ValueError
        If there is no such criterion, the edges do not rise, or a particle is in no class
        (its value is unknown or beyond the edges).

    Examples
    --------
    >>> table = pd.DataFrame({
    ...     "side": ["annotated", "annotated", "predicted"],
    ...     "area_px": [8, 25, 22],
    ...     "matched_iou_30": [False, True, True],
    ... })
    >>> by_size = stratify(table, "area_px", (0, 20, np.inf), "matched_iou_30")
    >>> by_size[["annotated", "recall", "predicted", "precision"]].values.tolist()
    [[1.0, 0.0, 0.0, nan], [1.0, 1.0, 1.0, 1.0]]
    """
    if criterion not in CRITERIA:
        raise ValueError(f"{criterion}: must be one of {', '.join(CRITERIA)}")
    bounds = np.asarray(edges, np.float64)
    if bounds.size < 2 or not np.all(np.diff(bounds) > 0):
        raise ValueError(f"edges {list(edges)}: must rise, and be two or more")
    values = particles[column].to_numpy(np.float64)
    if not np.all((values >= bounds[0]) & (values < bounds[-1])):
        raise ValueError(f"{column}: some values are unknown or not in {bounds[0]} to {bounds[-1]}")
    of_class = np.searchsorted(bounds, values, side="right") - 1
    matched = particles[criterion].to_numpy(bool)
    annotated = (particles["side"] == "annotated").to_numpy(bool)

    def number(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(of_class[chosen], minlength=bounds.size - 1)

    table = pd.DataFrame({"lower": bounds[:-1], "upper": bounds[1:]})
    table["annotated"], table["found"] = number(annotated), number(annotated & matched)
    table["recall"] = table["found"] / table["annotated"]
    table["predicted"], table["right"] = number(~annotated), number(~annotated & matched)
    table["precision"] = table["right"] / table["predicted"]
    return table


def quantile_edges(particles: pd.DataFrame, column: str, classes: int) -> tuple[float, ...]:
    """Edges between which about equally many annotated particles lie.

    Parameters
    ----------
    particles
        As for `stratify`.
    column
        The property.
    classes
        Into how many classes to cut, at most: equal values stay together.

    Returns
    -------
    tuple of float
        From minus to plus infinity, so that no predicted particle is beyond them.

    Examples
    --------
    >>> table = pd.DataFrame({"side": ["annotated"] * 4, "contrast": [0.1, 0.2, 0.3, 0.4]})
    >>> quantile_edges(table, "contrast", 2)
    (-inf, 0.25, inf)
    """
    values = particles.loc[particles["side"] == "annotated", column].to_numpy(np.float64)
    inner = np.quantile(values, np.arange(1, classes) / classes) if values.size else []
    return (-np.inf, *np.unique(inner).tolist(), np.inf)
