"""From reflected light to grey levels: optics, lamp, noise, quantisation; drift and clock."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from corroscope.synthesis.settings import Camera, SynthSettings


def expose(
    light: NDArray[np.float32],
    lamp: NDArray[np.float32],
    gain: float,
    settings: Camera,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Take a picture.

    Parameters
    ----------
    light
        ``(height, width)``, reflectance, 1 for bright metal.
    lamp
        ``(height, width)``, illumination, 1 where it is brightest.
    gain
        Of this frame.
    settings
        Point spread, noise, JPEG.
    rng
        Source of the noise.

    Returns
    -------
    ndarray of uint8
        ``(height, width)``, grey levels.

    Examples
    --------
    >>> flat = np.ones((64, 64), np.float32)
    >>> picture = expose(flat, flat, 0.5, Camera(grey=200), np.random.default_rng(0))
    >>> round(float(picture.mean()))
    100
    """
    grey = blur(light, settings.point_spread_px) * lamp * np.float32(settings.grey * gain)
    read = settings.read_noise_grey**2
    shot = (settings.noise_grey**2 - read) / settings.grey
    sigma = np.sqrt(read + shot * np.maximum(grey, 0))
    grey += rng.standard_normal(light.shape, np.float32) * sigma
    frame = np.asarray(np.clip(np.rint(grey), 0, 255), np.uint8)
    if settings.jpeg_quality > 0:
        flags = [cv2.IMWRITE_JPEG_QUALITY, settings.jpeg_quality]
        coded = cv2.imencode(".jpg", frame, flags)[1]
        frame = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.uint8)
    return frame


def blur(light: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    """Spread each point, mirrored at the border.

    Parameters
    ----------
    light
        ``(height, width)``.
    sigma_px
        SD of the point spread, in pixels.

    Returns
    -------
    ndarray of float32
        ``(height, width)``; a new array.

    Examples
    --------
    >>> point = np.zeros((9, 9), np.float32)
    >>> point[4, 4] = 1
    >>> round(float(blur(point, 1.0)[4, 4]), 2)
    0.15
    """
    if sigma_px == 0:
        return light.copy()
    # The tail is wider than a Gaussian's: some light always goes astray.
    tail = cv2.GaussianBlur(light, (0, 0), 3 * sigma_px)
    return np.asarray(0.94 * cv2.GaussianBlur(light, (0, 0), sigma_px) + 0.06 * tail, np.float32)


def make_lamp(
    shape: tuple[int, int], unevenness: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Illumination: brightest somewhere near the middle, darker towards the corners.

    Parameters
    ----------
    shape
        Height and width in pixels.
    unevenness
        Share of the light missing in the darkest corner.
    rng
        Source of all randomness.

    Returns
    -------
    ndarray of float32
        ``(height, width)``, at most 1.

    Examples
    --------
    >>> lamp = make_lamp((64, 64), 0.1, np.random.default_rng(0))
    >>> round(float(lamp.min()), 2), round(float(lamp.max()), 2)
    (0.9, 1.0)
    """
    middle = rng.normal(0, 0.3, 2)
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None] - np.float32(middle[0])
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None] - np.float32(middle[1])
    loss = y**2 + x**2
    loss -= loss.min()
    return np.asarray(1 - np.float32(unevenness) * loss / loss.max(), np.float32)


class Takes(NamedTuple):
    """When and how each frame is taken.

    Attributes
    ----------
    time_s
        ``(frames,)``, from the first frame; rises.
    drift_px
        ``(frames, 2)``, rows and columns by which the picture has moved.
    gain
        ``(frames,)``, 1 at the start.
    kept
        ``(frames,)`` bool, false for a frame that was lost.
    """

    time_s: NDArray[np.float64]
    drift_px: NDArray[np.float64]
    gain: NDArray[np.float64]
    kept: NDArray[np.bool_]


def plan_takes(settings: SynthSettings, rng: np.random.Generator) -> Takes:
    """Plan clock, stage drift, gain and losses of a run.

    The stage creeps in one direction and trembles a little; the gain falls and rises
    slowly on its way; the clock jitters but never runs backwards, in whole milliseconds.

    Parameters
    ----------
    settings
        Number of frames, interval and camera.
    rng
        Source of all randomness.

    Returns
    -------
    Takes
        One row for each frame; the first is kept, without drift and of gain 1.

    Examples
    --------
    >>> takes = plan_takes(SynthSettings(frames=4), np.random.default_rng(0))
    >>> float(takes.time_s[0]), takes.drift_px[0].tolist(), float(takes.gain[0])
    (0.0, [0.0, 0.0], 1.0)
    """
    camera, frames = settings.camera, settings.frames
    part = np.linspace(0, 1, frames) if frames > 1 else np.zeros(1)
    jitter = np.clip(rng.normal(0, camera.clock_jitter, frames), -0.45, 0.45)
    time_s = (np.arange(frames) + jitter - jitter[0]) * settings.interval_s
    # Whole milliseconds, and at least one between two frames.
    clock_ms = np.rint(time_s * 1000).astype(np.int64)
    clock_ms = np.maximum.accumulate(clock_ms - np.arange(frames)) + np.arange(frames)
    angle = rng.uniform(0, 2 * np.pi)
    creep = part ** rng.uniform(0.6, 1.4)
    sway = rng.normal(0, 0.06) * np.sin(np.pi * part)
    along = camera.drift_px * (creep + sway)
    across = camera.drift_px * rng.normal(0, 0.1) * np.sin(np.pi * part)
    drift = np.column_stack(
        [
            along * np.sin(angle) + across * np.cos(angle),
            along * np.cos(angle) - across * np.sin(angle),
        ]
    )
    drift += min(0.05, 0.02 * camera.drift_px) * rng.normal(0, 1, (frames, 2))
    drift -= drift[0]
    depth = 1 - camera.gain_end
    wave = np.sin(2 * np.pi * part * rng.uniform(0.5, 2)) * np.sin(np.pi * part)
    gain = 1 - depth * part + 0.1 * depth * wave
    kept = rng.random(frames) >= camera.dropped
    kept[0] = True
    return Takes(clock_ms / 1000, drift, gain, kept)
