"""The search for better settings: what it varies, what it keeps apart, what it survives."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from optuna.trial import TrialState
from torch import nn

import corroscope
from corroscope import cli
from corroscope.errors import OutputError, SettingsError
from corroscope.learning import final, search, trial
from corroscope.learning.dataset import Patch, dataset_hash, frame_hash, read_dataset
from corroscope.learning.held_out import hold_out
from corroscope.learning.progress import Status, status
from corroscope.learning.search import Asked, Search
from corroscope.learning.settings import TrainSettings, make_settings
from corroscope.learning.space import (
    DEFAULT_SPACE,
    Between,
    check_space,
    decoded,
    distributions,
    encoded,
    read_space,
    with_values,
)
from corroscope.learning.study import next_trial, unfinished, usable
from corroscope.learning.surfaces import shared_surface
from corroscope.learning.tune import tune
from corroscope.learning.verdict import conclude
from corroscope.synthesis.experiment import Scene

TINY = {
    "widths": [4, 8],
    "epochs": 1,
    "steps_per_epoch": 2,
    "batch_size": 2,
    "crop_px": 32,
    "pairing": {"alone": 1},
}
SPACE = check_space({"dice_weight": {"low": 0.0, "high": 1.0}, "widths": [[4, 8], [6, 12]]})


@pytest.fixture
def patches(crowded: Callable[[tuple[int, int], int], Scene]) -> list[Patch]:
    """Twenty patches of as many surfaces."""
    made = (crowded((64, 64), number) for number in range(20))
    return [
        Patch(f"{number}.png", scene.frame, scene.mask, surface_group=str(number))
        for number, scene in enumerate(made)
    ]


# The space


def test_default_space_holds_the_defaults_and_is_allowed() -> None:
    checked = check_space(DEFAULT_SPACE)
    values = encoded(checked, TrainSettings())
    assert values is not None
    assert with_values(TrainSettings(), decoded(values)) == TrainSettings()
    varied = {name.split(".")[0] for name in checked}
    assert {"architecture", "widths", "learning_rate", "dice_weight", "augmentation"} <= varied
    depths = DEFAULT_SPACE["widths"]
    assert isinstance(depths, list)
    assert len({len(widths) for widths in depths}) > 1


def test_space_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text(
        "learning_rate = { low = 1e-4, high = 1e-2, log = true }\n"
        'architecture = ["unetpp", "smp:UnetPlusPlus"]\n'
        "batch_size = { low = 4, high = 16, step = 4 }\n"
        "[augmentation]\npasted = { low = 0, high = 4.5 }\nscale = [1.0, 1.25]\n"
    )
    assert read_space(path) == {
        "learning_rate": Between(low=1e-4, high=1e-2, log=True),
        "architecture": ["unetpp", "smp:UnetPlusPlus"],
        "batch_size": Between(low=4, high=16, step=4),
        "augmentation.pasted": Between(low=0, high=4.5),
        "augmentation.scale": [1.0, 1.25],
    }


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "varies nothing"),
        ("speed = [1, 2]", "speed: 1 .there is no such setting"),
        ("dice_weight = []", "dice_weight: no values"),
        ("dice_weight = { low = 0.5, high = 1.5 }", "dice_weight: 1.5 .allowed: at least 0"),
        ("dice_weight = { low = 0.5, high = 0.5 }", "low 0.5 is not below high 0.5"),
        ("dice_weight = { low = 0, high = 1, log = true }", "log needs a low above 0"),
        ("dice_weight = { low = 0.5 }", "dice_weight.high: Field required"),
        ("dice_weight = 0.5", "give a list of values, or low and high"),
        ("start = [3]", "start: 3 is no folder"),
        ("batch_size = { low = 4, high = 8, step = 0.5 }", "batch_size: takes whole numbers only"),
    ],
)
def test_space_that_cannot_be(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "space.toml"
    path.write_text(content)
    with pytest.raises(SettingsError, match=problem) as caught:
        read_space(path)
    assert str(path) in str(caught.value)


# What is set aside


def test_held_out_shares_no_surface_with_what_is_developed_on(rng: np.random.Generator) -> None:
    for _ in range(20):
        count = int(rng.integers(8, 40))
        shared = np.eye(count, dtype=bool)
        for a, b in rng.integers(0, count, (count // 2, 2)):
            shared[a, b] = shared[b, a] = True
        develop, held = hold_out(shared, 0.2)
        assert held
        assert develop
        assert not shared[np.ix_(develop, held)].any()
        assert len(held) <= 0.5 * count


def test_one_large_surface_is_cut(rng: np.random.Generator) -> None:
    chain = np.abs(np.subtract.outer(np.arange(30), np.arange(30))) <= 1
    develop, held = hold_out(chain, 0.2)
    assert 4 <= len(held) <= 8
    assert not chain[np.ix_(develop, held)].any()


# A search with networks that are made up


class _Foretold(nn.Module):
    """Stands for a network whose skill its settings tell."""

    def __init__(self, skill: float) -> None:
        super().__init__()
        self.skill = skill


def _foretell(monkeypatch: pytest.MonkeyPatch, skill: Callable[[TrainSettings], float]) -> None:
    """Let networks find the share of each particle's rows that their settings tell."""

    def fit(
        _: Any, __: Any, settings: TrainSettings, folder: Path, **___: Any
    ) -> tuple[nn.Module, list[dict[str, float]]]:
        (folder / "best.ckpt").write_text("weights")
        return _Foretold(skill(settings)), []

    def predict(
        network: _Foretold, patches: list[Patch], _: TrainSettings
    ) -> list[NDArray[np.float32]]:
        rng = np.random.default_rng(0)
        return [
            np.where(patch.mask & (rng.random(patch.mask.shape) < network.skill), 0.9, 0.1).astype(
                np.float32
            )
            for patch in patches
        ]

    monkeypatch.setattr(trial, "fit", fit)
    monkeypatch.setattr(trial, "predict", predict)
    monkeypatch.setattr(final, "fit", fit)
    monkeypatch.setattr(final, "predict", predict)
    monkeypatch.setattr(final, "export_bundle", lambda *_, **__: None)


def _asked(patches: list[Patch], **changes: Any) -> Asked:
    return Asked(
        dataset_sha256=dataset_hash(patches),
        settings=make_settings(TINY),
        space=SPACE,
        **{"epochs": 1, "held_out": 0.5} | changes,
    )


def _search(folder: Path, patches: list[Patch], asked: Asked | None = None) -> Search:
    folder.mkdir(exist_ok=True)
    made = Search(folder, patches, asked or _asked(patches), name="n", source="s")
    made.open()
    return made


def _next(made: Search, trials: int) -> Any:
    first = encoded(SPACE, made.asked.settings)
    assert first is not None
    return next_trial(made.study, made.folder, SPACE, trials, 0, first)


def test_the_better_is_found_and_told(
    tmp_path: Path, patches: list[Patch], monkeypatch: pytest.MonkeyPatch
) -> None:
    _foretell(monkeypatch, lambda s: 0.3 + 0.6 * s.dice_weight * (s.widths == (6, 12)))
    made = _search(tmp_path / "s", patches)
    made.work(14, lambda: None)
    verdict = conclude(made)
    assert verdict.word == "better"
    assert "is better than the default on 10 patches held out" in verdict.sentence
    assert verdict.metrics["best"]["changed"]["widths"] == [6, 12]
    assert verdict.metrics["trials"]["complete"] + verdict.metrics["trials"]["pruned"] == 14
    assert verdict.metrics["trials"]["pruned"] > 0
    assert len(verdict.trials) == 14
    assert verdict.metrics["importance"].keys() == set(SPACE)
    # Pruned trials have not gone through all folds.
    pruned = verdict.trials[verdict.trials["state"] == "pruned"]["trial"]
    assert all(not (tmp_path / "s/trials" / f"{n:04d}/fold3.npz").exists() for n in pruned)
    assert not list((tmp_path / "s/trials").rglob("*.ckpt"))


def test_no_better_is_told_as_well(
    tmp_path: Path, patches: list[Patch], monkeypatch: pytest.MonkeyPatch
) -> None:
    _foretell(monkeypatch, lambda s: 0.8 - abs(s.dice_weight - 0.5))
    made = _search(tmp_path / "s", patches)
    made.work(6, lambda: None)
    verdict = conclude(made)
    assert verdict.word == "the default"
    assert verdict.sentence.startswith("No configuration did better than the default")
    assert made.finals().fits == ("default", "all")


def test_what_is_only_luck_is_not_better(
    tmp_path: Path, patches: list[Patch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was best on some surface by a hair need not be better on other surface."""
    _foretell(monkeypatch, lambda s: 0.7 + 1e-3 * s.dice_weight)
    made = _search(tmp_path / "s", patches)
    made.work(5, lambda: None)
    assert conclude(made).word in ("not told apart", "the default")


def test_worse_on_held_out_surface_is_told(
    tmp_path: Path, patches: list[Patch], monkeypatch: pytest.MonkeyPatch
) -> None:
    _foretell(monkeypatch, lambda s: 0.5 + 0.4 * s.dice_weight)
    made = _search(tmp_path / "s", patches)
    made.work(5, lambda: None)
    place = made.finals().figures("best")
    content = json.loads(place.read_text())
    for one in content["counts"]:
        one["false_negative"] += one["true_positive"]
        one["true_positive"] = 0
    place.write_text(json.dumps(content))
    verdict = conclude(made)
    assert verdict.word == "worse"
    assert "is worse than the default" in verdict.sentence


def test_same_seed_same_trials(
    tmp_path: Path, patches: list[Patch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it was stopped after every trial."""
    _foretell(monkeypatch, lambda s: 0.3 + 0.5 * s.dice_weight)
    tables = []
    for name, calls in (("a", (8,)), ("b", (3, 5, 8))):
        for trials in calls:
            made = _search(tmp_path / name, patches)
            made.work(trials, lambda: None)
        tables.append(conclude(made).trials.drop(columns="duration_s"))
    # Start-up draws are as many as a third of the trials wanted, but never under five.
    assert tables[0].equals(tables[1])


def test_nothing_is_learnt_from_what_is_held_out(
    tmp_path: Path, patches: list[Patch], monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: list[set[str]] = []
    judged: list[set[str]] = []
    _foretell(monkeypatch, lambda s: 0.3 + abs(s.dice_weight - 0.5))
    fit, predict = vars(trial)["fit"], vars(trial)["predict"]

    def watched_fit(training: list[Patch], *rest: Any, **more: Any) -> Any:
        learnt.append({p.name for p in training})
        return fit(training, *rest, **more)

    def watched_predict(network: Any, shown: list[Patch], settings: TrainSettings) -> Any:
        judged.append({p.name for p in shown})
        return predict(network, shown, settings)

    for module in (trial, final):
        monkeypatch.setattr(module, "fit", watched_fit)
        monkeypatch.setattr(module, "predict", watched_predict)
    made = _search(tmp_path / "s", patches)
    made.work(3, lambda: None)
    held = {p.name for p in made.held_out}
    assert len(held) == 10
    *before, everything = learnt
    assert all(not names & held for names in before)
    assert everything == {p.name for p in patches}  # the last fit, for the bundle
    assert judged.count(held) == 2  # default and best
    assert all(names == held or not names & held for names in judged)
    # A threshold is chosen on patches that its network has not learnt from.
    for fitted, choosing in zip(before[-2:], (judged[-4], judged[-2]), strict=True):
        assert choosing
        assert not fitted & choosing


def test_a_trial_whose_process_died_is_taken_up_in_its_folder(
    tmp_path: Path, patches: list[Patch], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _search(tmp_path / "s", patches)
    with _next(made, 2) as taken:
        assert taken is not None
        params, place = taken[0].params, taken[1]
        with _next(made, 2) as other:
            assert other is not None  # the first one is at work: another is given out
            assert other[1] != place
            with _next(made, 2) as third:
                assert third is None
    # Neither has told anything: both count as died.
    with _next(made, 2) as again:
        assert again is not None
        assert again[1] == place
        assert again[0].params == params
    states = [t.state for t in made.study.get_trials()]
    assert states.count(TrialState.FAIL) == 2


def test_a_trial_that_ends_while_others_look_is_not_taken_up(
    tmp_path: Path, patches: list[Patch], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _search(tmp_path / "s", patches)
    with _next(made, 2) as taken:
        assert taken is not None

    def ends(place: Path) -> Status:
        if place == taken[1]:
            made.study.tell(taken[0], 0.5)
        return status(place)

    monkeypatch.setattr("corroscope.learning.study.status", ends)
    with _next(made, 2) as other:
        assert other is not None
        assert other[1] != taken[1]
    assert [t.state for t in made.study.get_trials()] == [TrialState.COMPLETE, TrialState.RUNNING]


def test_folds_that_are_done_are_not_done_again(
    tmp_path: Path, patches: list[Patch], monkeypatch: pytest.MonkeyPatch
) -> None:
    _foretell(monkeypatch, lambda s: 0.5)
    made = _search(tmp_path / "s", patches)
    fits = 0
    foretold = vars(trial)["fit"]

    def dying(*given: Any, **more: Any) -> Any:
        nonlocal fits
        fits += 1
        if fits == 3:
            raise KeyboardInterrupt
        return foretold(*given, **more)

    monkeypatch.setattr(trial, "fit", dying)
    with pytest.raises(KeyboardInterrupt):
        made.work(1, lambda: None)
    made = _search(tmp_path / "s", patches)
    made.work(1, lambda: None)
    assert fits == 4  # folds 1 and 2, the third that was cut off, the third again
    assert made.done == 1
    assert made.default_trial.value == made.study.best_value


# What cannot be


def test_defaults_outside_the_space(tmp_path: Path, patches: list[Patch]) -> None:
    for space in ({"widths": [[8, 16]]}, {"dice_weight": Between(low=0.6, high=0.9)}):
        with pytest.raises(SettingsError, match=f"{next(iter(space))}: the default lies outside"):
            _search(tmp_path / "s", patches, _asked(patches).model_copy(update={"space": space}))


def test_a_search_is_not_mixed_with_another(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "s"
    patches = read_dataset(dataset)
    settings = make_settings(TINY)
    from corroscope.learning.tune import _folder

    _folder(out, _asked(patches))
    with pytest.raises(SettingsError, match="another search with other dataset_sha256|other"):
        tune(dataset, out=out, trials=1, settings=settings, space=SPACE, workers=1, folds=4)
    (out / "manifest.json").write_text('{"command": "run"}')
    with pytest.raises(OutputError, match="holds something else"):
        tune(dataset, out=out, trials=1, settings=settings, space=SPACE, workers=1)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"trials": 0}, "--trials 0"),
        ({"workers": 0}, "--workers 0"),
        ({"held_out": 0.9}, "held_out: 0.9 .allowed: above 0, at most 0.5"),
        ({"epochs": 0}, "epochs: 0 "),
        ({"space": {"epochs": [1, 2]}}, "epochs: belongs to the search"),
        ({"accelerator": "abacus"}, "abacus"),
        ({"settings": make_settings({"folds": 4})}, "folds: has no say in a search; use --folds"),
        ({"space": {"dice_weight": Between(low=0.6, high=0.9)}}, "the default lies outside"),
    ],
)
def test_what_is_asked_is_checked_first(
    dataset: Path, tmp_path: Path, given: dict[str, Any], problem: str
) -> None:
    with pytest.raises(SettingsError, match=problem):
        tune(dataset, out=tmp_path / "s", **given)
    assert not (tmp_path / "s").exists()


def test_nothing_to_learn(dataset: Path, tmp_path: Path) -> None:
    import cv2

    for mask in dataset.glob("mask_*.png"):
        cv2.imwrite(str(mask), np.zeros((128, 136), np.uint8))
    with pytest.raises(SettingsError, match="no mask has a particle"):
        tune(dataset, out=tmp_path / "s")


def test_a_database_that_cannot_be_used(tmp_path: Path, patches: list[Patch]) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "study.db").write_bytes(b"this is no database at all, not even nearly so" * 50)
    with pytest.raises(OutputError, match=r"study\.db: cannot be used"):
        _search(folder, patches)


def test_a_folder_that_stays_locked(
    tmp_path: Path, patches: list[Patch], monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    from corroscope.learning import study

    monkeypatch.setattr(study, "_LOCK_S", 0.1)
    (tmp_path / "s").mkdir()
    with FileLock(tmp_path / "s" / ".lock"), pytest.raises(OutputError, match="kept it locked"):
        _search(tmp_path / "s", patches)


# Weights to start from


def test_earlier_runs_that_do_not_fit(dataset: Path, tmp_path: Path) -> None:
    settings = make_settings(TINY)
    corroscope.train(dataset, out=tmp_path / "runs", settings=settings)
    run = str(tmp_path / "runs" / "train1")
    patches = read_dataset(dataset)
    with pytest.raises(SettingsError, match="do not vary widths as well"):
        search.check_starts({"start": ["", run], "widths": [[4, 8]]}, settings, patches)
    with pytest.raises(SettingsError, match="do not vary dilations as well"):
        search.check_starts({"start": ["", run], "dilations": [[], [2]]}, settings, patches)
    with pytest.raises(SettingsError, match="has learnt from frames of this dataset"):
        search.check_starts({"start": ["", run]}, settings, patches)
    other = make_settings(TINY | {"widths": [6, 12]})
    with pytest.raises(SettingsError, match="weights of another network"):
        search.check_starts({"start": ["", run]}, other, patches)
    elsewhere = [replace(p, frame=255 - p.frame) for p in patches]
    assert frame_hash(elsewhere[0]) != frame_hash(patches[0])
    search.check_starts({"start": ["", run]}, settings, elsewhere)


# The command, with real networks


def _command(dataset: Path, out: Path, trials: int, tmp_path: Path, workers: int) -> list[str]:
    space = tmp_path / "space.toml"
    space.write_text("dice_weight = { low = 0.0, high = 1.0 }\nwidths = [[4, 8], [6, 12]]\n")
    config = tmp_path / "settings.toml"
    config.write_text(
        "widths = [4, 8]\nepochs = 1\nsteps_per_epoch = 2\nbatch_size = 2\ncrop_px = 32\n"
        "[pairing]\nalone = 1\n"
    )
    return [
        sys.executable, "-m", "corroscope", "tune", str(dataset), "--out", str(out), "--trials",
        str(trials), "--space", str(space), "--config", str(config), "--epochs", "1", "--folds",
        "2", "--held-out", "0.4", "--workers", str(workers),
    ]  # fmt: skip


def test_killed_and_called_again(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost, nothing goes on unseen, and two processes share the trials."""
    out = tmp_path / "search"
    command = _command(dataset, out, 4, tmp_path, 2)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first = out / "trials" / "0000" / "fold1.npz"
    while not first.exists():
        assert process.poll() is None
        time.sleep(0.05)
    written = first.stat().st_mtime_ns
    workers = {
        json.loads(path.read_text())["process"] for path in out.glob("trials/*/process.json")
    }
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 60
    while any(_alive(worker) for worker in workers):
        assert time.monotonic() < deadline, "a process has outlived the command"
        time.sleep(0.1)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert first.stat().st_mtime_ns == written
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["trials"]["complete"] + metrics["trials"]["pruned"] == 4
    assert metrics["sentence"] in done.stdout
    assert corroscope.load_bundle(out / "bundle").card.name == "tuned"
    assert (out / "trials.csv").read_text().count("\n") == 5
    assert metrics["sentence"] in (out / "report.html").read_text()
    # Called once more, it has nothing to do, and starts no process for that.
    before = {p: p.stat().st_mtime_ns for p in out.glob("**/*.npz")}
    monkeypatch.setattr("corroscope.learning.tune.side_by_side", None)
    assert cli.main(command[3:]) == 0
    assert before == {p: p.stat().st_mtime_ns for p in out.glob("**/*.npz")}


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_process_that_fails_says_why(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "search"
    command = _command(dataset, out, 2, tmp_path, 2)
    (out / "trials" / "0000").mkdir(parents=True)
    (out / "trials" / "0000" / "fold1").write_text("a file where a folder should be")
    (out / "trials" / "0001").mkdir()
    (out / "trials" / "0001" / "fold1").write_text("a file where a folder should be")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("corroscope tune: ")
    assert done.stderr.count("\n") == 1
    assert "fold1" in done.stderr


def test_a_search_waits_for_what_others_do(tmp_path: Path, patches: list[Patch]) -> None:
    made = _search(tmp_path / "s", patches)
    assert unfinished(made.study, 1)  # the default waits
    with _next(made, 1) as taken:
        assert taken is not None
        assert unfinished(made.study, 1)
    # Its process has died: it is no end of the search that nobody is at work.
    assert unfinished(made.study, 1)
    with _next(made, 1) as taken:
        made.study.tell(taken[0], 0.5)
    assert not unfinished(made.study, 1)


def test_a_search_that_goes_on_has_new_last_trainings(
    tmp_path: Path, patches: list[Patch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was the best of two trials need not be that of fourteen."""
    _foretell(monkeypatch, lambda s: 0.3 + 0.6 * s.dice_weight * (s.widths == (6, 12)))
    told = []
    for trials in (1, 3, 14):
        made = _search(tmp_path / "s", patches)
        made.work(trials, lambda: None)
        verdict = conclude(made)
        best = made.study.best_trial
        values = decoded(best.params)
        skill = 0.3 + 0.6 * values["dice_weight"] * (values["widths"] == [6, 12])
        assert abs(verdict.metrics["held_out"]["best"]["recall"] - skill) < 0.1
        told.append(made.finals().place("all"))
    assert len(set(told)) > 1


def test_a_kill_while_a_trial_is_drawn_does_not_change_it(
    tmp_path: Path, patches: list[Patch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parameters are written one by one: what was not yet written is still what was asked for."""
    made = _search(tmp_path / "s", patches)
    monkeypatch.setattr("optuna.trial.Trial._suggest", _die)
    with pytest.raises(SystemExit), _next(made, 2):
        pass
    monkeypatch.undo()
    with _next(made, 2) as again:
        assert again is not None
        assert again[1].name == "0000"
        assert again[0].params == encoded(SPACE, made.asked.settings)


def _die(*_: Any, **__: Any) -> None:
    raise SystemExit


def test_a_kill_while_a_trial_is_taken_up_loses_none(
    tmp_path: Path, patches: list[Patch], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _search(tmp_path / "s", patches)
    with _next(made, 1) as taken:
        assert taken is not None
    for method in ("enqueue_trial", "tell"):
        with monkeypatch.context() as patch:
            patch.setattr(f"optuna.study.Study.{method}", _die)
            with pytest.raises(SystemExit), _next(made, 1):
                pass
    with _next(made, 1) as again:
        assert again is not None
        assert again[1].name == "0000"
        made.study.tell(again[0], 0.5)
    assert not unfinished(made.study, 1)
    assert made.default_trial.value == 0.5


def test_a_kill_does_not_change_what_is_drawn(
    tmp_path: Path, patches: list[Patch], monkeypatch: pytest.MonkeyPatch
) -> None:
    _foretell(monkeypatch, lambda s: 0.3 + 0.5 * s.dice_weight)
    drawn = []
    for name, kills in (("a", ()), ("b", (0, 2, 3))):
        made = _search(tmp_path / name, patches)
        for trials in range(1, 6):
            if trials - 1 in kills:
                with _next(made, trials) as taken:
                    assert taken is not None
            made.work(trials, lambda: None)
        drawn.append(conclude(made).trials.drop(columns=["duration_s", "trial"]))
    assert drawn[0].equals(drawn[1])


def test_values_that_do_not_go_together_end_their_trial(
    tmp_path: Path, patches: list[Patch], monkeypatch: pytest.MonkeyPatch
) -> None:
    _foretell(monkeypatch, lambda s: 0.5)
    space = check_space({"crop_px": {"low": 32, "high": 64}, "dice_weight": [0.5, 0.6]})
    asked = _asked(patches).model_copy(update={"space": space})
    made = _search(tmp_path / "s", patches, asked)
    made.work(6, lambda: None)
    assert made.done == 6
    problems = [t.user_attrs.get("problem") for t in made.study.get_trials()]
    assert any("crop_px" in str(problem) for problem in problems)
    conclude(made)


def test_a_database_that_breaks_in_the_middle(
    tmp_path: Path, patches: list[Patch], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _search(tmp_path / "s", patches)
    (tmp_path / "s" / "study.db").write_bytes(b"broken" * 1000)
    with pytest.raises(OutputError, match=r"study\.db: cannot be used"), usable(made.folder):
        made.work(1, lambda: None)


def test_no_verdict_without_the_default(tmp_path: Path, patches: list[Patch]) -> None:
    made = _search(tmp_path / "s", patches)
    with pytest.raises(SettingsError, match="trial of the default is not complete"):
        made.finals()


@pytest.mark.parametrize(("name", "whole"), [("epochs", True), ("augmentation.contrast", False)])
def test_whole_bounds_of_a_setting_that_is_not_whole(name: str, whole: bool) -> None:
    from optuna.distributions import IntDistribution

    made = distributions({name: Between(low=1, high=3)})[name]
    assert isinstance(made, IntDistribution) == whole


def test_shared_surface_is_split_for_real(real_patches: list[Patch]) -> None:
    shared = shared_surface(real_patches)
    develop, held = hold_out(shared, 0.2)
    assert not shared[np.ix_(develop, held)].any()
    assert len(develop) + len(held) == len(real_patches)  # no patch is lost
