"""How good is one click? On real masks, each judged by a network that saw none of its surface.

``benchmarks/fit_click.py`` must have written the networks. Clicks are simulated: the deepest pixel
of the annotated particle, off by 1 px (standard deviation) along each axis; particles cut by the
border of their patch are left out.
"""

import argparse
import itertools
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import eikonalfm
import numpy as np
from fit_click import FOLDS, fold_of
from numpy.typing import NDArray
from scipy import ndimage

from corroscope.annotation.click import (
    contour_from_click,
    find_front,
    instances_from_clicks,
    levels,
)
from corroscope.annotation.click_network import ClickNetwork, read_click_network
from corroscope.annotation.geodesic import closed_geodesic
from corroscope.annotation.half_contrast import half_contrast
from corroscope.annotation.instances import Instance, paint, separate
from corroscope.annotation.outlines import polygons
from corroscope.annotation.proposals import propose
from corroscope.annotation.surroundings import snap
from corroscope.annotation.wire import contour_from_points
from corroscope.errors import AnnotationError
from corroscope.learning.clicks import simulated_clicks, whole_particles
from corroscope.learning.dataset import Patch, read_dataset

Mask = NDArray[np.bool_]
Points = NDArray[np.float64]

BINS_PX = ((0, 10), (10, 30), (30, 100), (100, 10**9))
GOOD = 0.8
LARGEST = 5


class Case(NamedTuple):
    """One particle and where it is clicked."""

    frame: NDArray[np.float32]
    particle: Instance
    clicks: Points  # inside it
    rim: Points  # four points on its outline, in order
    network: ClickNetwork
    fold: int


def cases(
    patches: list[Patch], networks: list[ClickNetwork], rng: np.random.Generator
) -> list[Case]:
    """All whole particles of a dataset."""
    found = []
    for patch in patches:
        frame = patch.frame.astype(np.float32)
        for particle in whole_particles(patch):
            clicks = simulated_clicks(particle, frame.shape, 20, rng)
            fold = fold_of(patch)
            rim = rim_points(particle, rng)
            found.append(Case(frame, particle, clicks, rim, networks[fold], fold))
    return found


def rim_points(particle: Instance, rng: np.random.Generator) -> Points:
    """The outline's four most distant points up, right, down and left, off by 0.5 px."""
    outer = max(polygons(particle.mask), key=lambda piece: len(piece.outer)).outer
    edge = np.concatenate(
        [np.linspace(a, b, 9)[:-1] for a, b in zip(outer, np.roll(outer, -1, 0), strict=True)]
    )
    far = edge @ np.array([(-1, 0), (0, 1), (1, 0), (0, -1)]).T
    middles = [edge[reach == reach.max()].mean(axis=0) for reach in far.T]
    chosen = np.array(middles) - 0.5 + particle.corner_px
    return np.asarray(chosen + rng.normal(0, 0.5, chosen.shape))


def iou(found: Mask | None, case: Case) -> float:
    """Intersection over union with the annotator's mask."""
    if found is None:
        return 0.0
    truth = paint([case.particle], found.shape)
    return float((found & truth).sum() / (found | truth).sum())


def attempt(find: Callable[..., Mask | Instance], case: Case, *given: Any) -> Mask | None:
    """The mask that a method finds, or None where it has an error."""
    try:
        found = find(case.frame, *given)
    except AnnotationError:
        return None
    return paint([found], case.frame.shape) if isinstance(found, Instance) else found


def by_size(rows: dict[str, list[float]], cases_: list[Case]) -> None:
    """Print mean IoU and the share of good ones, for each method and size."""
    area = np.array([case.particle.area_px for case in cases_])
    head = " | ".join(f"{low}–{high if high < 10**9 else ''} px" for low, high in BINS_PX)
    print(f"| mean IoU / share at IoU ≥ {GOOD} | all | {head} |")
    print("|---" * (len(BINS_PX) + 2) + "|")
    for name, values in rows.items():
        score = np.array(values)
        parts = [np.ones(len(area), bool), *((area >= lo) & (area < hi) for lo, hi in BINS_PX)]
        cells = [
            f"{score[p].mean():.3f} / {(score[p] >= GOOD).mean():.0%}" for p in parts if p.any()
        ]
        print(f"| {name} | {' | '.join(cells)} |")
    print(
        f"\n{len(area)} particles: "
        + ", ".join(
            f"{((area >= lo) & (area < hi)).sum()} of {lo}–{hi if hi < 10**9 else ''} px"
            for lo, hi in BINS_PX
        )
    )


def notebook_front(frame: NDArray[np.float32], point: Points) -> Mask:
    """Fast marching over the whole picture, fast where it is even; stopped at the best edge."""
    smooth = cv2.GaussianBlur(frame, (0, 0), 1.0)
    gradient = np.hypot(*np.gradient(smooth.astype(np.float64)))
    speed = 1 / (0.05 + gradient / gradient.max())
    row, col = np.clip(np.rint(point).astype(int), 0, np.array(frame.shape) - 1)
    times = eikonalfm.fast_marching(speed, (int(row), int(col)), (1.0, 1.0), 2)
    order = np.argsort(times, axis=None)[:1500]
    # The front stands still on edges: stop before the largest step of arrival times.
    steps = np.diff(times.ravel()[order])
    mask = np.zeros(frame.size, bool)
    mask[order[: int(steps[4:].argmax()) + 5]] = True
    return mask.reshape(frame.shape)


def notebook_contour(frame: NDArray[np.float32], rim: Points) -> Mask:
    """Minimal paths between points on the contour, marched over the whole picture."""
    smooth = cv2.GaussianBlur(frame, (0, 0), 1.0)
    gradient = np.hypot(*np.gradient(smooth.astype(np.float64)))
    speed = 0.01 + gradient / gradient.max()
    pixels = np.clip(np.rint(rim).astype(int), 0, np.array(frame.shape) - 1)
    way: list[tuple[int, int]] = []
    for start, goal in zip(pixels, np.roll(pixels, -1, axis=0), strict=True):
        times = eikonalfm.fast_marching(speed, tuple(goal.tolist()), (1.0, 1.0), 2)
        way += descend(times, tuple(start.tolist()))
    return filled(way, frame.shape)


def descend(times: NDArray[np.float64], start: tuple[int, int]) -> list[tuple[int, int]]:
    """Down the arrival times, from pixel to pixel."""
    way = [start]
    while times[way[-1]] > 0 and len(way) < 10_000:
        row, col = way[-1]
        near = [
            (r, c)
            for r in range(max(row - 1, 0), min(row + 2, times.shape[0]))
            for c in range(max(col - 1, 0), min(col + 2, times.shape[1]))
        ]
        way.append(min(near, key=lambda pixel: times[pixel]))
    return way


def scissors(frame: NDArray[np.float32], rim: Points) -> Mask:
    """OpenCV's intelligent scissors through the same points."""
    tool = cv2.segmentation.IntelligentScissorsMB()
    tool.setEdgeFeatureCannyParameters(32, 100)
    tool.setGradientMagnitudeMaxLimit(200)
    tool.applyImage(np.clip(frame, 0, 255).astype(np.uint8))
    pixels = np.clip(np.rint(rim).astype(int), 0, np.array(frame.shape) - 1)
    way: list[tuple[int, int]] = []
    for start, goal in zip(pixels, np.roll(pixels, -1, axis=0), strict=True):
        tool.buildMap((int(start[1]), int(start[0])))
        contour = tool.getContour((int(goal[1]), int(goal[0]))).reshape(-1, 2)
        way += [(int(y), int(x)) for x, y in contour]
    return filled(way, frame.shape)


def filled(way: list[tuple[int, int]], shape: tuple[int, ...]) -> Mask:
    """What a closed way of pixels goes round, and the way itself."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.array(way, np.int32)[:, ::-1]], 1)
    return mask > 0


def one_click(every: list[Case]) -> None:
    """One click inside, every method the same."""
    rows: dict[str, list[float]] = {
        name: [] for name in ("corroscope", "half contrast", "closed geodesic", "notebook's front")
    }
    for case in every:
        point = case.clicks[0]
        pixel = tuple(snap(case.frame, point[None])[0].tolist())
        clicked = partial(contour_from_click, network=case.network)
        found = {
            "corroscope": attempt(clicked, case, point),
            "half contrast": attempt(half_contrast, case, pixel),
            "closed geodesic": attempt(closed_geodesic, case, pixel),
            "notebook's front": notebook_front(case.frame, point),
        }
        for name, mask in found.items():
            rows[name].append(iou(mask, case))
    print("\n## One click\n")
    by_size(rows, every)
    own = np.array(rows["corroscope"])
    for fold in range(FOLDS):
        part = own[[case.fold == fold for case in every]]
        print(
            f"- fold {fold}: {len(part)} particles, {part.mean():.3f} / {(part >= GOOD).mean():.0%}"
        )


def four_points(every: list[Case]) -> None:
    """Four points on the contour, every method the same."""
    rows: dict[str, list[float]] = {"corroscope": [], "notebook's paths": [], "OpenCV scissors": []}
    for case in every:
        points = [tuple(p) for p in np.clip(case.rim, 0, np.array(case.frame.shape) - 1)]
        mask = attempt(contour_from_points, case, points)
        rows["corroscope"].append(iou(mask, case))
        rows["notebook's paths"].append(iou(notebook_contour(case.frame, case.rim), case))
        rows["OpenCV scissors"].append(iou(scissors(case.frame, case.rim), case))
    print("\n## Four points on the contour\n")
    by_size(rows, every)


def correction(found: Mask, truth: Mask, rng: np.random.Generator) -> tuple[bool, Points]:
    """A click into the middle of the largest piece that is wrong, and whether it is missing."""
    largest: tuple[int, bool, Mask] = (0, True, truth)
    for missing, wrong in ((True, truth & ~found), (False, found & ~truth)):
        labels, count = ndimage.label(wrong, np.ones((3, 3)))
        for number in range(1, count + 1):
            piece = labels == number
            if piece.sum() > largest[0]:
                largest = (int(piece.sum()), missing, piece)
    depth = ndimage.distance_transform_edt(np.pad(largest[2], 1))[1:-1, 1:-1]
    place = np.array(np.unravel_index(depth.argmax(), depth.shape)) + rng.normal(0, 1, 2)
    return largest[1], np.clip(np.rint(place), 0, np.array(truth.shape) - 1)


def clicks_needed(case: Case, wheel: bool, rng: np.random.Generator) -> int:
    """Gestures until the mask is good: clicks, and if wanted the wheel as the second of them."""
    truth = paint([case.particle], case.frame.shape)
    include: list[Points] = []
    exclude: list[Points] = []
    gestures = 0
    area_px: float | None = None
    while gestures < LARGEST:
        gestures += 1
        options: dict[str, Any] = {"include": include, "exclude": exclude, "network": case.network}
        click = partial(contour_from_click, area_px=area_px, **options)
        mask = attempt(click, case, case.clicks[0])
        if iou(mask, case) >= GOOD:
            return gestures
        if mask is None:
            return LARGEST + 1
        if wheel and area_px is None and gestures < LARGEST:
            gestures += 1
            nested = levels(case.frame, case.clicks[0], **options).instances
            best = max(nested, key=lambda one: iou(paint([one], truth.shape), case))
            mask, area_px = paint([best], truth.shape), best.area_px
            if iou(mask, case) >= GOOD:
                return gestures
        missing, place = correction(mask, truth, rng)
        (include if missing else exclude).append(place)
    return LARGEST + 1


def gestures(every: list[Case], rng: np.random.Generator) -> None:
    """Mean number of gestures, and how often five were not enough."""
    area = np.array([case.particle.area_px for case in every])
    print(f"\n## Gestures until IoU ≥ {GOOD} (mean; share that {LARGEST} did not mend)\n")
    head = " | ".join(f"{low}–{high if high < 10**9 else ''} px" for low, high in BINS_PX)
    print(f"| | all | {head} |")
    print("|---" * (len(BINS_PX) + 2) + "|")
    for name, wheel in (("clicks alone", False), ("clicks and the wheel", True)):
        need = np.array([clicks_needed(case, wheel, rng) for case in every])
        parts = [np.ones(len(area), bool), *((area >= lo) & (area < hi) for lo, hi in BINS_PX)]
        cells = [
            f"{np.minimum(need[p], LARGEST).mean():.2f} ({(need[p] > LARGEST).mean():.1%})"
            for p in parts
        ]
        print(f"| {name} | {' | '.join(cells)} |")


def ceiling(patches: list[Patch]) -> None:
    """How well the annotators agree where two patches of one frame overlap."""
    found = []
    for one, other in itertools.permutations(patches, 2):
        if one.time != other.time or one.corner_px is None or other.corner_px is None:
            continue
        down, right = np.subtract(other.corner_px, one.corner_px)
        if (
            abs(down) >= one.mask.shape[0]
            or abs(right) >= one.mask.shape[1]
            or one.name > other.name
        ):
            continue
        rows = slice(max(down, 0), min(one.mask.shape[0], other.mask.shape[0] + down))
        cols = slice(max(right, 0), min(one.mask.shape[1], other.mask.shape[1] + right))
        there = other.mask[
            rows.start - down : rows.stop - down, cols.start - right : cols.stop - right
        ]
        others = separate(there)
        for piece in whole_particles(Patch("overlap", one.frame[rows, cols], one.mask[rows, cols])):
            mask = paint([piece], there.shape)
            scores = [
                float((mask & again).sum() / (mask | again).sum())
                for again in (paint([it], there.shape) for it in others)
            ]
            if max(scores, default=0) > 0:
                found.append(max(scores))
    print(
        f"\nThe annotators against themselves, where two patches of one frame overlap: "
        f"{len(found)} particles, mean IoU {np.mean(found):.3f}, median {np.median(found):.3f}, "
        f"{(np.array(found) >= GOOD).mean():.0%} at IoU ≥ {GOOD}"
    )


def proposals(patches: list[Patch], networks: list[ClickNetwork]) -> None:
    """How many particles are among what the plain detector proposes for a whole patch."""
    particles = hits = proposed = 0
    for patch in patches:
        truth = separate(patch.mask)
        labels = np.zeros(patch.mask.shape, np.int64)
        for number, piece in enumerate(truth):
            labels[piece.box][piece.mask] = number + 1
        met = set()
        offers = propose(patch.frame, network=networks[fold_of(patch)])
        for offer in offers:
            below = labels[offer.instance.box][offer.instance.mask]
            for number in np.unique(below[below > 0]):
                both = int((below == number).sum())
                either = offer.instance.area_px + truth[number - 1].area_px - both
                if both / either >= 0.5:
                    met.add(int(number))
        particles += len(truth)
        proposed += len(offers)
        hits += len(met)
    print(
        f"\nProposals: {proposed}, with {hits} of {particles} particles ({hits / particles:.0%}) "
        f"at IoU ≥ 0.5; {hits / proposed:.0%} are particles"
    )


def stability(every: list[Case]) -> None:
    """Whether 20 clicks on one particle agree."""
    agreement = []
    for case in every:
        found = instances_from_clicks(case.frame, case.clicks, network=case.network)
        masks = [paint([one], case.frame.shape).ravel() for one in found if one is not None]
        stack = np.array(masks, np.float32)
        both = stack @ stack.T
        area = stack.sum(axis=1)
        pairs = np.triu_indices(len(stack), 1)
        agreement.append(float((both / (area[:, None] + area - both))[pairs].mean()))
    print(
        f"\nStability: 20 clicks on one particle agree with mean pairwise IoU "
        f"{np.mean(agreement):.3f}"
    )


def median_ms(call: Callable[[], object], times: int) -> float:
    """Median of the milliseconds that a call takes."""
    call()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return 1e3 * float(np.median(taken))


def speed(every: list[Case], rng: np.random.Generator) -> None:
    """Milliseconds and ratios on a frame of 2448 × 2452 pixels, on one thread."""
    cv2.setNumThreads(1)
    tiles = [case for case in every if case.frame.shape == (200, 200)]
    picks = rng.integers(len(tiles), size=(13, 13))
    frame = np.vstack([np.hstack([tiles[k].frame for k in row]) for row in picks])
    frame = frame[:2448, :2452].astype(np.uint8)
    clicks = [
        tiles[k].clicks + np.array((200 * r, 200 * c))
        for (r, c), k in np.ndenumerate(picks[:12, :12])
    ]
    points, network = np.concatenate(clicks), every[0].network
    click = median_ms(lambda: contour_from_click(frame, points[0], network=network), 50)
    alone = median_ms(lambda: find_front(frame, points[0], network=network), 50)
    whole = frame.astype(np.float64)
    gradient = np.hypot(*np.gradient(whole))
    pace = 0.01 + gradient / gradient.max()
    march = median_ms(lambda: eikonalfm.fast_marching(pace, (1000, 1000), (1.0, 1.0), 2), 2)
    batch = median_ms(lambda: instances_from_clicks(frame, points, network=network), 3)
    print("\n## Speed, one thread\n")
    print(f"- one click to a mask of the whole frame: {click:.2f} ms, to the front {alone:.2f} ms")
    print(f"- the notebook's march alone: {march:.0f} ms, {march / click:.0f} times as long")
    print(f"- {len(points)} clicks at once: {1e3 * len(points) / batch:.0f} clicks a second")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--networks", type=Path, default=Path("build/click"))
    parser.add_argument("--quick", action="store_true", help="every tenth particle")
    options = parser.parse_args()
    rng = np.random.default_rng(11)
    patches = read_dataset(options.dataset)
    networks = [read_click_network(options.networks / f"fold_{k}.onnx") for k in range(FOLDS)]
    every = cases(patches, networks, rng)[:: 10 if options.quick else 1]
    one_click(every)
    ceiling(patches)
    four_points(every)
    gestures(every, rng)
    stability(every)
    proposals(patches, networks)
    speed(every, rng)


if __name__ == "__main__":
    main()
