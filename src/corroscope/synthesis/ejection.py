"""Corrosion products as they leave their pits: when, where, what shape."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from corroscope.synthesis.pits import Pit
from corroscope.synthesis.settings import GIANT, ROD, Particles, SynthSettings
from corroscope.synthesis.shapes import Outline, clump, grain, rod


class Product(NamedTuple):
    """A corrosion product at its birth.

    Attributes
    ----------
    pit
        Number of the mother pit.
    born_s
        When it left the pit, from the first frame.
    y_px, x_px
        Where, in the reference frame: at the rim of the pit's mouth.
    outline
        Its shape.
    radius_px
        Radius of the disc of the same area.
    opacity
        Share of the light that it takes away.
    speed_px_s
        Speed at 10 px from the pit's centre.
    settling_s
        Age at which it has settled; infinite for one that never does.
    defocus_px
        Largest radius of its blur.
    """

    pit: int
    born_s: float
    y_px: float
    x_px: float
    outline: Outline
    radius_px: float
    opacity: float
    speed_px_s: float
    settling_s: float
    defocus_px: float


def eject(
    pits: Sequence[Pit], shape: tuple[int, int], settings: SynthSettings, rng: np.random.Generator
) -> list[Product]:
    """Let pits eject corrosion products in bursts while they live.

    The larger a pit grows, the more bursts it has. Areas are log-normal.

    Parameters
    ----------
    pits
        The pits of the run.
    shape
        Height and width of the surface, in pixels.
    settings
        Of the run.
    rng
        Source of all randomness.

    Returns
    -------
    list of Product
        In order of birth.

    Examples
    --------
    >>> from corroscope.synthesis.pits import found_pits
    >>> settings, rng = SynthSettings(frames=10), np.random.default_rng(0)
    >>> pits = found_pits((256, 256), settings, rng)
    >>> products = eject(pits, (256, 256), settings, rng)
    >>> all(pits[p.pit - 1].born_s <= p.born_s for p in products)
    True
    """
    chosen, end = settings.particles, settings.duration_s
    number = rng.poisson(chosen.per_mpx * shape[0] * shape[1] / 1e6)
    lives = [max(0.0, min(pit.died_s, end) - pit.born_s) for pit in pits]
    growth = np.array([np.sqrt(pit.area_px(end)) for pit in pits]) * lives
    if not growth.sum() > 0:
        return []
    products: list[Product] = []
    while len(products) < number:
        index = int(rng.choice(len(pits), p=growth / growth.sum()))
        pit, at = pits[index], pits[index].born_s + rng.uniform(0, lives[index])
        heading = rng.uniform(0, 2 * np.pi)
        size = min(int(rng.geometric(1 / chosen.burst)), number - len(products))
        # A burst goes one way, more or less, and takes a moment.
        for angle in heading + rng.normal(0, 0.6, size):
            born = min(at + rng.exponential(0.3), pit.born_s + lives[index])
            products.append(_eject(pit, float(born), float(angle), chosen, rng))
    return sorted(products, key=lambda product: product.born_s)


def _eject(
    pit: Pit, born_s: float, angle: float, chosen: Particles, rng: np.random.Generator
) -> Product:
    deviate = float(np.clip(rng.normal(), -GIANT, GIANT))
    radius = chosen.radius_px * float(np.exp(chosen.radius_spread * deviate))
    kind = rng.random()
    # Needles and clumps are made of more than one grain.
    if kind < chosen.rods:
        radius *= ROD
        outline = rod(radius, rng)
    elif kind < chosen.rods + chosen.clumps:
        radius *= 1.35
        outline = clump(radius, rng)
    else:
        outline = grain(radius, rng)
    mouth = np.sqrt(float(pit.area_px(born_s)) / np.pi)
    settles = rng.random() >= chosen.suspended
    low, high = chosen.opacity
    return Product(
        pit=pit.number,
        born_s=born_s,
        y_px=float(pit.y_px + mouth * np.sin(angle)),
        x_px=float(pit.x_px + mouth * np.cos(angle)),
        outline=outline,
        radius_px=radius,
        # Mostly dark: products are thick.
        opacity=low + (high - low) * float(rng.beta(2.2, 1.2)),
        speed_px_s=chosen.speed_px_s * float(np.exp(rng.normal(0, 0.6))),
        settling_s=float(rng.exponential(chosen.settling_s)) if settles else np.inf,
        defocus_px=float(rng.gamma(2.5, chosen.defocus_px / 2.5)),
    )
