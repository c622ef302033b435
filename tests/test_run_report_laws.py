"""The log-normal law and the interval of a median, against other ways to find them."""

import numpy as np
import pytest
from scipy import stats

from corroscope.report.run.log_normal import fit_log_normal, median_interval


def test_a_law_of_all_areas_is_that_of_scipy() -> None:
    area = np.random.default_rng(5).lognormal(3.1, 0.6, 300)
    law = fit_log_normal(area)
    sigma, _, median = stats.lognorm.fit(area, floc=0)
    assert law is not None
    assert law.median == pytest.approx(median, rel=1e-5)
    assert law.sigma == pytest.approx(sigma, rel=1e-5)
    assert law.seen == 1.0
    # Known intervals of a normal sample, whose curvature is n / sigma² and 2 n.
    logs = np.log(area)
    error = 1.959964 * logs.std() / np.sqrt(area.size)
    assert law.median_low == pytest.approx(np.exp(logs.mean() - error), rel=1e-4)
    assert law.sigma_high == pytest.approx(
        sigma * np.exp(1.959964 / np.sqrt(2 * area.size)), rel=1e-4
    )


def test_a_truncated_law_has_the_likelihood_of_scipy() -> None:
    """At the maximum no other law is likelier, as scipy's densities tell it."""
    rng = np.random.default_rng(8)
    area = rng.lognormal(3.0, 0.7, 900)
    area = area[area > 15]
    law = fit_log_normal(area, 15)
    assert law is not None

    def likelihood(median: float, sigma: float) -> float:
        known = stats.lognorm(sigma, scale=median)
        return float(np.sum(known.logpdf(area)) - area.size * known.logsf(15))

    best = likelihood(law.median, law.sigma)
    for median, sigma in ((1.02, 1), (0.98, 1), (1, 1.02), (1, 0.98), (1.03, 0.97)):
        assert likelihood(law.median * median, law.sigma * sigma) < best


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(11)
    median, inside = np.exp(3.0), np.zeros(2, int)
    runs = 300
    for _ in range(runs):
        area = rng.lognormal(3.0, 0.5, 260)
        law = fit_log_normal(area[area > 12], 12)
        assert law is not None
        inside += (
            law.median_low < median < law.median_high,
            law.sigma_low < 0.5 < law.sigma_high,
        )
    # 95 % of 300, with three standard errors.
    assert np.all((inside >= 273) & (inside <= 297))


def test_shares_of_a_law_are_those_of_scipy() -> None:
    law = fit_log_normal(np.random.default_rng(2).lognormal(2, 0.4, 100), 2)
    assert law is not None
    known = stats.lognorm(law.sigma, scale=law.median)
    at = np.array([1.0, 3.0, 7.0, 30.0])
    wanted = np.minimum(known.sf(at) / known.sf(2.0), 1)
    assert np.allclose(law.share_of_at_least(at, 2.0), wanted)
    assert np.allclose(law.share_of_at_least(at, 0.0), known.sf(at))


@pytest.mark.parametrize(
    ("area", "least"),
    [
        (np.arange(1.0, 9.0), 0.0),
        (np.full(50, 7.0), 0.0),
        (np.zeros(0), 0.0),
        # A power law that falls from its first value on: nothing tells of a middle.
        (10 / np.linspace(0.001, 1, 400) ** 2, 10.0),
    ],
)
def test_no_law_where_none_can_be_told(area: np.ndarray, least: float) -> None:
    assert fit_log_normal(area, least) is None


def test_the_interval_of_a_median_is_that_of_scipy() -> None:
    rng = np.random.default_rng(4)
    for size in (6, 9, 20, 101, 400):
        values = rng.normal(size=size)
        known = stats.quantile_test(values, q=0, p=0.5).confidence_interval(0.95)
        assert median_interval(values) == (np.median(values), known.low, known.high)


def test_a_median_of_few() -> None:
    assert np.isnan(median_interval(np.zeros(0))).all()
    middle, low, high = median_interval(np.array([3.0, 1.0, np.nan, 2.0]))
    assert middle == 2
    assert np.isnan([low, high]).all()
