"""Fit the click network: once without each fold of surface, to judge it, and once on all patches.

Writes ``fold_<n>.onnx``, which has seen nothing of fold n, and ``click.onnx``, which ships.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from corroscope.learning.clicks import click_samples, fit_click_network, to_onnx
from corroscope.learning.dataset import Patch, read_dataset

FOLDS = 3


def fold_of(patch: Patch) -> int:
    """The two largest surface groups are a fold each, all others together the third."""
    return {"0": 0, "1": 1}.get(patch.surface_group or "", 2)


def fit(patches: list[Patch]) -> bytes:
    """Fit on patches; the seeds are fixed, so that the same patches give the same network."""
    samples = click_samples(patches, np.random.default_rng(5))
    return to_onnx(fit_click_network(samples, seed=0, epochs=60))


def main() -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, default=Path("build/click"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    patches = read_dataset(options.dataset)
    for fold in range(FOLDS):
        seen = [patch for patch in patches if fold_of(patch) != fold]
        (options.out / f"fold_{fold}.onnx").write_bytes(fit(seen))
        print(f"fold {fold}: fitted on {len(seen)} of {len(patches)} patches", flush=True)
    (options.out / "click.onnx").write_bytes(fit(patches))


if __name__ == "__main__":
    main()
