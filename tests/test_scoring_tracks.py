"""Scores of tracks against definitions written out, and against known cases."""

from itertools import permutations

import numpy as np
import pytest

from corroscope.scoring.tracks import LOCALISATION, Points, TrackScores, score_tracks

GATE_PX = 5.0


def points(*tracks: dict[int, tuple[float, float]]) -> Points:
    rows = [(k, frame, y, x) for k, t in enumerate(tracks) for frame, (y, x) in t.items()]
    table = np.array(rows, float).reshape(-1, 4)
    return Points(table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2:])


def random_tracks(rng: np.random.Generator, number: int) -> list[dict[int, tuple[float, float]]]:
    tracks = []
    for _ in range(number):
        place, first = rng.uniform(0, 14, 2), int(rng.integers(0, 3))
        frames = [f for f in range(first, first + int(rng.integers(1, 6))) if rng.random() < 0.85]
        tracks.append({f: tuple(place + rng.normal(0, 1.5, 2)) for f in frames or [first]})
    return tracks


def distance(
    one: dict[int, tuple[float, float]], two: dict[int, tuple[float, float]]
) -> tuple[float, int]:
    """Gated distance of two tracks, and the number of points that agree."""
    total, right = 0.0, 0
    for frame in one.keys() | two.keys():
        if frame in one and frame in two:
            apart = float(np.hypot(*np.subtract(one[frame], two[frame])))
            total += min(apart, GATE_PX)
            right += apart < GATE_PX
        else:
            total += GATE_PX
    return total, right


def chenouard(
    true: list[dict[int, tuple[float, float]]], found: list[dict[int, tuple[float, float]]]
) -> dict[str, float]:
    """The definition: dummies for each true track, and the best of all pairings."""
    padded = [*found, *({} for _ in true)]
    # Of equal pairings the one with the fewest pairs: what brings nothing is none.
    total, _, chosen = min(
        (
            round(sum(distance(t, padded[k])[0] for t, k in zip(true, chosen, strict=True)), 9),
            sum(k < len(found) for k in chosen),
            chosen,
        )
        for chosen in permutations(range(len(padded)), len(true))
    )
    nothing = sum(distance(t, {})[0] for t in true)
    false = sum(distance(f, {})[0] for k, f in enumerate(found) if k not in chosen)
    right = sum(distance(t, padded[k])[1] for t, k in zip(true, chosen, strict=True))
    paired = sum(k < len(found) for k in chosen)
    n_true, n_found = sum(map(len, true)), sum(map(len, found))
    return {
        "jsc": right / (n_true + n_found - right),
        "jsc_tracks": paired / (len(true) + len(found) - paired),
        "alpha": 1 - total / nothing,
        "beta": (nothing - total) / (nothing + false),
    }


@pytest.mark.parametrize("seed", range(12))
def test_scores_of_points_and_tracks_are_those_of_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true, found = random_tracks(rng, 3), random_tracks(rng, 4)
    result = score_tracks(points(*true), points(*found), GATE_PX)._asdict()
    for name, value in chenouard(true, found).items():
        assert result[name] == pytest.approx(value), name


def test_hota_of_a_track_in_two_halves() -> None:
    whole = {f: (0.0, float(f)) for f in range(8)}
    halves = [{f: whole[f] for f in range(4)}, {f: whole[f] for f in range(4, 8)}]
    result = score_tracks(points(whole), points(*halves))
    # Each point shares 4 of 8 with its track.
    assert result.association == pytest.approx(0.5)
    assert result.detection == 1
    assert result.hota == pytest.approx(np.sqrt(0.5))


def test_hota_falls_with_the_distance_as_its_levels_do() -> None:
    true = {f: (0.0, float(f)) for f in range(4)}
    found = {f: (2.0, float(f)) for f in range(4)}
    result = score_tracks(points(true), points(found), 5.0)
    assert result.hota == pytest.approx(np.mean(LOCALISATION <= 0.6 + 1e-9))


def test_hota_of_a_missed_and_a_false_point() -> None:
    true = {f: (0.0, float(f)) for f in range(4)}
    found = {f: (0.0, float(f)) for f in range(3)} | {7: (0.0, 0.0)}
    result = score_tracks(points(true), points(found))
    assert result.detection == pytest.approx(3 / 5)
    assert result.association == pytest.approx(3 / 5)
    assert result.jsc == pytest.approx(3 / 5)


def test_hota_keeps_to_the_track_that_fits_over_the_whole_time() -> None:
    true = dict.fromkeys(range(6), (0.0, 0.0))
    near = dict.fromkeys(range(6), (0.5, 0.0))
    passing = {2: (0.2, 0.0)}
    result = score_tracks(points(true), points(near, passing))
    # Taking the passing point for once, because it is nearer, would cost association.
    share = np.mean(LOCALISATION <= 0.9 + 1e-9)
    assert result.association == pytest.approx(share)


def test_order_and_names_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    true, found = points(*random_tracks(rng, 5)), points(*random_tracks(rng, 5))
    order = rng.permutation(len(found.track))
    mixed = Points(found.track[order] * 7 + 40, found.frame[order], found.place_px[order])
    before, after = score_tracks(true, found), score_tracks(true, mixed)
    assert before == pytest.approx(after)


def test_nothing_to_divide_by_is_nan() -> None:
    empty, one = points(), points({0: (1.0, 1.0)})
    nothing = score_tracks(empty, empty)
    assert all(np.isnan(value) for value in nothing)
    missed, false = score_tracks(one, empty), score_tracks(empty, one)
    assert missed == TrackScores(0, 0, 0, 0, 0, 0, 0)
    assert false.jsc == 0
    assert np.isnan(false.alpha)


def test_two_points_of_a_track_in_one_frame_are_refused() -> None:
    twice = Points(np.array([1, 1]), np.array([0, 0]), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="found tracks: a track has two points in one frame"):
        score_tracks(points(), twice)


def test_the_gate_has_to_be_positive() -> None:
    with pytest.raises(ValueError, match="gate_px: 0"):
        score_tracks(points(), points(), 0)
