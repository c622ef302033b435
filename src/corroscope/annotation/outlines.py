"""Exact outlines of masks, along the edges of pixels, and masks of outlines.

Outlines are in corner coordinates: pixel (r, c) is the square from (r, c) to (r + 1, c + 1), so
that its centre, which is at (r, c) everywhere else in corroscope, is at (r + 0.5, c + 0.5).
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

Ring = NDArray[np.float64]
"""``(vertices, 2)``, row and column in corner coordinates; the last is joined to the first."""


class Polygon(NamedTuple):
    """One piece of a mask, connected by the sides of pixels.

    Attributes
    ----------
    outer
        Its outline.
    holes
        Outlines of the holes in it.
    """

    outer: Ring
    holes: tuple[Ring, ...]


def polygons(mask: NDArray[np.bool_]) -> list[Polygon]:
    """Follow the pixel edges round every piece of a mask.

    Parameters
    ----------
    mask
        ``(height, width)``.

    Returns
    -------
    list of Polygon
        Vertices where the outline turns; outer rings go one way round, holes the other. No ring
        crosses itself.

    Examples
    --------
    >>> (piece,) = polygons(np.ones((2, 3), bool))
    >>> sorted(piece.outer.tolist()), piece.holes
    ([[0.0, 0.0], [0.0, 3.0], [2.0, 0.0], [2.0, 3.0]], ())
    """
    labels, count = ndimage.label(mask)
    found = []
    for number in range(1, count + 1):
        rings = _rings(labels == number)
        areas = [_area(ring) for ring in rings]
        outer = int(np.argmax(areas))
        holes = tuple(ring for k, ring in enumerate(rings) if k != outer)
        found.append(Polygon(rings[outer], holes))
    return found


def fill(rings: Iterable[ArrayLike], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill rings: the pixels whose centres lie within an odd number of them.

    Parameters
    ----------
    rings
        Each ``(vertices, 2)``, row and column in corner coordinates, at any place.
    shape
        Height and width of the mask.

    Returns
    -------
    ndarray of bool
        ``shape``. Of the rings of `polygons` it is the mask that they came from.

    Examples
    --------
    >>> fill([[(0, 0), (0, 2), (1, 2), (1, 0)]], (2, 3)).astype(int).tolist()
    [[1, 1, 0], [0, 0, 0]]
    """
    height, width = shape
    crossings = np.zeros((height, width + 1), np.int64)
    for ring in rings:
        start = np.asarray(ring, np.float64).reshape(-1, 2)
        end = np.roll(start, -1, axis=0)
        for (r0, c0), (r1, c1) in zip(start, end, strict=True):
            low, high = sorted((r0, r1))
            # Rows whose centre the edge passes; a centre on a vertex belongs to one edge only.
            rows = np.arange(
                max(np.ceil(low - 0.5), 0), min(np.ceil(high - 0.5), height), dtype=int
            )
            if rows.size:
                at = c0 + (rows + 0.5 - r0) * (c1 - c0) / (r1 - r0)
                cols = np.clip(np.ceil(at - 0.5), 0, width).astype(int)
                np.add.at(crossings, (rows, cols), 1)
    filled: NDArray[np.bool_] = np.cumsum(crossings, axis=1)[:, :width] % 2 == 1
    return filled


def bridged(pieces: Iterable[Polygon]) -> Ring:
    """Join all rings of an object to one, for formats that have room for one only.

    Parameters
    ----------
    pieces
        From `polygons`.

    Returns
    -------
    ndarray of float64
        One ring that walks to each of the others and the same way back: filled by the odd-even
        rule it is exact.

    Examples
    --------
    >>> mask = np.array([[1, 1, 1, 0, 1], [1, 0, 1, 0, 0], [1, 1, 1, 0, 0]], bool)
    >>> bool((fill([bridged(polygons(mask))], (3, 5)) == mask).all())
    True
    """
    rings = [ring for piece in pieces for ring in (piece.outer, *piece.holes)]
    way = [rings[0], rings[0][:1]]
    for ring in rings[1:]:
        way += [ring, ring[:1], rings[0][:1]]
    return np.concatenate(way) if len(rings) > 1 else rings[0]


def _rings(mask: NDArray[np.bool_]) -> list[Ring]:
    """Walk along all pixel edges with the mask on the right hand."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    ways: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for edge, (start, end) in {
        (-1, 0): ((0, 0), (0, 1)),
        (0, 1): ((0, 1), (1, 1)),
        (1, 0): ((1, 1), (1, 0)),
        (0, -1): ((1, 0), (0, 0)),
    }.items():
        rows, cols = padded.shape
        beside = padded[1 + edge[0] : rows - 1 + edge[0], 1 + edge[1] : cols - 1 + edge[1]]
        for r, c in np.argwhere(inside & ~beside).tolist():
            ways.setdefault((r + start[0], c + start[1]), []).append((r + end[0], c + end[1]))
    rings = []
    while ways:
        first = next(iter(ways))
        at, heading = first, (0, 0)
        corners = []
        while True:
            onward = ways[at]
            # Where two pixels of one piece touch at a corner, turn left, to the other one, so
            # that no ring touches itself.
            left = (at[0] - heading[1], at[1] + heading[0])
            nearest = left if left in onward else onward[0]
            onward.remove(nearest)
            if not onward:
                del ways[at]
            turned = (nearest[0] - at[0], nearest[1] - at[1])
            if turned != heading:
                corners.append(at)
            at, heading = nearest, turned
            if at == first:
                break
        if corners[0] == first and len(corners) > 1 and _straight(corners[-1], first, corners[1]):
            corners = corners[1:]
        rings.append(np.array(corners, np.float64))
    return rings


def _straight(before: tuple[int, int], at: tuple[int, int], after: tuple[int, int]) -> bool:
    return before[0] == at[0] == after[0] or before[1] == at[1] == after[1]


def _area(ring: Ring) -> float:
    row, col = ring.T
    return float(np.sum(np.roll(row, -1) * col - row * np.roll(col, -1)) / 2)
