"""Rows of text → numbers, with what is wrong told by line."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corroscope.errors import CurrentError

_NOTHING: Final = {"", "-", "--", "nan", "na", "n/a", "null", "none", "inf", "+inf", "-inf"}
"""What stands where there is no number."""


class Row(NamedTuple):
    """One row of a table.

    Attributes
    ----------
    line
        Its line in the file, from 1.
    cells
        As text.
    """

    line: int
    cells: list[str]


def read_numbers(
    rows: Sequence[Row], columns: Sequence[int], file: str
) -> list[NDArray[np.float64]]:
    """Read columns of numbers, with a decimal point or a decimal comma.

    Parameters
    ----------
    rows
        The rows, each with a cell in all of these columns.
    columns
        Which ones.
    file
        Name of the file, for messages.

    Returns
    -------
    list of ndarray of float64
        ``(rows,)`` for each column; NaN where there is no number.

    Raises
    ------
    CurrentError
        If a cell is no number, or if some numbers have a point and others a comma.

    Examples
    --------
    >>> read_numbers([Row(2, ["0,5", "1e-3"]), Row(3, ["1", "nan"])], [0, 1], "a.csv")
    [array([0.5, 1. ]), array([0.001,   nan])]
    """
    numbers = [np.full(len(rows), np.nan) for _ in columns]
    comma_line = point_line = 0
    for place, row in enumerate(rows):
        for column, values in zip(columns, numbers, strict=True):
            text = row.cells[column].strip().strip("\"'").strip()
            if "," in text:
                comma_line = comma_line or row.line
            if "." in text and "#" not in text:
                point_line = point_line or row.line
            try:
                values[place] = float(text.replace(",", ".", 1))
            except ValueError:
                if text.casefold() not in _NOTHING and "#" not in text:
                    raise CurrentError(
                        f"{file} line {row.line}: {text!r} is no number; "
                        "mend the line or export the file again"
                    ) from None
    if comma_line and point_line:
        raise CurrentError(
            f"{file}: line {comma_line} has a decimal comma and line {point_line} a decimal point; "
            "export it with one of them"
        )
    return numbers


def check_cells(rows: Sequence[Row], width: int, file: str) -> tuple[list[Row], list[str]]:
    """Check that all rows have as many cells as there are columns.

    The last row may be cut off, as it is in a file copied while it was written; it is
    then left out, and told.

    Parameters
    ----------
    rows
        The rows.
    width
        Number of columns.
    file
        Name of the file, for messages.

    Returns
    -------
    rows : list of Row
        Those that are whole.
    remarks : list of str
        About the last row, if it was cut off.

    Raises
    ------
    CurrentError
        If another row has fewer or more cells.

    Examples
    --------
    >>> rows, remarks = check_cells([Row(2, ["0", "1"]), Row(3, ["1"])], 2, "a.csv")
    >>> len(rows), remarks
    (1, ['the last line, 3, is cut off and left out'])
    """
    remarks: list[str] = []
    kept = list(rows)
    if len(kept) > 1 and len(kept[-1].cells) < width:
        remarks.append(f"the last line, {kept.pop().line}, is cut off and left out")
    for row in kept:
        if len(row.cells) != width:
            raise CurrentError(
                f"{file} line {row.line} has {len(row.cells)} values for {width} columns; "
                "mend it, or export the file with tabs or semicolons between columns"
            )
    return kept, remarks


class Series(NamedTuple):
    """Times and what was recorded at them.

    Attributes
    ----------
    time_s
        ``(n,)``, strictly increasing.
    current_ua, potential_v
        ``(n,)``; the potential is None where there is none.
    remarks
        What was repaired.
    """

    time_s: NDArray[np.float64]
    current_ua: NDArray[np.float64]
    potential_v: NDArray[np.float64] | None
    remarks: tuple[str, ...]


MOST_REPEATED: Final = 0.1
"""Largest share of rows that may have the time of the row before: with more, times were
written with too few digits to tell when anything was measured."""


def check_times(
    time_s: NDArray[np.float64],
    current_ua: NDArray[np.float64],
    potential_v: NDArray[np.float64] | None,
    lines: NDArray[np.int64],
    file: str,
) -> Series:
    """Check a record's times, and repair what can be repaired without inventing anything.

    Rows without a finite time or current are left out. So are rows that repeat the one
    before. Rows with the time of the one before but another current are averaged with it,
    if they are few.

    Parameters
    ----------
    time_s, current_ua, potential_v
        ``(rows,)``, as read.
    lines
        ``(rows,)``, lines in the file.
    file
        Name of the file, for messages.

    Returns
    -------
    Series
        Strictly increasing times.

    Raises
    ------
    CurrentError
        If times decrease, if many repeat, or if fewer than two rows are left.

    Examples
    --------
    >>> time_s, current_ua = np.array([0.0, 1, 1, 2]), np.array([5.0, 6, 6, np.nan])
    >>> found = check_times(time_s, current_ua, None, np.arange(4) + 2, "a.csv")
    >>> found.time_s.tolist(), found.remarks[0]
    ([0.0, 1.0], '1 row without a finite time or current is left out: line 5')
    """
    remarks: list[str] = []
    bad = ~(np.isfinite(time_s) & np.isfinite(current_ua))
    if bad.any():
        remarks.append(
            f"{_rows(bad)} without a finite time or current {_are(bad)} left out: "
            f"{_where(lines[bad])}"
        )
        time_s, current_ua, lines = time_s[~bad], current_ua[~bad], lines[~bad]
        potential_v = None if potential_v is None else potential_v[~bad]
    back = np.flatnonzero(np.diff(time_s) < 0)
    if back.size:
        place = int(back[0])
        again = " again" if time_s[place + 1] <= time_s[0] else ""
        raise CurrentError(
            f"{file} line {lines[place + 1]}: time goes back{again}, from {time_s[place]:.10g} "
            f"to {time_s[place + 1]:.10g} s; if these are several records in one file, "
            "give each a file of its own"
        )
    same_time = np.append(False, np.diff(time_s) == 0)
    same = same_time & np.append(False, np.diff(current_ua) == 0)
    if same.any():
        remarks.append(f"{_rows(same)} repeated the one before, left out: {_where(lines[same])}")
        time_s, current_ua, lines = time_s[~same], current_ua[~same], lines[~same]
        potential_v = None if potential_v is None else potential_v[~same]
    if time_s.size < 2:
        raise CurrentError(
            f"{file} has {time_s.size} usable row{'' if time_s.size == 1 else 's'}; "
            "a record needs at least two times with a current"
        )
    again_at = np.append(False, np.diff(time_s) == 0)
    if again_at.any():
        if again_at.mean() > MOST_REPEATED:
            raise CurrentError(
                f"{file}: {again_at.sum()} of {time_s.size} rows have the time of the row before, "
                f"first in line {lines[again_at][0]}; export times with more digits"
            )
        remarks.append(
            f"{_rows(again_at)} with the time of the one before but another current, averaged: "
            f"{_where(lines[again_at])}"
        )
        group = np.cumsum(~again_at) - 1
        number = np.bincount(group)
        time_s = time_s[~again_at]
        current_ua = np.bincount(group, current_ua) / number
        if potential_v is not None:
            potential_v = np.bincount(group, potential_v) / number
    return Series(time_s, current_ua, potential_v, tuple(remarks))


def _rows(which: NDArray[np.bool_]) -> str:
    number = int(which.sum())
    return f"{number} row{'' if number == 1 else 's'}"


def _are(which: NDArray[np.bool_]) -> str:
    return "is" if which.sum() == 1 else "are"


def _where(lines: NDArray[np.int64]) -> str:
    shown = ", ".join(str(line) for line in lines[:3])
    return f"line{'' if lines.size == 1 else 's'} {shown}" + (" and more" if lines.size > 3 else "")
