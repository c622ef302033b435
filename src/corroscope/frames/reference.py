"""Which picture frames are compared with: what there was before corrosion began."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from corroscope.errors import FrameError, SettingsError
from corroscope.frames.alignment import Aligner
from corroscope.frames.reading import read_frame
from corroscope.frames.resampling import shift_frame
from corroscope.frames.sequence import Frame

MOST_FRAMES: Final = 25
"""A median of more frames would not fit into a laptop's memory."""

_ROWS: Final = 256


class Frames(Protocol):
    """What a reference is chosen from: a sequence of frames."""

    names: list[str]
    correct: Callable[[Frame], NDArray[np.float32]] | None
    duplicates: dict[int, int]

    def __len__(self) -> int: ...

    def frame(self, number: int) -> NDArray[Any]:
        """Read one frame."""


class Choice(NamedTuple):
    """How the reference is chosen.

    Attributes
    ----------
    kind
        ``"first"``, ``"median"``, ``"rolling"`` or ``"file"``.
    frames
        Number of frames of a median, or by how many frames a rolling reference is earlier.
    file
        The image file.
    """

    kind: str
    frames: int = 0
    file: Path | None = None


class Reference(NamedTuple):
    """The picture that all frames are aligned to.

    Attributes
    ----------
    picture
        ``(height, width)``, grey levels.
    name
        What it was made of.
    """

    picture: NDArray[Any]
    name: str


def parse_choice(text: str | Path) -> Choice:
    """Understand how a reference is to be chosen.

    Parameters
    ----------
    text
        ``"first"``; ``"median:K"``, the median of the first K frames; ``"rolling:K"``, for each
        frame the one K frames before it; or an image file.

    Returns
    -------
    Choice
        The choice.

    Raises
    ------
    SettingsError
        If a number is missing or out of range.

    Examples
    --------
    >>> parse_choice("median:5").frames
    5
    >>> parse_choice("before.tif").kind
    'file'
    """
    if text == "first":
        return Choice("first")
    kind, _, digits = str(text).partition(":")
    if kind not in ("median", "rolling"):
        return Choice("file", file=Path(text))
    number = int(digits) if re.fullmatch(r"\d{1,9}", digits) else 0
    least, most = (2, MOST_FRAMES) if kind == "median" else (1, 10**6)
    if not least <= number <= most:
        raise SettingsError(
            f"reference {text}: give a number of frames from {least} to {most}, as {kind}:5"
        )
    return Choice(kind, frames=number)


def find_reference(sequence: Frames, choice: Choice) -> Reference:
    """Make the picture that all frames are aligned to.

    Parameters
    ----------
    sequence
        The frames.
    choice
        How it is chosen. With a rolling reference frames are still aligned to the first.

    Returns
    -------
    Reference
        The first frame that can be read and shows something; the median of the first frames,
        aligned to that; or the image of the file, corrected as the frames are.

    Raises
    ------
    FrameError
        If no frame or the file can be used, or the frames of a median cannot be aligned.
    """
    if choice.file is not None:
        check_name(choice.file)
        return _from_file(sequence, choice.file)
    failure: FrameError | None = None
    for number in range(len(sequence)):
        try:
            first = sequence.frame(number)
            aligner = Aligner(first)
        except FrameError as error:
            failure = failure or name_error(sequence.names[number], error)
            continue
        if choice.kind == "median":
            return _median(sequence, number, first, aligner, choice.frames)
        return Reference(first, sequence.names[number])
    assert failure is not None  # a sequence has frames
    raise failure


def name_error(name: str, error: FrameError) -> FrameError:
    """Put the name of a frame or file into an error, once.

    Parameters
    ----------
    name
        The name.
    error
        What was raised for it.

    Returns
    -------
    FrameError
        One that names it.

    Examples
    --------
    >>> str(name_error("a.tif", FrameError("too small"))), str(name_error("a", FrameError("a: b")))
    ('a.tif: too small', 'a: b')
    """
    return error if name in str(error) else FrameError(f"{name}: {error}")


def check_name(path: str | Path) -> None:
    """Refuse a name that is no text: file names are bytes, tables and messages are not.

    Parameters
    ----------
    path
        Of a file or folder.

    Raises
    ------
    FrameError
        If it is not valid UTF-8.

    Examples
    --------
    >>> check_name("30µM.tif")
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        name = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise FrameError(f"{name}: the name is not valid UTF-8; rename the file") from None


def _from_file(sequence: Frames, file: Path) -> Reference:
    if not file.exists():
        raise FrameError(
            f"{file}: no such file for a reference; give first, median:5, rolling:20 or an image"
        )
    picture: NDArray[Any] = read_frame(file)
    if sequence.correct is not None:
        try:
            picture = sequence.correct(picture)
        except FrameError as error:
            raise name_error(str(file), error) from None
    return Reference(picture, str(file))


def _median(
    sequence: Frames, start: int, first: NDArray[Any], aligner: Aligner, count: int
) -> Reference:
    """Median of the first frames: what moves or comes and goes is not in it."""
    pictures = [first.astype(np.float32)]
    covered = np.ones(first.shape, bool)
    near = (0.0, 0.0)
    # A few bad frames are named when their turn comes; many would take it past the beginning.
    for number in range(start + 1, min(start + 2 * count, len(sequence))):
        if len(pictures) == count:
            break
        try:
            frame = sequence.frame(number)
        except FrameError:
            continue
        drift = aligner.measure(frame, near)
        if drift.aligned and number not in sequence.duplicates:
            near = (drift.dy_px, drift.dx_px)
            moved, reached = shift_frame(frame, -drift.dy_px, -drift.dx_px)
            pictures.append(moved)
            covered &= reached
            last = sequence.names[number]
    if len(pictures) < count:
        raise FrameError(
            f"{sequence.names[start]}: of it and the {2 * count - 1} frames after it, only "
            f"{len(pictures)} of {count} for the median can be read and aligned; take fewer, or "
            "the first frame"
        )
    picture = np.empty(first.shape, np.float32)
    for top in range(0, first.shape[0], _ROWS):  # a median of all at once takes twice the memory
        rows = np.s_[top : top + _ROWS]
        picture[rows] = np.median([p[rows] for p in pictures], axis=0)
    # Where drift has brought in what some frames do not show, the first one has to do.
    picture[~covered] = pictures[0][~covered]
    return Reference(picture, f"median of {count} frames, {sequence.names[start]} to {last}")
