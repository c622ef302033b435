"""Matching of particles and what is counted of it, against independent implementations."""

import importlib.util
import itertools
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage, optimize

from corroscope.scoring.counts import Counts, count
from corroscope.scoring.matching import Pairs, match, one_to_one
from corroscope.scoring.scores import RATIOS, SCORES, per_image, scores

EIGHT = np.ones((3, 3), bool)
STARDIST = Path(sys.prefix) / "smp" / "stardist" / "matching.py"


def blobs(rng: np.random.Generator, share: float) -> NDArray[np.bool_]:
    noise = ndimage.gaussian_filter(rng.normal(size=(40, 52)), rng.uniform(0.4, 2))
    return np.asarray(noise > np.quantile(noise, 1 - share))


def drawn(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = (24, 30)) -> Any:
    mask = np.zeros(shape, bool)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


EMPTY, FULL = drawn(), ~drawn()
DEGENERATE = {
    "both empty": (EMPTY, EMPTY),
    "nothing predicted": (EMPTY, drawn((3, 3, 6, 6))),
    "nothing annotated": (drawn((3, 3, 6, 6), (10, 10, 12, 12)), EMPTY),
    "both full": (FULL, FULL),
    "all predicted": (FULL, drawn((3, 3, 6, 6))),
    "all annotated": (drawn((3, 3, 6, 6)), FULL),
    "one pixel": (drawn((5, 5, 6, 6)), drawn((5, 5, 6, 6))),
    "one pixel beside the other": (drawn((5, 5, 6, 6)), drawn((5, 6, 6, 7))),
    "corners that touch": (drawn((2, 2, 4, 4), (4, 4, 6, 6)), drawn((2, 2, 4, 4))),
    "cut by the border": (
        drawn((0, 0, 3, 2), (22, 27, 24, 30)), drawn((0, 0, 2, 3), (21, 28, 24, 30)),
    ),
    "one prediction over many": (
        drawn((2, 2, 8, 20)), drawn((2, 2, 8, 9), (2, 10, 8, 15), (2, 16, 8, 20)),
    ),
    "many predictions in one": (
        drawn((2, 2, 8, 9), (2, 10, 8, 15), (2, 16, 8, 20)), drawn((2, 2, 8, 20)),
    ),
    "halves": (drawn((2, 2, 8, 8), (2, 9, 8, 15)), drawn((2, 2, 8, 5), (2, 9, 8, 21))),
    "a chain of rivals": (
        drawn((2, 2, 4, 12), (2, 13, 4, 23)), drawn((2, 7, 4, 18), (2, 19, 4, 24), (2, 2, 4, 6)),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def stardist() -> Callable[..., Any]:
    """stardist's matching alone: the package asks for many others when it is imported."""
    if not STARDIST.is_file():
        pytest.skip(f"stardist is not at {STARDIST}")
    spec = importlib.util.spec_from_file_location("stardist_matching", STARDIST)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    csbdeep = ModuleType("csbdeep.utils")
    csbdeep._raise = None  # type: ignore[attr-defined]  # called only for wrong arguments
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, "csbdeep", ModuleType("csbdeep"))
        patched.setitem(sys.modules, "csbdeep.utils", csbdeep)
        spec.loader.exec_module(module)
    matching: Callable[..., Any] = module.matching
    return matching


def assert_as_stardist(
    stardist: Callable[..., Any], prediction: NDArray[np.bool_], annotation: NDArray[np.bool_]
) -> None:
    found = count(prediction, annotation)
    named = scores(found)
    guess, truth = (ndimage.label(mask, EIGHT)[0] for mask in (prediction, annotation))
    for percent, suffix in ((30, ""), (50, "_iou50")):
        other = stardist(truth, guess, thresh=percent / 100)
        assert getattr(found, f"matched_iou_{percent}") == other.tp
        assert (found.predicted, found.annotated) == (other.n_pred, other.n_true)
        expected = {
            f"particle_f1_iou{percent}": (other.f1, other.n_pred + other.n_true),
            f"particle_pq_iou{percent}": (other.panoptic_quality, other.n_pred + other.n_true),
            f"particle_sq_iou{percent}": (other.mean_matched_score, other.tp),
            f"particle_precision{suffix}": (other.precision, other.n_pred),
            f"particle_recall{suffix}": (other.recall, other.n_true),
        }  # fmt: skip
        for name, (value, whole) in expected.items():  # stardist says 0 where it is 0/0
            assert named[name] == pytest.approx(value if whole else np.nan, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("masks", DEGENERATE.values(), ids=DEGENERATE.keys())
def test_degenerate_masks_are_judged_as_by_stardist(
    stardist: Callable[..., Any], masks: tuple[NDArray[np.bool_], NDArray[np.bool_]]
) -> None:
    assert_as_stardist(stardist, *masks)


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.5), st.floats(0, 0.3))
def test_masks_are_judged_as_by_stardist(
    stardist: Callable[..., Any], seed: int, share: float, noise: float
) -> None:
    rng = np.random.default_rng(seed)
    prediction = blobs(rng, share)
    annotation = np.roll(prediction, rng.integers(-2, 3, 2), (0, 1)) ^ blobs(rng, noise)
    assert_as_stardist(stardist, prediction, annotation)


def best_by_trying(pairs: Pairs, at_least: float) -> tuple[int, float]:
    """Number and sum of values of the best choice, by trying every one."""
    allowed = [triple for triple in zip(*pairs, strict=True) if triple[2] >= at_least]
    best = (0, 0.0)
    for size in range(1, len(allowed) + 1):
        for chosen in itertools.combinations(allowed, size):
            ones, others, values = zip(*chosen, strict=True)
            if len(set(ones)) == len(set(others)) == size:
                best = max(best, (size, float(sum(values))))
    return best


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_the_most_pairs_and_of_these_the_best(seed: int, negative: bool) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.choice(20, rng.integers(0, 10), replace=False)
    value = rng.uniform(0, 1, cells.size) - 4 * negative
    pairs = Pairs(cells // 5, cells % 5, value)
    at_least = 0.2 - 4 * negative
    chosen = one_to_one(pairs, at_least)
    assert np.unique(chosen.predicted).size == np.unique(chosen.annotated).size == len(chosen.value)
    number, total = best_by_trying(pairs, at_least)
    assert len(chosen.value) == number
    if number:
        assert chosen.value.sum() == pytest.approx(total)


def test_centroids_of_the_smallest_distances_are_paired() -> None:
    prediction = drawn((5, 5, 6, 6), (5, 8, 6, 9))
    annotation = drawn((5, 7, 6, 8), (5, 10, 6, 11))
    found = match(prediction, annotation)
    pairs = found.centroids_3px
    # By themselves 8 and 7 are closest, but then 5 and 10 are without a partner.
    ones = found.predicted.centroid_px[pairs.predicted, 1]
    others = found.annotated.centroid_px[pairs.annotated, 1]
    assert sorted(zip(ones, others, strict=True)) == [(5, 7), (8, 10)]
    assert pairs.value.tolist() == [-2, -2]


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize(("apart", "matched"), [(3, 1), (4, 0)])
def test_centroids_exactly_3_px_apart_belong_together(apart: int, matched: int, turn: int) -> None:
    masks = drawn((5, 5, 6, 6)), drawn((5, 5 + apart, 6, 6 + apart))
    assert count(*(np.rot90(mask, turn) for mask in masks)).matched_3px == matched


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.5))
def test_neighbours_are_all_there_are(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    found = match(blobs(rng, share), blobs(rng, share))
    apart = found.predicted.centroid_px[:, None] - found.annotated.centroid_px[None]
    near = np.linalg.norm(apart, axis=-1) <= 3
    chosen = optimize.linear_sum_assignment(near, maximize=True)
    assert found.centroids_3px.value.size == near[chosen].sum()


def test_everything_ignored() -> None:
    found = count(drawn((3, 3, 6, 6)), drawn((3, 3, 6, 6)), FULL)
    assert found == Counts(images=1)
    assert all(np.isnan(value) for value in scores(found).values())


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.5), st.floats(0, 0.5))
def test_dice_with_a_tolerance(seed: int, one: float, two: float) -> None:
    rng = np.random.default_rng(seed)
    prediction, annotation = blobs(rng, one), blobs(rng, two)
    near = [ndimage.binary_dilation(mask, EIGHT) for mask in (prediction, annotation)]
    hit = (prediction & near[1]).sum() + (annotation & near[0]).sum()
    whole = prediction.sum() + annotation.sum()
    found = scores(count(prediction, annotation))
    assert found["dice_1px"] == pytest.approx(hit / whole if whole else np.nan, nan_ok=True)
    assert not found["dice_1px"] < found["dice"]


def test_what_is_ignored_gives_no_tolerance() -> None:
    prediction, annotation = drawn((5, 5, 8, 8)), drawn((5, 8, 8, 11))
    assert count(prediction, annotation).near_annotated == 3
    assert count(prediction, annotation, annotation).near_annotated == 0


def test_areas_of_pairs() -> None:
    prediction = drawn((2, 2, 6, 6), (10, 2, 12, 4), (18, 20, 22, 29))
    annotation = drawn((2, 2, 6, 5), (10, 2, 12, 5), (18, 2, 22, 9))
    found = count(prediction, annotation)
    assert (found.matched_predicted_px, found.matched_annotated_px) == (16 + 4, 12 + 6)
    named = scores(found)
    assert named["area_bias"] == pytest.approx(20 / 18 - 1)
    assert named["coverage_bias"] == pytest.approx((16 + 4 + 36) / (12 + 6 + 28) - 1)


def test_false_particles_on_empty_images() -> None:
    two, three = (
        drawn((2, 2, 4, 4), (8, 8, 9, 9)),
        drawn((2, 2, 4, 4), (8, 8, 9, 9), (1, 20, 2, 22)),
    )
    total = count(two, EMPTY) + count(three, EMPTY) + count(three, two) + count(EMPTY, EMPTY)
    assert (total.images, total.empty_images, total.false_on_empty) == (4, 3, 5)
    assert scores(total)["false_positives_per_empty_image"] == pytest.approx(5 / 3)
    assert np.isnan(scores(count(three, two))["false_positives_per_empty_image"])


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.3), st.floats(0, 0.3))
def test_scores_are_within_their_bounds(seed: int, share: float, noise: float) -> None:
    rng = np.random.default_rng(seed)
    annotation = blobs(rng, share)
    found = scores(count(annotation ^ blobs(rng, noise), annotation))
    for name, value in found.items():
        assert np.isnan(value) or SCORES[name].lowest <= value <= SCORES[name].highest, name
    for percent in (30, 50):
        f1, pq = found[f"particle_f1_iou{percent}"], found[f"particle_pq_iou{percent}"]
        expected = f1 and f1 * found[f"particle_sq_iou{percent}"]
        assert pq == pytest.approx(expected, nan_ok=True)


def test_ratios_are_of_what_is_counted() -> None:
    known = {field.name for field in fields(Counts)}
    assert all(set(ratio.part) | set(ratio.whole) <= known for ratio in RATIOS.values())


def test_scores_of_each_image() -> None:
    rng = np.random.default_rng(3)
    counts = [count(blobs(rng, 0.1), blobs(rng, 0.1)) for _ in range(4)] + [count(EMPTY, EMPTY)] * 3
    spread = per_image(counts)
    dices = [2 * c.true_positive / (2 * c.true_positive + c.false_positive + c.false_negative)
             for c in counts[:4]]  # fmt: skip
    assert spread["dice"].mean == pytest.approx(sum(dices) / 4)
    assert spread["dice"].median == pytest.approx(sum(sorted(dices)[1:3]) / 2)
    assert (spread["dice"].defined, spread["dice"].undefined) == (4, 3)
    assert (spread["accuracy"].defined, spread["accuracy"].undefined) == (7, 0)
    empty = spread["false_positives_per_empty_image"]
    assert (empty.mean, empty.defined, empty.undefined) == (0, 3, 4)


def test_scores_of_no_image() -> None:
    spread = per_image([])["dice"]
    assert np.isnan(spread.mean)
    assert np.isnan(spread.median)
    assert (spread.defined, spread.undefined) == (0, 0)
