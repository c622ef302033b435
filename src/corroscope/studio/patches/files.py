"""The files of a patch: its pixels, and its masks where somebody has annotated."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corroscope.annotation.pairing import ignore_of, mask_of

Files = Mapping[str, NDArray[Any]]
"""Pixels of a patch, its mask and its ignore mask, as far as there are any, by file name."""


def mask_files(
    patch: str, particles: NDArray[np.bool_] | None, ignored: NDArray[np.bool_] | None
) -> Files:
    """Lay out the masks of a patch.

    Parameters
    ----------
    patch
        File name of the patch.
    particles, ignored
        ``(height, width)`` bool; None where nobody has annotated. An ignore mask without any
        pixel has no file.

    Returns
    -------
    dict of str to ndarray
        0 and 255, by file name.

    Examples
    --------
    >>> empty = np.zeros((2, 2), bool)
    >>> list(mask_files("x.tif", empty, empty))
    ['x_mask.png']
    """
    files = {}
    if particles is not None:
        files[mask_of(Path(patch)).name] = np.where(particles, 255, 0).astype(np.uint8)
    if ignored is not None and ignored.any():
        files[ignore_of(Path(patch)).name] = np.where(ignored, 255, 0).astype(np.uint8)
    return files


def described(files: Files) -> dict[str, Any]:
    """Describe files so that a change of any is noticed.

    Parameters
    ----------
    files
        The patch first.

    Returns
    -------
    dict
        ``patch``, the name of the first, and ``files``, the digest of each by name.

    Examples
    --------
    >>> described({"x.png": np.zeros((2, 2), np.uint8)})["patch"]
    'x.png'
    """
    digests = {name: digest(pixels) for name, pixels in files.items()}
    return {"patch": next(iter(files)), "files": digests}


def digest(pixels: NDArray[Any]) -> str:
    """Digest of pixels, not of a file: another program may write the same ones in its own way.

    Parameters
    ----------
    pixels
        ``(height, width)``.

    Returns
    -------
    str
        32 hexadecimal digits.

    Examples
    --------
    >>> digest(np.zeros((2, 2), np.uint8)) == digest(np.zeros((2, 2), np.uint16))
    False
    """
    found = hashlib.blake2b(f"{pixels.dtype} {pixels.shape}\n".encode(), digest_size=16)
    found.update(np.ascontiguousarray(pixels).tobytes())
    return found.hexdigest()
