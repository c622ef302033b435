"""Ideas of how to recognise particles better, each against a baseline, on folds of surface.

    python benchmarks/experiments.py DATASET --out build/experiments [--rows NAME …]

Every row is judged on surface that its networks have not seen, at a threshold and smallest area
chosen on other surface. Networks of folds are kept in the folder: a row that is there is not
trained again, one that was killed is gone on with. `docs/experiments.md` has what came out.
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
from numpy.typing import NDArray
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier
from torch import nn

from corroscope.frames.contrast import relative_contrast
from corroscope.learning.clusters import clusters_of
from corroscope.learning.crops import CONTRAST_SCALE, contrasts
from corroscope.learning.dataset import Patch, read_dataset
from corroscope.learning.fit import fit
from corroscope.learning.judge import Judged, nested_counts
from corroscope.learning.networks import geometry
from corroscope.learning.settings import TrainSettings, make_settings
from corroscope.learning.surfaces import shared_surface, surface_folds
from corroscope.outputs import output_folder, write_json
from corroscope.scoring.bootstrap import difference_intervals, intervals
from corroscope.scoring.calibration import Reliability, expected_calibration_error, reliability
from corroscope.scoring.counts import Counts
from corroscope.scoring.scores import scores
from corroscope.segmentation.inputs import network_input
from corroscope.segmentation.tta import average_over_ways

Maps = dict[int, NDArray[np.float32]]
"""Probability of each pixel by number of the patch."""

FOLDS: Final = 5
BASELINE: Final = "baseline"
ALONE: Final[dict[str, Any]] = {"pairing": {"alone": 1}, "epochs": 60}
"""Networks that see single frames, 60 epochs of 50 steps of 8 crops."""
SHOWN: Final = {
    "dice": "Dice", "particle_f1_iou30": "F1, IoU ≥ 0.3", "particle_f1_3px": "F1, 3 px",
    "count_bias": "count bias",
}  # fmt: skip


class Row(NamedTuple):
    """An idea: settings that differ from the baseline's, or another use of trained networks."""

    changes: Mapping[str, Any] = MappingProxyType({})
    members: Sequence[str] = ()
    """Rows whose probabilities are averaged, instead of training."""
    turned: bool = False
    """Average over the eight ways in which a square can lie."""
    forest: bool = False


ROWS: Final[dict[str, Row]] = {
    BASELINE: Row(),
    "another seed": Row({"seed": 1}),
    "eight ways": Row(members=[BASELINE], turned=True),
    "two networks": Row(members=[BASELINE, "another seed"]),
    "two networks, eight ways": Row(members=[BASELINE, "another seed"], turned=True),
    "deeper": Row({"widths": [8, 16, 32, 64, 96]}),
    "soft rims": Row({"soft_rim_px": 0.7}),
    "balanced": Row({"balance": 0.5}),
    "wider": Row({"widths": [16, 24, 48, 96]}),
    "broad background": Row({"background_sigma_px": 50}),
    "U-Net": Row({"architecture": "unet"}),
    "forest": Row(forest=True),
    "network and forest": Row(members=[BASELINE, "forest"], turned=True),
}


def main() -> None:
    """Train what is missing; print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--epochs", type=int, help="instead of 60, to try the script")
    parser.add_argument("--workers", type=int, default=2, help="networks trained side by side")
    chosen = parser.parse_args()
    out = output_folder(chosen.out)
    patches = read_dataset(chosen.dataset)
    wanted = [BASELINE, *(name for name in chosen.rows if name != BASELINE)]
    needed = dict.fromkeys(part for name in wanted for part in (*ROWS[name].members, name))
    # One thread each, side by side: a second one hardly speeds up a fit.
    with ProcessPoolExecutor(chosen.workers, initializer=torch.set_num_threads, initargs=(1,)) as (
        pool
    ):
        tasks: list[Future[None]] = [
            pool.submit(one_fold, name, fold, patches, out, chosen.epochs)
            for name in needed
            if not ROWS[name].members
            for fold in range(FOLDS)
        ]
        for task in tasks:
            task.result()
    print(table(wanted, patches, out))


def one_fold(name: str, fold: int, patches: Sequence[Patch], out: Path, epochs: int | None) -> None:
    """Train one network of a row, and keep what it says of the fold's patches, both ways."""
    folder = output_folder(out / name.replace(" ", "-") / f"fold{fold}")
    if (folder / "cost.json").is_file():
        return
    training, judged = surface_folds(shared_surface(patches), FOLDS)[fold]
    learnt = [patches[i] for i in training]
    row = ROWS[name]
    begun = time.process_time()
    if row.forest:
        predict, size = fit_forest(learnt, np.random.default_rng(fold))
    else:
        changes = {**ALONE, **row.changes, **({"epochs": epochs} if epochs else {})}
        settings = make_settings(changes)
        network, _ = fit(learnt, [], settings, folder, accelerator="cpu")
        size = sum(weights.numel() for weights in network.parameters())
        predict = network_predicts(network, settings)
    cost = {"processor_min": (time.process_time() - begun) / 60, "parameters": size}
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


def table(names: Sequence[str], patches: Sequence[Patch], out: Path) -> str:
    """All rows in Markdown, with paired differences from the baseline."""
    shared = shared_surface(patches)
    splits = surface_folds(shared, FOLDS)
    order = [i for _, judged in splits for i in judged]
    folds = [fold for fold, (_, judged) in enumerate(splits) for _ in judged]
    among = shared[np.ix_(order, order)]
    clusters = clusters_of(among)
    labels = clusters.labels.tolist()
    heads = [*SHOWN.values(), "ECE near", "Dice − baseline's", "F1 − baseline's", "cost, min",
             "parameters"]  # fmt: skip
    lines = [f"Intervals of 95 % over {clusters.words}.", "", f"| | {' | '.join(heads)} |",
             "|---" * (len(heads) + 1) + "|"]  # fmt: skip
    baseline: list[Counts] = []
    for name in names:
        maps = probabilities(name, out)
        judged = Judged([patches[i] for i in order], [maps[i] for i in order], folds)
        counts = nested_counts(judged, among)
        baseline = baseline or counts
        pooled = scores(sum(counts, Counts()))
        bounds = intervals(counts, labels, np.random.default_rng(0))
        cells = [
            f"{pooled[score]:.3f} ({bounds[score][0]:.2f} to {bounds[score][1]:.2f})"
            for score in SHOWN
        ]
        near = sum(
            (reliability(maps[i], patches[i].mask, patches[i].ignored) for i in order),
            Reliability(*np.zeros((3, 15), np.int64)),
        )
        cells.append(f"{expected_calibration_error(near):.3f}")
        change = difference_intervals(baseline, counts, labels, np.random.default_rng(0))
        before = scores(sum(baseline, Counts()))
        for score in ("dice", "particle_f1_iou30"):
            low, high = change[score]
            cells.append(f"{pooled[score] - before[score]:+.3f} ({low:+.3f} to {high:+.3f})")
        costs = [json.loads(path.read_text()) for path in costs_of(name, out)]
        cells.append(f"{sum(cost['processor_min'] for cost in costs):.0f}")
        cells.append(f"{sum(cost['parameters'] for cost in costs) / FOLDS:,.0f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def probabilities(name: str, out: Path) -> Maps:
    """What the networks of a row say of patches that they have not learnt from."""
    row = ROWS[name]
    way = "turned" if row.turned else "once"
    summed: Maps = {}
    members = row.members or [name]
    for member in members:
        for fold in range(FOLDS):
            with np.load(out / member.replace(" ", "-") / f"fold{fold}" / f"{way}.npz") as found:
                for number in found.files:
                    share = found[number] / len(members)
                    summed[int(number)] = summed.get(int(number), np.float32(0)) + share
    return summed


def costs_of(name: str, out: Path) -> list[Path]:
    """Files with the costs of all networks that a row needs."""
    members = ROWS[name].members or [name]
    folders = [out / member.replace(" ", "-") for member in members]
    return [path for folder in folders for path in sorted(folder.glob("fold*/cost.json"))]


if __name__ == "__main__":
    main()
