"""What a reference is worth: static specks, particles that arrived, and single frames as before.

Each fold's network is judged on surface that it has not seen::

    corroscope train DATASET --out build/alone --cross-validate --epochs 100 --set pairing.alone=1
    corroscope train DATASET --out build/bundle --cross-validate
    python benchmarks/reference.py DATASET build/bundle/train1 --before build/alone/train1
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from corroscope.frames.alignment import Aligner
from corroscope.frames.contrast import relative_contrast
from corroscope.frames.resampling import aligned_reference
from corroscope.learning.compared import compared_points, predict_compared
from corroscope.learning.dataset import Patch, read_dataset
from corroscope.learning.judge import Choice, Judged, nested_choices, nested_counts
from corroscope.learning.judge_pairs import PairCounts, count_pair, found_since
from corroscope.learning.pairs import Paired, surface_pairs
from corroscope.learning.surfaces import shared_surface, surface_folds
from corroscope.outputs import read_manifest
from corroscope.scoring.bootstrap import difference_intervals
from corroscope.scoring.counts import Counts, count
from corroscope.scoring.scores import scores
from corroscope.segmentation.bundle import load_bundle
from corroscope.segmentation.particles import OperatingPoint, find_particles
from corroscope.segmentation.segmenter import Segmenter
from corroscope.synthesis.experiment import Experiment
from corroscope.synthesis.settings import make_synth_settings

THRESHOLDS = (0.25, 0.3, 0.35)
SMALLEST_PX = 7
SHOWN_PX, ENLARGED, COLUMNS = 48, 4, 3
CROWDED = {"frames": 13, "height_px": 512, "width_px": 512, "interval_s": 2.5}


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("run", type=Path, help="a cross-validated training that compares")
    parser.add_argument("--before", type=Path, help="one that sees single frames, to compare")
    parser.add_argument("--draw", type=Path, help="PNG of what is found and not marked as arrived")
    chosen = parser.parse_args()
    patches = read_dataset(chosen.dataset)
    shared = shared_surface(patches)
    folds = len(list(chosen.run.glob("fold*/bundle")))
    splits = surface_folds(shared, folds)
    segmenters = load_folds(chosen.run, folds)
    alone = judge_alone(patches, segmenters, splits)
    print_alone(alone, shared, chosen.before)
    fold_of = {patches[i].name: n for n, (_, val) in enumerate(splits, start=1) for i in val}
    bundle = load_bundle(chosen.run / "bundle")
    sigma_px = bundle.card.background_sigma_px
    index = {patch.name: number for number, patch in enumerate(patches)}
    of_fold = np.array(alone.folds)

    def pairs() -> Iterator[tuple[Paired, int]]:
        return ((pair, fold_of[pair.later]) for pair in surface_pairs(patches, sigma_px))

    def near(pair: Paired, fold: int) -> bool:
        return bool(shared[[index[pair.later], index[pair.earlier]]][:, of_fold == fold].any())

    choices = nested_choices(alone, shared)
    points = {fold: choice.point for fold, choice in choices.items()}
    if bundle.card.rescoring is not None:
        seed = read_manifest(chosen.run)["settings"]["seed"]
        _, points = compared_points(pairs(), near, segmenters, sigma_px, seed)
    print_pairs(patches, pairs(), segmenters, choices, points)
    if chosen.draw:
        whole = (
            (pair, fold)
            for pair, fold in pairs()
            if pair.contrast.shape == patches[index[pair.later]].shape
        )
        draw_unmarked(whole, segmenters, points, chosen.draw)
    print("Crowded synthetic runs of 512×512 px, networks of the folds; IoU ≥ 0.3")
    print_synthetic(segmenters, choices, points, CROWDED, range(9000, 9010))
    print("Synthetic runs as made by default, 1024×1024 px, the bundle itself; IoU ≥ 0.3")
    itself = Segmenter(bundle, precision="f32")
    point = itself.operating_point
    choice = Choice(point, itself.rescoring)
    print_synthetic({0: itself}, {0: choice}, {0: point}, {}, range(9100, 9104))


def load_folds(run: Path, folds: int) -> dict[int, Segmenter]:
    """The network of each fold, counted from 1."""
    return {
        fold: Segmenter(load_bundle(run / f"fold{fold}" / "bundle"), precision="f32")
        for fold in range(1, folds + 1)
    }


def judge_alone(
    patches: Sequence[Patch],
    segmenters: dict[int, Segmenter],
    splits: Sequence[tuple[list[int], list[int]]],
) -> Judged:
    """Probabilities of each patch without a reference, by the network that never saw it."""
    folds = np.zeros(len(patches), int)
    for fold, (_, validation) in enumerate(splits, start=1):
        folds[validation] = fold
    found = [
        segmenters[fold](patch.frame) for patch, fold in zip(patches, folds.tolist(), strict=True)
    ]
    probabilities, contrasts = zip(*((one.probability, one.contrast) for one in found), strict=True)
    return Judged(patches, probabilities, folds.tolist(), contrasts)


def print_alone(alone: Judged, shared: NDArray[np.bool_], before: Path | None) -> None:
    """Single frames: this training, the one before, and the paired difference."""
    print("Without a reference, folds that share no surface")
    counts = nested_counts(alone, shared)
    print_row("this bundle", scores(sum(counts, Counts())))
    if before is None:
        return
    splits = surface_folds(shared, len(set(alone.folds)))
    earlier = load_folds(before, len(splits))
    reference = nested_counts(judge_alone(alone.patches, earlier, splits), shared)
    print_row("the one before", scores(sum(reference, Counts())))
    clusters = connected_components(shared, directed=False)[1].tolist()
    rng = np.random.default_rng(0)
    for name, (low, high) in difference_intervals(reference, counts, clusters, rng).items():
        if name in ("dice", "particle_f1_iou30", "particle_f1_3px"):
            print(f"  {name}: difference, 95 % interval {low:+.3f} to {high:+.3f}")


def print_row(name: str, values: dict[str, float]) -> None:
    """A line of scores."""
    shown = ("dice", "particle_f1_iou30", "particle_f1_3px", "particle_precision",
             "particle_recall", "count_bias")  # fmt: skip
    print(f"  {name:48}" + "  ".join(f"{key} {values[key]:.3f}" for key in shown))


def print_pairs(
    patches: Sequence[Patch],
    pairs: Iterable[tuple[Paired, int]],
    segmenters: dict[int, Segmenter],
    choices: dict[int, Choice],
    points: dict[int, OperatingPoint],
) -> None:
    """Real pairs: what was there is to go, what arrived is to stay."""
    sizes = {patch.name: patch.frame.shape for patch in patches}
    sums = {"whole patches": PairCounts(), "and parts of patches": PairCounts()}
    for pair, fold in pairs:
        counts = count_pair(
            pair,
            choices[fold].find(segmenters[fold].probability(pair.contrast), pair.contrast),
            find_particles(predict_compared(pair, segmenters[fold]), *points[fold]),
        )
        sums["and parts of patches"] += counts
        if pair.contrast.shape == sizes[pair.later]:
            sums["whole patches"] += counts
    print("Real pairs of one surface at two times")
    for name, c in sums.items():
        print(f"  {name}: {c.pairs} pairs")
        print(
            f"    found alone, but there already: {c.specks}, gone {share(c.specks_gone, c.specks)}"
        )
        print(f"    dark blobs there already: {c.blobs}, not found {share(c.blobs_gone, c.blobs)}")
        print(
            f"    particles that arrived: {c.arrived}, found alone "
            f"{share(c.arrived_alone, c.arrived)}, compared "
            f"{share(c.arrived_compared, c.arrived)}, "
            f"alone but not compared {share(c.lost, c.arrived)}"
        )
        f1 = 2 * c.arrived_compared / (c.arrived + c.found)
        print(
            f"    found with the reference: {c.found}, had arrived "
            f"{share(c.arrived_compared, c.found)}, F1 {f1:.3f}"
        )


def draw_unmarked(
    pairs: Iterable[tuple[Paired, int]],
    segmenters: dict[int, Segmenter],
    points: dict[int, OperatingPoint],
    out: Path,
) -> None:
    """Draw what was found with the reference, but not marked as arrived: earlier, later, outline.

    What is found is red, what was marked in the later patch is green.
    """
    rows = []
    for pair, fold in pairs:
        labels = find_particles(predict_compared(pair, segmenters[fold]), *points[fold])
        for outline in found_since(pair, labels):
            if (outline & pair.arrived).any():
                continue
            corner = [
                int(np.clip(np.mean(at) - SHOWN_PX / 2, 0, length - SHOWN_PX))
                for at, length in zip(np.nonzero(outline), outline.shape, strict=True)
            ]
            place = np.s_[corner[0] : corner[0] + SHOWN_PX, corner[1] : corner[1] + SHOWN_PX]
            earlier, later = shown(pair.reference[place]), shown(pair.contrast[place])
            outlined = later.copy()
            for mask, colour in ((pair.annotated, (0, 160, 0)), (outline, (0, 0, 255))):
                enlarged = mask[place].repeat(ENLARGED, 0).repeat(ENLARGED, 1).astype(np.uint8)
                rims, _ = cv2.findContours(enlarged, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
                cv2.drawContours(outlined, rims, -1, colour, 1)
            rows.append(np.hstack([earlier, later, outlined]))
    if not rows:
        print("Nothing was found that is not marked as arrived: no picture")
        return
    blank = np.full_like(rows[0], 255)
    rows += [blank] * (-len(rows) % COLUMNS)
    sheet = [np.hstack(rows[i : i + COLUMNS]) for i in range(0, len(rows), COLUMNS)]
    if not cv2.imwrite(str(out), np.vstack(sheet)):
        raise SystemExit(f"{out}: could not be written")


def shown(contrast: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Contrast as a grey picture with three channels, enlarged; outside the reference black."""
    grey = np.clip((np.nan_to_num(contrast, nan=-1) + 0.5) * 350, 0, 255).astype(np.uint8)
    return np.asarray(
        cv2.cvtColor(grey.repeat(ENLARGED, 0).repeat(ENLARGED, 1), cv2.COLOR_GRAY2BGR)
    )


def share(part: int, whole: int) -> str:
    """A share in per cent."""
    return f"{part / whole:.1%}" if whole else "–"


def print_synthetic(
    segmenters: dict[int, Segmenter],
    choices: dict[int, Choice],
    points: dict[int, OperatingPoint],
    changes: dict[str, Any],
    seeds: Sequence[int],
) -> None:
    """Runs never used before, divided among networks; every fourth frame of each."""
    sums: dict[str, Counts] = {}
    folds = sorted(segmenters)
    for number, seed in enumerate(seeds):
        fold = folds[number % len(folds)]
        segmenter, point = segmenters[fold], points[fold]
        scenes = list(Experiment(make_synth_settings({**changes, "seed": seed})).scenes())
        sigma_px = segmenter.bundle.card.background_sigma_px
        first = relative_contrast(scenes[0].frame, sigma_px)
        aligner = Aligner(scenes[0].frame)
        for scene in scenes[4::4]:
            contrast = relative_contrast(scene.frame, sigma_px)
            drift = aligner.measure(scene.frame)
            reference = aligned_reference(first, drift.dy_px, drift.dx_px)
            alone, compared = (segmenter.probability(contrast, g) for g in (None, reference))
            tried = {
                "alone": choices[fold].find(alone, contrast) > 0,
                "compared": find_particles(compared, *point) > 0,
            }
            for threshold in THRESHOLDS:
                at = OperatingPoint(threshold, SMALLEST_PX)
                tried[f"from {threshold}"] = find_particles(compared, *at) > 0
            # Without small true particles: most are cut by the border.
            large = find_particles(scene.mask.astype(np.float32), 0.5, SMALLEST_PX) > 0
            for name, found in tried.items():
                sums[name] = sums.get(name, Counts()) + count(found, scene.mask)
                if name != "alone":
                    key = f"{name}; true ones of {SMALLEST_PX} px or more"
                    sums[key] = sums.get(key, Counts()) + count(found, large)
    for name, counts in sums.items():
        print_row(name, scores(counts))


if __name__ == "__main__":
    main()
