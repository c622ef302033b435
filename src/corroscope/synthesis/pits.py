"""Corrosion pits: born in time and place, growing as a power of their age, dying early or not."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from corroscope.synthesis.settings import Pits, SynthSettings
from corroscope.synthesis.shapes import overlap

LACE_PX = 1.5
"""SD of the lacy cover's holes."""


@dataclass(frozen=True)
class Pit:
    """One pit.

    Attributes
    ----------
    number
        1, 2, … in order of birth.
    y_px, x_px
        Its centre in the reference frame.
    born_s, died_s
        When it begins to grow and when it stops, which may be after the run.
    rate_px
        Area that it would have at the age ``scale_s``, in square pixels.
    scale_s
        The age at which it would have that area: the duration of the run.
    exponent
        n in area ~ age^n.
    opening
        ``(side, side)``: pixels open in the order of these values.
    levels
        The same values, sorted.
    opacity
        Share of the light that it swallows.
    halo, tail_px
        Light missing beside it, and where the halo's middle lies from its own.
    """

    number: int
    y_px: float
    x_px: float
    born_s: float
    died_s: float
    rate_px: float
    scale_s: float
    exponent: float
    opening: NDArray[np.float32]
    levels: NDArray[np.float32]
    opacity: float
    halo: float
    tail_px: tuple[float, float]

    def area_px(self, time_s: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Open area through time, in square pixels.

        Parameters
        ----------
        time_s
            Times from the first frame.

        Returns
        -------
        ndarray of float64
            Of the same shape; 0 before birth, constant after death.
        """
        age = np.clip(np.minimum(time_s, self.died_s) - self.born_s, 0, None)
        return np.asarray(self.rate_px * (age / self.scale_s) ** self.exponent)

    def lives(self, time_s: float) -> bool:
        """Whether it grows at a time.

        Parameters
        ----------
        time_s
            Time from the first frame.

        Returns
        -------
        bool
            False before birth and after death.
        """
        return self.born_s <= time_s < self.died_s


def found_pits(
    shape: tuple[int, int], settings: SynthSettings, rng: np.random.Generator
) -> list[Pit]:
    """Let pits be born on a surface in the course of a run.

    Their number is Poisson, their births come ever more slowly, as sites run out. Some
    are born near an older pit. Metastable ones live shortly.

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
    list of Pit
        In order of birth.

    Examples
    --------
    >>> pits = found_pits((256, 256), SynthSettings(frames=10), np.random.default_rng(0))
    >>> float(pits[0].area_px(pits[0].born_s))
    0.0
    """
    chosen, duration = settings.pits, settings.duration_s
    number = max(chosen.fewest, rng.poisson(chosen.per_mpx * shape[0] * shape[1] / 1e6))
    # Exponentially slower, cut off at the end of the run.
    share = 1 - np.exp(-1 / chosen.nucleation)
    births = np.sort(-np.log(1 - share * rng.random(number)) * chosen.nucleation * duration)
    pits: list[Pit] = []
    for born in births:
        place = rng.uniform(0.03, 0.97, 2) * shape
        if pits and rng.random() < chosen.clustering:
            older = pits[int(rng.integers(len(pits)))]
            angle, distance = rng.uniform(0, 2 * np.pi), rng.gamma(4, 15)
            place = np.array([older.y_px, older.x_px])
            place += distance * np.array([np.sin(angle), np.cos(angle)])
        life = np.inf
        if rng.random() < chosen.metastable:
            life = rng.exponential(chosen.lifetime * duration)
        pits.append(_found(len(pits) + 1, place, float(born), life, chosen, duration, rng))
    return pits


def _found(
    number: int,
    place: NDArray[np.float64],
    born_s: float,
    life_s: float,
    chosen: Pits,
    duration_s: float,
    rng: np.random.Generator,
) -> Pit:
    rate = float(chosen.area_px * np.exp(rng.normal(0, chosen.area_spread)))
    age = min(life_s, max(duration_s - born_s, 0) * 1.5)
    largest = rate * (age / duration_s) ** chosen.exponent
    radius = max(1.5, np.sqrt(largest / np.pi))
    opening = _opening(radius, chosen.lace, rng)
    direction = rng.uniform(0, 2 * np.pi)
    tail = 0.9 * radius * np.array([np.sin(direction), np.cos(direction)])
    return Pit(
        number=number,
        y_px=float(place[0]),
        x_px=float(place[1]),
        born_s=born_s,
        died_s=born_s + life_s,
        rate_px=rate,
        scale_s=duration_s,
        exponent=chosen.exponent,
        opening=opening,
        levels=np.sort(opening, axis=None),
        opacity=float(rng.uniform(0.86, 0.93)),
        halo=chosen.halo * float(rng.uniform(0.3, 1.5)),
        tail_px=(float(tail[0]), float(tail[1])),
    )


def _opening(radius_px: float, lace: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Order in which pixels open: from the middle outwards, in lobes, with lace at the rim.

    Because the pit at any time is a level set of this one map, it grows without ever
    closing again, and its area can be met to the pixel. What opens ahead of the rim are
    satellites; what stays behind is the lacy cover.
    """
    reach = int(np.ceil(2.2 * radius_px)) + 6
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    lobes = rng.normal(0, 0.35 * radius_px, (int(rng.integers(2, 6)), 2))
    lobes[0] = 0
    distance = np.min([np.hypot(y - a, x - b) for a, b in lobes], axis=0)
    holes = cv2.GaussianBlur(rng.standard_normal(y.shape, np.float32), (0, 0), LACE_PX)
    holes /= max(float(holes.std()), 1e-6)
    # Lace at the rim, none in the middle nor far out.
    ring = np.exp(-0.5 * ((distance / radius_px - 0.95) / 0.35) ** 2)
    strength = lace * radius_px * rng.uniform(0.4, 1.6)
    return np.asarray(distance - strength * ring * np.maximum(holes, -0.8), np.float32)


def draw_pit(
    light: NDArray[np.float32], pit: Pit, time_s: float, shift_px: tuple[float, float]
) -> NDArray[np.bool_] | None:
    """Darken the metal where a pit is open, and round it.

    Parameters
    ----------
    light
        ``(height, width)``; changed in place.
    pit
        The pit.
    time_s
        Time from the first frame.
    shift_px
        Rows and columns from the reference frame to this picture.

    Returns
    -------
    ndarray of bool or None
        ``(height, width)``, true where it is open; None if it is not there yet or
        outside.

    Examples
    --------
    >>> settings = SynthSettings(frames=10)
    >>> pit = found_pits((256, 256), settings, np.random.default_rng(0))[0]
    >>> light = np.ones((256, 256), np.float32)
    >>> opened = draw_pit(light, pit, 10.0, (0, 0))
    >>> opened is not None and bool(light[opened].mean() < 0.5)
    True
    """
    area = float(pit.area_px(time_s))
    if area < 1:
        return None
    _shade(light, pit, area, time_s, shift_px)
    y, x = pit.y_px + shift_px[0], pit.x_px + shift_px[1]
    row, column, reach = round(y), round(x), pit.opening.shape[0] // 2
    move = np.array([[1, 0, x - column], [0, 1, y - row]], np.float64)
    size = pit.opening.shape[::-1]
    opening = cv2.warpAffine(pit.opening, move, size, borderMode=cv2.BORDER_REPLICATE)
    level = pit.levels[min(round(area), pit.levels.size - 1)]
    here, there = overlap(light.shape, row - reach, column - reach, opening.shape)
    depth = np.asarray(level - opening[there], np.float32)
    if depth.size == 0:
        return None
    light[here] *= 1 - np.float32(pit.opacity) * np.clip(depth + np.float32(0.5), 0, 1)
    opened = np.zeros(light.shape, bool)
    opened[here] = depth > 0
    return opened


def _shade(
    light: NDArray[np.float32], pit: Pit, area: float, time_s: float, shift_px: tuple[float, float]
) -> None:
    """The grey halo of what dissolves; it fades when the pit has died."""
    radius = np.sqrt(area / np.pi)
    fade = np.exp(-max(0.0, time_s - pit.died_s) / (0.1 * pit.scale_s))
    strength = pit.halo * fade * min(1.0, radius / 8)
    if strength < 0.003:
        return
    y = pit.y_px + shift_px[0] + pit.tail_px[0]
    x = pit.x_px + shift_px[1] + pit.tail_px[1]
    reach = int(8 * radius) + 1
    side = 2 * reach + 1
    here, _ = overlap(light.shape, round(y) - reach, round(x) - reach, (side, side))
    rows = np.arange(here[0].start, here[0].stop, dtype=np.float32)[:, None] - np.float32(y)
    columns = np.arange(here[1].start, here[1].stop, dtype=np.float32)[None] - np.float32(x)
    distance = np.sqrt(rows**2 + columns**2) / np.float32(radius)
    light[here] *= 1 - np.float32(strength) * np.exp(-0.5 * (distance / 2.2) ** 1.5)
