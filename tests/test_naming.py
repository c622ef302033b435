"""File names: conditions and wall clock; clocks: order and times."""

import datetime
import itertools
import random
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corroscope.errors import FrameError, SettingsError
from corroscope.frames.clock import Gap, describe_times, order_names, unwrap_clock
from corroscope.frames.naming import Conditions, Name, check_pattern, find_parts, read_name

DAY_S = 86400


class Written(NamedTuple):
    """A name and what it must be read as."""

    stem: str
    truth: Name


CONCENTRATIONS = {
    "30mM": 30.0,
    "0,5mM": 0.5,
    "0.3M": 300.0,
    "500µM": 0.5,
    "500μM": 0.5,
    "250uM": 0.25,
    "1e-3M": 1.0,
    "100 mM": 100.0,
    "800nM": 0.0008,
    "": None,
}
POTENTIALS = {
    "1.6V": 1.6,
    "-0.25V": -0.25,
    "+1,6V": 1.6,
    "−0.4V": -0.4,
    "1600mV": 1.6,
    "-300mV": -0.3,
    "0V": 0.0,
    "1.6V_vs_SCE": 1.6,
    "": None,
}
CLOCKS = {
    "18-27-56.446": 66476.446,
    "18-27-56.4": 66476.4,
    "18-27-56.000001": 66476.000001,
    "18-27-56": 66476.0,
    "18_27_56,25": 66476.25,
    "18.27.56.446": 66476.446,
    "18:27:56.446": 66476.446,
    "18h27m56s": 66476.0,
    "18h27min56.5": 66476.5,
    "9-05-03.120": 32703.12,
    "00-00-00.000": 0.0,
    "23-59-59.999": 86399.999,
}


def corpus() -> list[Written]:
    """Conditions × repeats × clocks, each variant in many combinations."""
    written = []
    pairs = itertools.product(CONCENTRATIONS.items(), POTENTIALS.items())
    clocks, repeats = itertools.cycle(CLOCKS.items()), itertools.cycle([None, 2, 13, None, 1])
    for ((concentration, in_mm), (potential, in_v)), repeat, _ in zip(
        pairs, repeats, range(1000), strict=False
    ):
        for behind_concentration in (True, False):
            clock, clock_s = next(clocks)
            parts = [concentration, potential]
            place = 0 if behind_concentration else 1
            has = repeat is not None and bool(parts[place]) and not parts[place].endswith("SCE")
            if has:
                parts[place] += f"({repeat})"
            prefix = "_".join(part for part in parts if part)
            stem = f"{prefix}-w-snaps-{clock}" if prefix else f"snaps-{clock}"
            truth = Name(in_mm, in_v, repeat if has else None, clock_s=clock_s)
            written.append(Written(stem, truth))
    day = datetime.date(2024, 3, 5)
    for date in ("2024-03-05", "20240305", "2024_03_05", "2024.03.05"):
        for between, clock in itertools.product(("_", "-", "T", " "), ("18-27-56.446", "00.00.01")):
            clock_s = 66476.446 if clock.startswith("18") else 1.0
            truth = Name(30.0, 1.6, date=day, clock_s=clock_s)
            written.append(Written(f"30mM_1.6V_{date}{between}{clock}", truth))
    for compact, clock_s in (("182756", 66476.0), ("182756446", 66476.446), ("182756.5", 66476.5)):
        written.append(Written(f"cam_20240305_{compact}", Name(date=day, clock_s=clock_s)))
    written.append(Written("cam_20240305182756", Name(date=day, clock_s=66476.0)))
    written.append(Written("18-27-56_2024-03-05", Name(date=day, clock_s=66476.0)))
    written.append(Written("run-02-18-27-56.446", Name(clock_s=66476.446)))
    written.append(Written("18-27-56.446_0012", Name(clock_s=66476.446, index=12)))
    written.append(Written("18h27m56s_7", Name(clock_s=66476.0, index=7)))
    return written


def test_every_name_of_the_corpus_is_read_right() -> None:
    written = corpus()
    assert len({name.stem for name in written}) >= 200
    wrong = [(stem, read_name(stem), truth) for stem, truth in written if read_name(stem) != truth]
    assert wrong == []


def test_midnight_and_duplicates_of_a_run_are_put_in_order() -> None:
    truth_s = np.round(np.arange(300) * 5.5, 3)
    truth_s[40] = truth_s[39]
    stems = []
    for time_s in truth_s:
        clock = datetime.datetime(2024, 3, 5, 23, 50) + datetime.timedelta(seconds=float(time_s))
        stems.append(f"30mM_1.6V-w-snaps-{clock:%H-%M-%S}.{clock.microsecond // 1000:03d}")
    shuffled = np.random.default_rng(0).permutation(300)
    order, found_s = order_names([read_name(stems[place]) for place in shuffled])
    assert np.array_equal(found_s, truth_s)
    assert np.array_equal(truth_s[shuffled[order]], truth_s)


@pytest.mark.parametrize(
    "stem",
    [
        "Thumbs",
        "flatfield",
        "mask_1",
        "30mM_1.6V-w-snaps-25-00-00.000",
        "30mM_1.6V-w-snaps-25-61-61",
        "30mM_1.6V-w-snaps-23-59-60",
        "30mM_1.6V-w-snaps-18-27-56.446_mask",
        "30mM_1.6V-w-snaps-18-27-56.446 (1)",
        "30mM_1.6V-w-snaps-18-27-56 - Copy",
        "2024-13-45_18-27-56",
        "2024-03-05_frame",
        "30mM(2)_0.25_108.000",
        "IMG_0042",
        "182756",
    ],
)
def test_foreign_names_are_refused_by_name(stem: str) -> None:
    with pytest.raises(FrameError) as caught:
        read_name(stem)
    assert str(caught.value).startswith(f"{stem}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("stem", "reason"),
    [
        ("snaps-25-61-61", "there is no clock time 25:61:61"),
        ("2024-02-30_18-27-56", "there is no date 2024-02-30"),
        ("18-27-56.446_mask", "'_mask' follows the clock '18-27-56.446'; move it out"),
        ("flatfield", "has no clock time such as 18-27-56.446 at its end"),
    ],
)
def test_the_error_says_why(stem: str, reason: str) -> None:
    with pytest.raises(FrameError, match=f"{stem}: {reason}"):
        read_name(stem)


@pytest.mark.parametrize(
    "stem",
    ["18-27-56-446", "18_27_56_001", "12-13-14-15", "05-03-24-18-27-56", "20240305_182756_1"],
)
def test_a_clock_with_further_numbers_is_not_guessed(stem: str) -> None:
    with pytest.raises(FrameError, match="which of its numbers are the clock cannot be told"):
        read_name(stem)


@pytest.mark.parametrize(
    ("stem", "doubt"),
    [
        ("30mM-0.25V-w-snaps-18-27-56", "whether the potential -0.25V is negative cannot be told"),
        ("30mM(2)-1.6V-18-27-56", "whether the potential -1.6V is negative cannot be told"),
        ("30mM_5mM_18-27-56", "has several concentrations"),
        ("1.6V_0.4V_18-27-56", "has several potentials"),
        ("30mM(2)_1.6V(3)_18-27-56", "has several repeats"),
    ],
)
def test_what_cannot_be_told_stays_unknown_with_a_doubt(stem: str, doubt: str) -> None:
    name = read_name(stem)
    assert name.doubt == doubt
    assert None in name.conditions


@pytest.mark.parametrize("stem", ["30mm", "30MHz", "5Mpx", "12Vector", "30", "x1.2.3V"])
def test_other_units_are_no_conditions(stem: str) -> None:
    assert find_parts(stem) == Name()


def test_names_without_a_clock_still_tell_conditions() -> None:
    assert find_parts("0.1M_-0.25V(4)_frame7").conditions == Conditions(100.0, -0.25, 4)


def test_a_pattern_takes_the_place_of_what_is_built_in() -> None:
    pattern = (
        r"c(?P<concentration_mm>[\d,]+)_e(?P<potential_v>-?\d+)_r(?P<repeat>\d)"
        r"_(?P<day>\d\d)(?P<month>\d\d)(?P<year>\d{4})"
        r"_(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)_(?P<fraction>\d+)"
    )
    name = read_name("c0,5_e-1_r3_05032024_182756_25", pattern)
    assert name == Name(0.5, -1.0, 3, datetime.date(2024, 3, 5), 66476.25)
    assert read_name("t-1,5", r"t(?P<time_s>[-\d,]+)").time_s == -1.5
    assert read_name("frame0042_mask", r"(?P<index>\d+)").index == 42
    assert read_name("at 18.27", r"(?P<hour>\d+)\.(?P<minute>\d+)").clock_s == 66420.0


def test_a_name_that_does_not_fit_the_pattern_is_refused() -> None:
    with pytest.raises(FrameError, match="flatfield: does not fit the pattern"):
        read_name("flatfield", r"(?P<index>\d+)")
    with pytest.raises(FrameError, match="a: does not fit the pattern"):
        read_name("a", r"a(?P<index>\d+)?")


@pytest.mark.parametrize(
    ("pattern", "stem", "reason"),
    [
        (r"(?P<time_s>\w+)", "late", "late: time_s is 'late' and no number"),
        (r"(?P<index>.+)", "1.5", "1.5: index is '1.5' and no number"),
        (r"(?P<hour>\w+)-(?P<minute>\d+)", "x-10", "x-10: 'x:10' is no clock time"),
        (r"(?P<hour>\d+)-(?P<minute>\d+)", "24-00", "24-00: there is no clock time 24:00"),
    ],
)
def test_what_a_pattern_finds_must_be_a_number(pattern: str, stem: str, reason: str) -> None:
    with pytest.raises(FrameError, match=reason):
        read_name(stem, pattern)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", r"\( is no regular expression"),
        (r"(?P<index>\d+)(?P<colour>red)", "has the group colour; allowed are concentration_mm"),
        (r"\d+", "tells no order; add the group hour, time_s or index"),
        (r"(?P<repeat>\d+)", "tells no order"),
        (r"(?P<hour>\d)(?P<minute>\d)(?P<time_s>\d)", r"has a clock \(hour\) and time_s"),
        (r"(?P<hour>\d\d)", "has the group hour; add minute"),
        (r"(?P<hour>\d)(?P<minute>\d)(?P<fraction>\d)", "has the group fraction; add second"),
        (r"(?P<index>\d)(?P<minute>\d)", "has the group minute; add hour"),
        (r"(?P<index>\d)(?P<day>\d)", "has the group day; add hour and month and year"),
    ],
)
def test_a_pattern_that_cannot_work_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=f"pattern: .*{reason}"):
        check_pattern(pattern)


@given(
    st.lists(st.integers(1, 40_000), min_size=1, max_size=30),
    st.integers(0, DAY_S * 1000 - 1),
    st.randoms(use_true_random=False),
)
def test_times_unwrap_for_any_start(
    steps_ms: list[int], start_ms: int, shuffler: random.Random
) -> None:
    truth_ms = np.concatenate([[0], np.cumsum(steps_ms)])
    shuffled = list(range(truth_ms.size))
    shuffler.shuffle(shuffled)
    clock_s = ((truth_ms + start_ms) % (DAY_S * 1000))[shuffled] / 1000
    order, time_s = unwrap_clock(clock_s)
    assert np.array_equal(np.asarray(shuffled)[order], np.arange(truth_ms.size))
    assert np.allclose(time_s, truth_ms / 1000, rtol=0, atol=1e-9)


def test_a_run_without_a_clear_silence_needs_its_start() -> None:
    clock_s = [0.0, 30_000.0, 60_000.0]
    with pytest.raises(FrameError, match="where the run begins cannot be told.*give its start"):
        unwrap_clock(clock_s)
    order, time_s = unwrap_clock(clock_s, start=29_000)
    assert order.tolist() == [1, 2, 0]
    assert time_s.tolist() == [0, 30_000, 56_400]


def test_clocks_and_starts_outside_the_day_are_refused() -> None:
    for clock in (-1.0, 86400.0, np.nan):
        with pytest.raises(FrameError, match="clock 1 is .* give 0 to 86400 s"):
            unwrap_clock([5.0, clock])
    for start in (-1.0, 86400.0, float("nan")):
        with pytest.raises(SettingsError, match="start: .*allowed: from 0 to below 86400"):
            unwrap_clock([5.0], start)
    assert unwrap_clock([])[1].size == 0


def test_names_with_different_parts_cannot_be_ordered() -> None:
    with pytest.raises(FrameError, match="some of 2 names have a date, clock, time or index"):
        order_names([Name(clock_s=5.0), Name(time_s=5.0)])


def test_times_are_described() -> None:
    report = describe_times([0, 10, 10, 10, 20, 55, 65], start_clock_s=DAY_S - 30)
    assert report.duplicates == {2: 1, 3: 1}
    assert report.gaps == (Gap(4, 35.0),)
    assert report.midnight == 5
    assert (report.step_low_s, report.step_median_s, report.step_high_s) == (10, 10, 10)
    assert report.remarks == (
        "2 frames have the time of an earlier one: frame 2 that of 1, and so on",
        "1 gap (step longer than 3 times the median of 10 s): 35 s after frame 4",
        "the clock passes midnight before frame 5",
    )


def test_a_gap_follows_the_last_frame_of_its_time() -> None:
    assert describe_times([0, 1, 2, 3, 3, 30, 31]).gaps == (Gap(4, 27.0),)


def test_irregular_steps_are_remarked_and_regular_ones_are_not() -> None:
    assert describe_times(np.cumsum([1.0, 1.0, 2.0, 1.0, 2.0])).remarks == (
        "steps are irregular: 90 % of them lie between 1 and 2 s, their median is 1.5 s",
    )
    regular = describe_times(np.arange(10) * 5.5 + 0.01 * np.arange(10) % 0.03)
    assert (regular.remarks, regular.gaps, regular.duplicates) == ((), (), {})
    assert np.isnan(describe_times([0.0, np.nan]).step_median_s)
    assert describe_times([4.0, 4.0]).duplicates == {1: 0}


def test_times_out_of_order_are_refused() -> None:
    with pytest.raises(FrameError, match="frame 2 is earlier than the frame before it"):
        describe_times([0.0, 2.0, 1.0])
