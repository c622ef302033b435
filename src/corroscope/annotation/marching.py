"""Fast marching: when a front that started at some seeds comes by each pixel.

The front obeys the eikonal equation ``|∇T| = slowness``. Pixels are accepted in order of their
arrival time, so that a march can stop early, and what has been reached is always one piece.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from corroscope.errors import AnnotationError

_STEPS: Final = ((-1, 0), (1, 0), (0, -1), (0, 1))


def arrival_times(
    slowness: NDArray[np.floating],
    seeds: Sequence[tuple[int, int]],
    *,
    stop_time: float = np.inf,
    order: int = 2,
) -> NDArray[np.float64]:
    """March a front from seeds over a map of slowness.

    Parameters
    ----------
    slowness
        ``(height, width)``, time per pixel; positive and finite.
    seeds
        Rows and columns of the pixels where the front is at time 0; one or many.
    stop_time
        Later pixels are not visited.
    order
        1 or 2: of the upwind differences. The second is more exact where the front is smooth.

    Returns
    -------
    ndarray of float64
        ``(height, width)``, arrival time; inf where the front did not come before `stop_time`.

    Raises
    ------
    AnnotationError
        If a slowness is not positive and finite, there is no seed, one lies outside the map, or
        the order is neither 1 nor 2.

    References
    ----------
    J. A. Sethian, *A fast marching level set method for monotonically advancing fronts*, PNAS 93
    (1996) 1591–1595, doi:10.1073/pnas.93.4.1591; second order: J. A. Sethian, *Fast marching
    methods*, SIAM Review 41 (1999) 199–235, doi:10.1137/S0036144598347059.

    Examples
    --------
    >>> arrival_times(np.full((1, 4), 2.0), [(0, 0)]).tolist()
    [[0.0, 2.0, 4.0, 6.0]]
    >>> arrival_times(np.full((1, 4), 2.0), [(0, 0)], stop_time=3).tolist()
    [[0.0, 2.0, inf, inf]]
    """
    cost: NDArray[np.float64] = np.ascontiguousarray(slowness, np.float64)
    if cost.ndim != 2 or not (np.isfinite(cost).all() and (cost > 0).all()):
        raise AnnotationError("the slowness of a front must be a positive, finite map")
    if order not in (1, 2):
        raise AnnotationError(f"fast marching of order {order}: use 1 or 2")
    at = np.asarray(seeds, np.int64).reshape(-1, 2)
    if len(at) == 0:
        raise AnnotationError("a front needs one seed at least")
    outside = ((at < 0) | (at >= cost.shape)).any(axis=1)
    if outside.any():
        row, col = at[outside.argmax()]
        height, width = cost.shape
        raise AnnotationError(
            f"seed ({row}, {col}) is outside the map of {height} by {width} pixels"
        )
    times = np.empty_like(cost)
    reached = np.empty(cost.size, np.int64)
    march(cost, at, stop_time, order, times, reached)
    return times


@njit(cache=True, nogil=True)
def march(
    slowness: NDArray[np.float64],
    seeds: NDArray[np.int64],
    stop_time: float,
    order: int,
    times: NDArray[np.float64],
    reached: NDArray[np.int64],
) -> int:
    """March without checks, into arrays that the caller gives; for calls from compiled code.

    Fills `times` and the first places of `reached`: flat indices of the pixels in order of
    arrival. Returns how many they are.
    """
    width = slowness.shape[1]
    heap = np.empty(slowness.size, np.int64)
    place = np.full(slowness.size, -1, np.int64)  # in the heap; -1 not seen, -2 accepted
    times[:] = np.inf
    flat = times.ravel()
    waiting = count = 0
    for row, col in seeds:
        if place[row * width + col] == -1:
            flat[row * width + col] = 0.0
            waiting = _push(heap, place, flat, waiting, row * width + col)
    while waiting > 0:
        pixel = heap[0]
        if flat[pixel] > stop_time:
            break
        waiting = _pop(heap, place, flat, waiting)
        place[pixel] = -2
        reached[count] = pixel
        count += 1
        waiting = _advance(slowness, heap, place, flat, waiting, pixel, order)
    for k in range(waiting):
        flat[heap[k]] = np.inf
    return count


@njit(cache=True, nogil=True)
def _advance(
    slowness: NDArray[np.float64],
    heap: NDArray[np.int64],
    place: NDArray[np.int64],
    flat: NDArray[np.float64],
    waiting: int,
    pixel: int,
    order: int,
) -> int:
    """Bring the neighbours of an accepted pixel up to date; return how many now wait."""
    height, width = slowness.shape
    row, col = pixel // width, pixel % width
    for step_row, step_col in _STEPS:
        r, c = row + step_row, col + step_col
        if not (0 <= r < height and 0 <= c < width):
            continue
        near = r * width + c
        if place[near] == -2:
            continue
        time = _solve(flat, place, height, width, r, c, slowness[r, c], order)
        if time < flat[near]:
            flat[near] = time
            if place[near] == -1:
                waiting = _push(heap, place, flat, waiting, near)
            else:
                _rise(heap, place, flat, place[near])
    return waiting


@njit(cache=True, nogil=True)
def _solve(
    flat: NDArray[np.float64],
    place: NDArray[np.int64],
    height: int,
    width: int,
    row: int,
    col: int,
    slowness: float,
    order: int,
) -> float:
    """Arrival time at a pixel from its accepted neighbours."""
    across, across_weight = _upwind(flat, place, row * width + col, 1, col, width, order)
    along, along_weight = _upwind(flat, place, row * width + col, width, row, height, order)
    if along_weight == 0:
        return across + slowness / np.sqrt(across_weight)
    if across_weight == 0:
        return along + slowness / np.sqrt(along_weight)
    # across_weight (T − across)² + along_weight (T − along)² = slowness²
    weight = across_weight + along_weight
    mean = (across_weight * across + along_weight * along) / weight
    apart = across_weight * along_weight / weight * (across - along) ** 2
    if apart <= slowness**2:
        return mean + np.sqrt((slowness**2 - apart) / weight)
    # The front comes along the axis where it is earlier alone.
    if across < along:
        return across + slowness / np.sqrt(across_weight)
    return along + slowness / np.sqrt(along_weight)


@njit(cache=True, nogil=True)
def _upwind(
    flat: NDArray[np.float64],
    place: NDArray[np.int64],
    pixel: int,
    stride: int,
    index: int,
    size: int,
    order: int,
) -> tuple[float, float]:
    """Base time and weight of the upwind difference along one axis; weight 0 without one."""
    first, second = np.inf, np.inf
    for side in (-1, 1):
        if not 0 <= index + side < size or place[pixel + side * stride] != -2:
            continue
        time = flat[pixel + side * stride]
        if time < first:
            first, second = time, np.inf
            if 0 <= index + 2 * side < size and place[pixel + 2 * side * stride] == -2:
                second = flat[pixel + 2 * side * stride]
    if first == np.inf:
        return 0.0, 0.0
    if order == 2 and second < first:
        return (4 * first - second) / 3, 2.25
    return first, 1.0


@njit(cache=True, nogil=True)
def _push(
    heap: NDArray[np.int64],
    place: NDArray[np.int64],
    flat: NDArray[np.float64],
    waiting: int,
    pixel: int,
) -> int:
    heap[waiting] = pixel
    place[pixel] = waiting
    _rise(heap, place, flat, waiting)
    return waiting + 1


@njit(cache=True, nogil=True)
def _rise(
    heap: NDArray[np.int64], place: NDArray[np.int64], flat: NDArray[np.float64], k: int
) -> None:
    pixel = heap[k]
    while k > 0 and flat[heap[(k - 1) // 2]] > flat[pixel]:
        heap[k] = heap[(k - 1) // 2]
        place[heap[k]] = k
        k = (k - 1) // 2
    heap[k] = pixel
    place[pixel] = k


@njit(cache=True, nogil=True)
def _pop(
    heap: NDArray[np.int64], place: NDArray[np.int64], flat: NDArray[np.float64], waiting: int
) -> int:
    """Take the first out of the heap; return how many are left."""
    waiting -= 1
    pixel = heap[waiting]
    k = 0
    while 2 * k + 1 < waiting:
        child = 2 * k + 1
        if child + 1 < waiting and flat[heap[child + 1]] < flat[heap[child]]:
            child += 1
        if flat[heap[child]] >= flat[pixel]:
            break
        heap[k] = heap[child]
        place[heap[k]] = k
        k = child
    heap[k] = pixel
    place[pixel] = k
    return waiting
