"""What a network is shown of a frame, and of the reference before corrosion began."""

import numpy as np
from numpy.typing import NDArray


def network_input(
    contrast: NDArray[np.float32],
    reference: NDArray[np.float32] | None,
    contrast_scale: float,
    channels: int,
) -> NDArray[np.float32]:
    """Stack the planes that a network looks at.

    One plane is the frame's relative contrast. Two more tell what has changed: the
    difference of contrast to the reference, and 1 wherever there is a reference to
    compare with. Without one both are 0, so that one network serves single images and
    sequences, and the rim that drift brought into view is judged as a single image is.

    Parameters
    ----------
    contrast
        ``(height, width)``, relative contrast of the frame.
    reference
        ``(height, width)``, relative contrast of the reference, aligned to the frame;
        NaN where it shows nothing. None where there is no reference.
    contrast_scale
        Relative contrast that becomes 1.
    channels
        1, or 3 for a network that compares.

    Returns
    -------
    ndarray of float32
        ``(channels, height, width)``.

    References
    ----------
    M. O. Tezcan, P. Ishwar, J. Konrad, *BSUV-Net*, WACV 2020,
    doi:10.1109/WACV45572.2020.9093464, for an empty background as further input.

    Examples
    --------
    >>> frame, earlier = np.full((2, 2), -0.2, np.float32), np.zeros((2, 2), np.float32)
    >>> network_input(frame, earlier, 0.1, 3)[:, 0, 0].tolist()
    [-2.0, -2.0, 1.0]
    >>> network_input(frame, None, 0.1, 3)[:, 0, 0].tolist()
    [-2.0, 0.0, 0.0]
    """
    planes = np.zeros((channels, *contrast.shape), np.float32)
    planes[0] = contrast
    if channels > 1 and reference is not None:
        known = ~np.isnan(reference)
        np.subtract(contrast, reference, out=planes[1], where=known)
        planes[2] = known * contrast_scale
    planes /= np.float32(contrast_scale)
    return planes
