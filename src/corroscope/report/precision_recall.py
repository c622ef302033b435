"""Curves of precision over recall, with what the annotator himself reaches."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from corroscope.report.style import BLACK, CEILING, QUIET, look

Point = tuple[float, float]
"""Recall and precision."""


def draw_precision_recall(
    panels: Mapping[str, tuple[Mapping[str, pd.DataFrame], Point | None, Point | None]],
) -> Figure:
    """Draw curves of precision over recall, a panel for each kind of object.

    Parameters
    ----------
    panels
        By title: curves by label, with columns ``recall`` and ``precision``; the point at which
        the network is used; and the annotator's agreement with himself. Points are None, or
        NaN, where they are unknown.

    Returns
    -------
    Figure
        The line through the annotator's point joins points of the same F1 (Dice).

    Examples
    --------
    >>> curve = pd.DataFrame({"recall": [1.0, 0.5], "precision": [0.5, 1.0]})
    >>> figure = draw_precision_recall({"pixels": ({"AP 0.75": curve}, (0.8, 0.7), None)})
    >>> len(figure.axes)
    1
    """
    figure = Figure(figsize=(9, 4.3), layout="constrained")
    row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, (curves, point, ceiling)) in zip(row, panels.items(), strict=True):
        for k, (label, curve) in enumerate(curves.items()):
            style = look(k)
            # Far apart, so that few curves with few points can be told apart too.
            axes.plot(
                curve["recall"], curve["precision"], ls=style.line, color=style.colour,
                marker=style.marker if len(curve) < 3 else None, lw=1.6, label=label,
            )  # fmt: skip
        if point is not None and _known(point):
            axes.plot(
                *point, ls="none", marker="*", ms=13, color=BLACK, mec="white",
                label="where it is used",
            )  # fmt: skip
        if ceiling is not None and _known(ceiling):
            _draw_ceiling(axes, ceiling)
        if not axes.lines or all(not np.isfinite(line.get_xdata()).any() for line in axes.lines):
            axes.text(0.5, 0.5, "nothing annotated, or nothing predicted", ha="center", color=QUIET)
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="recall", ylabel="precision", title=title)
        axes.set_aspect("equal")
        axes.grid(color="#dddddd", lw=0.8)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower left")
    return figure


def _known(point: Point) -> bool:
    return bool(np.isfinite(point).all())


def _draw_ceiling(axes: Axes, ceiling: Point) -> None:
    recall, precision = ceiling
    axes.plot(
        recall, precision, ls="none", marker="D", ms=8, color=CEILING, mfc="white", mew=1.6,
        label="ceiling: annotator against himself",
    )  # fmt: skip
    if recall + precision > 0:
        f1 = 2 * recall * precision / (recall + precision)
        along = np.linspace(f1 / (2 - f1) + 1e-9, 1, 200)
        axes.plot(
            along, f1 * along / (2 * along - f1), color=CEILING, ls=(0, (2, 2)), lw=1.2,
            label=f"same F1 as the ceiling, {f1:.3f}",
        )  # fmt: skip
