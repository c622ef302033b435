"""`corroscope train`: a folder of annotated patches in, a bundle and its record out."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from corroscope.errors import SettingsError
from corroscope.learning.dataset import Patch, dataset_hash, frame_hash, read_dataset
from corroscope.learning.export import export_bundle
from corroscope.learning.fit import check_machine, fit, start_from
from corroscope.learning.judge import Judged, judge, nested_points
from corroscope.learning.judge_pairs import PairCounts, count_pair
from corroscope.learning.networks import build_network
from corroscope.learning.pairs import surface_pairs
from corroscope.learning.progress import Progress, at_work, plain
from corroscope.learning.provenance import frames_seen, training_record
from corroscope.learning.runs import METRICS, new_run, unfinished_run
from corroscope.learning.settings import TrainSettings, make_settings
from corroscope.learning.surfaces import shared_surface, surface_folds
from corroscope.outputs import code_hash, versions, write_json
from corroscope.report.curves import draw_curves
from corroscope.report.examples import Example, draw_examples
from corroscope.segmentation.bundle import Bundle, load_bundle
from corroscope.segmentation.card import Card
from corroscope.segmentation.particles import find_particles
from corroscope.segmentation.segmenter import Segmenter


def train(
    dataset: str | Path,
    *,
    out: str | Path,
    settings: TrainSettings | None = None,
    cross_validate: bool = False,
    resume: bool = False,
    start: str | Path | None = None,
    name: str | None = None,
    source: str | None = None,
    annotated_only: bool = False,
    accelerator: str = "auto",
    devices: int | str = 1,
    progress: Callable[[Progress], object] | None = None,
) -> Bundle:
    """Train a network on annotated patches, from random weights or from an earlier run.

    Makes a folder ``train1``, ``train2``, … under ``out`` with ``bundle/``,
    ``metrics.json``, ``curves.png``, ``examples.png`` and the TensorBoard log. While it runs,
    ``epochs.json`` there has the figures of each epoch so far, ``predictions/`` pictures of
    what the network finds in some validation patches, and ``process.json`` tells which process
    is at work or how it ended; each fold of a cross-validation has such figures in its own
    ``fold1``, ``fold2``, …

    Parameters
    ----------
    dataset
        Folder of images and masks.
    out
        Folder of all runs.
    settings
        Every setting; the defaults are those of the bundle that is shipped.
    cross_validate
        Train once for each fold, to be judged on surface it has not seen, then once
        on all patches for the bundle. Without it, one fold is kept for validation:
        quicker, but a part of the patches is not learnt from.
    resume
        Go on with the newest run under ``out``, as it was started: settings, name and
        the like cannot be given again.
    start
        Folder of an earlier run, whose weights to start from; of the same architecture
        and widths.
    name, source
        Name of the bundle and where the data come from, for its card.
    annotated_only
        Leave out images without a mask, which are an error otherwise.
    accelerator, devices
        As Lightning's Trainer understands them. With several devices others are
        spawned, so a script needs the usual ``if __name__ == "__main__":``.
    progress
        Called when the training of a network begins and after each of its epochs, with
        `corroscope.learning.progress.Progress`. With several devices it is called in another
        process, so it must be one that can be sent there (no lambda).

    Returns
    -------
    Bundle
        The trained bundle.

    Raises
    ------
    DatasetError, FrameError
        If the dataset cannot be read or split.
    SettingsError
        If there is nothing to resume or nothing to learn, no such machine, or another process
        is at work on the run to be resumed.
    ExportError
        If an engine does not agree with the trained network.
    """
    if resume and (settings or cross_validate or start or name or source):
        raise SettingsError("--resume goes on with a run as it was started; give nothing else")
    check_machine(accelerator, devices)
    patches = read_dataset(dataset, annotated_only=annotated_only)
    if not any(patch.mask.any() for patch in patches):
        raise SettingsError(f"{dataset}: no mask has a particle, nothing to learn; annotate some")
    sha256 = dataset_hash(patches)
    if resume:
        folder, record = unfinished_run(out, sha256)
        settings = make_settings(record["settings"])
        cross_validate, name, source = record["cross_validate"], record["name"], record["source"]
        start = record.get("start")
    settings = settings or TrainSettings()
    name, source = name or "own", source or "not stated"
    shared = shared_surface(patches)
    splits = surface_folds(shared, settings.folds)
    # What cannot be had fails before anything is written.
    network = build_network(settings)
    earlier: Card | None = None
    if start is not None:
        start_from(network, Path(start))
        earlier = load_bundle(Path(start) / "bundle").card
    used = versions("torch", "lightning", "numpy", "cv2")
    if not resume:
        record = {
            "command": "train",
            "dataset_sha256": sha256,
            "settings": settings.model_dump(mode="json"),
            "cross_validate": cross_validate,
            "start": None if start is None else str(Path(start).resolve()),
            "name": name,
            "source": source,
            "versions": used,
            "code_sha256": code_hash(),
        }
        folder = new_run(out, record)
    with at_work(folder):
        course = _Course(patches, shared, settings, folder, start, accelerator, devices, progress)
        network, history, metrics = (
            course.cross_validated(splits) if cross_validate else course.validated(*splits[0])
        )
        if earlier is not None:
            metrics["method"] += _memory(course.judged, earlier)
        draw_curves(history, folder / "curves.png")
        bundle = export_bundle(
            network,
            settings,
            folder / "bundle",
            name=name,
            threshold=metrics["threshold"],
            min_area_px=metrics["min_area_px"],
            training=training_record(
                patches, settings, used, cross_validated=cross_validate, earlier=earlier
            ),
            metrics=metrics,
            provenance={"source": source},
        )
        write_json(folder / METRICS, {**metrics, "history": plain(history)})
    return bundle


def _memory(patches: Sequence[Patch], earlier: Card) -> str:
    """Says of how many patches the scores are memory, since an earlier run knew them."""
    known = sum(frame_hash(patch)[:16] in frames_seen(earlier) for patch in patches)
    if not known:
        return ""
    return (
        f"; {known} of these patches were learnt from in the run that this one started from, so "
        "on them the scores measure memory"
    )


def _tell(
    progress: Callable[[Progress], object], fit_number: int, fits: int, told: Progress
) -> None:
    progress(told._replace(fit=fit_number, fits=fits))


class _Course:
    """What all fits of one training have in common."""

    def __init__(
        self,
        patches: Sequence[Patch],
        shared: NDArray[np.bool_],
        settings: TrainSettings,
        folder: Path,
        start: str | Path | None,
        accelerator: str,
        devices: int | str,
        progress: Callable[[Progress], object] | None,
    ) -> None:
        self.patches = patches
        self.shared = shared
        self.settings = settings
        self.folder = folder
        self.judged: list[Patch] = []
        self.how: dict[str, Any] = {
            "start": None if start is None else Path(start),
            "accelerator": accelerator,
            "devices": devices,
        }
        self.progress = progress

    def _told(self, fit: int, fits: int) -> Callable[[Progress], object] | None:
        """Tell the caller which network of how many it is."""
        return None if self.progress is None else partial(_tell, self.progress, fit, fits)

    def validated(
        self, training: Sequence[int], validation: Sequence[int]
    ) -> tuple[nn.Module, list[dict[str, float]], dict[str, Any]]:
        """One fit; the best epoch on the validation patches is taken."""
        network, history = fit(
            [self.patches[i] for i in training],
            [self.patches[i] for i in validation],
            self.settings,
            self.folder,
            progress=self._told(1, 1),
            **self.how,
        )
        segmenters = {0: self._segmenter(network, self.folder / "validation")}
        metrics = self._judge(validation, [0] * len(validation), segmenters)
        metrics["method"] += "; the best epoch was chosen on the same patches"
        return network, history, metrics

    def cross_validated(
        self, splits: Sequence[tuple[Sequence[int], Sequence[int]]]
    ) -> tuple[nn.Module, list[dict[str, float]], dict[str, Any]]:
        """A fit for each fold, to judge; then one on all patches, to use.

        No fit chooses its epoch by the patches it is judged on: all take the last.
        """
        indices: list[int] = []
        folds: list[int] = []
        segmenters: dict[int, Segmenter] = {}
        fits = len(splits) + 1
        for fold, (training, validation) in enumerate(splits, start=1):
            folder = self.folder / f"fold{fold}"
            network, _ = fit(
                [self.patches[i] for i in training],
                [],
                self.settings,
                folder,
                progress=self._told(fold, fits),
                **self.how,
            )
            segmenters[fold] = self._segmenter(network, folder)
            indices += validation
            folds += [fold] * len(validation)
        metrics = self._judge(indices, folds, segmenters)
        network, history = fit(
            self.patches,
            [],
            self.settings,
            self.folder,
            progress=self._told(fits, fits),
            **self.how,
        )
        return network, history, metrics

    def _segmenter(self, network: nn.Module, folder: Path) -> Segmenter:
        """What would ship: the exported network in its engine."""
        bundle = export_bundle(
            network,
            self.settings,
            folder / "bundle",
            name="validation",
            threshold=0.5,
            min_area_px=1,
            training={},
            metrics={},
            provenance={},
        )
        return Segmenter(bundle, precision="f32")

    def _judge(
        self, indices: Sequence[int], folds: list[int], segmenters: dict[int, Segmenter]
    ) -> dict[str, Any]:
        patches = self.judged = [self.patches[i] for i in indices]
        probabilities = [
            segmenters[fold](patch.frame).probability
            for patch, fold in zip(patches, folds, strict=True)
        ]
        judged = Judged(patches, probabilities, folds)
        shared = self.shared[np.ix_(indices, indices)]
        metrics = judge(judged, shared, np.random.default_rng(self.settings.seed))
        if self.settings.channels > 1:
            pairs = self._judge_pairs(judged, nested_points(judged, shared), segmenters)
            if pairs.pairs:
                metrics["compared"] = asdict(pairs)
        point = (metrics["threshold"], metrics["min_area_px"])
        examples = [
            Example(patch.name, patch.frame, patch.mask, find_particles(probability, *point) > 0)
            for patch, probability in zip(patches, probabilities, strict=True)
        ]
        draw_examples(examples, self.folder / "examples.png")
        return metrics

    def _judge_pairs(
        self,
        judged: Judged,
        points: dict[int, tuple[float, int]],
        segmenters: dict[int, Segmenter],
    ) -> PairCounts:
        """What a reference is worth, on surface that each network has not seen.

        Patches of one surface are never on both sides of a split, so neither is a pair.
        """
        fold_of = {
            patch.name: fold for patch, fold in zip(judged.patches, judged.folds, strict=True)
        }
        pairs = surface_pairs(self.patches, self.settings.background_sigma_px)
        return sum(
            (
                count_pair(pair, segmenters[fold], *points[fold])
                for pair in pairs
                if (fold := fold_of.get(pair.later)) is not None
            ),
            PairCounts(),
        )
