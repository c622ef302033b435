"""Which patches were kept and which skipped: an append-only record whose last word counts."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from corroscope.annotation.record import Record, read_record
from corroscope.cutting import Cut, Grid

Entry = dict[str, Any]


class Key(NamedTuple):
    """Which patch is meant, whatever its file is called.

    Attributes
    ----------
    image
        File name of the frame.
    size_px, stride_px
        The grid.
    row, column
        Its place in the grid.
    """

    image: str
    size_px: int
    stride_px: int
    row: int
    column: int

    @classmethod
    def of(cls, image: str, grid: Grid, cut: Cut) -> "Key":
        """Name a patch.

        Parameters
        ----------
        image
            File name of the frame.
        grid
            How it is cut.
        cut
            Which of its patches.

        Returns
        -------
        Key
            The same in every session.
        """
        return cls(image, *grid, cut.row, cut.column)

    @property
    def grid(self) -> Grid:
        """The grid that it is of."""
        return Grid(self.size_px, self.stride_px)


class Decisions:
    """The record of what was decided, held open: it grows with every key that is pressed.

    Parameters
    ----------
    path
        The file; it is not made before the first decision.

    Attributes
    ----------
    last
        The last entry about each patch.

    Raises
    ------
    AnnotationError
        If the record is damaged or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._record: Record | None = None
        self._stamp = _stamp(path)
        self.last: dict[Key, Entry] = {}
        for entry in read_record(path)[1:]:
            self.last[_key(entry)] = entry

    @property
    def fresh(self) -> bool:
        """Whether there is a file, and nobody else has changed it since."""
        return self._stamp is not None and self._stamp == _stamp(self._path)

    def append(self, annotator: str, key: Key, decision: str, told: Entry) -> None:
        """Bring a decision to the disk.

        Parameters
        ----------
        annotator
            Who decides.
        key
            About which patch.
        decision
            ``"keep"``, ``"skip"`` or ``"undecide"``.
        told
            What else to remember; what JSON can hold.

        Raises
        ------
        AnnotationError
            If it cannot be written; nothing has changed then.
        """
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "annotator": annotator,
            "decision": decision,
            **key._asdict(),
            **told,
        }
        if self._record is None:
            self._record = Record(self._path)
        self._record.append(entry)
        self._stamp = _stamp(self._path)
        self.last[key] = entry

    def close(self) -> None:
        """Close the file; closing again does nothing."""
        if self._record is not None:
            self._record.close()


def _key(entry: Entry) -> Key:
    return Key(*(entry[name] for name in Key._fields))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size
