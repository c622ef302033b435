"""Which of the particles found are no particles, but parts of a pit."""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

RIM: Final = 1.25
"""A mouth reaches this many equivalent radii from its centre, as its outline is not round; a disc
has 1, an ellipse of axes 2 : 1 has 1.4 along its longer one."""
SATELLITES: Final = 1.6
"""Satellites open ahead of the rim within so many radii of the mouth that will take them in."""
EARLY: Final = 2
"""Frames before a pit's birth, as estimated, in which its first pixels may be taken for one."""
STILL_PX: Final = 1.5
"""A satellite stays where it is: its centroid moves by less from frame to frame."""


def particles_in_pits(particles: pd.DataFrame, pits: pd.DataFrame) -> NDArray[np.bool_]:
    """Find the particles that are openings of pits, so that no track is made of them.

    A network may take a newborn pit or its satellites for particles. What lies in a pit's mouth
    as it is at that time is part of it. Further out, within reach of the mouth at its largest,
    a particle may have landed or be passing by: there, only what lies still in the frame before
    or after as well is taken for a satellite.

    Parameters
    ----------
    particles
        Columns of `corroscope.tables.PARTICLES`.
    pits
        Columns of `corroscope.tables.FOLLOWED_PITS`.

    Returns
    -------
    ndarray of bool
        ``(len(particles),)``, true for a part of a pit.

    Examples
    --------
    >>> particles = pd.DataFrame({"frame": [3, 3], "y_ref_px": [50.0, 90.0],
    ...     "x_ref_px": [51.0, 50.0], "y_px": [50.0, 90.0], "x_px": [51.0, 50.0]})
    >>> pits = pd.DataFrame({"pit": [1, 1], "frame": [3, 4], "y_ref_px": [50.0, 50.0],
    ...     "x_ref_px": [50.0, 50.0], "area_px": [20.0, 30.0], "measured": [True, True]})
    >>> particles_in_pits(particles, pits)
    array([ True, False])
    """
    inside = np.zeros(len(particles), bool)
    if not len(particles) or not len(pits):
        return inside
    place = particles[["y_ref_px", "x_ref_px"]].to_numpy(float)
    own = particles[["y_px", "x_px"]].to_numpy(float)
    place = np.where(np.isfinite(place), place, own)
    frame = particles["frame"].to_numpy(np.int64)
    still: NDArray[np.bool_] | None = None
    for _, rows in pits.groupby("pit"):
        rows = rows.sort_values("frame")
        at = rows["frame"].to_numpy(np.int64)
        radius = np.sqrt(rows["area_px"].to_numpy(float) / np.pi)
        measured = rows["measured"].to_numpy(bool)
        if not measured.any():
            continue
        largest = float(radius[measured].max())
        centre = rows[["y_ref_px", "x_ref_px"]].to_numpy(float)[-1]
        away = np.hypot(*(place - centre).T)
        since = frame >= at[0] - EARLY
        near = since & (away <= SATELLITES * largest + 1)
        if not near.any():
            continue
        mouth = np.interp(frame, at, radius)
        inside |= near & (away <= RIM * mouth + 1)
        if still is None:
            still = _still(place, frame)
        inside |= near & still
    return inside


def _still(place: NDArray[np.float64], frame: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether something lies at the same place in the frame before and in that after, or is last.

    Two neighbouring frames are asked for, as a particle that passes by is not there for three.
    """
    frames = np.unique(frame)
    trees = {int(one): cKDTree(place[frame == one]) for one in frames}
    alike = np.zeros((3, len(frame)), bool)
    for row, off in enumerate((-1, 1, 2)):
        for index, one in enumerate(frames):
            other = index + off
            rows = np.flatnonzero(frame == one)
            if 0 <= other < len(frames):
                distance, _ = trees[int(frames[other])].query(place[rows])
                alike[row, rows] = distance <= STILL_PX
            elif other >= len(frames):
                alike[row, rows] = alike[0, rows]
    return np.asarray(alike[0] | alike[1])
