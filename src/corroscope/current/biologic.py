"""EC-Lab's text files (``.mpt``) → a record of current."""

import re
from typing import Final

from corroscope.current.dates import read_moments
from corroscope.current.quantities import AREA_CM2
from corroscope.current.record import Current
from corroscope.current.rows import Row
from corroscope.current.table import Asked, Header, make_current
from corroscope.errors import CurrentError

FIRST_LINE: Final = re.compile(r"(?:EC|BT)-Lab ASCII FILE\s*$")
"""How these files begin."""

PLACEHOLDER_CM2: Final = 0.001
"""The area that EC-Lab writes when nobody has entered one."""


def read_mpt(text: str, encoding: str, file: str, asked: Asked) -> Current:
    r"""Read an EC-Lab text file.

    The second line tells how many lines the header has; the last of them names the columns.
    Times count from the start of the acquisition, through all techniques that were linked
    to one another; where they were exported as dates, they are read as such. EC-Lab writes
    the month before the day. Where no number tells, that is taken, and
    `Current.started_otherwise` is the other reading.

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
        If the header is broken, or as in `corroscope.current.table.make_current`.

    References
    ----------
    BioLogic, *EC-Lab software: techniques and applications*, export as text. Compared in the
    tests with galvani's ``MPTfile``.

    Examples
    --------
    >>> head = "EC-Lab ASCII FILE\nNb header lines : 4\n\ntime/s\t<I>/mA\n"
    >>> read_mpt(head + "0,0\t0,002\n0,1\t0,003\n", "utf-8", "a.mpt", Asked()).current_ua
    array([2., 3.])
    """
    lines = text.splitlines()
    found = re.match(r"Nb header lines\s*:\s*(\d+)\s*$", lines[1]) if len(lines) > 1 else None
    if not found:
        raise CurrentError(
            f"{file} line 2 does not tell 'Nb header lines'; export it from EC-Lab again"
        )
    number = int(found[1])
    if not 3 <= number <= len(lines):
        raise CurrentError(
            f"{file} line 2 tells {number} header lines, but the file has {len(lines)} lines; "
            "export it from EC-Lab again"
        )
    head = lines[2 : number - 1]
    names = lines[number - 1].rstrip("\t").split("\t")
    rows = []
    for place, line in enumerate(lines[number:], number + 1):
        if not line.strip():
            continue
        cells = line.split("\t")
        while len(cells) > len(names) and not cells[-1].strip():
            cells.pop()  # rows may end with a tab
        rows.append(Row(place, cells))
    return make_current(names, None, rows, _header(head, encoding, file), asked)


def _header(head: list[str], encoding: str, file: str) -> Header:
    values: dict[str, str] = {}
    for line in head:
        name, colon, value = line.partition(" : ")
        if colon:
            values.setdefault(name.strip(), value.strip())
    technique = next((line.strip() for line in head if line.strip() and " : " not in line), "")
    remarks: list[str] = []
    started = otherwise = None
    if "Acquisition started on" in values:
        found = read_moments([values["Acquisition started on"]], day_first=False)
        if isinstance(found, int):
            remarks.append(
                f"when it started cannot be read from {values['Acquisition started on']!r}"
            )
        else:
            started, otherwise = found.first, found.otherwise
    area_cm2 = _area(values.get("Electrode surface area", ""))
    if area_cm2 == PLACEHOLDER_CM2:
        remarks.append("its area of 0.001 cm² is what EC-Lab writes when none was entered")
        area_cm2 = None
    return Header(
        file=file,
        format="BioLogic mpt",
        technique=technique,
        encoding=encoding,
        started=started,
        started_otherwise=otherwise,
        area_cm2=area_cm2,
        remarks=tuple(remarks),
    )


def _area(text: str) -> float | None:
    found = re.match(r"([0-9]+(?:[.,][0-9]+)?(?:[eE][-+]?\d+)?)\s*(\S+)$", text.strip())
    if not found:
        return None
    unit = found[2].replace("²", "2").replace("^", "").replace("\N{GREEK SMALL LETTER MU}", "µ")
    return float(found[1].replace(",", ".")) * AREA_CM2[unit] if unit in AREA_CM2 else None
