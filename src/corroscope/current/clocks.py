"""Wall clocks of a record and of a film → how far apart they began."""

from datetime import date, datetime, timedelta

import numpy as np

from corroscope.current.dates import DAY_S
from corroscope.current.record import Current
from corroscope.errors import CurrentError


def clock_offset(
    current: Current,
    duration_s: float,
    clock_s: float | None,
    day: date | None = None,
    *,
    limit_s: float = 0.0,
) -> float:
    """Time of a record's start on the frames' clock, as the wall clocks have it.

    Where the day of the frames or of the record is unknown, they are taken to be of the day
    on which they overlap most.

    Parameters
    ----------
    current
        The record.
    duration_s
        From the first frame to the last.
    clock_s
        Wall clock of the first frame, in seconds since midnight; None where unknown.
    day
        Its day; None where unknown.
    limit_s
        By how much the clocks may be wrong.

    Returns
    -------
    float
        What to add to the record's times to have the frames'; NaN where a clock is unknown.

    Raises
    ------
    CurrentError
        If the record does not overlap the film, even if a clock is wrong by ``limit_s``.

    Examples
    --------
    >>> from corroscope.current.table import Asked, Header, make_current, Row
    >>> rows = [Row(2, ["23:59:50", "1"]), Row(3, ["00:01:00", "2"])]
    >>> record = make_current(["clock", "I/mA"], None, rows, Header("a", "", ""), Asked())
    >>> clock_offset(record, 60.0, 20.0)
    -30.0
    """
    if clock_s is None or current.started is None:
        return np.nan
    first, last = float(current.time_s[0]), float(current.time_s[-1])
    starts = [current.started]
    if current.started_otherwise is not None:
        starts.append(current.started_otherwise)
    if day is not None and not current.clock_alone:
        film = datetime(day.year, day.month, day.day) + timedelta(seconds=clock_s)
        offsets = [(start - film).total_seconds() for start in starts]
    else:
        midnight = datetime(starts[0].year, starts[0].month, starts[0].day)
        apart = (starts[0] - midnight).total_seconds() - clock_s
        # A record may begin days before a film that it still reaches.
        fewest = int((first + apart) // DAY_S)
        most = int(max(last - first, duration_s) // DAY_S) + 2
        offsets = [apart + DAY_S * days for days in range(-most - abs(fewest), most + 1)]
    shared = [min(last + at, duration_s) - max(first + at, 0.0) for at in offsets]
    best = int(np.argmax(shared))
    if shared[best] <= -limit_s:
        told = _told(current, clock_s, day, duration_s)
        raise CurrentError(
            f"{current.source.file} does not overlap the frames: {told}; "
            "give the record of this film, or correct the clock"
        )
    return offsets[best]


def _told(current: Current, clock_s: float, day: date | None, duration_s: float) -> str:
    """Both spans in words."""
    assert current.started is not None
    begun = current.started + timedelta(seconds=float(current.time_s[0]))
    ended = current.started + timedelta(seconds=float(current.time_s[-1]))
    film = datetime(1900, 1, 1) + timedelta(seconds=clock_s)
    done = film + timedelta(seconds=duration_s)
    on_day = "" if current.clock_alone else f" on {begun:%Y-%m-%d}"
    film_day = "" if day is None else f" on {day:%Y-%m-%d}"
    return (
        f"it was recorded from {begun:%H:%M:%S} to {ended:%H:%M:%S}{on_day}, "
        f"they were taken from {film:%H:%M:%S} to {done:%H:%M:%S}{film_day}"
    )
