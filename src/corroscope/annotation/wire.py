"""The live wire: a closed contour through points on the edge of a particle."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from corroscope.annotation.paths import minimal_path, winding_number
from corroscope.errors import AnnotationError

Point = tuple[float, float]

FINENESS: Final = 3
"""Steps of a path per pixel: a particle 5 px wide has no room for whole ones."""

_SMOOTHING_PX: Final = 0.7
_MARGIN_PX: Final = 6
_EXCLUDED_PX: Final = 1.5
_WALL: Final = 1e4  # costs more than any way round it
_TOLERANCE: Final = 0.15  # of the contrast, by which a contour's grey may differ from its ends'
_FAINTEST: Final = 0.15  # of the contrast, that a contour has at least
_FLAT: Final = 0.05


@dataclass(frozen=True, eq=False)
class Wire:
    """A closed contour of minimal paths.

    Attributes
    ----------
    points
        Row and column of the points that it goes through, in order.
    segments
        One for each point: ``(length, 2)``, the path from there to the next point.
    inside
        Row and column of a point that it is meant to go round.
    excluded
        Points that it keeps away from.
    """

    points: tuple[Point, ...]
    segments: tuple[NDArray[np.float64], ...]
    inside: Point
    excluded: tuple[Point, ...]

    @property
    def contour(self) -> NDArray[np.float64]:
        """``(length, 2)``: the whole way round, row and column."""
        return np.concatenate(self.segments)

    def mask(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Fill the contour.

        Parameters
        ----------
        shape
            Height and width of the image.

        Returns
        -------
        ndarray of bool
            True where the contour goes round a pixel's centre, in whatever direction and however
            often; so points in another order, or a contour that crosses itself, still have a mask.
        """
        contour = self.contour
        low = np.maximum(np.floor(contour.min(axis=0)).astype(int) - 1, 0)
        high = np.minimum(np.ceil(contour.max(axis=0)).astype(int) + 2, shape)
        rows, cols = np.mgrid[low[0] : high[0], low[1] : high[1]]
        pixels = np.stack([rows.ravel(), cols.ravel()], axis=1)
        within = winding_number(contour, pixels) != 0
        mask = np.zeros(shape, bool)
        mask[low[0] : high[0], low[1] : high[1]] = within.reshape(rows.shape)
        return mask


def contour_from_points(
    image: ArrayLike,
    points: Sequence[Point],
    *,
    inside: Point | None = None,
    excluded: Sequence[Point] = (),
) -> NDArray[np.bool_]:
    """Find the particle whose edge goes through some points.

    Parameters
    ----------
    image
        ``(height, width)``, grey; a frame, or its difference to the reference. Particles are dark.
    points
        Two or more points on the edge, row and column, in order round it.
    inside
        A point of the particle; by default the mean of the points. Two points are joined on both
        sides of it.
    excluded
        Points that the contour keeps 1.5 px away from.

    Returns
    -------
    ndarray of bool
        ``(height, width)``, true in the particle.

    Raises
    ------
    AnnotationError
        If there are fewer than two points, two coincide, they enclose no pixel, or one is outside
        the image or not a number there.

    References
    ----------
    E. N. Mortensen, W. A. Barrett, *Interactive segmentation with intelligent scissors*, Graphical
    Models and Image Processing 60 (1998) 349–384, doi:10.1006/gmip.1998.0480.

    Examples
    --------
    >>> rows, cols = np.indices((41, 41))
    >>> disc = np.where(np.hypot(rows - 20, cols - 20) < 5, 20, 100).astype(np.uint8)
    >>> mask = contour_from_points(disc, [(15, 20), (25, 20)])
    >>> bool(mask[20, 16] and mask[20, 24] and not mask[20, 30])
    True
    """
    wire = trace(image, points, inside=inside, excluded=excluded)
    height, width = np.shape(image)
    mask = wire.mask((height, width))
    if not mask.any():
        raise AnnotationError("the points enclose no pixel; put them round the particle")
    return mask


def trace(
    image: ArrayLike,
    points: Sequence[Point],
    *,
    inside: Point | None = None,
    excluded: Sequence[Point] = (),
) -> Wire:
    """Lay the wire that `contour_from_points` fills.

    Parameters
    ----------
    image, points, inside, excluded
        As there.

    Returns
    -------
    Wire
        With a path from each point to the next.

    Raises
    ------
    AnnotationError
        As there.
    """
    grey = np.asarray(image)
    if grey.ndim != 2 or grey.dtype.kind not in "uif":
        raise AnnotationError(
            f"an image must be a grey one, height by width; this one is {grey.dtype} {grey.shape}"
        )
    try:
        given = tuple((float(row), float(col)) for row, col in points)
    except (TypeError, ValueError):
        raise AnnotationError("a point is a row and a column; these are not") from None
    if len(given) < 2:
        raise AnnotationError(f"a contour needs two points at least; there are {len(given)}")
    for number, point in enumerate(given):
        _check(grey, point, f"point {number + 1}")
        for other in range(number):
            if np.hypot(*np.subtract(point, given[other])) < 0.5:
                raise AnnotationError(
                    f"points {other + 1} and {number + 1} coincide at ({point[0]:g}, "
                    f"{point[1]:g}); move one"
                )
    row, col = np.mean(given, axis=0)
    centre = inside or (float(row), float(col))
    _check(grey, centre, "the inside point")
    kept_off = tuple((float(row), float(col)) for row, col in excluded)
    empty: tuple[NDArray[np.float64], ...] = ()
    wire = Wire(given, empty, centre, kept_off)
    segments = tuple(_segment(grey, wire, number) for number in range(len(given)))
    return replace(wire, segments=segments)


def retrace(image: ArrayLike, wire: Wire, number: int, point: Point) -> Wire:
    """Move one point of a wire: only the two paths that end there are sought anew.

    Parameters
    ----------
    image
        As for `trace`.
    wire
        The wire so far.
    number
        Which point moves; the first is 0.
    point
        Where to, row and column.

    Returns
    -------
    Wire
        Its other segments are those of the old one.

    Raises
    ------
    AnnotationError
        If there is no such point, or it comes to lie outside the image or on another point.

    Examples
    --------
    >>> rows, cols = np.indices((41, 41))
    >>> disc = np.where(np.hypot(rows - 20, cols - 20) < 5, 20, 100).astype(np.uint8)
    >>> wire = trace(disc, [(15, 20), (20, 25), (25, 20), (20, 15)])
    >>> moved = retrace(disc, wire, 0, (15, 19))
    >>> [new is old for new, old in zip(moved.segments, wire.segments)]
    [False, True, True, False]
    """
    grey = np.asarray(image)
    count = len(wire.points)
    if not 0 <= number < count:
        raise AnnotationError(f"a wire of {count} points has no point {number + 1}")
    to = (float(point[0]), float(point[1]))
    _check(grey, to, f"point {number + 1}")
    for other, there in enumerate(wire.points):
        if other != number and np.hypot(*np.subtract(to, there)) < 0.5:
            raise AnnotationError(
                f"points {other + 1} and {number + 1} coincide at ({to[0]:g}, {to[1]:g}); move one"
            )
    points = (*wire.points[:number], to, *wire.points[number + 1 :])
    moved = replace(wire, points=points)
    anew = {number, (number - 1) % count}
    segments = tuple(
        _segment(grey, moved, k) if k in anew else wire.segments[k] for k in range(count)
    )
    return replace(moved, segments=segments)


def _check(grey: NDArray[np.generic], point: Point, what: str) -> None:
    height, width = grey.shape
    if not (-0.5 <= point[0] < height - 0.5 and -0.5 <= point[1] < width - 0.5):
        raise AnnotationError(
            f"{what} ({point[0]:g}, {point[1]:g}) is outside the image of {height} by {width} "
            "pixels"
        )


def _segment(grey: NDArray[np.generic], wire: Wire, number: int) -> NDArray[np.float64]:
    """The path from a point to the next, on a fine grid, row and column in the image."""
    start, goal = wire.points[number], wire.points[(number + 1) % len(wire.points)]
    ends = np.array([start, goal, wire.inside])
    apart = float(np.hypot(*np.subtract(start, goal)))
    margin = _MARGIN_PX + round(apart)
    low = np.maximum(np.floor(ends.min(axis=0)).astype(int) - margin, 0)
    high = np.ceil(ends.max(axis=0)).astype(int) + margin + 1
    part = np.ascontiguousarray(grey[low[0] : high[0], low[1] : high[1]], np.float32)
    if not np.isfinite(part).all():
        raise AnnotationError(
            f"near point ({start[0]:g}, {start[1]:g}) the image has no number; mend it"
        )
    size = np.array(part.shape)
    rows, cols = (np.arange(FINENESS * (n - 1) + 1, dtype=np.float32) / FINENESS for n in size)
    grid_cols, grid_rows = np.meshgrid(cols, rows)
    smooth = cv2.GaussianBlur(part, (0, 0), _SMOOTHING_PX)
    fine = cv2.remap(smooth, grid_cols, grid_rows, cv2.INTER_CUBIC, None, cv2.BORDER_REPLICATE)
    first, last = (_nearest(np.subtract(p, low) * FINENESS, fine.shape) for p in (start, goal))
    cost = _cost(fine, first, last)
    for point in wire.excluded:
        away = np.hypot(grid_rows + low[0] - point[0], grid_cols + low[1] - point[1])
        cost[away <= _EXCLUDED_PX] = _WALL
    if len(wire.points) == 2:
        _wall_off(cost, (np.array(wire.inside) - low) * FINENESS, np.subtract(goal, start))
    path = minimal_path(cost, first, last) / FINENESS + low
    path[0] = start
    return path[:-1] if len(path) > 1 else path


def _nearest(place: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[int, int]:
    row, col = np.clip(np.rint(place).astype(int), 0, np.array(shape) - 1)
    return int(row), int(col)


def _cost(
    fine: NDArray[np.generic], start: tuple[int, int], goal: tuple[int, int]
) -> NDArray[np.float64]:
    """Cheap where it is as bright as at both ends: contours run along one level of grey.

    Annotators draw outside the steepest edge, so that following edges would cut corners; the
    ends tell how far outside.
    """
    grey = fine.astype(np.float64)
    contrast = float(np.percentile(grey, 75) - grey.min())
    if contrast <= 0:
        return np.ones_like(grey)  # on a flat region the straight way is the cheapest
    # A point that has slipped off the particle says nothing about the grey of its edge.
    brightest = np.percentile(grey, 75) - _FAINTEST * contrast
    level = min((grey[start] + grey[goal]) / 2, brightest)
    return 1 / (_FLAT + np.exp(-(((grey - level) / (_TOLERANCE * contrast)) ** 2)))


def _wall_off(
    cost: NDArray[np.float64], inside: NDArray[np.float64], onwards: NDArray[np.float64]
) -> None:
    """Forbid a path between two points to pass on the right of what lies between them."""
    rows, cols = np.indices(cost.shape)
    down, right = rows - inside[0], cols - inside[1]
    forwards = onwards / np.hypot(*onwards)
    along = down * forwards[0] + right * forwards[1]
    aside = down * -forwards[1] + right * forwards[0]
    cost[(np.abs(along) <= 1) & (aside >= 0)] = _WALL
