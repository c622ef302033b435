"""A figure as vectors inside a page."""

import io
import re
from typing import Final

from markupsafe import Markup, escape
from matplotlib.figure import Figure

_UNSEEN: Final = re.compile(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", re.S)
_STYLE: Final = re.compile(r' style="([^"]*)"')
_PATH: Final = re.compile(r' d="([^"]*)"')
_DIGITS: Final = re.compile(r"(\.\d\d)\d+")
_ID: Final = re.compile(r' id="([^"]*)"')
_REFERENCE: Final = re.compile(r'(?:xlink:)?href="#([^"]*)"|url\(#([^)]*)\)')
_OPENING: Final = re.compile(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>')


def inline_svg(figure: Figure, said: str, prefix: str) -> Markup:
    """Turn a figure into an ``svg`` element.

    Parameters
    ----------
    figure
        The figure; its bytes are the same each time inside
        `corroscope.report.style.report_style`.
    said
        What it shows, for who cannot see it.
    prefix
        Starts every name inside, so that those of two figures on a page differ.

    Returns
    -------
    Markup
        Without a style of its own, so that a page may forbid styles inside elements.

    Examples
    --------
    >>> inline_svg(Figure(figsize=(1, 1)), 'nothing', "f1")[:72]
    Markup('<svg class="plot" viewBox="0 0 72 72" role="img" aria-label="nothing">')
    """
    file = io.StringIO()
    unsaid = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(file, format="svg", metadata=unsaid)  # type: ignore[arg-type]
    text = _UNSEEN.sub("", file.getvalue())
    text = text[text.index("<svg ") :].strip()
    used = {one or other for one, other in _REFERENCE.findall(text)}
    text = _ID.sub(lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", text)
    text = _REFERENCE.sub(
        lambda m: f'href="#{prefix}-{m[1]}"' if m[1] else f"url(#{prefix}-{m[2]})", text
    )
    text = text.replace("xlink:href=", "href=")
    text = _STYLE.sub(_attributes, text)
    # A hundredth of a point is enough.
    text = _PATH.sub(lambda m: f' d="{_DIGITS.sub(r"\1", " ".join(m[1].split()))}"', text)
    opening = r'<svg class="plot" viewBox="\1" role="img" aria-label="' + "@@" + '">'
    text = _OPENING.sub(opening, text, count=1).replace("@@", str(escape(said)), 1)
    return Markup(re.sub(r"\s*\n\s*", "\n", text))  # noqa: S704


def _attributes(match: re.Match[str]) -> str:
    """A style as attributes, all of which SVG has."""
    pairs = (part.split(":", 1) for part in match[1].split(";") if part.strip())
    return "".join(f' {name.strip()}="{value.strip()}"' for name, value in pairs)
