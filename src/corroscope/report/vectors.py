"""A figure as vectors inside a page."""

import io
import re
from typing import Final

from markupsafe import Markup
from matplotlib.figure import Figure

PX_PER_INCH: Final = 108
"""So wide is a figure on a page with room for it: 9 inches fill it."""

_UNSEEN: Final = re.compile(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", re.S)
_STYLE: Final = re.compile(r' style="([^"]*)"')
_PATH: Final = re.compile(r' d="([^"]*)"')
_DIGITS: Final = re.compile(r"(\.\d\d)\d+")
_FIRST: Final = r"\1"
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
    >>> inline_svg(Figure(figsize=(1, 1)), 'nothing', "f1")[:81]
    Markup('<svg class="plot" width="108" viewBox="0 0 72 72" role="img" aria-label="nothing"')
    """
    file = io.StringIO()
    unsaid = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(file, format="svg", metadata=unsaid)
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
    text = _PATH.sub(_shortened, text)
    opening = Markup('<svg class="plot" width="{}" viewBox="{}" role="img" aria-label="{}">')
    width = round(PX_PER_INCH * figure.get_figwidth())
    text = _OPENING.sub(lambda m: opening.format(width, m[1], said), text, count=1)
    return Markup(re.sub(r"\s*\n\s*", "\n", text))


def _shortened(match: re.Match[str]) -> str:
    return f' d="{_DIGITS.sub(_FIRST, " ".join(match[1].split()))}"'


def _attributes(match: re.Match[str]) -> str:
    """A style as attributes, all of which SVG has."""
    pairs = (part.split(":", 1) for part in match[1].split(";") if part.strip())
    return "".join(f' {name.strip()}="{value.strip()}"' for name, value in pairs)
