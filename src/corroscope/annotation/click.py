"""From one click inside a particle to its contour."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corroscope.annotation.click_network import ClickNetwork, shipped_click_network
from corroscope.annotation.front import LATEST, Front, run_fronts
from corroscope.annotation.instances import Instance, paint
from corroscope.annotation.surroundings import (
    CENTRE,
    SNAP_RADIUS_PX,
    snap,
    surroundings,
)
from corroscope.annotation.window import CLEAR, MARGIN, SCALES, Wish, grown_front
from corroscope.errors import AnnotationError

Point = tuple[float, float]

LEVEL_RATIO: Final = 1.12
"""Each level has at least so many times the area of the one before."""


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
    area_px: float | None = None,
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
    area_px
        About how large it is, where one of `levels` has been chosen; further clicks start from
        there.
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
        image,
        point,
        include=include,
        exclude=exclude,
        area_px=area_px,
        network=network,
        latest=LATEST,
    )
    return paint([front.instance()], np.shape(image))


def levels(
    image: ArrayLike,
    point: Point,
    *,
    include: Sequence[Point] = (),
    exclude: Sequence[Point] = (),
    area_px: float | None = None,
    network: ClickNetwork | None = None,
) -> Levels:
    """Nested contours round one click, to grow or shrink it with one parameter.

    Parameters
    ----------
    image, point, include, exclude, area_px, network
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
    front = find_front(
        image, point, include=include, exclude=exclude, area_px=area_px, network=network
    )
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
            found.append(grown_front(whole, Wish(pixels[k]), network).instance())
        except AnnotationError:
            found.append(None)
    return found


def find_front(
    image: ArrayLike,
    point: Point,
    *,
    include: Sequence[Point] = (),
    exclude: Sequence[Point] = (),
    area_px: float | None = None,
    network: ClickNetwork | None = None,
    latest: float = np.inf,
) -> Front:
    """Run the front from a click in a window that grows until the contour clears its border.

    Parameters
    ----------
    image, point, include, exclude, area_px, network
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
    wish = Wish(pixel, kept, removed, area_px, latest, _told(clicks[0]))
    front = grown_front(near, wish, network or shipped_click_network())
    row, col = front.corner_px
    return Front(
        front.probability, (row + int(corner[0]), col + int(corner[1])), front.reached, front.count
    )


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
