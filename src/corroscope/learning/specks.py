"""Dark specks that are no particles, to be pasted as particles are.

If particles alone were pasted, whatever stands on metal that does not suit it would be one. Specks
that were there before corrosion began are as many as particles are and nearly as dark; pasted as
well, they have to be told apart by what they look like.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from corroscope.learning.paste import RIM_PX

DARK: Final = -0.1
"""Relative contrast from which metal counts as a speck: that of a faint particle."""

SMALLEST_PX: Final = 6
LARGEST_PX: Final = 150
"""Areas of specks; those of most particles lie between."""

PIT_PX: Final = 250
"""Area from which something dark may be a pit."""

NEAR_PIT_PX: Final = 25
"""What is as near to one may be a satellite of it, which looks like a particle by itself."""

ROUNDISH: Final = 0.4
"""Ratio of the axes from which something is a speck and not a piece of a scratch."""

NEAR_PARTICLE_PX: Final = 3
"""A particle's dark rim is no speck."""


def dark_specks(contrast: NDArray[np.float32], taken: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find dark specks that nobody marked, away from particles and pits.

    Parameters
    ----------
    contrast
        ``(height, width)``, relative contrast.
    taken
        ``(height, width)`` bool: particles, and where nobody knows.

    Returns
    -------
    ndarray of bool
        ``(height, width)``, the specks and the pixel round them.

    Examples
    --------
    >>> contrast = np.zeros((40, 60), np.float32)
    >>> contrast[10:14, 10:14] = contrast[20:24, 40:44] = -0.3
    >>> dark_specks(contrast, contrast * (np.arange(60) > 30) < 0)[:, [11, 41]].any(axis=0).tolist()
    [True, False]
    """
    dark = cv2.GaussianBlur(contrast, (0, 0), 0.7) < DARK
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(
        dark.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S
    )
    areas = statistics[:, cv2.CC_STAT_AREA]
    pits = (labels > 0) & (areas[labels] >= PIT_PX) & ~taken
    unfit = _grown(taken, NEAR_PARTICLE_PX) | _grown(pits, NEAR_PIT_PX)
    specks = np.zeros_like(taken)
    for label in range(1, count):
        left, top, width, height, area = statistics[label]
        around = np.s_[
            max(top - RIM_PX, 0) : top + height + RIM_PX,
            max(left - RIM_PX, 0) : left + width + RIM_PX,
        ]
        inside = labels[around] == label
        others = areas[np.setdiff1d(labels[around], (0, label))]
        alone = not unfit[around][inside].any() and (others < SMALLEST_PX).all()
        if alone and SMALLEST_PX <= area <= LARGEST_PX and _compactness(inside) >= ROUNDISH:
            specks[around] |= inside
    return _grown(specks, 1)


def _compactness(inside: NDArray[np.bool_]) -> float:
    """Ratio of the shorter axis to the longer one, of the ellipse with the same moments."""
    spread = np.cov(np.stack(np.nonzero(inside))) + np.eye(2) / 12  # a pixel has a width
    shortest, longest = np.linalg.eigvalsh(spread)
    return float(np.sqrt(shortest / longest))


def _grown(inside: NDArray[np.bool_], by_px: int) -> NDArray[np.bool_]:
    square = np.ones((2 * by_px + 1,) * 2, np.uint8)
    return np.asarray(cv2.dilate(inside.astype(np.uint8), square) > 0)
