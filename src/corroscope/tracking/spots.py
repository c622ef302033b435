"""Dark regions at one place through time: spots, which stay where they are."""

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

TOLERANCE_PX: Final = 1.0
"""By how much a place may seem to move from frame to frame: alignment, and centroids of few
pixels, are uncertain by less."""

MEMORY: Final = 5
"""Frames for which a spot is looked for that was not found, or was swallowed; one that has been
seen more often is looked for as many times as it was seen: what is open stays open."""

_SIZE_COST: Final = 0.5
_RETURN_COST: Final = 1.0


class Spots(NamedTuple):
    """What linking gave.

    Attributes
    ----------
    spot
        ``(openings,)`` int64: the spot of each opening, 0, 1, … by first appearance.
    into
        ``(spots,)`` int64: the spot that swallowed each in the end; −1 for none.
    swallowed
        ``(spots,)`` int64: in which frame; −1 for none.
    """

    spot: NDArray[np.int64]
    into: NDArray[np.int64]
    swallowed: NDArray[np.int64]


class _Shapes(NamedTuple):
    """Regions, or spots as last seen: centroids, boxes in the reference, areas; ``(n, …)``."""

    centroid: NDArray[np.float64]
    middle: NDArray[np.float64]
    half: NDArray[np.float64]
    area: NDArray[np.float64]

    def take(self, chosen: NDArray[np.int64]) -> "_Shapes":
        return _Shapes(*(column[chosen] for column in self))


def link_spots(openings: pd.DataFrame) -> Spots:
    """Link dark regions of a sequence that lie at the same place.

    A region is linked to the spot whose last region it covers, or that covers it, when both
    are of the nearest place and size; regions are taken for the ellipses in their bounding
    boxes. Where two spots come into one region, the one that is more like it goes on and has
    swallowed the other; if that comes apart again soon, both go on. Frames in which nothing
    was found or nothing is known break no spot.

    Parameters
    ----------
    openings
        With the columns of `corroscope.tables.OPENINGS`.

    Returns
    -------
    Spots
        The spot of each row.

    Examples
    --------
    >>> rows = pd.DataFrame({
    ...     "frame": [0, 1, 1], "y_ref_px": [5.0, 5.2, 40.0], "x_ref_px": [5.0, 5.1, 40.0],
    ...     "y_px": [5.0, 5.2, 40.0], "x_px": [5.0, 5.1, 40.0], "area_px": [9, 12, 12],
    ...     "soft_area_px": [9.0, 12.0, 12.0], "bbox_top_px": [4, 4, 38],
    ...     "bbox_left_px": [4, 4, 38], "bbox_bottom_px": [7, 7, 42], "bbox_right_px": [7, 8, 42],
    ... })
    >>> link_spots(rows).spot.tolist()
    [0, 0, 1]
    """
    shapes = _shapes(openings)
    frame = openings["frame"].to_numpy(np.int64)
    order = np.argsort(frame, kind="stable")
    spot = np.full(len(openings), -1, np.int64)
    last: list[int] = []  # row of each spot's last region
    seen: list[int] = []
    into: list[int] = []
    swallowed: list[int] = []
    living = np.zeros(0, np.int64)
    numbers, starts = np.unique(frame[order], return_index=True)
    for number, here in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True):
        age = number - frame[np.array([last[one] for one in living.tolist()], np.int64)]
        limit = np.maximum(MEMORY, np.array([seen[one] for one in living.tolist()], np.int64))
        gone = np.array([swallowed[one] >= 0 for one in living.tolist()], bool)
        # What was swallowed long ago does not come back.
        since = number - np.array([swallowed[one] for one in living.tolist()], np.int64)
        living = living[np.where(gone, since <= MEMORY, age <= limit)]
        before = shapes.take(np.array([last[one] for one in living.tolist()], np.int64))
        asleep = np.array([swallowed[one] >= 0 for one in living.tolist()], bool)
        now = shapes.take(here)
        region_of, covered_by = _assigned(before, now, asleep)
        owner = np.full(len(here), -1, np.int64)
        for place, region in enumerate(region_of.tolist()):
            if region < 0:
                continue
            one = int(living[place])
            owner[region] = one
            last[one], into[one], swallowed[one] = int(here[region]), -1, -1
            seen[one] += 1
        for region in np.flatnonzero(owner < 0).tolist():
            owner[region] = len(last)
            last.append(int(here[region]))
            seen.append(1)
            into.append(-1)
            swallowed.append(-1)
        spot[here] = owner
        for place, region in enumerate(covered_by.tolist()):
            one = int(living[place])
            if region >= 0 and swallowed[one] < 0:
                into[one], swallowed[one] = int(owner[region]), number
        living = np.union1d(living, owner)
    # A swallower that was swallowed in turn keeps its own: the chain can be followed.
    return Spots(spot, np.array(into, np.int64), np.array(swallowed, np.int64))


def _shapes(openings: pd.DataFrame) -> _Shapes:
    def column(name: str) -> NDArray[np.float64]:
        return openings[name].to_numpy(np.float64)

    centroid = np.column_stack([column("y_ref_px"), column("x_ref_px")])
    drift = np.column_stack([column("y_px"), column("x_px")]) - centroid
    low = np.column_stack([column("bbox_top_px"), column("bbox_left_px")])
    high = np.column_stack([column("bbox_bottom_px"), column("bbox_right_px")])
    middle = (low + high - 1) / 2 - drift
    return _Shapes(centroid, middle, (high - low) / 2, column("area_px"))


def _assigned(
    before: _Shapes, now: _Shapes, asleep: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Region of each spot, and region that covers each spot without one; −1 for none."""
    region_of = np.full(len(before.area), -1, np.int64)
    covered_by = region_of.copy()
    i, j = _pairs(before, now)
    if len(i) == 0:
        return region_of, covered_by
    covers = _inside(before.centroid[i], now, j)  # the region covers the spot
    touching = covers | _inside(now.centroid[j], before, i)
    i, j, covers = i[touching], j[touching], covers[touching]
    distance = np.hypot(*(before.centroid[i] - now.centroid[j]).T)
    radii = np.sqrt(before.area[i] / np.pi) + np.sqrt(now.area[j] / np.pi)
    cost = distance / radii + _SIZE_COST * np.abs(np.log(before.area[i] / now.area[j]))
    cost += _RETURN_COST * asleep[i]
    taken = np.zeros(len(now.area), bool)
    for pair in np.argsort(cost, kind="stable").tolist():
        if region_of[i[pair]] < 0 and not taken[j[pair]]:
            region_of[i[pair]] = j[pair]
            taken[j[pair]] = True
    # A spot without a region of its own lies in one that is not smaller.
    lost = covers & (region_of[i] < 0) & (now.area[j] >= before.area[i])
    for pair in np.flatnonzero(lost)[np.argsort(-cost[lost], kind="stable")].tolist():
        covered_by[i[pair]] = j[pair]
    return region_of, covered_by


def _pairs(before: _Shapes, now: _Shapes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Spots and regions near enough for one to hold the other's centroid."""
    if len(before.area) == 0 or len(now.area) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    keys = []
    for centres, others in ((now, before), (before, now)):
        tree = cKDTree(centres.centroid)
        reach = np.hypot(*others.half.T) + 2 * TOLERANCE_PX
        found = tree.query_ball_point(others.middle, reach)
        one = np.repeat(np.arange(len(found)), [len(near) for near in found])
        other = np.concatenate([np.asarray(near, np.int64) for near in found])
        pair = (one, other) if centres is now else (other, one)
        keys.append(pair[0] * len(now.area) + pair[1])
    i, j = np.divmod(np.unique(np.concatenate(keys)), len(now.area))
    return i.astype(np.int64), j.astype(np.int64)


def _inside(
    point: NDArray[np.float64], shapes: _Shapes, which: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether points lie in the ellipses in the boxes of given shapes."""
    reach = shapes.half[which] + TOLERANCE_PX
    return np.asarray((((point - shapes.middle[which]) / reach) ** 2).sum(axis=1) <= 1)
