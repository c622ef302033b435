"""Clumps: particles that become one and may part again."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from corroscope.tracking.linking import Links, Sightings
from corroscope.tracking.motion import Motion

LEAST_WIDTH: Final = 0.1
"""Darkness of a clump is not the sum of its parts to better than that: they overlap."""

LONGEST: Final = 60
"""Frames after which what parts from a clump is not taken for what went into it."""


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
    probability
        ``(rows,)``: of the link to the row before; NaN in a track's first.
    merged_into
        For tracks that end in a clump, the track that goes on.
    """

    track: NDArray[np.int64]
    sighting: NDArray[np.int64]
    joined: NDArray[np.bool_]
    probability: NDArray[np.float64]
    merged_into: dict[int, int]


class _Meeting(NamedTuple):
    """A track that ends, or begins, where another one's darkness changes by as much."""

    piece: int
    other: int
    at: int
    """Place in the other's rows of the first sighting after the change."""
    probability: float


def resolve_clumps(
    seen: Sightings, links: Links, equivalent_radius_px: NDArray[np.float64], motion: Motion
) -> Clumped:
    """Put links together to tracks, and find clumps.

    A track that ends beside another one, whose particle becomes darker by as much in that very
    frame, has joined it. If a track begins beside it later, as its darkness falls again, the two
    have parted: the first goes through the common particle. Which of the two is which after
    parting is told by darkness.

    Parameters
    ----------
    seen, links
        Particles and their links.
    equivalent_radius_px
        ``(n,)``: radius of each particle.
    motion
        Parameters.

    Returns
    -------
    Clumped
        Rows of all tracks.

    Examples
    --------
    >>> from corroscope.tracking.learning_motion import guess_motion
    >>> seen = Sightings(np.array([0, 1]), np.array([0, 1, 2]), np.array([0.0, 1.0]),
    ...     np.array([[5.0, 5.0], [5.0, 5.1]]), np.zeros(2), 100.0, [np.zeros((0, 2))] * 2)
    >>> links = Links(np.array([-1, 0]), np.array([1, -1]), np.array([np.nan, 0.9]),
    ...     np.ones(2), np.array([np.nan, 1.0]))
    >>> resolve_clumps(seen, links, np.ones(2), guess_motion(seen)).track.tolist()
    [1, 1]
    """
    pieces = _pieces(links)
    where = {int(s): (p, at) for p, piece in enumerate(pieces) for at, s in enumerate(piece)}
    width = max(motion.darkness_rest, LEAST_WIDTH)
    joins = _meetings(seen, links, equivalent_radius_px, pieces, where, width, motion, ends=True)
    parts = _meetings(seen, links, equivalent_radius_px, pieces, where, width, motion, ends=False)
    chance = [links.probability[piece] for piece in pieces]
    shared = [np.zeros(len(piece), bool) for piece in pieces]
    rows = [np.array(piece) for piece in pieces]
    into: dict[int, int] = {}
    gone: set[int] = set()
    parted = {meeting.other: [] for meeting in parts}  # type: dict[int, list[_Meeting]]
    for meeting in parts:
        parted[meeting.other].append(meeting)
    touched: set[int] = set()
    for join in sorted(joins, key=lambda one: int(seen.frame[pieces[one.other][one.at]])):
        one, other = join.piece, join.other
        into[one] = other
        if {one, other} & touched:
            continue
        leaves = [p for p in parted.get(other, []) if p.at > join.at and p.piece not in touched]
        if not leaves:
            continue
        part = min(leaves, key=lambda leave: leave.at)
        start, stop = pieces[other][join.at], pieces[other][part.at]
        if part.piece == one or seen.frame[stop] - seen.frame[start] > LONGEST:
            continue
        del into[one]
        touched |= {one, other, part.piece}
        gone.add(part.piece)
        middle = rows[other][join.at : part.at]
        first_chance = chance[other][join.at : part.at].copy()
        first_chance[0] = join.probability
        tails = [
            (rows[other][part.at :], chance[other][part.at :], shared[other][part.at :]),
            (rows[part.piece], np.array(chance[part.piece]), shared[part.piece]),
        ]
        tails[1][1][0] = part.probability
        before = seen.darkness[[rows[other][join.at - 1], rows[one][-1]]]
        after = seen.darkness[[tails[0][0][0], tails[1][0][0]]]
        if np.abs(before - after).sum() > np.abs(before - after[::-1]).sum():
            tails.reverse()
        common = np.ones(len(middle), bool)
        for index, head, middle_chance, tail in (
            (other, join.at, chance[other][join.at : part.at], tails[0]),
            (one, len(rows[one]), first_chance, tails[1]),
        ):
            rows[index] = np.concatenate([rows[index][:head], middle, tail[0]])
            chance[index] = np.concatenate([chance[index][:head], middle_chance, tail[1]])
            shared[index] = np.concatenate([shared[index][:head], common, tail[2]])
    return _numbered(rows, chance, shared, into, gone)


def _pieces(links: Links) -> list[NDArray[np.int64]]:
    """Sightings of each chain of links, in order of time."""
    chains: list[list[int]] = []
    chain = np.zeros(len(links.before), np.int64)
    for index, before in enumerate(links.before.tolist()):
        if before < 0:
            chain[index] = len(chains)
            chains.append([index])
        else:
            chain[index] = chain[before]
            chains[chain[index]].append(index)
    return [np.array(one, np.int64) for one in chains]


def _meetings(
    seen: Sightings,
    links: Links,
    radius_px: NDArray[np.float64],
    pieces: list[NDArray[np.int64]],
    where: dict[int, tuple[int, int]],
    width: float,
    motion: Motion,
    *,
    ends: bool,
) -> list[_Meeting]:
    """Tracks that end (or begin) beside one that takes over (or gives away) their darkness."""
    found = []
    frames = len(seen.time_s)
    for number, piece in enumerate(pieces):
        own = int(piece[-1] if ends else piece[0])
        frame = int(seen.frame[own]) + (1 if ends else -1)
        if not 0 <= frame < frames or not np.isfinite(seen.darkness[own]):
            continue
        here = np.arange(seen.start[frame], seen.start[frame + 1])
        distance = np.hypot(*(seen.place[here] - seen.place[own]).T)
        near = distance <= radius_px[here] + radius_px[own] + 3 * motion.noise_px + 1
        best: _Meeting | None = None
        for clump in here[near].tolist():
            beside = int((links.before if ends else links.after)[clump])
            if beside < 0 or seen.frame[beside] != seen.frame[own]:
                continue
            both = np.logaddexp(seen.darkness[own], seen.darkness[beside])
            to_both = (seen.darkness[clump] - both) / width
            to_one = (seen.darkness[clump] - seen.darkness[beside]) / width
            likelier = 0.5 * (to_one**2 - to_both**2)
            if not likelier > 0 or abs(to_both) > 3:
                continue
            other, at = where[clump if ends else beside]
            chance = float(expit(likelier))
            if best is None or chance > best.probability:
                best = _Meeting(number, other, at, chance)
        if best is not None:
            found.append(best)
    return found


def _numbered(
    rows: list[NDArray[np.int64]],
    chance: list[NDArray[np.float64]],
    shared: list[NDArray[np.bool_]],
    into: dict[int, int],
    gone: set[int],
) -> Clumped:
    """Tracks in order of first sightings; what became the end of another is left out."""
    kept = sorted((int(rows[index][0]), index) for index in range(len(rows)) if index not in gone)
    number = {index: place + 1 for place, (_, index) in enumerate(kept)}
    order = [index for _, index in kept]
    sizes = [len(rows[index]) for index in order]
    merged = {
        number[one]: number[other]
        for one, other in into.items()
        if one in number and other in number
    }
    empty = [np.zeros(0, np.int64)]
    return Clumped(
        track=np.repeat(np.arange(1, len(order) + 1), sizes),
        sighting=np.concatenate([rows[index] for index in order] or empty),
        joined=np.concatenate([shared[index] for index in order] or [np.zeros(0, bool)]),
        probability=np.concatenate([chance[index] for index in order] or [np.zeros(0)]),
        merged_into=merged,
    )
