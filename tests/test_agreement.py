"""What was annotated twice: overlaps of patches and blind repeats."""

import itertools
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from annotating import speck
from numpy.typing import NDArray
from scipy import ndimage
from sklearn import metrics

from corroscope.annotation.instances import IGNORE, Instance
from corroscope.annotation.store import Store
from corroscope.learning.agreement import agreement, agreements, second_annotators
from corroscope.learning.dataset import Patch
from corroscope.scoring.agreement import count_both_ways
from corroscope.scoring.counts import count
from corroscope.scoring.scores import scores

Mask = NDArray[np.bool_]


def metal(seed: int, shape: tuple[int, int] = (120, 180)) -> NDArray[np.uint8]:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.2)
    return np.asarray(np.clip(130 + 30 * noise / noise.std(), 0, 255), np.uint8)


# Real overlaps, counted by a script of its own


def pieces(mask: Mask) -> list[set[tuple[int, int]]]:
    labels, number = ndimage.label(mask, np.ones((3, 3)))
    return [{(y, x) for y, x in np.argwhere(labels == n).tolist()} for n in range(1, number + 1)]


def most_matches(first: list[set[tuple[int, int]]], second: list[set[tuple[int, int]]]) -> int:
    """Largest one-to-one matching at IoU ≥ 0.3, by augmenting paths."""
    fits = [
        [j for j, b in enumerate(second) if len(a & b) >= 0.3 * len(a | b)]
        for a in first
    ]  # fmt: skip
    partner: dict[int, int] = {}

    def place(i: int, tried: set[int]) -> bool:
        for j in fits[i]:
            if j not in tried:
                tried.add(j)
                if j not in partner or place(partner[j], tried):
                    partner[j] = i
                    return True
        return False

    return sum(place(i, set()) for i in range(len(first)))


def test_real_agreement_is_what_direct_counting_gives(real_folder: Path) -> None:
    """Overlaps from positions and times in the index, masks read anew, particles by sets."""
    index = pd.read_csv(real_folder / "index.csv")
    marked = []
    matched = particles = pairs = near = 0
    covered: dict[float, NDArray[np.int64]] = {}
    for a, b in itertools.combinations(index.to_dict("records"), 2):
        dy, dx = a["y0_px"] - b["y0_px"], a["x0_px"] - b["x0_px"]
        if a["time_fraction"] != b["time_fraction"] or max(abs(dy), abs(dx)) >= 200:
            continue
        pairs += 1
        top, left = max(a["y0_px"], b["y0_px"]), max(a["x0_px"], b["x0_px"])
        cut = []
        for row in (a, b):
            whole = np.zeros((2500, 2500), bool)
            mask = cv2.imread(str(real_folder / row["mask"]), cv2.IMREAD_GRAYSCALE)
            y, x = row["y0_px"], row["x0_px"]
            whole[y : y + 200, x : x + 200] = np.asarray(mask) > 0
            cut.append(whole[top : top + 200 - abs(dy), left : left + 200 - abs(dx)])
        place = covered.setdefault(a["time_fraction"], np.zeros((2500, 2500), np.int64))
        place[top : top + 200 - abs(dy), left : left + 200 - abs(dx)] = 1
        marked.append([part.ravel() for part in cut])
        grown = [ndimage.binary_dilation(part, np.ones((3, 3))) for part in cut]
        near += int((cut[0] & grown[1]).sum() + (cut[1] & grown[0]).sum())
        first, second = pieces(cut[0]), pieces(cut[1])
        matched += most_matches(first, second)
        particles += len(first) + len(second)
    one, other = (np.concatenate(side) for side in zip(*marked, strict=True))
    found = agreement(real_folder, np.random.default_rng(0))
    assert found is not None
    assert (found.source, found.pairs, found.counted_px) == ("overlaps", pairs, one.size)
    assert found.distinct_px == sum(int(place.sum()) for place in covered.values())
    assert found.particles == particles / 2
    assert found.scores["dice"] == pytest.approx(metrics.f1_score(one, other), abs=1e-9)
    assert found.scores["iou"] == pytest.approx(metrics.jaccard_score(one, other), abs=1e-9)
    assert found.scores["particle_f1_iou30"] == pytest.approx(2 * matched / particles, abs=1e-9)
    assert found.scores["dice_1px"] == pytest.approx(near / (one.sum() + other.sum()), abs=1e-9)
    assert found.scores["precision"] == found.scores["recall"] == found.scores["dice"]
    assert 0.75 < found.scores["dice"] < 0.9


# Overlaps


def pair(moved_px: int = 1, *, ignored: Mask | None = None, seed: int = 0) -> list[Patch]:
    """Two patches of 120 px that share 60 columns, marked with a particle each."""
    frame = metal(seed)
    mask, again = np.zeros((2, 120, 180), bool)
    mask[40:46, 80:90] = True
    again[40 + moved_px : 46 + moved_px, 80:90] = True
    return [
        Patch("a", frame[:, :120], mask[:, :120]),
        Patch("b", frame[:, 60:], again[:, 60:], ignored=ignored),
    ]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_two_patches() -> None:
    found = agreement(pair(), rng())
    assert found is not None
    assert (found.pairs, found.surfaces, found.particles) == (1, 1, 1)
    assert found.counted_px == found.distinct_px == 120 * 60
    assert found.scores["dice"] == pytest.approx(5 / 6)
    assert np.isnan(found.intervals_95["dice"][0])  # one surface tells nothing of others


def test_order_does_not_matter() -> None:
    one, other = agreement(pair(), rng()), agreement(pair()[::-1], rng())
    assert one is not None
    assert other is not None
    assert one.scores == pytest.approx(other.scores, nan_ok=True)
    first, second, ignored = np.random.default_rng(1).random((3, 60, 60)) < 0.1
    there = scores(count_both_ways(first, second, ignored))
    assert there == pytest.approx(scores(count_both_ways(second, first, ignored)), nan_ok=True)


def test_both_ways_give_the_symmetric_scores_of_one_way() -> None:
    first, second = np.random.default_rng(1).random((2, 60, 60)) < 0.1
    one_way, both = scores(count(first, second)), scores(count_both_ways(first, second))
    for name in ("dice", "dice_1px", "iou", "accuracy", "particle_f1_iou30", "particle_f1_3px"):
        assert both[name] == pytest.approx(one_way[name])
    assert both["precision"] == both["recall"] == pytest.approx(one_way["dice"])
    assert both["count_bias"] == 0


def test_what_either_ignores_does_not_count() -> None:
    ignored = np.zeros((120, 120), bool)
    ignored[46:47] = True  # of the second patch: the row that only it has marked
    found = agreement(pair(ignored=ignored), rng())
    assert found is not None
    assert found.scores["dice"] == pytest.approx(10 / 11)
    assert found.counted_px == found.distinct_px == 119 * 60


def test_nothing_was_annotated_twice() -> None:
    left, right = pair()
    stranger = Patch("c", metal(1)[:, 60:], right.mask)
    later = Patch("b", np.clip(right.frame * 0.9, 0, 255).astype(np.uint8), right.mask)
    assert agreement([left], rng()) is None
    assert agreement([left, stranger], rng()) is None
    assert agreement([left, later], rng()) is None  # the same place at another time


def test_cut_out_of_one_annotated_picture() -> None:
    """Both patches have the marks of one hand at one time: no agreement, but a copy."""
    assert agreement(pair(0), rng()) is None


def test_copies_with_their_masks_are_left_out() -> None:
    left, right = pair()
    found = agreement([left, right, Patch("c", left.frame, left.mask)], rng())
    assert found is not None
    assert found.pairs == 2
    assert found.counted_px == 2 * found.distinct_px == 2 * 120 * 60


def test_where_three_patches_meet_every_pair_counts() -> None:
    frame = metal(0)
    masks = np.zeros((3, 120, 180), bool)
    for number in range(3):
        masks[number, 40 + number : 46 + number, 80:90] = True
    starts = (0, 30, 60)
    found = agreement(
        [Patch(str(n), frame[:, x : x + 120], masks[n, :, x : x + 120])
         for n, x in enumerate(starts)],
        rng(),
    )  # fmt: skip
    assert found is not None
    assert found.pairs == 3
    assert found.counted_px == 120 * (90 + 90 + 60)
    assert found.distinct_px == 120 * 120  # columns 30 to 150
    assert found.scores["dice"] == pytest.approx(2 * (50 + 50 + 40) / 360)


# Blind repeats


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    folder.mkdir()
    for number, name in enumerate("abc"):
        cv2.imwrite(str(folder / f"{name}.png"), metal(number)[:, :120])
    with Store(folder, "ada") as store:
        store.add("a.png", speck(10, 10))
        store.add("a.png", speck(40, 40))
        store.add("b.png", speck(20, 20))
    return folder


def test_second_annotations(folder: Path) -> None:
    assert second_annotators(folder) == []
    assert agreement(folder, rng()) is None
    with Store(folder, "eve", second=True) as store:
        store.add("c.png", speck(5, 5))  # the first has not annotated this one
    assert agreements(folder, rng()) == []
    with Store(folder, "bob", second=True) as store:
        store.add("a.png", speck(10, 10))
        store.add("b.png", speck(21, 20))
        store.add("c.png", speck(5, 5))
    assert second_annotators(folder) == ["bob", "eve"]
    (found,) = agreements(folder, rng())
    assert found.source == "second annotation by bob"
    assert (found.pairs, found.surfaces, found.counted_px) == (2, 2, 2 * 120 * 120)
    assert found.distinct_px == found.counted_px
    area = speck(0, 0).area_px
    common = area + int((speck(20, 20).mask[1:]).sum())
    assert found.scores["dice"] == pytest.approx(2 * common / (5 * area))
    assert found.scores["particle_f1_iou30"] == pytest.approx(4 / 5)
    chosen = agreement(folder, rng())
    assert chosen is not None
    assert chosen.source == found.source


def test_ignored_by_the_second(folder: Path) -> None:
    with Store(folder, "bob", second=True) as store:
        store.add("a.png", speck(10, 10))
        hidden = speck(40, 40)
        store.add("a.png", Instance(hidden.mask, hidden.corner_px, IGNORE))
    (found,) = agreements(folder, rng())
    assert found.scores["dice"] == 1
    assert found.counted_px == 120 * 120 - hidden.area_px


def test_source_with_most_particles_is_taken(folder: Path) -> None:
    for patch, name in zip(pair(seed=9), "xy", strict=True):
        cv2.imwrite(str(folder / f"{name}.png"), patch.frame)
        cv2.imwrite(str(folder / f"{name}_mask.png"), patch.mask.astype(np.uint8) * 255)
    with Store(folder, "bob", second=True) as store:
        for row in (10, 40):
            store.add("a.png", speck(row, row))
    assert [one.source for one in agreements(folder, rng())] == [
        "overlaps", "second annotation by bob",
    ]  # fmt: skip
    found = agreement(folder, rng())
    assert found is not None
    assert found.source == "second annotation by bob"
