"""Which dark spots are one pit: its mouth, its satellites, and the lobes that it opened in."""

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

REACH: Final = 3.0
"""Radii of a pit within which a small opening is a satellite, a hole in the pit's cover; on
steel in chloride, rings of them lie at up to two to three radii of the mouth."""

SMALL: Final = 0.1
"""Share of its pit's area that a satellite has at most; what is larger is a pit of its own."""

TOGETHER: Final = 2
"""Frames between the first sights of openings that are taken for lobes of one birth."""

SOON: Final = 0.1
"""The same as a share of their age."""

GROWN: Final = 1.5
"""Factor of area by which an opening must have grown to be told from a particle."""


class Grouped(NamedTuple):
    """Which pit spots belong to, and which pits grew together.

    Attributes
    ----------
    pit_of
        ``(spots,)`` int64: number of the pit's main spot; −1 for none.
    mergers
        Pairs of pits and a frame: the first one's main spot was swallowed by the second's
        pit in that frame.
    """

    pit_of: NDArray[np.int64]
    mergers: list[tuple[int, int, int]]


def group_spots(
    rows: pd.DataFrame,
    grows: NDArray[np.bool_],
    larger: NDArray[np.bool_],
    into: NDArray[np.int64],
    swallowed: NDArray[np.int64],
) -> Grouped:
    """Put the spots together that are one pit.

    Of growing spots, the larger ones come first. A smaller one belongs to a larger one if both
    were first seen together and lie no further apart than they are wide, or if it is small and
    near. If it was swallowed and is neither, two pits have merged. Spots that do not grow
    belong to a pit if they were swallowed by it and were there at its birth.

    Parameters
    ----------
    rows
        One for each opening: ``spot``, ``frame``, ``y_ref_px``, ``x_ref_px``, ``area``.
    grows
        ``(spots,)``, whether each grows by a law.
    larger
        ``(spots,)``, whether each becomes larger, and is as dark as a hole: by itself it may be
        a particle to which others stick; near a pit it is a satellite.
    into, swallowed
        As in `corroscope.tracking.spots.Spots`.

    Returns
    -------
    Grouped
        The groups.

    Examples
    --------
    >>> rows = pd.DataFrame({
    ...     "spot": [0, 1, 0], "frame": [0, 0, 1], "y_ref_px": [5.0, 5.0, 5.0],
    ...     "x_ref_px": [5.0, 12.0, 8.0], "area": [20.0, 18.0, 60.0],
    ... })
    >>> yes = np.array([True, True])
    >>> group_spots(rows, yes, yes, np.array([-1, 0]), np.array([-1, 1])).pit_of
    array([0, 0])
    """
    count = len(grows)
    pit_of = np.full(count, -1, np.int64)
    mergers: list[tuple[int, int, int]] = []
    course = {
        int(str(spot)): part for spot, part in rows.sort_values("frame").groupby("spot", sort=False)
    }
    first = np.array([course[spot]["frame"].iloc[0] for spot in range(count)], np.int64)
    largest = np.array([course[spot]["area"].max() for spot in range(count)])
    at_end = np.where(swallowed >= 0, swallowed, np.iinfo(np.int64).max)
    # What goes on to the end comes before what it swallowed; then by size.
    order = np.lexsort((-largest, -at_end))
    mains: list[int] = []
    for spot in order[grows[order]].tolist():
        swallower = _swallower(spot, into, pit_of)
        choices = mains if swallower < 0 else [swallower]
        pit_of[spot] = _mother(course[spot], choices, course, swallower >= 0)
        if pit_of[spot] >= 0:
            continue
        pit_of[spot] = spot
        mains.append(spot)
        if swallower >= 0:
            mergers.append((spot, swallower, int(swallowed[spot])))
    for spot in np.flatnonzero(~grows & (into >= 0)).tolist():
        main = _swallower(spot, into, pit_of)
        if main < 0:
            continue
        areas = course[spot]["area"].to_numpy()
        there = abs(int(first[spot]) - int(first[main])) <= TOGETHER
        if there or areas[-1] >= GROWN * areas[0]:
            pit_of[spot] = main
    for spot in np.flatnonzero(larger & (pit_of < 0)).tolist():
        pit_of[spot] = _mother(course[spot], mains, course, joined=False)
    return Grouped(pit_of, mergers)


def _swallower(spot: int, into: NDArray[np.int64], pit_of: NDArray[np.int64]) -> int:
    """The pit that a spot went into, be it by way of others; −1 for none."""
    seen = {spot}
    while (spot := int(into[spot])) >= 0 and spot not in seen:
        if pit_of[spot] >= 0:
            return int(pit_of[spot])
        seen.add(spot)
    return -1


def _mother(
    own: pd.DataFrame, mains: list[int], course: dict[int, pd.DataFrame], joined: bool
) -> int:
    """The first of some pits that a spot is a part of; −1 for none."""
    return next((main for main in mains if _is_part(own, course[main], joined)), -1)


def _is_part(own: pd.DataFrame, main: pd.DataFrame, joined: bool) -> bool:
    """Whether a growing spot is a part of the pit around another one."""
    last = min(int(own["frame"].iloc[-1]), int(main["frame"].iloc[-1]))
    ours, theirs = _until(own, last), _until(main, last)
    if ours is None or theirs is None:
        return False
    apart = float(np.hypot(ours.y - theirs.y, ours.x - theirs.x))
    radius = np.sqrt((ours.area + theirs.area) / np.pi)
    begun = int(own["frame"].iloc[0]), int(main["frame"].iloc[0])
    # What opens slowly is seen late: the later it is judged, the more frames may lie between, if
    # the two have become one hole.
    allowed = max(1.0, SOON * (last - min(begun))) if joined else 1.0
    together = abs(begun[0] - begun[1]) <= allowed
    if together and (joined or apart <= 2 * radius + 2):
        return True
    if ours.area >= SMALL * theirs.area:
        return False
    at_birth = _until(main, int(own["frame"].iloc[0]))
    if at_birth is None:
        return False
    begin = own.iloc[0]
    away = float(np.hypot(begin.y_ref_px - at_birth.y, begin.x_ref_px - at_birth.x))
    return bool(away <= REACH * np.sqrt(at_birth.area / np.pi))


class _State(NamedTuple):
    y: float
    x: float
    area: float


def _until(course: pd.DataFrame, frame: int) -> _State | None:
    """A spot as last seen up to a frame."""
    place = int(course["frame"].searchsorted(frame, side="right")) - 1
    if place < 0:
        return None
    row = course.iloc[place]
    return _State(float(row.y_ref_px), float(row.x_ref_px), float(row.area))
