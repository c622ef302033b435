"""Dark regions that the reference did not have, drawn with known areas."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from corroscope.errors import FrameError, SettingsError
from corroscope.frames.contrast import relative_contrast
from corroscope.segmentation.openings import find_openings

SIGMA_PX = 25.0


def metal(seed: int = 0, side: int = 256) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(0, 2.5, (side, side))
    return np.asarray(200 + noise, np.float32)


def hole(
    frame: NDArray[np.float32], y: float, x: float, radius: float, depth: float = 0.9
) -> NDArray[np.float32]:
    """The frame with a disc of known area in it, as optics blur it."""
    rows, columns = np.mgrid[: frame.shape[0], : frame.shape[1]]
    cover = np.clip(radius - np.hypot(rows - y, columns - x) + 0.5, 0, 1).astype(np.float32)
    return np.asarray(frame * (1 - depth * cv2.GaussianBlur(cover, (0, 0), 0.7)), np.float32)


def contrasts(
    frame: NDArray[np.float32], before: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return relative_contrast(frame, SIGMA_PX), relative_contrast(before, SIGMA_PX)


@pytest.mark.parametrize("radius", [1.3, 2.0, 4.0, 9.0, 20.0, 40.0])
def test_the_missing_light_is_the_area(radius: float) -> None:
    before = metal(1)
    found = find_openings(*contrasts(hole(metal(2), 120.3, 130.6, radius), before))
    assert len(found) == 1
    one = found.iloc[0]
    assert one["soft_area_px"] == pytest.approx(0.9 * np.pi * radius**2, rel=0.06, abs=0.4)
    assert np.hypot(one["y_px"] - 120.3, one["x_px"] - 130.6) < 0.4


def test_the_depth_of_a_wide_hole_is_known() -> None:
    found = find_openings(*contrasts(hole(metal(2), 120, 130, 12, depth=0.8), metal(1)))
    assert found["depth"].iloc[0] == pytest.approx(0.8, abs=0.03)


def test_what_was_there_before_is_not_new() -> None:
    before = hole(metal(1), 60, 60, 5)
    after = hole(hole(metal(2), 60, 60, 5), 180, 180, 5)
    found = find_openings(*contrasts(after, before))
    assert len(found) == 1
    assert found["y_px"].iloc[0] == pytest.approx(180, abs=0.5)


def test_a_hole_that_was_open_before_and_grows_is_found() -> None:
    before, after = hole(metal(1), 100, 100, 5), hole(metal(2), 100, 100, 9)
    found = find_openings(*contrasts(after, before))
    largest = found.sort_values("area_px").iloc[-1]
    assert np.hypot(largest["y_px"] - 100, largest["x_px"] - 100) < 1.5


def test_nothing_is_new_where_the_reference_shows_nothing() -> None:
    after, before = contrasts(hole(metal(2), 20, 130, 5), metal(1))
    before[:60] = np.nan
    assert find_openings(after, before).empty


def test_noise_alone_has_no_openings() -> None:
    assert find_openings(*contrasts(metal(2), metal(1))).empty


def test_pictures_must_fit() -> None:
    after, before = contrasts(metal(2), metal(1))
    with pytest.raises(FrameError, match="same size"):
        find_openings(after, before[:100])


@pytest.mark.parametrize("least", [0.0, 1.0])
def test_the_least_share_lies_between_0_and_1(least: float) -> None:
    after, before = contrasts(metal(2), metal(1))
    with pytest.raises(SettingsError, match="between 0 and 1"):
        find_openings(after, before, least_missing=least)
