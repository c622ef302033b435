"""Frame sequences: folders, stacks and videos, in order of true time."""

import builtins
import contextlib
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from corroscope.errors import FrameError, MissingExtraError, SettingsError
from corroscope.frames import opening as opening_module
from corroscope.frames.naming import Conditions
from corroscope.frames.opening import open_sequence
from corroscope.frames.reading import read_frame
from corroscope.frames.video import Video


def picture(grey: int, dtype: type[np.generic] = np.uint8) -> NDArray[Any]:
    return np.full((16, 20), grey, dtype)


def write_run(folder: Path, clocks: Sequence[str], prefix: str = "30mM_1.6V-w-snaps-") -> None:
    """Frames of these clocks; the grey level is the place in time."""
    folder.mkdir(exist_ok=True)
    for grey, clock in enumerate(clocks):
        tifffile.imwrite(folder / f"{prefix}{clock}.tif", picture(grey))


# Folders and lists


def test_a_run_across_midnight_is_in_order_of_time(tmp_path: Path) -> None:
    write_run(tmp_path / "run", ["23-59-50.000", "23-59-55.500", "00-00-01.000", "00-00-06.500"])
    with open_sequence(tmp_path / "run") as sequence:
        assert len(sequence) == 4
        assert sequence.name == "run"
        assert sequence.time_s.tolist() == [0.0, 5.5, 11.0, 16.5]
        assert [int(frame[0, 0]) for frame in sequence] == [0, 1, 2, 3]
        assert sequence.clock == "names"
        assert sequence.conditions == Conditions(30.0, 1.6, None)
        assert sequence.remarks == ["the clock passes midnight before frame 2"]
        assert sequence.names[2] == "30mM_1.6V-w-snaps-00-00-01.000.tif"
        assert sequence.stems[2] == "30mM_1.6V-w-snaps-00-00-01.000"
        assert (sequence.shape, str(sequence.dtype)) == ((16, 20), "uint8")


def test_thousands_of_frames_are_opened_and_none_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2000):
        seconds = number % 60
        (tmp_path / f"snaps-{number // 3600:02d}-{number // 60 % 60:02d}-{seconds:02d}.tif").touch()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a frame was read")

    with monkeypatch.context() as patched:
        patched.setattr(builtins, "open", refuse)
        patched.setattr(Path, "open", refuse)
        patched.setattr(Path, "read_bytes", refuse)
        patched.setattr(tifffile, "TiffFile", refuse)
        sequence = open_sequence(tmp_path)
        assert sequence.time_s.tolist() == list(range(2000))
        assert len({sequence.fingerprint(number) for number in range(2000)}) == 2000
    with pytest.raises(FrameError, match="snaps-00-00-00.tif: empty file"):
        _ = sequence.shape


@given(st.permutations(range(6)), st.sampled_from(["clock", "number", "interval"]))
def test_order_does_not_depend_on_the_order_of_the_files(places: list[int], kind: str) -> None:
    clocks = ["23-59-58", "23-59-59", "00-00-00", "00-00-00.5", "00-00-03", "00-00-10"]
    numbers = ["1", "2", "3", "10", "20", "100"]
    stems = [f"frame{number}" for number in numbers] if kind == "number" else clocks
    # No file is read, so that none has to be there but for the check that it is.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "is_file", lambda _: True)
        files = [Path("run", f"{stems[place]}.png") for place in places]
        sequence = open_sequence(files, interval_s=2.0 if kind == "interval" else None)
    assert sequence.stems == stems
    if kind == "number":
        assert np.isnan(sequence.time_s).all()
    else:
        steps = [0, 2, 4, 6, 8, 10] if kind == "interval" else [0, 1, 2, 2.5, 5, 12]
        assert sequence.time_s.tolist() == steps
    assert sequence.name == "run"


def test_without_times_numbers_tell_the_order(tmp_path: Path) -> None:
    for grey, name in enumerate(["frame2.png", "frame10.PNG", "frame11.jpg"]):
        Image.fromarray(picture(grey)).save(tmp_path / name)
    sequence = open_sequence(tmp_path)
    assert sequence.names == ["frame2.png", "frame10.PNG", "frame11.jpg"]
    assert np.isnan(sequence.time_s).all()
    assert sequence.clock == "unknown"
    assert sequence.remarks == [
        "no times: neither names nor metadata tell them; give an interval (--interval)"
    ]
    timed = open_sequence(tmp_path, interval_s=0.5)
    assert (timed.time_s.tolist(), timed.clock, timed.remarks) == ([0, 0.5, 1], "interval", [])


def test_an_interval_overrides_the_clock_but_not_the_order(tmp_path: Path) -> None:
    write_run(tmp_path / "run", ["23-59-50", "00-00-01", "00-00-20"])
    sequence = open_sequence(tmp_path / "run", interval_s=4)
    assert sequence.time_s.tolist() == [0, 4, 8]
    assert [int(frame[0, 0]) for frame in sequence] == [0, 1, 2]
    assert (sequence.clock, sequence.remarks) == ("interval", [])


def test_frames_of_the_same_time_are_named(tmp_path: Path) -> None:
    write_run(tmp_path, ["10-00-00.5", "10-00-01.5", "10-00-01.50", "10-00-02.5"])
    sequence = open_sequence(tmp_path)
    assert sequence.duplicates == {2: 1}
    assert sequence.time_s.tolist() == [0, 1, 1, 2]


def test_dates_spare_the_guess_about_midnight(tmp_path: Path) -> None:
    write_run(tmp_path, ["2024-02-28_08-00-00", "2024-02-29_07-00-00", "2024-03-01_09-00-00"], "")
    assert open_sequence(tmp_path).time_s.tolist() == [0, 23 * 3600, 49 * 3600]
    with pytest.raises(SettingsError, match="start: is only for names with a clock and without"):
        open_sequence(tmp_path, start=0)


def test_the_start_tells_what_the_clocks_do_not(tmp_path: Path) -> None:
    write_run(tmp_path, ["08-00-00", "16-00-00", "00-00-00"], "")
    with pytest.raises(FrameError, match=f"{tmp_path}: where the run begins cannot be told"):
        open_sequence(tmp_path)
    assert open_sequence(tmp_path, start=8 * 3600).time_s.tolist() == [0, 28_800, 57_600]


@pytest.mark.parametrize("foreign", ["Thumbs.tif", "flatfield.tif", "mask_1.png"])
def test_a_foreign_file_among_the_frames_is_named(tmp_path: Path, foreign: str) -> None:
    write_run(tmp_path, ["10-00-00", "10-00-01"])
    (tmp_path / foreign).touch()
    with pytest.raises(
        FrameError, match=f"{foreign}: has no clock in its name, 2 others have one; move it out"
    ):
        open_sequence(tmp_path)


def test_an_impossible_clock_or_a_mask_is_named_with_its_folder(tmp_path: Path) -> None:
    for foreign in ("30mM_1.6V-w-snaps-25-00-00.000", "10-00-00_mask"):
        folder = tmp_path / foreign
        write_run(folder, ["10-00-00", "10-00-01"])
        (folder / f"{foreign}.tif").touch()
        with pytest.raises(FrameError, match=f"{folder}: {foreign}: .*move it out"):
            open_sequence(folder)


def test_a_pattern_that_some_names_do_not_fit(tmp_path: Path) -> None:
    for name in ("t1.png", "t20.png", "t3.png", "flat.png"):
        (tmp_path / name).touch()
    pattern = r"t(?P<time_s>\d+)"
    with pytest.raises(FrameError, match="flat.png: does not fit the pattern, 3 of 4 images do"):
        open_sequence(tmp_path, pattern=pattern)
    (tmp_path / "flat.png").unlink()
    assert open_sequence(tmp_path, pattern=pattern).time_s.tolist() == [0, 2, 19]
    by_index = open_sequence(tmp_path, pattern=r"t(?P<index>\d+)")
    assert by_index.stems == ["t1", "t3", "t20"]
    assert by_index.clock == "unknown"
    with pytest.raises(SettingsError, match="pattern: "):
        open_sequence(tmp_path, pattern="(")


def test_settings_that_are_out_of_range_or_of_no_use(tmp_path: Path) -> None:
    (tmp_path / "frame1.png").touch()
    for interval_s in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(SettingsError, match="interval: .*allowed: above 0"):
            open_sequence(tmp_path, interval_s=interval_s)
    with pytest.raises(SettingsError, match="start: is only for names with a clock; leave it out"):
        open_sequence(tmp_path, start=5)


def test_hidden_and_other_files_are_ignored(tmp_path: Path) -> None:
    write_run(tmp_path, ["10-00-00"])
    for name in (".thumbnail.tif", "._30mM.tif", "notes.txt", "Thumbs.db"):
        (tmp_path / name).touch()
    (tmp_path / "old.tif").mkdir()
    assert len(open_sequence(tmp_path)) == 1


def test_masks_beside_frames_are_no_frames_and_masks_alone_are(tmp_path: Path) -> None:
    clocks = ["10-00-00", "10-00-01"]
    write_run(tmp_path / "run", clocks)
    for suffix in ("mask", "ignore"):
        cv2.imwrite(
            str(tmp_path / "run" / f"30mM_1.6V-w-snaps-10-00-00_{suffix}.png"), picture(255)
        )
    with open_sequence(tmp_path / "run") as sequence:
        assert [name[-12:] for name in sequence.names] == [f"{clock}.tif" for clock in clocks]
        assert "2 masks beside frames are left out" in sequence.remarks
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("image_1.png", "mask_1.png", "mask_2.png", "x_mask.png"):
        cv2.imwrite(str(alone / name), picture(0))
    with open_sequence(alone) as sequence:
        assert sequence.names == ["image_1.png", "mask_2.png", "x_mask.png"]
        assert "a mask beside its frame is left out" in sequence.remarks
    with open_sequence([alone / "image_1.png", alone / "mask_1.png"]) as sequence:
        assert len(sequence) == 2  # they were asked for by name


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "one.png").touch()
    (tmp_path / "empty").mkdir()
    for path, reason in (
        (tmp_path / "empty", "holds no PNG, TIFF or JPEG file"),
        (tmp_path / "missing", "no such folder or file"),
        (tmp_path / "notes.txt", "is neither a multi-page TIFF nor a video"),
        (tmp_path / "one.png", "is a single image; give the folder"),
    ):
        with pytest.raises(FrameError, match=f"{path}: {reason}"):
            open_sequence(path)
    for files, reason in (
        ([], "the list of images is empty"),
        ([tmp_path / "missing.png"], "missing.png: no such file"),
        ([tmp_path / "notes.txt"], "notes.txt: not a PNG, TIFF or JPEG file"),
    ):
        with pytest.raises(FrameError, match=reason):
            open_sequence(files)


def test_two_files_of_one_stem_are_refused(tmp_path: Path) -> None:
    for name in ("x.tif", "x.png"):
        (tmp_path / name).touch()
    with pytest.raises(FrameError, match=r"x\.(tif|png): has the same stem as .*share one mask"):
        open_sequence(tmp_path)


def test_conditions_on_which_names_disagree_are_unknown(tmp_path: Path) -> None:
    for name in ("30mM_1.6V-10-00-00.png", "5mM_1.6V-10-00-01.png"):
        (tmp_path / name).touch()
    sequence = open_sequence(tmp_path)
    assert sequence.conditions == Conditions(None, 1.6, None)
    assert sequence.remarks == ["the names do not agree on concentration"]


def test_a_condition_in_doubt_is_remarked(tmp_path: Path) -> None:
    (tmp_path / "30mM-1.6V-w-snaps-10-00-00.png").touch()
    sequence = open_sequence(tmp_path)
    assert sequence.conditions == Conditions(30.0, None, None)
    assert sequence.remarks == ["whether the potential -1.6V is negative cannot be told"]


def test_a_frame_unlike_the_others_is_refused_with_both_names(tmp_path: Path) -> None:
    frames = [picture(0), np.zeros((9, 20), np.uint8), picture(0, np.uint16), picture(3)]
    for number, pixels in enumerate(frames):
        tifffile.imwrite(tmp_path / f"f{number}.tif", pixels)
    sequence = open_sequence(tmp_path)
    for number, shown in ((1, "9 × 20 uint8"), (2, "16 × 20 uint16")):
        reason = rf"f{number}.tif: f{number}.tif is {shown}, but f0.tif is 16 × 20 uint8"
        with pytest.raises(FrameError, match=reason):
            sequence.frame(number)
    assert sequence.frame(3)[0, 0] == 3


def test_a_broken_first_frame_does_not_set_the_size(tmp_path: Path) -> None:
    (tmp_path / "f0.tif").write_bytes(b"II*\0broken")
    for number in (1, 2):
        tifffile.imwrite(tmp_path / f"f{number}.tif", picture(number))
    sequence = open_sequence(tmp_path)
    assert sequence.frame(2)[0, 0] == 2
    assert sequence.shape == (16, 20)
    with pytest.raises(FrameError, match="f0.tif: broken or truncated TIFF"):
        sequence.frame(0)


def test_each_frame_is_read_once_in_one_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, ["10-00-00", "10-00-01", "10-00-02"])
    read: list[str] = []

    def count(path: Path) -> NDArray[Any]:
        read.append(path.name)
        return read_frame(path)

    monkeypatch.setattr(opening_module, "read_frame", count)
    sequence = open_sequence(tmp_path)
    list(sequence)
    _ = sequence.shape, sequence.dtype
    assert read == sequence.names


def test_frames_that_are_not_there(tmp_path: Path) -> None:
    write_run(tmp_path / "run", ["10-00-00", "10-00-01"])
    sequence = open_sequence(tmp_path / "run")
    for number in (-1, 2):
        with pytest.raises(
            FrameError, match=rf"run\[{number}\]: there is no such frame; give 0 to"
        ):
            sequence.frame(number)
    sequence.close()
    with pytest.raises(FrameError, match="run: is closed; open it again"):
        sequence.frame(0)


def test_a_fingerprint_changes_with_the_file(tmp_path: Path) -> None:
    write_run(tmp_path, ["10-00-00", "10-00-01"])
    sequence = open_sequence(tmp_path)
    before = [sequence.fingerprint(number) for number in (0, 1)]
    tifffile.imwrite(tmp_path / sequence.names[1], np.zeros((99, 20), np.uint8))
    assert sequence.fingerprint(0) == before[0]
    assert sequence.fingerprint(1) != before[1]
    (tmp_path / sequence.names[1]).unlink()
    with pytest.raises(FrameError, match="cannot be found any more"):
        sequence.fingerprint(1)


def test_datetime_tags_tell_time_where_all_files_have_one(tmp_path: Path) -> None:
    for name, stamp in (("b", "2024:03:05 23:59:58"), ("a", "2024:03:06 00:00:03")):
        tifffile.imwrite(tmp_path / f"{name}.tif", picture(0), datetime=stamp)
    sequence = open_sequence(tmp_path)
    assert (sequence.clock, sequence.stems) == ("TIFF DateTime", ["b", "a"])
    assert sequence.time_s.tolist() == [0, 5]
    tifffile.imwrite(tmp_path / "c.tif", picture(0), datetime="2024:03:06 00:00:03")
    coarse = open_sequence(tmp_path)
    assert (coarse.clock, coarse.stems) == ("unknown", ["a", "b", "c"])
    assert "the DateTime of several frames is the same second" in coarse.remarks[0]
    tifffile.imwrite(tmp_path / "c.tif", picture(0))
    assert open_sequence(tmp_path).clock == "unknown"


# Stacks


def write_stack(path: Path, kind: str, frames: NDArray[Any]) -> None:
    if kind == "contiguous":
        tifffile.imwrite(path, frames)
    elif kind == "one page":
        tifffile.imwrite(path, frames, truncate=True)
    elif kind == "imagej":
        tifffile.imwrite(path, frames, imagej=True, metadata={"axes": "TYX", "finterval": 0.5})
    elif kind == "compressed":
        tifffile.imwrite(path, frames, compression="zlib")
    elif kind == "pages":
        with tifffile.TiffWriter(path) as writer:
            for frame in frames:
                writer.write(frame, contiguous=False, metadata=None)
    else:
        images = [Image.fromarray(frame) for frame in frames]
        images[0].save(path, save_all=True, append_images=images[1:])


KINDS = ["contiguous", "one page", "imagej", "compressed", "pages", "pillow"]


@pytest.mark.parametrize("kind", KINDS)
def test_stacks_are_read_page_by_page_in_any_order(tmp_path: Path, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (13, 16, 20), np.uint8)
    write_stack(tmp_path / "30mM_1.6V.tif", kind, pixels)
    with open_sequence(tmp_path / "30mM_1.6V.tif") as sequence:
        assert (len(sequence), sequence.name) == (13, "30mM_1.6V")
        for number in (12, 0, 7, 7, 1):
            assert np.array_equal(sequence.frame(number), pixels[number])
        assert sequence.stems[12] == "30mM_1.6V_00012"
        assert sequence.names[12] == "30mM_1.6V.tif[12]"
        assert sequence.conditions == Conditions(30.0, 1.6, None)
        assert sequence.fingerprint(3) != sequence.fingerprint(4)
        if kind == "imagej":
            assert (sequence.clock, sequence.time_s[3]) == ("ImageJ", 1.5)
        else:
            assert sequence.clock == "unknown"
            assert np.isnan(sequence.time_s).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.3, 0.55, 0.8])
def test_of_a_truncated_stack_the_frames_before_the_break_are_read(
    tmp_path: Path, kind: str, share: float
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 60, 64), np.uint8)
    whole, path = tmp_path / "whole.tif", tmp_path / "cut.tif"
    write_stack(whole, kind, pixels)
    content = whole.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with open_sequence(path) as sequence:
        right = 0
        while right < 20:
            try:
                frame = sequence.frame(right)
            except FrameError:
                break
            assert np.array_equal(frame, pixels[right])
            right += 1
        with pytest.raises(FrameError, match=rf"cut.tif\[{right}\]: "):
            sequence.frame(right)
        assert 20 * share - 3 < right <= 20 * share + 1
        assert f"the file breaks off after {right} whole frames" in sequence.remarks
        with pytest.raises(FrameError, match=r"cut.tif\[19\]: "):
            sequence.frame(19)


@pytest.mark.parametrize("kind", KINDS)
def test_wherever_a_stack_is_cut_no_frame_is_read_wrongly(tmp_path: Path, kind: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (12, 16, 20), np.uint8)
    path = tmp_path / "x.tif"
    write_stack(path, kind, pixels)
    content = path.read_bytes()
    for size in range(len(content) // 3, len(content), 41):
        path.write_bytes(content[:size])
        with open_sequence(path) as sequence:
            read = 0
            for number in range(len(sequence)):
                with contextlib.suppress(FrameError):
                    assert np.array_equal(sequence.frame(number), pixels[number])
                    read += 1
            assert read > 0
            broken = any(f"breaks off after {read} whole" in text for text in sequence.remarks)
            assert broken or read == 12


def test_pages_in_colour_or_16_bits_become_grey_as_single_images_do(tmp_path: Path) -> None:
    colours = np.zeros((3, 16, 20, 3), np.uint8)
    colours[..., 1] = 100
    tifffile.imwrite(tmp_path / "colour.tif", colours, photometric="rgb")
    deep, inverted = np.full((3, 16, 20), 999, ">u2"), np.full((3, 16, 20), 55, np.uint8)
    with tifffile.TiffWriter(tmp_path / "deep.tif", byteorder=">") as writer:
        writer.write(deep, photometric="minisblack", truncate=True)
    tifffile.imwrite(tmp_path / "i.tif", inverted, photometric="miniswhite", truncate=True)
    for name, dtype, grey in (
        ("colour", np.uint8, 59),
        ("deep", np.uint16, 999),
        ("i", np.uint8, 200),
    ):
        with open_sequence(tmp_path / f"{name}.tif") as sequence:
            assert sequence.frame(2).dtype == dtype
            assert np.unique(sequence.frame(2)).tolist() == [grey]


@pytest.mark.parametrize("kind", ["folder", *KINDS])
def test_never_more_than_one_frame_is_in_memory(tmp_path: Path, kind: str) -> None:
    frames = np.zeros((24, 500, 1000), np.uint8)
    path = tmp_path / "stack.tif"
    if kind == "folder":
        path = tmp_path
        for number, frame in enumerate(frames):
            tifffile.imwrite(tmp_path / f"f{number}.tif", frame)
    else:
        write_stack(path, kind, frames)
    tracemalloc.start()
    try:
        with open_sequence(path) as sequence:
            assert sum(frame.shape[0] for frame in sequence) == 24 * 500
        peak_frames = tracemalloc.get_traced_memory()[1] / frames[0].nbytes
    finally:
        tracemalloc.stop()
    # What a decoder holds beside the frame: the file's content, a buffer.
    assert peak_frames < 4


def test_thumbnails_in_a_stack_are_no_frames(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "stack.tif") as writer:
        for grey in (5, 6):
            writer.write(picture(grey), contiguous=False, metadata=None)
            writer.write(picture(grey)[::4, ::4], subfiletype=1, metadata=None)
    with open_sequence(tmp_path / "stack.tif") as sequence:
        assert [int(frame[0, 0]) for frame in sequence] == [5, 6]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"TimeIncrement": 2.5}, [0, 2.5, 5.0]),
        ({"TimeIncrement": 500, "TimeIncrementUnit": "ms"}, [0, 0.5, 1.0]),
        ({"Plane": {"DeltaT": [0.0, 4.0, 9.0]}}, [0, 4, 9]),
        ({"Plane": {"DeltaT": [10, 40, 90], "DeltaTUnit": ["ms"] * 3}}, [0, 0.03, 0.08]),
        ({"TimeIncrement": 3, "Plane": {"DeltaT": [7.0, 7.0, 7.0]}}, [0, 3, 6]),
    ],
)
def test_ome_metadata_tell_time(
    tmp_path: Path, metadata: dict[str, Any], expected: list[float]
) -> None:
    stack = np.stack([picture(grey) for grey in range(3)])
    tifffile.imwrite(tmp_path / "x.ome.tif", stack, metadata={"axes": "TYX", **metadata})
    with open_sequence(tmp_path / "x.ome.tif") as sequence:
        assert sequence.clock == "OME"
        assert np.allclose(sequence.time_s, expected)
        assert sequence.stems[1] == "x_00001"
        assert sequence.name == "x"


def test_planes_are_ordered_by_their_time(tmp_path: Path) -> None:
    stack = np.stack([picture(grey) for grey in range(3)])
    metadata = {"axes": "TYX", "Plane": {"DeltaT": [5.0, 9.0, 1.0]}}
    tifffile.imwrite(tmp_path / "x.ome.tif", stack, metadata=metadata)
    with open_sequence(tmp_path / "x.ome.tif") as sequence:
        assert [int(frame[0, 0]) for frame in sequence] == [2, 0, 1]
        assert sequence.time_s.tolist() == [0, 4, 8]
        assert sequence.names == ["x.ome.tif[2]", "x.ome.tif[0]", "x.ome.tif[1]"]


@pytest.mark.parametrize(
    ("shape", "options", "reason"),
    [
        ((2, 3, 16, 20), {"ome": True, "metadata": {"axes": "TCYX"}}, "holds 3 channels"),
        ((2, 3, 16, 20), {"ome": True, "metadata": {"axes": "TZYX"}}, "holds 3 planes of depth"),
        ((2, 3, 16, 20), {"imagej": True, "metadata": {"axes": "TCYX"}}, "holds 3 channels"),
        ((2, 3, 16, 20), {"imagej": True, "metadata": {"axes": "TZYX"}}, "3 planes of depth"),
        ((3, 16, 20), {"ome": False, "metadata": {"axes": "ZYX"}}, "holds 3 planes of depth"),
        ((2, 5, 16, 20), {}, "holds 10 images along more axes than time"),
    ],
)
def test_channels_and_depth_are_refused(
    tmp_path: Path, shape: tuple[int, ...], options: dict[str, Any], reason: str
) -> None:
    pixels = np.zeros(shape, np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", pixels, photometric="minisblack", **options)
    with pytest.raises(FrameError, match=f"x.tif: .*{reason}"):
        open_sequence(tmp_path / "x.tif")


def test_an_ome_stack_in_colour_is_no_stack_of_channels(tmp_path: Path) -> None:
    pixels = np.full((4, 16, 20, 3), 77, np.uint8)
    tifffile.imwrite(tmp_path / "x.ome.tif", pixels, photometric="rgb", metadata={"axes": "TYXS"})
    with open_sequence(tmp_path / "x.ome.tif") as sequence:
        assert len(sequence) == 4
        assert np.unique(sequence.frame(3)).tolist() == [77]


def test_ome_data_of_several_images_or_files_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "two.ome.tif") as writer:
        for _ in range(2):
            writer.write(np.zeros((2, 16, 20), np.uint8), metadata={"axes": "TYX"})
    with pytest.raises(FrameError, match="holds 2 OME images"):
        open_sequence(tmp_path / "two.ome.tif")
    blocks = "".join(
        f'<TiffData IFD="0" FirstT="{t}" PlaneCount="1"><UUID FileName="{name}">u</UUID></TiffData>'
        for t, name in enumerate(("part.ome.tif", "other.ome.tif"))
    )
    text = f'<OME><Image><Pixels SizeT="2">{blocks}</Pixels></Image></OME>'
    tifffile.imwrite(tmp_path / "part.ome.tif", picture(0), description=text, metadata=None)
    with pytest.raises(FrameError, match="is one of 2 files of an OME data set"):
        open_sequence(tmp_path / "part.ome.tif")


def test_broken_ome_metadata_are_remarked(tmp_path: Path) -> None:
    text = "<OME><Image></OME>"
    tifffile.imwrite(tmp_path / "x.tif", picture(0), description=text, metadata=None)
    with open_sequence(tmp_path / "x.tif") as sequence:
        assert sequence.remarks[0].startswith("its OME metadata cannot be read (mismatched tag")
        assert sequence.frame(0)[0, 0] == 0


def test_datetime_tags_of_pages_tell_time(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        for second in (2, 4, 9):
            stamp = f"2024:03:05 10:00:0{second}"
            writer.write(picture(second), datetime=stamp, contiguous=False, metadata=None)
    with open_sequence(tmp_path / "x.tif") as sequence:
        assert (sequence.clock, sequence.time_s.tolist()) == ("TIFF DateTime", [0, 2, 7])
    with open_sequence(tmp_path / "x.tif", interval_s=3) as sequence:
        assert (sequence.clock, sequence.time_s.tolist()) == ("interval", [0, 3, 6])


def test_settings_for_names_are_of_no_use_for_a_stack(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((2, 16, 20), np.uint8))
    with pytest.raises(SettingsError, match="pattern: is only for the names of single images"):
        open_sequence(tmp_path / "x.tif", pattern=r"(?P<index>\d)")
    with pytest.raises(SettingsError, match="start: is only for the names of single images"):
        open_sequence(tmp_path / "x.tif", start=3)


def test_what_is_no_stack_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_text("not a TIFF")
    with tifffile.TiffWriter(tmp_path / "none.tif") as writer:
        writer.write(picture(0), subfiletype=1, metadata=None)
    for name, reason in (("x.tif", "broken or truncated TIFF"), ("none.tif", "holds no frame")):
        with pytest.raises(FrameError, match=f"{name}: {reason}"):
            open_sequence(tmp_path / name)


def test_frames_that_a_stack_has_lost_are_named(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 60, 64), np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", pixels, compression="zlib")
    content = (tmp_path / "x.tif").read_bytes()
    (tmp_path / "x.tif").write_bytes(content[: len(content) // 2])
    with open_sequence(tmp_path / "x.tif") as sequence:
        assert len(sequence) == 20
        with pytest.raises(FrameError, match=r"x.tif\[19\]: is lost, the file breaks off after"):
            sequence.frame(19)


# Videos


def write_video(
    path: Path,
    greys: Sequence[int],
    codec: str = "ffv1",
    pixel_format: str = "gray",
    times_ms: Sequence[int] | None = None,
    movflags: str = "",
    bf: int = 0,
) -> None:
    """One plain picture for each grey level, ten a second unless times are given."""
    times = times_ms or range(0, 100 * len(greys), 100)
    base = Fraction(1, 10) if path.suffix == ".avi" else Fraction(1, 1000)
    with av.open(str(path), "w", options={"movflags": movflags} if movflags else {}) as file:
        stream = cast("av.VideoStream", file.add_stream(codec, rate=10))
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        stream.options = {"bf": str(bf)} if bf else {}
        stream.bit_rate = 8_000_000
        stream.codec_context.gop_size = 5
        stream.time_base = stream.codec_context.time_base = base
        noise = np.random.default_rng(0).integers(0, 3, (48, 64), np.uint8)
        for grey, time_ms in zip(greys, times, strict=True):
            pixels = noise + np.uint8(grey)
            frame = av.VideoFrame.from_ndarray(pixels, format="gray").reformat(format=pixel_format)
            frame.pts, frame.time_base = round(Fraction(time_ms, 1000) / base), base
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


GREYS = list(range(5, 245, 6))
WRITERS: dict[str, dict[str, Any]] = {
    "v.mkv": {},
    "v.mov": {"codec": "rawvideo"},
    "v.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "v.mp4": {"codec": "libx264", "pixel_format": "yuv420p", "bf": 2},
    "b.mkv": {"codec": "libx264", "pixel_format": "yuv420p", "bf": 2},
    "b.avi": {"codec": "mpeg4", "pixel_format": "yuv420p", "bf": 2},
}


@pytest.mark.parametrize("name", WRITERS)
def test_frames_of_a_video_are_read_in_any_order(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / name, GREYS, **WRITERS[name])
    with open_sequence(tmp_path / name) as sequence:
        assert (len(sequence), sequence.clock) == (40, "video")
        assert np.allclose(sequence.time_s, np.arange(40) / 10)
        assert sequence.remarks == []
        assert sequence.names[3] == f"{name}[3]"
        assert sequence.stems[3] == f"{name[0]}_00003"
        for number in (*range(40), 39, 7, 8, 21, 20, 0):
            assert abs(float(sequence.frame(number).mean()) - GREYS[number] - 1) < 3, number
        assert (sequence.shape, str(sequence.dtype)) == ((48, 64), "uint8")


def test_a_varying_frame_rate_is_respected(tmp_path: Path) -> None:
    times_ms = [0, 100, 350, 360, 2000, 2100]
    write_video(tmp_path / "v.mkv", GREYS[:6], times_ms=times_ms)
    with open_sequence(tmp_path / "v.mkv") as sequence:
        assert np.allclose(sequence.time_s, np.asarray(times_ms) / 1000)
        assert float(sequence.frame(4).mean()) == pytest.approx(GREYS[4] + 1, abs=0.5)
        assert not any("breaks off" in remark for remark in sequence.remarks)


def test_a_video_is_decoded_once_in_one_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "v.mkv", GREYS)
    with open_sequence(tmp_path / "v.mkv") as sequence:
        seeks: list[int] = []
        seek = Video._seek

        def count(video: Video, key: int) -> None:
            seeks.append(key)
            seek(video, key)

        monkeypatch.setattr(Video, "_seek", count)
        list(sequence)
        assert seeks == [0]
        sequence.frame(22)
        assert len(seeks) == 2
        assert 0 < seeks[1] <= 22


def test_deep_and_coloured_videos(tmp_path: Path) -> None:
    write_video(tmp_path / "deep.mkv", [10, 200], pixel_format="gray16le")
    write_video(tmp_path / "rgb.mkv", [10, 200], codec="ffv1", pixel_format="bgr0")
    with open_sequence(tmp_path / "deep.mkv") as deep:
        assert deep.dtype == np.uint16
        assert float(deep.frame(1).mean()) == pytest.approx(201 * 257, rel=0.01)
    with open_sequence(tmp_path / "rgb.mkv") as colour:
        assert colour.dtype == np.uint8
        assert float(colour.frame(1).mean()) == pytest.approx(201, abs=0.5)


CUTS: dict[str, Callable[[Path], None]] = {
    "v.mkv": lambda path: write_video(path, GREYS),
    "v.avi": lambda path: write_video(path, GREYS, "rawvideo"),
    "v.mp4": lambda path: write_video(path, GREYS, "mjpeg", "yuvj420p", movflags="faststart"),
    "h.mkv": lambda path: write_video(path, GREYS, "libx264", "yuv420p", bf=2),
}


@pytest.mark.parametrize("name", CUTS)
def test_a_video_that_breaks_off_gives_what_can_be_decoded(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    CUTS[name](path)
    with open_sequence(path) as sequence:
        whole = [frame.copy() for frame in sequence]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.7)])
    with open_sequence(path) as sequence:
        count = len(sequence)
        assert 3 < count < 40
        (remark,) = (remark for remark in sequence.remarks if "breaks off" in remark)
        last_s = sequence.time_s[-1]
        assert remark == f"the video breaks off after {count} frames, {last_s:.4g} s"
        for number in range(3, count - 3):
            assert np.array_equal(sequence.frame(number), whole[number])
        with pytest.raises(FrameError, match=rf"{name}\[{count}\]: .*breaks off after {count}"):
            sequence.frame(count)


def test_damage_in_the_middle_costs_only_the_frames_it_hits(tmp_path: Path) -> None:
    path = tmp_path / "v.mkv"
    write_video(path, GREYS, "mjpeg", "yuvj420p")
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    begin, size = packets[20].pos, packets[20].size
    assert begin is not None
    content[begin + 10 : begin + size] = bytes(size - 10)
    path.write_bytes(bytes(content))
    with open_sequence(path) as sequence:
        readable = []
        for number in range(len(sequence)):
            with contextlib.suppress(FrameError):
                frame = sequence.frame(number)
                assert abs(float(frame.mean()) - GREYS[number] - 1) < 3
                readable.append(number)
        assert readable == [number for number in range(40) if number != 20]
        with pytest.raises(FrameError, match=r"v.mkv\[20\]: broken or truncated video"):
            sequence.frame(20)


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_text("not a video")
    with pytest.raises(FrameError, match="x.mp4: broken or truncated video"):
        open_sequence(tmp_path / "x.mp4")
    with av.open(str(tmp_path / "sound.mkv"), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        sound.sample_rate = 8000
        file.mux(stream.encode(sound))
    with pytest.raises(FrameError, match="sound.mkv: holds no video"):
        open_sequence(tmp_path / "sound.mkv")


def test_videos_without_frames_or_times_are_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "cut.mp4", GREYS, "mjpeg", "yuvj420p", movflags="faststart")
    content = (tmp_path / "cut.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: content.index(b"mdat") + 8])
    with pytest.raises(FrameError, match="cut.mp4: no frame in it can be read; copy the file anew"):
        open_sequence(tmp_path / "cut.mp4")
    write_video(tmp_path / "raw.h264", GREYS, "libx264", "yuv420p")
    (tmp_path / "raw.h264").rename(tmp_path / "raw.mp4")
    with pytest.raises(FrameError, match="raw.mp4: has frames without time; convert it to MP4"):
        open_sequence(tmp_path / "raw.mp4")


def test_a_video_without_pyav_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.mp4").touch()
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'corroscope\[video\]'"):
        open_sequence(tmp_path / "x.mp4")


def test_real_names_are_read(real_folder: Path) -> None:
    """The published patches are cut from frames, and have no clock: an order and no times."""
    files = [file for file in real_folder.glob("*.png") if "mask" not in file.name]
    sequence = open_sequence(files[:5])
    assert np.isnan(sequence.time_s).all()
    assert sequence.conditions == Conditions(30.0, None, 2)
    assert sequence.frame(4).shape == (200, 200)
