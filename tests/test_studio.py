"""The studio's addresses: what the page asks, and what comes of it on the disk."""

import itertools
import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotating import SHAPE, images_in, mask_in, speck
from numpy.typing import NDArray
from studios import SECRET, Answer, Served, studio

from corroscope.annotation.store import Store
from corroscope.annotation.stored import read_annotations
from corroscope.errors import AnnotationError, SettingsError, StudioError
from corroscope.frames.reading import read_frame
from corroscope.outputs import write_png
from corroscope.studio import annotate as opening
from corroscope.studio.drawing import shape_gesture
from corroscope.studio.reviewing import agreement

PARTICLES = {(20, 30): 3, (40, 60): 4, (10, 10): 2}
"""Radius by place of the dark discs in ``a.png``."""


def _draw(folder: Path, name: str, places: dict[tuple[int, int], int]) -> None:
    grey = np.random.default_rng(1).normal(170, 3, SHAPE)
    rows, cols = np.indices(SHAPE)
    for (row, col), radius in places.items():
        grey[np.hypot(rows - row, cols - col) <= radius] = 60
    write_png(folder / name, grey.astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images_in(tmp_path)
    _draw(tmp_path, "a.png", PARTICLES)
    _draw(tmp_path, "b.png", {(20, 31): 3, (40, 60): 4})
    return tmp_path


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    with studio(folder) as served:
        yield served


@pytest.fixture
def do(served: Served) -> Callable[..., Answer]:
    """Do a deed at the newest revision."""
    numbers = itertools.count(1)

    def act(deed: dict[str, Any], name: str = "a.png", revision: int | None = None) -> Answer:
        address = _image(served, name)
        known = served.get(address).content["revision"] if revision is None else revision
        content = {"act": f"{next(numbers):08x}", "revision": known, "deed": deed}
        return served.post(f"{address}/act", content)

    return act


def _image(served: Served, name: str = "a.png") -> str:
    return f"/api/images/{served.place.opaque[name]}"


def _click(row: float, col: float, **more: Any) -> dict[str, Any]:
    return {"kind": "click", "point": [row, col], **more}


def test_the_folder_lists_its_images_in_natural_order(tmp_path: Path) -> None:
    for name in ("f10.png", "f9.png", "f1.png"):
        write_png(tmp_path / name, np.zeros(SHAPE, np.uint8))
    (tmp_path / "f2.png").write_bytes(b"no picture")
    with studio(tmp_path) as served:
        told = served.get("/api/folder").content
    assert [image["name"] for image in told["images"]] == ["f1.png", "f2.png", "f9.png", "f10.png"]
    assert "f2.png" in told["images"][1]["problem"]
    assert "problem" not in told["images"][0]
    assert (told["annotator"], told["second"]) == ("ada", False)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_pixels_come_as_the_camera_gave_them(tmp_path: Path, kind: type) -> None:
    pixels: NDArray[Any] = np.random.default_rng(0).integers(0, np.iinfo(kind).max, SHAPE, kind)
    write_png(tmp_path / "x.png", pixels)
    with studio(tmp_path) as served:
        address = f"{_image(served, 'x.png')}/pixels/frame"
        answer = served.get(address)
        known = [("Host", served.host), ("Cookie", served.cookie())]
        again = served.raw("GET", address, [*known, ("If-None-Match", answer.headers["etag"])])
    assert json.loads(answer.headers["x-size"]) == list(SHAPE)
    assert answer.headers["x-type"] == np.dtype(kind).name
    np.testing.assert_array_equal(np.frombuffer(answer.body, kind).reshape(SHAPE), pixels)
    assert (again.status, again.body) == (304, b"")


def test_a_click_is_outlined_stepped_through_and_taken(
    served: Served, do: Callable[..., Answer]
) -> None:
    address = _image(served)
    ghost = served.post(f"{address}/hover", {"point": [20, 30]}).content["rings"]
    solved = served.post(f"{address}/solve", {"gesture": _click(20, 30)}).content
    assert solved["levels"][solved["best"]]["rings"] == ghost
    areas = [level["area_px"] for level in solved["levels"]]
    assert areas == sorted(areas)
    larger = solved["best"] + 1
    answer = do({"do": "add", "gesture": _click(20, 30, level=larger)}).content
    (made,) = answer["changed"]
    assert made["rings"] == solved["levels"][larger]["rings"]
    assert (answer["revision"], answer["can_undo"], answer["annotated"]) == (1, True, True)
    assert mask_in(served.place.folder).sum() == areas[larger]
    entry = json.loads((served.place.base / "journal.jsonl").read_text().splitlines()[-1])["entry"]
    assert entry["how"]["gesture"]["point"] == [20, 30]
    assert entry["annotator"] == "ada"


def test_where_nothing_stands_out_there_is_no_ghost_and_a_click_says_so(
    tmp_path: Path,
) -> None:
    write_png(tmp_path / "flat.png", np.full(SHAPE, 150, np.uint8))
    with studio(tmp_path) as served:
        address = _image(served, "flat.png")
        assert served.post(f"{address}/hover", {"point": [20, 30]}).content["rings"] == []
        answer = served.post(f"{address}/solve", {"gesture": _click(20, 30)})
        outside = served.post(f"{address}/hover", {"point": [20, 300]})
    assert (answer.status, outside.status) == (422, 422)
    assert "\n" not in answer.content["error"]


def test_candidates_name_their_method_and_can_be_taken(
    served: Served, do: Callable[..., Answer]
) -> None:
    asked = {"gesture": _click(40, 60), "candidates": True}
    levels = served.post(f"{_image(served)}/solve", asked).content["levels"]
    methods = [level["method"] for level in levels]
    assert len(methods) > 1
    for level in levels:
        gesture = _click(40, 60, method=level["method"])
        answer = do({"do": "add", "gesture": gesture}).content
        assert answer["changed"][0]["rings"] == level["rings"]
        do({"do": "undo"})


def test_a_candidate_that_finds_nothing_says_so(served: Served, do: Callable[..., Answer]) -> None:
    write_png(
        served.place.folder / "b.png",
        np.random.default_rng(0).normal(150, 1, SHAPE).astype(np.uint8),
    )
    failed = [
        answer.content["error"]
        for row in range(5, 55, 10)
        for method in ("closed geodesic", "half contrast")
        if (
            answer := served.post(
                f"{_image(served, 'b.png')}/solve",
                {"gesture": _click(row, 40, method=method)},
            )
        ).status
        == 422
    ]
    assert failed
    assert all("\n" not in error for error in failed)


def test_points_on_the_edge_are_joined(served: Served, do: Callable[..., Answer]) -> None:
    points = [[36, 60], [40, 64], [44, 60], [40, 56]]
    answer = do({"do": "add", "gesture": {"kind": "points", "points": points}})
    assert 40 <= answer.content["changed"][0]["area_px"] <= 60
    same = do({"do": "add", "gesture": {"kind": "points", "points": [[5, 5], [5, 5]]}})
    assert same.status == 422


def test_corrections_replace_and_keep_the_label(served: Served, do: Callable[..., Answer]) -> None:
    number = do({"do": "add", "gesture": _click(20, 30), "label": "ignore"}).content["changed"][0][
        "number"
    ]
    gesture = _click(20, 30, include=[[40, 60]], exclude=[[20, 40]])
    answer = do({"do": "replace", "number": number, "gesture": gesture})
    assert (answer.content["changed"][0]["number"], answer.content["changed"][0]["label"]) == (
        number,
        "ignore",
    )
    assert do({"do": "replace", "number": 99, "gesture": _click(20, 30)}).status == 422


def test_brush_and_eraser_work_on_single_pixels(served: Served, do: Callable[..., Answer]) -> None:
    made = do({"do": "stroke", "pixels": [[3, 3], [3, 4], [50, 70]]}).content["changed"][0]
    assert made["area_px"] == 3
    erased = do(
        {"do": "stroke", "number": made["number"], "pixels": [[50, 70], [9, 9]], "erase": True}
    )
    (left,) = erased.content["changed"]
    assert (left["area_px"], left["rings"]) == (2, [[3, 3, 3, 5, 4, 5, 4, 3]])
    drawn = do({"do": "stroke", "number": left["number"], "pixels": [[4, 3]]}).content["changed"][0]
    assert drawn["area_px"] == 3
    pixels = [[3, 3], [3, 4], [4, 3]]
    gone = do({"do": "stroke", "number": drawn["number"], "pixels": pixels, "erase": True}).content
    assert (gone["changed"], gone["removed"]) == ([], [drawn["number"]])
    assert do({"do": "stroke", "pixels": [[60, 3]]}).status == 422
    assert do({"do": "stroke", "number": 99, "pixels": [[3, 3]]}).status == 422


def test_objects_are_merged_cut_ignored_and_removed(
    served: Served, do: Callable[..., Answer]
) -> None:
    one = do({"do": "add", "gesture": shape_gesture(speck(10, 10, 4))}).content["changed"][0]
    two = do({"do": "add", "gesture": shape_gesture(speck(10, 14, 4))}).content["changed"][0]
    numbers = [one["number"], two["number"]]
    merged = do({"do": "merge", "numbers": numbers}).content
    assert merged["removed"] == numbers
    (whole,) = merged["changed"]
    assert whole["area_px"] == 32
    cut = {"do": "split", "number": whole["number"], "start": [8, 12.5], "end": [15, 12.5]}
    parts = do(cut).content["changed"]
    assert sorted(part["area_px"] for part in parts) == [12, 20]
    ignored = do({"do": "ignore", "numbers": [parts[0]["number"]]}).content["changed"][0]
    assert ignored["label"] == "ignore"
    assert mask_in(served.place.folder, "a_ignore.png").sum() == ignored["area_px"]
    beside = {"do": "split", "number": parts[1]["number"], "start": [0, 0], "end": [1, 0]}
    assert "across" in do(beside).content["error"]
    do({"do": "remove", "numbers": [ignored["number"], parts[1]["number"]]})
    assert served.get(_image(served)).content["objects"] == []
    for deed in (cut, {"do": "remove", "numbers": [77]}, {"do": "merge", "numbers": [77, 78]}):
        assert "no object" in do(deed).content["error"]


def test_undo_redo_and_done_are_acts_and_last(served: Served, do: Callable[..., Answer]) -> None:
    do({"do": "add", "gesture": _click(20, 30)})
    undone = do({"do": "undo"}).content
    assert (undone["removed"], undone["can_undo"], undone["can_redo"]) == ([1], False, True)
    assert do({"do": "redo"}).content["changed"][0]["number"] == 1
    do({"do": "done"}, "b.png")
    served.place.close()
    done = {image.name: len(image.instances) for image in read_annotations(served.place.folder)}
    assert done == {"a.png": 1, "b.png": 0}


def test_a_page_that_has_not_seen_the_last_change_is_told(
    served: Served, do: Callable[..., Answer]
) -> None:
    do({"do": "add", "gesture": _click(20, 30)})
    late = do({"do": "add", "gesture": _click(40, 60)}, revision=0)
    assert late.status == 409
    assert len(late.content["image"]["objects"]) == 1
    assert len(served.get(_image(served)).content["objects"]) == 1
    # A mask that another program edits counts, too.
    mask = np.zeros(SHAPE, np.uint8)
    write_png(served.place.folder / "a_mask.png", mask)
    assert do({"do": "undo"}, revision=1).status == 409


def test_an_act_that_is_asked_for_twice_is_done_once(served: Served) -> None:
    act = {
        "act": "12345678", "revision": 0, "deed": {"do": "add", "gesture": _click(20, 30)},
    }  # fmt: skip
    first = served.post(f"{_image(served)}/act", act)
    again = served.post(f"{_image(served)}/act", act)  # the first answer was lost on its way
    assert (first.status, again.status) == (200, 200)
    assert len(again.content["objects"]) == 1
    assert again.content["revision"] == 1


def test_all_pages_hear_what_one_has_done(served: Served, do: Callable[..., Answer]) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    connection.request("GET", "/api/events", headers={"Cookie": served.cookie()})
    events = connection.getresponse()
    assert events.readline() == b"event: hello\n"
    events.readline()
    events.readline()
    do({"do": "add", "gesture": _click(20, 30)})
    assert events.readline() == b"event: image\n"
    told = json.loads(events.readline().removeprefix(b"data: "))
    assert (told["id"], told["revision"]) == (served.place.opaque["a.png"], 1)
    connection.close()


def test_particles_of_the_image_before_are_sought_anew(
    served: Served, do: Callable[..., Answer]
) -> None:
    for row, col in PARTICLES:
        do({"do": "add", "gesture": _click(row, col)})
    source = served.place.opaque["a.png"]
    found = do({"do": "propagate", "source": source}, "b.png").content["changed"]
    assert len(found) == 2  # the third has gone, and the first has moved
    assert np.hypot(*(np.array(found[0]["at"]) - (20, 31))) < 0.6
    assert do({"do": "propagate", "source": source}, "b.png").status == 422  # all are there
    assert do({"do": "propagate", "source": "x"}, "b.png").status == 422


def test_proposals_come_by_doubt_without_what_is_known(
    served: Served, do: Callable[..., Answer]
) -> None:
    address = _image(served)
    asked = served.post(f"{address}/proposals", {"by": "contrast"}).content["proposals"]
    places = [np.array(proposal["at"]) for proposal in asked]
    for place in PARTICLES:
        assert min(np.hypot(*(at - place)) for at in places) < 1
    doubts = [proposal["doubt"] for proposal in asked]
    assert doubts == sorted(doubts, reverse=True)
    proposal = asked[0]
    accepted = do({"do": "add", "gesture": proposal["gesture"]}).content["changed"][0]
    assert accepted["rings"] == proposal["rings"]
    left = served.post(f"{address}/proposals", {"by": "contrast"}).content["proposals"]
    assert proposal["key"] not in [each["key"] for each in left]
    by_network = served.post(f"{address}/proposals", {"by": "network"})
    assert by_network.status == 200


def test_kappa_is_that_of_the_textbook() -> None:
    # Cohen's own kind of table: 20 both yes, 15 both no, 5 and 10 apart.
    pairs = [("y", "y")] * 20 + [("n", "n")] * 15 + [("y", "n")] * 5 + [("n", "y")] * 10
    word = {"y": "accept", "n": "reject"}
    verdicts = [
        {"image": "a", "key": str(k), "verdict": word[pair[turn]]}
        for turn in (0, 1)
        for k, pair in enumerate(pairs)
    ]
    assert agreement(verdicts) == {"repeats": 50, "same": 35, "kappa": 0.4}
    assert agreement([]) == {"repeats": 0, "same": 0, "kappa": None}


def test_export_is_what_the_command_does(served: Served, do: Callable[..., Answer]) -> None:
    do({"do": "add", "gesture": _click(20, 30)})
    told = served.post("/api/export", {"format": "coco"}).content
    assert (told["objects"], told["images"], told["out"]) == (1, 1, "export/coco")
    words = told["command"].split()
    assert words[:2] == ["corroscope", "export"]
    exported = served.place.folder / "export/coco/annotations.json"
    here = exported.read_bytes()
    from corroscope.cli import main

    assert main(words[1:]) == 0
    assert exported.read_bytes() == here
    assert served.post("/api/export", {"format": "word"}).status == 422


def test_a_difference_is_shown_and_clicked_on_where_there_is_one(folder: Path) -> None:
    (folder / "difference").mkdir()
    (folder / "difference" / "a.png").write_bytes((folder / "b.png").read_bytes())
    with studio(folder) as served:
        address = _image(served)
        assert served.get(address).content["difference"]
        answer = served.get(f"{address}/pixels/difference")
        np.testing.assert_array_equal(
            np.frombuffer(answer.body, np.uint8).reshape(SHAPE), read_frame(folder / "b.png")
        )
        click = {"gesture": _click(20, 31, plane="difference")}
        assert served.post(f"{address}/solve", click).status == 200
        assert served.get(f"{_image(served, 'b.png')}/pixels/difference").status == 422


def test_pictures_are_kept_for_a_while(folder: Path) -> None:
    for number in range(8):
        _draw(folder, f"n{number}.png", PARTICLES)
    with studio(folder) as served:
        first = served.place.picture("n0.png")
        assert served.place.picture("n0.png") is first
        for number in range(8):
            served.place.picture(f"n{number}.png")
        assert served.place.picture("n0.png") is not first


def test_aligned_frames_find_their_differences_beside_them(tmp_path: Path) -> None:
    (tmp_path / "aligned").mkdir()
    (tmp_path / "difference").mkdir()
    images_in(tmp_path / "aligned")
    write_png(tmp_path / "difference" / "a.png", np.zeros(SHAPE, np.uint8))
    with studio(tmp_path / "aligned") as served:
        assert served.get(_image(served)).content["difference"]
        assert not served.get(_image(served, "b.png")).content["difference"]


def test_a_studio_and_another_program_cannot_annotate_one_folder(served: Served) -> None:
    with pytest.raises(AnnotationError, match="by another program"):
        Store(served.place.folder, "bob")


def test_a_port_that_is_taken_is_told_and_another_one_found(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StudioError, match=rf"127.0.0.1:{served.port}: cannot listen"):
        opening.listening("127.0.0.1", served.port)
    monkeypatch.setattr(opening, "PORT", served.port)
    with opening.listening("127.0.0.1", None) as listener:
        assert listener.getsockname()[1] > served.port
    with pytest.raises(StudioError, match="cannot listen"):
        opening.listening("127.0.0.1", 99999)


def test_the_secret_is_made_once_and_for_the_account_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(opening, "user_state_path", lambda _: tmp_path / "corroscope")
    first = opening._secret()
    assert opening._secret() == first
    (file,) = (tmp_path / "corroscope").iterdir()
    if sys.platform != "win32":
        assert file.stat().st_mode & 0o777 == 0o600
    file.write_bytes(b"short")
    with pytest.raises(StudioError, match="is damaged"):
        opening._secret()
    file.unlink()
    file.mkdir()
    with pytest.raises(StudioError, match="cannot be written or read"):
        opening._secret()


@pytest.mark.parametrize(("host", "own"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_over_the_network_the_secret_is_that_of_one_start(
    monkeypatch: pytest.MonkeyPatch, host: str, own: bool
) -> None:
    given = []

    def refuse(_: object, secret: bytes, **__: object) -> None:
        given.append(secret)
        raise StudioError("enough")

    monkeypatch.setattr(opening, "_secret", lambda: SECRET)
    monkeypatch.setattr(opening, "opened", refuse)
    for _ in range(2):
        with pytest.raises(StudioError, match="enough"):
            opening.annotate("x", host=host)
    assert (given[0] == SECRET, given[0] == given[1]) == (own, own)
    assert len(given[1]) == 32


_MAIN = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from corroscope.cli import main; sys.exit(main())"
)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_command_serves_until_it_is_interrupted(folder: Path, host: str) -> None:
    command = [sys.executable, "-c", _MAIN, "annotate", str(folder), "--no-browser", "--port", "0"]
    with subprocess.Popen(
        [*command, "--host", host], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stderr is not None
            line = child.stdout.readline()
            if host == "0.0.0.0":
                assert "everybody on the network" in line
                line = child.stdout.readline()
            assert line.startswith(f"{folder}: http://")
            port, token = line.rsplit(":", 1)[1].split("/?token=")
            browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            link = f"http://127.0.0.1:{port}/?token={token.strip()}"
            with browser.open(link, timeout=20) as answer:
                assert b"corroscope studio" in answer.read()
            with browser.open(f"http://127.0.0.1:{port}/api/events", timeout=20) as events:
                assert b"hello" in events.readline()  # a page that listens is no obstacle
                child.send_signal(signal.SIGINT)
                assert child.wait(20) == 130
            assert child.stderr.read() == "corroscope annotate: interrupted\n"
        finally:
            child.kill()
    with Store(folder, "ada"):
        pass  # the lock is gone


def test_a_pixel_size_is_told_to_the_page_and_a_wrong_one_refused(folder: Path) -> None:
    with opening.opened(folder, SECRET, port=0, pixel_size=0.42) as studio:
        assert studio.place.pixel_size_um == 0.42
    with (
        pytest.raises(SettingsError, match="must be a positive number"),
        opening.opened(folder, SECRET, port=0, pixel_size=-1),
    ):
        pass
