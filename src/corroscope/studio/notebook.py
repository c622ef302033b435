"""The studio in a Jupyter notebook: the same page, in a frame, served by the kernel."""

import html
import secrets
import weakref
from contextlib import ExitStack
from pathlib import Path
from string import Template
from types import TracebackType
from typing import Final, Self

from corroscope.annotation.instances import AnnotatedImage
from corroscope.annotation.stored import read_annotations
from corroscope.studio.annotate import opened, served

ANCESTORS: Final = ("http://localhost:*", "http://127.0.0.1:*")
"""Pages that may show the studio: notebooks of this machine. Over https, or elsewhere, the browser
would keep the studio's cookie from it, since that is for one site alone."""

HEIGHT_PX: Final = 720

# Without scripts, or on a page of another machine, what is written here remains.
_HTML: Final = Template("""\
<div id="$id">
  <p>The annotator of <b>$folder</b> is served on the machine of the kernel, and this page cannot
  show it. If that is the machine before you, open this link, or copy it into the address bar:
  <a href="$link" target="_blank" rel="noopener">$link</a></p>
  <p>If the kernel runs elsewhere (Colab, JupyterHub), annotate on your own machine, with
  <code>corroscope annotate</code>. All other cells work here, too.</p>
  <script>
    (() => {
      const place = document.getElementById("$id");
      if (location.protocol !== "http:" || !$names.includes(location.hostname)) return;
      // By the very name that this page has: only then is it one site with the studio.
      const link = `http://$${location.hostname}:$port/?token=$token`;
      const frame = document.createElement("iframe");
      const title = `Annotator of $${place.querySelector("b").textContent}`;
      Object.assign(frame, { src: link, title, width: "100%", height: $height });
      frame.style.border = "0";
      const tab = Object.assign(document.createElement("a"), {
        href: link, target: "_blank", rel: "noopener", textContent: "Open in a tab of its own",
      });
      const below = document.createElement("p");
      below.append(tab, ". If nothing is shown, the annotator was closed: run this cell again.");
      place.replaceChildren(frame, below);
    })();
  </script>
</div>
""")


class Annotator:
    """Annotate a folder of images in a notebook.

    Shown by a cell, it is the page that ``corroscope annotate`` opens. It goes on while other
    cells run, and is closed by `close`, at the end of a ``with`` block, or with the kernel.

    Parameters
    ----------
    folder
        Dataset folder: images, and masks beside those that have one.
    annotator
        Who annotates; by default the name of the account.
    second
        Annotate once more, blind, for agreement.
    height_px
        Of the frame in the notebook.

    Attributes
    ----------
    folder : Path
        As given.
    link : str
        The same page, for a tab of its own. It is as good as a password.

    Raises
    ------
    AnnotationError
        If the folder cannot be read, holds no image, or is being annotated already.
    StudioError
        If no port is free.

    Notes
    -----
    The page is reached from the machine of the kernel alone. A notebook that is looked at from
    elsewhere shows the link, and what to do.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from corroscope.outputs import write_png
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_png(Path(folder, "a.png"), np.zeros((50, 60), np.uint8))
    ...     with Annotator(folder) as annotator:
    ...         annotator.annotations
    []
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        annotator: str | None = None,
        second: bool = False,
        height_px: int = HEIGHT_PX,
    ) -> None:
        self.folder = Path(folder)
        self._second = second
        self._height_px = height_px
        with ExitStack() as opening:
            # Its secret is its own: no page that was opened before gets in.
            secret = secrets.token_bytes(32)
            self._studio = opening.enter_context(
                opened(folder, secret, annotator=annotator, second=second, ancestors=ANCESTORS)
            )
            opening.enter_context(served(self._studio))
            # Also when it is forgotten, and when the kernel ends.
            self._end = weakref.finalize(self, opening.pop_all().close)
        self.link = self._studio.link

    @property
    def annotations(self) -> list[AnnotatedImage]:
        """What is annotated by now, also after closing.

        Returns
        -------
        list of AnnotatedImage
            As `corroscope.annotation.read_annotations`.
        """
        place = self._studio.place
        if not self._end.alive:
            return read_annotations(self.folder, second=place.annotator if self._second else None)
        with place.store() as store:
            return [store.read(name) for name in store.images if store.progress(name).annotated]

    def close(self) -> None:
        """Stop serving and let others annotate; closing again does nothing."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        told = repr(str(self.folder))
        return f"<Annotator of {told}, {self.link if self._end.alive else 'closed'}>"

    def _repr_html_(self) -> str:
        folder = html.escape(str(self.folder))
        if not self._end.alive:
            return f"<p>The annotator of <b>{folder}</b> is closed.</p>"
        return _HTML.substitute(
            id=f"corroscope-{secrets.token_hex(4)}",
            folder=folder,
            link=html.escape(self.link),
            names=[origin.split("/")[2].split(":")[0] for origin in ANCESTORS],
            port=self._studio.port,
            token=self._studio.token,
            height=self._height_px,
        )
