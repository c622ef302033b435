"""How every figure of a report looks."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

ORANGE: Final = "#E69F00"
SKY: Final = "#56B4E9"
GREEN: Final = "#009E73"
BLUE: Final = "#0072B2"
VERMILION: Final = "#D55E00"
PURPLE: Final = "#CC79A7"
BLACK: Final = "#000000"
QUIET: Final = "#595959"
"""Grey of what stands in the background, such as a diagonal."""

ANNOTATED: Final = ORANGE
PREDICTED: Final = BLUE
CEILING: Final = PURPLE

LONGEST_NAME: Final = 40
"""Characters of a name that a figure shows."""


class Look(NamedTuple):
    """How one of several series is drawn, told apart by line and marker as well as by colour."""

    colour: str
    line: str
    marker: str


LOOKS: Final = (
    Look(BLUE, "-", "o"),
    Look(VERMILION, "--", "s"),
    Look(GREEN, "-.", "^"),
    Look(PURPLE, ":", "D"),
    Look(BLACK, (0, (5, 1, 1, 1, 1, 1)), "v"),  # type: ignore[arg-type]
    Look(ORANGE, (0, (8, 2)), "P"),  # type: ignore[arg-type]
)
"""Looks of series in their order; the first colours of the palette of Okabe and Ito."""


@contextmanager
def report_style() -> Iterator[None]:
    """Draw as reports do, while in this context.

    The same figure becomes the same bytes each time. Text becomes outlines, so that it has the
    same place and size on every machine, and what comes from a user is taken as it is: ``$``
    starts no formula.

    Yields
    ------
    None
        Figures must be made and saved inside.

    References
    ----------
    M. Okabe, K. Ito, *Color Universal Design*, 2008.

    Examples
    --------
    >>> with report_style():
    ...     mpl.rcParams["text.parse_math"]
    False
    """
    settings: dict[Any, Any] = {
        "axes.axisbelow": True,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 10,
        "font.family": ["DejaVu Sans"],
        "font.size": 9,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "svg.fonttype": "path",
        "svg.hashsalt": "corroscope",
        "text.parse_math": False,
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        # A name may have signs that the font lacks; it stands in the page's tables as well.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        yield


def look(number: int) -> Look:
    """How the series of a number is drawn.

    Parameters
    ----------
    number
        From 0; beyond the last look they begin anew.

    Returns
    -------
    Look
        Its look.

    Examples
    --------
    >>> look(0) == look(len(LOOKS))
    True
    """
    return LOOKS[number % len(LOOKS)]


def shortened(name: str, most: int = LONGEST_NAME) -> str:
    """Shorten a name in its middle.

    Parameters
    ----------
    name
        The name.
    most
        Characters at most.

    Returns
    -------
    str
        With an ellipsis where something is left out. Line breaks become blanks.

    Examples
    --------
    >>> shortened("a rather long name", 9)
    'a ra…name'
    """
    line = " ".join(name.split())
    half = (most - 1) // 2
    return line if len(line) <= most else f"{line[:half]}…{line[-half:]}"


def logarithmic(axes: Axes, axis: str) -> None:
    """Give an axis a logarithmic scale with plain numbers.

    Parameters
    ----------
    axes
        Whose axis.
    axis
        ``x`` or ``y``.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> axes = Figure().subplots()
    >>> logarithmic(axes, "x")
    >>> axes.get_xscale()
    'log'
    """
    axes.set(**{f"{axis}scale": "log"})
    line = axes.xaxis if axis == "x" else axes.yaxis
    line.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    line.set_minor_formatter(NullFormatter())
