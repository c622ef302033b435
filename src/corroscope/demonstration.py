"""`corroscope demo`: the main job on an example, from a sequence to pictures and tables."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from corroscope.frames.reading import read_frame
from corroscope.outputs import output_folder
from corroscope.pipeline.run import JOURNAL, run
from corroscope.report.overview import Overview, draw_overview
from corroscope.scoring.counts import Counts, count
from corroscope.scoring.scores import scores
from corroscope.synthesis.current import HEADER_LINES
from corroscope.synthesis.settings import make_synth_settings
from corroscope.synthesis.synth import synth


class Demo(NamedTuple):
    """What the demo made.

    Attributes
    ----------
    folder
        Where everything lies.
    frames
        Number of frames.
    particles
        The table of particles found.
    scores
        Agreement with the truth, which is known since the sequence is synthetic.
    """

    folder: Path
    frames: int
    particles: pd.DataFrame
    scores: dict[str, float]


def demo(
    *,
    out: str | Path = "corroscope-demo",
    progress: Callable[[str, int, int], object] | None = None,
) -> Demo:
    """Make a short synthetic sequence, find its corrosion products and follow them.

    Writes the sequence to ``sequence/`` as `corroscope.synth` does, and to ``run/``
    what `corroscope.run` makes of it: masks, tables, report; and ``overview.png``, which sets
    what was found beside what is true.

    Parameters
    ----------
    out
        Output folder, made if missing.
    progress
        As for `corroscope.run`.

    Returns
    -------
    Demo
        Folder, table and scores.

    Raises
    ------
    OutputError
        If the folder cannot be written to, or ``sequence/`` holds something else.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = demo(out=folder)
    >>> made.scores["dice"] > 0.5, made.scores["particle_recall"] > 0.6
    (True, True)
    """
    folder = output_folder(out)
    settings = make_synth_settings(preset="demo")
    sequence = synth(out=folder / "sequence", settings=settings, force=True)
    truth = sequence / "truth"
    takes = pd.read_csv(truth / "frames.csv")
    frames = [sequence / "frames" / image for image in takes["image"]]
    result = folder / "run"
    # The journal of an earlier demo would be of another sequence.
    (result / JOURNAL).unlink(missing_ok=True)
    particles = run(
        sequence / "frames",
        out=result,
        pixel_size=settings.cell.pixel_size_um,
        current=sequence / "current.mpt",
        alloy="Fe",
        progress=progress,
    )
    counts = Counts()
    times_s = takes["time_s"].to_numpy()
    first_seen_s = np.full(settings.shape, np.nan)
    mask = np.zeros(settings.shape, bool)
    for frame, time_s in zip(frames, times_s, strict=True):
        mask = read_frame(result / "masks" / f"{frame.stem}_mask.png") > 0
        counts += count(mask, read_frame(truth / "masks" / f"{frame.stem}_mask.png") > 0)
        first_seen_s[mask & np.isnan(first_seen_s)] = time_s
    current = pd.read_csv(
        sequence / "current.mpt", sep="\t", skiprows=HEADER_LINES - 1, encoding="cp1252"
    )
    shown = Overview(
        frame=read_frame(frames[-1]),
        mask=mask,
        first_seen=first_seen_s,
        times=times_s,
        found=particles,
        truth=pd.read_csv(truth / "particles.csv"),
        current=(
            current["time/s"].to_numpy() - settings.cell.lead_s,
            1000 * current["<I>/mA"].to_numpy(),
        ),
        pixel_size_um=settings.cell.pixel_size_um,
    )
    draw_overview(shown, folder / "overview.png")
    return Demo(folder, len(frames), particles, scores(counts))
