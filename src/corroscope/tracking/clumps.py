"""Clumps: particles that become one and may part again."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from corroscope.tracking.linking import Links, Sightings
from corroscope.tracking.motion import Motion

LEAST_WIDTH: Final = 0.1
"""Darkness of a clump is not the sum of its parts to better than that: they overlap."""

LONGEST: Final = 60
"""Frames after which what parts from a clump is not taken for what went into it."""


JUMPED: Final = 0.9
"""Probability of a clump whose darkness is the sum of its parts, but whose place jumped."""


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
    frame, has joined it. Where all of a clump's parts end, because its place is too far from
    each of theirs, the darkest goes on as the clump. If a track begins beside it later, as its
    darkness falls again, the two have parted: the first goes through the common particle. Which
    of the two is which after parting is told by darkness.

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
    width = max(motion.darkness_rest, LEAST_WIDTH)
    links, cut = _through_clumps(seen, links, equivalent_radius_px, width, motion)
    pieces = _pieces(links)
    where = {int(s): (p, at) for p, piece in enumerate(pieces) for at, s in enumerate(piece)}
    joins = _meetings(seen, links, equivalent_radius_px, pieces, where, width, motion, ends=True)
    parts = _meetings(seen, links, equivalent_radius_px, pieces, where, width, motion, ends=False)
    made = _Rows(
        [np.array(piece) for piece in pieces],
        [links.probability[piece] for piece in pieces],
        [np.zeros(len(piece), bool) for piece in pieces],
    )
    into: dict[int, int] = {}
    touched: set[int] = set()
    for join in sorted(joins, key=lambda one: int(seen.frame[pieces[one.other][one.at]])):
        into[join.piece] = join.other
        start = seen.frame[pieces[join.other][join.at]]
        leaves = [
            part
            for part in parts
            if part.other == join.other
            and part.at > join.at
            and part.piece != join.piece
            and seen.frame[pieces[part.other][part.at]] - start <= LONGEST
            and not {part.piece, join.piece, join.other} & touched
        ]
        if leaves:
            part = min(leaves, key=lambda leave: leave.at)
            made.go_through(join, part, seen.darkness)
            del into[join.piece]
            touched |= {join.piece, join.other, part.piece}
    for left, right, probability in cut:
        one, other = where[left][0], where[right][0]
        # Nothing has come of it: they are linked over the gap as before.
        if not {one, other} & touched:
            made.append(one, other, probability)
            where.update({int(sighting): (one, 0) for sighting in made.sighting[one]})
            into.pop(one, None)
            if other in into:
                into[one] = into.pop(other)
    return made.numbered(into)


class _Rows:
    """Rows of each track while they are put together; a track without rows is none any more."""

    def __init__(
        self,
        sighting: list[NDArray[np.int64]],
        probability: list[NDArray[np.float64]],
        joined: list[NDArray[np.bool_]],
    ) -> None:
        self.sighting, self.probability, self.joined = sighting, probability, joined

    def go_through(self, join: _Meeting, part: _Meeting, darkness: NDArray[np.float64]) -> None:
        """Let two tracks go through the clump between them, and on as what is likest to each."""
        one, other = join.piece, join.other
        head, clump = slice(0, join.at), slice(join.at, part.at)
        tails = [
            [rows[other][part.at :] for rows in self._parts()],
            [np.array(rows[part.piece]) for rows in self._parts()],
        ]
        tails[1][1][0] = part.probability
        before = darkness[[self.sighting[other][join.at - 1], self.sighting[one][-1]]]
        after = darkness[[tails[0][0][0], tails[1][0][0]]]
        if np.abs(before - after).sum() > np.abs(before - after[::-1]).sum():
            tails.reverse()
        middle = [np.array(rows[other][clump]) for rows in self._parts()]
        middle[2][:] = True
        heads = {
            other: [rows[other][head] for rows in self._parts()],
            one: [rows[one] for rows in self._parts()],
        }
        for index, tail in zip((other, one), tails, strict=True):
            for rows, *three in zip(self._parts(), heads[index], middle, tail, strict=True):
                rows[index] = np.concatenate(three)
        self.probability[one][len(heads[one][0])] = join.probability
        self._drop(part.piece)

    def append(self, one: int, other: int, probability: float) -> None:
        """Let one track go on as another."""
        first = len(self.sighting[one])
        for rows in self._parts():
            rows[one] = np.concatenate([rows[one], rows[other]])
        self.probability[one][first] = probability
        self._drop(other)

    def numbered(self, into: dict[int, int]) -> Clumped:
        """Tracks in order of their first sightings."""
        order = sorted(
            (index for index, rows in enumerate(self.sighting) if len(rows)),
            key=lambda index: int(self.sighting[index][0]),
        )
        number = {index: place + 1 for place, index in enumerate(order)}
        sizes = [len(self.sighting[index]) for index in order]
        sighting, probability, joined = (
            np.concatenate([rows[index] for index in order] or [np.zeros(0, kind)])
            for rows, kind in zip(self._parts(), (np.int64, np.float64, np.bool_), strict=True)
        )
        return Clumped(
            track=np.repeat(np.arange(1, len(order) + 1), sizes),
            sighting=sighting,
            joined=joined,
            probability=probability,
            merged_into={
                number[one]: number[other]
                for one, other in into.items()
                if one in number and other in number
            },
        )

    def _parts(self) -> tuple[list[NDArray[Any]], ...]:
        return self.sighting, self.probability, self.joined

    def _drop(self, index: int) -> None:
        for rows in self._parts():
            rows[index] = rows[index][:0]


def _near(
    seen: Sightings, own: int, frame: int, radius_px: NDArray[np.float64], motion: Motion
) -> list[int]:
    """Particles of a frame that touch, or nearly, a particle of another frame."""
    if not 0 <= frame < len(seen.time_s):
        return []
    here = np.arange(seen.start[frame], seen.start[frame + 1])
    distance = np.hypot(*(seen.place[here] - seen.place[own]).T)
    reach = radius_px[here] + radius_px[own] + 3 * motion.noise_px + 1
    return [int(one) for one in here[distance <= reach]]


def _through_clumps(
    seen: Sightings,
    links: Links,
    radius_px: NDArray[np.float64],
    width: float,
    motion: Motion,
) -> tuple[Links, list[tuple[int, int, float]]]:
    """Make the darkest part of each clump go on as the clump, if its place jumped too far for it.

    Links over a gap are cut where the gap begins beside a clump; they are told, to be restored.
    """
    before, after = np.array(links.before), np.array(links.after)
    probability = np.array(links.probability)
    cut = []
    # Only where the clump itself comes from nowhere: a gap alone is more often just a gap.
    for clump in np.flatnonzero(links.before < 0).tolist():
        frame = int(seen.frame[clump]) - 1
        near = np.array(_near(seen, clump, frame, radius_px, motion), np.int64)
        follows = links.after[near]
        gapped = (follows >= 0) & (seen.frame[follows] > frame + 1)
        loose = near[gapped | (follows < 0)]
        if gapped.any() and loose.size > 1 and _is_sum(seen.darkness, clump, loose, width):
            for left, right in zip(near[gapped].tolist(), follows[gapped].tolist(), strict=True):
                if before[right] == left:
                    cut.append((left, right, float(probability[right])))
                    before[right] = after[left] = -1
                    probability[right] = np.nan
    for forwards in (True, False):
        mine, other, step = (before, after, -1) if forwards else (after, before, 1)
        for clump in np.flatnonzero(mine < 0).tolist():
            frame = int(seen.frame[clump]) + step
            parts = [k for k in _near(seen, clump, frame, radius_px, motion) if other[k] < 0]
            if len(parts) < 2 or not _is_sum(seen.darkness, clump, parts, width):
                continue
            darkest = parts[int(np.argmax(seen.darkness[parts]))]
            mine[clump], other[darkest] = darkest, clump
            later = clump if forwards else darkest
            probability[later] = JUMPED
    return links._replace(before=before, after=after, probability=probability), cut


def _is_sum(
    darkness: NDArray[np.float64],
    clump: int,
    parts: Sequence[int] | NDArray[np.int64],
    width: float,
) -> bool:
    """Whether a particle is about as dark as others together."""
    total = float(np.logaddexp.reduce(darkness[parts]))
    return bool(abs(darkness[clump] - total) < 3 * width)


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
    for number, piece in enumerate(pieces):
        own = int(piece[-1] if ends else piece[0])
        frame = int(seen.frame[own]) + (1 if ends else -1)
        if not np.isfinite(seen.darkness[own]):
            continue
        best: _Meeting | None = None
        for clump in _near(seen, own, frame, radius_px, motion):
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
