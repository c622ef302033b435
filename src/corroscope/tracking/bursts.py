"""Bursts: ejections of one pit that come closer together than chance would have it."""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binom

from corroscope.tables import Column

Floats = NDArray[np.float64]

LEVEL: Final = 0.01
"""Largest p-value of a burst."""
LONGEST: Final = 0.25
"""Share of a pit's time that a burst may last; what lasts longer is a change of its rate."""

BURSTS: Final = (
    Column("burst", "int64", "", "1, 2, … in order of time"),
    Column("pit", "int64", "", "the pit"),
    Column("first_frame", "int64", "", "frame of its first ejection"),
    Column("last_frame", "int64", "", "frame of its last one"),
    Column("time_s", "float64", "s", "time of its first ejection"),
    Column("duration_s", "float64", "s", "from there to its last one"),
    Column("particles", "int64", "", "number of ejections"),
    Column("expected", "float64", "", "number expected in that time by the pit's own rate"),
    Column("heading_deg", "float64", "°", "mean direction, 0 along x, 90 up in the picture"),
    Column("heading_length", "float64", "", "mean resultant length: 1 for one direction"),
    Column("p_value", "float64", "", "of the scan, corrected for all windows tried"),
)
"""One row for each burst."""


def find_bursts(
    ejections: pd.DataFrame,
    summary: pd.DataFrame,
    pit_summary: pd.DataFrame,
    frames: pd.DataFrame,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Find bursts by a scan over each pit's ejections.

    If a pit ejected at an even rate, each of its n ejections would fall into a window of
    frames with the share of its time that the window takes. For each window between two
    frames with ejections, the number inside is compared with the binomial distribution; the
    least likely window, times the number of windows tried (Bonferroni), gives the p-value. If
    it is small enough that window is a burst; its time and ejections are taken out and the
    rest is scanned again. Time is counted in intervals between usable frames, as ejections are
    known no closer.

    Parameters
    ----------
    ejections
        Rows of `corroscope.tables.FOLLOWED_EVENTS` that are ejections.
    summary
        Columns of `corroscope.tables.TRACK_SUMMARY`: first places tell the headings.
    pit_summary
        Columns of `corroscope.tables.PIT_SUMMARY`.
    frames
        Columns of `corroscope.tables.SEGMENTED_FRAMES`.
    level
        Largest p-value of a burst.

    Returns
    -------
    DataFrame
        Columns of `BURSTS`.

    References
    ----------
    J. I. Naus, *The distribution of the size of the maximum cluster of points on a line*,
    J. Am. Stat. Assoc. 60, 1965, doi:10.1080/01621459.1965.10480810.

    Examples
    --------
    Eight ejections in one frame, and one each in four others of forty.

    >>> at = [20] * 8 + [3, 11, 29, 35]
    >>> ejections = pd.DataFrame({"event": "ejection", "frame": at, "time_s": np.array(at) - 0.5,
    ...     "pit": 1, "track": range(12)})
    >>> summary = pd.DataFrame({"track": range(12), "y_first_px": 10.0, "x_first_px": 30.0})
    >>> pits = pd.DataFrame({"pit": [1], "y_ref_px": [10.0], "x_ref_px": [10.0],
    ...     "born_frame": [1]})
    >>> frames = pd.DataFrame({"frame": range(40), "time_s": np.arange(40.0), "segmented": True})
    >>> find_bursts(ejections, summary, pits, frames)[["first_frame", "particles", "heading_deg"]]
       first_frame  particles  heading_deg
    0           20          8          0.0
    """
    usable = frames.sort_values("frame")
    if "segmented" in usable:
        usable = usable[usable["segmented"].to_numpy(bool)]
    rows: list[dict[str, float]] = []
    place = summary.set_index("track")[["y_first_px", "x_first_px"]]
    for pit in sorted(ejections["pit"].unique().tolist()):
        ours = ejections[ejections["pit"] == pit]
        known = pit_summary[pit_summary["pit"] == pit]
        if known.empty:
            continue
        born = int(known["born_frame"].iloc[0])
        span = usable[usable["frame"].to_numpy(np.int64) >= min(born, int(ours["frame"].min()))]
        if len(span) < 3:
            continue
        bin_of = np.searchsorted(span["frame"].to_numpy(np.int64), ours["frame"].to_numpy(np.int64))
        bin_of = np.minimum(bin_of, len(span) - 1)
        time = span["time_s"].to_numpy(float)
        length = _lengths(time)
        for window, expected, p_value in scan(np.bincount(bin_of, minlength=len(span)), length,
                                              level):  # fmt: skip
            inside = ours[(bin_of >= window[0]) & (bin_of <= window[1])].sort_values("time_s")
            centre = known[["y_ref_px", "x_ref_px"]].to_numpy(float)[0]
            away = place.reindex(inside["track"]).to_numpy(float) - centre
            angle = np.arctan2(-away[:, 0], away[:, 1])
            mean = np.exp(1j * angle[np.isfinite(angle)]).mean() if len(angle) else np.nan
            seconds = inside["time_s"].to_numpy(float)
            rows.append(
                {
                    "pit": pit,
                    "first_frame": int(inside["frame"].min()),
                    "last_frame": int(inside["frame"].max()),
                    "time_s": seconds[0],
                    "duration_s": float(np.ptp(seconds)),
                    "particles": len(inside),
                    "expected": expected,
                    "heading_deg": float(np.degrees(np.angle(mean))) + 0.0,
                    "heading_length": float(np.abs(mean)),
                    "p_value": p_value,
                }
            )
    table = pd.DataFrame(rows, columns=[c.name for c in BURSTS])
    table = table.sort_values(["first_frame", "pit"]).reset_index(drop=True)
    table["burst"] = np.arange(1, len(table) + 1)
    return table.astype({column.name: column.dtype for column in BURSTS})


def scan(
    counts: NDArray[np.int64], length_s: Floats, level: float = LEVEL
) -> list[tuple[tuple[int, int], float, float]]:
    """Scan counts in bins for windows that hold more than an even rate would put there.

    Parameters
    ----------
    counts
        ``(bins,)``, number in each.
    length_s
        ``(bins,)``, time that each stands for.
    level
        Largest p-value.

    Returns
    -------
    list of ((int, int), float, float)
        First and last bin of each window, the number expected in it, and its p-value.

    Examples
    --------
    >>> counts = np.zeros(50, int)
    >>> counts[[4, 20, 33]], counts[40:42] = 1, 5
    >>> [window for window, _, _ in scan(counts, np.ones(50))]
    [(40, 41)]
    """
    left = np.ones(len(counts), bool)
    found: list[tuple[tuple[int, int], float, float]] = []
    longest = LONGEST * float(length_s.sum())
    while True:
        count = np.where(left, counts, 0)
        total, whole = int(count.sum()), float(length_s[left].sum())
        filled = np.flatnonzero(count)
        if total < 3 or whole <= 0:
            return found
        sums = np.concatenate([[0], np.cumsum(count)])
        times = np.concatenate([[0.0], np.cumsum(np.where(left, length_s, 0.0))])
        gone = np.concatenate([[0], np.cumsum(~left)])
        one, other = (filled[index] for index in np.triu_indices(filled.size))
        # A window does not reach over a burst that was taken out.
        fits = (gone[other + 1] == gone[one]) & (times[other + 1] - times[one] <= longest)
        one, other = one[fits], other[fits]
        inside, time = sums[other + 1] - sums[one], times[other + 1] - times[one]
        enough = inside >= 2
        if not enough.any():
            return found
        tail = np.where(enough, binom.sf(inside - 1, total, np.minimum(time / whole, 1.0)), 1.0)
        best = int(tail.argmin())
        p_value = min(float(tail[best]) * len(one), 1.0)
        if p_value > level:
            return found
        window = (int(one[best]), int(other[best]))
        found.append((window, total * float(time[best]) / whole, p_value))
        left[window[0] : window[1] + 1] = False


def _lengths(time_s: Floats) -> Floats:
    """Time since the frame before; the first frame's is the usual one."""
    if not np.isfinite(time_s).all():
        return np.ones(len(time_s))
    steps = np.maximum(np.diff(time_s), 0.0)
    positive = steps[steps > 0]
    usual = float(np.median(positive)) if positive.size else 1.0
    return np.concatenate([[usual], np.maximum(steps, 0.01 * usual)])
