"""Datasets, surfaces, crops, losses, networks."""

import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from corroscope.errors import DatasetError, FrameError, MissingExtraError, SettingsError
from corroscope.frames.contrast import relative_contrast
from corroscope.learning.augment import change_light, random_pose
from corroscope.learning.dataset import Patch, dataset_hash, frame_hash, read_dataset
from corroscope.learning.losses import (
    LossWeights,
    deep_supervision_loss,
    particle_weights,
    segmentation_loss,
)
from corroscope.learning.networks import build_network, geometry
from corroscope.learning.paste import RIM_PX, Sprite, cut_sprites, paste_particle
from corroscope.learning.settings import Augmentation, TrainSettings, make_settings
from corroscope.learning.surfaces import shared_surface, surface_folds
from corroscope.settings import read_settings

# Datasets


def test_dataset(dataset: Path) -> None:
    patches = read_dataset(dataset)
    assert [patch.name for patch in patches] == [f"image_{n}.png" for n in range(6)]
    assert patches[0].frame.shape == patches[0].mask.shape == (128, 136)
    assert [patch.surface_group for patch in patches] == list("012345")
    assert patches[0].corner_px is None


def test_real_dataset(real_patches: list[Patch]) -> None:
    assert len(real_patches) == 74
    assert real_patches[0].frame.shape == (200, 200)
    assert all(patch.corner_px is not None for patch in real_patches)
    assert 0.004 < np.mean([patch.mask.mean() for patch in real_patches]) < 0.008


def test_both_ways_to_name_a_mask(tmp_path: Path) -> None:
    for name in ("x.png", "x_mask.png", "image_1.png", "mask_1.png", "notes.txt", ".hidden.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((20, 20), np.uint8)) if "png" in name else (
            tmp_path / name
        ).write_text("not an image")
    assert [patch.name for patch in read_dataset(tmp_path)] == ["image_1.png", "x.png"]


def test_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no folder that can be read"):
        read_dataset(tmp_path / "missing")
    with pytest.raises(DatasetError, match="no images; put image and mask files"):
        read_dataset(tmp_path)


def test_image_without_mask(dataset: Path) -> None:
    (dataset / "mask_3.png").unlink()
    with pytest.raises(DatasetError, match=r"image_3.png: has no mask; add image_3_mask.png"):
        read_dataset(dataset)


def test_mask_without_image(dataset: Path) -> None:
    (dataset / "image_3.png").unlink()
    with pytest.raises(DatasetError, match=r"mask_3.png: is a mask without an image"):
        read_dataset(dataset)


def test_two_masks_for_one_image(dataset: Path) -> None:
    shutil.copy(dataset / "mask_3.png", dataset / "image_3_mask.png")
    with pytest.raises(DatasetError, match="image_3_mask.png and mask_3.png claim one name"):
        read_dataset(dataset)


def test_mask_of_another_size(dataset: Path) -> None:
    cv2.imwrite(str(dataset / "mask_3.png"), np.zeros((20, 30), np.uint8))
    with pytest.raises(DatasetError, match=r"mask_3.png: mask of 20×30 px for .* 128×136 px"):
        read_dataset(dataset)


@pytest.mark.parametrize("values", [(0, 1, 2), (3, 4), (0, 100, 200, 250, 255)])
def test_mask_not_two_valued(dataset: Path, values: tuple[int, ...]) -> None:
    mask = np.resize(np.array(values, np.uint8), (128, 136))
    cv2.imwrite(str(dataset / "mask_3.png"), mask)
    with pytest.raises(DatasetError, match=r"mask_3.png: mask with values .*; use 0 for no part"):
        read_dataset(dataset)


def test_broken_image_in_a_dataset(dataset: Path) -> None:
    (dataset / "image_3.png").write_text("x")
    with pytest.raises(FrameError, match="image_3.png: not a PNG"):
        read_dataset(dataset)


def test_inverted_mask(dataset: Path) -> None:
    mask = cv2.imread(str(dataset / "mask_3.png"), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(dataset / "mask_3.png"), 255 - np.asarray(mask))
    with pytest.raises(DatasetError, match=r"mask_3.png: 9\d% of the pixels are particle; if"):
        read_dataset(dataset)


def test_patch_too_small(dataset: Path) -> None:
    for kind in ("image", "mask"):
        cv2.imwrite(str(dataset / f"{kind}_3.png"), np.zeros((8, 40), np.uint8))
    with pytest.raises(DatasetError, match=r"image_3.png: frame of 8×40 px is too small; give"):
        read_dataset(dataset)


def test_index_names_an_image_that_is_not_there(dataset: Path) -> None:
    (dataset / "index.csv").write_text("image,surface_group\nimag_1.png,0\n")
    with pytest.raises(DatasetError, match=r"index.csv: names imag_1.png, which is not there"):
        read_dataset(dataset)


def test_index_is_a_folder(dataset: Path) -> None:
    (dataset / "index.csv").unlink()
    (dataset / "index.csv").mkdir()
    with pytest.raises(DatasetError, match=r"index.csv: cannot be understood"):
        read_dataset(dataset)


@pytest.mark.parametrize(
    "content",
    [
        b"image,y0_px\n,1\n",
        b"image,y0_px,x0_px\nimage_1.png,left,2\n",
        b"name,y0_px\nimage_1.png,1\n",
        b"\xff\xfe\xff",
    ],
)
def test_index_not_understood(dataset: Path, content: bytes) -> None:
    (dataset / "index.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=r"index.csv: cannot be understood"):
        read_dataset(dataset)


def test_hash_sees_every_pixel(dataset: Path) -> None:
    patches = read_dataset(dataset)
    assert dataset_hash(patches) == dataset_hash(read_dataset(dataset))
    changed = patches[0].mask.copy()
    changed[0, 0] ^= True
    other = Patch(patches[0].name, patches[0].frame, changed)
    assert frame_hash(other) == frame_hash(patches[0])  # annotated anew, but the same surface
    assert dataset_hash([other, *patches[1:]]) != dataset_hash(patches)


# Surfaces


def test_positions_group_the_real_patches_as_the_index_does(real_patches: list[Patch]) -> None:
    _, found = connected_components(shared_surface(real_patches), directed=False)
    groups = {(int(f), p.surface_group) for f, p in zip(found, real_patches, strict=True)}
    assert len(groups) == len({p.surface_group for p in real_patches}) == len(set(found.tolist()))


def test_pixels_alone_find_the_same_pairs(real_patches: list[Patch]) -> None:
    bare = [Patch(p.name, p.frame, p.mask) for p in real_patches]
    assert np.array_equal(shared_surface(bare), shared_surface(real_patches))


def test_groups_are_used_without_positions(dataset: Path) -> None:
    assert np.array_equal(shared_surface(read_dataset(dataset)), np.eye(6, dtype=bool))


@given(st.integers(0, 2**32 - 1), st.integers(4, 30), st.floats(0, 0.12))
def test_folds_never_share_surface(seed: int, count: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    shared = rng.random((count, count)) < density
    shared |= shared.T | np.eye(count, dtype=bool)
    try:
        splits = surface_folds(shared, 4)
    except DatasetError:
        return
    assert sorted(i for _, validation in splits for i in validation) == list(range(count))
    for training, validation in splits:
        assert training
        assert not shared[np.ix_(training, validation)].any()


def test_folds_need_separate_surfaces() -> None:
    with pytest.raises(DatasetError, match="all 4 patches share surface .* annotate patches from"):
        surface_folds(np.ones((4, 4), bool), 2)
    with pytest.raises(DatasetError, match="5 folds of 4 patches are not possible"):
        surface_folds(np.eye(4, dtype=bool), 5)


# Crops


def _crops(
    settings: Augmentation, **options: int
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    rng = np.random.default_rng(0)
    contrast = rng.normal(0, 0.05, (70, 90)).astype(np.float32)
    mask = np.zeros((70, 90), bool)
    mask[30:36, 40:47] = True
    contrast[mask] -= 0.4
    crops = []
    for _ in range(60):
        pose = random_pose(mask, options.get("crop", 48), settings, rng)
        target = pose.cut_mask(mask).astype(np.float32)
        crops.append((change_light(pose.cut(contrast), settings, rng), target))
    return crops


def test_target_follows_the_particle() -> None:
    crops = _crops(Augmentation(resampled=1.0, blurred=0, noisy=0, contrast=1))
    seen = [(crop[target > 0].mean(), crop[target == 0].mean()) for crop, target in crops
            if target.any()]  # fmt: skip
    assert len(seen) > 30
    assert all(inside < -0.25 and abs(outside) < 0.05 for inside, outside in seen)


def test_quarter_turns_keep_every_grey_level() -> None:
    plain = Augmentation(resampled=0, blurred=0, noisy=0, contrast=1, brightness=0)
    rng = np.random.default_rng(0)
    contrast = np.arange(70 * 90, dtype=np.float32).reshape(70, 90)
    for _ in range(30):
        pose = random_pose(np.zeros((70, 90), bool), 48, plain, rng)
        crop = change_light(pose.cut(contrast), plain, rng)
        assert np.unique(crop).size == 48 * 48
        assert np.array_equal(crop, np.rint(crop))


def test_crop_larger_than_the_patch() -> None:
    for crop, target in _crops(Augmentation(), crop=128):
        assert crop.shape == target.shape == (128, 128)
        assert np.isfinite(crop).all()


def test_sprites_stand_alone_and_inside() -> None:
    mask = np.zeros((80, 80), bool)
    mask[2:5, 40:44] = mask[40:44, 40:43] = mask[60:63, 20:23] = mask[60:63, 26:29] = True
    sprites = cut_sprites([np.zeros((80, 80), np.float32)], [mask])
    assert [sprite.mask.sum() for sprite in sprites] == [12]
    assert sprites[0].contrast.shape == (4 + 2 * RIM_PX, 3 + 2 * RIM_PX)


def test_pasting_leaves_what_is_there() -> None:
    mask = np.pad(np.ones((6, 6), np.float32), RIM_PX)
    sprite = Sprite(-0.3 * mask, mask)
    occupied = np.ones((50, 50), np.float32)
    crop = np.zeros((50, 50), np.float32)
    paste_particle(crop, occupied, sprite, np.random.default_rng(0))
    assert not crop.any()
    small = np.zeros((12, 12), np.float32)
    paste_particle(small, small.copy(), sprite, np.random.default_rng(0))
    assert not small.any()


def test_pasted_particle_keeps_its_contrast_and_size() -> None:
    mask = np.pad(np.ones((6, 6), np.float32), RIM_PX)
    rng = np.random.default_rng(0)
    for _ in range(20):
        crop, target = np.zeros((64, 64), np.float32), np.zeros((64, 64), np.float32)
        paste_particle(crop, target, Sprite(-0.3 * mask, mask), rng)
        assert 36 * 0.5 < target.sum() < 36 * 1.9
        assert crop[target > 0].mean() < -0.24
        far = cv2.dilate(target, np.ones((13, 13))) == 0
        assert np.abs(crop[far]).max() < 0.02


# Losses


def test_empty_batch_still_teaches() -> None:
    """Dice alone has next to no gradient there: inventing particles would be free."""
    target = torch.zeros(2, 1, 16, 16)
    gradients = []
    for dice_weight in (0.5, 0.0):
        logits = torch.zeros_like(target, requires_grad=True)
        segmentation_loss(logits, target, LossWeights(dice_weight)).backward()
        assert logits.grad is not None
        gradients.append(float(logits.grad.sum()))
    assert min(gradients) > 1


def test_loss_is_least_at_the_truth() -> None:
    target = torch.zeros(1, 1, 16, 16)
    target[..., 4:8, 4:8] = 1
    right = segmentation_loss(20 * target - 10, target, LossWeights())
    assert float(right) < 0.01
    for wrong in (-10 + 0 * target, 10 + 0 * target, 10 - 20 * target):
        assert float(segmentation_loss(wrong, target, LossWeights())) > 0.5


def test_overlap_is_tverskys() -> None:
    """Written out for certain pixels: 1 - TP / (TP + a FN + (1 - a) FP), but for the smoothing."""
    target = torch.zeros(1, 1, 32, 32)
    target[..., :16, :] = 1
    found = torch.zeros_like(target)
    found[..., 8:20, :] = 1
    hit, missed, invented = 8 * 32, 8 * 32, 4 * 32
    for cost in (0.2, 0.5, 0.9):
        expected = 1 - hit / (hit + cost * missed + (1 - cost) * invented)
        loss = segmentation_loss(60 * found - 30, target, LossWeights(1.0, cost))
        assert abs(float(loss) - expected) < 2e-3


def test_focal_loss_looks_at_what_is_wrong() -> None:
    """Of the cross-entropy, the share of easy pixels falls as gamma rises."""
    target = torch.zeros(1, 1, 2, 2)
    target[..., 0, 0] = 1
    logits = torch.tensor([[[[-1.0, -1.0], [-4.0, -4.0]]]], requires_grad=True)
    shares = []
    for gamma in (0.0, 1.0, 2.0):
        weights = LossWeights(dice=0.0, focal_gamma=gamma)
        (gradient,) = torch.autograd.grad(segmentation_loss(logits, target, weights), logits)
        shares.append(float(gradient[..., 1, :].abs().sum() / gradient.abs().sum()))
    assert shares[0] > shares[1] > shares[2] > 0


def test_focal_loss_can_be_learnt_from_where_nothing_is_wrong() -> None:
    target = torch.zeros(1, 1, 4, 4)
    target[..., 0, 0] = 1
    for sure in (5.0, 50.0, 500.0):
        logits = (sure * (2 * target - 1)).requires_grad_()
        segmentation_loss(logits, target, LossWeights(0.5, focal_gamma=0.4)).backward()
        assert logits.grad is not None
        assert bool(torch.isfinite(logits.grad).all())


def test_balance_weighs_particles_more_alike() -> None:
    target = torch.zeros(2, 1, 16, 16)
    target[0, 0, 1:3, 1:3] = 1  # 4 px
    target[0, 0, 6:12, 6:12] = 1  # 36 px
    target[1, 0, 2:5, 2:5] = 1  # 9 px
    target[1, 0, 10:, 10:] = -1  # unknown
    inside = target == 1
    for balance in (0.0, 0.5, 1.0):
        weights = particle_weights(target, balance)
        assert torch.allclose(weights[inside].sum(), torch.tensor(49.0))
        assert bool((weights[~inside] == 1).all())
        sums = [weights[0, 0, :3, :3], weights[0, 0, 6:12, 6:12], weights[1, 0, 2:5, 2:5]]
        small, large, middle = (float(part[part != 1].sum()) for part in sums)
        if balance == 1:
            assert np.allclose([small, large, middle], 49 / 3)
        elif balance == 0.5:
            assert np.allclose([large / small, middle / small], [3, 1.5])


def test_balance_makes_a_missed_small_particle_cost_more() -> None:
    target = torch.zeros(1, 1, 32, 32)
    target[..., 2:5, 2:5] = target[..., 10:22, 10:22] = 1
    missed = 20 * target - 10
    missed[..., 2:5, 2:5] = -10
    for dice in (0.0, 1.0):
        plain, balanced = (
            float(segmentation_loss(missed, target, LossWeights(dice, balance=balance)))
            for balance in (0.0, 0.5)
        )
        assert balanced > 1.5 * plain
        right = segmentation_loss(20 * target - 10, target, LossWeights(dice, balance=0.5))
        assert float(right) < 0.02


def test_supervision_is_deep() -> None:
    target = torch.zeros(1, 1, 8, 8)
    heads = [torch.zeros(1, 1, 8, 8, requires_grad=True) for _ in range(3)]
    deep_supervision_loss(heads, target, LossWeights()).backward()
    sums = [float(head.grad.sum()) for head in heads if head.grad is not None]
    assert sums[0] > 0
    assert np.isclose(sums[2], 2 * sums[0])


# Networks


@pytest.mark.parametrize("architecture", ["unetpp", "unet"])
@pytest.mark.parametrize("widths", [(4, 8), (4, 6, 8), (16, 24, 32, 48)])
@pytest.mark.parametrize("dilations", [(), (2, 4)])
def test_network(architecture: str, widths: tuple[int, ...], dilations: tuple[int, ...]) -> None:
    settings = TrainSettings(architecture=architecture, widths=widths, dilations=dilations)
    network = build_network(settings)
    stride = geometry(settings).stride_px
    heads = network(torch.randn(2, settings.channels, 3 * stride, 5 * stride))
    assert all(head.shape == (2, 1, 3 * stride, 5 * stride) for head in heads)
    assert len(heads) == (len(widths) - 1 if architecture == "unetpp" else 1)
    sum(head.sum() for head in heads).backward()
    assert all(weights.grad is not None for weights in network.parameters())


def test_shipped_architecture_is_small() -> None:
    network = build_network(TrainSettings())
    assert sum(weights.numel() for weights in network.parameters()) <= 2_000_000


@pytest.mark.parametrize("architecture", ["unetpp", "unet"])
@pytest.mark.parametrize("dilations", [(), (1, 3)])
def test_receptive_field_bounds_what_a_pixel_sees(
    architecture: str, dilations: tuple[int, ...]
) -> None:
    settings = TrainSettings(architecture=architecture, widths=(3, 4, 5), dilations=dilations)
    torch.manual_seed(0)
    network = build_network(settings).double().eval()
    sees = geometry(settings).receptive_field_px
    assert sees is not None
    frame = torch.randn(1, settings.channels, 96, 96, dtype=torch.float64)
    with torch.no_grad():
        before = network(frame)[-1][0, 0]
        frame[..., 47, 50] += 1e4
        moved = torch.nonzero((network(frame)[-1][0, 0] - before).abs() > 1e-12)
    reach = int((moved - torch.tensor([47, 50])).abs().max())
    assert sees - 8 <= reach <= sees


def test_dilations_see_as_much_farther_as_they_reach() -> None:
    near, far = (
        geometry(TrainSettings(widths=(2, 2, 2), dilations=dilations)).receptive_field_px
        for dilations in ((), (2, 30))
    )
    assert near is not None
    assert far == near + 4 * (2 + 30)


def test_foreign_architecture_without_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    class Foreign:
        @staticmethod
        def create_model(*_: object, **__: object) -> torch.nn.Module:
            return torch.nn.Conv2d(1, 2, 1)

    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", Foreign)
    with pytest.raises(SettingsError, match="smp:Odd: does not end with a convolution whose bias"):
        build_network(TrainSettings(architecture="smp:Odd"))


def test_foreign_architecture_that_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    class Foreign:
        @staticmethod
        def create_model(*_: object, **__: object) -> torch.nn.Module:
            raise KeyError("Odd")

    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", Foreign)
    with pytest.raises(SettingsError, match="smp:Odd with encoder .*; choose another"):
        build_network(TrainSettings(architecture="smp:Odd"))


def test_smp_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    settings = TrainSettings(architecture="smp:UnetPlusPlus")
    with pytest.raises(MissingExtraError, match=r"pip install 'corroscope\[smp\]'"):
        build_network(settings)


# Settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, r"epochs: 0 \(allowed: at least 1\)"),
        ({"epoch": 3}, r"epoch: 3 \(there is no such setting\)"),
        ({"architecture": "vgg"}, "architecture: 'vgg'"),
        ({"crop_px": 100}, "crop_px: 100 .*multiple of 32"),
        ({"widths": (8, 0)}, r"widths: \(8, 0\) must all be positive"),
        ({"dilations": (2, 0)}, r"dilations.1: 0 \(Input should be greater than or equal to 1"),
        ({"dilations": (65,)}, r"dilations.0: 65 \(Input should be less than or equal to 64"),
        ({"augmentation": {"noise": 1}}, r"augmentation.noise: 1"),
    ],
)
def test_settings_out_of_range(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        make_settings(changes)


def test_settings_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("epochs = 3\n[augmentation]\nscale = 1.1\n")
    settings = make_settings(read_settings(tmp_path / "a.toml"))
    assert (settings.epochs, settings.augmentation.scale) == (3, 1.1)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_settings(tmp_path / "b.toml")
    (tmp_path / "c.toml").write_text("epochs: 3")
    with pytest.raises(SettingsError, match="is no TOML"):
        read_settings(tmp_path / "c.toml")


def test_contrast_of_the_real_patches_is_alike(real_patches: list[Patch]) -> None:
    """Their mean grey level is not: 120 to 230."""
    background = [np.median(relative_contrast(patch.frame)) for patch in real_patches]
    assert np.abs(background).max() < 0.02
