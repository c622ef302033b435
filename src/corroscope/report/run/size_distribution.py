"""How areas of particles are distributed, as found and corrected."""

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from corroscope.report.page import paragraph, table
from corroscope.report.run.contents import CorrectedCounts, RunPage
from corroscope.report.run.drawing import (
    Drawing,
    columns,
    count_scale,
    interval,
    log_scale,
    number,
    with_grid,
)
from corroscope.report.run.log_normal import LogNormal, fit_log_normal
from corroscope.report.style import BLUE, VERMILION

_BINS = 24


def sizes(page: RunPage) -> list[Drawing | Markup]:
    """Draw the distribution of areas with its log-normal law, and counts as corrected.

    Parameters
    ----------
    page
        Of the run.

    Returns
    -------
    list
        Figures, or a sentence that there is no particle.
    """
    area_px, what = counted_areas(page)
    if not area_px.size:
        return [paragraph("No particle was found, so there are no sizes.")]
    blocks: list[Drawing | Markup] = [_distribution(page, area_px, what)]
    if page.corrected is None:
        blocks.append(
            paragraph(
                "Counts are not corrected for particles that the network misses: its recall by "
                "size is not known here."
            )
        )
    else:
        blocks += _corrected(page.corrected, page)
    return blocks


def counted_areas(page: RunPage) -> tuple[NDArray[np.float64], str]:
    """Choose the areas that stand for particles.

    Parameters
    ----------
    page
        Of the run.

    Returns
    -------
    area_px : ndarray of float64
        One for each track, since a particle that is seen in a hundred frames is one particle;
        without tracks one for each particle in the last frame that was segmented.
    what : str
        Which of the two.
    """
    if len(page.track_summary):
        area = page.track_summary["area_px"].to_numpy(np.float64)
        return area[area > 0], "tracks, each with its median area"
    if page.particles.empty:
        return np.zeros(0), ""
    last = page.particles["frame"].max()
    area = page.particles.loc[page.particles["frame"] == last, "area_px"].to_numpy(np.float64)
    return area[area > 0], f"particles of frame {last}"


def _distribution(page: RunPage, area_px: NDArray[np.float64], what: str) -> Drawing:
    lengths = page.lengths
    # Areas are whole numbers: what has the smallest one may be half a pixel smaller.
    least_px = 0.0 if page.smallest_area_px is None else page.smallest_area_px - 0.5
    law = fit_log_normal(area_px, least_px)
    area, least = lengths.area(area_px), float(lengths.area(least_px))
    scaled = None if law is None else _scaled(law, lengths.factor**2)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    share, tail = figure.subplots(1, 2)
    edges = np.geomspace(area.min(), area.max() * 1.001, _BINS + 1)
    if area.min() == area.max():
        edges = area.min() * np.array([0.8, 1.25])
    counts, _ = np.histogram(area, edges)
    share.stairs(counts, edges, fill=True, color=BLUE, alpha=0.35)
    share.stairs(counts, edges, color=BLUE, lw=1.2, label=f"found, {area.size:,}")
    ordered = np.sort(area)
    at_least = 1 - np.arange(ordered.size) / ordered.size
    tail.step(ordered, at_least, where="pre", color=BLUE, lw=1.6, label="found")
    if scaled is not None:
        fine = np.geomspace(max(edges[0], least), edges[-1], 200)
        above = scaled.share_of_at_least(edges, least)
        middle = np.sqrt(edges[:-1] * edges[1:])
        share.plot(middle, -np.diff(above) * area.size, color=VERMILION, ls="--", lw=1.8,
                   label="log-normal law")  # fmt: skip
        tail.plot(fine, scaled.share_of_at_least(fine, least), color=VERMILION, ls="--", lw=1.8,
                  label="log-normal law")  # fmt: skip
    for axes in (share, tail):
        log_scale(axes, "x")
        axes.set_xlabel(f"area / {lengths.area_unit}")
        with_grid(axes)
    tail.set_ylim(0.6 / area.size, 1.3)
    log_scale(tail, "y")
    count_scale(share)
    share.set_ylabel("particles in the class")
    tail.set_ylabel("share of at least this area")
    share.legend(loc="upper right")
    numbers = columns(
        [
            pd.DataFrame(
                {
                    lengths.column("lower", 2): edges[:-1],
                    lengths.column("upper", 2): edges[1:],
                    "particles": counts,
                }
            ),
            pd.DataFrame({lengths.column("area", 2): ordered, "share_of_at_least": at_least}),
        ]
    )
    said = (
        f"Areas of {area.size:,} {what}: number in classes of equal ratio, and share of at least "
        f"each area. Median {number(float(np.median(area)))} {lengths.area_unit}. "
        f"{_told(scaled, lengths.area_unit, least)}"
    )
    return Drawing("sizes", figure, said, numbers)


def _scaled(law: LogNormal, factor: float) -> LogNormal:
    median, low, high, *rest = law
    return LogNormal(median * factor, low * factor, high * factor, *rest)


def _told(law: LogNormal | None, unit: str, least: float) -> str:
    if law is None:
        return "No log-normal law was fitted: too few areas, or too little of the law is seen."
    told = (
        f"Log-normal law: median {number(law.median)} {unit} "
        f"({interval(law.median_low, law.median_high)}), standard deviation of ln(area) "
        f"{number(law.sigma)} ({interval(law.sigma_low, law.sigma_high)}), 95 % intervals that "
        "take particles as independent"
    )
    if least > 0:
        told += (
            f"; it is cut off below {number(least)} {unit}, where nothing is counted, and "
            f"{number(100 * law.seen)} % of it lie above"
        )
    return told + "."


def _corrected(corrected: CorrectedCounts, page: RunPage) -> list[Drawing | Markup]:
    lengths, bins = page.lengths, corrected.bins
    found, value, low, high = corrected.total
    names = [
        f"{number(float(lengths.area(lower)))} to {number(float(lengths.area(upper)))}"
        if np.isfinite(upper)
        else f"{number(float(lengths.area(lower)))} or more"
        for lower, upper in zip(bins["lower_px"], bins["upper_px"], strict=True)
    ]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots()
    _draw_corrected(axes, bins, names)
    axes.set(xlabel=f"area / {lengths.area_unit}", ylabel="particles", ylim=(0, None))
    figure.legend(loc="outside upper left", ncols=2)
    said = (
        f"Particles found, and corrected for those that are missed and false alarms, with 95 % "
        f"intervals. In total {number(found)} found, {number(value)} corrected "
        f"({interval(low, high)}). {corrected.source}"
    )
    numbers = bins.copy()
    total = pd.DataFrame(
        [("all", int(found), value, interval(low, high))],
        columns=[f"area / {lengths.area_unit}", "found", "corrected", "95 % interval"],
    )
    shown = pd.DataFrame(
        {
            f"area / {lengths.area_unit}": names,
            "found": bins["found"].astype(int),
            "corrected": bins["corrected"].astype(float),
            "95 % interval": [
                interval(a, b) for a, b in zip(bins["low"], bins["high"], strict=True)
            ],
        }
    )
    return [
        Drawing("corrected-counts", figure, said, numbers),
        table(pd.concat([shown, total]), "Particles by area, as found and corrected", digits=1),
    ]


def _draw_corrected(axes: Axes, bins: pd.DataFrame, names: list[str]) -> None:
    at = np.arange(len(bins))
    axes.bar(at, bins["found"], width=0.7, color=BLUE, alpha=0.35, label="found")
    axes.vlines(at, bins["low"], bins["high"], colors=VERMILION, lw=2.2)
    axes.plot(at, bins["corrected"], "D", color=VERMILION, ms=6,
              label="corrected, with 95 % interval")  # fmt: skip
    many = len(names) > 7
    axes.set_xticks(at, names, rotation=30 if many else 0, ha="right" if many else "center")
    axes.grid(axis="y", color="#dddddd", lw=0.8)
