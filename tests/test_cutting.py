"""Patches to annotate: where they lie, which are kept, and what is never overwritten."""

import json
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import corroscope
from corroscope import cli, preparation
from corroscope.annotation.stored import image_pairs
from corroscope.cutting import Cutting, Grid, changed_fraction, entropy_bits, noise_of
from corroscope.errors import BatchError, OutputError, SettingsError
from corroscope.frames.reading import read_frame
from corroscope.learning.dataset import read_dataset
from corroscope.learning.surfaces import shared_surface
from corroscope.patch_folder import INDEX, Change, Patches
from corroscope.synthesis.settings import make_synth_settings

SIDE = 160
ALL = np.ones((64, 64), bool)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic run that drifts, and its truth."""
    changes = {"camera": {"drift_px": 8}, "particles": {"per_mpx": 2000}}
    settings = make_synth_settings(changes)
    out = tmp_path_factory.mktemp("made") / "run"
    return corroscope.synth(out=out, settings=settings, size=SIDE, frames=7, seed=3)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of its frames."""
    return Path(shutil.copytree(made / "frames", tmp_path / "frames"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page takes longer than these short runs."""
    monkeypatch.setattr(preparation, "draw_pretreatment", lambda *_: None)
    monkeypatch.setattr(metadata, "packages_distributions", dict)


def index(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "patches" / "index.csv")


# Where patches lie


@given(st.integers(32, 300), st.data())
def test_every_pixel_is_in_some_patch_and_every_patch_in_the_frame(
    size: int, data: st.DataObject
) -> None:
    grid = Grid(size, data.draw(st.integers(1, size)))
    length = data.draw(st.integers(size, 1000))
    corners = grid.corners(length)
    assert corners == sorted(set(corners))
    assert (corners[0], corners[-1] + size) == (0, length)
    assert max(np.diff(corners), default=0) <= grid.stride_px


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("200x100", "patches: '200x100'; give SIZE/STRIDE in pixels, as 200/100"),
        ("200", "give SIZE/STRIDE"),
        ("200/", "give SIZE/STRIDE"),
        ("200/-1", "give SIZE/STRIDE"),
        ("2²/10", "give SIZE/STRIDE"),
        ("31/10", r"size 31 px \(allowed: 32 or more\)"),
        ("200/0", r"stride 0 px \(allowed: 1 to the size, 200\)"),
        ("200/201", r"stride 201 px \(allowed: 1 to the size, 200\)"),
    ],
)
def test_malformed_sizes_are_refused(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Grid.parse(text)


def test_times_and_entropy_out_of_range_are_refused() -> None:
    for times, told in (([], "none"), ([0.5, 1.5], "0.5, 1.5"), ([float("nan")], "nan")):
        with pytest.raises(SettingsError, match=rf"times: {told} \(allowed: shares of the run"):
            Cutting.of("64/32", times, None)
    for entropy in (-1.0, float("nan"), float("inf")):
        with pytest.raises(SettingsError, match="patch entropy: .* bits"):
            Cutting.of("64/32", None, entropy)


def test_frames_nearest_in_time_are_cut() -> None:
    cutting = Cutting(Grid(64, 32), (0.0, 0.5, 1.0))
    uneven = np.array([0, 1, 2, 3, 100.0])
    assert cutting.frames(uneven, range(5)) == [0, 3, 4]
    assert cutting.frames(np.full(5, np.nan), range(5)) == [0, 2, 4]
    assert cutting.frames(uneven, [1, 2]) == [1, 2]
    assert cutting.frames(uneven, []) == []


# What has changed


def test_noise_has_no_entropy_and_its_scale_does_not_matter(rng: np.random.Generator) -> None:
    quiet = rng.normal(0, 1, (200, 200))
    whole = np.ones((200, 200), bool)
    changed = quiet.copy()
    changed[50:54, 60:65] -= 30
    share = 20 / 200**2
    expected = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    for scale in (0.01, 1, 300):
        noise = noise_of(scale * changed, whole)
        assert noise == pytest.approx(scale, rel=0.03)
        assert entropy_bits(scale * quiet, whole, noise) < 0.001
        assert 0.8 * expected < entropy_bits(scale * changed, whole, noise) < 2 * expected
        assert changed_fraction(scale * changed, whole, noise) == pytest.approx(share)


def test_entropy_is_that_of_the_histogram() -> None:
    difference = np.repeat([0.0, -100.0, -200.0, 300.0], 64 * 16).reshape(64, 64)
    assert entropy_bits(difference, ALL, noise=5) == pytest.approx(2)
    assert changed_fraction(difference, ALL, noise=5) == pytest.approx(0.5)


def test_where_the_reference_does_not_reach_nothing_has_changed() -> None:
    difference = np.zeros((64, 64))
    difference[:, :20] = -90
    covered = ALL.copy()
    covered[:, :20] = False
    for where in (covered, ~ALL):
        noise = noise_of(difference, where)
        assert (noise, entropy_bits(difference, where, noise)) == (0, 0)
        assert changed_fraction(difference, where, noise) == 0


def test_a_change_without_any_noise_is_seen() -> None:
    difference = np.zeros((64, 64))
    difference[3, 4] = -1
    assert entropy_bits(difference, ALL, noise_of(difference, ALL)) > 0


# What is written


def test_patches_are_the_pixels_of_the_frames(made: Path, tmp_path: Path) -> None:
    corroscope.prepare(
        made / "frames", out=tmp_path, patches="64/48", times=[0.5, 1], patch_entropy_bits=0
    )
    table, frames = index(tmp_path), pd.read_csv(tmp_path / "frames.csv")
    assert set(table["frame"]) == {3, 6}
    assert len(table) == 2 * 3**2
    assert list(table) == [column.name for column in INDEX]
    assert table["entropy_bits"].is_monotonic_decreasing
    paths = sorted((made / "frames").iterdir())
    for row in table.to_dict("records"):
        patch = read_frame(tmp_path / "patches" / row["image"])
        y0, x0 = row["y0_frame_px"], row["x0_frame_px"]
        frame = read_frame(paths[row["frame"]])
        assert np.array_equal(patch, frame[y0 : y0 + 64, x0 : x0 + 64])
        assert patch.dtype == frame.dtype
        assert row["image"].startswith(f"{paths[row['frame']].stem}_r")
        drift = frames.loc[row["frame"], ["dy_px", "dx_px"]].to_numpy(float)
        assert row["time_s"] == pytest.approx(frames.loc[row["frame"], "time_s"])
        assert [row["y0_px"], row["x0_px"]] == [y0 - round(drift[0]), x0 - round(drift[1])]
    assert table["y0_px"].ne(table["y0_frame_px"]).any()


def test_differences_are_on_the_grid_of_the_patch(made: Path, tmp_path: Path) -> None:
    corroscope.prepare(
        made / "frames", out=tmp_path, patches="160/160", times=[1], patch_entropy_bits=0
    )
    (name,) = index(tmp_path)["image"]
    shown = read_frame(tmp_path / "patches" / "difference" / name).astype(int)
    stem = name.removesuffix("_r00_c00.png")
    new = read_frame(made / "truth" / "masks" / f"{stem}_mask.png") > 0
    inside = np.zeros_like(new)
    inside[16:-16, 16:-16] = True
    assert abs(np.median(shown[inside]) - 128) <= 1
    assert np.median(shown[new & inside]) < 115
    scale = json.loads((tmp_path / "patches" / "manifest.json").read_text())["difference"]
    frame = read_frame(made / "frames" / f"{stem}.tif")
    assert scale["middle"] == 128
    assert scale["grey_levels_per_step"] == pytest.approx(np.median(frame) / 127, rel=0.1)


def test_patches_without_change_are_left_out(made: Path, tmp_path: Path) -> None:
    for name, limit in (("all", 0.0), ("some", 0.3), ("none", 99.0)):
        corroscope.prepare(
            made / "frames", out=tmp_path / name, patches="40/40", times=[0, 1],
            patch_entropy_bits=limit,
        )  # fmt: skip
    every, some = index(tmp_path / "all"), index(tmp_path / "some")
    assert 0 < len(some) < len(every)
    assert set(some["image"]) == set(every["image"][every["entropy_bits"] >= 0.3])
    # The reference itself has not changed.
    assert every.loc[every["frame"] == 0, "entropy_bits"].max() == 0
    assert not len(index(tmp_path / "none"))
    sheets = [(tmp_path / name / "browse.png").exists() for name in ("all", "some", "none")]
    assert sheets == [True, True, False]


def test_the_sheet_shows_what_has_changed_most(tmp_path: Path) -> None:
    patches = Patches(tmp_path / "patches", Cutting(Grid(64, 64), (1.0,), 0.0), 127, {})
    change = np.zeros((64, 192), np.float32)
    change[:8, 128:] = -100
    change[:, 64:128] = np.arange(-32, 32) * 2
    frame = np.full((64, 192), 200, np.uint8)
    patches.add("a", 0, np.nan, frame, Change(change, np.ones_like(change, bool), (0.0, 0.0)))
    assert [name[-7:-4] for name in patches.write()["image"]] == ["c01", "c02", "c00"]
    sheet = read_frame(tmp_path / "browse.png").astype(int)
    assert sheet.shape == (64, 200)
    assert (sheet[0, 68], sheet[9, 68], sheet[0, 0]) == (28, 128, 64)


@pytest.mark.parametrize(
    ("dtype", "suffix"), [(np.uint8, ".png"), (np.uint16, ".png"), (np.float32, ".tif")]
)
def test_number_types_are_kept(tmp_path: Path, dtype: type[np.generic], suffix: str) -> None:
    frame = np.arange(64 * 64).reshape(64, 64).astype(dtype)
    patches = Patches(tmp_path / "patches", Cutting(Grid(64, 64), (1.0,), 0.0), 200, {})
    change = Change(np.zeros((64, 64), np.float32), ALL, (0.0, 0.0))
    patches.add("a.5", 0, 1.0, frame, change)
    assert patches.write()["image"].tolist() == [f"a.5_r00_c00{suffix}"]
    written = read_frame(tmp_path / "patches" / f"a.5_r00_c00{suffix}")
    assert written.dtype == dtype
    assert np.array_equal(written, frame)
    assert (tmp_path / "patches" / "difference" / "a.5_r00_c00.png").exists()


def test_a_folder_of_patches_can_be_annotated_and_learnt_from(made: Path, tmp_path: Path) -> None:
    corroscope.prepare(made / "frames", out=tmp_path, patches="64/48", patch_entropy_bits=0)
    patches, table = tmp_path / "patches", index(tmp_path)
    assert set(image_pairs(patches)) == set(table["image"])
    for name in table["image"]:
        mask = np.zeros((64, 64), np.uint8)
        mask[3:6, 3:6] = 255
        corroscope.outputs.write_png(patches / f"{Path(name).stem}_mask.png", mask)
    dataset = read_dataset(patches)
    assert {patch.time for patch in dataset} == set(table["time_s"])
    # One place at any time is one surface, and so are places that overlap.
    cell = [patch for patch in dataset if patch.name.endswith("_r00_c00.png")]
    assert len(cell) == table["frame"].nunique() > 1
    assert shared_surface(cell).all()
    far = [patch for patch in dataset if patch.name.endswith("_r02_c02.png")]
    assert not shared_surface([cell[0], far[0]])[0, 1]


def test_bad_frames_leave_gaps_and_others_are_cut(folder: Path, tmp_path: Path) -> None:
    paths = sorted(folder.iterdir())
    paths[3].write_bytes(b"broken")
    with pytest.raises(BatchError, match="1 of 7 inputs failed"):
        corroscope.prepare(
            folder, out=tmp_path / "out", patches="64/64", times=[0.5], patch_entropy_bits=0
        )
    (number,) = set(index(tmp_path / "out")["frame"])
    assert number in (2, 4)


def test_a_frame_that_vanishes_before_it_is_cut_is_named(folder: Path, tmp_path: Path) -> None:
    path = sorted(folder.iterdir())[6]

    def vanish(stage: str, done: int, of: int) -> None:
        if (stage, done) == ("write", of):
            path.unlink()

    with pytest.raises(BatchError, match=f"1 of 7 inputs failed.*{path.name}"):
        corroscope.prepare(
            folder, out=tmp_path / "out", patches="64/64", times=[0.5, 1], patch_entropy_bits=0,
            progress=vanish,
        )  # fmt: skip
    assert set(index(tmp_path / "out")["frame"]) == {3}


# What is replaced, and what never


def test_a_second_call_replaces_the_patches(made: Path, tmp_path: Path) -> None:
    for size in ("64/48", "80/80"):
        corroscope.prepare(made / "frames", out=tmp_path, patches=size, patch_entropy_bits=0)
    names = set(index(tmp_path)["image"])
    assert {path.name for path in (tmp_path / "patches").glob("*.png")} == names
    assert {path.name for path in (tmp_path / "patches" / "difference").iterdir()} == names
    corroscope.prepare(made / "frames", out=tmp_path)
    assert set(index(tmp_path)["image"]) == names


def mask(patches: Path) -> Path:
    return patches / f"{next(patches.glob('*.png')).stem}_mask.png"


def ignore(patches: Path) -> Path:
    return patches / f"{next(patches.glob('*.png')).stem}_ignore.png"


@pytest.mark.parametrize("what", [mask, ignore, lambda patches: patches / "annotation" / "journal"])
def test_annotations_are_never_touched(
    made: Path, tmp_path: Path, what: Callable[[Path], Path]
) -> None:
    corroscope.prepare(made / "frames", out=tmp_path, patches="64/48")
    drawn = what(tmp_path / "patches")
    drawn.parent.mkdir(exist_ok=True)
    drawn.write_bytes(b"hours of work")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(OutputError, match="patches: holds annotations; choose another folder"):
        corroscope.prepare(made / "frames", out=tmp_path, patches="80/80", equalise=True)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_folder_of_something_else_is_refused(made: Path, tmp_path: Path) -> None:
    corroscope.prepare(made / "frames", out=tmp_path)
    (tmp_path / "patches").mkdir()
    (tmp_path / "patches" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="patches: is not empty and was not written by"):
        corroscope.prepare(made / "frames", out=tmp_path, patches="64/48")
    assert [path.name for path in (tmp_path / "patches").iterdir()] == ["notes.txt"]


def test_frames_smaller_than_a_patch_are_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="patches: 161 px, but the frames have a side of 160"):
        corroscope.prepare(made / "frames", out=tmp_path / "out", patches="161/100")
    assert not (tmp_path / "out").exists()


def test_patches_that_would_be_taken_for_masks_are_refused(folder: Path, tmp_path: Path) -> None:
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"masked_{number}.tif")
    with pytest.raises(SettingsError, match="those of masked_0 would be taken for masks; rename"):
        corroscope.prepare(folder, out=tmp_path / "out", interval=1, patches="64/48")
    assert not (tmp_path / "out").exists()


def test_times_without_patches_are_refused(made: Path, tmp_path: Path) -> None:
    for given_ in ({"times": [0.5]}, {"patch_entropy_bits": 0.1}):
        with pytest.raises(SettingsError, match="are for patches; give their size, as 200/100"):
            corroscope.prepare(made / "frames", out=tmp_path / "out", **given_)
    assert not (tmp_path / "out").exists()


def test_the_command_cuts_as_it_is_told(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["prepare", str(made / "frames"), "--out", str(tmp_path), "--patches", "64/48"]
    assert cli.main([*words, "--times", "0.5,1", "--patch-entropy", "0.01"]) == 0
    assert "(patches, browse.png, aligned" in capsys.readouterr().out
    settings = json.loads((tmp_path / "manifest.json").read_text())["settings"]["patches"]
    assert settings == {
        "size_px": 64, "stride_px": 48, "times": [0.5, 1.0], "least_entropy_bits": 0.01,
    }  # fmt: skip
    assert cli.main([*words, "--times", "0.5;1"]) == 2
    assert "--times 0.5;1: give shares of the run" in capsys.readouterr().err


@pytest.fixture
def light(folder: Path, tmp_path: Path) -> NDArray[np.uint8]:
    shade = np.linspace(0.5, 1, SIDE) * np.ones((SIDE, 1))
    flat = np.asarray(200 * shade, np.uint8)
    tifffile.imwrite(tmp_path / "flat.tif", flat)
    for path in folder.iterdir():
        tifffile.imwrite(path, np.rint(read_frame(path) * shade).astype(np.uint8))
    return flat


@pytest.mark.usefixtures("light")
def test_frames_corrected_by_a_flat_field_are_cut_as_tiff(folder: Path, tmp_path: Path) -> None:
    corroscope.prepare(folder, out=tmp_path / "out", patches="64/48", flat=tmp_path / "flat.tif")
    names = index(tmp_path / "out")["image"]
    assert len(names)
    assert names.str.endswith(".tif").all()
    assert read_frame(tmp_path / "out" / "patches" / names[0]).dtype == np.float32
