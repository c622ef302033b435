"""Whether a measure rises or falls with the concentration, by an exact permutation test."""

import itertools
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

FEWEST: Final = 3
"""Runs that each group needs: below, no assignment of runs to groups is rare enough to tell."""

_LARGEST: Final = 3_000_000
"""Terms of the exact distribution that are worth adding up; beyond, assignments are drawn."""

_DRAWN: Final = 99_999
"""Random assignments, so that the smallest p is 1e-5."""


class Trend(NamedTuple):
    """What a test for a trend found.

    Attributes
    ----------
    spearman
        Rank correlation with the order of the groups; NaN where all values are the same.
    statistic
        Pairs of runs of different groups of which the later has the greater value, ties a half.
    p
        Share of all assignments of the values to the groups that are at least as far from the
        mean of the statistic.
    p_smallest
        Smallest p that these numbers of runs can give.
    exact
        False where assignments were drawn, since there are too many.
    """

    spearman: float
    statistic: float
    p: float
    p_smallest: float
    exact: bool


def jonckheere(groups: Sequence[NDArray[np.float64]], rng: np.random.Generator) -> Trend:
    """Test for a trend over ordered groups, after Jonckheere and Terpstra.

    For two groups this is the test of Mann, Whitney and Wilcoxon.

    Parameters
    ----------
    groups
        Values of the runs of each group, in the order of the groups; without NaN.
    rng
        Draws assignments where there are too many for all; unused otherwise.

    Returns
    -------
    Trend
        Two-sided; ties are taken into account.

    References
    ----------
    T. J. Terpstra, *The asymptotic normality and consistency of Kendall's test against trend*,
    Indagationes Mathematicae 14, 327–333, 1952; A. R. Jonckheere, *A distribution-free k-sample
    test against ordered alternatives*, Biometrika 41, 133–145, 1954.

    Examples
    --------
    >>> rising = [np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]), np.array([7.0, 8.0, 9.0])]
    >>> found = jonckheere(rising, np.random.default_rng(0))
    >>> found.statistic, round(found.p * 1680), found.exact
    (27.0, 2, True)
    """
    sizes = [group.size for group in groups]
    values = np.concatenate(groups)
    place = np.repeat(np.arange(len(groups)), sizes)
    pairs = sum(a * b for a, b in itertools.combinations(sizes, 2))
    twice = _twice_statistic(values, place)
    _, ties = np.unique(values, return_counts=True)
    exact = math.prod(size + 1 for size in sizes) * (2 * pairs + 1) <= _LARGEST
    if exact:
        chances = _distribution(sizes, ties.tolist())
        distance = np.abs(np.arange(2 * pairs + 1) - pairs)
        p = float(chances[distance >= abs(twice - pairs)].sum())
        possible = chances > 0
        p_smallest = float(chances[possible & (distance == distance[possible].max())].sum())
    else:
        drawn = np.array([_twice_statistic(rng.permutation(values), place) for _ in range(_DRAWN)])
        p = float(
            (1 + np.count_nonzero(np.abs(drawn - pairs) >= abs(twice - pairs))) / (1 + _DRAWN)
        )
        p_smallest = 1 / (1 + _DRAWN)
    constant = ties.size == 1
    rho = float("nan") if constant else float(spearmanr(place, values).statistic)
    return Trend(rho, twice / 2, min(p, 1.0), p_smallest, exact)


def holm(chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust p-values of several tests, so that one in 20 families of them errs at all.

    Parameters
    ----------
    chances
        ``(tests,)``, as each test gave it.

    Returns
    -------
    ndarray
        ``(tests,)``, adjusted.

    References
    ----------
    S. Holm, *A simple sequentially rejective multiple test procedure*, Scandinavian Journal of
    Statistics 6, 65–70, 1979.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(chances, kind="stable")
    factors = np.arange(chances.size, 0, -1)
    adjusted = np.empty_like(chances)
    adjusted[order] = np.minimum(np.maximum.accumulate(chances[order] * factors), 1.0)
    return adjusted


def _twice_statistic(values: NDArray[np.float64], place: NDArray[np.int64]) -> int:
    later = place[:, None] < place[None, :]
    signs = np.sign(values[None, :] - values[:, None])
    return int((signs[later] + 1).sum())


def _distribution(sizes: list[int], ties: list[int]) -> NDArray[np.float64]:
    """Chances of twice the statistic, if values are assigned to groups at random.

    Values are handed out from the smallest on, those that are tied at once. What is yet to come
    depends only on how many each group has got.
    """
    count = len(sizes)
    pairs = sum(a * b for a, b in itertools.combinations(sizes, 2))
    states: dict[tuple[int, ...], NDArray[np.float64]] = {(0,) * count: np.zeros(2 * pairs + 1)}
    states[(0,) * count][0] = 1.0
    left = sum(sizes)
    for tied in ties:
        following: dict[tuple[int, ...], NDArray[np.float64]] = {}
        for state, chances in states.items():
            room = [size - got for size, got in zip(sizes, state, strict=True)]
            for given in _shares(tied, room):
                ways = math.prod(math.comb(r, g) for r, g in zip(room, given, strict=True))
                chance = ways / math.comb(left, tied)
                added = sum(
                    2 * state[a] * given[b] + given[a] * given[b]
                    for a, b in itertools.combinations(range(count), 2)
                )
                after = tuple(got + g for got, g in zip(state, given, strict=True))
                target = following.setdefault(after, np.zeros(2 * pairs + 1))
                target[added:] += chance * chances[: chances.size - added]
        states = following
        left -= tied
    return states[tuple(sizes)]


def _shares(number: int, room: Sequence[int]) -> list[tuple[int, ...]]:
    """All ways in which groups can get a number of values together."""
    if len(room) == 1:
        return [(number,)] if number <= room[0] else []
    return [
        (here, *rest)
        for here in range(min(number, room[0]) + 1)
        for rest in _shares(number - here, room[1:])
    ]
