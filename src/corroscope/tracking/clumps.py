"""Clumps: particles that become one and may part again."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from corroscope.tracking.linking import Links, Sightings
from corroscope.tracking.motion import Motion


class Clumped(NamedTuple):
    """Rows of tracks, by track and time; a clump is a row of each track in it.

    Attributes
    ----------
    track
        ``(rows,)``: 1, 2, … in order of their first sightings.
    sighting
        ``(rows,)``: which particle.
    joined
        ``(rows,)`` bool: whether other tracks are in it too.
    merged_into
        For tracks that end in a clump, the track that goes on.
    """

    track: NDArray[np.int64]
    sighting: NDArray[np.int64]
    joined: NDArray[np.bool_]
    merged_into: dict[int, int]


def resolve_clumps(
    seen: Sightings, links: Links, particle_area_px: NDArray[np.float64], motion: Motion
) -> Clumped:
    """Put links together to tracks."""
    number = len(seen.frame)
    track = np.zeros(number, np.int64)
    count = 0
    for index, before in enumerate(links.before.tolist()):
        if before < 0:
            count += 1
            track[index] = count
        else:
            track[index] = track[before]
    order = np.lexsort((seen.frame, track))
    return Clumped(track[order], order.astype(np.int64), np.zeros(number, bool), {})
