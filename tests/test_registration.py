"""References, and a whole sequence against one of them."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from corroscope.errors import BatchError, FrameError, SettingsError
from corroscope.frames import registration as registration_module
from corroscope.frames.opening import open_sequence
from corroscope.frames.reference import Choice, Reference, find_reference, parse_choice
from corroscope.frames.registration import Measured, Registrar, Registration, register
from corroscope.frames.sequence import FrameSequence

SIDE = 128
Picture = NDArray[Any]
Opener = Callable[[Sequence[Picture | None]], FrameSequence]


def metal(seed: int = 0) -> Picture:
    """A surface with texture, larger than a frame."""
    rng = np.random.default_rng(seed)
    fine = cv2.GaussianBlur(rng.normal(0, 1, (SIDE + 64, SIDE + 64)), (0, 0), 1.3)
    return np.asarray(180 + 8 * fine / fine.std())


def view(dy: int = 0, dx: int = 0, gain: float = 1.0, seed: int = 0) -> Picture:
    """A frame of it that has moved by whole pixels."""
    top, left = 32 - dy, 32 - dx
    cropped = gain * metal(seed)[top : top + SIDE, left : left + SIDE]
    return np.asarray(np.rint(cropped), np.uint8)


BLANK = np.full((SIDE, SIDE), 180, np.uint8)
NOISE = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE)).astype(np.uint8)


@pytest.fixture
def opened(tmp_path: Path) -> Opener:
    """A sequence of these frames, one a second; None is one that cannot be read."""

    def write(frames: Sequence[Picture | None]) -> FrameSequence:
        folder = tmp_path / "frames"
        folder.mkdir()
        for number, frame in enumerate(frames):
            path = folder / f"snap-10-00-{number:02d}.tif"
            if frame is None:
                path.write_text("broken")
            else:
                tifffile.imwrite(path, frame)
        return open_sequence(folder)

    return write


def measured(sequence: FrameSequence, choice: str = "first") -> Registration:
    reference = find_reference(sequence, parse_choice(choice))
    registrar = Registrar(reference, sequence)
    return register(sequence, [registrar.measure(n) for n in range(len(sequence))], reference)


# The reference


def test_choices_are_understood() -> None:
    assert parse_choice("first") == Choice("first")
    assert parse_choice("median:25") == Choice("median", frames=25)
    assert parse_choice("rolling:1") == Choice("rolling", frames=1)
    assert parse_choice("a/median.tif") == Choice("file", file=Path("a/median.tif"))
    assert parse_choice(Path("first.tif")) == Choice("file", file=Path("first.tif"))


@pytest.mark.parametrize(
    "text",
    [
        "median",
        "median:",
        "median:1",
        "median:26",
        "median:x",
        "rolling",
        "rolling:0",
        "rolling:-3",
    ],
)
def test_wrong_choices_are_refused(text: str) -> None:
    kind = text.partition(":")[0]
    with pytest.raises(SettingsError, match=f"reference {text}: give a number .* as {kind}:5"):
        parse_choice(text)


def test_the_first_frame_that_shows_something_is_the_reference(opened: Opener) -> None:
    with opened([None, BLANK, view(), view(1)]) as sequence:
        reference = find_reference(sequence, Choice("first"))
    assert reference.name == "snap-10-00-02.tif"
    assert np.array_equal(reference.picture, view())


def test_a_sequence_that_shows_nothing_is_refused_by_its_first_frame(opened: Opener) -> None:
    with (
        opened([BLANK, BLANK]) as sequence,
        pytest.raises(FrameError, match=r"^snap-10-00-00.tif: the reference shows no texture"),
    ):
        find_reference(sequence, Choice("first"))


def test_a_sequence_that_cannot_be_read_is_refused_by_its_first_frame(opened: Opener) -> None:
    with (
        opened([None, None]) as sequence,
        pytest.raises(FrameError, match=r"snap-10-00-00.tif: not a PNG, TIFF or JPEG"),
    ):
        find_reference(sequence, Choice("first"))


@pytest.mark.parametrize("kind", ["rolling:2", "first"])
def test_frames_are_aligned_to_the_first_where_the_reference_is_rolling(
    opened: Opener, kind: str
) -> None:
    with opened([view(), view(1)]) as sequence:
        assert find_reference(sequence, parse_choice(kind)).name == sequence.names[0]


def test_what_moves_is_not_in_a_median(opened: Opener) -> None:
    frames: list[Picture | None] = [view(n, -n) for n in range(5)]
    for number, frame in enumerate(frames):
        assert frame is not None
        frame[20 + 15 * number : 26 + 15 * number, 60:66] = 20
    frames.insert(2, None)
    frames.insert(3, NOISE)
    with opened(frames) as sequence:
        reference = find_reference(sequence, Choice("median", frames=5))
    assert reference.name == "median of 5 frames, snap-10-00-00.tif to snap-10-00-06.tif"
    assert reference.picture.dtype == np.float32
    inside = np.s_[8:-8, 8:-8]
    assert np.abs(reference.picture - view())[inside].max() < 8
    # Where four frames of five do not reach, the first one stands alone.
    assert np.array_equal(reference.picture[-1], frames[0][-1])  # type: ignore[index]


def test_a_median_of_more_frames_than_can_be_aligned_is_refused(opened: Opener) -> None:
    with (
        opened([view(), NOISE, None, view(1)]) as sequence,
        pytest.raises(
            FrameError, match=r"snap-10-00-00.tif: of it and .* only 2 of 3 for the median .* fewer"
        ),
    ):
        find_reference(sequence, Choice("median", frames=3))


def test_a_reference_from_a_file_is_corrected_as_the_frames_are(
    opened: Opener, tmp_path: Path
) -> None:
    opened([view(), view(1)]).close()
    shade = np.linspace(0.5, 1, SIDE)
    tifffile.imwrite(tmp_path / "flat.tif", np.asarray(200 * shade + 0 * shade[:, None], np.uint8))
    tifffile.imwrite(tmp_path / "before.tif", np.asarray(view() * shade, np.uint8))
    tifffile.imwrite(tmp_path / "small.tif", view()[:100])
    with open_sequence(tmp_path / "frames", flat=tmp_path / "flat.tif") as sequence:
        picture = find_reference(sequence, parse_choice(tmp_path / "before.tif")).picture
        columns = picture.mean(axis=0)
        assert columns.max() / columns.min() < 1.1
        with pytest.raises(FrameError, match=r"small.tif: .*flat.tif: the frame has shape \(100"):
            find_reference(sequence, parse_choice(tmp_path / "small.tif"))


def test_a_reference_that_is_missing_is_refused(opened: Opener) -> None:
    with opened([view()]) as sequence, pytest.raises(FrameError, match=r"before.tif: "):
        find_reference(sequence, parse_choice("before.tif"))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_names_that_are_no_text_are_refused(opened: Opener, tmp_path: Path) -> None:
    named = os.fsdecode(os.fsencode(tmp_path) + b"/30\xb5M.tif")
    with opened([view()]) as sequence:
        with pytest.raises(FrameError, match=r"30\\xb5M.tif: the name is not valid UTF-8; rename"):
            find_reference(sequence, parse_choice(named))
        reference = find_reference(sequence, Choice("first"))
        sequence.names[0] = os.fsdecode(b"30\xb5M.tif")
        with pytest.raises(FrameError, match=r"^30\\xb5M.tif: the name is not valid UTF-8; rename"):
            Registrar(reference, sequence)


# Measuring


def test_a_reference_of_another_size_is_refused(opened: Opener) -> None:
    with (
        opened([view()]) as sequence,
        pytest.raises(FrameError, match="old.tif: the reference is 128×120 px, the frames 128×128"),
    ):
        Registrar(Reference(view()[:, :120], "old.tif"), sequence)


def test_a_reference_that_shows_nothing_is_refused(opened: Opener) -> None:
    with (
        opened([view()]) as sequence,
        pytest.raises(FrameError, match=r"^old.tif: the reference shows no texture at all"),
    ):
        Registrar(Reference(BLANK, "old.tif"), sequence)


def test_drift_and_gain_are_those_of_the_frame(opened: Opener) -> None:
    with opened([view(), view(3, -2, 0.9)]) as sequence:
        registrar = Registrar(find_reference(sequence, Choice("first")), sequence)
        one = registrar.measure(1, (2.0, 0.0))
    assert one.aligned
    assert one.problem == ""
    assert (one.dy_px, one.dx_px) == pytest.approx((3, -2), abs=0.05)
    assert one.gain == pytest.approx(0.9, abs=0.01)
    assert one.correlation > 0.9


def test_a_frame_that_is_not_near_is_searched_for(opened: Opener) -> None:
    with opened([view(), view(20, -18)]) as sequence:
        registrar = Registrar(find_reference(sequence, Choice("first")), sequence)
        one = registrar.measure(1, (0.0, 0.0))
    assert (one.dy_px, one.dx_px) == pytest.approx((20, -18), abs=0.05)


def test_gain_is_unknown_where_there_is_no_light(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dark(*_: object) -> None:
        raise FrameError("no bright pixel")

    monkeypatch.setattr(registration_module, "match_light", dark)
    with opened([view()]) as sequence:
        registrar = Registrar(find_reference(sequence, Choice("first")), sequence)
        one = registrar.measure(0)
    assert one.aligned
    assert np.isnan(one.gain)


# A whole sequence


def test_a_frame_that_cannot_be_compared_is_named_and_no_other(opened: Opener) -> None:
    frames: list[Picture | None] = [view(n // 3) for n in range(14)]
    frames[2] = None
    frames[4] = NOISE
    frames[6] = view(seed=5)
    frames[8] = BLANK
    frames[11] = view(3).astype(np.uint16)
    frames[13] = view()[:100]
    with opened(frames) as sequence:
        registration = measured(sequence)
        table = registration.table(sequence)
        with pytest.raises(BatchError, match="6 of 14 inputs failed, 8 done") as caught:
            registration.raise_failures(sequence, 8)
    bad = [2, 4, 6, 8, 11, 13]
    assert list(caught.value.failures) == [sequence.names[n] for n in bad]
    assert table.index[~table["aligned"]].tolist() == bad
    assert table.index[table["flagged"]].tolist() == bad
    assert table.index[table["remark"] != ""].tolist() == bad
    unaligned = "cannot be aligned with the reference, snap-10-00-00.tif"
    reasons = ["not a PNG, TIFF", *[unaligned] * 3, "uint16", "is 100 × 128"]
    for number, reason in zip(bad, reasons, strict=True):
        assert sequence.names[number] in table["remark"][number]
        assert reason in table["remark"][number]
        assert not registration.known(number)
    good = [n for n in range(len(table)) if n not in bad]
    assert table["dy_px"][good].tolist() == pytest.approx([n // 3 for n in good], abs=1)
    assert table["dy_px"][bad].isna().all()
    # Those with neighbours on both sides have a place all the same, for what is drawn.
    assert registration.drift(bad[0])[0] == pytest.approx(bad[0] // 3, abs=1)


def test_a_stage_that_was_knocked_and_stays_is_followed(opened: Opener) -> None:
    with opened([view(*((12, -9) if n > 4 else (0, 0))) for n in range(10)]) as sequence:
        registration = measured(sequence)
        registration.raise_failures(sequence, 10)
    assert registration.drift(7) == pytest.approx((12, -9), abs=0.1)


def test_a_frame_that_jumps_is_where_it_was_measured(opened: Opener) -> None:
    with opened([view(*((9, 7) if n == 6 else (n // 3, 0))) for n in range(12)]) as sequence:
        registration = measured(sequence)
        registration.raise_failures(sequence, 12)
        table = registration.table(sequence)
    assert table.index[table["flagged"]].tolist() == [6]
    assert table["aligned"].all()
    assert registration.drift(6) == pytest.approx((9, 7), abs=0.05)


def test_a_frame_that_jumps_and_hardly_resembles_the_reference_is_not_believed(
    opened: Opener,
) -> None:
    with opened([view() for _ in range(9)]) as sequence:
        reference = find_reference(sequence, Choice("first"))
        frames = [Measured(0.0, 0.1 * n, 0.02, 0.9, True, 1.0) for n in range(9)]
        frames[4] = Measured(7.25, 0.4, 0.02, 0.5, True, 1.0)
        registration = register(sequence, frames, reference)
    assert [registration.known(n) for n in range(9)] == [n != 4 for n in range(9)]
    assert registration.drift(4) == pytest.approx((0, 0.4), abs=0.05)
    name = sequence.names[4]
    assert registration.remarks[4] == (
        f"{name}: its drift of 7.2, 0.4 px does not fit the frames around it"
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_short_run_on_an_unsteady_stage_is_aligned(opened: Opener, seed: int) -> None:
    moves = np.random.default_rng(seed).integers(-9, 10, (5, 2)).tolist()
    moves[0] = [0, 0]
    with opened([view(*move) for move in moves]) as sequence:
        registration = measured(sequence)
        registration.raise_failures(sequence, 5)
    for number, move in enumerate(moves):
        assert registration.drift(number) == pytest.approx(move, abs=0.1)


def test_the_second_of_two_frames_with_one_time_is_left_out(tmp_path: Path) -> None:
    for clock in ("10-00-00.5", "10-00-01.5", "10-00-01.50"):
        tifffile.imwrite(tmp_path / f"snap-{clock}.tif", view())
    with open_sequence(tmp_path) as sequence:
        registration = measured(sequence)
    assert registration.remarks[:2] == ["", ""]
    both = "snap-10-00-01.50.tif: has the same time as snap-10-00-01.5.tif"
    assert registration.remarks[2] == both


def test_a_sequence_that_breaks_off_is_told_of(opened: Opener) -> None:
    with opened([view(), view()]) as sequence:
        sequence.broken = "the video breaks off after 2 frames, 1 s"
        with pytest.raises(BatchError, match="frames: the video breaks off after 2 frames"):
            measured(sequence).raise_failures(sequence, 2)


def test_a_rolling_reference_is_never_a_frame_that_is_not_known() -> None:
    good, bad = Measured(0.0, 0.0, 0.01, 0.9, True, 1.0), Measured(problem="broken")
    frames = [bad, good, good, bad, good, good, bad, bad, bad, good]
    zeros, aligned = np.zeros(10), np.array([m.aligned for m in frames])
    registration = Registration(frames, zeros, zeros, aligned, ~aligned, [""] * 10)
    earlier = [registration.earlier(n, Choice("rolling", frames=2)) for n in range(10)]
    assert [earlier[n] for n in (1, 2, 4, 5, 9)] == [1, 1, 2, 4, 5]
    assert registration.earlier(4, Choice("first")) is None
