"""What synthetic patches are worth to a network: alone, and before the real ones.

    python benchmarks/pretraining.py DATASET --out build/pretraining

First a network learns from synthetic patches alone; its threshold is chosen on further
synthetic ones; it is judged on all real patches, none of which it has seen. Then two
networks for each fold of surface learn from the real patches with one budget of steps:
one from random weights, one whose first part of the budget were synthetic patches.
"""

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from corroscope.learning.crops import CONTRAST_SCALE, contrasts
from corroscope.learning.dataset import Patch, read_dataset
from corroscope.learning.fit import fit
from corroscope.learning.judge import Judged, judge
from corroscope.learning.operating_points import count_at, operating_point
from corroscope.learning.settings import Pairing, TrainSettings
from corroscope.learning.surfaces import shared_surface, surface_folds
from corroscope.outputs import output_folder, write_json
from corroscope.scoring.bootstrap import intervals
from corroscope.scoring.counts import Counts
from corroscope.scoring.scores import scores
from corroscope.synthesis.patches import draw_patch
from corroscope.synthesis.settings import SynthSettings

PATCHES: Final = 800
FOLDS: Final = 5
SIDE_PX: Final = 200
EPOCHS: Final = 40
"""Budget of either network: epochs of 50 steps of 8 crops."""

ALONE: Final = Pairing(alone=1)
"""Networks that see single frames."""

EPOCHS_SYNTHETIC: Final = 13
"""Of them on synthetic patches, for the network that is trained on both."""


def synthetic_patches(number: int, seed: int) -> list[Patch]:
    """Patches, each of a surface and a run of its own."""
    patches = []
    for index in range(number):
        scene = draw_patch(
            (SIDE_PX, SIDE_PX), SynthSettings(), np.random.default_rng([seed, index])
        )
        patches.append(Patch(f"synthetic {index}", scene.frame, scene.mask))
    return patches


def predict(
    network: torch.nn.Module, patches: Sequence[Patch], settings: TrainSettings
) -> list[NDArray[np.float32]]:
    """Probability of each pixel."""
    found = []
    with torch.no_grad():
        for contrast in contrasts(patches, settings):
            frame = torch.from_numpy(contrast)[None, None] / CONTRAST_SCALE
            found.append(torch.sigmoid(network(frame)[-1])[0, 0].numpy())
    return found


def synthetic_alone(real: Sequence[Patch], out: Path, epochs: int, seed: int) -> dict[str, Any]:
    """Learn from synthetic patches, choose the threshold on others, judge on real ones."""
    settings = TrainSettings(epochs=epochs, seed=seed, pairing=ALONE)
    network, _ = fit(synthetic_patches(PATCHES, 2 + seed), [], settings, out, accelerator="cpu")
    chosen_on = synthetic_patches(100, 1000 + seed)
    point = operating_point(chosen_on, predict(network, chosen_on, settings))
    probabilities = predict(network, real, settings)
    counts = [count_at(patch, p, *point) for patch, p in zip(real, probabilities, strict=True)]
    own = operating_point(real, probabilities)
    at_best = [count_at(patch, p, *own) for patch, p in zip(real, probabilities, strict=True)]
    _, surface = connected_components(shared_surface(real), directed=False)
    fitted = np.array([patch.surface_group == "0" for patch in real])
    return {
        "epochs": epochs,
        "point": point,
        "real": scores(sum(counts, Counts())),
        "real_95": intervals(counts, surface, np.random.default_rng(0)),
        "surface that the generator was fitted on": scores(_sum(counts, fitted)),
        "other surface": scores(_sum(counts, ~fitted)),
        "real, at the point that suits it best": [own, scores(sum(at_best, Counts()))],
    }


def _sum(counts: Sequence[Counts], chosen: NDArray[np.bool_]) -> Counts:
    return sum((c for c, use in zip(counts, chosen, strict=True) if use), Counts())


def first_part(out: Path) -> None:
    """Learn from synthetic patches what the second arm starts from."""
    settings = TrainSettings(epochs=EPOCHS_SYNTHETIC, seed=0, pairing=ALONE)
    fit(synthetic_patches(PATCHES, 2), [], settings, out, accelerator="cpu")


def one_fold(
    task: tuple[str, int, int], real: Sequence[Patch], out: Path
) -> tuple[tuple[str, int, int], list[NDArray[np.float32]]]:
    """Fit one network of one arm on one fold; predict the fold's patches."""
    arm, fold, seed = task
    training, validation = surface_folds(shared_surface(real), FOLDS)[fold]
    both = arm == "both"
    settings = TrainSettings(epochs=EPOCHS - EPOCHS_SYNTHETIC * both, seed=seed, pairing=ALONE)
    network, _ = fit(
        [real[i] for i in training],
        [],
        settings,
        out / f"{arm}{fold}-{seed}",
        start=out / "first" if both else None,
        accelerator="cpu",
    )
    return task, predict(network, [real[i] for i in validation], settings)


def main() -> None:
    """Print and write the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=30, help="of synthetic patches alone")
    parser.add_argument("--seeds", type=int, default=1, help="repetitions of both arms")
    parser.add_argument("--alone", action="store_true", help="synthetic patches alone, no folds")
    chosen = parser.parse_args()
    out, real = output_folder(chosen.out), read_dataset(chosen.dataset)
    found: dict[str, Any] = {}
    # One thread each, side by side: a second one hardly speeds up a fit.
    with ProcessPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        alone = pool.submit(synthetic_alone, real, out / "alone", chosen.epochs, 0)
        if not chosen.alone:
            pool.submit(first_part, out / "first").result()
            shared = shared_surface(real)
            folds = surface_folds(shared, FOLDS)
            tasks = [
                (arm, fold, seed)
                for seed in range(chosen.seeds)
                for fold in range(FOLDS)
                for arm in ("real", "both")
            ]
            done = dict(pool.map(partial(one_fold, real=real, out=out), tasks))
            for seed in range(chosen.seeds):
                for arm in ("real", "both"):
                    found[f"{arm}, seed {seed}"] = _judged(real, shared, folds, done, arm, seed)
        found["synthetic alone"] = alone.result()
    write_json(out / "pretraining.json", found)
    print(json.dumps(found, indent=2))


def _judged(
    real: Sequence[Patch],
    shared: NDArray[np.bool_],
    folds: Sequence[tuple[Sequence[int], Sequence[int]]],
    done: dict[tuple[str, int, int], list[NDArray[np.float32]]],
    arm: str,
    seed: int,
) -> dict[str, Any]:
    indices = [i for _, validation in folds for i in validation]
    judged = Judged(
        [real[i] for i in indices],
        [p for fold in range(len(folds)) for p in done[arm, fold, seed]],
        [fold for fold, (_, validation) in enumerate(folds) for _ in validation],
    )
    return judge(judged, shared[np.ix_(indices, indices)], np.random.default_rng(0))


if __name__ == "__main__":
    main()
