"""Figures of a run: a part of its page each, and two files beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, SupportsFloat

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator
from numpy.typing import NDArray

from corroscope.outputs import replacing
from corroscope.report.page import NOTHING, svg
from corroscope.report.style import logarithmic

FOLDER: Final = "figures"
"""Holds the files of the figures, beside the page."""

GRID: Final = "#dddddd"


class Drawing(NamedTuple):
    """A figure with all that belongs to it.

    Attributes
    ----------
    name
        Of its files, another one for each of a page.
    figure
        What is seen.
    said
        Its caption, with its main numbers.
    numbers
        What is drawn, units in the names of the columns.
    """

    name: str
    figure: Figure
    said: str
    numbers: pd.DataFrame


def keep(drawing: Drawing, folder: Path) -> Markup:
    """Write the two files of a figure, and make it a part of a page.

    Parameters
    ----------
    drawing
        The figure; inside `corroscope.report.style.report_style`.
    folder
        Of the page.

    Returns
    -------
    Markup
        A ``figure`` element that names the files.

    Raises
    ------
    OutputError
        If a file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> one = Drawing("one", Figure(figsize=(1, 1)), "Nothing.", pd.DataFrame({"a_px": [1]}))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, FOLDER).mkdir()
    ...     shown = keep(one, Path(folder))
    ...     sorted(path.name for path in Path(folder, FOLDER).iterdir())
    ['one.csv', 'one.svg']
    """
    shown = svg(drawing.figure, drawing.name, drawing.said)
    stem = folder / FOLDER / drawing.name
    with replacing(stem.with_suffix(".svg")) as temporary:
        unsaid = {"Date": None, "Creator": None}
        drawing.figure.savefig(temporary, format="svg", metadata=unsaid)
    with replacing(stem.with_suffix(".csv")) as temporary:
        drawing.numbers.to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")
    links = Markup(", ").join(
        Markup('<a href="{0}">{0}</a>').format(f"{FOLDER}/{drawing.name}{ending}")
        for ending in (".csv", ".svg")
    )
    end = Markup("</figure>")
    files = Markup('<p class="notes files">Numbers and drawing: {}</p>').format(links)
    return Markup(shown.removesuffix(end)) + files + end


def linked(path: str, words: str) -> Markup:
    """Point to a file beside the page.

    Parameters
    ----------
    path
        From the page's folder.
    words
        What stands before its name.

    Returns
    -------
    Markup
        A paragraph.

    Examples
    --------
    >>> linked("pits.csv", "All:")
    Markup('<p class="notes">All: <a href="pits.csv">pits.csv</a></p>')
    """
    return Markup('<p class="notes">{0} <a href="{1}">{1}</a></p>').format(words, path)


def number(value: SupportsFloat | None) -> str:
    """Write a number with three significant digits.

    Parameters
    ----------
    value
        NaN and None are undefined.

    Returns
    -------
    str
        Without an exponent where that can be read.

    Examples
    --------
    >>> number(0.012345), number(1234.5), number(-2.0), number(float("nan")), number(12)
    ('0.0123', '1,234', '−2', '–', '12')
    """
    known = np.nan if value is None else float(value)
    if not np.isfinite(known):
        return NOTHING
    whole = abs(known) >= 100 or known.is_integer()
    text = f"{known:,.0f}" if whole else f"{known:#.3g}".rstrip(".")
    return text.replace("-", "−")


def interval(low: SupportsFloat | None, high: SupportsFloat | None) -> str:
    """Write an interval.

    Parameters
    ----------
    low, high
        Its ends.

    Returns
    -------
    str
        `NOTHING` where an end is unknown.

    Examples
    --------
    >>> interval(1.0, 2.5), interval(1.0, None)
    ('1 to 2.50', '–')
    """
    ends = (number(low), number(high))
    return NOTHING if NOTHING in ends else " to ".join(ends)


def of(count: int, one: str, more: str = "") -> str:
    """Write a number of things.

    Parameters
    ----------
    count
        How many.
    one, more
        What one is called, and several; with an s by default.

    Returns
    -------
    str
        Both.

    Examples
    --------
    >>> of(1, "pit"), of(1200, "pit")
    ('1 pit', '1,200 pits')
    """
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def with_grid(axes: Axes) -> None:
    """Give axes a quiet grid behind what is drawn."""
    axes.grid(color=GRID, lw=0.8)


def log_scale(axes: Axes, axis: str) -> None:
    """Give an axis a logarithmic scale that has numbers even over less than a decade.

    Parameters
    ----------
    axes
        In which all is drawn.
    axis
        ``x`` or ``y``.
    """
    logarithmic(axes, axis)
    low, high = axes.get_xlim() if axis == "x" else axes.get_ylim()
    decades = np.log10(high / low)
    line = axes.xaxis if axis == "x" else axes.yaxis
    if decades < 3:
        line.set_major_locator(LogLocator(subs=(1, 2, 5) if decades > 0.7 else range(1, 10)))
    line.set_major_formatter(FuncFormatter(lambda value, _: power(value)))


def power(value: float) -> str:
    """Write a tick of a logarithmic axis.

    Parameters
    ----------
    value
        Above 0.

    Returns
    -------
    str
        With a power of ten where there would be many zeros.

    Examples
    --------
    >>> power(0.002), power(5e-05), power(100000.0)
    ('0.002', '5·10⁻⁵', '10⁵')
    """
    if 0.99e-3 < value < 0.99e5:
        return f"{value:g}"
    exponent = int(np.floor(np.log10(value) + 1e-9))
    lead = f"{value / 10**exponent:.3g}"
    raised = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{raised}" if lead == "1" else f"{lead}·10{raised}"


def count_scale(axes: Axes) -> None:
    """Give the vertical axis whole numbers, from 0."""
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))


def thinned(
    x: NDArray[np.float64], y: NDArray[np.float64], most: int = 1500
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Leave out what a line of this width cannot show: in each piece, all but the extremes.

    Parameters
    ----------
    x, y
        ``(points,)``.
    most
        Pieces; twice as many points are left.

    Returns
    -------
    x, y : ndarray of float64
        The least and the greatest of each piece, in order; all points if they are few.

    Examples
    --------
    >>> x = np.arange(8.0)
    >>> thinned(x, np.array([0, 1, 5, 1, 0, 0, -3, 0.0]), 2)[1].tolist()
    [0.0, 5.0, 0.0, -3.0]
    """
    if x.size <= 2 * most:
        return x, y
    pieces = np.array_split(np.arange(x.size), most)
    kept = []
    for piece in pieces:
        values = y[piece]
        if np.isfinite(values).any():
            kept += sorted({int(piece[np.nanargmin(values)]), int(piece[np.nanargmax(values)])})
    return x[kept], y[kept]


def columns(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put tables of different columns under each other; what one lacks stays empty."""
    return pd.concat([part for part in parts if len(part)], ignore_index=True)
