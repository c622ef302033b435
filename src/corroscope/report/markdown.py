"""Markdown as part of a page."""

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup


def render_markdown(text: str, *, level: int = 1) -> Markup:
    r"""Turn Markdown, with tables, into HTML that is safe in a page.

    Parameters
    ----------
    text
        CommonMark and tables. HTML in it is shown as it is written, pictures become links, for a
        page that loads nothing.
    level
        What a first-level heading becomes, so that headings of the page stay in order.

    Returns
    -------
    Markup
        The HTML.

    References
    ----------
    CommonMark, https://spec.commonmark.org.

    Examples
    --------
    >>> render_markdown("# A *b* <c>", level=3)
    Markup('<h3>A <em>b</em> &lt;c&gt;</h3>\n')
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = parser.parse(text)
    heading = ""
    for k, token in enumerate(tokens):
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + level - 1, 6)}"
        if token.type == "heading_open":
            heading = tokens[k + 1].content
        elif token.type == "table_open":
            token.attrSet("aria-label", heading or "table")
        if token.type in ("th_open", "td_open"):
            _align(token)
        if token.type == "th_open":
            _head(tokens[k : k + 3])
    return Markup(parser.renderer.render(tokens, parser.options, {}))


def _align(cell: Token) -> None:
    """Let a class say it: a page may forbid styles inside elements."""
    style = cell.attrs.pop("style", None)
    if style is not None:
        cell.attrSet("class", str(style).removeprefix("text-align:"))


def _head(cell: list[Token]) -> None:
    """Say what a head cell is the head of; an empty one is none."""
    if cell[1].content.strip():
        cell[0].attrSet("scope", "col")
    else:
        cell[0].tag = cell[2].tag = "td"
