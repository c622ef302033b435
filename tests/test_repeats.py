"""Statistics over runs: intervals that cover, and permutation tests against all permutations."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from corroscope.comparison.repeats import over_repeats
from corroscope.comparison.trend import holm, jonckheere

RNG = np.random.default_rng(0)


def test_intervals_cover_the_truth() -> None:
    """As often as they say, of the mean of normal runs and of the median of any."""
    rng = np.random.default_rng(5)
    means, medians = 0, 0
    for _ in range(2000):
        found = over_repeats(rng.normal(3.0, 1.0, 4))
        means += found.mean_low <= 3.0 <= found.mean_high
        skewed = over_repeats(rng.exponential(1.0, 7))
        medians += skewed.median_low <= math.log(2) <= skewed.median_high
    assert 0.94 <= means / 2000 <= 0.96
    assert 0.975 <= medians / 2000 <= 0.995  # 1 − 2 · 0.5⁷ = 0.984: order statistics are discrete


@pytest.mark.parametrize("count", range(1, 14))
def test_median_interval_is_the_narrowest_that_order_statistics_allow(count: int) -> None:
    values = np.arange(1.0, count + 1)
    found = over_repeats(RNG.permutation(values))

    def coverage(rank: int) -> float:
        return 1 - 2 * sum(math.comb(count, k) for k in range(rank)) / 2.0**count

    ranks = [rank for rank in range(1, count // 2 + 1) if coverage(rank) >= 0.95]
    if not ranks:
        assert math.isnan(found.median_low)
        assert count < 6
    else:
        assert (found.median_low, found.median_high) == (max(ranks), count + 1 - max(ranks))


def test_no_interval_of_one_run_and_nothing_of_none() -> None:
    one = over_repeats(np.array([2.0, np.nan]))
    assert (one.runs, one.mean, one.median) == (1, 2.0, 2.0)
    assert np.isnan([one.mean_low, one.mean_high, one.median_low, one.sd]).all()
    # Nor of runs that are alike by chance, as counts of few events often are.
    alike = over_repeats(np.array([4.0, 4.0]), least=0.0)
    assert (alike.runs, alike.mean, alike.sd) == (2, 4.0, 0.0)
    assert np.isnan([alike.mean_low, alike.mean_high]).all()
    none = over_repeats(np.array([np.nan]))
    assert none.runs == 0
    assert np.isnan(none[1:]).all()


def all_assignments(groups: Sequence[Sequence[float]]) -> float:
    """The p of Jonckheere and Terpstra by going through every assignment."""

    def statistic(parts: Sequence[Sequence[float]]) -> float:
        total: float = sum(
            float(b > a) + 0.5 * (a == b)
            for first, second in itertools.combinations(parts, 2)
            for a in first
            for b in second
        )
        return total

    values = [value for group in groups for value in group]
    sizes = [len(group) for group in groups]
    pairs = sum(a * b for a, b in itertools.combinations(sizes, 2)) / 2
    seen = abs(statistic(groups) - pairs)

    def assign(left: tuple[int, ...], rest: list[int]) -> list[list[list[float]]]:
        if not rest:
            return [[]]
        return [
            [[values[k] for k in chosen], *others]
            for chosen in itertools.combinations(left, rest[0])
            for others in assign(tuple(k for k in left if k not in chosen), rest[1:])
        ]

    every = assign(tuple(range(len(values))), sizes)
    return float(np.mean([abs(statistic(parts) - pairs) >= seen for parts in every]))


@pytest.mark.parametrize(
    "groups",
    [
        [[1, 2, 3], [4, 5, 6]],
        [[1, 2, 7], [4, 3, 6], [9, 5, 8]],
        [[1, 1, 2], [2, 2, 3], [1, 3, 3]],
        [[0, 0, 0], [0, 0, 5, 2]],
        [[5, 4], [3, 2], [1, 0]],
        [[1, 1, 1], [1, 1, 1]],
        [[2, 9, 4, 1], [3, 8], [7, 6]],
    ],
)
def test_jonckheere_is_that_of_all_assignments(groups: list[list[float]]) -> None:
    found = jonckheere([np.array(group, float) for group in groups], np.random.default_rng(0))
    assert found.exact
    assert found.p == pytest.approx(all_assignments(groups), abs=1e-12)
    assert found.p_smallest <= found.p + 1e-12


def test_of_two_groups_it_is_the_test_of_mann_and_whitney() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        first, second = rng.normal(size=5), rng.normal(1, 1, size=7)
        found = jonckheere([first, second], rng)
        other = mannwhitneyu(second, first, method="exact")
        assert found.statistic == other.statistic
        assert found.p == pytest.approx(other.pvalue, abs=1e-12)
    assert found.p_smallest == pytest.approx(2 / math.comb(12, 5))


def test_drawn_assignments_agree_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = [np.array([1.0, 2, 7]), np.array([4.0, 3, 6]), np.array([9.0, 5, 8])]
    exact = jonckheere(groups, np.random.default_rng(0))
    monkeypatch.setattr("corroscope.comparison.trend._LARGEST", 10)
    monkeypatch.setattr("corroscope.comparison.trend._DRAWN", 4999)
    drawn = jonckheere(groups, np.random.default_rng(0))
    assert not drawn.exact
    assert drawn.p == pytest.approx(exact.p, abs=4 * math.sqrt(exact.p / 4999))
    assert drawn.spearman == exact.spearman > 0


def test_p_is_small_as_often_as_it_says() -> None:
    """Under no trend, p ≤ 5 % comes in at most 5 % of cases."""
    rng = np.random.default_rng(3)
    chances = [jonckheere([*rng.normal(size=(3, 3))], rng).p for _ in range(1500)]
    assert np.mean(np.array(chances) <= 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1500)


def test_holm_is_as_in_its_paper() -> None:
    assert holm(np.array([0.01, 0.02, 0.03, 0.04])).tolist() == pytest.approx(
        [0.04, 0.06, 0.06, 0.06]
    )
    assert holm(np.array([0.9, 0.6])).tolist() == [1.0, 1.0]
    assert holm(np.array([])).size == 0
