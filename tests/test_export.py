"""The commands export and import: what goes out comes back into another folder."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from corroscope import cli
from corroscope.annotation import Instance, Store
from corroscope.annotation.exchange import FORMATS
from corroscope.frames.reading import read_frame
from corroscope.outputs import write_png


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        write_png(folder / name, np.full((40, 50), 90, np.uint8))
    with Store(folder, "ada") as store:
        store.add("a.png", Instance.of(np.ones((3, 4), bool), corner_px=(2, 3)))
        store.add("a.png", Instance.of(np.ones((2, 2), bool), "ignore", (20, 30)))
        store.declare_done("b.png")
    return folder


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_exported_can_be_imported_elsewhere(
    dataset: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    other.mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy(dataset / name, other)
    assert cli.main(["export", str(dataset), "--format", kind, "--out", str(out)]) == 0
    assert "2 objects in 2 images" in capsys.readouterr().out
    options = ["--format", kind, "--into", str(other), "--annotator", "bob"]
    assert cli.main(["import", str(out), *options]) == 0
    for name in ("a_mask.png", "a_ignore.png", "b_mask.png"):
        np.testing.assert_array_equal(read_frame(other / name), read_frame(dataset / name))
    with Store(other, "bob") as store:
        assert store.undo("a.png")
        assert store.objects("a.png") == {}


def test_what_a_format_cannot_hold_is_told(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store(dataset, "ada") as store:
        store.add("a.png", Instance.of(np.ones((3, 4), bool), corner_px=(5, 3)))
    assert cli.main(["export", str(dataset), "--format", "png", "--out", str(tmp_path / "o")]) == 0
    assert "Note: a.png: 2 of 3 objects touch" in capsys.readouterr().out


def test_unknown_formats_and_missing_files_are_one_line(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", str(dataset), "--format", "voc", "--out", str(tmp_path / "o")]) == 2
    options = ["--format", "coco", "--into", str(dataset), "--annotator", "bob"]
    assert cli.main(["import", str(tmp_path / "nowhere"), *options]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert told[0].startswith("corroscope export: format 'voc' is unknown")
    assert told[1].startswith("corroscope import: ")
