"""The front from one click: fast marching through what probably belongs to the particle.

Slowness is one over the probability of belonging, so that the front runs through the particle
and crawls outside. It is stopped where the intersection over union to be expected is greatest.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from corroscope.annotation.instances import Instance
from corroscope.annotation.marching import march

LEAST_PROBABILITY: Final = 1e-3

LATEST: Final = 64.0
"""For how long a front runs where only the particle matters and no larger level: through pixels
that may belong to it, it takes 1 to 4 a pixel."""

_NONE: Final = np.empty((0, 2), np.int64)


@dataclass(frozen=True)
class Front:
    """A front that has run over a window.

    Attributes
    ----------
    probability
        ``(height, width)`` float32, of belonging to the particle.
    corner_px
        Row and column of the window's top-left pixel in the image.
    reached
        Flat indices of the window's pixels in order of arrival.
    count
        How many of them are the particle.
    """

    probability: NDArray[np.float32]
    corner_px: tuple[int, int]
    reached: NDArray[np.int64]
    count: int

    def mask(self, count: int | None = None) -> NDArray[np.bool_]:
        """Pixels reached first.

        Parameters
        ----------
        count
            How many; by default those that are the particle.

        Returns
        -------
        ndarray of bool
            ``(height, width)`` of the window.
        """
        mask = np.zeros(self.probability.size, bool)
        mask[self.reached[: self.count if count is None else count]] = True
        return mask.reshape(self.probability.shape)

    def instance(self, count: int | None = None) -> Instance:
        """Return the same as an object of the image.

        Parameters
        ----------
        count
            How many pixels; by default those that are the particle.

        Returns
        -------
        Instance
            A particle.
        """
        return Instance.of(self.mask(count), corner_px=self.corner_px)

    def expected_iou(self, instance: Instance) -> float:
        """Intersection over union to be expected of an object of the image.

        Parameters
        ----------
        instance
            The object; what of it is outside the window is not expected to be right.

        Returns
        -------
        float
            Between 0 and 1, as far as the probabilities are right.
        """
        height, width = self.probability.shape
        rows, cols = np.nonzero(instance.mask)
        rows = rows + instance.corner_px[0] - self.corner_px[0]
        cols = cols + instance.corner_px[1] - self.corner_px[1]
        within = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
        hit = float(self.probability[rows[within], cols[within]].sum())
        return hit / (instance.area_px + float(self.probability.sum()) - hit)


def run_front(
    probability: NDArray[np.float32],
    corner_px: tuple[int, int],
    seeds: NDArray[np.int64],
    kept: NDArray[np.int64] = _NONE,
    latest: float = np.inf,
) -> Front:
    r"""Let a front run over a window.

    Parameters
    ----------
    probability
        ``(height, width)`` float32, of belonging to the particle.
    corner_px
        Row and column of the window's top-left pixel in the image.
    seeds
        ``(n, 2)`` int64, where it starts, row and column in the window.
    kept
        ``(n, 2)`` int64, pixels of the window that must be in the particle.
    latest
        When it stops at the latest; see `LATEST`.

    Returns
    -------
    Front
        Stopped where the expected intersection over union is greatest.

    Notes
    -----
    For a set :math:`S` of pixels it is
    :math:`\sum_S p / (|S| + \sum p - \sum_S p)`, the ratio of expectations.

    Examples
    --------
    >>> probability = np.zeros((9, 9), np.float32)
    >>> probability[3:6, 3:6] = 0.9
    >>> front = run_front(probability, (0, 0), np.array([[4, 4]]))
    >>> front.count, round(front.expected_iou(front.instance()), 2)
    (9, 0.9)
    """
    reached = np.empty(probability.size, np.int64)
    count, length = _run(probability, seeds, kept, reached, latest)
    return Front(probability, corner_px, reached[:length], count)


def run_fronts(probability: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Let a front run from the middle of each of many windows.

    Parameters
    ----------
    probability
        ``(windows, height, width)`` float32.

    Returns
    -------
    ndarray of bool
        ``(windows, height, width)``: what `run_front` finds in each.

    Examples
    --------
    >>> probability = np.zeros((2, 8, 8), np.float32)
    >>> probability[:, 3:6, 4] = 0.9
    >>> run_fronts(probability).sum(axis=(1, 2)).tolist()
    [3, 3]
    """
    masks = np.zeros(probability.shape, np.bool_)
    _run_all(probability, masks)
    return masks


@njit(cache=True, nogil=True)
def _run(
    probability: NDArray[np.float32],
    seeds: NDArray[np.int64],
    kept: NDArray[np.int64],
    reached: NDArray[np.int64],
    stop_time: float,
) -> tuple[int, int]:
    """Fill `reached`; return how many pixels are the particle, and how many were reached."""
    height, width = probability.shape
    slowness, times = np.empty((height, width)), np.empty((height, width))
    total = 0.0
    for i in range(height):
        for j in range(width):
            slowness[i, j] = 1.0 / max(probability[i, j], LEAST_PROBABILITY)
            total += probability[i, j]
    length = march(slowness, seeds, stop_time, 1, times, reached)
    fewest = 1
    for row, col in kept:
        for k in range(length):
            if reached[k] == row * width + col:
                fewest = max(fewest, k + 1)
    flat = probability.ravel()
    hit, best, count = 0.0, -1.0, fewest
    for k in range(length):
        hit += flat[reached[k]]
        iou = hit / (k + 1 + total - hit)
        if k + 1 >= fewest and iou > best:
            best, count = iou, k + 1
    return count, length


@njit(cache=True, nogil=True)
def _run_all(probability: NDArray[np.float32], masks: NDArray[np.bool_]) -> None:
    _, height, width = probability.shape
    seeds = np.array([[height // 2, width // 2]])
    kept = np.empty((0, 2), np.int64)
    reached = np.empty(height * width, np.int64)
    for window in range(len(probability)):
        count, _ = _run(probability[window], seeds, kept, reached, LATEST)
        for k in range(count):
            masks[window, reached[k] // width, reached[k] % width] = True
