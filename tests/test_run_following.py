"""From frames to the report on them: what is followed, and what cannot be told."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from numpy.typing import NDArray

import corroscope
from corroscope.errors import BatchError, CurrentError, SettingsError
from corroscope.outputs import read_manifest
from corroscope.synthesis.settings import make_synth_settings
from corroscope.tables import (
    FOLLOWED_EVENTS,
    FOLLOWED_PITS,
    PIT_SUMMARY,
    RATES,
    TRACK_SUMMARY,
    TRACKS,
    Column,
)

SIDE = 256
COUNT = 16
TABLES: dict[str, tuple[Column, ...]] = {
    "tracks": TRACKS,
    "track_summary": TRACK_SUMMARY,
    "pits": FOLLOWED_PITS,
    "pit_summary": PIT_SUMMARY,
    "events": FOLLOWED_EVENTS,
    "rates": RATES,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic run with its truth and its current."""
    settings = make_synth_settings({"particles": {"per_mpx": 800}, "pits": {"per_mpx": 45}})
    out = tmp_path_factory.mktemp("made") / "run"
    return corroscope.synth(out=out, settings=settings, size=SIDE, frames=COUNT, seed=11)


@pytest.fixture(scope="module")
def result(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run with everything given makes of it."""
    out = tmp_path_factory.mktemp("result") / "out"
    corroscope.run(
        made / "frames", out=out, pixel_size=0.5, current=made / "current.mpt", alloy="Fe"
    )
    return out


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    return {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}


def test_all_tables_have_their_columns(result: Path) -> None:
    for name, rows in tables(result).items():
        assert list(rows.columns) == [column.name for column in TABLES[name]]
        assert [str(kind) for kind in rows.dtypes] == [column.dtype for column in TABLES[name]]
        assert len(rows) == len(pd.read_csv(result / f"{name}.csv"))


def places(rows: pd.DataFrame, y: str = "y_ref_px", x: str = "x_ref_px") -> NDArray[np.float64]:
    return rows[[y, x]].to_numpy(np.float64)


def nearest(one: NDArray[np.float64], many: NDArray[np.float64]) -> tuple[int, float]:
    """Which of many places is nearest to one, and how far it is."""
    apart = np.hypot(*(many - one).T)
    return int(apart.argmin()), float(apart.min())


def test_pits_are_found_where_and_when_they_were_born(made: Path, result: Path) -> None:
    truth = pd.read_csv(made / "truth" / "pits.csv")
    first = truth.groupby("pit").first()
    area = truth.groupby("pit")["area_px"].max().to_numpy(np.float64)
    found = tables(result)["pit_summary"]
    born = found["born_frame"].to_numpy()
    large = np.flatnonzero(area >= 100)
    assert large.size >= 3
    for pit in large.tolist():
        # Where it began and the middle of what it has become are not the same.
        which, apart = nearest(places(first)[pit], places(found))
        assert apart < np.sqrt(area[pit] / np.pi)
        assert abs(born[which] - first["frame"].to_numpy()[pit]) <= 1


def test_most_particles_are_given_to_the_pit_that_ejected_them(made: Path, result: Path) -> None:
    truth = pd.read_csv(made / "truth" / "particles.csv")
    true_pits = pd.read_csv(made / "truth" / "pits.csv").groupby("pit").first().reset_index()
    found = tables(result)
    number = true_pits["pit"].to_numpy()
    is_of = {
        int(pit): int(number[nearest(place, places(true_pits))[0]])
        for pit, place in zip(
            found["pit_summary"]["pit"], places(found["pit_summary"]), strict=True
        )
    }
    judged = []
    summary = found["track_summary"]
    named = summary[summary["pit"] > 0]
    for frame, pit, place in zip(
        named["first_frame"], named["pit"], places(named, "y_first_px", "x_first_px"), strict=True
    ):
        there = truth[truth["frame"] == frame]
        if there.empty:
            continue
        which, apart = nearest(place, places(there))
        if apart <= 3:
            judged.append(is_of[int(pit)] == there["pit"].to_numpy()[which])
    assert len(judged) >= 20
    assert np.mean(judged) > 0.8


def test_the_current_is_laid_beside_the_frames(result: Path) -> None:
    current = pd.read_parquet(result / "current.parquet")
    # The record begins two seconds before the first frame.
    assert current["time_s"].iloc[0] == pytest.approx(-2, abs=1)
    told = read_manifest(result)["current"]
    assert told["format"] == "BioLogic mpt"
    assert told["unit"] == "mA"


def test_the_report_shows_everything_in_one_file(result: Path) -> None:
    page = (result / "report.html").read_text(encoding="utf-8")
    for heading in ("Film", "Map of activity", "Growth of pits", "Current and events", "Quality"):
        assert f">{heading}</h2>" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    drawn = {path.stem for path in (result / "figures").glob("*.svg")}
    assert {"activity", "time-courses", "pit-growth", "sizes", "directions"} <= drawn
    assert drawn == {path.stem for path in (result / "figures").glob("*.csv")}


def test_a_second_call_gives_the_same(made: Path, result: Path) -> None:
    before = tables(result)
    corroscope.run(
        made / "frames", out=result, pixel_size=0.5, current=made / "current.mpt", alloy="Fe"
    )
    for name, rows in tables(result).items():
        pd.testing.assert_frame_equal(rows, before[name])


def test_a_call_without_the_record_takes_its_table_away(made: Path, tmp_path: Path) -> None:
    corroscope.run(made / "frames", out=tmp_path / "out", current=made / "current.mpt")
    corroscope.run(made / "frames", out=tmp_path / "out")
    assert not list((tmp_path / "out").glob("current.*"))
    assert read_manifest(tmp_path / "out")["current"] is None


def test_another_operating_point_is_not_corrected(made: Path, tmp_path: Path) -> None:
    corroscope.run(made / "frames", out=tmp_path / "out", threshold=0.6)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    own = corroscope.load_bundle().card.threshold
    assert f"Counts are not corrected: the efficiency was measured with threshold {own}" in page


# What cannot be told


def film(folder: Path, pictures: list[NDArray[np.uint8]]) -> Path:
    folder.mkdir()
    for number, picture in enumerate(pictures):
        tifffile.imwrite(folder / f"30mM_1.6V-w-snaps-18-27-{10 + number:02d}.000.tif", picture)
    return folder


def metal(seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, 12, (96, 96)).cumsum(axis=1) / 8 + 150


def noisy(seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(100 + seed).normal(0, 2, (96, 96))
    return np.clip(metal(1) + noise, 0, 255).astype(np.uint8)


def test_a_run_without_any_particle_has_empty_tables_and_says_so(tmp_path: Path) -> None:
    frames = film(tmp_path / "film", [noisy(seed) for seed in range(5)])
    particles = corroscope.run(frames, out=tmp_path / "out")
    assert particles.empty
    found = tables(tmp_path / "out")
    assert all(found[name].empty for name in ("tracks", "track_summary", "pits", "events"))
    assert found["rates"]["ejections_total"].max() == 0
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "No particle" in page


def test_one_frame_has_a_report(made: Path, tmp_path: Path) -> None:
    first = sorted((made / "frames").iterdir())[0]
    frames = film(tmp_path / "film", [tifffile.imread(first)])
    corroscope.run(frames, out=tmp_path / "out")
    assert tables(tmp_path / "out")["pit_summary"]["exponent"].isna().all()
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_run_of_which_all_frames_are_flagged_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    other = [rng.integers(0, 256, (96, 96)).astype(np.uint8) for _ in range(4)]
    frames = film(tmp_path / "film", [noisy(0), *other])
    with pytest.raises(BatchError):
        corroscope.run(frames, out=tmp_path / "out")
    table = pd.read_parquet(tmp_path / "out" / "frames.parquet")
    assert table["segmented"].sum() <= 1
    rates = tables(tmp_path / "out")["rates"]
    gaps = table.loc[~table["segmented"], "frame"]
    assert rates[rates["frame"].isin(gaps)]["ejections"].isna().all()
    assert (tmp_path / "out" / "report.html").is_file()


def current_file(folder: Path, text: str) -> Path:
    path = folder / "current.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time/s;I\n0;1\n1;2\n", "unit"),
        ("time/s;I/mA\n0;1\n2;1\n1;2\n", "back|decreas|fall"),
        ("", "empty"),
    ],
    ids=["no unit", "decreasing times", "empty"],
)
def test_a_current_that_cannot_be_read_stops_before_any_frame(
    made: Path, tmp_path: Path, text: str, message: str
) -> None:
    path = current_file(tmp_path, text)
    with pytest.raises(CurrentError, match=message):
        corroscope.run(made / "frames", out=tmp_path / "out", current=path)
    assert not (tmp_path / "out").exists()


def test_a_current_of_another_time_is_refused(made: Path, tmp_path: Path) -> None:
    path = current_file(tmp_path, "clock;I/mA\n03:00:00;1\n03:10:00;2\n")
    with pytest.raises(CurrentError, match="does not overlap the frames"):
        corroscope.run(made / "frames", out=tmp_path / "out", current=path)


def test_a_current_that_cannot_be_placed_is_left_out(made: Path, tmp_path: Path) -> None:
    rows = [f"{0.1 * k:.1f};{1 + 0.01 * (k % 7)}" for k in range(400)]
    path = current_file(tmp_path, "\n".join(["time/s;I/mA", *rows]))
    corroscope.run(made / "frames", out=tmp_path / "out", current=path)
    assert pd.read_parquet(tmp_path / "out" / "current.parquet").empty
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "could not be brought together" in page


def test_options_of_a_current_without_one_are_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="current_unit"):
        corroscope.run(made / "frames", out=tmp_path / "out", current_unit="mA")


def test_an_unknown_alloy_is_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(CurrentError, match="unobtainium"):
        corroscope.run(made / "frames", out=tmp_path / "out", alloy="unobtainium")
