"""Gamry's data files (``.DTA``) → a record of current."""

import re
from typing import Final, NamedTuple

from corroscope.current.dates import read_moments
from corroscope.current.record import Current
from corroscope.current.rows import Row
from corroscope.current.table import Asked, Header, make_current
from corroscope.errors import CurrentError

FIRST_LINE: Final = re.compile(r"EXPLAIN\s*$")
"""How these files begin."""

_TABLE: Final = re.compile(r"([A-Z]*CURVE\d*)\tTABLE(?:\t\d+)?\s*$")


class _Curve(NamedTuple):
    """One table of the file."""

    name: str
    line: int
    names: list[str]
    units: list[str]
    rows: list[Row]


def read_dta(text: str, encoding: str, file: str, asked: Asked) -> Current:
    r"""Read a Gamry data file.

    Its tables that have a current are taken one after the other, as long as time goes on;
    the open circuit before (``OCVCURVE``) has none. The unit is that of the row below the
    names. Gamry writes dates as the computer is set; where day and month are left open, the
    month is taken first, and `Current.started_otherwise` is the other reading.

    Parameters
    ----------
    text
        The file.
    encoding
        In which it was.
    file
        Its name.
    asked
        What the user told about it.

    Returns
    -------
    Current
        The record.

    Raises
    ------
    CurrentError
        If no table has a current, if a table begins before the end of the one before it, or
        as in `corroscope.current.table.make_current`.

    References
    ----------
    Gamry Instruments, *Echem Analyst* help, structure of data files. Compared in the tests
    with gamry-parser's ``GamryParser``.

    Examples
    --------
    >>> head = "EXPLAIN\nTAG\tCHRONOA\nCURVE\tTABLE\t2\n\tPt\tT\tVf\tIm\n\t#\ts\tV\tA\n"
    >>> text = head + "\t0\t0\t0.5\t2e-6\n\t1\t1\t0.5\t3e-6\n"
    >>> read_dta(text, "utf-8", "a.DTA", Asked()).current_ua.round(6)
    array([2., 3.])
    """
    lines = text.splitlines()
    curves, aborted = _curves(lines)
    values, tag = _values(lines)
    if not curves:
        raise CurrentError(f"{file} has no table (CURVE TABLE); save the finished measurement")
    wanted = "Im" if asked.current_column is None else asked.current_column
    useful = [curve for curve in curves if wanted in curve.names]
    if not useful:
        raise CurrentError(
            f"{file} has no current{f' ({tag})' if tag else ''}, only "
            f"{', '.join(name for name in curves[-1].names if name)}; "
            "give the file of a measurement at controlled potential"
        )
    first = useful[0]
    remarks = ["the measurement was aborted"] if aborted else []
    if len(useful) > 1:
        remarks.append(f"{len(useful)} tables ({first.name} to {useful[-1].name}) are joined")
    for curve in useful[1:]:
        if (curve.names, curve.units) != (first.names, first.units):
            raise CurrentError(
                f"{file} line {curve.line}: {curve.name} has other columns or units than "
                f"{first.name}; save them in files of their own"
            )
    found = read_moments([f"{values.get('DATE', '')} {values.get('TIME', '')}"], day_first=False)
    started = otherwise = None
    if isinstance(found, int):
        remarks.append("when it started cannot be read from its DATE and TIME")
    else:
        started, otherwise = found.first, found.otherwise
    header = Header(
        file=file,
        format="Gamry DTA",
        technique=values.get("TITLE", "") or tag,
        encoding=encoding,
        started=started,
        started_otherwise=otherwise,
        area_cm2=_area(values),
        remarks=tuple(remarks),
    )
    named = Asked(asked.unit, asked.time_column or "T", wanted)
    rows = [row for curve in useful for row in curve.rows]
    return make_current(first.names, first.units, rows, header, named)


def _curves(lines: list[str]) -> tuple[list[_Curve], bool]:
    """All tables, and whether the measurement was aborted."""
    curves: list[_Curve] = []
    aborted = False
    at = 0
    while at < len(lines):
        found = _TABLE.match(lines[at])
        aborted = aborted or lines[at].startswith("EXPERIMENTABORTED")
        at += 1
        if not found or at + 1 >= len(lines):
            continue
        names = [name.strip() for name in lines[at].split("\t")]
        units = [unit.strip() for unit in lines[at + 1].split("\t")]
        start, at, rows = at, at + 2, []
        while at < len(lines) and lines[at].startswith("\t"):
            rows.append(Row(at + 1, lines[at].split("\t")))
            at += 1
        curves.append(_Curve(found[1], start, names, units, rows))
    return curves, aborted


def _values(lines: list[str]) -> tuple[dict[str, str], str]:
    """Values of the header by name, and the tag of the technique."""
    values: dict[str, str] = {}
    for line in lines:
        if _TABLE.match(line):
            break
        cells = line.split("\t")
        if len(cells) == 2:
            values.setdefault(cells[0], cells[1].strip())
        elif len(cells) > 2:
            values.setdefault(cells[0], cells[2].strip())
    return values, values.get("TAG", "")


def _area(values: dict[str, str]) -> float | None:
    """In square centimetres, as Gamry has it."""
    try:
        area = float(values.get("AREA", "").replace(",", "."))
    except ValueError:
        return None
    return area if area > 0 else None
