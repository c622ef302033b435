"""Synthetic frames."""

import numpy as np
import pytest
from scipy import ndimage

from corroscope.synthesis.frame import make_frame


def test_same_seed_same_frame() -> None:
    one, two = (make_frame((128, 140), np.random.default_rng(3), particles=5) for _ in range(2))
    assert np.array_equal(one.frame, two.frame)
    assert np.array_equal(one.mask, two.mask)


def test_areas_are_those_of_real_particles() -> None:
    areas: list[int] = []
    for seed in range(12):
        made = make_frame((500, 500), np.random.default_rng(seed), particles=40, pits=0)
        labels, _ = ndimage.label(made.mask)
        areas += np.bincount(labels.ravel())[1:].tolist()
    low, median, high = np.quantile(areas, [0.05, 0.5, 0.95])
    assert 6 <= low <= 14
    assert 15 <= median <= 27
    assert 75 <= high <= 140


def test_what_is_in_the_mask_is_dark_and_what_is_dark_is_not_all_in_it() -> None:
    made = make_frame((400, 400), np.random.default_rng(1), particles=30, pits=1)
    assert made.frame[made.mask].mean() < made.frame[~made.mask].mean() - 15
    assert (made.frame[~made.mask] < 60).sum() > 100  # the pit


def test_no_particles() -> None:
    assert not make_frame((128, 128), np.random.default_rng(0), particles=0).mask.any()


def test_too_small() -> None:
    with pytest.raises(ValueError, match="each side must be 128 px or more"):
        make_frame((127, 300), np.random.default_rng(0), particles=1)


def test_negative_number() -> None:
    with pytest.raises(ValueError, match="particles -1 and pits 1 must be 0 or more"):
        make_frame((128, 128), np.random.default_rng(0), particles=-1)
