"""Comparing runs: what is written, and which results are refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from run_results import write_result

import corroscope
from corroscope.cli import main
from corroscope.errors import OutputError, SettingsError


def series(rate: int, frames: int = 11) -> list[int]:
    """Ejections of a run: what is there first does not count."""
    return [7, *([rate] * (frames - 1))]


def test_files_are_whole_and_agree(tmp_path: Path) -> None:
    tracks = [
        {"track": k, "first_s": k / 5, "area_px": 10.0 + k, "speed_px_s": 2.0, "settled_s": 9.0}
        for k in range(30)
    ]
    results = [
        write_result(
            tmp_path / f"{c}_{k}", concentration_mm=c, ejections=series(2), tracks=tracks, gaps=[5]
        )
        for c in (5.0, 30.0)
        for k in range(2)
    ]
    out = tmp_path / "out"
    figures = out / "figures"
    figures.mkdir(parents=True)
    (figures / "of-an-earlier-comparison.svg").write_text("old")
    found = corroscope.compare(results, out=out)
    runs = pd.read_csv(out / "runs.csv")
    assert runs["run"].tolist() == ["5.0_0", "5.0_1", "30.0_0", "30.0_1"]
    pd.testing.assert_frame_equal(
        runs[["ejections", "field_mm2"]],
        pd.read_parquet(out / "runs.parquet")[["ejections", "field_mm2"]],
    )
    units = {field.name: field.metadata[b"unit"] for field in pq.read_schema(out / "runs.parquet")}
    assert units["ejections_per_mm2_s"].decode() == "1/(mm² s)"
    conditions = pd.read_csv(out / "conditions.csv")
    metrics = json.loads((out / "metrics.json").read_text("utf-8"))
    assert len(conditions) == len(metrics["conditions"]) == 2 * len(metrics["compared"])
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    assert manifest["command"] == "compare"
    assert [one["name"] for one in manifest["results"]] == runs["run"].tolist()
    page = (out / "report.html").read_text("utf-8")
    assert metrics == found
    assert "Comparison of 4 runs" in page
    assert found["sentences"][0] == (
        "4 runs, over 10 s from the first usable frame. 5 mM, 1.6 V: 2 runs; 30 mM, 1.6 V: 2 runs."
    )
    assert found["sentences"][0] in page
    names = {path.stem for path in figures.glob("*.svg")}
    assert names == {path.stem for path in figures.glob("*.csv")}
    assert {"ejections-through-time", "particles-through-time", "areas", "area-median-um2"} <= names
    assert "of-an-earlier-comparison" not in names
    assert page.count('<svg class="plot"') == len(names)
    drawn = pd.read_csv(figures / "ejections-per-mm2-s.csv")
    assert drawn.loc[drawn["what"] == "run", "value"].tolist() == [4.0] * 4
    through = pd.read_csv(figures / "ejections-through-time.csv")
    assert through.groupby("run")["ejections"].max().tolist() == [40.0] * 4
    assert pd.read_csv(figures / "particles-through-time.csv")["particles"].isna().sum() == 4
    before = {path.name: path.read_bytes() for path in (out / "report.html", *figures.iterdir())}
    corroscope.compare(results, out=out)
    after = {path.name: path.read_bytes() for path in (out / "report.html", *figures.iterdir())}
    assert before == after


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    results = [write_result(tmp_path / f"r{k}", name="frames") for k in (1, 2)]
    found = corroscope.compare(results, out=tmp_path / "out")
    assert [one["run"] for one in found["runs"]] == ["frames (r1)", "frames (r2)"]
    deep = [write_result(tmp_path / f"{k}" / "result", name="frames") for k in (1, 2)]
    for number, folder in enumerate(deep):
        rewrite(folder, lambda it, n=number: it["sequence"].update(fingerprint=str(n)))  # type: ignore[misc]
    found = corroscope.compare(deep, out=tmp_path / "out")
    assert [one["run"] for one in found["runs"]] == ["frames (result) [1]", "frames (result) [2]"]


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    change(content)
    (folder / "manifest.json").write_text(json.dumps(content))


def test_kinds_are_not_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, other = (write_result(tmp_path / name) for name in "ab")
    rewrite(other, lambda it: it.update(command="evaluate"))
    with pytest.raises(SettingsError, match=r"b: written by evaluate; give folders of one kind"):
        corroscope.compare([run, other], out=tmp_path / "out")
    assert main(["compare", str(run), str(other), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    rewrite(other, lambda it: it.update(command="segment"))
    with pytest.raises(SettingsError, match=r"b: written by segment; give folders that"):
        corroscope.compare([run, other], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("table", ["frames", "rates", "track_summary", "pit_summary"])
def test_a_result_without_a_table(tmp_path: Path, table: str) -> None:
    run, old = (write_result(tmp_path / name) for name in ("new", "old"))
    (old / f"{table}.parquet").unlink()
    with pytest.raises(OutputError, match=rf"old: has no {table}.parquet, .*; run again"):
        corroscope.compare([run, old], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _broken_table(folder: Path) -> None:
    (folder / "rates.parquet").write_bytes(b"no table")


def _without_column(folder: Path) -> None:
    frame = pd.read_parquet(folder / "track_summary.parquet").drop(columns="area_px")
    frame.to_parquet(folder / "track_summary.parquet")


def _without_conditions(folder: Path) -> None:
    rewrite(folder, lambda it: it["sequence"].pop("conditions"))


def _without_settings(folder: Path) -> None:
    rewrite(folder, lambda it: it.pop("settings"))


def _with_words_for_a_size(folder: Path) -> None:
    rewrite(folder, lambda it: it["settings"].update(pixel_size_um="small"))


def _with_a_broken_mask(folder: Path) -> None:
    rewrite(folder, lambda it: it["sequence"].pop("shape"))
    (folder / "masks").mkdir()
    (folder / "masks" / "a_mask.png").write_bytes(b"no picture")


@pytest.mark.parametrize(
    "harm",
    [
        _broken_table, _without_column, _without_conditions, _without_settings,
        _with_words_for_a_size, _with_a_broken_mask,
    ],
)  # fmt: skip
def test_broken_results(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    run, broken = (write_result(tmp_path / name) for name in ("whole", "broken"))
    harm(broken)
    with pytest.raises(OutputError, match=r"broken: .*; run again") as caught:
        corroscope.compare([run, broken], out=tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_a_sequence_is_no_repeat_of_itself(tmp_path: Path) -> None:
    run, again = (write_result(tmp_path / name) for name in "ab")
    with pytest.raises(SettingsError, match="results of one sequence"):
        corroscope.compare([run, run], out=tmp_path / "out")
    rewrite(again, lambda it: it["sequence"].update(fingerprint="of a"))
    with pytest.raises(SettingsError, match=r"a and .*b: results of one sequence"):
        corroscope.compare([run, again], out=tmp_path / "out")
