"""Areas of pits over their age, and the laws of their growth."""

from typing import Final

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from corroscope.report.page import paragraph
from corroscope.report.run.contents import RunPage
from corroscope.report.run.drawing import Drawing, interval, log_scale, number, with_grid
from corroscope.report.style import BLUE, QUIET, look

MOST_NAMED: Final = 6
"""Pits that have a look of their own; the others stand behind them in grey."""

MOST_EXPONENTS: Final = 24
"""Lines of the chart of exponents."""


def growth(page: RunPage) -> list[Drawing | Markup]:
    """Draw areas over age in logarithmic scales, with the fitted laws and their exponents.

    Parameters
    ----------
    page
        Of the run.

    Returns
    -------
    list
        The figure, or a sentence that there is no pit.
    """
    if page.pits.empty or page.pit_summary.empty:
        return [paragraph("No pit was found, so there is no growth to show.")]
    rows = _ages(page)
    aged = rows[(rows["age"] > 0) & (rows["area"] > 0) & rows["measured"]]
    if aged.empty:
        return [paragraph("No pit was measured at an age above 0, so no growth can be shown.")]
    fitted = page.pit_summary.dropna(subset=["exponent"]).head(MOST_EXPONENTS)
    height = max(4.2, 1.2 + 0.19 * len(fitted))
    figure = Figure(figsize=(9, height), layout="constrained")
    if fitted.empty:
        _draw_areas(figure.subplots(), page, aged)
    else:
        areas, exponents = figure.subplots(1, 2, width_ratios=[2, 1])
        _draw_areas(areas, page, aged)
        _draw_exponents(exponents, fitted)
    column = page.lengths.column("area", 2)
    numbers = rows.rename(columns={"age": f"age_{page.course.unit}", "area": column})
    return [Drawing("pit-growth", figure, _said(page, aged, fitted), numbers)]


def _ages(page: RunPage) -> pd.DataFrame:
    course = page.course
    summary = page.pit_summary.set_index("pit")
    born = pd.Series(course.of_rows(summary, "born_s", "born_frame"), index=summary.index)
    rows = page.pits[page.pits["pit"].isin(summary.index)]
    return pd.DataFrame(
        {
            "pit": rows["pit"].to_numpy(),
            "frame": rows["frame"].to_numpy(),
            "age": course.at(rows["frame"]) - born.reindex(rows["pit"]).to_numpy(),
            "area": page.lengths.area(rows["area_px"]),
            "measured": rows["measured"].to_numpy(bool),
        }
    )


def _draw_areas(axes: Axes, page: RunPage, aged: pd.DataFrame) -> None:
    largest = aged.groupby("pit")["area"].max().sort_values(ascending=False, kind="stable")
    named = sorted(largest.index[:MOST_NAMED].tolist())
    behind = "other pits"
    for pit, rows in aged[~aged["pit"].isin(named)].groupby("pit"):
        axes.plot(rows["age"], rows["area"], color="#a6a6a6", lw=0.8, label=behind, zorder=1)
        behind = "_" + str(pit)
    laws = page.pit_summary.set_index("pit")
    for k, pit in enumerate(named):
        rows, style = aged[aged["pit"] == pit], look(k)
        axes.plot(rows["age"], rows["area"], style.marker, color=style.colour, ms=3.5, alpha=0.75,
                  mew=0, label=f"pit {pit}", zorder=2)  # fmt: skip
        law = laws.loc[pit]
        if page.course.timed and np.isfinite([law["exponent"], law["coefficient_px"]]).all():
            age = np.geomspace(rows["age"].min(), _last_age(law, rows["age"]), 40)
            area = page.lengths.area(law["coefficient_px"] * age ** law["exponent"])
            axes.plot(age, area, color=style.colour, ls=style.line, lw=1.6, zorder=3)
    log_scale(axes, "x")
    log_scale(axes, "y")
    axes.set(
        xlabel="age / s" if page.course.timed else "age / frames",
        ylabel=f"area / {page.lengths.area_unit}",
    )
    with_grid(axes)
    axes.legend(loc="lower right")


def _last_age(law: "pd.Series[float]", age: "pd.Series[float]") -> float:
    """A law ends where its pit died."""
    died = law["died_s"] - law["born_s"]
    return float(np.fmin(age.max(), died)) if died > age.min() else float(age.max())


def _draw_exponents(axes: Axes, fitted: pd.DataFrame) -> None:
    lines: NDArray[np.int64] = np.arange(len(fitted))
    axes.hlines(lines, fitted["exponent_low"], fitted["exponent_high"], colors=BLUE, lw=2)
    axes.plot(fitted["exponent"], lines, "o", color=BLUE, ms=5)
    axes.axvline(1, color=QUIET, lw=1, ls=":")
    axes.set_yticks(lines, [f"pit {pit}" for pit in fitted["pit"]])
    axes.set_ylim(len(fitted) - 0.4, -0.6)
    axes.set_xlabel("exponent n of area = c · ageⁿ")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="#dddddd", lw=0.8)


def _said(page: RunPage, aged: pd.DataFrame, fitted: pd.DataFrame) -> str:
    lengths = page.lengths
    told = (
        f"Open area of {aged['pit'].nunique()} pits over their age, {number(aged['area'].min())} "
        f"to {number(aged['area'].max())} {lengths.area_unit}; lines are fitted laws. "
    )
    if fitted.empty:
        return told + "No law could be fitted: too little was seen of each pit."
    names = ["pit", "exponent", "exponent_low", "exponent_high"]
    shown = [
        f"pit {pit:.0f} {number(exponent)} ({interval(low, high)})"
        for pit, exponent, low, high in fitted[names].head(5).to_numpy(np.float64).tolist()
    ]
    return (
        f"{told}Exponents with 95 % intervals: {', '.join(shown)}"
        + (f"; median of {len(fitted)} pits {number(fitted['exponent'].median())}."
           if len(fitted) > 1 else ".")
    )  # fmt: skip
