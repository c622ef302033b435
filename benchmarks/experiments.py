"""Ideas of how to recognise particles better, each against what ships, on folds of surface.

    python benchmarks/experiments.py DATASET --out build/experiments --rows NAME [NAME …]
    python benchmarks/experiments.py DATASET --out DIR --run build/bundle/train1 --name reference-3
    python benchmarks/experiments.py DATASET --out DIR --mean reference-3 other --name both
    python benchmarks/experiments.py --table [--against ROW]

Every row is judged on surface that its networks have not seen, in one way of lying or eight, at a
threshold and smallest area chosen on other surface, judged once more, or with candidates told
rightly by the annotation. Networks of folds are kept in the folder: a row that is there is not
trained again, one that was killed is gone on with. What is counted is kept beside this script
(`experiment_records.py`), so that the table can be made anew without training;
`docs/experiments.md` says what was learnt from it.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from experiment_records import (
    EIGHT_WAYS,
    RESCORED,
    TOLD,
    Record,
    file_name,
    judged_record,
    read_records,
    table,
    write_records,
)
from numpy.typing import NDArray
from reference_recipe import fit_recipe
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier
from torch import nn

from corroscope.frames.contrast import relative_contrast
from corroscope.learning.crops import CONTRAST_SCALE, contrasts
from corroscope.learning.dataset import Patch, dataset_hash, read_dataset
from corroscope.learning.fit import fit
from corroscope.learning.judge import Judged, nested_counts
from corroscope.learning.networks import geometry
from corroscope.learning.settings import TrainSettings, make_settings
from corroscope.learning.surfaces import shared_surface, surface_folds
from corroscope.outputs import output_folder, read_manifest, write_json
from corroscope.scoring.counts import Counts, count
from corroscope.segmentation.bundle import load_bundle
from corroscope.segmentation.inputs import network_input
from corroscope.segmentation.segmenter import Segmenter
from corroscope.segmentation.tta import average_over_ways

Maps = dict[int, NDArray[np.float32]]
"""Probability of each pixel by number of the patch."""

Fitted = tuple["Predict", int]
"""What predicts, and its size."""

FOLDS: Final = 5
SHIPPED: Final = "reference-3"
"""What ideas are added to: the defaults of `TrainSettings`."""
FEW: Final = 9
"""Tells the draw of which patches are learnt from, where not all are."""


class Row(NamedTuple):
    """An idea: settings that differ from those of what ships, or something else altogether."""

    changes: Mapping[str, Any] = MappingProxyType({})
    share: float = 1.0
    """How many of the patches are learnt from."""
    other: "Callable[[Sequence[Patch], int, int | None], Fitted] | None" = None
    """Fits something else, given patches, a seed and epochs."""


def main() -> None:
    """Train what is missing; print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, help="where networks are kept")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=[], metavar="NAME")
    parser.add_argument("--run", type=Path, help="judge this cross-validated training instead")
    parser.add_argument("--mean", nargs="+", help="judge the mean of such runs, by their names")
    parser.add_argument("--name", help="name of that row")
    parser.add_argument(
        "--epochs", type=int, help="instead of all, to try the script in a folder of its own"
    )
    parser.add_argument("--workers", type=int, default=2, help="networks trained side by side")
    parser.add_argument("--table", action="store_true", help="only print what is kept")
    parser.add_argument(
        "--against",
        help="row that all others are paired with; else what ships, judged in the same way",
    )
    chosen = parser.parse_args()
    if not chosen.table:
        if chosen.dataset is None or chosen.out is None:
            parser.error("give DATASET and --out, or --table")
        if not (chosen.rows or ((chosen.run or chosen.mean) and chosen.name)):
            parser.error("give --rows, or --run or --mean with a --name")
        patches = read_dataset(chosen.dataset)
        out = output_folder(chosen.out)
        if chosen.run:
            judge_run(chosen.name, chosen.run, patches, out)
        elif chosen.mean:
            judge_mean(chosen.name, chosen.mean, patches, out)
        else:
            judge_rows(chosen.rows, patches, out, chosen.epochs, chosen.workers)
    records = read_records([SHIPPED, *ROWS])
    if chosen.against and chosen.against not in records:
        raise SystemExit(f"{chosen.against}: has not been judged; rows are {'; '.join(records)}")
    print(table(records, chosen.against or SHIPPED, alike=not chosen.against))


def judge_rows(
    names: Sequence[str], patches: Sequence[Patch], out: Path, epochs: int | None, workers: int
) -> None:
    """Train what rows need and keep what is counted."""
    # One thread each, side by side: a second one hardly speeds up a fit.
    with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        tasks: list[Future[None]] = [
            pool.submit(one_fold, name, fold, patches, out, epochs)
            for name in names
            for fold in range(FOLDS)
        ]
        for task in tasks:
            task.result()
    for name in names:
        folders = [out / file_name(name) / f"fold{fold}" for fold in range(FOLDS)]
        costs = [json.loads((folder / "cost.json").read_text()) for folder in folders]
        minutes = sum(cost["processor_min"] for cost in costs)
        parameters = sum(cost["parameters"] for cost in costs) / FOLDS
        asked = costs[0]["settings"]
        records = judge_kept(name, [name], patches, asked, parameters, out, minutes)
        if epochs:  # a trial of the script is no result
            print(table(records, name, alike=True))
        else:
            write_records(records)


def judge_run(name: str, run: Path, patches: Sequence[Patch], out: Path) -> None:
    """Judge the folds of `corroscope train --cross-validate` on single frames."""
    asked = read_manifest(run)
    fits = asked["dataset_sha256"] == dataset_hash(list(patches)) and asked["cross_validate"]
    if not fits or asked["settings"]["folds"] != FOLDS:
        raise SystemExit(f"{run}: is no training on this dataset, cross-validated in {FOLDS} folds")
    parameters = 0
    for fold, (_, judged) in enumerate(surface_folds(shared_surface(patches), FOLDS)):
        bundle = load_bundle(run / f"fold{fold + 1}" / "bundle")
        parameters = bundle.card.parameters
        predict = bundle_predicts(Segmenter(bundle, precision="f32"))
        keep_maps(predict, judged, patches, output_folder(out / file_name(name) / f"fold{fold}"))
    write_records(judge_kept(name, [name], patches, asked["settings"], parameters, out))


def judge_mean(name: str, runs: Sequence[str], patches: Sequence[Patch], out: Path) -> None:
    """Judge the mean of what the networks of several runs say that were judged before."""
    kept = read_records(runs)
    for run in runs:
        if run not in kept or not (out / file_name(run) / "fold0" / "once.npz").is_file():
            raise SystemExit(
                f"{run}: has not been judged here; give it with --run and --name first"
            )
    parameters = sum(kept[run].parameters for run in runs)
    write_records(judge_kept(name, runs, patches, kept[runs[0]].settings, parameters, out))


def judge_kept(
    name: str,
    runs: Sequence[str],
    patches: Sequence[Patch],
    settings: Mapping[str, Any],
    parameters: float,
    out: Path,
    processor_min: float | None = None,
) -> dict[str, Record]:
    """Judge maps that are kept: in one way of lying or eight, each as in `found_in_ways`."""
    shared = shared_surface(patches)
    splits = surface_folds(shared, FOLDS)
    order = [i for _, judged in splits for i in judged]
    folds = [fold for fold, (_, judged) in enumerate(splits) for _ in judged]
    among = shared[np.ix_(order, order)]
    sigma_px = make_settings(dict(settings)).background_sigma_px
    inside = [patches[i] for i in order]
    contrasts = [relative_contrast(patch.frame, sigma_px) for patch in inside]
    records = {}
    for turned, ways in ((False, ""), (True, EIGHT_WAYS)):
        maps = probabilities(runs, turned, out)
        judged = Judged(inside, [maps[i] for i in order], folds, contrasts)
        for how, counts in found_in_ways(judged, among).items():
            records[name + ways + how] = judged_record(
                judged, counts, among, settings, processor_min, parameters
            )
    return records


def found_in_ways(judged: Judged, shared: NDArray[np.bool_]) -> dict[str, list[Counts]]:
    """What is found on each patch: at an operating point, rescored as in `corroscope train`, told.

    Told: candidates are found as for being rescored, but then it is known which of them match an
    annotated particle. It bounds what better rescoring could win.
    """
    assert judged.looks is not None
    told = [
        count(
            np.append(False, look.right)[look.candidates.labels],
            look.patch.mask,
            look.patch.ignored,
        )
        for look in judged.looks
    ]
    return {
        "": nested_counts(replace(judged, contrasts=None), shared),
        RESCORED: nested_counts(judged, shared),
        TOLD: told,
    }


def one_fold(name: str, fold: int, patches: Sequence[Patch], out: Path, epochs: int | None) -> None:
    """Train one network of a row, and keep what it says of the fold's patches, both ways."""
    folder = output_folder(out / file_name(name) / f"fold{fold}")
    if (folder / "cost.json").is_file():
        return
    training, judged = surface_folds(shared_surface(patches), FOLDS)[fold]
    row = ROWS[name]
    if row.share < 1:
        few = np.random.default_rng([FEW, fold]).permutation(training)
        training = few[: round(row.share * len(training))].tolist()
    learnt = [patches[i] for i in training]
    settings = make_settings({**row.changes, **({"epochs": epochs} if epochs else {})})
    begun = time.process_time()
    if row.other:
        predict, size = row.other(learnt, fold, epochs)
    else:
        network, _ = fit(learnt, [], settings, folder, accelerator="cpu")
        size = sum(weights.numel() for weights in network.parameters())
        predict = network_predicts(network, settings)
    minutes = (time.process_time() - begun) / 60
    keep_maps(predict, judged, patches, folder)
    asked = {} if row.other else settings.model_dump(mode="json")
    cost = {"processor_min": minutes, "parameters": size, "settings": asked}
    write_json(folder / "cost.json", cost)


def keep_maps(
    predict: "Predict", judged: Sequence[int], patches: Sequence[Patch], folder: Path
) -> None:
    """Keep what a network says of patches, once and in eight ways."""
    for way, how in (("once", once), ("turned", eight_ways)):
        found = {str(i): how(predict, patches[i]) for i in judged}
        np.savez_compressed(folder / f"{way}.npz", **found)  # type: ignore[arg-type]


Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From a frame to the probability of each pixel."""


def network_predicts(network: nn.Module, settings: TrainSettings) -> Predict:
    """A trained network, on frames of any size."""
    stride = geometry(settings).stride_px

    def predict(frame: NDArray[np.float32]) -> NDArray[np.float32]:
        contrast = relative_contrast(frame, settings.background_sigma_px)
        height, width = contrast.shape
        padded = np.pad(contrast, [(0, -n % stride) for n in contrast.shape], mode="symmetric")
        planes = network_input(padded, None, CONTRAST_SCALE, settings.channels)
        with torch.no_grad():
            found = torch.sigmoid(network(torch.from_numpy(planes)[None])[-1])
        probability: NDArray[np.float32] = found[0, 0, :height, :width].numpy()
        return probability

    return predict


def bundle_predicts(segmenter: Segmenter) -> Predict:
    """A bundle, on single frames."""
    sigma_px = segmenter.bundle.card.background_sigma_px
    return lambda frame: segmenter.probability(relative_contrast(frame, sigma_px), None)


def fit_forest(patches: Sequence[Patch], seed: int, _: int | None) -> Fitted:
    """A random forest on intensity, edges and texture at six scales; its number of nodes."""
    rng = np.random.default_rng(seed)
    settings = make_settings({})
    rows, classes = [], []
    for contrast, patch in zip(contrasts(patches, settings), patches, strict=True):
        described = describe(contrast)
        inside = np.flatnonzero(patch.mask)
        outside = rng.choice(np.flatnonzero(~patch.mask), 4000, replace=False)
        taken = np.concatenate([inside, outside])
        rows.append(described[taken])
        classes.append(patch.mask.ravel()[taken])
    forest = RandomForestClassifier(
        200, min_samples_leaf=5, random_state=int(rng.integers(2**31)), n_jobs=1
    )
    forest.fit(np.concatenate(rows), np.concatenate(classes))

    def predict(frame: NDArray[np.float32]) -> NDArray[np.float32]:
        contrast = relative_contrast(frame, settings.background_sigma_px)
        found = forest.predict_proba(describe(contrast))[:, 1]
        probability: NDArray[np.float32] = found.astype(np.float32).reshape(frame.shape)
        return probability

    return predict, sum(tree.tree_.node_count for tree in forest.estimators_)


def describe(contrast: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features of each pixel, ``(height · width, features)``."""
    features: NDArray[np.float32] = multiscale_basic_features(contrast, sigma_min=0.7, sigma_max=12)
    return features.reshape(-1, features.shape[-1])


def once(predict: Predict, patch: Patch) -> NDArray[np.float32]:
    """The probability of each pixel, as it is."""
    return predict(patch.frame.astype(np.float32))


def eight_ways(predict: Predict, patch: Patch) -> NDArray[np.float32]:
    """The mean of the probabilities when the frame is turned and mirrored."""
    return average_over_ways(lambda frame, _: predict(frame), patch.frame.astype(np.float32), None)


def probabilities(members: Sequence[str], turned: bool, out: Path) -> Maps:
    """What the networks of rows say, on average, of patches that they have not learnt from."""
    way = "turned" if turned else "once"
    summed: Maps = {}
    for member in members:
        for fold in range(FOLDS):
            with np.load(out / file_name(member) / f"fold{fold}" / f"{way}.npz") as found:
                for number in found.files:
                    share = found[number] / len(members)
                    summed[int(number)] = summed.get(int(number), np.float32(0)) + share
    return summed


ROWS: Final[dict[str, Row]] = {
    "another seed": Row({"seed": 1}),
    "single frames only": Row({"pairing": {"alone": 1, "first_unseen": 0}}),
    "no specks": Row({"augmentation": {"specks": 0}}),
    "in company": Row({"augmentation": {"in_company": True}}),
    "not dilated": Row({"dilations": []}),
    "deeper": Row({"widths": [8, 16, 32, 64, 96], "dilations": []}),
    "wider": Row({"widths": [16, 32, 64, 128]}),
    "longer": Row({"epochs": 120}),
    "soft rims": Row({"soft_rim_px": 0.7}),
    "balanced": Row({"balance": 0.5}),
    "broad background": Row({"background_sigma_px": 50}),
    "U-Net": Row({"architecture": "unet"}),
    "EfficientNet-B0": Row({"architecture": "smp:UnetPlusPlus"}),
    "half of the labels": Row(share=0.5),
    "a quarter of the labels": Row(share=0.25),
    "reference recipe": Row(other=fit_recipe),
    "forest": Row(other=fit_forest),
}


if __name__ == "__main__":
    main()
