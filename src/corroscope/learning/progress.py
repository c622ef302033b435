"""How far a training is: small files in its folder that anything can follow while it runs."""

import contextlib
import math
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeVar

from filelock import FileLock, Timeout
from pydantic import BaseModel

from corroscope.errors import CorroscopeError, OutputError, SettingsError
from corroscope.learning.runs import METRICS
from corroscope.outputs import write_json

EPOCHS: Final = "epochs.json"
"""Figures of each epoch so far; written anew after each one."""

PROCESS: Final = "process.json"
"""Which process is at work, or was last, and how that ended."""

PREDICTIONS: Final = "predictions"
"""Folder of pictures: what the network finds in validation patches as it learns."""

_LOCK: Final = ".lock"
_LOCK_S: Final = 2.0  # whoever only looks whether the lock is free has it for an instant
_MOST_PREDICTIONS: Final = 8

_Model = TypeVar("_Model", bound=BaseModel)

Word = Literal["running", "finished", "stopped", "failed"]


class Status(NamedTuple):
    """What has become of a training.

    Attributes
    ----------
    word
        ``running``; ``finished``; ``stopped``, which can be resumed; or ``failed``.
    problem
        Why, in one line; empty where there is nothing to say.
    """

    word: Word
    problem: str = ""


class Process(BaseModel):
    """Which process is at work on a training, or was last.

    Attributes
    ----------
    process
        Its number.
    machine
        Where it runs.
    ended
        None while it is at work, and after it was killed.
    error
        What ended it, in one line.
    """

    process: int
    machine: str
    ended: Literal["finished", "stopped", "failed"] | None = None
    error: str = ""


class Epochs(BaseModel):
    """The epochs of a training so far.

    Attributes
    ----------
    epoch_s
        How long one takes.
    history
        For each ``epoch``, ``loss``, ``learning_rate`` and, where there was a validation,
        ``dice`` and ``particle_f1_iou30``; None for what is not finite.
    """

    epoch_s: float | None = None
    history: list[dict[str, float | None]] = []


class Progress(NamedTuple):
    """How far a training is, as a caller is told while it runs.

    Attributes
    ----------
    history
        As in `Epochs`, of the network that is being trained.
    epochs
        How many it trains for at most.
    epoch_s
        How long an epoch takes; None before the first one has ended.
    fit, fits
        Which network of how many: a cross-validation trains one for each fold, and one on all.
    """

    history: list[dict[str, float | None]]
    epochs: int
    epoch_s: float | None = None
    fit: int = 1
    fits: int = 1


@contextlib.contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Keep a training's folder to one process, and leave a word on how it ended.

    Parameters
    ----------
    folder
        The training's own folder.

    Yields
    ------
    None
        While nobody else works on it. The lock goes with the process, however that ends.

    Raises
    ------
    SettingsError
        If another process is at work there.
    OutputError
        If the folder cannot be written to.
    """
    lock = _locked(folder / _LOCK, _LOCK_S)
    if lock is None:
        raise SettingsError(
            f"{folder}: another process is training there; stop that one first, or start anew"
        )
    us = Process(process=os.getpid(), machine=platform.node())
    try:
        _write(folder / PROCESS, us)
        yield
        _write(folder / PROCESS, us.model_copy(update={"ended": "finished"}))
    except BaseException as error:
        ended = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
        with contextlib.suppress(OutputError):  # it was perhaps a full disk that ended it
            end = us.model_copy(update={"ended": ended, "error": _line(error)})
            _write(folder / PROCESS, end)
        raise
    finally:
        lock.release()


def status(folder: Path) -> Status:
    """Tell from its folder alone what has become of a training.

    Parameters
    ----------
    folder
        The training's own folder.

    Returns
    -------
    Status
        A process that was killed counts as stopped.

    Raises
    ------
    OutputError
        If it cannot be told whether somebody is at work there.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with at_work(Path(folder)):
    ...         during = status(Path(folder)).word
    ...     during, status(Path(folder)).word
    ('running', 'stopped')
    """
    if _held(folder):
        return Status("running")
    if (folder / METRICS).exists():
        return Status("finished")
    last = read_process(folder)
    if last is None:
        return Status("stopped")
    if last.ended == "failed":
        return Status("failed", last.error)
    return Status("stopped", "its process was killed" if last.ended is None else "")


def read_process(folder: Path) -> Process | None:
    """Read which process is at work on a training, or was last.

    Parameters
    ----------
    folder
        The training's own folder.

    Returns
    -------
    Process or None
        None where there is no such record that can be read.
    """
    return _read(folder / PROCESS, Process)


def write_epochs(
    folder: Path, history: Sequence[Mapping[str, float]], epoch_s: float | None
) -> None:
    """Write the figures of all epochs so far, whole or not at all.

    Parameters
    ----------
    folder
        Where one network is trained: the training's own folder, or that of a fold.
    history
        For each epoch what `Epochs` has.
    epoch_s
        How long an epoch takes.
    """
    _write(folder / EPOCHS, Epochs(epoch_s=epoch_s, history=plain(history)))


def read_epochs(folder: Path) -> Epochs:
    """Read the figures of all epochs so far.

    Parameters
    ----------
    folder
        As for `write_epochs`.

    Returns
    -------
    Epochs
        Empty before the first one has ended.
    """
    return _read(folder / EPOCHS, Epochs) or Epochs()


def plain(history: Sequence[Mapping[str, float]]) -> list[dict[str, float | None]]:
    """Figures as JSON can hold them.

    Parameters
    ----------
    history
        Figures of each epoch.

    Returns
    -------
    list of dict
        The same, with None for what is not finite, as the loss of a training that diverged.

    Examples
    --------
    >>> plain([{"loss": float("nan"), "dice": 0.5}])
    [{'loss': None, 'dice': 0.5}]
    """
    return [
        {name: value if math.isfinite(value) else None for name, value in row.items()}
        for row in history
    ]


def prediction(folder: Path, epoch: int) -> Path:
    """Where the picture of an epoch's predictions is.

    Parameters
    ----------
    folder
        As for `write_epochs`.
    epoch
        From 1.

    Returns
    -------
    Path
        It need not be there.

    Examples
    --------
    >>> prediction(Path("train1"), 10).as_posix()
    'train1/predictions/epoch0010.png'
    """
    return folder / PREDICTIONS / f"epoch{epoch:04d}.png"


def is_drawn(epoch: int, epochs: int) -> bool:
    """Tell whether an epoch's predictions are drawn.

    Parameters
    ----------
    epoch
        From 1.
    epochs
        How many there are at most.

    Returns
    -------
    bool
        True for at most eight, evenly spaced. Not for the last: those are drawn in the end.

    Examples
    --------
    >>> [epoch for epoch in range(1, 81) if is_drawn(epoch, 80)]
    [10, 20, 30, 40, 50, 60, 70]
    """
    return epoch % math.ceil(epochs / _MOST_PREDICTIONS) == 0 and epoch < epochs


def _held(folder: Path) -> bool:
    path = folder / _LOCK
    if not path.exists():  # looking must not write into runs of old
        return False
    lock = _locked(path, 0)
    if lock is not None:
        lock.release()
    return lock is None


def _locked(path: Path, timeout_s: float) -> FileLock | None:
    """Take a lock; None where somebody else has it."""
    lock = FileLock(path, timeout=timeout_s)
    try:
        lock.acquire()
    except Timeout:
        return None
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be locked ({error.strerror or error}); give the right to write"
        ) from error
    return lock


def _write(path: Path, content: BaseModel) -> None:
    write_json(path, content.model_dump())


def _read(path: Path, model: type[_Model]) -> _Model | None:
    try:
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return lines[0] if isinstance(error, CorroscopeError) else f"{type(error).__name__}: {lines[0]}"
