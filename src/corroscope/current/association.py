"""Whether transients of the current and events that were seen come together more than by chance."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Association(NamedTuple):
    """How often two kinds of events coincide.

    Attributes
    ----------
    events, transients
        How many of each lie within the time that both were watched.
    coincidences
        Events that have a transient within the window.
    expected
        Mean of that number over the shifted trains.
    p_value
        Probability of as many by chance; never 0, NaN where there is nothing to compare.
    window_s
        How far apart a pair may be, either way.
    shifts
        Number of shifts tried.
    """

    events: int
    transients: int
    coincidences: int
    expected: float
    p_value: float
    window_s: float
    shifts: int


def associate(
    event_s: NDArray[np.float64],
    transient_s: NDArray[np.float64],
    watched_s: tuple[float, float],
    window_s: float,
    rng: np.random.Generator,
    *,
    shifts: int = 1999,
) -> Association:
    """Count coincidences of events with transients, and how many chance would give.

    Chance is the same train of events shifted round a circle as long as the time watched: its
    own clustering stays, its relation to the transients does not.

    Parameters
    ----------
    event_s
        ``(events,)``, births or ejections on the frames' clock.
    transient_s
        ``(transients,)``, starts or peaks of transients on the same clock.
    watched_s
        Begin and end of the time in which both were watched; what is outside is left out.
    window_s
        How far apart a pair may be, either way: at least an interval between frames and the
        interval of the clocks' offset.
    rng
        Source of the shifts.
    shifts
        Number of shifts; the smallest p-value is 1 / (shifts + 1).

    Returns
    -------
    Association
        Counts, what is expected, and the p-value of one side.

    Raises
    ------
    ValueError
        If the window is not above 0, the time watched is empty, or there are no shifts.

    References
    ----------
    B. Phipson, G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 9, 2010, 39,
    doi:10.2202/1544-6115.1585: p-values of permutations are never 0.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> events = np.sort(rng.uniform(0, 600, 30))
    >>> found = associate(events, events + 0.2, (0, 600), 0.5, rng)
    >>> found.coincidences, found.p_value < 0.01
    (30, True)
    """
    begin, end = watched_s
    if not window_s > 0:
        raise ValueError(f"window_s: {window_s:g} (allowed: above 0)")
    if not end > begin:
        raise ValueError(f"watched_s: {begin:g} to {end:g} (allowed: an end after the begin)")
    if shifts < 1:
        raise ValueError(f"shifts: {shifts} (allowed: at least 1)")
    events = _within(event_s, begin, end)
    transients = _within(transient_s, begin, end)
    if events.size == 0 or transients.size == 0:
        return Association(events.size, transients.size, 0, np.nan, np.nan, window_s, 0)
    length = end - begin
    observed = _coincidences(events, transients, length, window_s)
    drawn = np.empty(shifts, np.int64)
    for place, shift in enumerate(rng.uniform(0, length, shifts)):
        drawn[place] = _coincidences((events + shift) % length, transients, length, window_s)
    p_value = (1 + np.count_nonzero(drawn >= observed)) / (1 + shifts)
    return Association(
        events.size,
        transients.size,
        observed,
        float(drawn.mean()),
        float(p_value),
        window_s,
        shifts,
    )


def _within(times_s: NDArray[np.float64], begin: float, end: float) -> NDArray[np.float64]:
    known = times_s[np.isfinite(times_s)]
    return np.sort(known[(known >= begin) & (known < end)] - begin)


def _coincidences(
    events: NDArray[np.float64],
    transients: NDArray[np.float64],
    length: float,
    window_s: float,
) -> int:
    """Events with a transient near, on the circle."""
    at = np.searchsorted(transients, events)
    after = np.abs(transients[at % len(transients)] - events)
    before = np.abs(transients[at - 1] - events)
    nearest = np.minimum(np.minimum(after, length - after), np.minimum(before, length - before))
    return int(np.count_nonzero(nearest <= window_s))
