"""From one click inside a particle to its contour."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from corroscope.annotation.click_network import ClickNetwork, shipped_click_network
from corroscope.annotation.front import LATEST, Front, run_front, run_fronts
from corroscope.annotation.instances import Instance, paint
from corroscope.annotation.surroundings import (
    CENTRE,
    SNAP_RADIUS_PX,
    WINDOW_PX,
    Surroundings,
    snap,
    surroundings,
)
from corroscope.errors import AnnotationError

Point = tuple[float, float]

SCALES: Final = (1, 2, 4, 8)
"""Pixels per pixel of the network's window; it grows until the contour clears its border."""

MARGIN: Final = 2
"""By how many pixels of the network's window the contour must clear its border."""

CLEAR: Final = 5.0
"""Contrast over noise from which a spot is one; fainter ones may be noise on something larger."""

MUCH_LARGER: Final = 3.0
"""So many times the contrast has what a larger window shows, if the spot was only noise on it."""

EDGE: Final = 0.25
"""Share of the contrast where the edge of something large is drawn."""

LEVEL_RATIO: Final = 1.12
"""Each level has at least so many times the area of the one before."""

_CORRECTION_ALL: Final = 1.0  # log-odds that a correction adds everywhere
_CORRECTION_NEAR: Final = 3.0  # and at its own place
_CORRECTION_REACH: Final = 0.35  # of the square root of the area


class Levels(NamedTuple):
    """Nested contours of one particle.

    Attributes
    ----------
    instances
        Smaller to larger; each contains the one before.
    best
        Index of the one that `contour_from_click` gives.
    """

    instances: tuple[Instance, ...]
    best: int


def contour_from_click(
    image: ArrayLike,
    point: Point,
    *,
    include: Sequence[Point] = (),
    exclude: Sequence[Point] = (),
    network: ClickNetwork | None = None,
) -> NDArray[np.bool_]:
    """Find the particle that one click inside it means.

    Parameters
    ----------
    image
        ``(height, width)``, grey, of any number type; a frame, or its difference to the reference.
        Particles are dark.
    point
        Row and column of the click; pixel centres are at integers. It goes to the darkest spot
        within 2.5 px.
    include, exclude
        Further clicks, on what the contour has left out and on what it has wrongly taken in.
    network
        Who tells what belongs together; by default the shipped one.

    Returns
    -------
    ndarray of bool
        ``(height, width)``, true in the particle; one piece, or one for each included click.

    Raises
    ------
    AnnotationError
        If a click is outside the image, nothing stands out there, what does is larger than the
        largest window (192 px), or further clicks contradict one another or are too far away.

    Examples
    --------
    >>> image = np.full((64, 64), 150, np.uint8)
    >>> image[30:34, 30:34] = 60
    >>> mask = contour_from_click(image, (31, 32))
    >>> bool(mask[32, 32]), bool(mask[10, 10])
    (True, False)
    """
    front = find_front(
        image, point, include=include, exclude=exclude, network=network, latest=LATEST
    )
    return paint([front.instance()], np.shape(image))


def levels(
    image: ArrayLike,
    point: Point,
    *,
    include: Sequence[Point] = (),
    exclude: Sequence[Point] = (),
    network: ClickNetwork | None = None,
) -> Levels:
    """Nested contours round one click, to grow or shrink it with one parameter.

    Parameters
    ----------
    image, point, include, exclude, network
        As for `contour_from_click`.

    Returns
    -------
    Levels
        From a third to three times the area of the best contour, as far as the window goes.

    Raises
    ------
    AnnotationError
        As `contour_from_click`.

    Examples
    --------
    >>> image = np.full((64, 64), 150, np.uint8)
    >>> image[30:34, 30:34] = 60
    >>> nested = levels(image, (31, 32))
    >>> areas_px = [instance.area_px for instance in nested.instances]
    >>> areas_px == sorted(areas_px) and len(areas_px) > 5
    True
    """
    front = find_front(image, point, include=include, exclude=exclude, network=network)
    smaller, larger = [front.count], [front.count]
    while (count := min(smaller[-1] - 1, round(smaller[-1] / LEVEL_RATIO))) >= front.count / 3:
        smaller.append(count)
    while (count := max(larger[-1] + 1, round(larger[-1] * LEVEL_RATIO))) <= min(
        3 * front.count, len(front.reached)
    ):
        larger.append(count)
    counts = [*reversed(smaller[1:]), *larger]
    return Levels(tuple(front.instance(count) for count in counts), len(smaller) - 1)


def instances_from_clicks(
    image: ArrayLike, points: ArrayLike, *, network: ClickNetwork | None = None
) -> list[Instance | None]:
    """Find the particles that many clicks mean, thousands in a second.

    Parameters
    ----------
    image
        As for `contour_from_click`.
    points
        ``(clicks, 2)``, row and column.
    network
        By default the shipped one.

    Returns
    -------
    list of Instance or None
        What `contour_from_click` finds at each; None where it would raise because nothing
        stands out, or something too large.

    Raises
    ------
    AnnotationError
        If the image is none, or a click lies outside it.

    Examples
    --------
    >>> image = np.full((64, 64), 150, np.uint8)
    >>> image[30:34, 30:34] = 60
    >>> [found and found.fits((64, 64)) for found in instances_from_clicks(image, [(31, 32)])]
    [True]
    """
    grey = grey_image(image)
    network = network or shipped_click_network()
    clicks = _points(grey.shape, points)
    whole = np.ascontiguousarray(grey, np.float32)
    pixels = snap(whole, clicks)
    shown = surroundings(whole, pixels)
    probability = network.belonging(shown.planes)
    near_border = ((pixels < CENTRE) | (pixels > np.array(grey.shape) - CENTRE)).any(axis=1)
    masks = run_fronts(probability)
    inner = masks[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    on_rim = masks.sum(axis=(1, 2)) > inner.sum(axis=(1, 2))
    # The few at the image's border, too large or faint go the careful way.
    clear = (shown.contrast > 0) & (shown.contrast >= CLEAR * shown.noise)
    simple = ~near_border & ~on_rim & clear
    found: list[Instance | None] = []
    for k, (row, col) in enumerate(pixels.tolist()):
        if simple[k]:
            found.append(Instance.of(masks[k], corner_px=(row - CENTRE, col - CENTRE)))
            continue
        try:
            found.append(
                _grown_front(whole, pixels[k], (row, col), [], [], network, LATEST).instance()
            )
        except AnnotationError:
            found.append(None)
    return found


def find_front(
    image: ArrayLike,
    point: Point,
    *,
    include: Sequence[Point] = (),
    exclude: Sequence[Point] = (),
    network: ClickNetwork | None = None,
    latest: float = np.inf,
) -> Front:
    """Run the front from a click in a window that grows until the contour clears its border.

    Parameters
    ----------
    image, point, include, exclude, network
        As for `contour_from_click`.
    latest
        When the front stops at the latest, in the smallest window.

    Returns
    -------
    Front
        With probabilities and the order of arrival.

    Raises
    ------
    AnnotationError
        As `contour_from_click`.

    Examples
    --------
    >>> image = np.full((64, 64), 150, np.uint8)
    >>> image[30:34, 30:34] = 60
    >>> find_front(image, (31, 32)).corner_px[0] >= 16
    True
    """
    grey = grey_image(image)
    clicks = _points(grey.shape, [point, *include, *exclude])
    corner = np.zeros(2, np.int64)
    # Only what can be seen from the click is looked at: a frame is large.
    reach = SCALES[-1] * CENTRE + 16 + round(SNAP_RADIUS_PX)
    corner = np.maximum(np.rint(clicks[0]).astype(np.int64) - reach, 0)
    part = grey[corner[0] : corner[0] + 2 * reach, corner[1] : corner[1] + 2 * reach]
    near = np.ascontiguousarray(part, np.float32)
    if not np.isfinite(near).all():
        raise AnnotationError(f"click {_told(clicks[0])}: the image has no number there; mend it")
    pixel = snap(near, clicks[:1] - corner)[0]
    others = np.rint(clicks[1:] - corner).astype(np.int64)
    kept, removed = others[: len(include)], others[len(include) :]
    front = _grown_front(
        near, pixel, _told(clicks[0]), kept, removed, network or shipped_click_network(), latest
    )
    row, col = front.corner_px
    return Front(
        front.probability, (row + int(corner[0]), col + int(corner[1])), front.reached, front.count
    )


def _grown_front(
    image: NDArray[np.float32],
    pixel: NDArray[np.int64],
    told: object,
    kept: Sequence[NDArray[np.int64]] | NDArray[np.int64],
    removed: Sequence[NDArray[np.int64]] | NDArray[np.int64],
    network: ClickNetwork,
    latest: float,
) -> Front:
    if any((out == within).all() for out in removed for within in (pixel, *kept)):
        raise AnnotationError(f"click {told}: a place is to be taken in and left out; choose one")
    seen = larger = False
    for scale in SCALES:
        corner = pixel - (scale * CENTRE + scale // 2)
        size = scale * WINDOW_PX
        inner = np.array([other - corner for other in (*kept, *removed)], np.int64).reshape(-1, 2)
        if ((inner < scale * MARGIN) | (inner >= size - scale * MARGIN)).any():
            continue
        seen = True
        shown = surroundings(image, pixel[None], scale)
        if shown.contrast[0] <= 0 or _within_something(image, pixel, shown, scale):
            continue
        larger = True
        probability = _enlarged(network.belonging(shown.planes)[0], scale)
        if scale > 1:
            probability *= _dark(image, corner, scale, shown)
        # Beyond the image there is nothing to run through.
        low, high = np.maximum(-corner, 0), np.minimum(image.shape - corner, size)
        probability = np.ascontiguousarray(probability[low[0] : high[0], low[1] : high[1]])
        inner, start = inner - low, corner + low
        seeds = (pixel - start)[None]
        front = run_front(probability, (int(start[0]), int(start[1])), seeds, latest=latest * scale)
        if len(inner):
            probability = _corrected(front, inner, len(kept))
            seeds = np.concatenate([seeds, inner[: len(kept)]])
            front = run_front(probability, front.corner_px, seeds, seeds, latest * scale)
        if _clears(front, corner, size, MARGIN * scale, image.shape):
            return front
    if larger:
        raise AnnotationError(
            f"click {told}: what is dark there is larger than {SCALES[-1] * WINDOW_PX} px; "
            "draw it with points on its contour"
        )
    if not seen:
        raise AnnotationError(
            f"click {told}: a further click is farther than {SCALES[-1] * CENTRE} px from it; "
            "click there first"
        )
    raise AnnotationError(f"click {told}: nothing stands out there; click into a dark spot")


def _clears(
    front: Front, corner: NDArray[np.int64], size: int, margin: int, shape: tuple[int, ...]
) -> bool:
    """Whether the particle keeps away from its window's border, where that is not the image's."""
    pixels = np.argwhere(front.mask()) + front.corner_px
    low = (corner <= 0) | (pixels.min(axis=0) >= corner + margin)
    high = (corner + size >= shape) | (pixels.max(axis=0) < corner + size - margin)
    return bool(low.all() and high.all())


def _within_something(
    image: NDArray[np.float32], pixel: NDArray[np.int64], shown: Surroundings, scale: int
) -> bool:
    """Whether the window shows only the inside of something larger, and noise on it."""
    if shown.contrast[0] >= CLEAR * shown.noise[0]:
        return False
    return any(
        surroundings(image, pixel[None], other).contrast[0] > MUCH_LARGER * shown.contrast[0]
        for other in SCALES
        if other > scale
    )


def _dark(
    image: NDArray[np.float32], corner: NDArray[np.int64], scale: int, shown: Surroundings
) -> NDArray[np.float32]:
    """How dark a window's pixels are: coarse windows cannot tell where an edge is."""
    size, around = scale * WINDOW_PX, 2 * scale
    rows = np.clip(np.arange(-around, size + around) + corner[0], 0, image.shape[0] - 1)
    cols = np.clip(np.arange(-around, size + around) + corner[1], 0, image.shape[1] - 1)
    smooth = cv2.GaussianBlur(image[np.ix_(rows, cols)], (0, 0), scale / 2)
    part = (shown.ground[0] - smooth[around:-around, around:-around]) / shown.contrast[0]
    return np.asarray(1 / (1 + np.exp((EDGE - part) / 0.05)), np.float32)


def _enlarged(probability: NDArray[np.float32], scale: int) -> NDArray[np.float32]:
    if scale == 1:
        return probability.copy()
    size = (scale * WINDOW_PX, scale * WINDOW_PX)
    return np.asarray(cv2.resize(probability, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _corrected(front: Front, points: NDArray[np.int64], kept: int) -> NDArray[np.float32]:
    """What further clicks teach: strongly near them, a little everywhere."""
    clipped = np.clip(front.probability, 1e-4, 1 - 1e-4)
    odds = np.log(clipped / (1 - clipped))
    rows, cols = np.indices(clipped.shape)
    reach2_px = _CORRECTION_REACH**2 * front.count
    for number, (row, col) in enumerate(points):
        near = np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / (2 * reach2_px))
        odds += (1 if number < kept else -1) * (_CORRECTION_ALL + _CORRECTION_NEAR * near)
    corrected = (1 / (1 + np.exp(-odds))).astype(np.float32)
    for row, col in points[kept:]:
        corrected[row, col] = 0
    return corrected


def grey_image(image: ArrayLike) -> NDArray[np.generic]:
    """Check that an image is a grey one.

    Parameters
    ----------
    image
        Anything that NumPy takes for an array.

    Returns
    -------
    ndarray
        ``(height, width)``, of integers or floating-point numbers; not copied.

    Raises
    ------
    AnnotationError
        If it is something else.

    Examples
    --------
    >>> grey_image([[1, 2]]).shape
    (1, 2)
    """
    grey = np.asarray(image)
    if grey.ndim != 2 or grey.size == 0 or grey.dtype.kind not in "uif":
        raise AnnotationError(
            f"an image must be a grey one, height by width; this one is {grey.dtype} {grey.shape}"
        )
    return grey


def _points(shape: tuple[int, ...], points: ArrayLike) -> NDArray[np.float64]:
    try:
        clicks = np.asarray(points, np.float64)
    except (TypeError, ValueError):
        clicks = np.empty((1, 0))
    if clicks.size == 0 and clicks.ndim < 2:
        clicks = clicks.reshape(0, 2)
    if clicks.ndim != 2 or clicks.shape[1] != 2:
        raise AnnotationError("a click is a row and a column, two numbers; these are not")
    inside = ((clicks >= -0.5) & (clicks < np.array(shape) - 0.5)).all(axis=1)
    if not inside.all():
        raise AnnotationError(
            f"click {_told(clicks[inside.argmin()])} is outside the image of "
            f"{shape[0]} by {shape[1]} pixels"
        )
    return clicks


def _told(point: NDArray[np.float64]) -> str:
    return f"({point[0]:g}, {point[1]:g})"
