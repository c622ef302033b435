"""The journal of the annotation store: damaged, cut off, replaced, on a full disk."""

import errno
import os
import zlib
from pathlib import Path

import pytest
from annotating import images_in, mask_in, speck

from corroscope.annotation.store import Store
from corroscope.annotation.stored import read_annotations
from corroscope.errors import AnnotationError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return images_in(tmp_path)


def test_a_line_cut_off_by_a_crash_is_dropped_and_the_rest_stays(folder: Path) -> None:
    with Store(folder, "ada") as store:
        store.add("a.png", speck(5, 5))
        store.add("a.png", speck(30, 30))
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
        store.add("a.png", speck(5, 5))
        store.add("a.png", speck(30, 30))
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
        number = store.add("a.png", speck(5, 5))
        journal = (folder / "annotation/journal.jsonl").read_bytes()
        write = os.write

        def half(handle: int, content: bytes) -> int:
            if len(content) > 50:
                return write(handle, content[:50])
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "write", half)
            with pytest.raises(AnnotationError, match="No space left"):
                store.add("a.png", speck(30, 30))
        assert (folder / "annotation/journal.jsonl").read_bytes() == journal
        assert list(store.objects("a.png")) == [number]
        store.add("a.png", speck(30, 30))
    with Store(folder, "ada") as store:
        assert len(store.objects("a.png")) == 2


def test_zeros_that_a_power_cut_leaves_at_the_end_are_dropped(folder: Path) -> None:
    with Store(folder, "ada") as store:
        store.add("a.png", speck(5, 5))
    journal = folder / "annotation/journal.jsonl"
    whole = journal.read_bytes()
    for rest in (b"\0" * 300, b'{"crc32":12' + b"\0" * 50, b"\0" * 50 + b'"done"}}\n'):
        journal.write_bytes(whole + rest)
        with Store(folder, "ada") as store:
            assert len(store.objects("a.png")) == 1
        assert journal.read_bytes() == whole


@pytest.mark.parametrize("order", [[0, 1, 3], [0, 2, 1, 3], [0, 1, 1, 2, 3]])
def test_lines_taken_out_or_moved_are_found(folder: Path, order: list[int]) -> None:
    with Store(folder, "ada") as store:
        for place in (5, 15, 25):
            store.add("a.png", speck(place, 5))
    journal = folder / "annotation/journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[number] for number in order))
    with pytest.raises(AnnotationError, match=r"line [23]: is damaged"):
        Store(folder, "ada")


def test_a_disk_that_fails_altogether_is_told_and_the_journal_gone_on_with(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with Store(folder, "ada") as store:
        store.add("a.png", speck(5, 5))
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", fail)
            patched.setattr(os, "ftruncate", fail)
            with pytest.raises(AnnotationError, match="Input/output error"):
                store.add("a.png", speck(30, 30))
        store.add("a.png", speck(40, 40))
        objects = store.objects("a.png")
    with Store(folder, "ada") as store:
        assert store.objects("a.png") == objects


def test_an_interrupt_while_a_line_is_written_leaves_store_and_journal_of_one_mind(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def half(handle: int, content: bytes) -> int:
        write(handle, content[:40])
        raise KeyboardInterrupt

    def whole(handle: int, content: bytes) -> int:
        write(handle, content)
        raise KeyboardInterrupt

    for interrupted in (half, whole):
        with Store(folder, "ada") as store:
            store.add("a.png", speck(5, 5))
            with monkeypatch.context() as patched:
                patched.setattr(os, "write", interrupted)
                with pytest.raises(KeyboardInterrupt):
                    store.undo("a.png")
            store.add("a.png", speck(40, 40))
            objects = store.objects("a.png")
        with Store(folder, "ada") as store:
            assert store.objects("a.png") == objects
        assert mask_in(folder).sum() == sum(o.area_px for o in set(objects.values()))


def test_a_journal_put_back_by_another_program_is_not_written_over(folder: Path) -> None:
    journal = folder / "annotation/journal.jsonl"
    with Store(folder, "ada") as store:
        store.add("a.png", speck(5, 5))
        old = journal.read_bytes()
        store.add("a.png", speck(30, 30))
        journal.unlink()
        journal.write_bytes(old)
        with pytest.raises(AnnotationError, match="changed by another program"):
            store.add("a.png", speck(40, 40))
        assert journal.read_bytes() == old
        # The mask has what that journal has not: it is taken over.
        assert set(store.objects("a.png").values()) == {speck(5, 5), speck(30, 30)}
        journal.unlink()
        with pytest.raises(AnnotationError, match="changed by another program"):
            store.add("a.png", speck(40, 40))
        assert set(store.objects("a.png").values()) == {speck(5, 5), speck(30, 30)}


def test_after_closing_nothing_is_written(folder: Path) -> None:
    store = Store(folder, "ada")
    store.add("a.png", speck(5, 5))
    store.close()
    store.close()
    journal = (folder / "annotation/journal.jsonl").read_bytes()
    # The system may give the closed file's number to another one.
    with (folder / "other.txt").open("w+b"), pytest.raises(AnnotationError, match="was closed"):
        store.add("a.png", speck(30, 30))
    assert (folder / "other.txt").read_bytes() == b""
    assert (folder / "annotation/journal.jsonl").read_bytes() == journal
