"""What a reference is worth: static specks, particles that arrived, and single frames as before.

Each fold's network is judged on surface that it has not seen::

    corroscope train DATASET --out build/alone --cross-validate --set pairing.alone=1
    corroscope train DATASET --out build/both --cross-validate
    python benchmarks/reference.py DATASET build/both/train1 --before build/alone/train1
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from corroscope.frames.contrast import relative_contrast
from corroscope.frames.resampling import shift_frame
from corroscope.learning.dataset import Patch, read_dataset
from corroscope.learning.judge import Judged, nested_counts, operating_point
from corroscope.learning.pairs import Paired, surface_pairs
from corroscope.learning.surfaces import shared_surface, surface_folds
from corroscope.scoring.counts import Counts, count
from corroscope.scoring.scores import difference_intervals, scores
from corroscope.segmentation.bundle import load_bundle
from corroscope.segmentation.particles import find_particles
from corroscope.segmentation.segmenter import Segmenter
from corroscope.synthesis.experiment import Experiment
from corroscope.synthesis.settings import make_synth_settings

DARK_BLOB: float = -15 / 200
"""Relative contrast of a dark blob: 15 of 200 grey levels."""

SMALLEST_BLOB_PX: int = 5
HELD_OUT_SEEDS = range(9000, 9006)
"""Synthetic runs that nothing was trained or chosen on."""


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("run", type=Path, help="a cross-validated training that compares")
    parser.add_argument("--before", type=Path, help="one that sees single frames, to compare")
    chosen = parser.parse_args()
    patches = read_dataset(chosen.dataset)
    shared = shared_surface(patches)
    folds = len(list(chosen.run.glob("fold*/bundle")))
    splits = surface_folds(shared, folds)
    segmenters = [
        Segmenter(load_bundle(chosen.run / f"fold{fold}" / "bundle"), precision="f32")
        for fold in range(1, folds + 1)
    ]
    alone = judge_alone(patches, segmenters, splits)
    points = [
        other_point(alone, shared, fold) for fold in range(folds)
    ]  # each fold at the point chosen on other surface
    print_alone(alone, shared, chosen.before)
    print_pairs(patches, splits, segmenters, points)
    print_synthetic(segmenters, points)


def judge_alone(
    patches: Sequence[Patch],
    segmenters: Sequence[Segmenter],
    splits: Sequence[tuple[list[int], list[int]]],
) -> Judged:
    """Probabilities of each patch without a reference, by the network that never saw it."""
    indices = [i for _, validation in splits for i in validation]
    folds = [fold for fold, (_, validation) in enumerate(splits) for _ in validation]
    probabilities = [
        segmenters[fold](patches[i].frame).probability
        for i, fold in zip(indices, folds, strict=True)
    ]
    order = np.argsort(indices)
    return Judged(patches, [probabilities[i] for i in order], [folds[i] for i in order])


def other_point(judged: Judged, shared: NDArray[np.bool_], fold: int) -> tuple[float, int]:
    """Operating point chosen on surface that the fold does not show."""
    in_fold = np.array(judged.folds) == fold
    others = np.flatnonzero(~shared[in_fold].any(axis=0)).tolist()
    return operating_point(
        [judged.patches[i] for i in others], [judged.probabilities[i] for i in others]
    )


def print_alone(alone: Judged, shared: NDArray[np.bool_], before: Path | None) -> None:
    """Single frames: this training, the one before, and the paired difference."""
    print("Without a reference, folds that share no surface")
    counts = nested_counts(alone, shared)
    print_row("this bundle", scores(sum(counts, Counts())))
    if before is None:
        return
    splits = surface_folds(shared, len(set(alone.folds)))
    earlier = [
        Segmenter(load_bundle(before / f"fold{fold}" / "bundle"), precision="f32")
        for fold in range(1, len(splits) + 1)
    ]
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
    print(f"  {name:16}" + "  ".join(f"{key} {values[key]:.3f}" for key in shown))


def print_pairs(
    patches: Sequence[Patch],
    splits: Sequence[tuple[list[int], list[int]]],
    segmenters: Sequence[Segmenter],
    points: Sequence[tuple[float, int]],
) -> None:
    """Real pairs: what was there is to go, what arrived is to stay."""
    fold_of = {patches[i].name: fold for fold, (_, val) in enumerate(splits) for i in val}
    totals = np.zeros(8, int)
    full = np.zeros(8, int)
    pairs = surface_pairs(patches, segmenters[0].bundle.card.background_sigma_px)
    masks = {patch.name: patch for patch in patches}
    for pair in pairs:
        later = pair.name.split(" since ")[0]
        fold = fold_of[later]
        found = judge_pair(pair, segmenters[fold], points[fold])
        totals += found
        if pair.contrast.shape == masks[later].frame.shape:
            full += found
    print("Real pairs of one surface at two times")
    for name, sums in (("whole patches", full), ("and half patches", totals)):
        specks, specks_gone, blobs, blobs_gone, arrived, alone, compared, lost = sums.tolist()
        print(
            f"  {name}: false candidates already there, found alone: {specks}, gone "
            f"{share(specks_gone, specks)}; dark blobs already there: {blobs}, not found "
            f"{share(blobs_gone, blobs)}; arrived particles: {arrived}, recall alone "
            f"{share(alone, arrived)}, compared {share(compared, arrived)}, lost by comparing "
            f"{share(lost, arrived)}"
        )


def judge_pair(pair: Paired, segmenter: Segmenter, point: tuple[float, int]) -> NDArray[np.int64]:
    """Count the false candidates, the dark blobs and the particles of one pair."""
    reference = np.where(pair.covered, pair.reference, np.float32(np.nan))
    alone = find_particles(segmenter.probability(pair.contrast), *point)
    compared = find_particles(segmenter.probability(pair.contrast, reference), *point)
    particles = np.asarray(cv2.connectedComponents(pair.arrived.astype(np.uint8))[1])
    annotated = cv2.dilate(pair.annotated.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    dark = (pair.contrast <= DARK_BLOB).astype(np.uint8)
    blobs = np.asarray(cv2.connectedComponents(dark, connectivity=8)[1])
    specks = [
        outline for outline in outlines(alone)
        if not annotated[outline].any() and was_there(pair, outline)
    ]  # fmt: skip
    dark_blobs = [
        outline for outline in outlines(blobs)
        if SMALLEST_BLOB_PX <= outline.sum() <= 300 and not annotated[outline].any()
        and was_there(pair, outline)
    ]  # fmt: skip
    arrived = [
        outline for outline in outlines(particles)
        if pair.covered[outline].all() and inside(outline)
    ]  # fmt: skip
    alone_hit = [hit(outline, alone) for outline in arrived]
    compared_hit = [hit(outline, compared) for outline in arrived]
    return np.array(
        [
            len(specks),
            sum(not compared[outline].any() for outline in specks),
            len(dark_blobs),
            sum(not compared[outline].any() for outline in dark_blobs),
            len(arrived),
            sum(alone_hit),
            sum(compared_hit),
            sum(a and not c for a, c in zip(alone_hit, compared_hit, strict=True)),
        ]
    )


def outlines(labels: NDArray[Any]) -> list[NDArray[np.bool_]]:
    """Mask of each labelled object."""
    return [np.asarray(labels == label) for label in range(1, int(labels.max(initial=0)) + 1)]


def inside(outline: NDArray[np.bool_]) -> bool:
    """Whether an object is whole: one cut by the border cannot be judged."""
    return not (
        outline[0].any() or outline[-1].any() or outline[:, 0].any() or outline[:, -1].any()
    )


def was_there(pair: Paired, outline: NDArray[np.bool_]) -> bool:
    """Whether the reference has more than half of a dark speck's contrast there."""
    if not pair.covered[outline].all():
        return False
    now, before = float(pair.contrast[outline].mean()), float(pair.reference[outline].mean())
    return before < 0.5 * now < 0


def hit(outline: NDArray[np.bool_], labels: NDArray[np.int32]) -> bool:
    """Whether something found overlaps a particle with an IoU of 0.3 or more."""
    for label in np.unique(labels[outline]):
        found = labels == label
        if label and (found & outline).sum() >= 0.3 * (found | outline).sum():
            return True
    return False


def share(part: int, whole: int) -> str:
    """A share in per cent."""
    return f"{part / whole:.1%}" if whole else "–"


def print_synthetic(segmenters: Sequence[Segmenter], points: Sequence[tuple[float, int]]) -> None:
    """Synthetic runs never used: pooled over the networks of all folds."""
    print("Synthetic runs, particles at IoU ≥ 0.3")
    settings = {"frames": 13, "height_px": 512, "width_px": 512, "interval_s": 2.5}
    sums: dict[str, Counts] = {}
    for number, seed in enumerate(HELD_OUT_SEEDS):
        segmenter = segmenters[number % len(segmenters)]
        point = points[number % len(segmenters)]
        experiment = Experiment(make_synth_settings({**settings, "seed": seed}))
        scenes = list(experiment.scenes())
        sigma = segmenter.bundle.card.background_sigma_px
        first = relative_contrast(scenes[0].frame, sigma)
        for scene in scenes[3::3]:
            contrast = relative_contrast(scene.frame, sigma)
            reference, covered = shift_frame(first, *scene.drift_px)
            reference[~covered] = np.nan
            for name, given in (("alone", None), ("compared", reference)):
                found = find_particles(segmenter.probability(contrast, given), *point) > 0
                sums[name] = sums.get(name, Counts()) + count(found, scene.mask)
    for name, counts in sums.items():
        print_row(name, scores(counts))


if __name__ == "__main__":
    main()
