"""Events of a run: what counts as one, when, and with which probability."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from corroscope.tables import FOLLOWED_EVENTS, FOLLOWED_PITS, PARTICLES, PIT_SUMMARY, TRACK_SUMMARY
from corroscope.tracking.bursts import BURSTS, find_bursts, scan
from corroscope.tracking.events import find_events
from corroscope.tracking.footprints import particles_in_pits


def frames_of(number: int = 10, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {"frame": range(number), "time_s": np.arange(float(number)), "segmented": True}
    ).assign(**columns)


def pits_of(**columns: Any) -> pd.DataFrame:
    table = pd.DataFrame(
        {"pit": [1], "born_frame": 2, "born_s": 1.5, "y_ref_px": 50.0, "x_ref_px": 50.0}
    )
    names = [c.name for c in PIT_SUMMARY]
    return table.reindex(columns=names).assign(merged_into=0, **columns)


def tracks_of(**columns: Any) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "track": [1], "first_frame": 5, "last_frame": 8, "first_s": 5.0, "last_s": 8.0,
            "y_first_px": 50.0, "x_first_px": 80.0, "quality": 0.8, "pit": 1,
            "pit_probability": 0.9, "merged_into": 0,
        }
    )  # fmt: skip
    names = [c.name for c in TRACK_SUMMARY if c.name not in ("ejected_probability", "ejected_s")]
    table = table.reindex(columns=names).assign(ejected_probability=0.95, ejected_s=4.2)
    return table.assign(**columns)


def kinds(events: pd.DataFrame) -> list[tuple[str, int, float]]:
    return [
        (str(e), int(f), float(t))
        for e, f, t in events[["event", "frame", "time_s"]].itertuples(index=False)
    ]


def test_events_come_in_order_of_time_in_the_columns_agreed() -> None:
    events = find_events(tracks_of(settled_s=7.0), pits_of(died_s=8.5, merged_s=6.0), frames_of())
    assert list(events.columns) == [c.name for c in FOLLOWED_EVENTS]
    assert kinds(events) == [
        ("nucleation", 2, 1.5),
        ("ejection", 5, 4.2),
        ("merger", 6, 6.0),
        ("settling", 7, 7.0),
        ("death", 9, 8.5),
    ]
    assert events["particles"].tolist() == [0, 1, 0, 1, 0]
    # Of the pits' events no probability is known.
    assert events["probability"].isna().tolist() == [True, False, True, False, True]


def test_the_probability_of_an_ejection_is_of_being_one_and_from_this_pit() -> None:
    for ejected, mother, kept in ((0.9, 0.8, 0.8), (0.6, 0.9, 0.6), (0.4, 0.9, None)):
        events = find_events(
            tracks_of(ejected_probability=ejected, pit_probability=mother), pits_of(), frames_of()
        )
        chance = events.loc[events["event"] == "ejection", "probability"]
        assert chance.tolist() == ([] if kept is None else [kept])
    low = find_events(
        tracks_of(ejected_probability=0.4), pits_of(), frames_of(), least_probability=0.3
    )
    assert (low["event"] == "ejection").any()


def test_a_track_without_a_mother_is_no_ejection() -> None:
    events = find_events(tracks_of(pit=0, pit_probability=0.99), pits_of(), frames_of())
    assert "ejection" not in set(events["event"])


def test_an_ejection_is_never_later_than_its_first_frame() -> None:
    events = find_events(tracks_of(ejected_s=5.7), pits_of(), frames_of())
    assert events.loc[events["event"] == "ejection", "frame"].tolist() == [5]


def test_what_rested_from_the_start_does_not_settle() -> None:
    events = find_events(tracks_of(settled_s=5.0), pits_of(), frames_of())
    assert "settling" not in set(events["event"])


def test_unknown_times_leave_frames() -> None:
    events = find_events(
        tracks_of(first_s=np.nan, last_s=np.nan, ejected_s=np.nan),
        pits_of(born_s=np.nan),
        frames_of(time_s=np.nan),
    )
    assert events[["event", "frame"]].to_numpy().tolist() == [["nucleation", 2], ["ejection", 5]]
    assert events["time_s"].isna().all()


def test_nothing_happened() -> None:
    events = find_events(tracks_of().iloc[:0], pits_of().iloc[:0], frames_of(1))
    assert len(events) == 0
    assert list(events.columns) == [c.name for c in FOLLOWED_EVENTS]


def test_tracks_without_mothers_weighed_are_refused() -> None:
    with pytest.raises(ValueError, match="find_mothers"):
        find_events(tracks_of().drop(columns="ejected_probability"), pits_of(), frames_of())


def ejections_at(frames: list[int]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "event": "ejection", "frame": frames, "time_s": np.array(frames, float) - 0.5,
            "pit": 1, "track": range(len(frames)),
        }
    )  # fmt: skip


def headed(number: int, degrees: float) -> pd.DataFrame:
    angle = np.radians(degrees)
    return pd.DataFrame(
        {
            "track": range(number),
            "y_first_px": 50.0 - 30 * np.sin(angle),
            "x_first_px": 50.0 + 30 * np.cos(angle),
        }
    )


def test_a_burst_has_its_number_start_duration_and_heading() -> None:
    at = [5, 12, 20, 20, 20, 20, 20, 21, 21, 33]
    bursts = find_bursts(ejections_at(at), headed(10, 120.0), pits_of(), frames_of(40))
    assert list(bursts.columns) == [c.name for c in BURSTS]
    row = bursts.iloc[0]
    assert len(bursts) == 1
    assert (row["first_frame"], row["last_frame"], row["particles"]) == (20, 21, 7)
    assert (row["time_s"], row["duration_s"]) == (19.5, 1.0)
    assert row["heading_deg"] == pytest.approx(120)
    assert row["heading_length"] == pytest.approx(1)
    # Ten in 38 frames since the birth (and the frame of it): the tail of a binomial
    # distribution, times the windows between frames with ejections that are short enough.
    assert row["p_value"] <= binom.sf(6, 10, 2 / 38) * 21
    assert row["expected"] == pytest.approx(10 * 2 / 38)


def test_bursts_are_events_with_their_number_of_particles() -> None:
    count = 8
    summary = pd.concat([tracks_of(track=k, ejected_s=20.4 + 0.01 * k, first_frame=21,
                                   first_s=21.0) for k in range(1, count + 1)])  # fmt: skip
    lone = [tracks_of(track=10 + k, ejected_s=k - 0.5, first_frame=k, first_s=float(k))
            for k in (6, 13, 30)]  # fmt: skip
    events = find_events(pd.concat([summary, *lone], ignore_index=True), pits_of(), frames_of(40))
    burst = events[events["event"] == "burst"]
    assert burst[["frame", "pit", "particles"]].to_numpy().tolist() == [[21, 1, count]]


def test_an_even_rate_has_hardly_a_burst() -> None:
    rng = np.random.default_rng(0)
    length = np.ones(60)
    wrong = sum(bool(scan(rng.poisson(0.5, 60), length, 0.05)) for _ in range(300))
    # At most 5 % are to be expected; 0.05 · 300 + 3 standard deviations.
    assert wrong <= 26


def test_irregular_times_count_in_a_scan() -> None:
    counts = np.array([1, 1, 1, 6, 1, 1, 1])
    assert scan(counts, np.array([5.0, 5, 5, 0.1, 5, 5, 5]))
    assert not scan(counts, np.array([5.0, 5, 5, 30, 5, 5, 5]))


def test_two_bursts_are_told_apart() -> None:
    counts = np.zeros(100, int)
    counts[[3, 40, 77]], counts[20], counts[60:62] = 1, 9, 7
    assert sorted(window for window, _, _ in scan(counts, np.ones(100))) == [(20, 20), (60, 61)]


def test_no_ejections_no_bursts() -> None:
    assert find_bursts(ejections_at([]), headed(0, 0.0), pits_of(), frames_of()).empty


def test_bursts_need_no_times() -> None:
    at = ejections_at([5, 12, 20, 20, 20, 20, 20, 20, 33]).assign(time_s=np.nan)
    bursts = find_bursts(at, headed(9, 0.0), pits_of(), frames_of(40, time_s=np.nan))
    assert bursts[["first_frame", "particles"]].to_numpy().tolist() == [[20, 6]]
    assert bursts["duration_s"].isna().all()


def particles_at(rows: list[tuple[int, float, float]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["frame", "y_ref_px", "x_ref_px"])
    table[["y_px", "x_px"]] = table[["y_ref_px", "x_ref_px"]]
    return table.reindex(columns=[c.name for c in PARTICLES])


def growing_pit(radii: list[float], born: int = 3) -> pd.DataFrame:
    table = pd.DataFrame({"frame": range(born, born + len(radii))})
    table = table.assign(
        pit=1, y_ref_px=50.0, x_ref_px=50.0, area_px=np.pi * np.square(radii), measured=True
    )
    return table.reindex(columns=[c.name for c in FOLLOWED_PITS])


def test_a_newborn_pit_is_no_particle_and_what_flies_by_is_one() -> None:
    pit = growing_pit([2, 5, 8, 11, 14, 17, 20])
    particles = particles_at(
        [
            (2, 50.5, 50.0),  # the pit itself, a frame before its birth as estimated
            (3, 51.0, 50.0),  # the pit
            (4, 50.0, 68.0),  # passes by, where the mouth will be
            (5, 50.0, 90.0),
            (6, 60.0, 40.0),  # in the mouth at that time
            (0, 50.0, 50.0),  # long before
        ]
    )
    assert particles_in_pits(particles, pit).tolist() == [True, True, False, False, True, False]


def test_a_satellite_lies_still_ahead_of_the_rim() -> None:
    pit = growing_pit([2, 5, 8, 11, 14, 17, 20])
    still = [(frame, 50.0, 70.0) for frame in range(4, 8)]
    far = [(frame, 50.0, 110.0) for frame in range(4, 8)]
    assert particles_in_pits(particles_at([*still, *far]), pit).tolist() == [True] * 4 + [False] * 4


def test_without_pits_or_particles_nothing_is_in_a_pit() -> None:
    pit = growing_pit([2, 5])
    assert particles_in_pits(particles_at([]), pit).shape == (0,)
    assert not particles_in_pits(particles_at([(3, 50.0, 50.0)]), pit.iloc[:0]).any()
    # A pit that no frame shows has no footprint.
    assert not particles_in_pits(particles_at([(3, 50.0, 50.0)]), pit.assign(measured=False)).any()


def test_without_a_reference_places_in_the_frame_count() -> None:
    particles = particles_at([(4, 50.0, 50.0)]).assign(y_ref_px=np.nan, x_ref_px=np.nan)
    assert particles_in_pits(particles, growing_pit([2, 5])).all()
