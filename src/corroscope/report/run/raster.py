"""Ejections and bursts of each pit."""

from typing import Final

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from corroscope.report.page import paragraph
from corroscope.report.run.contents import RunPage
from corroscope.report.run.drawing import Drawing, number, of, with_grid
from corroscope.report.style import BLUE, QUIET, VERMILION

MOST_PITS: Final = 40
"""Lines of the raster."""

MOST_MARKS: Final = 3000
"""More marks than this are drawn as pixels, or the page would be slow."""


def raster(page: RunPage) -> list[Drawing | Markup]:
    """Draw when each pit ejected particles.

    Parameters
    ----------
    page
        Of the run.

    Returns
    -------
    list
        The figure, or a sentence that there was no ejection.
    """
    ejections = page.happened("ejection")
    if ejections.empty:
        return [paragraph("No ejection was seen.")]
    bursts = page.happened("burst")
    course = page.course
    numbers = ejections.groupby("pit")["particles"].sum()
    busiest = numbers.drop(index=0, errors="ignore").sort_values(ascending=False, kind="stable")
    shown = sorted(busiest.index[:MOST_PITS].tolist())
    lines = {pit: k for k, pit in enumerate([*([0] if 0 in numbers.index else []), *shown])}
    figure = Figure(figsize=(9, 1.35 + 0.24 * max(len(lines), 3)), layout="constrained")
    axes = figure.subplots()
    born = page.pit_summary.set_index("pit")
    for pit in shown:
        if pit in born.index:
            start = course.of_rows(born.loc[[pit]], "born_s", "born_frame")[0]
            axes.plot([start, course.span[1]], [lines[pit]] * 2, color=QUIET, lw=0.8, zorder=1)
    drawn = ejections[ejections["pit"].isin(list(lines))]
    together = (
        drawn.assign(at=course.of_rows(drawn))
        .groupby(["pit", "at"], as_index=False)["particles"]
        .sum()
    )
    height = 14.0 * np.sqrt(together["particles"].clip(lower=1))
    axes.scatter(
        together["at"], together["pit"].map(lines), s=height, marker="|", color=BLUE, lw=1.2,
        zorder=3, label="ejection, taller for more particles",
        rasterized=len(together) > MOST_MARKS,
    )  # fmt: skip
    marked = bursts[bursts["pit"].isin(list(lines))]
    if len(marked):
        axes.scatter(
            course.of_rows(marked), marked["pit"].map(lines), s=60, marker="o",
            facecolors="none", edgecolors=VERMILION, lw=1.4, zorder=4, label="burst",
        )  # fmt: skip
    axes.set_yticks(list(lines.values()), ["unknown" if pit == 0 else str(pit) for pit in lines])
    axes.set(xlabel=course.label, ylabel="pit", xlim=course.limits)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    with_grid(axes)
    figure.legend(loc="outside upper left", ncols=2)
    total = int(numbers.sum())
    known = int(numbers.drop(index=0, errors="ignore").sum())
    said = (
        f"{of(total, 'particle')} ejected, {known:,} of them from a known pit, at each pit over "
        f"time; {of(len(bursts), 'burst')}. A grey line begins where the pit was born."
    )
    if len(busiest):
        most = busiest.index[0]
        said += f" Pit {most} ejected most, {number(busiest.iloc[0])}."
    if len(busiest) > len(shown):
        said += f" Shown are the {len(shown)} busiest of {len(busiest)} pits."
    table = pd.concat([ejections, bursts]).sort_values(["time_s", "frame"], kind="stable")
    return [Drawing("ejections", figure, said, table)]
