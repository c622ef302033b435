"""Figures of several runs: each run a mark or a line, each condition a colour."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import NDArray

from corroscope.report.run.drawing import GRID, Drawing
from corroscope.report.style import QUIET, Look, logarithmic, look, shortened

_SPAN = 3.0
"""Ratio of the highest to the lowest concentration from which on their axis is logarithmic."""

_WIDE = 30.0
"""Ratio of values from which on their axis is logarithmic."""


class Compared(NamedTuple):
    """A measure that is drawn.

    Attributes
    ----------
    name
        Its column in the tables.
    title, unit, meaning
        In words; the unit is empty for a number without one.
    """

    name: str
    title: str
    unit: str
    meaning: str


def draw_measure(runs: pd.DataFrame, conditions: pd.DataFrame, measure: Compared) -> Drawing:
    """Draw one measure against the concentration: runs as dots, their means with intervals.

    Parameters
    ----------
    runs
        ``run``, ``condition``, ``concentration_mm``, ``potential_v`` and the measure; one row for
        each run.
    conditions
        ``condition``, ``concentration_mm``, ``potential_v``, ``measure``, ``runs``, ``mean``,
        ``mean_low`` and ``mean_high``; one row for each condition and measure.
    measure
        What is drawn.

    Returns
    -------
    Drawing
        The figure. Where some concentration is unknown, conditions stand side by side.

    Examples
    --------
    >>> runs = pd.DataFrame({"run": ["a", "b"], "condition": ["5 mM", "30 mM"],
    ...     "concentration_mm": [5.0, 30.0], "potential_v": float("nan"), "rate": [1.0, 2.0]})
    >>> over = runs.assign(measure="rate", runs=1, mean=[1.0, 2.0], mean_low=np.nan,
    ...     mean_high=np.nan)
    >>> drawn = draw_measure(runs, over, Compared("rate", "Rate", "1/s", "ejected"))
    >>> drawn.figure.axes[0].get_xscale()
    'log'
    """
    over = conditions.loc[conditions["measure"] == measure.name].reset_index(drop=True)
    shown = runs.loc[runs["condition"].isin(over["condition"]) & runs[measure.name].notna()]
    figure = Figure(figsize=(4.4, 3.2), layout="constrained")
    axes = figure.subplots()
    numeric = bool(over["concentration_mm"].notna().all() and len(over))
    concentrations = over["concentration_mm"].to_numpy(np.float64)
    log = (
        numeric and concentrations.min() > 0 and concentrations.max() > _SPAN * concentrations.min()
    )
    places = concentrations if numeric else np.arange(len(over), dtype=np.float64)
    potentials = [*dict.fromkeys(over["potential_v"].fillna(np.inf))]
    for number, potential in enumerate(potentials):
        here = (over["potential_v"].fillna(np.inf) == potential).to_numpy()
        label = "" if np.isinf(potential) else f"{potential:g} V".replace("-", "−")
        _draw_conditions(
            axes,
            over.loc[here],
            _beside(places[here], number, len(potentials), log, places),
            shown,
            measure.name,
            look(number),
            label,
        )
    if log:
        logarithmic(axes, "x")
    if numeric:
        axes.set_xticks(np.unique(places), [f"{value:g}" for value in np.unique(places)])
        axes.minorticks_off()
        axes.set_xlabel("concentration of chloride / mM")
        if not log:
            axes.margins(x=0.15)
    else:
        axes.set_xticks(places, [shortened(name, 20) for name in over["condition"]])
        axes.set_xlim(-0.6, max(len(over), 1) - 0.4)
    _value_axis(axes, shown[measure.name].to_numpy(np.float64))
    axes.set_ylabel(_with_unit(measure))
    axes.grid(axis="y", color=GRID, lw=0.8)
    if len(potentials) > 1:
        axes.legend(title="potential")
    return Drawing(
        measure.name.replace("_", "-"), figure, _told(over, measure), _numbers(shown, over, measure)
    )


def draw_courses(
    courses: pd.DataFrame, column: str, label: str, name: str, until_s: float, title: str
) -> Drawing:
    """Draw how runs went through time, a line for each.

    Parameters
    ----------
    courses
        ``run``, ``condition``, ``time_s`` and the column; one row for each frame of each run.
    column
        What is drawn; a gap is a break in the line.
    label
        Of its axis, with the unit.
    name
        Of the figure.
    until_s
        Time over which runs are compared, which is marked; NaN for no mark.
    title
        What it shows, for the caption.

    Returns
    -------
    Drawing
        The figure.

    Examples
    --------
    >>> courses = pd.DataFrame({"run": "a", "condition": "5 mM", "time_s": [0.0, 1.0], "n": [0, 2]})
    >>> drawn = draw_courses(courses, "n", "particles", "n", 1.0, "Particles")
    >>> drawn.said
    'Particles, a line for each run; at the end: a 2.'
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    looks = _looks(courses["condition"])
    ends = []
    labelled: set[str] = set()
    for run, course in courses.groupby("run", sort=False):
        condition = str(course["condition"].iloc[0])
        style = looks[condition]
        values = course[column].to_numpy(np.float64)
        axes.plot(
            course["time_s"], values, color=style.colour, ls=style.line, lw=1.5,
            label="" if condition in labelled else condition or "condition unknown",
        )  # fmt: skip
        labelled.add(condition)
        known = values[~np.isnan(values)]
        ends.append(f"{run} {_short(known[-1]) if known.size else 'nothing'}")
    if np.isfinite(until_s) and until_s < 0.999 * courses["time_s"].max():
        axes.axvline(until_s, color=QUIET, lw=1, ls=":")
        axes.annotate(
            "compared up to here", (until_s, 1), xycoords=("data", "axes fraction"),
            xytext=(0, 2), textcoords="offset points", ha="center", va="bottom", color=QUIET,
            fontsize=8,
        )  # fmt: skip
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("time since the first usable frame / s")
    axes.set_ylabel(label)
    axes.grid(color=GRID, lw=0.8)
    _legend(figure, axes, looks)
    description = f"{title}, a line for each run; at the end: {'; '.join(ends)}."
    numbers = courses[["run", "condition", "time_s", column]]
    return Drawing(name, figure, description, numbers)


def draw_areas(areas: pd.DataFrame, unit: str) -> Drawing:
    """Draw how sizes are distributed, a line for each run.

    Parameters
    ----------
    areas
        ``run``, ``condition`` and ``area``; one row for each particle.
    unit
        Of the areas.

    Returns
    -------
    Drawing
        The share of particles of at least each area, which needs no classes and does not
        depend on their number.

    Examples
    --------
    >>> sizes = pd.DataFrame({"run": "a", "condition": "5 mM", "area": [2.0, 4.0]})
    >>> draw_areas(sizes, "µm²").numbers["share_of_at_least"].tolist()
    [1.0, 0.5]
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    looks = _looks(areas["condition"])
    pieces, told = [], []
    for run, sizes in areas.groupby("run", sort=False):
        condition = str(sizes["condition"].iloc[0])
        ordered = np.sort(sizes["area"].to_numpy(np.float64))
        share = 1 - np.arange(ordered.size) / ordered.size
        style = looks[condition]
        axes.step(ordered, share, where="post", color=style.colour, ls=style.line, lw=1.5)
        told.append(f"{run} {_short(float(np.median(ordered)))}")
        pieces.append(
            pd.DataFrame(
                {
                    "run": run,
                    "condition": condition,
                    f"area_{'um2' if unit == 'µm²' else 'px'}": ordered,
                    "share_of_at_least": share,
                }
            )
        )
    logarithmic(axes, "x")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(f"area / {unit}")
    axes.set_ylabel("share of at least this size")
    axes.grid(color=GRID, lw=0.8)
    _legend(figure, axes, looks)
    description = (
        f"Share of particles of at least each area, a line for each run. Medians in {unit}: "
        f"{'; '.join(told)}."
    )
    return Drawing("areas", figure, description, pd.concat(pieces, ignore_index=True))


def _draw_conditions(
    axes: Axes,
    over: pd.DataFrame,
    places: NDArray[np.float64],
    runs: pd.DataFrame,
    measure: str,
    style: Look,
    label: str,
) -> None:
    """Runs as open marks, beside the mean and its interval."""
    low, high = (over[name].to_numpy(np.float64) for name in ("mean_low", "mean_high"))
    means = over["mean"].to_numpy(np.float64)
    axes.vlines(places, low, high, colors=style.colour, lw=2.2)
    repeated = np.where(over["runs"] > 1, means, np.nan)  # or it would be the run itself
    axes.plot(places, repeated, ls="none", marker="_", ms=16, mew=2.2, color=style.colour)
    axes.plot(
        [], [], ls="none", marker=style.marker, mfc="white", mec=style.colour, mew=1.2, label=label
    )
    for place, condition in zip(places, over["condition"], strict=True):
        values = runs.loc[runs["condition"] == condition, measure].to_numpy(np.float64)
        axes.plot(
            np.full(values.size, place), values, ls="none", marker=style.marker, ms=5.5,
            mfc="white", mec=style.colour, mew=1.2, zorder=3,
        )  # fmt: skip


def _beside(
    places: NDArray[np.float64], number: int, count: int, log: bool, every: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Move conditions of several potentials apart, so that none hides another."""
    if count == 1:
        return places
    share = (number - (count - 1) / 2) / count
    if log:
        factor: float = (every.max() / every.min()) ** (0.05 * share)
        return places * factor
    return places + 0.08 * share * (float(np.ptp(every)) or 1.0)


def _with_unit(measure: Compared) -> str:
    if not measure.unit:
        return measure.title
    unit = f"({measure.unit})" if "/" in measure.unit else measure.unit
    return f"{measure.title} / {unit}"


def _value_axis(axes: Axes, values: NDArray[np.float64]) -> None:
    if values.size and values.min() > 0 and values.max() > _WIDE * values.min():
        logarithmic(axes, "y")
        axes.set_ylim(values.min() / 2, None)
    elif values.size and values.min() >= 0:
        axes.set_ylim(bottom=0)
    elif not values.size:
        axes.set_ylim(0, 1)
        axes.text(0.5, 0.5, "no value", transform=axes.transAxes, ha="center", color=QUIET)


def _numbers(shown: pd.DataFrame, over: pd.DataFrame, measure: Compared) -> pd.DataFrame:
    """Runs and conditions in one table, as they are drawn."""
    columns = ["condition", "concentration_mm", "potential_v"]
    runs = shown[["run", *columns]].assign(what="run", value=shown[measure.name])
    means = over[columns].assign(
        what="mean of the condition", value=over["mean"], low=over["mean_low"],
        high=over["mean_high"],
    )  # fmt: skip
    return pd.concat([runs, means], ignore_index=True).reindex(
        columns=["what", "run", *columns, "value", "low", "high"]
    )


def _told(over: pd.DataFrame, measure: Compared) -> str:
    means = "; ".join(
        f"{name}: {_short(mean)}" + ("" if np.isnan(low) else f" ({_short(low)} to {_short(high)})")
        for name, mean, low, high in zip(
            over["condition"], over["mean"], over["mean_low"], over["mean_high"], strict=True
        )
        if not np.isnan(mean)
    )
    unit = f", in {measure.unit}" if measure.unit else ""
    meaning = measure.meaning[:1].upper() + measure.meaning[1:]
    return f"{meaning}{unit}. Mean over runs: {means or 'no value'}."


def _short(value: float) -> str:
    """Three digits that count."""
    text = f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return text.replace("-", "−")


def _looks(conditions: "pd.Series[str]") -> Mapping[str, Look]:
    return {name: look(number) for number, name in enumerate(dict.fromkeys(conditions))}


def _legend(figure: Figure, axes: Axes, looks: Mapping[str, Look]) -> None:
    """One entry for each condition, whose runs look the same."""
    handles = [
        axes.plot([], [], color=style.colour, ls=style.line, lw=1.5)[0] for style in looks.values()
    ]
    names: Sequence[str] = [name or "condition unknown" for name in looks]
    figure.legend(handles, names, loc="outside upper left", ncols=min(len(names), 6))
