"""The masks beside the images: written from the annotations, and what others did to them."""

import re
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from corroscope.annotation.history import History, Objects
from corroscope.annotation.instances import IGNORE, PARTICLE, Instance, paint, separate
from corroscope.annotation.pairing import Pair, ignore_of, mask_of
from corroscope.errors import AnnotationError, FrameError
from corroscope.frames.reading import read_frame
from corroscope.outputs import write_png

Stamp = tuple[int, int, int] | None

_HALF_WRITTEN: Final = re.compile(r"\..*_?(mask|ignore).*-[0-9a-f]{8}\.png")  # see `replacing`

_TOUCHING: Final = np.ones((3, 3), bool)


class Snapshots:
    """The masks of a dataset folder, or of a second annotation of it.

    Parameters
    ----------
    folder
        Where the images are.
    elsewhere
        Where the masks are, if not beside the images.
    """

    def __init__(self, folder: Path, elsewhere: Path | None = None) -> None:
        self._folder = folder
        self._elsewhere = elsewhere
        self._stamps: dict[Path, tuple[Stamp, Stamp]] = {}

    def write(self, pair: Pair, objects: Objects, shape: tuple[int, int]) -> None:
        """Write an image's masks.

        Parameters
        ----------
        pair
            The image and the names of its masks.
        objects
            Its objects.
        shape
            Height and width of the image.

        Raises
        ------
        OutputError
            If a mask cannot be written; the journal has everything, and the mask is written when
            the store is opened next.
        """
        mask, ignore = self._paths(pair)
        particles, ignored = _painted(objects, shape)
        write_png(mask, np.where(particles, 255, 0).astype(np.uint8))
        if ignored.any():
            write_png(ignore, np.where(ignored, 255, 0).astype(np.uint8))
        else:
            ignore.unlink(missing_ok=True)
        self._stamps[mask] = (_stamp(mask), _stamp(ignore))

    def tidy(self) -> None:
        """Remove what a program left that was killed while it wrote a mask."""
        for path in (self._elsewhere or self._folder).glob(".*-????????.png"):
            if _HALF_WRITTEN.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def unchanged(self, pair: Pair) -> bool:
        """Whether an image's masks are as they were last written here.

        Parameters
        ----------
        pair
            The image and the names of its masks.

        Returns
        -------
        bool
            By size, time and inode; the pixels are not read.
        """
        mask, ignore = self._paths(pair)
        return self._stamps.get(mask) == (_stamp(mask), _stamp(ignore))

    def foreign(
        self, pair: Pair, history: History, shape: tuple[int, int]
    ) -> dict[int, Instance | None] | None:
        """Look for what another program did to an image's masks.

        Parameters
        ----------
        pair
            The image and the names of its masks.
        history
            What the journal says of the image.
        shape
            Height and width of the image.

        Returns
        -------
        dict of int to Instance or None, or None
            The change that makes the objects those of the masks; None where the masks are as the
            journal says, or as it said at some time before (then writing them was interrupted),
            or there is no mask.

        Raises
        ------
        AnnotationError
            If a mask cannot be read or has another size than the image.
        """
        mask, ignore = self._paths(pair)
        if not mask.exists():
            return None
        found, ignored = _read(mask, shape), _read(ignore, shape)
        if not history.ever:
            return adopted({}, found, ignored, 1)
        seen = [_painted(history.objects, shape)]
        if np.array_equal(found, seen[0][0]) and np.array_equal(ignored, seen[0][1]):
            return None
        # Not as it should be: by another program's hand, or because ours was stopped?
        seen += [_painted(objects, shape) for objects in history.earlier()]
        if any(np.array_equal(found, p) for p, _ in seen) and any(
            np.array_equal(ignored, i) for _, i in seen
        ):
            return None
        return adopted(history.objects, found, ignored, history.next_number)

    def _paths(self, pair: Pair) -> tuple[Path, Path]:
        assert pair.image is not None  # pairs without one are not annotated
        if self._elsewhere is not None:
            beside = self._elsewhere / pair.image.name
            return mask_of(beside), ignore_of(beside)
        return pair.mask or mask_of(pair.image), pair.ignore or ignore_of(pair.image)


def adopted(
    objects: Objects, particles: NDArray[np.bool_], ignored: NDArray[np.bool_], number: int
) -> dict[int, Instance | None]:
    """Work out how objects must change to be those of some masks.

    Parameters
    ----------
    objects
        The objects so far.
    particles, ignored
        ``(height, width)`` bool, the masks.
    number
        Of the first new object.

    Returns
    -------
    dict of int to Instance or None
        Objects in whose neighbourhood nothing is new stay; of what the masks have besides, each
        connected piece becomes a new object.

    Examples
    --------
    >>> dot = np.ones((1, 1), bool)
    >>> old = {1: Instance.of(dot), 2: Instance.of(dot, corner_px=(0, 4))}
    >>> mask = np.array([[1, 0, 0, 0, 1, 1]], bool)
    >>> change = adopted(old, mask, ~mask & False, 3)
    >>> change[2], change[3].area_px, 1 in change
    (None, 2, False)
    """
    change: dict[int, Instance | None] = {}
    shape = particles.shape
    painted = _painted(objects, (shape[0], shape[1]))
    for label, mask, before in zip((PARTICLE, IGNORE), (particles, ignored), painted, strict=True):
        new = ndimage.binary_dilation(mask ^ before, _TOUCHING)
        kept = []
        for old, instance in objects.items():
            if instance.label == label:
                if (new[instance.box] & instance.mask).any():
                    change[old] = None
                else:
                    kept.append(instance)
        for piece in separate(mask & ~paint(kept, mask.shape, label), label):
            change[number] = piece
            number += 1
    return change


def _painted(
    objects: Objects, shape: tuple[int, int]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Particles, and what is ignored but no particle."""
    particles = paint(objects.values(), shape)
    return particles, paint(objects.values(), shape, IGNORE) & ~particles


def _read(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    if not path.exists():
        return np.zeros(shape, bool)
    try:
        mask: NDArray[np.bool_] = read_frame(path) > 0
    except FrameError as error:
        raise AnnotationError(f"{error}; nothing was changed") from error
    if mask.shape != shape:
        raise AnnotationError(
            f"{path}: has {mask.shape[0]} by {mask.shape[1]} pixels, its image {shape[0]} by "
            f"{shape[1]}; nothing was changed; put a mask of the right size there, or none"
        )
    return mask


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
