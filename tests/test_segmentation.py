"""Bundles, engines, particles, and files in and out."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.measure import regionprops_table

import corroscope
from corroscope.errors import (
    BatchError,
    BundleError,
    EngineError,
    FrameError,
    OutputError,
    SettingsError,
)
from corroscope.learning.dataset import Patch
from corroscope.segmentation import bundle as bundles
from corroscope.segmentation.bundle import Bundle, load_bundle, write_bundle
from corroscope.segmentation.engines import start_engine
from corroscope.segmentation.overlay import draw_overlay
from corroscope.segmentation.particles import find_particles, measure_particles
from corroscope.segmentation.segmenter import Segmenter
from corroscope.synthesis.frame import make_frame
from corroscope.tables import PARTICLES, PARTICLES_UM

Writer = Callable[[str, NDArray[np.generic]], Path]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundles.SHIPPED, tmp_path / "bundle"))


@pytest.fixture
def frame_file(write_image: Writer) -> Path:
    made = make_frame((160, 200), np.random.default_rng(1), particles=8, pits=1)
    return write_image("frame.png", made.frame)


# Bundles


def test_shipped_bundle_is_small_and_complete() -> None:
    bundle = load_bundle()
    assert len(bundle.network) < 10_000_000
    assert bundle.card.parameters <= 2_000_000
    assert "Pitting_corrosion-CNRS" in bundle.card.provenance["source"]
    assert "10.5281/zenodo.14653184" in bundle.card.provenance["source"]
    assert 0 < bundle.card.metrics["scores"]["dice"] < 1
    assert (bundles.SHIPPED / "MODEL_CARD.md").is_file()
    assert f"{bundle.card.network_sha256[:12]}" in repr(bundle)


def test_written_bundle_reads_back(tmp_path: Path) -> None:
    shipped = load_bundle()
    again = write_bundle(tmp_path / "new", shipped.network, shipped.card)
    assert (again.network, again.card) == (shipped.network, shipped.card)


def test_no_bundle_folder(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"missing: no such folder; give the folder"):
        load_bundle(tmp_path / "missing")


def test_bundle_is_a_file(copied: Path) -> None:
    with pytest.raises(BundleError, match=r"model.onnx: is a file; give the folder"):
        load_bundle(copied / "model.onnx")


@pytest.mark.parametrize("name", ["model.onnx", "model.json"])
def test_bundle_file_missing(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: missing; copy the whole bundle"):
        load_bundle(copied)


@pytest.mark.parametrize("name", ["model.onnx", "model.json"])
def test_bundle_file_is_a_folder(copied: Path, name: str) -> None:
    (copied / name).unlink()
    (copied / name).mkdir()
    with pytest.raises(BundleError, match=f"{name}: cannot be read"):
        load_bundle(copied)


@pytest.mark.parametrize("name", ["model.onnx", "model.json"])
@pytest.mark.parametrize("length", [0, 1, 1000])
def test_bundle_truncated(copied: Path, name: str, length: int) -> None:
    content = (copied / name).read_bytes()
    (copied / name).write_bytes(content[:length])
    with pytest.raises(BundleError, match=f"{name}: truncated"):
        load_bundle(copied)


def test_bundle_network_altered(copied: Path) -> None:
    content = bytearray((copied / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (copied / "model.onnx").write_bytes(bytes(content))
    with pytest.raises(BundleError, match=r"model.onnx: truncated or altered"):
        load_bundle(copied)


def _rewrite_card(folder: Path, *, rehash: bool, **changes: object) -> None:
    content = json.loads((folder / "model.json").read_text())
    content |= changes
    if rehash:
        del content["card_sha256"]
        content["card_sha256"] = hashlib.sha256(
            json.dumps(content, sort_keys=True).encode()
        ).hexdigest()
    (folder / "model.json").write_text(json.dumps(content))


def test_bundle_card_altered(copied: Path) -> None:
    _rewrite_card(copied, rehash=False, threshold=0.9)
    with pytest.raises(BundleError, match=r"model.json: altered .* instead of editing it"):
        load_bundle(copied)


def test_bundle_of_later_format(copied: Path) -> None:
    _rewrite_card(copied, rehash=True, format=2)
    with pytest.raises(BundleError, match="bundle format 2, this version reads 1; update"):
        load_bundle(copied)


def test_bundle_card_is_a_list(copied: Path) -> None:
    (copied / "model.json").write_text("[]")
    with pytest.raises(BundleError, match="bundle format None"):
        load_bundle(copied)


def test_bundle_card_with_impossible_value(copied: Path) -> None:
    _rewrite_card(copied, rehash=True, threshold=1.5)
    with pytest.raises(BundleError, match="threshold: Input should be less than 1"):
        load_bundle(copied)


# Engines


def test_engines_agree() -> None:
    bundle = load_bundle()
    window = np.random.default_rng(0).normal(-0.2, 1, (64, 96)).astype(np.float32)
    first, second = (
        start_engine(bundle, name, "f32").predict(window) for name in ("openvino", "onnxruntime")
    )
    assert np.abs(first - second).max() <= 1e-3


def test_engine_compiles_for_many_sizes() -> None:
    engine = start_engine(load_bundle())
    for height in (16, 24, 32, 40, 48, 16):
        assert engine.predict(np.zeros((height, 16), np.float32)).shape == (height, 16)


def test_unknown_engine() -> None:
    with pytest.raises(EngineError, match="engine 'tensorrt' is unknown; use openvino, onnx"):
        start_engine(load_bundle(), "tensorrt")  # type: ignore[arg-type]


def test_unknown_precision() -> None:
    with pytest.raises(EngineError, match="precision 'int4' is unknown; use auto, f32, bf16"):
        start_engine(load_bundle(), "openvino", "int4")  # type: ignore[arg-type]


def test_onnxruntime_has_no_bf16() -> None:
    with pytest.raises(EngineError, match="ONNX Runtime runs this network in f32 only"):
        start_engine(load_bundle(), "onnxruntime", "bf16")


def test_processor_without_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    class OldCore:
        def get_property(self, device: str, name: str) -> list[str]:
            return ["FP32"]

    monkeypatch.setattr("openvino.Core", OldCore)
    with pytest.raises(EngineError, match="no bf16 units; use precision f32 or auto"):
        start_engine(load_bundle(), "openvino", "bf16")


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_network_that_is_none(engine: str) -> None:
    shipped = load_bundle()
    broken = Bundle(Path("broken"), b"not a network", shipped.card)
    with pytest.raises(BundleError, match=r"model.onnx: .* cannot read it; export the bundle"):
        start_engine(broken, engine)  # type: ignore[arg-type]


def test_nothing_is_sent(tmp_path: Path, frame_file: Path) -> None:
    """Outside CI, OpenVINO's own import would report to its maker; ours must not."""
    script = """
import socket, sys
def refuse(*arguments, **options):
    sys.exit("tried to reach the network")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
import corroscope
for engine in ("openvino", "onnxruntime"):
    corroscope.segment([sys.argv[1]], out=sys.argv[2], engine=engine)
assert "openvino_telemetry" not in sys.modules
"""
    ci = ("CI", "TF_BUILD", "JENKINS_URL")
    environment = {k: v for k, v in os.environ.items() if k not in ci}
    environment |= {"HOME": str(tmp_path / "home"), "USERPROFILE": str(tmp_path / "home")}
    (tmp_path / "home").mkdir()
    subprocess.run(
        [sys.executable, "-c", script, str(frame_file), str(tmp_path / "out")],
        check=True, env=environment, timeout=120,
    )  # fmt: skip
    assert list((tmp_path / "home").iterdir()) == []


# Particles


@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.6))
def test_measures_are_those_of_scikit_image(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    probability = rng.random((37, 53), np.float32)
    contrast = -rng.random((37, 53), np.float32)
    labels = find_particles(probability, 1 - share, min_area_px=2)
    table = measure_particles(labels, contrast, probability)
    names = {
        "label": "particle", "centroid-0": "y_px", "centroid-1": "x_px", "area": "area_px",
        "equivalent_diameter_area": "equivalent_diameter_px",
        "intensity_mean-0": "contrast", "intensity_mean-1": "score",
        "bbox-0": "bbox_top_px", "bbox-1": "bbox_left_px",
        "bbox-2": "bbox_bottom_px", "bbox-3": "bbox_right_px",
    }  # fmt: skip
    properties = sorted({name.split("-")[0] for name in names})
    expected = regionprops_table(labels, np.stack([-contrast, probability], -1), properties)
    assert len(table) == labels.max()
    for theirs, ours in names.items():
        assert np.allclose(table[ours], expected[theirs], atol=1e-4), ours


def test_eccentricity_is_that_of_the_drawn_ellipse() -> None:
    for long, short in ((8, 8), (12, 8), (20, 5)):
        labels = np.zeros((64, 64), np.int32)
        cv2.ellipse(labels, (32, 32), (long, short), 30, 0, 360, 1, -1)
        table = measure_particles(labels, labels.astype(np.float32), labels.astype(np.float32))
        drawn = np.sqrt(1 - (short + 0.5) ** 2 / (long + 0.5) ** 2)
        assert abs(table["eccentricity"][0] - drawn) < 0.04


def test_labels_count_rows_first_and_leave_no_gap() -> None:
    probability = np.zeros((10, 10), np.float32)
    probability[8:10, 0:2] = probability[5, 5] = probability[0:2, 7:9] = 1
    labels = find_particles(probability, 0.5, min_area_px=2)
    assert (labels[0, 7], labels[8, 0], labels[5, 5]) == (1, 2, 0)


def test_no_particle() -> None:
    empty = np.zeros((20, 20), np.float32)
    labels = find_particles(empty, 0.5, 1)
    assert not labels.any()
    assert len(measure_particles(labels, empty, empty)) == 0


# The overlay


@pytest.mark.parametrize("ground", [5, 60, 120, 200, 250])
def test_outline_stands_out_by_lightness_on_any_ground(ground: int) -> None:
    mask = np.zeros((30, 30), bool)
    mask[14:17, 14:17] = True
    overlay = draw_overlay(np.full(mask.shape, ground, np.uint8), mask)
    lightness = cv2.cvtColor(overlay, cv2.COLOR_RGB2LAB)[..., 0].astype(float) / 2.55
    ring = np.abs(lightness - lightness[0, 0]).max()
    assert ring > 30
    assert (overlay[mask] == ground).all()


def test_overlay_of_16_bits_uses_the_whole_range() -> None:
    frame = np.linspace(1000, 3000, 10_000).reshape(100, 100).astype(np.uint16)
    overlay = draw_overlay(frame, np.zeros(frame.shape, bool))
    assert (overlay.min(), overlay.max()) == (0, 255)


def test_overlay_of_a_constant_frame() -> None:
    assert not draw_overlay(np.ones((20, 20), np.float32), np.zeros((20, 20), bool)).any()


# The segmenter


@pytest.mark.parametrize("shape", [(16, 16), (17, 16), (16, 333), (225, 223), (720, 31)])
def test_any_size(shape: tuple[int, int]) -> None:
    found = Segmenter()(np.full(shape, 120, np.uint8))
    assert found.probability.shape == found.labels.shape == shape
    assert np.isfinite(found.probability).all()


def test_8_and_16_bits_alike() -> None:
    made = make_frame((160, 160), np.random.default_rng(2), particles=8, pits=0)
    segmenter = Segmenter(precision="f32")
    eight = segmenter(made.frame).probability
    sixteen = segmenter(made.frame.astype(np.uint16) * 16).probability
    assert np.abs(eight - sixteen).max() < 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.0}, "threshold 0: must lie between 0 and 1"),
        ({"threshold": 1.5}, "threshold 1.5: must lie between 0 and 1"),
        ({"min_area_px": 0}, "min_area_px 0: must be 1 or more"),
    ],
)
def test_settings_out_of_range(options: dict[str, float], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Segmenter(**options)  # type: ignore[arg-type]


def test_finds_what_the_annotator_drew(real_patches: list[Patch]) -> None:
    """Patches it was trained on: this guards the path, it is no measure of quality."""
    from corroscope.scoring.counts import Counts, count
    from corroscope.scoring.scores import scores

    segmenter = Segmenter()
    counts = (count(segmenter(p.frame).labels > 0, p.mask) for p in real_patches)
    assert scores(sum(counts, Counts()))["dice"] > 0.7


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


def test_an_annotators_mask_is_not_replaced(tmp_path: Path, frame_file: Path) -> None:
    mask = tmp_path / "frame_mask.png"
    mask.write_bytes(b"drawn by hand")
    with pytest.raises(OutputError, match=r"frame_mask.png: stands there already and was not"):
        corroscope.segment([frame_file], out=tmp_path)
    with pytest.raises(OutputError, match=r"frame_mask.png: stands there already and was not"):
        corroscope.segment([frame_file, mask], out=tmp_path)
    assert mask.read_bytes() == b"drawn by hand"


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
    out.mkdir()
    (out / "frame_mask.png").write_bytes(b"from before")

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left on device.*make room"):
        corroscope.segment([frame_file], out=out)
    monkeypatch.undo()
    assert [path.name for path in out.iterdir()] == ["frame_mask.png"]
    assert (out / "frame_mask.png").read_bytes() == b"from before"


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
