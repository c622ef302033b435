"""How far the frames and what was found in them can be believed."""

from collections.abc import Callable
from typing import Final

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from corroscope.report.page import paragraph, table
from corroscope.report.run.contents import RunPage
from corroscope.report.run.drawing import Drawing, columns, count_scale, number, of, with_grid
from corroscope.report.style import BLUE, GREEN, QUIET, VERMILION

MOST_REMARKS: Final = 50
"""Frames in the table of remarks."""


def quality(page: RunPage) -> list[Drawing | Markup]:
    """Draw alignment through time, scores of particles and qualities of tracks.

    Parameters
    ----------
    page
        Of the run.

    Returns
    -------
    list
        Sentences, the figure, and a table of the frames with a remark.
    """
    frames = page.frames
    if frames.empty:
        return [paragraph("There is no frame.")]
    blocks: list[Drawing | Markup] = [paragraph(_counted(page))]
    blocks.append(_draw(page))
    remarked = frames[frames["remark"].fillna("") != ""]
    if len(remarked):
        shown = remarked.head(MOST_REMARKS)
        caption = "Frames with a remark"
        if len(shown) < len(remarked):
            caption += f", the first {len(shown)} of {len(remarked)}"
        names = ["frame", "image", "time_s", "aligned", "flagged", "segmented", "remark"]
        blocks.append(table(shown[names].rename(columns={"time_s": "time / s"}), caption))
    return blocks


def _counted(page: RunPage) -> str:
    frames = page.frames
    gaps = len(frames) - len(page.segmented)
    aligned, flagged = int(frames["aligned"].sum()), int(frames["flagged"].sum())
    return (
        f"{of(len(frames), 'frame')}. Aligned by their own drift: {aligned:,}; flagged: "
        f"{flagged:,}; gaps, of which no particles are known: {gaps:,}."
    )


def _draw(page: RunPage) -> Drawing | Markup:
    panels: list[Callable[[Axes], str]] = []
    if len(page.frames) > 1 and page.frames[["dy_px", "dx_px"]].notna().any(axis=None):
        panels.append(lambda axes: _draw_drift(axes, page))
    if len(page.frames) > 1 and page.frames["correlation"].notna().any():
        panels.append(lambda axes: _draw_fit(axes, page))
    scores, links = page.particles["score"], page.track_summary["quality"]
    if scores.notna().any():
        panels.append(
            lambda axes: _draw_shares(axes, scores, "score of a particle", "particles", BLUE)
        )
    if links.notna().any():
        panels.append(lambda axes: _draw_shares(axes, links, "quality of a track", "tracks", GREEN))
    if not panels:
        return paragraph("Neither drift nor scores are known.")
    lines = -(-len(panels) // 2)
    figure = Figure(figsize=(9, 3 * lines), layout="constrained")
    places = [figure.add_subplot(lines, min(len(panels), 2), k + 1) for k in range(len(panels))]
    said = [draw(axes) for draw, axes in zip(panels, places, strict=True)]
    course = page.course
    names = ["frame", "dy_px", "dx_px", "drift_sigma_px", "correlation", "aligned", "flagged"]
    per_frame = page.frames[names].copy()
    if course.timed:
        per_frame.insert(1, "time_s", course.axis)
    parts = [per_frame]
    for name, values in (("score", page.particles["score"]),
                         ("quality", page.track_summary["quality"])):  # fmt: skip
        counts, edges = np.histogram(values.dropna(), 20, (0, 1))
        parts.append(
            pd.DataFrame({f"{name}_from": edges[:-1], f"{name}_to": edges[1:], f"{name}_n": counts})
        )
    return Drawing("quality", figure, " ".join(said), columns(parts))


def _draw_drift(axes: Axes, page: RunPage) -> str:
    frames, course, lengths = page.frames, page.course, page.lengths
    spread = []
    for name, colour, line in (("dy_px", BLUE, "-"), ("dx_px", VERMILION, "--")):
        moved = lengths.length(frames[name])
        label = "rows" if name == "dy_px" else "columns"
        mark = "o" if len(frames) <= 60 else ""
        axes.plot(course.axis, moved, color=colour, ls=line, marker=mark, ms=3, label=label)
        spread.append(float(np.nanmax(np.abs(moved))) if np.isfinite(moved).any() else np.nan)
    flagged = frames["flagged"].to_numpy(bool)
    if flagged.any():
        axes.plot(course.axis[flagged], np.full(flagged.sum(), 0.02), "^", color=QUIET, ms=5,
                  transform=axes.get_xaxis_transform(), label="flagged")  # fmt: skip
    axes.set(xlabel=course.label, ylabel=f"drift / {lengths.unit}", xlim=course.limits)
    with_grid(axes)
    axes.legend(loc="best")
    return (
        f"Drift up to {number(spread[0])} {lengths.unit} in rows and {number(spread[1])} "
        f"{lengths.unit} in columns."
    )


def _draw_fit(axes: Axes, page: RunPage) -> str:
    frames, course = page.frames, page.course
    fit = frames["correlation"].to_numpy(np.float64)
    flagged = frames["flagged"].to_numpy(bool)
    axes.plot(course.axis[~flagged], fit[~flagged], "o", color=BLUE, ms=3)
    axes.plot(course.axis[flagged], fit[flagged], "^", color=VERMILION, ms=5, label="flagged")
    axes.set(xlabel=course.label, ylabel="correlation with\nthe reference",
             xlim=course.limits, ylim=(min(0.0, np.nanmin([0.0, *fit])), 1.02))  # fmt: skip
    with_grid(axes)
    if flagged.any():
        axes.legend(loc="lower left")
    return f"Correlation of texture with the reference {number(np.nanmin(fit))} or more."


def _draw_shares(axes: Axes, values: "pd.Series[float]", name: str, of_what: str,
                 colour: str) -> str:  # fmt: skip
    known = values.dropna().to_numpy(np.float64)
    axes.set(xlabel=name, ylabel=of_what, xlim=(0, 1))
    counts, edges = np.histogram(known, 20, (0, 1))
    axes.stairs(counts, edges, fill=True, color=colour, alpha=0.35)
    axes.stairs(counts, edges, color=colour, lw=1.2)
    count_scale(axes)
    with_grid(axes)
    low, middle = np.quantile(known, [0.05, 0.5])
    return f"{name[0].upper()}{name[1:]}: median {number(middle)}, 5 % are below {number(low)}."
