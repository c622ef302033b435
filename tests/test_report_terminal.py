"""Curves in a terminal: as text, and redrawn in place while a training runs."""

import fcntl
import math
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import corroscope
from corroscope.cli.networks import _Curves
from corroscope.learning.progress import Progress
from corroscope.learning.settings import make_settings
from corroscope.report.terminal import draw_terminal, redrawn

QUICK = (
    "widths=[4, 6]", "crop_px=32", "batch_size=4", "steps_per_epoch=2", "epochs=3", "folds=3",
    "ema_decay=0.5", "pairing.runs=2",
)  # fmt: skip


def course(epochs: int = 30) -> list[dict[str, float | None]]:
    return [
        {
            "epoch": k,
            "loss": math.exp(-k / 10),
            "learning_rate": 4e-3,
            "dice": 1 - math.exp(-k / 8),
            "particle_f1_iou30": 0.9 - 0.01 * abs(k - 20),
        }
        for k in range(epochs)
    ]


def screen(text: str) -> list[str]:
    """What a terminal of any height shows after it was sent a text."""
    lines, row = [""], 0
    for sign in re.findall(r"\x1b\[\d*[A-Z]|[^\x1b]", text):
        if sign == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif sign.endswith("F") and len(sign) > 1:
            row -= int(sign[2:-1])
            assert row >= 0
        elif sign == "\x1b[J":
            del lines[row + 1 :]
            lines[row] = ""
        elif sign != "\r":
            assert len(sign) == 1, f"unknown sequence {sign!r}"
            lines[row] += sign
    return lines


values = st.none() | st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 1)


@given(
    history=st.lists(
        st.fixed_dictionaries(
            {"loss": values, "learning_rate": st.none() | st.floats(0, 1)},
            optional={"dice": values, "particle_f1_iou30": values},
        ),
        max_size=12,
    ),
    width=st.integers(1, 120),
    height=st.integers(2, 50),
    epochs=st.none() | st.integers(1, 15),
    epoch_s=st.none() | st.floats(0, 1e6),
    unicode=st.booleans(),
)
def test_whatever_the_terminal_it_fits(
    history: list[dict[str, float | None]],
    width: int,
    height: int,
    epochs: int | None,
    epoch_s: float | None,
    unicode: bool,
) -> None:
    start: dict[str, float | None] = {}
    rows = [start | {"epoch": float(k)} | row for k, row in enumerate(history)]
    text = draw_terminal(
        rows, width=width, height=height, epochs=epochs, epoch_s=epoch_s, unicode=unicode
    )
    lines = text.split("\n")
    assert max(map(len, lines)) <= width
    assert len(lines) < height
    assert unicode or text.isascii()


def test_figures_are_there() -> None:
    lines = draw_terminal(course(), width=120, epochs=80, epoch_s=60.0, title="fold 2").split("\n")
    assert lines[0] == "fold 2: epoch 30 of 80, at most 50 min left"
    assert "loss 0.055" in lines[1]
    assert "Dice 0.973 (best 0.973, epoch 30)" in lines[1]
    assert "particle F1 0.810 (best 0.900, epoch 21)" in lines[1]


def test_time_left_in_the_unit_that_is_read() -> None:
    def left(epoch_s: float) -> str:
        return draw_terminal(course(1), epochs=2, epoch_s=epoch_s).split("\n")[0]

    assert left(42).endswith("42 s left")
    assert left(600).endswith("10 min left")
    assert left(9000).endswith("2 h 30 min left")
    assert "left" not in draw_terminal(course(2), epochs=2, epoch_s=5).split("\n")[0]


@pytest.mark.parametrize("unicode", [True, False])
def test_a_falling_curve_falls(unicode: bool) -> None:
    history: list[dict[str, float | None]] = [
        {"epoch": k, "loss": 1 - k / 20, "learning_rate": None} for k in range(20)
    ]
    lines = draw_terminal(history, width=60, unicode=unicode).split("\n")
    axis = "│" if unicode else "|"
    drawn = [line.split(axis)[1] for line in lines if axis in line]
    starts = [len(line) - len(line.lstrip()) for line in drawn]
    assert len(drawn) > 4
    assert all(one < other for one, other in pairwise(starts))
    assert starts[0] == 0
    assert len(drawn[-1]) == 60 - len("1.000 |")  # it ends where the axis does


def test_what_is_not_known_is_a_gap() -> None:
    history: list[dict[str, float | None]] = [
        {"epoch": k, "loss": None if 4 <= k < 16 else 1.0, "learning_rate": None} for k in range(20)
    ]
    lines = draw_terminal(history, width=60, unicode=False).split("\n")
    (drawn,) = [line.split("|")[1] for line in lines if line.startswith("1.000 |")]
    assert re.fullmatch(r"\*{6,12} {20,40}\*{6,12}", drawn)


def test_without_validation_there_is_one_curve() -> None:
    history = [{name: row[name] for name in ("epoch", "loss", "learning_rate")} for row in course()]
    text = draw_terminal(history, width=120)
    assert "training loss" in text
    assert "Dice" not in text


def test_before_the_first_epoch() -> None:
    assert draw_terminal([], epochs=80) == "epoch 0 of 80"


def test_a_training_that_diverged() -> None:
    row: dict[str, float | None] = {"epoch": 0, "loss": math.nan, "learning_rate": 0.1}
    assert "loss unknown" in draw_terminal([row])


def test_redrawn_leaves_nothing_of_what_was_there() -> None:
    texts = ["one", "two\nlines", "a\nb\nc", "last"]
    sent, earlier = "before\n", ""
    for text in texts:
        sent += redrawn(text, earlier)
        earlier = text
    assert screen(sent + "after") == ["before", "last", "after"]


def in_terminal(command: list[str], columns: int, rows: int, locale: str) -> tuple[str, int]:
    """Run a command that believes itself in a terminal; what that was sent, and the exit code."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = os.environ | {"PYTHONIOENCODING": locale, "TERM": "xterm"}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    sent = b""
    try:
        while chunk := os.read(ours, 65536):
            sent += chunk
    except OSError:  # Linux says so when the last one has closed it
        pass
    finally:
        os.close(ours)
    return sent.decode(locale), process.wait()


def train_command(dataset: Path, out: Path, *options: str) -> list[str]:
    sets = [word for change in QUICK for word in ("--set", change)]
    words = ["train", str(dataset), "--out", str(out), "--accelerator", "cpu", *sets, *options]
    return [sys.executable, "-m", "corroscope", *words]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_training_in_a_terminal_redraws_its_curves(
    dataset: Path, tmp_path: Path, workers: str
) -> None:
    command = train_command(dataset, tmp_path, "--cross-validate", "--workers", workers)
    sent, code = in_terminal(command, 100, 30, "utf-8")
    assert code == 0, sent
    if workers == "1":
        assert sent.count("training loss") == 12  # three epochs of each of four networks
    lines = screen(sent)
    shown = [line for line in lines if line.strip() == "training loss"]
    assert len(shown) == 4
    starts = [line for line in lines if line.startswith("network ")]
    ended = [f"network {k} of 4: epoch 3 of 3" for k in (1, 2, 3, 4)]
    assert (starts if workers == "1" else sorted(starts)) == ended
    assert any(line.startswith("Bundle:") for line in lines)
    assert max(map(len, lines[: lines.index(starts[-1])])) < 100


def test_of_several_networks_one_has_its_curves_and_each_other_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((80, 24)))
    monkeypatch.setattr(sys.stderr, "fileno", lambda: 2)
    draw = _Curves()

    def shown(fit: int, epochs: int) -> list[str]:
        draw(Progress(course(epochs), 20, 30.0, fit, 3))
        sent.append(capsys.readouterr().err)
        return [line for line in screen("".join(sent)) if line.startswith("network")]

    sent: list[str] = []
    for fit in (1, 2, 3):
        shown(fit, 0)
    at_first = [f"network {k} of 3: epoch 0 of 20, at most 10 min left" for k in (1, 2, 3)]
    assert shown(2, 0) == at_first
    assert shown(2, 10) == [
        at_first[0],
        f"{at_first[1][:22]}10 of 20, at most 5 min left",
        at_first[2],
    ]
    assert "training loss" not in screen("".join(sent))
    assert shown(2, 20)[:2] == ["network 2 of 3: epoch 20 of 20", at_first[0]]
    shown(3, 20)
    assert shown(1, 20) == [f"network {k} of 3: epoch 20 of 20" for k in (2, 3, 1)]
    assert sum("training loss" in line for line in screen("".join(sent))) == 3


def test_training_in_a_terminal_that_knows_ascii_only(dataset: Path, tmp_path: Path) -> None:
    sent, code = in_terminal(train_command(dataset, tmp_path / "runs"), 60, 16, "ascii")
    assert code == 0, sent
    lines = screen(sent)
    assert sum(line.startswith("epoch 3 of 3") for line in lines) == 1
    assert any(line.startswith("training loss") for line in lines)


def test_training_elsewhere_draws_nothing(dataset: Path, tmp_path: Path) -> None:
    command = train_command(dataset, tmp_path / "runs")
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    assert "epoch" not in ended.stdout
    assert "\x1b" not in ended.stdout


def test_a_caller_is_told_of_every_epoch(dataset: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    settings = make_settings(
        {
            "widths": (4, 6), "crop_px": 32, "batch_size": 4, "steps_per_epoch": 2, "epochs": 2,
            "folds": 3, "ema_decay": 0.5, "pairing": {"runs": 2},
        }
    )  # fmt: skip
    corroscope.train(
        dataset, out=tmp_path, settings=settings, accelerator="cpu", progress=told.append
    )
    assert [len(one.history) for one in told] == [0, 1, 2]
    assert {(one.epochs, one.fit, one.fits) for one in told} == {(2, 1, 1)}
    assert told[0].epoch_s is None
    assert told[1].epoch_s is not None
    assert {"loss", "dice", "particle_f1_iou30"} <= set(told[-1].history[-1])
