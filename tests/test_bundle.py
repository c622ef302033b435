"""Bundles and the engines that run them."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from corroscope.errors import (
    BundleError,
    EngineError,
)
from corroscope.segmentation import bundle as bundles
from corroscope.segmentation.bundle import Bundle, load_bundle, write_bundle
from corroscope.segmentation.engines import start_engine
from corroscope.synthesis.experiment import Scene

Writer = Callable[[str, NDArray[np.generic]], Path]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundles.SHIPPED, tmp_path / "bundle"))


@pytest.fixture
def frame_file(write_image: Writer, crowded: Callable[[tuple[int, int], int], Scene]) -> Path:
    return write_image("frame.png", crowded((160, 200), 1).frame)


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
    shape = (bundle.card.channels, 64, 96)
    window = np.random.default_rng(0).normal(-0.2, 1, shape).astype(np.float32)
    first, second = (
        start_engine(bundle, name, "f32").predict(window) for name in ("openvino", "onnxruntime")
    )
    assert np.abs(first - second).max() <= 1e-3


def test_engine_compiles_for_many_sizes() -> None:
    bundle = load_bundle()
    engine = start_engine(bundle)
    for height in (16, 24, 32, 40, 48, 16):
        window = np.zeros((bundle.card.channels, height, 16), np.float32)
        assert engine.predict(window).shape == (height, 16)


def test_unknown_engine() -> None:
    with pytest.raises(EngineError, match="engine 'tensorrt' is unknown; use openvino, onnx"):
        start_engine(load_bundle(), "tensorrt")  # type: ignore[arg-type]


def test_unknown_precision() -> None:
    with pytest.raises(EngineError, match="precision 'int4' is unknown; use auto, f32, bf16"):
        start_engine(load_bundle(), "openvino", "int4")  # type: ignore[arg-type]


def test_onnxruntime_has_no_bf16() -> None:
    with pytest.raises(EngineError, match="ONNX Runtime runs this network in f32 only"):
        start_engine(load_bundle(), "onnxruntime", "bf16")


def test_engine_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EngineError, match="openvino cannot be imported .*; install corroscope"):
        start_engine(load_bundle(), "openvino")


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
