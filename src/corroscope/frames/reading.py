"""One image file → one grey frame."""

import contextlib
import hashlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from corroscope.errors import FrameError

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
"""Endings of the files that `read_frame` knows."""

LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""Red, green and blue in grey (Rec. ITU-R BT.601-7, section 2.5.1)."""

_GREY_OR_RGB = (
    tifffile.PHOTOMETRIC.MINISBLACK,
    tifffile.PHOTOMETRIC.RGB,
)

_JPEG = (tifffile.COMPRESSION.JPEG, tifffile.COMPRESSION.OJPEG)
"""These come out of the decoder as RGB, whatever they are inside."""

_PNG_END = b"IEND\xaeB`\x82"

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\x00": "tiff",
    b"MM\x00*": "tiff",
    b"II+\x00": "tiff",
    b"MM\x00+": "tiff",
}


def read_frame(path: str | Path) -> NDArray[np.uint8 | np.uint16 | np.float32]:
    """Read an image file as one grey frame.

    PNG, TIFF and JPEG, recognised by content and not by name; grey or colour, 8 or
    16 bits an intensity, or floating point. Colour becomes grey by luma, an alpha
    channel is dropped. Intensities are not rescaled. Rows and columns are those stored:
    a JPEG's remark that it should be shown turned is not followed.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    ndarray of uint8, uint16 or float32
        ``(height, width)``. Boolean images become 0 and 255, other integer types
        ``float32``.

    Raises
    ------
    FrameError
        If there is no such file, or it is empty, truncated, no image of these
        formats, a stack of several frames, or has pixels that are not finite.

    Examples
    --------
    >>> import tempfile, tifffile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/frame.tif", np.full((16, 20), 7, np.uint16))
    ...     frame = read_frame(f"{folder}/frame.tif")
    >>> frame.shape, frame.dtype
    ((16, 20), dtype('uint16'))
    """
    path = Path(path)
    content = _content(path)
    kind = next((k for signature, k in _SIGNATURES.items() if content.startswith(signature)), None)
    if kind is None:
        raise FrameError(f"{path}: not a PNG, TIFF or JPEG image; convert it to one of these")
    with decoding(path, kind.upper()):
        pixels = _decode_tiff(content, path) if kind == "tiff" else _decode(content, kind)
    return to_grey(pixels, path)


def read_page(
    page: tifffile.TiffPage, label: str | Path, offset: int | None = None
) -> NDArray[np.uint8 | np.uint16 | np.float32]:
    """Read one page of an open TIFF as one grey frame, like `read_frame`.

    Parameters
    ----------
    page
        The page.
    label
        What to call the frame in an error.
    offset
        Where the pixels begin, in bytes from the start of the file, for a frame that
        has no page of its own but follows this one, uncompressed and of its shape.

    Returns
    -------
    ndarray of uint8, uint16 or float32
        ``(height, width)``.

    Raises
    ------
    FrameError
        If the page is truncated, or is no grey or RGB image.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/stack.tif", np.zeros((7, 16, 20), np.uint16))
    ...     with tifffile.TiffFile(f"{folder}/stack.tif") as tiff:
    ...         frame = read_page(tiff.pages[4], "stack.tif[4]")
    >>> frame.shape, frame.dtype
    ((16, 20), dtype('uint16'))
    """
    with decoding(label, "TIFF"):
        if offset is None:
            pixels = np.asarray(page.asarray())
        else:
            number_type = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
            flat = page.parent.filehandle.read_array(number_type, page.size, offset)
            pixels = np.asarray(flat).reshape(page.shape)
        pixels = _page_colours(page, pixels, label)
    return to_grey(pixels, label)


def list_images(folder: str | Path) -> list[Path]:
    """The files of a folder that `read_frame` may know, by their endings.

    Parameters
    ----------
    folder
        The folder; hidden and other files in it, and folders, are left out.

    Returns
    -------
    list of Path
        In no particular order.

    Raises
    ------
    FrameError
        If the folder cannot be read or holds no such file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "frame.tif").touch()
    ...     Path(folder, "notes.txt").touch()
    ...     [file.name for file in list_images(folder)]
    ['frame.tif']
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if is_image(entry.name) and entry.is_file()]
    except OSError as error:
        raise FrameError(f"{folder}: cannot be read ({error.strerror}); check its rights") from None
    if not names:
        raise FrameError(f"{folder}: holds no PNG, TIFF or JPEG file; name another folder")
    return [Path(folder) / name for name in names]


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image, and not hidden.

    Parameters
    ----------
    name
        Name of the file.

    Returns
    -------
    bool
        By the ending alone.

    Examples
    --------
    >>> is_image("frame.TIF"), is_image(".frame.tif"), is_image("Thumbs.db")
    (True, False, False)
    """
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def frame_sha256(path: str | Path) -> str:
    """SHA-256 of an image file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    FrameError
        If there is no such file, or it is empty.
    """
    return hashlib.sha256(_content(Path(path))).hexdigest()


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FrameError(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise FrameError(f"{path}: is a folder; name the image files in it") from None
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise FrameError(f"{path}: cannot be read ({reason}); check name and rights") from error
    if not content:
        raise FrameError(f"{path}: empty file (0 bytes); copy it anew")
    return content


def _decode(content: bytes, kind: str) -> NDArray[np.generic]:
    # PNG by libpng itself: Pillow reduces 16-bit colour to 8 bits. JPEG by Pillow: it
    # refuses truncated files.
    if kind == "png":
        if _PNG_END not in content:
            raise ValueError("its end is missing")
        return np.asarray(imagecodecs.png_decode(content))
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))


def _decode_tiff(content: bytes, path: Path) -> NDArray[np.generic]:
    # A TiffFile is freed late, for it refers to itself; the closed stream holds no content.
    with io.BytesIO(content) as stream, tifffile.TiffFile(stream) as tiff:
        page = tiff.pages.first
        # Thumbnails are pages as well; a stack may also be one page with many frames.
        pages = sum(not getattr(p, "is_reduced", False) for p in tiff.pages)
        count = max(pages, tiff.series[0].size // max(page.size, 1))
        if count > 1:
            raise FrameError(f"{path}: holds {count} frames; give single frames, one file each")
        return _page_colours(page, np.asarray(page.asarray()), path)


def _page_colours(
    page: tifffile.TiffPage, pixels: NDArray[np.generic], label: str | Path
) -> NDArray[np.generic]:
    # Planar colour has its samples first; put them last, as the others do.
    if page.axes.startswith("S") and pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 0, -1)
    photometric = page.photometric
    if photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind in "bu":
        return np.asarray(np.invert(pixels))
    if photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
        # Colours have 16 bits; some writers put 8 into them.
        colours = page.colormap >> 8 if page.colormap.max() > 255 else page.colormap
        return np.asarray(np.moveaxis(colours[:, pixels], 0, -1), np.uint8)
    decoded = photometric == tifffile.PHOTOMETRIC.YCBCR and page.compression in _JPEG
    if not (photometric in _GREY_OR_RGB or decoded):
        name = getattr(photometric, "name", photometric)
        raise FrameError(f"{label}: TIFF in {name} colours; save it as grey or RGB")
    return pixels


@contextlib.contextmanager
def decoding(label: str | Path, kind: str) -> Iterator[None]:
    """Make whatever a decoder raises one `FrameError`, and keep it quiet meanwhile.

    Parameters
    ----------
    label
        What to call the frame in the error.
    kind
        What is decoded, for instance TIFF.

    Raises
    ------
    FrameError
        For any exception raised inside.

    Examples
    --------
    >>> with decoding("frame.tif", "TIFF"):
    ...     raise ValueError("its end is missing")
    Traceback (most recent call last):
    corroscope.errors.FrameError: frame.tif: broken or truncated TIFF (its end is missing); \
copy the file anew
    """
    try:
        with _quiet_decoders():
            yield
    except FrameError:
        raise
    except Exception as error:  # each decoder has exceptions of its own, and Pillow several
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FrameError(
            f"{label}: broken or truncated {kind} ({reason}); copy the file anew"
        ) from error


@contextlib.contextmanager
def _quiet_decoders() -> Iterator[None]:
    """What a decoder warns of is either harmless or followed by an exception."""
    logger = logging.getLogger("tifffile")
    was = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = was


def to_grey(
    pixels: NDArray[np.generic], path: str | Path
) -> NDArray[np.uint8 | np.uint16 | np.float32]:
    """Decoded pixels as one grey frame, without rescaling; colour by luma.

    Parameters
    ----------
    pixels
        ``(height, width)`` or ``(height, width, samples)`` with 1 to 4 samples; of two
        or four the last is alpha.
    path
        What to call the frame in an error.

    Returns
    -------
    ndarray of uint8, uint16 or float32
        ``(height, width)``.

    Raises
    ------
    FrameError
        If this is no such image, or has pixels that are not finite.

    Examples
    --------
    >>> green = np.zeros((16, 20, 3), np.uint8)
    >>> green[..., 1] = 100
    >>> int(to_grey(green, "green.png")[0, 0])
    59
    """
    if pixels.ndim == 3 and pixels.shape[-1] in (1, 2):
        pixels = pixels[..., 0]
    if pixels.size == 0 or pixels.ndim not in (2, 3):
        raise FrameError(f"{path}: has shape {pixels.shape}; give one image of height × width")
    if pixels.ndim == 3 and pixels.shape[-1] not in (3, 4):
        raise FrameError(f"{path}: has {pixels.shape[-1]} channels; save it as grey or RGB")
    if not (pixels.dtype == bool or pixels.dtype.kind in "uif"):
        raise FrameError(f"{path}: pixels are {pixels.dtype}; give integers or floating point")
    if pixels.dtype.kind == "f":
        pixels = _finite(pixels, path)
    if pixels.ndim == 3:
        grey = pixels[..., :3].astype(np.float32) @ np.asarray(LUMA_WEIGHTS, np.float32)
        pixels = np.rint(grey).astype(pixels.dtype) if pixels.dtype.kind == "u" else grey
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    if pixels.dtype == np.uint16:
        return pixels.astype(np.uint16)  # also brings big-endian files into native order
    return pixels.astype(np.float32)


def _finite(pixels: NDArray[np.generic], path: str | Path) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        narrowed = pixels.astype(np.float32)
    count = int(np.count_nonzero(~np.isfinite(narrowed)))
    if count:
        raise FrameError(f"{path}: {count} pixels are NaN or infinite; replace them first")
    return narrowed
