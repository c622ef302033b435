"""The offset between the clocks: found where something tells it, never invented."""

from datetime import date, datetime

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from corroscope.current.charge import Charge
from corroscope.current.clocks import clock_offset
from corroscope.current.growth import event_rate, volume_growth
from corroscope.current.lags import lag_gains, weighted_gains
from corroscope.current.offset import find_offset
from corroscope.current.record import Current, Source
from corroscope.errors import CurrentError
from corroscope.synthesis.current import record_current
from corroscope.synthesis.pits import found_pits
from corroscope.synthesis.settings import make_synth_settings

SOURCE = Source("a.mpt", "BioLogic mpt", "", "utf-8", "time/s", "I/mA", "s", "mA", False)


def record(
    time_s: NDArray[np.float64],
    current_ua: NDArray[np.float64],
    started: datetime | None = None,
    otherwise: datetime | None = None,
    clock_alone: bool = False,
) -> Current:
    return Current(time_s, current_ua, None, started, otherwise, clock_alone, None, SOURCE, ())


def run(
    seed: int, *, pits_per_mpx: float = 16, frames: int = 40, shift_s: float = 0.0
) -> tuple[Current, NDArray[np.float64], NDArray[np.float64], float]:
    """A record on a clock of its own, frames, growth of each pit as seen, and the true offset."""
    settings = make_synth_settings(
        {
            "frames": frames,
            "height_px": 768,
            "width_px": 768,
            "seed": seed,
            "pits": {"per_mpx": pits_per_mpx},
            "cell": {"lead_s": 5},
        }
    )
    rng = np.random.default_rng(seed)
    pits = found_pits((768, 768), settings, rng)
    time_s, current_ua = record_current(pits, settings.cell, settings.duration_s, rng)
    frame_s = np.arange(frames) + np.append(0, rng.normal(0, 0.05, frames - 1))
    area = np.array([pit.area_px(frame_s) for pit in pits])
    rows = [
        {"pit": pit, "frame": frame, "area_px": area[pit, frame]}
        for pit in range(len(pits))
        for frame in range(frames)
        if area[pit, frame] > 0
    ]
    growth = volume_growth(pd.DataFrame(rows), frame_s)
    return record(time_s + 5 + shift_s, current_ua), frame_s, growth, -5.0 - shift_s


@pytest.mark.parametrize("pits_per_mpx", [8, 16, 30])
@pytest.mark.parametrize("shift_s", [0.0, 13.37])
def test_synthetic_runs_are_met_within_a_frame(pits_per_mpx: float, shift_s: float) -> None:
    errors, held = [], []
    for seed in range(310, 316):
        current, frame_s, growth, true_s = run(seed, pits_per_mpx=pits_per_mpx, shift_s=shift_s)
        found = find_offset(current, frame_s, growth, np.random.default_rng(seed), resamples=99)
        if found.believed:
            errors.append(abs(found.offset_s - true_s))
            held.append(found.low_s <= true_s <= found.high_s)
    assert len(errors) >= 5
    assert max(errors) < 1.0
    assert sum(held) >= len(held) - 1


def test_irregular_frames_and_frames_that_tell_nothing() -> None:
    current, frame_s, growth, true_s = run(320, frames=80)
    grown = np.zeros_like(growth)
    grown[1:] = np.cumsum(growth[1:] * np.diff(frame_s)[:, None], axis=0)
    kept = np.sort(np.random.default_rng(0).choice(80, 60, replace=False))
    pits = pd.DataFrame(
        [
            {"pit": pit, "frame": frame, "area_px": grown[at, pit] ** (2 / 3)}
            for pit in range(growth.shape[1])
            for frame, at in enumerate(kept)
        ]
    )
    pits["measured"] = pits["frame"] % 7 != 3
    rates = volume_growth(pits, frame_s[kept])
    assert np.isnan(rates[[0, 3, 10], 0]).all()
    found = find_offset(current, frame_s[kept], rates, np.random.default_rng(1), resamples=99)
    assert found.believed
    assert abs(found.offset_s - true_s) < 1


def test_births_follow_the_current_itself(rng: np.random.Generator) -> None:
    births = np.sort(rng.uniform(3, 197, 60))
    time_s = np.arange(0, 230, 0.2)
    steps = (births[None] + 20 < time_s[:, None]).sum(axis=1)
    current = record(time_s, 2 + steps + 0.1 * rng.standard_normal(len(time_s)))
    frame_s = np.arange(200.0)
    rates = event_rate(births, frame_s)
    found = find_offset(current, frame_s, rates, rng, relation="current", resamples=99)
    assert found.believed
    assert abs(found.offset_s + 20) < 1


def test_what_has_nothing_to_do_with_the_current_is_not_believed() -> None:
    believed = 0
    for seed in range(330, 350):
        current, _, _, _ = run(seed)
        _, frame_s, growth, _ = run(seed + 100)
        found = find_offset(current, frame_s, growth, np.random.default_rng(seed), resamples=99)
        believed += found.believed
        if not found.believed:
            assert np.isnan([found.offset_s, found.sigma_s, found.low_s, found.high_s]).all()
            assert found.reason
    assert believed <= 2


def test_noise_is_not_believed(rng: np.random.Generator) -> None:
    current = record(np.arange(0, 60, 0.1), rng.normal(2, 0.1, 600))
    rates = rng.normal(0, 1, 50)
    found = find_offset(current, np.arange(50.0), rates, rng, resamples=99)
    assert not found.believed
    assert 0 < found.p_value <= 1
    assert len(found.lag_s) == len(found.gain)


@pytest.mark.parametrize(
    ("frame_s", "rate", "reason"),
    [
        (np.full(40, np.nan), np.ones(40), "times of the frames are unknown"),
        (np.arange(8.0), np.arange(8.0), "only 8 frames tell something, 12 are needed"),
        (np.arange(1.0), np.full(1, np.nan), "only 1 frames tell something"),
        (np.arange(40.0), np.full(40, np.nan), "only 1 frames tell something"),
        (np.arange(40.0), np.zeros(40), "the optical signal does not change"),
        (np.arange(40.0), np.zeros((40, 0)), "the optical signal does not change"),
        (np.arange(40.0), np.ones(40), "the optical signal does not change"),
    ],
)
def test_too_little_to_go_by(
    rng: np.random.Generator, frame_s: NDArray[np.float64], rate: NDArray[np.float64], reason: str
) -> None:
    current = record(np.arange(0, 60, 0.1), rng.normal(2, 0.1, 600))
    found = find_offset(current, frame_s, rate, rng)
    assert not found.believed
    assert reason in found.reason
    assert np.isnan(found.offset_s)


def test_a_record_that_covers_too_few_frames(rng: np.random.Generator) -> None:
    current = record(np.arange(0, 5, 0.1), rng.normal(2, 0.1, 50))
    found = find_offset(current, np.arange(100.0), rng.normal(0, 1, 100), rng)
    assert "covers fewer than 50 frames" in found.reason


def test_a_signal_of_the_opposite_sign_is_not_followed(rng: np.random.Generator) -> None:
    current, frame_s, growth, true_s = run(310, shift_s=0.0)
    flat = record(current.time_s, np.full_like(current.current_ua, 2.0))
    found = find_offset(flat, frame_s, growth, rng, resamples=99)
    assert found.reason == "the optical signal nowhere follows the current"
    turned = record(current.time_s, -current.current_ua)
    found = find_offset(turned, frame_s, growth, rng, clock_s=5.0, limit_s=1.0, resamples=99)
    assert not (found.believed and abs(found.offset_s - true_s) < 1)


# Wall clocks.

FILM = datetime(2024, 1, 15, 18, 27, 56)
CLOCK_S = 18 * 3600 + 27 * 60 + 56.0
TIME_S = np.arange(0, 60.0)


def at(started: datetime | None, **more: object) -> Current:
    return record(TIME_S, np.ones(60), started, **more)  # type: ignore[arg-type]


def test_clocks_tell_the_offset() -> None:
    begun = datetime(2024, 1, 15, 18, 27, 54)
    assert clock_offset(at(begun), 40.0, CLOCK_S, FILM.date()) == -2.0
    assert clock_offset(at(begun), 40.0, CLOCK_S) == -2.0
    assert np.isnan(clock_offset(at(None), 40.0, CLOCK_S))
    assert np.isnan(clock_offset(at(begun), 40.0, None))


def test_clocks_on_both_sides_of_midnight() -> None:
    begun = datetime(2024, 1, 14, 23, 59, 30)
    assert clock_offset(at(begun), 100.0, 10.0) == -40.0
    assert clock_offset(at(datetime(2024, 1, 15, 0, 0, 10)), 100.0, 86390.0) == 20.0
    alone = at(datetime(1900, 1, 1, 23, 59, 30), clock_alone=True)
    assert clock_offset(alone, 100.0, 10.0, FILM.date()) == -40.0


def test_a_record_that_begins_days_before() -> None:
    days = record(np.array([0.0, 3 * 86400.0]), np.ones(2), datetime(2024, 1, 13, 12))
    offset_s = clock_offset(days, 60.0, CLOCK_S)
    assert offset_s % 86400 == (12 * 3600 - CLOCK_S) % 86400
    assert -3 * 86400 <= offset_s <= 0
    assert clock_offset(days, 60.0, CLOCK_S, FILM.date()) == -(2 * 86400 + CLOCK_S - 43200)
    late = record(np.arange(0, 60.0) + 5 * 86400, np.ones(60), datetime(2024, 1, 10, 18, 27, 50))
    assert clock_offset(late, 60.0, CLOCK_S) == -6.0 - 5 * 86400


def test_day_and_month_the_other_way_round() -> None:
    begun, otherwise = datetime(2024, 3, 4, 18, 27, 54), datetime(2024, 4, 3, 18, 27, 54)
    for day in (begun.date(), otherwise.date()):
        assert clock_offset(at(begun, otherwise=otherwise), 40.0, CLOCK_S, day) == -2.0


def test_a_record_of_another_day_is_refused(rng: np.random.Generator) -> None:
    current = at(datetime(2024, 1, 16, 18, 27, 54))
    message = (
        r"a.mpt does not overlap the frames: it was recorded from 18:27:54 to 18:28:53 on "
        r"2024-01-16, they were taken from 18:27:56 to 18:28:36 on 2024-01-15; give"
    )
    with pytest.raises(CurrentError, match=message):
        clock_offset(current, 40.0, CLOCK_S, date(2024, 1, 15), limit_s=120)
    with pytest.raises(CurrentError, match="does not overlap"):
        find_offset(
            current, np.arange(41.0), np.ones(41), rng, clock_s=CLOCK_S, day=date(2024, 1, 15)
        )


def test_a_record_of_another_hour_is_refused() -> None:
    current = at(datetime(2024, 1, 15, 9, 0, 0))
    with pytest.raises(CurrentError, match="recorded from 09:00:00 to 09:00:59 on 2024-01-15"):
        clock_offset(current, 40.0, CLOCK_S)
    alone = at(datetime(1900, 1, 1, 9, 0, 0), clock_alone=True)
    with pytest.raises(CurrentError, match="recorded from 09:00:00 to 09:00:59, they"):
        clock_offset(alone, 40.0, CLOCK_S)


def test_the_search_is_round_what_clocks_say() -> None:
    current, frame_s, growth, true_s = run(311, shift_s=3.0)
    clock_s = 3600.0
    begun = datetime(2024, 1, 15, 1, 0, 0)  # as the frames; the record is 8 s ahead of this
    timed = record(current.time_s, current.current_ua, begun)
    rng = np.random.default_rng(0)
    found = find_offset(timed, frame_s, growth, rng, clock_s=clock_s, limit_s=15, resamples=99)
    assert found.clock_s == 0.0
    assert abs(found.lag_s).max() <= 15
    assert abs(found.offset_s - true_s) < 1
    wrong = find_offset(timed, frame_s, growth, rng, clock_s=clock_s, limit_s=2, resamples=99)
    assert not wrong.believed
    assert wrong.clock_s == 0.0


# What it is made of, against plain sums.


def test_charge_is_the_integral(rng: np.random.Generator) -> None:
    time_s = np.sort(rng.uniform(0, 10, 30))
    values = rng.normal(0, 1, 30)
    ends = rng.uniform(time_s[0], time_s[-1], 5)
    fine = np.linspace(time_s[0], time_s[-1], 400_001)
    filled = np.interp(fine, time_s, values)
    for end in ends:
        below = fine <= end
        total = np.trapezoid(filled[below], fine[below])
        assert Charge(time_s, values).until(np.array([end]))[0] == pytest.approx(total, abs=1e-3)


def test_gains_equal_least_squares(rng: np.random.Generator) -> None:
    shifted = np.cumsum(rng.standard_normal((4, 50)), axis=1)
    level = np.cumsum(rng.standard_normal(50)) + shifted[2]
    covered = np.ones((4, 50), bool)
    covered[3, 40:] = False
    drift = np.stack([np.ones(50), np.linspace(-1, 1, 50)], axis=1)
    spread = rng.uniform(0.5, 2, 48)
    pair = (0.5, 0.0)
    weights = rng.exponential(size=(1, 48))

    def white(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return (values[2:] - 0.5 * values[1:-1]) / spread.reshape(-1, *[1] * (values.ndim - 1))

    found = weighted_gains(level, shifted, covered, drift, spread, pair, weights)
    for lag in range(4):
        rows = covered[lag, 2:]
        root = np.sqrt(weights[0, rows])
        y = white(level)[rows] * root
        x = white(drift)[rows] * root[:, None]
        c = white(shifted[lag])[rows] * root
        without = np.sum((y - x @ np.linalg.lstsq(x, y)[0]) ** 2)
        both = np.column_stack([x, c])
        fitted = np.linalg.lstsq(both, y)[0]
        rest = np.sum((y - both @ fitted) ** 2) if fitted[-1] > 0 else without
        gain = -weights[0, rows].sum() / 2 * np.log(rest / without)
        assert found[lag, 0] == pytest.approx(gain, rel=1e-6, abs=1e-9)


def test_noise_is_told_from_what_it_hides(rng: np.random.Generator) -> None:
    source = np.cumsum(rng.standard_normal(102))
    shifted = np.stack([source[k : k + 100] for k in range(3)])
    covered, spread, drift = np.ones((3, 100), bool), np.ones(98), np.ones((100, 1))
    levels = source[1:101, None] + np.stack(
        [rng.standard_normal(100), np.cumsum(0.3 * rng.standard_normal(100))], axis=1
    )
    found = lag_gains(levels, shifted, covered, drift, spread, 20)
    assert found.gain.argmax(axis=0).tolist() == [1, 1]
    short = covered.copy()
    short[0, 15:] = False
    assert np.isneginf(lag_gains(levels, shifted, short, drift, spread, 20).gain[0]).all()


def test_equal_times_of_frames_tell_nothing() -> None:
    rates = event_rate(np.array([0.5, 1.5]), np.array([0.0, 1.0, 1.0, np.nan, 2.0]))
    assert np.isnan(rates[[0, 2, 3]]).all()
    assert rates[[1, 4]].tolist() == [1.0, 1.0]
    assert np.isnan(event_rate(np.zeros(0), np.full(3, np.nan))).all()
