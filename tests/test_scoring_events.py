"""Scores of events against true ones."""

import itertools

import numpy as np
import pandas as pd
import pytest

from corroscope.scoring.events import POOLED, score_events, true_pit_of, true_track_of


def events(rows: list[tuple[str, int, int, int]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["event", "frame", "pit", "track"])


def scores(true: pd.DataFrame, found: pd.DataFrame, tolerance: int = 1) -> pd.DataFrame:
    return score_events(true, found, tolerance).set_index("event")


def test_an_event_is_right_by_kind_identity_and_time() -> None:
    true = events([("nucleation", 4, 1, 0), ("death", 9, 1, 0), ("ejection", 6, 1, 7)])
    found = events(
        [
            ("nucleation", 5, 1, 0),  # one off: right
            ("death", 11, 1, 0),  # two off
            ("ejection", 6, 2, 7),  # of the other pit, yet the same track: right
            ("ejection", 6, 1, 7),  # the same once more
        ]
    )
    table = scores(true, found)
    assert dict(table["matched"]) == {"death": 0, "ejection": 1, "nucleation": 1, POOLED: 2}
    assert table["precision"]["ejection"] == 0.5
    assert table["recall"]["ejection"] == 1.0
    assert table.loc[POOLED, "f1"] == pytest.approx(4 / 7)


def test_events_about_nothing_true_are_wrong() -> None:
    true = events([("nucleation", 4, 1, 0)])
    table = scores(true, events([("nucleation", 4, 0, 0)]))
    assert table["matched"]["nucleation"] == table["f1"]["nucleation"] == 0


def test_nothing_over_nothing_is_nan() -> None:
    table = scores(events([]), events([]))
    assert table.loc[POOLED, ["precision", "recall", "f1"]].isna().all()


def test_a_negative_tolerance_is_refused() -> None:
    with pytest.raises(ValueError, match="tolerance_frames"):
        score_events(events([]), events([]), -1)


def test_times_are_matched_as_well_as_can_be() -> None:
    rng = np.random.default_rng(3)
    for _ in range(60):
        true, found = rng.integers(0, 9, 4), rng.integers(0, 9, 3)
        most = max(
            sum(abs(int(a) - int(b)) <= 1 for a, b in zip(chosen, found, strict=True))
            for chosen in itertools.permutations(true, 3)
        )
        table = scores(
            events([("death", int(f), 1, 0) for f in true]),
            events([("death", int(f), 1, 0) for f in found]),
        )
        assert table.loc["death", "matched"] == most


def points(track: int, frames: range, y: float) -> pd.DataFrame:
    return pd.DataFrame(
        {"track": track, "frame": list(frames), "y_ref_px": y, "x_ref_px": 10.0 * track}
    )


def test_a_broken_track_follows_one_true_track_in_both_parts() -> None:
    true = pd.concat([points(1, range(10), 0.0), points(2, range(10), 40.0)])
    found = pd.concat(
        [
            true[(true["track"] == 1) & (true["frame"] < 4)].assign(track=5),
            true[(true["track"] == 1) & (true["frame"] >= 4)].assign(track=6),
            points(7, range(3), 90.0),
            # Begins on the one, is mostly of the other.
            true[(true["track"] == 2) & (true["frame"] >= 3)].assign(track=8),
        ]
    )
    assert true_track_of(true, found).to_dict() == {5: 1, 6: 1, 7: 0, 8: 2}


def test_points_of_a_frame_are_paired_one_to_one() -> None:
    true = pd.DataFrame({"track": [1, 2], "frame": 0, "y_ref_px": 0.0, "x_ref_px": [0.0, 3.0]})
    found = pd.DataFrame({"track": [1, 2], "frame": 0, "y_ref_px": 0.0, "x_ref_px": [2.0, 3.5]})
    # The nearest of the first is the second's partner.
    assert true_track_of(true, found).to_dict() == {1: 1, 2: 2}


def test_no_point_has_no_true_track() -> None:
    empty = points(1, range(0), 0.0)
    assert true_track_of(points(1, range(2), 0.0), empty).empty
    assert true_track_of(empty, points(3, range(2), 0.0)).to_dict() == {3: 0}


def test_a_pit_is_the_true_one_whose_mouth_it_lies_in() -> None:
    true = pd.DataFrame(
        {"pit": [1, 2], "y_ref_px": [50.0, 50.0], "x_ref_px": [50.0, 90.0], "area_px": [1000.0, 9]}
    )
    found = pd.DataFrame(
        {"pit": [1, 2, 3], "y_ref_px": 50.0, "x_ref_px": [98.0, 66.0, 52.0], "area_px": 10.0}
    )
    # One to one: the nearer of two in one mouth.
    assert true_pit_of(true, found).to_dict() == {1: 0, 2: 0, 3: 1}
    assert true_pit_of(true.iloc[:0], found).to_dict() == {1: 0, 2: 0, 3: 0}
