"""One point for each image."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from corroscope.report.style import CEILING, PREDICTED, QUIET, look

_MOST_VECTORS = 3000
"""Points beyond which they become pixels: the page would grow with them."""

SHOWN = {"dice": "Dice of pixels", "particle_f1_iou30": "F1 of particles"}
"""Scores that are shown for each image."""


def draw_images(table: pd.DataFrame, ceiling: Mapping[str, float]) -> Figure:
    """Draw numbers of particles against each other, and scores in order.

    Parameters
    ----------
    table
        For each image numbers ``annotated`` and ``predicted``, and the scores of `SHOWN`, NaN
        where they are undefined.
    ceiling
        Scores of the annotator against himself, if known.

    Returns
    -------
    Figure
        Left one disc for each pair of numbers, larger for more images; right each score from
        its worst image to its best.

    Examples
    --------
    >>> table = pd.DataFrame({"annotated": [3, 0], "predicted": [4, 0],
    ...                       "dice": [0.7, np.nan], "particle_f1_iou30": [0.8, np.nan]})
    >>> len(draw_images(table, {"dice": 0.9}).axes)
    2
    """
    figure = Figure(figsize=(9, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    _draw_numbers(left, table)
    _draw_ranks(right, table, ceiling)
    return figure


def draw_pairs(first: pd.Series, second: pd.Series, names: tuple[str, str], title: str) -> Figure:
    """Draw a score of each image by two models.

    Parameters
    ----------
    first, second
        The score in the same images, NaN where it is undefined.
    names
        Of the two models.
    title
        Of the score.

    Returns
    -------
    Figure
        Above the diagonal the second is better.

    Examples
    --------
    >>> figure = draw_pairs(pd.Series([0.7]), pd.Series([0.8]), ("a", "b"), "Dice")
    >>> figure.axes[0].get_xlabel()
    'Dice, a'
    """
    figure = Figure(figsize=(4.5, 4.3), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=QUIET, ls="--", lw=1)
    axes.plot(
        first, second, ls="none", marker="o", ms=5, color=PREDICTED, alpha=0.5,
        rasterized=len(first) > _MOST_VECTORS,
    )  # fmt: skip
    axes.set(
        xlim=(-0.02, 1.02), ylim=(-0.02, 1.02),
        xlabel=f"{title}, {names[0]}", ylabel=f"{title}, {names[1]}",
    )  # fmt: skip
    axes.set_aspect("equal")
    axes.grid(color="#dddddd", lw=0.8)
    return figure


def _draw_numbers(axes: Axes, table: pd.DataFrame) -> None:
    same = table.groupby(["annotated", "predicted"]).size().reset_index(name="images")
    most = max([1, *table["annotated"], *table["predicted"]])
    axes.plot([0, most], [0, most], color=QUIET, ls="--", lw=1, label="as many")
    axes.scatter(
        same["annotated"], same["predicted"], 22 * np.sqrt(same["images"]), color=PREDICTED,
        alpha=0.55, lw=0, label="images", rasterized=len(same) > _MOST_VECTORS,
    )  # fmt: skip
    margin = 0.04 * most
    axes.set(
        xlim=(-margin, most + margin), ylim=(-margin, most + margin),
        xlabel="particles annotated in the image", ylabel="particles predicted",
    )  # fmt: skip
    axes.set_aspect("equal")
    axes.grid(color="#dddddd", lw=0.8)
    axes.legend(loc="upper left")


def _draw_ranks(axes: Axes, table: pd.DataFrame, ceiling: Mapping[str, float]) -> None:
    for k, (name, title) in enumerate(SHOWN.items()):
        values = np.sort(table[name].dropna().to_numpy(np.float64))
        style = look(k)
        axes.plot(
            np.arange(1, values.size + 1), values, color=style.colour, ls=style.line, lw=1.4,
            marker=style.marker if values.size < 100 else None, ms=3.5,
            label=f"{title}, {values.size} of {len(table)} images",
        )  # fmt: skip
        level = ceiling.get(name, np.nan)
        if np.isfinite(level):
            axes.axhline(
                level, color=CEILING, ls=(style.line if k else (0, (2, 2))), lw=1.4,
                label=f"ceiling, {title} {level:.3f}",
            )  # fmt: skip
    axes.set(ylim=(0, 1.02), xlabel="images, from the worst to the best", ylabel="score")
    axes.set_xlim(0.5, max(len(table), 1) + 0.5)
    axes.grid(color="#dddddd", lw=0.8)
    axes.legend(loc="lower right")
