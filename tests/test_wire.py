"""The live wire and what it is made of."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from corroscope.annotation import contour_from_points, retrace, trace
from corroscope.annotation.paths import minimal_path, winding_number
from corroscope.errors import AnnotationError

SHAPE = (60, 70)
CENTRE = (30.0, 35.0)


def _disc(radius: float) -> NDArray[np.bool_]:
    rows, cols = np.indices(SHAPE)
    return np.asarray(np.hypot(rows - CENTRE[0], cols - CENTRE[1]) <= radius)


def _picture(radius: float) -> NDArray[np.uint8]:
    return np.asarray(ndimage.gaussian_filter(np.where(_disc(radius), 60, 160), 0.8), np.uint8)


def _rim(radius: float, *angles: float) -> list[tuple[float, float]]:
    return [
        (CENTRE[0] + radius * float(np.sin(a)), CENTRE[1] + radius * float(np.cos(a)))
        for a in np.deg2rad(angles)
    ]


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("radius", [3, 6, 12])
@pytest.mark.parametrize("angles", [(0, 180), (20, 140), (0, 120, 240), (300, 30, 90, 200)])
def test_points_on_the_edge_give_the_disc(radius: float, angles: tuple[float, ...]) -> None:
    mask = contour_from_points(_picture(radius), _rim(radius, *angles), inside=CENTRE)
    assert _iou(mask, _disc(radius)) > 0.75


def test_two_points_are_joined_on_both_sides() -> None:
    wire = trace(_picture(8), _rim(8, 90, 270))
    assert abs(int(winding_number(wire.contour, [CENTRE])[0])) == 1
    sides = [np.sign((segment[:, 1] - CENTRE[1]).mean()) for segment in wire.segments]
    assert sorted(sides) == [-1, 1]


def test_only_the_neighbouring_paths_change_when_a_point_moves() -> None:
    image = _picture(8)
    wire = trace(image, _rim(8, 0, 90, 180, 270))
    moved = retrace(image, wire, 1, _rim(8, 70)[0])
    assert [new is old for new, old in zip(moved.segments, wire.segments, strict=True)] == [
        False,
        False,
        True,
        True,
    ]
    assert _iou(moved.mask(SHAPE), _disc(8)) > 0.8
    back = retrace(image, moved, 1, wire.points[1])
    np.testing.assert_array_equal(back.contour, wire.contour)


def test_the_contour_keeps_away_from_excluded_points() -> None:
    image = _picture(8)
    points = _rim(8, 0, 180)
    (excluded,) = _rim(8, 90)
    free = trace(image, points).contour
    kept_off = trace(image, points, excluded=[excluded]).contour
    distance = [np.hypot(*(way - excluded).T).min() for way in (free, kept_off)]
    assert distance[0] < 1
    assert distance[1] > 1.4


def test_points_in_any_order_still_have_a_mask() -> None:
    image = _picture(8)
    crossed = contour_from_points(image, _rim(8, 0, 180, 90, 270))
    assert crossed.any()
    assert not (crossed & ~_disc(12)).any()
    np.testing.assert_array_equal(crossed, contour_from_points(image, _rim(8, 0, 180, 90, 270)))


def test_on_a_flat_region_the_wire_is_straight() -> None:
    corners = [(20.0, 20.0), (20.0, 40.0), (40.0, 40.0), (40.0, 20.0)]
    mask = contour_from_points(np.full(SHAPE, 7, np.uint8), corners)
    assert _iou(mask, np.pad(np.ones((20, 20), bool), ((20, 20), (20, 30)))) > 0.85


def test_points_that_cannot_be_are_told() -> None:
    image = _picture(8)
    with pytest.raises(AnnotationError, match="there are 1"):
        contour_from_points(image, [(3, 3)])
    with pytest.raises(AnnotationError, match=r"points 1 and 3 coincide at \(22, 35.2\)"):
        contour_from_points(image, [(22, 35), (30, 43), (22, 35.2)])
    with pytest.raises(AnnotationError, match=r"point 2 \(60, 3\) is outside"):
        contour_from_points(image, [(3, 3), (60, 3)])
    with pytest.raises(AnnotationError, match="a row and a column"):
        contour_from_points(image, [(3, 3, 3), (5, 5, 5)])  # type: ignore[list-item]
    with pytest.raises(AnnotationError, match="enclose no pixel"):
        contour_from_points(np.zeros(SHAPE), [(10, 10), (11, 10), (12, 10)])
    with pytest.raises(AnnotationError, match="inside point"):
        contour_from_points(image, [(3, 3), (20, 3)], inside=(-9, 0))
    with pytest.raises(AnnotationError, match="grey"):
        contour_from_points(np.zeros((5, 5, 3)), [(1, 1), (3, 3)])
    broken = image.astype(np.float32)
    broken[30, 30] = np.nan
    with pytest.raises(AnnotationError, match="no number"):
        contour_from_points(broken, _rim(8, 0, 180))
    wire = trace(image, _rim(8, 0, 90, 180))
    with pytest.raises(AnnotationError, match="has no point 4"):
        retrace(image, wire, 3, (3, 3))
    with pytest.raises(AnnotationError, match="coincide"):
        retrace(image, wire, 0, wire.points[1])
    with pytest.raises(AnnotationError, match="outside"):
        retrace(image, wire, 0, (999, 0))


def test_a_path_follows_what_is_cheap_and_has_no_gaps() -> None:
    cost = np.full((30, 30), 50.0)
    cost[5, 5:25] = cost[5:25, 24] = 1
    path = minimal_path(cost, (5, 5), (24, 24))
    assert path[0].tolist() == [5, 5]
    assert path[-1].tolist() == [24, 24]
    assert np.abs(np.diff(path, axis=0)).max() == 1
    assert cost[tuple(path.T)].mean() < 10
    with pytest.raises(AnnotationError, match="cannot start"):
        minimal_path(cost, (30, 0), (0, 0))
    with pytest.raises(AnnotationError, match="outside"):
        minimal_path(cost, (0, 0), (30, 0))


def test_winding_numbers_count_turns() -> None:
    turn = np.deg2rad(np.arange(0, 720, 10))
    twice = np.stack([np.sin(turn), np.cos(turn)], axis=1) * (1 + turn / 50)[:, None]
    numbers = winding_number(twice, [(0, 0), (5, 5), (0, -0.3)])
    assert np.abs(numbers).tolist() == [2, 0, 2]
    assert (winding_number(twice[::-1], [(0, 0)]) == -numbers[0]).all()
