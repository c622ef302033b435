"""`corroscope demo`: the main job on an example, from a frame to a table."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from corroscope.frames.reading import read_frame
from corroscope.outputs import output_folder, write_png
from corroscope.scoring.counts import count
from corroscope.scoring.scores import scores
from corroscope.segmentation.segment import segment
from corroscope.synthesis.frame import make_frame

SHAPE_PX: Final = (612, 816)
SEED: Final = 18


class Demo(NamedTuple):
    """What the demo made.

    Attributes
    ----------
    folder
        Where everything lies.
    particles
        The table of particles found.
    scores
        Agreement with the truth, which is known since the frame is synthetic.
    """

    folder: Path
    particles: pd.DataFrame
    scores: dict[str, float]


def demo(
    *, out: str | Path = "corroscope-demo", progress: Callable[[int, int], object] | None = None
) -> Demo:
    """Make a synthetic frame and find its corrosion products.

    Writes the frame ``frames/demo.png``, its true mask ``demo_truth.png`` and, as
    ``segment`` does, the mask found, the overlay, the table and the manifest.

    Parameters
    ----------
    out
        Output folder, made if missing.
    progress
        As for `corroscope.segment`.

    Returns
    -------
    Demo
        Folder, table and scores.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = demo(out=folder)
    >>> len(made.particles) > 0
    True
    """
    folder = output_folder(out)
    frame_file = output_folder(folder / "frames") / "demo.png"
    made = make_frame(SHAPE_PX, np.random.default_rng(SEED), particles=60, pits=2)
    write_png(frame_file, made.frame)
    write_png(folder / "demo_truth.png", made.mask.astype(np.uint8) * np.uint8(255))
    particles = segment(frame_file, out=folder, progress=progress)
    mask = read_frame(folder / "demo_mask.png") > 0
    return Demo(folder, particles, scores(count(mask, made.mask)))
