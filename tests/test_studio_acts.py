"""Deeds from the page: each is done once, wholly or not at all, and says how far the image is."""

import http.client
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotating import SHAPE, images_in, mask_in, speck
from studios import Answer, Served, studio

from corroscope.annotation import snapshots
from corroscope.annotation.store import Store
from corroscope.errors import OutputError
from corroscope.outputs import write_png
from corroscope.studio.drawing import shape_gesture
from corroscope.studio.results.results import Results

Do = Callable[..., Answer]


def _draw(folder: Path, name: str, *places: tuple[int, int]) -> None:
    grey = np.random.default_rng(1).normal(170, 3, SHAPE)
    rows, cols = np.indices(SHAPE)
    for row, col in places:
        grey[np.hypot(rows - row, cols - col) <= 3] = 60
    write_png(folder / name, grey.astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    _draw(tmp_path, "a.png", (20, 30), (40, 60))
    _draw(tmp_path, "b.png")
    return tmp_path


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    with studio(folder) as served:
        yield served


@pytest.fixture
def do(served: Served) -> Do:
    """Do a deed at the newest revision."""
    numbers = itertools.count(1)

    def act(deed: dict[str, Any], name: str = "a.png") -> Answer:
        known = served.get(_image(served, name)).content["revision"]
        content = {"act": f"{next(numbers):08x}", "revision": known, "deed": deed}
        return served.post(f"{_image(served, name)}/act", content)

    return act


def _image(served: Served, name: str = "a.png") -> str:
    return f"/api/images/{served.place.opaque[name]}"


def _add(gesture: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"do": "add", "gesture": gesture, **more}


def _speck(row: int, col: int, size: int = 3, **more: Any) -> dict[str, Any]:
    return _add(shape_gesture(speck(row, col, size)), **more)


CLICK = {"kind": "click", "point": [20, 30]}


def _refused(served: Served, answer: Answer, told: str, name: str = "b.png") -> None:
    assert answer.status == 422
    assert told in answer.content["error"]
    assert "\n" not in answer.content["error"]
    state = served.get(_image(served, name)).content
    assert (state["revision"], state["annotated"]) == (0, False)
    assert not (served.place.folder / f"{Path(name).stem}_mask.png").exists()


def test_what_finds_nothing_is_no_deed(served: Served, do: Do) -> None:
    source = served.place.opaque["a.png"]
    sought = {"do": "propagate", "source": source}
    _refused(served, do(sought, "b.png"), "none of the particles of a.png was found again")
    do(_add(CLICK))
    _refused(served, do(sought, "b.png"), "none of the particles of a.png was found again")


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        ({"do": "undo"}, "nothing to undo"),
        ({"do": "redo"}, "nothing to redo"),
        ({"do": "stroke", "pixels": [[3, 3]], "erase": True}, "change nothing"),
    ],
)
def test_what_changes_nothing_in_an_empty_image(
    served: Served, do: Do, deed: dict[str, Any], told: str
) -> None:
    _refused(served, do(deed, "b.png"), told, "b.png")


@pytest.mark.parametrize(
    "deed",
    [
        {"do": "particle", "numbers": [1]},
        {"do": "merge", "numbers": [1, 1]},
        {"do": "stroke", "number": 1, "pixels": [[5, 5]]},
        {"do": "stroke", "number": 1, "pixels": [[0, 0]], "erase": True},
        {"do": "replace", "number": 1, "gesture": shape_gesture(speck(5, 5))},
    ],
    ids=lambda deed: str(deed["do"]),
)
def test_what_changes_nothing_in_an_object(served: Served, do: Do, deed: dict[str, Any]) -> None:
    do(_speck(5, 5))
    answer = do(deed)
    assert (answer.status, answer.content) == (422, {"error": "that would change nothing"})
    assert served.get(_image(served)).content["revision"] == 1


def test_an_object_named_twice_comes_once(do: Do) -> None:
    do(_speck(5, 5))
    assert len(do({"do": "ignore", "numbers": [1, 1]}).content["changed"]) == 1


@pytest.mark.parametrize(
    ("there", "again"),
    [
        (_add(CLICK), _add(CLICK)),
        (_add(CLICK), _add({"kind": "click", "point": [20.4, 30.3]})),
        (_speck(5, 5), _speck(5, 5, label="ignore")),  # of the very same pixels
        (_speck(5, 5, 20), _add({**shape_gesture(speck(5, 5, 19))})),  # IoU 0.9025
    ],
)
def test_an_object_that_is_there_is_not_added_again(
    served: Served, do: Do, there: dict[str, Any], again: dict[str, Any]
) -> None:
    assert do(there).status == 200
    answer = do(again)
    assert (answer.status, answer.content) == (422, {"error": "that particle is annotated already"})
    assert served.get(_image(served)).content["revision"] == 1


@pytest.mark.parametrize(
    ("there", "other"),
    [
        (_speck(5, 5, 20), _speck(5, 5, 18)),  # IoU 0.81
        (_speck(5, 5, 20), _speck(5, 5, 19, label="ignore")),
    ],
)
def test_another_object_may_come_beside_it(
    do: Do, there: dict[str, Any], other: dict[str, Any]
) -> None:
    do(there)
    assert do(other).content["count"] == 2


def test_a_take_whose_answer_was_lost_is_done_once(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    sought = []

    def taken(*asked: Any) -> list[Any]:
        sought.append(asked)
        return [speck(5, 5)]

    monkeypatch.setattr(Results, "taken", taken)
    monkeypatch.setattr(Results, "origin", lambda *_: {})
    act = {"act": "0" * 8, "revision": 0, "deed": {"do": "take", "result": 1}}
    answers = [served.post(f"{_image(served)}/act", act) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[1].content["revision"] == 1
    assert len(answers[1].content["objects"]) == 1
    assert len(sought) == 1  # nor is the work done again


@contextmanager
def _events(served: Served) -> Iterator[Callable[[], tuple[str, Any]]]:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    connection.request("GET", "/api/events", headers={"Cookie": served.cookie()})
    answer = connection.getresponse()

    def heard() -> tuple[str, Any]:
        kind, content, _ = (answer.readline().decode() for _ in range(3))
        return kind.removeprefix("event: ").strip(), json.loads(content.removeprefix("data: "))

    assert heard()[0] == "hello"
    yield heard
    connection.close()


def _no_room(*_: object, **__: object) -> None:
    raise OutputError("a_mask.png: cannot be written (No space left on device)")


def test_a_deed_stands_though_its_mask_cannot_be_written(
    served: Served, do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _events(served) as heard, monkeypatch.context() as patched:
        patched.setattr(snapshots, "write_mask", _no_room)
        answer = do(_speck(5, 5))
        assert answer.status == 200
        assert "No space left" in answer.content["problem"]
        assert (answer.content["revision"], len(answer.content["changed"])) == (1, 1)
        kind, told = heard()
    assert (kind, told["revision"], "problem" in told) == ("image", 1, False)
    assert "problem" not in do(_speck(30, 30)).content
    assert mask_in(served.place.folder).sum() == 18


def test_what_cannot_be_written_at_all_is_refused(
    served: Served, do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Store, "add", _no_room)
        assert do(_speck(5, 5)).status == 422


def test_every_answer_tells_how_far_the_image_is(served: Served, do: Do) -> None:
    def all_told(answer: Answer, heard: Callable[[], tuple[str, Any]]) -> tuple[bool, bool, int]:
        state = served.get(_image(served)).content
        listed = served.get("/api/folder").content["images"][0]
        event = heard()[1]
        told = [(one["annotated"], one["done"]) for one in (answer.content, state, listed, event)]
        counts = {
            answer.content["count"], len(state["objects"]), listed["objects"], event["count"],
        }  # fmt: skip
        assert len(set(told)) == len(counts) == 1
        return (*told[0], counts.pop())

    listed = served.get("/api/folder").content["images"][0]
    assert (listed["annotated"], listed["done"], listed["objects"]) == (False, False, 0)
    with _events(served) as heard:
        assert all_told(do(_speck(5, 5)), heard) == (True, False, 1)
        assert all_told(do({"do": "done"}), heard) == (True, True, 1)
        assert all_told(do({"do": "undo"}), heard) == (True, False, 1)
        assert all_told(do({"do": "redo"}), heard) == (True, True, 1)
        assert all_told(do(_speck(30, 30)), heard) == (True, False, 2)


def test_an_image_is_declared_done_once(served: Served, do: Do) -> None:
    assert do({"do": "done"}).content["revision"] == 1
    again = do({"do": "done"})
    assert (again.status, again.content["revision"], again.content["done"]) == (200, 1, True)


def test_masks_that_were_there_are_done(tmp_path: Path) -> None:
    images_in(tmp_path)
    write_png(tmp_path / "a_mask.png", np.zeros(SHAPE, np.uint8))
    with studio(tmp_path) as served:
        told = served.get("/api/folder").content["images"]
    assert [image["done"] for image in told] == [True, False]
