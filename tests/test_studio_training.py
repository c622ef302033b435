"""Training from the page: started, followed, stopped, resumed, and what is refused."""

import http.client
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import crowded_patch
from studios import SECRET, Served, studio

from corroscope.cli.arguments import parser
from corroscope.cli.given import given_settings
from corroscope.errors import MissingExtraError
from corroscope.frames.opening import open_sequence
from corroscope.learning.dataset import read_dataset
from corroscope.learning.progress import at_work, write_epochs
from corroscope.learning.runs import new_run
from corroscope.learning.settings import TrainSettings, make_settings
from corroscope.outputs import write_json, write_png
from corroscope.studio import training
from corroscope.studio.workplace import Workplace
from corroscope.synthesis.experiment import Scene

QUICK = [
    "widths=[4, 6]", "crop_px=32", "batch_size=2", "steps_per_epoch=2", "folds=2",
    "pairing.alone=1", "augmentation.pasted=1",
]  # fmt: skip
RECORD = {"command": "train", "cross_validate": False, "name": "own", "source": "not stated"}


@pytest.fixture(scope="module")
def patches() -> list[Scene]:
    return [crowded_patch((64, 72), number) for number in range(4)]


@pytest.fixture
def folder(tmp_path: Path, patches: list[Scene]) -> Path:
    """Three annotated images, and one that nobody has annotated."""
    for number, made in enumerate(patches):
        write_png(tmp_path / f"x{number}.png", made.frame)
        if number < 3:
            write_png(tmp_path / f"x{number}_mask.png", made.mask.astype(np.uint8) * 255)
    return tmp_path


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    with studio(folder) as served:
        yield served


def _state(served: Served) -> dict[str, Any]:
    found: dict[str, Any] = served.get("/api/training").content
    return found


def _newest(served: Served) -> dict[str, Any]:
    found: dict[str, Any] = _state(served)["runs"][0]
    return found


def _wait(served: Served, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait for something to become of the newest training."""
    for _ in range(1200):
        state = _state(served)
        if until(state):
            return state
        time.sleep(0.05)
    pytest.fail(f"never came: {state}")


def _ended(state: dict[str, Any]) -> bool:
    return not state["runs"] or state["runs"][0]["status"] not in ("starting", "running")


def _made_run(folder: Path, **more: Any) -> Path:
    """A training's folder as it is before the first epoch."""
    settings = TrainSettings(epochs=4).model_dump(mode="json")
    return new_run(folder / "runs", RECORD | {"settings": settings, "dataset_sha256": ""} | more)


def test_from_start_to_bundle(served: Served, folder: Path) -> None:
    settings = [*QUICK, "epochs=3"]
    asked = {"settings": settings}
    command = served.post("/api/training/check", asked).content["command"]
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    connection.request("GET", "/api/events", headers={"Cookie": served.cookie()})
    events = connection.getresponse()
    begun = served.post("/api/training/start", asked).content
    assert [run["status"] for run in begun["runs"]] == ["starting"]
    assert served.post("/api/training/start", asked).status == 422  # one at a time
    while events.readline() != b"event: training\n":
        pass
    connection.close()
    (run,) = _wait(served, _ended)["runs"]
    assert (run["status"], run["problem"], run["resumable"]) == ("finished", "", False)
    assert (run["number"], run["done"], run["epochs"]) == (1, 3, 3)
    assert run["command"] == command
    figures = served.get("/api/training/1").content
    (fit,) = figures["fits"]
    metrics = json.loads((folder / "runs" / "train1" / "metrics.json").read_text())
    assert fit["history"] == metrics["history"]
    assert fit["epoch_s"] > 0
    assert run["metrics"]["scores"] == metrics["scores"]
    assert figures["predictions"] == [1, 2]
    for which in ("examples", "curves", "predictions/2"):
        answer = served.get(f"/api/training/1/{which}")
        assert answer.headers["content-type"] == "image/png"
        assert answer.body.startswith(b"\x89PNG")
    assert (folder / "runs" / "train1" / "bundle" / "model.onnx").exists()
    # What is in the folder besides is no image of the dataset, nor of a sequence.
    assert len(read_dataset(folder, annotated_only=True)) == 3
    with open_sequence(folder) as sequence:
        assert sequence.stems == [f"x{number}" for number in range(4)]


def test_stopped_and_resumed_across_restarts(folder: Path) -> None:
    with studio(folder) as served:
        served.post("/api/training/start", {"settings": [*QUICK, "epochs=40", "patience=40"]})
        _wait(served, lambda state: bool(state["runs"][0]["done"]))
        (run,) = served.post("/api/training/stop", {}).content["runs"]
        assert (run["status"], run["problem"], run["resumable"]) == ("stopped", "", True)
        assert _state(served)["problem"] == ""
    with studio(folder) as served:  # all of it is on the disk
        assert _newest(served) == run
        begun = served.post("/api/training/start", {"resume": True}).content["runs"]
        assert [one["status"] for one in begun] == ["starting"]
        _wait(served, lambda state: state["runs"][0]["done"] > run["done"])
    with studio(folder) as served:  # closed, it took the training with it
        closed = _newest(served)
        assert (closed["status"], closed["resumable"]) == ("stopped", True)
        served.post("/api/training/start", {"resume": True})
        done = _wait(served, _ended)["runs"][0]
        assert done["status"] == "finished"
        history = served.get("/api/training/1").content["fits"][0]["history"]
    epochs = [row["epoch"] for row in history]
    assert epochs == list(range(len(epochs)))
    assert not (folder / "runs" / "train2").exists()


@contextmanager
def _elsewhere(run: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that the studio did not start is at work on a run."""
    script = """
import sys, time
from pathlib import Path
from corroscope.learning.progress import at_work
with at_work(Path(sys.argv[1])):
    print(flush=True)
    time.sleep(600)
"""
    words = [sys.executable, "-c", script, str(run)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def test_one_that_was_started_elsewhere(served: Served, folder: Path) -> None:
    """By a terminal, or by a studio that was killed and left it behind."""
    run = _made_run(folder)
    with _elsewhere(run) as process:
        write_epochs(run, [{"epoch": 0, "loss": float("nan"), "learning_rate": 0.1}], 2.0)
        found = _newest(served)
        assert (found["status"], found["done"], found["epoch_s"]) == ("running", 1, 2.0)
        assert served.get("/api/training/1").content["fits"][0]["history"][0]["loss"] is None
        for asked in ({"settings": QUICK}, {"resume": True}):
            refused = served.post("/api/training/start", asked)
            assert refused.status == 422
            assert refused.content["error"] == "training 1 is at work; stop it first, or wait"
        assert served.post("/api/training/stop", {}).content["runs"][0]["status"] == "stopped"
        assert process.wait() != 0
    with _elsewhere(run) as process:
        process.kill()
        process.wait()
        killed = _newest(served)
    assert (killed["status"], killed["problem"]) == ("stopped", "its process was killed")
    assert killed["resumable"]


def test_networks_that_are_trained_at_once_take_less_time(served: Served, folder: Path) -> None:
    run = _made_run(folder, cross_validate=True)
    row = {"epoch": 0, "loss": 1.0, "learning_rate": 0.1}
    done = [row | {"epoch": k} for k in range(4)]
    for name, history, epoch_s in (("fold1", done, 3.0), ("fold2", [row], 4.0)):
        (run / name).mkdir()
        write_epochs(run / name, history, epoch_s)
    assert _newest(served)["epoch_s"] == 4.0
    (run / "fold3").mkdir()
    write_epochs(run / "fold3", [row], 4.0)
    assert _newest(served)["epoch_s"] == 2.0


def test_what_cannot_be_stopped_from_here(
    served: Served, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _made_run(folder)
    with _elsewhere(run):
        with monkeypatch.context() as patch:
            patch.setattr("os.kill", lambda *_: None)
            patch.setattr(training, "PATIENCE_S", 0.2)
            answer = served.post("/api/training/stop", {})
        assert "cannot be stopped; end it by hand" in answer.content["error"]
        process = json.loads((run / "process.json").read_text())
        write_json(run / "process.json", process | {"machine": "another"})
        answer = served.post("/api/training/stop", {})
    assert "another machine is training there; stop it on that one" in answer.content["error"]


def test_nothing_annotated(folder: Path) -> None:
    for path in folder.glob("*_mask.png"):
        write_png(path, np.zeros((64, 72), np.uint8))
    with studio(folder) as served:
        served.post("/api/training/start", {"settings": QUICK})
        state = _wait(served, _ended)
    assert state["runs"] == []
    problem = f"{folder}: no mask has a particle, nothing to learn; annotate some"
    assert state["problem"] == problem


def test_a_process_that_is_killed_without_a_word(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def popen(*words: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(real(*words, **options))
        return started[-1]

    monkeypatch.setattr("subprocess.Popen", popen)
    assert served.post("/api/training/start", {"settings": QUICK}).status == 200
    started[0].kill()
    state = _wait(served, _ended)
    assert state["problem"] == "the training's process ended without a word (exit code -9)"


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("epochs=0", "epochs: 0 (allowed: at least 1)"),
        ("augmentation.scale=3", "augmentation.scale: 3 (allowed: at least 1, at most 2)"),
        ("crop_px=33", "crop_px: 33 (Input should be a multiple of 32)"),
        ("wisdom=1", "wisdom: 1 (there is no such setting)"),
        ("epochs", "--set epochs: give it as NAME=VALUE"),
    ],
)
def test_settings_are_checked_before_anything_starts(
    served: Served, folder: Path, setting: str, problem: str
) -> None:
    asked = {"settings": [*QUICK, setting]}
    refused = served.post("/api/training/start", asked)
    assert (refused.status, refused.content["error"]) == (422, problem)
    assert served.post("/api/training/check", asked).content == {"command": "", "problem": problem}
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    "asked", [{"settings": ["a=" + 300 * "["]}, {"settings": 101 * ["a=1"]}, {"what": 1}, [], "x"]
)
def test_what_is_no_question(served: Served, folder: Path, asked: Any) -> None:
    for what in ("start", "check"):
        answer = served.post(f"/api/training/{what}", asked)
        assert answer.status == 400
        assert "\n" not in answer.content["error"]
    assert not (folder / "runs").exists()


def test_the_command_does_the_same(served: Served, folder: Path) -> None:
    settings = [*QUICK, "epochs=5", "seed=3", "architecture=unet", "learning_rate=1e-05"]
    settings += ["encoder=timm-efficientnet-b1", "augmentation.pasted=0.5"]
    asked = {"settings": settings, "cross_validate": True}
    command = served.post("/api/training/check", asked).content["command"]
    chosen = parser().parse_args(shlex.split(command)[1:])
    changes = given_settings(chosen)
    for name in ("architecture", "epochs", "seed"):
        changes[name] = getattr(chosen, name)
    wanted = {"widths": (4, 6), "crop_px": 32, "batch_size": 2, "steps_per_epoch": 2, "folds": 2}
    wanted |= {"pairing": {"alone": 1}, "augmentation": {"pasted": 0.5}, "seed": 3, "epochs": 5}
    wanted |= {"architecture": "unet", "learning_rate": 1e-05}
    wanted |= {"encoder": "timm-efficientnet-b1"}
    assert make_settings(changes) == make_settings(wanted)
    assert chosen.cross_validate
    assert (chosen.dataset, chosen.out) == (str(folder), str(folder / "runs"))
    assert chosen.annotated_only
    usual = served.post("/api/training/check", {}).content["command"]
    assert usual == f"corroscope train {folder} --out {folder / 'runs'} --annotated-only"


def test_the_command_of_one_that_a_terminal_started(served: Served, folder: Path) -> None:
    _made_run(folder, name="my net", source="here", start="/a/train1", cross_validate=True)
    found = _newest(served)
    assert found["command"].endswith(
        "--epochs 4 --cross-validate --start /a/train1 --name 'my net' --source here"
    )
    assert found["epochs"] == 6 * 4  # five folds, then all
    (folder / "runs" / "train1" / "fold1").mkdir()
    write_epochs(folder / "runs" / "train1" / "fold1", [{"epoch": 0, "loss": 1.0}], 1.0)
    fits = served.get("/api/training/1").content["fits"]
    assert [fit["name"] for fit in fits][::5] == ["fold 1", "all patches"]
    assert [len(fit["history"]) for fit in fits] == [1, 0, 0, 0, 0, 0]
    assert _newest(served)["done"] == 1


def test_every_setting_is_listed(served: Served) -> None:
    listed = {one["name"]: one for one in served.get("/api/training/settings").content}
    assert listed["epochs"]["usual"] == "60"
    assert listed["augmentation.scale"]["allowed"] == "at least 1, at most 2"
    assert listed["crop_px"]["allowed"] == "at least 32, at most 1024, a multiple of 32"
    given = [f"{name}={one['usual']}" for name, one in listed.items()]
    command = served.post("/api/training/check", {"settings": given}).content["command"]
    assert command.endswith("--annotated-only")  # nothing is unusual


def test_the_studio_loads_no_torch() -> None:
    script = "import sys, corroscope.studio.annotate; print('torch' in sys.modules)"
    words = [sys.executable, "-c", script]
    assert subprocess.check_output(words, text=True) == "False\n"


def test_without_the_extra(served: Served, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        training, "find_spec", lambda name: None if name in ("torch", "onnx") else object()
    )
    needs = (
        "Training needs torch, onnx; install with pip install 'corroscope[train]' and start the "
        "studio again"
    )
    assert _state(served)["needs"] == needs
    refused = served.post("/api/training/start", {"settings": QUICK})
    assert (refused.status, refused.content["error"]) == (422, needs)
    assert not (folder / "runs").exists()


def test_a_second_annotation_learns_nothing_of_the_first(folder: Path) -> None:
    place = Workplace(folder, "bob", SECRET, second=True)
    try:
        one = training.Training(place, lambda *_: None)
        assert "must not see what was learnt from the first" in one.state()["needs"]
        with pytest.raises(MissingExtraError, match="open the folder without --second to train"):
            one.start(b"{}")
    finally:
        place.close()


def test_links_out_of_the_folder(tmp_path: Path, folder: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    write_json(outside / "manifest.json", {"settings": {"epochs": 1}, "cross_validate": False})
    (outside / "examples.png").write_bytes(b"secret")
    with studio(folder) as served:
        (folder / "runs").symlink_to(outside)
        for answer in (
            served.get("/api/training"),
            served.post("/api/training/start", {"settings": QUICK}),
            served.post("/api/training/stop", {}),
        ):
            assert answer.status == 422
            assert "is a link out of the folder" in answer.content["error"]
        (folder / "runs").unlink()
        run = _made_run(folder)
        (run.parent / "train2").symlink_to(outside)
        linked, honest = _state(served)["runs"]
        assert (linked["status"], honest["status"]) == ("failed", "stopped")
        assert "is a link out of the folder" in linked["problem"]
        for what in ("", "/examples"):
            assert served.get(f"/api/training/2{what}").status == 422
        assert served.post("/api/training/start", {"settings": QUICK}).status == 422
        (run.parent / "train2").unlink()
        (run / "examples.png").symlink_to(outside / "examples.png")
        assert served.get("/api/training/1/examples").status == 422
        assert "is a link out" in _newest(served)["problem"]
    assert {path.name for path in outside.iterdir()} == {"manifest.json", "examples.png"}


@pytest.mark.parametrize(
    "what",
    ["2", "0", "01", "-1", "1.0", "x", f"1{'0' * 5000}", "%2e%2e", "1/manifest", "1/examples",
     "1/predictions/1", "1/predictions/x", "1/..%2fmanifest.json", "1/predictions/..%2f1"],
)  # fmt: skip
def test_what_there_is_not(served: Served, folder: Path, what: str) -> None:
    _made_run(folder)
    assert served.get(f"/api/training/{what}").status == 404


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"cross_validate": 1, "settings": []}'])
def test_a_damaged_run_does_not_hide_the_others(
    served: Served, folder: Path, manifest: str
) -> None:
    honest, damaged = _made_run(folder), _made_run(folder)
    (damaged / "manifest.json").write_text(manifest)
    with at_work(honest):
        found, other = _state(served)["runs"]
    assert (found["status"], other["status"]) == ("failed", "running")
    assert "manifest.json: cannot be read" in found["problem"] or "damaged" in found["problem"]
    assert served.get("/api/training/2").status == 422


@pytest.mark.parametrize("figures", ["", "[]", "{}", '{"threshold": "high"}'])
def test_damaged_figures_are_told(served: Served, folder: Path, figures: str) -> None:
    (_made_run(folder) / "metrics.json").write_text(figures)
    (run,) = _state(served)["runs"]
    assert run["status"] == "failed"
    assert run["problem"].endswith("metrics.json: cannot be read; start anew")
