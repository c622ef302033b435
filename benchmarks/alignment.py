"""How well drift is measured and light is matched, and how long it takes.

On synthetic runs, whose drift is known, with a twentieth of the pixels changed besides in every
frame; and on real patches of one run, which show the same corner at several times.

    python benchmarks/alignment.py DATASET
"""

import argparse
import csv
import itertools
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from corroscope.frames.alignment import Aligner
from corroscope.frames.light import difference, match_light
from corroscope.frames.reading import read_frame
from corroscope.frames.resampling import shift_frame
from corroscope.synthesis.experiment import Experiment, Scene
from corroscope.synthesis.settings import make_synth_settings

RUNS: Final = ((256, 8, (0, 1, 2, 3)), (1024, 5, (0, 1)), (2448, 3, (0,)))
"""Side in pixels, frames and seeds."""

CHANGED: Final = 0.05
"""Share of the pixels that dark discs hide in every frame, the reference too."""

LEFT_OUT: Final = np.ones((5, 5), np.uint8)
"""Labelled particles are dilated by 2 px."""

Images = NDArray[Any]


class View(NamedTuple):
    """A real patch."""

    time: str
    corner_px: NDArray[np.int64]
    group: str
    frame: Images
    mask: NDArray[np.bool_]


def with_discs(frame: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Hide a share of the pixels with dark discs of 1 to 30 px radius."""
    changed = frame.copy()
    hidden = np.zeros(frame.shape, np.uint8)
    while hidden.mean() < CHANGED:
        radius = int(np.clip(rng.lognormal(1.2, 0.8), 1, 30))
        centre = (int(rng.integers(frame.shape[1])), int(rng.integers(frame.shape[0])))
        cv2.circle(changed, centre, radius, int(rng.integers(20, 150)), -1)
        cv2.circle(hidden, centre, radius, 1, -1)
    return changed


def energies(
    reference: Images, frame: Images, shift_px: NDArray[np.float64], changed: NDArray[np.bool_]
) -> tuple[float, float]:
    """Mean squares of plain and of aligned, light-matched difference, without what changed."""
    aligned, covered = shift_frame(reference, float(shift_px[0]), float(shift_px[1]))
    field, _ = match_light(frame, aligned, covered)
    left = covered & (cv2.dilate(changed.astype(np.uint8), LEFT_OUT) == 0)
    plain = frame.astype(np.float32) - reference.astype(np.float32)
    matched = difference(frame, aligned, field)
    return float((plain[left] ** 2).mean()), float((matched[left] ** 2).mean())


def pits_of(scene: Scene) -> NDArray[np.bool_]:
    """Discs of twice a pit's radius: lacy pits and their halos are wider than their area."""
    discs = np.zeros(scene.frame.shape, np.uint8)
    for y, x, area in scene.pits[["y_ref_px", "x_ref_px", "area_px"]].to_numpy():
        centre = (round(x + scene.drift_px[1]), round(y + scene.drift_px[0]))
        cv2.circle(discs, centre, int(2 * np.sqrt(area / np.pi)) + 4, 1, -1)
    return discs > 0


def synthetic(side: int, frames: int, seed: int) -> None:
    """One run: error of the drift with discs, energy of the difference without."""
    changes = {"frames": frames, "height_px": side, "width_px": side, "seed": seed}
    scenes = list(Experiment(make_synth_settings(changes)).scenes())
    rng = np.random.default_rng(seed)
    first = scenes[0]
    aligner, clean = Aligner(with_discs(first.frame, rng)), Aligner(first.frame)
    errors, pairs, still = [], [], []
    for scene in scenes[1:]:
        found = aligner.measure(with_discs(scene.frame, rng))
        errors.append(np.subtract(found[:2], scene.drift_px))
        shift = np.array(clean.measure(scene.frame)[:2])
        particles = first.mask | scene.mask
        pairs.append(energies(first.frame, scene.frame, shift, particles))
        still.append(energies(first.frame, scene.frame, shift, particles | pits_of(scene)))
    rms = float(np.sqrt((np.square(errors)).sum(axis=1).mean()))
    print(f"| synthetic {side} px, seed {seed} | {rms:.3f} | {shares(pairs)} | {shares(still)} |")


def shares(pairs: list[tuple[float, float]]) -> str:
    """Pooled and median share of the energy that is left."""
    plain, matched = np.array(pairs).T
    return f"{matched.sum() / plain.sum():.2f} / {np.median(matched / plain):.2f}"


def read_views(folder: Path) -> list[View]:
    """All patches with what the index says of them."""
    with (folder / "index.csv").open(newline="") as lines:
        return [
            View(
                row["time_fraction"],
                np.array([int(row["y0_px"]), int(row["x0_px"])]),
                row["surface_group"],
                read_frame(folder / row["image"]),
                read_frame(folder / row["mask"]) > 0,
            )
            for row in csv.DictReader(lines)
        ]


def real(views: list[View]) -> None:
    """Pairs of the same surface at two times: scatter of the drift, energy of the difference."""
    drifts = defaultdict(list)
    left: list[tuple[float, float]] = []
    lost = unlike = believed = 0
    for a, b in itertools.permutations(views, 2):
        offset = a.corner_px - b.corner_px
        if a.group != b.group:
            unlike += 1
            believed += Aligner(a.frame).measure(b.frame).aligned
        elif a.time < b.time and np.abs(offset).sum() <= a.frame.shape[0] // 2:
            found = Aligner(a.frame).measure(b.frame, near=(float(offset[0]), float(offset[1])))
            if not found.aligned:
                lost += 1
                continue
            shift = np.array(found[:2]) - offset
            drifts[a.time, b.time].append(shift)
            if not offset.any():
                left.append(energies(a.frame, b.frame, shift, a.mask | b.mask))
    for times, shifts in sorted(drifts.items()):
        median = np.median(shifts, axis=0)
        away = np.hypot(*(np.array(shifts) - median).T)
        print(
            f"| real {times[0]} to {times[1]}, {len(shifts)} pairs, ({median[0]:.2f}, "
            f"{median[1]:.2f}) px | median {np.median(away):.3f}, largest {away.max():.2f} | | |"
        )
    print(f"| real, same place at two times, {len(left)} pairs | | {shares(left)} | |")
    print(f"| real, same surface, not aligned | {lost} | | |")
    print(f"| real, unlike surface, {unlike} pairs, aligned | {believed} | | |")


def seconds(act: Callable[[], object], times: int = 5) -> float:
    """Shortest of some times."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        act()
        taken.append(time.perf_counter() - start)
    return min(taken)


def speed() -> None:
    """Seconds for a whole frame, beside reading it and one transform of it."""
    changes = {"frames": 2, "height_px": 2448, "width_px": 2452}
    first, second = (s.frame for s in Experiment(make_synth_settings(changes)).scenes())
    aligner = Aligner(first)
    shift = aligner.measure(second)
    moved, covered = shift_frame(first, shift.dy_px, shift.dx_px)
    field, _ = match_light(second, moved, covered)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.png"
        cv2.imwrite(str(path), second)
        reading = seconds(lambda: read_frame(path))
    transform = seconds(lambda: fft.rfft2(second.astype(np.float32), workers=1))
    acts: dict[str, Callable[[], object]] = {
        "Aligner(reference)": lambda: Aligner(first),
        "Aligner.measure": lambda: aligner.measure(second),
        "shift_frame": lambda: shift_frame(first, shift.dy_px, shift.dx_px),
        "match_light": lambda: match_light(second, moved, covered),
        "difference": lambda: difference(second, moved, field),
    }
    print("\n| 2448×2452 px, one core | s | of reading a PNG | of one FFT |\n|---|---|---|---|")
    for name, act in acts.items():
        taken = seconds(act)
        print(f"| {name} | {taken:.3f} | {taken / reading:.1f} | {taken / transform:.1f} |")


def main() -> None:
    """Print all figures as tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dataset", type=Path)
    folder = parser.parse_args().dataset
    cv2.setNumThreads(1)
    print("| | drift error, px | energy left, pooled / median | pits left out too |")
    print("|---|---|---|---|")
    for side, frames, seeds in RUNS:
        for seed in seeds:
            synthetic(side, frames, seed)
    real(read_views(folder))
    speed()


if __name__ == "__main__":
    main()
