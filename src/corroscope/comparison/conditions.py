"""Runs of the same conditions together, and the trend across concentrations."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from corroscope.comparison.repeats import over_repeats
from corroscope.comparison.run_measures import Measure
from corroscope.comparison.trend import FEWEST, holm, jonckheere
from corroscope.tables import Column

CONDITIONS: Final = (
    Column("condition", "str", "", "concentration and potential in words"),
    Column("concentration_mm", "float64", "mmol/L", "of chloride; empty where unknown"),
    Column("potential_v", "float64", "V", "against whichever reference electrode was used"),
    Column("measure", "str", "", "column of the table of runs"),
    Column("unit", "str", "", "of the measure"),
    Column("runs", "int64", "", "with a value"),
    Column("mean", "float64", "", "over runs"),
    Column("mean_low", "float64", "", "lower end of its 95 % interval; empty below 2 runs"),
    Column("mean_high", "float64", "", "upper end"),
    Column("median", "float64", "", "over runs"),
    Column("median_low", "float64", "", "lower end of its 95 % interval; empty below 6 runs"),
    Column("median_high", "float64", "", "upper end"),
    Column("sd", "float64", "", "between runs"),
)
"""One row for each condition and measure."""

TRENDS: Final = (
    Column("potential_v", "float64", "V", "at which the concentrations are compared"),
    Column("measure", "str", "", "column of the table of runs"),
    Column("concentrations", "int64", "", "with enough runs"),
    Column("runs", "int64", "", "at them"),
    Column("spearman", "float64", "", "rank correlation with the concentration"),
    Column("statistic", "float64", "", "of Jonckheere and Terpstra"),
    Column("p", "float64", "", "two-sided, by permutation"),
    Column("p_smallest", "float64", "", "that these numbers of runs can give"),
    Column("p_holm", "float64", "", "adjusted for the number of tests in this table"),
    Column("exact", "bool", "", "false where permutations were drawn"),
)
"""One row for each test of a trend."""

SEED: Final = 0
"""Of permutations that are drawn; so the same comparison has the same p."""


def name_conditions(runs: pd.DataFrame) -> list[str]:
    """Tell the conditions of each run in words.

    Parameters
    ----------
    runs
        With the columns of `corroscope.comparison.run_measures.RUNS`.

    Returns
    -------
    list of str
        Empty where neither concentration nor potential is known.

    Examples
    --------
    >>> name_conditions(pd.DataFrame({"concentration_mm": [30.0], "potential_v": [float("nan")]}))
    ['30 mM']
    """
    return [
        ", ".join(
            f"{value:g} {unit}".replace("-", "−")
            for value, unit in ((concentration, "mM"), (potential, "V"))
            if not np.isnan(value)
        )
        for concentration, potential in zip(
            runs["concentration_mm"].astype(float), runs["potential_v"].astype(float), strict=True
        )
    ]


def over_conditions(runs: pd.DataFrame, measures: Sequence[Measure]) -> pd.DataFrame:
    """Put runs of the same concentration and potential together.

    Parameters
    ----------
    runs
        With the columns of `corroscope.comparison.run_measures.RUNS`, and ``condition`` of
        `name_conditions`.
    measures
        Those that are compared.

    Returns
    -------
    pandas.DataFrame
        With the columns of `CONDITIONS`, in order of concentration and potential.

    Examples
    --------
    >>> rate = Measure("rate", "1/s", "ejected", "Rate")
    >>> runs = pd.DataFrame({"condition": "5 mM", "concentration_mm": [5.0, 5.0],
    ...                      "potential_v": float("nan"), "rate": [1.0, 3.0]})
    >>> over_conditions(runs, [rate])[["runs", "mean"]].values.tolist()
    [[2.0, 2.0]]
    """
    known = runs.loc[runs["condition"] != ""].sort_values(
        ["concentration_mm", "potential_v"], kind="stable"
    )
    rows = [
        {
            "condition": name,
            "concentration_mm": same["concentration_mm"].iloc[0],
            "potential_v": same["potential_v"].iloc[0],
            "measure": one.name,
            "unit": one.unit,
            **over_repeats(
                same[one.name].to_numpy(np.float64), least=one.least, most=one.most
            )._asdict(),
        }
        for name, same in known.groupby("condition", sort=False)
        for one in measures
    ]
    return pd.DataFrame(rows, columns=[column.name for column in CONDITIONS])


def trends_of(runs: pd.DataFrame, measures: Sequence[Measure]) -> tuple[pd.DataFrame, list[str]]:
    """Test each measure for a trend across concentrations, at each potential.

    Parameters
    ----------
    runs
        As for `over_conditions`.
    measures
        Those that are compared.

    Returns
    -------
    trends : pandas.DataFrame
        With the columns of `TRENDS`.
    why_not : list of str
        A sentence for each potential at which nothing is tested, and for each concentration that
        is left out.

    Examples
    --------
    >>> rate = Measure("rate", "1/s", "ejected", "Rate")
    >>> runs = pd.DataFrame({"concentration_mm": [5.0] * 3 + [30.0] * 3, "potential_v": 1.6,
    ...                      "rate": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]})
    >>> trends_of(runs, [rate])[0][["p", "p_smallest"]].values.tolist()
    [[0.1, 0.1]]
    """
    rng = np.random.default_rng(SEED)
    rows: list[dict[str, object]] = []
    why_not: list[str] = []
    known = runs.loc[runs["concentration_mm"].notna()]
    for potential, same in known.groupby("potential_v", dropna=False):
        at = "" if np.isnan(float(str(potential))) else f" at {potential:g} V".replace("-", "−")
        counts = same.groupby("concentration_mm").size()
        enough = counts.index[counts >= FEWEST]
        few = [f"{value:g} mM" for value in counts.index[counts < FEWEST]]
        if len(enough) < 2:
            why_not.append(
                f"No test for a trend with the concentration{at}: it needs {FEWEST} runs or more "
                f"at each of two concentrations or more, and {_told(len(enough))}."
            )
            continue
        if few:
            why_not.append(
                f"{', '.join(few)}{at} had fewer than {FEWEST} runs and no part in the tests for "
                "a trend."
            )
        untested = []
        for one in measures:
            row = _tested(same.loc[same["concentration_mm"].isin(enough)], one, rng)
            if row is not None:
                rows.append({"potential_v": potential, **row})
            elif same[one.name].notna().any():
                untested.append(f"{one.title[:1].lower()}{one.title[1:]}")
        if untested:
            why_not.append(
                f"Known of fewer than {FEWEST} runs at one of the concentrations{at}, and not "
                f"tested: {', '.join(untested)}."
            )
    if known.empty:
        why_not.append("No test for a trend: no run tells its concentration.")
    trends = pd.DataFrame(rows, columns=[column.name for column in TRENDS])
    trends["p_holm"] = holm(trends["p"].to_numpy(np.float64))
    return trends, why_not


def _told(number: int) -> str:
    return f"{'none has' if number == 0 else 'only one has'} as many"


def _tested(
    runs: pd.DataFrame, measure: Measure, rng: np.random.Generator
) -> dict[str, object] | None:
    """Test one measure; None where too few runs have a value at one of the concentrations."""
    groups = [
        same[measure.name].dropna().to_numpy(np.float64)
        for _, same in runs.groupby("concentration_mm", sort=True)
    ]
    if min(group.size for group in groups) < FEWEST:
        return None
    return {
        "measure": measure.name,
        "concentrations": len(groups),
        "runs": sum(group.size for group in groups),
        **jonckheere(groups, rng)._asdict(),
    }
