"""Runs side by side: repeats put together, concentrations compared."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corroscope.comparison.comparability import comparable, warnings_about
from corroscope.comparison.conditions import (
    CONDITIONS,
    SEED,
    TRENDS,
    name_conditions,
    over_conditions,
    trends_of,
)
from corroscope.comparison.run_measures import (
    RUNS,
    Measure,
    areas_of,
    common_duration,
    course_of,
    measure_run,
)
from corroscope.comparison.run_results import RunResult, read_runs
from corroscope.outputs import MANIFEST, output_folder, versions, write_json
from corroscope.report.runs import RunsPage, lead_of, write_runs
from corroscope.report.runs_figures import Compared
from corroscope.tabulation import write_table


def compare_runs(folders: Sequence[Path], out: str | Path) -> dict[str, Any]:
    """Compare runs across concentrations and repeats.

    Runs of the same concentration and potential are repeats of one condition. The run is the
    unit of every interval and test, never the particle or the pit. Runs are compared over the
    time that they have in common, in micrometres where all pixel sizes are known, else in pixels;
    what does not mean the same in all runs is not compared, and a warning says so. A trend with
    the concentration is tested only among concentrations with three runs or more.

    Writes ``report.html``, ``figures/``, ``runs``, ``conditions`` and ``trends`` as ``.csv`` and
    ``.parquet``, ``metrics.json`` and ``manifest.json``.

    Parameters
    ----------
    folders
        That ``corroscope run`` has written, at least two.
    out
        Output folder, made if missing.

    Returns
    -------
    dict
        What ``metrics.json`` holds: ``runs``, one dict for each with the columns of
        `corroscope.comparison.run_measures.RUNS` and its ``condition``; ``conditions`` and
        ``trends``, one for each row of their tables; ``compared``, the names of the measures
        that are; ``compared_s``; ``sentences`` that say what came out, ``why_no_trend`` and
        ``warnings``.

    Raises
    ------
    OutputError
        If a result is incomplete or older than following, or the output cannot be written.
    SettingsError
        If two results are of one sequence.
    """
    results, names = read_runs(folders)
    until_s = common_duration(results)
    rows = [measure_run(name, one, until_s) for name, one in zip(names, results, strict=True)]
    runs = pd.DataFrame(rows)
    runs = runs.astype({column.name: column.dtype for column in RUNS})
    runs["condition"] = name_conditions(runs)
    measures = comparable(results)
    conditions = over_conditions(runs, measures)
    trends, why_not = trends_of(runs, measures)
    warnings = warnings_about(results, names, until_s, runs)
    manifest = {
        "command": "compare",
        "versions": versions("numpy", "scipy", "pandas", "matplotlib"),
        "seed": SEED,
        "results": [
            {
                "folder": str(one.folder.resolve()),
                "name": name,
                "fingerprint": one.fingerprint,
                "conditions": one.conditions,
                "settings": one.settings,
            }
            for name, one in zip(names, results, strict=True)
        ],
    }
    page = _page(results, runs, conditions, trends, why_not, measures, warnings, until_s, manifest)
    metrics: dict[str, Any] = {
        "sentences": lead_of(page),
        "compared_s": _plain(until_s),
        "compared": [one.name for one in measures],
        "runs": _records(runs),
        "conditions": _records(conditions),
        "trends": _records(trends),
        "why_no_trend": why_not,
        "warnings": warnings,
    }
    folder = output_folder(out)
    write_table(folder / "runs", runs, RUNS)
    write_table(folder / "conditions", conditions, CONDITIONS)
    write_table(folder / "trends", trends, TRENDS)
    write_runs(page, folder / "report.html")
    write_json(folder / "metrics.json", metrics)
    write_json(folder / MANIFEST, manifest)
    return metrics


def _page(
    results: Sequence[RunResult],
    runs: pd.DataFrame,
    conditions: pd.DataFrame,
    trends: pd.DataFrame,
    why_not: Sequence[str],
    measures: Sequence[Measure],
    warnings: Sequence[str],
    until_s: float,
    manifest: dict[str, Any],
) -> RunsPage:
    scaled = bool(runs["pixel_size_um"].notna().all())
    by_area = bool(runs["field_mpx"].notna().all())
    area = runs["field_mm2" if scaled else "field_mpx"].to_numpy(np.float64)
    courses, areas = [], []
    for name, condition, one, field, size in zip(
        runs["run"], runs["condition"], results, area, runs["pixel_size_um"], strict=True
    ):
        per = field if by_area else 1.0
        course = course_of(one)
        courses.append(
            pd.DataFrame(
                {
                    "run": name,
                    "condition": condition,
                    "time_s": course["time_s"],
                    "ejections": course["ejections_total"] / per,
                    "particles": course["particles"].astype("float64") / per,
                }
            )
        )
        sizes = areas_of(one, until_s) * (size**2 if scaled else 1.0)
        areas.append(pd.DataFrame({"run": name, "condition": condition, "area": sizes}))
    return RunsPage(
        runs=runs,
        conditions=conditions,
        trends=trends,
        why_no_trend=why_not,
        measures=[Compared(one.name, one.title, one.unit, one.meaning) for one in measures],
        courses=pd.concat(courses, ignore_index=True),
        areas=pd.concat(areas, ignore_index=True),
        area_unit=("mm²" if scaled else "Mpx") if by_area else "",
        length_unit="µm" if scaled else "px",
        until_s=until_s,
        warnings=warnings,
        how={
            "compared over / s": until_s,
            "permutations": f"exact, or drawn with seed {SEED} where there are too many",
            "results": {one["name"]: one["folder"] for one in manifest["results"]},
            "versions": manifest["versions"],
        },
    )


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(name): _plain(value) for name, value in row.items()}
        for row in rows.to_dict(orient="records")
    ]


def _plain(value: Any) -> Any:
    """As JSON can hold it: numbers to six digits, None for what is undefined."""
    if value is None or value is pd.NA:
        return None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value
