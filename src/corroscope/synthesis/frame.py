"""One synthetic frame of a corroding surface, with the mask of its particles."""

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

SPECK_AREA_PX: Final = (10.0, 20.0, 103.0)
"""5, 50 and 95 % quantiles of the area of annotated particles in real frames."""

CONTRAST: Final = (0.12, 0.35, 0.65)
"""5, 50 and 95 % quantiles of how much light a particle takes away, before any blur."""

MARGIN_PX: Final = 0.9
"""Annotators draw a particle's outline about so far outside its half contrast."""


class SyntheticFrame(NamedTuple):
    """A frame and its truth.

    Attributes
    ----------
    frame
        ``(height, width)`` uint8.
    mask
        ``(height, width)`` bool, true in particles.
    """

    frame: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def make_frame(
    shape: tuple[int, int], rng: np.random.Generator, *, particles: int, pits: int = 1
) -> SyntheticFrame:
    """Draw polished metal with scratches, static specks, pits and corrosion products.

    Parameters
    ----------
    shape
        Height and width in pixels, at least 128 each.
    rng
        Source of all randomness.
    particles
        Number of corrosion products, scattered about the pits.
    pits
        Number of pits.

    Returns
    -------
    SyntheticFrame
        The frame and the mask of its corrosion products. Pits and static specks are
        dark as well and are not in the mask.

    Raises
    ------
    ValueError
        If the frame is too small or a number is negative.

    Examples
    --------
    >>> made = make_frame((128, 160), np.random.default_rng(0), particles=5)
    >>> made.frame.shape, bool(made.mask.any())
    ((128, 160), True)
    """
    if min(shape) < 128:
        raise ValueError(f"shape {shape}: each side must be 128 px or more")
    if particles < 0 or pits < 0:
        raise ValueError(f"particles {particles} and pits {pits} must be 0 or more")
    light = _scratched_metal(shape, rng)
    area_mpx = shape[0] * shape[1] / 1e6
    # Specks that were always there are smaller and fainter than most products.
    for _ in range(rng.poisson(400 * area_mpx)):
        place = (rng.uniform(0, shape[0]), rng.uniform(0, shape[1]))
        area = float(np.exp(rng.normal(np.log(9), 0.5)))
        _darken(light, place, area, float(rng.uniform(0.05, 0.2)), 1.4, 0.7, rng)
    mouths = [
        (rng.uniform(0.2, 0.8) * shape[0], rng.uniform(0.2, 0.8) * shape[1]) for _ in range(pits)
    ]
    mask = np.zeros(shape, bool)
    for _ in range(particles):
        place = _ejected_from(mouths, shape, rng)
        area = _quantile(SPECK_AREA_PX, rng)
        mask |= _darken(
            light,
            place,
            area,
            _quantile(CONTRAST, rng) * (0.4 if area > 90 else 1.0),
            float(rng.uniform(1, 1.8)),
            float(0.6 + 0.1 * np.sqrt(area / 20)),
            rng,
        )
    for mouth in mouths:
        mask &= ~_dig(light, mouth, float(rng.uniform(12, 28)), rng)
    return SyntheticFrame(_photograph(light, rng), mask)


def _quantile(quantiles: tuple[float, float, float], rng: np.random.Generator) -> float:
    """Log-normal above and below its median, to fit both outer quantiles."""
    low, median, high = np.log(quantiles)
    deviate = float(np.clip(rng.normal(), -2.2, 2.2))
    width = (high - median) if deviate > 0 else (median - low)
    return float(np.exp(median + deviate / 1.645 * width))


def _scratched_metal(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    light = np.ones(shape, np.float32)
    # Fine polish: noise smeared along one direction.
    slope = float(rng.uniform(25, 40))
    for length, depth in ((9, 0.008), (31, 0.008), (91, 0.006)):
        kernel = np.zeros((length, length), np.float32)
        middle = (length - 1) / 2
        along = np.array([np.cos(np.radians(slope)), np.sin(np.radians(slope))]) * middle
        ends = [tuple(np.rint(middle + s * along).astype(int).tolist()) for s in (-1, 1)]
        cv2.line(kernel, ends[0], ends[1], 1.0)
        smeared = cv2.filter2D(rng.normal(0, 1, shape).astype(np.float32), -1, kernel)
        light += np.float32(depth) * smeared / smeared.std()
    for _ in range(rng.poisson(25 * shape[0] * shape[1] / 1e6) + 2):
        angle = np.radians(slope + rng.normal(0, 4))
        start = np.array([rng.uniform(0, shape[1]), rng.uniform(0, shape[0])])
        end = start + rng.uniform(60, 1500) * np.array([np.cos(angle), np.sin(angle)])
        line = np.zeros(shape, np.float32)
        cv2.line(line, start.astype(int).tolist(), end.astype(int).tolist(), 1.0, 1, cv2.LINE_AA)
        light -= np.float32(rng.uniform(0.03, 0.14)) * cv2.GaussianBlur(line, (0, 0), 0.8)
    return light


def _ejected_from(
    mouths: list[tuple[float, float]], shape: tuple[int, int], rng: np.random.Generator
) -> tuple[float, float]:
    """Somewhere about a pit, more often near; anywhere if there is no pit."""
    if mouths and rng.random() < 0.7:
        mouth = mouths[rng.integers(len(mouths))]
        distance, angle = rng.gamma(2.0, 0.12 * min(shape)), rng.uniform(0, 2 * np.pi)
        place = (mouth[0] + distance * np.sin(angle), mouth[1] + distance * np.cos(angle))
        if 0 <= place[0] < shape[0] and 0 <= place[1] < shape[1]:
            return place
    return rng.uniform(0, shape[0]), rng.uniform(0, shape[1])


def _darken(
    light: NDArray[np.float32],
    place: tuple[float, float],
    area_px: float,
    contrast: float,
    elongation: float,
    blur_px: float,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Take light away in an irregular ellipse with a soft edge; tell where."""
    radius = max(0.7, np.sqrt(area_px / np.pi) - MARGIN_PX)
    angle, waves = rng.uniform(0, np.pi), rng.normal(0, 0.12, 3)
    reach = int(np.ceil(radius * elongation * 1.6 + 4 * blur_px)) + 1
    row, column = int(place[0]), int(place[1])
    rows = slice(max(0, row - reach), min(light.shape[0], row + reach + 1))
    columns = slice(max(0, column - reach), min(light.shape[1], column + reach + 1))
    y, x = np.mgrid[rows, columns].astype(np.float32)
    y, x = y - place[0], x - place[1]
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    stretch = np.sqrt(elongation)
    polar = np.arctan2(across, along)
    edge = radius * (1 + sum(w * np.sin((k + 2) * polar + k) for k, w in enumerate(waves)))
    distance = edge - np.hypot(along / stretch, across * stretch)
    soft = 1 / (1 + np.exp(-2.5 * distance / blur_px))
    light[rows, columns] *= (1 - contrast * soft).astype(np.float32)
    where = np.zeros(light.shape, bool)
    where[rows, columns] = distance >= -MARGIN_PX
    return where


def _dig(
    light: NDArray[np.float32], mouth: tuple[float, float], radius: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """A black pit of several lobes, a lacy cover over it, and a faint halo round it."""
    y, x = np.mgrid[: light.shape[0], : light.shape[1]].astype(np.float32)
    distance = np.hypot(y - mouth[0], x - mouth[1])
    light *= (1 - 0.10 * np.exp(-0.5 * (distance / (3 * radius)) ** 2)).astype(np.float32)
    pit = np.zeros(light.shape, bool)
    for _ in range(6):
        shift = rng.normal(0, 0.45 * radius, 2)
        pit |= np.hypot(y - mouth[0] - shift[0], x - mouth[1] - shift[1]) < radius * 0.6
    lace = cv2.GaussianBlur(rng.normal(0, 1, light.shape).astype(np.float32), (0, 0), 2.5)
    open_metal = pit & (lace < 1.2 * lace.std())
    shade = cv2.GaussianBlur(open_metal.astype(np.float32), (0, 0), 0.9)
    light *= 1 - np.float32(0.88) * shade
    return pit


def _photograph(light: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Point spread, uneven lamp, photon and read noise, 8 bits."""
    height, width = light.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    lamp = 1 - 0.06 * (x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1)) - 0.05 * (x**2 + y**2)
    grey = 205 * lamp * cv2.GaussianBlur(light, (0, 0), 0.7)
    noise = rng.normal(0, 1, light.shape) * np.sqrt(0.3 + np.maximum(grey, 0) / 160)
    return np.asarray(np.clip(np.rint(grey + noise), 0, 255), np.uint8)
