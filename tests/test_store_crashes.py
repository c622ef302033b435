"""A program that annotates is killed at any moment; nothing that was acknowledged is lost.

    python tests/test_store_crashes.py 200

kills two hundred times, instead of the few times of the test.
"""

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
from annotating import SHAPE, images_in

from corroscope.annotation.history import History, Objects
from corroscope.annotation.instances import IGNORE, LABELS, Instance, paint
from corroscope.annotation.record import read_record
from corroscope.annotation.store import Store
from corroscope.annotation.stored import read_annotations, replay
from corroscope.frames.reading import read_frame

IMAGES = ("a.png", "b.png")


def _fingerprint(objects: Objects) -> int:
    told = [(n, o.label, o.corner_px, o.mask.tolist()) for n, o in sorted(objects.items())]
    return zlib.crc32(repr(told).encode())


def _act(store: Store, image: str, rng: random.Random) -> bool:
    """Take one random action; whether anything was done."""
    numbers = list(store.objects(image))
    sides = (rng.randint(1, 6), rng.randint(1, 6))
    speck = Instance.of(
        np.ones(sides, bool), rng.choice(LABELS), (rng.randrange(54), rng.randrange(74))
    )
    kind = rng.choice(["add", "add", "replace", "relabel", "remove", "all", "done", "undo", "redo"])
    if kind == "undo":
        return store.undo(image)
    if kind == "redo":
        return store.redo(image)
    if kind == "done":
        store.declare_done(image)
    elif kind == "all":
        store.replace_all(image, [speck])
    elif kind == "add" or not numbers:
        store.add(image, speck, how={"click": list(speck.corner_px)})
    elif kind == "replace":
        store.replace(image, rng.choice(numbers), speck)
    elif kind == "relabel":
        store.relabel(image, rng.choice(numbers), speck.label)
    else:
        store.remove(image, rng.choice(numbers))
    return True


def _annotate_for_ever(folder: Path, seed: int) -> None:
    """Act, and tell of each action after it has returned."""
    rng = random.Random(seed)
    with Store(folder, "ada") as store:
        while True:
            image = rng.choice(IMAGES)
            if _act(store, image, rng):
                sys.stdout.write(f"{image} {_fingerprint(store.objects(image))}\n")
                sys.stdout.flush()


def _kill(folder: Path, seed: int, rng: random.Random) -> list[str]:
    """Let a program annotate for a moment; return what it acknowledged."""
    command = [sys.executable, __file__, str(folder), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = []
        if rng.random() < 0.8:
            told.append(child.stdout.readline())  # importing takes longer than anything else
            time.sleep(rng.uniform(0, 0.1))
        else:
            time.sleep(rng.uniform(0.2, 1.5))  # also while it opens the store
        child.send_signal(signal.SIGKILL)
        told += child.stdout.readlines()
    return [line for line in told if line.endswith("\n")]


def kill_and_reopen(folder: Path, kills: int) -> tuple[int, int]:
    """Kill again and again; return how many actions were acknowledged, and how many were not."""
    images_in(folder)
    rng = random.Random(3)
    journal = folder / "annotation" / "journal.jsonl"
    lines = acknowledged = more = 0
    for kill in range(kills):
        told = _kill(folder, kill, rng)
        with Store(folder, "ada") as store:
            objects = {image: store.objects(image) for image in store.images}
        entries = read_record(journal)
        lines = max(lines, 1)  # the header
        beyond = len(entries) - lines - len(told)
        assert beyond in (0, 1), f"kill {kill}: {beyond} lines more than acknowledged"
        # What was acknowledged is the journal's beginning, action for action.
        known = {image: History() for image in IMAGES} | replay(entries[:lines])
        for line, entry in zip(told, entries[lines:], strict=False):
            image, fingerprint = line.split()
            assert entry["image"] == image
            known |= {image: replay(entries[: entries.index(entry) + 1])[image]}
            if line is told[-1]:
                assert _fingerprint(known[image].objects) == int(fingerprint)
        whole = replay(entries)
        for image in IMAGES:
            assert objects[image] == whole.get(image, History()).objects
            annotated = whole.get(image, History()).annotated
            _assert_masks_are_those_of(folder, image, objects[image], annotated)
        assert not any(entry.get("action") in ("begin", "adopt") for entry in entries)
        assert not list(folder.glob(".*")), "half-written masks are left"
        lines, acknowledged, more = len(entries), acknowledged + len(told), more + beyond
    read_annotations(folder)
    return acknowledged, more


def _assert_masks_are_those_of(folder: Path, image: str, objects: Objects, annotated: bool) -> None:
    mask, ignore = (folder / image.replace(".png", f"_{kind}.png") for kind in ("mask", "ignore"))
    particles = paint(objects.values(), SHAPE)
    ignored = paint(objects.values(), SHAPE, IGNORE) & ~particles
    assert mask.exists() == annotated
    if annotated:
        np.testing.assert_array_equal(read_frame(mask) > 0, particles)
    assert ignore.exists() == bool(ignored.any())
    if ignored.any():
        np.testing.assert_array_equal(read_frame(ignore) > 0, ignored)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_during_any_action_it_keeps_all_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged, _ = kill_and_reopen(tmp_path, 8)
    assert acknowledged > 8


if __name__ == "__main__":
    if len(sys.argv) == 3:
        _annotate_for_ever(Path(sys.argv[1]), int(sys.argv[2]))
    with tempfile.TemporaryDirectory() as name:
        kept, besides = kill_and_reopen(Path(name), int(sys.argv[1]))
    sys.stdout.write(
        f"{sys.argv[1]} kills: all {kept} acknowledged actions are there, and {besides} that were "
        "on the disk but not yet acknowledged\n"
    )
