"""Pre-treatment on its own: what is written can be measured again."""

import json
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile

import corroscope
from corroscope import preparation
from corroscope.errors import BatchError, FrameError, OutputError, SettingsError
from corroscope.frames.alignment import Aligner
from corroscope.frames.reading import read_frame
from corroscope.preparation import treat
from corroscope.report import pretreatment
from corroscope.synthesis.settings import make_synth_settings
from corroscope.tables import ALIGNED_FRAMES

SIDE = 160
COUNT = 7
NOISE = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE)).astype(np.uint8)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic run that drifts and darkens, and its truth."""
    changes = {"camera": {"drift_px": 8, "gain_end": 0.8}, "particles": {"per_mpx": 2000}}
    settings = make_synth_settings(changes)
    out = tmp_path_factory.mktemp("made") / "run"
    return corroscope.synth(out=out, settings=settings, size=SIDE, frames=COUNT, seed=3)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of its frames."""
    return Path(shutil.copytree(made / "frames", tmp_path / "frames"))


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page takes longer than these short runs; one test looks at it."""
    if "page" not in request.node.name:
        monkeypatch.setattr(preparation, "draw_pretreatment", lambda *_: None)
        monkeypatch.setattr(metadata, "packages_distributions", dict)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix == ".tif")


def rewrite(folder: Path, dtype: type[np.generic], factor: float) -> None:
    """The same frames in another number type."""
    for path in files(folder):
        tifffile.imwrite(path, (read_frame(path).astype(float) * factor).astype(dtype))


# What is written


def test_files_and_tables(made: Path, tmp_path: Path) -> None:
    table = corroscope.prepare(made / "frames", out=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "aligned", "difference", "frames.csv", "frames.parquet", "manifest.json",
    }  # fmt: skip
    names = [path.name for path in files(made / "frames")]
    assert [path.name for path in files(tmp_path / "aligned")] == names
    assert [path.name for path in files(tmp_path / "difference")] == names
    written = pd.read_parquet(tmp_path / "frames.parquet")
    assert [str(written[c.name].dtype) for c in ALIGNED_FRAMES] == [c.dtype for c in ALIGNED_FRAMES]
    assert written["image"].tolist() == table["image"].tolist() == names
    truth = pd.read_csv(made / "truth" / "frames.csv")
    for name, tolerance in (("dy_px", 0.1), ("dx_px", 0.1), ("gain", 0.03)):
        assert np.abs(written[name] - truth[name]).max() < tolerance
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert (manifest["command"], manifest["reference"]) == ("prepare", names[0])
    assert manifest["settings"]["reference"] == "first"


def test_what_is_aligned_is_aligned(made: Path, tmp_path: Path) -> None:
    table = corroscope.prepare(made / "frames", out=tmp_path)
    assert np.ptp(table[["dy_px", "dx_px"]].to_numpy()) > 5
    aligner = Aligner(read_frame(files(made / "frames")[0]))
    for path, gain in zip(files(tmp_path / "aligned"), table["gain"], strict=True):
        aligned = read_frame(path)
        left = aligner.measure(aligned, (0.0, 0.0))
        assert np.hypot(left.dy_px, left.dx_px) < 0.05
        inside = np.s_[16:-16, 16:-16]
        first = read_frame(files(made / "frames")[0])
        assert np.median(aligned[inside]) == pytest.approx(np.median(first[inside]), abs=2), gain


def test_differences_are_signed_and_dark_where_something_has_come(
    made: Path, tmp_path: Path
) -> None:
    table = corroscope.prepare(made / "frames", out=tmp_path)
    truth = pd.read_csv(made / "truth" / "particles.csv")
    last = COUNT - 1
    seen = truth[(truth["frame"] == last) & (truth["contrast"] > 0.3) & (truth["area_px"] > 12)]
    places = seen[["y_ref_px", "x_ref_px"]].to_numpy().round().astype(int)
    places = places[((places > 16) & (places < SIDE - 16)).all(axis=1)]
    assert len(places) > 1
    changed = tifffile.imread(files(tmp_path / "difference")[last])
    assert changed.dtype == np.int16
    assert changed[tuple(places.T)].max() < -20
    assert abs(float(np.median(changed))) < 1
    # By no more than noise elsewhere: without alignment the polish would be seen.
    spread = 1.4826 * np.median(np.abs(changed[16:-16, 16:-16]))
    first, plain = (read_frame(files(made / "frames")[n]).astype(float) for n in (0, last))
    unaligned = plain / table["gain"][last] - first
    assert spread < 0.8 * 1.4826 * np.median(np.abs(unaligned - np.median(unaligned)))


def test_where_a_frame_does_not_reach_all_is_0(made: Path, tmp_path: Path) -> None:
    table = corroscope.prepare(made / "frames", out=tmp_path, denoise=3, equalise=True)
    dy, dx = table["dy_px"].iloc[-1], table["dx_px"].iloc[-1]
    reached = np.ones((SIDE, SIDE), bool)
    places = (np.arange(SIDE) + dy, np.arange(SIDE) + dx)
    inside = [(at >= 0) & (at <= SIDE - 1) for at in places]
    reached = inside[0][:, None] & inside[1]
    assert 0.8 < reached.mean() < 0.99
    for name in ("aligned", "difference"):
        picture = tifffile.imread(files(tmp_path / name)[-1])
        assert not picture[~reached].any()
        assert (picture[reached] != 0).mean() > 0.5


@pytest.mark.parametrize(
    ("dtype", "factor", "signed"),
    [(np.uint8, 1, "int16"), (np.uint16, 200, "int32"), (np.float32, 0.01, "float32")],
)
def test_number_types_are_kept(
    folder: Path, tmp_path: Path, dtype: type[np.generic], factor: float, signed: str
) -> None:
    rewrite(folder, dtype, factor)
    corroscope.prepare(folder, out=tmp_path / "out", denoise=5)
    assert tifffile.imread(files(tmp_path / "out" / "aligned")[3]).dtype == dtype
    changed = tifffile.imread(files(tmp_path / "out" / "difference")[3])
    assert str(changed.dtype) == signed
    assert changed.min() < -15 * factor


def test_what_is_for_the_eye_is_in_aligned_alone(made: Path, tmp_path: Path) -> None:
    frames = made / "frames"
    corroscope.prepare(frames, out=tmp_path / "plain")
    corroscope.prepare(frames, out=tmp_path / "denoised", denoise=3)
    corroscope.prepare(frames, out=tmp_path / "equalised", equalise=True)
    inside = np.s_[16:-16, 16:-16]
    plain, denoised, equalised = (
        tifffile.imread(files(tmp_path / name / "aligned")[4])[inside].astype(float)
        for name in ("plain", "denoised", "equalised")
    )
    assert np.diff(denoised).std() < 0.8 * np.diff(plain).std()
    assert np.diff(equalised).std() > 1.2 * np.diff(plain).std()
    for name in ("denoised", "equalised"):
        for path in files(tmp_path / "plain" / "difference"):
            assert (tmp_path / name / "difference" / path.name).read_bytes() == path.read_bytes()


def test_a_flat_field_is_taken_out(folder: Path, tmp_path: Path) -> None:
    shade = np.linspace(0.5, 1, SIDE)
    tifffile.imwrite(tmp_path / "flat.tif", np.asarray(200 * shade + 0 * shade[:, None], np.uint8))
    tifffile.imwrite(tmp_path / "dark.tif", np.zeros((SIDE, SIDE), np.uint8))
    plain = read_frame(files(folder)[0])
    for path in files(folder):
        tifffile.imwrite(path, np.rint(read_frame(path) * shade).astype(np.uint8))
    out = tmp_path / "out"
    corroscope.prepare(folder, out=out, flat=tmp_path / "flat.tif", dark=tmp_path / "dark.tif")
    corrected = tifffile.imread(files(out / "aligned")[0])
    assert corrected.dtype == np.float32
    ratio = corrected / plain
    assert ratio.std() / ratio.mean() < 0.02
    settings = json.loads((out / "manifest.json").read_text())["settings"]
    assert (Path(settings["flat"]).name, Path(settings["dark"]).name) == ("flat.tif", "dark.tif")


def test_a_rolling_reference_shows_what_has_happened_since(made: Path, tmp_path: Path) -> None:
    corroscope.prepare(made / "frames", out=tmp_path / "rolling", reference="rolling:1")
    corroscope.prepare(made / "frames", out=tmp_path / "first")
    inside = np.s_[16:-16, 16:-16]
    rolling, first = (
        [tifffile.imread(path)[inside] for path in files(tmp_path / name / "difference")]
        for name in ("rolling", "first")
    )
    assert not rolling[0].any()
    assert np.array_equal(rolling[1], first[1])
    dark = [(changed < -30).sum() for changed in (rolling[-1], first[-1])]
    assert dark[0] < dark[1]
    # The steps from frame to frame add up to what has happened since the first.
    gain = pd.read_csv(tmp_path / "first" / "frames.csv")["gain"]
    steps = sum(step * (1 / g) for step, g in zip(rolling[1:], gain[:-1], strict=True))
    left = np.asarray(steps - first[-1])
    assert np.median(np.abs(left)) < 3


def test_a_median_reference_is_aligned_to_as_well(made: Path, tmp_path: Path) -> None:
    corroscope.prepare(made / "frames", out=tmp_path, reference="median:3")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["reference"].startswith("median of 3 frames, ")
    assert manifest["settings"]["reference"] == "median:3"


def test_a_stack_is_a_sequence(folder: Path, tmp_path: Path) -> None:
    frames = np.stack([read_frame(path) for path in files(folder)])
    tifffile.imwrite(tmp_path / "run.tif", frames)
    corroscope.prepare(tmp_path / "run.tif", out=tmp_path / "out", interval=2)
    names = [path.name for path in files(tmp_path / "out" / "aligned")]
    assert names == [f"run_{n:05d}.tif" for n in range(COUNT)]
    assert pd.read_csv(tmp_path / "out" / "frames.csv")["time_s"].tolist() == list(range(0, 14, 2))


def test_a_page_shows_drift_and_difference(made: Path, tmp_path: Path) -> None:
    corroscope.prepare(made / "frames", out=tmp_path)
    page = read_frame(tmp_path / "drift.png")
    assert min(page.shape) > 500
    assert page.std() > 10


def test_a_page_without_times_or_aligned_frames_is_drawn(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    draw = pretreatment._draw_difference

    def note(axes: Any, *given: Any) -> None:
        drawn.append(axes)
        draw(axes, *given)

    monkeypatch.setattr(pretreatment, "_draw_difference", note)
    for number, path in enumerate(files(folder)):
        path.rename(path.with_name(f"frame{number}.tif"))
    tifffile.imwrite(tmp_path / "before.tif", NOISE)
    with pytest.raises(BatchError, match=f"{COUNT} of {COUNT} inputs failed"):
        corroscope.prepare(folder, out=tmp_path / "out", reference=tmp_path / "before.tif")
    assert read_frame(tmp_path / "out" / "drift.png").std() > 10
    assert [axes.get_title() for axes in drawn] == [
        "last frame − reference, as they are: no frame is aligned",
        "aligned, light matched: no frame is aligned",
    ]


def test_progress_tells_of_each_frame_and_stage(made: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    corroscope.prepare(made / "frames", out=tmp_path, progress=lambda *told: seen.append(told))
    assert seen == [(stage, n + 1, COUNT) for stage in ("align", "write") for n in range(COUNT)]


# Bad frames


def test_bad_frames_leave_gaps_and_the_others_are_done(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    corroscope.prepare(folder, out=out)
    paths = files(folder)
    tifffile.imwrite(paths[1], np.full((SIDE, SIDE), 200, np.uint8))
    tifffile.imwrite(paths[2], NOISE)
    paths[3].write_bytes(b"broken")
    tifffile.imwrite(paths[4], read_frame(paths[4])[:100])
    tifffile.imwrite(paths[6], np.zeros((SIDE, SIDE), np.uint8))
    with pytest.raises(BatchError, match=f"5 of {COUNT} inputs failed, 2 done") as caught:
        corroscope.prepare(folder, out=out)
    bad = [1, 2, 3, 4, 6]
    assert list(caught.value.failures) == [paths[n].name for n in bad]
    table = pd.read_csv(out / "frames.csv", keep_default_na=False)
    assert table.index[~table["aligned"]].tolist() == bad
    assert table.index[table["remark"] != ""].tolist() == bad
    for name in ("aligned", "difference"):
        assert [path.name for path in files(out / name)] == [paths[0].name, paths[5].name]


def test_a_frame_that_vanishes_meanwhile_is_named(folder: Path, tmp_path: Path) -> None:
    path = files(folder)[3]

    def vanish(stage: str, done: int, _: int) -> None:
        if (stage, done) == ("write", 1):
            path.unlink()

    with pytest.raises(BatchError, match=f"1 of {COUNT} inputs failed, 6 done: .*{path.name}"):
        corroscope.prepare(folder, out=tmp_path / "out", progress=vanish)
    remarks = pd.read_csv(tmp_path / "out" / "frames.csv", keep_default_na=False)["remark"]
    assert [bool(remark) for remark in remarks] == [n == 3 for n in range(COUNT)]
    assert len(files(tmp_path / "out" / "aligned")) == COUNT - 1


def test_frames_without_common_light_cannot_be_treated() -> None:
    with pytest.raises(FrameError, match="no bright pixel in common"):
        treat(np.zeros((64, 64)), np.full((64, 64), 9), (0, 0))


# What is refused


def test_a_folder_of_something_else_is_refused(made: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty and was not written by corroscope prepare"):
        corroscope.prepare(made / "frames", out=tmp_path)
    with pytest.raises(OutputError, match="is not empty and was not written by corroscope prepare"):
        corroscope.prepare(made / "frames", out=made)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert not (made / "aligned").exists()


def test_a_folder_that_was_left_half_done_is_done_again(made: Path, tmp_path: Path) -> None:
    def stop(*told: object) -> None:
        if told[:2] == ("write", 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        corroscope.prepare(made / "frames", out=tmp_path, progress=stop)
    corroscope.prepare(made / "frames", out=tmp_path)
    assert len(files(tmp_path / "aligned")) == COUNT


def test_a_stopped_call_does_not_leave_pictures_of_the_one_before(
    made: Path, tmp_path: Path
) -> None:
    def stop(*told: object) -> None:
        if told[:2] == ("write", 2):
            raise KeyboardInterrupt

    corroscope.prepare(made / "frames", out=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        corroscope.prepare(made / "frames", out=tmp_path, equalise=True, progress=stop)
    assert len(files(tmp_path / "aligned")) == len(files(tmp_path / "difference")) == 2


def test_a_reference_of_another_number_type_is_refused(made: Path, tmp_path: Path) -> None:
    first = read_frame(files(made / "frames")[0])
    tifffile.imwrite(tmp_path / "deep.tif", first.astype(np.uint16) * 256)
    with pytest.raises(
        FrameError, match=r"deep.tif: the reference is uint16, the frames are uint8"
    ):
        corroscope.prepare(made / "frames", out=tmp_path / "out", reference=tmp_path / "deep.tif")
    assert not (tmp_path / "out").exists()


def test_an_impossible_filter_is_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"denoise: 4 px .allowed: 3 or 5"):
        corroscope.prepare(made / "frames", out=tmp_path / "out", denoise=4)
    assert not (tmp_path / "out").exists()


def test_floating_point_frames_cannot_be_equalised(folder: Path, tmp_path: Path) -> None:
    rewrite(folder, np.float32, 0.01)
    with pytest.raises(SettingsError, match="equalise: is for integer grey levels"):
        corroscope.prepare(folder, out=tmp_path / "out", equalise=True)
    assert not (tmp_path / "out").exists()


def test_a_reference_of_another_size_is_refused(made: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "old.tif", read_frame(files(made / "frames")[0])[:100])
    with pytest.raises(FrameError, match=r"old.tif: the reference is 100×160 px, the frames 160×1"):
        corroscope.prepare(made / "frames", out=tmp_path / "out", reference=tmp_path / "old.tif")
    assert not (tmp_path / "out").exists()
