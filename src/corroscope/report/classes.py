"""Recall and precision of particles by size, by contrast."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from corroscope.report.style import ANNOTATED, CEILING, PREDICTED

_SIDES = (
    ("recall", "annotated", "found", ANNOTATED, "//"),
    ("precision", "predicted", "right", PREDICTED, ""),
)


def draw_classes(
    table: pd.DataFrame, title: str, ceiling: Mapping[str, float] | None = None
) -> Figure:
    """Draw recall and precision of each class, with the numbers they come from.

    Parameters
    ----------
    table
        ``lower``, ``upper``, ``annotated``, ``found``, ``recall``, ``predicted``, ``right`` and
        ``precision`` of each class.
    title
        What the classes are of.
    ceiling
        ``recall`` and ``precision`` of the annotator against himself, over all classes.

    Returns
    -------
    Figure
        A panel for each of the two.

    Examples
    --------
    >>> table = pd.DataFrame({"lower": [0.0], "upper": [np.inf], "annotated": [4], "found": [3],
    ...     "recall": [0.75], "predicted": [0], "right": [0], "precision": [np.nan]})
    >>> [text.get_text() for text in draw_classes(table, "area").axes[1].texts]
    ['none']
    """
    figure = Figure(figsize=(9, 3), layout="constrained")
    labels = class_names(table)
    for axes, (name, whole, part, colour, hatch) in zip(figure.subplots(1, 2), _SIDES, strict=True):
        axes.bar(
            range(len(table)), table[name].fillna(0), color="white", edgecolor=colour, lw=1.6,
            hatch=hatch, width=0.7,
        )  # fmt: skip
        for k, row in enumerate(table.to_dict("records")):
            _write(axes, k, row[name], f"{row[part]}/{row[whole]}" if row[whole] else "none")
        level = (ceiling or {}).get(name, np.nan)
        if np.isfinite(level):
            axes.axhline(level, color=CEILING, ls=(0, (2, 2)), lw=1.6, label="ceiling, all classes")
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
        axes.set_xticks(range(len(table)), labels)
        axes.set(ylim=(0, 1.14), xlabel=title, ylabel=f"{name} of {whole} particles")
        axes.set_yticks(np.linspace(0, 1, 6))
    return figure


def class_names(table: pd.DataFrame) -> list[str]:
    """Names of classes.

    Parameters
    ----------
    table
        ``lower`` and ``upper`` bounds.

    Returns
    -------
    list of str
        Short: a class contains its lower bound, not its upper one.

    Examples
    --------
    >>> class_names(pd.DataFrame({"lower": [-np.inf, 0.1], "upper": [0.1, np.inf]}))
    ['< 0.1', '≥ 0.1']
    """
    names = []
    for low, high in zip(table["lower"], table["upper"], strict=True):
        if np.isinf(low) and np.isinf(high):
            names.append("all")
        elif np.isinf(high):
            names.append(f"≥ {low:.3g}")
        elif np.isinf(low):
            names.append(f"< {high:.3g}")
        else:
            names.append(f"{low:.3g}–{high:.3g}")
    return names


def _write(axes: Axes, place: int, value: float, text: str) -> None:
    height = value if np.isfinite(value) else 0.0
    axes.text(
        place, height + 0.02, text, ha="center", va="bottom", fontsize=8,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
    )  # fmt: skip
