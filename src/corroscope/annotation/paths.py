"""Minimal paths: the cheapest way from one pixel to another, and what a closed path goes round."""

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from corroscope.annotation.marching import arrival_times
from corroscope.errors import AnnotationError


def minimal_path(
    cost: NDArray[np.floating], start: tuple[int, int], goal: tuple[int, int]
) -> NDArray[np.int64]:
    """Find the cheapest way from a pixel to another.

    A front marches from the goal; from the start one goes down its arrival times. Unlike the
    shortest path in a grid of pixels, this does not prefer some directions to others.

    Parameters
    ----------
    cost
        ``(height, width)``, cost per pixel of way; positive and finite.
    start, goal
        Row and column.

    Returns
    -------
    ndarray of int64
        ``(length, 2)``: pixels from start to goal, each a neighbour of the one before.

    Raises
    ------
    AnnotationError
        If a cost is not positive and finite, or a pixel lies outside.

    References
    ----------
    L. D. Cohen, R. Kimmel, *Global minimum for active contour models: a minimal path approach*,
    International Journal of Computer Vision 24 (1997) 57–78, doi:10.1023/A:1007922224810.

    Examples
    --------
    >>> cost = np.full((3, 5), 9.0)
    >>> cost[2], cost[:, 0], cost[:, 4] = 1, 1, 1
    >>> minimal_path(cost, (0, 0), (0, 4)).tolist()
    [[0, 0], [1, 0], [2, 1], [2, 2], [2, 3], [1, 4], [0, 4]]
    """
    if not (0 <= start[0] < cost.shape[0] and 0 <= start[1] < cost.shape[1]):
        raise AnnotationError(
            f"a path cannot start at {start}, outside the map of {cost.shape[0]} by "
            f"{cost.shape[1]} pixels"
        )
    return _descended(arrival_times(cost, [goal], order=1), np.array(start))


def winding_number(polygon: ArrayLike, points: ArrayLike) -> NDArray[np.int64]:
    """How often a closed polygon goes round points.

    Parameters
    ----------
    polygon
        ``(vertices, 2)``, row and column; the last is joined to the first.
    points
        ``(n, 2)``, row and column.

    Returns
    -------
    ndarray of int64
        ``(n,)``: with its sign; 0 outside.

    References
    ----------
    K. Hormann, A. Agathos, *The point in polygon problem for arbitrary polygons*, Computational
    Geometry 20 (2001) 131–144, doi:10.1016/S0925-7721(01)00012-8.

    Examples
    --------
    >>> square = [(0, 0), (0, 2), (2, 2), (2, 0)]
    >>> abs(winding_number(square, [(1, 1), (3, 1)])).tolist()
    [1, 0]
    """
    corners = np.asarray(polygon, np.float64)
    rows, cols = np.asarray(points, np.float64).reshape(-1, 2).T[:, :, None]
    row, col = corners.T
    next_row, next_col = np.roll(corners, -1, axis=0).T
    side = (next_col - col) * (rows - row) - (cols - col) * (next_row - row)
    up = (row <= rows) & (next_row > rows) & (side < 0)
    down = (row > rows) & (next_row <= rows) & (side > 0)
    turns: NDArray[np.int64] = up.sum(axis=1) - down.sum(axis=1)
    return turns


@njit(cache=True, nogil=True)
def _descended(times: NDArray[np.float64], start: NDArray[np.int64]) -> NDArray[np.int64]:
    height, width = times.shape
    path = np.empty((times.size, 2), np.int64)
    row, col = start
    length = 0
    while True:
        path[length] = row, col
        length += 1
        if times[row, col] == 0:
            return path[:length].copy()
        best, best_row, best_col = -np.inf, row, col
        for r in range(max(row - 1, 0), min(row + 2, height)):
            for c in range(max(col - 1, 0), min(col + 2, width)):
                fall = times[row, col] - times[r, c]
                if r != row and c != col:
                    fall /= np.sqrt(2.0)
                if fall > best and (r != row or c != col):
                    best, best_row, best_col = fall, r, c
        row, col = best_row, best_col
