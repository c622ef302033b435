"""Following corrosion: from particles and openings of all frames to pits, tracks and events."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from corroscope.frames.sequence import FrameSequence
from corroscope.outputs import replacing
from corroscope.tables import (
    FOLLOWED_EVENTS,
    FOLLOWED_PITS,
    PIT_SUMMARY,
    RATES,
    TRACK_SUMMARY,
    TRACKS,
)
from corroscope.tabulation import write_table
from corroscope.tracking.bursts import BURSTS, find_bursts
from corroscope.tracking.events import find_events
from corroscope.tracking.footprints import particles_in_pits
from corroscope.tracking.mothers import find_mothers
from corroscope.tracking.pits import follow_pits
from corroscope.tracking.rates import count_rates
from corroscope.tracking.trackmate import trackmate_csv, trackmate_xml
from corroscope.tracking.trackmate_graph import Film
from corroscope.tracking.tracks import follow_particles


@dataclass(frozen=True, eq=False)
class Followed:
    """What became of particles and pits, as tables.

    Attributes
    ----------
    tracks, track_summary, pits, pit_summary, events, bursts, rates
        As `corroscope.tables.TRACKS` and the others; bursts as
        `corroscope.tracking.bursts.BURSTS`.
    in_pits
        Number of particles found that are openings of pits, and in no track.
    """

    tracks: pd.DataFrame
    track_summary: pd.DataFrame
    pits: pd.DataFrame
    pit_summary: pd.DataFrame
    events: pd.DataFrame
    bursts: pd.DataFrame
    rates: pd.DataFrame
    in_pits: int

    def write(self, folder: Path, film: Film) -> None:
        """Write all tables, and the tracks as Fiji's TrackMate reads them.

        Parameters
        ----------
        folder
            Of the result.
        film
            What the tracks are of.

        Raises
        ------
        OutputError
            If a file cannot be written.
        """
        for name, columns in (
            ("tracks", TRACKS),
            ("track_summary", TRACK_SUMMARY),
            ("pits", FOLLOWED_PITS),
            ("pit_summary", PIT_SUMMARY),
            ("events", FOLLOWED_EVENTS),
            ("bursts", BURSTS),
            ("rates", RATES),
        ):
            write_table(folder / name, getattr(self, name), columns)
        with replacing(folder / "tracks.xml") as file:
            file.write_bytes(trackmate_xml(self.tracks, self.track_summary, film))
        with replacing(folder / "tracks_spots.csv") as file:
            text = trackmate_csv(self.tracks, self.track_summary, film)
            file.write_text(text, encoding="utf-8", newline="\n")


def follow(
    frames: pd.DataFrame,
    particles: pd.DataFrame,
    openings: pd.DataFrame,
    shape: tuple[int, int],
) -> Followed:
    """Follow pits, then particles, then find out which came from which.

    Parameters
    ----------
    frames
        As `corroscope.tables.SEGMENTED_FRAMES`.
    particles
        As `corroscope.tables.PARTICLES`.
    openings
        As `corroscope.tables.OPENINGS`.
    shape
        Height and width of a frame: what its rim cuts off is not measured.

    Returns
    -------
    Followed
        All tables.
    """
    pits, pit_summary = follow_pits(openings, frames, shape=shape)
    # To a network a newborn pit looks like a particle; only time tells them apart.
    opened = particles_in_pits(particles, pits)
    tracks, alone = follow_particles(particles[~opened], frames, pits)
    track_summary = find_mothers(tracks, alone, pits, pit_summary, frames)
    events = find_events(track_summary, pit_summary, frames)
    ejections = events[events["event"] == "ejection"]
    return Followed(
        tracks,
        track_summary,
        pits,
        pit_summary,
        events,
        find_bursts(ejections, track_summary, pit_summary, frames),
        count_rates(events, tracks, track_summary, pits, frames),
        int(np.count_nonzero(opened)),
    )


def film_of(path: Path, frames: FrameSequence, pixel_size_um: float | None) -> Film:
    """What TrackMate is told of a sequence.

    Parameters
    ----------
    path
        Of the sequence. Fiji opens one file: where it is a folder, the stack that somebody may
        save it as.
    frames
        The sequence.
    pixel_size_um
        Side of a pixel; None where it is unknown: places are in pixels then.

    Returns
    -------
    Film
        What it is called, its size and its times.
    """
    single = path.is_file()
    known = frames.time_s[np.isfinite(frames.time_s)]
    return Film(
        name=path.name if single else f"{frames.name}.tif",
        folder=str(path.resolve().parent) if single else "",
        height=frames.shape[0],
        width=frames.shape[1],
        frames=len(frames),
        interval_s=float(np.median(np.diff(known))) if known.size > 1 else np.nan,
        pixel_size_um=pixel_size_um,
    )
