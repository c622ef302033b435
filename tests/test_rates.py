"""Counts and rates of ejections through time."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from corroscope.errors import SettingsError
from corroscope.tables import RATES
from corroscope.tracking.rates import count_rates, smooth_rate

FRAMES = pd.DataFrame(
    {
        "frame": range(6),
        "time_s": [0.0, 1.0, 2.0, 3.0, 6.0, 7.0],
        "segmented": [True, True, True, False, True, True],
        "particles": [0, 2, 3, None, 5, 4],
    }
)
EVENTS = pd.DataFrame(
    {
        "event": ["nucleation", "ejection", "ejection", "ejection", "ejection", "settling"],
        "frame": [1, 1, 2, 3, 4, 5],
        "pit": [1, 1, 1, 1, 2, 1],
    }
)
TRACKS = pd.DataFrame({"track": [1, 1, 2, 3], "frame": [1, 2, 2, 4]})
SUMMARY = pd.DataFrame({"track": [1, 2, 3], "pit": [1, 1, 2]})
PITS = pd.DataFrame(
    {"pit": [1, 1, 1, 1, 1, 2, 2], "frame": [1, 2, 3, 4, 5, 4, 5], "growing": [True] * 6 + [False]}
)


def rates(**changes: pd.DataFrame) -> pd.DataFrame:
    given: dict[str, Any] = {"events": EVENTS, "tracks": TRACKS, "summary": SUMMARY, "pits": PITS,
             "frames": FRAMES, **changes}  # fmt: skip
    return count_rates(**given)


def test_counts_of_all_and_of_each_pit() -> None:
    table = rates()
    assert list(table.columns) == [c.name for c in RATES]
    whole = table[table["pit"] == 0]
    # What falls into a gap is first seen in the frame after it.
    assert whole["ejections"].fillna(-1).tolist() == [0, 1, 1, -1, 2, 0]
    assert whole["ejections_total"].tolist() == [0, 1, 2, 2, 4, 4]
    assert whole["births"].tolist() == [0, 1, 0, 0, 0, 0]
    assert whole["growing"].tolist() == [0, 1, 1, 1, 2, 1]
    assert whole["particles"].fillna(-1).tolist() == [0, 2, 3, -1, 5, 4]
    one, two = table[table["pit"] == 1], table[table["pit"] == 2]
    assert one["frame"].tolist() == [1, 2, 3, 4, 5]
    assert one["ejections"].fillna(-1).tolist() == [1, 1, -1, 1, 0]
    assert one["particles"].fillna(-1).tolist() == [1, 2, -1, 0, 0]
    assert two["frame"].tolist() == [4, 5]
    assert two["ejections"].tolist() == [1, 0]


def test_counts_of_pits_add_up() -> None:
    table = rates()
    last = table.groupby("pit")["ejections_total"].last()
    assert last[0] == last[1] + last[2]


def test_a_rate_is_smoothed_as_by_hand() -> None:
    table = rates()
    whole = table[table["pit"] == 0]["ejections_per_s"].to_numpy()
    # Each ejection, and each second of time, with the weight of the middle of its interval.
    middles, lengths, counts = [0.5, 1.5, 4.0, 6.5], [1, 1, 4, 1], [1, 1, 2, 0]
    bandwidth = 3 * 1.0
    for time, value in zip(FRAMES["time_s"], whole, strict=True):
        weights = [np.exp(-((time - m) ** 2) / (2 * bandwidth**2)) for m in middles]
        seconds = sum(w * s for w, s in zip(weights, lengths, strict=True))
        number = sum(w * c for w, c in zip(weights, counts, strict=True))
        assert value == pytest.approx(number / seconds)


def test_the_rate_of_a_poisson_process_is_not_biased_by_gaps_or_edges() -> None:
    rng = np.random.default_rng(1)
    time = np.cumsum(rng.choice([0.5, 1.0, 4.0], 400))
    length = np.concatenate([[0.0], np.diff(time)])
    told = [smooth_rate(rng.poisson(2.0 * length), length, time, 5.0) for _ in range(40)]
    assert np.mean(told, axis=0)[[0, 200, -1]] == pytest.approx(2.0, abs=0.25)
    assert np.mean(told) == pytest.approx(2.0, abs=0.03)


def test_unknown_times_have_counts_and_no_rate() -> None:
    table = rates(frames=FRAMES.assign(time_s=np.nan))
    assert table["ejections_per_s"].isna().all()
    assert table.loc[table["pit"] == 0, "ejections_total"].tolist() == [0, 1, 2, 2, 4, 4]


def test_no_pits_no_tracks_no_events() -> None:
    table = rates(events=EVENTS.iloc[:0], tracks=TRACKS.iloc[:0], summary=SUMMARY.iloc[:0],
                  pits=PITS.iloc[:0])  # fmt: skip
    assert table["pit"].unique().tolist() == [0]
    assert table["ejections"].fillna(-1).tolist() == [0, 0, 0, -1, 0, 0]
    assert (table["ejections_per_s"] == 0).all()


def test_one_frame_has_no_rate() -> None:
    table = rates(events=EVENTS.iloc[:0], tracks=TRACKS.iloc[:0], summary=SUMMARY.iloc[:0],
                  pits=PITS.iloc[:0], frames=FRAMES.iloc[:1])  # fmt: skip
    assert table["ejections"].tolist() == [0]
    assert table["ejections_per_s"].isna().all()


def test_only_gaps_have_no_counts() -> None:
    table = rates(frames=FRAMES.assign(segmented=False), pits=PITS.iloc[:0])
    assert table["ejections"].isna().all()
    assert table["ejections_per_s"].isna().all()


def test_two_equal_times_do_no_harm() -> None:
    table = rates(frames=FRAMES.assign(time_s=[0.0, 1.0, 1.0, 3.0, 6.0, 7.0]))
    assert np.isfinite(table.loc[table["pit"] == 0, "ejections_per_s"]).all()


@pytest.mark.parametrize("bandwidth_s", [0.0, -1.0, np.nan])
def test_a_bandwidth_must_be_above_zero(bandwidth_s: float) -> None:
    with pytest.raises(SettingsError, match="bandwidth_s"):
        count_rates(EVENTS, TRACKS, SUMMARY, PITS, FRAMES, bandwidth_s)
