"""What reading any format needs: the images' sizes, and one line for what does not fit."""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corroscope.annotation.instances import LABELS, PARTICLE, Instance
from corroscope.annotation.outlines import fill
from corroscope.errors import AnnotationError

Sizes = Mapping[str, tuple[int, int]]
"""Height and width of the images that annotations may belong to, by file name."""

_ALMOST: float = 1e-3  # px: what other programs' rounding may move a vertex


def image_of(stem: str, sizes: Sizes, path: Path) -> str:
    """Find the image that a file belongs to by its name without ending.

    Parameters
    ----------
    stem
        Of the annotation file.
    sizes
        The images there are.
    path
        The annotation file, for the error.

    Returns
    -------
    str
        File name of the image.

    Raises
    ------
    AnnotationError
        If there is none, or more than one.
    """
    found = [name for name in sizes if stem in (name, Path(name).stem)]
    if len(found) != 1:
        raise AnnotationError(
            f"{path}: belongs to {'several images' if found else 'no image that is there'}; name "
            "it like its image"
        )
    return found[0]


def files(path: Path, ending: str) -> list[Path]:
    """List the files of a format: the one that is named, or those of a folder.

    Parameters
    ----------
    path
        A file or folder.
    ending
        How the names end.

    Returns
    -------
    list of Path
        In order of name.

    Raises
    ------
    AnnotationError
        If there are none.
    """
    found = [path] if path.is_file() else sorted(path.glob(f"*{ending}"))
    if not found:
        raise AnnotationError(f"{path}: holds no file *{ending}; name another folder or format")
    return found


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    object
        What it holds.

    Raises
    ------
    AnnotationError
        If it cannot be read or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AnnotationError(f"{path}: is no JSON file that can be read ({error})") from None


def label_of(name: str, names: Iterable[str], where: str) -> str:
    """Understand what another program calls a particle.

    Parameters
    ----------
    name
        The object's class.
    names
        All classes that occur.
    where
        The file, for the error.

    Returns
    -------
    str
        ``"particle"`` or ``"ignore"``; a single class of any other name is particles.

    Raises
    ------
    AnnotationError
        If there are several others.
    """
    if name in LABELS:
        return name
    others = {other for other in names if other not in LABELS}
    if len(others) > 1:
        raise AnnotationError(
            f"{where}: has the classes {', '.join(sorted(others))}; call what is meant 'particle' "
            "and remove the others"
        )
    return PARTICLE


def filled(rings: Iterable[ArrayLike], size: tuple[int, int], label: str, where: str) -> Instance:
    """Fill the rings of one object.

    Parameters
    ----------
    rings
        Row and column in corner coordinates.
    size
        Height and width of the image.
    label
        Of the object.
    where
        File and object, for the error.

    Returns
    -------
    Instance
        The pixels whose centres lie in an odd number of rings.

    Raises
    ------
    AnnotationError
        If a vertex lies outside the image, is no number, or the object has no pixel.
    """
    corners = [np.asarray(ring, np.float64).reshape(-1, 2) for ring in rings]
    every = np.concatenate([*corners, np.empty((0, 2))])
    if not ((every >= -_ALMOST) & (every <= np.array(size) + _ALMOST)).all():
        raise AnnotationError(
            f"{where}: reaches outside the image of {size[0]} by {size[1]} pixels; is it for "
            "another image?"
        )
    return instance(fill([_snapped(ring) for ring in corners], size), label, where)


def instance(mask: NDArray[np.bool_], label: str, where: str) -> Instance:
    """Make an object of a mask.

    Parameters
    ----------
    mask
        ``(height, width)`` of the image.
    label
        Of the object.
    where
        File and object, for the error.

    Returns
    -------
    Instance
        The object.

    Raises
    ------
    AnnotationError
        If it has no pixel.
    """
    if not mask.any():
        raise AnnotationError(f"{where}: covers the centre of no pixel; remove it")
    return Instance.of(mask, label)


@contextlib.contextmanager
def understanding(path: Path) -> Iterator[None]:
    """Turn what a malformed file raises into one line that names it.

    Parameters
    ----------
    path
        The file.

    Yields
    ------
    None
        While the file is taken apart.

    Raises
    ------
    AnnotationError
        If something is missing there or of another kind than it should be.
    """
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OSError) as error:
        raise AnnotationError(
            f"{path}: is not as the format has it ({type(error).__name__}: {error}); export it anew"
        ) from error


def _snapped(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring vertices that rounding has moved off the corners of pixels back there."""
    nearest = np.rint(ring)
    return np.where(np.abs(ring - nearest) <= _ALMOST, nearest, ring)
