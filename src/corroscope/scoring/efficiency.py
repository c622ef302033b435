"""Counts of particles corrected by what is known of misses, false finds and wrong sizes.

What was found in classes of area is unfolded by the response that was seen where the truth is
known: how many true particles of a class are found in which class, and how many of those found
are none. The unfolding is that of G. D'Agostini, Nucl. Instrum. Methods A 362 (1995) 487-498,
doi:10.1016/0168-9002(95)00274-X, which is the iteration of W. H. Richardson, J. Opt. Soc. Am. 62
(1972) 55-59, doi:10.1364/JOSA.62.000055, and L. B. Lucy. The interval is one for a new piece of
surface: how far the correction misses a piece that had no part in it is measured on every piece.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from corroscope.scoring.prediction import FEWEST_CLUSTERS, crowding, prediction_interval, spread

AREA_EDGES_PX: Final = (12.0, 20.0, 33.0, 60.0)
"""Inner bounds of the classes of area; each is about 1.7 times the one before, 30 % in diameter,
about as far as areas of pairs are apart."""

ITERATIONS: Final = 4
"""Of the unfolding; more follow the noise of the counts, fewer the calibration's shape."""

LEAST_EVIDENCE: Final = 10
"""Particles, true and found, that a class must have for a correction; else it is left as found."""


@dataclass(frozen=True)
class Efficiency:
    """What became of true and of found particles, on pieces of surface whose truth is known.

    Attributes
    ----------
    area_edges_px
        Bounds of the classes of area, from the smallest area counted to infinity; a class holds
        its lower one. True particles that are smaller are none here, as no truth has them all.
    counts
        ``(clusters, classes + 1, classes + 1)`` int64: particles by class of true area, then of
        found area. Class 0 is none: ``counts[:, 0, 1:]`` are false, ``counts[:, 1:, 0]`` missed.
    source
        Where it was measured, as a sentence.
    field_px
        ``(clusters,)``, pixels that were looked at on each; None where that is unknown.
    """

    area_edges_px: tuple[float, ...]
    counts: NDArray[np.int64]
    source: str = ""
    field_px: NDArray[np.float64] | None = None

    @property
    def min_area_px(self) -> float:
        """The smallest area that is counted."""
        return self.area_edges_px[0]

    def table(self) -> pd.DataFrame:
        """All counts that are not 0, in long form.

        Returns
        -------
        pandas.DataFrame
            Columns ``cluster`` (0, 1, …), ``true_bin`` and ``found_bin`` (1, 2, …; 0 for none)
            and ``count``.
        """
        place = np.nonzero(self.counts)
        names = ("cluster", "true_bin", "found_bin")
        return pd.DataFrame(dict(zip(names, place, strict=True)) | {"count": self.counts[place]})


class Total(NamedTuple):
    """A count and what it is corrected to.

    Attributes
    ----------
    found
        As it was found.
    corrected
        What is to be expected in truth.
    low, high
        Of the 95 % prediction interval; NaN where there is none.
    """

    found: float
    corrected: float
    low: float
    high: float


@dataclass(frozen=True)
class Corrected:
    """Corrected counts.

    Attributes
    ----------
    bins
        A row for each class of area: ``lower_px``, ``upper_px``, ``found``, ``corrected``,
        ``low``, ``high``, and ``recall`` and ``precision`` in the calibration.
    total
        Of all classes.
    remarks
        What is to be known beside, as sentences.
    """

    bins: pd.DataFrame
    total: Total
    remarks: tuple[str, ...]


def calibrate(
    judged: pd.DataFrame,
    *,
    min_area_px: float,
    area_edges_px: Sequence[float] = AREA_EDGES_PX,
    source: str = "",
    field_px: pd.Series | None = None,
) -> Efficiency:
    """Count what became of particles, by size.

    Parameters
    ----------
    judged
        Columns ``side``, ``area_px``, ``partner_area_px`` and ``matched_iou_30`` of
        `corroscope.tables.JUDGED_PARTICLES`, and ``cluster``, the piece of surface, or the run.
    min_area_px
        The smallest area that the finding keeps.
    area_edges_px
        Rising inner bounds of the classes; those that are not above ``min_area_px`` are left out.
    source
        As in `Efficiency`.
    field_px
        Pixels that were looked at in each cluster, by the value of ``cluster``.

    Returns
    -------
    Efficiency
        With one cluster for each value of ``cluster``, in rising order.

    Raises
    ------
    ValueError
        If the bounds do not rise.

    Examples
    --------
    >>> judged = pd.DataFrame({
    ...     "side": ["annotated", "annotated", "predicted"], "area_px": [9, 25, 35],
    ...     "partner_area_px": [np.nan, 35, 25], "matched_iou_30": [False, True, True],
    ...     "cluster": 0,
    ... })
    >>> calibrate(judged, min_area_px=7).table().values.tolist()
    [[0, 1, 0, 1], [0, 3, 4, 1]]
    """
    inner = [float(edge) for edge in area_edges_px if edge > min_area_px]
    edges = (float(min_area_px), *inner, np.inf)
    if (np.diff(edges) <= 0).any():
        raise ValueError(f"bounds {tuple(area_edges_px)} do not rise")
    names, cluster = np.unique(judged["cluster"].to_numpy(), return_inverse=True)
    counts = np.zeros((len(names), len(edges), len(edges)), np.int64)
    annotated = (judged["side"] == "annotated").to_numpy()
    partner = judged["partner_area_px"].where(judged["matched_iou_30"], 0.0)
    own, other = _classes(judged["area_px"], edges), _classes(partner, edges)
    # Pairs are counted once, from the found side: there, a true one may be too small to count.
    missed = annotated & (own > 0) & (other == 0)
    np.add.at(counts, (cluster[missed], own[missed], 0), 1)
    found = ~annotated & (own > 0)
    np.add.at(counts, (cluster[found], other[found], own[found]), 1)
    field = None if field_px is None else field_px.reindex(names).to_numpy(np.float64)
    return Efficiency(edges, counts, source, field)


def correct_counts(
    efficiency: Efficiency,
    area_px: ArrayLike,
    *,
    frames: int = 1,
    distinct: int | None = None,
    field_px: float | None = None,
) -> Corrected:
    """Correct the number of particles found, and that of each size.

    Parameters
    ----------
    efficiency
        Measured at the operating point of the finding, on frames of the same kind.
    area_px
        ``(n,)``, the areas of all particles found, in one frame or in several together.
    frames
        In how many frames; the counts are means of one frame.
    distinct
        How many different particles these are; without it, as many as ``area_px``, divided by
        ``frames``. One particle in forty frames is evidence of one.
    field_px
        Pixels of one frame. With it, and where the efficiency has its own, a common factor
        takes account of crowding: where many particles lie close, more of them are missed.

    Returns
    -------
    Corrected
        What would be 0/0 is NaN.

    Raises
    ------
    ValueError
        If ``frames`` is below 1.

    Notes
    -----
    The factor for crowding and the intervals are those of `corroscope.scoring.prediction`.

    Examples
    --------
    >>> counts = np.zeros((8, 2, 2), np.int64)
    >>> counts[:, 1, 1], counts[:, 1, 0] = 80, 20
    >>> corrected = correct_counts(Efficiency((7.0, np.inf), counts), [9.0] * 40)
    >>> round(corrected.total.corrected, 6), corrected.total.low < 50 < corrected.total.high
    (50.0, True)
    """
    if frames < 1:
        raise ValueError(f"frames: {frames}; must be 1 or more")
    edges, bins = efficiency.area_edges_px, len(efficiency.area_edges_px) - 1
    classes = _classes(area_px, edges)
    found = np.bincount(classes, minlength=bins + 1)[1:] / frames
    pooled = efficiency.counts.sum(axis=0)
    corrected, known = _unfold(found, pooled)
    share = 1.0 if distinct is None or not found.sum() else distinct / found.sum()
    others = _by_the_others(efficiency.counts)
    true = efficiency.counts[:, 1:].sum(axis=2)
    number = efficiency.counts[:, :, 1:].sum(axis=1)
    crowded = crowding(
        true.sum(axis=1), number.sum(axis=1), others.sum(axis=1), efficiency.field_px,
        float(found.sum()), field_px,
    )  # fmt: skip
    corrected[known] *= crowded.factor
    others = np.where(known, others * crowded.of_clusters[:, None], others)

    def counted(of: list[int]) -> Total:
        measured = spread(
            true[:, of].sum(axis=1), number[:, of].sum(axis=1), others[:, of].sum(axis=1),
            _least_chance(pooled, of),
        )  # fmt: skip
        sums = float(found[of].sum()), float(corrected[of].sum())
        return Total(*sums, *prediction_interval(sums[1], sums[0] * share, measured, crowded))

    rows, total = [counted([place]) for place in range(bins)], counted(list(range(bins)))
    with np.errstate(invalid="ignore"):
        recall = pooled[1:, 1:].sum(axis=1) / pooled[1:].sum(axis=1)
        precision = pooled[1:, 1:].sum(axis=0) / pooled[:, 1:].sum(axis=0)
    table = pd.DataFrame(rows).assign(recall=recall, precision=precision)
    table.insert(0, "lower_px", edges[:-1])
    table.insert(1, "upper_px", edges[1:])
    left_out = int(np.count_nonzero(classes == 0))
    return Corrected(table, total, _remarks(efficiency, known, found, left_out))


def _remarks(
    efficiency: Efficiency,
    known: NDArray[np.bool_],
    found: NDArray[np.float64],
    left_out: int,
) -> tuple[str, ...]:
    remarks = [efficiency.source] if efficiency.source else []
    edges = efficiency.area_edges_px
    unknown = [
        f"{edges[place]:g} to {edges[place + 1]:g} px²"
        for place in np.flatnonzero(~known & (found > 0)).tolist()
    ]
    if unknown:
        remarks.append(
            f"Left as found, since fewer than {LEAST_EVIDENCE} such particles were judged: "
            f"{', '.join(unknown)}."
        )
    if len(efficiency.counts) < FEWEST_CLUSTERS:
        remarks.append(
            f"No interval: the efficiency was measured on {len(efficiency.counts)} pieces of "
            f"surface; {FEWEST_CLUSTERS} are needed."
        )
    if left_out:
        remarks.append(f"{left_out} particles below {edges[0]:g} px² are not counted.")
    return tuple(remarks)


def _classes(area_px: ArrayLike, edges: Sequence[float]) -> NDArray[np.intp]:
    """1, 2, … by area; 0 below all classes and for NaN."""
    area = np.nan_to_num(np.asarray(area_px, np.float64), nan=0.0)
    return np.asarray(np.searchsorted(np.asarray(edges[:-1]), area, side="right"))


def _unfold(
    found: NDArray[np.float64], pooled: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Counts in classes of true area, and for which classes there is evidence."""
    true, seen = pooled[1:].sum(axis=1), pooled[:, 1:].sum(axis=0)
    pairs = pooled[1:, 1:]
    known = (true >= LEAST_EVIDENCE) & (seen >= LEAST_EVIDENCE)
    known &= (pairs[:, known].sum(axis=1) > 0) & (pairs[known].sum(axis=0) > 0)
    corrected = found.astype(np.float64)
    if not known.any():
        return corrected, known
    inner = pairs[np.ix_(known, known)]
    signal = found[known] * inner.sum(axis=0) / seen[known]
    response = inner / true[known, None]
    # Those found in a class that is left as found are counted there.
    elsewhere = pairs[np.ix_(known, ~known)].sum(axis=1) / true[known]
    estimate = true[known] / true[known].sum() * max(found[known].sum(), 1.0)
    for _ in range(ITERATIONS):
        expected = estimate @ response
        ratio = np.divide(signal, expected, out=np.zeros_like(signal), where=expected > 0)
        estimate = estimate * (response @ ratio) / response.sum(axis=1)
    corrected[known] = estimate * (1 - elsewhere)
    return corrected, known


def _by_the_others(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """``(clusters, classes)``: each cluster corrected by what the others tell."""
    pooled, found = counts.sum(axis=0), counts[:, :, 1:].sum(axis=1).astype(np.float64)
    return np.array(
        [_unfold(own, pooled - one)[0] for own, one in zip(found, counts, strict=True)]
    ).reshape(found.shape)


def _least_chance(pooled: NDArray[np.int64], bins: list[int]) -> float:
    """φ of binomial misses and false finds alone."""
    rows = [place + 1 for place in bins]
    pairs, right = pooled[rows][:, 1:].sum(), pooled[1:, rows].sum()
    if not pairs or not right:
        return 0.0
    missed, precision = 1 - pairs / pooled[rows].sum(), right / pooled[:, rows].sum()
    return float((missed + 1 - precision) / precision)
