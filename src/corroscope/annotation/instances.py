"""What an annotator has drawn: instance masks. Masks are the truth, polygons are derived."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from corroscope.errors import AnnotationError

PARTICLE: Final = "particle"
"""Label of a corrosion product."""

IGNORE: Final = "ignore"
"""Label of what is neither to be learnt from nor scored: out of focus, undecidable."""

LABELS: Final = (PARTICLE, IGNORE)


@dataclass(frozen=True, eq=False)
class Instance:
    """One annotated object.

    Make it with `Instance.of`, which cuts the mask to its bounding box.

    Attributes
    ----------
    mask
        ``(height, width)`` bool, the object's bounding box: true in it, no empty rim.
    corner_px
        Row and column of the mask's top-left pixel in the image.
    label
        ``"particle"`` or ``"ignore"``.
    """

    mask: NDArray[np.bool_]
    corner_px: tuple[int, int]
    label: str = PARTICLE

    @classmethod
    def of(
        cls, mask: NDArray[np.bool_], label: str = PARTICLE, corner_px: tuple[int, int] = (0, 0)
    ) -> "Instance":
        """Cut a mask to its bounding box.

        Parameters
        ----------
        mask
            ``(height, width)`` bool; of any number of pieces, with or without holes.
        label
            ``"particle"`` or ``"ignore"``.
        corner_px
            Where the mask's top-left pixel is in the image.

        Returns
        -------
        Instance
            Its mask is a copy that cannot be written to.

        Raises
        ------
        AnnotationError
            If the mask is empty or the label unknown.

        Examples
        --------
        >>> mask = np.zeros((5, 5), bool)
        >>> mask[1:3, 2:4] = True
        >>> Instance.of(mask).corner_px, Instance.of(mask).area_px
        ((1, 2), 4)
        """
        if label not in LABELS:
            raise AnnotationError(f"label {label!r}: use {' or '.join(LABELS)}")
        rows, cols = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        if rows.size == 0:
            raise AnnotationError("the mask of an object is empty; give it one pixel at least")
        cut = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1].astype(bool)
        cut.flags.writeable = False
        return cls(cut, (int(corner_px[0] + rows[0]), int(corner_px[1] + cols[0])), label)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Instance)
            and self.label == other.label
            and self.corner_px == other.corner_px
            and np.array_equal(self.mask, other.mask)
        )

    def __hash__(self) -> int:
        return hash((self.label, self.corner_px, self.mask.shape, self.mask.tobytes()))

    @property
    def area_px(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.mask))

    @property
    def box(self) -> tuple[slice, slice]:
        """Where the mask lies in the image."""
        (row, col), (height, width) = self.corner_px, self.mask.shape
        return slice(row, row + height), slice(col, col + width)

    def fits(self, shape: tuple[int, int]) -> bool:
        """Whether the whole object lies in an image of this height and width."""
        return all(
            part.start >= 0 and part.stop <= n for part, n in zip(self.box, shape, strict=True)
        )


@dataclass(frozen=True)
class AnnotatedImage:
    """All that has been annotated in one image; what formats write and read.

    Attributes
    ----------
    name
        File name of the image.
    shape
        Its height and width.
    instances
        In no particular order; they may touch and overlap.
    """

    name: str
    shape: tuple[int, int]
    instances: tuple[Instance, ...]


def paint(
    instances: Iterable[Instance], shape: tuple[int, int], label: str = PARTICLE
) -> NDArray[np.bool_]:
    """Paint all objects of a label into one mask.

    Parameters
    ----------
    instances
        The objects; each must lie in the image.
    shape
        Height and width of the image.
    label
        Which objects to paint.

    Returns
    -------
    ndarray of bool
        ``shape``; objects that touch run together.

    Examples
    --------
    >>> speck = Instance.of(np.ones((1, 2), bool), corner_px=(0, 1))
    >>> paint([speck], (2, 4)).astype(int).tolist()
    [[0, 1, 1, 0], [0, 0, 0, 0]]
    """
    canvas = np.zeros(shape, bool)
    for instance in instances:
        if instance.label == label:
            canvas[instance.box] |= instance.mask
    return canvas


def separate(mask: NDArray[np.bool_], label: str = PARTICLE) -> list[Instance]:
    """Take a mask apart into its connected pieces.

    Parameters
    ----------
    mask
        ``(height, width)`` bool.
    label
        Label of all objects.

    Returns
    -------
    list of Instance
        Pieces whose pixels touch by a side or a corner, in order of their first pixel.

    Examples
    --------
    >>> mask = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 1, 1]], bool)
    >>> [piece.area_px for piece in separate(mask)]
    [2, 3]
    """
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3), bool))
    pieces = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        corner = (box[0].start, box[1].start)
        pieces.append(Instance.of(labels[box] == number, label, corner))
    return pieces


def overlapping(instances: Sequence[Instance], shape: tuple[int, int]) -> bool:
    """Whether any two objects share a pixel.

    Parameters
    ----------
    instances
        The objects, of any label.
    shape
        Height and width of the image.

    Returns
    -------
    bool
        True if so.

    Examples
    --------
    >>> speck = Instance.of(np.ones((2, 2), bool))
    >>> overlapping([speck, Instance.of(np.ones((1, 1), bool), corner_px=(1, 1))], (4, 4))
    True
    """
    painted = np.zeros(shape, bool)
    for instance in instances:
        if (painted[instance.box] & instance.mask).any():
            return True
        painted[instance.box] |= instance.mask
    return False


def iou(one: Instance, other: Instance) -> float:
    """Intersection over union of two objects.

    Parameters
    ----------
    one, other
        The objects.

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> dots = np.ones((1, 2), bool)
    >>> iou(Instance.of(dots), Instance.of(dots, corner_px=(0, 1)))
    0.3333333333333333
    """
    low = np.maximum(one.corner_px, other.corner_px)
    high = np.minimum(
        np.add(one.corner_px, one.mask.shape), np.add(other.corner_px, other.mask.shape)
    )
    if (low >= high).any():
        return 0.0
    parts = [
        each.mask[
            tuple(slice(a - c, b - c) for a, b, c in zip(low, high, each.corner_px, strict=True))
        ]
        for each in (one, other)
    ]
    shared = int((parts[0] & parts[1]).sum())
    return shared / (one.area_px + other.area_px - shared)
