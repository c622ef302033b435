"""Dark specks that are no particles: which are taken, and that pasting them marks nothing."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from corroscope.learning.crops import Crops
from corroscope.learning.dataset import Patch
from corroscope.learning.pairs import Paired
from corroscope.learning.pseudo import IGNORED
from corroscope.learning.settings import make_settings
from corroscope.learning.specks import dark_specks

METAL = 160


def _dark(shape: tuple[int, int], *spots: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """Contrast with dark rectangles: top, left, height, width."""
    contrast = np.zeros(shape, np.float32)
    for top, left, height, width in spots:
        contrast[top : top + height, left : left + width] = -0.4
    return contrast


def _found(contrast: NDArray[np.float32], taken: NDArray[np.bool_] | None = None) -> bool:
    return bool(
        dark_specks(contrast, np.zeros(contrast.shape, bool) if taken is None else taken).any()
    )


def test_a_speck_is_found_with_the_pixel_round_it() -> None:
    contrast = _dark((60, 60), (20, 30, 4, 5))
    found = dark_specks(contrast, np.zeros((60, 60), bool))
    assert found[20:24, 30:35].all()
    rows, columns = np.nonzero(found)
    assert min(rows) >= 18
    assert max(rows) <= 25
    assert min(columns) >= 28
    assert max(columns) <= 36


@pytest.mark.parametrize(
    "spots",
    [
        [(20, 30, 1, 3)],  # too small
        [(20, 30, 20, 20)],  # as large as a pit
        [(20, 30, 2, 25)],  # a scratch
        [(20, 30, 4, 4), (20, 38, 4, 4)],  # two, each in the other's surroundings
        [(20, 30, 4, 4), (30, 44, 20, 20)],  # beside a pit
    ],
)
def test_what_is_no_lone_speck_is_left(spots: list[tuple[int, int, int, int]]) -> None:
    assert not _found(_dark((90, 90), *spots))


def test_particles_are_no_specks_and_neither_are_their_rims() -> None:
    contrast = _dark((60, 60), (20, 30, 4, 4))
    taken = np.zeros((60, 60), bool)
    taken[20:24, 35:37] = True
    assert not _found(contrast, contrast < 0)
    assert not _found(contrast, taken)
    assert _found(contrast)
    assert _found(contrast, np.roll(taken, 12, axis=1))


def test_a_large_particle_is_no_pit() -> None:
    contrast = _dark((90, 90), (20, 20, 4, 4), (20, 40, 20, 20))
    particle = _dark((90, 90), (20, 40, 20, 20)) < 0
    assert not _found(contrast)
    assert dark_specks(contrast, particle)[20:24, 20:24].all()


@pytest.fixture
def patch() -> Patch:
    """A speck and a particle, apart; half of it ignored."""
    contrast = _dark((128, 128), (60, 40, 5, 5), (30, 90, 5, 5))
    mask = np.zeros((128, 128), bool)
    mask[30:35, 90:95] = True
    ignored = np.zeros((128, 128), bool)
    ignored[100:] = True
    noise = np.random.default_rng(0).normal(0, 1, contrast.shape)
    frame = np.clip(METAL * (1 + contrast) + noise, 0, 255).astype(np.uint8)
    return Patch("a.png", frame, mask, ignored=ignored)


def _epoch(patch: Patch, specks: float, **pairing: float) -> list[tuple[Tensor, Tensor]]:
    plain = {"pasted": 0, "specks": specks, "noisy": 0, "blurred": 0, "contrast": 1}
    settings = make_settings(
        {"augmentation": plain, "pairing": {"alone": 1, **pairing}, "steps_per_epoch": 3}
    )
    crops = Crops([patch], settings, epoch=0)
    return [crops[i] for i in range(len(crops))]


def test_pasted_specks_are_dark_and_marked_as_nothing(patch: Patch) -> None:
    without, with_specks = (_epoch(patch, mean) for mean in (0, 3))
    darker = 0
    for (before, target), (after, same) in zip(without, with_specks, strict=True):
        assert target.equal(same)
        changed = after < before - 1
        darker += int(changed.sum())
        assert not changed[0][target[0] != 0].any()  # neither on a particle nor where nobody knows
    assert darker > 20 * len(without)
    assert any((target == IGNORED).any() for _, target in without)


def test_particles_are_pasted_in_proportion_to_those_that_are_there(patch: Patch) -> None:
    """Else a network would learn that company tells nothing."""
    many = np.zeros((128, 128), bool)
    for row in range(4, 124, 12):
        many[row : row + 4, 4:120:12] = many[row : row + 4, 5:121:12] = True
    frame = np.where(many, np.uint8(METAL * 0.6), np.uint8(METAL))
    none = Patch("none.png", np.full((128, 128), METAL, np.uint8), np.zeros((128, 128), bool))
    crowded = Patch("many.png", frame, many)
    one = replace(patch, ignored=None)
    pasted = {}
    for in_company in (False, True):
        settings = make_settings(
            {
                "augmentation": {"pasted": 1, "in_company": in_company, "noisy": 0, "blurred": 0},
                "pairing": {"alone": 1},
                "steps_per_epoch": 30,
            }
        )
        crops = Crops([none, one, crowded], settings, epoch=0)
        bare = Crops(
            [none, one, crowded],
            settings.model_copy(
                update={"augmentation": settings.augmentation.model_copy(update={"pasted": 0.0})}
            ),
            epoch=0,
        )
        before, after = ([one[i][1] for i in range(240)] for one in (bare, crops))
        kinds = np.array(
            [min(int(target.sum()) // 100, 1) + (target.sum() > 0) for target in before]
        )
        more = np.array(
            [float((b - a).clamp(min=0).sum()) for a, b in zip(before, after, strict=True)]
        )
        pasted[in_company] = [float(more[kinds == kind].mean()) for kind in (0, 2)]
    assert pasted[False][0] > 0
    assert pasted[True][0] < 0.1 * pasted[False][0]
    assert pasted[True][1] > 1.5 * pasted[False][1]


def test_a_patch_without_specks_has_none_pasted(patch: Patch) -> None:
    clean = replace(patch, frame=np.full_like(patch.frame, METAL))
    assert all(
        before.equal(after)
        for (before, _), (after, _) in zip(_epoch(clean, 0), _epoch(clean, 3), strict=True)
    )


@pytest.mark.parametrize("unseen", [0.5, 1.0])
def test_synthetic_crops_without_their_reference(patch: Patch, unseen: float) -> None:
    """A crop of a run is shown as a single frame is, with the same target."""
    shape = (200, 200)
    arrived = np.zeros(shape, bool)
    arrived[100:104, 100:104] = True
    contrast = np.where(arrived, np.float32(-0.4), np.float32(0))
    everywhere, nowhere = np.ones(shape, bool), np.zeros(shape, bool)
    reference = np.zeros(shape, np.float32)
    pair = Paired("b", "a", contrast, reference, everywhere, arrived, arrived, nowhere)

    def shown(first_unseen: float) -> list[tuple[Tensor, Tensor]]:
        pairing = {"alone": 0, "synthetic": 1, "paired": 0, "first_unseen": first_unseen}
        settings = make_settings({"pairing": pairing, "steps_per_epoch": 25})
        crops = Crops([patch], settings, epoch=0, synthetic=[pair])
        return [crops[i] for i in range(len(crops))]

    with_reference, without = shown(0.0), shown(unseen)
    assert all(planes[2].any() for planes, _ in with_reference)
    alone = [not planes[2].any() for planes, _ in without]
    assert abs(np.mean(alone) - unseen) < 0.12
    for (planes, target), (same, as_before) in zip(without, with_reference, strict=True):
        assert target.equal(as_before)
        assert planes[0].equal(same[0])
    assert sum(bool((target == 1).any()) for _, target in without) > 0.6 * len(without)
