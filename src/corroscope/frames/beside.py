"""Masks that lie beside frames: which names are theirs, so that none is taken for a frame."""

from collections.abc import Sequence
from pathlib import Path


def image_stem(stem: str) -> str:
    """Find the image that a mask belongs to, by its name alone.

    Parameters
    ----------
    stem
        File name without its ending.

    Returns
    -------
    str
        The stem of the image that a mask or an ignore mask of this name would belong to; for
        any other name the name itself.

    Examples
    --------
    >>> image_stem("x_mask"), image_stem("x_ignore"), image_stem("mask_1"), image_stem("x")
    ('x', 'x', 'image_1', 'x')
    """
    stem = stem.removesuffix("_ignore")
    if stem.endswith("_mask"):
        return stem.removesuffix("_mask")
    if "mask" in stem:
        return stem.replace("mask", "image", 1)
    return stem


def without_masks(files: Sequence[Path]) -> list[Path]:
    """Leave out the masks whose images are there.

    Parameters
    ----------
    files
        Image files of one folder.

    Returns
    -------
    list of Path
        The others, in the order given.

    Examples
    --------
    >>> names = ["x.png", "x_mask.png", "x_ignore.png", "y_mask.png"]
    >>> [file.name for file in without_masks([Path(name) for name in names])]
    ['x.png', 'y_mask.png']
    """
    stems = {file.stem for file in files}
    return [f for f in files if (image := image_stem(f.stem)) == f.stem or image not in stems]
