"""What a run has found, put on its page."""

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.frames.registration import Registration
from corroscope.pipeline.cell import Cell
from corroscope.pipeline.follow import Followed
from corroscope.pipeline.passes import Passes
from corroscope.pipeline.pictures import course, draw_activity, small_frames
from corroscope.report.run.contents import CorrectedCounts, RecordedCurrent, RunPage
from corroscope.report.run.write import write_run_report
from corroscope.scoring.efficiency import Efficiency, correct_counts
from corroscope.tracking.footprints import particles_in_pits
from corroscope.tracking.trackmeasures import mean_squared_displacement

PICTURES: Final = 150
"""Frames in the player, at most."""

PICTURE_PX: Final = 800
"""Longest side of a frame in the player."""

LAGS: Final = 12
"""Of the mean squared displacement: as many as usual intervals."""


class Counted(NamedTuple):
    """What counts are corrected by.

    Attributes
    ----------
    efficiency
        What is known of misses and false finds.
    unfit
        Why it is not about this run's network; None where it is.
    """

    efficiency: Efficiency
    unfit: str | None


def show(
    passes: Passes,
    registration: Registration,
    table: pd.DataFrame,
    particles: pd.DataFrame,
    followed: Followed,
    cell: Cell | None,
    counted: Counted,
    manifest: dict[str, Any],
    folder: Path,
) -> None:
    """Write the report of a run, and its figures with their numbers.

    Parameters
    ----------
    passes
        Of the run.
    registration
        Where each frame lies.
    table
        As `corroscope.tables.SEGMENTED_FRAMES`.
    particles
        As `corroscope.tables.PARTICLES`.
    followed
        What became of them.
    cell
        What the current tells; None without one.
    counted
        What counts are corrected by.
    manifest
        As it is written beside the report.
    folder
        Of the result.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    frames = passes.frames
    done = np.flatnonzero(table["segmented"])
    times, timed = course(frames.time_s)
    places = np.linspace(0, max(done.size - 1, 0), min(PICTURES, done.size))
    chosen = done[places.round().astype(np.int64)]
    moments = np.unique(times)
    usual_s = float(np.median(np.diff(moments))) if moments.size > 1 else np.nan
    msd = None
    if timed and usual_s > 0 and len(followed.tracks):
        lags_s = usual_s * np.arange(1, LAGS + 1, dtype=np.float64)
        msd = mean_squared_displacement(followed.tracks, lags_s)
    field_px = float(frames.shape[0] * frames.shape[1])
    if passes.choice.kind == "rolling" and counted.unfit is None:
        counted = Counted(
            counted.efficiency,
            "Counts are not corrected: the efficiency was not measured with a rolling reference, "
            "which does not find what has come to rest.",
        )
    corrected, told = _corrected(counted, particles, followed, done, field_px)
    page = RunPage(
        title=f"Corrosion of {frames.name}",
        frames=table,
        particles=particles,
        tracks=followed.tracks,
        track_summary=followed.track_summary,
        pits=followed.pits,
        pit_summary=followed.pit_summary,
        events=followed.events,
        rates=followed.rates,
        pictures=small_frames(passes, registration, chosen, PICTURE_PX),
        first_seen=draw_activity(passes, registration, done, times),
        msd=msd,
        current=None if cell is None else _recorded(cell),
        transients=None if cell is None else dict(cell.transients),
        association=None if cell is None else cell.association or None,
        faraday=None if cell is None else cell.faraday,
        corrected=corrected,
        pixel_size_um=manifest["settings"]["pixel_size_um"],
        smallest_area_px=passes.segmenter.min_area_px,
        conditions=frames.conditions._asdict(),
        manifest=manifest,
        warnings=[
            *frames.remarks,
            *_warnings(passes, followed),
            *([] if cell is None else cell.remarks),
            *told,
        ],
        files={"pits": "pit_summary.csv", "events": "events.csv"},
    )
    write_run_report(page, folder)


def _corrected(
    counted: Counted,
    particles: pd.DataFrame,
    followed: Followed,
    done: NDArray[np.int64],
    field_px: float,
) -> tuple[CorrectedCounts | None, list[str]]:
    """Particles of the last frame, corrected by what the network is known to miss, and remarks.

    One frame, because it is for single frames that misses are known: a particle that is missed now
    and then is in its track all the same.
    """
    if counted.unfit is not None:
        return None, [counted.unfit]
    if not done.size:
        return None, []
    last = int(done[-1])
    inside = particles_in_pits(particles, followed.pits)
    area_px = particles.loc[(particles["frame"] == last) & ~inside, "area_px"]
    found = correct_counts(counted.efficiency, area_px.to_numpy(np.float64), field_px=field_px)
    source = f"Particles in frame {last}, the last that was segmented. {counted.efficiency.source}"
    found_total, corrected, low, high = found.total
    total = (found_total, corrected, low, high)
    return CorrectedCounts(found.bins, total, source), list(found.remarks)


def _recorded(cell: Cell) -> RecordedCurrent:
    """The current as the page shows it; without a sample where it could not be placed."""
    known = bool(np.isfinite(cell.low_s))
    return RecordedCurrent(
        cell.time_s,
        cell.current_ua,
        cell.offset_s,
        cell.low_s if known else None,
        cell.high_s if known else None,
    )


def _warnings(passes: Passes, followed: Followed) -> list[str]:
    """What must be known before the figures are believed."""
    said = []
    if passes.choice.kind == "rolling":
        said.append(
            f"Frames were compared with the one {passes.choice.frames} frames before: a particle "
            "that has come to rest is not found any more after as many frames, and its track ends."
        )
    if followed.in_pits:
        said.append(
            f"{followed.in_pits} of the particles in particles.csv lie in the mouth of a pit and "
            "are in no track: a pit that has just been born looks like a particle."
        )
    return said
