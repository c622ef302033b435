"""The closed geodesic round a point: the cheapest way once round it, along its edges."""

from typing import Final

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from corroscope.annotation.instances import Instance
from corroscope.errors import AnnotationError

ANGLES: Final = 48
REACHES_PX: Final = (12.0, 24.0, 48.0, 90.0)
"""Largest radius; it grows until the contour keeps clear of it."""

_STEP: Final = 1 / 24  # of the radius, in units of the reach
_SMOOTHING_PX: Final = 0.7


def closed_geodesic(
    image: NDArray[np.float32], point: tuple[float, float], outwards_px: float = 0.8
) -> Instance:
    """Find the cheapest closed path once round a point.

    The picture is unrolled round the point, so that a path through all angles that ends where it
    began goes round it exactly once. It is cheap where the picture brightens outwards.

    Parameters
    ----------
    image
        ``(height, width)``, grey; the spot is dark.
    point
        Row and column inside the spot.
    outwards_px
        How far outside the steepest edge annotators draw.

    Returns
    -------
    Instance
        Pixels whose centres the path goes round; the point's own pixel at least.

    Raises
    ------
    AnnotationError
        If nothing brightens outwards, or what does is larger than the largest window.

    References
    ----------
    B. Appleton, C. Sun, *Circular shortest paths by branch and bound*, Pattern Recognition 36
    (2003) 2513–2520, doi:10.1016/S0031-3203(03)00122-5, for the problem; here each start is tried.

    Examples
    --------
    >>> rows, cols = np.indices((61, 61))
    >>> disc = np.where(np.hypot(rows - 30, cols - 30) < 5, 20, 100).astype(np.float32)
    >>> closed_geodesic(disc, (30, 30), outwards_px=0).area_px, int((disc < 60).sum())
    (69, 69)
    """
    angles = 2 * np.pi * np.arange(ANGLES) / ANGLES
    for reach in REACHES_PX:
        step = reach * _STEP
        radii = step * np.arange(1, round(1 / _STEP) + 2)
        rows = (point[0] + np.outer(np.sin(angles), radii)).astype(np.float32)
        cols = (point[1] + np.outer(np.cos(angles), radii)).astype(np.float32)
        smooth, row, col = _near(image, point, reach, step)
        unrolled = cv2.remap(
            smooth, cols - col, rows - row, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE
        )
        edge = np.maximum(np.diff(unrolled, axis=1), 0)
        strongest = float(edge.max())
        if strongest <= 0:
            continue
        cost = 1.0 / (0.05 + edge / strongest)
        place = _cheapest_ring(cost.astype(np.float64))
        if place.max() >= len(radii) - 3:
            continue
        radius = radii[place] + step / 2 + outwards_px
        return _inside(radius, angles, point, image.shape)
    raise AnnotationError(
        f"point ({point[0]:g}, {point[1]:g}): no edge of a dark spot goes round it within "
        f"{REACHES_PX[-1]:g} px; click into one"
    )


def _near(
    image: NDArray[np.float32], point: tuple[float, float], reach: float, step: float
) -> tuple[NDArray[np.float32], int, int]:
    """The smoothed neighbourhood, with the row and column of its corner."""
    margin = int(np.ceil(reach)) + 4
    top, left = max(round(point[0]) - margin, 0), max(round(point[1]) - margin, 0)
    part = image[top : round(point[0]) + margin + 1, left : round(point[1]) + margin + 1]
    smooth = cv2.GaussianBlur(part, (0, 0), max(_SMOOTHING_PX, step / 2))
    return np.asarray(smooth, np.float32), top, left


@njit(cache=True, nogil=True)
def _cheapest_ring(cost: NDArray[np.float64]) -> NDArray[np.int64]:
    """Radius at each angle of the cheapest closed path; neighbours differ by one step at most."""
    angles, radii = cost.shape
    best = np.inf
    ring = np.zeros(angles, np.int64)
    came = np.empty((angles, radii), np.int64)
    for start in range(radii):
        total = np.full(radii, np.inf)
        total[start] = cost[0, start]
        for angle in range(1, angles):
            reached = np.full(radii, np.inf)
            for radius in range(max(0, start - angle), min(radii, start + angle + 1)):
                for last in range(max(0, radius - 1), min(radii, radius + 2)):
                    if total[last] < reached[radius]:
                        reached[radius] = total[last]
                        came[angle, radius] = last
                reached[radius] += cost[angle, radius]
            total = reached
        for radius in range(max(0, start - 1), min(radii, start + 2)):
            if total[radius] < best:
                best = total[radius]
                at = radius
                for angle in range(angles - 1, 0, -1):
                    ring[angle] = at
                    at = came[angle, at]
                ring[0] = start
    return ring


def _inside(
    radius: NDArray[np.floating],
    angles: NDArray[np.float64],
    point: tuple[float, float],
    shape: tuple[int, ...],
) -> Instance:
    reach = int(np.ceil(radius.max())) + 1
    top, left = max(round(point[0]) - reach, 0), max(round(point[1]) - reach, 0)
    rows, cols = np.mgrid[
        top : min(round(point[0]) + reach + 1, shape[0]),
        left : min(round(point[1]) + reach + 1, shape[1]),
    ]
    rise, run = rows - point[0], cols - point[1]
    at = np.interp(np.arctan2(rise, run) % (2 * np.pi), angles, radius, period=2 * np.pi)
    mask = np.hypot(rise, run) <= at
    mask[round(point[0]) - top, round(point[1]) - left] = True
    return Instance.of(mask, corner_px=(top, left))
