"""The shift of a frame to a hundredth of a pixel, from an estimate that is close."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from corroscope.frames.resampling import LANCZOS_PX, between_pixels, cut

STRAY_PX: Final = 2.0
"""How far from the first estimate the shift may come to lie, in pixels of the level."""

BACKGROUND_SIGMA_PX: Final = 2.0
"""Texture is what is finer than this: the narrower, the less is lost around a pit."""

FINE_SIGMA_PX: Final = 1.0
"""Smoothing of the texture: less noise, and what is left can be interpolated."""

LARGEST_CONTRAST: Final = 0.1
"""Texture is a few per cent of contrast; beyond this are pits and particles."""

TILE_PX: Final = 192
TILES_A_SIDE: Final = 4
"""Least side of a tile, and at most how many of them are used along each side of a frame."""

BLOCK_PX: Final = 16
"""Side of the blocks that err independently, wider than any texture or particle."""

BIWEIGHT: Final = 4.685
"""Robust deviations beyond which a pixel does not count: 95 % efficient for Gaussian noise."""

_RIM_PX: Final = 4
_SPARE_PX: Final = 8
_MARGIN_PX: Final = _SPARE_PX + int(4 * BACKGROUND_SIGMA_PX)
_MOST_STEPS: Final = 20
_LAST_STEP_PX: Final = 2e-3

_Image = NDArray[np.float32]


class Refined(NamedTuple):
    """A shift, refined.

    Attributes
    ----------
    shift_px
        ``(2,)``, rows and columns.
    correlation
        Of the two textures after alignment, 0 to 1.
    sigma_px
        Standard error in the direction in which the shift is known least.
    """

    shift_px: NDArray[np.float64]
    correlation: float
    sigma_px: float


class Tiles:
    """The reference at one resolution: its most telling tiles, their texture and gradients.

    Parameters
    ----------
    reference
        ``(height, width)``, integer or floating point.

    Examples
    --------
    >>> metal = np.random.default_rng(0).integers(150, 250, (96, 96)).astype(np.float32)
    >>> metal = cv2.GaussianBlur(metal, (0, 0), 1.5)
    >>> refined = Tiles(metal[:90]).refine(metal[1:91], np.array([-0.3, 0.4]))
    >>> [abs(round(float(shift), 1)) for shift in refined.shift_px]
    [1.0, 0.0]
    """

    def __init__(self, reference: NDArray[Any]) -> None:
        self._shape = reference.shape
        texture = contrast_texture(reference)
        gy, gx = _gradient(texture)
        counts = [max(1, n // TILE_PX) for n in reference.shape]
        height, width = reference.shape[0] // counts[0], reference.shape[1] // counts[1]
        self._size = (height, width)
        self._corners = _telling_tiles(gy, gx, counts, self._size)

        def tiles(plane: _Image) -> _Image:
            return np.stack([plane[y : y + height, x : x + width] for y, x in self._corners])

        self._texture = tiles(texture)
        self._mine = np.stack([tiles(gy).ravel(), tiles(gx).ravel()])

    def refine(self, frame: NDArray[Any], start_px: NDArray[np.float64]) -> Refined | None:
        """Refine a shift that is known to about a pixel.

        Parameters
        ----------
        frame
            ``(height, width)``, of the reference's size.
        start_px
            ``(2,)``, rows and columns.

        Returns
        -------
        Refined or None
            None where the steps lead further away than `STRAY_PX`, or the texture does
            not tell.
        """
        whole = np.rint(start_px).astype(int)
        valid = self._in_both(whole)
        if not valid.any():
            return None
        textures = self._textures_of(frame, whole)
        away = np.zeros(2)
        for _ in range(_MOST_STEPS):
            there = self._at(textures, away)
            step = self._step(there, valid)
            if step is None:
                return None
            away = away + step
            if np.abs(whole + away - start_px).max() > STRAY_PX:
                return None
            if np.abs(step).max() < _LAST_STEP_PX:
                break
        there = self._at(textures, away)
        unchanged = _biweight(there - self._texture, valid)[0]
        correlation = _correlation(self._texture, there, unchanged)
        return Refined(whole + away, correlation, self._sigma_px(there, valid))

    def _in_both(self, whole: NDArray[np.int_]) -> NDArray[np.bool_]:
        """Pixels of the tiles that neither picture has at its rim, ``(tiles, height, width)``."""
        inside = []
        for axis in (0, 1):
            at = self._corners[:, axis, None] + np.arange(self._size[axis])
            least = _RIM_PX + max(0, -int(whole[axis]))
            most = self._shape[axis] - 1 - _RIM_PX - max(0, int(whole[axis]))
            inside.append((at >= least) & (at <= most))
        return np.asarray(inside[0][:, :, None] & inside[1][:, None, :])

    def _textures_of(self, frame: NDArray[Any], whole: NDArray[np.int_]) -> _Image:
        """The frame's texture at the tiles moved by whole pixels, with some pixels around."""
        margin, keep = _MARGIN_PX, _MARGIN_PX - _SPARE_PX
        size = (self._size[0] + 2 * margin, self._size[1] + 2 * margin)
        parts = (cut(frame, corner + whole - margin, size) for corner in self._corners)
        return np.stack([contrast_texture(part)[keep:-keep, keep:-keep] for part in parts])

    def _at(self, textures: _Image, away_px: NDArray[np.float64]) -> _Image:
        """Textures where the tiles would be, were the picture moved by so much more."""
        floor = np.floor(away_px).astype(int)
        top, left = _SPARE_PX - LANCZOS_PX + floor
        height, width = (n + 2 * LANCZOS_PX for n in self._size)
        parts = textures[:, top : top + height, left : left + width]
        return np.stack([between_pixels(part, away_px - floor) for part in parts])

    def _step(self, there: _Image, valid: NDArray[np.bool_]) -> NDArray[np.float64] | None:
        """Gauss–Newton step towards the shift; None where the texture does not tell."""
        residual = there - self._texture
        weight = _biweight(residual, valid)[0]
        matrix = self._sensitivity(there, weight)
        if not np.linalg.eigvalsh(matrix)[0] > 0:
            return None
        pull = self._mine @ (weight * residual).ravel()
        return np.asarray(np.linalg.solve(matrix, -pull), np.float64)

    def _sensitivity(self, there: _Image, weight: _Image) -> NDArray[np.float64]:
        # With the gradient of one picture alone its noise would pass for texture: steps
        # would be too short and the standard error too small.
        theirs = np.stack([np.stack(_gradient(tile)) for tile in there], axis=1)
        matrix = (self._mine * weight.ravel()) @ theirs.reshape(2, -1).T
        return np.asarray((matrix + matrix.T) / 2, np.float64)

    def _sigma_px(self, there: _Image, valid: NDArray[np.bool_]) -> float:
        residual = there - self._texture
        weight, slope = _biweight(residual, valid)
        matrix = self._sensitivity(there, slope)
        if not np.linalg.eigvalsh(matrix)[0] > 0:
            return float(np.inf)
        pulls = self._mine.reshape(2, *there.shape) * (weight * residual)
        scores = np.stack([_block_sums(pull) for pull in pulls])
        inverse = np.linalg.inv(matrix)
        covariance = inverse @ (scores @ scores.T) @ inverse
        return float(np.sqrt(np.linalg.eigvalsh(covariance)[-1]))


def contrast_texture(image: NDArray[Any]) -> _Image:
    """Contrast of the smoothed picture against its background, without the extremes.

    Parameters
    ----------
    image
        ``(height, width)``, integer or floating point.

    Returns
    -------
    ndarray of float32
        ``(height, width)``, 0 where the background is black.

    Examples
    --------
    >>> image = np.full((64, 64), 200.0)
    >>> image[32] = 190.0
    >>> texture = contrast_texture(image)
    >>> round(float(texture[32, 20]), 2), round(float(texture[5, 20]), 2)
    (-0.01, 0.0)
    """
    grey = image.astype(np.float32, copy=False)
    first = _background(grey)
    # Once more without what is much darker: a pit would lie in a bright halo.
    held = np.clip(grey, (1 - LARGEST_CONTRAST) * first, (1 + LARGEST_CONTRAST) * first)
    background = _background(held)
    smooth = cv2.GaussianBlur(held, (0, 0), FINE_SIGMA_PX, borderType=cv2.BORDER_REFLECT_101)
    texture = np.zeros_like(grey)
    bright = background > 1e-3 * float(np.abs(grey).max())
    np.divide(smooth - background, background, out=texture, where=bright)
    return texture


def _background(grey: _Image) -> _Image:
    return np.asarray(
        cv2.GaussianBlur(grey, (0, 0), BACKGROUND_SIGMA_PX, borderType=cv2.BORDER_REFLECT_101),
        np.float32,
    )


def _gradient(texture: _Image) -> tuple[_Image, _Image]:
    derivative = np.array([-0.5, 0, 0.5], np.float32)
    one = np.ones(1, np.float32)
    gy = cv2.sepFilter2D(texture, cv2.CV_32F, one, derivative)
    gx = cv2.sepFilter2D(texture, cv2.CV_32F, derivative, one)
    return np.asarray(gy, np.float32), np.asarray(gx, np.float32)


def _telling_tiles(
    gy: _Image, gx: _Image, counts: Sequence[int], size: tuple[int, int]
) -> NDArray[np.int_]:
    """Corners of the tiles to use: in each part of the frame that with most texture."""
    inner = (slice(counts[0] * size[0]), slice(counts[1] * size[1]))

    def tile_means(plane: _Image) -> _Image:
        tiles = plane[inner].reshape(counts[0], size[0], counts[1], size[1])
        return np.asarray(tiles.mean(axis=(1, 3)))

    yy, xx, xy = tile_means(gy * gy), tile_means(gx * gx), tile_means(gy * gx)
    weaker = yy + xx - np.hypot(yy - xx, 2 * xy)
    chosen = []
    for rows in np.array_split(np.arange(counts[0]), min(counts[0], TILES_A_SIDE)):
        for columns in np.array_split(np.arange(counts[1]), min(counts[1], TILES_A_SIDE)):
            best = int(np.argmax(weaker[np.ix_(rows, columns)]))
            chosen.append((rows[best // len(columns)], columns[best % len(columns)]))
    return np.asarray(np.array(chosen) * size, np.int_)


def _biweight(residual: _Image, valid: NDArray[np.bool_]) -> tuple[_Image, _Image]:
    """Tukey's weight of each residual, and the slope of its influence."""
    # Two equal pictures leave no residual at all.
    cutoff = max(BIWEIGHT * robust_spread(residual[valid]), float(np.finfo(np.float32).eps))
    left = 1 - np.minimum((residual / np.float32(cutoff)) ** 2, 1)
    return np.asarray(valid * left**2), np.asarray(valid * left * (5 * left - 4))


def robust_spread(values: _Image) -> float:
    """Standard deviation about 0 of a Gaussian with the same median size.

    Parameters
    ----------
    values
        Of any shape, not empty; of many, an even sample is looked at.

    Returns
    -------
    float
        In the unit of the values.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(0, 2, 10_000).astype(np.float32)
    >>> noise[:500] = 1e6
    >>> round(robust_spread(noise))
    2
    """
    flat = values.ravel()
    return 1.4826 * float(np.median(np.abs(flat[:: max(1, flat.size // 50_000)])))


def _correlation(a: _Image, b: _Image, weight: _Image) -> float:
    total = float(weight.sum())
    a, b = (plane - float((weight * plane).sum()) / total for plane in (a, b))
    spread = float((weight * a * a).sum() * (weight * b * b).sum()) ** 0.5
    return max(0.0, float((weight * a * b).sum()) / spread) if spread else 0.0


def _block_sums(planes: _Image) -> _Image:
    count, height, width = planes.shape
    rows, columns = -(-height // BLOCK_PX), -(-width // BLOCK_PX)
    by_row = np.add.reduceat(planes, np.arange(rows) * BLOCK_PX, axis=1)
    by_both = np.add.reduceat(by_row, np.arange(columns) * BLOCK_PX, axis=2)
    return np.asarray(by_both.reshape(count * rows * columns))
