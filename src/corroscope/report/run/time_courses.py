"""Numbers of particles, ejections and pits through time, over the current."""

from collections.abc import Callable
from typing import Final

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from corroscope.report.page import paragraph
from corroscope.report.run.contents import RunPage
from corroscope.report.run.drawing import (
    Drawing,
    columns,
    count_scale,
    interval,
    number,
    of,
    thinned,
    with_grid,
)
from corroscope.report.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, QUIET, SKY, VERMILION

KINDS: Final = {
    "stable": (GREEN, "o"),
    "metastable": (ORANGE, "s"),
    "dead": (BLACK, "X"),
    "undecided": (PURPLE, "D"),
}
"""Colour and marker of each kind of pit."""

MOST_MARKED: Final = 100
"""With more frames than this, a line shows them better than dots."""


def courses(page: RunPage) -> list[Drawing | Markup]:
    """Draw particles and ejections over the current, on one axis of time.

    Parameters
    ----------
    page
        Of the run.

    Returns
    -------
    list
        The figure, or a sentence that nothing is known.
    """
    if page.segmented.empty and page.recorded is None:
        return [paragraph("No frame was segmented, so nothing is known of particles in time.")]
    panels: list[Callable[[Axes, RunPage], str]] = []
    absent = []
    if page.segmented.empty:
        absent.append("No frame was segmented, so nothing is known of particles in time")
    elif len(page.segmented) == 1:
        absent.append(f"One frame was segmented, with {of(int(np.nansum(page.found)), 'particle')}")
    elif not np.nansum(page.found):
        absent.append(f"No particle was found in any of {len(page.segmented)} segmented frames")
    else:
        panels.append(_draw_particles)
    if page.rates.loc[page.rates["pit"] == 0, "ejections"].any():
        panels.append(_draw_ejections)
    elif len(page.segmented):
        absent.append("No ejection was seen")
    if page.recorded is not None:
        panels.append(_draw_current)
    blocks: list[Drawing | Markup] = [paragraph(f"{'. '.join(absent)}.")] if absent else []
    if not panels:
        return blocks
    figure = Figure(figsize=(9, 0.8 + 1.75 * len(panels)), layout="constrained")
    column = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    said = [draw(axes, page) for draw, axes in zip(panels, column, strict=True)]
    column[-1].set_xlabel(page.course.label)
    column[0].set_xlim(*page.course.limits)
    for axes in column:
        with_grid(axes)
    figure.align_ylabels()
    return [*blocks, Drawing("time-courses", figure, " ".join(said), _course_rows(page))]


def _draw_particles(axes: Axes, page: RunPage) -> str:
    frames, course, found = page.frames, page.course, page.found
    mark = "o" if len(frames) <= MOST_MARKED else ""
    axes.plot(course.axis, found, color=BLUE, marker=mark, ms=3.5, lw=1.3)
    axes.set_ylabel("particles\nin the frame")
    count_scale(axes)
    flagged = frames["flagged"].to_numpy(bool)
    if flagged.any():
        # Along the upper edge, where no curve ends.
        axes.plot(
            course.axis[flagged], np.full(flagged.sum(), 0.98), "v", color=VERMILION, ms=5,
            transform=axes.get_xaxis_transform(), clip_on=False, label="flagged frame",
        )  # fmt: skip
        axes.legend(loc="upper left")
    last = int(np.flatnonzero(np.isfinite(found))[-1])
    return (
        f"Particles in each frame: {number(np.nanmax(found))} at most, {number(found[last])} "
        "in the last that was segmented"
        + ("; where the line is broken, frames have no result" if np.isnan(found).any() else "")
        + (f"; triangles: {of(int(flagged.sum()), 'flagged frame')}." if flagged.any() else ".")
    )


def _draw_ejections(axes: Axes, page: RunPage) -> str:
    rows = page.rates[page.rates["pit"] == 0]
    when = page.course.at(rows["frame"])
    ejected = rows["ejections"].astype("Float64").to_numpy(np.float64, na_value=np.nan)
    if page.course.timed and rows["ejections_per_s"].notna().any():
        axes.plot(when, rows["ejections_per_s"], color=VERMILION, lw=1.5)
        axes.set_ylabel("ejections\nper second")
        peak = rows["ejections_per_s"].max()
        at = when[int(np.nanargmax(rows["ejections_per_s"]))]
        told = f"the smoothed rate is highest, {number(peak)} per second, at {number(at)} s"
    else:
        axes.vlines(when, 0, ejected, color=VERMILION, lw=1.5)
        axes.set_ylabel("ejections\nin the frame")
        told = f"{number(np.nanmax(ejected))} in one frame at most"
    axes.set_ylim(bottom=0)
    return f"{of(int(np.nansum(ejected)), 'ejection')}; {told}."


def _draw_current(axes: Axes, page: RunPage) -> str:
    current = page.recorded
    assert current is not None
    spans = page.transient_rows
    for start, end in spans[["start_s", "end_s"]].to_numpy(np.float64) if len(spans) else ():
        axes.axvspan(start, end, color=SKY, alpha=0.35, lw=0)
    axes.plot(*thinned(current.time_s, current.current_ua), color=BLACK, lw=0.9)
    axes.set_ylabel("current / µA")
    told = (
        f"Current from {number(np.nanmin(current.current_ua))} to "
        f"{number(np.nanmax(current.current_ua))} µA"
    )
    if len(spans):
        told += f", {of(len(spans), 'transient')} shaded"
    return f"{told}. {_offset(page)}"


def _offset(page: RunPage) -> str:
    current = page.current
    if current is None or current.offset_s is None or np.isnan(current.offset_s):
        return "The two clocks are taken as they are."
    within = interval(current.offset_low_s, current.offset_high_s)
    return (
        f"The potentiostat's clock was moved by {number(current.offset_s)} s (95 % interval "
        f"{within} s)."
    )


def _course_rows(page: RunPage) -> pd.DataFrame:
    course = page.course
    rows = page.rates[page.rates["pit"] == 0].set_index("frame")
    table = pd.DataFrame({"frame": course.numbers})
    if course.timed:
        table["time_s"] = course.axis
    table["particles"] = page.frames["particles"].to_numpy()
    for name in ("ejections", "ejections_total", "ejections_per_s"):
        table[name] = rows[name].reindex(course.numbers).to_numpy()
    table["flagged"] = page.frames["flagged"].to_numpy()
    if page.recorded is None:
        return table
    current = page.recorded
    sampled = pd.DataFrame({"time_s": current.time_s, "current_ua": current.current_ua})
    return columns([table, sampled])


def births(page: RunPage) -> list[Drawing | Markup]:
    """Draw how many pits were born.

    Parameters
    ----------
    page
        Of the run.

    Returns
    -------
    list
        The figure, or a sentence that there was none.
    """
    pits = page.pit_summary
    if pits.empty:
        return [paragraph("No pit was found.")]
    course = page.course
    # What was open in the first frame that shows anything was born before, nobody knows when.
    before = pits["born_s"].isna() & (pits["born_frame"] <= page.segmented["frame"].min())
    there = int(before.sum())
    pits = pits[~before]
    if pits.empty:
        return [
            paragraph(
                f"{of(there, 'pit was', 'pits were')} open from the beginning, none was born."
            )
        ]
    when = course.of_rows(pits, "born_s", "born_frame")
    order = np.argsort(when, kind="stable")
    pits, when = pits.iloc[order], when[order]
    count = np.arange(1, len(pits) + 1)
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots()
    low, high = course.span
    ends = (min(low, when.min()), max(high, when.max()))
    axes.step([ends[0], *when, ends[1]], [0, *count, count[-1]], where="post", color=QUIET, lw=1.3)
    if course.timed:
        bounds = pits[["born_low_s", "born_high_s"]].to_numpy(np.float64)
        axes.hlines(count, bounds[:, 0], bounds[:, 1], colors=QUIET, lw=3, alpha=0.45)
    told = []
    for kind, (colour, marker) in KINDS.items():
        of_kind = (pits["kind"] == kind).to_numpy()
        if of_kind.any():
            label = f"{kind}, {of_kind.sum()}"
            axes.plot(when[of_kind], count[of_kind], marker, color=colour, ms=6.5, label=label)
            told.append(f"{of_kind.sum()} {kind}")
    axes.set(xlabel=course.label, ylabel="pits born", xlim=course.limits)
    count_scale(axes)
    with_grid(axes)
    if there:
        told.append(f"{there} more open from the beginning")
    if told:
        figure.legend(loc="outside upper left", ncols=4)
    said = (
        f"Pits born until each time: {len(pits)} ({', '.join(told)}), the first at "
        f"{number(when[0])}, the last at {number(when[-1])} {course.unit}."
        + (" Bars: 95 % intervals of births." if course.timed else "")
    )
    table = pits[["pit", "born_frame", "born_s", "born_low_s", "born_high_s", "kind"]]
    return [Drawing("births", figure, said, table.assign(pits_born=count))]
