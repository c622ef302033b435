"""Where and when tracks begin, and which pits were open beside them, as arrays."""

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.tracking.flight import BACK, STEPS, Beginnings, Pitside

Floats = NDArray[np.float64]

MOST_PITS: Final = 8
"""Pits that are weighed for each track: the nearest of those open at its time."""


class Clock(NamedTuple):
    """Times of the usable frames, the usual interval, and whether times are known at all."""

    frame: NDArray[np.int64]
    time_s: Floats
    interval_s: float
    told: bool


def usable_clock(frames: pd.DataFrame) -> Clock:
    """Times of the frames that are no gaps; frames count as seconds where times are unknown.

    Parameters
    ----------
    frames
        Columns ``frame``, ``time_s`` and, where there are gaps, ``segmented``.

    Returns
    -------
    Clock
        In order of frames.

    Examples
    --------
    >>> frames = pd.DataFrame({"frame": [0, 1, 2], "time_s": [0.0, 0.5, 1.5],
    ...     "segmented": [True, False, True]})
    >>> usable_clock(frames).time_s
    array([0. , 1.5])
    """
    table = frames.sort_values("frame")
    if "segmented" in table:
        table = table[table["segmented"].to_numpy(bool)]
    frame = table["frame"].to_numpy(np.int64)
    time = table["time_s"].to_numpy(float)
    told = bool(np.isfinite(frames["time_s"].to_numpy(float)).all())
    if not told:
        time = frame.astype(float)
    steps = np.diff(time)
    positive = steps[steps > 0]
    return Clock(frame, time, float(np.median(positive)) if positive.size else 1.0, told)


def make_beginnings(
    tracks: pd.DataFrame, summary: pd.DataFrame, clock: Clock
) -> tuple[Beginnings, Floats, Floats]:
    """First places of each track; its last step and the number of frames that it took."""
    n = len(summary)
    order = tracks.sort_values(["track", "frame"], kind="stable")
    row = pd.Index(summary["track"]).get_indexer(pd.Index(order["track"]))
    order, row = order[row >= 0], row[row >= 0]
    place = order[["y_ref_px", "x_ref_px"]].to_numpy(float)
    # Without a reference, places in the frame are all that is known.
    own = order[["y_px", "x_px"]].to_numpy(float)
    place = np.where(np.isfinite(place), place, own)
    frame = order["frame"].to_numpy(np.int64)
    time = np.interp(frame, clock.frame, clock.time_s) if clock.frame.size else frame.astype(float)
    nth = order.groupby("track", sort=False).cumcount().to_numpy(int)
    places = np.full((n, STEPS + 1, 2), np.nan)
    times = np.full((n, STEPS + 1), np.nan)
    early = nth <= STEPS
    places[row[early], nth[early]] = place[early]
    times[row[early], nth[early]] = time[early]
    step, step_frames = np.zeros((n, 2)), np.ones(n)
    goes_on = np.flatnonzero(row[1:] == row[:-1])
    step[row[goes_on]] = place[goes_on + 1] - place[goes_on]  # the last of each track stays
    step_frames[row[goes_on]] = np.maximum(frame[goes_on + 1] - frame[goes_on], 1)
    first = np.searchsorted(clock.frame, summary["first_frame"].to_numpy(np.int64))
    before = np.empty((n, len(BACK)))
    at = clock.time_s[np.minimum(first, clock.frame.size - 1)]
    least = 0.01 * clock.interval_s  # two frames of one time are a little apart
    for window, back in enumerate(BACK):
        earlier = first - back
        known = clock.time_s[np.maximum(earlier, 0)] + np.minimum(earlier, 0) * clock.interval_s
        ago = at - known
        before[:, window] = np.maximum(ago, (before[:, window - 1] if window else 0) + least)
    return Beginnings(places, times, before), step, step_frames


def make_pitside(
    seen: Beginnings, pits: pd.DataFrame, pit_summary: pd.DataFrame, clock: Clock
) -> tuple[NDArray[np.int64], Pitside]:
    """The nearest pits that were open when each particle came, and what is known of them."""
    known = pit_summary.reset_index(drop=True)
    # Where a birth could not be fitted, or times are unknown, the first frame that shows the pit.
    shown = np.interp(known["born_frame"].to_numpy(float), clock.frame, clock.time_s)
    times = clock.told
    born = np.where(times & known["born_s"].notna(), known["born_s"], shown)
    low = np.where(times & known["born_low_s"].notna(), known["born_low_s"], born)
    # A pit is seen when it has some area: particles may come before that.
    opened = np.clip(low, born - 2 * clock.interval_s, born) - clock.interval_s
    closed = np.fmin(known["died_s"].to_numpy(float), known["merged_s"].to_numpy(float))
    closed = np.where(times & np.isfinite(closed), closed, np.inf)
    place = known[["y_ref_px", "x_ref_px"]].to_numpy(float)
    numbers = known["pit"].to_numpy(np.int64)
    first = seen.time_s[:, 0]
    apart = seen.place_px[:, None, 0] - place[None]
    distance = np.hypot(apart[..., 0], apart[..., 1])
    shut = (opened > first[:, None]) | (
        closed + 10 * clock.interval_s < first[:, None] - seen.before_s[:, -1:]
    )
    ranked = np.argsort(np.where(shut, np.inf, distance), axis=1, kind="stable")[:, :MOST_PITS]
    mouth = np.zeros(ranked.shape)
    for index, pit in enumerate(numbers):
        rows = pits[pits["pit"] == pit].sort_values("frame")
        radius = np.sqrt(rows["area_px"].to_numpy(float) / np.pi)
        if not len(rows):
            continue
        at = np.interp(rows["frame"].to_numpy(float), clock.frame, clock.time_s)
        weighed = ranked == index
        mouth[weighed] = np.interp(
            np.broadcast_to(first[:, None], ranked.shape)[weighed], at, radius, left=0.0
        )
    gone = np.take_along_axis(shut, ranked, 1)
    pitside = Pitside(place[ranked], mouth, opened[ranked], closed[ranked], 2 * clock.interval_s)
    return np.where(gone, 0, numbers[ranked]), pitside
