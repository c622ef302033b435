"""Scores as dots with their intervals, one line for each."""

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from corroscope.report.style import CEILING, QUIET, look, shortened

_LINE_IN = 0.34
_LABEL_CHARACTERS = 44


class Dot(NamedTuple):
    """One value with its interval; what is unknown is NaN.

    Attributes
    ----------
    value, low, high
        The value and its bounds.
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")


class Line(NamedTuple):
    """One line of a chart.

    Attributes
    ----------
    label
        What it shows.
    dots
        One for each series.
    ceiling
        How well the annotator agrees with himself by this score, if it is known.
    """

    label: str
    dots: Sequence[Dot]
    ceiling: Dot = Dot(float("nan"))


def draw_dots(
    lines: Sequence[Line],
    series: Sequence[str] = ("",),
    *,
    between: tuple[float, float] | None = None,
    zero: bool = False,
    title: str = "",
) -> Figure:
    """Draw a chart of dots with intervals.

    Parameters
    ----------
    lines
        From top to bottom.
    series
        Names of the series; with more than one there is a legend.
    between
        Ends of the axis; None takes what the values need.
    zero
        Whether a line marks 0, for differences and biases.
    title
        What the axis shows.

    Returns
    -------
    Figure
        The chart.

    Examples
    --------
    >>> figure = draw_dots([Line("Dice", [Dot(0.7, 0.6, 0.8)], Dot(0.85, 0.8, 0.9))])
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['Dice']
    """
    names = [shortened(name) for name in series]
    with_ceiling = any(np.isfinite(line.ceiling.value) for line in lines)
    entries = (len(names) if len(names) > 1 else 0) + with_ceiling
    # Each series needs room of its own.
    step = max(1.0, 0.55 * len(names))
    height = _LINE_IN * step * max(len(lines), 1) + 0.75 + 0.2 * -(-entries // 3)
    figure = Figure(figsize=(9, height), layout="constrained")
    axes = figure.subplots()
    handles = []
    for k, name in enumerate(names):
        style = look(k)
        dots = [line.dots[k] for line in lines]
        rows = np.arange(len(lines)) + 0.6 * (k - (len(names) - 1) / 2) / max(len(names), 1)
        handles.append(_draw(axes, rows, dots, style.colour, style.marker, name, filled=True))
    if with_ceiling:
        rows = np.arange(len(lines)) + 0.38
        ceilings = [line.ceiling for line in lines]
        label = "ceiling: the annotator against himself"
        handles.append(_draw(axes, rows, ceilings, CEILING, "D", label, filled=False))
    if zero:
        axes.axvline(0, color=QUIET, lw=1)
    axes.set_yticks(
        range(len(lines)), [textwrap.fill(line.label, _LABEL_CHARACTERS) for line in lines]
    )
    axes.set_ylim(len(lines) - 0.4, -0.6)
    if between is not None:
        axes.set_xlim(*between)
    elif not any(np.isfinite(dot.value) for line in lines for dot in (*line.dots, line.ceiling)):
        axes.set_xlim(-1, 1)
    axes.set_xlabel(title)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#dddddd", lw=0.8)
    axes.spines["left"].set_visible(False)
    shown = handles if len(names) > 1 else handles[1:]
    if shown:
        figure.legend(handles=shown, loc="outside upper left", ncols=3 if len(shown) > 2 else 2)
    return figure


def _draw(
    axes: Axes,
    rows: NDArray[np.floating[Any]],
    dots: Sequence[Dot],
    colour: str,
    marker: str,
    label: str,
    *,
    filled: bool,
) -> object:
    values = np.array(dots, np.float64).reshape(-1, 3)
    axes.hlines(
        rows, values[:, 1], values[:, 2], colors=colour, lw=2.2 if filled else 1.2,
        linestyles="-" if filled else "--",
    )  # fmt: skip
    (handle,) = axes.plot(
        values[:, 0], rows, ls="none", marker=marker, ms=6, color=colour,
        mfc=colour if filled else "white", label=label, clip_on=False,
    )  # fmt: skip
    return handle
