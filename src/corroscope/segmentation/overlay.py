"""A frame with its particles outlined, for the eye."""

import cv2
import numpy as np
from numpy.typing import NDArray

OUTLINE_RGB = (0, 114, 178)
"""Blue of the colour-blind safe palette of M. Okabe and K. Ito, *Color Universal Design*, 2008."""


def draw_overlay(
    frame: NDArray[np.uint8 | np.uint16 | np.float32], mask: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Draw a double ring round every particle, leaving the particle itself visible.

    The inner ring is white and the outer one dark blue: one of the two stands out by
    lightness alone on any ground, so nothing depends on telling hues apart.

    Parameters
    ----------
    frame
        ``(height, width)``. Eight bits are shown as they are, anything else from its
        0.1 % to its 99.9 % quantile.
    mask
        ``(height, width)``, true in particles.

    Returns
    -------
    ndarray of uint8
        ``(height, width, 3)``, red, green, blue.

    Examples
    --------
    >>> frame, mask = np.full((20, 20), 90, np.uint8), np.zeros((20, 20), bool)
    >>> mask[10, 10] = True
    >>> overlay = draw_overlay(frame, mask)
    >>> [overlay[10, column].tolist() for column in (10, 12, 13)]
    [[90, 90, 90], [255, 255, 255], [0, 114, 178]]
    """
    overlay = np.repeat(_to_8_bits(frame)[..., None], 3, axis=2)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    grown = mask.astype(np.uint8)
    square = np.ones((3, 3), np.uint8)
    gap = cv2.dilate(grown, square)
    inner = cv2.dilate(gap, disc)
    outer = cv2.dilate(inner, disc)
    overlay[(inner > gap)] = 255
    overlay[(outer > inner)] = OUTLINE_RGB
    return overlay


def _to_8_bits(frame: NDArray[np.uint8 | np.uint16 | np.float32]) -> NDArray[np.uint8]:
    if frame.dtype == np.uint8:
        return frame.astype(np.uint8)
    darkest, brightest = np.quantile(frame, [0.001, 0.999])
    span = max(float(brightest - darkest), float(np.finfo(np.float32).tiny))
    scaled = np.clip((frame.astype(np.float32) - darkest) / span, 0, 1) * 255
    return np.asarray(np.rint(scaled), np.uint8)
