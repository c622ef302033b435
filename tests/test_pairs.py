"""Frames with a reference: pseudo-pairs, pairs that were really taken, what a network is shown."""

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import corroscope
from corroscope.errors import DatasetError, FrameError, SettingsError
from corroscope.frames.contrast import relative_contrast
from corroscope.learning import compared, course
from corroscope.learning.compared import compared_points, predict_compared
from corroscope.learning.crops import Crops
from corroscope.learning.dataset import Patch, read_dataset
from corroscope.learning.judge import judge
from corroscope.learning.judge_pairs import PairCounts, count_pair
from corroscope.learning.losses import LossWeights, segmentation_loss
from corroscope.learning.pairs import (
    Paired,
    crop_pair,
    surface_pairs,
    synthetic_pairs,
)
from corroscope.learning.paste import RIM_PX, Sprite
from corroscope.learning.pseudo import IGNORED, heal, pseudo_pair, second_take
from corroscope.learning.settings import Augmentation, Pairing, TrainSettings, make_settings
from corroscope.segmentation.inputs import network_input
from corroscope.segmentation.particles import OperatingPoint, find_particles
from corroscope.segmentation.segmenter import Segmenter
from corroscope.synthesis.patches import draw_pair
from corroscope.synthesis.settings import make_synth_settings

STILL = {
    "shift_px": 0, "misaligned_px": 0, "contrast": 0, "brightness": 0, "least_noise": 0,
    "most_noise": 0,
}  # fmt: skip


def _scratched(rng: np.random.Generator, side: int = 96) -> NDArray[np.float32]:
    metal = rng.normal(0, 0.01, (side, side)) - 0.05 * (rng.random(side) < 0.1)
    return metal.astype(np.float32)


def _spots(side: int = 96) -> NDArray[np.float32]:
    target = np.zeros((side, side), np.float32)
    target[20:25, 30:35] = target[60:64, 70:75] = target[70:74, 20:26] = 1
    return target


# What a network is shown


def test_planes_of_a_frame_alone_say_that_there_is_no_reference() -> None:
    contrast = np.random.default_rng(0).normal(0, 0.1, (20, 24)).astype(np.float32)
    planes = network_input(contrast, None, 0.1, 3)
    assert np.allclose(planes[0], 10 * contrast)
    assert not planes[1:].any()
    assert np.array_equal(network_input(contrast, None, 0.1, 1), planes[:1])


def test_planes_where_the_reference_shows_nothing() -> None:
    contrast = np.full((6, 8), -0.2, np.float32)
    reference = np.full((6, 8), -0.05, np.float32)
    reference[:, :2] = np.nan
    planes = network_input(contrast, reference, 0.1, 3)
    assert not planes[1:, :, :2].any()
    assert np.allclose(planes[1, :, 2:], -1.5)
    assert (planes[2, :, 2:] == 1).all()


def test_reference_of_another_shape() -> None:
    segmenter = Segmenter()
    if not segmenter.compares:
        pytest.skip("the shipped bundle sees single frames")
    frame = np.full((32, 40), 200, np.uint8)
    with pytest.raises(FrameError, match=r"reference of shape \(40, 32\) for a frame of \(32, 40"):
        segmenter(frame, np.zeros((40, 32), np.float32))


# Pseudo-pairs


def test_only_what_the_reference_lacks_is_to_be_found() -> None:
    rng = np.random.default_rng(0)
    target = _spots()
    crop = _scratched(rng) - 0.3 * target
    healed = pseudo_pair(crop, target, None, Pairing(healed=1, **STILL), 0, rng)
    assert np.array_equal(healed.target, target)
    assert healed.reference[target > 0].min() > -0.15
    assert np.array_equal(healed.contrast, crop)
    kept = pseudo_pair(crop, target, None, Pairing(healed=0, **STILL), 0, rng)
    assert not kept.target.any()
    assert kept.reference[22, 32] < -0.2


@pytest.mark.parametrize(
    ("means", "is_target", "in_frame", "in_reference"),
    [((3, 0, 0), True, True, False), ((0, 3, 0), False, True, True),
     ((0, 0, 3), False, False, True)],
)  # fmt: skip
def test_pasted_particles(
    means: tuple[float, float, float], is_target: bool, in_frame: bool, in_reference: bool
) -> None:
    rng = np.random.default_rng(3)
    mask = np.pad(np.ones((6, 6), np.float32), RIM_PX)
    sprite = Sprite(-0.5 * mask, mask)
    pairing = Pairing(static=means[1], gone=means[2], **STILL)
    crop = np.zeros((96, 96), np.float32)
    seen = []
    for _ in range(15):
        pair = pseudo_pair(crop, crop, lambda: sprite, pairing, means[0], rng)
        if np.isnan(pair.reference).any():
            continue  # as at a frame's border
        dark = (
            bool((pair.contrast < -0.3).any()),
            bool((np.nan_to_num(pair.reference) < -0.2).any()),
        )
        seen.append((bool(pair.target.any()), *dark))
    # Poisson numbers are 0 now and then; then there is nothing at all.
    assert set(seen) <= {(is_target, in_frame, in_reference), (False, False, False)}
    assert (is_target, in_frame, in_reference) in seen


def test_clean_metal_is_healed_as_well() -> None:
    rng = np.random.default_rng(1)
    target = _spots()
    crop = _scratched(rng) - 0.3 * target
    changed = []
    for _ in range(20):
        pair = pseudo_pair(crop, target, None, Pairing(healed=1, **STILL), 0, rng)
        # The second picture is somewhat smoother all over; what was healed stands out.
        elsewhere = np.abs(pair.reference - crop)
        elsewhere[pair.target > 0] = 0
        far = _far_from(target)
        changed.append(float(np.nanmax(elsewhere * far)))
    untouched = pseudo_pair(crop, target, None, Pairing(healed=0, **STILL), 0, rng)
    usual = float(np.nanmax(np.abs(untouched.reference - crop) * _far_from(target)))
    assert np.median(changed) > 1.2 * usual


def _far_from(target: NDArray[np.float32]) -> NDArray[np.bool_]:
    from scipy import ndimage

    return np.asarray(ndimage.distance_transform_edt(target == 0) > 8)


def test_healing_takes_clean_metal_only() -> None:
    rng = np.random.default_rng(0)
    occupied = np.ones((40, 40), bool)
    crop = np.zeros((40, 40), np.float32)
    outline = np.zeros((40, 40), bool)
    assert not heal(crop, outline, ~occupied, rng)  # nothing to heal
    outline[20, 20] = True
    crop[20, 20] = -0.5
    assert not heal(crop, outline, occupied, rng)
    assert crop[20, 20] == np.float32(-0.5)
    assert heal(crop, outline, outline, rng)
    assert crop[20, 20] == 0


def test_healing_takes_the_piece_that_fits() -> None:
    rng = np.random.default_rng(0)
    metal = np.zeros((128, 128), np.float32)
    metal[:, 64:] = -0.1
    outline = np.zeros((128, 128), bool)
    outline[50:56, 20:28] = True
    for _ in range(20):
        healed = np.where(outline, np.float32(-0.5), metal)
        assert heal(healed, outline, outline, rng)
        assert np.abs(healed - metal).max() < 1e-6


@given(st.integers(0, 2**32 - 1))
def test_second_take_comes_back_to_its_place(seed: int) -> None:
    rng = np.random.default_rng(seed)
    surface = np.zeros((64, 64), np.float32)
    surface[30:34, 25:28] = -0.5
    taken = second_take(surface, Pairing(misaligned_px=0, contrast=0, brightness=0), rng)
    weights = np.where(np.isnan(taken) | (taken > -0.1), 0, -taken)
    if np.isnan(taken[28:36, 23:30]).any():
        return  # the part that a crop at the border lacks
    rows, columns = np.indices(taken.shape)
    assert abs((weights * rows).sum() / weights.sum() - 31.5) < 0.3
    assert abs((weights * columns).sum() / weights.sum() - 26) < 0.3


def test_noise_of_the_two_pictures_is_not_the_same() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.0125, (128, 128)).astype(np.float32)
    spreads = [
        float(np.nanstd(noise - second_take(noise, Pairing(brightness=0), rng))) for _ in range(30)
    ]
    # Two real pictures differ by the noise of both: 0.0177; one copied would by nothing.
    assert 0.009 < np.median(spreads) < 0.025
    assert min(spreads) > 0.005


# Pairs that were taken


def test_synthetic_pairs_differ_by_particles_only() -> None:
    pairs = synthetic_pairs(3, 25.0, seed=1)
    assert [pair.later for pair in pairs] == ["synthetic 0", "synthetic 1", "synthetic 2"]
    again = synthetic_pairs(2, 25.0, seed=1)
    assert np.array_equal(pairs[1].contrast, again[1].contrast)
    assert not np.array_equal(pairs[0].contrast, synthetic_pairs(1, 25.0, seed=2)[0].contrast)
    for pair in pairs:
        changed = pair.contrast - pair.reference
        calm = pair.covered & (np.abs(changed) < 0.1)
        assert np.abs(np.median(changed[calm])) < 0.01
        if pair.arrived.any():
            assert np.median(changed[pair.arrived]) < -0.05


def test_surface_seen_at_two_times() -> None:
    rng = np.random.default_rng(5)
    metal = 200 + 8 * rng.standard_normal((150, 150))
    metal = np.clip(metal, 0, 255)
    earlier, later = metal[:120, :120].copy(), metal[20:140, :120].copy()
    mask = np.zeros((120, 120), bool)
    mask[40:46, 40:46] = mask[80:86, 80:86] = True
    later[mask] = 100
    earlier[100:106, 80:86] = 100  # 20 rows further down: the second particle was there already
    patches = [
        Patch("b.png", later.astype(np.uint8), mask, (20, 0), "0", 0.5),
        Patch("a.png", earlier.astype(np.uint8), np.zeros_like(mask), (0, 0), "0", 0.25),
        Patch("far.png", earlier.astype(np.uint8), np.zeros_like(mask), (500, 0), "1", 0.25),
        Patch("untimed.png", later.astype(np.uint8), mask, (20, 0), "0"),
        Patch("lost.png", later.astype(np.uint8), mask, None, "0", 0.9),
    ]
    pairs = surface_pairs(patches, 25.0)
    assert [(pair.later, pair.earlier) for pair in pairs] == [("b.png", "a.png")]
    pair = pairs[0]
    assert pair.contrast.shape == (100, 120)
    assert pair.annotated.sum() == 72
    assert pair.arrived[42, 42]
    assert not pair.arrived[82, 82]
    assert not pair.doubtful.any()
    assert np.abs(pair.contrast - pair.reference)[80:86, 80:86].max() < 0.05


def test_half_arrived_is_doubtful() -> None:
    rng = np.random.default_rng(5)
    metal = np.clip(200 + 8 * rng.standard_normal((120, 120)), 0, 255)
    earlier, later, mask = metal.copy(), metal.copy(), np.zeros((120, 120), bool)
    mask[40:46, 40:46] = True
    later[mask], earlier[mask] = 100, 145
    patches = [
        Patch("a", earlier.astype(np.uint8), mask, (0, 0), None, 0.0),
        Patch("b", later.astype(np.uint8), mask, (0, 0), None, 1.0),
    ]
    (pair,) = surface_pairs(patches, 25.0)
    assert pair.doubtful.sum() == 36
    crop = crop_pair(pair, TrainSettings(crop_px=96), np.random.default_rng(0))
    assert set(np.unique(crop.target)) <= {IGNORED, 0.0}


def test_other_surface_at_the_same_place_is_left_out() -> None:
    rng = np.random.default_rng(5)
    first, second = (rng.integers(150, 250, (120, 120)).astype(np.uint8) for _ in range(2))
    mask = np.zeros((120, 120), bool)
    patches = [
        Patch("a", first, mask, (0, 0), None, 0.0),
        Patch("b", second, mask, (0, 0), None, 1.0),
    ]
    assert len(surface_pairs(patches, 25.0)) == 0


def test_real_surface_at_two_times(real_patches: list[Patch]) -> None:
    pairs = surface_pairs(real_patches, 25.0)
    assert len(pairs) >= 80
    # What annotators marked is nearly all there is of darkening between two times.
    arrived = np.concatenate([(p.contrast - p.reference)[p.arrived] for p in pairs])
    assert np.median(arrived) < -0.1
    calm = np.concatenate([(p.contrast - p.reference)[p.covered & ~p.annotated] for p in pairs])
    assert abs(np.median(calm)) < 0.005


# Crops


def test_crops_of_all_kinds(dataset: Path) -> None:
    patches = read_dataset(dataset)
    settings = make_settings(
        {"crop_px": 64, "pairing": {"runs": 1, "alone": 0.5, "synthetic": 0.2, "paired": 0}}
    )
    crops = Crops(patches, settings, epoch=0)
    shown = [crops[k][0][2].mean().item() for k in range(120)]
    alone = np.mean([value == 0 for value in shown])
    assert 0.35 < alone < 0.65
    assert np.mean([value > 0.9 for value in shown]) > 0.3
    assert all(crops[k][0].shape == (3, 64, 64) for k in range(5))
    assert torch.equal(crops[7][0], Crops(patches, settings, epoch=0)[7][0])


def test_crops_for_a_network_that_sees_single_frames(dataset: Path) -> None:
    settings = make_settings({"crop_px": 64, "pairing": {"alone": 1}})
    planes, target = Crops(read_dataset(dataset), settings, epoch=0)[0]
    assert planes.shape == target.shape == (1, 64, 64)
    assert settings.channels == 1


def test_pair_crop_keeps_frame_and_reference_together() -> None:
    rng = np.random.default_rng(0)
    metal = relative_contrast(np.clip(200 + 8 * rng.standard_normal((90, 90)), 0, 255))
    nowhere, everywhere = np.zeros((90, 90), bool), np.ones((90, 90), bool)
    covered = everywhere.copy()
    covered[:30] = False
    paired = Paired("b", "a", metal, metal, covered, nowhere, nowhere, nowhere)
    settings = TrainSettings(
        crop_px=64, augmentation=Augmentation(noisy=0), pairing=Pairing(misaligned_px=0)
    )
    for _ in range(10):
        crop = crop_pair(paired, settings, rng)
        seen = ~np.isnan(crop.reference)
        assert np.allclose(crop.contrast[seen], crop.reference[seen], atol=1e-5)
    assert np.isnan(crop_pair(paired, settings, rng).reference).any()


def test_ignored_pixels_count_for_nothing() -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(2, 1, 8, 8), (torch.rand(2, 1, 8, 8) < 0.2).float()
    target[:, :, :, :3] = IGNORED
    changed = logits.clone()
    changed[:, :, :, :3] += 5
    for dice, gamma in ((0.0, 0.0), (0.5, 1.5), (1.0, 0.0)):
        weights = LossWeights(dice, focal_gamma=gamma)
        assert torch.isclose(
            segmentation_loss(logits, target, weights), segmentation_loss(changed, target, weights)
        )
        assert not torch.isclose(
            segmentation_loss(logits, target.abs(), weights),
            segmentation_loss(changed, target.abs(), weights),
        )


def test_shares_that_exceed_one() -> None:
    with pytest.raises(
        SettingsError, match=r"shares alone 0.7, synthetic 0.3 and paired 0.15 exceed"
    ):
        make_settings({"pairing": {"alone": 0.7, "synthetic": 0.3}})
    assert make_settings({"pairing": {"alone": 1}}).channels == 1


def test_times_in_the_index(dataset: Path) -> None:
    index = dataset / "index.csv"
    index.write_text("image,time_s\nimage_0.png,2.5\nimage_1.png,\n")
    assert [patch.time for patch in read_dataset(dataset)][:3] == [2.5, None, None]
    index.write_text("image,time_fraction\nimage_0.png,0.25\n")
    assert read_dataset(dataset)[0].time == 0.25
    index.write_text("image,time_s\nimage_0.png,nan\n")
    with pytest.raises(
        DatasetError, match=r"index.csv: cannot be understood \(ValueError: time_s is"
    ):
        read_dataset(dataset)


# What a reference is worth


class _Threshold:
    """Stands for a network: darkness, or darkness that has come, as probability."""

    def probability(
        self, contrast: NDArray[np.float32], reference: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        if reference is None:
            return np.asarray(contrast < -0.2, np.float32)
        return np.asarray(contrast - np.nan_to_num(reference) < -0.2, np.float32)


def test_counts_of_a_pair() -> None:
    contrast = np.zeros((80, 80), np.float32)
    reference, annotated, covered = contrast.copy(), contrast > 0, contrast == 0
    covered[:10] = False
    for top, left, is_annotated, was_there in (
        (20, 20, True, False),  # arrived
        (20, 40, True, True),  # annotated, but there already: neither speck nor arrived
        (40, 20, False, True),  # an old speck
        (40, 40, False, False),  # a false alarm that has really come
        (0, 60, True, False),  # where the reference shows nothing
        (60, 76, True, False),  # cut by the border
        (70, 40, False, False),  # another false alarm, of which nobody knows
    ):
        place = np.s_[top : top + 4, left : left + 4]
        contrast[place] = -0.4
        reference[place] = -0.4 if was_there else 0
        annotated[place] = is_annotated
    faint = np.s_[60:64, 20:24]
    contrast[faint] = reference[faint] = -0.1  # an old dark blob that is not found at all
    arrived = annotated & (reference == 0)
    doubtful = contrast > 0
    doubtful[70:72, 40:42] = True
    pair = Paired("b", "a", contrast, reference, covered, annotated, arrived, doubtful)
    network: Any = _Threshold()
    seen = (network.probability(pair.contrast, None), predict_compared(pair, network))
    counts = count_pair(pair, *(find_particles(p, 0.5, 1) for p in seen))
    assert counts == PairCounts(
        pairs=1, specks=1, specks_gone=1, blobs=2, blobs_gone=2, arrived=1, arrived_alone=1,
        arrived_compared=1, lost=0, found=2,
    )  # fmt: skip
    assert (counts + counts).arrived == 2


QUICK = {
    "widths": (4, 6), "crop_px": 32, "batch_size": 2, "steps_per_epoch": 2, "epochs": 1, "folds": 2,
    "pairing": {"runs": 1},
}  # fmt: skip


@pytest.fixture
def seen_twice(tmp_path: Path) -> Path:
    """Four places, each at two times."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    rows = ["image,y0_px,x0_px,time_s"]
    settings = make_synth_settings({"particles": {"per_mpx": 2000}})
    for number in range(4):
        for time, scene in enumerate(
            draw_pair((128, 128), settings, np.random.default_rng(number))
        ):
            name = f"p{number}_{time}"
            cv2.imwrite(str(folder / f"{name}.png"), scene.frame)
            cv2.imwrite(str(folder / f"{name}_mask.png"), scene.mask.astype(np.uint8) * 255)
            rows.append(f"{name}.png,{1000 * number},0,{time}")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_training_tells_what_a_reference_is_worth(seen_twice: Path, tmp_path: Path) -> None:
    bundle = corroscope.train(
        seen_twice, out=tmp_path / "runs", settings=make_settings(QUICK), cross_validate=True
    )
    told = bundle.card.metrics["compared"]
    assert told["pairs"] == 4
    assert told["arrived"] > 10
    card = (bundle.folder / "MODEL_CARD.md").read_text()
    assert f"in between | {told['arrived']} |" in card
    f1 = 2 * told["arrived_compared"] / (told["arrived"] + told["found"])
    assert f"had arrived: particle F1 {f1:.3f} at IoU ≥ 0.3" in card


@pytest.mark.parametrize("pairs", [4, 0])
def test_where_single_frames_are_judged_once_more_the_point_is_chosen_with_a_reference(
    seen_twice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairs: int
) -> None:
    look = {
        "threshold": 0.3, "min_area_px": 5, "reach_px": 100, "sure": 0.5, "pit_contrast": -0.15,
        "pit_px": 9, "weights": [1.5, 1.2, 0.4], "intercept": -4.0, "decision": 0.5,
    }  # fmt: skip
    asked: list[tuple[int, int]] = []

    def judged(*given: Any) -> dict[str, Any]:
        return judge(*given) | {"threshold": 0.6, "rescoring": look}

    def points(
        found: Iterable[tuple[Paired, int]], near: Callable[[Paired, int], bool], *_: Any
    ) -> tuple[OperatingPoint, dict[int, OperatingPoint]]:
        for pair, fold in found:
            asked.append((fold, 3 - fold))
            assert near(pair, fold)
            assert not near(pair, 3 - fold)
        return OperatingPoint(0.33, 3, 0.4), dict.fromkeys((1, 2), OperatingPoint(0.33, 3, 0.4))

    monkeypatch.setattr(course, "judge", judged)
    monkeypatch.setattr(course, "compared_points", points)
    if pairs == 0:
        (seen_twice / "index.csv").unlink()
    card = corroscope.train(
        seen_twice, out=tmp_path / "runs", settings=make_settings(QUICK), cross_validate=True
    ).card
    assert card.rescoring is not None
    assert card.rescoring.model_dump(mode="json") == look
    assert len(asked) == pairs
    assert (card.threshold, card.min_area_px, card.peak)[:: 1 if pairs else 3] == (
        (0.33, 3, 0.4) if pairs else (0.6,)
    )
    assert card.metrics.get("compared", {"pairs": 0})["pairs"] == pairs


class _Knows:
    """A network that is as sure of particles as it is told, and less of all else that is dark."""

    def __init__(self, sure: float, unsure: float) -> None:
        self._sure, self._unsure = sure, unsure

    def probability(
        self, contrast: NDArray[np.float32], reference: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        new = contrast if reference is None else contrast - np.nan_to_num(reference)
        dark = np.where(contrast < -0.1, np.float32(self._unsure), np.float32(0))
        return np.asarray(np.where(new < -0.1, np.float32(self._sure), dark))


def test_a_point_with_a_reference_is_chosen_by_pairs_of_other_surface(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each network has a threshold at which it is right: a fold is given that of the other."""
    networks: Any = {1: _Knows(0.42, 0.37), 2: _Knows(0.92, 0.87)}
    contrast = np.zeros((80, 80), np.float32)
    old, new = contrast < 0, contrast < 0
    old[10:16, 10:70:10] = old[10:16, 11:71:10] = old[10:16, 12:72:10] = True
    new[40:46, 10:70:10] = new[40:46, 11:71:10] = new[40:46, 12:72:10] = True
    contrast[old | new] = -0.4
    pair = Paired("b", "a", contrast, np.where(old, np.float32(-0.4), np.float32(0)), ~(old & new),
                  old | new, new, old & new)  # fmt: skip
    assert np.unique(predict_compared(pair, networks[1])).tolist() == pytest.approx([0, 0.37, 0.42])
    both = [(pair, 1), (pair._replace(later="c"), 2)]
    monkeypatch.setattr(compared, "HELD_OUT", 0)

    def near(one: Paired, fold: int) -> bool:
        return (one.later == "b") == (fold == 1)

    point, nested = compared_points(both, near, networks, 25.0, seed=0)
    assert (nested[2].threshold, nested[1].peak) == (0.4, 0.9)
    assert point in (nested[1], nested[2])
    free = compared_points(both, lambda *_: False, networks, 25.0, seed=0)[1]
    assert free == {1: point, 2: point}


def test_of_points_with_a_reference_that_are_as_good_the_one_with_the_true_number_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That is told by synthetic pairs: in real ones, annotators may have left some out."""

    class Sure:
        def probability(
            self, contrast: NDArray[np.float32], reference: NDArray[np.float32]
        ) -> NDArray[np.float32]:
            sure = np.select([contrast < -0.3, contrast < -0.1], [0.95, 0.42], 0.0)
            return sure.astype(np.float32)

    def particles(faint: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        contrast = np.zeros((180, 180), np.float32)
        corners = itertools.product(range(4, 175, 8), repeat=2)
        for number, (y, x) in enumerate(corners):
            contrast[y : y + 3, x : x + 3] = -0.2 if number < faint else -0.4
        return contrast, contrast < 0

    def pair(name: str, faint: int, *, marked: bool) -> Paired:
        contrast, all_of_them = particles(faint)
        annotated = all_of_them if marked else contrast < -0.3
        nowhere = np.zeros_like(annotated)
        reference = np.zeros_like(contrast)
        return Paired(name, "a", contrast, reference, ~nowhere, annotated, annotated, nowhere)

    monkeypatch.setattr(compared, "synthetic_pairs", lambda *_: [pair("synthetic", 1, marked=True)])
    networks: Any = {1: Sure()}
    real = [(pair("real", 3, marked=False), 1)]
    point, nested = compared_points(real, lambda *_: False, networks, 25.0, seed=0)
    assert nested == {1: point}
    assert point.threshold <= 0.4
    assert point.peak <= 0.42
    monkeypatch.setattr(compared, "synthetic_pairs", lambda *_: [])
    point, _ = compared_points(real, lambda *_: False, networks, 25.0, seed=0)
    assert max(point.threshold, point.peak) > 0.42


def test_synthetic_pairs_have_a_say_and_are_of_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are drawn with the next seed, and networks look at them in turn."""
    asked: list[tuple[int, int]] = []
    looked: list[int] = []

    def drawn(number: int, sigma_px: float, seed: int) -> list[Paired]:
        asked.append((number, seed))
        return synthetic_pairs(3, sigma_px, seed)

    class Telling(_Knows):
        def probability(
            self, contrast: NDArray[np.float32], reference: NDArray[np.float32] | None
        ) -> NDArray[np.float32]:
            looked.append(round(100 * self._sure))
            return super().probability(contrast, reference)

    monkeypatch.setattr(compared, "synthetic_pairs", drawn)
    networks: Any = {1: Telling(0.42, 0.37), 2: Telling(0.92, 0.87)}
    point, nested = compared_points([], lambda *_: True, networks, 25.0, seed=6)
    assert asked == [(compared.HELD_OUT, 7)]
    assert looked == [42, 92, 42]
    assert nested == {1: point, 2: point}
