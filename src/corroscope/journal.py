"""What a long run has done so far, kept so that it is never done again.

One line of JSON for each frame and stage, appended and brought to the disk before the next
frame begins. The first line says what the run was asked for. A line that a crash has cut
is dropped. Where each record stands is kept in memory, the records are not: a run may have
a hundred thousand frames.
"""

import contextlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from corroscope.errors import OutputError

_FIRST: Final = b'{"asked": '
"""How the first line begins."""


class Journal:
    """The journal of one run.

    Parameters
    ----------
    path
        The file, begun if missing.
    asked
        What decides the results. A journal that was begun for something else is refused.

    Raises
    ------
    OutputError
        If the journal was begun with other settings, is none, or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "journal.jsonl")
    ...     with Journal(path, {"threshold": 0.5}) as journal:
    ...         journal.write("align", "first.tif", {"dy_px": 1.5})
    ...     with Journal(path, {"threshold": 0.5}) as journal:
    ...         journal.read("align", "first.tif"), journal.read("align", "other.tif")
    ({'dy_px': 1.5}, None)
    """

    def __init__(self, path: str | Path, asked: dict[str, Any]) -> None:
        self._path = Path(path)
        self._places: dict[tuple[str, str], int] = {}
        with contextlib.ExitStack() as opened:
            try:
                # Unbuffered: what is written is with the system at once.
                self._file = opened.enter_context(self._path.open("ab", buffering=0))
                self._end = self._scan(asked)
                self._file.truncate(self._end)
                if self._end == 0:
                    self._append({"asked": asked})
            except OSError as error:
                raise self._unwritable(error) from error
            opened.pop_all()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def read(self, stage: str, key: str) -> dict[str, Any] | None:
        """What was kept of a frame.

        Parameters
        ----------
        stage
            Name of the stage.
        key
            What the record depends on: which file, and all else but the run's settings.

        Returns
        -------
        dict or None
            None where nothing was kept.
        """
        place = self._places.get((stage, key))
        if place is None:
            return None
        with self._path.open("rb") as file:
            file.seek(place)
            content: dict[str, Any] = json.loads(file.readline())["content"]
        return content

    def write(self, stage: str, key: str, content: dict[str, Any]) -> None:
        """Keep what was done for a frame.

        Parameters
        ----------
        stage
            Name of the stage.
        key
            What the record depends on; with another one it is not found again. Not the
            frame's number, which changes when others are added.
        content
            What JSON can hold; NaN is kept.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        place = self._end
        try:
            self._append({"stage": stage, "key": key, "content": content})
        except OSError as error:
            # A full disk leaves half a line, which would hide the next one.
            with contextlib.suppress(OSError):
                self._file.truncate(place)
            raise self._unwritable(error) from error
        self._places[stage, key] = place

    def _append(self, record: dict[str, Any]) -> None:
        line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
        written = 0
        while written < len(line):
            written += self._file.write(line[written:]) or 0
        os.fsync(self._file.fileno())
        self._end += len(line)

    def _scan(self, asked: dict[str, Any]) -> int:
        """Note where each record stands; return where the last whole line ends."""
        end = 0
        with self._path.open("rb") as file:
            for number, line in enumerate(file):
                try:
                    record = json.loads(line) if line.endswith(b"\n") else {}
                    if number == 0:
                        begun = dict(record["asked"])
                    else:
                        self._places[str(record["stage"]), str(record["key"])] = end
                except (ValueError, KeyError, TypeError):
                    # Half of the last line is what a crash leaves; anything else is none of ours.
                    half = _FIRST.startswith(line[: len(_FIRST)]) and not line.endswith(b"\n")
                    ours = number > 0 or half
                    if ours and not file.read(1):
                        break
                    raise OutputError(
                        f"{self._path}: line {number + 1} is none of a run; remove the file to "
                        "begin anew, or choose another folder"
                    ) from None
                if number == 0:
                    self._compare(begun, asked)
                end += len(line)
        return end

    def _compare(self, begun: dict[str, Any], asked: dict[str, Any]) -> None:
        if begun == asked:
            return
        names = sorted(name for name in {*begun, *asked} if begun.get(name) != asked.get(name))
        raise OutputError(
            f"{self._path.parent}: holds a run with another {', '.join(names)}; choose another "
            f"folder, or remove {self._path.name} there to begin anew"
        )

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self._path}: cannot be written ({error.strerror}); make room, then run again and "
            "it goes on"
        )
