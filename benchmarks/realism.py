"""How much synthetic patches look like real ones, in figures and side by side.

Distributions of the generator were fitted by eye and by these figures on the largest
surface group of the real patches; figures are given for it and for the others apart.

    python benchmarks/realism.py DATASET --out build/realism
"""

import argparse
import itertools
import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import ndimage, stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from corroscope.learning.dataset import Patch, read_dataset
from corroscope.learning.surfaces import shared_surface, surface_folds
from corroscope.outputs import output_folder, replacing, write_json, write_png
from corroscope.synthesis.patches import draw_patch
from corroscope.synthesis.settings import SynthSettings

FITTED_ON: Final = "0"
"""The surface group that the generator was fitted on."""

SCALES_PX: Final = (0.7, 1.4, 2.8, 5.6, 11.2)
QUANTILES: Final = (5, 50, 95)
SIDE_PX: Final = 200
FOLDS: Final = 5


def synthetic_patches(number: int, seed: int) -> list[Patch]:
    """Patches, each of a surface and a run of its own."""
    patches = []
    for index in range(number):
        scene = draw_patch(
            (SIDE_PX, SIDE_PX), SynthSettings(), np.random.default_rng([seed, index])
        )
        patches.append(Patch(f"synthetic {index}", scene.frame, scene.mask, None, f"s{index}"))
    return patches


def texture(frame: NDArray[Any]) -> NDArray[np.float64]:
    """Statistics of the grey levels in bands of scale: spread, skew, tails, direction."""
    grey = frame.astype(np.float64)
    features = [np.median(grey), np.log(grey.std())]
    smooth = [grey, *(ndimage.gaussian_filter(grey, sigma) for sigma in SCALES_PX)]
    for finer, coarser in itertools.pairwise(smooth):
        band = finer - coarser
        spread = stats.median_abs_deviation(band, axis=None) + 1e-6
        low, high = np.percentile(band, (0.5, 99.5)) / spread
        gy, gx = np.gradient(band)
        yy, xx, xy = (gy * gy).mean(), (gx * gx).mean(), (gx * gy).mean()
        features += [
            np.log(spread),
            np.arcsinh(stats.skew(band, axis=None)),
            np.log(stats.kurtosis(band, axis=None, fisher=False)),
            np.log(-low),
            np.log(high),
            (xx - yy) / (xx + yy),
            2 * xy / (xx + yy),
        ]
    return np.array(features)


FEATURES: Final = [
    "median",
    "log sd",
    *(
        f"{name} {sigma} px"
        for sigma in SCALES_PX
        for name in ("spread", "skew", "kurtosis", "dark tail", "bright tail", "cos 2θ", "sin 2θ")
    ),
]


def linear_auc(real: list[Patch], made: list[Patch]) -> dict[str, Any]:
    """Cross-validated AUC of a linear classifier, by surface; and what it goes by."""
    features = np.array([texture(patch.frame) for patch in [*real, *made]])
    truth = np.array([1] * len(real) + [0] * len(made))
    groups = np.array([str(patch.surface_group) for patch in [*real, *made]])
    score = np.zeros(len(truth))
    regression = LogisticRegression(C=0.1, max_iter=5000, class_weight="balanced")
    model = make_pipeline(StandardScaler(), regression)
    for training, test in _folds(real, made):
        model.fit(features[training], truth[training])
        score[test] = _ranked(model.decision_function(features[test]), truth[test])
    single = [max(a := roc_auc_score(truth, column), 1 - a) for column in features.T]
    worst = np.argsort(single)[::-1][:8]
    means = [features[truth == k].mean(axis=0) for k in (1, 0)]
    return {
        **_aucs(truth, score, groups),
        "telling_features": {
            FEATURES[i]: {
                "auc": round(float(single[i]), 3),
                "real": round(float(means[0][i]), 3),
                "synthetic": round(float(means[1][i]), 3),
            }
            for i in worst
        },
    }


def network_auc(real: list[Patch], made: list[Patch], epochs: int = 30) -> dict[str, Any]:
    """The same with a small convolutional network, which sees the pixels."""
    frames = torch.from_numpy(
        np.stack([patch.frame.astype(np.float32) / 64 - 3 for patch in [*real, *made]])[:, None]
    )
    truth = np.array([1] * len(real) + [0] * len(made))
    groups = np.array([str(patch.surface_group) for patch in [*real, *made]])
    score = np.zeros(len(truth))
    weights = torch.tensor(len(made) / len(real))
    for training, test in _folds(real, made):
        torch.manual_seed(0)
        network = _small_network()
        optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
        rng = np.random.default_rng(0)
        for _ in range(epochs):
            order = rng.permutation(training)
            for start in range(0, len(order), 16):
                batch = order[start : start + 16]
                # Quarter turns would be told from the direction of the polish alone.
                top, left = rng.integers(0, SIDE_PX - 160, 2)
                crops = frames[batch, :, top : top + 160, left : left + 160]
                if rng.random() < 0.5:
                    crops = crops.flip((2, 3))
                loss = torch.nn.functional.binary_cross_entropy_with_logits(
                    network(crops)[:, 0], torch.from_numpy(truth[batch]).float(), pos_weight=weights
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        network.eval()
        with torch.no_grad():
            score[test] = _ranked(network(frames[test])[:, 0].numpy(), truth[test])
    return _aucs(truth, score, groups)


def _folds(
    real: list[Patch], made: list[Patch]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Training and test, which share no piece of surface; a fifth of the synthetic ones in each.

    Not by surface group: the largest has more than half of the real patches, and who has
    learnt real surface from the other ones knows it by its brightness.
    """
    fifths = [np.arange(k, len(made), FOLDS) for k in range(FOLDS)]
    folds = []
    for (training, test), fifth in zip(
        surface_folds(shared_surface(real), FOLDS), fifths, strict=True
    ):
        rest = np.setdiff1d(np.arange(len(made)), fifth)
        folds.append((np.append(training, len(real) + rest), np.append(test, len(real) + fifth)))
    return folds


def _ranked(score: NDArray[Any], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """Score as share of the fold's synthetic patches below it: folds have their own zero."""
    synthetic = np.sort(score[truth == 0])
    return np.searchsorted(synthetic, score) / len(synthetic)


def _small_network() -> torch.nn.Module:
    layers: list[torch.nn.Module] = []
    widths = (1, 8, 16, 32, 32)
    for before, after in itertools.pairwise(widths):
        layers += [
            torch.nn.Conv2d(before, after, 3, padding=1),
            torch.nn.BatchNorm2d(after),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
        ]
    return torch.nn.Sequential(
        *layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(32, 1)
    )


def _aucs(
    truth: NDArray[np.int64], score: NDArray[np.float64], groups: NDArray[Any]
) -> dict[str, float]:
    real, fitted = truth == 1, groups == FITTED_ON
    chosen = {
        "auc": np.ones_like(real),
        "auc_fitted_surface": ~real | fitted,
        "auc_other_surface": ~real | ~fitted,
    }
    return {name: float(roc_auc_score(truth[use], score[use])) for name, use in chosen.items()}


class Measured(NamedTuple):
    """Of each annotated particle its area and contrast; of each patch its noise."""

    area_px: list[float]
    contrast_grey: list[float]
    contrast_to_noise: list[float]
    noise_grey: list[float]


def measure(patches: list[Patch]) -> Measured:
    """Measure all particles that do not touch the border."""
    measured = Measured([], [], [], [])
    second = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float64)
    for patch in patches:
        grey = patch.frame.astype(np.float64)
        dark = cv2.medianBlur(patch.frame.astype(np.uint8), 41) - grey
        # The kernel has norm 6; its median is hardly touched by structure.
        noise = float(np.median(np.abs(ndimage.convolve(grey, second))) / 0.6745 / 6)
        measured.noise_grey.append(noise)
        labels, _ = ndimage.label(patch.mask, np.ones((3, 3)))
        for label, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
            if 0 in (rows.start, columns.start) or SIDE_PX in (rows.stop, columns.stop):
                continue
            inside = labels[rows, columns] == label
            measured.area_px.append(float(inside.sum()))
            measured.contrast_grey.append(float(dark[rows, columns][inside].mean()))
            measured.contrast_to_noise.append(measured.contrast_grey[-1] / noise)
    return measured


def particle_statistics(patches: list[Patch]) -> dict[str, Any]:
    """Quantiles of area and contrast of annotated particles, and of the local noise."""
    measured = measure(patches)
    mpx = len(patches) * SIDE_PX**2 / 1e6
    quantiles = {
        name: np.percentile(values, QUANTILES).round(2).tolist()
        for name, values in measured._asdict().items()
    }
    return {
        "particles_per_mpx": round(len(measured.area_px) / mpx, 1),
        "particle_share": round(float(np.mean([patch.mask.mean() for patch in patches])), 5),
        **quantiles,
    }


def draw_distributions(real: list[Patch], made: list[Patch], path: Path) -> None:
    """Cumulative distributions of area, contrast and noise, real and synthetic."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    for axes, name in zip(
        figure.subplots(1, 3), ("area_px", "contrast_grey", "noise_grey"), strict=True
    ):
        for patches, style, label in ((real, "-k", "real"), (made, "--r", "synthetic")):
            values = np.sort(getattr(measure(patches), name))
            axes.plot(values, np.linspace(0, 1, len(values)), style, label=label)
        axes.set_xlabel(name.replace("_", " / "))
        if name == "area_px":
            axes.set_xscale("log")
            axes.set_ylabel("share below")
            axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def side_by_side(real: list[Patch], made: list[Patch], path: Path) -> None:
    """Real patches on the left, synthetic ones on the right, particles outlined."""
    columns = [_tiles(patches[:8], 2) for patches in (real, made)]
    gap = np.full((columns[0].shape[0], 12, 3), 255, np.uint8)
    write_png(path, np.hstack([columns[0], gap, columns[1]]))


def _tiles(patches: list[Patch], across: int) -> NDArray[np.uint8]:
    tiles = []
    for patch in patches:
        size, nearest = (2 * SIDE_PX, 2 * SIDE_PX), cv2.INTER_NEAREST
        double = cv2.resize(patch.frame, size, interpolation=nearest)
        mask = cv2.resize(patch.mask.astype(np.uint8), size, interpolation=nearest)
        colour = np.ascontiguousarray(np.dstack([double] * 3))
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(colour, outlines, -1, (220, 30, 30), 1)
        tiles.append(np.pad(colour, ((1, 1), (1, 1), (0, 0))))
    rows = [np.hstack(tiles[i : i + across]) for i in range(0, len(tiles), across)]
    return np.vstack(rows)


def main() -> None:
    """Print the figures and write the picture."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--synthetic", type=int, default=222)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-network", action="store_true")
    chosen = parser.parse_args()
    out = output_folder(chosen.out)
    real = read_dataset(chosen.dataset)
    made = synthetic_patches(chosen.synthetic, chosen.seed)
    others = [patch for patch in real if patch.surface_group != FITTED_ON]
    fitted = [patch for patch in real if patch.surface_group == FITTED_ON]
    found: dict[str, Any] = {
        "real, surface fitted on": particle_statistics(fitted),
        "real, other surface": particle_statistics(others),
        "synthetic": particle_statistics(made),
        "linear classifier": linear_auc(real, made),
    }
    if not chosen.no_network:
        found["small network"] = network_auc(real, made)
    side_by_side(others, made, out / "side_by_side.png")
    write_png(out / "synthetic.png", _tiles(made[:8], 4))
    draw_distributions(real, made, out / "distributions.png")
    write_json(out / "realism.json", found)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
