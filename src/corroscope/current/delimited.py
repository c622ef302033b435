"""Text files with columns (CSV and the like) → a record of current."""

import csv
import re
from collections.abc import Sequence
from typing import Final

from corroscope.current.quantities import known_unit, read_heading
from corroscope.current.record import Current
from corroscope.current.rows import Row
from corroscope.current.table import Asked, Header, make_current
from corroscope.errors import CurrentError

HEADER_REACH: Final = 200
"""Lines among which the names of the columns are looked for."""

SEPARATORS: Final = ("\t", ";", ",", " ")
"""What may part columns; blanks only where nothing else does."""


def read_delimited(text: str, encoding: str, file: str, asked: Asked) -> Current:
    r"""Read a text file with named columns.

    The names are in the first line that has one of a time and one of a current, or those that
    the user told; a row of units may follow. Columns are parted by tabs, semicolons, commas or
    blanks, whichever makes columns of that line.

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
        If no line names the columns, if names are repeated within the table, or as in
        `corroscope.current.table.make_current`.

    Examples
    --------
    >>> text = "Corrected time (s);WE(1).Current (A)\n0,5;2E-6\n1,0;3E-6\n"
    >>> read_delimited(text, "utf-8", "a.csv", Asked()).time_s
    array([0.5, 1. ])
    """
    lines = text.splitlines()
    at, separator, names = _find_names(lines, file, asked)
    rows: list[Row] = []
    units: list[str] | None = None
    for place in range(at + 1, len(lines)):
        line = lines[place]
        if not line.strip():
            continue
        cells = _cells(line, separator)
        while len(cells) > len(names) and not cells[-1].strip():
            cells.pop()
        if cells == names:
            raise CurrentError(
                f"{file} line {place + 1} names the columns again; "
                "if these are several records in one file, give each a file of its own"
            )
        if not rows and units is None and _are_units(cells):
            units = cells
            continue
        rows.append(Row(place + 1, cells))
    header = Header(
        file=file,
        format="delimited text",
        encoding=encoding,
        # Where the comma is the decimal mark, dates have the day first.
        day_first=separator != "," and bool(re.search(r"\d,\d", "".join(lines[at + 1 : at + 4]))),
    )
    return make_current(names, units, rows, header, asked)


def _find_names(lines: Sequence[str], file: str, asked: Asked) -> tuple[int, str, list[str]]:
    """Place, separator and cells of the line that names the columns."""
    seen: list[str] = []
    for place, line in enumerate(lines[:HEADER_REACH]):
        for separator in SEPARATORS:
            cells = _cells(line, separator)
            while len(cells) > 1 and not cells[-1].strip():
                cells.pop()
            if len(cells) < 2:
                continue
            kinds = {read_heading(cell).kind for cell in cells}
            named = {_plain(cell) for cell in cells}
            time = kinds & {"time", "clock"}
            current = kinds & {"current", "density"}
            if asked.time_column is not None:
                time = {"time"} & {"time" if _plain(asked.time_column) in named else ""}
            if asked.current_column is not None:
                current = {"current"} & {"current" if _plain(asked.current_column) in named else ""}
            if time and current:
                return place, separator, cells
            if (time or current) and not seen:
                seen = [cell.strip() for cell in cells]
    if seen:
        raise CurrentError(
            f"{file} has no line that names a time and a current, only {', '.join(seen[:12])}; "
            "name them as in time/s and I/mA, or tell which columns they are"
        )
    raise CurrentError(
        f"{file} has no line that names a time and a current; "
        "name its columns as in time/s and I/mA"
    )


def _plain(name: str) -> str:
    return name.strip().casefold()


def _cells(line: str, separator: str) -> list[str]:
    if separator == " ":
        return line.split()
    return next(csv.reader([line], delimiter=separator), [])


def _are_units(cells: Sequence[str]) -> bool:
    """Whether a row holds units, not numbers."""
    bare = [cell.strip().strip("()[]").strip() for cell in cells]
    return any(known_unit(cell) for cell in bare) and not any(
        re.match(r"[-+]?[0-9]", cell) for cell in bare
    )
