"""Areas that jump and rest: what particles do that come to lie at one place."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from corroscope.tracking.growth import AREA_ERROR_PX, LEAST_SIGMA

MOST_STEPS: Final = 2
"""Particles that may arrive at one place after the first; a fourth is rare."""


def steps_bic(area: NDArray[np.float64]) -> float:
    """Bayesian information criterion of areas that are constant but for a few jumps.

    It can be compared with that of `corroscope.tracking.growth.fit_growth` for the same areas:
    the lower one is to be believed.

    Parameters
    ----------
    area
        ``(n,)``, above 0, in order of time.

    Returns
    -------
    float
        The lowest with up to `MOST_STEPS` jumps.

    References
    ----------
    G. Schwarz, *Estimating the dimension of a model*, Annals of Statistics 6, 1978.

    Examples
    --------
    >>> steps_bic(np.repeat([9.0, 20.0], 10)) < steps_bic(np.linspace(9, 20, 20))
    True
    """
    root = np.sqrt(area)
    error = AREA_ERROR_PX / (2 * root)
    best, ends = np.inf, [len(root)]
    levels = [np.full(len(root), np.median(root))]
    for _ in range(MOST_STEPS + 1):
        best = min(best, _bic(root, error, levels[-1], 2 * len(ends)))
        # The next jump is where it brings most; earlier ones stay.
        found = _split(root, ends)
        if found is None:
            break
        ends = sorted([*ends, found])
        begin, level = 0, np.empty_like(root)
        for end in ends:
            level[begin:end] = np.median(root[begin:end])
            begin = end
        levels.append(level)
    return float(best)


def _split(root: NDArray[np.float64], ends: list[int]) -> int | None:
    """Where one more jump leaves least."""
    best, found, begin = 0.0, None, 0
    for end in ends:
        part = root[begin:end]
        if len(part) > 1:
            total, square = np.cumsum(part), float((part**2).sum())
            left = np.arange(1, len(part))
            within = square - total[:-1] ** 2 / left
            within -= (total[-1] - total[:-1]) ** 2 / (len(part) - left)
            gain = square - total[-1] ** 2 / len(part) - within
            at = int(np.argmax(gain))
            if gain[at] > best + 1e-9:
                best, found = float(gain[at]), begin + at + 1
        begin = end
    return found


def _bic(
    root: NDArray[np.float64],
    error: NDArray[np.float64],
    level: NDArray[np.float64],
    unknowns: int,
) -> float:
    """With the robust noise and loss that the law of growth is judged by."""
    sigma = LEAST_SIGMA
    for _ in range(2):
        left = (root - level) / np.hypot(sigma, error)
        scale = 1.4826 * float(np.median(np.abs(left)))
        sigma = max(LEAST_SIGMA, min(3.0, scale) * np.hypot(sigma, float(np.median(error))))
    spread = np.hypot(sigma, error)
    left = (root - level) / spread
    deviance = float((2 * 1.5**2 * (np.sqrt(1 + (left / 1.5) ** 2) - 1)).sum())
    return deviance + float(2 * np.log(spread).sum()) + unknowns * float(np.log(len(root)))
