"""What happened in a run: births, deaths and mergers of pits, ejections, bursts, settling."""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.tables import FOLLOWED_EVENTS
from corroscope.tracking.bursts import find_bursts

Floats = NDArray[np.float64]

LEAST_PROBABILITY: Final = 0.5
"""Ejections less likely are no events."""
COLUMNS: Final = [column.name for column in FOLLOWED_EVENTS]
ORDER: Final = ("nucleation", "death", "merger", "ejection", "burst", "settling")
"""Kinds, in the order in which those of one time are listed."""


def find_events(
    summary: pd.DataFrame,
    pit_summary: pd.DataFrame,
    frames: pd.DataFrame,
    least_probability: float = LEAST_PROBABILITY,
) -> pd.DataFrame:
    """List all events of a run in order of time.

    An ejection is a track that began because a pit ejected its particle then; one that was only
    found again, came from outside or is a false detection is none. Its time is where the flight
    from the pit puts it, never later than the first frame that shows it. Its probability is
    that of having been ejected by the pit named. Bursts are those of
    `corroscope.tracking.bursts`. A track settles once at most; one that already rested when it
    was first seen came to rest in between, and has no settling of its own.

    The probability is empty for events of pits and for bursts: what speaks for a pit stands in
    its intervals, what speaks for a burst in its p-value, and neither is a probability.

    Parameters
    ----------
    summary
        As `corroscope.tracking.mothers.find_mothers` returns it.
    pit_summary
        Columns of `corroscope.tables.PIT_SUMMARY`.
    frames
        Columns of `corroscope.tables.SEGMENTED_FRAMES`.
    least_probability
        Of an ejection.

    Returns
    -------
    DataFrame
        Columns of `corroscope.tables.FOLLOWED_EVENTS`.

    Raises
    ------
    ValueError
        If ``summary`` has not been through `find_mothers`.

    Examples
    --------
    >>> from corroscope.tables import PIT_SUMMARY, TRACK_SUMMARY
    >>> names = [c.name for c in TRACK_SUMMARY]
    >>> known = pd.DataFrame([{c.name: np.nan for c in PIT_SUMMARY}])
    >>> known = known.assign(pit=1, born_frame=2, born_s=1.5, merged_into=0)
    >>> frames = pd.DataFrame({"frame": range(3), "time_s": range(3), "segmented": True})
    >>> events = find_events(pd.DataFrame(columns=names), known, frames)
    >>> events[["event", "frame", "time_s", "pit"]]
            event  frame  time_s  pit
    0  nucleation      2     1.5    1
    """
    if "ejected_probability" not in summary:
        raise ValueError("summary without ejected_probability: give it to find_mothers first")
    clock = _Clock(frames)
    shown = frames[frames["segmented"].astype(bool)] if "segmented" in frames else frames
    # What was open from the beginning was born before, nobody knows when.
    there = pit_summary["born_s"].isna() & (pit_summary["born_frame"] <= shown["frame"].min())
    parts = [_pit_events(pit_summary, clock, there)]
    ejections = _ejections(summary, clock, least_probability)
    parts.append(ejections)
    bursts = find_bursts(ejections, summary, pit_summary, frames)
    parts.append(
        pd.DataFrame(
            {
                "event": "burst",
                "frame": bursts["first_frame"],
                "time_s": bursts["time_s"],
                "pit": bursts["pit"],
                "track": 0,
                "particles": bursts["particles"],
                "probability": np.nan,
            }
        )
    )
    parts.append(_settling(summary, clock))
    events = pd.concat([part for part in parts if len(part)] or [_empty()], ignore_index=True)
    rank = events["event"].map({kind: index for index, kind in enumerate(ORDER)})
    events = events.assign(rank=rank).sort_values(
        ["time_s", "frame", "rank", "pit", "track"], kind="stable"
    )
    if events["time_s"].isna().any():
        events = events.sort_values(["frame", "rank", "pit", "track"], kind="stable")
    events = events[COLUMNS].reset_index(drop=True)
    return events.astype({c.name: c.dtype for c in FOLLOWED_EVENTS if c.dtype != "str"})


class _Clock:
    """All frames' times, to tell the first frame at some time or later."""

    def __init__(self, frames: pd.DataFrame) -> None:
        table = frames.sort_values("frame")
        self.frame = table["frame"].to_numpy(np.int64)
        self.time_s = table["time_s"].to_numpy(float)
        self.known = bool(np.isfinite(self.time_s).all()) and len(table) > 0

    def frame_at(self, time_s: Floats) -> NDArray[np.int64]:
        """First frame at these times or later; the last one where there is none."""
        at = np.searchsorted(self.time_s, time_s - 1e-9)
        return self.frame[np.minimum(at, len(self.frame) - 1)]


def _empty() -> pd.DataFrame:
    return pd.DataFrame({name: [] for name in COLUMNS})


def _pit_events(known: pd.DataFrame, clock: _Clock, there: "pd.Series[bool]") -> pd.DataFrame:
    """Births, deaths and mergers; those that were there before have no birth."""
    if not len(known):
        return _empty()
    born = known[~there.to_numpy(bool)]
    rows = [
        pd.DataFrame(
            {
                "event": "nucleation",
                "frame": born["born_frame"],
                "time_s": born["born_s"],
                "pit": born["pit"],
            }
        )
    ]
    for kind, column in (("death", "died_s"), ("merger", "merged_s")):
        time = known[column].to_numpy(float)
        happened = np.isfinite(time) & clock.known
        rows.append(
            pd.DataFrame(
                {
                    "event": kind,
                    "frame": clock.frame_at(time[happened]) if happened.any() else [],
                    "time_s": time[happened],
                    "pit": known["pit"].to_numpy()[happened],
                }
            )
        )
    table = pd.concat([row for row in rows if len(row)] or [_empty()], ignore_index=True)
    return table.assign(track=0, particles=0, probability=np.nan)


def _ejections(summary: pd.DataFrame, clock: _Clock, least: float) -> pd.DataFrame:
    """Tracks that a pit ejected, with the probability of both."""
    mother = summary["pit"].to_numpy(float) > 0
    chance = np.minimum(
        summary["ejected_probability"].to_numpy(float), summary["pit_probability"].to_numpy(float)
    )
    ours = summary[mother & (chance >= least)]
    if not len(ours):
        return _empty()
    first = ours["first_frame"].to_numpy(np.int64)
    time = ours["ejected_s"].to_numpy(float)
    known = np.isfinite(time) & clock.known
    frame = np.where(known, clock.frame_at(np.where(known, time, 0.0)), first)
    return pd.DataFrame(
        {
            "event": "ejection",
            "frame": np.minimum(frame, first),
            "time_s": time,
            "pit": ours["pit"].to_numpy(np.int64),
            "track": ours["track"].to_numpy(np.int64),
            "particles": 1,
            "probability": chance[mother & (chance >= least)],
        }
    )


def _settling(summary: pd.DataFrame, clock: _Clock) -> pd.DataFrame:
    """Tracks that came to rest while they were followed."""
    time = summary["settled_s"].to_numpy(float)
    settles = np.isfinite(time) & (time > summary["first_s"].to_numpy(float)) & clock.known
    ours = summary[settles]
    if not len(ours):
        return _empty()
    return pd.DataFrame(
        {
            "event": "settling",
            "frame": clock.frame_at(time[settles]),
            "time_s": time[settles],
            "pit": ours["pit"].to_numpy(np.int64),
            "track": ours["track"].to_numpy(np.int64),
            "particles": 1,
            "probability": ours["quality"].to_numpy(float),
        }
    )
