"""A search in a database: several processes take trials from it, and none is lost with them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, Trial, TrialState

from corroscope.errors import OutputError, SettingsError
from corroscope.learning.progress import at_work, status
from corroscope.learning.settings import TrainSettings
from corroscope.learning.space import Space, distributions, encoded

DATABASE: Final = "study.db"
TRIALS: Final = "trials"
"""Folder of the trials, each with a folder of its own."""

FIRST: Final = "0000"
"""Folder of the first trial, that of the defaults."""

_NAME: Final = "tune"
_LOCK: Final = ".lock"
_LOCK_S: Final = 60.0
_GOES_ON: Final = "goes on with"
"""Attribute of a trial: the number of the one that was cut off and whose folder it takes over."""

DONE: Final = (TrialState.COMPLETE, TrialState.PRUNED)


def open_study(folder: Path, space: Space, defaults: TrainSettings) -> optuna.Study:
    """Open the search in a folder; where there is none, begin one with the defaults as first trial.

    Parameters
    ----------
    folder
        The search's folder.
    space
        What is varied.
    defaults
        Settings of the first trial.

    Returns
    -------
    optuna.Study
        The search.

    Raises
    ------
    SettingsError
        If the defaults lie outside the space.
    OutputError
        If the database cannot be used.
    """
    first = encoded(space, defaults)
    if first is None:
        outside = next(name for name in space if encoded({name: space[name]}, defaults) is None)
        raise SettingsError(
            f"{outside}: the default lies outside what is searched, so nothing can be compared "
            "with it; widen the space, or set the default to a value within"
        )
    with _alone(folder), _quiet():
        path = folder / DATABASE
        try:
            storage = optuna.storages.RDBStorage(
                f"sqlite:///{path.resolve()}", engine_kwargs={"connect_args": {"timeout": _LOCK_S}}
            )
            study = optuna.create_study(
                storage=storage,
                study_name=_NAME,
                direction="maximize",
                load_if_exists=True,
                # Half of the trials end after the first fold, and half of the rest after the next.
                pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
            )
            if not study.get_trials(deepcopy=False):
                study.enqueue_trial(first)
        except Exception as error:  # of three libraries
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise OutputError(
                f"{path}: cannot be used ({reason}); free the disk, or give another --out"
            ) from error
    return study


@contextlib.contextmanager
def next_trial(
    study: optuna.Study, folder: Path, space: Space, trials: int, seed: int
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
        What is drawn depends on it, on the trial's number, and on what the trials before gave.

    Yields
    ------
    tuple of (optuna.Trial, Path) or None
        The trial and its own folder; None when there is nothing left to take.
    """
    with contextlib.ExitStack() as held:
        with _alone(folder), _quiet():
            _take_up(study, folder)
            begun = study.get_trials(deepcopy=False)
            if sum(t.state in (*DONE, TrialState.RUNNING) for t in begun) >= trials:
                taken = None
            else:
                study.sampler = optuna.samplers.TPESampler(
                    seed=seed + len(begun), n_startup_trials=max(5, trials // 3)
                )
                trial = study.ask(fixed_distributions=dict(distributions(space)))
                place = folder_of(folder, trial)
                place.mkdir(parents=True, exist_ok=True)
                held.enter_context(at_work(place))
                taken = trial, place
        yield taken


def at_work_elsewhere(study: optuna.Study, folder: Path) -> bool:
    """Tell whether other processes are busy with trials of this search.

    Parameters
    ----------
    study
        The search.
    folder
        Its folder.

    Returns
    -------
    bool
        False when no trial is under way, or only such whose process has died.
    """
    return any(
        status(folder_of(folder, trial)).word == "running"
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    )


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


def _take_up(study: optuna.Study, folder: Path) -> None:
    """Put trials whose process has died back at the head of the queue."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if status(folder_of(folder, trial)).word == "running":
            continue
        study.tell(trial.number, state=TrialState.FAIL)
        number = trial.user_attrs.get(_GOES_ON, trial.number)
        study.enqueue_trial(trial.params, user_attrs={_GOES_ON: number})


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
