"""What a search for settings has tried, and what came of it, on one page."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from corroscope.report.page import Section, facts, paragraph, svg, table, write_page
from corroscope.report.style import BLACK, BLUE, PURPLE, QUIET, VERMILION, logarithmic, report_style

OWN: Final = ("trial", "state", "value", "duration_s")
"""Columns of the table of trials that are no settings."""

BEST_SHOWN: Final = 10

_Look = dict[str, Any]

_COMPLETE: Final[_Look] = {"marker": "o", "color": BLUE, "label": "complete"}
_PRUNED: Final[_Look] = {"marker": "x", "color": VERMILION, "label": "ended early"}
_DEFAULT: Final[_Look] = {"marker": "D", "edgecolor": BLACK, "label": "default"}
_BEST: Final[_Look] = {"marker": "s", "edgecolor": PURPLE, "label": "best"}
_IN_ONE_TABLE: Final = 5  # trials, so that it is no wider than the page
_ACROSS: Final = 3  # small figures in a row


@dataclass(frozen=True)
class TuningPage:
    """What the page shows.

    Attributes
    ----------
    trials
        One row for each trial: ``trial`` its number, ``state`` (``complete``, or ``pruned`` where
        it was ended early), ``value``, higher being better, ``duration_s``, and a column for each
        setting: numbers, or JSON texts of what it was chosen from.
    default_trial, best_trial
        Their numbers.
    sentence
        Whether the best is better than the default.
    held_out
        One row for each score: ``score``, ``meaning``, ``default``, ``best``, and the bounds
        ``low`` and ``high`` of the difference.
    importance
        For each setting its share in the spread of values; empty where it is not known.
    logarithmic
        Settings of which factors count.
    lead
        What was searched, one paragraph each.
    how
        Names and values that say how it was done.
    value_label
        What the value of a trial is.
    """

    trials: pd.DataFrame
    default_trial: int
    best_trial: int
    sentence: str
    held_out: pd.DataFrame
    importance: Mapping[str, float] = field(default_factory=dict)
    logarithmic: Collection[str] = ()
    lead: Sequence[str] = ()
    how: Mapping[str, Any] = field(default_factory=dict)
    value_label: str = "value in cross-validation"

    @property
    def settings(self) -> list[str]:
        """Names of the settings that were varied."""
        return [str(name) for name in self.trials if name not in OWN]


def write_tuning(page: TuningPage, path: str | Path) -> None:
    """Write what a search has come to as one HTML file.

    Parameters
    ----------
    page
        What to show.
    path
        The file to write.

    Raises
    ------
    OutputError
        If it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> row = {"trial": 0, "state": "complete", "value": 0.5, "duration_s": 9.0, "rate": 0.1}
    >>> trials = pd.DataFrame([row])
    >>> page = TuningPage(trials, 0, 0, "Nothing did better.", pd.DataFrame())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_tuning(page, f"{folder}/report.html")
    ...     "Nothing did better." in Path(folder, "report.html").read_text("utf-8")
    True
    """
    with report_style():
        sections = [
            Section("On surface held out", _held_out(page)),
            Section("Course of the search", [_history(page)]),
            Section("The best trials", _best(page)),
            Section("Which settings matter", _importance(page)),
            Section("Value against each setting", _slices(page)),
            Section("How long trials took", [_durations(page)]),
            Section("How it was done", [facts(page.how)]),
        ]
    lead = [page.sentence, *page.lead]
    write_page(path, title="Search for settings", lead=lead, sections=sections)


def _held_out(page: TuningPage) -> list[Markup]:
    if page.held_out.empty:
        return []
    caption = (
        "Default and best configuration, each trained on all that was not held out and scored on "
        "what was. The last two columns are the 95 % interval of best minus default, of the same "
        "patches; for scores that are best near 0, of their absolute values."
    )
    names = {"low": "difference from", "high": "to"}
    return [table(page.held_out.rename(columns=names), caption)]


def _history(page: TuningPage) -> Markup:
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots()
    _scatter(axes, page, page.trials["trial"])
    complete = page.trials[page.trials["state"] == "complete"].sort_values("trial")
    if len(complete):
        ever = complete["value"].cummax()
        axes.step(
            [*complete["trial"], page.trials["trial"].max()],
            [*ever, ever.iloc[-1]],
            where="post",
            color=QUIET,
            lw=1.2,
            label="best so far",
            zorder=1,
        )
    axes.set(xlabel="trial", ylabel=page.value_label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlim(-0.7, page.trials["trial"].max() + 0.7)
    _legend(figure, axes)
    pruned = int((page.trials["state"] == "pruned").sum())
    early = f" Of those ended early ({pruned}) it is what they had reached by then."
    return svg(
        figure,
        "history",
        f"Value of each trial ({len(page.trials)}), and the best complete one so far."
        + (early if pruned else ""),
    )


def _best(page: TuningPage) -> list[Markup]:
    complete = page.trials[page.trials["state"] == "complete"]
    shown = complete.sort_values("value", ascending=False, kind="stable").head(BEST_SHOWN)
    if shown.empty:
        return [paragraph("No trial was completed.")]
    marks = {page.default_trial: "default", page.best_trial: "best"}
    if page.default_trial == page.best_trial:
        marks = {page.best_trial: "default, best"}
    # A trial is a column: settings are many.
    rows = {
        "value": [_short(value) for value in shown["value"].astype(float)],
        "duration": [_duration(seconds) for seconds in shown["duration_s"]],
    }
    rows |= {name: [_short(value) for value in shown[name]] for name in page.settings}
    heads = [f"{n} ({marks[n]})" if n in marks else str(n) for n in shown["trial"]]
    turned = pd.DataFrame.from_dict(rows, orient="index", columns=heads)
    parts = [
        turned.iloc[:, first : first + _IN_ONE_TABLE]
        for first in range(0, len(heads), _IN_ONE_TABLE)
    ]
    number = f"The {len(shown)} best of {len(complete)}" if len(shown) < len(complete) else "All"
    caption = f"{number} complete trials, best first; the value is the {page.value_label}."
    return [
        table(part.reset_index(names="trial"), "Those after them." if k else caption)
        for k, part in enumerate(parts)
    ]


def _importance(page: TuningPage) -> list[Markup]:
    if not page.importance:
        return [paragraph("Too few trials were completed to tell which settings matter.")]
    names = sorted(page.importance, key=lambda name: page.importance[name])
    figure = Figure(figsize=(9, 0.9 + 0.32 * len(names)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(names, [page.importance[name] for name in names], color=BLUE)
    axes.bar_label(bars, fmt="%.2f", padding=3)
    most = max(*page.importance.values(), 0.01)
    axes.set(xlabel="share of the spread of values", xlim=(0, 1.1 * most))
    description = (
        "Share of the spread of values over the space searched that each setting explains "
        "(functional ANOVA of a random forest). With few trials it is uncertain."
    )
    return [svg(figure, "importance", description)]


def _slices(page: TuningPage) -> list[Markup]:
    names = sorted(page.settings, key=lambda name: -page.importance.get(name, 0.0))
    if not names:
        return []
    rows = -(-len(names) // _ACROSS)
    # Names of choices are long and stand upright.
    figure = Figure(figsize=(9, 0.5 + 3.0 * rows), layout="constrained")
    grid = figure.subplots(rows, _ACROSS, sharey=True, squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        _slice(axes, page, name)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    figure.supylabel(page.value_label, fontsize="medium")
    _legend(figure, grid.flat[0])
    return [svg(figure, "slices", "Value of each trial against each setting that was varied.")]


def _slice(axes: Axes, page: TuningPage, name: str) -> None:
    column = page.trials[name]
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        if name in page.logarithmic and (column.dropna() > 0).all():
            logarithmic(axes, "x")
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.tick_params(axis="x", labelrotation=90)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5))
        places = column.astype(float)
    else:
        choices = sorted({str(value) for value in column.dropna()}, key=_order)
        # Trials of one choice side by side; always in the same way.
        spread = np.linspace(-0.18, 0.18, len(column)) if len(column) > 1 else np.zeros(1)
        order = {choice: place for place, choice in enumerate(choices)}
        places = column.map(lambda value: order.get(str(value), np.nan)).astype(float) + spread
        axes.set_xticks(range(len(choices)), [_short(choice) for choice in choices], rotation=90)
        axes.set_xlim(-0.6, max(len(choices), 1) - 0.4)
    _scatter(axes, page, places)
    axes.set_title(name, fontsize="medium")


def _order(choice: str) -> tuple[int, list[float], str]:
    """Lists by length and numbers, as from small networks to large ones; others by name."""
    try:
        values = json.loads(choice)
    except ValueError:
        values = None
    if isinstance(values, list) and all(isinstance(one, int | float) for one in values):
        return len(values), [float(one) for one in values], choice
    return 0, [], choice


def _durations(page: TuningPage) -> Markup:
    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots()
    minutes = page.trials["duration_s"].astype(float) / 60
    longest = minutes.max()
    in_seconds = not longest > 3
    shown = minutes * 60 if in_seconds else minutes
    for state, look, hatch in (("complete", _COMPLETE, None), ("pruned", _PRUNED, "///")):
        rows = page.trials["state"] == state
        if not rows.any():
            continue
        axes.bar(
            page.trials["trial"][rows],
            shown[rows],
            color="white" if hatch else look["color"],
            edgecolor=look["color"],
            hatch=hatch,
            label=look["label"],
        )
    axes.set(xlabel="trial", ylabel="duration / " + ("s" if in_seconds else "min"))
    axes.set_xlim(-0.7, page.trials["trial"].max() + 0.7)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _legend(figure, axes)
    total = _duration(float(page.trials["duration_s"].sum()))
    return svg(figure, "durations", f"How long each trial took; {total} for all, one by one.")


def _scatter(axes: Axes, page: TuningPage, places: "pd.Series[Any]") -> None:
    """Trials by state, and the two that are compared, told apart by their marks."""
    values = page.trials["value"].astype(float)
    for state, look in (("complete", _COMPLETE), ("pruned", _PRUNED)):
        rows = page.trials["state"] == state
        if rows.any():
            axes.scatter(places[rows], values[rows], s=26, zorder=2, **look)
    for number, look in ((page.default_trial, _DEFAULT), (page.best_trial, _BEST)):
        rows = page.trials["trial"] == number
        size = 90 if look is _DEFAULT else 170
        axes.scatter(places[rows], values[rows], s=size, c="none", zorder=3, lw=1.4, **look)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, frameon=False)


def _duration(seconds: float) -> str:
    if np.isnan(seconds):
        return "unknown"
    if seconds < 180:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 180 else f"{minutes // 60} h {minutes % 60} min"


def _short(value: Any) -> str:
    """A setting's value as a reader writes it: three digits of numbers, choices without quotes."""
    if isinstance(value, str):
        try:
            chosen = json.loads(value)
        except ValueError:
            return value
        return chosen if isinstance(chosen, str) else value
    if isinstance(value, float | np.floating):
        return "–" if np.isnan(value) else f"{value:.3g}"
    return str(value)
