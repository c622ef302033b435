"""Ejections come together: how much one of a pit is followed by others, when and whither."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_FOLLOWERS: Final = 20.0
"""Bound on the learnt number of companions, so that few tracks cannot run away with it."""

MOST_CONCENTRATED: Final = 4.0
"""Bound on the learnt concentration of headings: seen from a pit far off, all look alike."""


class Companions(NamedTuple):
    """How ejections of one pit keep company.

    Attributes
    ----------
    followers
        Number of companions expected of an ejection.
    concentration
        Of the angle between two companions, von Mises.
    apart_s
        Mean time between two companions, Laplace.
    """

    followers: float
    concentration: float
    apart_s: float


def companionship(
    number: NDArray[np.int64],
    ejected: Floats,
    born_s: Floats,
    angle: Floats,
    first_s: Floats,
    window_s: Floats,
    came: Companions,
) -> Floats:
    """Expect companions of ejections elsewhere, of the same pit, at the time and heading given.

    Every other track that is believed to be of this pit adds a share: the probability of its
    time of ejection to be in the interval before the first sight, times the density of the
    heading.

    Parameters
    ----------
    number
        ``(n, c)``, pits that are weighed for each track; 0 for none.
    ejected
        ``(n, c)``, probability of each.
    born_s
        ``(n, c)``, when it was ejected, if by this pit.
    angle
        ``(n, c)``, direction from the pit to the first place, in radians.
    first_s, window_s
        ``(n,)``, time of the first sight and length of the interval before it.
    came
        How they keep company.

    Returns
    -------
    ndarray of float64
        ``(n, c)``, expected number per radian.

    Examples
    --------
    Two tracks of one pit, ejected at once in one direction: each expects the other.

    >>> one, zero = np.ones((2, 1)), np.zeros((2, 1))
    >>> companionship(np.ones((2, 1), int), one, 0.5 * one, zero, np.ones(2), np.ones(2),
    ...     Companions(1, 2, 0.1)).round(2).ravel()
    array([0.51, 0.51])
    """
    expected = np.zeros(number.shape)
    for rows, columns in _by_pit(number):
        weight, at = ejected[rows, columns], born_s[rows, columns]
        end, length = first_s[rows], window_s[rows]
        for ones, others in _near(end, length, came.apart_s):
            inside = _between(at[others], end[ones] - length[ones], end[ones], came.apart_s)
            turn = angle[rows[ones], columns[ones]] - angle[rows[others], columns[others]]
            share = weight[others] * inside * _von_mises(turn, came.concentration)
            np.add.at(expected, (rows[ones], columns[ones]), share)
    return expected


def learn_companions(
    number: NDArray[np.int64],
    ejected: Floats,
    followed: Floats,
    born_s: Floats,
    angle: Floats,
    window_s: Floats,
    came: Companions,
) -> Companions:
    """Learn how ejections keep company from what is believed of them.

    Parameters
    ----------
    number, ejected, born_s, angle, window_s
        As for `companionship`.
    followed
        ``(n, c)``, the part of ``ejected`` that companions explain.
    came
        What was believed before.

    Returns
    -------
    Companions
        What fits better.

    Examples
    --------
    >>> one = np.ones((2, 1))
    >>> learn_companions(np.ones((2, 1), int), one, 0.5 * one, 0.5 * one, 0 * one, np.ones(2),
    ...     Companions(1, 1, 0.1)).followers
    0.5
    """
    total = float(ejected.sum())
    cosine = weights = apart = 0.0
    for rows, columns in _by_pit(number):
        share = followed[rows, columns] / np.maximum(ejected[rows, columns], 1e-12)
        weight, at = ejected[rows, columns], born_s[rows, columns]
        end, length = at + window_s[rows] / 2, window_s[rows]
        for ones, others in _near(end, length, came.apart_s):
            inside = _between(at[others], end[ones] - length[ones], end[ones], came.apart_s)
            turn = angle[rows[ones], columns[ones]] - angle[rows[others], columns[others]]
            pair = weight[others] * inside * _von_mises(turn, came.concentration)
            whole = np.bincount(ones, pair, len(rows))[ones]
            pair *= share[ones] * weight[ones] / np.maximum(whole, 1e-300)
            cosine += float((pair * np.cos(turn)).sum())
            apart += float((pair * np.abs(at[ones] - at[others])).sum())
            weights += float(pair.sum())
    followers = float(np.clip(followed.sum() / max(total, 1e-9), 0.01, MOST_FOLLOWERS))
    if weights < 1:  # hardly any pair: nothing to learn of them
        return came._replace(followers=followers)
    shortest = 0.1 * float(np.median(window_s))
    return Companions(
        followers,
        _concentration(cosine / weights),
        float(np.clip(apart / weights, shortest, 100 * shortest)),
    )


def _by_pit(number: NDArray[np.int64]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows and columns of each pit in turn."""
    flat = number.ravel()
    order = np.argsort(flat, kind="stable")
    pits, starts = np.unique(flat[order], return_index=True)
    groups = np.split(order, starts[1:])
    return [
        (group // number.shape[1], group % number.shape[1])
        for pit, group in zip(pits, groups, strict=True)
        if pit > 0
    ]


def _near(
    end_s: Floats, length_s: Floats, apart_s: float
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Pairs of tracks whose intervals are at most some mean times apart, both ways."""
    order = np.argsort(end_s, kind="stable")
    ends, reach = end_s[order], length_s[order] + 5 * apart_s
    low = np.searchsorted(ends, ends - reach)
    high = np.searchsorted(ends, ends + 5 * apart_s + np.maximum(length_s.max(), 0), side="right")
    number = high - low
    ones = np.repeat(np.arange(len(ends)), number)
    others = np.arange(len(ones)) - np.repeat(np.cumsum(number) - number, number) + low[ones]
    kept = ones != others
    return [(order[ones[kept]], order[others[kept]])] if len(ones) else []


def _between(at_s: Floats, start_s: Floats, end_s: Floats, apart_s: float) -> Floats:
    """Probability of a Laplace deviate about ``at_s`` to fall in between."""

    def below(x: Floats) -> Floats:
        tail = 0.5 * np.exp(-np.abs(x) / apart_s)
        return np.where(x < 0, tail, 1 - tail)

    return below(end_s - at_s) - below(start_s - at_s)


def _von_mises(turn: Floats, concentration: float) -> Floats:
    """Density of an angle, per radian."""
    return np.asarray(np.exp(concentration * np.cos(turn)) / (2 * np.pi * np.i0(concentration)))


def _concentration(cosine: float) -> float:
    """Concentration of a von Mises distribution from its mean cosine (Banerjee et al. 2005)."""
    mean = min(max(cosine, 0.0), 0.99)
    return float(np.clip(mean * (2 - mean**2) / (1 - mean**2), 0.05, MOST_CONCENTRATED))
