"""Image files in, masks, overlays and tables out."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import tifffile
from numpy.typing import NDArray

import corroscope
from corroscope.errors import (
    BatchError,
    FrameError,
    OutputError,
    SettingsError,
)
from corroscope.frames.reading import read_frame
from corroscope.learning.export import export_bundle
from corroscope.learning.networks import build_network
from corroscope.learning.settings import make_settings as make_train_settings
from corroscope.segmentation.bundle import load_bundle
from corroscope.segmentation.particles import OperatingPoint
from corroscope.segmentation.segmenter import Segmenter
from corroscope.synthesis.experiment import Scene
from corroscope.synthesis.settings import make_synth_settings
from corroscope.tables import PARTICLES, PARTICLES_UM

Writer = Callable[[str, NDArray[np.generic]], Path]


@pytest.fixture
def frame_file(write_image: Writer, crowded: Callable[[tuple[int, int], int], Scene]) -> Path:
    return write_image("frame.png", crowded((160, 200), 1).frame)


# Files


def test_outputs(tmp_path: Path, frame_file: Path) -> None:
    out = tmp_path / "out"
    particles = corroscope.segment([frame_file], out=out)
    assert sorted(path.name for path in out.iterdir()) == [
        "frame_mask.png", "frame_overlay.png", "manifest.json", "particles.csv",
        "particles.parquet",
    ]  # fmt: skip
    frame, mask = (imagecodecs.imread(str(p)) for p in (frame_file, out / "frame_mask.png"))
    assert mask.shape == frame.shape
    assert set(np.unique(mask)) <= {0, 255}
    assert int((mask > 0).sum()) == particles["area_px"].sum() > 0
    assert imagecodecs.imread(str(out / "frame_overlay.png")).shape == (*frame.shape, 3)
    assert list(particles.columns) == [column.name for column in PARTICLES]
    assert [str(particles[c.name].dtype) for c in PARTICLES] == [c.dtype for c in PARTICLES]
    csv = pd.read_csv(out / "particles.csv")
    assert np.allclose(csv["area_px"], particles["area_px"])
    parquet = pyarrow.parquet.read_table(out / "particles.parquet")
    assert parquet.schema.field("area_px").metadata[b"unit"].decode() == "px²"
    pd.testing.assert_frame_equal(parquet.to_pandas(), particles)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["inputs"][0]["sha256"] == hashlib.sha256(frame_file.read_bytes()).hexdigest()
    assert manifest["bundle"]["network_sha256"] == load_bundle().card.network_sha256


def test_without_a_reference_there_are_no_places_in_it(tmp_path: Path, frame_file: Path) -> None:
    particles = corroscope.segment([frame_file], out=tmp_path / "out")
    assert particles[["y_ref_px", "x_ref_px"]].isna().all(axis=None)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["reference"] is None


def test_pixel_size_adds_columns(tmp_path: Path, frame_file: Path) -> None:
    particles = corroscope.segment([frame_file], out=tmp_path / "out", pixel_size=0.5)
    assert list(particles.columns) == [column.name for column in PARTICLES + PARTICLES_UM]
    assert np.allclose(particles["area_um2"], particles["area_px"] * 0.25)
    assert np.allclose(particles["y_um"], particles["y_px"] * 0.5)


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_pixel_size(tmp_path: Path, frame_file: Path, size: float) -> None:
    with pytest.raises(SettingsError, match="must be a positive number"):
        corroscope.segment([frame_file], out=tmp_path / "out", pixel_size=size)
    assert not (tmp_path / "out").exists()


def test_frame_without_particles(tmp_path: Path, write_image: Writer) -> None:
    plain = write_image("plain.png", np.full((64, 64), 180, np.uint8))
    particles = corroscope.segment([plain], out=tmp_path / "out")
    assert len(particles) == 0
    header = (tmp_path / "out" / "particles.csv").read_text().strip()
    assert header == ",".join(column.name for column in PARTICLES)


def test_one_image_needs_no_list(tmp_path: Path, frame_file: Path) -> None:
    assert len(corroscope.segment(str(frame_file), out=tmp_path / "out")) > 0


def test_an_annotators_mask_is_not_replaced(
    tmp_path: Path, frame_file: Path, write_image: Writer
) -> None:
    mask = tmp_path / "frame_mask.png"
    mask.write_bytes(b"drawn by hand")
    with pytest.raises(OutputError, match=r"frame_mask.png: stands there already and was not"):
        corroscope.segment([frame_file], out=tmp_path)
    with pytest.raises(OutputError, match=r"frame_mask.png: would replace an input"):
        corroscope.segment([frame_file, mask], out=tmp_path / "sub" / "..")
    other = tmp_path / "masks"
    other.mkdir()
    shutil.copy(mask, other)
    corroscope.segment([write_image("else.png", np.ones((32, 32), np.uint8))], out=other)
    with pytest.raises(OutputError, match=r"frame_mask.png: stands there already and was not"):
        corroscope.segment([frame_file], out=other)
    frame_file.write_text("broken")
    with pytest.raises(OutputError, match=r"frame_mask.png: stands there already and was not"):
        corroscope.segment([frame_file], out=other)
    assert mask.read_bytes() == (other / mask.name).read_bytes() == b"drawn by hand"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_name_that_is_no_text(tmp_path: Path, frame_file: Path) -> None:
    named = os.fsencode(tmp_path) + b"/30\xb5M.png"
    shutil.copy(os.fsencode(frame_file), named)
    with pytest.raises(BatchError, match=r"30\\xb5M.png: the name is not valid UTF-8; rename"):
        corroscope.segment([os.fsdecode(named), frame_file], out=tmp_path / "out")
    assert len(pd.read_csv(tmp_path / "out" / "particles.csv")) > 0


def test_own_results_are_replaced(tmp_path: Path, frame_file: Path) -> None:
    for _ in range(2):
        corroscope.segment([frame_file], out=tmp_path)


def test_no_stale_result_beside_a_failure(tmp_path: Path, frame_file: Path) -> None:
    out = tmp_path / "out"
    corroscope.segment([frame_file], out=out)
    frame_file.write_text("broken meanwhile")
    with pytest.raises(FrameError):
        corroscope.segment([frame_file], out=out)
    assert not (out / "frame_mask.png").exists()
    assert not (out / "frame_overlay.png").exists()
    assert len(pd.read_csv(out / "particles.csv")) == 0
    assert "error" in json.loads((out / "manifest.json").read_text())["inputs"][0]


def test_no_images(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no images given"):
        corroscope.segment([], out=tmp_path / "out")


@pytest.mark.parametrize("shape", [(1, 1), (15, 400)])
def test_too_small(tmp_path: Path, write_image: Writer, shape: tuple[int, int]) -> None:
    path = write_image("tiny.png", np.ones(shape, np.uint8))
    with pytest.raises(FrameError, match=r"tiny.png: frame of .* is too small; give 16×16 px"):
        corroscope.segment([path], out=tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_batch_goes_on(tmp_path: Path, frame_file: Path, write_image: Writer) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("x")
    nan = tmp_path / "nan.tif"
    tifffile.imwrite(nan, np.full((32, 32), np.nan, np.float32))
    out = tmp_path / "out"
    with pytest.raises(BatchError, match=r"2 of 3 inputs failed, 1 done: .*broken.png") as caught:
        corroscope.segment([broken, frame_file, nan], out=out)
    assert caught.value.done == 1
    assert len(caught.value.failures) == 2
    names = {path.name for path in out.iterdir()}
    assert "frame_mask.png" in names
    assert not {"broken_mask.png", "nan_mask.png"} & names
    assert set(pd.read_csv(out / "particles.csv")["frame"]) == {1}
    errors = [
        entry.get("error") for entry in json.loads((out / "manifest.json").read_text())["inputs"]
    ]
    assert [bool(error) for error in errors] == [True, False, True]


def test_two_inputs_with_one_stem(tmp_path: Path, write_image: Writer, frame_file: Path) -> None:
    one = write_image("a/same.png", np.full((32, 32), 90, np.uint8))
    two = write_image("b/same.tif", np.full((32, 32), 90, np.uint8))
    with pytest.raises(BatchError, match="2 inputs are named 'same' and would share one mask"):
        corroscope.segment([one, two, frame_file], out=tmp_path / "out")
    assert not (tmp_path / "out" / "same_mask.png").exists()
    assert (tmp_path / "out" / "frame_mask.png").exists()


def test_out_is_a_file(frame_file: Path) -> None:
    with pytest.raises(OutputError, match="cannot be used as output folder"):
        corroscope.segment([frame_file], out=frame_file)


def test_nothing_half_written_when_the_disk_is_full(
    tmp_path: Path, frame_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    corroscope.segment([frame_file], out=out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left on device.*make room"):
        corroscope.segment([frame_file], out=out)
    monkeypatch.undo()
    after = {path.name: path.read_bytes() for path in out.iterdir()}
    assert after.keys() == before.keys()
    assert after["frame_mask.png"] == before["frame_mask.png"]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.zeros((0, 20), np.uint8), "frame of 0×20 px is too small"),
        (np.zeros((20, 20, 3), np.uint8), r"frame of shape \(20, 20, 3\); give one grey"),
        (np.full((20, 20), np.nan, np.float32), "pixels that are NaN or infinite"),
        (np.full((20, 20), -1, np.float32), "negative on the whole; give intensities"),
    ],
)
def test_arrays_that_are_no_frames(frame: NDArray[np.uint8], message: str) -> None:
    with pytest.raises(FrameError, match=message):
        Segmenter()(frame)


def test_progress(tmp_path: Path, frame_file: Path) -> None:
    seen: list[tuple[int, int]] = []
    corroscope.segment([frame_file], out=tmp_path, progress=lambda *done: seen.append(done))
    assert seen == [(1, 1)]


# With a reference


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames of a surface full of dark specks that drifts, where nothing happens."""
    settings = make_synth_settings(
        {
            "surface": {"specks_per_mpx": 6000}, "particles": {"per_mpx": 0},
            "pits": {"per_mpx": 0, "fewest": 0}, "bubbles": {"per_mpx": 0},
        }
    )  # fmt: skip
    out = tmp_path_factory.mktemp("still") / "run"
    return corroscope.synth(out=out, settings=settings, size=160, frames=3)


def _frames(run: Path) -> list[Path]:
    return sorted((run / "frames").iterdir())


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that sees single frames only, and has learnt nothing."""
    settings = make_train_settings({"pairing": {"alone": 1}, "widths": (4, 8)})
    folder = tmp_path_factory.mktemp("bundles") / "alone"
    export_bundle(
        build_network(settings), settings, folder, name="alone", point=OperatingPoint(0.5, 1),
        training={}, metrics={}, provenance={},
    )  # fmt: skip
    return folder


def test_dark_specks_that_the_reference_has_are_no_particles(still: Path, tmp_path: Path) -> None:
    first, *_, last = _frames(still)
    without = corroscope.segment([last], out=tmp_path / "without", threshold=0.05)
    compared = corroscope.segment(
        [last], out=tmp_path / "compared", reference=first, threshold=0.05
    )
    assert len(without) > 5
    assert len(compared) < len(without) / 5
    manifest = json.loads((tmp_path / "compared" / "manifest.json").read_text())
    digest = hashlib.sha256(first.read_bytes()).hexdigest()
    assert manifest["reference"] == {"image": str(first), "sha256": digest}


def test_what_has_come_is_found_at_its_place_in_the_reference(
    still: Path, tmp_path: Path, write_image: Writer
) -> None:
    first, *_, last = _frames(still)
    frame = read_frame(last)
    frame[80:84, 50:55] = 30
    changed = write_image("changed.png", frame)
    particles = corroscope.segment(changed, out=tmp_path / "out", reference=first)
    truth = pd.read_csv(still / "truth" / "frames.csv").iloc[-1]
    (found,) = np.flatnonzero(np.hypot(particles["y_px"] - 81.5, particles["x_px"] - 52) < 1)
    row = particles.iloc[found]
    assert abs(truth["dy_px"]) + abs(truth["dx_px"]) > 1
    assert row["y_px"] - row["y_ref_px"] == pytest.approx(truth["dy_px"], abs=0.1)
    assert row["x_px"] - row["x_ref_px"] == pytest.approx(truth["dx_px"], abs=0.1)


def test_an_image_that_does_not_fit_the_reference_is_named_and_the_others_are_done(
    still: Path, tmp_path: Path, write_image: Writer
) -> None:
    first, middle, last = _frames(still)
    small = write_image("small.png", read_frame(last)[:100])
    noise = np.random.default_rng(1).integers(0, 256, (160, 160)).astype(np.uint8)
    other = write_image("other.png", noise)
    out = tmp_path / "out"
    with pytest.raises(BatchError, match="2 of 4 inputs failed, 2 done") as caught:
        corroscope.segment([middle, small, other, last], out=out, reference=first)
    remarks = list(caught.value.failures.values())
    assert "small.png: the frame is 100×160 px, the reference 160×160 px" in remarks[0]
    assert f"other.png: cannot be aligned with {first}; give a reference of the" in remarks[1]
    masks = {path.name for path in out.glob("*_mask.png")}
    assert masks == {f"{middle.stem}_mask.png", f"{last.stem}_mask.png"}


def test_an_image_that_does_not_fit_the_reference_raises_if_it_is_the_only_one(
    still: Path, tmp_path: Path, frame_file: Path
) -> None:
    with pytest.raises(FrameError, match="frame.png: the frame is 160×200 px"):
        corroscope.segment(frame_file, out=tmp_path / "out", reference=_frames(still)[0])


def test_a_reference_that_cannot_be_used_is_named(
    still: Path, tmp_path: Path, write_image: Writer
) -> None:
    blank = write_image("blank.png", np.full((160, 160), 200, np.uint8))
    for reference, reason in (
        (blank, "blank.png: the reference shows no texture at all"),
        (tmp_path / "missing.png", "missing.png: "),
        (write_image("tiny.png", np.eye(20, dtype=np.uint8)), "tiny.png: the reference has shape"),
    ):
        with pytest.raises(FrameError, match=f"^.*{reason}"):
            corroscope.segment(_frames(still), out=tmp_path / "out", reference=reference)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_a_reference_whose_name_is_no_text_is_refused(still: Path, tmp_path: Path) -> None:
    first, *_, last = _frames(still)
    named = os.fsencode(tmp_path) + b"/30\xb5M.tif"
    shutil.copy(os.fsencode(first), named)
    with pytest.raises(FrameError, match=r"30\\xb5M.tif: the name is not valid UTF-8; rename"):
        corroscope.segment([last], out=tmp_path / "out", reference=os.fsdecode(named))


def test_a_bundle_that_sees_single_frames_takes_no_reference(
    still: Path, alone: Path, tmp_path: Path
) -> None:
    first, *_, last = _frames(still)
    with pytest.raises(SettingsError, match="bundle 'alone' sees single frames only; choose one"):
        corroscope.segment([last], out=tmp_path / "out", model=alone, reference=first)
    assert not (tmp_path / "out").exists()
    corroscope.segment([last], out=tmp_path / "out", model=alone)
    segmenter = Segmenter(load_bundle(alone))
    with pytest.raises(SettingsError, match="bundle 'alone' sees single frames only; choose one"):
        segmenter(read_frame(last), np.zeros((160, 160), np.float32))


def test_a_reference_array_of_another_size_is_refused(still: Path) -> None:
    with pytest.raises(FrameError, match=r"reference of shape .100, 160. for a frame of .160, 160"):
        Segmenter()(read_frame(_frames(still)[0]), np.zeros((100, 160), np.float32))
