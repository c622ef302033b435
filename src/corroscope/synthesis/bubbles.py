"""Gas bubbles: rings that grow, detach and are gone. They are no corrosion products."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from corroscope.synthesis.settings import SynthSettings
from corroscope.synthesis.shapes import overlap


class Bubble(NamedTuple):
    """One bubble.

    Attributes
    ----------
    y_px, x_px
        Its centre in the reference frame.
    born_s, detached_s
        When it begins to grow, and when it is gone.
    radius_px
        Its radius when it detaches.
    """

    y_px: float
    x_px: float
    born_s: float
    detached_s: float
    radius_px: float


def make_bubbles(
    shape: tuple[int, int], settings: SynthSettings, rng: np.random.Generator
) -> list[Bubble]:
    """Let bubbles form anywhere on a surface in the course of a run.

    Parameters
    ----------
    shape
        Height and width of the surface, in pixels.
    settings
        Of the run.
    rng
        Source of all randomness.

    Returns
    -------
    list of Bubble
        In no order.

    Examples
    --------
    >>> settings = SynthSettings(bubbles={"per_mpx": 100})
    >>> bubbles = make_bubbles((256, 256), settings, np.random.default_rng(0))
    >>> all(bubble.born_s < bubble.detached_s for bubble in bubbles)
    True
    """
    chosen, duration = settings.bubbles, settings.duration_s
    bubbles = []
    for _ in range(rng.poisson(chosen.per_mpx * shape[0] * shape[1] / 1e6)):
        born = float(rng.uniform(-0.3, 1)) * duration
        life = float(rng.exponential(chosen.lifetime * duration)) + settings.interval_s
        y, x = rng.uniform(0, 1, 2) * shape
        radius = float(chosen.radius_px * np.exp(rng.normal(0, 0.35)))
        bubbles.append(Bubble(float(y), float(x), born, born + life, radius))
    return bubbles


def draw_bubbles(
    light: NDArray[np.float32],
    bubbles: Sequence[Bubble],
    time_s: float,
    shift_px: tuple[float, float],
) -> None:
    """Draw the dark rings of all bubbles there are at a time.

    The radius grows as the cube root of age: gas comes evenly.

    Parameters
    ----------
    light
        ``(height, width)``; changed in place.
    bubbles
        All bubbles of the run.
    time_s
        Time from the first frame.
    shift_px
        Rows and columns from the reference frame to this picture.

    Examples
    --------
    >>> light = np.ones((32, 32), np.float32)
    >>> draw_bubbles(light, [Bubble(16, 16, 0, 9, 8)], 8.9, (0, 0))
    >>> bool(light[16, 24] < 0.6), bool(light[16, 16] > 0.9)
    (True, True)
    """
    for bubble in bubbles:
        if not bubble.born_s <= time_s < bubble.detached_s:
            continue
        part = (time_s - bubble.born_s) / (bubble.detached_s - bubble.born_s)
        radius = bubble.radius_px * part ** (1 / 3)
        y, x = bubble.y_px + shift_px[0], bubble.x_px + shift_px[1]
        reach = int(radius) + 6
        side = 2 * reach + 1
        here, _ = overlap(light.shape, round(y) - reach, round(x) - reach, (side, side))
        rows = np.arange(here[0].start, here[0].stop, dtype=np.float32)[:, None] - np.float32(y)
        columns = np.arange(here[1].start, here[1].stop, dtype=np.float32)[None] - np.float32(x)
        distance = np.sqrt(rows**2 + columns**2)
        ring = np.exp(-0.5 * ((distance - np.float32(radius)) / 0.9) ** 2)
        inside = np.clip(np.float32(radius) - distance, 0, 1)
        light[here] *= 1 - np.float32(0.75) * ring - np.float32(0.06) * inside
