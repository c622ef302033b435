"""The same seed gives the same numbers, and what a run says of itself is true."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import corroscope
from corroscope.learning import fit
from corroscope.learning.dataset import read_dataset
from corroscope.learning.progress import read_epochs
from corroscope.learning.settings import TrainSettings, make_settings
from corroscope.outputs import code_hash

QUICK: dict[str, Any] = {
    "widths": (4, 6), "crop_px": 32, "batch_size": 4, "steps_per_epoch": 3, "epochs": 3,
    "folds": 3, "ema_decay": 0.5, "pairing": {"runs": 2},
}  # fmt: skip
LOGGED = ("loss", "dice", "particle_f1_iou30", "learning_rate")


def _trained(dataset: Path, out: Path, changes: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Figures of a training, and the hash of its network."""
    settings = make_settings(QUICK | changes)
    bundle = corroscope.train(dataset, out=out, settings=settings, accelerator="cpu")
    network = (bundle.folder / "model.onnx").read_bytes()
    return json.loads((out / "train1" / "metrics.json").read_text()), (
        hashlib.sha256(network).hexdigest()
    )


def test_one_seed_one_result(dataset: Path, tmp_path: Path) -> None:
    first, network = _trained(dataset, tmp_path / "a", {})
    again, same_network = _trained(dataset, tmp_path / "b", {})
    other, other_network = _trained(dataset, tmp_path / "c", {"seed": 1})
    assert again == first
    assert same_network == network
    assert other["history"] != first["history"]
    assert other_network != network


def test_a_process_of_its_own_comes_to_the_same(dataset: Path, tmp_path: Path) -> None:
    """Nothing that a process has done before changes a training."""
    first, network = _trained(dataset, tmp_path / "a", {})
    words = [
        sys.executable,
        "-m",
        "corroscope",
        "train",
        str(dataset),
        "--out",
        str(tmp_path / "b"),
    ]
    words += ["--accelerator", "cpu"]
    for name, value in QUICK.items():
        if name == "pairing":
            name, value = "pairing.runs", value["runs"]
        words += ["--set", f"{name}={list(value) if isinstance(value, tuple) else value}"]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "b" / "train1"
    assert json.loads((run / "metrics.json").read_text()) == first
    again = hashlib.sha256((run / "bundle" / "model.onnx").read_bytes()).hexdigest()
    assert again == network


# The code


def test_the_hash_of_the_code_is_that_of_its_files(tmp_path: Path) -> None:
    package = tmp_path / "package"
    (package / "room").mkdir(parents=True)
    (package / "a.py").write_text("A = 1\n")
    (package / "room" / "b.py").write_text("B = 2\n")
    (package / "notes.txt").write_text("none of it")
    first = code_hash(package)
    lines = [
        f"{name} {hashlib.sha256(text).hexdigest()}\n"
        for name, text in (("a.py", b"A = 1\n"), ("room/b.py", b"B = 2\n"))
    ]
    assert first == hashlib.sha256("".join(lines).encode()).hexdigest()
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(package, elsewhere)
    (elsewhere / "notes.txt").write_text("changed")
    (elsewhere / "a.py").write_bytes(b"A = 1\r\n")
    assert code_hash(elsewhere) == first
    (elsewhere / "a.py").write_text("A = 3\n")
    assert code_hash(elsewhere) != first
    (package / "a.py").rename(package / "c.py")
    assert code_hash(package) != first


def test_the_code_is_that_of_corroscope() -> None:
    assert code_hash() == code_hash(Path(corroscope.__file__).parent)


# The log


@pytest.fixture
def quick() -> TrainSettings:
    return make_settings(QUICK)


def _log(folder: Path) -> EventAccumulator:
    log = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    log.Reload()
    return log


def _check(folder: Path, settings: TrainSettings) -> None:
    log, history = _log(folder), read_epochs(folder).history
    assert [row["epoch"] for row in history] == list(range(settings.epochs))
    last_steps = [(epoch + 1) * settings.steps_per_epoch - 1 for epoch in range(settings.epochs)]
    for name in LOGGED:
        # Two files of one second are read in any order.
        events = sorted(log.Scalars(name), key=lambda event: event.step)
        assert [event.step for event in events] == last_steps
        assert [event.value for event in events] == pytest.approx([row[name] for row in history])


def test_tensorboard_reads_every_epoch(dataset: Path, tmp_path: Path, quick: TrainSettings) -> None:
    patches = read_dataset(dataset)
    fit.fit(patches[:4], patches[4:], quick, tmp_path, accelerator="cpu")
    _check(tmp_path, quick)
    (said,) = _log(tmp_path).Tensors("settings/text_summary")
    assert TrainSettings.model_validate_json(said.tensor_proto.string_val[0]) == quick


def test_tensorboard_reads_every_epoch_once_after_a_kill(
    dataset: Path, tmp_path: Path, quick: TrainSettings
) -> None:
    script = """
import os, sys
from pathlib import Path
from corroscope.learning import fit
from corroscope.learning.dataset import read_dataset
from corroscope.learning.settings import make_settings

class Killed(fit.Fitting):
    def on_train_batch_start(self, batch, index):
        if self.current_epoch == 2 and index == 1:
            self.logger.experiment.flush()
            os._exit(9)

fit.Fitting = Killed
patches = read_dataset(sys.argv[1])
fit.fit(patches[:4], patches[4:], make_settings(eval(sys.argv[3])), Path(sys.argv[2]),
        accelerator="cpu")
"""
    killed = subprocess.run(
        [sys.executable, "-c", script, dataset, tmp_path, repr(QUICK)],
        check=False, capture_output=True,
    )  # fmt: skip
    assert killed.returncode == 9, killed.stderr.decode()
    assert [event.value for event in _log(tmp_path).Scalars("loss")]
    patches = read_dataset(dataset)
    fit.fit(patches[:4], patches[4:], quick, tmp_path, accelerator="cpu")
    assert len(list((tmp_path / "tensorboard").glob("events.*"))) == 2
    _check(tmp_path, quick)
    assert len(_log(tmp_path).Tensors("settings/text_summary")) == 1
