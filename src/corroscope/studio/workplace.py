"""The folder that is worked on: its images by opaque names, their pixels, and their annotations."""

import hashlib
import hmac
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from corroscope.annotation.store import Store
from corroscope.annotation.stored import annotation_folder, image_pairs
from corroscope.errors import FrameError, StudioError
from corroscope.frames.clock import natural_order
from corroscope.frames.reading import SUFFIXES, decoding, read_frame

Plane = Literal["frame", "difference"]
"""What is looked at and clicked on."""

LARGEST_PX: Final = 80_000_000
"""A frame has 6 million; a file of some kilobytes may claim any number."""

KEPT: Final = 6
"""Pictures that are kept in memory."""


class Picture(NamedTuple):
    """The pixels of an image, or of its difference to the reference.

    Attributes
    ----------
    pixels
        ``(height, width)``, as the file has them.
    grey
        The same as contiguous float32, for the click.
    """

    pixels: NDArray[np.generic]
    grey: NDArray[np.float32]


class Workplace:
    """A dataset folder that is being annotated.

    Parameters
    ----------
    folder
        The folder.
    annotator
        Who annotates.
    secret
        Opaque names are made from it.
    second
        Annotate once more, blind.
    pixel_size_um
        Side of a pixel in µm; None where it is unknown.

    Attributes
    ----------
    key : str
        Of the folder and the annotation of it, first or second, which it does not tell.
    ready : bool
        Whether a click is answered at once; False while its code is being compiled.

    Raises
    ------
    StudioError
        If an image lies, by a symbolic link, outside the folder.
    AnnotationError
        As `Store`.
    """

    def __init__(
        self,
        folder: Path,
        annotator: str,
        secret: bytes,
        *,
        second: bool = False,
        pixel_size_um: float | None = None,
    ) -> None:
        self.folder = folder
        self.annotator = annotator
        self.second = second
        self.pixel_size_um = pixel_size_um
        self.ready = True
        for name in image_pairs(folder):
            within(folder, folder / name)
        self.base = annotation_folder(folder, annotator if second else None)
        self._store = Store(folder, annotator, second=second)
        names = list(self._store.images)
        self.names = [names[k] for k in natural_order(names)]
        of = annotator if second else ""
        self.key = _opaque(secret, folder.resolve(), of)
        # An old page must not find an image of the same name in another folder.
        self._by_opaque = {_opaque(secret, folder.resolve(), of, n): n for n in self.names}
        self.opaque = {name: opaque for opaque, name in self._by_opaque.items()}
        self._open = ExitStack()
        self._busy = threading.RLock()
        self._reading = threading.Lock()
        self._fine: set[tuple[Path, int, int]] = set()
        self._pictures: OrderedDict[tuple[str, Plane], Picture] = OrderedDict()

    def close(self) -> None:
        """Let others annotate the folder, after all that works on it has been closed."""
        try:
            self._open.close()
        finally:
            with self._busy:
                self._store.close()

    def close_with(self, close: Callable[[], None]) -> None:
        """Have something closed before the folder is let go.

        Parameters
        ----------
        close
            Is called once.
        """
        self._open.callback(close)

    @contextmanager
    def store(self) -> Iterator[Store]:
        """Give the annotations, to one caller at a time.

        Yields
        ------
        Store
            Not to be kept.
        """
        with self._busy:
            yield self._store

    def name(self, opaque: str) -> str:
        """Find the image that an opaque name stands for.

        Parameters
        ----------
        opaque
            As the page was told.

        Returns
        -------
        str
            The image's file name.

        Raises
        ------
        KeyError
            If there is none.
        """
        return self._by_opaque[opaque]

    def check_size(self, name: str) -> None:
        """Refuse an image that would fill the memory, or has become a link out of the folder.

        Parameters
        ----------
        name
            File name of the image.

        Raises
        ------
        StudioError
            If it has more than `LARGEST_PX` pixels, by its header alone, or is such a link.
        """
        self._check(self.folder / name)

    def _check(self, file: Path, folder: Path | None = None) -> None:
        within(folder or self.folder, file)
        try:
            stamp = (file, file.stat().st_mtime_ns, file.stat().st_size)
        except OSError:
            return  # what is wrong with it is for the reader to say
        if stamp in self._fine:
            return
        if _pixel_count(file) > LARGEST_PX:
            raise StudioError(
                f"{file.name}: has more than {LARGEST_PX / 1e6:.0f} megapixels, the most that the "
                "studio opens; cut it"
            )
        self._fine.add(stamp)

    def difference_file(self, name: str) -> Path | None:
        """Find an image's difference to the reference, as ``prepare`` writes it.

        Parameters
        ----------
        name
            File name of the image.

        Returns
        -------
        Path or None
            In ``difference/`` in the folder, or beside it where the folder is ``aligned/``. A
            link that leads elsewhere is none.
        """
        homes = [self.folder / "difference"]
        if self.folder.resolve().name == "aligned":
            homes.append(self.folder.resolve().parent / "difference")
        stem = Path(name).stem
        for home in homes:
            for suffix in SUFFIXES:
                file = home / f"{stem}{suffix}"
                if file.is_file() and _is_within(home.parent, file):
                    return file
        return None

    def picture(self, name: str, plane: Plane = "frame") -> Picture:
        """Read an image, or its difference.

        Parameters
        ----------
        name
            File name of the image.
        plane
            Which of the two.

        Returns
        -------
        Picture
            From memory where it was read lately.

        Raises
        ------
        FrameError
            If it cannot be read, or there is no difference.
        """
        key = (name, plane)
        with self._reading:  # two threads need not read one file
            if key in self._pictures:
                self._pictures.move_to_end(key)
                return self._pictures[key]
            picture = self._read(name, plane)
            self._pictures[key] = picture
            if len(self._pictures) > KEPT:
                self._pictures.popitem(last=False)
            return picture

    def _read(self, name: str, plane: Plane) -> Picture:
        if plane == "frame":
            file = self.folder / name
            self._check(file)
        else:
            found = self.difference_file(name)
            if found is None:
                raise FrameError(f"{name}: has no difference; `corroscope prepare` makes it")
            file = found
            self._check(file, file.parent.parent)
        pixels = read_frame(file)
        return Picture(pixels, np.ascontiguousarray(pixels, np.float32))


def within(folder: Path, file: Path) -> None:
    """Refuse a file that lies, by a symbolic link, outside a folder.

    Parameters
    ----------
    folder
        The folder.
    file
        The file, which need not exist.

    Raises
    ------
    StudioError
        If it does.
    """
    if not _is_within(folder, file):
        raise StudioError(
            f"{file}: is a link out of the folder, which the studio does not follow; copy it"
        )


def _is_within(folder: Path, file: Path) -> bool:
    return file.resolve().is_relative_to(folder.resolve())


def _pixel_count(file: Path) -> int:
    """By the header alone; 0 where that cannot be read, of which the reader says more."""
    try:
        with decoding(file, "image"):
            try:
                with Image.open(file) as image:
                    return image.width * image.height
            except Image.DecompressionBombError:
                return LARGEST_PX + 1
            except OSError:  # there are kinds of TIFF that Pillow does not know
                with tifffile.TiffFile(file) as tiff:
                    page = tiff.pages.first
                    return int(page.imagewidth * page.imagelength)
    except FrameError:
        return 0


def _opaque(secret: bytes, *told: str | Path) -> str:
    content = b"\0".join(os.fsencode(each) for each in told)
    return hmac.new(secret, content, hashlib.sha256).hexdigest()[:20]
