"""Which tracks go on with a particle that was lost before, and so are no new particle."""

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]

CARRY: Final = 0.7
"""Share of its last speed that a lost particle is expected to keep: flow slows down outwards."""
REACH: Final = 3.0
"""Standard deviations beyond which no return is looked for."""


class Reappearances(NamedTuple):
    """Pairs of a track that ended and a later one that may go on with its particle.

    Attributes
    ----------
    later, earlier
        ``(pairs,)``, rows of the table of tracks.
    density
        ``(pairs,)``, expected number per square pixel of returns of the earlier track at the
        place and in the frame in which the later one begins, if every track returned once.
    """

    later: NDArray[np.intp]
    earlier: NDArray[np.intp]
    density: Floats


def find_returns(
    summary: pd.DataFrame,
    last_step_px: Floats,
    last_step_frames: Floats,
    usable: NDArray[np.int64],
    rest_px2: float,
) -> Reappearances:
    """Find tracks that begin where another one was lost.

    A particle at rest returns to where it was, one afloat further on. Short gaps are the
    rule, but a particle at rest may be missed for long: half of the returns are expected to
    fall off by half with each usable frame, half are spread over the whole run.

    Parameters
    ----------
    summary
        Columns of `corroscope.tables.TRACK_SUMMARY`.
    last_step_px
        ``(tracks, 2)``, last step of each track, rows and columns; 0 where it has none.
    last_step_frames
        ``(tracks,)``, number of frames that this step took; 1 where there is none.
    usable
        Frames that are no gaps, in rising order.
    rest_px2
        Variance of a step of a particle at rest, along each axis.

    Returns
    -------
    Reappearances
        All pairs within reach.

    Examples
    --------
    >>> summary = pd.DataFrame({"first_frame": [0, 4], "last_frame": [2, 6],
    ...     "y_first_px": [5.0, 5.2], "x_first_px": [5.0, 5.1], "y_last_px": [5.0, 5.2],
    ...     "x_last_px": [5.0, 5.1], "merged_into": [0, 0]})
    >>> found = find_returns(summary, np.zeros((2, 2)), np.ones(2), np.arange(7), 0.5)
    >>> found.later, found.earlier
    (array([1]), array([0]))
    """
    nothing = np.zeros(0, np.intp)
    if len(summary) < 2 or not usable.size:
        return Reappearances(nothing, nothing, np.zeros(0))
    begin = summary[["y_first_px", "x_first_px"]].to_numpy(float)
    end = summary[["y_last_px", "x_last_px"]].to_numpy(float)
    first = np.searchsorted(usable, summary["first_frame"].to_numpy(np.int64))
    last = np.searchsorted(usable, summary["last_frame"].to_numpy(np.int64))
    open_ended = summary["merged_into"].to_numpy(np.int64) == 0
    step = last_step_px / np.maximum(last_step_frames, 1)[:, None]
    length = np.hypot(step[:, 0], step[:, 1])
    still = 4 * rest_px2 + 1.0
    # How far one may go while it is lost: what it would in three frames.
    most = REACH * np.sqrt(still) + 3 * REACH * length
    finite = np.isfinite(begin).all(axis=1)
    places = np.flatnonzero(finite)
    if not places.size:
        return Reappearances(nothing, nothing, np.zeros(0))
    tree = cKDTree(begin[places])
    fine = np.flatnonzero(np.isfinite(end).all(axis=1) & open_ended)
    near = tree.query_ball_point(end[fine], most[fine])
    earlier = np.repeat(fine, [len(one) for one in near])
    later = (
        places[np.concatenate([np.asarray(one, np.intp) for one in near])] if fine.size else nothing
    )
    kept = first[later] > last[earlier]
    later, earlier = later[kept], earlier[kept]
    gap = (first[later] - last[earlier]).astype(float)
    ahead = np.minimum(gap, 3.0)
    expected = end[earlier] + CARRY * step[earlier] * ahead[:, None]
    variance = still + (0.5 * length[earlier] * ahead) ** 2
    square = ((begin[later] - expected) ** 2).sum(axis=1)
    waiting = 0.5 * 0.5**gap + 0.5 / usable.size
    density = waiting * np.exp(-0.5 * square / variance) / (2 * np.pi * variance)
    return Reappearances(later, earlier, np.asarray(density))
