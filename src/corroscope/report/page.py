"""One HTML file with all that it shows, which loads nothing and runs nothing."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from corroscope.outputs import replacing
from corroscope.report.blocks import Plot, Section
from corroscope.report.style import report_style
from corroscope.report.vectors import inline_svg

TEMPLATE: Final = "page.html.j2"

_CSS: Final = "page.css"


def write_page(
    path: str | Path,
    *,
    title: str,
    lead: Sequence[str],
    warnings: Sequence[str],
    sections: Sequence[Section],
) -> None:
    """Write a report that can be sent around: one file, the same bytes each time.

    The page's own rules (CSP) forbid it to load or run anything, whatever it contains.

    Parameters
    ----------
    path
        The HTML file to write.
    title
        Heading of the page.
    lead
        Paragraphs below it.
    warnings
        What must be known before the figures are believed.
    sections
        The rest. Figures must be made inside `corroscope.report.style.report_style`.

    Raises
    ------
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from corroscope.report.blocks import Text
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_page(f"{folder}/a.html", title="<A>", lead=[], warnings=[],
    ...                sections=[Section("B", [Text("c & d")])])
    ...     page = Path(folder, "a.html").read_text(encoding="utf-8")
    >>> "<h1>&lt;A&gt;</h1>" in page, "<p>c &amp; d</p>" in page
    (True, True)
    """
    environment = Environment(
        loader=PackageLoader("corroscope.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = environment.get_template(_CSS).render()
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    with report_style():
        text = environment.get_template(TEMPLATE).render(
            title=title,
            lead=lead,
            warnings=warnings,
            sections=[(_anchor(section.title), section) for section in sections],
            css=Markup(css),  # noqa: S704
            policy=f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
            "base-uri 'none'; form-action 'none'",
            svg=_figures(),
            is_group=lambda value: isinstance(value, Mapping),
            plain=_plain,
        )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _figures() -> Any:
    """Give the figures of one page numbers."""
    numbers = count(1)

    def svg(plot: Plot) -> Markup:
        return inline_svg(plot.figure, plot.said, f"f{next(numbers)}")

    return svg


def _anchor(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower()).strip("-")


def _plain(value: Any) -> str:
    """A value of a manifest as one would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(one) for one in value) or "none"
    return str(value)
