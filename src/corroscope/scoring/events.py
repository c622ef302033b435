"""How well events agree with true ones: the same kind, pit or track, at nearly the same time."""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

GATE_PX: Final = 5.0
"""Points further apart are not of one particle."""
OF_TRACKS: Final = ("ejection", "settling")
"""Kinds that are about a track; others are about a pit."""
POOLED: Final = "all"
"""Name of the row of all kinds together."""


def true_track_of(true: pd.DataFrame, found: pd.DataFrame, gate_px: float = GATE_PX) -> pd.Series:
    """Tell for each found track which true one it follows.

    In each frame, points are paired one to one so that the sum of gated distances is smallest.
    A found track follows the true one that has most of its points; of as many, the smaller
    number. Several tracks may follow one, as a track may be broken.

    Parameters
    ----------
    true, found
        Columns ``track``, ``frame``, ``y_ref_px``, ``x_ref_px``, a row for each point.
    gate_px
        Largest distance of two points of one particle.

    Returns
    -------
    Series of int64
        By found track; 0 where it follows none.

    Examples
    --------
    >>> true = pd.DataFrame({"track": 7, "frame": [0, 1], "y_ref_px": 5.0, "x_ref_px": [5.0, 9]})
    >>> true_track_of(true, true.assign(track=[1, 2])).to_dict()
    {1: 7, 2: 7}
    """
    pairs: list[NDArray[np.int64]] = []
    theirs = dict(tuple(true.groupby("frame")))
    for frame, ours in found.groupby("frame"):
        if frame in theirs:
            other = theirs[frame]
            one, two = _paired(_places(ours), _places(other), gate_px)
            both = ours["track"].to_numpy(np.int64)[one], other["track"].to_numpy(np.int64)[two]
            pairs.append(np.column_stack(both))
    tracks = np.unique(found["track"].to_numpy(np.int64)) if len(found) else np.zeros(0, np.int64)
    followed = pd.Series(0, index=pd.Index(tracks, name="track"), dtype=np.int64)
    if pairs:
        votes = pd.DataFrame(np.concatenate(pairs), columns=["track", "true"])
        count = votes.groupby(["track", "true"]).size().rename("count").reset_index()
        most = count.sort_values(["count", "true"], ascending=[False, True], kind="stable")
        most = most.drop_duplicates("track")
        followed.loc[most["track"]] = most["true"].to_numpy(np.int64)
    return followed


def true_pit_of(true: pd.DataFrame, found: pd.DataFrame, least_reach_px: float = 6.0) -> pd.Series:
    """Tell for each found pit which true one it is, one to one.

    Pits are the same if the centre of the found one lies in the true one's mouth: the disc of
    its area, or ``least_reach_px`` where that is more. Of all pairings with as many pairs as
    possible, one of the smallest sum of distances is taken.

    Parameters
    ----------
    true, found
        Columns ``pit``, ``y_ref_px``, ``x_ref_px``, ``area_px``, a row for each pit.
    least_reach_px
        Allowed distance for small pits.

    Returns
    -------
    Series of int64
        By found pit; 0 where it is none.

    Examples
    --------
    >>> true = pd.DataFrame({"pit": [1, 2], "y_ref_px": [9.0, 90.0], "x_ref_px": 9.0,
    ...     "area_px": 50.0})
    >>> true_pit_of(true, true.assign(pit=[4, 3], x_ref_px=[10.0, 60.0])).to_dict()
    {4: 1, 3: 0}
    """
    which = pd.Series(0, index=pd.Index(found["pit"], name="pit"), dtype=np.int64)
    if not len(true) or not len(found):
        return which
    apart = _places(found)[:, None] - _places(true)[None]
    distance = np.hypot(apart[..., 0], apart[..., 1])
    reach = np.maximum(np.sqrt(true["area_px"].to_numpy(float) / np.pi), least_reach_px)
    allowed = distance <= reach
    # Any pair outweighs all that distances can cost.
    value = np.where(allowed, reach.sum() + 1 - distance, 0.0)
    rows, columns = linear_sum_assignment(value, maximize=True)
    kept = allowed[rows, columns]
    which.iloc[rows[kept]] = true["pit"].to_numpy(np.int64)[columns[kept]]
    return which


def score_events(
    true: pd.DataFrame, found: pd.DataFrame, tolerance_frames: int = 1
) -> pd.DataFrame:
    """Score events against true ones.

    A found event is right if there is a true one of the same kind, about the same track
    (ejection, settling) or the same pit (all others), at most some frames away; each true event
    counts once. Pits and tracks of ``found`` must be named by their true ones
    (`true_track_of`, `true_pit_of`); those that are none have 0, and their events are wrong.

    Parameters
    ----------
    true, found
        Columns ``event``, ``frame``, ``pit``, ``track``.
    tolerance_frames
        Largest difference in frames.

    Returns
    -------
    DataFrame
        ``event``, ``true``, ``found``, ``matched``, ``precision``, ``recall``, ``f1``; one row
        for each kind in order of name, and the last one, `POOLED`, for all together. A ratio
        without anything to divide by is NaN.

    Raises
    ------
    ValueError
        If the tolerance is negative.

    Examples
    --------
    >>> true = pd.DataFrame({"event": "nucleation", "frame": [4, 9], "pit": [1, 2], "track": 0})
    >>> score_events(true, true.assign(frame=[5, 12]))[["matched", "f1"]]
       matched   f1
    0        1  0.5
    1        1  0.5
    """
    if tolerance_frames < 0:
        raise ValueError(f"tolerance_frames: {tolerance_frames} (allowed: at least 0)")
    kinds = sorted({*true["event"], *found["event"]})
    rows = []
    for kind in kinds:
        ours, theirs = found[found["event"] == kind], true[true["event"] == kind]
        of = "track" if kind in OF_TRACKS else "pit"
        matched = sum(
            _matched(
                theirs.loc[theirs[of] == one, "frame"].to_numpy(np.int64),
                ours.loc[ours[of] == one, "frame"].to_numpy(np.int64),
                tolerance_frames,
            )
            for one in sorted({*theirs[of]} - {0})
        )
        rows.append((kind, len(theirs), len(ours), matched))
    sums = tuple(sum(row[place] for row in rows) for place in (1, 2, 3))
    table = pd.DataFrame([*rows, (POOLED, *sums)], columns=["event", "true", "found", "matched"])
    right = table["matched"].to_numpy(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        table["precision"] = right / table["found"].to_numpy(float)
        table["recall"] = right / table["true"].to_numpy(float)
        both = table["found"].to_numpy(float) + table["true"].to_numpy(float)
        table["f1"] = 2 * right / both
    return table


def _places(table: pd.DataFrame) -> NDArray[np.float64]:
    return table[["y_ref_px", "x_ref_px"]].to_numpy(float)


def _paired(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], gate_px: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of the smallest sum of gated distances, within the gate."""
    near = cKDTree(ours).sparse_distance_matrix(cKDTree(theirs), gate_px, output_type="ndarray")
    rows, columns = np.unique(near["i"]), np.unique(near["j"])
    if not rows.size:
        return rows, columns
    gain = np.zeros((rows.size, columns.size))
    at = np.searchsorted(rows, near["i"]), np.searchsorted(columns, near["j"])
    gain[at] = gate_px - near["v"] + 1e-9
    row, column = linear_sum_assignment(gain, maximize=True)
    kept = gain[row, column] > 0
    return rows[row[kept]], columns[column[kept]]


def _matched(true: NDArray[np.int64], found: NDArray[np.int64], tolerance: int) -> int:
    """Most pairs at most so far apart: for points on a line, greedy in order is the most."""
    true, found = np.sort(true), np.sort(found)
    one = other = pairs = 0
    while one < len(true) and other < len(found):
        if abs(true[one] - found[other]) <= tolerance:
            pairs, one, other = pairs + 1, one + 1, other + 1
        elif true[one] < found[other]:
            one += 1
        else:
            other += 1
    return pairs
