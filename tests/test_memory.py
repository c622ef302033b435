"""Ten times as many patches do not need ten times the memory, and give the same crops."""

import pickle
import shutil
import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from corroscope.errors import DatasetError, FrameError
from corroscope.frames.reading import read_frame
from corroscope.learning import crops, pairs
from corroscope.learning.crops import Crops, WholePatches
from corroscope.learning.dataset import FiledPatch, Patch, dataset_hash, frame_hash, read_dataset
from corroscope.learning.paste import Sprite, cut_sprites
from corroscope.learning.recent import Recent
from corroscope.learning.settings import TrainSettings, make_settings

CONTRAST_BYTES = 128 * 136 * 4
"""Of one patch of the test dataset."""


@pytest.fixture
def single() -> TrainSettings:
    return make_settings(
        {"crop_px": 64, "batch_size": 8, "steps_per_epoch": 5, "pairing": {"alone": 1}}
    )


# What is kept


@given(
    asked=st.lists(st.integers(-5, 4), max_size=60),
    kept=st.integers(0, 12),
    sizes=st.lists(st.integers(0, 6), min_size=5, max_size=5),
)
def test_items_are_those_of_a_list(asked: list[int], kept: int, sizes: list[int]) -> None:
    def make(number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        return np.full(sizes[number], number, np.uint8)

    items, plain = Recent(5, make, kept_bytes=kept), [make(number) for number in range(5)]
    for index in asked:
        assert np.array_equal(items[index], plain[index])
        held = sum(item.nbytes for item in items._kept.values())
        assert items._bytes == held <= kept
    assert [item.tolist() for item in items] == [item.tolist() for item in plain]
    assert [item.tolist() for item in items[3:0:-2]] == [item.tolist() for item in plain[3:0:-2]]


def test_the_latest_are_not_made_again() -> None:
    made: list[int] = []

    def make(number: int) -> tuple[np.ndarray[Any, Any], str]:
        made.append(number)
        return np.zeros(8, np.uint8), "a name weighs nothing"

    items = Recent(4, make, kept_bytes=16)
    for number in (0, 1, 0, 1, 2, 1, 0):
        items[number]
    assert made == [0, 1, 2, 0]
    with pytest.raises(IndexError):
        items[4]


def test_what_is_kept_is_not_sent_to_another_process() -> None:
    items = Recent(2, partial(np.full, 1000))
    before = len(pickle.dumps(items))
    assert items[1].tolist() == [1] * 1000
    assert len(pickle.dumps(items)) == before
    assert np.array_equal(pickle.loads(pickle.dumps(items))[1], items[1])


# Patches


def test_patches_are_as_they_were_read(dataset: Path) -> None:
    hidden = np.zeros((128, 136), np.uint8)
    hidden[:40, :50] = 255
    cv2.imwrite(str(dataset / "image_2_ignore.png"), hidden)
    patches = read_dataset(dataset)
    for number, patch in enumerate(patches):
        mask = read_frame(dataset / f"mask_{number}.png") > 0
        assert np.array_equal(patch.frame, read_frame(dataset / f"image_{number}.png"))
        assert patch.shape == patch.frame.shape
        assert np.array_equal(patch.mask, mask & ~(hidden > 0) if number == 2 else mask)
        if patch.ignored is not None:
            assert np.array_equal(patch.ignored, hidden > 0)
        plain = Patch(patch.name, patch.frame, patch.mask, ignored=patch.ignored)
        assert plain.shape == patch.shape
        assert frame_hash(patch) == frame_hash(plain)
        assert dataset_hash([patch]) == dataset_hash([plain])
    assert [patch.ignored is not None for patch in patches] == [False, False, True] + [False] * 3
    sent = pickle.loads(pickle.dumps(patches))
    assert dataset_hash(sent) == dataset_hash(patches)
    assert [patch.surface_group for patch in sent] == list("012345")


def test_masks_are_those_of_the_beginning_whoever_goes_on_annotating(dataset: Path) -> None:
    patches = read_dataset(dataset)
    masks = [patch.mask for patch in patches]
    assert any(mask.any() for mask in masks)
    for path in dataset.glob("mask_*.png"):
        cv2.imwrite(str(path), np.zeros((128, 136), np.uint8))
    assert all(np.array_equal(p.mask, mask) for p, mask in zip(patches, masks, strict=True))
    assert not any(patch.mask.any() for patch in read_dataset(dataset))


def test_a_frame_that_has_changed_is_an_error(dataset: Path) -> None:
    first, second, *_ = patches = read_dataset(dataset)
    hashed = dataset_hash(patches)
    frame = first.frame.copy()
    frame[0, 0] += 1
    cv2.imwrite(str(dataset / "image_0.png"), frame)
    with pytest.raises(DatasetError, match=r"image_0.png: is another frame than when the dataset"):
        _ = first.frame
    (dataset / "image_1.png").unlink()
    with pytest.raises(FrameError, match=r"image_1.png: no such file"):
        _ = second.frame
    assert dataset_hash(patches) == hashed  # of what was read


# Sprites


def _sprite(number: int) -> tuple[Any, Any]:
    """A patch with one particle, which can be told by its contrast."""
    mask = np.zeros((20, 20), bool)
    mask[8:11, 8:11] = True
    return np.full((20, 20), number, np.float32), mask


def _numbers(sprites: list[Sprite]) -> list[int]:
    return [int(sprite.contrast[0, 0]) for sprite in sprites]


def test_every_particle_has_the_same_chance_to_be_kept() -> None:
    contrasts, masks = zip(*(_sprite(number) for number in range(8)), strict=True)
    rng = np.random.default_rng(0)
    counts = np.zeros(8)
    draws = 2000
    for _ in range(draws):
        kept = _numbers(cut_sprites(contrasts, masks, rng, most=3))
        assert len(kept) == len(set(kept)) == 3
        counts[kept] += 1
    spread = (draws * 3 / 8 * 5 / 8) ** 0.5
    assert np.abs(counts - draws * 3 / 8).max() < 4 * spread


def test_few_particles_are_all_kept_in_order() -> None:
    contrasts, masks = zip(*(_sprite(number) for number in range(8)), strict=True)
    rng = np.random.default_rng(0)
    assert _numbers(cut_sprites(contrasts, masks, rng, most=8)) == list(range(8))
    assert _numbers(cut_sprites(contrasts, masks, most=2)) == list(range(8))


# Crops


def _all(shown: Crops | WholePatches) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [shown[number] for number in range(len(shown))]


def _keeping(monkeypatch: pytest.MonkeyPatch, kept_bytes: int) -> None:
    for module in (crops, pairs):
        monkeypatch.setattr(module, "Recent", partial(Recent, kept_bytes=kept_bytes))


def test_crops_do_not_depend_on_what_is_kept(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ["image,y0_px,x0_px,time_s"]
    surface = (dataset / "image_0.png").read_bytes()
    for number in range(6):  # seen again and again
        (dataset / f"image_{number}.png").write_bytes(surface)
        rows.append(f"image_{number}.png,0,0,{number}")
    (dataset / "index.csv").write_text("\n".join(rows))
    settings = make_settings(
        {"crop_px": 64, "batch_size": 5, "steps_per_epoch": 8,
         "pairing": {"alone": 0.4, "synthetic": 0.1, "paired": 0.4, "runs": 1}}
    )  # fmt: skip
    patches = read_dataset(dataset)
    plain = [Patch(p.name, p.frame, p.mask, p.corner_px, time=p.time) for p in patches]
    kept = _all(Crops(plain, settings, epoch=1))
    whole = _all(WholePatches(plain, settings))
    _keeping(monkeypatch, 2 * CONTRAST_BYTES)
    made = Crops(patches, settings, epoch=1)
    assert len(made._twice) == 15
    for (crop, target), (other, other_target) in zip(_all(made), kept, strict=True):
        assert torch.equal(crop, other)
        assert torch.equal(target, other_target)
    for number, (frame, mask) in enumerate(_all(WholePatches(patches, settings))):
        assert torch.equal(frame, whole[number][0])
        assert torch.equal(mask, whole[number][1])


def _many(dataset: Path, folder: Path, times: int) -> Path:
    folder.mkdir()
    for number in range(6 * times):
        for kind in ("image", "mask"):
            shutil.copy(dataset / f"{kind}_{number % 6}.png", folder / f"{kind}_{number:03}.png")
    return folder


def _drawn_bytes(folder: Path, settings: TrainSettings) -> tuple[int, int]:
    """Memory that patches hold, and most of it while crops are drawn of them."""
    tracemalloc.start()
    try:
        patches = read_dataset(folder)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        drawn, whole = Crops(patches, settings, epoch=0), WholePatches(patches, settings)
        for shown in (drawn, whole):
            for number in range(len(shown)):
                shown[number]
        return held, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_ten_times_the_patches_do_not_take_ten_times_the_memory(
    dataset: Path, tmp_path: Path, single: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    _keeping(monkeypatch, 4 * CONTRAST_BYTES)
    monkeypatch.setattr(crops, "cut_sprites", partial(cut_sprites, most=40))
    _drawn_bytes(dataset, single)  # whatever is set up once
    few, few_drawn = _drawn_bytes(dataset, single)
    many, many_drawn = _drawn_bytes(_many(dataset, tmp_path / "many", 10), single)
    frame_bytes = 128 * 136
    assert (many - few) / 54 < frame_bytes / 8
    assert many_drawn < 1.5 * few_drawn


def test_a_patch_in_memory_is_what_it_was_given() -> None:
    frame, mask = np.zeros((4, 5), np.uint8), np.eye(4, 5, dtype=bool)
    patch = FiledPatch("a.png", frame, mask, (1, 2), "s", 0.5, ~mask)
    assert np.array_equal(patch.frame, frame)
    assert np.array_equal(patch.mask, mask)
    assert patch.ignored is not None
    assert np.array_equal(patch.ignored, ~mask)
    assert (patch.corner_px, patch.surface_group, patch.time) == ((1, 2), "s", 0.5)
    assert patch.sha256 == frame_hash(Patch("b.png", frame, mask))
