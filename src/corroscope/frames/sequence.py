"""The ordered frames of one experiment, each read when it is asked for."""

import datetime
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from corroscope.errors import FrameError
from corroscope.frames.clock import describe_times
from corroscope.frames.naming import Conditions

Frame = NDArray[np.uint8 | np.uint16 | np.float32]


class Source(Protocol):
    """Where frames come from, in no particular order: single images, a stack or a video."""

    # The file of each frame and, where the file holds several, the frame's number there.
    places: list[tuple[Path, int | None]]
    time_s: NDArray[np.float64]  # on any zero; NaN where unknown
    clock: str
    remarks: list[str]
    broken: str  # where the source breaks off; empty if it is whole

    def read(self, number: int) -> Frame:
        """Read the frame at a place."""

    def close(self) -> None:
        """Close it."""


class FrameSequence:
    """The frames of one experiment in order of time; made by `open_sequence`.

    Never more than one frame is in memory. A sequence holds files open and does not
    travel between processes: let each open its own.

    Parameters
    ----------
    name
        Name of the folder or file, without its ending.
    source
        Where the frames come from.
    conditions
        Of the experiment.
    interval_s
        Time between frames, instead of their own times.
    start_clock_s
        Wall clock of the first frame, in seconds since midnight; None where it is unknown.
    start_date
        Day of the first frame; None where it is unknown.

    Attributes
    ----------
    name : str
        As given.
    stems : list of str
        One for each frame, all different: the stem of its file, in stacks and videos
        followed by the frame's number there.
    names : list of str
        The same for tables: file names, or ``stack.tif[12]``.
    time_s : ndarray of float64
        ``(frames,)``, ascending from 0; NaN where unknown.
    clock : str
        How times were found: "names", "OME", "ImageJ", "TIFF DateTime", "video",
        "interval" or "unknown".
    conditions : Conditions
        Concentration, potential, repeat; None where unknown.
    start_clock_s, start_date : float or None, datetime.date or None
        Wall clock of the first frame, in seconds since midnight, and its day, as far as its name
        tells them.
    times : TimeReport
        Gaps, steps, midnight.
    duplicates : dict of int to int
        For each frame that has the time of an earlier one, the first such frame.
    remarks : list of str
        What is out of the ordinary, in sentences.
    correct : callable or None
        What is done to each frame that was read, as a flat-field correction; gives ``float32``.
    broken : str
        Where the file breaks off; empty if it is whole.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        conditions: Conditions,
        interval_s: float | None = None,
        start_clock_s: float | None = None,
        start_date: datetime.date | None = None,
    ) -> None:
        self.name = name
        self.conditions = conditions
        self._source = source
        self.correct: Callable[[Frame], NDArray[np.float32]] | None = None
        self.broken = source.broken
        self._order = np.argsort(source.time_s, kind="stable")  # NaN stay in their order
        time_s = source.time_s[self._order]
        self.clock = source.clock
        if interval_s is not None:
            time_s = np.arange(time_s.size, dtype=np.float64) * np.float64(interval_s)
            self.clock, start_clock_s, start_date = "interval", None, None
        self.time_s: NDArray[np.float64] = time_s - time_s[0]
        places = [source.places[place] for place in self._order]
        self.names = [path.name if at is None else f"{path.name}[{at}]" for path, at in places]
        self.stems = [
            path.stem if at is None else f"{file_stem(path)}_{at:05d}" for path, at in places
        ]
        self.start_clock_s, self.start_date = start_clock_s, start_date
        # Where names have dates, midnight is nothing to tell of.
        clock_s = start_clock_s if start_date is None else None
        self.times = describe_times(self.time_s, clock_s)
        self.duplicates = self.times.duplicates
        self.remarks = [*source.remarks, *self.times.remarks]
        if self.clock == "unknown":
            self.remarks.append(
                "no times: neither names nor metadata tell them; give an interval (--interval)"
            )
        self._like: tuple[str, tuple[int, int], np.dtype[np.generic]] | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Frame]:
        for number in range(len(self)):
            yield self.frame(number)

    def __enter__(self) -> "FrameSequence":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the first frame that can be read, in pixels."""
        return self._first_readable()[1]

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Number type of the frames as they are given."""
        return self._first_readable()[2] if self.correct is None else np.dtype(np.float32)

    def frame(self, number: int) -> Frame:
        """Read one frame.

        Parameters
        ----------
        number
            0, 1, … in order of time.

        Returns
        -------
        ndarray of uint8, uint16 or float32
            ``(height, width)``.

        Raises
        ------
        FrameError
            If there is no such frame, it cannot be read, or its shape or number type
            is not that of the sequence.
        """
        place = self._place(number)
        # The first sets the size; so it is read first, and gone before this one is read.
        like = self._first_readable() if number > 0 else self._like
        frame = self._source.read(place)
        own = (self.names[number], (frame.shape[0], frame.shape[1]), frame.dtype)
        if like is None:
            self._like = like = own
        if own[1:] != like[1:]:
            (name, size, kind), (first, first_size, first_kind) = own, like
            raise FrameError(
                f"{self._source.places[place][0]}: {name} is {size[0]} × {size[1]} {kind}, but "
                f"{first} is {first_size[0]} × {first_size[1]} {first_kind}; move the odd one out"
            )
        return frame if self.correct is None else self.correct(frame)

    def fingerprint(self, number: int) -> str:
        """What a frame's content is known by, without reading it.

        Parameters
        ----------
        number
            0, 1, … in order of time.

        Returns
        -------
        str
            Name, size and time of change of its file, and its number there: another
            text where any of them has changed.

        Raises
        ------
        FrameError
            If there is no such frame or no longer such a file.
        """
        path, at = self._source.places[self._place(number)]
        try:
            state = path.stat()
        except OSError as error:
            raise FrameError(f"{path}: cannot be found any more ({error.strerror})") from None
        return f"{path.name}|{state.st_size}|{state.st_mtime_ns}" + ("" if at is None else f"|{at}")

    def record(self) -> dict[str, Any]:
        """What a manifest says of the sequence.

        Returns
        -------
        dict
            Name, number of frames, a hash of their fingerprints, how times were found,
            conditions and remarks.
        """
        digest = hashlib.sha256()
        for number in range(len(self)):
            digest.update(self.fingerprint(number).encode())
        return {
            "name": self.name,
            "frames": len(self),
            "fingerprint": digest.hexdigest(),
            "times": self.clock,
            "conditions": self.conditions._asdict(),
            "remarks": self.remarks,
        }

    def close(self) -> None:
        """Close what is open; frames can be read no more."""
        self._source.close()
        self._closed = True

    def _place(self, number: int) -> int:
        if self._closed:
            raise FrameError(f"{self.name}: is closed; open it again")
        if not 0 <= number < len(self):
            why = f", {self._source.broken}" if self._source.broken else ""
            path, at = self._source.places[0]
            whole = self.name if at is None else path.name
            raise FrameError(
                f"{whole}[{number}]: there is no such frame{why}; give 0 to {len(self) - 1}"
            )
        return int(self._order[number])

    def _first_readable(self) -> tuple[str, tuple[int, int], np.dtype[np.generic]]:
        failure = None
        for number in range(len(self)):
            if self._like is not None:
                break
            try:
                frame = self._source.read(self._place(number))
            except FrameError as error:
                failure = failure or error
            else:
                size = (frame.shape[0], frame.shape[1])
                self._like = (self.names[number], size, frame.dtype)
        if self._like is None:
            assert failure is not None
            raise failure
        return self._like


def file_stem(path: Path) -> str:
    """Name of a file without its ending, of which OME-TIFF has two.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    str
        The stem.

    Examples
    --------
    >>> file_stem(Path("run.ome.tif"))
    'run'
    """
    return path.stem.removesuffix(".ome")
