"""Fast marching against a reference solver and against what can be computed by hand."""

import eikonalfm
import numpy as np
import pytest
from numpy.typing import NDArray

from corroscope.annotation.marching import arrival_times
from corroscope.errors import AnnotationError


def _distance(shape: tuple[int, int], seed: tuple[int, int]) -> NDArray[np.float64]:
    rows, cols = np.indices(shape)
    return np.hypot(rows - seed[0], cols - seed[1])


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("number", range(5))
def test_random_slowness_gives_the_times_of_the_reference_solver(order: int, number: int) -> None:
    rng = np.random.default_rng(number)
    shape = (int(rng.integers(5, 80)), int(rng.integers(5, 80)))
    slowness = np.exp(rng.normal(0, 1, shape))
    seed = (int(rng.integers(shape[0])), int(rng.integers(shape[1])))
    ours = arrival_times(slowness, [seed], order=order)
    theirs = eikonalfm.fast_marching(1 / slowness, seed, (1.0, 1.0), order)
    np.testing.assert_allclose(ours, theirs, rtol=0.01, atol=1e-12)


def test_in_a_homogeneous_medium_the_time_is_the_distance() -> None:
    distance = _distance((201, 201), (100, 100))
    times = arrival_times(np.ones((201, 201)), [(100, 100)])
    far = distance > 10
    assert np.abs(times / np.maximum(distance, 1) - 1)[far].max() < 0.04
    # The error is made in the first steps, where the front is curved; then it does not grow.
    assert np.abs(times - distance)[far].max() < 0.45
    coarse = arrival_times(np.ones((201, 201)), [(100, 100)], order=1)
    assert np.abs(coarse - distance).max() > 2 * np.abs(times - distance).max()


def test_along_the_axes_the_time_is_exact() -> None:
    times = arrival_times(np.full((21, 21), 3.0), [(10, 10)])
    np.testing.assert_allclose(times[10], 3.0 * np.abs(np.arange(21) - 10), rtol=1e-12)
    np.testing.assert_allclose(times[:, 10], 3.0 * np.abs(np.arange(21) - 10), rtol=1e-12)


def test_of_several_seeds_each_pixel_is_reached_from_the_nearest() -> None:
    slowness = np.exp(np.random.default_rng(3).normal(0, 0.5, (40, 50)))
    seeds = [(3, 4), (30, 44), (20, 20), (20, 20)]
    together = arrival_times(slowness, seeds, order=1)
    alone = np.min([arrival_times(slowness, [seed], order=1) for seed in seeds], axis=0)
    assert (together <= alone + 1e-9).all()
    assert np.median(np.abs(together - alone)) < 1e-9


def test_an_early_stop_leaves_what_is_later_unreached_and_changes_nothing_else() -> None:
    slowness = np.exp(np.random.default_rng(4).normal(0, 0.5, (60, 60)))
    whole = arrival_times(slowness, [(30, 30)])
    stop_time = float(np.median(whole))
    early = arrival_times(slowness, [(30, 30)], stop_time=stop_time)
    assert (np.isfinite(early) == (whole <= stop_time)).all()
    np.testing.assert_array_equal(early[whole <= stop_time], whole[whole <= stop_time])


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_slowness_must_be_positive_and_finite(bad: float) -> None:
    slowness = np.ones((5, 5))
    slowness[2, 3] = bad
    with pytest.raises(AnnotationError, match="positive, finite"):
        arrival_times(slowness, [(0, 0)])


@pytest.mark.parametrize("seed", [(-1, 0), (0, 5), (5, 0)])
def test_a_seed_outside_the_map_is_named(seed: tuple[int, int]) -> None:
    with pytest.raises(AnnotationError, match=rf"seed \({seed[0]}, {seed[1]}\) is outside"):
        arrival_times(np.ones((5, 5)), [(1, 1), seed])


def test_a_march_needs_a_seed_and_an_order_that_there_is() -> None:
    with pytest.raises(AnnotationError, match="one seed"):
        arrival_times(np.ones((5, 5)), [])
    with pytest.raises(AnnotationError, match="order 3"):
        arrival_times(np.ones((5, 5)), [(1, 1)], order=3)
