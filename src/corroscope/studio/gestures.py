"""What a hand did on the picture, and the object that it means."""

import base64
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat
from scipy import ndimage

from corroscope.annotation.candidates import candidates_from_click
from corroscope.annotation.click import Levels, levels
from corroscope.annotation.instances import PARTICLE, Instance, iou
from corroscope.annotation.wire import contour_from_points
from corroscope.errors import AnnotationError
from corroscope.studio.workplace import Plane

_SAME_PLACE: Final = 0.3  # IoU
_SAME_DARKNESS: Final = 0.5
_GROUND_PX: Final = 4

_FARTHEST: Final = 1e6  # far outside any image

Coordinate = Annotated[FiniteFloat, Field(ge=-_FARTHEST, le=_FARTHEST)]
Point = tuple[Coordinate, Coordinate]
Index = Annotated[int, Field(ge=-_FARTHEST, le=_FARTHEST)]
Pixel = tuple[Index, Index]


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Click(_Told):
    """Clicks inside a particle, and beside it."""

    kind: Literal["click"]
    plane: Plane = "frame"
    point: Point
    include: tuple[Point, ...] = Field((), max_length=32)
    exclude: tuple[Point, ...] = Field((), max_length=32)
    area_px: float | None = Field(None, gt=0, le=1e6)
    level: int | None = Field(None, ge=0, le=1000)
    """Which of the nested contours; the best by default."""
    method: Literal["front", "closed geodesic", "half contrast"] | None = None
    """Which candidate; overrules the level."""


class Points(_Told):
    """Points on a particle's edge."""

    kind: Literal["points"]
    plane: Plane = "frame"
    points: tuple[Point, ...] = Field(min_length=2, max_length=64)
    inside: Point | None = None
    excluded: tuple[Point, ...] = Field((), max_length=32)


class Shape(_Told):
    """A mask as such: a proposal, or an object of another frame."""

    kind: Literal["shape"]
    corner: Pixel
    size: tuple[Annotated[int, Field(ge=1, le=65536)], Annotated[int, Field(ge=1, le=65536)]]
    bits: str = Field(max_length=1 << 19)
    """Base 64 of the mask's pixels, row by row, eight to a byte."""


Gesture = Annotated[Click | Points | Shape, Field(discriminator="kind")]


class Add(_Told):
    """A new object."""

    do: Literal["add"]
    gesture: Gesture
    label: Literal["particle", "ignore"] = PARTICLE


class Replace(_Told):
    """Another contour for an object."""

    do: Literal["replace"]
    number: int
    gesture: Gesture


class Stroke(_Told):
    """A brush or an eraser drawn over pixels."""

    do: Literal["stroke"]
    number: int | None = None
    """Of the object; a new one without."""
    pixels: tuple[Pixel, ...] = Field(min_length=1, max_length=20000)
    erase: bool = False
    label: Literal["particle", "ignore"] = PARTICLE


class Several(_Told):
    """Something done to some objects as they are."""

    do: Literal["remove", "merge", "particle", "ignore"]
    numbers: tuple[int, ...] = Field(min_length=1, max_length=10000)


class Split(_Told):
    """An object cut in two along a line."""

    do: Literal["split"]
    number: int
    start: Point
    end: Point


class Propagate(_Told):
    """The objects of another image, each sought anew in this one."""

    do: Literal["propagate"]
    source: str
    """Opaque name of the other image."""
    plane: Plane = "frame"


class Take(_Told):
    """What a result of ``corroscope run`` has found in the image."""

    do: Literal["take"]
    result: int
    """Its number."""
    particles: tuple[int, ...] = Field((), max_length=10000)
    """Which ones; all of them where there are none."""


class Whole(_Told):
    """Something about the image as a whole."""

    do: Literal["undo", "redo", "done"]


Deed = Annotated[
    Add | Replace | Stroke | Several | Split | Propagate | Take | Whole, Field(discriminator="do")
]


class Act(_Told):
    """A deed, and what its doer knew."""

    act: str = Field(pattern=r"^[0-9a-f-]{8,40}$")
    """The page's own name for it, so that it can ask again after a broken connection."""
    revision: int
    """Of the image, as the page saw it."""
    deed: Deed


def meant(
    gesture: Click | Points | Shape, grey: NDArray[np.float32] | None, label: str = PARTICLE
) -> Instance:
    """Find the object that a gesture means.

    Parameters
    ----------
    gesture
        The gesture.
    grey
        ``(height, width)``, what it was made on; not needed for a shape.
    label
        The object's label.

    Returns
    -------
    Instance
        The object.

    Raises
    ------
    AnnotationError
        If it means none.
    """
    if isinstance(gesture, Shape):
        return _shaped(gesture, label)
    assert grey is not None
    if isinstance(gesture, Points):
        mask = contour_from_points(
            grey, gesture.points, inside=gesture.inside, excluded=gesture.excluded
        )
        return Instance.of(mask, label)
    if gesture.method is not None:
        for candidate in candidates_from_click(grey, gesture.point):
            if candidate.method == gesture.method:
                found = candidate.instance
                return Instance.of(found.mask, label, found.corner_px)
        raise AnnotationError(f"{gesture.method} finds nothing there; take another candidate")
    nested = nested_levels(gesture, grey)
    chosen = nested.best if gesture.level is None else gesture.level
    found = nested.instances[min(chosen, len(nested.instances) - 1)]
    return Instance.of(found.mask, label, found.corner_px)


def nested_levels(gesture: Click, grey: NDArray[np.float32]) -> Levels:
    """Nested contours of a click.

    Parameters
    ----------
    gesture
        The click.
    grey
        What it was made on.

    Returns
    -------
    Levels
        Smaller to larger.
    """
    return levels(
        grey,
        gesture.point,
        include=gesture.include,
        exclude=gesture.exclude,
        area_px=gesture.area_px,
    )


def stroked(old: Instance | None, stroke: Stroke, shape: tuple[int, int]) -> Instance | None:
    """Draw or erase pixels of an object.

    Parameters
    ----------
    old
        The object; None for a new one.
    stroke
        Where the brush went.
    shape
        Height and width of the image.

    Returns
    -------
    Instance or None
        None where nothing is left.

    Raises
    ------
    AnnotationError
        If the brush was outside the image.
    """
    pixels = np.array(stroke.pixels)
    if (pixels < 0).any() or (pixels >= shape).any():
        raise AnnotationError(f"the brush left the image of {shape[0]} by {shape[1]} pixels")
    low, high = pixels.min(axis=0), pixels.max(axis=0) + 1
    if old is not None:
        box = old.box
        low = np.minimum(low, [part.start for part in box])
        high = np.maximum(high, [part.stop for part in box])
    mask = np.zeros(high - low, bool)
    if old is not None:
        row, col = old.corner_px - low
        height, width = old.mask.shape
        mask[row : row + height, col : col + width] = old.mask
    mask[tuple((pixels - low).T)] = not stroke.erase
    if not mask.any():
        return None
    label = stroke.label if old is None else old.label
    return Instance.of(mask, label, (int(low[0]), int(low[1])))


def merged(objects: list[Instance]) -> Instance:
    """Unite objects.

    Parameters
    ----------
    objects
        One or more.

    Returns
    -------
    Instance
        With the label of the first.
    """
    low = np.min([one.corner_px for one in objects], axis=0)
    high = np.max([[part.stop for part in one.box] for one in objects], axis=0)
    mask = np.zeros(high - low, bool)
    for one in objects:
        row, col = one.corner_px - low
        mask[row : row + one.mask.shape[0], col : col + one.mask.shape[1]] |= one.mask
    return Instance.of(mask, objects[0].label, (int(low[0]), int(low[1])))


def split(one: Instance, cut: Split) -> list[Instance]:
    """Cut an object in two along a straight line through two points.

    Parameters
    ----------
    one
        The object.
    cut
        The line.

    Returns
    -------
    list of Instance
        The two sides.

    Raises
    ------
    AnnotationError
        If all of it lies on one side.
    """
    rows, cols = np.nonzero(one.mask)
    (r0, c0), (r1, c1) = cut.start, cut.end
    side = (r1 - r0) * (cols + one.corner_px[1] - c0) - (c1 - c0) * (rows + one.corner_px[0] - r0)
    parts = []
    for half in (side >= 0, side < 0):
        if not half.any():
            raise AnnotationError("the line does not cut the object; draw it across")
        mask = np.zeros_like(one.mask)
        mask[rows[half], cols[half]] = True
        parts.append(Instance.of(mask, one.label, one.corner_px))
    return parts


def sought(
    old: list[Instance],
    before: NDArray[np.float32],
    there: list[Instance],
    grey: NDArray[np.float32],
) -> list[Instance]:
    """Seek the objects of one frame in another.

    Parameters
    ----------
    old
        The objects as they were.
    before
        ``(height, width)``, the frame that they were in.
    there
        What the other frame has already.
    grey
        ``(height, width)``, the other frame.

    Returns
    -------
    list of Instance
        Those that were found: at the same place, half as dark at least, and not there yet.
    """
    found: list[Instance] = []
    for one in old:
        if not one.fits((grey.shape[0], grey.shape[1])):
            continue
        rows, cols = np.nonzero(one.mask)
        middle = (rows.mean() + one.corner_px[0], cols.mean() + one.corner_px[1])
        try:
            nested = levels(grey, middle, area_px=one.area_px)
        except AnnotationError:
            continue  # it has gone
        new = nested.instances[nested.best]
        if (
            iou(new, one) >= _SAME_PLACE
            and _contrast(grey, new) >= _SAME_DARKNESS * _contrast(before, one)
            and all(iou(new, other) < _SAME_PLACE for other in [*there, *found])
        ):
            found.append(Instance.of(new.mask, one.label, new.corner_px))
    return found


def _contrast(grey: NDArray[np.float32], one: Instance) -> float:
    """By how much an object is darker than the ground round it."""
    low = np.maximum(np.array(one.corner_px) - _GROUND_PX, 0)
    high = np.array([part.stop for part in one.box]) + _GROUND_PX
    near = grey[low[0] : high[0], low[1] : high[1]]
    inside = np.zeros(near.shape, bool)
    row, col = np.array(one.corner_px) - low
    inside[row : row + one.mask.shape[0], col : col + one.mask.shape[1]] = one.mask
    ground = near[~ndimage.binary_dilation(inside)]
    if ground.size == 0:
        return 0.0
    return float(np.median(ground) - near[inside].mean())


def _shaped(gesture: Shape, label: str) -> Instance:
    height, width = gesture.size
    try:
        content = base64.b64decode(gesture.bits, validate=True)
    except ValueError as error:  # also of characters that are not ASCII
        raise AnnotationError("a shape's bits are not base 64") from error
    if len(content) != -(-height * width // 8):
        raise AnnotationError("a shape has another number of bits than its size tells")
    bits = np.unpackbits(np.frombuffer(content, np.uint8), count=height * width)
    return Instance.of(bits.reshape(height, width).astype(bool), label, gesture.corner)
