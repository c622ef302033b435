"""The masks beside the images: written from the annotations, and what others did to them."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from corroscope.annotation.history import Change, History, Objects
from corroscope.annotation.instances import IGNORE, PARTICLE, Instance, paint, separate
from corroscope.annotation.pairing import Pair, ignore_of, mask_of
from corroscope.errors import AnnotationError, FrameError, OutputError
from corroscope.frames.reading import read_frame
from corroscope.outputs import write_mask, write_tiff

Stamp = tuple[int, int, int] | None
"""Size, time and inode of a file; None for none."""

_TOUCHING: Final = np.ones((3, 3), bool)
_LOSSLESS: Final = (".png", ".tif", ".tiff")


class Found(NamedTuple):
    """How an image's masks compare with its history.

    Attributes
    ----------
    foreign
        The change that makes the objects those of the masks, where another program has written
        them; None where none has.
    behind
        Whether the masks are not yet, or no longer, what the history says.
    """

    foreign: Change | None
    behind: bool


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
        self._stamps: dict[Path, Stamp] = {}  # of the files as they were last written here
        self._settled: set[Path] = set()  # masks known to be what the history says

    def write(self, pair: Pair, history: History, shape: tuple[int, int]) -> None:
        """Write an image's masks, or remove them where everything is undone.

        Parameters
        ----------
        pair
            The image and the names of its masks.
        history
            What has been done.
        shape
            Height and width of the image.

        Raises
        ------
        OutputError
            If a mask cannot be written; the journal has everything, and the mask is written with
            the next action or when the store is opened next.
        """
        paths = self._paths(pair)
        self._settled.discard(paths[0])
        mask, ignore = _expected(history, shape)
        self._put(paths[1], ignore)
        self._put(paths[0], mask)  # last: `recall` takes it for the sign that both are written
        self._settled.add(paths[0])

    def _put(self, path: Path, mask: NDArray[np.bool_] | None) -> None:
        if mask is None:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(
                    f"{path}: cannot be removed ({error.strerror}); give the right to write"
                ) from error
        else:
            if path.suffix.lower() == ".png":
                write_mask(path, mask)
            else:
                write_tiff(path, mask.view(np.uint8) * np.uint8(255), compress=True)
        self._stamps[path] = _stamp(path)

    def tidy(self, pairs: Iterable[Pair]) -> None:
        """Remove what a program left that was killed while it wrote a mask.

        Parameters
        ----------
        pairs
            The images and the names of their masks.
        """
        masks = {path for pair in pairs for path in self._paths(pair)}
        names = {(path.stem, path.suffix) for path in masks}
        for path in (self._elsewhere or self._folder).glob(".*-????????.*"):
            half_written = re.fullmatch(r"\.(.+)-[0-9a-f]{8}", path.stem)  # see `replacing`
            if half_written and (half_written[1], path.suffix) in names:
                path.unlink(missing_ok=True)

    def stamps(self, pair: Pair) -> tuple[Stamp, Stamp]:
        """Return the stamps of mask and ignore mask as they were last written here, for `recall`.

        Parameters
        ----------
        pair
            The image and the names of its masks.

        Returns
        -------
        tuple of tuple of int, or None
            What JSON can hold.
        """
        mask, ignore = self._paths(pair)
        return self._stamps.get(mask), self._stamps.get(ignore)

    def recall(self, pair: Pair, stamps: Iterable[Iterable[int] | None]) -> bool:
        """Learn how masks were written before the last action that the journal tells of.

        Masks that still are so were left behind when a program was stopped between the journal
        and them.

        Parameters
        ----------
        pair
            The image and the names of its masks.
        stamps
            As `stamps` returned before that action.

        Returns
        -------
        bool
            Whether the mask still is so.
        """
        paths = self._paths(pair)
        for path, stamp in zip(paths, stamps, strict=True):
            told = None if stamp is None else tuple(stamp)
            self._stamps[path] = None if told is None else (told[0], told[1], told[2])
        return self._stamps[paths[0]] == _stamp(paths[0])

    def settled(self, pair: Pair) -> bool:
        """Whether an image's masks are what the history says and nobody has touched them since.

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
        return mask in self._settled and all(
            self._stamps.get(path) == _stamp(path) for path in (mask, ignore)
        )

    def look(self, pair: Pair, history: History, shape: tuple[int, int]) -> Found:
        """Look what has become of an image's masks.

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
        Found
            A mask that is not as the history says, nor as it was last written, is another
            program's. One that is missing is merely behind.

        Raises
        ------
        AnnotationError
            If a mask cannot be read, has another size than the image, or is of a format that
            loses pixels.
        """
        paths = self._paths(pair)
        found = [_read(path, shape) for path in paths]
        if found[1] is not None and not found[1].any():
            found[1] = None
        expected = _expected(history, shape)
        right = [_same(mask, told) for mask, told in zip(found, expected, strict=True)]
        if all(right):
            self._stamps.update((path, _stamp(path)) for path in paths)
            self._settled.add(paths[0])
            return Found(None, behind=False)
        ours = [
            fine or mask is None or self._stamps.get(path) == _stamp(path)
            for fine, mask, path in zip(right, found, paths, strict=True)
        ]
        if all(ours):
            return Found(None, behind=True)
        particles, ignored = (
            told if own or mask is None else mask
            for own, mask, told in zip(ours, found, _painted(history.objects, shape), strict=True)
        )
        change = adopted(history.objects, particles, ignored & ~particles, history.next_number)
        return Found(change, behind=True)

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
        ``(height, width)`` bool, the masks; no pixel is in both.
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
    shape = (particles.shape[0], particles.shape[1])
    before = _painted(objects, shape)
    # Of both: what is ignored may go on beneath a particle, and must not come up when that goes.
    new = ndimage.binary_dilation((particles ^ before[0]) | (ignored ^ before[1]), _TOUCHING)
    change: dict[int, Instance | None] = {
        old: None for old, instance in objects.items() if (new[instance.box] & instance.mask).any()
    }
    kept = [instance for old, instance in objects.items() if old not in change]
    for label, mask in ((PARTICLE, particles), (IGNORE, ignored)):
        for piece in separate(mask & ~paint(kept, shape, label), label):
            change[number] = piece
            number += 1
    return change


def _painted(
    objects: Objects, shape: tuple[int, int]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Particles, and what is ignored but no particle."""
    particles = paint(objects.values(), shape)
    return particles, paint(objects.values(), shape, IGNORE) & ~particles


def _expected(
    history: History, shape: tuple[int, int]
) -> tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None]:
    """What mask and ignore mask should be; None for none."""
    ignored = None
    if any(one.label == IGNORE for one in history.objects.values()):
        particles, ignored = _painted(history.objects, shape)
    else:
        particles = paint(history.objects.values(), shape)
    # An empty mask would say that somebody looked and found no particle.
    return (
        particles if history.annotated else None,
        ignored if ignored is not None and ignored.any() else None,
    )


def _same(one: NDArray[np.bool_] | None, other: NDArray[np.bool_] | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


def _read(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    if not path.exists():
        return None
    if path.suffix.lower() not in _LOSSLESS:
        raise AnnotationError(
            f"{path}: a mask of this format loses pixels; convert it to PNG; nothing was changed"
        )
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
