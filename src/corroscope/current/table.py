"""Named columns of text → a record: which columns, which units, which times."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from corroscope.current.dates import DAY_S, read_clock, read_moments
from corroscope.current.quantities import (
    CURRENT_UA,
    POTENTIAL_V,
    TIME_S,
    Heading,
    current_unit,
    read_heading,
)
from corroscope.current.record import Current, Source
from corroscope.current.rows import Row, check_cells, check_times, read_numbers
from corroscope.errors import CurrentError

NO_DATE: Final = datetime(1900, 1, 1)
"""Stands for the day where only the time of day is known."""


@dataclass(frozen=True)
class Asked:
    """What a user told about a file.

    Attributes
    ----------
    unit
        Of the current; None to take it from the file.
    time_column, current_column
        Their names; None to find them.
    """

    unit: str | None = None
    time_column: str | None = None
    current_column: str | None = None


@dataclass(frozen=True)
class Header:
    """What a file tells besides its table.

    Attributes
    ----------
    file, format, technique, encoding
        As in `corroscope.current.record.Source`.
    started, started_otherwise
        Wall clock at time 0, as in `corroscope.current.record.Current`.
    area_cm2
        Exposed area; None where unknown.
    day_first
        Order of dates where nothing tells it.
    remarks
        What is to be known.
    """

    file: str
    format: str
    encoding: str
    technique: str = ""
    started: datetime | None = None
    started_otherwise: datetime | None = None
    area_cm2: float | None = None
    day_first: bool = False
    remarks: tuple[str, ...] = ()


def make_current(
    names: Sequence[str],
    units_below: Sequence[str] | None,
    rows: Sequence[Row],
    header: Header,
    asked: Asked,
) -> Current:
    """Make a record of current out of a table of text.

    Parameters
    ----------
    names
        Of the columns.
    units_below
        The row of units below, if there is one.
    rows
        The table.
    header
        What the file tells besides.
    asked
        What the user told.

    Returns
    -------
    Current
        The record.

    Raises
    ------
    CurrentError
        If a column or unit is missing or left open, or as in `read_numbers` and `check_times`.

    Examples
    --------
    >>> rows = [Row(2, ["0", "1,5"]), Row(3, ["1", "2,5"])]
    >>> header = Header("a.csv", "delimited text", "utf-8")
    >>> make_current(["time/min", "I/mA"], None, rows, header, Asked()).current_ua
    array([1500., 2500.])
    """
    file = header.file
    below = list(units_below) if units_below is not None else [""] * len(names)
    below += [""] * (len(names) - len(below))
    headings = [read_heading(name, unit) for name, unit in zip(names, below, strict=False)]
    current_at = _current_column(headings, file, asked)
    unit, unit_given = _current_unit(headings[current_at], file, asked)
    time_at, clock_at = _time_columns(headings, file, asked)
    if not rows:
        raise CurrentError(f"{file} has no row below its column names; give a file with data")
    rows, remarks = check_cells(rows, len(names), file)
    potential_at = next((at for at, h in enumerate(headings) if h.kind == "potential"), None)
    if potential_at is not None and headings[potential_at].unit not in POTENTIAL_V:
        potential_at = None
    columns = [current_at] + ([] if potential_at is None else [potential_at])
    started, otherwise, alone = header.started, header.started_otherwise, False
    time_unit = "clock"
    if time_at is not None and _is_clock(rows[0].cells[time_at]):
        time_at, clock_at = None, time_at
    if clock_at is not None:
        clock_s, first, first_otherwise, alone, told = _clock_times(rows, clock_at, header)
        remarks += told
        started, otherwise = first, first_otherwise
    numbers = read_numbers(rows, columns + ([] if time_at is None else [time_at]), file)
    if time_at is not None:
        time_unit = headings[time_at].unit
        time_s = numbers[-1] * _time_scale(headings[time_at], file)
        if clock_at is not None and started is not None and np.isfinite(time_s[0]):
            begun = timedelta(seconds=float(time_s[0]))
            started = started - begun
            otherwise = None if otherwise is None else otherwise - begun
    else:
        time_s = clock_s
        time_at = clock_at
    assert time_at is not None
    scale_v = 1.0 if potential_at is None else POTENTIAL_V[headings[potential_at].unit]
    series = check_times(
        time_s,
        numbers[0] * CURRENT_UA[unit],
        None if potential_at is None else numbers[1] * scale_v,
        np.asarray([row.line for row in rows], np.int64),
        file,
    )
    if otherwise is not None and started is not None:
        remarks.append(
            f"its date is read as {started:%d %B %Y} but could be {otherwise:%d %B %Y}: "
            "day and month are left open"
        )
    return Current(
        series.time_s,
        series.current_ua,
        series.potential_v,
        started,
        otherwise,
        alone,
        header.area_cm2,
        Source(
            file,
            header.format,
            header.technique,
            header.encoding,
            headings[time_at].name.strip(),
            headings[current_at].name.strip(),
            time_unit,
            unit,
            unit_given,
        ),
        (*header.remarks, *remarks, *series.remarks),
    )


def _listed(headings: Sequence[Heading]) -> str:
    names = [h.name.strip() for h in headings if h.name.strip()]
    return ", ".join(names[:12]) + (" …" if len(names) > 12 else "")


def _named(headings: Sequence[Heading], name: str, file: str) -> int:
    """Place of the column that a user named."""
    for place, heading in enumerate(headings):
        if heading.name.strip().casefold() == name.strip().casefold():
            return place
    raise CurrentError(f"{file} has no column {name!r}; it has {_listed(headings)}")


def _current_column(headings: Sequence[Heading], file: str, asked: Asked) -> int:
    if asked.current_column is not None:
        return _named(headings, asked.current_column, file)
    places = [place for place, heading in enumerate(headings) if heading.kind == "current"]
    if not places:
        density = [heading.name for heading in headings if heading.kind == "density"]
        if density:
            raise CurrentError(
                f"{file}: {density[0].strip()!r} is a current per area; "
                "multiply it by the area and give a column such as I/mA"
            )
        raise CurrentError(
            f"{file} has no column of current, only {_listed(headings)}; "
            "export the current as well, or name its column"
        )
    mean = [place for place in places if headings[place].name.strip().startswith("<")]
    if len(places) == 2 and len(mean) == 1:  # beside values at one instant, those over the step
        return mean[0]
    if len(places) > 1:
        raise CurrentError(
            f"{file} has several columns of current: {_listed([headings[p] for p in places])}; "
            "name the one to take"
        )
    return places[0]


def _current_unit(heading: Heading, file: str, asked: Asked) -> tuple[str, bool]:
    """The unit, and whether the user gave it."""
    name = heading.name.strip()
    given = None if asked.unit is None else current_unit(asked.unit)
    if heading.kind == "density":
        raise CurrentError(
            f"{file}: {name!r} is a current per area; multiply it by the area "
            "and give a column such as I/mA"
        )
    if heading.unit in CURRENT_UA:
        if given is not None and given != heading.unit:
            raise CurrentError(
                f"{file}: column {name!r} is in {heading.unit}, but {given} was given; "
                "leave the unit out, or correct the file"
            )
        return heading.unit, False
    if given is not None:
        return given, True
    told = f"an unknown unit, {heading.unit_text!r}" if heading.unit_text else "no unit"
    raise CurrentError(f"{file}: column {name!r} has {told}; give it, as in --current-unit mA")


def _time_columns(
    headings: Sequence[Heading], file: str, asked: Asked
) -> tuple[int | None, int | None]:
    """Places of the columns of times and of clocks."""
    clocks = [place for place, heading in enumerate(headings) if heading.kind == "clock"]
    if asked.time_column is not None:
        place = _named(headings, asked.time_column, file)
        return (None, place) if place in clocks else (place, clocks[0] if clocks else None)
    places = [place for place, heading in enumerate(headings) if heading.kind == "time"]
    if len(places) > 1:
        corrected = [p for p in places if "corrected" in headings[p].name.casefold()]
        if len(corrected) != 1:
            raise CurrentError(
                f"{file} has several columns of time: {_listed([headings[p] for p in places])}; "
                "name the one to take"
            )
        places = corrected
    if not places and not clocks:
        raise CurrentError(
            f"{file} has no column of time, only {_listed(headings)}; "
            "export the time as well, or name its column"
        )
    return places[0] if places else None, clocks[0] if clocks else None


def _time_scale(heading: Heading, file: str) -> float:
    if heading.unit in TIME_S:
        return TIME_S[heading.unit]
    told = f"an unknown unit, {heading.unit_text!r}" if heading.unit_text else "no unit"
    raise CurrentError(
        f"{file}: column {heading.name.strip()!r} has {told}; write it into the name, as in time/s"
    )


def _is_clock(text: str) -> bool:
    return re.search(r"\d:\d\d", text) is not None


def _clock_times(
    rows: Sequence[Row], column: int, header: Header
) -> tuple[NDArray[np.float64], datetime, datetime | None, bool, list[str]]:
    """Times from the first, its date both ways, whether the day is unknown, and remarks."""
    texts = [row.cells[column].strip().strip("\"'").strip() for row in rows]
    clocks = [read_clock(text) for text in texts]
    if clocks[0] is None:
        found = read_moments(texts, day_first=header.day_first)
        if isinstance(found, int):
            raise CurrentError(
                f"{header.file} line {rows[found].line}: {texts[found]!r} is no date with a time; "
                "write it as 2024-01-31 18:27:54.446"
            )
        return found.since_s, found.first, found.otherwise, False, []
    seconds = np.empty(len(rows))
    for place, clock_s in enumerate(clocks):
        if clock_s is None:
            raise CurrentError(
                f"{header.file} line {rows[place].line}: {texts[place]!r} is no time of day; "
                "write it as 18:27:54.446"
            )
        seconds[place] = clock_s
    # A step back by more than half a day is midnight; a smaller one is left to be told.
    nights = np.append(0, np.cumsum(np.diff(seconds) < -DAY_S / 2))
    remarks = []
    if nights[-1]:
        line = rows[int(np.argmax(nights > 0))].line
        remarks.append(f"its clock passes midnight before line {line}")
    first = NO_DATE + timedelta(seconds=float(seconds[0]))
    return np.round(seconds - seconds[0] + nights * DAY_S, 9), first, None, True, remarks
