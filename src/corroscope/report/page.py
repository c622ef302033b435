"""One HTML file with all that it shows, which loads nothing and runs its own script at most."""

import base64
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image

from corroscope.outputs import replacing
from corroscope.report.style import report_style
from corroscope.report.vectors import inline_svg

NOTHING: Final = "–"
"""Stands in a table where a value is undefined or missing."""

_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("corroscope.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Section(NamedTuple):
    """A part of a page, named in its table of contents.

    Attributes
    ----------
    title
        Its heading.
    blocks
        What is in it, in order; without any it is left out.
    """

    title: str
    blocks: Sequence[Markup]


class _Cell(NamedTuple):
    """What stands in a table."""

    text: str
    is_number: bool


def svg(figure: Figure, name: str, description: str) -> Markup:
    """Make a figure a part of a page.

    Parameters
    ----------
    figure
        The figure. Its texts are taken as they are: ``$`` starts no formula, so that a
        logarithmic axis needs plain labels.
    name
        Of the figure, another one for each of a page: names inside it begin so.
    description
        What it shows with its main numbers; stands below, and is read out to who cannot see it.

    Returns
    -------
    Markup
        A ``figure`` element with vectors, the same bytes each time.

    Examples
    --------
    >>> svg(Figure(figsize=(1, 1)), "empty", "Nothing <b>").startswith("<figure><svg class")
    True
    """
    with report_style():
        for text in figure.findobj(Text):
            text.set_parse_math(False)
        drawing = inline_svg(figure, description, name)
    return _captioned(drawing, description)


def picture(png: bytes, description: str) -> Markup:
    """Make a picture a part of a page.

    Parameters
    ----------
    png
        A PNG file.
    description
        What it shows; stands below, and is read out to who cannot see it.

    Returns
    -------
    Markup
        A ``figure`` element that holds the picture.

    Examples
    --------
    >>> picture(pixels(np.zeros((2, 3), np.uint8)), "black")[:54]
    Markup('<figure><img width="3" height="2" alt="black" src="dat')
    """
    width, height = Image.open(io.BytesIO(png)).size
    image = Markup('<img width="{}" height="{}" alt="{}" src="{}">').format(
        width, height, description, png_address(png)
    )
    return _captioned(image, description)


def pixels(array: NDArray[np.uint8]) -> bytes:
    """Write a picture as PNG.

    Parameters
    ----------
    array
        ``(height, width)`` grey or ``(height, width, 3)`` red, green, blue.

    Returns
    -------
    bytes
        A PNG file.

    Examples
    --------
    >>> pixels(np.zeros((2, 2), np.uint8))[1:4]
    b'PNG'
    """
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(file, "PNG", optimize=True)
    return file.getvalue()


def png_address(png: bytes) -> str:
    """Make a PNG file an address that holds it.

    Parameters
    ----------
    png
        The file.

    Returns
    -------
    str
        Of scheme ``data:``.

    Examples
    --------
    >>> png_address(b"?")
    'data:image/png;base64,Pw=='
    """
    return "data:image/png;base64," + base64.b64encode(png).decode()


def table(frame: pd.DataFrame, caption: str, *, digits: int = 3) -> Markup:
    """Make a table a part of a page.

    Parameters
    ----------
    frame
        The first column names the rows; the index is left out.
    caption
        Stands above.
    digits
        After the point of numbers that are no integers.

    Returns
    -------
    Markup
        Numbers stand at the right; what is NaN or missing becomes `NOTHING`, with a note.

    Examples
    --------
    >>> text = table(pd.DataFrame({"score": ["<i>"], "value": [float("nan")]}), "Scores")
    >>> '<th scope="row">&lt;i&gt;</th><td class="number">–</td>' in text
    True
    """
    kinds = [_is_of_numbers(frame.iloc[:, k]) for k in range(frame.shape[1])]
    rows = [
        [_Cell(plain(value, digits), kind) for value, kind in zip(row, kinds, strict=True)]
        for row in frame.itertuples(index=False, name=None)
    ]
    head = [_Cell(str(name), kind) for name, kind in zip(frame, kinds, strict=True)]
    incomplete = any(cell.text == NOTHING for row in rows for cell in row)
    return render("table.html.j2", caption=caption, head=head, rows=rows, incomplete=incomplete)


def paragraph(text: str) -> Markup:
    """Make a text a paragraph.

    Parameters
    ----------
    text
        Plain text.

    Returns
    -------
    Markup
        A ``p`` element.

    Examples
    --------
    >>> paragraph("a & b")
    Markup('<p>a &amp; b</p>')
    """
    return Markup("<p>{}</p>").format(text)


def warnings(texts: Sequence[str]) -> Markup:
    """Show what must be known before the figures are believed.

    Parameters
    ----------
    texts
        One sentence or more each.

    Returns
    -------
    Markup
        A box; empty if there are none.

    Examples
    --------
    >>> warnings([])
    Markup('')
    """
    return render("warnings.html.j2", texts=texts) if texts else Markup()


def facts(items: Mapping[str, Any]) -> Markup:
    r"""List names and values.

    Parameters
    ----------
    items
        Values by name. Names of values inside a mapping begin with that mapping's name and a
        point.

    Returns
    -------
    Markup
        A ``dl`` element; empty if there are none.

    Examples
    --------
    >>> print(facts({"a": {"b": 1, "c": None}}).replace("\n", ""))
    <dl><dt>a.b</dt><dd>1</dd><dt>a.c</dt><dd>none</dd></dl>
    """
    pairs = list(_flat(items))
    return render("facts.html.j2", pairs=pairs) if pairs else Markup()


def plain(value: Any, digits: int = 3) -> str:
    """Write a value as a reader would.

    Parameters
    ----------
    value
        Of a table.
    digits
        After the point, if it is no integer.

    Returns
    -------
    str
        With a true minus sign.

    Examples
    --------
    >>> plain(-0.5, 2), plain(np.int64(7)), plain(float("inf")), plain(None), plain(True)
    ('−0.50', '7', '∞', '–', 'yes')
    """
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, Real) and not isinstance(value, Integral):
        number = float(value)
        text = NOTHING if np.isnan(number) else f"{number:.{digits}f}"
        return text.replace("-", "−").replace("inf", "∞")
    if isinstance(value, Integral):
        return str(int(value)).replace("-", "−")
    return NOTHING if value is None or value is pd.NA or value is pd.NaT else str(value)


def render(template: str, **names: Any) -> Markup:
    """Fill in a template of a page or of a part of it.

    Parameters
    ----------
    template
        Its file, in ``report/templates``.
    **names
        What it needs. Plain text is escaped, markup is not.

    Returns
    -------
    Markup
        HTML.

    Examples
    --------
    >>> "<li>a &lt; b</li>" in render("warnings.html.j2", texts=["a < b"])
    True
    """
    return Markup(_ENVIRONMENT.get_template(template).render(names))


def write_page(
    path: str | Path,
    *,
    title: str,
    lead: Sequence[str],
    sections: Sequence[Section],
    style: str = "",
    script: str = "",
) -> None:
    """Write a report that can be sent around: one file, the same bytes each time.

    The page's own rules (CSP) forbid it to load or run anything, whatever it contains; the one
    script that is given here is known to them by its hash.

    Parameters
    ----------
    path
        The HTML file to write.
    title
        Heading of the page.
    lead
        Paragraphs below it.
    sections
        The rest.
    style
        Rules of this page alone, added to those of all pages.
    script
        Runs when the page has been read; none by default. It must not hold ``</script``.

    Raises
    ------
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_page(f"{folder}/a.html", title="<A>", lead=["b"],
    ...                sections=[Section("C", [paragraph("c & d")])])
    ...     page = Path(folder, "a.html").read_text(encoding="utf-8")
    >>> "<h1>&lt;A&gt;</h1>" in page, "<p>c &amp; d</p>" in page
    (True, True)
    """
    css = render("page.css") + Markup(style)
    scripts = f"script-src '{_hash(script)}'; " if script else ""
    text = render(
        "page.html.j2",
        title=title,
        lead=lead,
        sections=[section for section in sections if any(section.blocks)],
        css=css,
        script=Markup(script),
        policy=f"default-src 'none'; img-src data:; style-src '{_hash(css)}'; {scripts}"
        "base-uri 'none'; form-action 'none'",
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _hash(text: str) -> str:
    """How the rules of a page name what stands in it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _captioned(shown: Markup, description: str) -> Markup:
    """The description is read out as the picture's own: it is not to be read out twice."""
    caption = Markup('<figcaption aria-hidden="true">{}</figcaption>').format(description)
    return Markup("<figure>") + shown + caption + Markup("</figure>")


def _is_of_numbers(column: "pd.Series[Any]") -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _flat(items: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in items.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _fact(value)


def _fact(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_fact(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(_fact(one) for one in value) or "none"
    if isinstance(value, float):
        sign = "−" if value < 0 else ""
        return "undefined" if np.isnan(value) else f"{sign}{abs(value):g}".replace("inf", "∞")
    return plain(value)
