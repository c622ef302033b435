"""How corrosion products move: pushed out of the pit, drifting, diffusing, settling, sticking."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from corroscope.synthesis.ejection import Product
from corroscope.synthesis.pits import Pit

NEAR_PX = 10.0
"""Distance from the pit at which a product's speed is given."""


@dataclass
class Swarm:
    """All products of a run and where they are now.

    Attributes
    ----------
    products
        In order of birth; a product's track is its place in this list, from 1.
    place_px
        ``(n, 2)``, rows and columns in the reference frame.
    speed_px_s
        ``(n, 2)``, velocity now, without diffusion.
    blur_px
        ``(n,)``, radius of the blur out of focus: the higher, the larger.
    settled
        ``(n,)`` bool, whether it touches the metal.
    stuck
        ``(n,)`` bool, whether it stays where it is for good.
    aggregate
        ``(n,)``, smallest track among those that it clings to, itself included.
    time_s
        Now, from the first frame.
    """

    products: Sequence[Product]
    place_px: NDArray[np.float64] = field(init=False)
    speed_px_s: NDArray[np.float64] = field(init=False)
    blur_px: NDArray[np.float64] = field(init=False)
    settled: NDArray[np.bool_] = field(init=False)
    stuck: NDArray[np.bool_] = field(init=False)
    aggregate: NDArray[np.int64] = field(init=False)
    time_s: float = -np.inf

    def __post_init__(self) -> None:
        number = len(self.products)
        self.place_px = np.array([(p.y_px, p.x_px) for p in self.products]).reshape(number, 2)
        self.speed_px_s = np.zeros((number, 2))
        self.blur_px = np.zeros(number)
        self.settled = np.zeros(number, bool)
        self.stuck = np.zeros(number, bool)
        self.aggregate = np.arange(1, number + 1)

    @property
    def born(self) -> NDArray[np.bool_]:
        """``(n,)`` bool, whether it has left its pit."""
        return np.array([p.born_s <= self.time_s for p in self.products], bool)


def move(
    swarm: Swarm,
    pits: Sequence[Pit],
    time_s: float,
    diffusion_px2_s: float,
    sticking: float,
    drift_px_s: tuple[float, float],
    rng: np.random.Generator,
) -> None:
    """Let a swarm move on until a later time.

    A flow out of a point falls off as 1/r, so that the squared distance from the mother
    pit grows evenly: this part of a step is exact, however long it is. A common drift
    and diffusion are added after it, so that long steps differ a little from short ones. A
    product rises, sinks, and sticks where it touches the metal or another one that
    sticks; some roll on.

    Parameters
    ----------
    swarm
        Changed in place.
    pits
        The pits of the run.
    time_s
        The later time, from the first frame.
    diffusion_px2_s
        Diffusion coefficient of what is afloat.
    sticking
        Share that stays where it touches the metal.
    drift_px_s
        Velocity of the common drift, along rows and columns.
    rng
        Source of all randomness.

    Examples
    --------
    >>> swarm = Swarm([])
    >>> move(swarm, [], 1.0, 4.0, 0.9, (0.0, 0.0), np.random.default_rng(0))
    >>> swarm.time_s
    1.0
    """
    before, swarm.time_s = swarm.time_s, time_s
    if not swarm.products:
        return
    births = np.array([p.born_s for p in swarm.products])
    going = swarm.born & ~swarm.stuck
    step_s = np.where(going, np.minimum(time_s - births, time_s - before), 0.0)
    settling = np.array([p.settling_s for p in swarm.products])
    # Pushed only while afloat, which may end within the step.
    age = time_s - births
    afloat_s = np.clip(np.minimum(step_s, settling - (age - step_s)), 0, None)
    landed = going & ~swarm.settled & (age >= settling)
    swarm.settled |= landed
    sticks = landed & (rng.random(len(landed)) < sticking)
    mouths = np.array([(pits[p.pit - 1].y_px, pits[p.pit - 1].x_px) for p in swarm.products])
    away = swarm.place_px - mouths
    distance = np.hypot(*away.T)
    # At the very centre any way is out; along x then.
    heading = np.where(distance[:, None] > 0, away / np.maximum(distance, 1e-9)[:, None], (0, 1))
    distance = np.maximum(distance, 0.5)
    push = np.array([p.speed_px_s for p in swarm.products]) * NEAR_PX
    distance = np.sqrt(distance**2 + 2 * push * afloat_s)
    moved = mouths + distance[:, None] * heading
    # What sticks is carried along until it lands; what rolls, all the time.
    carried_s = np.where(sticks, afloat_s, step_s)
    moved += np.array(drift_px_s) * carried_s[:, None]
    jumps = rng.normal(0, 1, swarm.place_px.shape)
    moved += np.sqrt(2 * diffusion_px2_s * afloat_s)[:, None] * jumps
    swarm.place_px = np.where(going[:, None], moved, swarm.place_px)
    swarm.stuck |= sticks
    swarm.blur_px = _height(age, settling) * np.array([p.defocus_px for p in swarm.products])
    sinking = going & ~sticks & (age > settling / 2) & (swarm.blur_px < 1)
    _aggregate(swarm, sinking | sticks)
    swarm.blur_px[swarm.stuck] = 0
    flying = swarm.born & ~swarm.settled & ~swarm.stuck
    flow = np.where(flying, push / distance, 0)[:, None] * heading
    swarm.speed_px_s = np.where(swarm.stuck[:, None], 0, flow + np.array(drift_px_s))


def _height(age_s: NDArray[np.float64], settling_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Height above the metal as a share of the largest: up quickly, down slowly."""
    part = age_s / settling_s
    rising = np.where(np.isinf(settling_s), age_s, 4 * part)
    height: NDArray[np.float64] = np.clip(np.minimum(rising, (1 - part) / 0.75), 0, 1)
    return height


def _aggregate(swarm: Swarm, low: NDArray[np.bool_]) -> None:
    """What comes down upon one that sticks, sticks to it."""
    fixed = np.flatnonzero(swarm.stuck & ~low)
    if not low.any() or not fixed.size:
        return
    tree = cKDTree(swarm.place_px[fixed])
    for one in np.flatnonzero(low).tolist():
        distance, nearest = tree.query(swarm.place_px[one])
        other = int(fixed[nearest])
        contact = swarm.products[one].radius_px + swarm.products[other].radius_px
        if distance <= contact + 1:
            swarm.stuck[one] = swarm.settled[one] = True
            both = np.isin(swarm.aggregate, swarm.aggregate[[one, other]])
            swarm.aggregate[both] = swarm.aggregate[both].min()
