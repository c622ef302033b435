"""Counts and scores against independent implementations."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from sklearn import metrics

from corroscope.scoring.counts import Counts, count
from corroscope.scoring.scores import score, scores


def _blobs(rng: np.random.Generator, share: float) -> NDArray[np.bool_]:
    noise = ndimage.gaussian_filter(rng.normal(size=(24, 31)), rng.uniform(0.4, 2))
    return np.asarray(noise > np.quantile(noise, 1 - share))


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.4), st.floats(0, 0.4))
def test_pixel_scores_are_those_of_scikit_learn(seed: int, one: float, two: float) -> None:
    rng = np.random.default_rng(seed)
    prediction, annotation = _blobs(rng, one), _blobs(rng, two)
    found = scores(count(prediction, annotation))
    truth, guess = annotation.ravel(), prediction.ravel()
    expected = {
        "dice": metrics.f1_score(truth, guess, zero_division=np.nan),
        "iou": metrics.jaccard_score(truth, guess, zero_division=0),
        "accuracy": metrics.accuracy_score(truth, guess),
        "precision": metrics.precision_score(truth, guess, zero_division=np.nan),
        "recall": metrics.recall_score(truth, guess, zero_division=np.nan),
        "specificity": metrics.recall_score(~truth, ~guess, zero_division=np.nan),
    }
    if not (truth.any() or guess.any()):
        expected["iou"] = np.nan
    for name, value in expected.items():
        assert np.isclose(found[name], value, equal_nan=True), name


def _most_pairs(allowed: NDArray[np.bool_]) -> int:
    """One-to-one matching of the largest size, by trying everything."""
    if allowed.shape[0] > allowed.shape[1]:
        allowed = allowed.T
    rows, columns = allowed.shape
    return max(
        (
            sum(bool(allowed[r, c]) for r, c in zip(range(rows), order, strict=True))
            for order in itertools.permutations(range(columns), rows)
        ),
        default=0,
    )


@given(st.integers(0, 2**32 - 1))
def test_matching_is_the_largest_there_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prediction = _blobs(rng, 0.12)
    annotation = np.roll(prediction, rng.integers(-2, 3, 2), (0, 1)) ^ _blobs(rng, 0.02)
    eight = np.ones((3, 3))
    predicted, n = ndimage.label(prediction, eight)
    annotated, m = ndimage.label(annotation, eight)
    if min(n, m) > 6 or max(n, m) > 8:
        return
    iou, distance = np.zeros((n, m)), np.zeros((n, m))
    for i, j in itertools.product(range(n), range(m)):
        a, b = predicted == i + 1, annotated == j + 1
        iou[i, j] = metrics.jaccard_score(a.ravel(), b.ravel())
        distance[i, j] = np.hypot(*np.subtract(np.argwhere(a).mean(0), np.argwhere(b).mean(0)))
    found = count(prediction, annotation)
    assert (found.predicted, found.annotated) == (n, m)
    assert found.matched_iou_30 == _most_pairs(iou >= 0.3)
    assert found.matched_iou_50 == _most_pairs(iou >= 0.5)
    assert found.matched_3px == _most_pairs(distance <= 3)


def test_one_large_prediction_matches_one_particle_only() -> None:
    annotation = np.zeros((20, 20), bool)
    annotation[5:8, 2:5] = annotation[5:8, 8:11] = True
    prediction = np.zeros((20, 20), bool)
    prediction[5:8, 2:11] = True
    found = count(prediction, annotation)
    assert (found.matched_iou_30, found.matched_3px) == (1, 1)


def test_empty_images() -> None:
    empty, full = np.zeros((8, 8), bool), np.ones((8, 8), bool)
    nothing = scores(count(empty, empty))
    assert nothing["accuracy"] == nothing["specificity"] == 1
    assert all(
        np.isnan(nothing[name]) for name in ("dice", "precision", "recall", "particle_f1_iou30")
    )
    assert scores(count(full, empty))["dice"] == 0
    assert np.isnan(scores(count(full, empty))["count_bias"])


def test_shapes_differ() -> None:
    with pytest.raises(ValueError, match=r"masks of shapes \(2, 2\) and \(2, 3\) differ"):
        count(np.zeros((2, 2), bool), np.zeros((2, 3), bool))


def test_counts_add_up() -> None:
    rng = np.random.default_rng(0)
    pairs = [(_blobs(rng, 0.1), _blobs(rng, 0.1)) for _ in range(3)]
    total = sum((count(*pair) for pair in pairs), Counts())
    assert total.true_positive == sum(int((a & b).sum()) for a, b in pairs)
    assert total.true_negative == sum(int((~a & ~b).sum()) for a, b in pairs)


def test_one_score_is_that_of_all(rng: np.random.Generator) -> None:
    annotation = rng.random((60, 60)) < 0.1
    one = count(annotation & (rng.random((60, 60)) < 0.7), annotation)
    np.testing.assert_equal({name: score(one, name) for name in scores(one)}, scores(one))
    with pytest.raises(KeyError, match="dise"):
        score(one, "dise")
