"""Charge of a record between any two times."""

import numpy as np
from numpy.typing import NDArray


class Charge:
    """Charge since a record's start, the current taken as straight between its points.

    Parameters
    ----------
    time_s
        ``(n,)``, strictly increasing.
    current_ua
        ``(n,)``, microamperes.

    Examples
    --------
    >>> charge = Charge(np.array([0.0, 2.0]), np.array([0.0, 2.0]))
    >>> charge.until(np.array([-1.0, 1.0, 2.0, 5.0]))
    array([0. , 0.5, 2. , 2. ])
    """

    def __init__(self, time_s: NDArray[np.float64], current_ua: NDArray[np.float64]) -> None:
        self._time_s, self._current = time_s, current_ua
        steps = np.diff(time_s)
        self._slope = np.append(np.diff(current_ua) / steps, 0.0)
        self._sum = np.append(0.0, np.cumsum(steps * (current_ua[1:] + current_ua[:-1]) / 2))

    def until(self, time_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Charge from the start until a time.

        Parameters
        ----------
        time_s
            Any shape, on the record's clock.

        Returns
        -------
        ndarray of float64
            Of that shape, microcoulombs; before the start 0, after the end the whole.
        """
        inside = np.clip(time_s, self._time_s[0], self._time_s[-1])
        at = np.searchsorted(self._time_s, inside, side="right") - 1
        since = inside - self._time_s[at]
        return np.asarray(
            self._sum[at] + since * (self._current[at] + since * self._slope[at] / 2), np.float64
        )
