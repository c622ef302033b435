"""Links from frame to frame, over gaps, and with a look at what comes after."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from corroscope.tracking.assignment import best_links, link_probabilities
from corroscope.tracking.motion import (
    OUT,
    REST,
    Beliefs,
    Motion,
    first_beliefs,
    moved_on,
    no_beliefs,
)

LOOK_AHEAD: Final = 3
"""Steps of what was linked before that a link is judged by."""

LOST_AFLOAT: Final = 10
"""Frames for which one that is afloat is looked for."""

LOST_AT_REST: Final = 60
"""Frames for which one at rest is looked for; by then it is as likely to be another one."""

OUTLIERS: Final = 0.02
"""Share of changes of darkness that come from overlaps, rims of pits and the like."""

MOST_CANDIDATES: Final = 40
"""Nearest particles that one may be linked to, those within its reach."""


class Sightings(NamedTuple):
    """Particles of all frames, in order of time.

    Attributes
    ----------
    frame
        ``(n,)``: number of the usable frame, 0, 1, …, rising.
    start
        ``(frames + 1,)``: first particle of each frame.
    time_s
        ``(frames,)``: rising.
    place
        ``(n, 2)``.
    darkness
        ``(n,)``: logarithm of area times contrast.
    area_px
        Of the picture.
    pits
        For each frame ``(p, 2)``, the pits that are open.
    """

    frame: NDArray[np.int64]
    start: NDArray[np.int64]
    time_s: NDArray[np.float64]
    place: NDArray[np.float64]
    darkness: NDArray[np.float64]
    area_px: float
    pits: list[NDArray[np.float64]]


class Links(NamedTuple):
    """What each particle is linked to.

    Attributes
    ----------
    before, after
        ``(n,)``: the particle before and after it in its track; −1 for none.
    probability
        ``(n,)``: of the link to the one before; NaN without.
    at_rest
        ``(n,)``: probability that it has come to rest.
    stays
        ``(n,)``: probability that it was at rest before and has stayed; NaN in its first row.
    """

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    probability: NDArray[np.float64]
    at_rest: NDArray[np.float64]
    stays: NDArray[np.float64]


def link_sightings(
    seen: Sightings, motion: Motion, births: NDArray[np.float64], earlier: Links | None = None
) -> Links:
    """Link particles of each frame to those before.

    Frame by frame, every track's likely places are compared with the particles found, against
    the chance that these are new. With `earlier` links, a link is also judged by how well what
    follows goes with it.

    Parameters
    ----------
    seen
        All particles.
    motion
        How they move.
    births
        ``(frames,)``: expected number of new particles in each frame.
    earlier
        Links of a sweep before.

    Returns
    -------
    Links
        For each particle.
    """
    number, frames = len(seen.frame), len(seen.time_s)
    beliefs, place = no_beliefs(number), seen.place
    new = np.zeros(number)
    for index in range(frames):
        here = slice(seen.start[index], seen.start[index + 1])
        since = seen.time_s[index] - seen.time_s[index - 1] if index else np.inf
        first, new[here] = first_beliefs(
            place[here],
            seen.pits[index],
            float(since if index else np.median(np.diff(seen.time_s)) if frames > 1 else 1.0),
            seen.area_px,
            motion,
        )
        beliefs.put(np.arange(here.start, here.stop), first)
    fresh = Beliefs(*(np.array(part) for part in beliefs)) if earlier is not None else beliefs
    before, after = np.full(number, -1), np.full(number, -1)
    probability, stays = np.full(number, np.nan), np.full(number, np.nan)
    usual = seen.darkness[np.isfinite(seen.darkness)]
    middle = float(np.median(usual)) if usual.size else 0.0
    width = max(float(np.std(usual)) if usual.size else 1.0, 0.05)
    log_usual = -0.5 * ((seen.darkness - middle) / width) ** 2 - np.log(width) - 0.919
    ends = np.zeros(0, np.int64)
    for index in range(1, frames):
        last = np.arange(seen.start[index - 1], seen.start[index])
        ends = np.concatenate([ends, last])
        lost = index - 1 - seen.frame[ends]
        resting = beliefs.weights[ends, REST] > 0.5
        ends = ends[lost <= np.where(resting, LOST_AT_REST, LOST_AFLOAT)]
        now = np.arange(seen.start[index], seen.start[index + 1])
        if not ends.size or not now.size:
            continue
        left, right = _candidates(seen, beliefs, motion, ends, now, index)
        if not left.size:
            continue
        held = beliefs.take(left)
        passed = seen.time_s[index] - seen.time_s[seen.frame[left]]
        then, density, rested = moved_on(held, passed, place[right], motion)
        rest = held.weights[:, REST]
        gain = density + _found_again(index - 1 - seen.frame[left], rest, motion)
        gain += _alike(seen.darkness[right] - seen.darkness[left], rested, motion) - np.where(
            np.isfinite(log_usual[right]), log_usual[right], 0
        )
        gain -= np.log(births[index] * new[right] + 1e-300)
        if earlier is not None:
            gain += _what_follows(then, fresh, right, seen, motion, earlier)
        chosen = best_links(left, right, gain)
        sure = link_probabilities(left, right, gain)
        i, j = left[chosen], right[chosen]
        before[j], after[i] = i, j
        probability[j], stays[j] = sure[chosen], rested[chosen]
        beliefs.put(j, then.take(chosen))
        ends = np.setdiff1d(ends, i, assume_unique=True)
    return Links(before, after, probability, beliefs.weights[:, REST], stays)


def _candidates(
    seen: Sightings,
    beliefs: Beliefs,
    motion: Motion,
    ends: NDArray[np.int64],
    now: NDArray[np.int64],
    index: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs that are not out of the question, by distance alone."""
    weights = beliefs.weights[ends]
    resting = weights[:, REST] > 0.999
    passed = seen.time_s[index] - seen.time_s[seen.frame[ends]]
    velocity = np.nan_to_num(np.hypot(*beliefs.velocity[ends].T))
    spread = 4 * np.sqrt(2 * motion.diffusion_px2_s * passed) + 6 * motion.noise_px
    usual = 4 * motion.step_px_s * passed
    outwards = weights[:, OUT:].sum(axis=1) > 0.05
    push = motion.push_px2_s * np.exp(2 * motion.push_spread)
    nearest = np.hypot(*(beliefs.place[ends][:, None] - beliefs.sources[ends]).transpose(2, 0, 1))
    nearest = nearest.min(axis=1, initial=np.inf)
    flight = np.where(outwards, np.sqrt(nearest**2 + push * passed) - nearest, 0)
    reach = np.where(
        resting,
        8 * motion.noise_px + 1,
        np.maximum(np.maximum(usual, 1.5 * velocity * passed), flight) + spread,
    )
    tree = cKDTree(seen.place[now])
    distance, nearest_ones = tree.query(
        beliefs.place[ends],
        k=min(MOST_CANDIDATES, len(now)),
        distance_upper_bound=float(reach.max()),
    )
    if distance.ndim == 1:
        distance, nearest_ones = distance[:, None], nearest_ones[:, None]
    row, column = np.nonzero(distance <= reach[:, None])
    return ends[row], now[nearest_ones[row, column]]


def _found_again(
    missed: NDArray[np.int64], rest: NDArray[np.float64], motion: Motion
) -> NDArray[np.float64]:
    """Log of the probability to be found now, after so many frames without, over that to end.

    What is hidden, or out of focus, may be so for long: gaps g go as 1 / (g (g + 1)), which adds
    up to 1.
    """
    gap = np.maximum(missed, 1)
    tail = 1 / (gap * (gap + 1.0))
    hidden = np.where(missed > 0, motion.missed_rest * tail, 1 - motion.missed_rest)
    lost = np.where(missed > 0, motion.missed_afloat * tail, 1 - motion.missed_afloat)
    return np.asarray(
        np.log(
            rest * hidden * (1 - motion.ended_rest)
            + (1 - rest) * lost * (1 - motion.ended_afloat) ** (missed + 1)
        )
        - np.log(rest * motion.ended_rest + (1 - rest) * motion.ended_afloat)
    )


def _alike(
    change: NDArray[np.float64], rested: NDArray[np.float64], motion: Motion
) -> NDArray[np.float64]:
    """Log density of a change of darkness: Student's with 4 degrees of freedom, and some outliers.

    Another particle before or beside it changes it by about as much as there is.
    """
    width = np.where(rested > 0.5, motion.darkness_rest, motion.darkness_afloat)
    known = np.isfinite(change)
    change = np.where(known, change, 0)
    usual = 0.375 * (1 + (change / width) ** 2 / 4) ** -2.5 / width
    outlier = np.exp(-0.5 * change**2) / np.sqrt(2 * np.pi)
    return np.where(known, np.log((1 - OUTLIERS) * usual + OUTLIERS * outlier), 0)


def _what_follows(
    then: Beliefs,
    fresh: Beliefs,
    right: NDArray[np.int64],
    seen: Sightings,
    motion: Motion,
    earlier: Links,
) -> NDArray[np.float64]:
    """How much better the particles after go with a link than with a new track there."""
    total = np.zeros(len(right))
    on, here = np.arange(len(right)), np.array(right)
    linked, unlinked = then, fresh.take(right)
    for _ in range(LOOK_AHEAD):
        follows = earlier.after[here]
        goes = follows >= 0
        if not goes.any():
            break
        on, follows, here = on[goes], follows[goes], here[goes]
        step_s = seen.time_s[seen.frame[follows]] - seen.time_s[seen.frame[here]]
        place = seen.place[follows]
        linked, log_linked, _ = moved_on(linked.take(goes), step_s, place, motion)
        unlinked, log_unlinked, _ = moved_on(unlinked.take(goes), step_s, place, motion)
        # What was linked before may be wrong: it decides little by itself.
        total[on] += np.clip(log_linked - log_unlinked, -6, 6)
        here = follows
    return total
