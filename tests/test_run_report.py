"""The report of a run: what it says, its files, and runs of which little is known."""

import re
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import run_pages
from run_pages import Outline, columns, usual, written

from corroscope.errors import OutputError
from corroscope.report.run.activity import reduced_map
from corroscope.report.run.contents import RecordedCurrent, RunPage
from corroscope.report.run.drawing import interval, number, power, thinned
from corroscope.report.run.write import FIGURES, write_run_report
from corroscope.tables import FOLLOWED_EVENTS, TRACK_SUMMARY

SHOWN_ODD = "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; $x_$ &lt;/script&gt;"


def numbers(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / "figures" / f"{name}.csv")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("whole")
    return written(usual(), folder), folder


def test_every_figure_is_there_as_drawing_numbers_and_words(whole: tuple[str, Path]) -> None:
    text, folder = whole
    outline = Outline(text)
    assert {path.name for path in (folder / "figures").iterdir()} == {
        f"{name}{ending}" for name in FIGURES for ending in (".csv", ".svg")
    }
    plots = [said for tag, said in outline.elements if said.get("class") == "plot"]
    assert len(plots) == len(FIGURES)
    assert all(len(said["aria-label"] or "") > 60 for said in plots)
    for name in FIGURES:
        assert f'href="figures/{name}.csv"' in text
        assert len(numbers(folder, name)) > 0, name
        assert (folder / "figures" / f"{name}.svg").read_text("utf-8").count("<path") > 10


def test_what_is_given_is_shown_and_escaped(whole: tuple[str, Path]) -> None:
    text, _ = whole
    outline = Outline(text)
    assert f"<h1>Run of {SHOWN_ODD}</h1>" in text
    assert f"<li>warning {SHOWN_ODD}</li>" in text
    assert [said.get("type") for tag, said in outline.elements if tag == "script"] == [
        "application/json", None,
    ]  # fmt: skip
    for words in (
        "10 frames; concentration 30 mM, potential 1.6 V", "9 segmented, 1 flagged",
        "moved by 1.25 s (95 % interval 1.10 to 1.40 s)",
        "In total 30 found, 35.1 corrected (31 to 42)",
        "Recall from 74 patches.", "pit 1 1.02 (0.900 to 1.10)", "1 stable, 1 undecided", "316L",
        "p value", "30 particles ejected, 29 of them from a known pit", "blurred", "µm/s",
    ):  # fmt: skip
        assert words in outline.words, words
    assert not re.search(r"\bnan\b|\bNone\b|<NA>", outline.words)


def test_names_inside_the_page_are_unique_and_lead_somewhere(whole: tuple[str, Path]) -> None:
    text, folder = whole
    ids = [said["id"] for _, said in Outline(text).elements if "id" in said]
    assert len(ids) == len(set(ids))
    inner = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)|aria-labelledby="([^"]*)"', text)
    assert {one or two or three for one, two, three in inner} <= set(ids)
    files = set(re.findall(r'href="([^#"][^":]*)"', text))
    assert files - {"pit_summary.csv", "events.csv"} == {
        path.relative_to(folder).as_posix() for path in (folder / "figures").iterdir()
    }
    levels = [int(tag[1]) for tag, _ in Outline(text).elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))


def test_the_same_files_each_time(whole: tuple[str, Path], tmp_path: Path) -> None:
    text, folder = whole
    assert written(usual(), tmp_path) == text
    for path in (folder / "figures").iterdir():
        assert (tmp_path / "figures" / path.name).read_bytes() == path.read_bytes()


def test_numbers_of_figures_are_those_of_the_tables(whole: tuple[str, Path]) -> None:
    _, folder = whole
    page = usual()
    summary = page.track_summary
    # Areas of a pixel of 0.5 µm.
    assert np.allclose(
        numbers(folder, "sizes")["area_um2"].dropna(), np.sort(summary["area_px"]) / 4
    )
    assert numbers(folder, "pit-distance")["particles"].sum() == len(summary)
    moved = summary["displacement_px"] > np.sqrt(4 * summary["area_px"] / np.pi)
    rose = numbers(folder, "directions")
    assert rose["particles"].sum() == moved.sum()
    angle = summary.loc[moved, "direction_deg"] % 360
    for row in rose.itertuples():
        assert row.particles == ((angle >= row.from_deg) & (angle < row.to_deg)).sum()
    growth = numbers(folder, "pit-growth")
    assert np.allclose(growth["age_s"], 2.0 * growth["frame"] - 1)
    assert np.allclose(growth["area_um2"], 5 * growth["pit"] * growth["age_s"] / 4)
    births = numbers(folder, "births")
    assert births["pits_born"].tolist() == [1, 2]
    courses = numbers(folder, "time-courses")
    frames = courses[courses["frame"].notna()]
    assert np.isnan(frames["particles"].iloc[3])
    assert frames["ejections"].sum() == 30
    current = courses["current_ua"].dropna()
    assert np.allclose(current, 3 + courses.loc[current.index, "time_s"])
    assert courses.loc[current.index, "time_s"].between(0, 18).all()
    assert np.allclose(numbers(folder, "msd")["msd_um2"], [2.5, 7.5])
    quality = numbers(folder, "quality")
    assert quality["score_n"].sum() == len(page.particles)
    assert numbers(folder, "speed-size")["speed_um_s"].tolist() == pytest.approx(
        (summary["speed_px_s"] / 2).tolist()
    )


def test_ejections_around_a_transient_are_counted_by_hand(whole: tuple[str, Path]) -> None:
    _, folder = whole
    rows = numbers(folder, "around-transients")
    page = usual()
    when = page.happened("ejection")["time_s"].to_numpy()
    lags = [t - start for t in when for start in (1.0, 7.5)]
    for row in rows.itertuples():
        assert row.ejections == sum(row.from_s <= lag < row.to_s for lag in lags)


@pytest.mark.parametrize(
    ("make", "said", "drawn"),
    [
        (
            run_pages.nothing,
            ["No particle was found in any of 6 segmented frames", "No pit was found.",
             "No ejection was seen", "No particle was found anywhere", "no sizes",
             "No current was given", "The pixel size is not known",
             "conditions are not known", "No event was seen."],
            {"quality"},
        ),
        (
            run_pages.all_flagged,
            ["No frame was segmented", "No frame can be shown", "6 frames are flagged",
             "Frames with a remark", "Aligned by their own drift: 0",
             "Neither drift nor scores are known"],
            set(),
        ),
        (
            run_pages.one_frame,
            ["There is one frame", "One frame was segmented, with 12 particles",
             "no course of time to map", "No particle was followed", "12 particles of frame 0"],
            {"sizes", "quality"},
        ),
        (
            run_pages.untimed,
            ["The times of the frames are not known", "There are no speeds: times are unknown",
             "No law could be fitted", "cannot be laid beside the frames", "born in frame"],
            {"activity", "births", "corrected-counts", "directions", "ejections", "pit-distance",
             "pit-growth", "quality", "sizes", "time-courses"},
        ),
        (
            run_pages.without_pits,
            ["No pit was found", "No mother pit is known", "there is no growth to show"],
            set(FIGURES) - {"births", "pit-growth", "pit-distance"},
        ),
    ],
)  # fmt: skip
def test_a_run_of_which_little_is_known_says_so(
    make: Callable[[], RunPage], said: list[str], drawn: set[str], tmp_path: Path
) -> None:
    outline = Outline(written(make(), tmp_path))
    for words in said:
        assert words in outline.words, words
    assert {path.stem for path in (tmp_path / "figures").glob("*.svg")} == drawn
    assert not re.search(r"\bnan\b|\bNone\b|<NA>|\binf\b", outline.words)


def test_without_times_the_axis_is_of_frames(tmp_path: Path) -> None:
    written(run_pages.untimed(), tmp_path)
    assert "first_seen_frames" in numbers(tmp_path, "activity")
    growth = numbers(tmp_path, "pit-growth")
    assert np.allclose(growth["age_frames"], growth["frame"] - 1)
    assert "time_s" not in numbers(tmp_path, "time-courses")
    assert "came to rest" not in (tmp_path / "report.html").read_text()


def test_a_gap_has_no_ejections(tmp_path: Path) -> None:
    """Not even none: then the table has an empty place."""
    page = run_pages.untimed()
    empty = page.rates["ejections"].astype("Int64").mask(page.rates["frame"] == 3)
    written(replace(page, rates=page.rates.assign(ejections=empty)), tmp_path)
    drawn = numbers(tmp_path, "time-courses")["ejections"]
    assert drawn.isna().tolist() == [frame == 3 for frame in range(10)]


def test_without_a_pixel_size_lengths_are_in_pixels(tmp_path: Path) -> None:
    text = written(replace(usual(), pixel_size_um=None), tmp_path)
    assert "µm" not in Outline(text).words
    assert "area_px" in numbers(tmp_path, "sizes")
    assert "msd_px2" in numbers(tmp_path, "msd")
    assert "particles_per_px2_pit" in numbers(tmp_path, "pit-distance")


def test_a_current_of_another_time(tmp_path: Path) -> None:
    other = RecordedCurrent(np.arange(900.0, 950), np.ones(50))
    text = written(replace(usual(), current=other), tmp_path)
    assert "it has no sample while frames were taken" in Outline(text).words
    assert "current_ua" not in numbers(tmp_path, "time-courses")


def test_a_current_with_clocks_as_they_are(tmp_path: Path) -> None:
    current = usual().current
    assert current is not None
    page = replace(
        usual(),
        current=current._replace(offset_s=None),
        transients=None,
        association=None,
        faraday=None,
    )
    words = Outline(written(page, tmp_path)).words
    assert "The two clocks are taken as they are." in words
    assert "Transients of current were not looked for." in words
    assert "Whether events go with transients was not tested." in words
    page = replace(page, current=current._replace(offset_s=np.nan))
    assert "taken as they are" in Outline(written(page, tmp_path)).words
    page = replace(page, transients={"start_s": [], "end_s": []})
    assert "No transient of current was found." in Outline(written(page, tmp_path)).words


def test_few_particles_have_no_law(tmp_path: Path) -> None:
    page = usual()
    few = page.track_summary.head(4)
    words = Outline(written(replace(page, track_summary=few), tmp_path)).words
    assert "No log-normal law was fitted" in words
    same = page.track_summary.assign(area_px=20.0)
    assert (
        "No log-normal law" in Outline(written(replace(page, track_summary=same), tmp_path)).words
    )


def test_nobody_moved(tmp_path: Path) -> None:
    page = usual()
    still = page.track_summary.assign(
        displacement_px=0.0, speed_px_s=np.nan, direction_deg=np.nan, pit=0
    )
    never = pd.DataFrame({"lag_s": [], "msd_px2": [], "pairs": []})
    words = Outline(written(replace(page, track_summary=still, msd=never), tmp_path)).words
    assert "there is no rose" in words
    assert "no particle was seen to move" in words
    assert "too few steps were seen" in words


def test_many_pits_and_events_are_listed_in_part(tmp_path: Path) -> None:
    page = usual()
    many = 70
    pits = pd.concat([page.pit_summary.head(1)] * many).assign(pit=range(1, many + 1))
    events = page.happened("ejection").head(1)
    events = pd.concat([events] * many).assign(pit=range(1, many + 1))
    words = Outline(written(replace(page, pit_summary=pits, events=events), tmp_path)).words
    assert "Pits, the first 30 of 70" in words
    assert "Events, the first 40 of 70" in words
    assert "the 40 busiest of 70 pits" in words


def test_figures_of_an_earlier_report_do_not_stay(tmp_path: Path) -> None:
    written(usual(), tmp_path)
    own = tmp_path / "figures" / "mine.svg"
    own.write_text("kept")
    written(run_pages.nothing(), tmp_path)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        "quality.csv", "quality.svg", "mine.svg",
    }  # fmt: skip


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("a file")
    with pytest.raises(OutputError, match="figures"):
        write_run_report(usual(), tmp_path)


def test_every_field_is_read(tmp_path: Path) -> None:
    read: set[str] = set()

    class Watched(RunPage):
        def __getattribute__(self, name: str) -> Any:
            read.add(name)
            return super().__getattribute__(name)

    page = usual()
    write_run_report(
        Watched(**{field.name: getattr(page, field.name) for field in fields(page)}), tmp_path
    )
    assert {field.name for field in fields(page)} <= read


def test_thinned_keeps_every_extreme() -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(size=10_000)
    y[5000:5200] = np.nan
    x = np.arange(y.size, dtype=float)
    few, kept = thinned(x, y, 100)
    assert few.size <= 200
    assert np.all(np.diff(few) > 0)
    assert (kept.min(), kept.max()) == (np.nanmin(y), np.nanmax(y))
    assert np.array_equal(thinned(x[:50], y[:50], 100)[1], y[:50])


def test_a_map_is_reduced_to_the_earliest_of_each_block() -> None:
    rng = np.random.default_rng(3)
    seen = np.where(rng.random((130, 95)) < 0.3, rng.random((130, 95)), np.nan)
    small = reduced_map(seen, 50)
    assert small.shape == (44, 32)
    for row, column in ((0, 0), (43, 31), (20, 10)):
        block = seen[3 * row : 3 * row + 3, 3 * column : 3 * column + 3]
        assert np.array_equal(small[row, column], np.fmin.reduce(block, None), equal_nan=True)


def test_words_for_numbers() -> None:
    assert [number(x) for x in (0.0, 1.0034, 38.96, 99.95, -0.02, 1e6, np.inf, None)] == [
        "0", "1.00", "39.0", "100", "−0.0200", "1,000,000", "–", "–",
    ]  # fmt: skip
    assert interval(np.nan, 1.0) == "–"
    assert [power(x) for x in (1e-3, 1e-7, 2e6)] == ["0.001", "10⁻⁷", "2·10⁶"]


def test_no_event_at_all_but_pits(tmp_path: Path) -> None:
    page = replace(usual(), events=columns(FOLLOWED_EVENTS), track_summary=columns(TRACK_SUMMARY))
    words = Outline(written(page, tmp_path)).words
    assert "No ejection was seen." in words
    assert "No event was seen." in words
    assert "particles of frame 9" in words
