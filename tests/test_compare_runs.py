"""Comparing runs: what is counted, what is compared, and what is said of it."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_results import mask_of, write_result
from scipy.stats import t

import corroscope


def row_of(found: dict[str, Any], run: str) -> dict[str, Any]:
    (row,) = (one for one in found["runs"] if one["run"] == run)
    return dict(row)


def told(found: dict[str, Any], measure: str, condition: str) -> dict[str, Any]:
    (row,) = (
        one
        for one in found["conditions"]
        if (one["measure"], one["condition"]) == (measure, condition)
    )
    return dict(row)


def series(rate: int, frames: int = 11) -> list[int]:
    """Ejections of a run: what is there first does not count."""
    return [7, *([rate] * (frames - 1))]


# What is measured of a run


def test_a_run_is_measured_as_by_hand(tmp_path: Path) -> None:
    tracks = [
        {"track": 1, "first_s": 0, "area_px": 12.0, "speed_px_s": 4.0, "settled_s": 5.0},
        {"track": 2, "first_s": 3, "area_px": 20.0, "speed_px_s": 6.0, "settled_s": np.nan},
        {"track": 3, "first_s": 9, "area_px": 40.0, "speed_px_s": np.nan, "settled_s": np.nan},
    ]
    pits = [
        {"pit": 1, "born_s": 1.0, "exponent": 0.6, "kind": "stable"},
        {"pit": 2, "born_s": 3.0, "exponent": 0.8, "kind": "metastable"},
        {"pit": 3, "born_s": 8.0, "exponent": np.nan, "kind": "undecided"},
        {"pit": 4, "born_s": 9.0, "exponent": 1.0, "kind": "dead"},
    ]
    first = write_result(
        tmp_path / "a", ejections=series(2), with_mother=[5, *([1] * 10)],
        particles=range(11), tracks=tracks, pits=pits, gaps=[4],
        current=([-1.0, 20.0], [100.0, 100.0]),
    )  # fmt: skip
    other = write_result(tmp_path / "b", repeat=2)
    found = corroscope.compare([first, other], out=tmp_path / "out")
    row = row_of(found, "a")
    # 1000 × 2000 pixels of 0.5 µm: 2 Mpx, 0.5 mm²; 10 s.
    assert (row["frames"], row["frames_used"], row["frames_flagged"]) == (11, 10, 1)
    assert (row["duration_s"], row["compared_s"]) == (10, 10)
    assert (row["field_mpx"], row["field_mm2"]) == (2, 0.5)
    assert row["ejections"] == 20
    assert row["ejections_per_s"] == 2
    assert row["ejections_per_mpx_s"] == 1
    assert row["ejections_per_mm2_s"] == 4
    assert row["ejections_per_pit"] == 10 / 4
    assert (row["pits"], row["pits_stable"], row["pits_metastable"], row["pits_dead"]) == (
        4, 1, 1, 1
    )  # fmt: skip
    assert row["pits_per_mm2"] == 8
    assert row["born_median_s"] == 5.5
    assert row["stable_share"] == pytest.approx(1 / 3, rel=1e-5)
    assert (row["exponent_q1"], row["exponent_median"], row["exponent_q3"]) == (0.7, 0.8, 0.9)
    assert row["particles_mean"] == (55 - 4) / 10
    assert row["particles_most"] == 10
    assert row["area_median_px"] == 20
    assert row["area_median_um2"] == 5
    assert row["lognormal_median_um2"] is None  # three are too few
    assert (row["speed_median_px_s"], row["speed_median_um_s"]) == (5, 2.5)
    assert row["settled_share"] == pytest.approx(1 / 3, rel=1e-5)
    assert row["charge_c"] == pytest.approx(100e-6 * 10)
    assert row["current_mean_ua"] == 100


def test_nothing_found_is_zero_and_nothing_known_is_empty(tmp_path: Path) -> None:
    results = [write_result(tmp_path / name) for name in ("a", "b")]
    row = row_of(corroscope.compare(results, out=tmp_path / "out"), "a")
    assert row["ejections_per_s"] == row["pits_per_mm2"] == row["particles_per_mm2"] == 0
    for name in (
        "ejections_per_pit", "born_median_s", "stable_share", "exponent_median", "area_median_um2",
        "speed_median_um_s", "settled_share", "charge_c",
    ):  # fmt: skip
        assert row[name] is None, name


def test_log_normal_law_is_that_of_the_areas(tmp_path: Path) -> None:
    areas = np.random.default_rng(1).lognormal(3, 0.5, 3000)
    tracks = [{"track": k, "first_s": 0.0, "area_px": a} for k, a in enumerate(areas) if a > 15]
    tracks = [one | {"speed_px_s": 1.0, "settled_s": np.nan} for one in tracks]
    results = [
        write_result(tmp_path / name, tracks=tracks, settings={"smallest area": 15})
        for name in ("a", "b")
    ]
    row = row_of(corroscope.compare(results, out=tmp_path / "out"), "a")
    assert row["lognormal_median_px"] == pytest.approx(math.exp(3), rel=0.1)
    assert row["lognormal_sigma"] == pytest.approx(0.5, rel=0.1)
    assert row["area_median_px"] > row["lognormal_median_px"]  # the smallest are not seen


def test_only_the_common_time_is_compared(tmp_path: Path) -> None:
    """The longer run ejects, bears and settles more only after the shorter one has ended."""
    late = {"track": 2, "first_s": 15.0, "area_px": 900.0, "speed_px_s": 90.0, "settled_s": 16.0}
    early = {"track": 1, "first_s": 2.0, "area_px": 20.0, "speed_px_s": 4.0, "settled_s": 18.0}
    pits = [
        {"pit": k, "born_s": born, "exponent": 0.7, "kind": "stable"}
        for k, born in ((1, 2.0), (2, 19.0))
    ]
    current = (np.arange(-1.0, 30.0), np.where(np.arange(-1.0, 30.0) <= 10, 5.0, 500.0))
    long = write_result(
        tmp_path / "long", times_s=range(21), ejections=[0, *([1] * 10), *([50] * 10)],
        tracks=[early, late], pits=pits, current=(current[0].tolist(), current[1].tolist()),
    )  # fmt: skip
    short = write_result(tmp_path / "short", ejections=series(1))
    found = corroscope.compare([long, short], out=tmp_path / "out")
    row = row_of(found, "long")
    assert found["compared_s"] == 10
    assert row["ejections_per_s"] == 1 == row_of(found, "short")["ejections_per_s"]
    assert row["ejections"] == 510  # of the whole run
    assert row["pits_per_mm2"] == 2
    assert (row["area_median_px"], row["speed_median_px_s"], row["settled_share"]) == (20, 4, 0)
    assert row["current_mean_ua"] == pytest.approx(5)
    (warning,) = found["warnings"]
    assert warning.startswith("Durations differ (10 to 20 s): runs are compared over their first")
    assert not {"stable_share", "exponent_median"} & set(found["compared"])
    assert "ejections_per_mm2_s" in found["compared"]


def test_time_counts_from_the_first_usable_frame(tmp_path: Path) -> None:
    pits = [{"pit": 1, "born_s": 5.0, "exponent": 0.7, "kind": "stable"}]
    ejections = [0, 0, 30, 3, 3, 3, 3, 3, 3, 3, 3]
    late = write_result(tmp_path / "late", gaps=[0, 1], ejections=ejections, pits=pits)
    found = corroscope.compare([late, write_result(tmp_path / "b")], out=tmp_path / "out")
    row = row_of(found, "late")
    assert row["duration_s"] == 8
    assert row["ejections"] == 24
    assert row["ejections_per_s"] == 3
    assert row["born_median_s"] == 3


def test_current_that_does_not_cover_the_run_gives_no_charge(tmp_path: Path) -> None:
    part = write_result(tmp_path / "part", current=([0.0, 6.0], [1.0, 1.0]))
    one = write_result(tmp_path / "one", current=([0.0], [1.0]))
    found = corroscope.compare([part, one], out=tmp_path / "out")
    assert row_of(found, "part")["charge_c"] is None
    assert row_of(found, "one")["charge_c"] is None
    told_of = [text.split(":")[0] for text in found["warnings"] if "does not cover" in text]
    assert told_of == ["part", "one"]


# What is comparable


def test_pixel_sizes_decide_the_units(tmp_path: Path) -> None:
    def compared(*sizes: float | None) -> tuple[set[str], list[str]]:
        folder = tmp_path / "_".join(map(str, sizes))
        results = [
            write_result(folder / f"r{k}", pixel_size_um=size) for k, size in enumerate(sizes)
        ]
        found = corroscope.compare(results, out=folder / "out")
        return set(found["compared"]), found["warnings"]

    scaled = {"ejections_per_mm2_s", "area_median_um2", "speed_median_um_s"}
    in_pixels = {"ejections_per_mpx_s", "area_median_px", "speed_median_px_s"}
    measures, warnings = compared(0.5, 0.5)
    assert scaled <= measures
    assert not in_pixels & measures
    assert warnings == []
    measures, warnings = compared(0.5, 0.25)
    assert scaled <= measures
    assert not in_pixels & measures
    assert "Pixel sizes differ (0.5 µm: r0; 0.25 µm: r1)" in warnings[0]
    for sizes in ((None, None), (0.5, None)):
        measures, warnings = compared(*sizes)
        assert in_pixels <= measures
        assert not scaled & measures
        assert "only if all were recorded with one magnification" in warnings[0]
    measures, warnings = compared(0.5, 0.25, None)
    assert not (scaled | in_pixels) & measures
    assert "ejections_per_pit" in measures
    assert "no length, speed or area is compared" in warnings[0]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"settings": {"bundle": "cd" * 32}}, "segmented by different networks (abababab: a; cdcd"),
        ({"settings": {"threshold": 0.6}}, "segmented at different thresholds (0.4: a; 0.6: b)"),
        ({"settings": {"smallest area": 12}}, "segmented with different smallest areas, below"),
        ({"settings": {"reference": "rolling:9 77"}}, "references (first: a; rolling:9: b)"),
        ({"times_s": [k / 10 for k in range(101)]}, "Times between frames differ (0.1 to 1 s)"),
        ({"gaps": [3, 4]}, "b: 2 of 11 frames are gaps"),
        ({"repeat": 1}, "a, b have the same conditions and the same number of repeat"),
        (
            {"concentration_mm": None, "potential_v": None},
            "Of b neither concentration nor potential is known",
        ),
        ({"shape": None}, "The size of the frames of b is not known"),
    ],
)
def test_what_must_be_known_is_told(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    results = [
        write_result(tmp_path / "a", repeat=1), write_result(tmp_path / "b", **change)
    ]  # fmt: skip
    found = corroscope.compare(results, out=tmp_path / "out")
    (warning,) = found["warnings"]
    assert sentence in warning
    assert sentence.split("(")[0] in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_another_picture_as_reference_is_no_other_choice(tmp_path: Path) -> None:
    results = [
        write_result(tmp_path / name, settings={"reference": f"first:0 {name}"}) for name in "ab"
    ]
    assert corroscope.compare(results, out=tmp_path / "out")["warnings"] == []


def test_the_size_of_a_frame_is_that_of_a_mask_where_the_manifest_lacks_it(tmp_path: Path) -> None:
    results = [write_result(tmp_path / name, shape=None) for name in "ab"]
    for one in results:
        mask_of(one, (100, 200))
    found = corroscope.compare(results, out=tmp_path / "out")
    assert row_of(found, "a")["field_mpx"] == 0.02
    assert found["warnings"] == []


def test_runs_without_times_or_frames_have_no_rates(tmp_path: Path) -> None:
    track = {"track": 1, "first_s": np.nan, "area_px": 30.0, "speed_px_s": np.nan,
             "settled_s": np.nan}  # fmt: skip
    timed = write_result(tmp_path / "timed", ejections=series(3))
    untimed = write_result(
        tmp_path / "untimed", times_s=[0.0, *([math.nan] * 10)], ejections=series(3), tracks=[track]
    )
    single = write_result(tmp_path / "single", times_s=[0.0], ejections=[4])
    dark = write_result(tmp_path / "dark", gaps=range(11))
    found = corroscope.compare([timed, untimed, single, dark], out=tmp_path / "out")
    assert found["compared_s"] == 10
    assert row_of(found, "timed")["ejections_per_s"] == 3
    for name in ("untimed", "single", "dark"):
        row = row_of(found, name)
        assert row["ejections_per_s"] is None
        assert row["pits_per_mm2"] is None
        assert row["settled_share"] is None
    assert row_of(found, "untimed")["area_median_px"] == 30
    assert row_of(found, "dark")["ejections"] == 0
    (warning,) = (text for text in found["warnings"] if "no duration is known" in text)
    assert warning.startswith("untimed, single, dark: ")
    assert (tmp_path / "out" / "report.html").exists()


# Repeats


def test_the_run_is_the_unit(tmp_path: Path) -> None:
    """Ten times the particles in each run make no interval narrower."""

    def interval(factor: int) -> tuple[float, float]:
        folder = tmp_path / str(factor)
        results = [
            write_result(folder / f"r{k}", repeat=k, ejections=series(factor * rate))
            for k, rate in enumerate((1, 2, 3))
        ]
        found = corroscope.compare(results, out=folder / "out")
        row = told(found, "ejections_per_mm2_s", "30 mM, 1.6 V")
        assert (row["runs"], row["mean"], row["median"]) == (3, 4 * factor, 4 * factor)
        return row["mean_low"] / factor, row["mean_high"] / factor

    low, high = interval(1)
    assert interval(10) == (low, high)
    half = t.ppf(0.975, 2) * 2 / math.sqrt(3)
    assert high == pytest.approx(4 + half, rel=1e-5)
    assert low == 0  # a rate is never below


def test_conditions_are_concentration_and_potential(tmp_path: Path) -> None:
    results = [
        write_result(
            tmp_path / f"r{k}", concentration_mm=c, potential_v=v, ejections=series(rate)
        )
        for k, (c, v, rate) in enumerate(
            [(100.0, 1.6, 9), (5.0, 1.6, 1), (5.0, 1.2, 2), (5.0, 1.6, 3), (None, 1.6, 4),
             (5.0, None, 5)]
        )
    ]  # fmt: skip
    found = corroscope.compare(results, out=tmp_path / "out")
    means = {
        row["condition"]: (row["runs"], row["mean"])
        for row in found["conditions"]
        if row["measure"] == "ejections_per_mm2_s"
    }
    assert means == {
        "5 mM, 1.2 V": (1, 4), "5 mM, 1.6 V": (2, 4), "5 mM": (1, 10), "100 mM, 1.6 V": (1, 18),
        "1.6 V": (1, 8),
    }  # fmt: skip
    assert told(found, "ejections_per_mm2_s", "100 mM, 1.6 V")["mean_low"] is None
    assert [one["run"] for one in found["runs"]] == ["r2", "r1", "r3", "r5", "r0", "r4"]


# Trends


def test_a_trend_is_found_and_told(tmp_path: Path) -> None:
    results = [
        write_result(
            tmp_path / f"{c}_{k}", concentration_mm=c, repeat=k, ejections=series(int(c) + k)
        )
        for c in (5.0, 30.0, 100.0)
        for k in (1, 2, 3)
    ]
    found = corroscope.compare(results, out=tmp_path / "out")
    (row,) = (one for one in found["trends"] if one["measure"] == "ejections_per_mm2_s")
    assert (row["runs"], row["concentrations"], row["exact"]) == (9, 3, True)
    assert row["p"] == pytest.approx(2 / 1680, rel=1e-4) == row["p_smallest"]
    assert row["spearman"] > 0.9
    assert row["p_holm"] >= row["p"]
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "Rising with the concentration" in page
    flat = next(one for one in found["trends"] if one["measure"] == "pits_per_mm2")
    assert (flat["p"], flat["spearman"]) == (1.0, None)


@pytest.mark.parametrize(
    ("repeats", "sentence"),
    [
        ((1, 1), "No test for a trend with the concentration at 1.6 V: it needs 3 runs or more at "
                 "each of two concentrations or more, and none has as many."),
        ((3, 2), "and only one has as many."),
        ((2, 2, 2), "and none has as many."),
        ((3, 2, 3), "30 mM at 1.6 V had fewer than 3 runs and no part in the tests for a trend."),
    ],
)  # fmt: skip
def test_no_p_below_three_runs(tmp_path: Path, repeats: tuple[int, ...], sentence: str) -> None:
    results = [
        write_result(tmp_path / f"{c}_{k}", concentration_mm=c, ejections=series(int(c) + k))
        for c, count in zip((5.0, 30.0, 100.0), repeats, strict=False)
        for k in range(count)
    ]
    found = corroscope.compare(results, out=tmp_path / "out")
    assert any(sentence in text for text in found["why_no_trend"])
    tested = len([count for count in repeats if count >= 3]) >= 2
    assert bool(found["trends"]) == tested
    assert all(one["runs"] == 6 and one["concentrations"] == 2 for one in found["trends"])
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert sentence in page


def test_a_measure_known_of_too_few_runs_is_not_tested(tmp_path: Path) -> None:
    results = [
        write_result(
            tmp_path / f"{c}_{k}", concentration_mm=c,
            current=None if k == 0 and c == 5 else ([0.0, 10.0], [c, c]),
        )
        for c in (5.0, 30.0)
        for k in range(3)
    ]  # fmt: skip
    found = corroscope.compare(results, out=tmp_path / "out")
    assert "charge_c" not in {one["measure"] for one in found["trends"]}
    assert "pits_per_mm2" in {one["measure"] for one in found["trends"]}
    assert found["why_no_trend"] == [
        "Known of fewer than 3 runs at one of the concentrations at 1.6 V, and not tested: charge, "
        "mean current."
    ]


def test_potentials_are_not_mixed(tmp_path: Path) -> None:
    results = [
        write_result(tmp_path / f"{c}_{v}_{k}", concentration_mm=c, potential_v=v)
        for c, v in ((5.0, 1.2), (30.0, 1.6))
        for k in range(3)
    ]
    found = corroscope.compare(results, out=tmp_path / "out")
    assert found["trends"] == []
    assert len(found["why_no_trend"]) == 2


def test_no_concentration_no_trend(tmp_path: Path) -> None:
    results = [write_result(tmp_path / name, concentration_mm=None) for name in "abc"]
    found = corroscope.compare(results, out=tmp_path / "out")
    assert found["why_no_trend"] == ["No test for a trend: no run tells its concentration."]
    assert told(found, "ejections_per_mm2_s", "1.6 V")["runs"] == 3
