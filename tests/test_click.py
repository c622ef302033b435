"""One click to a contour: on made pictures, on bad input, and on real particles."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from corroscope import annotation
from corroscope.annotation.click_network import (
    ClickNetwork,
    read_click_network,
    shipped_click_network,
)
from corroscope.annotation.geodesic import closed_geodesic
from corroscope.annotation.half_contrast import half_contrast
from corroscope.annotation.instances import paint
from corroscope.annotation.surroundings import PLANES, snap, surroundings
from corroscope.errors import AnnotationError, BundleError
from corroscope.learning.clicks import simulated_clicks, whole_particles
from corroscope.learning.dataset import Patch
from corroscope.segmentation.bundle import SHIPPED

Grey = NDArray[np.float32]


def _picture(
    radius: float, at: tuple[float, float] = (60, 70), shape: tuple[int, int] = (130, 150)
) -> Grey:
    """A dark disc, blurred as a microscope does, on a noisy ground."""
    rows, cols = np.indices(shape)
    disc = np.hypot(rows - at[0], cols - at[1]) <= radius
    blurred = ndimage.gaussian_filter(np.where(disc, 60.0, 160.0), 0.8)
    return np.asarray(blurred + np.random.default_rng(0).normal(0, 3, shape), np.float32)


def _disc(
    radius: float, at: tuple[float, float] = (60, 70), shape: tuple[int, int] = (130, 150)
) -> NDArray[np.bool_]:
    rows, cols = np.indices(shape)
    return np.asarray(np.hypot(rows - at[0], cols - at[1]) <= radius)


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("radius", [2, 3, 5, 8, 14, 25])
def test_a_click_finds_the_disc_that_it_is_in(radius: float) -> None:
    mask = annotation.contour_from_click(_picture(radius), (60.4, 69.3))
    # Annotators draw up to a pixel wider than half of the contrast.
    assert max(_iou(mask, _disc(radius + more)) for more in (0, 0.5, 1)) > 0.75
    assert ndimage.label(mask)[1] == 1


def test_neither_lamp_nor_depth_nor_a_difference_changes_the_contour() -> None:
    image = _picture(3)
    mask = annotation.contour_from_click(image, (60, 70))
    for other in (image * 200, image - 160, image / 255, (image * 64).astype(np.uint16)):
        assert _iou(annotation.contour_from_click(other, (60, 70)), mask) > 0.98
    assert (annotation.contour_from_click(image.astype(np.int32), (60, 70)) == mask).mean() > 0.999


def test_what_lies_far_away_changes_nothing() -> None:
    image = _picture(3, shape=(600, 700))
    mask = annotation.contour_from_click(image, (60, 70))
    image[300:, 300:] = 0
    np.testing.assert_array_equal(annotation.contour_from_click(image, (60, 70)), mask)


@pytest.mark.parametrize("at", [(0, 70), (1, 149), (129, 0), (64, 1)])
def test_a_particle_at_the_border_stays_in_the_image(at: tuple[int, int]) -> None:
    mask = annotation.contour_from_click(_picture(3, at), at)
    assert mask.shape == (130, 150)
    assert _iou(mask, _disc(3.5, at)) > 0.6
    for one in annotation.levels(_picture(3, at), at).instances:
        assert one.fits((130, 150))


def test_a_saturated_pit_is_found_as_a_whole() -> None:
    image = np.full((200, 200), 180, np.uint8)
    image[_disc(30, (100, 100), (200, 200))] = 0
    mask = annotation.contour_from_click(image, (95, 105))
    assert _iou(mask, _disc(30, (100, 100), (200, 200))) > 0.8


def test_a_flat_region_has_no_contour() -> None:
    with pytest.raises(AnnotationError, match=r"click \(20, 30\): nothing stands out"):
        annotation.contour_from_click(np.full((100, 100), 7, np.uint8), (20, 30))
    bright = np.full((100, 100), 100, np.uint8)
    bright[50, 50] = 200
    with pytest.raises(AnnotationError, match="nothing stands out"):
        annotation.contour_from_click(bright, (10, 10))


def test_what_is_larger_than_any_window_is_told() -> None:
    rows, _ = np.indices((500, 500))
    dark_half = np.where(rows < 250, 0, 200).astype(np.uint8)
    with pytest.raises(AnnotationError, match=r"larger than 192 px; draw it|nothing stands out"):
        annotation.contour_from_click(dark_half, (240, 250))


@pytest.mark.parametrize("point", [(-1, 5), (5, 150), (130, 0), (np.nan, 3)])
def test_a_click_outside_the_image_is_told(point: tuple[float, float]) -> None:
    for find in (annotation.contour_from_click, annotation.levels):
        with pytest.raises(AnnotationError, match=r"is outside the image of 130 by 150 pixels"):
            find(_picture(3), point)
    with pytest.raises(AnnotationError, match="outside"):
        annotation.instances_from_clicks(_picture(3), [(60, 70), point])
    with pytest.raises(AnnotationError, match="outside"):
        annotation.contour_from_click(_picture(3), (60, 70), include=[point])


@pytest.mark.parametrize("point", [("a", "b"), (1, 2, 3), None, 7])
def test_what_is_no_point_is_told(point: Any) -> None:
    with pytest.raises(AnnotationError, match="a row and a column"):
        annotation.contour_from_click(_picture(3), point)


def test_no_clicks_find_nothing() -> None:
    assert annotation.instances_from_clicks(_picture(3), []) == []


def test_further_clicks_that_contradict_or_are_far_away_are_told() -> None:
    image = _picture(3, shape=(400, 400))
    with pytest.raises(AnnotationError, match="taken in and left out"):
        annotation.contour_from_click(image, (60, 70), include=[(62, 70)], exclude=[(62, 70)])
    with pytest.raises(AnnotationError, match="farther than 96 px"):
        annotation.contour_from_click(image, (60, 70), include=[(300, 300)])


@pytest.mark.parametrize(
    "image", [np.zeros((3, 4, 3)), np.zeros((0, 5)), np.zeros((5, 5), complex), np.zeros(5)]
)
def test_what_is_no_grey_image_is_told(image: NDArray[np.generic]) -> None:
    with pytest.raises(AnnotationError, match="grey"):
        annotation.contour_from_click(image, (0, 0))


def test_pixels_without_a_number_are_told() -> None:
    image = _picture(3)
    image[61, 70] = np.nan
    with pytest.raises(AnnotationError, match="no number"):
        annotation.contour_from_click(image, (60, 70))
    with pytest.raises(AnnotationError, match="no number"):
        annotation.propose(image)


def test_levels_are_nested_and_hold_the_best() -> None:
    image = _picture(4)
    nested = annotation.levels(image, (60, 70))
    masks = [paint([one], image.shape) for one in nested.instances]
    for smaller, larger in itertools.pairwise(masks):
        assert (smaller <= larger).all()
        assert smaller.sum() < larger.sum()
    best = annotation.contour_from_click(image, (60, 70))
    np.testing.assert_array_equal(masks[nested.best], best)
    assert masks[0].sum() <= best.sum() / 2.5
    assert masks[-1].sum() >= 2.5 * best.sum()


def test_a_size_that_was_chosen_is_kept_by_further_clicks() -> None:
    image = _picture(4)
    one = annotation.contour_from_click(image, (60, 70))
    for factor in (0.6, 1.5):
        sized = annotation.contour_from_click(image, (60, 70), area_px=factor * one.sum())
        assert sized.sum() == pytest.approx(factor * one.sum(), rel=0.15)
        mended = annotation.contour_from_click(
            image, (60, 70), area_px=factor * one.sum(), include=[(60, 76)]
        )
        assert mended[60, 76]
        assert abs(int(mended.sum()) - int(sized.sum())) < 0.5 * one.sum()


def test_further_clicks_take_in_and_leave_out() -> None:
    image = np.minimum(_picture(3, (60, 66)), _picture(3, (60, 75)))
    one = annotation.contour_from_click(image, (60, 66))
    assert not one[60, 75]
    both = annotation.contour_from_click(image, (60, 66), include=[(60, 75)])
    assert both[60, 66]
    assert both[60, 75]
    assert ndimage.label(both, np.ones((3, 3)))[1] <= 2
    again = annotation.contour_from_click(image, (60, 66), exclude=[(60, 69)])
    assert not again[60, 69]
    assert again.sum() < one.sum()


def test_many_clicks_at_once_find_what_single_ones_do() -> None:
    rng = np.random.default_rng(1)
    image = np.full((300, 300), 160.0)
    points = [(30 + 60 * r, 30 + 60 * c) for r in range(5) for c in range(5)]
    for number, (row, col) in enumerate(points):
        image[_disc(1 + number % 8, (row, col), (300, 300))] = 60
    image = ndimage.gaussian_filter(image, 0.8) + rng.normal(0, 3, image.shape)
    points += [(0, 0), (299, 299), (3, 297)]
    many = annotation.instances_from_clicks(image, points)
    for point, found in zip(points, many, strict=True):
        assert found is not None
        single = annotation.contour_from_click(image, point)
        assert (paint([found], (300, 300)) == single).all()
    flat = annotation.instances_from_clicks(np.ones((60, 60)), [(30, 30)])
    assert flat == [None]


def test_candidates_come_best_first_and_none_twice() -> None:
    image = _picture(4)
    model = _disc(5)
    found = annotation.candidates_from_click(image, (60, 70), model=model)
    assert {one.method for one in found} >= {"front", "closed geodesic", "model"}
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert len({one.instance for one in found}) == len(found)
    for one in found:
        assert _iou(paint([one.instance], image.shape), _disc(4.5)) > 0.6
    with pytest.raises(AnnotationError, match="one frame"):
        annotation.candidates_from_click(image, (60, 70), model=np.zeros((3, 3), bool))
    elsewhere = annotation.candidates_from_click(image, (60, 70), model=_disc(3, (20, 20)))
    assert "model" not in {one.method for one in elsewhere}


@pytest.mark.parametrize("radius", [3, 4, 7, 15])
def test_the_closed_geodesic_goes_once_round_the_click(radius: float) -> None:
    image = _picture(radius)
    for point in ((60, 70), (60 + radius / 3, 70 - radius / 3)):
        found = paint([closed_geodesic(image, point, outwards_px=0)], image.shape)
        assert _iou(found, _disc(radius)) > 0.75
        assert found[round(point[0]), round(point[1])]
    with pytest.raises(AnnotationError, match="no edge"):
        closed_geodesic(np.ones((50, 50), np.float32), (20, 20))


def test_half_contrast_is_what_is_darker_than_half_way() -> None:
    image = np.full((80, 80), 100, np.float32)
    image[40:44, 40:44] = 20
    image[40:44, 44] = 55
    image[40:44, 45] = 65
    assert half_contrast(image, (41, 41), grow_px=0).area_px == 20
    with pytest.raises(AnnotationError, match="no dark spot"):
        half_contrast(np.ones((50, 50), np.float32), (20, 20))


def test_proposals_find_the_specks_and_the_clearest_first() -> None:
    image = np.minimum(_picture(3, (30, 40)), 40 + _picture(2.5, (90, 110)))
    found = annotation.propose(image)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    best = [paint([one.instance], image.shape) for one in found[:2]]
    assert best[0][30, 40]
    assert best[1][90, 110]
    network = annotation.propose(image.astype(np.uint8), SHIPPED)
    assert any(paint([one.instance], image.shape)[30, 40] for one in network)
    assert all(0 <= one.score <= 1 for one in [*found, *network])
    assert annotation.propose(np.full((64, 64), 9, np.uint8)) == []


def test_the_shipped_network_takes_any_number_of_clicks() -> None:
    network = shipped_click_network()
    assert network.belonging(np.zeros((0, PLANES, 24, 24), np.float32)).shape == (0, 24, 24)
    planes = np.random.default_rng(0).normal(0, 0.5, (70, PLANES, 24, 24)).astype(np.float32)
    together = network.belonging(planes)
    np.testing.assert_allclose(network.belonging(planes[65:66])[0], together[65], atol=1e-5)


def test_other_files_are_no_click_networks(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere.onnx"):
        read_click_network(tmp_path / "nowhere.onnx")
    with pytest.raises(BundleError, match="not a network"):
        ClickNetwork(b"nothing")
    with pytest.raises(BundleError, match="not a click network"):
        read_click_network(SHIPPED / "model.onnx")


def test_windows_are_centred_on_the_click_at_every_scale() -> None:
    image = np.full((200, 200), 100, np.float32)
    image[96:104, 96:104] = 20
    for scale in (1, 2, 4):
        darkness = surroundings(image, np.array([[100, 100]]), scale).planes[0, 0]
        middle = ndimage.center_of_mass(darkness)
        expected = 11.5 if scale == 1 else 12
        assert middle == pytest.approx((expected, expected), abs=0.01)
        assert darkness.sum() == pytest.approx(64 / scale**2, rel=0.01)
    assert snap(image, np.array([[94.0, 95.0]])).tolist() != [[94, 95]]


def test_real_particles_are_found_with_one_click(real_patches: list[Patch]) -> None:
    rng = np.random.default_rng(0)
    agreement = []
    for patch in real_patches[::6]:
        for particle in whole_particles(patch):
            (point,) = simulated_clicks(particle, patch.frame.shape, 1, rng)
            mask = annotation.contour_from_click(patch.frame, tuple(point))
            agreement.append(_iou(mask, paint([particle], patch.frame.shape)))
    # The network has learnt from these; how good it is elsewhere is benchmarked.
    assert len(agreement) > 30
    assert np.mean(agreement) > 0.78
