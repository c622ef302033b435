"""What is ignored is neither learnt from nor scored."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from corroscope.errors import DatasetError
from corroscope.learning.crops import CONTRAST_SCALE, Crops, WholePatches
from corroscope.learning.dataset import Patch, dataset_hash, read_dataset
from corroscope.learning.judge_pairs import count_pair
from corroscope.learning.operating_points import count_at, operating_point
from corroscope.learning.pairs import Paired, crop_pair, surface_pairs
from corroscope.learning.paste import cut_sprites
from corroscope.learning.pseudo import IGNORED, pseudo_pair
from corroscope.learning.recent import Recent
from corroscope.learning.settings import Pairing, TrainSettings, make_settings
from corroscope.scoring.counts import Counts, count
from corroscope.scoring.scores import scores
from corroscope.segmentation.particles import find_particles

HIDDEN = np.s_[60:100, 50:110]
SMALL = {"crop_px": 64, "widths": [4, 8], "pairing": {"runs": 1}}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two patches with three particles each, of which HIDDEN holds one."""
    rng = np.random.default_rng(3)
    for number in range(2):
        mask = np.zeros((128, 136), np.uint8)
        for y, x in ((20, 20), (70, 60), (110, 100)):
            mask[y : y + 6, x : x + 8] = 255
        frame = 200 + 3 * rng.standard_normal(mask.shape) - 0.3 * mask
        cv2.imwrite(str(tmp_path / f"image_{number}.png"), frame.astype(np.uint8))
        cv2.imwrite(str(tmp_path / f"mask_{number}.png"), mask)
    return tmp_path


@pytest.fixture
def ignoring(dataset: Path) -> Path:
    """A dataset in whose first image a part is ignored."""
    ignore = np.zeros((128, 136), np.uint8)
    ignore[HIDDEN] = 255
    cv2.imwrite(str(dataset / "image_0_ignore.png"), ignore)
    return dataset


def mislabel(folder: Path) -> None:
    """Draw a particle that is none, and erase those that are, where it is ignored."""
    path = str(folder / "mask_0.png")
    mask = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
    assert mask is not None
    mask[HIDDEN] = 0
    mask[70:80, 70:90] = 255
    cv2.imwrite(path, mask)


def square(y: int, x: int, side: int = 4, shape: tuple[int, int] = (40, 40)) -> NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    mask[y : y + side, x : x + side] = True
    return mask


# Reading


def test_a_patch_knows_what_is_ignored(ignoring: Path) -> None:
    first, *others = read_dataset(ignoring)
    assert first.ignored is not None
    assert first.ignored.sum() == first.ignored[HIDDEN].size
    assert not first.mask[first.ignored].any()
    assert all(patch.ignored is None for patch in others)


def test_a_wrong_label_under_ignore_is_no_part_of_the_patch(ignoring: Path) -> None:
    before = read_dataset(ignoring)
    mislabel(ignoring)
    after = read_dataset(ignoring)
    assert np.array_equal(before[0].mask, after[0].mask)
    assert dataset_hash(before) == dataset_hash(after)
    assert before[0].mask.any()


def test_hash_sees_what_is_ignored_and_only_that(dataset: Path) -> None:
    plain = dataset_hash(read_dataset(dataset))
    ignore = np.zeros((128, 136), np.uint8)
    path = str(dataset / "image_0_ignore.png")
    cv2.imwrite(path, ignore)
    empty = read_dataset(dataset)
    assert empty[0].ignored is None
    assert dataset_hash(empty) == plain
    # A corner without particles: the mask stays as it is.
    corner = np.argwhere(~empty[0].mask)[0]
    ignore[tuple(corner)] = 1
    cv2.imwrite(path, ignore)
    assert np.array_equal(read_dataset(dataset)[0].mask, empty[0].mask)
    assert dataset_hash(read_dataset(dataset)) != plain


def test_everything_may_be_ignored(dataset: Path) -> None:
    cv2.imwrite(str(dataset / "image_0_ignore.png"), np.full((128, 136), 255, np.uint8))
    first = read_dataset(dataset)[0]
    assert first.ignored is not None
    assert first.ignored.all()
    assert not first.mask.any()


def test_ignore_mask_of_another_size(dataset: Path) -> None:
    cv2.imwrite(str(dataset / "image_0_ignore.png"), np.zeros((128, 130), np.uint8))
    with pytest.raises(DatasetError, match=r"image_0_ignore.png: ignore mask of 128×130 px for an"):
        read_dataset(dataset)


def test_ignore_mask_not_two_valued(dataset: Path) -> None:
    ignore = np.zeros((128, 136), np.uint8)
    ignore[0, :2] = 1, 2
    cv2.imwrite(str(dataset / "image_0_ignore.png"), ignore)
    with pytest.raises(
        DatasetError, match=r"ignore mask with values 0, 1, 2; use 0 for what count"
    ):
        read_dataset(dataset)


# Learning


def test_a_wrong_label_under_ignore_changes_no_crop(ignoring: Path) -> None:
    settings = make_settings({**SMALL, "pairing": {"alone": 0.5, "synthetic": 0, "paired": 0}})
    before = read_dataset(ignoring)[:1]
    mislabel(ignoring)
    after = read_dataset(ignoring)[:1]
    crops = [Crops(patches, settings, epoch=0) for patches in (before, after)]
    ignored = 0
    for index in range(30):
        (planes, target), (again, repeated) = (one[index] for one in crops)
        assert planes.equal(again)
        assert target.equal(repeated)
        ignored += int((target == IGNORED).sum())
    assert ignored > 1000


def test_targets_are_ignored_where_the_patch_is_and_nothing_is_pasted_there() -> None:
    ignored = square(0, 0, 64, (128, 128))
    mask = square(100, 100, 5, (128, 128))
    patch = Patch("a.png", np.where(mask, 100, 200).astype(np.uint8), mask, ignored=ignored)
    still = {"resampled": 0, "blurred": 0, "noisy": 0, "contrast": 1, "brightness": 0, "pasted": 9}
    settings = make_settings({**SMALL, "augmentation": still, "pairing": {"alone": 1}})
    crops = Crops([patch], settings, epoch=0)
    crops._contrasts = Recent(1, lambda _: ignored.astype(np.float32))
    cut, pasted = 0, 0
    for index in range(20):
        planes, target = (tensor.numpy()[0] for tensor in crops[index])
        hidden = target == IGNORED
        assert np.array_equal(hidden, planes == planes.max()) or not hidden.any()
        assert not hidden.any() or planes.max() == 1 / CONTRAST_SCALE
        cut += 0 < hidden.sum() < hidden.size
        pasted += bool((target == 1).any() and hidden.any())
    assert min(cut, pasted) > 3


def test_soft_rims_leave_what_is_ignored_and_the_area_of_particles(ignoring: Path) -> None:
    patches = read_dataset(ignoring)[:1]
    plain = {**SMALL, "pairing": {"alone": 1}}
    hard, soft = (
        Crops(patches, make_settings({**plain, "soft_rim_px": sd}), epoch=0) for sd in (0, 0.7)
    )
    softened = 0
    for index in range(20):
        (planes, target), (again, blurred) = hard[index], soft[index]
        assert planes.equal(again)
        assert bool(((blurred == IGNORED) == (target == IGNORED)).all())
        known = target != IGNORED
        assert float(blurred[known].min()) >= 0
        assert float(blurred[known].max()) <= 1
        if known.all() and not target[0, [0, -1]].any() and not target[0, :, [0, -1]].any():
            assert abs(float(blurred.sum() - target.sum())) < 0.05 * float(target.sum()) + 1e-3
        softened += int(((blurred > 0.05) & (blurred < 0.95)).sum())
    assert softened > 100


def test_no_particle_is_taken_from_beside_what_is_ignored() -> None:
    mask = square(20, 20, 5, (128, 128)) | square(60, 60, 5, (128, 128))
    contrast = np.where(mask, -0.3, 0).astype(np.float32)
    assert len(cut_sprites([contrast], [mask])) == 2
    frame = (200 * (1 + contrast)).astype(np.uint8)
    for beside, left in ((square(28, 20, 9, (128, 128)), 1), (square(36, 20, 9, (128, 128)), 2)):
        crops = Crops([Patch("a.png", frame, mask, ignored=beside)], make_settings(SMALL), epoch=0)
        assert len(crops._sprites) == left


@given(st.integers(0, 2**32 - 1))
@example(2568)
def test_pseudo_pairs_leave_alone_what_is_ignored(seed: int) -> None:
    rng = np.random.default_rng(seed)
    crop = rng.normal(0, 0.01, (64, 64)).astype(np.float32)
    target = np.zeros((64, 64), np.float32)
    target[:30] = IGNORED
    target[45:50, 30:35] = 1
    crop[target != 0] -= 0.3
    still = {
        "shift_px": 0, "misaligned_px": 0, "contrast": 0, "brightness": 0, "least_noise": 0,
        "most_noise": 0,
    }  # fmt: skip
    (sprite,) = cut_sprites([crop], [target > 0])
    pairing = Pairing(healed=1, **still)
    pair = pseudo_pair(crop, target, lambda: sprite, pairing, 3, rng)
    assert np.array_equal(pair.target == IGNORED, target == IGNORED)
    assert np.array_equal(pair.contrast[:30], crop[:30])
    # What is healed beside it reaches 3 px beyond its outline, and fades out over as many.
    assert np.nan_to_num(pair.reference[3:23], nan=-1).max() < -0.2
    # Healed with clean metal, although half of the crop is dark.
    if pair.target[47, 32] == 1 and np.isfinite(pair.reference[47, 32]):
        assert pair.reference[47, 32] > -0.15


def two_times(ignored_before: bool, ignored_after: bool) -> list[Patch]:
    rng = np.random.default_rng(5)
    metal = np.clip(200 + 8 * rng.standard_normal((120, 120)), 0, 255)
    mask = square(40, 40, 6, (120, 120)) | square(80, 80, 6, (120, 120))
    later = np.where(mask, 100, metal).astype(np.uint8)
    hidden = square(36, 36, 20, (120, 120))
    return [
        Patch("a", metal.astype(np.uint8), mask & False, (0, 0), None, 0.0,
              hidden if ignored_before else None),
        Patch("b", later, mask & ~hidden if ignored_after else mask, (0, 0), None, 1.0,
              hidden if ignored_after else None),
    ]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), [(True, False), (False, True), (True, True)])
def test_pairs_ignore_what_either_patch_does(before: bool, after: bool) -> None:
    (plain,) = surface_pairs(two_times(False, False), 25.0)
    (pair,) = surface_pairs(two_times(before, after), 25.0)
    hidden = square(36, 36, 20, (120, 120))
    assert plain.arrived[42, 42]
    assert not pair.arrived[hidden].any()
    assert np.array_equal(pair.doubtful, hidden)
    assert np.array_equal(pair.arrived[60:], plain.arrived[60:])
    settings = make_settings({**SMALL, "crop_px": 128})
    crop = crop_pair(pair, settings, np.random.default_rng(1))
    assert (crop.target == IGNORED).any()


def test_a_particle_that_is_partly_ignored_earlier_is_doubtful_as_a_whole() -> None:
    patches = two_times(True, False)
    hidden = square(43, 36, 20, (120, 120))
    (pair,) = surface_pairs([replace(patches[0], ignored=hidden), patches[1]], 25.0)
    assert not pair.arrived[40:46, 40:46].any()
    assert pair.doubtful[40:46, 40:46].all()


def test_specks_in_what_is_ignored_are_not_counted() -> None:
    old = square(20, 20, 4, (80, 80)) | square(50, 50, 4, (80, 80))
    contrast = np.where(old, -0.4, 0).astype(np.float32)
    nothing = old & False
    plain = Paired("b", "a", contrast, contrast, ~nothing, nothing, nothing, nothing)
    ignoring = plain._replace(doubtful=square(15, 15, 15, (80, 80)))
    labels = find_particles(np.asarray(contrast < -0.2, np.float32), 0.5, 1)
    found = [count_pair(pair, labels, labels) for pair in (plain, ignoring)]
    assert [(counts.specks, counts.blobs) for counts in found] == [(2, 2), (1, 1)]


# Scoring


def test_ignored_pixels_are_in_no_count() -> None:
    ignored = square(0, 0, 20)
    annotation = square(5, 5) | square(30, 30)
    prediction = square(10, 10) | square(30, 30) | square(25, 5)
    assert count(prediction, annotation, ignored) == Counts(
        true_positive=16, false_positive=16, false_negative=0, true_negative=40**2 - 20**2 - 32,
        predicted=2, annotated=1, matched_iou_30=1, matched_iou_50=1, matched_3px=1,
        iou_sum_30=1.0, iou_sum_50=1.0, matched_predicted_px=16, matched_annotated_px=16,
        near_annotated=16, near_predicted=16, images=1,
    )  # fmt: skip


@pytest.mark.parametrize(("hidden_columns", "predicted"), [(1, 1), (2, 0), (3, 0), (4, 0)])
def test_a_prediction_half_of_which_is_ignored_is_neither_found_nor_false(
    hidden_columns: int, predicted: int
) -> None:
    ignored = np.zeros((40, 40), bool)
    ignored[:, : 10 + hidden_columns] = True
    prediction = square(10, 10)
    none = count(prediction, square(0, 0) & False, ignored)
    assert (none.predicted, none.matched_3px) == (predicted, 0)
    assert none.false_positive == 4 * (4 - hidden_columns)
    same = count(prediction, square(10, 10), ignored)
    assert (same.matched_iou_50, same.matched_3px) == (predicted, predicted)


@given(st.integers(0, 2**32 - 1))
def test_whatever_is_annotated_in_what_is_ignored_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prediction, annotation, other, ignored = (
        cv2.GaussianBlur(rng.normal(size=(30, 34)), (0, 0), 1.5) > 0.15 for _ in range(4)
    )
    expected = count(prediction, annotation, ignored)
    assert count(prediction, np.where(ignored, other, annotation), ignored) == expected
    pixels = [expected.true_positive, expected.false_positive, expected.false_negative]
    assert sum(pixels) + expected.true_negative == (~ignored).sum()
    nothing = np.zeros_like(ignored)
    assert count(prediction, annotation, nothing) == count(prediction, annotation)


def test_labels_stay_together_with_centroids_when_some_are_dropped() -> None:
    ignored = square(0, 0, 8)
    prediction = square(2, 2) | square(2, 20) | square(20, 2, 6) | square(30, 30)
    annotation = square(3, 21) | square(21, 3, 6) | square(30, 31)
    found = count(prediction, annotation, ignored)
    assert (found.predicted, found.matched_3px) == (3, 3)
    assert (found.matched_iou_30, found.matched_iou_50) == (3, 2)


def test_masks_of_unlike_shape() -> None:
    with pytest.raises(ValueError, match="differ"):
        count(square(0, 0), square(0, 0), square(0, 0, shape=(40, 41)))


def test_judging_ignores(ignoring: Path) -> None:
    first = read_dataset(ignoring)[0]
    perfect = first.mask.astype(np.float32)
    assert first.ignored is not None
    false = perfect.copy()
    false[HIDDEN] = 1
    cut = cv2.dilate(first.ignored.astype(np.uint8), np.ones((3, 3))) > 0
    false[cut & ~first.ignored] = perfect[cut & ~first.ignored]
    for probability in (perfect, false):
        found = scores(count_at(first, probability, 0.5, 1))
        assert found["dice"] == 1
    blind = replace(first, ignored=None)
    assert scores(count_at(blind, false, 0.5, 1))["dice"] < 0.7
    assert operating_point([first], [false])[1] == 1


def test_validation_knows_what_is_ignored(ignoring: Path) -> None:
    first = read_dataset(ignoring)[0]
    _, target = WholePatches([first], TrainSettings())[0]
    assert first.ignored is not None
    assert np.array_equal(target.numpy()[0] < 0, first.ignored)
    assert np.array_equal(target.numpy()[0] > 0, first.mask)
