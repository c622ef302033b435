"""A search in a database: several processes take trials from it, and none is lost with them."""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from corroscope.errors import OutputError
from corroscope.learning.progress import at_work, status
from corroscope.learning.space import Space, distributions

DATABASE: Final = "study.db"
TRIALS: Final = "trials"
"""Folder of the trials, each with a folder of its own."""

FIRST: Final = "0000"
"""Folder of the first trial, that of the defaults."""

_UNGUIDED: Final = 7
"""Trials that are drawn at random, before what was found guides the others."""

_NAME: Final = "tune"
_LOCK: Final = ".lock"
_LOCK_S: Final = 60.0
_GOES_ON: Final = "goes on with"
"""Attribute of a trial: the number of the one that was cut off and whose folder it takes over."""

DONE: Final = (TrialState.COMPLETE, TrialState.PRUNED)


def open_study(folder: Path, first: Mapping[str, Any]) -> optuna.Study:
    """Open the search in a folder; where there is none, begin one.

    Parameters
    ----------
    folder
        The search's folder.
    first
        Parameters of the first trial.

    Returns
    -------
    optuna.Study
        The search.

    Raises
    ------
    OutputError
        If the database cannot be used.
    """
    with _alone(folder), _quiet(), usable(folder):
        path = folder / DATABASE
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{path.resolve()}", engine_kwargs={"connect_args": {"timeout": _LOCK_S}}
        )
        study = optuna.create_study(
            storage=storage,
            study_name=_NAME,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
        )
        if not study.get_trials(deepcopy=False):
            study.enqueue_trial(dict(first))
    return study


@contextlib.contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Say in one line what is wrong with a search's database.

    Parameters
    ----------
    folder
        The search's folder.

    Yields
    ------
    None
        For whatever asks the database.

    Raises
    ------
    OutputError
        If it cannot be used.
    """
    try:
        yield
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError, sqlite3.Error) as error:
        reason = (str(error.__cause__ or error).strip().splitlines() or [type(error).__name__])[0]
        raise OutputError(
            f"{folder / DATABASE}: cannot be used ({reason}); free the disk, or give another --out"
        ) from error


@contextlib.contextmanager
def next_trial(
    study: optuna.Study,
    folder: Path,
    space: Space,
    trials: int,
    seed: int,
    first: Mapping[str, Any],
) -> Iterator[tuple[Trial, Path] | None]:
    """Take the next trial; nobody else gets it, and it is given up if this process dies.

    A trial whose process has died is taken up again, in its own folder.

    Parameters
    ----------
    study
        The search.
    folder
        The search's folder.
    space
        What is varied.
    trials
        How many there shall be.
    seed
        What is drawn depends on it, on how many trials there were, and on what they gave.
    first
        Parameters of the first trial, should that have to be taken up again.

    Yields
    ------
    tuple of (optuna.Trial, Path) or None
        The trial and its own folder; None when there is nothing left to take.
    """
    with contextlib.ExitStack() as held:
        with _alone(folder), _quiet():
            _take_up(study, folder, first)
            begun = study.get_trials(deepcopy=False)
            if sum(t.state in (*DONE, TrialState.RUNNING) for t in begun) >= trials:
                taken = None
            else:
                study.sampler = optuna.samplers.TPESampler(
                    # One that was taken up again is no new one.
                    seed=seed + sum(_GOES_ON not in t.user_attrs for t in begun),
                    n_startup_trials=_UNGUIDED,
                )
                trial = study.ask(fixed_distributions=dict(distributions(space)))
                place = folder_of(folder, trial)
                place.mkdir(parents=True, exist_ok=True)
                held.enter_context(at_work(place))
                taken = trial, place
        yield taken


def unfinished(study: optuna.Study, trials: int) -> bool:
    """Tell whether a search is still waiting for a trial.

    Parameters
    ----------
    study
        The search.
    trials
        How many there shall be.

    Returns
    -------
    bool
        True while one is under way, whether or not its process lives, or has to be taken up.
    """
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    if TrialState.RUNNING in states:
        return True
    return TrialState.WAITING in states and sum(state in DONE for state in states) < trials


def folder_of(folder: Path, trial: Trial | FrozenTrial) -> Path:
    """Where the files of a trial are.

    Parameters
    ----------
    folder
        The search's folder.
    trial
        The trial.

    Returns
    -------
    Path
        Its own folder, or that of the trial that it goes on with.
    """
    return folder / TRIALS / f"{trial.user_attrs.get(_GOES_ON, trial.number):04d}"


def _take_up(study: optuna.Study, folder: Path, first: Mapping[str, Any]) -> None:
    """Put trials whose process has died back at the head of the queue.

    In this order, so that whoever is killed in between loses none.
    """
    known = study.get_trials(deepcopy=False)
    for trial in known:
        if trial.state != TrialState.RUNNING:
            continue
        place = folder_of(folder, trial)
        follows = any(t.number > trial.number and folder_of(folder, t) == place for t in known)
        if not follows:
            if status(place).word == "running":
                continue
            # It may have ended since it was looked up, and not have died: it is told before its
            # process lets go of it.
            running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            if trial.number not in {one.number for one in running}:
                continue
            # What a process that was killed had not written yet is in what was asked for.
            fixed: dict[str, Any] = trial.system_attrs.get("fixed_params", {})
            drawn = dict(first) if place.name == FIRST else {**fixed, **trial.params}
            study.enqueue_trial(drawn, user_attrs={_GOES_ON: int(place.name)})
        study.tell(trial.number, state=TrialState.FAIL)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        with FileLock(folder / _LOCK, timeout=_LOCK_S):
            yield
    except Timeout:
        raise OutputError(
            f"{folder}: another process has kept it locked for {_LOCK_S:g} s; try again"
        ) from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Optuna announces to itself."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
