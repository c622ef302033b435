"""One image file → one grey frame."""

import contextlib
import hashlib
import io
import logging
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
    try:
        with _quiet_decoders():
            pixels = _decode_tiff(content, path) if kind == "tiff" else _decode(content, kind)
    except FrameError:
        raise
    except Exception as error:  # each decoder has exceptions of its own, and Pillow several
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FrameError(
            f"{path}: broken or truncated {kind.upper()} ({reason}); copy the file anew"
        ) from error
    return _grey(pixels, path)


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
    with tifffile.TiffFile(io.BytesIO(content)) as tiff:
        page = tiff.pages.first
        # Thumbnails are pages as well; a stack may also be one page with many frames.
        pages = sum(not getattr(p, "is_reduced", False) for p in tiff.pages)
        count = max(pages, tiff.series[0].size // max(page.size, 1))
        if count > 1:
            raise FrameError(f"{path}: holds {count} frames; give single frames, one file each")
        pixels = np.asarray(page.asarray())
        # Planar colour has its samples first; put them last, as the others do.
        if page.axes.startswith("S") and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        photometric = page.photometric
        if photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind in "bu":
            return np.asarray(~pixels)
        if photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
            # Colours have 16 bits; some writers put 8 into them.
            colours = page.colormap >> 8 if page.colormap.max() > 255 else page.colormap
            return np.asarray(np.moveaxis(colours[:, pixels], 0, -1), np.uint8)
        decoded = photometric == tifffile.PHOTOMETRIC.YCBCR and page.compression in _JPEG
        if not (photometric in _GREY_OR_RGB or decoded):
            name = getattr(photometric, "name", photometric)
            raise FrameError(f"{path}: TIFF in {name} colours; save it as grey or RGB")
        return pixels


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


def _grey(pixels: NDArray[np.generic], path: Path) -> NDArray[np.uint8 | np.uint16 | np.float32]:
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


def _finite(pixels: NDArray[np.generic], path: Path) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        narrowed = pixels.astype(np.float32)
    count = int(np.count_nonzero(~np.isfinite(narrowed)))
    if count:
        raise FrameError(f"{path}: {count} pixels are NaN or infinite; replace them first")
    return narrowed
