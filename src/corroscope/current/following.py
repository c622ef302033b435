"""What is set beside each other at each lag: an optical signal summed up, and the record."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corroscope.current.charge import Charge
from corroscope.current.record import Current

FEWEST: Final = 12
"""Frames that must be covered by the record: a regression with three coefficients and two roots
says nothing from fewer."""

LONG: Final = 100
"""From so many frames on, a drift may bend: shapes of pits that differ from those assumed bend the
sum in a way that no noise does. In fewer frames a bend cannot be told from the growth itself."""

MOST_LAGS: Final = 3000
"""Lags of the coarse search, at most."""


class Seen(NamedTuple):
    """What is compared.

    Attributes
    ----------
    time_s
        ``(times,)``, usable frames.
    level
        ``(times,)``, the signal summed up, without a drift, of standard deviation 1.
    parts
        ``(times, pits)``, the sums of each pit on the same scale; no column if not by pit.
    drift
        ``(times, columns)``, what the level may have besides.
    charge, current
        The record.
    relation
        ``charge`` or ``current``: what the level is to follow.
    """

    time_s: NDArray[np.float64]
    level: NDArray[np.float64]
    parts: NDArray[np.float64]
    drift: NDArray[np.float64]
    charge: Charge
    current: Current
    relation: str


def sum_up(
    current: Current,
    frame_time_s: NDArray[np.float64],
    optical_rate: NDArray[np.float64],
    relation: str,
) -> tuple[Seen | None, str]:
    """Sum an optical signal up over usable frames.

    Parameters
    ----------
    current, frame_time_s, optical_rate, relation
        As in `corroscope.current.offset.find_offset`.

    Returns
    -------
    seen : Seen or None
        None where there is nothing to compare.
    reason : str
        Why not.

    Examples
    --------
    >>> from corroscope.current.record import Source
    >>> source = Source("a", "", "", "", "", "", "s", "µA", False)
    >>> two = np.array([0.0, 1.0])
    >>> record = Current(two, two, None, None, None, False, None, source, ())
    >>> sum_up(record, np.full(20, np.nan), np.ones(20), "charge")
    (None, 'the times of the frames are unknown')
    """
    if not np.isfinite(frame_time_s).any():
        return None, "the times of the frames are unknown"
    by_part = optical_rate.reshape(len(frame_time_s), -1)
    usable = np.isfinite(frame_time_s) & np.isfinite(by_part).all(axis=1)
    first = np.isfinite(frame_time_s) & (np.cumsum(usable) == 0)
    if first.any():  # since when the first rate counts
        usable[np.flatnonzero(first)[-1]] = True
    time_s = frame_time_s[usable]
    rates = np.nan_to_num(by_part[usable])
    if len(time_s) < FEWEST:
        return None, f"only {len(time_s)} frames tell something, {FEWEST} are needed"
    parts: NDArray[np.float64] = np.zeros_like(rates)
    parts[1:] = np.cumsum(rates[1:] * np.diff(time_s)[:, None], axis=0)
    level = parts.sum(axis=1)
    since = time_s - time_s.mean()
    degree = 3 if len(time_s) >= LONG else 1
    drift = np.polynomial.legendre.legvander(since / max(np.abs(since).max(), 1e-12), degree)
    rest = level - drift @ np.linalg.lstsq(drift, level, rcond=None)[0]
    if np.std(rest) <= 1e-9 * max(np.abs(level).max(), 1e-300):
        return None, "the optical signal does not change, so that nothing can be compared"
    charge = Charge(current.time_s, current.current_ua - np.median(current.current_ua))
    size = float(np.std(rest))
    parts = parts / size if optical_rate.ndim == 2 else np.zeros((len(time_s), 0))
    return Seen(time_s, rest / size, parts, drift, charge, current, relation), ""


def coarse_lags(seen: Seen, expected: float, limit_s: float, step: float) -> NDArray[np.float64]:
    """Lags of a first search.

    Parameters
    ----------
    seen
        What is compared.
    expected
        The offset as the wall clocks have it; NaN to search wherever record and frames meet.
    limit_s
        By how much they may be wrong.
    step
        Interval between frames.

    Returns
    -------
    ndarray of float64
        ``(lags,)``, ascending, half a frame interval apart if there are not too many.

    Examples
    --------
    >>> from corroscope.current.record import Source
    >>> source = Source("a", "", "", "", "", "", "s", "µA", False)
    >>> record = Current(
    ...     np.arange(40.0), np.arange(40.0), None, None, None, False, None, source, ()
    ... )
    >>> seen, _ = sum_up(record, np.arange(20.0), np.arange(20.0), "charge")
    >>> assert seen is not None
    >>> coarse_lags(seen, -3.0, 1.0, 1.0).tolist()
    [-4.0, -3.5, -3.0, -2.5, -2.0]
    """
    start, end = seen.current.time_s[[0, -1]]
    low, high = float(seen.time_s[0] - end), float(seen.time_s[-1] - start)
    if np.isfinite(expected):
        low, high = max(low, expected - limit_s), min(high, expected + limit_s)
    number = int(np.clip(np.ceil(2 * (high - low) / step), 2, MOST_LAGS))
    return np.linspace(low, high, number + 1)


def shift(seen: Seen, lags: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What the level is to follow at each lag, and where the record covers it.

    Parameters
    ----------
    seen
        What is compared.
    lags
        ``(lags,)``, what to add to the record's times.

    Returns
    -------
    values : ndarray of float64
        ``(lags, times)``, charge or current, of standard deviation 1.
    covered : ndarray of bool
        ``(lags, times)``.

    Examples
    --------
    >>> from corroscope.current.record import Source
    >>> source = Source("a", "", "", "", "", "", "s", "µA", False)
    >>> record = Current(
    ...     np.arange(40.0), np.arange(40.0), None, None, None, False, None, source, ()
    ... )
    >>> seen, _ = sum_up(record, np.arange(20.0), np.arange(20.0), "charge")
    >>> assert seen is not None
    >>> shift(seen, np.array([0.0, 5.0]))[1].sum(axis=1).tolist()
    [20, 15]
    """
    at = seen.time_s[None] - lags[:, None]
    start, end = seen.current.time_s[[0, -1]]
    if seen.relation == "charge":
        reach = 0.0
        values = seen.charge.until(at)
    else:  # over an interval between frames, so that the current's own noise is averaged
        reach = float(np.median(np.diff(seen.time_s))) / 2
        values = (seen.charge.until(at + reach) - seen.charge.until(at - reach)) / (2 * reach)
    slack = 1e-9 * max(abs(start), abs(end), 1.0)
    covered = (at - reach >= start - slack) & (at + reach <= end + slack)
    scale = np.std(values)
    return values / (scale if scale > 0 else 1.0), covered
