"""What the folders of trainings tell: how far each is, what came out, and the command for it."""

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, Field, ValidationError

from corroscope.errors import CorroscopeError, StudioError
from corroscope.learning.progress import (
    EPOCHS,
    PREDICTIONS,
    PROCESS,
    Epochs,
    prediction,
    read_epochs,
    status,
)
from corroscope.learning.runs import METRICS, run_folders
from corroscope.learning.settings import TrainSettings
from corroscope.outputs import MANIFEST, read_manifest
from corroscope.segmentation.rescoring import Rescoring
from corroscope.settings import allowed_range
from corroscope.studio.answers import Answer
from corroscope.studio.workplace import Workplace, within

RUNS: Final = "runs"
"""Folder of all trainings, beside the images."""

PICTURES: Final = ("examples", "curves")
"""What is drawn when a training has finished."""

_OPTIONS: Final = ("epochs", "architecture", "seed")
"""Settings that have an option of their own on the command line."""


class _Settings(BaseModel):
    epochs: int
    folds: int = Field(le=100)


class _Record(BaseModel):
    """What is needed of a training's manifest."""

    settings: _Settings
    cross_validate: bool
    start: str | None = None
    name: str = "own"
    source: str = "not stated"


class _Metrics(BaseModel):
    """What is shown of a training's figures."""

    threshold: float
    min_area_px: int
    peak: float = 0.0
    rescoring: Rescoring | None = None
    scores: dict[str, float | None]
    intervals_95: dict[str, tuple[float | None, float | None]]
    patches: int
    surfaces: int
    method: str


def runs_folder(place: Workplace) -> Path:
    """Where the trainings of a folder are.

    Parameters
    ----------
    place
        The folder.

    Returns
    -------
    Path
        It need not exist.

    Raises
    ------
    StudioError
        If it is a link out of the folder.
    """
    out = place.folder / RUNS
    within(place.folder, out)
    return out


def train_words(place: Workplace, record: Answer) -> list[str]:
    """Say a training as a command.

    Parameters
    ----------
    place
        The folder.
    record
        As in the training's ``manifest.json``: its ``settings``, ``cross_validate`` and what it
        may have of ``start``, ``name`` and ``source``.

    Returns
    -------
    list of str
        Words after ``corroscope``, with the settings that are not the usual ones.
    """
    words = _begin(place)
    usual = TrainSettings().model_dump(mode="json")
    for name, value in _differing(record["settings"], usual):
        text = value if isinstance(value, str) else json.dumps(value)
        words += [f"--{name}", text] if name in _OPTIONS else ["--set", f"{name}={text}"]
    if record["cross_validate"]:
        words.append("--cross-validate")
    for name, nothing in (("start", None), ("name", "own"), ("source", "not stated")):
        if record.get(name, nothing) != nothing:
            words += [f"--{name}", record[name]]
    return words


def resume_words(place: Workplace) -> list[str]:
    """Say as a command that the newest training is to be resumed.

    Parameters
    ----------
    place
        The folder.

    Returns
    -------
    list of str
        Words after ``corroscope``.
    """
    return [*_begin(place), "--resume"]


def said(words: list[str]) -> str:
    """Write a command as one types it.

    Parameters
    ----------
    words
        Those after ``corroscope``.

    Returns
    -------
    str
        The command.

    Examples
    --------
    >>> said(["train", "my patches"])
    "corroscope train 'my patches'"
    """
    return shlex.join(["corroscope", *words])


def overview(place: Workplace) -> list[Answer]:
    """List the trainings of a folder.

    Parameters
    ----------
    place
        The folder.

    Returns
    -------
    list of dict
        The newest first: ``number``, ``status`` and ``problem``, when it was ``begun``, how many
        epochs of how many are ``done``, its ``command``, the figures that came out in
        ``metrics``, and whether it is the one that can be ``resumable``.
    """
    runs = run_folders(runs_folder(place))
    told = [_told(place, number, folder) for number, folder in runs.items()]
    for newest in told[:1]:
        newest["resumable"] = newest["status"] in ("stopped", "failed")
        newest["resume"] = said(resume_words(place))
    return told


def blank(number: int) -> Answer:
    """Tell of a training of which nothing is known yet.

    Parameters
    ----------
    number
        Its number.

    Returns
    -------
    dict
        As in `overview`.

    Examples
    --------
    >>> blank(3)["number"]
    3
    """
    return {
        "number": number, "status": "stopped", "problem": "", "begun": None, "done": 0,
        "epochs": 0, "epoch_s": None, "cross_validate": False, "command": "", "metrics": None,
        "resumable": False,
    }  # fmt: skip


def detail(place: Workplace, number: int) -> Answer:
    """Tell a training's figures epoch by epoch.

    Parameters
    ----------
    place
        The folder.
    number
        Of the training.

    Returns
    -------
    dict
        ``fits``, each with a ``name``, its ``history`` and seconds for an epoch in ``epoch_s``;
        ``pictures`` that there are; epochs whose ``predictions`` are drawn.

    Raises
    ------
    KeyError
        If there is no such training.
    """
    folder = _folder(place, number)
    fits = []
    for name, home in _fits(folder, _record(folder)):
        fits.append({"name": name, **read_epochs(home).model_dump()})
    pictures = (folder / PREDICTIONS).glob("epoch*.png")
    drawn = [int(path.stem[5:]) for path in pictures if path.stem[5:].isdecimal()]
    return {
        "number": number,
        "fits": fits,
        "pictures": [name for name in PICTURES if (folder / f"{name}.png").is_file()],
        "predictions": sorted(drawn),
    }


def picture(place: Workplace, number: int, which: str | int) -> bytes:
    """Read a picture of a training.

    Parameters
    ----------
    place
        The folder.
    number
        Of the training.
    which
        One of `PICTURES`, or the epoch whose predictions are meant.

    Returns
    -------
    bytes
        PNG.

    Raises
    ------
    KeyError
        If there is none.
    """
    folder = _folder(place, number)
    if isinstance(which, str) and which not in PICTURES:
        raise KeyError(which)
    path = prediction(folder, which) if isinstance(which, int) else folder / f"{which}.png"
    try:
        return path.read_bytes()
    except OSError:
        raise KeyError(which) from None


def settings_table() -> list[Answer]:
    """List every setting of a training.

    Returns
    -------
    list of dict
        ``name``, what it is ``about``, its ``usual`` value, and which are ``allowed``.
    """
    return list(_settings(TrainSettings, ()))


def _begin(place: Workplace) -> list[str]:
    return ["train", str(place.folder), "--out", str(place.folder / RUNS), "--annotated-only"]


def _settings(model: Any, groups: tuple[str, ...]) -> Iterator[Answer]:
    for name, field in model.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield from _settings(field.annotation, (*groups, name))
            continue
        usual = field.default
        yield {
            "name": ".".join((*groups, name)),
            "about": field.description,
            "usual": usual if isinstance(usual, str) else json.dumps(usual),
            "allowed": allowed_range(model, (name,)),
        }


def _folder(place: Workplace, number: int) -> Path:
    folder = run_folders(runs_folder(place))[number]
    _check_links(place, folder)
    return folder


def _told(place: Workplace, number: int, folder: Path) -> Answer:
    """One that cannot be read says so, and the others are told all the same."""
    told = blank(number)
    try:
        _check_links(place, folder)
        told["status"], told["problem"] = status(folder)
        record = _record(folder)
        fits = [read_epochs(home) for _, home in _fits(folder, record)]
        told["begun"] = (folder / MANIFEST).stat().st_mtime
        told["done"] = sum(len(fit.history) for fit in fits)
        told["epochs"] = len(fits) * record["settings"]["epochs"]
        told["epoch_s"] = _pace(fits, record["settings"]["epochs"])
        told["command"] = said(train_words(place, record))
        told["cross_validate"] = record["cross_validate"]
        told["metrics"] = _metrics(folder)
    except CorroscopeError as error:
        told |= {"status": "failed", "problem": str(error)}
    return told


def _pace(fits: Sequence[Epochs], epochs: int) -> float | None:
    """Seconds from one epoch to the next, whichever of the networks that are trained at once."""
    at_once = [fit.epoch_s for fit in fits if fit.epoch_s and len(fit.history) < epochs]
    if at_once:
        return 1 / sum(1 / each for each in at_once)
    return next((fit.epoch_s for fit in fits[::-1] if fit.epoch_s), None)


def _record(folder: Path) -> Answer:
    """What was asked for."""
    record = read_manifest(folder)
    try:
        _Record.model_validate(record)
    except ValidationError:
        raise StudioError(f"{folder / MANIFEST}: is that of no training; start anew") from None
    return record


def _metrics(folder: Path) -> Answer | None:
    """What came out, if it has."""
    path = folder / METRICS
    if not path.exists():
        return None
    try:
        return _Metrics.model_validate_json(path.read_bytes()).model_dump()
    except (OSError, ValidationError):
        raise StudioError(f"{path}: cannot be read; start anew") from None


def _fits(folder: Path, record: Answer) -> list[tuple[str, Path]]:
    """Where each network of a training is fitted, in order."""
    if not record["cross_validate"]:
        return [("", folder)]
    folds = range(1, record["settings"]["folds"] + 1)
    return [*((f"fold {fold}", folder / f"fold{fold}") for fold in folds), ("all patches", folder)]


def _check_links(place: Workplace, folder: Path) -> None:
    """Nothing that is read may be elsewhere."""
    folds = [folder, *folder.glob("fold*")]
    names = (MANIFEST, METRICS, PROCESS, *(f"{name}.png" for name in PICTURES))
    files = [folder / name for name in names] + [fold / EPOCHS for fold in folds]
    for path in (*folds, *files, *(folder / PREDICTIONS).glob("*"), folder / ".lock"):
        within(place.folder, path)


def _differing(given: Any, usual: Any, groups: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in given.items():
        other = usual.get(name) if isinstance(usual, dict) else None
        if isinstance(value, dict):
            yield from _differing(value, other, f"{groups}{name}.")
        elif value != other:
            yield groups + name, value
