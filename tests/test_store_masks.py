"""The masks beside the images: made from the journal, and edited by other programs meanwhile."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from annotating import SHAPE, images_in, mask_in, speck
from PIL import Image

from corroscope.annotation import snapshots
from corroscope.annotation.instances import Instance
from corroscope.annotation.store import Store
from corroscope.annotation.stored import read_annotations
from corroscope.errors import AnnotationError, OutputError
from corroscope.frames.reading import read_frame
from corroscope.outputs import write_png


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return images_in(tmp_path)


def _write(path: Path, *objects: Instance) -> None:
    mask = np.zeros(SHAPE, np.uint8)
    for instance in objects:
        mask[instance.box][instance.mask] = 255
    write_png(path, mask)


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
    kept = store.add("a.png", speck(5, 5))
    changed = store.add("a.png", speck(30, 30))
    if not open_meanwhile:
        store.close()
    mask = np.where(mask_in(folder), 255, 0).astype(np.uint8)
    mask[30, 30] = 0
    mask[50:52, 60:62] = 255
    write_png(folder / "a_mask.png", mask)
    if not open_meanwhile:
        store = Store(folder, "ada")
    with store:
        number = store.add("a.png", speck(0, 70))
        objects = store.objects("a.png")
        assert objects[kept] == speck(5, 5)
        assert changed not in objects
        assert sorted(o.area_px for o in objects.values()) == [4, 8, 9, 9]
        assert number in objects
        store.undo("a.png")
        store.undo("a.png")
        assert store.objects("a.png") == {kept: speck(5, 5), changed: speck(30, 30)}


def test_a_deleted_mask_is_written_anew(folder: Path) -> None:
    with Store(folder, "ada") as store:
        store.add("a.png", speck(5, 5))
        (folder / "a_mask.png").unlink()
        assert len(store.objects("a.png")) == 1
        assert mask_in(folder).sum() == 9


def test_a_foreign_mask_that_does_not_fit_changes_nothing(folder: Path) -> None:
    with Store(folder, "ada") as store:
        store.add("a.png", speck(5, 5))
        write_png(folder / "a_mask.png", np.zeros((5, 5), np.uint8))
        with pytest.raises(AnnotationError, match="a_mask.png: has 5 by 5 pixels"):
            store.add("a.png", speck(20, 20))
        (folder / "a_mask.png").write_bytes(b"no picture")
        with pytest.raises(AnnotationError, match=r"a_mask.png.*nothing was changed"):
            store.objects("a.png")
    assert (folder / "a_mask.png").read_bytes() == b"no picture"


def test_what_was_there_before_the_journal_cannot_be_undone_away(folder: Path) -> None:
    _write(folder / "a_mask.png", speck(5, 5))
    with Store(folder, "ada") as store:
        assert not store.undo("a.png")
        store.add("a.png", speck(20, 20))
        assert store.undo("a.png")
        assert not store.undo("a.png")
        assert list(store.objects("a.png").values()) == [speck(5, 5)]


def test_an_ignore_mask_without_a_mask_is_taken_over(folder: Path) -> None:
    _write(folder / "a_ignore.png", speck(40, 40))
    with Store(folder, "ada") as store:
        store.add("a.png", speck(5, 5))
        assert store.read("a.png").instances == (speck(40, 40, label="ignore"), speck(5, 5))
    assert mask_in(folder, "a_ignore.png").sum() == 9


def test_when_all_is_undone_nobody_has_annotated_the_image(folder: Path) -> None:
    with Store(folder, "ada") as store:
        store.add("a.png", speck(5, 5))
        store.add("a.png", speck(5, 5, label="ignore"))
        while store.undo("a.png"):
            pass
        assert not store.progress("a.png").annotated
        # An empty mask would be trained on as a patch without particles.
        assert sorted(path.name for path in folder.glob("*_*")) == []
    assert read_annotations(folder) == []


@pytest.mark.parametrize("open_meanwhile", [True, False])
def test_another_program_may_put_an_earlier_mask_back(folder: Path, open_meanwhile: bool) -> None:
    store = Store(folder, "ada")
    first = store.add("a.png", speck(5, 5))
    second = store.add("a.png", speck(30, 30))
    if not open_meanwhile:
        store.close()
    _write(folder / "a_mask.png", speck(5, 5))
    if not open_meanwhile:
        store = Store(folder, "ada")
    with store:
        assert list(store.objects("a.png")) == [first]
        assert store.undo("a.png")
        assert list(store.objects("a.png")) == [first, second]
    assert mask_in(folder).sum() == 18


def test_an_erased_particle_does_not_uncover_what_was_ignored_beneath_it(folder: Path) -> None:
    with Store(folder, "ada") as store:
        store.add("a.png", speck(20, 20, 9, "ignore"))
        store.add("a.png", speck(20, 24, 9))
        _write(folder / "a_mask.png")
        ((left,),) = (store.read("a.png").instances,)
        assert left == Instance.of(np.ones((9, 4), bool), "ignore", (20, 20))


def test_a_mask_in_a_tiff_stays_one(folder: Path) -> None:
    mask = np.zeros(SHAPE, np.uint8)
    mask[5:8, 5:8] = 255
    tifffile.imwrite(folder / "a_mask.tif", mask)
    with Store(folder, "ada") as store:
        store.add("a.png", speck(20, 20))
    assert (read_frame(folder / "a_mask.tif") > 0).sum() == 18
    assert tifffile.imread(folder / "a_mask.tif").shape == SHAPE
    assert not (folder / "a_mask.png").exists()
    with Store(folder, "ada") as store:
        assert len(store.objects("a.png")) == 2


def test_a_mask_in_a_jpeg_is_refused(folder: Path) -> None:
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(folder / "a_mask.jpg")
    with Store(folder, "ada") as store, pytest.raises(AnnotationError, match="convert it to PNG"):
        store.add("a.png", speck(5, 5))


def test_a_stop_between_journal_and_mask_is_mended_when_the_folder_is_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(folder, "ada")
    first = store.add("a.png", speck(5, 5))
    with monkeypatch.context() as patched:
        patched.setattr(snapshots, "write_mask", _no_room)
        for place in (30, 40):
            with pytest.raises(OutputError):
                store.add("a.png", speck(place, place))
        store.close()
    assert mask_in(folder).sum() == 9
    assert len(read_annotations(folder)[0].instances) == 3
    with Store(folder, "ada") as store:
        assert mask_in(folder).sum() == 27
        assert len(store.objects("a.png")) == 3
        store.undo("a.png")
        store.undo("a.png")
        assert list(store.objects("a.png")) == [first]


def _no_room(*_: object) -> None:
    raise OutputError("no room")


def test_a_mask_that_cannot_be_written_is_written_with_the_next_action(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(folder, "ada") as store:
        with monkeypatch.context() as patched:
            patched.setattr(snapshots, "write_mask", _no_room)
            with pytest.raises(OutputError):
                store.add("a.png", speck(5, 5))
            assert len(store.objects("a.png")) == 1
        store.add("a.png", speck(30, 30))
        assert mask_in(folder).sum() == 18


def test_a_mask_that_cannot_be_removed_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(folder, "ada") as store:
        store.add("a.png", speck(5, 5))

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", refuse)
            with pytest.raises(OutputError, match=r"a_ignore.png: cannot be removed"):
                store.undo("a.png")


def test_looking_at_masks_that_are_right_writes_nothing(folder: Path) -> None:
    with Store(folder, "ada") as store:
        store.add("a.png", speck(5, 5))
    before = (folder / "a_mask.png").stat()
    with Store(folder, "ada") as store:
        assert len(store.objects("a.png")) == 1
    after = (folder / "a_mask.png").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


def test_only_half_written_masks_of_these_images_are_tidied_away(folder: Path) -> None:
    for name in (".a_mask-01234567.png", ".b_ignore-89abcdef.png", ".my_mask-01234567.png"):
        (folder / name).touch()
    with Store(folder, "ada"):
        assert [path.name for path in folder.glob(".*")] == [".my_mask-01234567.png"]


def test_an_image_that_has_changed_its_size_is_told(folder: Path) -> None:
    with Store(folder, "ada") as store:
        store.add("a.png", speck(50, 70))
    write_png(folder / "a.png", np.zeros((10, 10), np.uint8))
    (folder / "a_mask.png").unlink()
    with pytest.raises(AnnotationError, match="10 by 10 pixels, but was annotated with 60 by 80"):
        read_annotations(folder)
    with Store(folder, "ada") as store:
        store.add("b.png", speck(5, 5))
        with pytest.raises(AnnotationError, match="10 by 10 pixels, but was annotated"):
            store.objects("a.png")
