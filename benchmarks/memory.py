"""Memory of training and of evaluation on a dataset and on one ten times as large.

    python benchmarks/memory.py [--patches 74] [--times 1 10 20] [--source FOLDER]

Each figure is of a process of its own: the most memory that was resident, less what was resident
when all was imported. The dataset is synthetic, patches of 200×200 px; larger ones hold turned and
mirrored copies with other noise, each a file of its own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import corroscope
from corroscope.frames.reading import read_frame
from corroscope.outputs import write_mask, write_png

SIDE_PX = 200
MIB = 2**20

ONE_JOB = """
import resource, sys, time
from pathlib import Path
job, dataset, out = sys.argv[1], sys.argv[2], Path(sys.argv[3])
import corroscope
from corroscope.learning.dataset import dataset_hash, read_dataset
if job == "evaluate":
    from corroscope.learning.evaluate import evaluate
else:
    import torch
    from corroscope.learning.crops import Crops
    from corroscope.learning.fit import fit
    from corroscope.learning.settings import make_settings
    torch.set_num_threads(1)
    settings = make_settings({"pairing": {"alone": 1}, "epochs": 2, "steps_per_epoch": 25})

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

imported = peak()
if job == "evaluate":
    began = time.process_time()
    evaluate(dataset, out=out)
else:
    patches = read_dataset(dataset)
    dataset_hash(patches)
if job == "crops":
    crops = Crops(patches, settings, epoch=0)
    began = time.process_time()
    for number in range(400):
        crops[number]
if job == "train":
    began = time.process_time()
    fit(patches[len(patches) // 5:], patches[:len(patches) // 5], settings, out, accelerator="cpu")
if job == "read":
    began = time.process_time()
print(imported, peak(), time.process_time() - began)
"""
JOBS = {
    "read": "read",
    "crops": "read, and 400 crops",
    "train": "read, and 2 epochs of 25 steps",
    "evaluate": "evaluate",
}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, default=74)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 10, 20])
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--source", type=Path, help="a dataset, instead of a synthetic one")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = chosen.source or made(Path(folder, "made"), chosen.patches)
        sets = {times: larger(base, Path(folder, str(times)), times) for times in chosen.times}
        print("| | " + " | ".join(f"×{times}" for times in sets) + " | last over first |")
        print("|---|" + "---|" * (len(sets) + 1))
        for job in chosen.jobs:
            found = [measured(job, dataset, Path(folder, "out")) for dataset in sets.values()]
            cells = [f"{grown:.0f} MiB, {took_s:.1f} s" for grown, took_s in found]
            ratio = found[-1][0] / found[0][0]
            print(f"| {JOBS[job]} | " + " | ".join(cells) + f" | {ratio:.1f} |", flush=True)


def made(folder: Path, patches: int) -> Path:
    """A synthetic dataset."""
    return corroscope.synth(out=folder, patches=patches, size=SIDE_PX, seed=1) / "patches"


def larger(base: Path, folder: Path, times: int) -> Path:
    """The dataset so many times over."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = ["image,surface_group"]
    for path in sorted(base.glob("*_mask.png")):
        stem = path.stem.removesuffix("_mask")
        frame, mask = read_frame(path.with_name(f"{stem}.png")), read_frame(path) > 0
        for copy in range(times):
            noise = rng.normal(0, 2 if copy else 0, frame.shape)
            noisy = np.clip(np.rint(frame + noise), 0, 255).astype(np.uint8)
            flip = np.s_[:: -1 if copy // 4 % 2 else 1]
            name = f"{stem}x{copy}"
            write_png(folder / f"{name}.png", np.rot90(noisy, copy % 4)[flip].copy())
            write_mask(folder / f"{name}_mask.png", np.rot90(mask, copy % 4)[flip].copy())
            rows.append(f"{name}.png,{stem}")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    return folder


def measured(job: str, dataset: Path, out: Path) -> tuple[float, float]:
    """Growth of memory in MiB, and processor time in seconds."""
    with tempfile.TemporaryDirectory(dir=out.parent) as fresh:
        done = subprocess.run(
            [sys.executable, "-c", ONE_JOB, job, str(dataset), fresh],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    imported, peak, took_s = (float(word) for word in done.stdout.split()[-3:])
    return (peak - imported) * 1024 / MIB, took_s


if __name__ == "__main__":
    main()
