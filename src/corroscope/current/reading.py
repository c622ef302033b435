"""A file of a potentiostat → a record of current; the content decides, not the name."""

from pathlib import Path

from corroscope.current.biologic import FIRST_LINE as MPT_LINE
from corroscope.current.biologic import read_mpt
from corroscope.current.decoding import decode
from corroscope.current.delimited import read_delimited
from corroscope.current.gamry import FIRST_LINE as DTA_LINE
from corroscope.current.gamry import read_dta
from corroscope.current.record import Current
from corroscope.current.table import Asked
from corroscope.errors import CurrentError


def read_current(
    path: str | Path,
    *,
    unit: str | None = None,
    time_column: str | None = None,
    current_column: str | None = None,
) -> Current:
    r"""Read a record of current.

    BioLogic's ``.mpt``, Gamry's ``.DTA``, and text with named columns (CSV and the like).
    Units are never guessed.

    Parameters
    ----------
    path
        The file.
    unit
        Of the current, where the file does not tell: A, mA, µA (or uA), nA, pA.
    time_column, current_column
        Names of the columns, where they are not found or there are several.

    Returns
    -------
    Current
        Times from the record's own start, current in microamperes.

    Raises
    ------
    CurrentError
        If the file is missing, empty, binary or broken, if it has no current, if its unit is
        unknown, or if its times go back. The message tells the line and what to do.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "current.csv"
    ...     _ = path.write_text("time/s;I/nA\n0;1500\n0,5;1600\n", encoding="utf-8")
    ...     read_current(path).current_ua.tolist()
    [1.5, 1.6]
    """
    path = Path(path)
    asked = Asked(unit, time_column, current_column)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CurrentError(
            f"{path} cannot be read: {error.strerror}; give the file that the potentiostat wrote"
        ) from None
    text, encoding = decode(data, path.name)
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if MPT_LINE.match(first):
        return read_mpt(text.lstrip(), encoding, path.name, asked)
    if DTA_LINE.match(first):
        return read_dta(text, encoding, path.name, asked)
    return read_delimited(text, encoding, path.name, asked)
