"""Frames and times of a multi-page TIFF, among them OME-TIFF and ImageJ stacks."""

import contextlib
import datetime
import json
import math
import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray

from corroscope.errors import FrameError
from corroscope.frames.reading import decoding, read_page

SUFFIXES = (".tif", ".tiff")
"""Endings of the files that are taken for stacks."""

# Such tags are too coarse, or were written when the files were converted.
_SHARED_SECONDS = "the DateTime of several frames is the same second, so it does not tell time"

_SECONDS = {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}


class _Layout(NamedTuple):
    """What the metadata say: how many frames, and when (empty if they do not say)."""

    frames: int
    clock: str = "unknown"
    time_s: tuple[float, ...] = ()
    remarks: tuple[str, ...] = ()


class Stack:
    """The frames of one TIFF, kept open; each is read when it is asked for.

    Parameters
    ----------
    path
        The file.

    Attributes
    ----------
    places : list of tuple
        For each frame in the order of the file, the file and the frame's number in it.
    time_s : ndarray of float64
        ``(frames,)``, from the times of the planes or the increment (OME), the frame
        interval (ImageJ), or the DateTime of every page; NaN where unknown.
    clock : str
        "OME", "ImageJ", "TIFF DateTime" or "unknown".
    remarks : list of str
        What is out of the ordinary.
    broken : str
        Where the file breaks off; empty if it is whole.

    Raises
    ------
    FrameError
        If this is no TIFF, or holds channels or planes of depth.

    Notes
    -----
    OME: the planes' ``DeltaT``, else ``TimeIncrement``, as of the 2016-06 schema
    (Goldberg et al., Genome Biology 6, R47, 2005, doi:10.1186/gb-2005-6-5-r47).

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/stack.tif", np.zeros((7, 16, 20), np.uint8))
    ...     stack = Stack(Path(f"{folder}/stack.tif"))
    ...     frame = stack.read(4)
    ...     stack.close()
    >>> len(stack.places), frame.shape
    (7, (16, 20))
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.remarks: list[str] = []
        self.broken = ""
        with decoding(path, "TIFF"):
            self._tiff = tifffile.TiffFile(path)
        try:
            with decoding(path, "TIFF"):
                self._survey()
        except BaseException:
            self.close()
            raise

    def read(self, number: int) -> NDArray[np.uint8 | np.uint16 | np.float32]:
        """Read one frame.

        Parameters
        ----------
        number
            Its number in the file.

        Returns
        -------
        ndarray of uint8, uint16 or float32
            ``(height, width)``, grey as `corroscope.frames.reading.read_frame` makes it.

        Raises
        ------
        FrameError
            If the frame is lost, broken or no grey or RGB image.
        """
        label = f"{self.path}[{number}]"
        own = number < len(self._pages)
        if not own and self._offset is None:
            raise FrameError(f"{label}: is lost, {self.broken}; copy the file anew")
        with decoding(label, "TIFF"):
            page = self._page(self._pages[number if own else 0])
        offset = None if own else (self._offset or 0) + number * page.nbytes
        return read_page(page, label, offset)

    def close(self) -> None:
        """Close the file."""
        self._tiff.close()

    def _page(self, offset: int) -> tifffile.TiffPage:
        # Parsed anew at each access: no page stays in memory.
        self._tiff.filehandle.seek(offset)
        return tifffile.TiffPage(self._tiff, 0)

    def _walk(self) -> Iterator[tifffile.TiffPage]:
        """The pages, as far as each can be found from the one before it."""
        offset, seen = self._tiff.pages.first.offset, set[int]()
        while offset and offset not in seen:
            seen.add(offset)
            try:
                page = self._page(offset)
            except Exception:  # of many kinds, where the file is cut within a page's tags
                break
            yield page
            offset = _next_page_offset(page)

    def _survey(self) -> None:
        self._pages: list[int] = []
        stamps: list[float] = []
        last = first = None
        for last in self._walk():
            if not last.is_reduced:  # a thumbnail
                # Only if all have one are they of use, so stop at the first without.
                if len(stamps) == len(self._pages) and (stamp := _timestamp(last)) is not None:
                    stamps.append(stamp)
                self._pages.append(last.offset)
                first = first or last
        if first is None or last is None:
            raise FrameError(f"{self.path}: holds no frame; copy the file anew")
        layout = self._layout(first)
        frames = max(layout.frames, len(self._pages))
        self._offset = _offset_without_pages(first, last, frames, len(self._pages))
        self._note_break(last, first, frames)
        self.remarks += layout.remarks
        self.places: list[tuple[Path, int | None]] = [
            (self.path, number) for number in range(frames)
        ]
        self.time_s, self.clock = np.full(frames, np.nan), "unknown"
        if len(layout.time_s) >= frames:
            self.time_s, self.clock = np.asarray(layout.time_s[:frames]), layout.clock
        elif len(stamps) == frames > 1:
            if len(set(stamps)) == frames:
                self.time_s, self.clock = np.asarray(stamps), "TIFF DateTime"
            else:
                self.remarks.append(_SHARED_SECONDS)

    def _note_break(self, last: tifffile.TiffPage, first: tifffile.TiffPage, frames: int) -> None:
        size = self._tiff.filehandle.size
        whole = len(self._pages)
        if self._offset is not None:
            whole = min(frames, max(0, (size - self._offset) // first.nbytes))
        elif last.dataoffsets and last.dataoffsets[-1] + last.databytecounts[-1] > size:
            whole -= 1
        pages_lost = _next_page_offset(last) != 0 and self._offset is None
        if pages_lost or whole < frames:
            self.broken = f"the file breaks off after {whole} whole frames"
            self.remarks.append(self.broken)

    def _layout(self, first: tifffile.TiffPage) -> _Layout:
        # From the first page alone: the file's own properties go through all pages.
        if first.is_ome:
            return self._ome(first.description)
        if first.imagej_description:
            lines = first.imagej_description.splitlines()
            return self._imagej(dict(line.split("=", 1) for line in lines if "=" in line))
        text = first.shaped_description or ""
        described = json.loads(text) if text.startswith("{") else {}
        shape = tuple(described.get("shape", ()))
        lead = shape[: len(shape) - len(first.shape)]
        if shape[len(lead) :] != tuple(first.shape):
            return _Layout(1)
        for axis, length in zip(described.get("axes", ""), lead, strict=False):
            if axis in ("C", "Z"):
                self._refuse(length, "channels" if axis == "C" else "planes of depth")
        if sum(length > 1 for length in lead) > 1:
            self._refuse(math.prod(lead), "images along more axes than time")
        return _Layout(math.prod(lead))

    def _imagej(self, metadata: dict[str, str]) -> _Layout:
        # ImageJ calls the frames of a plain stack slices: depth only if it has both.
        frames, slices = int(metadata.get("frames", 1)), int(metadata.get("slices", 1))
        self._refuse(int(metadata.get("channels", 1)), "channels")
        self._refuse(slices if frames > 1 else 1, "planes of depth")
        count = int(metadata.get("images", 1))
        unit = metadata.get("tunit", "s").replace("sec", "s")
        interval = float(metadata.get("finterval", 0)) * _SECONDS.get(unit, 0.0)
        if not (interval > 0 and math.isfinite(interval)):
            return _Layout(count)
        frames = max(count, len(self._pages))
        return _Layout(count, "ImageJ", tuple(interval * number for number in range(frames)))

    def _ome(self, text: str) -> _Layout:
        try:
            root = ElementTree.fromstring(text)
        except ElementTree.ParseError as error:
            return _Layout(1, remarks=(f"its OME metadata cannot be read ({error})",))
        images = root.findall("{*}Image/{*}Pixels")
        self._refuse(len(images), "OME images")
        pixels = images[0] if images else ElementTree.Element("Pixels")
        channels = pixels.findall("{*}Channel")
        samples = int(channels[0].get("SamplesPerPixel", "1")) if channels else 1
        self._refuse(int(pixels.get("SizeC", "1")) // max(samples, 1), "channels")
        self._refuse(int(pixels.get("SizeZ", "1")), "planes of depth")
        frames = int(pixels.get("SizeT", "1"))
        parts = {part.get("FileName") for part in pixels.iterfind("{*}TiffData/{*}UUID")} - {None}
        if len(parts) > 1:
            raise FrameError(
                f"{self.path}: is one of {len(parts)} files of an OME data set; save it as one file"
            )
        return _ome_times(pixels, max(frames, len(self._pages)))._replace(frames=frames)

    def _refuse(self, count: int, what: str) -> None:
        if count > 1:
            raise FrameError(
                f"{self.path}: holds {count} {what}; save one grey or RGB image for each time"
            )


def read_timestamps(files: Sequence[Path]) -> tuple[NDArray[np.float64], list[str]]:
    """Times of single TIFF files by their DateTime tags.

    Only headers are read, and none any more once a file has no such tag.

    Parameters
    ----------
    files
        The files.

    Returns
    -------
    time_s : ndarray of float64
        ``(files,)``, on any zero; NaN unless all have a tag, and each another second.
    remarks : list of str
        Why tags that are there do not tell time.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = [Path(folder, name) for name in ("b.tif", "a.tif")]
    ...     for second, file in enumerate(files):
    ...         stamp = f"2024:03:05 18:27:0{second}"
    ...         tifffile.imwrite(file, np.zeros((16, 20), np.uint8), datetime=stamp)
    ...     time_s, _ = read_timestamps(files)
    >>> float(time_s[1] - time_s[0])
    1.0
    """
    stamps: list[float] = []
    for file in files:
        stamp = None
        if file.suffix.lower() in SUFFIXES:
            # What is no TIFF has no tag; whoever reads its pixels will hear of it.
            with (
                contextlib.suppress(FrameError),
                decoding(file, "TIFF"),
                tifffile.TiffFile(file) as tiff,
            ):
                stamp = _timestamp(tiff.pages.first)
        if stamp is None:
            return np.full(len(files), np.nan), []
        stamps.append(stamp)
    if len(set(stamps)) < len(stamps):
        return np.full(len(files), np.nan), [_SHARED_SECONDS]
    return np.asarray(stamps), []


def _timestamp(page: tifffile.TiffPage) -> float | None:
    taken = page.datetime
    if taken is None:
        return None
    return float((taken - datetime.datetime(1970, 1, 1)).total_seconds())


def _next_page_offset(page: tifffile.TiffPage) -> int:
    """Where the page says that the next one begins; 0 after the last."""
    tiff, handle = page.parent.tiff, page.parent.filehandle
    handle.seek(page.offset)
    tags = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))[0]
    handle.seek(page.offset + tiff.tagnosize + tags * tiff.tagsize)
    field = handle.read(tiff.offsetsize)
    if len(field) < tiff.offsetsize:
        return int(handle.size)
    return int(struct.unpack(tiff.offsetformat, field)[0])


def _offset_without_pages(
    first: tifffile.TiffPage, last: tifffile.TiffPage, frames: int, pages: int
) -> int | None:
    """Where the first frame begins, if the others follow it at once and lack pages."""
    if frames <= pages or not first.is_contiguous:
        return None
    begin = int(first.dataoffsets[0])
    if last.dataoffsets[0] != begin + (pages - 1) * first.nbytes:
        return None
    # What lies between two frames must not be taken for pixels.
    following = _next_page_offset(last)
    return begin if following == 0 or following >= begin + frames * first.nbytes else None


def _ome_times(pixels: ElementTree.Element, frames: int) -> _Layout:
    """Times in the order of the pages."""
    page_of = _ome_pages(pixels, frames)
    time_s = [math.nan] * frames
    for plane in pixels.iterfind("{*}Plane"):
        when = int(plane.get("TheT", "-1"))
        delta, scale = plane.get("DeltaT"), _SECONDS.get(plane.get("DeltaTUnit", "s"))
        page = page_of.get(when)
        if delta is not None and scale is not None and page is not None:
            time_s[page] = float(delta) * scale
    if all(map(math.isfinite, time_s)) and (frames == 1 or len(set(time_s)) > 1):
        return _Layout(frames, "OME", tuple(time_s))
    scale = _SECONDS.get(pixels.get("TimeIncrementUnit", "s"), 0.0)
    increment = float(pixels.get("TimeIncrement", "0")) * scale
    if not (increment > 0 and math.isfinite(increment) and len(page_of) == frames):
        return _Layout(frames)
    when_of = {page: when for when, page in page_of.items()}
    return _Layout(frames, "OME", tuple(when_of[page] * increment for page in range(frames)))


def _ome_pages(pixels: ElementTree.Element, frames: int) -> dict[int, int]:
    """The page of each time."""
    blocks = [block for block in pixels.iterfind("{*}TiffData") if "IFD" in block.attrib]
    if not blocks:
        return {when: when for when in range(frames)}
    page_of = {}
    for block in blocks:
        page, when = int(block.get("IFD", "0")), int(block.get("FirstT", "0"))
        for step in range(min(frames, int(block.get("PlaneCount", "1")))):
            if page + step < frames:
                page_of[when + step] = page + step
    return page_of
