"""Tracks of particles whose motion is known."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from corroscope.errors import TrackingError
from corroscope.scoring.tracks import Points, score_tracks
from corroscope.tables import PARTICLES, TRACK_SUMMARY, TRACKS
from corroscope.tracking.assignment import TRUSTED, best_links, link_probabilities
from corroscope.tracking.trackmeasures import mean_squared_displacement
from corroscope.tracking.tracks import follow_particles

PLACE = ["y_ref_px", "x_ref_px"]
SIZE_PX = 400


def table(rows: Sequence[tuple[int, float, float, float, float]]) -> pd.DataFrame:
    """Particles of ``(frame, time_s, y, x, area)``."""
    made = pd.DataFrame(rows, columns=["frame", "time_s", *PLACE, "area_px"])
    made["particle"] = made.groupby("frame").cumcount() + 1
    made = made.reindex(columns=[c.name for c in PARTICLES])
    made = made.assign(image="a", contrast=0.3, y_px=made["y_ref_px"], x_px=made["x_ref_px"])
    return made.fillna(0.0).astype({c.name: c.dtype for c in PARTICLES})


def frames_at(times: list[float], gaps: tuple[int, ...] = ()) -> pd.DataFrame:
    segmented = [frame not in gaps for frame in range(len(times))]
    return pd.DataFrame({"frame": range(len(times)), "time_s": times, "segmented": segmented})


def laboratory(
    rng: np.random.Generator, times: list[float], resting: int = 25, thrown: int = 40
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What lies still and what is driven out of two pits, with ``truth`` of each particle."""
    rows, truth = [], []
    pits = np.array([[120.0, 120.0], [280.0, 260.0]])
    places = rng.uniform(0, SIZE_PX, (resting, 2))
    size = rng.uniform(10, 60, resting + thrown)
    born = rng.uniform(times[0], times[-1], thrown)
    angle, source = rng.uniform(0, 2 * np.pi, thrown), rng.integers(2, size=thrown)
    growth = 1500 * np.exp(rng.normal(0, 0.5, thrown))
    for frame, time_s in enumerate(times):
        for number in range(resting):
            y, x = places[number] + rng.normal(0, 0.15, 2)
            rows.append((frame, time_s, y, x, size[number]))
            truth.append(number + 1)
        for number in np.flatnonzero(born <= time_s).tolist():
            far = np.sqrt(9 + growth[number] * (time_s - born[number]))
            y, x = pits[source[number]] + far * np.array(
                [np.sin(angle[number]), np.cos(angle[number])]
            ) + rng.normal(0, 0.5, 2)  # fmt: skip
            if 0 <= y < SIZE_PX and 0 <= x < SIZE_PX:
                rows.append((frame, time_s, y, x, size[resting + number]))
                truth.append(resting + number + 1)
    known = pd.DataFrame(
        {"pit": [1, 2], "frame": 0, "y_ref_px": pits[:, 0], "x_ref_px": pits[:, 1]}
    )
    return table(rows).assign(truth=truth), known


def jaccard(particles: pd.DataFrame, tracks: pd.DataFrame) -> float:
    true, found = (
        Points(one[name].to_numpy(int), one["frame"].to_numpy(int), one[PLACE].to_numpy(float))
        for one, name in ((particles, "truth"), (tracks, "track"))
    )
    return score_tracks(true, found).jsc


IRREGULAR = np.cumsum(np.random.default_rng(5).uniform(0.5, 1.8, 24)).tolist()


@pytest.mark.parametrize("with_pits", [True, False])
@pytest.mark.parametrize("times", [np.arange(24.0).tolist(), IRREGULAR])
def test_particles_at_rest_and_driven_out_are_followed(times: list[float], with_pits: bool) -> None:
    particles, pits = laboratory(np.random.default_rng(1), times)
    plain = particles.drop(columns="truth")
    tracks, summary = follow_particles(plain, frames_at(times), pits if with_pits else None)
    assert jaccard(particles, tracks) > (0.95 if with_pits else 0.8)
    assert tracks["track"].nunique() == len(summary)


def test_units_of_time_do_not_matter() -> None:
    times = IRREGULAR
    particles, pits = laboratory(np.random.default_rng(2), times)
    particles = particles.drop(columns="truth")
    tracks, summary = follow_particles(particles, frames_at(times), pits)
    slower = particles.assign(time_s=particles["time_s"] * 64)
    slow, slow_summary = follow_particles(slower, frames_at([64 * t for t in times]), pits)
    assert slow["track"].tolist() == tracks["track"].tolist()
    np.testing.assert_allclose(64 * slow_summary["speed_px_s"], summary["speed_px_s"])


def test_turning_and_moving_the_picture_changes_nothing() -> None:
    times = np.arange(20.0).tolist()
    particles, pits = laboratory(np.random.default_rng(3), times)
    particles = particles.drop(columns="truth")
    tracks, _ = follow_particles(particles, frames_at(times), pits)
    turned, pits_turned = particles.copy(), pits.copy()
    for one, other in ((particles, turned), (pits, pits_turned)):
        other["y_ref_px"], other["x_ref_px"] = one["x_ref_px"] + 64, 512 - one["y_ref_px"]
    again, _ = follow_particles(turned, frames_at(times), pits_turned)
    assert again["track"].tolist() == tracks["track"].tolist()


def test_the_order_of_rows_does_not_matter() -> None:
    times = np.arange(12.0).tolist()
    particles, pits = laboratory(np.random.default_rng(4), times)
    particles = particles.drop(columns="truth")
    tracks, summary = follow_particles(particles, frames_at(times), pits)
    mixed, mixed_summary = follow_particles(
        particles.sample(frac=1, random_state=0), frames_at(times).iloc[::-1], pits
    )
    pd.testing.assert_frame_equal(mixed, tracks)
    pd.testing.assert_frame_equal(mixed_summary, summary)


def test_a_particle_at_rest_keeps_its_track_over_missed_frames_and_gaps() -> None:
    rng = np.random.default_rng(6)
    times = np.arange(30.0).tolist()
    gaps = (10, 11, 12)
    rows = [
        (frame, times[frame], *(place + rng.normal(0, 0.1, 2)), 20.0 + 10 * number)
        for number, place in enumerate(np.array([[50.0, 50], [80, 50], [50, 120], [200, 200]]))
        for frame in range(30)
        if frame not in gaps and not (number == 1 and 15 <= frame < 21)
    ]
    tracks, summary = follow_particles(table(sorted(rows)), frames_at(times, gaps))
    assert len(summary) == 4
    assert sorted(summary["missed"]) == [0, 0, 0, 6]
    assert sorted(summary["seen"]) == [21, 27, 27, 27]
    assert (tracks.groupby("track")["state"].last() == "settled").all()
    assert tracks["step_s"].max() == 7


def test_measures_of_a_single_flight() -> None:
    rows = [(f, 0.5 * f, 100.0 - 3 * f, 50.0 + 4 * f, 20.0) for f in range(8)]
    tracks, summary = follow_particles(table(rows), frames_at([0.5 * f for f in range(8)]))
    assert len(summary) == 1
    one = summary.iloc[0]
    assert one["speed_px_s"] == pytest.approx(10)
    assert one["path_px"] == pytest.approx(35)
    assert one["displacement_px"] == pytest.approx(35)
    # Rows grow downwards: it rises in the picture.
    assert one["direction_deg"] == pytest.approx(np.degrees(np.arctan2(3, 4)))
    assert np.isnan(one["settled_s"])
    assert one["pit"] == 0
    assert np.isnan(one["pit_probability"])
    assert tracks["speed_px_s"].iloc[1:].tolist() == pytest.approx([10] * 7)
    assert tracks.iloc[0][["step_s", "step_y_px", "speed_px_s"]].isna().all()


def test_two_that_meet_and_part_go_through_the_clump() -> None:
    rng = np.random.default_rng(7)
    rows = []
    for frame in range(24):
        for place, area in (([200.0, 60.0], 30.0), ([60.0, 200.0], 30.0)):
            rows.append((frame, frame, *(np.array(place) + rng.normal(0, 0.1, 2)), area))
        if 10 <= frame < 14:
            rows.append((frame, frame, 102 + rng.normal(0, 0.1), 100.0, 65.0))
        else:
            rows.append((frame, frame, 100.0, 100 + rng.normal(0, 0.1), 25.0))
            rows.append((frame, frame, 104.0, 100 + rng.normal(0, 0.1), 40.0))
    tracks, summary = follow_particles(table(sorted(rows)), frames_at(list(range(24))))
    assert len(summary) == 4
    assert summary["seen"].tolist() == [24] * 4
    joined = tracks[tracks["joined"]]
    assert joined["frame"].tolist() == [10, 11, 12, 13] * 2
    assert joined["track"].nunique() == 2
    # What they are is told by the frames in which they are alone.
    assert sorted(summary["area_px"]) == [25, 30, 30, 40]
    assert (summary["merged_into"] == 0).all()


def test_one_that_goes_into_a_clump_for_good_names_it() -> None:
    rows = []
    rng = np.random.default_rng(8)
    for frame in range(20):
        rows.append((frame, frame, 200.0, 60 + rng.normal(0, 0.1), 30.0))
        if frame < 10:
            rows.append((frame, frame, 100.0, 100 + rng.normal(0, 0.1), 45.0))
            rows.append((frame, frame, 103.5, 100 + rng.normal(0, 0.1), 20.0))
        else:
            rows.append((frame, frame, 101.0, 100 + rng.normal(0, 0.1), 65.0))
    _, summary = follow_particles(table(sorted(rows)), frames_at(list(range(20))))
    ended = summary[summary["last_frame"] == 9]
    assert len(ended) == 1
    other = summary.set_index("track").loc[ended["merged_into"].iloc[0]]
    assert other["last_frame"] == 19


def test_quality_is_high_where_nothing_is_near_and_low_where_all_is_alike() -> None:
    rng = np.random.default_rng(9)
    alone = [(f, f, 50.0 + rng.normal(0, 0.1), 50.0, 30.0) for f in range(10)]
    crowd = [(f, f, *rng.uniform(200, 260, 2), 20.0) for f in range(10) for _ in range(12)]
    tracks, summary = follow_particles(table(sorted(alone + crowd)), frames_at(list(range(10))))
    quality = summary.set_index("track")["quality"]
    near = tracks[(tracks["y_ref_px"] < 100)]["track"].unique()
    assert len(near) == 1
    assert quality[near[0]] > 0.99
    others = summary[(summary["y_first_px"] > 100) & (summary["seen"] > 2)]["quality"]
    assert (others < 0.9).all()


def test_no_particle_gives_empty_tables_with_their_columns() -> None:
    tracks, summary = follow_particles(table([]), frames_at([0.0, 1.0]))
    assert list(tracks.columns) == [c.name for c in TRACKS]
    assert list(summary.columns) == [c.name for c in TRACK_SUMMARY]
    assert tracks.dtypes.map(str).to_dict() == {c.name: c.dtype for c in TRACKS}
    assert tracks.empty
    assert summary.empty


def test_one_frame_gives_a_track_for_each_particle() -> None:
    rows = [(0, 0.0, 10.0, 10.0, 20.0), (0, 0.0, 30.0, 10.0, 20.0)]
    tracks, summary = follow_particles(table(rows), frames_at([0.0]))
    assert tracks["track"].tolist() == [1, 2]
    assert summary[["seen", "missed"]].to_numpy().tolist() == [[1, 0], [1, 0]]
    assert summary["direction_deg"].isna().all()
    assert (summary["quality"] == 1).all()


def test_frames_without_particles_end_nothing_that_rests() -> None:
    rows = [(f, f, 10.0, 10.0 + 0.01 * f, 20.0) for f in (0, 1, 2, 3, 6, 7, 8)]
    _, summary = follow_particles(table(rows), frames_at(list(range(9))))
    assert len(summary) == 1
    assert summary["missed"].tolist() == [2]


def test_unknown_times_give_tracks_without_speeds() -> None:
    rows = [(f, np.nan, 100.0 - 3 * f, 50.0, 20.0) for f in range(6)]
    particles = table(rows).assign(time_s=np.nan)
    tracks, summary = follow_particles(particles, frames_at([np.nan] * 6))
    assert len(summary) == 1
    assert tracks[["step_s", "speed_px_s"]].isna().all(axis=None)
    assert summary[["speed_px_s", "settled_s", "first_s"]].isna().all(axis=None)
    assert summary["path_px"].tolist() == [15]


def test_places_in_the_frames_serve_where_there_is_no_reference() -> None:
    rows = [(f, f, 100.0 - 3 * f, 50.0, 20.0) for f in range(6)]
    particles = table(rows).assign(y_ref_px=np.nan, x_ref_px=np.nan)
    tracks, summary = follow_particles(particles, frames_at(list(range(6))))
    assert tracks["step_y_px"].tolist()[1:] == [-3] * 5
    assert summary["y_last_px"].tolist() == [85]


def test_a_particle_of_a_gap_is_an_error() -> None:
    rows = [(0, 0.0, 1.0, 1.0, 20.0), (1, 1.0, 1.0, 1.0, 20.0)]
    with pytest.raises(TrackingError, match="frame 1: has particles but is not among"):
        follow_particles(table(rows), frames_at([0.0, 1.0], gaps=(1,)))


@pytest.mark.parametrize("times", [[0.0, 1.0, 1.0], [0.0, 2.0, 1.0]])
def test_times_that_do_not_rise_are_an_error(times: list[float]) -> None:
    with pytest.raises(TrackingError, match="frame 2: its time is not after the one before"):
        follow_particles(table([(0, 0.0, 1.0, 1.0, 20.0)]), frames_at(times))


def test_a_frame_named_twice_is_an_error() -> None:
    twice = pd.concat([frames_at([0.0, 1.0]), frames_at([0.0])])
    with pytest.raises(TrackingError, match="a frame is named twice"):
        follow_particles(table([(0, 0.0, 1.0, 1.0, 20.0)]), twice)


def test_a_particle_without_a_place_is_an_error() -> None:
    particles = table([(0, 0.0, 1.0, 1.0, 20.0), (0, 0.0, 5.0, 1.0, 20.0)])
    particles.loc[1, "y_ref_px"] = np.nan
    with pytest.raises(TrackingError, match="frame 0, particle 2: has no place"):
        follow_particles(particles, frames_at([0.0]))


def choices(left: list[int], right: list[int]) -> list[tuple[int, ...]]:
    """All ways to choose links that share no end."""
    return [
        chosen
        for size in range(min(len(left), 4) + 1)
        for chosen in combinations(range(len(left)), size)
        if len({left[k] for k in chosen}) == size == len({right[k] for k in chosen})
    ]


@pytest.mark.parametrize("seed", range(10))
def test_the_best_links_are_those_of_all_ways_tried(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = rng.permutation(16)[:9]
    left, right, gain = pairs // 4 * 10, pairs % 4 * 3, rng.normal(1, 2, 9)
    chosen = best_links(left, right, gain)
    best = max(choices(left.tolist(), right.tolist()), key=lambda one: gain[list(one)].sum())
    assert chosen.tolist() == sorted(best)


def test_probabilities_of_links_without_loops_are_exact() -> None:
    left, right = np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1])
    gain = np.array([1.0, 0.3, -0.5, 2.0])
    odds = np.exp(TRUSTED * gain)
    total, each = 0.0, np.zeros(4)
    for chosen in choices(left.tolist(), right.tolist()):
        weight = float(np.prod(odds[list(chosen)]))
        total += weight
        each[list(chosen)] += weight
    np.testing.assert_allclose(link_probabilities(left, right, gain), each / total, atol=1e-6)


def test_mean_squared_displacement_of_diffusion_and_of_flight() -> None:
    rng = np.random.default_rng(10)
    walk = rng.normal(0, np.sqrt(2 * 3.0), (400, 30, 2)).cumsum(axis=1)
    flat = pd.DataFrame(walk.reshape(-1, 2), columns=PLACE)
    flat["track"], flat["time_s"] = np.repeat(np.arange(400), 30), np.tile(np.arange(30.0), 400)
    flat["state"] = "afloat"
    lags = np.array([1.0, 2.0, 4.0])
    msd = mean_squared_displacement(flat, lags)
    np.testing.assert_allclose(msd["msd_px2"], 4 * 3.0 * lags, rtol=0.06)
    assert msd["pairs"].tolist() == [400 * 29, 400 * 28, 400 * 26]
    assert msd["tracks"].tolist() == [400] * 3


def test_mean_squared_displacement_keeps_to_what_is_afloat() -> None:
    rows = pd.DataFrame({"track": 1, "time_s": np.arange(6.0), "y_ref_px": 0.0})
    rows["x_ref_px"] = [0.0, 3, 6, 6, 6, 6]
    rows["state"] = ["afloat"] * 3 + ["settled"] * 3
    msd = mean_squared_displacement(rows, np.array([1.0, 2.0, 30.0]))
    assert msd["msd_px2"].tolist()[:2] == [9, 36]
    assert np.isnan(msd["msd_px2"].iloc[2])
    assert msd["pairs"].tolist() == [2, 1, 0]
