"""One training crop from one annotated patch: random place, pose and light.

Everything happens at native resolution: a particle 5 px wide must stay 5 px wide.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from corroscope.learning.settings import Augmentation


def random_crop(
    contrast: NDArray[np.float32],
    mask: NDArray[np.bool_],
    crop_px: int,
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cut a random crop, turned, mirrored, scaled, and with its light changed.

    Parameters
    ----------
    contrast
        ``(height, width)``, relative contrast of the patch.
    mask
        ``(height, width)`` bool.
    crop_px
        Side of the crop, in pixels; may exceed the patch, which is then mirrored.
    augmentation
        Ranges of the changes.
    rng
        Source of all randomness.

    Returns
    -------
    crop : ndarray of float32
        ``(crop_px, crop_px)``.
    target : ndarray of float32
        ``(crop_px, crop_px)``, 1 in particles, 0 elsewhere.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> contrast, mask = np.zeros((40, 40), np.float32), np.eye(40, dtype=bool)
    >>> crop, target = random_crop(contrast, mask, 32, Augmentation(), rng)
    >>> crop.shape, target.dtype, float(target.max())
    ((32, 32), dtype('float32'), 1.0)
    """
    centre = _centre(mask, crop_px, augmentation.on_particle, rng)
    matrix, resampled = _pose(centre, crop_px, augmentation, rng)
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_CUBIC if resampled else cv2.INTER_NEAREST)
    border = cv2.BORDER_REFLECT_101
    size = (crop_px, crop_px)
    crop = cv2.warpAffine(contrast, matrix, size, flags=flags, borderMode=border)
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_LINEAR if resampled else cv2.INTER_NEAREST)
    target = cv2.warpAffine(mask.astype(np.float32), matrix, size, flags=flags, borderMode=border)
    crop = _light(np.asarray(crop, np.float32), augmentation, rng)
    return crop, (np.asarray(target) >= 0.5).astype(np.float32)


def _centre(
    mask: NDArray[np.bool_], crop_px: int, on_particle: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Row and column about which to cut: often near a particle, for they are rare."""
    if mask.any() and rng.random() < on_particle:
        rows, cols = np.nonzero(mask)
        pick = rng.integers(rows.size)
        reach = crop_px / 3
        row, col = rows[pick] + rng.uniform(-reach, reach), cols[pick] + rng.uniform(-reach, reach)
    else:
        row, col = rng.uniform(0, mask.shape[0]), rng.uniform(0, mask.shape[1])
    # Keep the crop inside the patch where it fits, rather than in mirrored surface.
    inside = []
    for position, length in zip((row, col), mask.shape, strict=True):
        half = min(crop_px, length) / 2
        inside.append(float(np.clip(position, half, length - half)))
    return inside[0], inside[1]


def _pose(
    centre: tuple[float, float], crop_px: int, augmentation: Augmentation, rng: np.random.Generator
) -> tuple[NDArray[np.float64], bool]:
    """Affine map from crop to patch coordinates, and whether it falls between pixels."""
    # Quarter turns and mirror images are exact; other poses interpolate, which
    # smooths the camera's noise, so only some crops get one.
    angle = rng.integers(4) * np.pi / 2
    scale = 1.0
    resampled = bool(rng.random() < augmentation.resampled)
    if resampled:
        angle += rng.uniform(-np.pi / 4, np.pi / 4)
        scale = float(np.exp(rng.uniform(-1, 1) * np.log(augmentation.scale)))
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    linear = np.array([[cosine, -sine], [sine, cosine]])
    if not resampled:
        linear = np.rint(linear)
    if rng.random() < 0.5:
        linear[:, 0] *= -1
    middle = (crop_px - 1) / 2
    offset = np.array([centre[1], centre[0]]) - 0.5 - linear @ np.array([middle, middle])
    if not resampled:
        offset = np.rint(offset)
    return np.column_stack([linear, offset]), resampled


def _light(
    crop: NDArray[np.float32], augmentation: Augmentation, rng: np.random.Generator
) -> NDArray[np.float32]:
    if rng.random() < augmentation.blurred:
        sigma = rng.uniform(0.3, augmentation.blur_sigma_px)
        crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma), np.float32)
    crop = crop * np.float32(np.exp(rng.uniform(-1, 1) * np.log(augmentation.contrast)))
    crop = crop + np.float32(rng.normal(0, augmentation.brightness))
    if rng.random() < augmentation.noisy:
        sigma = rng.uniform(0, augmentation.noise_sigma)
        crop = crop + rng.normal(0, sigma, crop.shape).astype(np.float32)
    return np.maximum(crop, np.float32(-1.0))
