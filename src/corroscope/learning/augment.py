"""One training crop from one annotated patch: random place, pose and light.

Everything happens at native resolution: a particle 5 px wide must stay 5 px wide.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from corroscope.learning.settings import Augmentation


class Pose(NamedTuple):
    """Where a crop lies in its patch, and how it is turned.

    Attributes
    ----------
    matrix
        ``(2, 3)``, from the crop's column and row to the patch's.
    crop_px
        Side of the crop.
    resampled
        Whether crop pixels fall between those of the patch.
    """

    matrix: NDArray[np.float64]
    crop_px: int
    resampled: bool

    def cut(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cut the crop out of a picture, mirrored where it exceeds it.

        Parameters
        ----------
        picture
            ``(height, width)``.

        Returns
        -------
        ndarray of float32
            ``(crop_px, crop_px)``.
        """
        return self._warp(picture, cv2.INTER_CUBIC)

    def cut_mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Cut the crop out of a mask, mirrored where it exceeds it.

        Parameters
        ----------
        mask
            ``(height, width)`` bool.

        Returns
        -------
        ndarray of bool
            ``(crop_px, crop_px)``.
        """
        return np.asarray(self._warp(mask.astype(np.float32), cv2.INTER_LINEAR) >= 0.5)

    def _warp(self, picture: NDArray[np.float32], between: int) -> NDArray[np.float32]:
        flags = cv2.WARP_INVERSE_MAP | (between if self.resampled else cv2.INTER_NEAREST)
        size = (self.crop_px, self.crop_px)
        border = cv2.BORDER_REFLECT_101
        crop = cv2.warpAffine(picture, self.matrix, size, flags=flags, borderMode=border)
        return np.asarray(crop, np.float32)


def random_pose(
    mask: NDArray[np.bool_], crop_px: int, augmentation: Augmentation, rng: np.random.Generator
) -> Pose:
    """Choose a place, often near a particle, and a turn, a mirror image and a scale.

    Parameters
    ----------
    mask
        ``(height, width)`` bool, the particles.
    crop_px
        Side of the crop, in pixels; may exceed the patch, which is then mirrored.
    augmentation
        Ranges of the changes.
    rng
        Source of all randomness.

    Returns
    -------
    Pose
        The pose.

    Examples
    --------
    >>> mask = np.eye(40, dtype=bool)
    >>> pose = random_pose(mask, 32, Augmentation(), np.random.default_rng(0))
    >>> pose.cut_mask(mask).shape
    (32, 32)
    """
    centre = _centre(mask, crop_px, augmentation.on_particle, rng)
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
    return Pose(np.column_stack([linear, offset]), crop_px, resampled)


def change_light(
    crop: NDArray[np.float32], augmentation: Augmentation, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Change focus, contrast, brightness and noise of a crop.

    Parameters
    ----------
    crop
        ``(height, width)``, relative contrast.
    augmentation
        Ranges of the changes.
    rng
        Source of all randomness.

    Returns
    -------
    ndarray of float32
        ``(height, width)``.

    Examples
    --------
    >>> crop = change_light(np.zeros((8, 8), np.float32), Augmentation(), np.random.default_rng(0))
    >>> crop.shape
    (8, 8)
    """
    if rng.random() < augmentation.blurred:
        sigma = rng.uniform(0.3, augmentation.blur_sigma_px)
        crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma), np.float32)
    crop = crop * np.float32(np.exp(rng.uniform(-1, 1) * np.log(augmentation.contrast)))
    crop = crop + np.float32(rng.normal(0, augmentation.brightness))
    if rng.random() < augmentation.noisy:
        sigma = rng.uniform(0, augmentation.noise_sigma)
        crop = crop + rng.normal(0, sigma, crop.shape).astype(np.float32)
    return np.maximum(crop, np.float32(-1.0))


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
