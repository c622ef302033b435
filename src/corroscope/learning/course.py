"""The fits of one training: one that is validated, or one for each fold and one on all patches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from corroscope.learning.compared import compared_points, predict_compared
from corroscope.learning.dataset import Patch, read_dataset
from corroscope.learning.export import export_bundle
from corroscope.learning.fit import FINISHED, fit
from corroscope.learning.judge import Judged, choice_of, judge, nested_choices
from corroscope.learning.judge_pairs import PairCounts, count_pair
from corroscope.learning.pairs import Paired, surface_pairs, synthetic_pairs
from corroscope.learning.progress import Progress, read_epochs
from corroscope.learning.settings import TrainSettings
from corroscope.learning.side_by_side import side_by_side, threads_each
from corroscope.report.examples import Example, draw_examples
from corroscope.segmentation.particles import OperatingPoint, find_particles
from corroscope.segmentation.segmenter import Segmenter

Tell = Callable[[Progress], object]


class Machine(NamedTuple):
    """What trains.

    Attributes
    ----------
    accelerator, devices
        As Lightning's Trainer understands them.
    workers
        How many processes train networks side by side.
    """

    accelerator: str = "auto"
    devices: int | str = 1
    workers: int = 1


class Origin(NamedTuple):
    """Where patches are read from, by every process anew.

    Attributes
    ----------
    dataset
        Folder of images and masks.
    annotated_only
        Whether images without a mask are left out.
    """

    dataset: Path
    annotated_only: bool = False


class Fold(NamedTuple):
    """One network of a cross-validation.

    Attributes
    ----------
    number
        From 1; that of the network on all patches comes last.
    training, judged
        Indices of the patches that it learns from and is judged on.
    folder
        Where it is trained.
    """

    number: int
    training: Sequence[int]
    judged: Sequence[int]
    folder: Path


class Course:
    """What all fits of one training have in common.

    Parameters
    ----------
    origin
        Where the patches come from.
    patches
        All patches.
    settings
        Every setting.
    folder
        The training's own folder.
    start
        Folder of an earlier run, whose weights to start from.
    machine
        What trains.
    progress
        As for `corroscope.train`.
    """

    def __init__(
        self,
        origin: Origin,
        patches: Sequence[Patch],
        settings: TrainSettings,
        folder: Path,
        start: Path | None = None,
        machine: Machine = Machine(),  # noqa: B008 - cannot be changed
        progress: Tell | None = None,
    ) -> None:
        self.origin = origin
        self.patches = patches
        self.settings = settings
        self.folder = folder
        self.start = start
        self.machine = machine
        self.progress = progress
        self.judged: list[Patch] = []

    @cached_property
    def _synthetic(self) -> list[Paired]:
        """Made once for all fits, for it takes most of a minute."""
        settings = self.settings
        if settings.channels == 1 or settings.pairing.synthetic == 0:
            return []
        return synthetic_pairs(settings.pairing.runs, settings.background_sigma_px, settings.seed)

    def validated(
        self, split: tuple[Sequence[int], Sequence[int]], shared: NDArray[np.bool_]
    ) -> tuple[nn.Module, list[dict[str, float]], dict[str, Any]]:
        """One fit; the best epoch on the validation patches is taken.

        Parameters
        ----------
        split
            Indices of the patches to learn from and to validate with.
        shared
            ``(n, n)``, which of all patches share surface.

        Returns
        -------
        network : torch.nn.Module
            The network.
        history : list of dict
            Figures of each epoch.
        metrics : dict
            As of `corroscope.learning.judge.judge`.
        """
        training, validation = split
        network, history = self._fit(Fold(1, training, validation, self.folder), 1, validation)
        segmenters = {0: self._segmenter(network, self.folder / "validation")}
        metrics = self._judge(validation, [0] * len(validation), segmenters, shared)
        metrics["method"] += "; the best epoch was chosen on the same patches"
        return network, history, metrics

    def cross_validated(
        self, splits: Sequence[tuple[Sequence[int], Sequence[int]]], shared: NDArray[np.bool_]
    ) -> tuple[nn.Module, list[dict[str, float]], dict[str, Any]]:
        """A fit for each fold, to judge; then one on all patches, to use.

        No fit chooses its epoch by the patches it is judged on: all take the last.

        Parameters
        ----------
        splits
            For each fold, indices of the patches to learn from and to be judged on.
        shared
            ``(n, n)``, which of all patches share surface.

        Returns
        -------
        network : torch.nn.Module
            The one on all patches.
        history : list of dict
            Its figures of each epoch.
        metrics : dict
            As of `corroscope.learning.judge.judge`, with ``compared`` where there are pairs.
        """
        folds = [
            Fold(number, training, judged, self.folder / f"fold{number}")
            for number, (training, judged) in enumerate(splits, start=1)
        ]
        final = Fold(len(folds) + 1, range(len(self.patches)), (), self.folder)
        if self.machine.workers > 1:
            self.train_side_by_side([*folds, final])
        indices: list[int] = []
        numbers: list[int] = []
        segmenters: dict[int, Segmenter] = {}
        for fold in folds:
            network, _ = self._fit(fold, final.number)
            segmenters[fold.number] = self._segmenter(network, fold.folder)
            indices += fold.judged
            numbers += [fold.number] * len(fold.judged)
        metrics = self._judge(indices, numbers, segmenters, shared)
        network, history = self._fit(final, final.number)
        return network, history, metrics

    def train_side_by_side(self, folds: Sequence[Fold]) -> None:
        """Train several networks in several processes, and leave them in their folders.

        Parameters
        ----------
        folds
            The networks; those that are finished are left alone.
        """
        todo = [fold for fold in folds if not (fold.folder / FINISHED).exists()]
        workers = min(self.machine.workers, len(todo))
        shares = [
            _Share(
                self.origin,
                self.settings,
                self.folder,
                self.start,
                self.machine.accelerator,
                todo[worker::workers],
            )
            for worker in range(workers)
        ]
        side_by_side(
            _train_share,
            shares,
            threads=threads_each(self.machine.workers),
            what="the training",
            again="--resume",
            tell=_Follower(self.progress, self.settings.epochs, todo, len(folds)),
        )

    def train_all(self, folds: Sequence[Fold]) -> None:
        """Train networks one after the other, and leave them in their folders.

        Parameters
        ----------
        folds
            The networks.
        """
        for fold in folds:
            self._fit(fold, len(folds))

    def _fit(
        self, fold: Fold, fits: int, validation: Sequence[int] = ()
    ) -> tuple[nn.Module, list[dict[str, float]]]:
        told = None if self.progress is None else partial(_tell, self.progress, fold.number, fits)
        return fit(
            [self.patches[i] for i in fold.training],
            [self.patches[i] for i in validation],
            self.settings,
            fold.folder,
            start=self.start,
            synthetic=None if (fold.folder / FINISHED).exists() else self._synthetic,
            accelerator=self.machine.accelerator,
            devices=self.machine.devices,
            progress=told,
        )

    def _segmenter(self, network: nn.Module, folder: Path) -> Segmenter:
        """What would ship: the exported network in its engine."""
        bundle = export_bundle(
            network,
            self.settings,
            folder / "bundle",
            name="validation",
            point=OperatingPoint(0.5, 1),
            training={},
            metrics={},
            provenance={},
        )
        return Segmenter(bundle, precision="f32")

    def _judge(
        self,
        indices: Sequence[int],
        folds: list[int],
        segmenters: dict[int, Segmenter],
        all_shared: NDArray[np.bool_],
    ) -> dict[str, Any]:
        patches = self.judged = [self.patches[i] for i in indices]
        found = [segmenters[fold](patch.frame) for patch, fold in zip(patches, folds, strict=True)]
        judged = Judged(
            patches,
            [one.probability for one in found],
            folds,
            [one.contrast for one in found],
        )
        shared = all_shared[np.ix_(indices, indices)]
        metrics = judge(judged, shared, np.random.default_rng(self.settings.seed))
        if self.settings.channels > 1:
            self._judge_compared(judged, shared, segmenters, metrics)
        choice = choice_of(metrics)
        examples = [
            Example(patch.name, patch.frame, patch.mask, judged.found(number, choice))
            for number, patch in enumerate(patches)
        ]
        draw_examples(examples, self.folder / "examples.png")
        return metrics

    def _judge_compared(
        self,
        judged: Judged,
        shared: NDArray[np.bool_],
        segmenters: dict[int, Segmenter],
        metrics: dict[str, Any],
    ) -> None:
        """Add to the metrics what a reference is worth, on surface that each network has not seen.

        Patches of one surface are never on both sides of a split, so neither is a pair. Where
        single frames are judged once more, the operating point is used with a reference only: then
        it is chosen anew, with one.
        """
        index = {patch.name: number for number, patch in enumerate(judged.patches)}
        sigma_px = self.settings.background_sigma_px

        def pairs() -> Iterator[tuple[Paired, int]]:
            for pair in surface_pairs(self.patches, sigma_px):
                if pair.later in index:
                    yield pair, judged.folds[index[pair.later]]

        def near(pair: Paired, fold: int) -> bool:
            of_fold = np.array(judged.folds) == fold
            named = [index[name] for name in (pair.later, pair.earlier) if name in index]
            return bool(shared[named][:, of_fold].any())

        choices = nested_choices(judged, shared)
        points = {fold: choice.point for fold, choice in choices.items()}
        if next(pairs(), None) is None:
            return
        if metrics["rescoring"] is not None:
            point, points = compared_points(pairs(), near, segmenters, sigma_px, self.settings.seed)
            metrics |= point._asdict()
        total = PairCounts()
        for pair, fold in pairs():
            alone = segmenters[fold].probability(pair.contrast)
            compared = predict_compared(pair, segmenters[fold])
            total += count_pair(
                pair,
                choices[fold].find(alone, pair.contrast),
                find_particles(compared, *points[fold]),
            )
        metrics["compared"] = asdict(total)


class _Share(NamedTuple):
    """What one of several processes trains."""

    origin: Origin
    settings: TrainSettings
    folder: Path
    start: Path | None
    accelerator: str
    folds: Sequence[Fold]


def _train_share(share: _Share) -> None:
    origin, settings, folder, start, accelerator, folds = share
    patches = read_dataset(origin.dataset, annotated_only=origin.annotated_only)
    course = Course(origin, patches, settings, folder, start, Machine(accelerator))
    course.train_all(folds)


class _Follower:
    """Tells how far several networks are, by what each writes into its folder after an epoch."""

    def __init__(
        self, progress: Tell | None, epochs: int, folds: Sequence[Fold], fits: int
    ) -> None:
        self._progress = progress
        self._epochs = epochs
        self._folds = folds
        self._fits = fits
        self._told = dict.fromkeys((fold.number for fold in folds), -1)

    def __call__(self) -> None:
        """Tell of each network that has ended epochs since the last time; at first, of all."""
        if self._progress is None:
            return
        for fold in self._folds:
            known = read_epochs(fold.folder)
            if len(known.history) > self._told[fold.number]:
                self._told[fold.number] = len(known.history)
                self._progress(
                    Progress(known.history, self._epochs, known.epoch_s, fold.number, self._fits)
                )


def _tell(progress: Tell, fit_number: int, fits: int, told: Progress) -> None:
    progress(told._replace(fit=fit_number, fits=fits))
