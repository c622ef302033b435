"""Test-time augmentation: one frame judged in the eight ways in which it can lie."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]


def average_over_ways(
    probability: Callable[[Plane, Plane | None], Plane], contrast: Plane, reference: Plane | None
) -> Plane:
    """Average what a network says of a frame when it is turned and mirrored.

    Nothing in a frame tells which side is up, but a network is not quite of that opinion; the
    mean of all eight is, and it is less noisy.

    Parameters
    ----------
    probability
        What the network says of contrast and reference.
    contrast
        ``(height, width)``, relative contrast of a frame.
    reference
        ``(height, width)``, that of its reference, or None.

    Returns
    -------
    ndarray of float32
        ``(height, width)``, 0 to 1.

    Examples
    --------
    >>> contrast = np.zeros((2, 3), np.float32)
    >>> leans = lambda frame, _: np.eye(*frame.shape, dtype=np.float32)
    >>> average_over_ways(leans, contrast, None).tolist()
    [[0.25, 0.5, 0.25], [0.25, 0.5, 0.25]]
    """
    total = np.zeros(contrast.shape, np.float64)
    for there, back in _ways():
        turned = None if reference is None else there(reference)
        total += back(probability(there(contrast), turned))
    return (total / 8).astype(np.float32)


def _ways() -> Iterator[tuple[Callable[[Plane], Plane], Callable[[Plane], Plane]]]:
    """Each of the eight ways to lay a frame, and the way back."""
    for quarter in range(4):
        for mirrored in (False, True):

            def there(plane: Plane, quarter: int = quarter, mirrored: bool = mirrored) -> Plane:
                turned = np.rot90(plane, quarter)
                return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)

            def back(plane: Plane, quarter: int = quarter, mirrored: bool = mirrored) -> Plane:
                return np.rot90(plane[:, ::-1] if mirrored else plane, -quarter)

            yield there, back
