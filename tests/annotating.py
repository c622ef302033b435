"""A dataset folder to annotate, for the tests of the store."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from corroscope.annotation.instances import Instance
from corroscope.frames.reading import read_frame
from corroscope.outputs import write_png

SHAPE = (60, 80)


def images_in(folder: Path) -> Path:
    """Two images, and nothing annotated."""
    grain = np.random.default_rng(0).normal(150, 5, SHAPE).astype(np.uint8)
    for name in ("a.png", "b.png"):
        write_png(folder / name, grain)
    return folder


def speck(row: int, col: int, size: int = 3, label: str = "particle") -> Instance:
    """A square object."""
    return Instance.of(np.ones((size, size), bool), label, (row, col))


def mask_in(folder: Path, name: str = "a_mask.png") -> NDArray[np.bool_]:
    """What a mask says."""
    return read_frame(folder / name) > 0
