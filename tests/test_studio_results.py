"""Results of runs in the studio: what the page is told of them, and the runs that it starts."""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from annotating import images_in, speck
from numpy.typing import NDArray
from studios import Served, studio

import corroscope
from corroscope.annotation.outlines import fill
from corroscope.cli import main
from corroscope.errors import StudioError
from corroscope.frames.reading import read_frame
from corroscope.outputs import write_png
from corroscope.studio.children import Child
from corroscope.studio.results.results import present
from corroscope.studio.results.running import Progress
from corroscope.synthesis.settings import make_synth_settings

SIDE = 128
COUNT = 4


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic run with a crowd of particles, and its result in the frames' folder."""
    settings = make_synth_settings({"particles": {"per_mpx": 2500}, "camera": {"drift_px": 6}})
    out = tmp_path_factory.mktemp("made") / "run"
    frames = corroscope.synth(out=out, settings=settings, size=SIDE, frames=COUNT, seed=3)
    corroscope.run(frames / "frames", out=frames / "frames/results/run1", pixel_size=0.5)
    return frames / "frames"


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "frames"))


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    with studio(folder) as served:
        yield served


def _listed(served: Served) -> list[dict[str, Any]]:
    told = served.get("/api/results").content["results"]
    return list(told)


def _table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "results/run1/particles.csv")


def _image(served: Served, name: str, result: int = 1, around: int = 0) -> Any:
    return served.get(f"/api/results/{result}/images/{served.place.opaque[name]}?around={around}")


def _mask(folder: Path, name: str) -> NDArray[np.bool_]:
    return read_frame(folder / f"results/run1/masks/{Path(name).stem}_mask.png") > 0


def test_a_result_tells_its_frames_sizes_and_how_it_was_made(folder: Path, served: Served) -> None:
    (only,) = _listed(served)
    assert (only["number"], only["name"], only["state"]) == (1, "run1", "finished")
    told = served.get("/api/results/1").content
    frames, particles = pd.read_csv(folder / "results/run1/frames.csv"), _table(folder)
    assert [frame["particles"] for frame in told["frames"]] == frames["particles"].tolist()
    assert [frame["time_s"] for frame in told["frames"]] == pytest.approx(frames["time_s"].tolist())
    assert [frame["id"] for frame in told["frames"]] == [
        served.place.opaque[name] for name in frames["image"]
    ]
    sizes = told["sizes"]
    assert (sizes["unit"], sizes["total"], sum(sizes["counts"])) == (
        "µm²", len(particles), len(particles),
    )  # fmt: skip
    assert sizes["median"] == pytest.approx(particles["area_um2"].median())
    assert dict(told["made"])["Pixel size, µm"] == "0.5"
    assert {column["unit"] for column in told["columns"]} == {"", "px", "px²", "µm", "µm²"}
    assert told["command"].endswith(f"--result {folder / 'results/run1'}")
    picture = served.get("/api/results/1/overview")
    assert picture.headers["content-type"] == "image/png"
    assert picture.body == (folder / "results/run1/overview.png").read_bytes()


def test_rows_are_those_of_the_table_and_rings_those_of_the_mask(
    folder: Path, served: Served
) -> None:
    table = _table(folder)
    columns = [c["name"] for c in served.get("/api/results/1").content["columns"]]
    name = served.place.names[-1]
    told = _image(served, name).content
    rows = table[table["image"] == name]
    assert len(rows) > 5
    assert told["frame"] == COUNT - 1
    np.testing.assert_allclose(told["rows"], rows[columns], rtol=1e-5)
    mask = _mask(folder, name)
    for rings, (_, row) in zip(told["rings"], rows.iterrows(), strict=True):
        filled = fill([np.reshape(ring, (-1, 2)) for ring in rings], (SIDE, SIDE))
        assert filled.sum() == row["area_px"]
        assert (mask | ~filled).all()
        assert np.nonzero(filled)[0].mean() == pytest.approx(row["y_px"])
        assert np.nonzero(filled)[1].mean() == pytest.approx(row["x_px"])


def test_trails_are_the_neighbours_particles_moved_by_the_drift(
    folder: Path, served: Served
) -> None:
    table = _table(folder)
    frames = pd.read_csv(folder / "results/run1/frames.csv")
    told = _image(served, served.place.names[2], around=1).content["trails"]
    assert [trail["by"] for trail in told] == [-1, 1]
    for trail in told:
        there = table[table["frame"] == 2 + trail["by"]]
        moved = frames[["dy_px", "dx_px"]].diff(-trail["by"]).to_numpy()[2]
        expected = there[["y_px", "x_px"]].to_numpy() + moved
        np.testing.assert_allclose(np.reshape(trail["points"], (-1, 2)), expected, atol=1e-3)
    assert abs(frames["dy_px"].diff()[1:]).max() > 0.1
    assert _image(served, served.place.names[2]).content["trails"] == []


@pytest.mark.parametrize("around", ["-1", "21", "x", "1.5", "", "%D9%A3", "1" * 500])
def test_how_many_neighbours_is_a_small_number(served: Served, around: str) -> None:
    address = f"/api/results/1/images/{served.place.opaque[served.place.names[0]]}"
    assert served.get(f"{address}?around={around}").status == 400


def test_an_image_that_the_run_has_not_seen_or_not_segmented_says_so(folder: Path) -> None:
    names = sorted(path.name for path in folder.glob("*.tif"))
    shutil.copy(folder / names[0], folder / "30mM_1.6V-w-snaps-23-00-00.000.tif")
    frames = pd.read_parquet(folder / "results/run1/frames.parquet")
    frames.loc[1, "segmented"] = False
    frames.loc[1, "remark"] = "was too dark"
    frames.to_parquet(folder / "results/run1/frames.parquet")
    with studio(folder) as served:
        new = _image(served, "30mM_1.6V-w-snaps-23-00-00.000.tif").content
        gap = _image(served, names[1]).content
        told = served.get("/api/results/1").content["frames"][1]
    assert (new["frame"], new["rows"]) == (None, [])
    assert "run1 has not seen this image" in new["remark"]
    assert (gap["segmented"], gap["rows"], gap["remark"]) == (False, [], "was too dark")
    assert (told["particles"], told["remark"]) == (None, "was too dark")


@pytest.fixture
def take(served: Served) -> Callable[..., Any]:
    def act(name: str, **deed: Any) -> Any:
        address = f"/api/images/{served.place.opaque[name]}"
        revision = served.get(address).content["revision"]
        content = {"act": os.urandom(8).hex(), "revision": revision}
        return served.post(f"{address}/act", content | {"deed": {"do": "take", **deed}})

    return act


def test_particles_are_taken_as_annotation_of_the_image(
    folder: Path, served: Served, take: Callable[..., Any]
) -> None:
    name = served.place.names[-1]
    answer = take(name, result=1)
    assert answer.status == 200
    stem = Path(name).stem
    np.testing.assert_array_equal(read_frame(folder / f"{stem}_mask.png") > 0, _mask(folder, name))
    rows = _table(folder)
    rows = rows[rows["image"] == name]
    assert [one["area_px"] for one in answer.content["changed"]] == rows["area_px"].tolist()
    how = json.loads((folder / "annotation/journal.jsonl").read_text().splitlines()[-1])
    assert how["entry"]["how"]["result"]["name"] == "run1"
    assert how["entry"]["how"]["result"]["network_sha256"]
    again = take(name, result=1)
    assert (again.status, "annotated already" in again.content["error"]) == (422, True)


def test_some_particles_are_taken_and_the_others_come_beside_them(
    served: Served, take: Callable[..., Any]
) -> None:
    name = served.place.names[-1]
    whole = _image(served, name).content
    first = take(name, result=1, particles=[2, 3]).content["changed"]
    assert [one["rings"] for one in first] == whole["rings"][1:3]
    told = _image(served, name).content["taken"]
    assert [number for number, taken in enumerate(told, start=1) if taken] == [2, 3]
    rest = take(name, result=1).content["changed"]
    assert all(_image(served, name).content["taken"])
    assert [one["rings"] for one in rest] == [whole["rings"][0], *whole["rings"][3:]]


def test_a_particle_named_twice_is_taken_once(served: Served, take: Callable[..., Any]) -> None:
    answer = take(served.place.names[-1], result=1, particles=[2, 2])
    assert answer.content["count"] == 1


def test_what_cannot_be_taken_is_one_line(served: Served, take: Callable[..., Any]) -> None:
    name = served.place.names[-1]
    for deed in ({"result": 9}, {"result": 1, "particles": [9999]}, {"result": -1}):
        answer = take(name, **deed)
        assert answer.status == 422
        assert "\n" not in answer.content["error"]
    assert "there is no such result" in answer.content["error"]
    assert served.get(f"/api/images/{served.place.opaque[name]}").content["objects"] == []


def test_what_is_there_already_does_not_come_again() -> None:
    here, near, far = speck(5, 5), speck(5, 6), speck(20, 20)
    assert present([here, far], [near]) == [True, False]
    assert present([here, far], []) == [False, False]
    assert present([speck(5, 8)], [here]) == [False]


def test_unknown_numbers_are_not_found(served: Served) -> None:
    opaque = served.place.opaque[served.place.names[0]]
    for address in ("0", "2", "99999999999999999999", "-1", "1.0", "..", "%2e%2e", "run1"):
        assert served.get(f"/api/results/{address}").status == 404
        assert served.get(f"/api/results/{address}/overview").status == 404
        assert served.get(f"/api/results/{address}/images/{opaque}").status == 404
    assert served.get("/api/results/1/images/0123").status == 404
    assert served.get("/api/results/1/masks").status == 404


def test_a_result_without_an_overview_shows_none(folder: Path, served: Served) -> None:
    picture = folder / "results/run1/overview.png"
    for content in (b"GIF89a", None):
        if content is None:
            picture.unlink()
        else:
            picture.write_bytes(content)
        assert not served.get("/api/results/1").content["overview"]
        assert served.get("/api/results/1/overview").status == 404


def _break_frames(result: Path) -> None:
    (result / "frames.parquet").write_bytes(b"PAR1 no table PAR1")


def _other_columns(result: Path) -> None:
    pd.DataFrame({"image": ["a"], "frame": ["x"]}).to_parquet(result / "frames.parquet")


def _break_particles(result: Path) -> None:
    (result / "particles.parquet").write_bytes(b"")


def _other_images(result: Path) -> None:
    frames = pd.read_parquet(result / "frames.parquet")
    frames["image"] = [f"other{k}.tif" for k in range(COUNT)]
    frames.to_parquet(result / "frames.parquet")


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (_break_frames, "run1: frames.parquet cannot be read"),
        (_other_columns, "run1: frames.parquet cannot be read"),
        (_break_particles, "run1: particles.parquet cannot be read"),
        (_other_images, "run1: is a result of other images: none of its 4 frames is in frames"),
    ],
)
def test_a_broken_or_foreign_result_is_one_line(
    folder: Path, harm: Callable[[Path], None], reason: str
) -> None:
    harm(folder / "results/run1")
    with studio(folder) as served:
        (told,) = _listed(served)
        answer = served.get("/api/results/1")
        picture = _image(served, served.place.names[0])
    assert told["state"] == "unreadable"
    assert told["problem"].startswith(reason)
    assert (answer.status, picture.status) == (422, 422)
    assert answer.content["error"] == told["problem"]


def test_sizes_that_are_none_are_one_line(folder: Path) -> None:
    file = folder / "results/run1/particles.parquet"
    particles = pd.read_parquet(file)
    particles.loc[0, "area_um2"] = 0.0
    particles.to_parquet(file)
    with studio(folder) as served:
        answer = served.get("/api/results/1")
    assert (answer.status, answer.content["error"][:30]) == (422, "run1: particles.parquet cannot")


def test_mask_and_table_that_do_not_fit_together_are_one_line(folder: Path) -> None:
    names = sorted(path.name for path in folder.glob("*.tif"))
    masks = folder / "results/run1/masks"
    write_png(masks / f"{Path(names[1]).stem}_mask.png", np.zeros((SIDE, SIDE), np.uint8))
    larger = np.pad(read_frame(masks / f"{Path(names[2]).stem}_mask.png"), ((0, 1), (0, 0)))
    write_png(masks / f"{Path(names[2]).stem}_mask.png", larger.astype(np.uint8))
    (masks / f"{Path(names[3]).stem}_mask.png").write_bytes(b"")
    with studio(folder) as served:
        for name in names[1:3]:
            answer = _image(served, name)
            assert (answer.status, "do not fit together" in answer.content["error"]) == (422, True)
        answer = _image(served, names[3])
        assert (answer.status, "cannot be read" in answer.content["error"]) == (422, True)


def test_a_run_without_particles_has_no_sizes(made: Path, tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.random.default_rng(0).integers(90, 110, (64, 64), np.uint8))
    result = tmp_path / "results/run1"
    corroscope.run(tmp_path, out=result)
    with studio(tmp_path) as served:
        told = served.get("/api/results/1").content
        image = _image(served, "a.png", around=3).content
    assert told["sizes"] == {"unit": "px²", "counts": [], "edges": [], "total": 0, "median": None}
    assert told["frames"][0]["time_s"] is None
    assert (image["segmented"], image["rows"], image["trails"]) == (True, [], [])


def test_only_runs_in_the_folder_are_found_and_links_out_of_it_are_not_followed(
    folder: Path, tmp_path: Path
) -> None:
    outside = Path(shutil.copytree(folder / "results/run1", tmp_path / "outside"))
    (folder / "results/link").symlink_to(outside)
    (folder / "results/empty").mkdir()
    (folder / "results/notes.txt").touch()
    for name in ("overview.png", "particles.parquet"):
        (folder / f"results/run1/{name}").unlink()
        (folder / f"results/run1/{name}").symlink_to(outside / name)
    (folder / "results/run1/masks").rename(folder / "results/elsewhere")
    (folder / "results/run1/masks").symlink_to(outside / "masks")
    with studio(folder) as served:
        (told,) = _listed(served)
        assert (told["name"], told["state"]) == ("run1", "unreadable")
        assert "is a link out of the folder" in told["problem"]
        assert served.get("/api/results/1/overview").status == 422
        assert _image(served, served.place.names[1]).status == 422
    shutil.rmtree(folder / "results")
    (folder / "results").symlink_to(tmp_path)
    with studio(folder) as served:
        assert _listed(served) == []
        assert served.post("/api/results/start", {}).status == 422
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frames", "outside"]


def test_results_are_named_on_the_command_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.move(folder / "results/run1", other)
    with studio(folder, results=[other]) as served:
        (told,) = _listed(served)
        assert (told["name"], told["state"]) == ("other", "finished")
        assert len(_image(served, served.place.names[-1]).content["rows"]) > 5
    (folder / "nothing").mkdir()
    images_in(folder / "nothing")
    for path, line in (
        (tmp_path / "missing", "no such folder; give one that `corroscope run` wrote"),
        (folder, "holds no finished result of `corroscope run`"),
    ):
        assert main(["annotate", str(folder), "--no-browser", "--result", str(path)]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert line in said
    asked = ["annotate", str(folder / "nothing"), "--no-browser", "--result", str(other)]
    assert main(asked) == 2
    assert "none of its 4 frames is in nothing; open their folder" in capsys.readouterr().err


def test_a_stack_or_a_video_is_no_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stack, video, broken = (folder / name for name in ("stack.tif", "video.mp4", "broken.tif"))
    tifffile.imwrite(stack, np.zeros((3, 16, 20), np.uint8), photometric="minisblack")
    for file in (video, broken):
        file.write_bytes(b"no image")
    for file in (stack, video, broken):
        assert main(["annotate", str(file), "--no-browser"]) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        assert "is a file; the studio opens folders of images. `corroscope prepare` writes" in told


def test_nor_is_an_image(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_png(folder / "one.png", np.zeros((16, 20), np.uint8))
    for file in (folder / "one.png", next(folder.glob("*.tif"))):
        assert main(["annotate", str(file), "--no-browser"]) == 2
        told = f"corroscope annotate: {file}: is an image; give the folder it is in\n"
        assert capsys.readouterr().err == told


# Runs that the page starts


def _until(served: Served, done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask until something is so; a minute is long enough for anything here."""
    for _ in range(600):
        told = served.get("/api/results").content
        if done(told):
            return dict(told)
        time.sleep(0.1)
    raise AssertionError(told)


def test_a_run_is_started_stopped_and_goes_on(folder: Path) -> None:
    for k in range(36):  # long enough to be stopped
        shutil.copy(
            folder / sorted(p.name for p in folder.glob("*56.446.tif"))[0],
            folder / f"30mM_1.6V-w-snaps-18-28-{k:02d}.000.tif",
        )
    with studio(folder) as served:
        told = served.get("/api/results").content
        assert told["run"] == {"running": False}
        out = folder / "results/run2"
        assert told["next"] == {
            "name": "run2",
            "command": f"corroscope run {folder} --out {out}",
        }
        status = served.post(
            "/api/results/start", {"options": {"pixel_size": 0.42, "threshold": 0.3}}
        ).content
        assert (status["running"], status["name"], status["total"]) == (True, "run2", COUNT + 36)
        command = f"corroscope run {folder} --out {out} --pixel-size 0.42 --threshold 0.3"
        assert status["command"] == command
        refused = served.post("/api/results/start", {})
        assert (refused.status, "stop it first" in refused.content["error"]) == (422, True)
        _until(served, lambda t: t["run"]["done"] > 0)
        assert served.post("/api/results/stop", {}).content["stopping"]
        told = _until(served, lambda t: not t["run"]["running"])
        assert told["run"]["problem"] == "run2 was stopped; it goes on where it was"
        one, two = told["results"]
        assert (one["state"], two["state"], two["again"]) == ("finished", "unfinished", True)
        assert two["command"] == command
        assert not (out / "frames.csv").exists()
        assert served.get(f"/api/results/{two['number']}").status == 422
        journal = (out / "journal.jsonl").read_text()
        status = served.post("/api/results/start", {"again": two["number"]}).content
        assert (status["name"], status["command"]) == ("run2", command)
        told = _until(served, lambda t: not t["run"]["running"])
        assert told["run"]["problem"] is None
        assert [one["state"] for one in told["results"]] == ["finished", "finished"]
        assert served.get(f"/api/results/{two['number']}").content["command"] == command
    assert (out / "journal.jsonl").read_text().startswith(journal)
    assert len(pd.read_csv(out / "frames.csv")) == COUNT + 36


def test_a_run_ends_with_the_studio(folder: Path) -> None:
    with studio(folder) as served:
        assert served.post("/api/results/start", {}).content["running"]
        assert [thread for thread in threading.enumerate() if thread.name == "child"]
    assert not [thread for thread in threading.enumerate() if thread.name == "child"]
    assert not (folder / "results/run2/frames.csv").exists()


def test_a_run_that_cannot_be_says_why_and_leaves_its_number(folder: Path) -> None:
    for path in folder.glob("*.tif"):
        path.rename(path.with_name(f"{path.stem[-12:-4]}.tif"))
    (folder / "odd.tif").write_bytes(next(folder.glob("*-*.tif")).read_bytes())
    with studio(folder) as served:
        served.post("/api/results/start", {})
        told = _until(served, lambda t: not t["run"]["running"])
        assert "odd.tif: has no clock in its name, 4 others have one" in told["run"]["problem"]
        assert told["next"]["name"] == "run3"


def test_only_what_the_page_has_started_goes_on(folder: Path) -> None:
    with studio(folder) as served:
        for number in (1, 7):
            answer = served.post("/api/results/start", {"again": number})
            assert (answer.status, "not started from here" in answer.content["error"]) == (
                422, True,
            )  # fmt: skip
        for options in ({"pixel_size": 0}, {"threshold": 1}, {"interval": -1}, {"model": "/etc"}):
            assert served.post("/api/results/start", {"options": options}).status == 400
        assert served.post("/api/results/stop", {}).content == {"running": False}
    assert not (folder / "results/run2.log").exists()


def test_progress_counts_whole_lines_of_the_journal(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    progress = Progress(file)
    assert progress.look() == ("align", 0)
    line = '{"stage": "align", "key": "a", "content": {}}\n'
    file.write_text('{"asked": {}}\n' + line + line[:20])
    assert progress.look() == ("align", 1)
    with file.open("a") as journal:
        journal.write(line[20:] + line.replace("align", "segment"))
    assert progress.look() == ("segment", 1)


# Commands in processes of their own


def test_a_child_tells_its_end_and_its_last_word(tmp_path: Path) -> None:
    ended = threading.Event()
    child = Child(lambda: ended.set() if not child.running else None)
    assert (child.running, child.returncode, child.last_error_line()) == (False, None, "")
    child.stop()
    child.close()
    log = tmp_path / "logs/child.log"
    child.start(["run", str(tmp_path / "missing"), "--out", str(tmp_path / "out")], log)
    assert ended.wait(60)
    assert (child.running, child.returncode) == (False, 2)
    assert child.last_error_line().endswith("missing: no such folder or file; check the path")
    precious = tmp_path / "precious"
    precious.write_text("keep")
    log.unlink()
    assert child.last_error_line() == ""
    log.symlink_to(precious)
    assert child.last_error_line() == ""
    child.start(["--version"], log)
    with pytest.raises(StudioError, match="is running already"):
        child.start(["--version"], log)
    child.close()
    assert precious.read_text() == "keep"
    assert not child.running


def test_a_child_without_a_place_for_its_words_is_not_started(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    child = Child()
    with pytest.raises(StudioError, match="cannot start `corroscope`"):
        child.start(["--version"], tmp_path / "file/child.log")
    assert child.returncode is None
