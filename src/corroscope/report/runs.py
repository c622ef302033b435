"""Several runs on one page: repeats and concentrations side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from corroscope.outputs import output_folder
from corroscope.report.page import NOTHING, Section, facts, paragraph, table, warnings, write_page
from corroscope.report.run.drawing import FOLDER, Drawing, keep
from corroscope.report.runs_figures import Compared, draw_areas, draw_courses, draw_measure
from corroscope.report.style import report_style

_HOW = (
    "Time counts from the first usable frame of each run, and all runs are compared over the time "
    "that they have in common; what was there in that frame is not counted as ejected. The run is "
    "the unit: particles and pits of one run share its metal, electrolyte and light, so that their "
    "number says nothing of how well another run would agree.",
    "Intervals are of 95 %. Those of means are Student's, over runs, and suppose that runs scatter "
    "as a normal distribution; they begin with two runs, where they are very wide. Those of "
    "medians are by order statistics, suppose nothing but independence, and begin with six runs. "
    "One run has none.",
    "A trend with the concentration is tested after Jonckheere and Terpstra, by permutation of the "
    "runs, at each potential; only concentrations with three runs or more have a part. The column "
    "“adjusted” holds p after Holm, for as many tests as the table has. With few runs p cannot be "
    "small, whatever the trend: the column “smallest” says how small.",
    "Areas of particles are one for each track, so that a particle that is seen often counts once. "
    "The log-normal law is fitted by maximum likelihood, truncated at the smallest area that is "
    "segmented, so that its median counts smaller particles too.",
)

_STYLE = """\
.pairs { display: grid; gap: 0 1.25rem;
  grid-template-columns: repeat(auto-fill, minmax(min(27rem, 100%), 1fr)); }
@media print {
  .pairs { grid-template-columns: 1fr 1fr; }
  table { font-size: 8pt; }
  tbody th { min-width: 0; }
}
"""
"""Small figures stand side by side where there is room, and in print, where tables are small."""

_LEADING = 3
"""Measures whose means stand at the top."""

_RARE = 0.05
"""Adjusted p from which on a trend is named at the top."""

_RUN_COLUMNS = {
    "run": "run",
    "condition": "condition",
    "frames_used": "frames used",
    "frames_flagged": "flagged",
    "duration_s": "duration / s",
    "ejections": "ejected",
    "pits": "pits",
    "pits_stable": "stable",
    "pits_metastable": "metastable",
    "pits_dead": "dead",
}


@dataclass(frozen=True)
class RunsPage:
    """What the page shows.

    Attributes
    ----------
    runs
        One row for each run: ``run``, ``condition`` (empty where unknown), ``concentration_mm``,
        ``potential_v``, ``repeat``, ``frames``, ``frames_used``, ``frames_flagged``,
        ``duration_s``, ``ejections``, ``pits``, ``pits_stable``,
        ``pits_metastable``, ``pits_dead`` and a column for each measure.
    conditions
        One row for each condition and measure: ``condition``, ``concentration_mm``,
        ``potential_v``, ``measure``, ``unit``, ``runs``, ``mean``, ``mean_low``, ``mean_high``,
        ``median``, ``median_low``, ``median_high`` and ``sd``.
    trends
        One row for each test: ``potential_v``, ``measure``, ``concentrations``, ``runs``,
        ``spearman``, ``p``, ``p_smallest`` and ``p_holm``.
    why_no_trend
        Sentences on what was not tested.
    measures
        Those that are compared.
    courses
        One row for each frame of each run: ``run``, ``condition``, ``time_s``, ``ejections`` and
        ``particles``, both per `area_unit`.
    areas
        One row for each particle: ``run``, ``condition`` and ``area``.
    area_unit
        Of the surface that `courses` are per; empty for numbers in the whole field.
    length_unit
        Whose square `areas` are in.
    until_s
        Time over which runs are compared; NaN where it is unknown.
    warnings
        What must be known before the figures are believed.
    how
        Names and values that say how it was done.
    """

    runs: pd.DataFrame
    conditions: pd.DataFrame
    trends: pd.DataFrame
    why_no_trend: Sequence[str]
    measures: Sequence[Compared]
    courses: pd.DataFrame
    areas: pd.DataFrame
    area_unit: str
    length_unit: str
    until_s: float
    warnings: Sequence[str] = ()
    how: Mapping[str, Any] = field(default_factory=dict)


def write_runs(page: RunsPage, path: str | Path) -> None:
    """Write a comparison of runs as one HTML file, and its figures beside it.

    Parameters
    ----------
    page
        What it shows.
    path
        The file to write; figures go to ``figures`` beside it, each as SVG with its numbers as
        CSV.

    Raises
    ------
    OutputError
        If something cannot be written.
    """
    path = Path(path)
    folder = output_folder(path.parent / FOLDER)
    with report_style():
        courses = _draw_courses(page)
        measures = [draw_measure(page.runs, page.conditions, one) for one in _shown(page)]
        sizes = [draw_areas(page.areas, page.length_unit + "²")] if len(page.areas) else []
        against = _side_by_side([keep(one, path.parent) for one in measures])
        sections = [
            Section("Runs", [warnings(page.warnings), _run_table(page)]),
            Section("Through time", [keep(one, path.parent) for one in courses]),
            Section(
                "Conditions",
                [against, *_condition_tables(page)],
            ),
            Section("Trends with the concentration", _trend_blocks(page)),
            Section("Sizes of particles", [keep(one, path.parent) for one in sizes]),
            Section("How it was done", [*(paragraph(text) for text in _HOW), facts(page.how)]),
        ]
    # Figures of an earlier comparison that this one has not would pass for its own.
    drawn = {one.name for one in (*courses, *measures, *sizes)}
    for stale in {*folder.glob("*.svg"), *folder.glob("*.csv")}:
        if stale.stem not in drawn:
            stale.unlink()
    title = f"Comparison of {len(page.runs)} runs"
    write_page(path, title=title, lead=lead_of(page), sections=sections, style=_STYLE)


def lead_of(page: RunsPage) -> list[str]:
    """Say in a few sentences what was compared and what came out.

    Parameters
    ----------
    page
        Of the comparison.

    Returns
    -------
    list of str
        How many runs of which conditions, the means of the first measures, and the trends that
        are rare enough by chance.
    """
    names = [*dict.fromkeys(page.conditions["condition"])]
    count = {name: int((page.runs["condition"] == name).sum()) for name in names}
    listed = "; ".join(
        f"{name}: {number} run{'' if number == 1 else 's'}" for name, number in count.items()
    )
    over = (
        f", over {_value(page.until_s)} s from the first usable frame" if page.until_s > 0 else ""
    )
    told = [f"{len(page.runs)} runs{over}. {listed or 'No run tells its conditions'}."]
    if page.measures and names:
        told += [_sentence(page, one) for one in page.measures[:_LEADING]]
        told += _found_trends(page)
    return told


def _found_trends(page: RunsPage) -> list[str]:
    titles = {one.name: one.title for one in page.measures}
    told = []
    for word, sign in (("Rising", 1), ("Falling", -1)):
        found = page.trends.loc[
            (page.trends["p_holm"] <= _RARE) & (np.sign(page.trends["spearman"]) == sign)
        ]
        several = len(page.trends["potential_v"].unique()) > 1
        named = [
            titles[measure] + (f" at {_value(potential)} V" if several else "")
            for measure, potential in zip(found["measure"], found["potential_v"], strict=True)
        ]
        if named:
            told.append(
                f"{word} with the concentration (adjusted p ≤ {_RARE:g}): {', '.join(named)}."
            )
    return told


def _sentence(page: RunsPage, measure: Compared) -> str:
    rows = page.conditions.loc[page.conditions["measure"] == measure.name]
    values = "; ".join(
        f"{name}: {_value(mean)}"
        + (f" ({_value(low)} to {_value(high)})" if not np.isnan(low) else "")
        for name, mean, low, high in zip(
            rows["condition"], rows["mean"], rows["mean_low"], rows["mean_high"], strict=True
        )
    )
    unit = f" in {measure.unit}" if measure.unit else ""
    return f"{measure.title}{unit}, mean over runs (95 % interval): {values}."


def _shown(page: RunsPage) -> list[Compared]:
    """Measures with a value in some run of a known condition."""
    found = page.conditions.loc[page.conditions["runs"] > 0, "measure"]
    return [one for one in page.measures if (found == one.name).any()]


def _draw_courses(page: RunsPage) -> list[Drawing]:
    if not page.courses["time_s"].max() > 0:  # no times, or one frame
        return []
    per = f" per {page.area_unit}" if page.area_unit else ""
    unit = f" / (1/{page.area_unit})" if page.area_unit else ""
    timed = page.courses.loc[page.courses["time_s"].notna()]
    return [
        draw_courses(
            timed, "ejections", f"ejected in all{unit}", "ejections-through-time", page.until_s,
            f"Particles ejected since the first usable frame{per}",
        ),
        draw_courses(
            timed, "particles", f"particles in a frame{unit}", "particles-through-time",
            page.until_s, f"Particles seen in a frame{per}",
        ),
    ]  # fmt: skip


def _run_table(page: RunsPage) -> Markup:
    runs = page.runs
    used = [
        f"{used} of {count}"
        for used, count in zip(runs["frames_used"], runs["frames"], strict=True)
    ]
    shown = runs.assign(frames_used=used, condition=runs["condition"].replace("", "unknown"))[
        [*_RUN_COLUMNS]
    ].rename(columns=_RUN_COLUMNS)
    return table(
        shown,
        "What was found in each run as a whole. Used are frames of which the particles are known; "
        "flagged those without a drift of their own, or with a doubtful one.",
        digits=1,
    )


def _side_by_side(blocks: Sequence[Markup]) -> Markup:
    if not blocks:
        return Markup()
    return Markup('<div class="pairs">{}</div>').format(Markup().join(blocks))


def _condition_tables(page: RunsPage) -> list[Markup]:
    tables = []
    for one in _shown(page):
        rows = page.conditions.loc[page.conditions["measure"] == one.name]
        tables.append(
            pd.DataFrame(
                {
                    "measure": _named(one),
                    "condition": rows["condition"],
                    "runs": rows["runs"],
                    "mean": rows["mean"].map(_value),
                    "95 %": [
                        _range(low, high)
                        for low, high in zip(rows["mean_low"], rows["mean_high"], strict=True)
                    ],
                    "median": rows["median"].map(_value),
                    "95 % of it": [
                        _range(low, high)
                        for low, high in zip(rows["median_low"], rows["median_high"], strict=True)
                    ],
                    "sd": rows["sd"].map(_value),
                }
            )
        )
    if not tables:
        return []
    together = pd.concat(tables, ignore_index=True)
    if (together["95 % of it"] == NOTHING).all():
        together = together.drop(columns="95 % of it")
    return [
        table(
            together,
            "Mean and median over runs, with their intervals; sd is the standard deviation between "
            "runs.",
        )
    ]


def _trend_blocks(page: RunsPage) -> list[Markup]:
    blocks = [paragraph(text) for text in page.why_no_trend]
    if len(page.trends):
        titles = {one.name: _named(one) for one in page.measures}
        trends = page.trends
        shown = pd.DataFrame(
            {
                "measure": trends["measure"].map(titles),
                "potential / V": trends["potential_v"].map(_value),
                "concentrations": trends["concentrations"],
                "runs": trends["runs"],
                "Spearman": trends["spearman"].map(lambda value: _value(value, 2)),
                "p": trends["p"].map(lambda value: _value(value, 2)),
                "smallest": trends["p_smallest"].map(lambda value: _value(value, 2)),
                "adjusted": trends["p_holm"].map(lambda value: _value(value, 2)),
            }
        )
        if trends["potential_v"].isna().all():
            shown = shown.drop(columns="potential / V")
        blocks.append(
            table(
                shown,
                "Does it rise or fall with the concentration? Two-sided; a p near 1 is no proof "
                "that it stays the same.",
            )
        )
    return blocks


def _named(one: Compared) -> str:
    return f"{one.title} / {one.unit}" if one.unit else one.title


def _range(low: float, high: float) -> str:
    return NOTHING if np.isnan(low) else f"{_value(low)} to {_value(high)}"


def _value(value: float, digits: int = 3) -> str:
    """Digits that count."""
    if np.isnan(value):
        return NOTHING
    text = f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"
    return text.replace("-", "−")
