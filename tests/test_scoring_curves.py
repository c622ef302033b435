"""Curves and calibration of pixels against scikit-learn and torchmetrics."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from sklearn import metrics
from torchmetrics.classification import BinaryCalibrationError

from corroscope.scoring.calibration import (
    BINS,
    expected_calibration_error,
    reliability,
    reliability_curve,
)
from corroscope.scoring.curves import (
    STEPS,
    Histograms,
    average_precision,
    histograms,
    precision_recall_curve,
)


def maps(
    rng: np.random.Generator, levels: int = STEPS
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Probabilities that are multiples of 1/levels, an annotation and what is ignored."""
    field = ndimage.gaussian_filter(rng.normal(size=(24, 31)), 1.5)
    annotation = field > np.quantile(field, rng.uniform(0.6, 0.95))
    sharpness = rng.uniform(1, 20)
    probability = 1 / (1 + np.exp(-sharpness * (field - 0.2) - rng.normal(size=field.shape)))
    return (
        (np.floor(probability * levels) / levels).astype(np.float32),
        np.asarray(annotation),
        rng.random(field.shape) < 0.2,
    )


@given(st.integers(0, 2**32 - 1), st.sampled_from([4, 64, STEPS]))
def test_curves_are_those_of_scikit_learn(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    images = [maps(rng, levels) for _ in range(3)]
    total = histograms(*images[0]) + histograms(*images[1]) + histograms(*images[2])
    truth = np.concatenate([annotation[~ignored] for _, annotation, ignored in images])
    guess = np.concatenate([probability[~ignored] for probability, _, ignored in images])
    if not truth.any():
        return
    precision, recall, threshold = metrics.precision_recall_curve(truth, guess)
    curve = precision_recall_curve(total)
    np.testing.assert_array_equal(curve["threshold"], threshold)
    np.testing.assert_allclose(curve["precision"], precision[:-1])
    np.testing.assert_allclose(curve["recall"], recall[:-1])
    expected = metrics.average_precision_score(truth, guess)
    assert average_precision(total) == pytest.approx(expected)


def test_probabilities_between_the_steps_change_little(rng: np.random.Generator) -> None:
    probability, annotation, _ = maps(rng, 2**20)
    expected = metrics.average_precision_score(annotation.ravel(), probability.ravel())
    assert average_precision(histograms(probability, annotation)) == pytest.approx(
        expected, abs=0.01
    )


def test_curves_of_nothing() -> None:
    nothing = np.zeros((4, 5), bool)
    probability = np.linspace(0, 1, 20).reshape(4, 5)
    found = histograms(probability, nothing)
    assert np.isnan(average_precision(found))
    curve = precision_recall_curve(found)
    assert curve["recall"].isna().all()
    assert (curve["precision"] == 0).all()
    ignored = histograms(probability, ~nothing, ~nothing)
    assert np.isnan(average_precision(ignored))
    assert precision_recall_curve(ignored).empty
    assert average_precision(histograms(probability, ~nothing)) == pytest.approx(1)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, np.nan])
def test_what_is_no_probability(wrong: float) -> None:
    probability = np.full((2, 2), 0.5)
    probability[1, 1] = wrong
    annotation = np.zeros((2, 2), bool)
    for judged in (histograms, reliability):
        with pytest.raises(ValueError, match="probabilities must be between 0 and 1"):
            judged(probability, annotation)
    ignored = np.array([[False, False], [False, True]])
    assert histograms(probability, annotation, ignored).background.sum() == 3


def test_probabilities_of_another_shape() -> None:
    for judged in (histograms, reliability):
        with pytest.raises(ValueError, match=r"of \(2, 3\) for a mask of \(2, 2\)"):
            judged(np.zeros((2, 3)), np.zeros((2, 2), bool))


@given(st.integers(0, 2**32 - 1))
def test_calibration_error_is_that_of_torchmetrics(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = [maps(rng) for _ in range(2)]
    total = reliability(*images[0], near_px=None) + reliability(*images[1], near_px=None)
    truth = np.concatenate([annotation[~ignored] for _, annotation, ignored in images])
    guess = np.concatenate([probability[~ignored] for probability, _, ignored in images])
    other = BinaryCalibrationError(n_bins=BINS, norm="l1")
    expected = float(other(torch.from_numpy(guess), torch.from_numpy(truth.astype(int))))
    assert expected_calibration_error(total) == pytest.approx(expected, abs=1e-6)


@given(st.integers(0, 2**32 - 1), st.floats(0, 9))
@example(0, 2 - 2e-15)
def test_near_is_what_is_close_to_an_annotated_or_a_probable_pixel(
    seed: int, near_px: float
) -> None:
    probability, annotation, ignored = maps(np.random.default_rng(seed))
    objects = (annotation | (probability >= 0.5)) & ~ignored
    near = ndimage.distance_transform_edt(~objects) <= near_px if objects.any() else objects
    expected = reliability(probability, annotation, ignored | ~near, near_px=None)
    found = reliability(probability, annotation, ignored, near_px=near_px)
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    np.testing.assert_array_equal(found.particle, expected.particle)
    np.testing.assert_allclose(found.probability, expected.probability)


def test_bounds_of_the_bins() -> None:
    probability = np.array([[0.0, 1 / 3, 1.0, 14 / 15]])
    found = reliability(probability, probability > 0, near_px=None)
    assert found.pixels[[0, 5, 14]].tolist() == [1, 1, 2]


def test_a_network_that_knows_how_sure_it_is(rng: np.random.Generator) -> None:
    probability = rng.random((300, 300))
    right = reliability(probability, rng.random((300, 300)) < probability)
    # Each of 15 bins has 6000 pixels, so a standard error of at most 0.0065.
    assert expected_calibration_error(right) < 0.015
    too_sure = reliability(probability, rng.random((300, 300)) < 0.5)
    assert expected_calibration_error(too_sure) == pytest.approx(0.25, abs=0.015)
    curve = reliability_curve(right)
    np.testing.assert_allclose(curve["observed"], curve["predicted"], atol=0.03)
    assert curve["predicted"].between(curve["lower"], curve["upper"]).all()


def test_calibration_of_nothing() -> None:
    found = reliability(np.full((6, 6), 0.2), np.zeros((6, 6), bool))
    assert found.pixels.sum() == 0
    assert np.isnan(expected_calibration_error(found))
    assert reliability_curve(found)["observed"].isna().all()


def test_histograms_add_up(rng: np.random.Generator) -> None:
    images = [maps(rng) for _ in range(3)]
    none = Histograms(np.zeros(STEPS + 1, np.int64), np.zeros(STEPS + 1, np.int64))
    total = sum((histograms(*image) for image in images), none)
    assert total.particle.sum() == sum((mask & ~ignored).sum() for _, mask, ignored in images)
    assert total.background.shape == none.background.shape
