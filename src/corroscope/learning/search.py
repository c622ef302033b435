"""What one process does for a search: trials while there are some, then the last fits."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState
from pydantic import BaseModel, ConfigDict, Field

from corroscope.errors import MissingExtraError, SettingsError
from corroscope.learning.checkpoints import start_from
from corroscope.learning.dataset import Patch, frame_hash
from corroscope.learning.final import BUNDLE, Candidate, Finals, all_done, do_next
from corroscope.learning.held_out import hold_out
from corroscope.learning.networks import build_network
from corroscope.learning.pairs import synthetic_pairs
from corroscope.learning.provenance import frames_seen
from corroscope.learning.settings import TrainSettings
from corroscope.learning.side_by_side import POLL_S
from corroscope.learning.space import START, Between, Space, decoded, encoded, with_values
from corroscope.learning.study import (
    DONE,
    FIRST,
    folder_of,
    next_trial,
    open_study,
    unfinished,
)
from corroscope.learning.surfaces import shared_surface, surface_folds
from corroscope.learning.trial import Ground, run_trial
from corroscope.segmentation.bundle import load_bundle


class Asked(BaseModel):
    """What a search was asked for; another one needs another folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset_sha256: str = Field(description="hash of frames and masks")
    settings: TrainSettings = Field(description="what is not varied, and the first trial")
    space: dict[str, Between | list[Any]] = Field(description="what is varied")
    folds: int = Field(3, ge=2, le=100, description="folds that each trial is judged on")
    epochs: int = Field(12, ge=1, description="epochs of each fit of a trial")
    held_out: float = Field(0.2, gt=0, le=0.5, description="share of patches set aside")


class Search:
    """A search, as one process sees it.

    Parameters
    ----------
    folder
        The search's folder.
    patches
        All patches.
    asked
        What was asked for.
    name, source
        For the bundle's card.
    accelerator
        As Lightning's Trainer understands it.

    Attributes
    ----------
    study : optuna.Study
        The trials.
    held_out : list of Patch
        Patches that have no say in anything.
    shared_held_out : ndarray of bool
        ``(n, n)``, which of those share surface.

    Raises
    ------
    DatasetError
        If the patches show too few separate pieces of surface.
    SettingsError
        If the defaults lie outside the space, or weights to start from do not fit or have seen
        these patches.
    """

    def __init__(
        self,
        folder: Path,
        patches: list[Patch],
        asked: Asked,
        *,
        name: str,
        source: str,
        accelerator: str = "auto",
    ) -> None:
        self.folder = folder
        self.asked = asked
        self._patches = patches
        self._name, self._source = name, source
        check_starts(asked.space, asked.settings, patches)
        for architecture in asked.space.get("architecture", []):
            build_network(with_values(asked.settings, {"architecture": architecture}))
        shared = shared_surface(patches)
        develop, held = hold_out(shared, asked.held_out)
        self.held_out = [patches[i] for i in held]
        self.shared_held_out = shared[held][:, held]
        within = shared[develop][:, develop]
        self._ground = Ground(
            [patches[i] for i in develop],
            within,
            surface_folds(within, asked.folds),
            None,
            accelerator,
        )
        first = encoded(asked.space, asked.settings)
        if first is None:
            outside = next(
                name
                for name, given in asked.space.items()
                if encoded({name: given}, asked.settings) is None
            )
            raise SettingsError(
                f"{outside}: the default lies outside what is searched, so nothing can be compared "
                "with it; widen the space, or set the default to a value within"
            )
        self._first = first
        self.study: optuna.Study

    def open(self) -> None:
        """Open the database, or begin one.

        Raises
        ------
        OutputError
            If it cannot be used.
        """
        self.study = open_study(self.folder, self._first)

    def over(self, trials: int) -> bool:
        """Whether nothing is left to do.

        Parameters
        ----------
        trials
            How many trials there shall be.

        Returns
        -------
        bool
            True once the trials and the last fits are done.
        """
        if self.done < trials or unfinished(self.study, trials):
            return False
        return all_done(self.finals())

    def work(self, trials: int, tell: Callable[[], None]) -> None:
        """Do what there is to do until the search is over.

        Parameters
        ----------
        trials
            How many trials there shall be.
        tell
            Called when something has been done, and now and then while others do it.
        """
        self._see_synthetic()
        short = self.asked.settings.model_copy(update={"epochs": self.asked.epochs})
        while True:
            with next_trial(
                self.study,
                self.folder,
                self.asked.space,
                trials,
                self.asked.settings.seed,
                self._first,
            ) as taken:
                if taken is not None:
                    trial, place = taken
                    value = self._try(trial, place, short)
                    state = TrialState.PRUNED if value is None else TrialState.COMPLETE
                    self.study.tell(trial, value, state)
            tell()
            if taken is None:
                if not unfinished(self.study, trials):
                    break
                time.sleep(POLL_S)
        finals = self.finals()
        while not all_done(finals):
            if not do_next(finals):
                time.sleep(POLL_S)
            tell()

    def _try(self, trial: optuna.trial.Trial, place: Path, short: TrainSettings) -> float | None:
        """Run one trial; None for one that is ended early."""
        values = decoded(trial.params)
        is_first = place.name == FIRST  # all is compared with it in the end
        try:
            settings = with_values(short, values)
            build_network(settings)
        except (SettingsError, MissingExtraError) as error:
            if is_first:
                raise
            trial.set_user_attr("problem", str(error))  # its values do not go together
            return None
        start = start_of(values)
        return run_trial(trial, settings, start, self._ground, place, prune=not is_first)

    def finals(self) -> Finals:
        """What comes after the trials.

        Returns
        -------
        Finals
            The last fits.
        """
        first = self.default_trial
        best = self.study.best_trial
        default = self._candidate(first)
        return Finals(
            self.folder,
            self._ground,
            self.held_out,
            self.shared_held_out,
            self._patches,
            default,
            default if best.params == first.params else self._candidate(best),
            self._name,
            self._source,
        )

    @property
    def default_trial(self) -> optuna.trial.FrozenTrial:
        """The trial of the defaults.

        Raises
        ------
        SettingsError
            If it has not been completed.
        """
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            if folder_of(self.folder, trial).name == FIRST:
                return trial
        raise SettingsError(
            f"{self.folder}: the trial of the default is not complete; ask for more --trials"
        )

    @property
    def done(self) -> int:
        """How many trials have been done."""
        return len(self.study.get_trials(deepcopy=False, states=DONE))

    @property
    def best_value(self) -> float | None:
        """The highest value of a complete trial; None before there is one."""
        trials = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return max((t.value for t in trials if t.value is not None), default=None)

    def _candidate(self, trial: optuna.trial.FrozenTrial) -> Candidate:
        values = decoded(trial.params)
        place = folder_of(self.folder, trial)
        return Candidate(with_values(self.asked.settings, values), start_of(values), place.name)

    def _see_synthetic(self) -> None:
        """Make pairs of synthetic runs once for all trials, for it takes most of a minute."""
        settings, space = self.asked.settings, self.asked.space
        varied = {"background_sigma_px", "pairing.runs", "pairing.alone"} & space.keys()
        if varied or settings.channels == 1 or settings.pairing.synthetic == 0:
            return
        self._ground = self._ground.with_synthetic(
            synthetic_pairs(settings.pairing.runs, settings.background_sigma_px, settings.seed)
        )


def start_of(values: dict[str, Any]) -> Path | None:
    """Where a trial's weights come from.

    Parameters
    ----------
    values
        The trial's values.

    Returns
    -------
    Path or None
        Folder of an earlier run; None for random weights.

    Examples
    --------
    >>> start_of({"start": "", "dice_weight": 0.5})
    """
    return Path(values[START]) if values.get(START) else None


def check_starts(space: Space, settings: TrainSettings, patches: list[Patch]) -> None:
    """See whether the earlier runs that a search may start from are fit for it.

    Parameters
    ----------
    space
        What is varied.
    settings
        What is not.
    patches
        All patches.

    Raises
    ------
    SettingsError
        If one has other weights, or has seen a frame of these patches.
    """
    known = {frame_hash(patch)[:16] for patch in patches}
    starts = space.get(START, [])
    for folder in starts if isinstance(starts, list) else []:
        if not folder:
            continue
        varied = {"architecture", "encoder", "widths", "dilations"} & space.keys()
        if varied:
            raise SettingsError(
                f"{START}: weights fit one network only; do not vary {min(varied)} as well"
            )
        start_from(build_network(settings), Path(folder))
        if known & frames_seen(load_bundle(Path(folder) / BUNDLE).card):
            raise SettingsError(
                f"{folder}: has learnt from frames of this dataset, so every score would be "
                "memory; start from a run on other data"
            )
