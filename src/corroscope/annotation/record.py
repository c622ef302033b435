"""The journal of an annotation store: one line an action, appended and brought to the disk.

Each line is JSON and carries a checksum of itself and of all lines before it, so that a line which
was damaged, taken out or put elsewhere is found. Only the last line can be cut off by a crash; it
was never acknowledged, and is dropped.
"""

import base64
import contextlib
import json
import os
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np

from corroscope.annotation.history import Change
from corroscope.annotation.instances import Instance
from corroscope.errors import AnnotationError

FORMAT: Final = 1
"""Version of the lines; a journal of a later one is refused."""

Entry = dict[str, Any]


def encode(change: Change) -> Entry:
    """Write a change of objects down as JSON can hold it, without loss.

    Parameters
    ----------
    change
        Objects by number, None for removed ones.

    Returns
    -------
    dict
        By number: label, corner, shape and the mask's bits, deflated, in base 64.

    Examples
    --------
    >>> change = {7: Instance.of(np.ones((2, 3), bool), corner_px=(4, 5)), 8: None}
    >>> decode(encode(change)) == change
    True
    """
    return {
        str(number): instance
        and {
            "label": instance.label,
            "corner": list(instance.corner_px),
            "shape": list(instance.mask.shape),
            "bits": base64.b64encode(zlib.compress(np.packbits(instance.mask).tobytes())).decode(),
        }
        for number, instance in change.items()
    }


def decode(objects: Entry) -> dict[int, Instance | None]:
    """Read what `encode` wrote.

    Parameters
    ----------
    objects
        As `encode` returns.

    Returns
    -------
    dict of int to Instance or None
        The change.
    """
    return {int(number): told and _instance(told) for number, told in objects.items()}


def _instance(told: Entry) -> Instance:
    height, width = told["shape"]
    bits = np.frombuffer(zlib.decompress(base64.b64decode(told["bits"])), np.uint8)
    mask = np.unpackbits(bits, count=height * width).reshape(height, width).astype(bool)
    return Instance.of(mask, told["label"], tuple(told["corner"]))


class Record:
    """A journal that is open for writing.

    Parameters
    ----------
    path
        The file; made with its folder where it is missing.

    Attributes
    ----------
    path
        The file.
    entries
        What it held when it was opened, the header first.

    Raises
    ------
    AnnotationError
        As `read_record`, or if the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries, self._length, self._crc = _read(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
            self._cut_off()
            _flush_folder(path.parent)
        except OSError as error:
            raise _unwritable(path, error) from error
        if not self.entries:
            self.append({"journal": "corroscope annotation", "format": FORMAT})

    def append(self, entry: Entry) -> None:
        """Add a line and bring it to the disk; whole or not at all.

        Parameters
        ----------
        entry
            What JSON can hold.

        Raises
        ------
        AnnotationError
            If there is no room, JSON cannot hold it, the journal was closed, or another program
            has changed or replaced the file. Nothing is added.
        """
        if self._file < 0:
            raise AnnotationError(f"{self.path}: was closed; open the store again")
        line, crc = _line(entry, self._crc)
        if not self._as_left():
            raise AnnotationError(
                f"{self.path}: was changed by another program meanwhile; nothing was added; look "
                "at what is annotated now, and do it again"
            )
        try:
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
            os.fsync(self._file)
        except OSError as error:
            with contextlib.suppress(OSError):  # then the next line finds the file not as left
                self._cut_off()
            raise _unwritable(self.path, error) from error
        self._length += len(line)
        self._crc = crc

    def close(self) -> None:
        """Close the file; closing again does nothing."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1  # the system gives the number to the next file that is opened

    def _cut_off(self) -> None:
        os.ftruncate(self._file, self._length)
        os.lseek(self._file, self._length, os.SEEK_SET)

    def _as_left(self) -> bool:
        try:
            there, ours = self.path.stat(), os.fstat(self._file)
        except OSError:
            return False
        return (there.st_ino, there.st_size) == (ours.st_ino, self._length)


def read_record(path: Path) -> list[Entry]:
    """Read all whole lines of a journal, and write nothing.

    Parameters
    ----------
    path
        The file; a missing one has no lines.

    Returns
    -------
    list of dict
        Actions in order, the header first.

    Raises
    ------
    AnnotationError
        If a line before the last is damaged, the journal is of a later format, or it cannot be
        read.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[list[Entry], int, int]:
    """Whole lines, how many bytes they take, and their checksum."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], 0, 0
    except OSError as error:
        raise AnnotationError(
            f"{path}: cannot be read ({error.strerror or error}); give the right to read it"
        ) from error
    entries: list[Entry] = []
    whole = crc = 0
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        checked = _checked(line, crc)
        if checked is None:
            # Cut off while it was written; a disk that lost power may have zeros instead.
            if whole + len(line) == len(content) and (line[-1:] != b"\n" or b"\0" in line):
                break
            raise AnnotationError(
                f"{path}, line {number}: is damaged, and the lines after it build on it; move the "
                "journal out of the folder to go on from the masks, or restore it from a copy"
            )
        entry, crc = checked
        entries.append(entry)
        whole += len(line)
    if entries and entries[0].get("format") != FORMAT:
        raise AnnotationError(
            f"{path}: is of format {entries[0].get('format')}, this version writes {FORMAT}; "
            "install a newer corroscope"
        )
    return entries, whole, crc


def _line(entry: Entry, before: int) -> tuple[bytes, int]:
    """A line that follows those of a checksum, and the checksum with it."""
    try:
        text = json.dumps(entry, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AnnotationError(f"an action cannot be written down as JSON ({error})") from error
    crc = zlib.crc32(text.encode(), before)
    return f'{{"crc32":{crc},"entry":{text}}}\n'.encode(), crc


def _checked(line: bytes, before: int) -> tuple[Entry, int] | None:
    """The action of a line and the checksum with it; None for a damaged one."""
    try:
        entry = json.loads(line)["entry"]
        again, crc = _line(entry, before)
        if again == line and isinstance(entry, dict):
            return entry, crc
    except (ValueError, KeyError, TypeError, AnnotationError):
        pass
    return None


def _flush_folder(folder: Path) -> None:
    """Bring a new file's name to the disk, where folders can be opened."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _unwritable(path: Path, error: OSError) -> AnnotationError:
    return AnnotationError(
        f"{path}: cannot be written ({error.strerror or error}); nothing was changed; make room or "
        "give the right to write"
    )
