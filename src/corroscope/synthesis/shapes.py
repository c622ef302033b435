"""Shapes of small things and the shadows they cast.

A shape is given by its outline; its shadow is the share of each pixel that it covers,
at sub-pixel places, blurred when it is out of focus.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

FINE: Final = 4
"""Sub-pixels to a pixel, in each direction."""

Outline = NDArray[np.float64]
"""``(corners, 2)``, rows and columns about the centre, in pixels."""


def grain(radius_px: float, rng: np.random.Generator, roughness: float = 0.16) -> Outline:
    """Outline of a single irregular grain.

    Parameters
    ----------
    radius_px
        Radius of the disc of the same area, in pixels.
    rng
        Source of all randomness.
    roughness
        SD of each wave of the outline, as a share of the radius.

    Returns
    -------
    ndarray of float64
        ``(24, 2)``.

    Examples
    --------
    >>> grain(2.0, np.random.default_rng(0)).shape
    (24, 2)
    """
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radius = np.ones_like(angle)
    for wave in (2, 3, 4):
        radius += rng.normal(0, roughness) / (wave - 1) * np.cos(wave * angle + rng.uniform(0, 7))
    return _scaled(np.maximum(radius, 0.3)[:, None] * _directions(angle), radius_px)


def rod(
    radius_px: float,
    rng: np.random.Generator,
    angle_rad: float | None = None,
    longest: float = 5,
) -> Outline:
    """Outline of a needle, at least twice as long as it is wide.

    Parameters
    ----------
    radius_px
        Radius of the disc of the same area, in pixels.
    rng
        Source of all randomness.
    angle_rad
        Direction, 0 along x and positive towards y; any by default.
    longest
        Largest ratio of length to width.

    Returns
    -------
    ndarray of float64
        ``(24, 2)``.

    Examples
    --------
    >>> bool(np.ptp(rod(2.0, np.random.default_rng(0)), axis=0).max() > 4)
    True
    """
    stretch = np.sqrt(rng.uniform(2, longest))
    outline = grain(radius_px, rng, roughness=0.08) * np.array([stretch, 1 / stretch])
    angle = rng.uniform(0, np.pi) if angle_rad is None else angle_rad
    turn = np.array([[np.sin(angle), np.cos(angle)], [np.cos(angle), -np.sin(angle)]])
    return np.asarray(outline @ turn)


def clump(radius_px: float, rng: np.random.Generator) -> Outline:
    """Outline about several grains that touch.

    Parameters
    ----------
    radius_px
        Radius of the disc of the same area, in pixels.
    rng
        Source of all randomness.

    Returns
    -------
    ndarray of float64
        ``(48, 2)``.

    Examples
    --------
    >>> clump(3.0, np.random.default_rng(0)).shape
    (48, 2)
    """
    centres = rng.normal(0, 0.8, (int(rng.integers(2, 5)), 2))
    radii = rng.uniform(0.6, 1.1, len(centres))
    centres -= centres.mean(axis=0)
    rays = _directions(np.linspace(0, 2 * np.pi, 48, endpoint=False))
    # How far each ray from the middle stays in one of the discs.
    along = rays @ centres.T
    inside = radii**2 - (centres**2).sum(axis=1) + along**2
    reach = np.where(inside > 0, along + np.sqrt(np.maximum(inside, 0)), 0).max(axis=1)
    return _scaled(np.maximum(reach, 0.3)[:, None] * rays, radius_px)


def shadow(
    outline: Outline, offset: tuple[float, float], blur_px: float
) -> tuple[NDArray[np.float32], int]:
    """Share of each pixel that a shape covers.

    Parameters
    ----------
    outline
        The shape, in pixels.
    offset
        Row and column of its centre from the centre of the middle pixel.
    blur_px
        Radius of the disc into which a point is spread when out of focus; 0 in focus.

    Returns
    -------
    cover : ndarray of float32
        ``(2 * reach + 1, 2 * reach + 1)``, from 0 to 1; adds up to the shape's area.
    reach : int
        Pixels from the middle to the border.

    Examples
    --------
    >>> cover, reach = shadow(grain(2.0, np.random.default_rng(0)), (0, 0), 0)
    >>> round(float(cover.sum()) / (np.pi * 4), 1)
    1.0
    """
    reach = int(np.ceil(np.abs(outline).max() + max(map(abs, offset)) + blur_px)) + 2
    side = (2 * reach + 1) * FINE
    # Centre of the middle pixel, in sub-pixels; cv2 takes 1/16 of them.
    middle = reach * FINE + (FINE - 1) / 2
    corners = np.rint((middle + (outline + np.array(offset)) * FINE)[:, ::-1] * 16).astype(np.int32)
    fine = np.zeros((side, side), np.uint8)
    cv2.fillPoly(fine, [corners], 255, cv2.LINE_AA, 4)
    cover = cv2.resize(fine.astype(np.float32) / 255, None, fx=1 / FINE, fy=1 / FINE,
                       interpolation=cv2.INTER_AREA)  # fmt: skip
    # The border that fillPoly draws adds half a sub-pixel and more all round. Scaling takes
    # the surplus from the whole shape, so that the smallest are a little less than opaque.
    cover = np.minimum(cover * (_area(outline) / max(float(cover.sum()), 1e-6)), 1)
    if blur_px > 0.3:
        cover = cv2.filter2D(cover, -1, _disc(blur_px), borderType=cv2.BORDER_CONSTANT)
    return np.asarray(cover, np.float32), reach


def draw_shadow(
    light: NDArray[np.float32],
    place: tuple[float, float],
    outline: Outline,
    opacity: float,
    blur_px: float,
) -> None:
    """Take away the light that a shape hides.

    Parameters
    ----------
    light
        ``(height, width)``; changed in place.
    place
        Row and column of the shape's centre; may lie outside.
    outline
        The shape.
    opacity
        Share of the light that is taken away; negative to brighten.
    blur_px
        As for `shadow`.

    Examples
    --------
    >>> light = np.ones((9, 9), np.float32)
    >>> draw_shadow(light, (4, 4), grain(2.0, np.random.default_rng(0)), 0.5, 0)
    >>> bool(light[4, 4] < 0.6), float(light[0, 0])
    (True, 1.0)
    """
    row, column = round(place[0]), round(place[1])
    cover, reach = shadow(outline, (place[0] - row, place[1] - column), blur_px)
    here, there = overlap(light.shape, row - reach, column - reach, cover.shape)
    light[here] *= 1 - np.float32(opacity) * cover[there]


def overlap(
    shape: tuple[int, ...], top: int, left: int, window: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where a window lies in an image, and which part of the window that is.

    Parameters
    ----------
    shape
        Height and width of the image.
    top, left
        Place of the window's first pixel in the image; may lie outside.
    window
        Height and width of the window.

    Returns
    -------
    tuple of tuple of slice
        Rows and columns of the image, then those of the window; empty where they do
        not overlap.

    Examples
    --------
    >>> overlap((10, 10), -2, 7, (5, 5))
    ((slice(0, 3, None), slice(7, 10, None)), (slice(2, 5, None), slice(0, 3, None)))
    """
    here, there = [], []
    for length, start, size in zip(shape, (top, left), window, strict=True):
        first = min(max(0, start), length)
        last = max(first, min(length, start + size))
        here.append(slice(first, last))
        there.append(slice(first - start, last - start))
    return (here[0], here[1]), (there[0], there[1])


def _disc(radius_px: float) -> NDArray[np.float32]:
    """What a point becomes out of focus: a disc, a little brighter towards its rim."""
    reach = int(np.ceil(radius_px)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    distance = np.hypot(y, x)
    disc = np.clip(radius_px + 0.5 - distance, 0, 1) * (1 + 0.5 * (distance / radius_px) ** 2)
    return np.asarray(disc / disc.sum(), np.float32)


def _directions(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([np.sin(angle), np.cos(angle)])


def _area(outline: Outline) -> float:
    y, x = outline.T
    before = np.arange(-1, y.size - 1)
    return float(abs(np.dot(y, x[before]) - np.dot(x, y[before])) / 2)


def _scaled(outline: Outline, radius_px: float) -> Outline:
    return np.asarray(outline * (radius_px * np.sqrt(np.pi / max(_area(outline), 1e-9))))
