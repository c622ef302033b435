"""Review: what is proposed, what is asked for again, and how well verdicts repeat."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotating import SHAPE
from studios import Served, studio

from corroscope.outputs import write_png
from corroscope.studio import reviewing

PLACES = [(row, col) for row in (8, 22, 36, 50) for col in (10, 25, 40, 55, 70)]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    grey = np.random.default_rng(1).normal(170, 3, SHAPE)
    rows, cols = np.indices(SHAPE)
    for row, col in PLACES:
        grey[np.hypot(rows - row, cols - col) <= 3] = 60
    write_png(tmp_path / "a.png", grey.astype(np.uint8))
    with studio(tmp_path) as served:
        yield served


@pytest.fixture
def all_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviewing, "REPEATS", 1.0)


_NUMBERS = itertools.count(1)


def _address(served: Served) -> str:
    return f"/api/images/{served.place.opaque['a.png']}"


def _asked(served: Served) -> list[dict[str, Any]]:
    return list(served.post(f"{_address(served)}/proposals", {}).content["proposals"])


def _keys(served: Served) -> list[str]:
    return [one["key"] for one in _asked(served)]


def _judge(served: Served, key: str, verdict: str = "reject") -> dict[str, Any]:
    content = {"key": key, "verdict": verdict, "by": "contrast", "score": 0.5}
    answer = served.post(f"{_address(served)}/verdict", content)
    assert answer.status == 200
    return dict(answer.content)


def _do(served: Served, deed: dict[str, Any]) -> None:
    revision = served.get(_address(served)).content["revision"]
    act = {"act": f"{next(_NUMBERS):08x}", "revision": revision, "deed": deed}
    assert served.post(f"{_address(served)}/act", act).status == 200


def _accept(served: Served, proposal: dict[str, Any]) -> None:
    _do(served, {"do": "add", "gesture": proposal["gesture"]})
    _judge(served, proposal["key"], "accept")


@pytest.mark.usefixtures("all_repeat")
def test_a_verdict_is_asked_for_once_more_when_ten_others_have_come(served: Served) -> None:
    keys = _keys(served)
    assert len(keys) >= len(PLACES)
    first, *others = keys
    _judge(served, first)
    for judged, other in enumerate(others[:10]):
        assert first not in _keys(served), judged
        _judge(served, other)
    left = _keys(served)
    assert set(left) == {first, *others[10:]}  # the others are too fresh
    assert left[-1] != first
    assert _keys(served) == left  # always at the same place
    told = _judge(served, first, "accept")
    assert told == {"judged": 11, "agreement": {"repeats": 1, "same": 0, "kappa": 0.0}}
    _judge(served, first)  # it was accepted without an object: that is undecided
    for other in others[10:-1]:
        _judge(served, other)
    assert first not in _keys(served)


@pytest.mark.usefixtures("all_repeat")
def test_repeats_come_once_among_others_and_end(served: Served) -> None:
    keys = _keys(served)
    early, late = keys[:12], keys[12:]
    for key in early:
        _judge(served, key)
    back = [key for key in _keys(served) if key in early]
    assert set(back) == set(early[:2])
    for key in back:
        _judge(served, key)
    for key in early[2:]:
        if key in _keys(served):
            _judge(served, key)
    assert not set(back) & set(_keys(served))
    for key in late:
        _judge(served, key)
    assert _keys(served) == []  # nothing is undecided, and repeats alone would not be blind


def test_repeats_are_strewn_by_their_keys() -> None:
    undecided = [{"key": f"{0:08x}{n:08x}"} for n in range(4)]
    repeats = [{"key": f"{n:08x}{at:08x}"} for n, at in ((1, 0), (2, 3), (3, 7), (4, 2))]
    told = [one["key"] for one in reviewing._strewn(repeats, undecided)]
    u, r = ([one["key"] for one in ones] for ones in (undecided, repeats))
    assert told == [r[0], u[0], u[1], r[3], u[2], r[1], r[2], u[3]]
    assert reviewing._strewn(repeats, []) == []


def test_a_tenth_is_asked_for_again(served: Served) -> None:
    keys = [f"{number:08x}{0:08x}" for number in range(0, 2**32, 2**32 // 1000)]
    assert sum(reviewing._comes_back(key, [0], 11) for key in keys) == pytest.approx(100, abs=2)
    assert not any(reviewing._comes_back(key, [0], 10) for key in keys)
    assert not any(reviewing._comes_back(key, [0, 20], 40) for key in keys)


@pytest.mark.usefixtures("all_repeat")
def test_an_accepted_one_comes_back_with_its_object_hidden(served: Served) -> None:
    proposals = _asked(served)
    _accept(served, proposals[0])
    assert proposals[0]["key"] not in _keys(served)
    for other in proposals[1:11]:
        _judge(served, other["key"])
    (back,) = (one for one in _asked(served) if one["key"] == proposals[0]["key"])
    (number,) = (one["number"] for one in served.get(_address(served)).content["objects"])
    assert back["hides"] == [number]


def test_an_accepted_one_that_was_undone_is_undecided_again(served: Served) -> None:
    proposals = _asked(served)
    _accept(served, proposals[3])
    assert proposals[3]["key"] not in _keys(served)
    _do(served, {"do": "undo"})
    assert _keys(served) == [one["key"] for one in proposals]
    told = _judge(served, proposals[3]["key"], "reject")  # a correction, which is not blind
    assert told["agreement"]["repeats"] == 0
    assert proposals[3]["key"] not in _keys(served)


def test_a_verdict_is_kept_with_its_circumstances(served: Served) -> None:
    key = _keys(served)[0]
    _judge(served, key)
    line = (served.place.base / "reviews.jsonl").read_text().splitlines()[-1]
    entry = json.loads(line)["entry"]
    assert (entry["annotator"], entry["image"], entry["key"]) == ("ada", "a.png", key)
    assert (entry["verdict"], entry["by"], entry["score"]) == ("reject", "contrast", 0.5)
    wrong = {"key": "../x", "verdict": "reject", "by": "contrast", "score": 0.5}
    assert served.post(f"{_address(served)}/verdict", wrong).status == 400
