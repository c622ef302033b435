"""Ejections through time: counts in each frame, and smooth rates that respect gaps."""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.errors import SettingsError
from corroscope.tables import RATES

Floats = NDArray[np.float64]

INTERVALS: Final = 3.0
"""Standard deviation of the kernel, in usual intervals between frames, where none is given."""
COLUMNS: Final = [column.name for column in RATES]


def count_rates(
    events: pd.DataFrame,
    tracks: pd.DataFrame,
    summary: pd.DataFrame,
    pits: pd.DataFrame,
    frames: pd.DataFrame,
    bandwidth_s: float | None = None,
) -> pd.DataFrame:
    """Count ejections, births and particles in each frame, of all pits and of each.

    A frame that is no gap stands for the time since the usable frame before: the ejections of
    that time are its own. The rate is their number over that time, both smoothed with a Gaussian
    kernel, which does not mind irregular times: at a frame where the kernel sees half as much
    time, half as many ejections give the same rate. A gap has no counts, but its time belongs
    to the frame after it.

    Parameters
    ----------
    events
        Columns of `corroscope.tables.FOLLOWED_EVENTS`.
    tracks, summary
        Columns of `corroscope.tables.TRACKS` and `corroscope.tables.TRACK_SUMMARY`.
    pits
        Columns of `corroscope.tables.FOLLOWED_PITS`.
    frames
        Columns of `corroscope.tables.SEGMENTED_FRAMES`.
    bandwidth_s
        Standard deviation of the kernel; None for three usual intervals between frames.

    Returns
    -------
    DataFrame
        Columns of `corroscope.tables.RATES`: all frames with pit 0, then for each pit the
        frames since its birth. Ejections are empty in gaps.

    Raises
    ------
    SettingsError
        If the bandwidth is not above 0.

    References
    ----------
    P. Diggle, *A kernel method for smoothing point process data*, Appl. Stat. 34, 1985,
    doi:10.2307/2347366: intensity with the kernel's own mass as correction at the edges.

    Examples
    --------
    >>> from corroscope.tables import FOLLOWED_PITS, TRACK_SUMMARY, TRACKS
    >>> events = pd.DataFrame({"event": ["ejection"] * 4, "frame": [1, 1, 3, 3], "pit": 0})
    >>> tracks, summary, pits = (pd.DataFrame(columns=[c.name for c in table])
    ...     for table in (TRACKS, TRACK_SUMMARY, FOLLOWED_PITS))
    >>> frames = pd.DataFrame({"frame": range(4), "time_s": np.arange(4.0),
    ...     "segmented": [True, True, False, True], "particles": [0, 2, None, 4]})
    >>> rates = count_rates(events, tracks, summary, pits, frames)
    >>> rates["ejections"].tolist(), rates["ejections_total"].tolist()
    ([0, 2, <NA>, 2], [0, 2, 2, 4])
    """
    if bandwidth_s is not None and not bandwidth_s > 0:
        raise SettingsError(f"bandwidth_s: {bandwidth_s!r} (allowed: above 0)")
    table = frames.sort_values("frame").reset_index(drop=True)
    frame, time = table["frame"].to_numpy(np.int64), table["time_s"].to_numpy(float)
    usable = (
        table["segmented"].to_numpy(bool) if "segmented" in table else np.ones(len(table), bool)
    )
    length = _lengths(time, usable)
    positive = length[usable & (length > 0)]
    if bandwidth_s is None:
        bandwidth_s = INTERVALS * float(np.median(positive)) if positive.size else 1.0
    ejected = events[events["event"] == "ejection"]
    born = events[events["event"] == "nucleation"]
    mother = dict(zip(summary["track"], summary["pit"], strict=True))
    seen_from = tracks["track"].map(mother)
    parts = []
    for pit in (0, *sorted(pits["pit"].unique())):
        ours = slice(None) if pit == 0 else ejected["pit"] == pit
        at = _index(ejected.loc[ours, "frame"], frame, usable)
        counts = np.bincount(at[at >= 0], minlength=len(frame))
        births = born if pit == 0 else born[born["pit"] == pit]
        birth_at = np.searchsorted(frame, births["frame"].to_numpy(np.int64))
        followed = pits if pit == 0 else pits[pits["pit"] == pit]
        growing = followed[followed["growing"].to_numpy(bool)]
        if pit == 0:
            particles = table["particles"].astype("Int64").array.copy()
        else:
            found = tracks.loc[(seen_from == pit).to_numpy(bool), "frame"]
            particles = pd.array(_in_frames(found, frame), dtype="Int64")
        particles[~usable] = pd.NA
        shown = pd.array(counts, dtype="Int64")
        shown[~usable] = pd.NA
        start = 0
        if pit > 0:
            start = int(np.searchsorted(frame, followed["frame"].min()))
            start = min(start, int(at[at >= 0].min())) if (at >= 0).any() else start
        since = np.arange(len(frame)) >= start
        parts.append(
            pd.DataFrame(
                {
                    "pit": int(pit),
                    "frame": frame,
                    "time_s": time,
                    "ejections": shown,
                    "ejections_total": np.cumsum(counts),
                    "ejections_per_s": smooth_rate(
                        counts, np.where(since, length, 0.0), time, bandwidth_s
                    ),
                    "births": np.bincount(
                        np.minimum(birth_at, max(len(frame) - 1, 0)), minlength=len(frame)
                    ),
                    "growing": _in_frames(growing["frame"], frame),
                    "particles": particles,
                }
            )[since]
        )
    rates = pd.concat(parts, ignore_index=True)[COLUMNS]
    kinds = {c.name: c.dtype for c in RATES if c.name != "ejections"}
    return rates.astype(kinds)


def smooth_rate(
    counts: NDArray[np.int64], length_s: Floats, time_s: Floats, bandwidth_s: float
) -> Floats:
    """Smooth a rate with a Gaussian kernel.

    Parameters
    ----------
    counts
        ``(frames,)``, events since the usable frame before.
    length_s
        ``(frames,)``, that time; 0 where a frame stands for none, such as a gap.
    time_s
        ``(frames,)``, times of the frames; each stands for the time before it, whose middle
        counts.
    bandwidth_s
        Standard deviation of the kernel.

    Returns
    -------
    ndarray of float64
        ``(frames,)``, events per second; NaN where times are unknown or nothing was seen
        within eight bandwidths.

    Examples
    --------
    One event a second, whatever the interval, is a rate of 1.

    >>> time = np.array([0.0, 1.0, 2.0, 5.0, 6.0])
    >>> smooth_rate(np.array([0, 1, 1, 3, 1]), np.array([0, 1.0, 1.0, 3.0, 1.0]), time, 2.0)
    array([1., 1., 1., 1., 1.])
    """
    if not np.isfinite(time_s).all():
        return np.full(len(counts), np.nan)
    middle = time_s - length_s / 2
    kernel = np.exp(-0.5 * ((time_s[:, None] - middle) / bandwidth_s) ** 2)
    kernel[kernel < np.exp(-32)] = 0
    weight = kernel @ length_s
    seen = kernel @ np.where(length_s > 0, counts, 0)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(weight > 0, seen / weight, np.nan))


def _lengths(time_s: Floats, usable: NDArray[np.bool_]) -> Floats:
    """Time since the usable frame before; 0 in gaps and in the first usable frame."""
    length = np.zeros(len(time_s))
    rows = np.flatnonzero(usable)
    if np.isfinite(time_s).all():
        length[rows[1:]] = np.maximum(np.diff(time_s[rows]), 0.0)
    return length


def _index(
    frames: "pd.Series[int]", frame: NDArray[np.int64], usable: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Row of the first usable frame at these frames or later; -1 where there is none."""
    rows = np.flatnonzero(usable)
    at = np.searchsorted(frame[rows], frames.to_numpy(np.int64))
    found: NDArray[np.int64] = np.full(len(at), -1, np.int64)
    found[at < len(rows)] = rows[at[at < len(rows)]]
    return found


def _in_frames(frames: "pd.Series[int]", frame: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of rows in each frame."""
    number = frames.value_counts().reindex(frame, fill_value=0)
    return np.asarray(number.to_numpy(), np.int64)
