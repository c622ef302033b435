"""The files that tell how far a training is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from corroscope.errors import OutputError, SettingsError
from corroscope.learning import progress
from corroscope.learning.progress import (
    Epochs,
    at_work,
    is_drawn,
    read_epochs,
    read_process,
    status,
    write_epochs,
)

WORK = """
import sys, time
from pathlib import Path
from corroscope.learning.progress import at_work
with at_work(Path(sys.argv[1])):
    print("begun", flush=True)
    time.sleep(600)
"""


def test_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LOCK_S", 0.05)
    with at_work(tmp_path):
        with (
            pytest.raises(SettingsError, match="another process is training there"),
            at_work(tmp_path),
        ):
            pytest.fail("two at once")
        assert status(tmp_path) == ("running", "")
    with at_work(tmp_path):
        pass


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KeyboardInterrupt(), ("stopped", "")),
        (SettingsError("x: is wrong; mend it"), ("failed", "x: is wrong; mend it")),
        (ValueError("of no use\nat all"), ("failed", "ValueError: of no use")),
        (MemoryError(), ("failed", "MemoryError: ")),
    ],
)
def test_how_it_ended(tmp_path: Path, error: BaseException, expected: tuple[str, str]) -> None:
    with pytest.raises(type(error)), at_work(tmp_path):
        raise error
    assert status(tmp_path) == expected
    process = read_process(tmp_path)
    assert process is not None
    assert process.process > 0


def test_a_full_disk_does_not_hide_what_went_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OutputError("no room")

    def fail() -> None:
        monkeypatch.setattr(progress, "write_json", full)
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"), at_work(tmp_path):
        fail()
    assert status(tmp_path).word == "stopped"


def test_killed(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            assert status(tmp_path) == ("running", "")
        finally:
            process.kill()
    assert status(tmp_path) == ("stopped", "its process was killed")


def test_finished(tmp_path: Path) -> None:
    assert status(tmp_path) == ("stopped", "")  # one of before there were such records
    assert list(tmp_path.iterdir()) == []  # looking writes nothing
    (tmp_path / "metrics.json").write_text("{}")
    assert status(tmp_path) == ("finished", "")


def test_what_cannot_be_locked(tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    with pytest.raises(OutputError, match=r"\.lock: cannot be locked"):
        status(tmp_path)
    with pytest.raises(OutputError, match=r"\.lock: cannot be locked"), at_work(tmp_path):
        pytest.fail("without a lock")


def test_epochs(tmp_path: Path) -> None:
    assert read_epochs(tmp_path) == Epochs(epoch_s=None, history=[])
    write_epochs(tmp_path, [{"epoch": 0, "loss": float("inf"), "dice": 0.5}], 1.5)
    found = read_epochs(tmp_path)
    assert (found.epoch_s, found.history) == (1.5, [{"epoch": 0, "loss": None, "dice": 0.5}])


@pytest.mark.parametrize("text", ["", "[]", '{"history": 3}', '{"history": [[1]]}', "\0"])
def test_damaged_files_are_as_good_as_none(tmp_path: Path, text: str) -> None:
    for name in ("epochs.json", "process.json"):
        (tmp_path / name).write_text(text)
    assert read_epochs(tmp_path) == Epochs()
    assert read_process(tmp_path) is None
    assert status(tmp_path) == ("stopped", "")


def test_the_files_are_whole_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_epochs(tmp_path, [{"epoch": 0, "loss": 1.0}], None)
    real = Path.replace

    def look(self: Path, target: Path) -> Path:
        assert json.loads(target.read_text())["history"] == [{"epoch": 0, "loss": 1.0}]
        return real(self, target)

    monkeypatch.setattr(Path, "replace", look)
    write_epochs(tmp_path, [{"epoch": 0, "loss": 1.0}, {"epoch": 1, "loss": 0.5}], None)
    assert len(read_epochs(tmp_path).history) == 2


@pytest.mark.parametrize("epochs", [1, 2, 7, 8, 9, 80, 100])
def test_at_most_eight_epochs_are_drawn(epochs: int) -> None:
    drawn = [epoch for epoch in range(1, epochs + 1) if is_drawn(epoch, epochs)]
    assert len(drawn) <= 8
    assert epochs not in drawn
    assert len(drawn) >= min(epochs - 1, 4)
