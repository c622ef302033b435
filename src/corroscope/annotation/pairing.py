"""Which image, mask and ignore mask of a folder belong together, by their names."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from corroscope.errors import DatasetError
from corroscope.frames.beside import image_stem


class Pair(NamedTuple):
    """An image and the masks beside it.

    Attributes
    ----------
    image
        The image; None for a mask without one.
    mask
        Its mask: zero where there is no particle; None before it is annotated.
    ignore
        Its ignore mask: what is neither learnt from nor scored; None where nothing is ignored.
    """

    image: Path | None
    mask: Path | None
    ignore: Path | None


def pair_files(files: Iterable[Path]) -> dict[str, Pair]:
    """Pair images with their masks.

    A mask is a file whose name has ``mask`` in it: ``mask_1.png`` belongs to ``image_1.png``,
    ``x_mask.png`` to ``x.png``. ``x_ignore.png`` beside ``x.png`` is its ignore mask.

    Parameters
    ----------
    files
        Image files of one folder.

    Returns
    -------
    dict of str to Pair
        By the name that image and mask have in common, in its order.

    Raises
    ------
    DatasetError
        If two files claim one name.

    Examples
    --------
    >>> pairs = pair_files([Path("a.png"), Path("a_mask.png"), Path("mask_1.png")])
    >>> [(key, pair.image and pair.image.name, pair.mask.name) for key, pair in pairs.items()]
    [('a', 'a.png', 'a_mask.png'), ('image_1', None, 'mask_1.png')]
    """
    files = list(files)
    stems = {path.stem for path in files}
    ignores = _by_key(p for p in files if _ignored(p.stem) in stems)
    images = _by_key(p for p in files if "mask" not in p.stem and _ignored(p.stem) not in stems)
    masks = _by_key(p for p in files if "mask" in p.stem and _ignored(p.stem) not in stems)
    return {
        key: Pair(images.get(key), masks.get(key), ignores.get(key))
        for key in sorted(images.keys() | masks.keys())
    }


def mask_of(image: Path) -> Path:
    """Where a new mask of an image goes.

    Parameters
    ----------
    image
        The image file.

    Returns
    -------
    Path
        ``x_mask.png`` beside ``x.png``.

    Examples
    --------
    >>> mask_of(Path("x.tif")).name
    'x_mask.png'
    """
    return image.with_name(f"{image.stem}_mask.png")


def ignore_of(image: Path) -> Path:
    """Where the ignore mask of an image goes.

    Parameters
    ----------
    image
        The image file.

    Returns
    -------
    Path
        ``x_ignore.png`` beside ``x.png``.

    Examples
    --------
    >>> ignore_of(Path("x.tif")).name
    'x_ignore.png'
    """
    return image.with_name(f"{image.stem}_ignore.png")


def _ignored(stem: str) -> str | None:
    """The stem of the image that an ignore mask of this stem would belong to."""
    return stem.removesuffix("_ignore") if stem.endswith("_ignore") else None


def _by_key(paths: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        other = found.setdefault(image_stem(path.stem), path)
        if other is not path:
            raise DatasetError(
                f"{path.parent}: {other.name} and {path.name} claim one name; rename one"
            )
    return found
