"""What the click network is shown: the surroundings of a click, in units of what was clicked.

Everything is relative to the contrast between the clicked pixel and the ring round it, so that
the same particle looks the same under another lamp, exposure or bit depth, and in a difference.
"""

from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

WINDOW_PX: Final = 24
"""Side of what the network is shown; in blocks of ``scale`` × ``scale`` pixels."""

CENTRE: Final = WINDOW_PX // 2
"""Row and column of the clicked pixel in the window."""

PLANES: Final = 5

SNAP_RADIUS_PX: Final = 2.5
"""A click goes to the darkest place this near: hands are not steadier than that."""

_RING_PX: Final = (4.0, 7.0)  # where the surroundings of a particle of usual size begin
_NOISE_RING_PX: Final = (5.0, 10.0)
_CORE_PX: Final = 1.5


class Surroundings(NamedTuple):
    """What the network is shown of some clicks.

    Attributes
    ----------
    planes
        ``(clicks, 5, 24, 24)`` float32: darkness, between 0 for the surroundings and 1 for the
        clicked spot; the darkness of the brightest pixel that one cannot avoid on the way from
        there; nearness to the click; contrast over noise; darkness against the brighter parts
        of the window.
    contrast
        ``(clicks,)`` float32, grey levels between the clicked spot and the ring round it; 0 or
        less where nothing stands out.
    ground
        ``(clicks,)`` float32, grey level of the ring.
    noise
        ``(clicks,)`` float32, standard deviation of a wider ring, grey levels.
    """

    planes: NDArray[np.float32]
    contrast: NDArray[np.float32]
    ground: NDArray[np.float32]
    noise: NDArray[np.float32]


def snap(image: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Move clicks to the darkest spot near them.

    Parameters
    ----------
    image
        ``(height, width)`` float32; particles are dark.
    points
        ``(clicks, 2)``, row and column; pixel centres are at integers.

    Returns
    -------
    ndarray of int64
        ``(clicks, 2)``: pixels within `SNAP_RADIUS_PX`, the darkest after slight smoothing.

    Examples
    --------
    >>> image = np.full((9, 9), 100, np.float32)
    >>> image[4, 5] = 20
    >>> snap(image, np.array([[3.2, 4.4]])).tolist()
    [[4, 5]]
    """
    return _snap(image, points, SNAP_RADIUS_PX)


def surroundings(
    image: NDArray[np.float32], pixels: NDArray[np.int64], scale: int = 1
) -> Surroundings:
    """Cut out and normalise what lies round some pixels.

    Parameters
    ----------
    image
        ``(height, width)`` float32; particles are dark. Mirrored beyond its border.
    pixels
        ``(clicks, 2)``, row and column.
    scale
        Side of the block of pixels whose mean is one pixel of the window.

    Returns
    -------
    Surroundings
        Planes and contrasts, one for each click.

    Examples
    --------
    >>> image = np.full((60, 60), 100, np.float32)
    >>> image[29:32, 29:32] = 40
    >>> shown = surroundings(image, np.array([[30, 30]]))
    >>> shown.contrast.tolist(), shown.planes[0, 0, 12, 9:16].tolist()
    ([60.0], [0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    """
    planes = np.empty((len(pixels), PLANES, WINDOW_PX, WINDOW_PX), np.float32)
    levels = np.empty((len(pixels), 3), np.float32)
    _surroundings(image, pixels, scale, _ROUND, planes, levels)
    return Surroundings(planes, *levels.T)


def _distances() -> NDArray[np.float32]:
    rows, cols = np.mgrid[:WINDOW_PX, :WINDOW_PX] - CENTRE
    return np.hypot(rows, cols).astype(np.float32)


_ROUND: Final = _distances()


@njit(cache=True, nogil=True)
def _mirrored(index: int, size: int) -> int:
    """The index within the image that a mirror at its border shows."""
    if size == 1:
        return 0
    period = 2 * size - 2
    index = abs(index) % period
    return period - index if index >= size else index


@njit(cache=True, nogil=True)
def _snap(
    image: NDArray[np.float32], points: NDArray[np.float64], radius: float
) -> NDArray[np.int64]:
    height, width = image.shape
    reach = int(np.ceil(radius))
    taps = np.exp(-(np.array([-2.0, -1.0, 0.0, 1.0, 2.0]) ** 2) / (2 * 0.7**2))
    found = np.empty(points.shape, np.int64)
    for click in range(len(points)):
        row, col = points[click]
        darkest = np.inf
        middle_row, middle_col = int(np.rint(row)), int(np.rint(col))
        for r in range(max(middle_row - reach, 0), min(middle_row + reach + 1, height)):
            for c in range(max(middle_col - reach, 0), min(middle_col + reach + 1, width)):
                if (r - row) ** 2 + (c - col) ** 2 > radius**2:
                    continue
                smoothed = 0.0
                for i in range(5):
                    y = _mirrored(r + i - 2, height)
                    for j in range(5):
                        smoothed += taps[i] * taps[j] * image[y, _mirrored(c + j - 2, width)]
                if smoothed < darkest:
                    darkest = smoothed
                    found[click, 0], found[click, 1] = r, c
    return found


@njit(cache=True, nogil=True)
def _surroundings(
    image: NDArray[np.float32],
    pixels: NDArray[np.int64],
    scale: int,
    distance: NDArray[np.float32],
    planes: NDArray[np.float32],
    levels: NDArray[np.float32],
) -> None:
    height, width = image.shape
    size = distance.shape[0]
    window = np.empty((size, size), np.float32)
    rows, cols = np.empty(size * scale, np.int64), np.empty(size * scale, np.int64)
    for click in range(len(pixels)):
        start = scale * (size // 2) + scale // 2
        for i in range(size * scale):
            rows[i] = _mirrored(pixels[click, 0] + i - start, height)
            cols[i] = _mirrored(pixels[click, 1] + i - start, width)
        for i in range(size):
            for j in range(size):
                total = 0.0
                for y in range(i * scale, (i + 1) * scale):
                    for x in range(j * scale, (j + 1) * scale):
                        total += image[rows[y], cols[x]]
                window[i, j] = total / scale**2
        contrast, ground, noise = _normalise(window, distance, planes[click])
        levels[click, 0], levels[click, 1], levels[click, 2] = contrast, ground, noise


@njit(cache=True, nogil=True)
def _normalise(
    window: NDArray[np.float32], distance: NDArray[np.float32], planes: NDArray[np.float32]
) -> tuple[float, float, float]:
    """Fill the planes of one window; return contrast, ground and noise."""
    size = window.shape[0]
    near, far = np.empty(window.size, np.float32), np.empty(window.size, np.float32)
    n_near = n_far = 0
    core = np.inf
    for i in range(size):
        for j in range(size):
            if distance[i, j] < _CORE_PX:
                core = min(core, window[i, j])
            if _RING_PX[0] <= distance[i, j] <= _RING_PX[1]:
                near[n_near] = window[i, j]
                n_near += 1
            if _NOISE_RING_PX[0] <= distance[i, j] <= _NOISE_RING_PX[1]:
                far[n_far] = window[i, j]
                n_far += 1
    # The 70th percentile: other particles in the ring darken it, hardly anything brightens it.
    ground = np.sort(near[:n_near])[int(0.7 * (n_near - 1))]
    bright = np.sort(window.ravel())[int(0.75 * (window.size - 1))]
    middle = np.sort(far[:n_far])[n_far // 2]
    noise = 1.4826 * np.sort(np.abs(far[:n_far] - middle))[n_far // 2]
    contrast = ground - core
    if contrast <= 0:
        planes[:] = 0
        return contrast, ground, noise
    # Sensors that count in whole levels may show no noise at all.
    clear = min(max(np.log(contrast / (noise + 0.01 * contrast)) / 3, 0.0), 2.0)
    span = max(bright - core, contrast)
    _flood(window, planes[1])
    for i in range(size):
        for j in range(size):
            planes[0, i, j] = min(max((ground - window[i, j]) / contrast, -1.0), 1.5)
            planes[1, i, j] = min(max((ground - planes[1, i, j]) / contrast, -1.0), 1.5)
            planes[2, i, j] = np.exp(-(distance[i, j] ** 2) / 18)
            planes[3, i, j] = clear
            planes[4, i, j] = min(max((bright - window[i, j]) / span, -1.0), 1.5)
    return contrast, ground, noise


@njit(cache=True, nogil=True)
def _flood(window: NDArray[np.float32], level: NDArray[np.float32]) -> None:
    """Level of water at the centre that first wets each pixel: the minimax path from there."""
    size = window.shape[0]
    wet = np.full((size + 2, size + 2), np.float32(np.inf))
    wet[size // 2 + 1, size // 2 + 1] = window[size // 2, size // 2]
    changed = True
    while changed:
        changed = False
        for i in range(1, size + 1):
            for j in range(1, size + 1):
                above = min(wet[i - 1, j - 1], wet[i - 1, j], wet[i - 1, j + 1], wet[i, j - 1])
                rises = max(above, window[i - 1, j - 1])
                if rises < wet[i, j]:
                    wet[i, j] = rises
                    changed = True
        for i in range(size, 0, -1):
            for j in range(size, 0, -1):
                below = min(wet[i + 1, j - 1], wet[i + 1, j], wet[i + 1, j + 1], wet[i, j + 1])
                rises = max(below, window[i - 1, j - 1])
                if rises < wet[i, j]:
                    wet[i, j] = rises
                    changed = True
    level[:] = wet[1:-1, 1:-1]
