"""How a particle may move: what is at rest, and what is afloat in one of several ways."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

REST: Final = 0
ALONG: Final = 1
"""On as before, as what rolls in the common drift: no noise but that of its places."""
ON: Final = 2
"""On as before, with diffusion."""
ABOUT: Final = slice(3, 6)
"""Anywhere about, over three lengths."""
OUT: Final = 6
"""First of the ways out of a pit."""

LENGTHS: Final = np.array([0.4, 1.0, 2.5])
"""Of the usual step: a mixture over these has about the tails of a Student distribution."""

WAVERING: Final = 0.15
"""Share of places at rest that are known worse than most."""

WIDER: Final = 4.0
"""How much worse."""

SOURCES: Final = 3
"""Pits that a particle may come from which are kept in mind: the likeliest of all."""

PUSHES: Final = np.linspace(-2.4, 2.4, 13)
"""Strengths of the flow that are tried, in SDs of their logarithm about the median."""

START_PX: Final = 6.0
"""SD of where particles leave a pit, about its centre, along each axis: mouths are not points, nor
are centres of lacy ones known well."""

FAR_PX: Final = 1e6
"""Where a pit is that is not there."""


class Motion(NamedTuple):
    """Parameters of motion, from the data themselves; time in units of ``time_s``.

    Attributes
    ----------
    noise_px
        SD of a place at rest, along each axis.
    diffusion_px2_s
        Diffusion coefficient of what is afloat.
    step_px_s
        Usual length of a step afloat, per time.
    push_px2_s, push_spread
        Median of the rate at which the squared distance from the mother pit grows, and the SD of
        its logarithm.
    landing_s
        Mean time until one that is afloat has settled.
    leaving
        Probability of one at rest to be moved, per frame.
    rest, about, out
        Of particles first seen: the shares that are at rest, that go anywhere, and that come out
        of a pit.
    missed_rest, missed_afloat
        Probability not to be found in a frame.
    ended_rest, ended_afloat
        Probability never to be found again, per frame.
    darkness_rest, darkness_afloat
        SD of the change of log darkness from one frame to the next.
    """

    noise_px: float
    diffusion_px2_s: float
    step_px_s: float
    push_px2_s: float
    push_spread: float
    landing_s: float
    leaving: float = 0.01
    rest: float = 0.3
    about: float = 0.2
    out: float = 0.5
    missed_rest: float = 0.03
    missed_afloat: float = 0.03
    ended_rest: float = 0.005
    ended_afloat: float = 0.08
    darkness_rest: float = 0.1
    darkness_afloat: float = 0.25


class Beliefs(NamedTuple):
    """What is held of particles at their last places; one row for each.

    Attributes
    ----------
    place
        ``(n, 2)``, where it was found.
    rest_place, rest_seen
        ``(n, 2)`` and ``(n,)``: mean place since it came to rest, and of how many.
    step_s_before, velocity
        ``(n,)`` and ``(n, 2)``: its last step; NaN velocity in its first row.
    weights
        ``(n, ways)``: probability of each way of moving; the ways are at rest, along, on, about
        (three) and out of `SOURCES` pits with each of `PUSHES`.
    sources
        ``(n, SOURCES, 2)``: those pits.
    """

    place: NDArray[np.float64]
    rest_place: NDArray[np.float64]
    rest_seen: NDArray[np.float64]
    step_s_before: NDArray[np.float64]
    velocity: NDArray[np.float64]
    weights: NDArray[np.float64]
    sources: NDArray[np.float64]

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> "Beliefs":
        """Some rows."""
        return Beliefs(*(part[index] for part in self))

    def put(self, index: NDArray[np.int64], other: "Beliefs") -> None:
        """Overwrite some rows in place."""
        for part, new in zip(self, other, strict=True):
            part[index] = new


WAYS: Final = OUT + SOURCES * PUSHES.size


def no_beliefs(number: int) -> Beliefs:
    """Beliefs to be filled."""
    return Beliefs(
        place=np.zeros((number, 2)),
        rest_place=np.zeros((number, 2)),
        rest_seen=np.ones(number),
        step_s_before=np.ones(number),
        velocity=np.full((number, 2), np.nan),
        weights=np.zeros((number, WAYS)),
        sources=np.full((number, SOURCES, 2), FAR_PX),
    )


def push_weights() -> NDArray[np.float64]:
    """Probability of each of `PUSHES`."""
    weights = np.exp(-0.5 * PUSHES**2)
    return np.asarray(weights / weights.sum())


def first_beliefs(
    place: NDArray[np.float64],
    pits: NDArray[np.float64],
    since_s: float,
    area_px: float,
    motion: Motion,
) -> tuple[Beliefs, NDArray[np.float64]]:
    """What is held of particles that are seen for the first time, and how many are expected there.

    One that left its pit at any time since the frame before and whose squared distance grows
    evenly may be anywhere on a disc, evenly.

    Parameters
    ----------
    place
        ``(n, 2)``.
    pits
        ``(p, 2)``: pits that are open.
    since_s
        Time since the frame before.
    area_px
        Of the picture.
    motion
        Parameters.

    Returns
    -------
    beliefs : Beliefs
        One row for each.
    density : ndarray of float64
        ``(n,)``: probability density of a new particle's place, per square pixel.
    """
    number = len(place)
    beliefs = no_beliefs(number)
    beliefs.place[:] = beliefs.rest_place[:] = place
    elsewhere = motion.rest + motion.about + (0 if len(pits) else motion.out)
    base = np.full(number, elsewhere / area_px)
    beliefs.weights[:, REST] = motion.rest / area_px
    beliefs.weights[:, ABOUT] = (base - motion.rest / area_px)[:, None] / LENGTHS.size
    if len(pits) and number:
        push = motion.push_px2_s * np.exp(PUSHES * motion.push_spread)
        distance2 = ((place[:, None] - pits[None]) ** 2).sum(axis=2)
        nearest = np.argsort(distance2, axis=1)[:, :SOURCES]
        near2 = np.take_along_axis(distance2, nearest, axis=1)
        density = np.zeros((number, nearest.shape[1], PUSHES.size))
        # A few are missed in the frames before they are first found.
        for share, frames in ((0.8, 1.0), (0.2, 4.0)):
            reach2 = push * since_s * frames + 25.0
            inside = 1 / (1 + (near2[:, :, None] / reach2) ** 8)
            density += share * inside / (np.pi * reach2)
        density *= push_weights() * motion.out / len(pits)
        beliefs.sources[:, : nearest.shape[1]] = pits[nearest]
        beliefs.weights[:, OUT : OUT + nearest.shape[1] * PUSHES.size] = density.reshape(number, -1)
    total = beliefs.weights.sum(axis=1)
    beliefs.weights[:] /= np.maximum(total, 1e-300)[:, None]
    return beliefs, total


class Predicted(NamedTuple):
    """Where particles may be after a time: a mixture of normal distributions for each.

    ``(n, ways)`` each: the logarithm of the density of a place under each way, and under having
    landed on that way.
    """

    going: NDArray[np.float64]
    landed: NDArray[np.float64]


def densities(
    beliefs: Beliefs, after_s: NDArray[np.float64], place: NDArray[np.float64], motion: Motion
) -> Predicted:
    """Density of places, a time after particles were where they are believed to be.

    Parameters
    ----------
    beliefs
        ``n`` rows.
    after_s
        ``(n,)``.
    place
        ``(n, 2)``: the places asked about.
    motion
        Parameters.

    Returns
    -------
    Predicted
        ``(n, WAYS)`` twice.
    """
    number = len(place)
    going = np.full((number, WAYS), -np.inf)
    landed = np.full((number, WAYS), -np.inf)
    noise2 = motion.noise_px**2
    moved = place - beliefs.place
    spread2 = 2 * motion.diffusion_px2_s * after_s
    rest = ((place - beliefs.rest_place) ** 2).sum(axis=1)
    rest2 = noise2 * (1 + 1 / beliefs.rest_seen)
    # Some outlines are less certain than most.
    going[:, REST] = np.logaddexp(
        np.log(1 - WAVERING) + _log_normal(rest, rest2),
        np.log(WAVERING) + _log_normal(rest, WIDER**2 * rest2),
    )
    known = ~np.isnan(beliefs.velocity[:, 0])
    ratio = after_s / beliefs.step_s_before
    ahead = np.where(known[:, None], beliefs.velocity, 0) * after_s[:, None]
    off = ((moved - ahead) ** 2).sum(axis=1)
    along2 = noise2 * (1 + (1 + ratio) ** 2 + ratio**2)
    going[:, ALONG] = np.where(known, _log_normal(off, along2), -np.inf)
    # A flow that spreads becomes slower: allow for a fifth of the step.
    on2 = along2 + spread2 * (1 + ratio) + (0.2 * np.hypot(*ahead.T)) ** 2 / 2
    going[:, ON] = np.where(known, _log_normal(off, on2), -np.inf)
    half = ((moved - ahead / 2) ** 2).sum(axis=1)
    land2 = 2 * noise2 + spread2 / 2 + (ahead**2).sum(axis=1) / 12
    for way in (ALONG, ON):
        landed[:, way] = np.where(known, _log_normal(half, land2), -np.inf)
    far2 = (moved**2).sum(axis=1)
    for way, length in enumerate(LENGTHS, start=ABOUT.start):
        about2 = (length * motion.step_px_s * after_s) ** 2 / 2 + spread2 + 2 * noise2
        going[:, way] = _log_normal(far2, about2)
        landed[:, way] = _log_normal(far2, about2 / 3 + noise2)
    _out(going, landed, beliefs, after_s, place, motion)
    return Predicted(going, landed)


def _log_normal(
    distance2: NDArray[np.float64], variance: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.asarray(-0.5 * distance2 / variance - np.log(2 * np.pi * variance))


def _out(
    going: NDArray[np.float64],
    landed: NDArray[np.float64],
    beliefs: Beliefs,
    after_s: NDArray[np.float64],
    place: NDArray[np.float64],
    motion: Motion,
) -> None:
    """Ways out of pits: straight away from each, the squared distance growing evenly."""
    some = np.flatnonzero(beliefs.weights[:, OUT:].sum(axis=1) > 1e-6)
    if not some.size:
        return
    after = after_s[some][:, None, None]
    source = beliefs.sources[some]
    away = beliefs.place[some][:, None] - source
    distance = np.maximum(np.hypot(away[..., 0], away[..., 1]), 0.5)
    heading = away / distance[..., None]
    to = place[some][:, None] - source
    along = (to * heading).sum(axis=2)[..., None]
    aside = (to[..., 0] * heading[..., 1] - to[..., 1] * heading[..., 0])[..., None]
    distance = distance[..., None]
    push = motion.push_px2_s * np.exp(PUSHES * motion.push_spread)
    reached = np.sqrt(distance**2 + push * after)
    noise2, spread2 = motion.noise_px**2, 2 * motion.diffusion_px2_s * after
    # Between two strengths that are tried lie others.
    width = motion.push_spread * (PUSHES[1] - PUSHES[0])
    between2 = (push * after / (2 * reached) * width) ** 2 / 12
    wider = reached / distance
    along2 = noise2 * (1 + 1 / wider**2) + spread2 + between2 + (START_PX * (1 - 1 / wider)) ** 2
    aside2 = noise2 * (1 + wider**2) + spread2 + (START_PX * (wider - 1)) ** 2
    going[some, OUT:] = _log_normal_2d(along - reached, aside, along2, aside2).reshape(
        some.size, -1
    )
    middle, length = (distance + reached) / 2, reached - distance
    landed[some, OUT:] = _log_normal_2d(
        along - middle, aside, along2 + length**2 / 12, noise2 * (1 + wider) + spread2 / 2
    ).reshape(some.size, -1)


def _log_normal_2d(
    along: NDArray[np.float64],
    aside: NDArray[np.float64],
    along2: NDArray[np.float64],
    aside2: NDArray[np.float64],
) -> NDArray[np.float64]:
    exponent = -0.5 * (along**2 / along2 + aside**2 / aside2)
    return np.asarray(exponent - 0.5 * np.log(along2 * aside2) - np.log(2 * np.pi))


def moved_on(
    beliefs: Beliefs, after_s: NDArray[np.float64], place: NDArray[np.float64], motion: Motion
) -> tuple[Beliefs, NDArray[np.float64], NDArray[np.float64]]:
    """What is held once particles are found again, and how likely it was to find them there.

    Parameters
    ----------
    beliefs
        ``n`` rows.
    after_s
        ``(n,)``: time since then.
    place
        ``(n, 2)``: where they are found.
    motion
        Parameters.

    Returns
    -------
    beliefs : Beliefs
        Afterwards.
    log_density : ndarray of float64
        ``(n,)``: logarithm of the probability density of finding them there.
    rest : ndarray of float64
        ``(n,)``: probability that they were at rest before and are so still.
    """
    seen = densities(beliefs, after_s, place, motion)
    landing = -np.expm1(-after_s / motion.landing_s)[:, None]
    before = np.array(beliefs.weights)
    # What moved may go on in another way, and what rested may be moved.
    known = ~np.isnan(beliefs.velocity[:, 0])
    afloat = before[:, 1:].sum(axis=1)
    turned = 0.05 * afloat + motion.leaving * before[:, REST]
    before[:, 1:] *= 0.95
    before[:, REST] *= 1 - motion.leaving
    before[:, ALONG] += np.where(known, 0.2 * turned, 0)
    before[:, ON] += np.where(known, 0.3 * turned, 0)
    before[:, ABOUT] += (np.where(known, 0.5, 1.0) * turned)[:, None] / LENGTHS.size
    highest = np.maximum(seen.going.max(axis=1), seen.landed.max(axis=1))
    going = np.exp(seen.going - highest[:, None])
    landed = np.exp(seen.landed - highest[:, None])
    at_rest = before[:, REST] * going[:, REST]
    afloat_now = before * (1 - landing) * going
    come_down = (before * landing * landed)[:, 1:].sum(axis=1)
    weights = afloat_now
    weights[:, REST] = at_rest + come_down
    total = weights.sum(axis=1)
    weights = weights / np.maximum(total, 1e-300)[:, None]
    stays = at_rest / np.maximum(total, 1e-300)
    still = stays > 0.5
    seen_at_rest = np.where(still, beliefs.rest_seen + 1, 1.0)
    mean = beliefs.rest_place + (place - beliefs.rest_place) / seen_at_rest[:, None]
    # The usual chances of one with a known velocity, once it has one.
    first = ~known & ~still
    share = weights[:, ABOUT].sum(axis=1) * first
    weights[:, ABOUT] *= np.where(first, 0.4, 1.0)[:, None]
    weights[:, ON] += 0.4 * share
    weights[:, ALONG] += 0.2 * share
    after = Beliefs(
        place=np.array(place),
        rest_place=np.where(still[:, None], mean, place),
        rest_seen=seen_at_rest,
        step_s_before=np.array(after_s),
        velocity=(place - beliefs.place) / after_s[:, None],
        weights=weights,
        sources=np.array(beliefs.sources),
    )
    return after, highest + np.log(np.maximum(total, 1e-300)), stays
