"""Patches picked in the studio: their order, what is kept, and that only that is taken back."""

import csv
import json
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import chromium, keep_screenshot, opened
from numpy.typing import NDArray
from playwright.sync_api import Browser, expect
from scipy import ndimage
from studios import SECRET, Answer, Served, studio

import corroscope
from corroscope.annotation.instances import Instance
from corroscope.annotation.store import Store
from corroscope.annotation.stored import image_pairs
from corroscope.errors import DatasetError, OutputError, StudioError
from corroscope.frames.reading import read_frame
from corroscope.learning.dataset import read_dataset
from corroscope.learning.surfaces import shared_surface, surface_folds
from corroscope.outputs import write_json, write_png, write_tiff
from corroscope.patch_folder import write_pixels
from corroscope.studio.drawing import shape_gesture
from corroscope.studio.patches.patching import Patching
from corroscope.studio.workplace import Workplace

SHAPE = (100, 130)
GRID = "64/32"
CORNERS = {(r, c): (y, x) for r, y in enumerate((0, 32, 36)) for c, x in enumerate((0, 32, 64, 66))}
SPECK = (40, 100)
"""In the patches of row 0, 1 and 2, columns 2 and 3."""


def draw(path: Path, *specks: tuple[int, int], seed: int = 0) -> None:
    grey = np.random.default_rng(seed).normal(170, 3, SHAPE)
    for row, col in specks:
        grey[row : row + 5, col : col + 5] = 60
    write_png(path, grey.astype(np.uint8))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which package provides what takes longer to find out than these tests do."""
    monkeypatch.setattr(metadata, "packages_distributions", dict)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    draw(folder / "a.png", SPECK)
    draw(folder / "b.png", SPECK, (10, 10), seed=1)
    return folder


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    with studio(folder) as served:
        yield served


def ask(served: Served, name: str = "a.png", **more: Any) -> Answer:
    content = {"grid": GRID, **more}
    return served.post(f"/api/images/{served.place.opaque[name]}/patches", content)


def decide(
    served: Served, do: str, at: tuple[int, int] | None = (0, 0), name: str = "a.png", **more: Any
) -> Answer:
    where = {} if at is None else {"row": at[0], "column": at[1]}
    content = {"grid": GRID, "do": do, **where, **more}
    return served.post(f"/api/images/{served.place.opaque[name]}/patch", content)


def states(served: Served, name: str = "a.png", **more: Any) -> dict[tuple[int, int], str]:
    patches = ask(served, name, **more).content["patches"]
    return {(one["row"], one["column"]): one["state"] for one in patches}


def annotate(served: Served, *corners: tuple[int, int], name: str = "a.png", **how: Any) -> None:
    """Add objects of 5 × 5 px, or, without a corner, declare the frame done."""
    address = f"/api/images/{served.place.opaque[name]}"
    deeds: list[dict[str, Any]] = [
        {"do": "add", "gesture": shape_gesture(Instance.of(np.ones((5, 5), bool), "particle", at))}
        | how
        for at in corners
    ]
    for deed in deeds or [{"do": "done"}]:
        revision = served.get(address).content["revision"]
        act = {"act": f"{revision:08x}", "revision": revision, "deed": deed}
        assert served.post(f"{address}/act", act).status == 200


def cut(pixels: NDArray[Any], at: tuple[int, int]) -> NDArray[Any]:
    y0, x0 = CORNERS[at]
    return pixels[y0 : y0 + 64, x0 : x0 + 64]


def index(dataset: Path) -> list[dict[str, str]]:
    with (dataset / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "patches.jsonl"
    }


# The order


def test_without_a_difference_dark_spots_tell_the_order(served: Served) -> None:
    told = ask(served, "b.png").content
    assert (told["measure"], told["grid"], told["places"]) == ("spots", GRID, "nothing")
    found = {(one["row"], one["column"]): one["measure"] for one in told["patches"]}
    assert found == {
        (r, c): (y <= 42 < y + 64 and x <= 102 < x + 64) + (y <= 12 < y + 64 and x <= 12 < x + 64)
        for (r, c), (y, x) in CORNERS.items()
    }
    places = [(one["row"], one["column"]) for one in told["patches"]]
    assert places == sorted(CORNERS, key=lambda at: (-found[at], at))
    corners = {(one["row"], one["column"]): tuple(one["corner"]) for one in told["patches"]}
    assert corners == CORNERS


@pytest.mark.parametrize("signed", [True, False])
def test_with_a_difference_what_has_changed_most_comes_first(folder: Path, signed: bool) -> None:
    change = np.random.default_rng(0).normal(0, 2, SHAPE)
    change[70:80, 5:15] = -60
    (folder / "difference").mkdir()
    if signed:
        write_tiff(folder / "difference" / "a.tif", change.astype(np.int16))
    else:
        write_png(folder / "difference" / "a.png", np.rint(128 + change).astype(np.uint8))
    with studio(folder) as served:
        told = ask(served).content
        first = told["patches"][0]
        assert told["measure"] == "entropy"
        assert (first["row"], first["column"]) == (1, 0)
        values = [one["measure"] for one in told["patches"]]
        assert values == sorted(values, reverse=True)
        assert values[0] > 0.1
        assert values[-1] < 0.01
        assert ask(served, "b.png").content["measure"] == "spots"


def test_a_difference_of_another_size_is_told(folder: Path) -> None:
    (folder / "difference").mkdir()
    write_png(folder / "difference" / "a.png", np.zeros((50, 60), np.uint8))
    with studio(folder) as served:
        answer = ask(served)
    assert answer.status == 422
    assert "a.png: its difference has 50×60 px, the frame 100×130" in answer.content["error"]


def test_objects_are_counted_in_every_patch_that_has_a_pixel_of_them(served: Served) -> None:
    annotate(served, (40, 100), (0, 62), (95, 0))
    counts = {(p["row"], p["column"]): p["objects"] for p in ask(served).content["patches"]}
    labels, _ = ndimage.label(read_frame(served.place.folder / "a_mask.png"))
    assert counts == {at: np.unique(cut(labels, at)).size - 1 for at in CORNERS}
    assert set(counts.values()) == {0, 1, 2}


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("64x32", "give SIZE/STRIDE"),
        ("16/8", "size 16 px"),
        ("64/65", "stride 65 px"),
        ("128/64", "patches: 128 px, but the frames have a side of 100 px"),
        (None, "patches: 200 px, but the frames have a side of 100 px; choose smaller patches"),
    ],
)
def test_grids_that_will_not_do_are_one_line(
    served: Served, grid: str | None, message: str
) -> None:
    for answer in (ask(served, grid=grid), decide(served, "keep", grid=grid)):
        assert answer.status == 422
        assert message in answer.content["error"]
        assert "\n" not in answer.content["error"]


def test_too_many_patches_are_refused(folder: Path) -> None:
    write_png(folder / "large.png", np.zeros((200, 200), np.uint8))
    with studio(folder) as served:
        answer = ask(served, "large.png", grid="64/1")
        assert answer.status == 422
        assert "64/1 makes 18769 of a frame" in answer.content["error"]


# Keeping


def test_what_is_kept_is_the_frame_and_its_masks(served: Served) -> None:
    annotate(served, SPECK, (2, 2))
    annotate(served, (70, 110), (38, 102), label="ignore")  # the second in part on a particle
    folder = served.place.folder
    planes = {
        "": read_frame(folder / "a.png"),
        "_mask": read_frame(folder / "a_mask.png"),
        "_ignore": read_frame(folder / "a_ignore.png"),
    }
    for at in CORNERS:
        told = decide(served, "keep", at).content
        assert told["patch"]["state"] == "kept"
    assert len(told["kept"]) == len(CORNERS)
    for at in CORNERS:
        for plane, pixels in planes.items():
            file = folder / "dataset" / f"a_r{at[0]:02d}_c{at[1]:02d}{plane}.png"
            if plane == "_ignore" and not cut(pixels, at).any():
                assert not file.exists()
                continue
            np.testing.assert_array_equal(read_frame(file), cut(pixels, at))
            assert read_frame(file).dtype == np.uint8
    patches = {patch.name: patch for patch in read_dataset(folder / "dataset")}
    assert not patches["a_r00_c01.png"].mask.any()  # an empty one counts as annotated
    assert patches["a_r02_c03.png"].ignored is not None


def test_a_frame_that_nobody_has_annotated_gives_patches_without_masks(served: Served) -> None:
    told = decide(served, "keep").content
    dataset = served.place.folder / "dataset"
    assert {path.name for path in dataset.iterdir()} == {
        "a_r00_c00.png", "index.csv", "manifest.json", "patches.jsonl",
    }  # fmt: skip
    assert not told["kept"][0]["annotated"]
    assert told["commands"]["train"].endswith("--annotated-only")
    with pytest.raises(DatasetError, match="no image has a mask"):
        read_dataset(dataset, annotated_only=True)


def test_an_empty_patch_is_kept_as_one(served: Served) -> None:
    decide(served, "empty")
    decide(served, "keep", (0, 1))
    told = decide(served, "empty", (0, 1)).content  # on second thoughts
    dataset = served.place.folder / "dataset"
    patches = read_dataset(dataset)
    assert [patch.name for patch in patches] == ["a_r00_c00.png", "a_r00_c01.png"]
    assert not any(patch.mask.any() for patch in patches)
    assert not any(one["stale"] for one in told["kept"])
    assert not told["commands"]["train"].endswith("--annotated-only")
    annotate(served, SPECK)
    answer = decide(served, "empty", (1, 2))
    assert answer.status == 422
    assert "is not empty" in answer.content["error"]
    assert states(served)[1, 2] == "undecided"


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_number_types_are_kept(tmp_path: Path, kind: type[np.generic]) -> None:
    pixels = (np.random.default_rng(0).normal(0.5, 0.01, SHAPE) * 60000).astype(kind)
    write_tiff(tmp_path / "x.5.tif", pixels)
    with studio(tmp_path) as served:
        annotate(served, SPECK, name="x.5.tif")
        decide(served, "keep", (1, 2), name="x.5.tif")
        assert states(served, "x.5.tif")[1, 2] == "kept"
        suffix = "tif" if kind is np.float32 else "png"
        written = read_frame(tmp_path / "dataset" / f"x.5_r01_c02.{suffix}")
        assert written.dtype == kind
        np.testing.assert_array_equal(written, cut(pixels, (1, 2)))
        (patch,) = read_dataset(tmp_path / "dataset")
        assert patch.mask.sum() == 25
        decide(served, "undecide", (1, 2), name="x.5.tif")
        assert index(tmp_path / "dataset") == []


def test_keeping_twice_changes_nothing(served: Served) -> None:
    annotate(served, SPECK)
    for at in ((1, 2), (0, 0)):
        decide(served, "keep", at)
    before = contents(served.place.folder / "dataset")
    assert decide(served, "keep", (1, 2)).content["patch"]["state"] == "kept"
    assert contents(served.place.folder / "dataset") == before


def test_the_folder_of_frames_does_not_see_its_dataset(served: Served) -> None:
    annotate(served, SPECK)
    annotate(served, name="b.png")
    decide(served, "keep")
    folder = served.place.folder
    assert list(image_pairs(folder)) == ["a.png", "b.png"]
    assert [patch.name for patch in read_dataset(folder)] == ["a.png", "b.png"]
    with corroscope.open_sequence(folder) as sequence:
        assert sequence.names == ["a.png", "b.png"]
    served.place.close()
    with Store(folder, "ada") as store:
        assert store.images == ("a.png", "b.png")
    with Store(folder / "dataset", "ada") as store:
        assert store.images == ("a_r00_c00.png",)


# Places


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Frames that have drifted, and the table that tells by how much."""
    folder = tmp_path / "drifting"
    folder.mkdir()
    rows = ["image,frame,time_s,dy_px,dx_px"]
    for number, (dy, dx) in enumerate([("0", "0"), ("2.6", "-1.2"), ("", "")]):
        draw(folder / f"f{number}.png", SPECK, seed=number)
        rows.append(f"f{number}.png,{number},{1.5 * number},{dy},{dx}")
    (folder / "frames.csv").write_text("\n".join(rows) + "\n")
    return folder


def keep_all(served: Served, *places: tuple[int, int]) -> dict[str, dict[str, str]]:
    for name in served.place.names:
        annotate(served, SPECK, name=name)
        for at in places:
            assert decide(served, "keep", at, name).status == 200
    return {row["image"]: row for row in index(served.place.folder / "dataset")}


def test_places_are_in_the_reference_where_the_drift_is_known(prepared: Path) -> None:
    with studio(prepared) as served:
        rows = keep_all(served, (0, 0), (2, 3))
        assert ask(served, "f0.png").content["places"] == "drift"
    moved = rows["f1_r02_c03.png"]
    assert (moved["y0_px"], moved["x0_px"]) == (str(36 - 3), str(66 + 1))
    assert (moved["y0_frame_px"], moved["x0_frame_px"]) == ("36", "66")
    assert (moved["time_s"], moved["frame"], moved["source"]) == ("1.5", "1", "f1.png")
    assert rows["f2_r02_c03.png"]["y0_px"] == ""  # nobody knows where it has moved to
    patches = {patch.name: patch for patch in read_dataset(prepared / "dataset")}
    assert patches["f1_r02_c03.png"].corner_px == (33, 67)
    assert patches["f1_r02_c03.png"].time == 1.5
    # One place at two times is one surface, whatever the drift; places apart are not.
    names = ["f0_r02_c03.png", "f1_r02_c03.png", "f0_r00_c00.png", "f1_r00_c00.png"]
    shared = shared_surface([patches[name] for name in names])
    assert shared.astype(int).tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    sides = [{*map(frozenset, split)} for split in surface_folds(shared, 2)]
    assert sides == [{frozenset({0, 1}), frozenset({2, 3})}] * 2


def test_aligned_frames_lie_in_the_reference_already(prepared: Path, tmp_path: Path) -> None:
    home = tmp_path / "prepared"
    aligned = Path(shutil.copytree(prepared, home / "aligned"))
    (aligned / "frames.csv").rename(home / "frames.csv")
    write_json(home / "manifest.json", {"command": "prepare"})
    with studio(aligned) as served:
        told = ask(served, "f1.png").content
        rows = keep_all(served, (2, 3))
    assert told["places"] == "aligned"
    assert told["commands"]["bulk"] == (
        f"corroscope prepare SEQUENCE --out {home} --patches {GRID}"
    )
    row = rows["f1_r02_c03.png"]
    assert (row["y0_px"], row["x0_px"], row["time_s"]) == ("36", "66", "1.5")


def test_frames_of_a_dataset_hand_down_what_is_known_of_them(folder: Path) -> None:
    (folder / "index.csv").write_text(
        "image,y0_px,x0_px,surface_group,time_fraction\na.png,1000,-20,left,0.5\nb.png,,,right,\n"
    )
    with studio(folder) as served:
        rows = keep_all(served, (2, 3))
    a, b = rows["a_r02_c03.png"], rows["b_r02_c03.png"]
    assert (a["y0_px"], a["x0_px"], a["surface_group"]) == ("1036", "46", "left")
    assert (a["time_fraction"], a["time_s"]) == ("0.5", "")
    assert (b["y0_px"], b["surface_group"], b["time_fraction"]) == ("", "right", "")
    groups = {patch.name: patch.surface_group for patch in read_dataset(folder / "dataset")}
    assert groups == {"a_r02_c03.png": "left", "b_r02_c03.png": "right"}


@pytest.mark.parametrize("table", ["name,dy_px,dx_px\na.png,1,2\n", "image\n\xff"])
def test_a_table_that_cannot_be_understood_is_named(folder: Path, table: str) -> None:
    (folder / "frames.csv").write_bytes(table.encode("latin-1"))
    with studio(folder) as served:
        answer = ask(served)
    assert answer.status == 422
    assert "frames.csv: cannot be understood" in answer.content["error"]


def test_columns_and_lines_of_others_stay_in_the_index(served: Served) -> None:
    decide(served, "keep")
    dataset = served.place.folder / "dataset"
    draw(dataset / "mine.png")
    text = (dataset / "index.csv").read_text().splitlines()
    text = [f"{text[0]},surface_group", "mine.png,,,,,,,,left", f"{text[1]},right"]
    (dataset / "index.csv").write_text("\n".join(text) + "\n")
    decide(served, "keep", (0, 1))
    decide(served, "keep")
    rows = index(dataset)
    assert [row["image"] for row in rows] == ["mine.png", "a_r00_c00.png", "a_r00_c01.png"]
    assert [row["surface_group"] for row in rows] == ["left", "right", ""]
    decide(served, "undecide")
    assert [row["image"] for row in index(dataset)] == ["mine.png", "a_r00_c01.png"]
    (dataset / "index.csv").write_text("name\nx\n")
    answer = decide(served, "keep", (0, 2))
    assert answer.status == 422
    assert "index.csv: cannot be understood" in answer.content["error"]
    assert (dataset / "index.csv").read_text() == "name\nx\n"


# Taking back


def test_taking_back_removes_exactly_what_was_written(served: Served) -> None:
    annotate(served, SPECK)
    decide(served, "keep", (0, 0))
    dataset = served.place.folder / "dataset"
    before = contents(dataset)
    decide(served, "keep", (1, 2))
    assert contents(dataset) != before
    assert decide(served, "undecide", (1, 2)).content["patch"]["state"] == "undecided"
    assert contents(dataset) == before
    decide(served, "keep", (1, 2))
    assert decide(served, "skip", (1, 2)).content["patch"]["state"] == "skipped"
    assert contents(dataset) == before
    assert decide(served, "undecide", (2, 2)).content["patch"]["state"] == "undecided"


def test_decisions_outlive_a_restart(folder: Path) -> None:
    with studio(folder) as served:
        decide(served, "keep", (0, 0))
        decide(served, "skip", (0, 1))
        decide(served, "skip", (0, 2))
        decide(served, "undecide", (0, 2))
        decide(served, "keep", (0, 3), dataset="other")
    with studio(folder) as served:
        told = {at: state for at, state in states(served).items() if state != "undecided"}
        assert told == {(0, 0): "kept", (0, 1): "skipped"}
        assert states(served, dataset="other")[0, 3] == "kept"
        assert ask(served, grid=None).content["grid"] == GRID  # as it was left
        assert states(served, "b.png")[0, 1] == "undecided"


def test_a_patch_whose_file_is_gone_is_undecided_again(served: Served) -> None:
    dataset = served.place.folder / "dataset"
    decide(served, "keep", (0, 0))
    decide(served, "keep", (0, 1))
    (dataset / "a_r00_c00.png").unlink()
    assert states(served)[0, 0] == "undecided"
    decide(served, "skip", (0, 2))
    decide(served, "keep", (0, 3))
    assert [row["image"] for row in index(dataset)] == ["a_r00_c01.png", "a_r00_c03.png"]
    shutil.rmtree(dataset)
    assert set(states(served).values()) == {"undecided"}
    assert decide(served, "keep", (0, 1)).content["patch"]["state"] == "kept"


def test_what_was_changed_since_is_left_alone(served: Served) -> None:
    annotate(served, SPECK)
    decide(served, "keep", (1, 2))
    decide(served, "keep", (0, 0))
    dataset = served.place.folder / "dataset"
    write_png(dataset / "a_r01_c02_mask.png", np.zeros((64, 64), np.uint8))
    write_png(dataset / "a_r00_c00_ignore.png", np.zeros((64, 64), np.uint8))
    before = contents(dataset)
    for do in ("undecide", "skip"):
        answer = decide(served, do, (1, 2))
        assert answer.status == 422
        assert "a_r01_c02_mask.png: was changed since it was written" in answer.content["error"]
        answer = decide(served, do, (0, 0))
        assert answer.status == 422
        assert "a_r00_c00_ignore.png: was not written here" in answer.content["error"]
    assert contents(dataset) == before
    assert states(served)[1, 2] == "kept"


def test_what_was_annotated_on_its_own_is_left_alone(served: Served) -> None:
    annotate(served, SPECK)
    places = {"a_r01_c02.png": (1, 2), "a_r00_c00.png": (0, 0), "a_r00_c01.png": (0, 1)}
    for at in places.values():
        decide(served, "keep", at)
    dataset = served.place.folder / "dataset"
    with Store(dataset, "bob") as store:
        for name in places:
            assert len(store.objects(name)) == (name == "a_r01_c02.png")  # looked at
        store.declare_done("a_r00_c00.png")
        answer = decide(served, "undecide", (0, 1))
        assert "is being annotated by another program" in answer.content["error"]
    with Store(dataset, "eve", second=True) as store:
        store.declare_done("a_r00_c01.png")
    for at in ((0, 0), (0, 1)):
        answer = decide(served, "undecide", at)
        assert answer.status == 422
        assert "was annotated on its own since" in answer.content["error"]
        assert states(served)[at] == "kept"
    assert decide(served, "undecide", (1, 2)).status == 200  # only looked at


def test_files_of_others_are_never_overwritten(served: Served) -> None:
    decide(served, "keep", (0, 0))
    dataset = served.place.folder / "dataset"
    draw(dataset / "a_r00_c01.png", seed=7)
    before = contents(dataset)
    answer = decide(served, "keep", (0, 1))
    assert answer.status == 422
    assert "a_r00_c01.png: is there and was not written here" in answer.content["error"]
    assert contents(dataset) == before
    assert states(served)[0, 1] == "undecided"


def test_a_patch_that_was_left_half_written_is_completed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotate(served, SPECK)

    def full(path: Path, pixels: NDArray[Any]) -> None:
        if "mask" in path.name:
            raise OutputError(f"{path}: cannot be written (no room); make room")
        write_pixels(path, pixels)

    monkeypatch.setattr("corroscope.studio.patches.picked.write_pixels", full)
    assert decide(served, "keep", (1, 2)).status == 422
    monkeypatch.undo()
    told = decide(served, "renew", None).content
    assert [one["stale"] for one in told["kept"]] == [False]
    decide(served, "keep", (1, 2))
    (patch,) = read_dataset(served.place.folder / "dataset")
    assert (patch.mask.sum(), patch.name) == (25, "a_r01_c02.png")
    assert len(index(served.place.folder / "dataset")) == 1


def test_a_patch_that_cannot_be_removed_is_still_kept(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide(served, "keep")
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == "a_r00_c00.png":
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    answer = decide(served, "undecide")
    assert answer.status == 422
    assert "a_r00_c00.png: cannot be removed (Permission denied)" in answer.content["error"]
    assert states(served)[0, 0] == "kept"
    monkeypatch.undo()
    assert decide(served, "undecide").content["patch"]["state"] == "undecided"


# Masks that are no longer right


def test_stale_masks_are_told_and_written_anew(served: Served) -> None:
    annotate(served, SPECK)
    for at in ((1, 2), (0, 0)):
        decide(served, "keep", at)
    decide(served, "empty", (1, 2), "b.png")
    dataset = served.place.folder / "dataset"
    annotate(served, (80, 120))
    annotate(served, (70, 110), label="ignore")
    annotate(served, SPECK, name="b.png")
    told = ask(served).content
    stale = {one["name"]: one["stale"] for one in told["kept"]}
    assert stale == {"a_r01_c02.png": True, "a_r00_c00.png": False, "b_r01_c02.png": True}
    told = decide(served, "renew", None).content
    assert [one["stale"] for one in told["kept"]] == [False, False, True]
    for plane in ("mask", "ignore"):
        whole = read_frame(served.place.folder / f"a_{plane}.png")
        written = read_frame(dataset / f"a_r01_c02_{plane}.png")
        np.testing.assert_array_equal(written, cut(whole, (1, 2)))
    decide(served, "renew", None, "b.png")
    assert read_frame(dataset / "b_r01_c02_mask.png").sum() == 25 * 255
    decide(served, "undecide", (1, 2))
    assert {path.name for path in dataset.glob("a_*")} == {"a_r00_c00.png", "a_r00_c00_mask.png"}


def test_masks_go_where_the_annotation_was_undone(served: Served) -> None:
    annotate(served, SPECK)
    decide(served, "keep", (1, 2))
    address = f"/api/images/{served.place.opaque['a.png']}"
    act = {"act": "abcdef01", "revision": 1, "deed": {"do": "undo"}}
    assert served.post(f"{address}/act", act).status == 200
    assert [one["stale"] for one in ask(served).content["kept"]] == [True]
    told = decide(served, "renew", None).content
    assert [(one["stale"], one["annotated"]) for one in told["kept"]] == [(False, False)]
    assert not (served.place.folder / "dataset" / "a_r01_c02_mask.png").exists()


def test_a_mask_that_is_gone_is_stale(served: Served) -> None:
    annotate(served, SPECK)
    decide(served, "keep", (1, 2))
    mask = served.place.folder / "dataset" / "a_r01_c02_mask.png"
    mask.unlink()
    assert [one["stale"] for one in ask(served).content["kept"]] == [True]
    decide(served, "renew", None)
    assert read_frame(mask).sum() == 25 * 255


def test_stale_masks_that_others_work_on_are_left_alone(served: Served) -> None:
    annotate(served, SPECK)
    decide(served, "keep", (1, 2))
    dataset = served.place.folder / "dataset"
    drawn = np.zeros((64, 64), np.uint8)
    drawn[:3] = 255
    annotate(served, (80, 110))
    write_png(dataset / "a_r01_c02_mask.png", drawn)
    answer = decide(served, "renew", None)
    assert answer.status == 422
    assert "a_r01_c02_mask.png: is there and was not written here" in answer.content["error"]
    with Store(dataset, "bob"):
        pass
    told = ask(served).content
    assert told["own"]
    answer = decide(served, "renew", None)
    assert "is annotated on its own by now" in answer.content["error"]
    np.testing.assert_array_equal(read_frame(dataset / "a_r01_c02_mask.png"), drawn)


def test_masks_of_a_frame_that_has_changed_are_not_renewed(served: Served) -> None:
    annotate(served, SPECK)
    decide(served, "keep", (1, 2))
    annotate(served, (80, 110))
    draw(served.place.folder / "a.png", seed=9)
    served.place._pictures.clear()
    answer = decide(served, "renew", None)
    assert answer.status == 422
    assert "a.png: is not as it was when a_r01_c02.png was cut" in answer.content["error"]


def test_patches_of_a_frame_that_is_gone_stay(folder: Path) -> None:
    with studio(folder) as served:
        decide(served, "keep", (0, 0), "b.png")
    (folder / "b.png").unlink()
    with studio(folder) as served:
        (kept,) = ask(served).content["kept"]
        assert (kept["name"], kept["id"], kept["stale"]) == ("b_r00_c00.png", None, False)


# Where it may be written


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "x.png", "difference", "Annotation"]
)
def test_names_of_datasets_that_will_not_do(served: Served, name: str) -> None:
    before = sorted(served.place.folder.parent.rglob("*"))
    for answer in (ask(served, dataset=name), decide(served, "keep", dataset=name)):
        assert answer.status == 422
        assert f"dataset {name!r}: use up to 64 letters" in answer.content["error"]
    assert sorted(served.place.folder.parent.rglob("*")) == before


def test_links_out_of_the_folder_are_not_followed(served: Served, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = served.place.folder
    (folder / "dataset").symlink_to(outside)
    for answer in (ask(served), decide(served, "keep"), decide(served, "skip")):
        assert answer.status == 422
        assert "is a link out of the folder" in answer.content["error"]
    assert list(outside.iterdir()) == []
    (folder / "dataset").unlink()
    decide(served, "keep")
    names = ("patches.jsonl", "index.csv", "a_r00_c01.png", "a_r00_c02_mask.png")
    for number, name in enumerate(names):
        annotate(served, (SPECK[0], SPECK[1] + number))
        (outside / name).write_text("mine")
        (folder / "dataset" / name).unlink(missing_ok=True)
        (folder / "dataset" / name).symlink_to(outside / name)
    for column in (0, 1, 2, 3):
        answer = decide(served, "keep", (0, column))
        assert answer.status == 422
        assert "is a link out of the folder" in answer.content["error"]
    assert {path.read_text() for path in outside.iterdir()} == {"mine"}


def test_a_folder_of_something_else_is_refused(served: Served) -> None:
    assert ask(served, dataset="notes").status == 200  # before it is there
    other = served.place.folder / "notes"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    (served.place.folder / "file").write_text("mine")
    for name in ("notes", "file"):
        for answer in (ask(served, dataset=name), decide(served, "keep", dataset=name)):
            assert answer.status == 422
            assert "holds something else than patches" in answer.content["error"]
    assert [path.name for path in other.iterdir()] == ["notes.txt"]


def test_one_dataset_has_patches_of_one_grid(served: Served) -> None:
    decide(served, "skip", grid="32/32")
    decide(served, "keep")
    for answer in (ask(served, grid="32/32"), decide(served, "keep", grid="32/32")):
        assert answer.status == 422
        assert "holds patches of 64/32; go on with these" in answer.content["error"]
    decide(served, "undecide")
    assert states(served, grid="32/32")[0, 0] == "skipped"
    decide(served, "keep", (0, 1), grid="32/32")
    manifest = json.loads((served.place.folder / "dataset" / "manifest.json").read_text())
    assert manifest["patches"] == {"size_px": 32, "stride_px": 32}


def test_what_is_asked_wrongly_is_refused(served: Served) -> None:
    assert (
        decide(served, "keep", (3, 0)).content["error"].startswith("a.png: has no patch in row 3")
    )
    assert decide(served, "keep", (-1, 0)).status == 400
    assert decide(served, "burn").status == 400
    assert decide(served, "keep", None).status == 400
    assert decide(served, "keep", path="x").status == 400
    assert ask(served, grid="64/32" * 20).status == 400
    assert not (served.place.folder / "dataset").exists()


def test_second_annotations_are_not_picked(folder: Path) -> None:
    place = Workplace(folder, "bob", SECRET, second=True)
    with pytest.raises(StudioError, match="open the folder without --second"):
        Patching(place).patches("a.png", b'{"grid": "64/32"}')
    place.close()


def test_commands_are_those_that_do_the_same(served: Served) -> None:
    commands = ask(served).content["commands"]
    folder = served.place.folder
    assert commands == {
        "bulk": f"corroscope prepare {folder} --out prepared --patches {GRID}",
        "annotate": f"corroscope annotate {folder / 'dataset'}",
        "train": f"corroscope train {folder / 'dataset'} --out runs",
    }


# The page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def test_frames_smaller_than_a_patch_lead_to_smaller_patches(
    browser: Browser, served: Served
) -> None:
    with opened(browser, served.link, checked=False) as page:  # a refusal is told in the console
        page.locator("#tab-patches").click()
        status = page.locator("#patch-status")
        expect(status).to_contain_text("200 px, but the frames have a side of 100 px")
        expect(page.locator("[data-action=keepPatch]")).to_be_hidden()
        keep_screenshot(page, "patches-too-small")
        page.locator("#patch-size").fill("64")
        page.locator("#patch-stride").fill("32")
        page.locator("#patch-stride").press("Enter")
        expect(status).to_have_text("Patch 1 of 12: undecided")


def test_patches_are_picked_by_keys_alone(browser: Browser, served: Served) -> None:
    decide(served, "keep", (0, 0))  # the grid is that of what was kept before
    with opened(browser, served.link) as page:
        status, kept = page.locator("#patch-status"), page.locator("#patch-kept li")

        def press(*keys: str) -> None:
            page.locator("#drawing").focus()
            for key in keys:
                page.keyboard.press(key)

        expect(page.locator("#images button")).to_have_count(2)
        press("x")  # of another tab
        page.locator("#tab-patches").click()
        expect(status).to_have_text("Patch 1 of 12: undecided")
        # Keep, skip, keep as empty, pass one over, keep; go back to the one that was passed over,
        # where there is nothing to take back but the last decision.
        press("Space", "x", "e", "j", "Space", "k", "u")
        expect(status).to_have_text("Patch 5 of 12: undecided")
        expect(kept).to_have_count(3)
        first = [states(served)[at] for at in ((0, 2), (0, 3), (1, 2), (1, 3), (2, 2))]
        assert first == ["kept", "skipped", "kept", "undecided", "undecided"]
        page.locator("#patch-open").uncheck()
        press("k", "k")
        expect(status).to_have_text("Patch 3 of 12: kept")
        press("u")
        expect(kept).to_have_count(2)
        expect(status).to_have_text("Patch 3 of 12: undecided")
        page.locator("#patch-open").check()
        press(*"xxxxxxxxx")
        expect(status).to_contain_text("All patches of this image are decided; next image: D.")
        press("f")  # the frame is annotated now: without any particle
        expect(page.locator("#patch-stale")).to_contain_text("2 patches were kept before")
        keep_screenshot(page, "patches-stale")
        page.locator("#patch-renew").click()
        expect(page.locator("#patch-stale")).to_be_empty()
        press("d")
        expect(status).to_have_text("Patch 1 of 12: undecided")
        kept.locator("button").first.click()  # of the image before
        expect(status).to_contain_text("Patch 7 of 12: kept")
        expect(page.locator("#images button[aria-current=true]")).to_contain_text("a.png")
        page.reload()
        page.locator("#tab-patches").click()
        expect(kept).to_have_count(2)
        expect(page.locator("#panel-patches dd").first).to_have_text("12 of 12")
        keep_screenshot(page, "patches-decided")
    patches = read_dataset(served.place.folder / "dataset")
    assert [patch.name for patch in patches] == ["a_r00_c00.png", "a_r00_c02.png"]


def test_a_decision_that_is_refused_is_come_back_to(browser: Browser, served: Served) -> None:
    decide(served, "keep", (0, 0))
    draw(served.place.folder / "dataset" / "a_r00_c02.png", seed=5)
    with opened(browser, served.link, checked=False) as page:
        page.locator("#tab-patches").click()
        expect(page.locator("#patch-status")).to_have_text("Patch 1 of 12: undecided")
        page.keyboard.press("Space")
        expect(page.locator("#trouble")).to_contain_text("was not written here")
        expect(page.locator("#patch-status")).to_have_text("Patch 1 of 12: undecided")
        assert states(served)[0, 2] == "undecided"
