"""A record of current, as every reader gives it."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Source:
    """Where a record comes from, as found in its file.

    Attributes
    ----------
    file
        Name of the file.
    format
        ``BioLogic mpt``, ``Gamry DTA`` or ``delimited text``.
    technique
        As the file names it; empty where it does not.
    encoding
        Of its text.
    time_column, current_column
        Their names in the file.
    time_unit, current_unit
        Their units in the file; ``clock`` for a column of dates or of times of day.
    unit_given
        Whether the unit of the current was not in the file but told by the user.
    """

    file: str
    format: str
    technique: str
    encoding: str
    time_column: str
    current_column: str
    time_unit: str
    current_unit: str
    unit_given: bool


@dataclass(frozen=True, eq=False)
class Current:
    """A record of current.

    Attributes
    ----------
    time_s
        ``(n,)``, strictly increasing, from the record's own start, which is `started`.
    current_ua
        ``(n,)``, finite, microamperes, with the sign of the file.
    potential_v
        ``(n,)``, volts, NaN where a row has none; None where the file has no such column.
    started
        Wall clock at time 0; None where the file does not tell.
    started_otherwise
        What it would be if day and month were the other way round, where the file leaves
        that open.
    clock_alone
        Whether only the time of day of `started` is known, not its date.
    area_cm2
        Exposed area; None where the file does not tell.
    source
        Where it comes from.
    remarks
        What was repaired or is to be known, one sentence each.
    """

    time_s: NDArray[np.float64]
    current_ua: NDArray[np.float64]
    potential_v: NDArray[np.float64] | None
    started: datetime | None
    started_otherwise: datetime | None
    clock_alone: bool
    area_cm2: float | None
    source: Source
    remarks: tuple[str, ...]
