"""What a page is made of: sections of text, tables, figures and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from markupsafe import Markup
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Text:
    """A paragraph.

    Attributes
    ----------
    words
        Plain text.
    """

    kind: ClassVar = "text"
    words: str


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row is its heading.

    Attributes
    ----------
    caption
        What it shows.
    columns
        Their headings.
    rows
        As many cells in each.
    notes
        A paragraph below.
    """

    kind: ClassVar = "table"
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: str = ""


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure.

    Attributes
    ----------
    figure
        It becomes part of the page as vectors.
    said
        What it shows with its main numbers, for who cannot see it.
    caption
        Stands below.
    """

    kind: ClassVar = "plot"
    figure: Figure
    said: str
    caption: str


@dataclass(frozen=True)
class Picture:
    """One picture of a gallery.

    Attributes
    ----------
    markup
        An ``svg`` or ``img`` element with its own text for who cannot see it.
    name
        Its title.
    caption
        Stands below.
    """

    markup: Markup
    name: str
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side.

    Attributes
    ----------
    pictures
        In order.
    width_px
        Of each on the page, if there is room.
    """

    kind: ClassVar = "gallery"
    pictures: Sequence[Picture]
    width_px: int


@dataclass(frozen=True)
class Facts:
    """Names and values, in groups where a value is a mapping.

    Attributes
    ----------
    values
        Values by name.
    """

    kind: ClassVar = "facts"
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Prose:
    """Text with headings, lists and tables.

    Attributes
    ----------
    markup
        As from `corroscope.report.markdown.render_markdown`.
    """

    kind: ClassVar = "prose"
    markup: Markup


Block = Text | Table | Plot | Gallery | Facts | Prose


@dataclass(frozen=True)
class Section:
    """A part of a page, named in its table of contents.

    Attributes
    ----------
    title
        Its heading.
    blocks
        What is in it, in order.
    """

    title: str
    blocks: Sequence[Block]


def number(value: float, digits: int = 3) -> str:
    """Write a number for a table.

    Parameters
    ----------
    value
        The number.
    digits
        After the point.

    Returns
    -------
    str
        With a true minus sign; "undefined" for NaN.

    Examples
    --------
    >>> number(-0.25), number(float("nan")), number(float("inf"))
    ('−0.250', 'undefined', '∞')
    """
    if value != value:
        return "undefined"
    return f"{value:.{digits}f}".replace("-", "−").replace("inf", "∞")


def interval(low: float, high: float, digits: int = 3) -> str:
    """Write an interval for a table.

    Parameters
    ----------
    low, high
        Its bounds.
    digits
        After the point.

    Returns
    -------
    str
        "undefined" where a bound is NaN.

    Examples
    --------
    >>> interval(0.25, 0.5), interval(float("nan"), 0.5)
    ('0.250 to 0.500', 'undefined')
    """
    if low != low or high != high:
        return "undefined"
    return f"{number(low, digits)} to {number(high, digits)}"
