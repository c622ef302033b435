"""Corrected counts against simulated finding, and against an exact inverse."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from corroscope.errors import BundleError, OutputError
from corroscope.pipeline import efficiency as reading
from corroscope.pipeline.efficiency import operating_point_remark, read_efficiency
from corroscope.scoring.efficiency import Efficiency, calibrate, correct_counts
from corroscope.scoring.particles import judge_particles
from corroscope.segmentation.bundle import SHIPPED
from corroscope.segmentation.segmenter import Segmenter

EDGES = (7.0, 20.0, np.inf)


def simulated(
    rng: np.random.Generator, true: tuple[int, int], recall_spread: float = 0.0
) -> np.ndarray:
    """Counts of one piece of surface: two classes, some missed, some false, some in the other."""
    counts = np.zeros((3, 3), np.int64)
    logit = rng.normal(0, recall_spread)
    for place, (number, recall, across) in enumerate(
        zip(true, (0.6, 0.9), (0.1, 0.15), strict=True), start=1
    ):
        seen = rng.binomial(number, 1 / (1 + np.exp(-np.log(recall / (1 - recall)) - logit)))
        other = rng.binomial(seen, across)
        counts[place, 0], counts[place, place], counts[place, 3 - place] = (
            number - seen,
            seen - other,
            other,
        )
        counts[0, place] = rng.binomial(number, 0.05)
    return counts


def areas(found: np.ndarray) -> np.ndarray:
    return np.repeat([10.0, 40.0], found)


def test_pairs_misses_and_false_ones_are_counted_as_judged() -> None:
    true = np.zeros((40, 40), bool)
    true[2:5, 2:5] = true[10:15, 10:15] = true[20:24, 20:24] = True
    found = np.zeros((40, 40), bool)
    found[2:5, 2:5] = found[10:14, 10:14] = found[30:33, 30:33] = True
    counted = calibrate(
        judge_particles(found, true).assign(cluster="a"), min_area_px=7, area_edges_px=(20,)
    )
    assert counted.area_edges_px == EDGES
    assert counted.table().to_dict("list") == {
        "cluster": [0, 0, 0, 0],
        "true_bin": [0, 1, 1, 2],
        "found_bin": [1, 0, 1, 1],
        "count": [1, 1, 1, 1],
    }


def test_true_particles_below_the_smallest_area_do_not_count() -> None:
    judged = pd.DataFrame(
        {
            "side": ["annotated", "annotated", "predicted"],
            "area_px": [5, 3, 8],
            "partner_area_px": [8, np.nan, 5],
            "matched_iou_30": [True, False, True],
            "cluster": 0,
        }
    )
    counts = calibrate(judged, min_area_px=7, area_edges_px=(20,)).counts
    assert counts.sum() == 1
    assert counts[0, 0, 1] == 1


def test_bounds_must_rise() -> None:
    judged = pd.DataFrame(
        {"side": [], "area_px": [], "partner_area_px": [], "matched_iou_30": [], "cluster": []}
    )
    with pytest.raises(ValueError, match="do not rise"):
        calibrate(judged, min_area_px=7, area_edges_px=(30, 20))


def test_the_calibration_itself_is_corrected_to_its_truth() -> None:
    rng = np.random.default_rng(1)
    counts = np.array([simulated(rng, (3000, 2000)) for _ in range(8)])
    corrected = correct_counts(Efficiency(EDGES, counts), areas(counts[:, :, 1:].sum(axis=(0, 1))))
    true = counts[:, 1:].sum(axis=(0, 2))
    np.testing.assert_allclose(corrected.bins["corrected"], true, rtol=1e-6)
    assert corrected.total.corrected == pytest.approx(true.sum())


def test_another_distribution_comes_near_the_exact_inverse() -> None:
    rng = np.random.default_rng(2)
    counts = np.array([simulated(rng, (3000, 2000)) for _ in range(8)])
    pooled = counts.sum(axis=0)
    found = np.array([900, 1200])
    precision = pooled[1:, 1:].sum(axis=0) / pooled[:, 1:].sum(axis=0)
    response = pooled[1:, 1:] / pooled[1:].sum(axis=1)[:, None]
    exact = np.linalg.solve(response.T, found * precision)
    corrected = correct_counts(Efficiency(EDGES, counts), areas(found))
    np.testing.assert_allclose(corrected.bins["corrected"], exact, rtol=0.02)
    assert abs(found.sum() / exact.sum() - 1) > 0.1  # the correction has something to do


@pytest.mark.parametrize("size", [1, 8])
def test_intervals_hold_the_truth_of_new_pieces_of_surface(size: int) -> None:
    rng = np.random.default_rng(3)
    held, errors = [], []
    for _ in range(100):
        pieces = [
            simulated(rng, (int(rng.integers(10, 40)) * size, int(rng.integers(5, 30)) * size), 0.5)
            for _ in range(21)
        ]
        new = pieces.pop()
        corrected = correct_counts(Efficiency(EDGES, np.array(pieces)), areas(new[:, 1:].sum(0)))
        true = new[1:].sum()
        held.append(corrected.total.low <= true <= corrected.total.high)
        errors.append(corrected.total.corrected / true - 1)
    assert 0.90 <= np.mean(held) <= 0.99  # 95 %, ± 4 % by chance in 100
    assert abs(np.mean(errors)) < 0.05


def test_the_same_particle_in_many_frames_is_evidence_of_one() -> None:
    rng = np.random.default_rng(4)
    efficiency = Efficiency(EDGES, np.array([simulated(rng, (60, 40)) for _ in range(12)]))
    one = correct_counts(efficiency, areas(np.array([20, 20])))
    still = correct_counts(efficiency, areas(np.array([400, 400])), frames=20, distinct=40)
    new = correct_counts(efficiency, areas(np.array([400, 400])), frames=20, distinct=800)
    assert still.total == pytest.approx(one.total)
    assert new.total.corrected == pytest.approx(one.total.corrected)
    assert new.total.high - new.total.low < 0.7 * (one.total.high - one.total.low)


def test_classes_without_evidence_are_left_as_found() -> None:
    counts = np.zeros((8, 3, 3), np.int64)
    counts[:, 1, 1], counts[:, 1, 0] = 30, 10
    corrected = correct_counts(Efficiency(EDGES, counts), areas(np.array([30, 7])))
    assert corrected.bins["corrected"].tolist() == pytest.approx([40, 7])
    assert np.isnan(corrected.bins["recall"][1])
    assert any("20 to inf px²" in remark for remark in corrected.remarks)


def test_few_pieces_of_surface_give_no_interval() -> None:
    rng = np.random.default_rng(5)
    counts = np.array([simulated(rng, (60, 40)) for _ in range(5)])
    corrected = correct_counts(Efficiency(EDGES, counts, "Somewhere."), areas(np.array([9, 9])))
    assert corrected.total.corrected > 18
    assert np.isnan([corrected.total.low, corrected.total.high]).all()
    assert corrected.bins[["low", "high"]].isna().all(axis=None)
    assert corrected.remarks[0] == "Somewhere."
    assert "5 pieces of surface" in corrected.remarks[1]


def test_crowding_is_corrected_where_pixels_are_known() -> None:
    rng = np.random.default_rng(7)
    pieces, pixels = [], np.full(30, 1e5)
    for number in np.linspace(50, 1500, 30).astype(int):
        counts = np.zeros((2, 2), np.int64)
        counts[1, 1] = rng.binomial(number, 0.9 * np.exp(-number / 3000))
        counts[1, 0] = number - counts[1, 1]
        pieces.append(counts)
    efficiency = Efficiency((7.0, np.inf), np.array(pieces), field_px=pixels)
    for number in (200, 1400):
        found = [10.0] * round(number * 0.9 * np.exp(-number / 3000))
        known = correct_counts(efficiency, found, field_px=1e5).total
        assert abs(known.corrected / number - 1) < 0.05
        assert known.low < number < known.high
        assert abs(correct_counts(efficiency, found).total.corrected / number - 1) > 0.08


def test_no_particle_at_all() -> None:
    corrected = correct_counts(read_efficiency()[0], [])
    assert corrected.total[:3] == (0, 0, 0)
    assert corrected.total.high > 0  # some may be missed


def test_too_small_ones_are_told_of() -> None:
    smallest = Segmenter().operating_point.min_area_px
    corrected = correct_counts(read_efficiency()[0], [smallest - 1.0, smallest + 2.0])
    assert corrected.total.found == 1
    assert f"1 particles below {smallest} px²" in corrected.remarks[-1]


def test_frames_must_be_some() -> None:
    with pytest.raises(ValueError, match="frames: 0"):
        correct_counts(read_efficiency()[0], [9.0], frames=0)


def test_the_shipped_table_is_of_the_shipped_bundle() -> None:
    efficiency, settings = read_efficiency()
    assert operating_point_remark(settings, Segmenter()) is None
    assert "synthetic runs" in efficiency.source
    remark = operating_point_remark(settings, Segmenter(min_area_px=9))
    assert remark is not None
    assert f"smallest area {settings['min_area_px']}, not 9" in remark
    remark = operating_point_remark(settings, Segmenter(peak=0.97))
    assert remark is not None
    assert f"peak {settings['peak']}, not 0.97" in remark


def test_an_evaluation_that_took_a_second_look_corrects_no_run() -> None:
    _, settings = read_efficiency()
    remark = operating_point_remark(settings | {"rescored": True}, Segmenter())
    assert remark is not None
    point = Segmenter().operating_point
    options = (
        f"--threshold {point.threshold:g} --peak {point.peak:g} --min-area {point.min_area_px}"
    )
    assert f"(evaluate with {options})." in remark


def evaluation(folder: Path) -> Path:
    """The tables of an evaluation that the efficiency is read from."""
    rng = np.random.default_rng(6)
    parts = []
    for number in range(8):
        true = np.zeros((100, 100), bool)
        found = true.copy()
        for y, x in rng.permutation(81)[:20, None] // [9, 1] % 9 * 11:
            side = int(rng.integers(3, 8))
            true[y : y + side, x : x + side] = True
            found[y : y + side, x : x + side] = rng.random() < 0.8
        parts.append(judge_particles(found, true).assign(image=f"{number}.png"))
    images = pd.DataFrame({"image": [f"{number}.png" for number in range(8)], "cluster": range(8)})
    images[["true_positive", "false_positive", "false_negative"]] = 0
    images["true_negative"] = 10_000
    images.assign(seen_in_training=False, tainted=images["cluster"] < 3).to_csv(
        folder / "per_image.csv", index=False
    )
    pd.concat(parts).to_csv(folder / "particles.csv", index=False)
    manifest = {
        "bundle": {"network_sha256": "ab"},
        "settings": {"threshold": 0.4, "min_area_px": 7, "peak": 0.0, "tta": False},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_an_evaluation_is_read(tmp_path: Path) -> None:
    efficiency, settings = read_efficiency(evaluation(tmp_path))
    assert settings == {
        "threshold": 0.4, "min_area_px": 7, "peak": 0.0, "rescored": False, "tta": False,
        "network_sha256": "ab",
    }  # fmt: skip
    pooled = efficiency.counts.sum(axis=0)
    assert len(efficiency.counts) == 8
    assert pooled[1:].sum() == 160
    assert 0.7 < pooled[1:, 1:].sum() / 160 < 0.9
    assert "8 pieces of surface" in efficiency.source
    assert "3 of the patches show surface that the network was trained on" in efficiency.source


@pytest.mark.parametrize("name", ["particles.csv", "per_image.csv", "manifest.json"])
def test_a_missing_or_broken_part_of_an_evaluation_is_an_error(tmp_path: Path, name: str) -> None:
    file = evaluation(tmp_path) / name
    file.write_text("image,side\n", encoding="utf-8")
    with pytest.raises(OutputError, match="incomplete or broken .*; evaluate again"):
        read_efficiency(tmp_path)
    file.unlink()
    with pytest.raises(OutputError, match="incomplete or broken .*; evaluate again"):
        read_efficiency(tmp_path)


def test_an_evaluation_without_particles_is_an_error(tmp_path: Path) -> None:
    file = evaluation(tmp_path) / "particles.csv"
    file.write_text(file.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    with pytest.raises(OutputError, match="has no particles"):
        read_efficiency(tmp_path)


def test_a_broken_shipped_table_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (reading.SHIPPED_TABLE, reading.SHIPPED_FACTS):
        shutil.copy(SHIPPED / name, tmp_path / name)
    monkeypatch.setattr(reading, "SHIPPED", tmp_path)
    assert read_efficiency()[0].counts.sum() > 0
    (tmp_path / reading.SHIPPED_TABLE).write_text("cluster\n", encoding="utf-8")
    with pytest.raises(BundleError, match="install corroscope again"):
        read_efficiency()
