"""Particles followed from frame to frame: tracks and what they tell."""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.errors import TrackingError
from corroscope.tables import PARTICLES, TRACK_SUMMARY, TRACKS
from corroscope.tracking.clumps import Clumped, resolve_clumps
from corroscope.tracking.learning_motion import expected_births, guess_motion, learn_motion
from corroscope.tracking.linking import Links, Sightings, link_sightings
from corroscope.tracking.motion import Motion
from corroscope.tracking.trackmeasures import AFLOAT, SETTLED, place_names, summarise_tracks

STILL_PX: Final = 1.5
"""A step of less is none: centroids of what rests move by less."""


SWEEPS: Final = 4
"""Sweeps through the frames: after the third, links hardly change."""

LEARNING_SIGHTINGS: Final = 20_000
"""Particles that parameters are learned from: enough, and quick in a long run."""


def follow_particles(
    particles: pd.DataFrame,
    frames: pd.DataFrame,
    pits: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Follow particles through a run.

    A particle is at rest, or afloat: going on as before, going about, or driven out of a pit by a
    flow that falls off as 1/r, so that the squared distance from the pit grows evenly with time.
    Which, is held open for each particle as a probability of each way, and made out from its
    places as they come (a static multiple-model filter). Links between frames maximise the sum
    of logarithms of likelihood ratios against new and ended tracks; they are found exactly for
    each frame, swept through the run several times, and judged by what follows as well as by
    what was before. Parameters of motion come from the particles themselves. Steps are real
    times, and a particle may be missed for some frames, one at rest for long.

    Where two particles become one and part again, both tracks go through the common particle
    (``joined``); where they do not part, the track of the smaller one ends and names the other
    (``merged_into``).

    Parameters
    ----------
    particles
        As `corroscope.tables.PARTICLES`; places in the reference are used where there are any.
    frames
        ``frame``, ``time_s`` and ``segmented`` as in `corroscope.tables.SEGMENTED_FRAMES`. Where
        any time is unknown, frames count as one apart, and the tables have no speeds.
    pits
        As `corroscope.tables.FOLLOWED_PITS`; None or empty where nothing is known of pits.

    Returns
    -------
    tracks : DataFrame
        As `corroscope.tables.TRACKS`, by track and frame.
    summary : DataFrame
        As `corroscope.tables.TRACK_SUMMARY`, without mother pits.

    Raises
    ------
    TrackingError
        If a particle is of a frame that is not in `frames` or is a gap, a place is missing, or
        times do not rise.

    References
    ----------
    K. Jaqaman et al., *Robust single-particle tracking in live-cell time-lapse sequences*, Nature
    Methods 5, 2008, doi:10.1038/nmeth.1237 (links as an assignment, gaps closed, merging);
    Y. Bar-Shalom et al., *Estimation with applications to tracking and navigation*, 2001 (filters
    of several models).

    Examples
    --------
    >>> from corroscope.tables import PARTICLES
    >>> particles = pd.DataFrame({column.name: 0 for column in PARTICLES}, index=range(4))
    >>> particles = particles.assign(frame=[0, 0, 1, 1], time_s=[0.0, 0.0, 1.0, 1.0],
    ...     particle=[1, 2, 1, 2], y_ref_px=[10.0, 40.0, 10.1, 39.9], x_ref_px=10.0,
    ...     area_px=20, contrast=0.3)
    >>> frames = pd.DataFrame({"frame": [0, 1], "time_s": [0.0, 1.0], "segmented": True})
    >>> tracks, summary = follow_particles(particles, frames)
    >>> tracks[["track", "frame", "particle"]].to_numpy().tolist()
    [[1, 0, 1], [1, 1, 1], [2, 0, 2], [2, 1, 2]]
    """
    rows, seen, times_known = _sightings(particles, frames, pits)
    if rows.empty:
        return _table([], TRACKS), _table([], TRACK_SUMMARY)
    links, motion = link_run(seen)
    clumped = resolve_clumps(seen, links, np.sqrt(rows["area_px"].to_numpy(float) / np.pi), motion)
    tracks = _tracks(rows, clumped, links, times_known)
    usable = frames.loc[frames["segmented"].astype(bool), "frame"].to_numpy(np.int64)
    quality = _quality(clumped)
    summary = summarise_tracks(tracks, np.sort(usable), clumped.merged_into, quality)
    return tracks, summary


def link_run(seen: Sightings) -> tuple[Links, Motion]:
    """Link a run, and learn on the way how its particles move.

    Parameters
    ----------
    seen
        All particles.

    Returns
    -------
    links : Links
        For each particle.
    motion : Motion
        Parameters that they were made with.
    """
    motion = guess_motion(seen)
    part = _middle(seen)
    links = None
    for sweep in range(SWEEPS - 1):
        earlier = links if sweep > 1 else None
        links = link_sightings(part, motion, expected_births(part, links), earlier)
        motion = learn_motion(part, links, motion)
    if links is None or len(part.frame) < len(seen.frame):
        links = link_sightings(seen, motion, expected_births(seen, None))
    return link_sightings(seen, motion, expected_births(seen, links), links), motion


def _middle(seen: Sightings) -> Sightings:
    """Frames one after the other with enough particles to learn from: those where most are new."""
    if len(seen.frame) <= LEARNING_SIGHTINGS:
        return seen
    cumulated = seen.start
    # The busiest stretch tells most of what is afloat; late frames are full of what has settled.
    middle = len(seen.time_s) // 2
    low, high = middle, middle
    while cumulated[high] - cumulated[low] < LEARNING_SIGHTINGS:
        low, high = max(low - 1, 0), min(high + 1, len(seen.time_s))
    kept = slice(int(cumulated[low]), int(cumulated[high]))
    return Sightings(
        frame=seen.frame[kept] - low,
        start=cumulated[low : high + 1] - cumulated[low],
        time_s=seen.time_s[low:high],
        place=seen.place[kept],
        darkness=seen.darkness[kept],
        area_px=seen.area_px,
        pits=seen.pits[low:high],
    )


def _table(
    rows: list[dict[str, object]], columns: tuple[tuple[str, str, str, str], ...]
) -> pd.DataFrame:
    """A table with its columns and types, be it empty."""
    return pd.DataFrame(rows, columns=[c[0] for c in columns]).astype({c[0]: c[1] for c in columns})


def _sightings(
    particles: pd.DataFrame, frames: pd.DataFrame, pits: pd.DataFrame | None
) -> tuple[pd.DataFrame, Sightings, bool]:
    """Particles in order of time, with the pits that are open then."""
    usable = frames.loc[frames["segmented"].astype(bool)]
    usable = usable.sort_values("frame", kind="stable")
    numbers, times = usable["frame"].to_numpy(np.int64), usable["time_s"].to_numpy(float)
    known = bool(np.isfinite(times).all()) and len(times) > 0
    if not known:
        times = numbers.astype(float)
    if (np.diff(numbers) <= 0).any():
        raise TrackingError("frames: a frame is named twice; give each one row")
    if (np.diff(times) <= 0).any():
        at = int(numbers[1:][np.diff(times) <= 0][0])
        raise TrackingError(f"frame {at}: its time is not after the one before; correct time_s")
    unknown = ~particles["frame"].isin(numbers)
    if unknown.any():
        at = int(particles.loc[unknown, "frame"].iloc[0])
        raise TrackingError(
            f"frame {at}: has particles but is not among the segmented frames; give its row"
        )
    y_name, x_name = place_names(particles)
    rows = particles.sort_values(["frame", "particle"], kind="stable").reset_index(drop=True)
    place = rows[[y_name, x_name]].to_numpy(float).reshape(-1, 2)
    if not np.isfinite(place).all():
        at = rows.loc[~np.isfinite(place).all(axis=1)].iloc[0]
        raise TrackingError(
            f"frame {at['frame']}, particle {at['particle']}: has no place; fill {y_name}, {x_name}"
        )
    frame = np.searchsorted(numbers, rows["frame"].to_numpy(np.int64))
    shadow = rows["area_px"].to_numpy(float) * rows["contrast"].to_numpy(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        darkness = np.where(shadow > 0, np.log(shadow), np.nan)
    extent = np.ptp(place, axis=0) + 1 if len(place) else np.ones(2)
    return (
        rows,
        Sightings(
            frame=frame.astype(np.int64),
            start=np.searchsorted(frame, np.arange(len(numbers) + 1)).astype(np.int64),
            time_s=times,
            place=place,
            darkness=np.asarray(darkness, float),
            area_px=float(extent.prod()),
            pits=_open_pits(pits, numbers),
        ),
        known,
    )


def _open_pits(pits: pd.DataFrame | None, numbers: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """For each frame the places of pits born by then."""
    none = np.zeros((0, 2))
    if pits is None or pits.empty:
        return [none] * len(numbers)
    born = pits.sort_values("frame").drop_duplicates("pit")
    first = born["frame"].to_numpy(np.int64)
    places = born[["y_ref_px", "x_ref_px"]].to_numpy(float)
    return [places[first <= number] for number in numbers]


def _tracks(rows: pd.DataFrame, clumped: Clumped, links: Links, times_known: bool) -> pd.DataFrame:
    """The table of tracks."""
    table = rows.iloc[clumped.sighting].reset_index(drop=True)
    table = table[[c.name for c in PARTICLES]].copy()
    table.insert(0, "track", clumped.track)
    table["joined"] = clumped.joined
    y_name, x_name = place_names(table)
    same = table["track"].eq(table["track"].shift())
    table["step_s"] = table["time_s"].diff().where(same) if times_known else np.nan
    table["step_y_px"] = table[y_name].diff().where(same)
    table["step_x_px"] = table[x_name].diff().where(same)
    table["speed_px_s"] = np.hypot(table["step_y_px"], table["step_x_px"]) / table["step_s"]
    # Whether it was at rest is known best from the step that follows.
    follows = links.after[clumped.sighting]
    rest = np.where(follows >= 0, links.stays[follows], links.at_rest[clumped.sighting]) > 0.5
    step = pd.Series(np.hypot(table["step_y_px"], table["step_x_px"]))
    been = pd.Series(rest).groupby(table["track"].to_numpy()).cummax().to_numpy(bool)
    # Doubt for a moment is no flight: it rested before, and has not moved.
    still = (step < STILL_PX) & ~(step.groupby(table["track"]).shift(-1) >= STILL_PX)
    rest = rest | (been & still.to_numpy(bool))
    table["state"] = np.where(rest, SETTLED, AFLOAT)
    return table[[c.name for c in TRACKS]].astype({c.name: c.dtype for c in TRACKS})


def _quality(clumped: Clumped) -> dict[int, float]:
    """Product of the probabilities of a track's links."""
    log = np.log(np.where(np.isnan(clumped.probability), 1.0, clumped.probability))
    sums = np.bincount(clumped.track, log)
    return {int(track): float(np.exp(sums[track])) for track in np.unique(clumped.track)}
