"""Dates and times of day as potentiostats write them, of which some leave day and month open."""

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

DAY_S: Final = 86_400
"""Seconds of a day."""

_CLOCK: Final = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}(?:[.,]\d+)?))?\s*([AaPp])?\.?[Mm]?\.?$")
_DATE: Final = re.compile(r"(\d{1,4})[-/.](\d{1,2})[-/.](\d{1,4})$")


class Moments(NamedTuple):
    """Dates with times of day.

    Attributes
    ----------
    first
        The first of them.
    otherwise
        The first with day and month the other way round; None where that cannot be.
    since_s
        ``(n,)``, seconds from the first to each.
    """

    first: datetime
    otherwise: datetime | None
    since_s: NDArray[np.float64]


def read_moments(texts: Sequence[str], *, day_first: bool) -> Moments | int:
    """Read dates with times of day, all in one order of day, month and year.

    ``2024-01-15`` begins with the year. Otherwise a number above 12 in any of the dates
    tells which is the day. Where none does, dates that pass a day in the order of the
    days tell it too.

    Parameters
    ----------
    texts
        Such as ``01/15/2024 18:27:54.446``, ``15.01.2024 18:27:54,446``,
        ``2024-01-15T18:27:54`` or ``1/15/2024 6:27:54 PM``; at least one.
    day_first
        Which order to take where nothing tells.

    Returns
    -------
    Moments or int
        The moments; or the place of the first text that is none.

    Examples
    --------
    >>> found = read_moments(["03/04/2024 23:59:59,5", "03/04/2024 23:59:59,75"], day_first=False)
    >>> found.first.isoformat(), found.otherwise.isoformat(), found.since_s.tolist()
    ('2024-03-04T23:59:59.500000', '2024-04-03T23:59:59.500000', [0.0, 0.25])
    >>> read_moments(["15/01/2024 10:00:00", "yesterday"], day_first=False)
    1
    """
    split = [_parts(text) for text in texts]
    days: dict[str, tuple[date | None, date | None]] = {}
    clocks = np.empty(len(texts))
    for place, parts in enumerate(split):
        if parts is None:
            return place
        day, clock_s = parts
        if day not in days:
            days[day] = _dates(day)
            if days[day] == (None, None):
                return place
        clocks[place] = clock_s
    month_firsts = [pair[0] for pair in days.values()]
    day_firsts = [pair[1] for pair in days.values()]
    orders = {False: month_firsts, True: day_firsts}
    possible = [order for order, dates in orders.items() if None not in dates]
    if not possible:
        return next(place for place, text in enumerate(split) if text and None in days[text[0]])
    if len(possible) == 2:
        spans = {order: _span(dates) for order, dates in orders.items()}
        if spans[True] != spans[False]:  # the days of one record are next to one another
            possible = [min(spans, key=spans.__getitem__)]
    order = day_first if day_first in possible else possible[0]
    taken = {day: pair[order] for day, pair in days.items()}
    ordinals = [_ordinal(taken[parts[0]]) for parts in split if parts]
    since = (np.asarray(ordinals) - ordinals[0]) * DAY_S + (clocks - clocks[0])
    first = _moment(taken, split[0])
    other: datetime | None = None
    if len(possible) == 2:
        other = _moment({day: pair[not order] for day, pair in days.items()}, split[0])
    return Moments(first, None if other == first else other, np.round(since, 9))


def read_clock(text: str) -> float | None:
    """Read a time of day.

    Parameters
    ----------
    text
        Such as ``18:27:54.446``, ``18:27:54,446`` or ``6:27:54 PM``.

    Returns
    -------
    float or None
        Seconds since midnight; None if it is none.

    Examples
    --------
    >>> read_clock("6:27:54 PM"), read_clock("25:00:00")
    (66474.0, None)
    """
    found = _CLOCK.fullmatch(text.strip())
    if not found:
        return None
    hour, minute = int(found[1]), int(found[2])
    second = float((found[3] or "0").replace(",", "."))
    if found[4]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if found[4] in "Pp" else 0)
    if hour > 23 or minute > 59 or second >= 60:
        return None
    return hour * 3600 + minute * 60 + second


def _parts(text: str) -> tuple[str, float] | None:
    """Date as text, and seconds since midnight."""
    bare = text.strip().strip("\"'")
    bare = re.sub(r"(?:Z|[+-]\d{2}:?\d{2})$", "", bare) if "T" in bare else bare
    found = re.match(r"(\S+?)[T\s]+(.+)$", bare)
    if not found or not _DATE.fullmatch(found[1]):
        return None
    clock_s = read_clock(found[2])
    return None if clock_s is None else (found[1], clock_s)


def _dates(text: str) -> tuple[date | None, date | None]:
    """The date with the month first and with the day first; the same if the year comes first."""
    found = _DATE.fullmatch(text)
    assert found is not None
    one, two, three = (int(part) for part in found.groups())
    if len(found[1]) == 4:
        read = _date(one, two, three)
        return read, read
    if len(found[1]) > 2 or len(found[3]) not in (2, 4):
        return None, None
    year = three if len(found[3]) == 4 else 2000 + three
    return _date(year, one, two), _date(year, two, one)


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _ordinal(day: date | None) -> int:
    assert day is not None
    return day.toordinal()


def _span(days: Sequence[date | None]) -> int:
    """Days from the first to the last."""
    ordinals = [_ordinal(day) for day in days]
    return max(ordinals) - min(ordinals)


def _moment(taken: dict[str, date | None], parts: tuple[str, float] | None) -> datetime:
    assert parts is not None
    day = taken[parts[0]]
    assert day is not None
    return datetime(day.year, day.month, day.day) + timedelta(seconds=parts[1])
