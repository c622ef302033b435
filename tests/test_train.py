"""Training, from the folder of patches to the bundle."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import corroscope
from corroscope.errors import DatasetError, ExportError, OutputError, SettingsError
from corroscope.learning import course, export, fit
from corroscope.learning.dataset import Patch, read_dataset
from corroscope.learning.export import check_parity, export_bundle
from corroscope.learning.judge import Judged, judge
from corroscope.learning.operating_points import POINTS, count_at, operating_point
from corroscope.learning.progress import at_work, read_epochs, status
from corroscope.learning.runs import ASKED, new_run, unfinished_run
from corroscope.learning.settings import TrainSettings, make_settings
from corroscope.learning.side_by_side import side_by_side, threads_each, worker_count
from corroscope.segmentation.particles import OperatingPoint

QUICK: dict[str, Any] = {
    "widths": (4, 6), "crop_px": 32, "batch_size": 4, "steps_per_epoch": 3, "epochs": 2,
    "folds": 3, "ema_decay": 0.5, "pairing": {"runs": 2},
}  # fmt: skip


@pytest.fixture
def quick() -> TrainSettings:
    return make_settings(QUICK)


def _weights(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([weights.detach().ravel() for weights in network.state_dict().values()])


def test_train(dataset: Path, tmp_path: Path, quick: TrainSettings) -> None:
    bundle = corroscope.train(dataset, out=tmp_path / "runs", settings=quick, source="made here")
    run = tmp_path / "runs" / "train1"
    assert bundle.folder == run / "bundle"
    for name in ("curves.png", "examples.png", "metrics.json", "best.ckpt", "last.ckpt"):
        assert (run / name).stat().st_size > 0
    assert list((run / "tensorboard").glob("events.out.tfevents.*"))
    assert bundle.card.provenance == {"source": "made here"}
    metrics = json.loads((run / "metrics.json").read_text())
    assert [row["epoch"] for row in metrics["history"]] == [0, 1]
    assert {"loss", "dice", "particle_f1_iou30", "learning_rate"} <= set(metrics["history"][0])
    assert metrics["patches"] == 2
    followed = read_epochs(run)
    assert followed.history == metrics["history"]
    assert followed.epoch_s is not None
    assert followed.epoch_s > 0
    assert [path.name for path in (run / "predictions").iterdir()] == ["epoch0001.png"]
    assert status(run) == ("finished", "")
    again = corroscope.train(dataset, out=tmp_path / "runs", settings=quick)
    assert again.folder == tmp_path / "runs" / "train2" / "bundle"
    assert again.network == bundle.network  # the same seed, the same weights


def test_tensorboard_reads_the_log(dataset: Path, tmp_path: Path, quick: TrainSettings) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    patches = read_dataset(dataset)
    fit.fit(patches[:3], patches[3:], quick, tmp_path)
    log = EventAccumulator(str(tmp_path / "tensorboard"))
    log.Reload()
    assert {"loss", "dice"} <= set(log.Tags()["scalars"])


def test_cross_validation_uses_every_patch(
    dataset: Path, tmp_path: Path, quick: TrainSettings
) -> None:
    bundle = corroscope.train(dataset, out=tmp_path, settings=quick, cross_validate=True)
    assert bundle.card.metrics["patches"] == bundle.card.training["patches"] == 6
    assert bundle.card.metrics["surfaces"] == 6
    assert (tmp_path / "train1" / "fold3" / "bundle" / "model.onnx").exists()


def test_training_goes_on_where_it_was_killed(dataset: Path, tmp_path: Path) -> None:
    """To the same weights as without the kill."""
    patches = read_dataset(dataset)
    settings = make_settings(QUICK | {"epochs": 4})
    whole, history = fit.fit(patches[:4], patches[4:], settings, tmp_path / "whole")
    script = """
import os, sys
from pathlib import Path
from corroscope.learning import fit
from corroscope.learning.dataset import read_dataset
from corroscope.learning.settings import make_settings

class Killed(fit.Fitting):
    def on_train_batch_start(self, batch, index):
        if self.current_epoch == 2 and index == 1:
            os._exit(9)

fit.Fitting = Killed
patches = read_dataset(sys.argv[1])
fit.fit(patches[:4], patches[4:], make_settings(eval(sys.argv[3])), Path(sys.argv[2]))
"""
    killed = subprocess.run(
        [sys.executable, "-c", script, dataset, tmp_path / "cut", repr(QUICK | {"epochs": 4})],
        check=False, capture_output=True,
    )  # fmt: skip
    assert killed.returncode == 9, killed.stderr.decode()
    assert read_epochs(tmp_path / "cut").history == history[:2]  # readable, though it was killed
    resumed, resumed_history = fit.fit(patches[:4], patches[4:], settings, tmp_path / "cut")
    assert torch.equal(_weights(resumed), _weights(whole))
    assert resumed_history == history
    assert read_epochs(tmp_path / "cut").history == history


def test_starting_from_an_earlier_run(dataset: Path, tmp_path: Path, quick: TrainSettings) -> None:
    corroscope.train(dataset, out=tmp_path, settings=quick, name="first", source="here")
    still = make_settings(QUICK | {"learning_rate": 1e-12, "ema_decay": 0.5, "seed": 5})
    begun = tmp_path / "train1"
    first, _ = fit.fit([], [], quick, begun)  # finished, so nothing but its weights
    network, _ = fit.fit(read_dataset(dataset), [], still, tmp_path / "x", start=begun)
    for name, weights in network.named_parameters():
        assert torch.allclose(weights, dict(first.named_parameters())[name], atol=1e-6)
    bundle = corroscope.train(dataset, out=tmp_path, settings=still, start=begun)
    assert bundle.card.training["started_from"]["name"] == "first"
    assert bundle.card.training["started_from"]["source"] == "here"
    # All its patches were known before, so it does not pass for a test on unseen surface.
    assert "2 of these patches were learnt from" in bundle.card.metrics["method"]
    card = (bundle.folder / "MODEL_CARD.md").read_text()
    assert "trained from weights of `first`" in card
    assert "`first`, from whose weights it started, learnt from: here" in card


def test_starting_from_what_cannot_be_started_from(
    dataset: Path, tmp_path: Path, quick: TrainSettings
) -> None:
    with pytest.raises(SettingsError, match="no trained weights to start from"):
        corroscope.train(dataset, out=tmp_path, settings=quick, start=tmp_path / "train1")
    corroscope.train(dataset, out=tmp_path, settings=quick)
    other = make_settings(QUICK | {"widths": (5, 7)})
    with pytest.raises(SettingsError, match="weights of another network"):
        corroscope.train(dataset, out=tmp_path, settings=other, start=tmp_path / "train1")
    assert not (tmp_path / "train2").exists()


def test_two_devices(dataset: Path, tmp_path: Path) -> None:
    script = """
import sys
from corroscope.cli import main
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""
    (tmp_path / "main.py").write_text(script)
    words = ["train", str(dataset), "--out", str(tmp_path / "runs"), "--accelerator", "cpu"]
    words += ["--devices", "2"]
    for name, value in {**QUICK, "pairing.runs": 2}.items():
        if name != "pairing":
            words += ["--set", f"{name}={list(value) if isinstance(value, tuple) else value}"]
    done = subprocess.run(
        [sys.executable, tmp_path / "main.py", *words], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["train1"]
    metrics = json.loads((tmp_path / "runs" / "train1" / "metrics.json").read_text())
    assert [row["epoch"] for row in metrics["history"]] == [0, 1]


def test_cross_validation_killed_between_folds(
    dataset: Path, tmp_path: Path, quick: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is finished is not trained again, and the result is that of one go."""
    whole = corroscope.train(dataset, out=tmp_path / "a", settings=quick, cross_validate=True)
    real, trained = fit.fit, []

    def fails_in_the_third(*arguments: Any, **options: Any) -> Any:
        trained.append(arguments[3].name)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(course, "fit", fails_in_the_third)
        with pytest.raises(KeyboardInterrupt):
            corroscope.train(dataset, out=tmp_path / "b", settings=quick, cross_validate=True)
    steps: list[int] = []
    monkeypatch.setattr(
        fit.Fitting, "on_train_batch_start", lambda *_: steps.append(1), raising=False
    )
    resumed = corroscope.train(dataset, out=tmp_path / "b", resume=True)
    assert len(steps) == 2 * quick.epochs * quick.steps_per_epoch  # one fold and the last fit
    assert resumed.network == whole.network
    assert resumed.card.metrics == whole.card.metrics


def _side_by_side(dataset: Path, out: Path) -> list[str]:
    words = [sys.executable, "-m", "corroscope", "train", str(dataset), "--out", str(out)]
    words += ["--cross-validate", "--workers", "2", "--accelerator", "cpu"]
    for name, value in {**QUICK, "pairing.runs": 2}.items():
        if name != "pairing":
            words += ["--set", f"{name}={list(value) if isinstance(value, tuple) else value}"]
    return words


def test_networks_side_by_side_go_on_after_a_kill(
    dataset: Path, tmp_path: Path, quick: TrainSettings
) -> None:
    """None outlives the command, what is finished stays, and the end is the same."""
    out = tmp_path / "cut"
    process = subprocess.Popen(_side_by_side(dataset, out))
    first = out / "train1" / "fold1" / fit.FINISHED
    while not first.exists():
        assert process.poll() is None
        time.sleep(0.02)
    finished = first.stat().st_mtime_ns
    process.kill()
    process.wait()
    # Whoever trains writes checkpoints; silence for longer than a fit takes is the end.
    before: dict[Path, int] = {}
    while before != (before := _written(out)):
        time.sleep(3)
    assert len(list(out.rglob(fit.FINISHED))) < 4  # so nobody has gone on
    resumed = subprocess.run(
        [sys.executable, "-m", "corroscope", "train", str(dataset), "--out", str(out), "--resume",
         "--workers", "2", "--accelerator", "cpu"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert resumed.returncode == 0, resumed.stderr
    assert first.stat().st_mtime_ns == finished
    whole = subprocess.run(_side_by_side(dataset, tmp_path / "whole"), check=False)
    assert whole.returncode == 0
    one, other = (
        corroscope.load_bundle(folder / "train1" / "bundle") for folder in (out, tmp_path / "whole")
    )
    assert one.network == other.network
    assert one.card.metrics == other.card.metrics
    assert one.card.metrics["patches"] == 6


def _written(folder: Path) -> dict[Path, int]:
    """When checkpoints were written; temporary files come and go."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.ckpt")}


def test_a_network_that_cannot_be_trained_side_by_side(dataset: Path, tmp_path: Path) -> None:
    """What one process meets is what the command says."""
    out = tmp_path / "runs"
    process = subprocess.Popen(_side_by_side(dataset, out), stderr=subprocess.PIPE, text=True)
    while not (out / "train1").exists():
        assert process.poll() is None
        time.sleep(0.005)
    (out / "train1" / "fold2").write_text("a file where a folder should be")
    _, said = process.communicate()
    assert process.returncode == 2
    assert said.startswith("corroscope train: ")
    assert said.count("\n") == 1
    assert "fold2" in said
    assert status(out / "train1").word == "failed"


def test_a_process_that_dies_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"of the work ended with code 3: .*; this goes on where"):
        side_by_side(os._exit, [3], threads=1, what="the work", again="this")


def test_a_process_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(SpawnProcess, "start", full)
    with pytest.raises(OutputError, match=r"of the work could not be started \(Resource"):
        side_by_side(os._exit, [0], threads=1, what="the work", again="this")
    assert signal.getsignal(signal.SIGINT) == before


def _sleep(seconds: Any) -> None:
    time.sleep(seconds)


def test_processes_end_when_one_fails() -> None:
    """Nobody waits for the others."""
    began = time.monotonic()
    with pytest.raises(OutputError, match="ended with code 1"):
        side_by_side(_sleep, ["not a number", 600], threads=1, what="the work", again="this")
    assert time.monotonic() - began < 300


def test_one_process_for_each_core_but_one_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert [worker_count("auto", jobs) for jobs in (1, 3, 6)] == [1, 3, 4]
    assert [threads_each(workers) for workers in (1, 2, 3, 9)] == [4, 2, 1, 1]
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    assert [worker_count(name, 6) for name in ("auto", "gpu", "mps", "cpu")] == [1, 1, 1, 4]


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        ({"workers": 0}, "--workers: 0 .allowed: at least 1"),
        ({"workers": 2, "devices": 2}, "--workers and --devices exclude each other"),
        ({"workers": 2}, "--workers are for --cross-validate"),
    ],
)
def test_workers_that_cannot_be(
    dataset: Path, tmp_path: Path, machine: dict[str, int], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        corroscope.train(dataset, out=tmp_path / "runs", **machine)  # type: ignore[arg-type]
    assert not (tmp_path / "runs").exists()


def test_resume_takes_the_settings_of_the_run(
    dataset: Path, tmp_path: Path, quick: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(course, "fit", stop)
        with pytest.raises(KeyboardInterrupt):
            corroscope.train(dataset, out=tmp_path, settings=quick, name="first")
    assert status(tmp_path / "train1") == ("stopped", "")
    with (
        at_work(tmp_path / "train1"),
        pytest.raises(SettingsError, match="another process is training there"),
    ):
        corroscope.train(dataset, out=tmp_path, resume=True)
    bundle = corroscope.train(dataset, out=tmp_path, resume=True)
    assert bundle.folder == tmp_path / "train1" / "bundle"
    assert bundle.card.name == "first"
    assert bundle.card.training["settings"]["widths"] == [4, 6]
    with pytest.raises(SettingsError, match="train1: is complete, nothing to resume"):
        corroscope.train(dataset, out=tmp_path, resume=True)


def test_runs_are_counted_as_numbers(tmp_path: Path) -> None:
    for name in ("train2", "train10", "train", "train03", "other"):
        (tmp_path / name).mkdir()
    assert new_run(tmp_path, {}).name == "train11"


def test_resume_what_is_not_there(tmp_path: Path) -> None:
    for out in (tmp_path, tmp_path / "missing"):
        with pytest.raises(SettingsError, match="no training to resume there"):
            unfinished_run(out, "0")


@pytest.mark.parametrize("record", [None, "", "[]", "{}", json.dumps(dict.fromkeys(sorted(ASKED)))])
def test_resume_without_a_record(tmp_path: Path, record: str | None) -> None:
    (tmp_path / "train1").mkdir()
    if record is not None:
        (tmp_path / "train1" / "manifest.json").write_text(record)
    with pytest.raises(SettingsError, match=r"manifest.json: missing or broken"):
        unfinished_run(tmp_path, "0")


def test_resume_takes_nothing_else(dataset: Path, tmp_path: Path, quick: TrainSettings) -> None:
    for options in ({"settings": quick}, {"cross_validate": True}, {"name": "other"}):
        with pytest.raises(SettingsError, match="--resume goes on with a run as it was started"):
            corroscope.train(dataset, out=tmp_path, resume=True, **options)


def test_two_trainings_at_once_take_two_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train1").mkdir()
    monkeypatch.setattr("corroscope.learning.runs._numbers", lambda _: [])
    assert new_run(tmp_path, {}).name == "train2"


@pytest.mark.parametrize(
    "machine", [{"accelerator": "gpu"}, {"accelerator": "tpu"}, {"devices": "few"}]
)
def test_no_such_machine(dataset: Path, tmp_path: Path, machine: dict[str, str]) -> None:
    if torch.cuda.is_available() and "accelerator" in machine:
        pytest.skip("this machine has a GPU")
    with pytest.raises(SettingsError, match="cannot be used here .*; try --accelerator cpu"):
        corroscope.train(dataset, out=tmp_path / "runs", **machine)  # type: ignore[arg-type]
    assert not (tmp_path / "runs").exists()


def test_interrupted_training(
    dataset: Path, tmp_path: Path, quick: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning exits the process with code 1, and no longer listens to Ctrl-C."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(fit.Fitting, "on_train_batch_start", interrupt, raising=False)
    with pytest.raises(KeyboardInterrupt):
        fit.fit(read_dataset(dataset), [], quick, tmp_path)
    assert signal.getsignal(signal.SIGINT) == before
    assert not torch.are_deterministic_algorithms_enabled()


def test_an_early_stop_is_not_resumed(dataset: Path, tmp_path: Path) -> None:
    patches = read_dataset(dataset)
    settings = make_settings(QUICK | {"epochs": 8, "patience": 1, "learning_rate": 1e-9})
    _, first = fit.fit(patches[:4], patches[4:], settings, tmp_path)
    _, second = fit.fit(patches[:4], patches[4:], settings, tmp_path)
    assert first == second
    assert len(first) < 8


def test_broken_checkpoint(dataset: Path, tmp_path: Path, quick: TrainSettings) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"cut off")
    with pytest.raises(SettingsError, match=r"last.ckpt: checkpoint cannot be read; start"):
        fit.fit(read_dataset(dataset), [], quick, tmp_path)


@pytest.mark.parametrize(("epochs", "steps"), [(1, 1), (2, 1), (1, 3), (1, 10), (2, 5), (3, 5)])
def test_any_number_of_steps(dataset: Path, tmp_path: Path, epochs: int, steps: int) -> None:
    settings = make_settings(QUICK | {"epochs": epochs, "steps_per_epoch": steps})
    _, history = fit.fit(read_dataset(dataset), [], settings, tmp_path)
    assert len(history) == epochs


def test_resume_on_other_data(tmp_path: Path) -> None:
    new_run(tmp_path, dict.fromkeys(ASKED, "a") | {"settings": {}})
    with pytest.raises(SettingsError, match="was started on other data"):
        unfinished_run(tmp_path, "b")


def test_nothing_to_learn(dataset: Path, tmp_path: Path) -> None:
    import cv2

    for path in dataset.glob("mask_*.png"):
        cv2.imwrite(str(path), np.zeros((128, 136), np.uint8))
    with pytest.raises(SettingsError, match="no mask has a particle, nothing to learn"):
        corroscope.train(dataset, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_images_that_nobody_has_annotated(
    dataset: Path, tmp_path: Path, quick: TrainSettings
) -> None:
    for number in (2, 4):
        (dataset / f"mask_{number}.png").unlink()
    with pytest.raises(DatasetError, match=r"image_2.png: has no mask"):
        corroscope.train(dataset, out=tmp_path / "runs", settings=quick)
    bundle = corroscope.train(dataset, out=tmp_path / "runs", settings=quick, annotated_only=True)
    assert bundle.card.training["patches"] == 4
    for mask in dataset.glob("mask_*.png"):
        mask.unlink()
    with pytest.raises(DatasetError, match="no image has a mask; annotate some"):
        read_dataset(dataset, annotated_only=True)


def test_one_surface_cannot_be_split(dataset: Path, tmp_path: Path, quick: TrainSettings) -> None:
    index = (dataset / "index.csv").read_text().splitlines()
    (dataset / "index.csv").write_text(
        "\n".join([index[0], *(row.rsplit(",", 1)[0] + ",same" for row in index[1:])])
    )
    with pytest.raises(DatasetError, match="share surface"):
        corroscope.train(dataset, out=tmp_path / "runs", settings=quick)
    assert not (tmp_path / "runs").exists()


def test_checkpoints_hold_weights_only(dataset: Path, tmp_path: Path, quick: TrainSettings) -> None:
    patches = read_dataset(dataset)
    fit.fit(patches[:4], patches[4:], quick, tmp_path)
    for path in tmp_path.glob("*.ckpt"):
        assert "state_dict" in torch.load(path, weights_only=True)


def test_export_fails_when_an_engine_disagrees(
    tmp_path: Path, quick: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = export._to_onnx

    def slightly_wrong(probability: torch.nn.Module, channels: int, stride_px: int) -> bytes:
        with torch.no_grad():
            for weights in probability.parameters():
                weights.mul_(1.05)
        content = real(probability, channels, stride_px)
        with torch.no_grad():
            for weights in probability.parameters():
                weights.div_(1.05)
        return content

    monkeypatch.setattr(export, "_to_onnx", slightly_wrong)
    from corroscope.learning.networks import build_network

    torch.manual_seed(0)
    settings = quick.model_copy(update={"foreground": 0.5})
    with pytest.raises(ExportError, match="openvino differs from PyTorch by .* was not written"):
        export_bundle(
            build_network(settings), settings, tmp_path / "bundle", name="x",
            point=OperatingPoint(0.5, 1), training={}, metrics={}, provenance={},
        )  # fmt: skip
    assert not (tmp_path / "bundle").exists()


def test_parity_is_measured_on_something(tmp_path: Path, quick: TrainSettings) -> None:
    from corroscope.learning.networks import build_network

    network = build_network(quick).eval()
    bundle = export_bundle(
        network, quick, tmp_path / "bundle", name="x", point=OperatingPoint(0.5, 1),
        training={}, metrics={}, provenance={},
    )  # fmt: skip
    difference = check_parity(export._Probability(network).eval(), bundle)
    assert 0 < difference <= 1e-3


def test_precision_follows_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert fit.precision_of("auto") == "32-true"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert fit.precision_of("auto") == "bf16-mixed"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert fit.precision_of("auto") == "16-mixed"
    assert fit.precision_of("cpu") == "bf16-mixed"


# Judging


def test_no_patch_chooses_the_threshold_it_is_judged_with() -> None:
    """Each fold is right at a threshold at which the other is wrong."""
    mask = np.zeros((20, 20), bool)
    mask[5:10, 5:10] = True
    patches = [Patch(f"{n}.png", np.zeros((20, 20), np.uint8), mask) for n in range(2)]
    low = np.where(mask, 0.35, 0.27).astype(np.float32)
    high = np.where(mask, 0.75, 0.55).astype(np.float32)
    judged = Judged(patches, [low, high], [1, 2])
    metrics = judge(judged, np.eye(2, dtype=bool), np.random.default_rng(0))
    assert metrics["scores"]["dice"] < 0.3  # 1.0 for each fold at its own threshold
    assert metrics["surfaces"] == 2
    # Of the first, pixels at most 5 px from the particle; of the second, all, since all are likely.
    rows, columns = np.indices(mask.shape)
    beyond = np.hypot(*(np.maximum(np.abs(axis - 7) - 2, 0) for axis in (rows, columns)))
    near = int((beyond <= 5).sum()) - 25
    off = 25 * 0.65 + near * 0.27 + 25 * 0.25 + 375 * 0.55
    assert metrics["calibration_error"] == pytest.approx(off / (25 + near + 400), abs=1e-4)


def test_of_nearly_equal_thresholds_that_is_chosen_at_which_counts_agree() -> None:
    """Of a hundred particles one is missed; a false one of a single pixel makes up for it."""
    mask = np.zeros((120, 120), bool)
    for number in range(100):
        row, column = divmod(number, 10)
        mask[12 * row + 2 : 12 * row + 8, 12 * column + 2 : 12 * column + 8] = True
    probability = np.where(mask, 0.9, 0.1).astype(np.float32)
    probability[2:8, 2:8] = 0.1
    patch = Patch("a.png", np.zeros(mask.shape, np.uint8), mask)
    assert operating_point([patch], [probability]) == OperatingPoint(0.2, 1)
    probability[10, 10] = 0.34
    assert operating_point([patch], [probability]) == OperatingPoint(0.2, 1)
    # Twenty false ones cost more than counts are worth.
    probability[10, 22::5] = 0.34
    assert operating_point([patch], [probability]) == OperatingPoint(0.2, 1, 0.5)


def test_counts_at_all_points_are_those_at_each(rng: np.random.Generator) -> None:
    noise = cv2.GaussianBlur(rng.random((3, 40, 50)).transpose(1, 2, 0), (0, 0), 1.5)
    for number in range(3):
        wide = (noise[..., number] - noise.min()) / np.ptp(noise)
        probability = np.where(number == 2, 0, wide).astype(np.float32)
        patch = Patch("a.png", np.zeros((40, 50), np.uint8), rng.random((40, 50)) > 0.7)
        patch = replace(patch, ignored=rng.random((40, 50)) > 0.9 if number else None)
        found = Judged([patch], [probability], [0]).counts_at_points[0]
        assert found == [count_at(patch, probability, *point) for point in POINTS]
        assert len(set(map(str, found))) > (20 if number < 2 else 0)
