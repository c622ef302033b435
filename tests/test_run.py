"""A whole sequence in, masks and tables out, and on again where it was stopped."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from numpy.typing import NDArray

import corroscope
from corroscope.errors import BatchError, FrameError, OutputError, SettingsError
from corroscope.frames.alignment import Aligner
from corroscope.frames.contrast import relative_contrast
from corroscope.frames.reading import frame_sha256, read_frame
from corroscope.frames.resampling import aligned_reference
from corroscope.journal import Journal
from corroscope.learning.export import export_bundle
from corroscope.learning.networks import build_network
from corroscope.learning.settings import make_settings as make_train_settings
from corroscope.outputs import write_mask
from corroscope.pipeline import passes
from corroscope.pipeline import run as running
from corroscope.segmentation import segmenter as segmenter_module
from corroscope.segmentation.bundle import Bundle
from corroscope.segmentation.engines import Engine, EngineName, Precision, start_engine
from corroscope.segmentation.particles import OperatingPoint
from corroscope.segmentation.segmenter import Segmentation, Segmenter
from corroscope.synthesis.settings import make_synth_settings
from corroscope.tables import PARTICLES, PARTICLES_UM, SEGMENTED_FRAMES

SIDE = 160
COUNT = 7
BLANK = np.full((SIDE, SIDE), 200, np.uint8)
NOISE = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE)).astype(np.uint8)

Calls = Counter[str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic run with a crowd of particles, and its truth."""
    settings = make_synth_settings({"particles": {"per_mpx": 2000}, "camera": {"drift_px": 6}})
    out = tmp_path_factory.mktemp("made") / "run"
    return corroscope.synth(out=out, settings=settings, size=SIDE, frames=COUNT, seed=3)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of its frames."""
    return Path(shutil.copytree(made / "frames", tmp_path / "frames"))


@pytest.fixture(autouse=True)
def no_page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page takes longer than these short runs; one test looks at it."""
    if "overview" not in request.node.name:
        monkeypatch.setattr(running, "draw_overview", lambda *_: None)
        monkeypatch.setattr(running, "show", lambda *_: None)


@pytest.fixture(autouse=True, scope="module")
def once() -> Iterator[None]:
    """Networks are compiled and packages looked up once for all tests."""
    engines: dict[tuple[str, ...], Engine] = {}

    def start(bundle: Bundle, engine: EngineName, precision: Precision) -> Engine:
        key = (bundle.card.network_sha256, engine, precision)
        if key not in engines:
            engines[key] = start_engine(bundle, engine, precision)
        return engines[key]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(segmenter_module, "start_engine", start)
        found = metadata.packages_distributions()
        patched.setattr(metadata, "packages_distributions", lambda: found)
        yield


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """How often a frame was measured and segmented."""
    counted: Calls = Counter()
    measure, segment = Aligner.measure, Segmenter.__call__

    def measuring(*given: Any) -> Any:
        counted["measured"] += 1
        return measure(*given)

    def segmenting(*given: Any) -> Any:
        counted["segmented"] += 1
        return segment(*given)

    monkeypatch.setattr(Aligner, "measure", measuring)
    monkeypatch.setattr(Segmenter, "__call__", segmenting)
    return counted


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles that have learnt nothing: one sees single frames, one compares."""
    made = {}
    for name, alone in (("alone", 1.0), ("compares", 0.4)):
        settings = make_train_settings({"pairing": {"alone": alone}, "widths": (4, 8)})
        made[name] = tmp_path_factory.mktemp("bundles") / name
        export_bundle(
            build_network(settings), settings, made[name], name=name, point=OperatingPoint(0.5, 1),
            training={}, metrics={}, provenance={},
        )  # fmt: skip
    return made


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix == ".tif")


def written(out: Path) -> dict[str, bytes]:
    """Everything in a folder but the journal, whose lines may come in another order."""
    paths = (path for path in out.rglob("*") if path.is_file() and path.name != running.JOURNAL)
    return {str(path.relative_to(out)): path.read_bytes() for path in paths}


def gaps(out: Path) -> dict[int, str]:
    """Frames that were not segmented, with remarks; and see that nothing passes for them."""
    table = pd.read_csv(out / "frames.csv", keep_default_na=False)
    missing = table[~table["segmented"]]
    assert (missing["particles"] == "").all()
    assert (table[table["segmented"]]["remark"] == "").all()
    particles = pd.read_csv(out / "particles.csv")
    assert not set(particles["frame"]) & set(missing["frame"])
    masks = {path.name for path in (out / "masks").iterdir()}
    segmented = table["image"][table["segmented"]]
    assert masks == {f"{image.removesuffix('.tif')}_mask.png" for image in segmented}
    return {int(n): str(remark) for n, remark in missing[["frame", "remark"]].to_numpy()}


# What is written


def test_files_tables_and_masks(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    particles = corroscope.run(made / "frames", out=out)
    names = {path.name for path in out.iterdir()}
    written_tables = (
        "particles", "frames", "tracks", "track_summary", "pits", "pit_summary", "events",
        "bursts", "rates",
    )  # fmt: skip
    tables = {f"{name}.{kind}" for name in written_tables for kind in ("csv", "parquet")}
    fiji = {"tracks.xml", "tracks_spots.csv"}
    assert names == {*tables, *fiji, "masks", "manifest.json", "journal.jsonl"}
    frames = pd.read_parquet(out / "frames.parquet")
    assert [str(frames[c.name].dtype) for c in SEGMENTED_FRAMES] == [
        c.dtype for c in SEGMENTED_FRAMES
    ]
    pd.testing.assert_frame_equal(particles, pd.read_parquet(out / "particles.parquet"))
    assert [str(particles[c.name].dtype) for c in PARTICLES] == [c.dtype for c in PARTICLES]
    truth = pd.read_csv(made / "truth" / "frames.csv")
    assert frames["image"].tolist() == truth["image"].tolist()
    assert frames["time_s"].tolist() == pytest.approx(truth["time_s"].tolist(), abs=1e-3)
    assert frames["segmented"].all()
    for number, image in enumerate(frames["image"]):
        mask = read_frame(out / "masks" / f"{Path(image).stem}_mask.png")
        assert (mask.shape, str(mask.dtype)) == ((SIDE, SIDE), "uint8")
        assert set(np.unique(mask)) <= {0, 255}
        found = particles[particles["frame"] == number]
        assert int((mask > 0).sum()) == found["area_px"].sum()
        assert len(found) == frames["particles"][number]
        assert (found["image"] == image).all()
        assert (found["time_s"] == frames["time_s"][number]).all()
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["command"] == "run"
    assert manifest["reference"] == frames["image"][0]
    assert manifest["sequence"]["frames"] == COUNT
    assert manifest["bundle"]["network_sha256"] == manifest["settings"]["bundle"]


def test_nothing_has_come_in_the_first_frame_and_much_in_the_last(
    made: Path, tmp_path: Path
) -> None:
    frames = corroscope.run(made / "frames", out=tmp_path).groupby("frame").size()
    assert 0 not in frames
    assert frames[COUNT - 1] > 3


def test_drift_and_places_in_the_reference_are_the_true_ones(made: Path, tmp_path: Path) -> None:
    particles = corroscope.run(made / "frames", out=tmp_path)
    frames = pd.read_csv(tmp_path / "frames.csv")
    truth = pd.read_csv(made / "truth" / "frames.csv")
    assert np.ptp(truth[["dy_px", "dx_px"]].to_numpy()) > 3
    for axis in ("y", "x"):
        assert np.abs(frames[f"d{axis}_px"] - truth[f"d{axis}_px"]).max() < 0.1
        moved = particles[f"{axis}_px"] - particles[f"{axis}_ref_px"]
        true = truth[f"d{axis}_px"].to_numpy()[particles["frame"]]
        assert np.abs(moved - true).max() < 0.1
    known = pd.read_csv(made / "truth" / "particles.csv")
    beside = 0
    for number, found in particles.groupby("frame"):
        there = known[known["frame"] == number]
        apart = [found[[f"{a}_ref_px"]].to_numpy() - there[f"{a}_ref_px"].to_numpy() for a in "yx"]
        beside += int((np.hypot(*apart).min(axis=1, initial=np.inf) < 1.5).sum())
    assert beside > len(particles) / 2


def test_dark_specks_that_were_there_already_are_not_found(tmp_path: Path) -> None:
    settings = make_synth_settings(
        {
            "surface": {"specks_per_mpx": 6000}, "particles": {"per_mpx": 0},
            "pits": {"per_mpx": 0, "fewest": 0}, "bubbles": {"per_mpx": 0},
        }
    )  # fmt: skip
    made = corroscope.synth(out=tmp_path / "still", settings=settings, size=SIDE, frames=4)
    last = files(made / "frames")[-1:]
    alone = corroscope.segment(last, out=tmp_path / "alone")
    assert len(alone) > 10
    particles = corroscope.run(made / "frames", out=tmp_path / "out")
    assert len(particles[particles["frame"] == 3]) < len(alone) / 5


def test_a_pixel_size_adds_columns(made: Path, tmp_path: Path) -> None:
    particles = corroscope.run(made / "frames", out=tmp_path, pixel_size=0.5)
    assert list(particles.columns) == [column.name for column in PARTICLES + PARTICLES_UM]
    assert np.allclose(particles["area_um2"], particles["area_px"] * 0.25)


def test_overview_shows_the_run(made: Path, tmp_path: Path) -> None:
    corroscope.run(made / "frames", out=tmp_path)
    page = read_frame(tmp_path / "overview.png")
    assert min(page.shape) > 500
    assert page.std() > 10


def test_progress_tells_of_each_frame_and_stage(made: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    corroscope.run(made / "frames", out=tmp_path, progress=lambda *told: seen.append(told))
    stages = [(stage, n + 1, COUNT) for stage in ("align", "segment") for n in range(COUNT)]
    assert seen == stages


# On again


@pytest.mark.parametrize(("stage", "done"), [("align", 3), ("segment", 1), ("segment", COUNT)])
def test_a_run_that_was_stopped_goes_on(
    folder: Path, tmp_path: Path, calls: Calls, stage: str, done: int
) -> None:
    corroscope.run(folder, out=tmp_path / "whole")
    calls.clear()

    def stop(*told: object) -> None:
        if told[:2] == (stage, done):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        corroscope.run(folder, out=tmp_path / "out", progress=stop)
    assert not (tmp_path / "out" / "particles.csv").exists()
    particles = corroscope.run(folder, out=tmp_path / "out")
    assert calls == {"measured": COUNT, "segmented": COUNT}
    assert written(tmp_path / "out") == written(tmp_path / "whole")
    again = corroscope.run(folder, out=tmp_path / "out")
    assert calls == {"measured": COUNT, "segmented": COUNT}
    pd.testing.assert_frame_equal(again, particles)


def test_an_error_in_the_middle_costs_that_frame_alone(
    folder: Path, tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = Segmenter.__call__

    def fail(*given: Any) -> Segmentation:
        if calls["segmented"] == 2:
            raise MemoryError
        return segment(*given)

    with monkeypatch.context() as patched:
        patched.setattr(Segmenter, "__call__", fail)
        with pytest.raises(MemoryError):
            corroscope.run(folder, out=tmp_path / "out")
    corroscope.run(folder, out=tmp_path / "out")
    assert calls == {"measured": COUNT, "segmented": COUNT}


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_a_run_that_was_killed_goes_on(folder: Path, tmp_path: Path, calls: Calls) -> None:
    script = """
import os, signal, sys
import corroscope
def kill(stage, done, total):
    if (stage, done) == ("segment", 3):
        os.kill(os.getpid(), signal.SIGKILL)
corroscope.run(sys.argv[1], out=sys.argv[2], progress=kill)
"""
    words = [sys.executable, "-c", script, str(folder), str(tmp_path / "out")]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    with (tmp_path / "out" / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"stage": "segment", "frame": 3, "key": "30mM_1')
    corroscope.run(folder, out=tmp_path / "out")
    assert calls == {"segmented": COUNT - 3}
    corroscope.run(folder, out=tmp_path / "whole")
    assert written(tmp_path / "out") == written(tmp_path / "whole")


def test_frames_that_were_added_are_done_and_no_others(
    folder: Path, tmp_path: Path, calls: Calls
) -> None:
    late = files(folder)[-2:]
    for path in late:
        path.rename(tmp_path / path.name)
    assert corroscope.run(folder, out=tmp_path / "out")["frame"].max() < COUNT - 2
    for path in late:
        (tmp_path / path.name).rename(path)
    particles = corroscope.run(folder, out=tmp_path / "out")
    assert calls == {"measured": COUNT, "segmented": COUNT}
    assert particles["frame"].max() == COUNT - 1
    corroscope.run(folder, out=tmp_path / "whole")
    assert written(tmp_path / "out") == written(tmp_path / "whole")


def test_a_frame_that_was_added_in_between_is_done_and_no_other(
    folder: Path, tmp_path: Path, calls: Calls
) -> None:
    late = files(folder)[2]
    late.rename(tmp_path / late.name)
    corroscope.run(folder, out=tmp_path / "out")
    (tmp_path / late.name).rename(late)
    corroscope.run(folder, out=tmp_path / "out")
    assert calls == {"measured": COUNT, "segmented": COUNT}
    corroscope.run(folder, out=tmp_path / "whole")
    assert written(tmp_path / "out") == written(tmp_path / "whole")


def test_a_frame_that_has_changed_is_done_anew(folder: Path, tmp_path: Path, calls: Calls) -> None:
    before = corroscope.run(folder, out=tmp_path / "out")
    frame = read_frame(files(folder)[5])
    frame[70:76, 70:76] = 60
    frame[67:79, 67:79] = cv2.GaussianBlur(frame[67:79, 67:79], (0, 0), 1)  # as any lens does
    tifffile.imwrite(files(folder)[5], frame)
    calls.clear()
    after = corroscope.run(folder, out=tmp_path / "out")
    assert calls == {"measured": 1, "segmented": 1}
    pd.testing.assert_frame_equal(
        before[before["frame"] < 5].drop(columns=["y_ref_px", "x_ref_px"]),
        after[after["frame"] < 5].drop(columns=["y_ref_px", "x_ref_px"]),
    )
    mask = read_frame(tmp_path / "out" / "masks" / f"{files(folder)[5].stem}_mask.png")
    assert mask[72, 72] == 255


def test_a_mask_that_was_deleted_is_made_anew(folder: Path, tmp_path: Path, calls: Calls) -> None:
    corroscope.run(folder, out=tmp_path / "out")
    whole = written(tmp_path / "out")
    calls.clear()
    (tmp_path / "out" / "masks" / f"{files(folder)[4].stem}_mask.png").unlink()
    corroscope.run(folder, out=tmp_path / "out")
    assert calls == {"segmented": 1}
    assert written(tmp_path / "out") == whole


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"threshold": 0.77}, "threshold"),
        ({"min_area": 9}, "smallest area"),
        ({"peak": 0.9}, "peak"),
        ({"reference": "median:3"}, "reference"),
        ({"reference": "rolling:1"}, "reference"),
        ({"model": "compares"}, "bundle"),
        ({"engine": "onnxruntime", "precision": "f32"}, "engine"),
    ],
)
def test_a_run_that_was_asked_for_something_else_is_refused(
    folder: Path, tmp_path: Path, bundles: dict[str, Path], change: dict[str, Any], named: str
) -> None:
    for path in files(folder)[3:]:
        path.unlink()
    out = tmp_path / "out"
    point: dict[str, Any] = {"threshold": 0.4, "min_area": 5, "precision": "f32"}
    corroscope.run(folder, out=out, **point)
    before = written(out)
    if "model" in change:
        change = {"model": bundles[change["model"]]}
    with pytest.raises(OutputError, match=rf"out: holds a run with another {named}; choose anoth"):
        corroscope.run(folder, out=out, **{**point, **change})
    assert written(out) == before


def test_another_pixel_size_needs_no_new_run(folder: Path, tmp_path: Path, calls: Calls) -> None:
    corroscope.run(folder, out=tmp_path / "out")
    calls.clear()
    corroscope.run(folder, out=tmp_path / "out", pixel_size=2, interval=5)
    assert not calls
    assert pd.read_csv(tmp_path / "out" / "frames.csv")["time_s"][2] == 10


@pytest.mark.parametrize("in_mask", [True, False], ids=["in a mask", "in the journal"])
def test_a_full_disk_is_told_of_and_the_run_goes_on(
    folder: Path, tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch, in_mask: bool
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    place: tuple[object, str] = (Path, "write_bytes") if in_mask else (os, "fsync")

    def until_full(path: Path, mask: NDArray[np.bool_]) -> None:
        if calls["segmented"] == 3:
            monkeypatch.setattr(*place, full)
        write_mask(path, mask)

    with monkeypatch.context() as patched:
        patched.setattr(passes, "write_mask", until_full)
        with pytest.raises(OutputError, match="No space left on device.*make room"):
            corroscope.run(folder, out=tmp_path / "out")
    monkeypatch.undo()
    with monkeypatch.context() as patched:
        patched.setattr(running, "draw_overview", lambda *_: None)
        patched.setattr(running, "show", lambda *_: None)
        corroscope.run(folder, out=tmp_path / "out")
        corroscope.run(folder, out=tmp_path / "whole")
    assert calls == {"measured": COUNT, "segmented": 3}
    assert written(tmp_path / "out") == written(tmp_path / "whole")


# The journal


def test_half_a_line_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, {"a": 1}) as journal:
        for frame in (0, 1):
            journal.write("align", str(frame), {"dy": float("nan"), "name": "µ"})
    content = path.read_bytes()
    for cut in (1, 20):
        path.write_bytes(content[:-cut])
        with Journal(path, {"a": 1}) as journal:
            assert journal.read("align", "1") is None
            assert np.isnan((journal.read("align", "0") or {})["dy"])
            journal.write("align", "1", {"dy": 2})
            assert journal.read("align", "1") == {"dy": 2}
    for cut in range(1, content.index(b"\n")):
        path.write_bytes(content[:cut])
        with Journal(path, {"a": 1}) as journal:
            assert journal.read("align", "0") is None
        assert path.read_bytes() == content[: content.index(b"\n") + 1]


@pytest.mark.parametrize(
    "content",
    [
        b"5\n", b"null\n", b"[]\n", b"\n", b"\xff\xfe\n", b"notes of mine", b'{"a": 1}\n',
        b'{"asked": 3}\n', b'{"asked": {"a": 1}}\n{}\n{}\n', b'{"asked": {"a": 1}}\nx\n5\n',
        b'{"asked": {"a": 1}}\n[1]\n{}\n',
    ],
)  # fmt: skip
def test_a_foreign_journal_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(content)
    number = 2 if content.startswith(b'{"asked": {') else 1
    with pytest.raises(OutputError, match=rf"journal.jsonl: line {number} is none of a run; rem"):
        Journal(path, {"a": 1})
    assert path.read_bytes() == content


def test_a_foreign_journal_stops_a_run_before_anything_is_written(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "journal.jsonl").write_text("notes of mine\n")
    with pytest.raises(OutputError, match="line 1 is none of a run"):
        corroscope.run(folder, out=tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["journal.jsonl"]


def test_a_journal_that_cannot_be_written_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "journal.jsonl"
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="journal.jsonl: cannot be written .No space left"):
            Journal(path, {})
    with Journal(path, {}) as journal:
        journal.write("align", "0", {"dy": 1})
        before = path.read_bytes()
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(OutputError, match="make room, then run again and it goes on"):
                journal.write("align", "1", {"dy": 2})
        assert path.read_bytes() == before
        assert journal.read("align", "1") is None
        assert journal.read("align", "0") == {"dy": 1}
    with pytest.raises(OutputError, match="cannot be written .Is a directory"):
        Journal(tmp_path, {})


# Bad frames


def test_bad_frames_leave_gaps_and_the_others_are_done(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    corroscope.run(folder, out=out)
    paths = files(folder)
    paths[1].write_bytes(paths[1].read_bytes()[:5000])
    tifffile.imwrite(paths[2], NOISE)
    tifffile.imwrite(paths[3], read_frame(paths[3])[:100])
    tifffile.imwrite(paths[4], read_frame(paths[4]).astype(np.uint16))
    double = paths[5].with_name(f"{paths[5].stem}0.tif")
    shutil.copy(paths[5], double)
    tifffile.imwrite(paths[6], BLANK)
    with pytest.raises(BatchError, match=r"6 of 8 inputs failed, 2 done") as caught:
        corroscope.run(folder, out=out)
    assert list(caught.value.failures) == [paths[n].name for n in (1, 2, 3, 4)] + [
        double.name, paths[6].name,
    ]  # fmt: skip
    remarks = gaps(out)
    assert list(remarks) == [1, 2, 3, 4, 6, 7]
    for number, path, reason in (
        (1, paths[1], "broken or truncated TIFF"),
        (2, paths[2], f"cannot be aligned with the reference, {paths[0].name}"),
        (3, paths[3], "is 100 × 160 uint8, but"),
        (4, paths[4], "is 160 × 160 uint16, but"),
        (6, double, f"has the same time as {paths[5].name}"),
        (7, paths[6], "cannot be aligned with the reference"),
    ):
        assert path.name in remarks[number]
        assert reason in remarks[number]
    assert json.loads((out / "manifest.json").read_text())["sequence"]["frames"] == 8


def test_a_frame_that_has_become_good_is_done(folder: Path, tmp_path: Path, calls: Calls) -> None:
    path = files(folder)[3]
    content = path.read_bytes()
    path.write_bytes(content[:5000])
    with pytest.raises(BatchError):
        corroscope.run(folder, out=tmp_path / "out")
    double = path.with_name(f"{path.stem}0.tif")
    double.write_bytes(content)
    path.write_bytes(content)
    with pytest.raises(BatchError, match="has the same time as"):
        corroscope.run(folder, out=tmp_path / "out")
    assert list(gaps(tmp_path / "out")) == [4]
    corroscope.run(folder, out=tmp_path / "out", interval=1)
    assert gaps(tmp_path / "out") == {}


@pytest.mark.parametrize("first", [BLANK, b"broken"], ids=["blank", "unreadable"])
def test_a_bad_first_frame_leaves_the_reference_to_the_next(
    folder: Path, tmp_path: Path, first: Any
) -> None:
    paths = files(folder)
    if isinstance(first, bytes):
        paths[0].write_bytes(first)
    else:
        tifffile.imwrite(paths[0], first)
    with pytest.raises(BatchError, match=f"1 of {COUNT} inputs failed"):
        corroscope.run(folder, out=tmp_path / "out")
    assert list(gaps(tmp_path / "out")) == [0]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["reference"] == paths[1].name


def test_a_first_frame_of_something_else_costs_all_others_unless_a_reference_is_given(
    folder: Path, tmp_path: Path
) -> None:
    paths = files(folder)
    before = tmp_path / "before.tif"
    shutil.copy(paths[0], before)
    tifffile.imwrite(paths[0], NOISE)
    with pytest.raises(BatchError, match=f"aligned with the reference, {paths[0].name}"):
        corroscope.run(folder, out=tmp_path / "out")
    assert list(gaps(tmp_path / "out")) == list(range(1, COUNT))
    with pytest.raises(BatchError, match=f"{paths[0].name}: cannot be aligned with .*before.tif"):
        corroscope.run(folder, out=tmp_path / "given", reference=before)
    assert list(gaps(tmp_path / "given")) == [0]


def test_nothing_that_can_be_compared_is_an_empty_result(folder: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "before.tif", NOISE)
    with pytest.raises(BatchError, match=f"{COUNT} of {COUNT} inputs failed, 0 done"):
        corroscope.run(folder, out=tmp_path / "out", reference=tmp_path / "before.tif")
    assert len(gaps(tmp_path / "out")) == COUNT


def test_a_frame_that_vanishes_meanwhile_is_named(folder: Path, tmp_path: Path) -> None:
    paths = files(folder)

    def vanish(stage: str, done: int, _: int) -> None:
        if (stage, done) == ("align", 2):
            paths[3].unlink()
        if (stage, done) == ("segment", 1):
            paths[2].unlink()

    with pytest.raises(BatchError, match=f"2 of {COUNT} inputs failed") as caught:
        corroscope.run(folder, out=tmp_path / "out", progress=vanish)
    assert list(caught.value.failures) == [paths[2].name, paths[3].name]
    assert list(gaps(tmp_path / "out")) == [2, 3]


# References


def test_a_rolling_reference_is_the_frame_before(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(files(folder)[3], NOISE)
    given: list[NDArray[np.float32]] = []
    segment = Segmenter.__call__

    def note(self: Segmenter, frame: Any, reference: Any = None) -> Segmentation:
        given.append(reference)
        return segment(self, frame, reference)

    monkeypatch.setattr(Segmenter, "__call__", note)
    with pytest.raises(BatchError, match=f"1 of {COUNT} inputs failed"):
        corroscope.run(folder, out=tmp_path / "out", reference="rolling:1")
    truth = pd.read_csv(tmp_path / "out" / "frames.csv")[["dy_px", "dx_px"]].to_numpy()
    sigma_px = Segmenter().bundle.card.background_sigma_px
    done = [n for n in range(COUNT) if n != 3]
    for place, number in enumerate(done):
        earlier = done[max(0, place - 1)]
        contrast = relative_contrast(read_frame(files(folder)[earlier]), sigma_px)
        expected = aligned_reference(contrast, *(truth[number] - truth[earlier]))
        both = np.isfinite(expected) & np.isfinite(given[place])
        assert both.mean() > 0.9
        assert np.abs(expected - given[place])[both].mean() < 0.003


@pytest.mark.parametrize("reference", ["median:3", "file"])
def test_other_references(made: Path, tmp_path: Path, reference: str) -> None:
    name = str(files(made / "frames")[1]) if reference == "file" else reference
    corroscope.run(made / "frames", out=tmp_path, reference=name)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    expected = name if reference == "file" else "median of 3 frames, "
    assert manifest["reference"].startswith(expected)
    drift = pd.read_csv(tmp_path / "frames.csv")[["dy_px", "dx_px"]].to_numpy()
    truth = pd.read_csv(made / "truth" / "frames.csv")[["dy_px", "dx_px"]].to_numpy()
    assert np.abs(drift - truth + truth[int(reference == "file")]).max() < 0.1


# Stacks and videos


def test_a_stack_is_a_sequence(folder: Path, tmp_path: Path) -> None:
    stack = tmp_path / "run.ome.tif"
    frames = np.stack([read_frame(path) for path in files(folder)])
    tifffile.imwrite(stack, frames, metadata={"axes": "TYX", "TimeIncrement": 2.5})
    particles = corroscope.run(stack, out=tmp_path / "out")
    masks = sorted(path.name for path in (tmp_path / "out" / "masks").iterdir())
    assert masks == [f"run_{n:05d}_mask.png" for n in range(COUNT)]
    single = corroscope.run(folder, out=tmp_path / "single", interval=2.5)
    kept = [column.name for column in PARTICLES if column.name not in ("image",)]
    pd.testing.assert_frame_equal(particles[kept], single[kept])
    assert (particles["time_s"] == 2.5 * particles["frame"]).all()
    assert set(particles["image"]) <= {f"run.ome.tif[{n}]" for n in range(COUNT)}


def test_a_stack_that_breaks_off_is_done_as_far_as_it_goes(folder: Path, tmp_path: Path) -> None:
    stack = tmp_path / "run.tif"
    frames = np.stack([read_frame(path) for path in files(folder)])
    tifffile.imwrite(stack, frames, compression="zlib")
    content = stack.read_bytes()
    stack.write_bytes(content[: len(content) // 2])
    with pytest.raises(BatchError, match=r"run.tif\[6\]: is lost, the file breaks off") as caught:
        corroscope.run(stack, out=tmp_path / "out")
    assert 2 <= caught.value.done < COUNT
    assert len(list((tmp_path / "out" / "masks").iterdir())) == caught.value.done
    assert len(pd.read_csv(tmp_path / "out" / "frames.csv")) == COUNT


def test_a_video_is_a_sequence_even_if_it_breaks_off(folder: Path, tmp_path: Path) -> None:
    video = tmp_path / "run.mkv"
    with av.open(str(video), "w") as file:
        stream: Any = file.add_stream("ffv1", rate=10)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "gray"
        for path in files(folder):
            frame: Any = read_frame(path)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        file.mux(stream.encode(None))
    corroscope.run(video, out=tmp_path / "whole")
    assert (tmp_path / "whole" / "masks" / f"run_{COUNT - 1:05d}_mask.png").exists()
    content = video.read_bytes()
    video.write_bytes(content[: int(0.7 * len(content))])
    with pytest.raises(BatchError, match="run: the video breaks off after") as caught:
        corroscope.run(video, out=tmp_path / "cut")
    assert list(caught.value.failures) == ["run"]
    assert 2 <= caught.value.done < COUNT
    assert len(pd.read_csv(tmp_path / "cut" / "frames.csv")) == caught.value.done


# What is refused


def test_a_bundle_that_sees_single_frames_is_refused(
    folder: Path, tmp_path: Path, bundles: dict[str, Path]
) -> None:
    with pytest.raises(SettingsError, match="bundle 'alone' sees single frames only; choose one"):
        corroscope.run(folder, out=tmp_path / "out", model=bundles["alone"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_pixel_size_is_refused(folder: Path, tmp_path: Path, size: float) -> None:
    with pytest.raises(SettingsError, match="must be a positive number"):
        corroscope.run(folder, out=tmp_path / "out", pixel_size=size)


def test_a_reference_of_another_size_is_refused(folder: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "old.tif", read_frame(files(folder)[0])[:100])
    with pytest.raises(FrameError, match=r"old.tif: the reference is 100×160 px, the frames 160×1"):
        corroscope.run(folder, out=tmp_path / "out", reference=tmp_path / "old.tif")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing"):
        with pytest.raises(FrameError, match=name):
            corroscope.run(tmp_path / name, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_sequence_itself_is_no_output_folder(folder: Path) -> None:
    with pytest.raises(OutputError, match="frames: is the sequence itself; choose another"):
        corroscope.run(folder, out=folder / ".." / "frames")
    assert len(list(folder.iterdir())) == COUNT


def test_what_another_command_wrote_is_left_alone(made: Path) -> None:
    with pytest.raises(
        OutputError, match="is not empty and was not written by corroscope run; choose"
    ):
        corroscope.run(made / "frames", out=made)
    assert not (made / "masks").exists()


def test_a_folder_of_something_else_is_no_output_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "particles.csv").write_text("counted by hand")
    with pytest.raises(OutputError, match="is not empty and was not written by corroscope run"):
        corroscope.run(folder, out=tmp_path)
    assert (tmp_path / "particles.csv").read_text() == "counted by hand"


def test_a_mask_that_somebody_drew_is_left_alone(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    corroscope.run(folder, out=out)
    drawn = out / "masks" / f"{files(folder)[1].stem}_mask.png"
    drawn.write_bytes(b"drawn by hand")
    with pytest.raises(OutputError, match="_mask.png: stands there already and was not written"):
        corroscope.run(folder, out=out)
    assert drawn.read_bytes() == b"drawn by hand"


def test_masks_of_gaps_and_of_frames_that_are_gone_are_removed(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    corroscope.run(folder, out=out)
    drawn = out / "masks" / "notes_mask.png"
    drawn.write_bytes(b"drawn by hand")
    bad, gone = files(folder)[1:3]
    tifffile.imwrite(bad, NOISE)
    gone.unlink()
    with pytest.raises(BatchError, match=f"1 of {COUNT - 1} inputs failed"):
        corroscope.run(folder, out=out)
    masks = {path.name for path in (out / "masks").iterdir()}
    assert masks == {f"{path.stem}_mask.png" for path in files(folder) if path != bad} | {
        "notes_mask.png"
    }


def test_a_flat_field_stands_in_the_manifest_and_decides(folder: Path, tmp_path: Path) -> None:
    for name, grey in (("flat", 200), ("other", 180)):
        flat = np.full((SIDE, SIDE), grey, np.uint8)
        flat[: SIDE // 2] -= 20
        tifffile.imwrite(tmp_path / f"{name}.tif", flat)
    out = tmp_path / "out"
    corroscope.run(folder, out=out, flat=tmp_path / "flat.tif")
    settings = json.loads((out / "manifest.json").read_text())["settings"]
    assert settings["flat field"] == frame_sha256(tmp_path / "flat.tif")
    with pytest.raises(OutputError, match="holds a run with another flat field"):
        corroscope.run(folder, out=out, flat=tmp_path / "other.tif")
