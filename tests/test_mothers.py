"""Mother pits of tracks, on flights simulated here."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from corroscope.tables import FOLLOWED_PITS, PIT_SUMMARY, TRACK_SUMMARY, TRACKS
from corroscope.tracking.companions import Companions, companionship
from corroscope.tracking.flight import (
    BACK,
    STEPS,
    Beginnings,
    Outflow,
    Pitside,
    weigh_flights,
    weigh_strays,
)
from corroscope.tracking.mothers import find_mothers
from corroscope.tracking.origins import weigh_origins
from corroscope.tracking.returns import find_returns

Floats = NDArray[np.float64]
Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]


def run_of(
    places: list[list[tuple[float, float, float]]],
    pits: list[tuple[float, float, float, float]],
    time_s: Floats,
    area_px: float = 80.0,
) -> Tables:
    """Tables of tracks, each a list of (frame, y, x), and pits, each (y, x, born, died)."""
    rows = pd.DataFrame(
        [
            {
                "track": number,
                "frame": int(frame),
                "time_s": time_s[int(frame)],
                "y_ref_px": y,
                "x_ref_px": x,
            }
            for number, track in enumerate(places, 1)
            for frame, y, x in track
        ],
        columns=["track", "frame", "time_s", "y_ref_px", "x_ref_px"],
    )
    tracks = rows.reindex(columns=[c.name for c in TRACKS]).assign(state="afloat")
    tracks[["y_px", "x_px"]] = tracks[["y_ref_px", "x_ref_px"]]
    first, last = rows.groupby("track").first(), rows.groupby("track").last()
    summary = pd.DataFrame(
        {
            "track": first.index,
            "first_frame": first["frame"].to_numpy(),
            "last_frame": last["frame"].to_numpy(),
            "first_s": first["time_s"].to_numpy(),
            "last_s": last["time_s"].to_numpy(),
            "seen": rows.groupby("track").size().to_numpy(),
            "missed": 0,
            "merged_into": 0,
            "quality": 1.0,
        }
    )
    for end, of in (("first", first), ("last", last)):
        for axis in "yx":
            summary[f"{axis}_{end}_px"] = of[f"{axis}_ref_px"].to_numpy()
    summary = summary.reindex(columns=[c.name for c in TRACK_SUMMARY])
    known = pd.DataFrame(pits, columns=["y_ref_px", "x_ref_px", "born_s", "died_s"])
    known["pit"] = np.arange(1, len(known) + 1)
    known["born_frame"] = np.searchsorted(time_s, known["born_s"])
    known["born_low_s"], known["merged_s"] = known["born_s"], np.nan
    followed = pd.DataFrame(
        [
            {"pit": pit, "frame": frame, "area_px": area_px}
            for pit, born in zip(known["pit"], known["born_frame"], strict=True)
            for frame in range(int(born), len(time_s))
        ],
        columns=["pit", "frame", "area_px"],
    ).reindex(columns=[c.name for c in FOLLOWED_PITS])
    frames = pd.DataFrame({"frame": range(len(time_s)), "time_s": time_s, "segmented": True})
    known = known.reindex(columns=[c.name for c in PIT_SUMMARY])
    return tracks, summary, followed, known, frames


def simulate(
    pits: list[tuple[float, float, float, float]],
    number: int,
    rng: np.random.Generator,
    power: float = 2.0,
    frames: int = 40,
    stray: int = 0,
) -> tuple[Tables, NDArray[np.int64]]:
    """Flights out of pits and strays at rest anywhere; the tables and the true mothers."""
    time = np.arange(float(frames))
    places: list[list[tuple[float, float, float]]] = []
    mothers, rim = [], np.sqrt(80 / np.pi)
    for _ in range(number):
        pit = int(rng.integers(len(pits)))
        y, x, born, died = pits[pit]
        at = rng.uniform(born, min(died, frames - 4) if np.isfinite(died) else frames - 4)
        angle, rate = rng.uniform(0, 2 * np.pi), 40.0**power * np.exp(rng.normal(0, 0.3 * power))
        track: list[tuple[float, float, float]] = []
        for frame in range(int(np.ceil(at)), min(int(np.ceil(at)) + 4, frames)):
            r = (rim**power + rate * (frame - at)) ** (1 / power)
            jitter = rng.normal(0, 1.0, 2)
            track.append((frame, y + r * np.sin(angle) + jitter[0], x + r * np.cos(angle)))
        places.append(track)
        mothers.append(pit + 1)
    for _ in range(stray):
        frame, place = int(rng.integers(2, frames - 4)), rng.uniform(0, 800, 2)
        jitter = rng.normal(0, 0.3, (4, 2))
        y, x = place
        places.append([(frame + k, y + jitter[k, 0], x + jitter[k, 1]) for k in range(4)])
        mothers.append(0)
    return run_of(places, pits, time), np.array(mothers)


PITS = [(200.0, 200.0, 1.0, np.nan), (600.0, 250.0, 1.0, 20.0), (420.0, 620.0, 12.0, np.nan)]


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
def test_mothers_are_found_whatever_the_law_of_outflow(power: float) -> None:
    tables, true = simulate(PITS, 120, np.random.default_rng(1), power)
    told = find_mothers(*tables)
    assert (told["pit"] == true).mean() >= 0.97
    assert told["pit_probability"].between(0, 1).all()


def test_particles_at_rest_from_nowhere_have_no_mother() -> None:
    tables, true = simulate(PITS, 120, np.random.default_rng(2), stray=40)
    told = find_mothers(*tables)
    assert (told["pit"] == true)[true == 0].mean() >= 0.85
    assert (told["pit"] == true)[true > 0].mean() >= 0.95
    chance = told["ejected_probability"].to_numpy()
    assert chance[true > 0].mean() > 0.95 > 0.2 > chance[true == 0].mean()


def test_probabilities_are_calibrated_where_two_pits_are_near() -> None:
    told, right = [], []
    for seed in range(8):
        near = [(300.0, 300.0, 1.0, np.nan), (300.0, 325.0, 1.0, np.nan)]
        tables, true = simulate(near, 120, np.random.default_rng(seed))
        # With one place each, hardly more than the distance tells.
        tables = run_of(
            [[(int(f), y, x)] for f, y, x in
             tables[0].groupby("track").first()[["frame", "y_ref_px", "x_ref_px"]].to_numpy()],
            near, np.arange(40.0),
        )  # fmt: skip
        found = find_mothers(*tables)
        told.append(found["pit_probability"].to_numpy())
        right.append((found["pit"] == true).to_numpy())
    chance, hit = np.concatenate(told), np.concatenate(right)
    for low, high in ((0.5, 0.75), (0.75, 0.9), (0.9, 1.01)):
        inside = (chance >= low) & (chance < high)
        if inside.sum() >= 40:
            assert abs(chance[inside].mean() - hit[inside].mean()) < 0.15


def test_a_pit_ejects_nothing_before_its_birth_nor_long_after_its_death() -> None:
    time = np.arange(40.0)
    alive = [(200.0, 200.0, 1.0, np.nan)]
    flight = [(25.0, 620.0, 250.0), (26.0, 640.0, 250.0)]
    others = simulate(alive, 60, np.random.default_rng(3))[0][0]
    places = [
        [(f, y, x) for f, y, x in rows[["frame", "y_ref_px", "x_ref_px"]].to_numpy()]
        for _, rows in others.groupby("track")
    ]
    for born, died, mother in ((1.0, np.nan, 2), (1.0, 8.0, 0), (30.0, np.nan, 0)):
        pits = [*alive, (590.0, 250.0, born, died)]
        told = find_mothers(*run_of([*places, flight], pits, time))
        assert told["pit"].iloc[-1] == mother


def test_nothing_is_said_to_leave_a_pit_before_that_is_born() -> None:
    tables, _ = simulate(PITS, 100, np.random.default_rng(6))
    tracks, summary, followed, known, frames = tables
    before = find_mothers(*tables)
    # Births told a little late, as they are of pits that are small at first.
    late = known.assign(born_s=known["born_s"] + 0.8, born_low_s=known["born_s"])
    told = find_mothers(tracks, summary, followed, late, frames)
    born = late.set_index("pit")["born_s"].reindex(told["pit"]).to_numpy()
    named = told["ejected_s"].notna().to_numpy()
    assert (told["ejected_s"] >= np.minimum(born, told["first_s"]))[named].all()
    assert (told["ejected_s"] <= told["first_s"])[named].all()
    # Later ones, of which births tell nothing, are as they were.
    others = named & (told["ejected_s"] > born + 0.1).to_numpy()
    assert others.sum() > 60
    assert np.allclose(told["ejected_s"][others], before["ejected_s"][others], atol=0.2)
    assert (before["ejected_s"] < born)[named].any()


def test_a_particle_found_again_keeps_its_mother_and_is_not_ejected_again() -> None:
    tables, _ = simulate(PITS, 80, np.random.default_rng(4))
    lists = [
        [(f, y, x) for f, y, x in rows[["frame", "y_ref_px", "x_ref_px"]].to_numpy()]
        for _, rows in tables[0].groupby("track")
    ]
    # Comes to rest 60 px beside the first pit, is lost for two frames, and found again.
    rest = [(k, 260.0, 200.0) for k in range(12, 20)]
    lists += [[(11.0, 240.0, 200.0), *rest], [(k, 260.3, 200.2) for k in range(22, 30)]]
    told = find_mothers(*run_of(lists, PITS, np.arange(40.0)))
    assert told["pit"].iloc[-2:].tolist() == [1, 1]
    assert told["ejected_probability"].iloc[-2] > 0.9
    assert told["ejected_probability"].iloc[-1] < 0.5


def test_probabilities_of_a_track_add_up_to_one() -> None:
    tables, _ = simulate(PITS, 60, np.random.default_rng(5), stray=10)
    belief = weigh_origins(*tables)
    total = belief.ejected.sum(axis=1) + belief.returned + belief.stray
    np.testing.assert_allclose(total, 1, atol=1e-9)


def test_ejection_is_told_between_the_frame_before_and_the_first() -> None:
    tables, true = simulate(PITS, 100, np.random.default_rng(6))
    told = find_mothers(*tables)
    ago = (told["first_s"] - told["ejected_s"])[told["pit"] == true]
    assert (ago > 0).all()
    assert (ago < 1.5).mean() > 0.95


@pytest.mark.parametrize("seed", [0, 2, 4])
def test_few_short_flights_are_not_all_taken_to_be_seen_a_frame_late(seed: int) -> None:
    # A slower law with all of them a frame older fits such a run just as well.
    rng = np.random.default_rng(seed)
    rim, pit, time = np.sqrt(80 / np.pi), (300.0, 300.0, 1.0, np.nan), np.arange(40.0)
    places: list[list[tuple[float, float, float]]] = []
    for _ in range(60):
        at, heading = rng.uniform(1, 36), rng.uniform(0, 2 * np.pi)
        rate, lands = 4000 * np.exp(rng.normal(0, 0.8)), at + rng.exponential(2.5)
        track: list[tuple[float, float, float]] = []
        for frame in range(int(np.ceil(at)), min(int(np.ceil(at)) + 4, 40)):
            r = np.sqrt(rim**2 + rate * (min(frame, lands) - at))
            y, x = rng.normal(0, 2.5 if frame < lands else 0.5, 2)
            track.append((frame, 300 + r * np.sin(heading) + y, 300 + r * np.cos(heading) + x))
        places.append(track)
    told = find_mothers(*run_of(places, [pit], time))
    assert (told["first_s"] - told["ejected_s"] <= 1).mean() > 0.9


def test_without_pits_nothing_has_a_mother() -> None:
    tables, _ = simulate(PITS, 5, np.random.default_rng(7))
    told = find_mothers(tables[0], tables[1], tables[2].iloc[:0], tables[3].iloc[:0], tables[4])
    assert told["pit"].tolist() == [0] * 5
    assert told["pit_probability"].tolist() == [1.0] * 5
    assert told["pit_distance_px"].isna().all()
    assert told["ejected_s"].isna().all()


def test_without_tracks_the_table_is_empty() -> None:
    tables, _ = simulate(PITS, 3, np.random.default_rng(8))
    told = find_mothers(tables[0].iloc[:0], tables[1].iloc[:0], *tables[2:])
    assert len(told) == 0
    assert "ejected_probability" in told


def test_one_frame_is_enough() -> None:
    tables = run_of([[(0, 230.0, 200.0)]], [(200.0, 200.0, 0.0, np.nan)], np.zeros(1))
    told = find_mothers(*tables)
    assert told["pit_probability"].between(0, 1).all()


def test_unknown_times_count_frames_and_tell_no_time() -> None:
    tables, _ = simulate(PITS[:1], 60, np.random.default_rng(9))  # a second from frame to frame
    tracks, summary, pits, known, frames = tables
    unknown = {"time_s": np.nan}
    told = find_mothers(
        tracks.assign(**unknown),
        summary.assign(first_s=np.nan, last_s=np.nan),
        pits,
        known.assign(born_s=np.nan, born_low_s=np.nan),
        frames.assign(**unknown),
    )
    timed = find_mothers(*tables)
    assert told["pit"].tolist() == timed["pit"].tolist()
    np.testing.assert_allclose(told["pit_probability"], timed["pit_probability"])
    assert told["ejected_s"].isna().all()
    assert timed["ejected_s"].notna().any()


def test_a_birth_that_could_not_be_fitted_is_that_of_the_first_frame() -> None:
    tables, true = simulate(PITS, 100, np.random.default_rng(10))
    known = tables[3].copy()
    known.loc[2, ["born_s", "born_low_s"]] = np.nan
    told = find_mothers(*tables[:3], known, tables[4])
    assert (told["pit"] == true).mean() >= 0.95


def test_two_frames_of_one_time_do_no_harm() -> None:
    tables, true = simulate(PITS, 100, np.random.default_rng(11))
    time = np.arange(40.0)
    time[20] = 19.0
    frames = tables[4].assign(time_s=time)
    told = find_mothers(*tables[:4], frames)
    assert (told["pit"] == true).mean() >= 0.9


def test_gaps_are_no_frames_before() -> None:
    tables, true = simulate(PITS[:1], 60, np.random.default_rng(12))
    tracks, summary, pits, known, frames = tables
    frames.loc[5:9, "segmented"] = False
    fine = summary["first_frame"] > 10
    some = summary[fine]
    told = find_mothers(tracks[tracks["track"].isin(some["track"])], some, pits, known, frames)
    assert (told["pit"] == true[fine]).mean() >= 0.95


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
def test_densities_of_first_places_integrate_to_the_time_they_may_come_from(power: float) -> None:
    radius = np.linspace(0.25, 600, 6000)
    n = len(radius)
    place = np.full((n, STEPS + 1, 2), np.nan)
    place[:, 0, 0], place[:, 0, 1] = 0.0, radius
    time = np.full((n, STEPS + 1), np.nan)
    time[:, 0] = 10.0
    seen = Beginnings(place, time, np.tile(np.array(BACK, float), (n, 1)))
    nil = np.zeros((n, 1))  # a pit without a mouth
    pits = Pitside(np.zeros((n, 1, 2)), nil, nil, np.full((n, 1), np.inf), 1.0)
    late = np.array([1.0, 0.1, 1e-12, 1e-12])
    flow = Outflow(power, power * np.log(60), 0.3 * power, 8, 0.5, 900, late, 0.1, 0.1, 0.02, 0.5)
    density = np.exp(weigh_flights(seen, pits, flow).log_density[:, 0])
    # One second in which it is seen at once, one in which it is missed nine times of ten.
    assert np.trapezoid(density * radius, radius) == pytest.approx(1.1, rel=0.03)


def test_densities_of_a_stray_step_integrate_to_one() -> None:
    side = np.arange(-160, 160.5, 0.5)
    flow = Outflow(2.0, 8.0, 1.0, 8.0, 0.5, 900.0, np.ones(4), 0.1, 0.1, 0.02, 0.5)
    y, x = (one.ravel() for one in np.meshgrid(side, side))
    place = np.full((y.size, STEPS + 1, 2), np.nan)
    place[:, 0], place[:, 1, 0], place[:, 1, 1] = 0.0, y, x
    seen = Beginnings(place, np.full((y.size, STEPS + 1), np.nan), np.ones((y.size, 4)))
    density = np.exp(weigh_strays(seen, flow)[0])
    assert density.sum() * 0.25 == pytest.approx(1, rel=0.01)


def test_companions_are_expected_at_the_same_time_and_heading() -> None:
    number, sure = np.ones((3, 1), int), np.ones((3, 1))
    born, first = np.array([[0.5], [0.5], [9.5]]), np.array([1.0, 1.0, 10.0])
    for other, more in ((0.1, True), (3.1, False)):
        angle = np.array([[0.0], [other], [0.0]])
        expected = companionship(
            number, sure, born, angle, first, np.ones(3), Companions(1, 3, 0.2)
        )
        # More than an even heading would have, and nothing far off in time.
        assert (expected[0, 0] > 1 / (2 * np.pi)) == more
        assert expected[2, 0] < 1e-6


def test_a_merged_track_does_not_return() -> None:
    summary = pd.DataFrame(
        {
            "first_frame": [0, 4], "last_frame": [2, 6], "merged_into": [9, 0],
            "y_first_px": 5.0, "x_first_px": 5.0, "y_last_px": 5.0, "x_last_px": 5.0,
        }
    )  # fmt: skip
    none = np.zeros((2, 2))
    assert find_returns(summary, none, np.ones(2), np.arange(7), 0.5).later.size == 0
    free = summary.assign(merged_into=0)
    assert find_returns(free, none, np.ones(2), np.arange(7), 0.5).later.tolist() == [1]
