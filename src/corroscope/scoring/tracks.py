"""How well tracks agree with true ones: distances of sets of tracks, Jaccard indices, HOTA."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

GATE_PX: Final = 5.0
"""Points further apart are not of one particle: the gate of the particle tracking challenge."""

LOCALISATION: Final = np.arange(0.05, 0.99, 0.05)
"""Similarities at which HOTA is averaged, as in its definition."""


class Points(NamedTuple):
    """Points of tracks, in any order.

    Attributes
    ----------
    track
        ``(n,)`` int64, the track of each; no track has two points in a frame.
    frame
        ``(n,)`` int64.
    place_px
        ``(n, 2)``, rows and columns.
    """

    track: NDArray[np.int64]
    frame: NDArray[np.int64]
    place_px: NDArray[np.float64]


class TrackScores(NamedTuple):
    """Agreement of tracks with true ones; NaN where there is nothing to divide by.

    Attributes
    ----------
    jsc
        Jaccard index of points: right ones over right, missed and wrong ones.
    jsc_tracks
        The same for whole tracks.
    alpha
        1 − distance of the sets of tracks over the distance to no track at all.
    beta
        The same, with false tracks against it.
    hota
        Higher order tracking accuracy.
    detection, association
        The two parts of it, each averaged over `LOCALISATION`.
    """

    jsc: float
    jsc_tracks: float
    alpha: float
    beta: float
    hota: float
    detection: float
    association: float


class _Near(NamedTuple):
    """Pairs of points of one frame that are no further apart than the gate."""

    true: NDArray[np.int64]
    found: NDArray[np.int64]
    distance: NDArray[np.float64]


def score_tracks(true: Points, found: Points, gate_px: float = GATE_PX) -> TrackScores:
    """Score tracks against true ones.

    Each true track is paired with at most one found one, so that the sum of the gated
    distances of their points is smallest; a point that only one of the two has counts as the
    gate. HOTA takes points for similar by ``1 − distance / gate``.

    Parameters
    ----------
    true, found
        Points of the tracks.
    gate_px
        Largest distance of two points of one particle.

    Returns
    -------
    TrackScores
        All scores.

    Raises
    ------
    ValueError
        If a track has two points in one frame, or the gate is not positive.

    References
    ----------
    N. Chenouard et al., *Objective comparison of particle tracking methods*, Nature Methods 11,
    2014, doi:10.1038/nmeth.2808; J. Luiten et al., *HOTA: a higher order metric for evaluating
    multi-object tracking*, IJCV 129, 2021, doi:10.1007/s11263-020-01375-2.

    Examples
    --------
    >>> track, frame = np.array([1, 1, 1, 2]), np.array([0, 1, 2, 2])
    >>> place = np.array([[5.0, 5], [5, 6], [5, 7], [30, 30]])
    >>> whole = Points(track, frame, place)
    >>> broken = Points(np.array([1, 1, 3, 2]), frame, place)
    >>> score_tracks(whole, whole).jsc, score_tracks(whole, broken).jsc
    (1.0, 0.6)
    """
    if not gate_px > 0:
        raise ValueError(f"gate_px: {gate_px} (allowed: above 0)")
    true_track, true_sizes = _numbered("true", true)
    found_track, found_sizes = _numbered("found", found)
    near = _near(true, found, gate_px)
    shape = (true_sizes.size, found_sizes.size)
    pair_of = (true_track[near.true], found_track[near.found])
    rows, columns, gain = _summed(gate_px - near.distance, pair_of, shape)
    # Frames in which both have a point, however far apart.
    both = _together(true, found, true_track, found_track, shape)
    alone = found_sizes[columns] - np.asarray(both[rows, columns]).ravel()
    value = gain - gate_px * alone
    paired = _best_pairs(rows, columns, value)
    rows, columns, value = rows[paired], columns[paired], value[paired]
    total = gate_px * true_sizes.sum()
    partner = np.full(shape[0], -1)
    partner[rows] = columns
    right = int(np.count_nonzero((partner[pair_of[0]] == pair_of[1]) & (near.distance < gate_px)))
    missed, wrong = int(true_sizes.sum()) - right, int(found_sizes.sum()) - right
    false_px = gate_px * (found_sizes.sum() - found_sizes[columns].sum())
    tracks = rows.size
    hota, detection, association = _hota(true_track, found_track, near, gate_px)
    return TrackScores(
        jsc=_ratio(right, right + missed + wrong),
        jsc_tracks=_ratio(tracks, shape[0] + shape[1] - tracks),
        alpha=_ratio(value.sum(), total),
        beta=_ratio(value.sum(), total + false_px),
        hota=hota,
        detection=detection,
        association=association,
    )


def _ratio(part: float, whole: float) -> float:
    """NaN where there is nothing to divide by."""
    return float(part / whole) if whole > 0 else float("nan")


def _numbered(name: str, points: Points) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tracks as 0, 1, … and the number of points of each."""
    keys = np.stack([points.track, points.frame], axis=1)
    if len(np.unique(keys, axis=0)) < len(keys):
        raise ValueError(f"{name} tracks: a track has two points in one frame; give it one")
    _, number, sizes = np.unique(points.track, return_inverse=True, return_counts=True)
    return number.astype(np.int64), sizes.astype(np.int64)


def _near(true: Points, found: Points, gate_px: float) -> _Near:
    """Pairs within the gate, frame by frame."""
    pairs: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for frame in np.intersect1d(true.frame, found.frame):
        a, b = np.flatnonzero(true.frame == frame), np.flatnonzero(found.frame == frame)
        lists = cKDTree(found.place_px[b]).query_ball_point(true.place_px[a], gate_px)
        sizes = [len(one) for one in lists]
        here = np.array([i for one in lists for i in one], np.int64)
        pairs.append((np.repeat(a, sizes), b[here]))
    one = np.concatenate([p[0] for p in pairs]) if pairs else np.zeros(0, np.int64)
    two = np.concatenate([p[1] for p in pairs]) if pairs else np.zeros(0, np.int64)
    return _Near(one, two, np.hypot(*(true.place_px[one] - found.place_px[two]).T))


def _summed(
    values: NDArray[np.float64],
    pair_of: tuple[NDArray[np.int64], NDArray[np.int64]],
    shape: tuple[int, int],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pairs of tracks that have points near each other, and the sum over these."""
    keys, which = np.unique(pair_of[0] * max(shape[1], 1) + pair_of[1], return_inverse=True)
    rows, columns = np.divmod(keys, max(shape[1], 1))
    return rows, columns, np.bincount(which, values, minlength=keys.size).astype(float)


def _together(
    true: Points,
    found: Points,
    true_track: NDArray[np.int64],
    found_track: NDArray[np.int64],
    shape: tuple[int, int],
) -> csr_array:
    """For each pair of tracks the number of frames in which both have a point."""
    frames = int(max(true.frame.max(initial=0), found.frame.max(initial=0))) + 1
    lowest = int(min(true.frame.min(initial=0), found.frame.min(initial=0)))
    width = frames - lowest
    one = coo_array(
        (np.ones(len(true_track)), (true_track, true.frame - lowest)), shape=(shape[0], width)
    )
    two = coo_array(
        (np.ones(len(found_track)), (found.frame - lowest, found_track)), shape=(width, shape[1])
    )
    return csr_array(one.tocsr() @ two.tocsr())


def _best_pairs(
    rows: NDArray[np.int64], columns: NDArray[np.int64], value: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Of all pairs, those of the one-to-one pairing with the largest sum; only gains count."""
    use = np.flatnonzero(value > 0)
    if not use.size:
        return use
    number = int(rows.max()) + 1
    size = number + int(columns.max()) + 1
    graph = coo_array((np.ones(use.size), (rows[use], number + columns[use])), shape=(size, size))
    _, part = connected_components(graph, directed=False)
    order = np.argsort(part[rows[use]], kind="stable")
    chosen = []
    for group in np.split(order, np.flatnonzero(np.diff(part[rows[use]][order])) + 1):
        here = use[group]
        a, i = np.unique(rows[here], return_inverse=True)
        b, j = np.unique(columns[here], return_inverse=True)
        table = np.zeros((a.size, b.size))
        table[i, j] = value[here]
        name = np.full((a.size, b.size), -1)
        name[i, j] = here
        first, second = linear_sum_assignment(table, maximize=True)
        taken = name[first, second]
        chosen.append(taken[taken >= 0])
    return np.concatenate(chosen).astype(np.int64)


def _hota(
    true_track: NDArray[np.int64],
    found_track: NDArray[np.int64],
    near: _Near,
    gate_px: float,
) -> tuple[float, float, float]:
    """HOTA, its part for detection and its part for association."""
    sizes = np.bincount(true_track), np.bincount(found_track)
    similar = 1 - near.distance / gate_px
    pair_of = (true_track[near.true], found_track[near.found])
    shape = (sizes[0].size, sizes[1].size)
    # How well two tracks go together over the whole time decides between candidates: a pair
    # counts by its share in what its two points could have been paired with.
    to_true = np.bincount(near.true, similar, len(true_track))
    to_found = np.bincount(near.found, similar, len(found_track))
    with np.errstate(invalid="ignore"):
        share = similar / (to_true[near.true] + to_found[near.found] - similar)
    share = np.where(similar > 0, share, 0)
    keys, which = np.unique(pair_of[0] * max(shape[1], 1) + pair_of[1], return_inverse=True)
    summed = np.bincount(which, share, minlength=keys.size)[which]
    alignment = summed / (sizes[0][pair_of[0]] + sizes[1][pair_of[1]] - summed)
    # All frames at once: points of different frames are never near each other.
    matched = _best_pairs(near.true, near.found, alignment * similar)
    parts = []
    for level in LOCALISATION:
        kept = matched[similar[matched] >= level - np.finfo(float).eps]
        hits = kept.size
        pairs = (pair_of[0][kept], pair_of[1][kept])
        together = coo_array((np.ones(hits), pairs), shape=shape).tocsr()
        n = np.asarray(together[pairs]).ravel()
        association = n / (sizes[0][pairs[0]] + sizes[1][pairs[1]] - n)
        detection = _ratio(hits, len(true_track) + len(found_track) - hits)
        mean = _ratio(association.sum(), hits) if hits else 0.0
        parts.append((np.sqrt(detection * mean), detection, mean))
    if not len(true_track) and not len(found_track):
        return (float("nan"),) * 3
    hota, detection, association = np.mean(parts, axis=0)
    return float(hota), float(detection), float(association)
