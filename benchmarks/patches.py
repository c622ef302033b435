"""Which limit of entropy tells patches with particles from empty ones.

    python benchmarks/patches.py [DATASET]

Synthetic runs of 1024×1024 px, whose masks are known, are cut by `corroscope.prepare`, and nothing
is left out; then for each limit the share of patches with particles that it keeps, and of empty
ones that it drops. Of real patches those that show one place at two times are compared, by
quarters, since hardly any is empty as a whole.
"""

import argparse
import tempfile
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

import corroscope
from corroscope.cutting import entropy_bits, noise_of
from corroscope.frames.alignment import Aligner
from corroscope.frames.reading import read_frame
from corroscope.learning.dataset import read_dataset
from corroscope.preparation import treat

SEEDS = range(500, 506)
SIZES_PX = (200, 64)
LIMITS_BITS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02)
LEAST_PX = 10
"""Pixels of particles from which a patch counts as one with particles; with none it is empty."""


class Measured(NamedTuple):
    """Pixels of particles in a patch, and the entropy of its difference."""

    particles_px: int
    bits: float


def main() -> None:
    """Print a table for each size of patch and for real ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path, nargs="?")
    chosen = parser.parse_args()
    for size_px in SIZES_PX:
        print(f"Synthetic, {size_px}×{size_px} px")
        print_limits([one for seed in SEEDS for one in synthetic(seed, size_px)])
    if chosen.dataset is not None:
        print("Real, quarters of patches of one place at two times")
        print_limits(list(real(chosen.dataset)))


def synthetic(seed: int, size_px: int) -> Iterator[Measured]:
    """All patches of one run."""
    with tempfile.TemporaryDirectory() as folder:
        made = corroscope.synth(out=Path(folder, "run"), seed=seed)
        out = Path(folder, "prepared")
        grid = f"{size_px}/{size_px // 2}"
        frames = corroscope.prepare(made / "frames", out=out, patches=grid, patch_entropy_bits=0)
        for row in pd.read_csv(out / "patches" / "index.csv").to_dict("records"):
            stem = Path(frames["image"][row["frame"]]).stem
            mask = read_frame(made / "truth" / "masks" / f"{stem}_mask.png") > 0
            y0, x0 = row["y0_frame_px"], row["x0_frame_px"]
            inside = mask[y0 : y0 + size_px, x0 : x0 + size_px]
            yield Measured(int(inside.sum()), row["entropy_bits"])


def real(dataset: Path) -> Iterator[Measured]:
    """Quarters of the later patch of each pair, against the earlier one."""
    patches = [p for p in read_dataset(dataset) if p.time is not None and p.corner_px is not None]
    for before, after in permutations(patches, 2):
        if before.corner_px != after.corner_px or not (before.time or 0) < (after.time or 0):
            continue
        found = Aligner(before.frame).measure(after.frame)
        if not found.aligned:
            continue
        treated = treat(after.frame, before.frame, (0.0, 0.0), (-found.dy_px, -found.dx_px))
        noise = noise_of(treated.difference, treated.covered)
        half = after.frame.shape[0] // 2
        for place in (np.s_[y : y + half, x : x + half] for y in (0, half) for x in (0, half)):
            bits = entropy_bits(treated.difference[place], treated.covered[place], noise)
            yield Measured(int(after.mask[place].sum()), bits)


def print_limits(measured: list[Measured]) -> None:
    """Print what each limit keeps and drops."""
    full = np.array([one.bits for one in measured if one.particles_px >= LEAST_PX])
    empty = np.array([one.bits for one in measured if one.particles_px == 0])
    print(f"{full.size} with particles, {empty.size} empty")
    for limit in LIMITS_BITS:
        kept, dropped = (full >= limit).mean(), (empty < limit).mean()
        print(f"{limit:6g} bits: {kept:6.1%} kept, {dropped:6.1%} of the empty ones dropped")


if __name__ == "__main__":
    main()
