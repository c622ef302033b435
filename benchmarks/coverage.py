"""How often intervals hold the truth, in simulated sets of patches whose truth is known.

    python benchmarks/coverage.py [--cases N] [--dataset DATASET]

Each set is judged by two predictions. A patch of 200×200 px has four cells of 100×100 px, and each
cell has particles, of which a prediction finds some, and false ones. What is found depends on the
piece of surface (the effect is the standard deviation of log-odds); overlapping patches share
cells, and with them their particles. The truth is that of all pieces of surface: expected sums
divided by one another. One table for scores, one for differences of the two predictions.
"""

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from corroscope.learning.dataset import read_dataset
from corroscope.scoring.blocks import surface_blocks
from corroscope.scoring.bootstrap import difference_intervals, intervals, verdict
from corroscope.scoring.counts import Counts
from corroscope.scoring.scores import RATIOS

Cells = NDArray[np.int64]
Bounds = dict[str, tuple[float, float]]
SHOWN = ("dice", "particle_f1_iou30", "precision", "count_bias")
FIELDS = [field.name for field in fields(Counts)]
TRUTH_PIECES = 200_000
REAL_PIECES = ((4, 11), (1, 13), (1, 5), (2, 2), (1, 2), (1, 2), (1, 2), (1, 1), (1, 1))
"""Rows and columns of patches: as many in each piece of surface as in the real patches."""


class Case(NamedTuple):
    """One kind of set of patches."""

    name: str
    pieces: Sequence[tuple[int, int]]
    effect: float = 0.0
    overlapping: bool = False
    particles: float = 7.0
    """Expected in a patch."""
    gain: float = 0.0
    """What the second prediction's log-odds to find a particle are better by."""
    false: tuple[float, float] = (0.24, 0.24)
    """False particles expected for each annotated one, by either prediction."""


CASES = (
    Case("8 even pieces, no effect", [(1, 9)] * 8),
    Case("8 even pieces, effect 0.8", [(1, 9)] * 8, effect=0.8),
    Case("12 even pieces, no effect", [(1, 6)] * 12),
    Case("12 even pieces, effect 0.8", [(1, 6)] * 12, effect=0.8),
    Case("30 even pieces, no effect", [(1, 3)] * 30),
    Case("30 even pieces, effect 0.8", [(1, 3)] * 30, effect=0.8),
    Case("real sizes, no effect", REAL_PIECES),
    Case("real sizes, effect 0.8", REAL_PIECES, effect=0.8),
    Case("real sizes, overlapping, no effect", REAL_PIECES, overlapping=True),
    Case("real sizes, overlapping, effect 0.3", REAL_PIECES, effect=0.3, overlapping=True),
    Case("real sizes, overlapping, effect 0.8", REAL_PIECES, effect=0.8, overlapping=True),
    Case("one piece, overlapping, no effect", [(6, 12)], overlapping=True),
    Case("12 even pieces, rare particles", [(1, 6)] * 12, effect=0.4, particles=0.7),
    Case("12 even pieces, second better", [(1, 6)] * 12, effect=0.4, gain=0.6),
    Case("12 even pieces, biases near ±0.1", [(1, 6)] * 12, effect=0.4, false=(0.31, 0.11)),
)


class Layout(NamedTuple):
    """Which cells a patch has, ``(patches, cells)``, and the piece of surface of each cell."""

    cells: NDArray[np.float64]
    piece: NDArray[np.int64]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=600, help="simulated sets of each kind")
    parser.add_argument("--dataset", type=Path, help="lay patches out as in this one, as well")
    chosen = parser.parse_args()
    laid = [(case, layout_of(case)) for case in CASES]
    if chosen.dataset is not None:
        real = layout_of_dataset(chosen.dataset)
        laid += [
            (Case(f"real places, effect {effect}", (), effect, True), real) for effect in (0.0, 0.8)
        ]
    with ProcessPoolExecutor(2) as pool:
        covered = list(pool.map(partial(simulate, times=chosen.cases), *zip(*laid, strict=True)))
    error = 100 * np.sqrt(0.95 * 0.05 / chosen.cases)
    print(f"Coverage of 95 % intervals in {chosen.cases} sets each; ± {error:.1f} at 95 %\n")
    for title, part in (("score", 0), ("difference", 1)):
        print(f"| {title}: case | clusters | method | {' | '.join(SHOWN)} | width of dice |")
        print("|" + "---|" * (4 + len(SHOWN)))
        for (case, _), rows in zip(laid, covered, strict=True):
            for row in rows[part]:
                print(f"| {case.name} | {' | '.join(row)} |")
        print()


def layout_of(case: Case) -> Layout:
    """Pieces of surface side by side; patches overlap by half, or not at all."""
    step = 1 if case.overlapping else 2
    places = [
        (piece, step * row, step * column)
        for piece, (rows, columns) in enumerate(case.pieces)
        for row in range(rows)
        for column in range(columns)
    ]
    return layout(places, [place[0] for place in places])


def layout_of_dataset(dataset: Path) -> Layout:
    """Places of a dataset's patches; what is at one place at two times counts as the same."""
    corners = [patch.corner_px for patch in read_dataset(dataset)]
    places = [(0, corner[0] // 100, corner[1] // 100) for corner in corners if corner]
    cells = layout(places, [0] * len(places)).cells
    pieces = connected_components(cells @ cells.T > 0, directed=False)[1]
    return layout(places, pieces.tolist())


def layout(places: Sequence[tuple[int, int, int]], pieces: Sequence[int]) -> Layout:
    """Patches of two cells by two at places given in cells."""
    column: dict[tuple[int, int, int], int] = {}
    piece_of: list[int] = []
    rows = []
    for (field, y, x), piece in zip(places, pieces, strict=True):
        corners = [(field, y + dy, x + dx) for dy in (0, 1) for dx in (0, 1)]
        for corner in corners:
            if corner not in column:
                column[corner] = len(column)
                piece_of.append(piece)
        rows.append([column[corner] for corner in corners])
    cells = np.zeros((len(places), len(column)))
    for patch, members in enumerate(rows):
        cells[patch, members] = 1
    return Layout(cells, np.array(piece_of))


def simulate(case: Case, where: Layout, *, times: int) -> tuple[list[list[str]], list[list[str]]]:
    """Rows of both tables: clusters, method, coverage of each score, median width of Dice."""
    rng = np.random.default_rng(20)
    truth = [
        {name: float(value) for name, value in pooled(sums).items()} for sums in true_sums(case)
    ]
    shared = where.cells @ where.cells.T > 0
    pieces = where.piece[where.cells.argmax(axis=1)]
    blocks = surface_blocks(shared)
    kinds = {"patches": np.arange(len(pieces)), "pieces": pieces, "blocks": blocks}
    if not case.overlapping:  # the patches of a piece are then no neighbours
        del kinds["blocks"]
    covered: dict[tuple[str, str], list[list[float]]] = {}
    decided: dict[tuple[str, str], list[list[float]]] = {}
    for _ in range(times):
        tables = [where.cells @ cells for cells in particles(case, where.piece, rng)]
        counts = [[as_counts(row) for row in table] for table in tables]
        for kind, labels in kinds.items():
            if len(np.unique(labels)) < 2:
                continue
            clusters = labels.tolist()
            found: dict[str, tuple[Bounds, Bounds]]
            found = {"percentile": percentile(tables, labels, rng)}
            if kind != "patches":
                found["bootstrap-t"] = (bootstrap_t(tables[0], labels, rng), {})
                found["corroscope"] = (
                    intervals(counts[0], clusters, rng),
                    difference_intervals(counts[0], counts[1], clusters, rng),
                )
            for method, (one, two) in found.items():
                covered.setdefault((kind, method), []).append(
                    [
                        *(one[name][0] <= truth[0][name] <= one[name][1] for name in SHOWN),
                        one["dice"][1] - one["dice"][0],
                    ]
                )
                if two:
                    decided.setdefault((kind, method), []).append(
                        [
                            *(right(name, two[name], truth) for name in SHOWN),
                            two["dice"][1] - two["dice"][0],
                        ]
                    )
    number = {kind: len(np.unique(labels)) for kind, labels in kinds.items()}
    return tuple(  # type: ignore[return-value]
        [
            [
                f"{number[kind]} {kind}",
                method,
                *(f"{100 * share:.1f}" for share in np.mean(hit, axis=0)[:-1]),
                f"{np.nanmedian(hit, axis=0)[-1]:.3f}",
            ]
            for (kind, method), hit in part.items()
        ]
        for part in (covered, decided)
    )


def right(name: str, bounds: tuple[float, float], truth: Sequence[dict[str, float]]) -> bool:
    """Whether bounds of a difference hold it."""
    before, after = (values[name] for values in truth)
    change = abs(after) - abs(before) if name == "count_bias" else after - before
    if abs(change) < 2e-3:  # equal by construction; what is left is chance in the truth
        return verdict(name, bounds) == "undecided" and not np.isnan(bounds[0])
    return bounds[0] <= change <= bounds[1]


def particles(case: Case, piece: NDArray[np.int64], rng: np.random.Generator) -> Iterator[Cells]:
    """What is counted in each cell, ``(cells, fields)``, by one prediction and the other."""

    def effect(size: float) -> NDArray[np.float64]:
        return np.asarray(rng.normal(0, size * case.effect, piece.max() + 1)[piece])

    expected = case.particles / 4
    crowded = np.exp(effect(0.6) - (0.6 * case.effect) ** 2 / 2)
    # As uneven from patch to patch as real ones: one in eight of those with 7 has none.
    annotated = rng.negative_binomial(0.25, 0.25 / (0.25 + expected * crowded))
    hard, noisy = effect(1.0), effect(0.8)
    # The two predictions agree on six particles in ten, and on less than half of the false ones.
    alike = rng.binomial(annotated, 0.6)
    found_alike = rng.binomial(alike, expit(1.35 + hard))
    least = min(case.false)
    false_alike = rng.poisson(0.45 * least * expected * np.exp(noisy))
    for gain, false in zip((0.0, case.gain), case.false, strict=True):
        odds = 1.35 + hard + gain + effect(0.4)
        found = rng.binomial(annotated - alike, expit(odds))
        found += rng.binomial(alike - found_alike, 1 - np.exp(-gain)) + found_alike
        rest = (false - 0.45 * least) * expected
        wrong = false_alike + rng.poisson(rest * np.exp(noisy + effect(0.4)))
        hit_px = rng.binomial(_area_px(found, rng), 0.85)
        missed_px = _area_px(annotated - found, rng) + hit_px // 6
        false_px = _area_px(wrong, rng) + hit_px // 8
        cells = np.zeros((len(piece), len(FIELDS)), np.int64)
        for name, values in {
            "true_positive": hit_px,
            "false_positive": false_px,
            "false_negative": missed_px,
            "predicted": found + wrong,
            "annotated": annotated,
            "matched_iou_30": found,
        }.items():
            cells[:, FIELDS.index(name)] = values
        yield cells


def _area_px(number: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Of so many particles together: 24 px each on average, half of them below 20."""
    return np.rint(rng.gamma(2.0 * number, 12.0)).astype(np.int64)


def true_sums(case: Case) -> NDArray[np.int64]:
    """Sums over very many pieces of surface, of either prediction."""
    rng = np.random.default_rng(21)
    pieces = np.repeat(np.arange(TRUTH_PIECES), 4)
    return np.array([cells.sum(axis=0) for cells in particles(case, pieces, rng)])


def as_counts(row: NDArray[np.float64]) -> Counts:
    """Counts of one patch."""
    return Counts(*row.astype(int).tolist())


def weights(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Of the fields, in what a score divides and in what it divides by."""
    ratio = RATIOS[name]
    part, whole = (
        np.array([side.get(field, 0.0) for field in FIELDS]) for side in (ratio.part, ratio.whole)
    )
    return part, whole, ratio.offset


def pooled(sums: NDArray[np.int64] | NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Scores of sums, ``(..., fields)``."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            name: (sums @ part) / (sums @ whole) + offset
            for name in SHOWN
            for part, whole, offset in [weights(name)]
        }


def by_cluster(table: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums of each cluster."""
    sums = np.zeros((labels.max() + 1, table.shape[1]))
    np.add.at(sums, labels, table)
    return sums


def percentile(
    tables: Sequence[NDArray[np.float64]], labels: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Bounds, Bounds]:
    """The usual bootstrap: clusters drawn with replacement, quantiles of what comes out."""
    sums = [by_cluster(table, labels) for table in tables]
    drawn = rng.multinomial(len(sums[0]), np.full(len(sums[0]), 1 / len(sums[0])), 1000)
    before, after = (pooled(drawn @ one) for one in sums)
    with np.errstate(invalid="ignore"):
        change = {name: after[name] - before[name] for name in SHOWN}
        change["count_bias"] = np.abs(after["count_bias"]) - np.abs(before["count_bias"])
    one, two = (
        {name: _ends(np.nanquantile(values[name], [0.025, 0.975])) for name in SHOWN}
        for values in (before, change)
    )
    return one, two


def _ends(pair: NDArray[np.float64]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])


def bootstrap_t(
    table: NDArray[np.float64], labels: NDArray[np.int64], rng: np.random.Generator
) -> Bounds:
    """Each resample divided by its own linearised error, of log-odds (of a bias, of logs)."""
    sums = by_cluster(table, labels)
    drawn = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), 1000)
    drawn = np.concatenate([np.ones((1, len(sums)), int), drawn])
    bounds: Bounds = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        for name in SHOWN:
            part, whole, offset = weights(name)
            a, b = sums @ part, sums @ whole
            value = (drawn @ a) / (drawn @ b)
            square = drawn @ a**2 - 2 * value * (drawn @ (a * b)) + value**2 * (drawn @ b**2)
            odd = 0.0 if offset else 1.0
            error = np.sqrt(np.maximum(square, 0)) / (drawn @ b) / (value * (1 - odd * value))
            scale = np.log(value / (1 - odd * value))
            t = ((scale - scale[0]) / error)[1:]
            high, low = np.quantile(t[np.isfinite(t)], [0.025, 0.975])
            ends = np.exp(scale[0] - np.array([low, high]) * error[0])
            bounds[name] = _ends(ends / (1 + odd * ends) + offset)
    return bounds


if __name__ == "__main__":
    main()
