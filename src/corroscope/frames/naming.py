"""File names → conditions of the experiment and time of the frame."""

import datetime
import functools
import math
import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import NamedTuple

from corroscope.errors import FrameError, SettingsError

GROUPS = (
    "concentration_mm",
    "potential_v",
    "repeat",
    "year",
    "month",
    "day",
    "hour",
    "minute",
    "second",
    "fraction",
    "time_s",
    "index",
)
"""Named groups that a pattern may have."""

_NUMBER = r"(?:\d+(?:[.,]\d+)?|[.,]\d+)(?:[eE][-+]?\d{1,2})?"
_CONCENTRATION = re.compile(rf"(?<![\d.,])({_NUMBER})\s?([nuµμm]?)M(?![A-Za-z])")
_POTENTIAL = re.compile(rf"(?<![\d.,])([-+−]?)({_NUMBER})\s?(m?)V(?=vs|[^A-Za-z]|\Z)")
_REPEAT = re.compile(r"(?<=[MV])\s?\((\d{1,6})\)")
_MILLIMOLAR = {"n": "1e-6", "u": "1e-3", "µ": "1e-3", "μ": "1e-3", "m": "1", "": "1e3"}

_DATE = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d\d)(?P<separator>[-_.]?)(?P<month>\d\d)(?P=separator)"
    r"(?P<day>\d\d)(?:(?!\d)|(?=(?:\d{6}|\d{9})(?!\d)))"
)
_CUT = "\0"
"""Stands where a date was; no file name has it."""

_FRACTION = r"(?:[.,](?P<fraction>\d{0,9}))?"
_CLOCKS = (
    r"(?<!\d)(?<!\d[.,])(?P<hour>\d\d|\d(?=[-:]))(?P<separator>[-_.:])(?P<minute>\d\d)"
    r"(?P=separator)(?P<second>\d\d)" + _FRACTION + r"(?!\d)",
    r"(?<!\d)(?P<hour>\d{1,2})h(?P<minute>\d\d)m(?:in)?(?P<second>\d\d)"
    + _FRACTION
    + "(?P<end>s?)",
    _CUT + r"[-_T ]?(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)"
    r"(?:[.,]?(?P<fraction>\d{3}|\d{6}|(?<=[.,])\d{0,9}))?(?!\d)",
)
_END = rf"(?:[-_ ]?{_CUT})?(?:[-_ ](?P<index>\d+))?\Z"
_ANYWHERE = tuple(re.compile(clock) for clock in _CLOCKS)
_AT_THE_END = tuple(re.compile(clock + _END) for clock in _CLOCKS)

_REMEDY = "move it out, or give a pattern"


class Conditions(NamedTuple):
    """Under what conditions a run was recorded; None where unknown.

    Attributes
    ----------
    concentration_mm
        Chloride concentration in mmol/L.
    potential_v
        Potential in volt, against whichever reference electrode was used.
    repeat
        Number of the repeat.
    """

    concentration_mm: float | None = None
    potential_v: float | None = None
    repeat: int | None = None


class Name(NamedTuple):
    """What a file name tells; None for what is not there.

    Attributes
    ----------
    concentration_mm, potential_v, repeat
        As in `Conditions`.
    date
        Day of the recording.
    clock_s
        Wall clock, in seconds since midnight.
    time_s
        Plain seconds, only by a pattern of one's own.
    index
        A number that tells order and no time.
    doubt
        Why a condition that seems to be there was not read.
    """

    concentration_mm: float | None = None
    potential_v: float | None = None
    repeat: int | None = None
    date: datetime.date | None = None
    clock_s: float | None = None
    time_s: float | None = None
    index: int | None = None  # type: ignore[assignment]
    doubt: str | None = None

    @property
    def conditions(self) -> Conditions:
        """Concentration, potential and repeat."""
        return Conditions(self.concentration_mm, self.potential_v, self.repeat)

    @property
    def tells_order(self) -> bool:
        """Whether there is a clock, a time or an index."""
        return (self.clock_s, self.time_s, self.index) != (None, None, None)


def read_name(stem: str, pattern: str | None = None) -> Name:
    """Read conditions and time from the name of a frame.

    Without a pattern these are found: a concentration in nM, µM, uM, mM or M; a
    potential in mV or V; the repeat in parentheses after either; a date as 2024-03-05
    or 20240305; and the clock at the end, ``18-27-56.446``, with ``-``, ``_``, ``.`` or
    ``:`` between its parts or as ``18h27m56s``, after a date also ``182756``. A comma
    serves as decimal point. A number may follow the clock.

    Parameters
    ----------
    stem
        File name without its ending.
    pattern
        Regular expression of one's own, found anywhere in the name. Its named groups,
        out of `GROUPS`, take the place of all the above.

    Returns
    -------
    Name
        What the name tells.

    Raises
    ------
    FrameError
        If the name tells neither time nor order, its clock or date does not exist, or
        something follows the clock.
    SettingsError
        If the pattern is no regular expression, has other groups, or none that tells
        order.

    Examples
    --------
    >>> name = read_name("30mM(2)_1.6V-w-snaps-18-27-56.446")
    >>> name.concentration_mm, name.potential_v, name.repeat, name.clock_s
    (30.0, 1.6, 2, 66476.446)
    >>> read_name("series7_t0042", r"_t(?P<time_s>[0-9]+)").time_s
    42.0
    >>> read_name("flatfield")
    Traceback (most recent call last):
    corroscope.errors.FrameError: flatfield: has no clock time such as 18-27-56.446 at its end; \
move it out, or give a pattern
    """
    name = find_parts(stem, pattern)
    if name.tells_order:
        return name
    if pattern is not None:
        raise FrameError(f"{stem}: does not fit the pattern {pattern}; move it out, or correct it")
    raise FrameError(f"{stem}: has no clock time such as 18-27-56.446 at its end; {_REMEDY}")


def find_parts(stem: str, pattern: str | None = None) -> Name:
    """Like `read_name`, for names that need not tell time or order.

    Parameters
    ----------
    stem
        File name without its ending.
    pattern
        As in `read_name`.

    Returns
    -------
    Name
        What the name tells, perhaps nothing.

    Raises
    ------
    FrameError
        If there is a clock or date that cannot be read or does not exist.
    SettingsError
        As in `read_name`.

    Examples
    --------
    >>> find_parts("30mM_1.6V_flatfield").clock_s is None
    True
    """
    if pattern is None:
        return _find_clock(stem, find_conditions(stem))
    found = _compile(pattern).search(stem)
    if found is None:
        return Name()
    parts = {group: text for group, text in found.groupdict().items() if text is not None}
    index, repeat = _number(parts, "index", stem), _number(parts, "repeat", stem)
    return Name(
        concentration_mm=_number(parts, "concentration_mm", stem),
        potential_v=_number(parts, "potential_v", stem),
        repeat=None if repeat is None else int(repeat),
        date=_date(parts, stem),
        clock_s=_clock_s(parts, stem),
        time_s=_number(parts, "time_s", stem),
        index=None if index is None else int(index),
    )


def check_pattern(pattern: str) -> None:
    """Check a pattern before it is used.

    Parameters
    ----------
    pattern
        As in `read_name`.

    Raises
    ------
    SettingsError
        As in `read_name`.

    Examples
    --------
    >>> check_pattern("(?P<colour>red|blue)")
    Traceback (most recent call last):
    corroscope.errors.SettingsError: pattern: has the group colour; allowed are concentration_mm, \
potential_v, repeat, year, month, day, hour, minute, second, fraction, time_s, index
    """
    _compile(pattern)


@functools.lru_cache(maxsize=8)
def _compile(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise SettingsError(
            f"pattern: {pattern} is no regular expression ({error}); correct it"
        ) from None
    groups = set(compiled.groupindex)
    unknown = sorted(groups - set(GROUPS))
    if unknown:
        raise SettingsError(f"pattern: has the group {unknown[0]}; allowed are {', '.join(GROUPS)}")
    if not groups & {"hour", "time_s", "index"}:
        raise SettingsError(
            f"pattern: {pattern} tells no order; add the group hour, time_s or index"
        )
    if {"hour", "time_s"} <= groups:
        raise SettingsError("pattern: has a clock (hour) and time_s; leave one of them out")
    needs = {"hour": {"minute"}, "minute": {"hour"}, "second": {"minute"}, "fraction": {"second"}}
    needs |= {part: {"year", "month", "day", "hour"} for part in ("year", "month", "day")}
    for group in sorted(groups & set(needs)):
        missing = sorted(needs[group] - groups)
        if missing:
            raise SettingsError(f"pattern: has the group {group}; add {' and '.join(missing)}")
    return compiled


def _number(parts: Mapping[str, str], group: str, stem: str) -> float | None:
    if group not in parts:
        return None
    text = parts[group].replace(",", ".").replace("−", "-")
    try:
        value = float(int(text)) if group in ("index", "repeat") else float(text)
    except (ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise FrameError(f"{stem}: {group} is {parts[group]!r} and no number; correct the pattern")
    return value


def _clock_s(parts: Mapping[str, str], stem: str) -> float | None:
    if "hour" not in parts:
        return None
    fraction = parts.get("fraction") or "0"
    shown = ":".join(parts[part] for part in ("hour", "minute", "second") if part in parts)
    try:
        hour, minute = int(parts["hour"]), int(parts.get("minute", ""))
        second = int(parts.get("second", "0"))
        nanoseconds = int(f"{fraction:0<9}"[:9])
    except ValueError:
        raise FrameError(f"{stem}: {shown!r} is no clock time; correct the pattern") from None
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):
        raise FrameError(f"{stem}: there is no clock time {shown}; {_REMEDY}")
    return ((hour * 60 + minute) * 60 + second) + nanoseconds / 1e9


def _date(parts: Mapping[str, str], stem: str) -> datetime.date | None:
    if "year" not in parts:
        return None
    shown = "-".join(parts.get(part, "?") for part in ("year", "month", "day"))
    try:
        return datetime.date(*(int(parts.get(part, "")) for part in ("year", "month", "day")))
    except ValueError:
        raise FrameError(f"{stem}: there is no date {shown}; {_REMEDY}") from None


def _find_clock(stem: str, conditions: Name) -> Name:
    date = _DATE.search(stem)
    text = stem if date is None else stem[: date.start()] + _CUT + stem[date.end() :]
    found = next((match for clock in _AT_THE_END if (match := clock.search(text))), None)
    if found is None:
        early = next((match for clock in _ANYWHERE if (match := clock.search(text))), None)
        if early is not None:
            clock, rest = (part.replace(_CUT, "") for part in (early[0], text[early.end() :]))
            raise FrameError(f"{stem}: {rest!r} follows the clock {clock!r}; {_REMEDY}")
        return conditions
    parts = {group: part for group, part in found.groupdict().items() if part is not None}
    # Without a fraction of the second, further numbers may be a part of the clock.
    if "fraction" not in parts and not parts.get("end"):
        separator = re.escape(parts.get("separator", _CUT))
        if "index" in parts or re.search(rf"\d{separator}\Z", text[: found.start()]):
            raise FrameError(
                f"{stem}: which of its numbers are the clock cannot be told; give a pattern"
            )
    return conditions._replace(
        date=None if date is None else _date(date.groupdict(), stem),
        clock_s=_clock_s(parts, stem),
        index=int(parts["index"]) if "index" in parts else None,
    )


def find_conditions(stem: str) -> Name:
    """Read the conditions from a name without regard to time, as of a stack or video.

    Parameters
    ----------
    stem
        File name without its ending.

    Returns
    -------
    Name
        The conditions, and a doubt where one of them could not be told.

    Examples
    --------
    >>> find_conditions("0,5mM_-250mV(3)").conditions
    Conditions(concentration_mm=0.5, potential_v=-0.25, repeat=3)
    >>> find_conditions("5mM-1.6V").doubt
    'whether the potential -1.6V is negative cannot be told'
    """
    doubts: list[str] = []
    concentrations = {
        _scaled(number, _MILLIMOLAR[prefix]) for number, prefix in _CONCENTRATION.findall(stem)
    }
    potentials: set[float | None] = set()
    for found in _POTENTIAL.finditer(stem):
        sign, number, prefix = found.groups()
        before = stem[: found.start()][-1:]
        if sign == "-" and (before.isalnum() or before == ")"):
            doubts.append(f"whether the potential {found[0]} is negative cannot be told")
            potentials.add(None)
            continue
        size = _scaled(number, "1e-3" if prefix else "1")
        potentials.add(-size if sign in ("-", "−") else size)
    repeats = {int(number) for number in _REPEAT.findall(stem)}
    several: dict[str, Collection[float | None]] = {
        "concentrations": concentrations,
        "potentials": potentials,
        "repeats": repeats,
    }
    doubts += [f"has several {what}" for what, values in several.items() if len(values) > 1]
    return Name(
        concentration_mm=concentrations.pop() if len(concentrations) == 1 else None,
        potential_v=potentials.pop() if len(potentials) == 1 else None,
        repeat=repeats.pop() if len(repeats) == 1 else None,
        doubt="; ".join(doubts) or None,
    )


def _scaled(number: str, factor: str) -> float:
    # In decimals: 0.3 M are 300 mM, and not 299.99999999999994.
    return float(Decimal(number.replace(",", ".")) * Decimal(factor))
