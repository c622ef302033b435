"""A frame's contrast against its own background: what the network is shown."""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

DARKEST_BACKGROUND = 0.85
"""Pixels darker than this fraction of the first background do not count in the second."""


def relative_contrast(frame: ArrayLike, background_sigma_px: float = 25.0) -> NDArray[np.float32]:
    """Relative contrast against the local background, ``frame / background - 1``.

    A particle that swallows a fifth of the light has −0.2 on a bright and on a dim
    spot, in 8 and in 16 bits, before and after the lamp has aged. The background is
    a Gaussian mean, taken twice: the second time with everything much darker than
    the first raised to it, so that a large pit does not darken its own background.

    Parameters
    ----------
    frame
        ``(height, width)``, any real dtype; intensities, not differences.
    background_sigma_px
        Standard deviation of the Gaussian, in pixels; well above the radius of the
        largest particle.

    Returns
    -------
    ndarray of float32
        ``(height, width)``; −1 is black, 0 the background. 0 wherever the background
        itself is black.

    Notes
    -----
    The Gaussian is computed on a frame reduced by area averaging, which changes
    nothing visible in so smooth a background and takes a tenth of the time.

    Examples
    --------
    >>> frame = np.full((64, 64), 200.0)
    >>> frame[32, 32] = 160.0
    >>> contrast = relative_contrast(frame)
    >>> round(float(contrast[32, 32]), 2), round(float(contrast[0, 0]), 2)
    (-0.2, 0.0)
    >>> bool(np.allclose(contrast, relative_contrast(frame * 256), atol=1e-5))
    True
    """
    intensity = np.asarray(frame).astype(np.float32, copy=False)
    height, width = intensity.shape
    # Reduced as far as a background pixel stays much smaller than its Gaussian.
    reduction = max(1, int(background_sigma_px / 6))
    size = (max(1, width // reduction), max(1, height // reduction))
    small = np.asarray(cv2.resize(intensity, size, interpolation=cv2.INTER_AREA), np.float32)
    sigma = (background_sigma_px * size[0] / width, background_sigma_px * size[1] / height)
    first = _smooth(small, sigma)
    second = _smooth(np.maximum(small, DARKEST_BACKGROUND * first), sigma)
    background = cv2.resize(second, (width, height), interpolation=cv2.INTER_LINEAR)
    darkest = 1e-3 * float(np.abs(intensity).max(initial=0.0))
    contrast = np.zeros_like(intensity)
    np.divide(intensity, background, out=contrast, where=background > darkest)
    np.subtract(contrast, 1.0, out=contrast, where=background > darkest)
    return contrast


def _smooth(image: NDArray[np.float32], sigma: tuple[float, float]) -> NDArray[np.float32]:
    return np.asarray(
        cv2.GaussianBlur(
            image, (0, 0), sigmaX=sigma[0], sigmaY=sigma[1], borderType=cv2.BORDER_REFLECT
        ),
        np.float32,
    )
