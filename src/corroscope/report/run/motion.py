"""How particles move: directions, distance to the mother pit, speed, spreading."""

from typing import Final

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes
from scipy.stats import spearmanr

from corroscope.report.page import paragraph
from corroscope.report.run.contents import RunPage
from corroscope.report.run.drawing import Drawing, count_scale, log_scale, number, of, with_grid
from corroscope.report.run.log_normal import median_interval
from corroscope.report.style import BLUE, QUIET, VERMILION

SECTORS: Final = 24
"""Of the rose, 15° each."""

MOST_VECTORS: Final = 1500
"""More points than this are drawn as pixels, or the page would be slow."""


def motion(page: RunPage) -> list[Drawing | Markup]:
    """Draw how particles moved.

    Parameters
    ----------
    page
        Of the run.

    Returns
    -------
    list
        Figures, and sentences in place of those that cannot be.
    """
    if page.track_summary.empty:
        return [paragraph("No particle was followed, so nothing is known of motion.")]
    return [rose(page), distances(page), speeds(page), spreading(page)]


def rose(page: RunPage) -> Drawing | Markup:
    """Draw directions of displacements.

    Parameters
    ----------
    page
        Of the run.

    Returns
    -------
    Drawing or Markup
        Particles that moved by less than their own diameter have no direction.
    """
    tracks = page.track_summary
    diameter = np.sqrt(4 / np.pi * tracks["area_px"].to_numpy(np.float64))
    moved = tracks[(tracks["displacement_px"] > diameter) & tracks["direction_deg"].notna()]
    if moved.empty:
        return paragraph("No particle moved by more than its own diameter: there is no rose.")
    angle = np.deg2rad(moved["direction_deg"].to_numpy(np.float64)) % (2 * np.pi)
    counts, edges = np.histogram(angle, SECTORS, (0, 2 * np.pi))
    figure = Figure(figsize=(5.2, 4.8), layout="constrained")
    axes = figure.add_subplot(projection="polar")
    assert isinstance(axes, PolarAxes)
    # Areas of sectors, not their lengths, are seen as numbers.
    axes.bar(edges[:-1], np.sqrt(counts), np.diff(edges), align="edge", color=BLUE, alpha=0.6,
             edgecolor="white", lw=0.8)  # fmt: skip
    mean = np.exp(1j * angle).mean()
    length, direction = float(abs(mean)), float(np.rad2deg(np.angle(mean)) % 360)
    axes.annotate("", (np.angle(mean), length * np.sqrt(counts.max())), (0, 0),
                  arrowprops={"arrowstyle": "-|>", "color": VERMILION, "lw": 2})  # fmt: skip
    rings = np.unique(np.ceil(counts.max() * np.array([0.25, 0.5, 1.0])).astype(int))
    axes.set_rgrids(
        np.sqrt(rings).tolist(), [str(ring) for ring in rings], angle=7.5, fontsize=8,
        bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.85},
    )  # fmt: skip
    axes.set_xticks(np.deg2rad([0, 90, 180, 270]), ["right", "up", "left", "down"])
    axes.grid(color="#cccccc", lw=0.8)
    said = (
        f"Directions in the picture in which {of(len(moved), 'particle')} of {len(tracks):,} went, "
        "those that moved by more than their own diameter. Area of a sector and the numbers on "
        f"the rings: particles in 15°. Arrow: mean direction {number(direction)}° (0° right, 90° "
        f"up), of length {number(length)} of the rim; 0 is no preference, 1 one direction."
    )
    table = pd.DataFrame(
        {"from_deg": np.rad2deg(edges[:-1]), "to_deg": np.rad2deg(edges[1:]), "particles": counts}
    )
    return Drawing("directions", figure, said, table)


def distances(page: RunPage) -> Drawing | Markup:
    """Draw how far from their pits particles were last seen.

    Parameters
    ----------
    page
        Of the run.

    Returns
    -------
    Drawing or Markup
        A sentence where no mother pit is known.
    """
    tracks = page.track_summary
    known = tracks[(tracks["pit"] > 0) & tracks["pit_distance_px"].notna()]
    if known.empty:
        return paragraph("No mother pit is known of any particle: there are no distances to it.")
    lengths = page.lengths
    far = lengths.length(known["pit_distance_px"])
    median, low, high = median_interval(far)
    edges = np.linspace(0, max(far.max(), lengths.factor) * 1.0001, 25)
    counts, _ = np.histogram(far, edges)
    pits = known["pit"].nunique()
    ring = np.pi * np.diff(edges**2) * pits
    figure = Figure(figsize=(9, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.stairs(counts, edges, fill=True, color=BLUE, alpha=0.35)
    left.stairs(counts, edges, color=BLUE, lw=1.2)
    left.axvline(median, color=VERMILION, lw=1.6, ls="--", label="median")
    left.set_ylabel("particles")
    count_scale(left)
    left.legend(loc="upper right")
    middle, density = (edges[:-1] + edges[1:]) / 2, counts / ring
    right.plot(middle[counts > 0], density[counts > 0], "o-", color=BLUE, ms=4, lw=1.2)
    log_scale(right, "y")
    right.set_ylabel(f"particles per {lengths.area_unit} and pit")
    for axes in (left, right):
        axes.set_xlabel(f"distance to the mother pit / {lengths.unit}")
        with_grid(axes)
    said = (
        f"Distance from the mother pit to where {of(len(known), 'particle')} were last seen, of "
        f"{of(pits, 'pit')}: numbers, and density in rings. Median {number(median)} {lengths.unit} "
        f"(95 % interval {number(low)} to {number(high)}). Rings are not cut at the picture's rim, "
        "so that densities far away are lower bounds."
    )
    if len(known) < len(tracks):
        said += f" Left out: {of(len(tracks) - len(known), 'particle')} without a known pit."
    table = pd.DataFrame(
        {
            lengths.column("from"): edges[:-1],
            lengths.column("to"): edges[1:],
            "particles": counts,
            lengths.column("particles_per", 2, "_pit" if page.pixel_size_um else "2_pit"): density,
        }
    )
    return Drawing("pit-distance", figure, said, table)


def speeds(page: RunPage) -> Drawing | Markup:
    """Draw speeds over areas.

    Parameters
    ----------
    page
        Of the run.

    Returns
    -------
    Drawing or Markup
        A sentence where no speed is known.
    """
    tracks = page.track_summary
    known = tracks[(tracks["speed_px_s"] > 0) & (tracks["area_px"] > 0)]
    if known.empty:
        reason = "no particle was seen to move" if page.course.timed else "times are unknown"
        return paragraph(f"There are no speeds: {reason}.")
    lengths = page.lengths
    area, speed = lengths.area(known["area_px"]), lengths.length(known["speed_px_s"])
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.plot(area, speed, "o", color=BLUE, ms=3.5, alpha=0.45, mew=0, label="particle",
              rasterized=len(known) > MOST_VECTORS)  # fmt: skip
    classes = _medians(area, speed)
    axes.errorbar(
        classes["area"], classes["median"],
        [classes["median"] - classes["low"], classes["high"] - classes["median"]],
        fmt="s-", color=VERMILION, ms=6, lw=1.6, label="median of a class, with 95 % interval",
    )  # fmt: skip
    log_scale(axes, "x")
    log_scale(axes, "y")
    axes.set(xlabel=f"area / {lengths.area_unit}", ylabel=f"speed / {lengths.unit}/s")
    with_grid(axes)
    figure.legend(loc="outside upper left", ncols=2)
    median, low, high = median_interval(speed)
    said = (
        f"Median speed of each of {of(len(known), 'particle')} while afloat, over its area. All: "
        f"median {number(median)} {lengths.unit}/s (95 % interval {number(low)} to {number(high)})."
    )
    if len(known) > 3 and np.ptp(area) > 0 and np.ptp(speed) > 0:
        rank = float(spearmanr(area, speed).statistic)
        said += f" Rank correlation of speed and area {number(rank)}."
    table = pd.DataFrame(
        {
            "track": known["track"].to_numpy(),
            lengths.column("area", 2): area,
            lengths.column("speed", 1, "_s"): speed,
        }
    )
    return Drawing("speed-size", figure, said, table)


def _medians(area: np.typing.NDArray[np.float64], speed: np.typing.NDArray[np.float64]) -> (
    pd.DataFrame
):  # fmt: skip
    """Of classes with equally many particles; an interval that is not known is as wide as 0."""
    number_of = int(min(8, max(1, area.size // 12)))
    rows = []
    for part in np.array_split(np.argsort(area, kind="stable"), number_of):
        middle, low, high = median_interval(speed[part])
        rows.append((np.median(area[part]), middle, *np.nan_to_num([low, high], nan=middle)))
    return pd.DataFrame(rows, columns=["area", "median", "low", "high"])


def spreading(page: RunPage) -> Drawing | Markup:
    """Draw the mean squared displacement over the time lag.

    Parameters
    ----------
    page
        Of the run.

    Returns
    -------
    Drawing or Markup
        A sentence where it is not known.
    """
    if page.msd is None:
        return paragraph("The mean squared displacement was not computed.")
    rows = page.msd[(page.msd["lag_s"] > 0) & (page.msd["msd_px2"] > 0)]
    if rows.empty:
        return paragraph("No mean squared displacement is known: too few steps were seen.")
    lengths = page.lengths
    lag, msd = rows["lag_s"].to_numpy(np.float64), lengths.area(rows["msd_px2"])
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(lag, msd, "o", color=BLUE, ms=5, label="mean over particles")
    if lag.size > 1:
        ends = np.array([lag[0], lag[-1]])
        for slope, line, name in ((1, ":", "slope 1, diffusion"), (2, "--", "slope 2, drift")):
            axes.plot(ends, msd[0] * (ends / lag[0]) ** slope, color=QUIET, ls=line, label=name)
    log_scale(axes, "x")
    log_scale(axes, "y")
    axes.set(xlabel="lag / s", ylabel=f"mean squared\ndisplacement / {lengths.area_unit}")
    with_grid(axes)
    figure.legend(loc="outside upper left", ncols=3)
    said = (
        f"Mean squared displacement over the time between two sightings: {number(msd[0])} "
        f"{lengths.area_unit} after {number(lag[0])} s ({number(rows['pairs'].iloc[0])} pairs)"
        + (f", {number(msd[-1])} after {number(lag[-1])} s ({number(rows['pairs'].iloc[-1])} pairs)"
           if lag.size > 1 else "")
        + ". Lines begin at the first point and only show the slopes."
    )  # fmt: skip
    table = pd.DataFrame(
        {
            "lag_s": lag,
            f"msd_{'px2' if page.pixel_size_um is None else 'um2'}": msd,
            "pairs": rows["pairs"],
        }
    )
    return Drawing("msd", figure, said, table)
