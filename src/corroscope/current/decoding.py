"""Bytes of a file → its text, whatever its encoding."""

import codecs
from typing import Final

from corroscope.errors import CurrentError

MPR_START: Final = b"BIO-LOGIC MODULAR FILE"
"""How EC-Lab's binary files begin."""

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(data: bytes, name: str) -> tuple[str, str]:
    """Decode a text file of a potentiostat.

    A byte order mark decides; without one it is UTF-8 if it can be, else the Windows code
    page 1252, which these programs write in Western Europe; what that lacks is Latin-1.

    Parameters
    ----------
    data
        The file.
    name
        Its name, for messages.

    Returns
    -------
    text : str
        With line ends as they are.
    encoding : str
        Python's name of it.

    Raises
    ------
    CurrentError
        If it is empty, binary, or not what its mark says.

    Examples
    --------
    >>> decode("I/µA".encode("cp1252"), "a.txt")
    ('I/µA', 'cp1252')
    """
    if not data.strip():
        raise CurrentError(f"{name} is empty; give the file that the potentiostat wrote")
    if data.startswith(MPR_START):
        raise CurrentError(
            f"{name} is a binary file of EC-Lab (.mpr); export it as text (.mpt) and give that"
        )
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                return data.decode(encoding), encoding
            except UnicodeDecodeError as error:
                raise CurrentError(
                    f"{name} is marked as {encoding} but byte {error.start} is not; "
                    "export it again as text"
                ) from None
    if b"\0" in data:
        raise CurrentError(
            f"{name} is a binary file (byte {data.index(0)} is zero); export it as text"
        )
    for encoding in ("utf-8", "cp1252"):
        try:
            return data.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1"), "latin-1"
