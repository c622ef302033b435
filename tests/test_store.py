"""The annotation store: the journal is the truth, and nothing is ever lost."""

import json
import random
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from annotating import SHAPE, images_in, mask_in, speck
from hypothesis import given, settings
from hypothesis import strategies as st

from corroscope.annotation.history import History
from corroscope.annotation.instances import Instance
from corroscope.annotation.store import Store
from corroscope.annotation.stored import read_annotations
from corroscope.errors import AnnotationError
from corroscope.learning.dataset import read_dataset
from corroscope.outputs import write_png


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return images_in(tmp_path)


def test_what_is_annotated_is_there_after_a_restart_with_its_mask(folder: Path) -> None:
    with Store(folder, "ada") as store:
        assert store.images == ("a.png", "b.png")
        first = store.add("a.png", speck(5, 6), how={"click": [6, 7]})
        second = store.add("a.png", speck(20, 30))
        store.replace("a.png", first, speck(6, 6))
        store.remove("a.png", second)
        third = store.add("a.png", speck(40, 40))
        assert third not in (first, second)
    with Store(folder, "bob") as store:
        assert store.objects("a.png") == {first: speck(6, 6), third: speck(40, 40)}
        assert store.progress("a.png").annotated
        assert not store.progress("b.png").annotated
    expected = np.zeros(SHAPE, bool)
    expected[6:9, 6:9] = expected[40:43, 40:43] = True
    np.testing.assert_array_equal(mask_in(folder), expected)
    lines = (folder / "annotation/journal.jsonl").read_text().splitlines()
    told = json.loads(lines[1])["entry"]
    assert (told["annotator"], told["action"], told["how"]) == ("ada", "add", {"click": [6, 7]})
    assert told["corroscope"]
    assert told["time"].endswith("+00:00")


def test_undo_and_redo_go_back_to_the_beginning_across_restarts(folder: Path) -> None:
    states: list[dict[int, Instance]] = [{}]
    for step in range(5):
        with Store(folder, "ada") as store:
            store.add("a.png", speck(10 * step, 10))
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
        store.add("a.png", speck(0, 0))
        store.undo("a.png")
        number = store.add("a.png", speck(30, 30))
        assert not store.redo("a.png")
        assert list(store.objects("a.png")) == [number]


def test_ignored_objects_have_a_mask_of_their_own(folder: Path) -> None:
    with Store(folder, "ada") as store:
        store.add("a.png", speck(5, 5))
        number = store.add("a.png", speck(7, 7))
        store.relabel("a.png", number, "ignore")
        assert mask_in(folder, "a_ignore.png").sum() == 8  # one pixel is particle
        store.undo("a.png")
        assert not (folder / "a_ignore.png").exists()
        with pytest.raises(AnnotationError, match="label 'dust'"):
            store.relabel("a.png", number, "dust")


def test_an_image_without_particles_can_be_declared_done(folder: Path) -> None:
    with Store(folder, "ada") as store:
        store.declare_done("a.png")
        store.declare_done("b.png")
        assert store.progress("a.png").annotated
    assert [patch.mask.any() for patch in read_dataset(folder)] == [False, False]


def test_an_image_is_done_as_long_as_nothing_is_done_to_it_afterwards(folder: Path) -> None:
    told = []
    for step in ("", "add", "done", "undo", "redo", "add", "undo", "undo", "undo", "redo"):
        with Store(folder, "ada") as store:  # the journal tells it
            if step == "add":
                store.add("a.png", speck(5, 5))
            elif step == "done":
                store.declare_done("a.png")
            elif step:
                assert getattr(store, step)("a.png")
            told.append(store.progress("a.png").done)
    assert told == [False, False, True, False, True, False, True, False, False, False]


def test_masks_that_were_there_before_anything_are_done(folder: Path) -> None:
    write_png(folder / "a_mask.png", np.zeros(SHAPE, np.uint8))
    with Store(folder, "ada") as store:
        assert [store.progress(image).done for image in store.images] == [True, False]
        store.add("a.png", speck(5, 5))
        assert not store.progress("a.png").done
        store.undo("a.png")
        assert store.progress("a.png").done
    mask = np.zeros(SHAPE, np.uint8)
    mask[:4] = 255
    write_png(folder / "a_mask.png", mask)  # by another program, which says nothing of that
    with Store(folder, "ada") as store:
        assert not store.progress("a.png").done


def test_a_second_annotation_is_blind_and_touches_nothing(folder: Path) -> None:
    with Store(folder, "ada") as store:
        store.add("a.png", speck(5, 5))
    with Store(folder, "bob", second=True) as store:
        assert store.objects("a.png") == {}
        store.add("a.png", speck(6, 6))
    assert mask_in(folder).sum() == 9
    assert mask_in(folder / "annotation/second/bob")[6:9, 6:9].all()
    ((second,),) = (image.instances for image in read_annotations(folder, second="bob"))
    assert second == speck(6, 6)
    with pytest.raises(AnnotationError, match="no second annotation by eve"):
        read_annotations(folder, second="eve")
    with pytest.raises(AnnotationError, match=r"annotator '\.\./\.\./annotation'"):
        read_annotations(folder, second="../../annotation")


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
            store.add("a.png", speck(58, 0))
        with pytest.raises(AnnotationError, match="JSON"):
            store.add("a.png", speck(5, 5), how={"bad": object()})
        assert not store.progress("a.png").annotated
        store.add("a.png", speck(5, 5))
    write_png(folder / "a.png", np.zeros((10, 10), np.uint8))
    with (
        Store(folder, "ada") as store,
        pytest.raises(AnnotationError, match="10 by 10 pixels, but was annotated with 60 by 80"),
    ):
        store.objects("a.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(AnnotationError, match="no images; put PNG, TIFF or JPEG files there"):
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
        number = store.add("a.png", speck(5, 5))
        store.replace_all("a.png", [speck(0, 0), speck(2, 2), speck(30, 30)])
        assert [o.corner_px for o in store.read("a.png").instances] == [(0, 0), (2, 2), (30, 30)]
        store.undo("a.png")
        assert list(store.objects("a.png")) == [number]


def test_merging_and_splitting_are_one_action_each(folder: Path) -> None:
    with Store(folder, "ada") as store:
        one, two = store.add("a.png", speck(5, 5)), store.add("a.png", speck(8, 8))
        (three,) = store.exchange("a.png", [one, two], [speck(5, 5, 6)], {"merge": [one, two]})
        assert store.objects("a.png") == {three: speck(5, 5, 6)}
        assert store.progress("a.png").how == {"merge": [one, two]}
        assert store.undo("a.png")
        assert list(store.objects("a.png")) == [one, two]
        with pytest.raises(AnnotationError, match="no object 99"):
            store.exchange("a.png", [one, 99], [])
        assert list(store.objects("a.png")) == [one, two]


def test_progress_counts_actions_across_restarts(folder: Path) -> None:
    with Store(folder, "ada") as store:
        assert store.progress("a.png") == (0, False, False, False, False, {})
        store.add("a.png", speck(5, 5))
        store.add("b.png", speck(5, 5))
        store.undo("a.png")
    with Store(folder, "ada") as store:
        progress = store.progress("a.png")
        assert (progress.revision, progress.can_undo, progress.can_redo) == (2, False, True)
        assert store.progress("b.png").revision == 1


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
            history.apply({number: None if rng.random() < 0.3 else speck(step, step)})
            states = [*states[: at + 1], dict(history.objects)]
            at += 1
        assert history.objects == states[at]


def _walk(store: Store, rng: random.Random) -> None:
    numbers = list(store.objects("a.png"))
    kind = rng.random()
    place = speck(rng.randrange(50), rng.randrange(70), rng.randint(1, 6))
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


if __name__ == "__main__":  # the long version, `make soak`
    with tempfile.TemporaryDirectory() as name:
        walk_and_replay(images_in(Path(name)), 10_000)
    sys.stdout.write("10000 steps: the state after a restart is identical\n")
