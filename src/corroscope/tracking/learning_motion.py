"""Parameters of motion from the particles themselves: a guess, then what links say."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from corroscope.tracking.linking import Links, Sightings
from corroscope.tracking.motion import Motion

LEAST_NOISE_PX: Final = 0.05
"""No place is known better than that: pixels are whole, outlines are drawn."""

MOST_NOISE_PX: Final = 1.5
"""A place at rest is known better than that, or nothing can be told to be at rest."""

FEW: Final = 10
"""Fewer observations say nothing against what is assumed."""


def guess_motion(seen: Sightings) -> Motion:
    """Guess how particles move, before any link.

    What is at rest shows in the distances to the nearest particle of the frame before; where
    particles are that are not at rest tells how far they go in a step, and their distance to the
    nearest pit, how hard they are pushed.

    Parameters
    ----------
    seen
        All particles.

    Returns
    -------
    Motion
        A first guess.
    """
    nearest, steps_s, between, squared = [], [], [], []
    for index in range(1, len(seen.time_s)):
        a = seen.place[seen.start[index - 1] : seen.start[index]]
        b = seen.place[seen.start[index] : seen.start[index + 1]]
        step_s = seen.time_s[index] - seen.time_s[index - 1]
        steps_s.append(step_s)
        if not len(b):
            continue
        distance = cKDTree(a).query(b)[0] if len(a) else np.full(len(b), np.inf)
        nearest.append(distance)
        if len(b) > 1:
            between.append(cKDTree(b).query(b, k=2)[0][:, 1])
        moving = b[distance > MOST_NOISE_PX]
        if len(seen.pits[index]) and len(moving):
            away = cKDTree(seen.pits[index]).query(moving)[0]
            squared.append(away**2 / step_s)
    usual_s = float(np.median(steps_s)) if steps_s else 1.0
    distance = np.concatenate(nearest) if nearest else np.zeros(0)
    still = distance[distance < MOST_NOISE_PX]
    # Half of a Rayleigh distribution lies within 1.18 SD; a difference has twice the variance.
    noise = float(np.median(still)) / 1.18 / np.sqrt(2) if still.size >= FEW else 0.3
    noise = float(np.clip(noise, LEAST_NOISE_PX, MOST_NOISE_PX))
    spacing = float(np.median(np.concatenate(between))) if between else 20.0
    moved = distance[(distance >= MOST_NOISE_PX) & np.isfinite(distance)]
    step = float(np.median(moved)) if moved.size >= FEW else spacing / 2
    push = 2 * float(np.median(np.concatenate(squared))) if squared else (2 * step) ** 2 / usual_s
    return Motion(
        noise_px=noise,
        diffusion_px2_s=max((step / 4) ** 2 / (4 * usual_s), noise**2 / usual_s),
        step_px_s=max(step, 2 * noise) / usual_s,
        push_px2_s=push,
        push_spread=1.0,
        landing_s=5 * usual_s,
    )


def learn_motion(seen: Sightings, links: Links, before: Motion) -> Motion:
    """Parameters of motion from links; what too few links speak of stays as it was.

    Parameters
    ----------
    seen
        All particles.
    links
        Links made with the parameters `before`.
    before
        Those parameters.

    Returns
    -------
    Motion
        Better ones.
    """
    two = np.flatnonzero(links.before >= 0)
    one = links.before[two]
    gap = seen.frame[two] - seen.frame[one]
    step_s = seen.time_s[seen.frame[two]] - seen.time_s[seen.frame[one]]
    moved = seen.place[two] - seen.place[one]
    sure = (links.probability[two] > 0.7) & (gap == 1)
    still = links.stays[two] > 0.5
    changed = seen.darkness[two] - seen.darkness[one]
    new: dict[str, float] = {}
    rest = sure & still
    if rest.sum() >= FEW:
        noise = np.median(np.hypot(*moved[rest].T)) / 1.18 / np.sqrt(2)
        new["noise_px"] = float(np.clip(noise, LEAST_NOISE_PX, MOST_NOISE_PX))
        new["darkness_rest"] = _width(changed[rest])
    afloat = sure & ~still
    if afloat.sum() >= FEW:
        lengths = np.hypot(*moved[afloat].T) / step_s[afloat]
        new["step_px_s"] = float(np.median(lengths))
        new["darkness_afloat"] = _width(changed[afloat])
        new.update(_afloat(seen, links, before, two[afloat]))
    new.update(_ends(seen, links, before))
    return before._replace(**new)


def _width(change: NDArray[np.float64]) -> float:
    """Scale of Student's distribution with 4 degrees of freedom, whose median is 0.74 scales."""
    finite = change[np.isfinite(change)]
    if finite.size < FEW:
        return 0.3
    return float(np.clip(np.median(np.abs(finite)) / 0.741, 0.02, 1.0))


def _afloat(
    seen: Sightings, links: Links, before: Motion, after: NDArray[np.int64]
) -> dict[str, float]:
    """Diffusion and push, from three places in a row of particles afloat."""
    new: dict[str, float] = {}
    here = links.before[after]
    first = links.before[here]
    three = (first >= 0) & (links.probability[here] > 0.7) & ~(links.stays[here] > 0.5)
    # Not those that land meanwhile: they stop on the way.
    three &= links.at_rest[after] < 0.5
    a, b, c = first[three], here[three], after[three]
    if a.size >= FEW:
        s1 = seen.time_s[seen.frame[b]] - seen.time_s[seen.frame[a]]
        s2 = seen.time_s[seen.frame[c]] - seen.time_s[seen.frame[b]]
        v1, v2 = seen.place[b] - seen.place[a], seen.place[c] - seen.place[b]
        length = np.hypot(*v1.T)
        use = length > 4 * before.noise_px
        if use.sum() >= FEW:
            aside = (v1[:, 0] * v2[:, 1] - v1[:, 1] * v2[:, 0])[use] / length[use]
            ratio = (s2 / s1)[use]
            own = before.noise_px**2 * (1 + (1 + ratio) ** 2 + ratio**2)
            spread = 2 * s2[use] * (1 + ratio)
            # Median of a squared normal deviate is 0.455.
            diffusion = np.median((aside**2 / 0.455 - own) / spread)
            lowest = before.noise_px**2 / 4 / float(np.median(s2))
            new["diffusion_px2_s"] = float(max(diffusion, lowest))
    pushes = _pushes(seen, links, after)
    if pushes.size >= FEW:
        logs = np.log(pushes)
        middle = float(np.median(logs))
        new["push_px2_s"] = float(np.exp(middle))
        spread = float(np.median(np.abs(logs - middle))) / 0.674
        new["push_spread"] = float(np.clip(spread, 0.2, 1.2))
    return new


def _pushes(seen: Sightings, links: Links, after: NDArray[np.int64]) -> NDArray[np.float64]:
    """Growth of the squared distance from the pit that the first step leads away from."""
    if not any(len(pits) for pits in seen.pits):
        return np.zeros(0)
    values = []
    first = links.before[after]
    start = links.before[first] < 0
    for one, two in zip(first[start].tolist(), after[start].tolist(), strict=True):
        pits = seen.pits[int(seen.frame[one])]
        if not len(pits):
            continue
        away = seen.place[one] - pits
        to = seen.place[two] - pits
        far = np.hypot(*away.T)
        turned = np.abs(away[:, 0] * to[:, 1] - away[:, 1] * to[:, 0])
        angle = turned / np.maximum(far * np.hypot(*to.T), 1e-9)
        out = (angle < 0.3) & ((away * to).sum(axis=1) > 0)
        if not out.any():
            continue
        pit = np.flatnonzero(out)[np.argmin(far[out])]
        step_s = seen.time_s[seen.frame[two]] - seen.time_s[seen.frame[one]]
        grown = float((to[pit] ** 2).sum() - (away[pit] ** 2).sum()) / step_s
        if grown > 0:
            values.append(grown)
    return np.array(values)


def _ends(seen: Sightings, links: Links, before: Motion) -> dict[str, float]:
    """Chances to be missed, to end, to land and to be moved."""
    new: dict[str, float] = {}
    frames = len(seen.time_s)
    ends = (links.after < 0) & (seen.frame < frames - 1)
    resting = links.at_rest > 0.5
    two = np.flatnonzero(links.before >= 0)
    one = links.before[two]
    gap = seen.frame[two] - seen.frame[one]
    # As if a few more had been seen that go as is assumed.
    for name, mine in (("rest", resting), ("afloat", ~resting)):
        started = np.count_nonzero(mine & (seen.frame < frames - 1))
        ended = np.count_nonzero(ends & mine)
        missed = np.count_nonzero((gap > 1) & mine[one])
        was_ended, was_missed = (
            (before.ended_rest, before.missed_rest)
            if name == "rest"
            else (before.ended_afloat, before.missed_afloat)
        )
        new[f"ended_{name}"] = float(np.clip((ended + 10 * was_ended) / (started + 10), 1e-4, 0.5))
        new[f"missed_{name}"] = float(
            np.clip((missed + 10 * was_missed) / (started + 10), 0.01, 0.3)
        )
    landed = np.count_nonzero(~resting[one] & resting[two])
    flown_s = float(
        np.sum((seen.time_s[seen.frame[two]] - seen.time_s[seen.frame[one]])[~resting[one]])
    )
    if landed >= FEW:
        new["landing_s"] = max(flown_s / landed, 1e-9)
    moved_away = np.count_nonzero(resting[one] & ~resting[two])
    rested = np.count_nonzero(resting[one])
    new["leaving"] = float(np.clip((moved_away + 0.1) / (rested + 10), 1e-4, 0.1))
    return new


def expected_births(seen: Sightings, links: Links | None) -> NDArray[np.float64]:
    """New particles expected in each frame, false ones included.

    Parameters
    ----------
    seen
        All particles.
    links
        Links of a sweep before; None without.

    Returns
    -------
    ndarray of float64
        ``(frames,)``, at least a tenth.
    """
    frames = len(seen.time_s)
    counts = np.diff(seen.start).astype(float)
    if links is None:
        return np.full(frames, max(float(counts.sum()) / max(frames, 1) * 0.15, 0.1))
    new = np.bincount(seen.frame[links.before < 0], minlength=frames).astype(float)
    usual = float(np.median(new[1:])) if frames > 1 else 1.0
    # Bursts come in single frames: each frame has its own, drawn towards the usual.
    return np.asarray(np.maximum((new + 2 * usual) / 3, 0.1))
