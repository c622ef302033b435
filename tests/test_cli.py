"""The command line as a user meets it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import corroscope
from corroscope import cli
from corroscope.diagnosis import Finding
from corroscope.errors import EngineError
from corroscope.outputs import write_json

Writer = Callable[[str, NDArray[np.generic]], Path]


def _run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "corroscope", *map(str, words)],
        check=False, capture_output=True, text=True, encoding="utf-8", timeout=300,
    )  # fmt: skip


def test_help_imports_nothing_heavy() -> None:
    script = """
import sys
from corroscope.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
heavy = {"numpy", "cv2", "pandas", "scipy", "pydantic", "openvino", "onnxruntime", "torch",
         "matplotlib", "tqdm", "PIL"}
sys.exit(" ".join(sorted(heavy & set(sys.modules))) or 0)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_segmenting_and_evaluating_need_no_torch(dataset: Path, tmp_path: Path) -> None:
    # Not by None in sys.modules, which scipy.stats takes for torch.
    script = f"""
import sys
from importlib.machinery import PathFinder
class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        missing = name.split(".")[0] in ("torch", "lightning", "tensorboard", "optuna")
        return None if missing else PathFinder.find_spec(name, path, target)
sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
from corroscope.cli import main
assert main(["segment", {str(dataset / "image_0.png")!r}, "--out", {str(tmp_path / "s")!r}]) == 0
assert main(["evaluate", {str(dataset)!r}, "--out", {str(tmp_path / "e")!r}]) == 0
assert main(["synth", "--preset", "tiny", "--frames", "3", "--out", {str(tmp_path / "y")!r}]) == 0
assert main(["run", {str(tmp_path / "y" / "frames")!r}, "--out", {str(tmp_path / "r")!r}]) == 0
import corroscope.demonstration
assert main(["doctor"]) == 0
assert main(["tune", {str(dataset)!r}, "--out", {str(tmp_path / "u")!r}]) == 2
sys.exit(main(["train", {str(dataset)!r}, "--out", {str(tmp_path / "t")!r}]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    told = done.stderr.strip().splitlines()
    assert [line.split(":")[0] for line in told] == ["corroscope tune", "corroscope train"]
    assert all("pip install 'corroscope[train]'" in line for line in told)


def test_public_names() -> None:
    assert corroscope.__all__ == sorted(corroscope.__all__)
    assert dir(corroscope) == corroscope.__all__
    assert all(getattr(corroscope, name).__doc__ for name in corroscope.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'segmnt'"):
        corroscope.segmnt  # noqa: B018


def test_missing_training_extra_in_python() -> None:
    script = """
import sys
sys.modules["lightning"] = None
import corroscope
try:
    corroscope.train
except corroscope.errors.MissingExtraError as error:
    sys.exit(str(error))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert "training needs lightning, which is not installed" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_part_of_corroscope_that_is_missing_is_no_missing_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "corroscope.learning.train", None)
    with pytest.raises(ModuleNotFoundError, match="corroscope.learning.train"):
        corroscope.train  # noqa: B018


def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    for name in ("overview.png", "sequence/frames", "run"):
        assert str(tmp_path / name) in said
        assert (tmp_path / name).exists()
    found = pd.read_csv(tmp_path / "run" / "particles.csv")
    takes = pd.read_csv(tmp_path / "sequence" / "truth" / "frames.csv")
    assert f"Found {len(found)} particles in {len(takes)} frames" in said


def test_synth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["synth", "--out", str(tmp_path / "run"), "--preset", "tiny", "--set"]
    assert cli.main([*words, "pits.per_mpx=10", "--frames", "2", "--seed", "5"]) == 0
    assert str(tmp_path / "run" / "frames") in capsys.readouterr().out
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["settings"]["pits"]["per_mpx"] == 10
    assert (manifest["frames"], manifest["settings"]["seed"]) == (2, 5)
    assert cli.main([*words, "frames=2"]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert cli.main([*words, "pits.per_mpx=-1", "--force"]) == 2
    assert "pits.per_mpx: -1 (allowed: at least 0, at most 1000)" in capsys.readouterr().err


def test_synth_patches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["synth", "--out", str(tmp_path), "--patches", "2", "--size", "96"]
    assert cli.main(words) == 0
    assert str(tmp_path / "patches") in capsys.readouterr().out
    assert len(list((tmp_path / "patches").glob("*_mask.png"))) == 2


def test_segment(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = [str(path) for path in sorted(dataset.glob("image_*.png"))]
    out = tmp_path / "out"
    assert cli.main(["segment", *images, "--out", str(out), "--pixel-size", "0.4"]) == 0
    assert "in 6 images" in capsys.readouterr().out
    assert "area_um2" in (out / "particles.csv").read_text().splitlines()[0]


def test_segment_with_a_reference(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *_, last = (str(path) for path in sorted((made / "frames").iterdir()))
    words = ["segment", last, "--reference", first, "--out", str(tmp_path / "out")]
    assert cli.main(words) == 0
    assert "in 1 images" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "out" / "particles.csv")
    assert table[["y_ref_px", "x_ref_px"]].notna().all(axis=None)
    assert cli.main([*words[:3], str(tmp_path / "none.tif"), *words[4:]]) == 2
    assert "none.tif" in capsys.readouterr().err


# Sequences


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corroscope.synth(out=tmp_path_factory.mktemp("made") / "run", size=128, frames=4)


def test_run(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", str(made / "frames"), "--out", str(tmp_path / "out"), "--pixel-size", "0.4"]
    words += ["--threshold", "0.3", "--min-area", "4", "--peak", "0.6", "--engine", "onnxruntime"]
    for _ in range(2):
        assert cli.main([*words, "--reference", "median:2", "--interval", "2.5"]) == 0
        streams = capsys.readouterr()
        table = pd.read_csv(tmp_path / "out" / "particles.csv")
        tracks = pd.read_csv(tmp_path / "out" / "tracks.csv")["track"].nunique()
        said = f"{len(table)} particles in all frames, {tracks} tracks: {tmp_path / 'out'}"
        assert said in streams.out
        assert streams.err == ""
    assert "area_um2" in table.columns
    frames = pd.read_csv(tmp_path / "out" / "frames.csv")
    assert frames["time_s"].tolist() == [0, 2.5, 5, 7.5]
    settings = json.loads((tmp_path / "out" / "manifest.json").read_text())["settings"]
    assert (settings["threshold"], settings["smallest area"]) == (0.3, 4)
    assert settings["peak"] == 0.6
    assert (settings["engine"], settings["reference"][:8]) == ("onnxruntime", "median:2")
    assert cli.main([*words, "--reference", "median:3"]) == 2
    said = capsys.readouterr().err
    assert "holds a run with another reference; choose another folder" in said
    assert len(said.splitlines()) == 1


def test_a_current_whose_clock_is_not_matched_is_told(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", str(made / "frames"), "--out", str(tmp_path / "out")]
    assert cli.main([*words, "--current", str(made / "current.mpt")]) == 0
    told = "Note: the clock of the current could not be matched: only "
    assert told in capsys.readouterr().out


def test_a_run_with_gaps_is_one_line_and_code_2(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(made / "frames", tmp_path / "frames"))
    bad = sorted(folder.iterdir())[2]
    bad.write_bytes(bad.read_bytes()[:4000])
    for command in ("run", "prepare"):
        out = tmp_path / command
        assert cli.main([command, str(folder), "--out", str(out)]) == 2
        streams = capsys.readouterr()
        # What could be done is done, and a run says where to look at it.
        report = f"Report:  {out / 'report.html'}\n"
        assert streams.out == (report if command == "run" else "")
        (line,) = streams.err.splitlines()
        assert line.startswith(f"corroscope {command}: 1 of 4 inputs failed, 3 done: ")
        assert bad.name in line
        remarks = pd.read_csv(out / "frames.csv", keep_default_na=False)["remark"]
        assert [bool(remark) for remark in remarks] == [False, False, True, False]


def test_prepare(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["prepare", str(made / "frames"), "--out", str(tmp_path / "out"), "--equalise"]
    words += ["--denoise", "3", "--reference", "rolling:2"]
    assert cli.main(words) == 0
    assert f"4 frames: {tmp_path / 'out'}" in capsys.readouterr().out
    settings = json.loads((tmp_path / "out" / "manifest.json").read_text())["settings"]
    assert settings == {
        "reference": "rolling:2", "flat": None, "dark": None, "denoise_px": 3, "equalise": True,
    }  # fmt: skip


def test_an_interrupted_run_says_so(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("corroscope.frames.registration.Registrar.measure", interrupt)
    assert cli.main(["run", str(made / "frames"), "--out", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err == (
        "corroscope run: interrupted; the same command goes on where it was\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--start", "6pm"], "--start 6pm: give a wall clock as 18:27:56"),
        (["--start", "24:00"], "--start 24:00: give a wall clock"),
        (["--start", "18:60"], "--start 18:60: give a wall clock"),
        (["--start", "18:27:60"], "--start 18:27:60: give a wall clock"),
        (["--reference", "median:1"], "reference median:1: give a number of frames from 2 to 25"),
        (["--reference", "rolling:0"], "reference rolling:0: give a number of frames from 1"),
        (["--interval", "0"], "interval: 0 s (allowed: above 0)"),
        (["--pattern", "(", "--interval", "1"], "pattern"),
        (["--dark", "dark.tif"], "dark: is for the flat-field correction"),
        (["--flat", "flat.tif"], "flat.tif"),
    ],
)
def test_options_of_a_sequence(
    made: Path, tmp_path: Path, options: list[str], message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for command in ("run", "prepare"):
        words = [command, str(made / "frames"), "--out", str(tmp_path / "out"), *options]
        assert cli.main(words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"corroscope {command}: ")
        assert message in line
    assert not (tmp_path / "out").exists()


def test_the_wall_clock_of_the_beginning_is_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[dict[str, Any]] = []

    def note(*_: object, **named: Any) -> list[str]:
        given.append(named)
        write_json(tmp_path / "manifest.json", {"sequence": {"remarks": ["a gap of 9 s"]}})
        return []

    monkeypatch.setattr("corroscope.preparation.prepare", note)
    for start in ("18:27:56.5", "6:05"):
        assert cli.main(["prepare", "frames", "--out", str(tmp_path), "--start", start]) == 0
    assert "Note: a gap of 9 s" in capsys.readouterr().out
    assert [named["start"] for named in given] == [66476.5, 21900]


def test_train_and_evaluate(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "quick.toml").write_text("widths = [4, 6]\nsteps_per_epoch = 2\nepochs = 9\n")
    words = [
        "train", dataset, "--out", tmp_path / "runs", "--config", tmp_path / "quick.toml",
        "--set", "crop_px=32", "--set", "augmentation.pasted=1", "--set", "folds=3",
        "--set", "architecture=unet", "--set", "pairing.runs=2", "--epochs", "1", "--seed", "3",
        "--devices", "1",
    ]  # fmt: skip
    assert cli.main([str(word) for word in words]) == 0
    said = capsys.readouterr().out
    assert "dice" in said
    bundle = tmp_path / "runs" / "train1" / "bundle"
    assert str(bundle) in said
    settings = corroscope.load_bundle(bundle).card.training["settings"]
    assert (settings["epochs"], settings["seed"], settings["architecture"]) == (1, 3, "unet")
    assert settings["augmentation"]["pasted"] == 1
    words = ["evaluate", dataset, "--model", bundle, "--out", tmp_path / "judged"]
    assert cli.main([str(word) for word in words]) == 0
    assert "6 of 6 patches were used to train" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "epochs"], "--set epochs: give it as NAME=VALUE"),
        (["--set", "epochs='"], "--set epochs=': not understood"),
        (["--set", "epochs=none"], "epochs: 'none'"),
        (["--resume", "--epochs", "3"], "give nothing else"),
        (["--config", "missing.toml"], "missing.toml: cannot be read"),
    ],
)
def test_train_options(
    dataset: Path, tmp_path: Path, options: list[str], message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert cli.main(["train", str(dataset), "--out", str(tmp_path / "runs"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("size", ["0", "-1", "nan"])
def test_bad_input_is_one_line_and_code_2(
    tmp_path: Path, write_image: Writer, size: str, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = write_image("frame.png", np.full((32, 32), 9, np.uint8))
    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    whole = write_image("cut.tif", np.eye(64, dtype=np.uint8))
    cut = tmp_path / "cut.tif"
    cut.write_bytes(whole.read_bytes()[:300])
    unpaired = write_image("unpaired/image.png", np.zeros((32, 32), np.uint8)).parent
    cases: list[tuple[str | Path, ...]] = [
        ("segment", tmp_path / "missing.png", "--out", tmp_path / "out"),
        ("segment", empty, frame, "--out", tmp_path / "out"),
        ("segment", tmp_path, "--out", tmp_path / "out"),
        ("segment", frame, "--out", frame),
        ("segment", frame, f"--pixel-size={size}", "--out", tmp_path / "out"),
        ("segment", frame, "--model", tmp_path, "--out", tmp_path / "out"),
        ("segment", frame, "--engine", "abacus", "--out", tmp_path / "out"),
        ("segment", cut, "--out", tmp_path / "out"),
        ("evaluate", tmp_path / "nowhere", "--out", tmp_path / "out"),
        ("train", unpaired, "--out", tmp_path / "out"),
        ("train", tmp_path / "nowhere", "--out", tmp_path / "out"),
    ]
    for words in cases if size == "0" else cases[4:5]:
        assert cli.main([str(word) for word in words]) == 2, words
        said = capsys.readouterr().err
        assert len(said.strip().splitlines()) == 1, said
        assert said.startswith(f"corroscope {words[0]}: ")
    assert size != "0" or (tmp_path / "out" / "frame_mask.png").exists()  # the rest of the batch


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("run a --bogus --out b", "corroscope run: --bogus is not understood; see"),
        ("segment a --out b --theshold=3", "--theshold is not understood (did you mean --thresh"),
        ("run a b --out c", "corroscope run: b is not understood; see corroscope run --help"),
        ("run a", "the following arguments are required: --out; see corroscope run --help"),
        ("segment a --out b --threshold x", "argument --threshold: invalid float value: 'x'"),
        ("--bogus demo", "corroscope: --bogus is not understood; see corroscope --help"),
        ("", "corroscope: the following arguments are required: COMMAND"),
    ],
)
def test_words_that_are_not_understood(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words.split())
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert told.count("\n") == 1
    assert said in told


def test_unwritable_folder(write_image: Writer) -> None:
    frame = write_image("frame.png", np.full((32, 32), 9, np.uint8))
    done = _run("segment", frame, "--out", "/proc/nowhere")
    assert done.returncode == 2
    assert "/proc/nowhere: cannot be used as output folder" in done.stderr


def test_interrupted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("corroscope.demonstration.demo", interrupt)
    assert cli.main(["demo"]) == 130
    assert capsys.readouterr().err == "corroscope demo: interrupted\n"


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    said = capsys.readouterr().out
    for word in ("openvino", "the default", "onnxruntime", "bundle"):
        assert word in said


def test_doctor_does_not_call_well_what_is_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    assert cli.main(["doctor"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "[train]" in line]
    assert said[0].startswith("-  [train]")


def test_doctor_finds_an_ill_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("corroscope.segmentation.bundle.SHIPPED", tmp_path)
    assert cli.main(["doctor"]) == 2
    streams = capsys.readouterr()
    assert "model.json: missing" in streams.out
    assert "not well: bundle" in streams.err


def test_doctor_finds_an_ill_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    from corroscope import diagnosis

    def ill(bundle: object, name: str) -> None:
        raise EngineError(f"no {name}")

    monkeypatch.setattr(diagnosis, "start_engine", ill)
    assert Finding("openvino", "no openvino", False) in diagnosis.doctor()


def test_output_that_nobody_reads_to_the_end() -> None:
    words = [sys.executable, "-m", "corroscope", "doctor"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 141
    process.stderr.close()
