"""The plainest contour of a dark spot: all that is darker than half of its contrast."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from corroscope.annotation.instances import Instance
from corroscope.errors import AnnotationError

REACHES_PX: Final = (15, 31, 63, 96)
"""Half the side of the window, which grows until the contour clears its border."""


def half_contrast(image: NDArray[np.float32], pixel: tuple[int, int], grow_px: int = 1) -> Instance:
    """Take what is darker than half way between a pixel and its surroundings, and grow it.

    Parameters
    ----------
    image
        ``(height, width)``, grey; the spot is dark.
    pixel
        Row and column of a dark pixel of the spot.
    grow_px
        By how many pixels annotators draw wider than that.

    Returns
    -------
    Instance
        The piece that holds the pixel.

    Raises
    ------
    AnnotationError
        If the pixel is not darker than its surroundings, or what is dark is larger than the
        largest window.

    Examples
    --------
    >>> image = np.full((40, 40), 100, np.float32)
    >>> image[20:22, 20:22] = 20
    >>> half_contrast(image, (20, 20)).area_px
    12
    """
    row, col = pixel
    for reach in REACHES_PX:
        top, left = max(row - reach, 0), max(col - reach, 0)
        window = image[top : row + reach + 1, left : col + reach + 1]
        rows, cols = np.indices(window.shape)
        distance = np.hypot(rows + top - row, cols + left - col)
        ring = window[(distance >= 0.4 * reach) & (distance <= 0.8 * reach)]
        darkest = window[distance < 1.5].min()
        ground = np.median(ring) if ring.size else darkest
        dark = window < (ground + darkest) / 2
        labels, _ = ndimage.label(dark, np.ones((3, 3), bool))
        number = labels[row - top, col - left]
        if number == 0:
            continue
        piece = labels == number
        if grow_px:
            piece = ndimage.binary_dilation(piece, iterations=grow_px)
        at = np.argwhere(piece) + np.array((top, left))
        cut = [
            (at[:, axis] == pixel[axis] + side * reach).any() for axis in (0, 1) for side in (-1, 1)
        ]
        if not any(cut):
            return Instance.of(piece, corner_px=(top, left))
    raise AnnotationError(
        f"pixel ({row}, {col}): there is no dark spot of less than {2 * REACHES_PX[-1]} px; click "
        "into one"
    )
