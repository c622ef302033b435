"""Polished metal before corrosion begins: what is dark here is no corrosion product."""

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from corroscope.synthesis.settings import Surface
from corroscope.synthesis.shapes import draw_shadow, grain, rod

STRIPE_LENGTHS_PX = (12.0, 45.0, 160.0)
"""Lengths over which the fine polish keeps its profile."""

STREAKS = 0.4
"""Share of specks that are drawn out along the polish."""


def draw_surface(
    shape: tuple[int, int], settings: Surface, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw the light that a polished surface reflects.

    Parameters
    ----------
    shape
        Height and width in pixels.
    settings
        Densities and contrasts.
    rng
        Source of all randomness.

    Returns
    -------
    ndarray of float32
        ``(height, width)``, reflectance about 1, before any optics.

    Examples
    --------
    >>> metal = draw_surface((96, 128), Surface(), np.random.default_rng(0))
    >>> metal.shape, 0.9 < float(np.median(metal)) < 1.1
    ((96, 128), True)
    """
    light = 1 + _texture(shape, settings, rng)
    _scratch(light, settings, rng)
    _stain(light, settings, rng)
    return np.maximum(light, np.float32(0.02))


def _texture(
    shape: tuple[int, int], settings: Surface, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Grain and fine polish: Gaussian fields with the spectra of real surface.

    The grain falls off as a power of the frequency in all directions. The polish lies
    in a wedge across its direction, narrower the longer it keeps its profile, and is
    deeper in some zones than in others.
    """
    padded = tuple(scipy.fft.next_fast_len(n, real=True) for n in shape)
    fy = scipy.fft.fftfreq(padded[0]).astype(np.float32)[:, None]
    fx = scipy.fft.rfftfreq(padded[1]).astype(np.float32)[None]
    frequency = np.sqrt(fy**2 + fx**2 + np.float32(0.01**2))
    angle = np.radians(settings.scratch_angle_deg)
    along, across = fx * np.cos(angle) + fy * np.sin(angle), fy * np.cos(angle) - fx * np.sin(angle)

    def field(amplitude: NDArray[np.float32]) -> NDArray[np.float32]:
        noise = scipy.fft.rfft2(rng.standard_normal(padded, np.float32), workers=-1)
        amplitude[0, 0] = 0
        made = scipy.fft.irfft2(noise * amplitude, s=padded, workers=-1)[: shape[0], : shape[1]]
        return np.asarray(made / max(float(made.std()), 1e-9), np.float32)

    texture = np.float32(settings.grain) * field(frequency**-0.68)
    texture += np.float32(settings.haze) * field(
        np.exp(-0.5 * ((across / 0.03) ** 2 + (along / 0.015) ** 2))
    )
    for length in STRIPE_LENGTHS_PX:
        wedge = np.exp(-0.5 * (2 * np.pi * along * length / 2) ** 2)
        profile = (np.abs(across) + np.float32(0.02)) ** 0.05
        zones = np.exp(0.25 * field(np.exp(-0.5 * (frequency * 60) ** 2)))
        share = settings.stripes / np.sqrt(len(STRIPE_LENGTHS_PX))
        texture += np.float32(share) * zones * field(wedge * profile)
    return texture


def _scratch(light: NDArray[np.float32], settings: Surface, rng: np.random.Generator) -> None:
    """Single scratches: bundles of nearly parallel lines, each with its own ups and downs."""
    height, width = light.shape
    reach = 300  # those that begin outside and run in
    area_mpx = (height + 2 * reach) * (width + 2 * reach) / 1e6
    depth_map = np.zeros_like(light)
    for _ in range(rng.poisson(settings.scratches_per_mpx * area_mpx)):
        angle = np.radians(settings.scratch_angle_deg + rng.normal(0, settings.scratch_spread_deg))
        # One in twenty crosses the polish.
        if rng.random() < 0.05:
            angle += rng.uniform(-1, 1)
        length = float(np.exp(rng.normal(np.log(260), 0.9)))
        middle = np.array([rng.uniform(-reach, width + reach), rng.uniform(-reach, height + reach)])
        depth = float(np.exp(rng.normal(np.log(0.045), 0.55)))
        lines = 1 + rng.poisson(0.7)
        for _ in range(lines):
            _line(depth_map, middle + rng.normal(0, 2.5, 2), angle, length, depth, rng)
    light -= np.minimum(depth_map, np.float32(0.5))


def _line(
    depth_map: NDArray[np.float32],
    middle: NDArray[np.float64],
    angle: float,
    length: float,
    depth: float,
    rng: np.random.Generator,
) -> None:
    """One line, drawn in pieces of 6 px whose depth wanders and fades at both ends."""
    pieces = max(2, int(length / 6))
    position = np.linspace(-0.5, 0.5, pieces + 1)
    bend = rng.normal(0, 0.01) * length
    direction = np.array([np.cos(angle), np.sin(angle)])
    normal = np.array([-direction[1], direction[0]])
    points = middle + position[:, None] * length * direction
    points = points + (4 * position[:, None] ** 2 - 1) * bend * normal
    inside = (points > -8).all(axis=1) & (points < np.array(depth_map.shape[::-1]) + 8).all(axis=1)
    if not inside.any():
        return
    wander = np.exp(cv2.GaussianBlur(rng.normal(0, 1.3, pieces), (0, 0), 1.2).ravel())
    fade = np.clip(1 - (2 * np.abs(position[:-1])) ** 3, 0, 1)
    fixed = np.rint(points * 16).astype(int)
    for piece in range(pieces):
        if not (inside[piece] or inside[piece + 1]):
            continue
        # cv2 draws anti-aliased lines into 8 bits only; a little window is enough.
        a, b = fixed[piece], fixed[piece + 1]
        low = np.minimum(a, b) // 16 - 3
        high = np.maximum(a, b) // 16 + 4
        low = np.maximum(low, 0)
        high = np.minimum(high, depth_map.shape[::-1])
        if (high <= low).any():
            continue
        window = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        start, stop = (tuple(int(v) for v in p - low * 16) for p in (a, b))
        cv2.line(window, start, stop, 255, 1, cv2.LINE_AA, 4)
        value = window.astype(np.float32) * np.float32(depth * wander[piece] * fade[piece] / 255)
        place = depth_map[low[1] : high[1], low[0] : high[0]]
        np.maximum(place, value, out=place)


def _stain(light: NDArray[np.float32], settings: Surface, rng: np.random.Generator) -> None:
    """Specks, smudges and inclusions."""
    height, width = light.shape
    area_mpx = height * width / 1e6

    polish = np.radians(settings.scratch_angle_deg)

    def anywhere() -> tuple[float, float]:
        return float(rng.uniform(-4, height + 4)), float(rng.uniform(-4, width + 4))

    for _ in range(rng.poisson(settings.specks_per_mpx * area_mpx)):
        place = anywhere()
        # Most specks are torn out along the polish, others are round; some come in flocks.
        streak = rng.random() < STREAKS
        for _ in range(1 + (rng.poisson(3) if rng.random() < 0.08 else 0)):
            if streak:
                radius = float(np.clip(np.exp(rng.normal(np.log(0.95), 0.4)), 0.3, 3))
                shape = rod(radius, rng, polish + rng.normal(0, 0.2), longest=16)
            else:
                radius = float(np.clip(np.exp(rng.normal(np.log(0.65), 0.36)), 0.3, 2))
                shape = grain(radius, rng)
            draw_shadow(light, place, shape, float(rng.uniform(0.15, 0.75)), 0)
            place = (place[0] + rng.normal(0, 6), place[1] + rng.normal(0, 6))
    for _ in range(rng.poisson(settings.smudges_per_mpx * area_mpx)):
        place = anywhere()
        for _ in range(1 + rng.poisson(0.7)):
            radius = float(np.exp(rng.normal(np.log(1.8), 0.4)))
            opacity, blur_px = float(rng.uniform(0.05, 0.35)), float(rng.uniform(1, 6))
            draw_shadow(light, place, grain(radius, rng), opacity, blur_px)
            place = (place[0] + rng.normal(0, 9), place[1] + rng.normal(0, 9))
    for _ in range(rng.poisson(settings.inclusions_per_mpx * area_mpx)):
        place, radius = anywhere(), float(np.exp(rng.normal(np.log(2.1), 0.3)))
        opacity = float(rng.uniform(0.15, 0.5))
        draw_shadow(light, place, grain(radius, rng, roughness=0.05), opacity, 0)
        if rng.random() < 0.5:  # a bright middle
            middle = grain(0.55 * radius, rng, roughness=0.05)
            draw_shadow(light, place, middle, -opacity / (1 - opacity) * 0.6, 0)
