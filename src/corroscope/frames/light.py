"""How much light a frame has against a reference, and flat-field correction."""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from corroscope.errors import FrameError
from corroscope.frames.resampling import check_frame

SLOWEST_SHARE: Final = 1 / 8
LEAST_SIGMA_PX: Final = 64.0
"""The gain field is smooth over this share of the shorter side, and over this many pixels."""

OUTLIER: Final = 3.0
"""Robust deviations from the gain field beyond which a spot has changed by itself."""

_GRID: Final = 256
_ROUNDS: Final = 6


def match_light(
    frame: NDArray[Any], reference_aligned: NDArray[Any], covered: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], float]:
    """Find by how much a frame is brighter than the reference, everywhere.

    The ratio of the two, averaged over small blocks, is followed by a polynomial of second
    order and what that leaves by a Gaussian mean. Blocks in which something has
    grown, come or gone stand out and are left out, round by round.

    Parameters
    ----------
    frame
        ``(height, width)``, grey levels.
    reference_aligned
        ``(height, width)``, the reference on the grid of the frame.
    covered
        ``(height, width)`` bool, where the reference reaches.

    Returns
    -------
    field : ndarray of float32
        ``(height, width)``, the gain of the frame at each place.
    gain : float
        Its median.

    Raises
    ------
    FrameError
        If the sizes differ, there are not numbers, or the two have no bright pixel in
        common.

    Examples
    --------
    >>> metal = np.random.default_rng(0).normal(200, 4, (96, 96))
    >>> frame = 0.9 * metal
    >>> frame[40:50, 40:50] = 10
    >>> field, gain = match_light(frame, metal, np.ones((96, 96), bool))
    >>> round(gain, 2), round(float(field[45, 45]), 2)
    (0.9, 0.9)
    """
    check_frame(frame, "frame")
    check_frame(reference_aligned, "reference")
    _same_size(frame, reference_aligned, "frame", "reference")
    _same_size(frame, covered, "frame", "covered area")
    block = max(1, -(-max(frame.shape) // _GRID))
    size = tuple(-(-length // block) for length in frame.shape)
    weight = covered.astype(np.float32)
    light = [
        _reduced(image.astype(np.float32, copy=False) * weight, size)
        for image in (frame, reference_aligned)
    ]
    share = _reduced(weight, size)
    bright = (light[1] > 1e-3 * float(light[1].max())) & (light[0] > 0) & (share > 0)
    if not bright.any():
        raise FrameError("frame and reference have no bright pixel in common; check both")
    ratio = np.divide(light[0], light[1], out=np.zeros_like(share), where=bright)
    gain = float(np.median(ratio[bright]))
    sigma_px = max(LEAST_SIGMA_PX, SLOWEST_SHARE * min(frame.shape))
    field = np.full_like(ratio, gain)
    for _ in range(_ROUNDS):
        away = np.abs(ratio / field - 1)
        usual = 1.4826 * float(np.median(away[bright]))
        trusted = np.where(bright & (away <= OUTLIER * usual), share, 0)
        field = _smoothed(ratio, trusted, sigma_px / block)
    whole = cv2.resize(field, frame.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(whole, np.float32), float(np.median(field[share > 0]))


def flat_field(
    frame: NDArray[Any], flat: NDArray[Any], dark: NDArray[Any] | None = None
) -> NDArray[np.float32]:
    """Correct a frame for uneven illumination and sensitivity.

    Parameters
    ----------
    frame
        ``(height, width)``, grey levels.
    flat
        ``(height, width)``, a picture of an even surface under the same light.
    dark
        ``(height, width)``, a picture without light; without it, black is 0.

    Returns
    -------
    ndarray of float32
        ``(height, width)``, ``(frame - dark) / (flat - dark)`` times the mean of ``flat - dark``:
        grey levels about as bright as the frame's.

    Raises
    ------
    FrameError
        If the sizes differ, or the flat field is not brighter than the dark everywhere.

    Examples
    --------
    >>> flat = np.array([[100.0, 200.0]])
    >>> flat_field(0.5 * flat, flat).tolist()
    [[75.0, 75.0]]
    """
    pictures = {"frame": frame, "flat field": flat}
    if dark is not None:
        pictures["dark"] = dark
    for name, picture in pictures.items():
        check_frame(picture, name)
        _same_size(frame, picture, "frame", name)
    black = np.float32(0) if dark is None else dark.astype(np.float32)
    light = flat.astype(np.float32) - black
    count = int(np.count_nonzero(light <= 0))
    if count:
        raise FrameError(
            f"{count} pixels of the flat field are not brighter than the dark; take it anew "
            "with more light"
        )
    return np.asarray((frame.astype(np.float32) - black) / light * light.mean(), np.float32)


def difference(
    frame: NDArray[Any], reference_aligned: NDArray[Any], gain_field: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Subtract the reference from a frame brought to the reference's light.

    Parameters
    ----------
    frame
        ``(height, width)``, grey levels.
    reference_aligned
        ``(height, width)``, the reference on the grid of the frame.
    gain_field
        ``(height, width)``, what `match_light` found.

    Returns
    -------
    ndarray of float32
        ``(height, width)``, grey levels of the reference; negative where something dark has
        come. Without meaning where the reference does not reach.

    Raises
    ------
    FrameError
        If the sizes differ, or a gain is not above 0.

    Examples
    --------
    >>> reference = np.array([[100.0, 200.0]])
    >>> difference(np.array([[90.0, 90.0]]), reference, np.float32([[0.9, 0.9]])).round().tolist()
    [[0.0, -100.0]]
    """
    _same_size(frame, reference_aligned, "frame", "reference")
    _same_size(frame, gain_field, "frame", "gain field")
    if not (gain_field > 0).all():
        raise FrameError("the gain field has values that are not above 0; match the light anew")
    matched = frame.astype(np.float32) / gain_field
    return np.asarray(matched - reference_aligned.astype(np.float32, copy=False), np.float32)


def _same_size(a: NDArray[Any], b: NDArray[Any], name_a: str, name_b: str) -> None:
    if a.shape != b.shape:
        raise FrameError(
            f"the {name_a} has shape {a.shape}, the {name_b} {b.shape}; give both in one size"
        )


def _reduced(image: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), np.float32)


def _smoothed(
    ratio: NDArray[np.float32], weight: NDArray[np.float32], sigma: float
) -> NDArray[np.float32]:
    """The slow part of a map, where weights say what counts."""
    # A Gaussian mean alone would be flat towards the border, where light is not.
    y, x = (np.linspace(-1, 1, length, dtype=np.float32) for length in ratio.shape)
    yy, xx = np.meshgrid(y, x, indexing="ij")
    terms = np.stack([np.ones_like(yy), yy, xx, yy * yy, yy * xx, xx * xx]).reshape(6, -1)
    weighted = terms * weight.ravel()
    coefficients = np.linalg.lstsq(weighted @ terms.T, weighted @ ratio.ravel(), rcond=1e-5)[0]
    trend = (coefficients @ terms).reshape(ratio.shape)
    # Where nothing counts for far around, the trend has to do.
    mass = _blur(weight, sigma) + np.float32(1e-3)
    return np.asarray(trend + _blur(weight * (ratio - trend), sigma) / mass, np.float32)


def _blur(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
