"""Fine texture of a piece of metal, in which only the places of scratches and specks count."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage

STRONGEST: Final = 0.05
"""Contrast at which texture is clipped, so that one dark pit does not decide alone."""

BAND_PER_PX: Final = (0.01, 0.25)
"""Spatial frequencies in use, in cycles per pixel.

Below is what is left of the background, above the camera's noise between pixels.
"""

SMOOTHING_PER_PX: Final = 0.0245
"""Width of the triangle window over which the spectrum is levelled, in cycles per pixel."""


def whiten(contrast: ArrayLike) -> NDArray[np.float32]:
    """Texture in which every direction and scale counts alike.

    Polishing scratches run in parallel all over a surface, so that two pieces of it
    correlate wherever they are. Divided by the patch's own smoothed spectrum, what is left
    to correlate is where each scratch and speck is, and that is unlike anywhere else.

    Parameters
    ----------
    contrast
        ``(height, width)``, relative contrast against a background of a few pixels.

    Returns
    -------
    ndarray of float32
        ``(height, width)``, mean 0, standard deviation 1, clipped to ±4; all 0 where there is
        no texture.

    References
    ----------
    C. D. Kuglin, D. C. Hines, *The phase correlation image alignment method*, Proc. IEEE Int.
    Conf. on Cybernetics and Society, 1975: whitened spectra leave the places alone.

    Examples
    --------
    >>> rows = np.sin(np.arange(64) / 2)[:, None] * 0.02
    >>> noise = np.random.default_rng(0).normal(0, 0.005, (64, 64))
    >>> texture = whiten(rows + noise)
    >>> texture.shape, round(float(texture.std()), 1)
    ((64, 64), 1.0)
    """
    clipped = np.clip(np.asarray(contrast, np.float32), -STRONGEST, STRONGEST)
    rim = [(length // 2, length // 2) for length in clipped.shape]
    mirrored = np.pad(clipped, rim, mode="reflect")
    spectrum = fft.fft2(mirrored)
    width = [max(1, round(SMOOTHING_PER_PX * length)) for length in mirrored.shape]
    power = np.abs(spectrum) ** 2
    for _ in range(2):  # two boxes are a triangle
        power = ndimage.uniform_filter(power, width, mode="wrap")
    rows, columns = (fft.fftfreq(length).astype(np.float32) for length in mirrored.shape)
    frequency = np.hypot(rows[:, None], columns[None])
    low, high = BAND_PER_PX
    spectrum *= np.exp(-((frequency / high) ** 4)) * (frequency > low)
    # Running sums leave rounding errors, which may be negative where there is no power.
    spectrum /= np.sqrt(np.maximum(power, 1e-9 * power.max() + np.finfo(np.float32).tiny))
    inner = fft.ifft2(spectrum).real[rim[0][0] :, rim[1][0] :]
    inner = inner[: clipped.shape[0], : clipped.shape[1]]
    spread = float(inner.std()) if clipped.std() > np.finfo(np.float32).eps else 0.0
    if not spread:
        return np.zeros_like(clipped)
    return np.asarray(np.clip((inner - inner.mean()) / spread, -4, 4), np.float32)
