"""Architectures of segmentation-models-pytorch, through the same settings.

They live in a folder of their own beside the packages, for their torchvision may have
been built for another torch; then it lacks two operators and breaks whatever imports
it. The operators are declared here, in a process of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import corroscope

FOLDER = Path(sys.prefix) / "smp"

PREAMBLE = """
import sys, torch
try:
    import torchvision
except RuntimeError:
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from corroscope.cli import main
"""


def _run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    if not (FOLDER / "segmentation_models_pytorch").is_dir():
        pytest.skip(f"segmentation-models-pytorch is not in {FOLDER}")
    return subprocess.run(
        [sys.executable, "-c", PREAMBLE + "sys.exit(main(sys.argv[1:]))", *map(str, words)],
        check=False, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(FOLDER)},
    )  # fmt: skip


def test_train_an_architecture_of_smp(dataset: Path, tmp_path: Path) -> None:
    done = _run(
        "train", dataset, "--out", tmp_path, "--architecture", "smp:UnetPlusPlus", "--epochs", "1",
        "--set", "steps_per_epoch=2", "--set", "batch_size=2", "--set", "crop_px=64",
        "--set", "folds=3", "--set", "pairing.runs=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    bundle = corroscope.load_bundle(tmp_path / "train1" / "bundle")
    assert bundle.card.architecture == "smp:UnetPlusPlus"
    assert bundle.card.training["settings"]["encoder"] == "timm-efficientnet-b0"
    assert bundle.card.parameters > 6_000_000
    assert bundle.card.receptive_field_px is None
    assert bundle.card.pooling_stride_px == 32
    found = corroscope.Segmenter(bundle)(np.full((70, 90), 120, np.uint8))
    assert found.probability.shape == (70, 90)


@pytest.mark.parametrize(
    ("words", "name"),
    [(("--architecture", "smp:Nonsense"), "smp:Nonsense"),
     (("--architecture", "smp:Unet", "--encoder", "nonsense"), "nonsense")],
)  # fmt: skip
def test_unknown_architecture_or_encoder(
    dataset: Path, tmp_path: Path, words: tuple[str, ...], name: str
) -> None:
    done = _run("train", dataset, "--out", tmp_path, "--set", "folds=3", *words)
    assert done.returncode == 2, done.stderr
    assert name in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
