"""Whether corrected counts are right, and whether their intervals hold the truth.

    python benchmarks/tracking_efficiency.py [--seeds N [N …]]

Synthetic runs of seeds that the shipped table of detection efficiency has not seen, at three
densities; with smaller, larger and fainter particles, shown apart; and with all of these varied as
where the efficiency was measured, which is what its intervals are for. Truth: the products that can
be seen in the last frame with at least the smallest area. ``bias`` is the sum of counts over that
of truths, minus 1; ``mean_bias`` is its mean over runs
that have any.
"""

import argparse
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from measure_efficiency import SIDE_PX, Case, judge_all, varied

from corroscope.pipeline.efficiency import read_efficiency
from corroscope.scoring.efficiency import Efficiency, correct_counts

SEEDS: Final = range(900, 922)
DENSITIES: Final = (("sparse", 160), ("usual", 640), ("dense", 1600))
OTHERS: Final[dict[str, dict[str, float]]] = {
    "smaller": {"radius": 0.8}, "larger": {"radius": 1.2}, "fainter": {"fainter": 0.8},
}  # fmt: skip
"""By what they differ from the usual particles."""
VARIED: Final = 40
"""Runs with everything varied; their seeds go on from the last."""
OF_OTHERS: Final = 4
"""One seed in so many is used for these."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    table = measure(parser.parse_args().seeds)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


def measure(seeds: Sequence[int]) -> pd.DataFrame:
    """Bias and coverage of all kinds of runs, each with these seeds."""
    cases = [
        (kind, density, Case(seed, per_mpx, **changes))
        for kind, changes in {"as fitted": {}, **OTHERS}.items()
        for density, per_mpx in DENSITIES
        for seed in (seeds if kind == "as fitted" else seeds[::OF_OTHERS])
    ]
    after = max(seeds) + 1
    cases += [("varied", "all", varied(seed)) for seed in range(after, after + VARIED)]
    efficiency, _ = read_efficiency()
    judged = judge_all([case for *_, case in cases])
    rows = [
        {"kind": kind, "density": density}
        | judged_run(efficiency, judged[judged["cluster"] == number])
        for number, (kind, density, _) in enumerate(cases)
    ]
    runs = pd.DataFrame(rows)
    groups: list[dict[str, Any]] = []
    for kind, of_kind in runs.groupby("kind", sort=False):
        groups += [
            {"kind": kind, "density": density} | summary(part)
            for density, part in of_kind.groupby("density", sort=False)
        ]
        if kind != "varied":  # in which densities differ anyway
            groups.append({"kind": kind, "density": "all"} | summary(of_kind))
    return pd.DataFrame(groups)


def judged_run(efficiency: Efficiency, judged: pd.DataFrame) -> dict[str, Any]:
    """What is true, found, corrected and held in one run, all together and by size."""
    area = judged["area_px"].to_numpy()
    annotated = (judged["side"] == "annotated").to_numpy()
    corrected = correct_counts(efficiency, area[~annotated], field_px=SIDE_PX**2)
    edges, bins, total = efficiency.area_edges_px, corrected.bins, corrected.total
    true = np.histogram(area[annotated], (*edges[:-1], 1e9))[0]
    held = (bins["low"] <= true) & (true <= bins["high"])
    return {
        "true": int(true.sum()), "found": total.found, "corrected": total.corrected,
        "held": total.low <= true.sum() <= total.high, "held_by_size": held.mean(),
        "width": (total.high - total.low) / (2 * max(total.corrected, 1.0)),
    }  # fmt: skip


def summary(runs: pd.DataFrame) -> dict[str, Any]:
    """Of some runs together."""
    true = runs["true"]
    return {
        "runs": len(runs), "true": true.mean(),
        "bias_found": runs["found"].sum() / true.sum() - 1,
        "bias": runs["corrected"].sum() / true.sum() - 1,
        "mean_bias": (runs["corrected"] / true.where(true > 0) - 1).mean(),
        "coverage": runs["held"].mean(), "coverage_by_size": runs["held_by_size"].mean(),
        "half_width": runs["width"].median(),
    }  # fmt: skip


if __name__ == "__main__":
    main()
