"""The annotation store: the journal is the truth, and nothing is ever lost."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from corroscope.annotation.history import History
from corroscope.annotation.instances import Instance
from corroscope.annotation.store import Store
from corroscope.annotation.stored import read_annotations
from corroscope.errors import AnnotationError
from corroscope.frames.reading import read_frame
from corroscope.learning.dataset import read_dataset
from corroscope.outputs import write_png

SHAPE = (60, 80)


def _speck(row: int, col: int, size: int = 3, label: str = "particle") -> Instance:
    return Instance.of(np.ones((size, size), bool), label, (row, col))


def _images(folder: Path) -> Path:
    grain = np.random.default_rng(0).normal(150, 5, SHAPE).astype(np.uint8)
    for name in ("a.png", "b.png"):
        write_png(folder / name, grain)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return _images(tmp_path)


def _mask(folder: Path, name: str = "a_mask.png") -> NDArray[np.bool_]:
    return read_frame(folder / name) > 0


def test_what_is_annotated_is_there_after_a_restart_with_its_mask(folder: Path) -> None:
    with Store(folder, "ada") as store:
        assert store.images == ("a.png", "b.png")
        first = store.add("a.png", _speck(5, 6), how={"click": [6, 7]})
        second = store.add("a.png", _speck(20, 30))
        store.replace("a.png", first, _speck(6, 6))
        store.remove("a.png", second)
        third = store.add("a.png", _speck(40, 40))
        assert third not in (first, second)
    with Store(folder, "bob") as store:
        assert store.objects("a.png") == {first: _speck(6, 6), third: _speck(40, 40)}
        assert store.annotated("a.png")
        assert not store.annotated("b.png")
    expected = np.zeros(SHAPE, bool)
    expected[6:9, 6:9] = expected[40:43, 40:43] = True
    np.testing.assert_array_equal(_mask(folder), expected)
    lines = (folder / "annotation/journal.jsonl").read_text().splitlines()
    told = json.loads(lines[1])["entry"]
    assert (told["annotator"], told["action"], told["how"]) == ("ada", "add", {"click": [6, 7]})
    assert told["corroscope"]
    assert told["time"].endswith("+00:00")


def test_undo_and_redo_go_back_to_the_beginning_across_restarts(folder: Path) -> None:
    states: list[dict[int, Instance]] = [{}]
    for step in range(5):
        with Store(folder, "ada") as store:
            store.add("a.png", _speck(10 * step, 10))
            states.append(store.objects("a.png"))
    for state in reversed(states[:-1]):
        with Store(folder, "ada") as store:
            assert store.undo("a.png")
            assert store.objects("a.png") == state
    with Store(folder, "ada") as store:
        assert not store.undo("a.png")
        for state in states[1:]:
            assert store.redo("a.png")
            assert store.objects("a.png") == state
        assert not store.redo("a.png")


def test_something_new_after_an_undo_can_not_be_redone_away(folder: Path) -> None:
    with Store(folder, "ada") as store:
        store.add("a.png", _speck(0, 0))
        store.undo("a.png")
        number = store.add("a.png", _speck(30, 30))
        assert not store.redo("a.png")
        assert list(store.objects("a.png")) == [number]


def test_ignored_objects_have_a_mask_of_their_own(folder: Path) -> None:
    with Store(folder, "ada") as store:
        store.add("a.png", _speck(5, 5))
        number = store.add("a.png", _speck(7, 7))
        store.relabel("a.png", number, "ignore")
        assert _mask(folder, "a_ignore.png").sum() == 8  # one pixel is particle
        store.undo("a.png")
        assert not (folder / "a_ignore.png").exists()
        with pytest.raises(AnnotationError, match="label 'dust'"):
            store.relabel("a.png", number, "dust")


def test_an_image_without_particles_can_be_declared_done(folder: Path) -> None:
    with Store(folder, "ada") as store:
        store.declare_done("a.png")
        store.declare_done("b.png")
        assert store.annotated("a.png")
    assert [patch.mask.any() for patch in read_dataset(folder)] == [False, False]


def test_masks_of_a_plain_dataset_are_taken_over(folder: Path) -> None:
    mask = np.zeros(SHAPE, np.uint8)
    mask[3:6, 3:6] = mask[3:6, 20:25] = 255
    write_png(folder / "a_mask.png", mask)
    assert [len(image.instances) for image in read_annotations(folder)] == [2]
    assert not (folder / "annotation").exists()
    with Store(folder, "ada") as store:
        assert sorted(o.area_px for o in store.objects("a.png").values()) == [9, 15]
    assert [len(image.instances) for image in read_annotations(folder)] == [2]


@pytest.mark.parametrize("open_meanwhile", [True, False])
def test_a_mask_edited_by_another_program_is_adopted_and_can_be_undone(
    folder: Path, open_meanwhile: bool
) -> None:
    store = Store(folder, "ada")
    kept = store.add("a.png", _speck(5, 5))
    changed = store.add("a.png", _speck(30, 30))
    if not open_meanwhile:
        store.close()
    mask = np.where(_mask(folder), 255, 0).astype(np.uint8)
    mask[30, 30] = 0
    mask[50:52, 60:62] = 255
    write_png(folder / "a_mask.png", mask)
    if not open_meanwhile:
        store = Store(folder, "ada")
    with store:
        number = store.add("a.png", _speck(0, 70))
        objects = store.objects("a.png")
        assert objects[kept] == _speck(5, 5)
        assert changed not in objects
        assert sorted(o.area_px for o in objects.values()) == [4, 8, 9, 9]
        assert number in objects
        store.undo("a.png")
        store.undo("a.png")
        assert store.objects("a.png") == {kept: _speck(5, 5), changed: _speck(30, 30)}


def test_a_deleted_mask_is_written_anew(folder: Path) -> None:
    with Store(folder, "ada") as store:
        store.add("a.png", _speck(5, 5))
        (folder / "a_mask.png").unlink()
        assert len(store.objects("a.png")) == 1
        assert _mask(folder).sum() == 9


def test_a_foreign_mask_that_does_not_fit_changes_nothing(folder: Path) -> None:
    with Store(folder, "ada") as store:
        store.add("a.png", _speck(5, 5))
        write_png(folder / "a_mask.png", np.zeros((5, 5), np.uint8))
        with pytest.raises(AnnotationError, match="a_mask.png: has 5 by 5 pixels"):
            store.add("a.png", _speck(20, 20))
        (folder / "a_mask.png").write_bytes(b"no picture")
        with pytest.raises(AnnotationError, match=r"a_mask.png.*nothing was changed"):
            store.objects("a.png")
    assert (folder / "a_mask.png").read_bytes() == b"no picture"


def test_a_kill_between_journal_and_mask_is_mended(folder: Path) -> None:
    with Store(folder, "ada") as store:
        store.add("a.png", _speck(5, 5))
        before = (folder / "a_mask.png").read_bytes()
        number = store.add("a.png", _speck(30, 30))
    (folder / "a_mask.png").write_bytes(before)
    with Store(folder, "ada") as store:
        assert number in store.objects("a.png")
        assert _mask(folder).sum() == 18
        assert store.undo("a.png")
        assert _mask(folder).sum() == 9


def test_a_line_cut_off_by_a_crash_is_dropped_and_the_rest_stays(folder: Path) -> None:
    with Store(folder, "ada") as store:
        store.add("a.png", _speck(5, 5))
        store.add("a.png", _speck(30, 30))
    journal = folder / "annotation/journal.jsonl"
    whole = journal.read_bytes()
    second = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    mask = (folder / "a_mask.png").read_bytes()
    for cut in range(second + 1, len(whole), 17):
        journal.write_bytes(whole[:cut])
        (folder / "a_mask.png").write_bytes(mask)
        with Store(folder, "ada") as store:
            # The mask has the object that the journal lost: it is adopted, not thrown away.
            assert sorted(o.corner_px for o in store.objects("a.png").values()) == [
                (5, 5),
                (30, 30),
            ]


def test_a_damaged_line_in_the_middle_is_told_and_nothing_deleted(folder: Path) -> None:
    with Store(folder, "ada") as store:
        store.add("a.png", _speck(5, 5))
        store.add("a.png", _speck(30, 30))
    journal = folder / "annotation/journal.jsonl"
    content = bytearray(journal.read_bytes())
    content[content.index(b'"corner"') + 12] ^= 1
    journal.write_bytes(content)
    for read in (lambda: Store(folder, "ada"), lambda: read_annotations(folder)):
        with pytest.raises(AnnotationError, match=r"journal.jsonl, line 2: is damaged"):
            read()
    assert journal.read_bytes() == bytes(content)


def test_a_journal_of_a_later_format_is_refused(folder: Path) -> None:
    with Store(folder, "ada"):
        pass
    text = '{"format":99,"journal":"corroscope annotation"}'
    line = f'{{"crc32":{zlib.crc32(text.encode())},"entry":{text}}}\n'
    (folder / "annotation/journal.jsonl").write_text(line)
    with pytest.raises(AnnotationError, match="format 99"):
        Store(folder, "ada")


def test_a_full_disk_leaves_everything_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(folder, "ada") as store:
        number = store.add("a.png", _speck(5, 5))
        journal = (folder / "annotation/journal.jsonl").read_bytes()
        write = os.write

        def half(handle: int, content: bytes) -> int:
            if len(content) > 50:
                return write(handle, content[:50])
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "write", half)
            with pytest.raises(AnnotationError, match="No space left"):
                store.add("a.png", _speck(30, 30))
        assert (folder / "annotation/journal.jsonl").read_bytes() == journal
        assert list(store.objects("a.png")) == [number]
        store.add("a.png", _speck(30, 30))
    with Store(folder, "ada") as store:
        assert len(store.objects("a.png")) == 2


def test_a_second_annotation_is_blind_and_touches_nothing(folder: Path) -> None:
    with Store(folder, "ada") as store:
        store.add("a.png", _speck(5, 5))
    with Store(folder, "bob", second=True) as store:
        assert store.objects("a.png") == {}
        store.add("a.png", _speck(6, 6))
    assert _mask(folder).sum() == 9
    assert _mask(folder / "annotation/second/bob")[6:9, 6:9].all()
    ((second,),) = (image.instances for image in read_annotations(folder, second="bob"))
    assert second == _speck(6, 6)
    with pytest.raises(AnnotationError, match="no second annotation by eve"):
        read_annotations(folder, second="eve")


def test_two_programs_cannot_annotate_one_folder(folder: Path) -> None:
    with Store(folder, "ada"):
        with pytest.raises(AnnotationError, match="by another program"):
            Store(folder, "bob")
        with Store(folder, "bob", second=True):
            pass
    with Store(folder, "bob"):
        pass


@pytest.mark.parametrize("name", ["", "../x", "a b", ".hidden", "x" * 65])
def test_a_name_that_is_no_folder_name_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(AnnotationError, match="annotator"):
        Store(folder, name)


def test_wrong_images_numbers_and_places_are_told(folder: Path, tmp_path: Path) -> None:
    with Store(folder, "ada") as store:
        with pytest.raises(AnnotationError, match=r"no image c.png"):
            store.objects("c.png")
        with pytest.raises(AnnotationError, match="no object 7"):
            store.remove("a.png", 7)
        with pytest.raises(AnnotationError, match="does not lie within"):
            store.add("a.png", _speck(58, 0))
        with pytest.raises(AnnotationError, match="JSON"):
            store.add("a.png", _speck(5, 5), how={"bad": object()})
        assert not store.annotated("a.png")
        store.add("a.png", _speck(5, 5))
    write_png(folder / "a.png", np.zeros((10, 10), np.uint8))
    with (
        Store(folder, "ada") as store,
        pytest.raises(AnnotationError, match="10 by 10 pixels, but was annotated with 60 by 80"),
    ):
        store.objects("a.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(AnnotationError, match="no images"):
        Store(tmp_path / "empty", "ada")
    with pytest.raises(AnnotationError, match="no folder"):
        Store(tmp_path / "nowhere", "ada")


def test_a_folder_that_cannot_be_written_to_is_told(folder: Path) -> None:
    (folder / "annotation").write_text("a file where the folder should be")
    with pytest.raises(AnnotationError, match="cannot be written to"):
        Store(folder, "ada")
    (folder / "annotation").unlink()
    (folder / "annotation/journal.jsonl").mkdir(parents=True)
    with pytest.raises(AnnotationError, match="cannot be read"):
        Store(folder, "ada")


def test_replacing_all_is_one_action(folder: Path) -> None:
    with Store(folder, "ada") as store:
        number = store.add("a.png", _speck(5, 5))
        store.replace_all("a.png", [_speck(0, 0), _speck(2, 2), _speck(30, 30)])
        assert [o.corner_px for o in store.read("a.png").instances] == [(0, 0), (2, 2), (30, 30)]
        store.undo("a.png")
        assert list(store.objects("a.png")) == [number]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_walk_through_undo_and_redo_is_that_of_a_list_of_states(seed: int) -> None:
    rng = random.Random(seed)
    history, at = History(), 0
    states: list[dict[int, Instance]] = [{}]
    for step in range(400):
        kind = rng.random()
        if kind < 0.3:
            assert history.undo() == (at > 0)
            at = max(at - 1, 0)
        elif kind < 0.5:
            assert history.redo() == (at + 1 < len(states))
            at = min(at + 1, len(states) - 1)
        else:
            number = rng.choice([history.next_number, *history.objects])
            history.apply({number: None if rng.random() < 0.3 else _speck(step, step)})
            states = [*states[: at + 1], dict(history.objects)]
            at += 1
        assert history.objects == states[at]


def _walk(store: Store, rng: random.Random) -> None:
    numbers = list(store.objects("a.png"))
    kind = rng.random()
    place = _speck(rng.randrange(50), rng.randrange(70), rng.randint(1, 6))
    if kind < 0.3:
        store.undo("a.png")
    elif kind < 0.5:
        store.redo("a.png")
    elif kind < 0.6 and numbers:
        store.remove("a.png", rng.choice(numbers))
    elif kind < 0.7 and numbers:
        store.relabel("a.png", rng.choice(numbers), rng.choice(["ignore", "particle"]))
    else:
        store.add("a.png", place)


def walk_and_replay(folder: Path, steps: int) -> None:
    """Take random steps; open the store again; the state must be the same."""
    rng = random.Random(1)
    with Store(folder, "ada") as store:
        for _ in range(steps):
            _walk(store, rng)
        objects = store.objects("a.png")
    with Store(folder, "ada") as store:
        assert store.objects("a.png") == objects


def test_random_steps_replay_to_the_identical_state(folder: Path) -> None:
    walk_and_replay(folder, 300)


_CHILD = """
import random, sys
import numpy as np
from corroscope.annotation.instances import Instance
from corroscope.annotation.store import Store
rng = random.Random(int(sys.argv[2]))
with Store(sys.argv[1], "ada") as store:
    while True:
        objects = store.objects("a.png")
        if len(objects) > 20:
            number = min(objects)
            store.remove("a.png", number)
            print("-", number, flush=True)
        else:
            corner = (rng.randrange(50), rng.randrange(70))
            number = store.add("a.png", Instance.of(np.ones((4, 4), bool), corner_px=corner))
            print("+", number, flush=True)
"""


def kill_and_reopen(folder: Path, kills: int) -> int:
    """Kill a program at work, again and again; return how many actions it had acknowledged."""
    rng = random.Random(2)
    expected: set[int] = set()
    total = 0
    for kill in range(kills):
        command = [sys.executable, "-c", _CHILD, str(folder), str(kill)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            told = [child.stdout.readline()]  # importing takes longer than anything else
            time.sleep(rng.uniform(0, 0.1))
            child.send_signal(signal.SIGKILL)
            told += child.stdout.readlines()
        for line in told:
            if line.endswith("\n"):
                sign, number = line.split()
                (expected.add if sign == "+" else expected.discard)(int(number))
                total += 1
        with Store(folder, "ada") as store:
            objects = store.objects("a.png")
        # At most the one action that was not acknowledged may be there besides.
        assert len(expected ^ set(objects)) <= 1
        expected = set(objects)
        painted = np.zeros(SHAPE, bool)
        for instance in objects.values():
            painted[instance.box] |= instance.mask
        np.testing.assert_array_equal(_mask(folder), painted)
        assert not list(folder.glob(".*"))
    return total


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_at_any_moment_it_loses_nothing_that_was_acknowledged(folder: Path) -> None:
    assert kill_and_reopen(folder, 6) > 6


if __name__ == "__main__":  # the long version, `make soak`
    with tempfile.TemporaryDirectory() as name:
        acknowledged = kill_and_reopen(_images(Path(name)), 200)
    sys.stdout.write(f"200 kills: all {acknowledged} acknowledged actions are there\n")
    with tempfile.TemporaryDirectory() as name:
        walk_and_replay(_images(Path(name)), 10_000)
    sys.stdout.write("10000 steps: the state after a restart is identical\n")
