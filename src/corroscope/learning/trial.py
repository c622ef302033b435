"""One trial of a search: a fit for each fold, ended early if it does worse than others did."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from optuna.trial import Trial

from corroscope.learning.checkpoints import BEST, LAST
from corroscope.learning.dataset import Patch
from corroscope.learning.fit import fit
from corroscope.learning.judge import Judged, nested_counts
from corroscope.learning.operating_points import count_at, operating_point
from corroscope.learning.pairs import Paired
from corroscope.learning.predict import predict
from corroscope.learning.settings import TrainSettings
from corroscope.outputs import output_folder, replacing
from corroscope.scoring.counts import Counts
from corroscope.scoring.scores import scores


@dataclass(frozen=True)
class Ground:
    """What all trials of a search stand on.

    Attributes
    ----------
    patches
        Patches to develop on.
    shared
        ``(n, n)``, which of them share surface.
    splits
        Training and validation of each fold, as indices.
    synthetic
        Pairs of synthetic runs; None where the network sees no reference.
    accelerator
        As Lightning's Trainer understands it.
    """

    patches: Sequence[Patch]
    shared: NDArray[np.bool_]
    splits: Sequence[tuple[list[int], list[int]]]
    synthetic: Sequence[Paired] | None
    accelerator: str = "auto"

    def with_synthetic(self, synthetic: Sequence[Paired]) -> "Ground":
        """The same with pairs of synthetic runs at hand."""
        return replace(self, synthetic=synthetic)


def value_of(counts: Counts) -> float:
    """What a search maximises: the mean of pooled Dice and particle F1 at IoU 0.3.

    Parameters
    ----------
    counts
        Counts of all patches.

    Returns
    -------
    float
        0 where nothing was found and nothing was there.

    Examples
    --------
    >>> value_of(Counts(true_positive=1, annotated=1, predicted=1, matched_iou_30=1))
    1.0
    """
    found = scores(counts)
    return float(np.nan_to_num([found["dice"], found["particle_f1_iou30"]]).mean())


def run_trial(
    trial: Trial,
    settings: TrainSettings,
    start: Path | None,
    ground: Ground,
    folder: Path,
    *,
    prune: bool = True,
) -> float | None:
    """Cross-validate settings, fold by fold; what earlier processes finished is not done again.

    After each fold the trial reports what it has reached on the folds so far. Patches are judged
    at an operating point that was chosen on others, but for the first fold, where
    there are none.

    Parameters
    ----------
    trial
        Optuna's trial; `Trial.report` gets the value so far.
    settings
        Settings of this trial.
    start
        Folder of an earlier run whose weights to start from.
    ground
        Patches and folds.
    folder
        The trial's own folder.
    prune
        Whether it may be ended early.

    Returns
    -------
    float or None
        As of `value_of`; None for a trial that was pruned.
    """
    value = 0.0
    for number, (training, validation) in enumerate(ground.splits, start=1):
        patches = [ground.patches[i] for i in validation]
        path = folder / f"fold{number}.npz"
        if not path.exists():
            network, _ = fit(
                [ground.patches[i] for i in training],
                [],
                settings,
                output_folder(folder / f"fold{number}"),
                start=start,
                synthetic=ground.synthetic,
                accelerator=ground.accelerator,
            )
            _write(path, predict(network, patches, settings))
        for name in (BEST, LAST):  # megabytes that nobody asks for any more
            (folder / f"fold{number}" / f"{name}.ckpt").unlink(missing_ok=True)
        value = value_of(sum(_counts(_read_judged(ground, folder, number), ground), Counts()))
        trial.report(value, number)
        if prune and number < len(ground.splits) and trial.should_prune():
            return None
    return value


def _read_judged(ground: Ground, folder: Path, folds: int) -> Judged:
    """What the networks of a trial predicted for the patches of the first folds."""
    patches: list[Patch] = []
    probabilities: list[NDArray[np.float32]] = []
    of_patch: list[int] = []
    for number, (_, validation) in enumerate(ground.splits[:folds], start=1):
        patches += [ground.patches[i] for i in validation]
        probabilities += _read(folder / f"fold{number}.npz")
        of_patch += [number] * len(validation)
    return Judged(patches, probabilities, of_patch)


def _counts(judged: Judged, ground: Ground) -> list[Counts]:
    if len(set(judged.folds)) == 1:
        point = operating_point(judged.patches, judged.probabilities)
        pairs = zip(judged.patches, judged.probabilities, strict=True)
        return [count_at(patch, probability, *point) for patch, probability in pairs]
    indices = [i for _, validation in ground.splits for i in validation][: len(judged.patches)]
    return nested_counts(judged, ground.shared[np.ix_(indices, indices)])


def _write(path: Path, probabilities: Sequence[NDArray[np.float32]]) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, *probabilities)


def _read(path: Path) -> list[NDArray[np.float32]]:
    with np.load(path) as content:
        return [content[name] for name in content.files]
