"""The notebooks run from top to bottom, offline, and come to what they tell."""

import json
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))

# Before the first cell: nothing outside this machine is reached, and warnings are errors.
_OFFLINE = """
import socket, warnings
warnings.simplefilter("error")
_connect = socket.socket.connect
def _local(self, address):
    if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise AssertionError(f"the notebook asks {address}")
    return _connect(self, address)
socket.socket.connect = _local
"""

# While the annotator is open: its link is served, and its folder is its own.
_OPEN = """
import urllib.request
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
served = browser.open(annotator.link, timeout=20).status
try:
    annotation.Store(folder, "bob")
    taken = False
except corroscope.CorroscopeError:
    taken = True
"""

# After the last cell.
_TOLD = """
import json, sys
try:
    browser.open(annotator.link, timeout=20)
except OSError as error:
    closed = type(error.reason).__name__
print(json.dumps({
    "python": sys.executable, "served": served, "taken": taken, "closed": closed,
    "two points": two_points_iou, "one click": one_click_iou,
    "means": mean_iou, "levels": level_ious, "best level": nested.best,
    "corrected": corrected_ious, "products": len(truths), "found": found, "right": right,
    "proposals": len(proposals), "kept": [int(o.area_px) for o in kept.instances],
    "contour": int(contour.sum()), "lost": [e.losses for e in exports.values()],
}))
"""


def _read(path: Path) -> NotebookNode:
    book: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    return book


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The cells of the annotation notebook by name, after a kernel has run them."""
    (path,) = (path for path in NOTEBOOKS if path.stem == "annotation")
    book = _read(path)
    cells = book.cells
    names = [cell.id for cell in cells]
    cells.insert(names.index("annotator") + 1, _cell("open", _OPEN))
    cells.insert(0, _cell("offline", _OFFLINE))
    cells.append(_cell("told", _TOLD))
    _execute(book, tmp_path_factory.mktemp("home"))
    return {cell.id: cell for cell in cells}


def _execute(book: NotebookNode, home: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:  # nothing of the account's own Jupyter counts
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
            patch.setenv(name, str(home / name))
        patch.setenv("TMPDIR", str(home))
        NotebookClient(book, timeout=300, resources={"metadata": {"path": home}}).execute()


def _cell(name: str, source: str) -> NotebookNode:
    cell: NotebookNode = new_code_cell(source, id=name)  # type: ignore[no-untyped-call]
    return cell


@pytest.fixture(scope="module")
def told(executed: dict[str, Any]) -> dict[str, Any]:
    (output,) = executed["told"].outputs
    content: dict[str, Any] = json.loads(output.text)
    return content


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs_and_for_any_python(path: Path) -> None:
    book = _read(path)
    nbformat.validate(book)
    assert (book.nbformat, book.nbformat_minor) == (4, 5)
    for cell in book.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
        assert cell.source.strip()
    assert book.metadata.kernelspec.name == "python3"
    assert "colab" in book.metadata
    assert "http" not in path.read_text(encoding="utf-8")  # neither files nor a place of their own
    installs = [cell.source for cell in book.cells if "%pip" in cell.source]
    assert installs == [book.cells[1].source]
    assert "except ModuleNotFoundError" in installs[0]


def test_it_runs_in_this_python_and_installs_nothing(
    executed: dict[str, Any], told: dict[str, Any]
) -> None:
    assert Path(told["python"]) == Path(sys.executable)
    assert executed["install"].outputs == []
    errors = [
        (name, output)
        for name, cell in executed.items()
        for output in cell.get("outputs", [])
        if output.output_type == "error" or output.get("name") == "stderr"
    ]
    assert errors == []


def test_it_shows_metric_distance_map_and_contour(executed: dict[str, Any]) -> None:
    drawn = {
        name
        for name, cell in executed.items()
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
    }
    assert {"picture", "metric", "times", "stop", "path", "points", "click"} < drawn
    assert {"levels", "corrections", "proposals", "comparison"} < drawn


def test_it_comes_to_what_it_tells(executed: dict[str, Any], told: dict[str, Any]) -> None:
    assert told["one click"] >= 0.9
    assert told["two points"] >= 0.85
    means = told["means"]
    assert means["gradient front, one moment for all"] < 0.5
    assert means["gradient front, best moment of each"] >= 0.8
    assert 0.75 <= means["one click"] < means["one click and the wheel"]
    assert max(told["levels"]) > told["levels"][told["best level"]]
    first, second, third, small, mended = told["corrected"]
    assert first < second < third
    assert small < mended
    assert told["products"] == 17
    assert 15 <= told["found"] < told["products"]  # the text says: nearly all
    assert told["right"] < told["proposals"]
    assert "mean IoU of 17 products" in executed["stop-others"].outputs[0].text


def test_what_it_keeps_is_read_back(executed: dict[str, Any], told: dict[str, Any]) -> None:
    assert told["kept"][0] == told["contour"]
    assert len(told["kept"]) == 2
    assert told["lost"] == [[]] * 6
    text = executed["store"].outputs[0].text
    assert text.splitlines() == [
        "after undo: 1 object", "after redo: 2 objects", "read back, the same to the pixel: True",
    ]  # fmt: skip


def test_the_annotator_is_shown_served_and_closed(
    executed: dict[str, Any], told: dict[str, Any]
) -> None:
    (output,) = executed["annotator"].outputs
    shown = output.data["text/html"]
    assert "iframe" in shown
    assert "token=" in shown
    assert (told["served"], told["taken"]) == (200, True)
    assert told["closed"] == "ConnectionRefusedError"
    (table,) = executed["annotations"].outputs
    assert all(str(area_px) in table.data["text/plain"] for area_px in told["kept"])


# From annotated patches to an evaluated network

_TRAINED = """
import json
print(json.dumps({
    "losses": history["loss"].tolist(), "surfaces": found.surfaces["surface"].tolist(),
    "pairs": len(found.overlaps), "metrics": metrics, "warnings": known["warnings"],
    "tainted": known["tainted"], "patches": len(patches), "found": len(result.particles),
    "page": (home / "judged" / "report.html").stat().st_size,
}))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The cells of the training notebook by name, after a kernel has run them."""
    (path,) = (path for path in NOTEBOOKS if path.stem == "training")
    book = _read(path)
    book.cells.insert(0, _cell("offline", _OFFLINE))
    book.cells.append(_cell("trained", _TRAINED))
    _execute(book, tmp_path_factory.mktemp("home"))
    return {cell.id: cell for cell in book.cells}


def test_training_shows_every_step(trained: dict[str, Any]) -> None:
    drawn = {
        name
        for name, cell in trained.items()
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
    }
    assert {"data", "crops", "train", "use", "curve"} <= drawn
    errors = [
        (name, output)
        for name, cell in trained.items()
        for output in cell.get("outputs", [])
        if output.output_type == "error" or output.get("name") == "stderr"
    ]
    assert errors == []
    assert trained["install"].outputs == []


def test_training_comes_to_what_it_tells(trained: dict[str, Any]) -> None:
    (output,) = trained["trained"].outputs
    told = json.loads(output.text)
    assert told["losses"][-1] < 0.7 * told["losses"][0]
    assert told["patches"] == 20
    assert len(set(told["surfaces"])) == told["patches"]  # the half shares with its whole
    assert told["pairs"] == 1
    metrics = told["metrics"]
    assert (metrics["patches"], metrics["tainted"]) == (8, 0)
    assert metrics["scores"]["dice"] > 0.4
    assert metrics["intervals_95"]["dice"][0] is not None
    assert told["found"] > 0
    assert told["tainted"] == 20
    assert told["warnings"][0].startswith("20 of 20 patches were used to train")
    assert told["page"] > 100_000
