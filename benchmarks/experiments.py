"""Ideas of how to recognise particles better, each against a baseline, on folds of surface.

    python benchmarks/experiments.py DATASET --out build/experiments [--rows NAME …]
    python benchmarks/experiments.py DATASET --out build/experiments --run build/bundle/train1
    python benchmarks/experiments.py --table

Every row is judged on surface that its networks have not seen, at a threshold and smallest area
chosen on other surface. Networks of folds are kept in the folder: a row that is there is not
trained again, one that was killed is gone on with. What is counted is kept beside this script
(`experiment_records.py`), so that the table can be made anew without training;
`docs/experiments.md` says what was learnt from it.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from experiment_records import file_name, judged_record, read_record, table, write_record
from numpy.typing import NDArray
from reference_recipe import EPOCHS, fit_recipe
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier
from torch import nn

from corroscope.frames.contrast import relative_contrast
from corroscope.learning.crops import CONTRAST_SCALE, contrasts
from corroscope.learning.dataset import Patch, dataset_hash, read_dataset
from corroscope.learning.fit import fit
from corroscope.learning.judge import Judged
from corroscope.learning.networks import geometry
from corroscope.learning.settings import TrainSettings, make_settings
from corroscope.learning.surfaces import shared_surface, surface_folds
from corroscope.outputs import output_folder, read_manifest, write_json
from corroscope.segmentation.bundle import load_bundle
from corroscope.segmentation.inputs import network_input
from corroscope.segmentation.segmenter import Segmenter
from corroscope.segmentation.tta import average_over_ways

Maps = dict[int, NDArray[np.float32]]
"""Probability of each pixel by number of the patch."""

FOLDS: Final = 5
BASELINE: Final = "baseline"
BUNDLE: Final = "bundle"
ALONE: Final[dict[str, Any]] = {"pairing": {"alone": 1}, "epochs": 60}
"""Networks that see single frames, 60 epochs of 50 steps of 8 crops."""
FEW: Final = 9
"""Tells the draw of which patches are learnt from, where not all are."""


class Row(NamedTuple):
    """An idea: settings that differ from the baseline's, or another use of trained networks."""

    changes: Mapping[str, Any] = MappingProxyType({})
    members: Sequence[str] = ()
    """Rows whose probabilities are averaged, instead of training."""
    turned: bool = False
    """Average over the eight ways in which a square can lie."""
    forest: bool = False
    recipe: bool = False
    """The notebooks' recipe (`reference_recipe.py`)."""
    bundle: bool = False
    """What `corroscope train --cross-validate` has trained; see ``--run``."""
    share: float = 1.0
    """How many of the patches are learnt from."""


ROWS: Final[dict[str, Row]] = {
    BASELINE: Row(),
    "another seed": Row({"seed": 1}),
    "eight ways": Row(members=[BASELINE], turned=True),
    "two networks": Row(members=[BASELINE, "another seed"]),
    "two networks, eight ways": Row(members=[BASELINE, "another seed"], turned=True),
    "specks": Row({"augmentation": {"specks": 1.0}}),
    "dilated": Row({"dilations": [2, 4]}),
    "deeper": Row({"widths": [8, 16, 32, 64, 96]}),
    "soft rims": Row({"soft_rim_px": 0.7}),
    "balanced": Row({"balance": 0.5}),
    "wider": Row({"widths": [16, 24, 48, 96]}),
    "broad background": Row({"background_sigma_px": 50}),
    "U-Net": Row({"architecture": "unet"}),
    "EfficientNet-B0": Row({"architecture": "smp:UnetPlusPlus"}),
    "reference recipe": Row(recipe=True),
    "half of the labels": Row(share=0.5),
    "a quarter of the labels": Row(share=0.25),
    "forest": Row(forest=True),
    "network and forest": Row(members=[BASELINE, "forest"], turned=True),
    BUNDLE: Row(bundle=True),
    f"{BUNDLE}, eight ways": Row(members=[BUNDLE], turned=True),
}


def main() -> None:
    """Train what is missing; print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, help="where networks are kept")
    parser.add_argument("--rows", nargs="+", choices=ROWS, help="default: all but the bundle's")
    parser.add_argument("--run", type=Path, help="judge this cross-validated training of a bundle")
    parser.add_argument("--epochs", type=int, help="instead of 60, to try the script")
    parser.add_argument("--workers", type=int, default=2, help="networks trained side by side")
    parser.add_argument("--table", action="store_true", help="only print what is kept")
    chosen = parser.parse_args()
    names = list(ROWS)
    if not chosen.table:
        if chosen.dataset is None or chosen.out is None:
            parser.error("give DATASET and --out, or --table")
        bundles = [name for name in ROWS if BUNDLE in (name, *ROWS[name].members)]
        names = chosen.rows or [name for name in ROWS if name not in bundles]
        if chosen.run:
            names = bundles
        judge_rows(names, chosen)
    names = [BASELINE, *(name for name in names if name != BASELINE)]
    found = {name: record for name in names if (record := read_record(name)) is not None}
    print(table(found, BASELINE))


def judge_rows(names: Sequence[str], chosen: argparse.Namespace) -> None:
    """Train what rows need and keep what is counted."""
    out = output_folder(chosen.out)
    patches = read_dataset(chosen.dataset)
    shared = shared_surface(patches)
    needed = dict.fromkeys(part for name in names for part in (*ROWS[name].members, name))
    # One thread each, side by side: a second one hardly speeds up a fit.
    with ProcessPoolExecutor(chosen.workers, initializer=torch.set_num_threads, initargs=(1,)) as (
        pool
    ):
        tasks: list[Future[None]] = [
            pool.submit(one_fold, name, fold, patches, out, chosen.epochs, chosen.run)
            for name in needed
            if not ROWS[name].members
            for fold in range(FOLDS)
        ]
        for task in tasks:
            task.result()
    splits = surface_folds(shared, FOLDS)
    order = [i for _, judged in splits for i in judged]
    folds = [fold for fold, (_, judged) in enumerate(splits) for _ in judged]
    for name in names:
        maps = probabilities(name, out)
        judged = Judged([patches[i] for i in order], [maps[i] for i in order], folds)
        costs = [json.loads(path.read_text()) for path in costs_of(name, out)]
        cost = sum(cost["processor_min"] for cost in costs)
        size = sum(cost["parameters"] for cost in costs) / FOLDS
        among = shared[np.ix_(order, order)]
        record = judged_record(judged, among, costs[0]["settings"], cost, size)
        if chosen.epochs:  # a trial of the script is no result
            print(table({name: record}, BASELINE))
        else:
            write_record(name, record)


def one_fold(
    name: str,
    fold: int,
    patches: Sequence[Patch],
    out: Path,
    epochs: int | None,
    run: Path | None,
) -> None:
    """Train one network of a row, and keep what it says of the fold's patches, both ways."""
    folder = output_folder(out / file_name(name) / f"fold{fold}")
    if (folder / "cost.json").is_file() and not ROWS[name].bundle:  # another run may be asked for
        return
    training, judged = surface_folds(shared_surface(patches), FOLDS)[fold]
    row = ROWS[name]
    if row.share < 1:
        few = np.random.default_rng([FEW, fold]).permutation(training)
        training = few[: round(row.share * len(training))].tolist()
    learnt = [patches[i] for i in training]
    changes: dict[str, Any] = dict(row.changes)
    begun = time.process_time()
    if row.forest:
        predict, size = fit_forest(learnt, np.random.default_rng(fold))
    elif row.recipe:
        predict, size = fit_recipe(learnt, fold, epochs or EPOCHS)
    elif row.bundle:
        if run is None:
            raise SystemExit("the rows of the bundle need --run, a cross-validated training")
        record = read_manifest(run)
        if record["dataset_sha256"] != dataset_hash(patches) or not record["cross_validate"]:
            raise SystemExit(f"{run}: is no cross-validated training on this dataset")
        bundle = load_bundle(run / f"fold{fold + 1}" / "bundle")
        predict, size = bundle_predicts(Segmenter(bundle, precision="f32")), bundle.card.parameters
        changes = load_bundle(run / "bundle").card.training["settings"]
    else:
        changes = {**ALONE, **changes, **({"epochs": epochs} if epochs else {})}
        settings = make_settings(changes)
        network, _ = fit(learnt, [], settings, folder, accelerator="cpu")
        size = sum(weights.numel() for weights in network.parameters())
        predict = network_predicts(network, settings)
    minutes = (time.process_time() - begun) / 60
    cost = {"processor_min": minutes, "parameters": size, "settings": changes}
    for way, how in (("once", once), ("turned", eight_ways)):
        found = {str(i): how(predict, patches[i]) for i in judged}
        np.savez_compressed(folder / f"{way}.npz", **found)  # type: ignore[arg-type]
    write_json(folder / "cost.json", cost)


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


def fit_forest(patches: Sequence[Patch], rng: np.random.Generator) -> tuple[Predict, int]:
    """A random forest on intensity, edges and texture at six scales; its number of nodes."""
    settings = make_settings(ALONE)
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


def probabilities(name: str, out: Path) -> Maps:
    """What the networks of a row say of patches that they have not learnt from."""
    row = ROWS[name]
    way = "turned" if row.turned else "once"
    summed: Maps = {}
    members = row.members or [name]
    for member in members:
        for fold in range(FOLDS):
            with np.load(out / file_name(member) / f"fold{fold}" / f"{way}.npz") as found:
                for number in found.files:
                    share = found[number] / len(members)
                    summed[int(number)] = summed.get(int(number), np.float32(0)) + share
    return summed


def costs_of(name: str, out: Path) -> list[Path]:
    """Files with the costs of all networks that a row needs."""
    members = ROWS[name].members or [name]
    folders = [out / file_name(member) for member in members]
    return [path for folder in folders for path in sorted(folder.glob("fold*/cost.json"))]


if __name__ == "__main__":
    main()
