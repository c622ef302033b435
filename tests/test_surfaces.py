"""Shared surface: found from the pixels, confirmed by the index."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from corroscope.frames.contrast import relative_contrast
from corroscope.learning import overlaps as limits
from corroscope.learning.dataset import Patch
from corroscope.learning.overlaps import Overlap, find_overlaps
from corroscope.learning.surfaces import (
    shared_surface,
    surface_groups,
    tainted,
    tainted_through,
)
from corroscope.learning.told import told_of
from corroscope.scoring import surface
from corroscope.scoring.surface import best_matches, match_near, overlap_px, overlap_slices
from corroscope.scoring.texture import whiten
from corroscope.synthesis.patches import draw_pair
from corroscope.synthesis.settings import make_synth_settings


def patch(frame: NDArray[Any], name: str = "a.png", **told: Any) -> Patch:
    return Patch(name, frame, np.zeros(frame.shape, bool), **told)


def metal(shape: tuple[int, int], seed: int) -> NDArray[np.float32]:
    """Smooth noise, grey 60 to 200."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.2)
    return np.asarray(130 + 70 * np.clip(noise / (3 * noise.std()), -1, 1), np.float32)


def as_bytes(frame: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.clip(np.rint(frame), 0, 255).astype(np.uint8)


# Search


def brute_force(a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[float, int, int]:
    """Correlation times the root of the overlap, pixel by pixel, over all places."""
    best = (-float("inf"), 0, 0)
    for dy in range(-len(b) + 1, len(a)):
        for dx in range(-len(b[0]) + 1, len(a[0])):
            pairs = [
                (a[y, x], b[y - dy, x - dx])
                for y in range(max(0, dy), min(len(a), dy + len(b)))
                for x in range(max(0, dx), min(len(a[0]), dx + len(b[0])))
            ]
            u, v = np.array(pairs, np.float64).T
            floor = 0.1 * len(pairs)
            energy = max(float(u @ u), floor) * max(float(v @ v), floor)
            evidence = float(u @ v) / energy**0.5 * len(pairs) ** 0.5
            best = max(best, (evidence, dy, dx))
    return best


def test_near_match_is_the_best_of_all_places() -> None:
    rng = np.random.default_rng(3)
    for shapes in (((12, 9), (10, 13)), ((8, 8), (11, 7))):
        a, b = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
        evidence, dy, dx = brute_force(a, b)
        found = match_near(a, b, (0, 0), 13)
        assert found is not None
        assert (found.dy_px, found.dx_px) == (dy, dx)
        assert found.evidence == pytest.approx(evidence, rel=1e-5)


def test_near_match_where_nothing_overlaps() -> None:
    square = np.ones((8, 8), np.float32)
    assert match_near(square, square, (20, 0), 3) is None


@settings(max_examples=25)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(60, 90), st.integers(60, 90)),
    st.tuples(st.integers(60, 90), st.integers(60, 90)),
)
def test_search_finds_the_place_at_any_sizes(
    seed: int, first: tuple[int, int], second: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    whole = whiten(metal((150, 150), seed) / 130 - 1)
    corners = [
        [int(rng.integers(0, 30 + 90 - length)) for length in shape] for shape in (first, second)
    ]
    cut = [
        whole[y : y + h, x : x + w] for (y, x), (h, w) in zip(corners, (first, second), strict=True)
    ]
    place = (corners[1][0] - corners[0][0], corners[1][1] - corners[0][1])
    rows, columns = overlap_slices(first, second, place)[0]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    found = best_matches(cut, promising=20)
    if area < 1000:  # nothing smaller is looked for
        return
    (match,) = found
    assert (match.dy_px, match.dx_px, match.overlap_px) == (*place, area)
    assert match.correlation == pytest.approx(1, abs=1e-5)
    (other_way,) = best_matches([cut[1]], [cut[0]])
    assert (other_way.dy_px, other_way.dx_px) == (-place[0], -place[1])


def test_search_looks_at_what_is_wanted_and_tells_how_far_it_is() -> None:
    whole = whiten(metal((80, 140), 0) / 130 - 1)
    cut = [whole[:, start : start + 80] for start in (0, 30, 60)]
    wanted = np.zeros((3, 3), bool)
    wanted[2, 0] = True
    seen: list[tuple[int, int]] = []
    (match,) = best_matches(cut, wanted=wanted, progress=lambda *at: seen.append(at))
    assert (match.first, match.second, match.dx_px) == (0, 2, 60)
    assert seen == [(1, 1)]
    assert len(best_matches(cut)) == 3


def test_flat_frames_have_no_texture_and_match_nothing() -> None:
    flat = whiten(np.zeros((64, 64)))
    assert not flat.any()
    assert best_matches([flat, flat], promising=0.1) == []


def test_parallel_scratches_are_not_enough() -> None:
    """Two pieces polished in one direction correlate raw; whitened they do not."""
    frames = []
    for seed in (1, 2):
        noise = np.random.default_rng(seed).normal(size=(120, 120))
        streaks = ndimage.gaussian_filter(noise, (25, 1)) * 12 + 0.02 * noise
        frames.append(np.clip(streaks / streaks.std() * 0.02, -0.2, 0.2).astype(np.float32))
    raw = [frame / frame.std() for frame in frames]
    (false,) = best_matches(raw, promising=-1)
    (white,) = best_matches([whiten(frame) for frame in frames], promising=-1)
    assert false.evidence > limits.SAME_SURFACE_EVIDENCE > 1.2 * white.evidence


# Overlaps


@pytest.fixture(scope="module")
def real_overlaps(real_patches: list[Patch]) -> list[Overlap]:
    """From the pixels alone."""
    return find_overlaps(bare(real_patches))


def bare(patches: Sequence[Patch]) -> list[Patch]:
    return [Patch(p.name, p.frame, p.mask) for p in patches]


def true_share(a: Patch, b: Patch) -> float:
    """From the index: overlap over area, for patches of 200 px."""
    assert a.corner_px is not None
    assert b.corner_px is not None
    parts = [max(0, 200 - abs(p - q)) for p, q in zip(a.corner_px, b.corner_px, strict=True)]
    return parts[0] * parts[1] / 40000


def test_real_pairs_are_far_apart_in_evidence(
    real_patches: list[Patch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All 2701 pairs: those that share surface, and those that do not."""
    textures = [whiten(relative_contrast(p.frame, 8.0)) for p in real_patches]
    monkeypatch.setattr(surface, "REFINED_PX", 1)  # what half resolution can be off by
    matches = best_matches(textures, promising=-1)
    assert len(matches) == 74 * 73 // 2
    sharing: list[float] = []
    apart: list[float] = []
    for match in matches:
        share = true_share(real_patches[match.first], real_patches[match.second])
        (sharing if share else apart).append(match.evidence)
    assert len(sharing) == 165
    assert max(apart) < 0.8 * limits.SAME_SURFACE_EVIDENCE
    assert min(sharing) > 1.3 * limits.SAME_SURFACE_EVIDENCE


def test_pixels_find_the_overlaps_of_the_index(
    real_patches: list[Patch], real_overlaps: list[Overlap]
) -> None:
    told = {
        (i, j): true_share(real_patches[i], real_patches[j])
        for i, j in combinations(range(74), 2)
        if true_share(real_patches[i], real_patches[j]) > 0
    }
    found = {(o.first, o.second): o for o in real_overlaps}
    assert found.keys() == told.keys()
    for (i, j), overlap in found.items():
        a, b = real_patches[i], real_patches[j]
        assert overlap.found
        assert overlap.told is None
        assert overlap.share == pytest.approx(told[i, j], abs=0.04)
        assert a.corner_px is not None
        assert b.corner_px is not None
        drift = np.subtract((overlap.dy_px, overlap.dx_px), np.subtract(b.corner_px, a.corner_px))
        assert overlap.same_frame == (a.time == b.time)
        assert np.abs(drift).max() <= (0 if overlap.same_frame else 6)
        in_a, in_b = overlap_slices((200, 200), (200, 200), (overlap.dy_px, overlap.dx_px))
        brighter = b.frame[in_b].mean() / a.frame[in_a].mean()
        assert overlap.gain == pytest.approx(brighter, abs=0.05)


def test_pixels_find_the_groups_of_the_index(
    real_patches: list[Patch], real_overlaps: list[Overlap]
) -> None:
    groups = surface_groups(shared_surface(bare(real_patches), real_overlaps)).tolist()
    told = [p.surface_group for p in real_patches]
    assert len(set(zip(groups, told, strict=True))) == len(set(groups)) == len(set(told)) == 9


def test_offsets_add_up_round_every_triangle(real_overlaps: list[Overlap]) -> None:
    """Found pair by pair, without the index: a to b and b to c is a to c."""
    at = {(o.first, o.second): np.array([o.dy_px, o.dx_px]) for o in real_overlaps}
    numbers = sorted({number for pair in at for number in pair})
    triangles = [
        (i, j, k)
        for i, j, k in combinations(numbers, 3)
        if (i, j) in at and (j, k) in at and (i, k) in at
    ]
    assert len(triangles) > 100
    off = [np.abs(at[i, j] + at[j, k] - at[i, k]).max() for i, j, k in triangles]
    assert max(off) <= 2


def test_index_confirms_on_the_real_patches(
    real_patches: list[Patch], real_overlaps: list[Overlap], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where it saves the pairs far apart from being looked at, the same is found."""
    monkeypatch.setattr(limits, "MOST_PAIRS", 0)
    overlaps = find_overlaps(real_patches)
    assert all(o.found and o.told and not o.remark for o in overlaps)
    assert [replace(o, told=None) for o in overlaps] == real_overlaps


@pytest.fixture(scope="module")
def made() -> tuple[list[Patch], list[tuple[int, int, int]]]:
    """Patches of 4 surfaces at two times: drift, gain, noise, bit depth, size, particles differ."""
    rng = np.random.default_rng(5)
    settings = make_synth_settings({"particles": {"per_mpx": 2000, "drift_px_s": 20}})
    patches: list[Patch] = []
    places: list[tuple[int, int, int]] = []
    for number_of_surface in range(4):
        for scene in draw_pair((330, 330), settings, rng):
            for deep_too in (False, True):
                height, width = (int(n) for n in rng.integers(170, 220, 2))
                y, x = (int(rng.integers(0, 330 - n)) for n in (height, width))
                frame = scene.frame[y : y + height, x : x + width] * rng.uniform(0.6, 1.1)
                frame = frame + rng.normal(0, 0.7, frame.shape)
                deep = np.clip(np.rint(frame * 200), 0, 65535).astype(np.uint16)
                patches.append(
                    patch(
                        deep if deep_too else as_bytes(frame.astype(np.float32)), f"{len(patches)}"
                    )
                )
                places.append((number_of_surface, y, x))
    return patches, places


def test_synthetic_surfaces_are_found_through_gain_drift_noise_and_bit_depth(
    made: tuple[list[Patch], list[tuple[int, int, int]]],
) -> None:
    patches, places = made
    found = {(o.first, o.second): o for o in find_overlaps(patches)}
    large = 0
    for i, j in combinations(range(len(patches)), 2):
        place = (places[j][1] - places[i][1], places[j][2] - places[i][2])
        shared_px = overlap_px(patches[i].frame.shape, patches[j].frame.shape, place)
        if places[i][0] != places[j][0]:
            assert (i, j) not in found
        elif shared_px > 8000:
            large += 1
            overlap = found[i, j]
            assert max(abs(overlap.dy_px - place[0]), abs(overlap.dx_px - place[1])) <= 6
    assert large > 12


def test_more_pairs_need_more_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits.required_evidence(1) == limits.required_evidence(2700) == 31
    step = limits.required_evidence(27_000_000) - limits.required_evidence(270_000)
    assert step == pytest.approx(1.7 * np.log(100))
    assert len(find_overlaps(halves())) == 1  # of evidence 85 at most: 120 times 60 px
    monkeypatch.setattr(limits, "REAL_PAIRS", 1e-20)
    assert find_overlaps(halves()) == []


def test_gain_is_of_the_second_over_the_first() -> None:
    frame = metal((120, 160), 0)
    (overlap,) = find_overlaps([patch(frame[:, :120]), patch(frame[:, 40:] * 0.7)])
    assert overlap.gain == pytest.approx(0.7, rel=1e-4)
    assert (overlap.dy_px, overlap.dx_px, overlap.same_frame) == (0, 40, False)
    assert overlap.share == pytest.approx(80 / 120)


def test_dirt_on_the_camera_is_not_the_surface() -> None:
    """The same faint pattern on two surfaces: of much evidence in a large patch, but weak."""
    dirt = metal((400, 400), 9) - 130
    frames = [as_bytes(metal((400, 400), seed) + 0.5 * dirt) for seed in (1, 2)]
    (match,) = best_matches([whiten(relative_contrast(f, 8.0)) for f in frames])
    assert (match.dy_px, match.dx_px) == (0, 0)
    assert match.evidence > limits.SAME_SURFACE_EVIDENCE
    assert find_overlaps([patch(f) for f in frames]) == []


def test_equal_frames_overlap_whatever_they_show() -> None:
    """Too small for the texture to prove anything, but equal to the last pixel."""
    frame = as_bytes(metal((24, 24), 0))
    (overlap,) = find_overlaps([patch(frame), patch(frame.copy())])
    assert (overlap.same_frame, overlap.share, overlap.correlation) == (True, 1, 1)
    (across,) = find_overlaps([patch(as_bytes(metal((24, 24), 1))), patch(frame)], [patch(frame)])
    assert (across.first, across.second) == (1, 0)
    blank = np.full((24, 24), 255, np.uint8)
    assert find_overlaps([patch(blank), patch(blank)]) == []


def test_faint_overlaps_are_found_through_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A strip that is too little by itself, where the places of neighbours say it must be."""
    rng = np.random.default_rng(0)
    frame = metal((120, 320), 0)
    starts = (0, 50, 96)
    patches = [
        patch(as_bytes(frame[:, x : x + 120] + rng.normal(0, noise, (120, 120)).astype(np.float32)))
        for x, noise in zip(starts, (40, 0, 40), strict=True)
    ]
    assert [(o.first, o.second, o.dx_px) for o in find_overlaps(patches)] == [
        (0, 1, 50), (0, 2, 96), (1, 2, 46),
    ]  # fmt: skip
    assert find_overlaps([patches[0], patches[2]]) == []
    monkeypatch.setattr(limits, "CONFIRMING_EVIDENCE", 1e9)
    assert len(find_overlaps(patches)) == 2


# The index


def halves(seed: int = 0, **told: tuple[Any, Any]) -> list[Patch]:
    """Two patches of 120 px that share 60 columns."""
    frame = as_bytes(metal((120, 180), seed))
    return [
        patch(frame[:, start : start + 120], name, **{key: both[n] for key, both in told.items()})
        for n, (start, name) in enumerate([(0, "a.png"), (60, "b.png")])
    ]


def strangers(**told: tuple[Any, Any]) -> list[Patch]:
    patches = [halves(0)[0], halves(1)[1]]
    return [
        replace(p, **{key: both[n] for key, both in told.items()}) for n, p in enumerate(patches)
    ]


def test_index_that_confirms() -> None:
    (overlap,) = find_overlaps(halves(corner_px=((7, 7), (9, 67 - 10))))  # drift of 2 and 10 px
    assert (overlap.found, overlap.told, overlap.remark, overlap.shared) == (True, True, "", True)
    (overlap,) = find_overlaps(halves(surface_group=("x", "x")))
    assert (overlap.told, overlap.remark) == (True, "")


def test_index_that_puts_an_overlap_elsewhere() -> None:
    for corner in ((0, 100), (500, 500)):
        (overlap,) = find_overlaps(halves(corner_px=((0, 0), corner)))
        assert (overlap.dy_px, overlap.dx_px, overlap.shared) == (0, 60, True)
        assert overlap.remark == (
            f"pixels show an offset of (0, 60) px, index.csv has ({corner[0]}, {corner[1]}) px"
        )
        assert shared_surface(halves(corner_px=((0, 0), corner))).all()


def test_index_with_two_groups_for_one_surface() -> None:
    patches = halves(surface_group=("x", "y"))
    (overlap,) = find_overlaps(patches)
    assert overlap.told is False
    assert overlap.remark == "pixels show an overlap, index.csv has surface groups x and y"
    assert shared_surface(patches).all()


def test_places_of_two_groups_are_of_two_frames() -> None:
    patches = strangers(corner_px=((0, 0), (0, 60)), surface_group=("x", "y"))
    assert find_overlaps(patches) == []
    assert not shared_surface(patches)[0, 1]
    (overlap,) = find_overlaps(halves(corner_px=((0, 0), (0, 60)), surface_group=("x", "y")))
    assert overlap.remark == "pixels show an overlap, index.csv has surface groups x and y"


def test_index_that_names_an_overlap_which_is_none() -> None:
    patches = strangers(corner_px=((0, 0), (0, 60)))
    (overlap,) = find_overlaps(patches)
    assert (overlap.found, overlap.told, overlap.shared) == (False, True, False)
    assert overlap.remark == "index.csv has an overlap of 50%, the pixels show none"
    assert abs(overlap.correlation) < limits.LEAST_CORRELATION
    # A split is careful, the groups of an audit are not misled.
    assert shared_surface(patches).all()
    assert not shared_surface(patches, doubtful=False)[0, 1]


def test_index_decides_on_strips_too_small_to_tell() -> None:
    patches = strangers(corner_px=((0, 0), (0, 115)))
    (overlap,) = find_overlaps(patches)
    assert (overlap.found, overlap.told, overlap.shared, overlap.remark) == (False, True, True, "")
    assert np.isnan(overlap.correlation)
    assert shared_surface(patches, doubtful=False).all()


def test_index_makes_faint_overlaps_easier_to_find() -> None:
    rng = np.random.default_rng(0)
    frame = metal((120, 320), 0)
    noisy = [
        as_bytes(frame[:, x : x + 120] + rng.normal(0, 40, (120, 120)).astype(np.float32))
        for x in (0, 96)
    ]
    assert find_overlaps([patch(f) for f in noisy]) == []
    corners = ((0, 0), (0, 90))
    (overlap,) = find_overlaps(
        [patch(f, corner_px=corner) for f, corner in zip(noisy, corners, strict=True)]
    )
    assert (overlap.found, overlap.told, overlap.dx_px) == (True, True, 96)


def test_groups_count_where_there_are_no_places() -> None:
    patches = strangers(surface_group=("x", "x"))
    assert find_overlaps(patches) == []
    assert shared_surface(patches).all()
    placed = [replace(p, corner_px=(0, 500 * n)) for n, p in enumerate(patches)]
    assert not shared_surface(placed)[0, 1]


def test_index_of_two_datasets_says_nothing() -> None:
    first, second = strangers(corner_px=((0, 0), (0, 60)), surface_group=("x", "x"))
    assert told_of(first, second) is True
    assert told_of(first, second, one_dataset=False) is None
    assert find_overlaps([first], [second]) == []


def test_of_very_many_pairs_those_far_apart_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    patches = halves(corner_px=((0, 0), (500, 500)))
    assert len(find_overlaps(patches)) == 1
    monkeypatch.setattr(limits, "MOST_PAIRS", 0)
    assert find_overlaps(patches) == []
    assert len(find_overlaps(halves(corner_px=((0, 0), (0, 130))))) == 1  # within the drift
    assert len(find_overlaps(halves())) == 1
    assert len(find_overlaps(halves(corner_px=((0, 0), None)))) == 1


# What was trained on


def test_tainted_patches_show_surface_of_the_training() -> None:
    left, right = halves()
    other = halves(1)[0]
    assert tainted([other, right], [left]).tolist() == [False, True]
    assert tainted([other], [left, right]).tolist() == [False]
    assert tainted([], [left]).tolist() == []
    assert tainted([left], []).tolist() == [False]


def test_tainted_through_what_was_seen() -> None:
    shared = shared_surface([*halves(), halves(1)[0]])
    assert tainted_through(shared, [False, True, False]).tolist() == [True, True, False]
    assert tainted_through(shared, [False] * 3).tolist() == [False] * 3


def test_groups_are_numbered_in_order() -> None:
    shared = np.eye(5, dtype=bool)
    for i, j in ((1, 4), (0, 3)):
        shared[i, j] = shared[j, i] = True
    assert surface_groups(shared).tolist() == [0, 1, 2, 0, 1]
