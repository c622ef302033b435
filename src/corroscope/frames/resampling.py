"""Moving a picture by sub-pixels."""

from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from corroscope.errors import FrameError

LANCZOS_PX: Final = 4
"""Pixels on either side that a value between pixels is made from."""


def shift_frame(
    image: NDArray[Any], dy_px: float, dx_px: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Move a picture, by sub-pixels as well.

    A reference moved by what `Aligner.measure` found lies on the grid of the frame; a
    frame moved by the negative of it lies on the grid of the reference. Values between
    pixels come from Lanczos interpolation over 8 pixels (Duchon 1979,
    doi:10.1175/1520-0450(1979)018<1016:LFIOAT>2.0.CO;2); at whole shifts they are the
    pixels themselves.

    Parameters
    ----------
    image
        ``(height, width)``, integer or floating point.
    dy_px, dx_px
        Rows and columns to move by: what was at ``(y, x)`` comes to ``(y + dy_px, x + dx_px)``.

    Returns
    -------
    moved : ndarray of float32
        ``(height, width)``; mirrored where the image does not reach.
    covered : ndarray of bool
        ``(height, width)``, false where the image does not reach.

    Raises
    ------
    FrameError
        If the image is no grey frame, has pixels that are not finite, or the shift is
        not finite.

    Examples
    --------
    >>> image = np.zeros((32, 32))
    >>> image[5, 6] = 1
    >>> moved, covered = shift_frame(image, 2, -3)
    >>> float(moved[7, 3]), bool(covered[1].any()), bool(covered[2, :29].all())
    (1.0, False, True)
    """
    check_frame(image, "image", smallest_px=1)
    if not np.isfinite([dy_px, dx_px]).all():
        raise FrameError(f"cannot move by ({dy_px}, {dx_px}) px; give a frame that was aligned")
    whole = np.floor([-dy_px, -dx_px]).astype(int)
    fraction = np.array([-dy_px, -dx_px]) - whole
    size = (image.shape[0] + 2 * LANCZOS_PX, image.shape[1] + 2 * LANCZOS_PX)
    moved = between_pixels(cut(image, whole - LANCZOS_PX, size), fraction)
    inside = [
        (at >= 0) & (at <= length - 1)
        for at, length in zip(
            (np.arange(image.shape[0]) - dy_px, np.arange(image.shape[1]) - dx_px),
            image.shape,
            strict=True,
        )
    ]
    return moved, np.asarray(inside[0][:, None] & inside[1])


def aligned_reference(picture: NDArray[Any], dy_px: float, dx_px: float) -> NDArray[np.float32]:
    """Bring a picture of the reference onto a frame's grid.

    Parameters
    ----------
    picture
        ``(height, width)``, of the reference: grey levels or relative contrast.
    dy_px, dx_px
        Drift of the frame.

    Returns
    -------
    ndarray of float32
        ``(height, width)``, NaN where the reference shows nothing.

    Examples
    --------
    >>> aligned_reference(np.zeros((16, 16), np.float32), 1, 0)[:2, 0].tolist()
    [nan, 0.0]
    """
    moved, covered = shift_frame(picture, dy_px, dx_px)
    moved[~covered] = np.nan
    return moved


def cut(
    image: NDArray[Any], corner: Sequence[int] | NDArray[np.int_], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Take a part of an image, mirrored where it reaches beyond.

    Parameters
    ----------
    image
        ``(height, width)``.
    corner
        First row and column, also negative.
    size
        Height and width of the part.

    Returns
    -------
    ndarray of float32
        Of that size.

    Examples
    --------
    >>> cut(np.array([[1, 2, 3]]), (0, -2), (1, 4)).tolist()
    [[3.0, 2.0, 1.0, 2.0]]
    """
    at = []
    for start, length, available in zip(corner, size, image.shape, strict=True):
        period = max(1, 2 * available - 2)
        place = (np.arange(length) + int(start)) % period
        at.append(np.minimum(place, period - place))
    part = image.take(at[0], axis=0).take(at[1], axis=1)
    return np.asarray(part, np.float32)


def between_pixels(
    image: NDArray[np.float32], fraction_px: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Interpolate at one fraction of a pixel after each pixel.

    Not by ``cv2.warpAffine`` or ``cv2.remap``, which round places to 1/32 px.

    Parameters
    ----------
    image
        ``(height, width)``.
    fraction_px
        ``(2,)``, rows and columns from each pixel on, 0 to 1.

    Returns
    -------
    ndarray of float32
        ``(height - 8, width - 8)``, without the rim that the interpolation takes.

    Examples
    --------
    >>> ramp = np.arange(20, dtype=np.float32) + np.zeros((20, 1), np.float32)
    >>> float(between_pixels(ramp, np.array([0, 0.5]))[0, 0].round(2))
    4.5
    """
    kernels = [_lanczos(float(fraction)) for fraction in fraction_px]
    moved = cv2.sepFilter2D(image, cv2.CV_32F, kernels[1], kernels[0], anchor=(3, 3))
    return np.asarray(moved, np.float32)[LANCZOS_PX:-LANCZOS_PX, LANCZOS_PX:-LANCZOS_PX]


def _lanczos(fraction: float) -> NDArray[np.float32]:
    """Weights of the pixels from 3 before to 4 after a place between two pixels."""
    distance = np.arange(1 - LANCZOS_PX, LANCZOS_PX + 1) - fraction
    weights = np.sinc(distance) * np.sinc(distance / LANCZOS_PX)
    return np.asarray(weights / weights.sum(), np.float32)


def check_frame(image: NDArray[Any], name: str, smallest_px: int = 1) -> None:
    """Refuse what is no grey frame.

    Parameters
    ----------
    image
        What should be one.
    name
        What the message calls it.
    smallest_px
        Least height and width.

    Raises
    ------
    FrameError
        If it is not two-dimensional, too small, not of numbers, or has pixels that are
        not finite.

    Examples
    --------
    >>> check_frame(np.array([[1.0, np.nan]]), "dark")
    Traceback (most recent call last):
    corroscope.errors.FrameError: the dark has pixels that are NaN or infinite; replace them first
    """
    if image.ndim != 2 or min(image.shape) < smallest_px:
        raise FrameError(
            f"the {name} has shape {image.shape}; give one grey frame of at least "
            f"{smallest_px}×{smallest_px} px"
        )
    if image.dtype.kind not in "uif":
        raise FrameError(f"the {name} is {image.dtype}; give integers or floating point")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise FrameError(f"the {name} has pixels that are NaN or infinite; replace them first")
