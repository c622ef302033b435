"""The journal of an annotation store: one line an action, appended and brought to the disk.

Each line is JSON and carries a checksum, so that a line which was damaged is told from a whole
one. Only the last line can be cut off by a crash; it was never acknowledged, and is dropped.
"""

import base64
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

    Raises
    ------
    AnnotationError
        As `read_record`, or if the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries, whole = _read(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
            os.ftruncate(self._file, whole)
            os.lseek(self._file, whole, os.SEEK_SET)
            _flush_folder(path.parent)
        except OSError as error:
            raise _unwritable(path, error) from error
        self._length = whole
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
            If there is no room or JSON cannot hold it. The journal is as before.
        """
        line = _line(entry)
        try:
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, self._length)
            os.lseek(self._file, self._length, os.SEEK_SET)
            raise _unwritable(self.path, error) from error
        self._length += len(line)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


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


def _read(path: Path) -> tuple[list[Entry], int]:
    """Whole lines, and how many bytes they take."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise AnnotationError(
            f"{path}: cannot be read ({error.strerror or error}); give the right to read it"
        ) from error
    entries: list[Entry] = []
    whole = 0
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        entry = _checked(line)
        if entry is None:
            if whole + len(line) == len(content) and not line.endswith(b"\n"):
                break  # cut off while it was written
            raise AnnotationError(
                f"{path}, line {number}: is damaged, and the lines after it build on it; move the "
                "journal out of the folder to go on from the masks, or restore it from a copy"
            )
        entries.append(entry)
        whole += len(line)
    if entries and entries[0].get("format") != FORMAT:
        raise AnnotationError(
            f"{path}: is of format {entries[0].get('format')}, this version writes {FORMAT}; "
            "install a newer corroscope"
        )
    return entries, whole


def _line(entry: Entry) -> bytes:
    try:
        text = json.dumps(entry, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AnnotationError(f"an action cannot be written down as JSON ({error})") from error
    return f'{{"crc32":{zlib.crc32(text.encode())},"entry":{text}}}\n'.encode()


def _checked(line: bytes) -> Entry | None:
    """The action of a line; None for a damaged one."""
    try:
        told = json.loads(line)
        entry = told["entry"]
        if line.endswith(b"\n") and _line(entry) == line and isinstance(entry, dict):
            return entry
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
