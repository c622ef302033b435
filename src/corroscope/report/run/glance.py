"""What was found, at a glance, and what cannot be known."""

import numpy as np
import pandas as pd
from markupsafe import Markup

from corroscope.report.page import NOTHING, paragraph, table, warnings
from corroscope.report.run.contents import RunPage
from corroscope.report.run.drawing import interval, number, of
from corroscope.report.run.log_normal import median_interval
from corroscope.report.run.size_distribution import counted_areas

Row = tuple[str, str, str, str]
"""Quantity, value, 95 % interval, and what it is of."""


def glance(page: RunPage) -> list[Markup]:
    """List the main numbers.

    Parameters
    ----------
    page
        Of the run.

    Returns
    -------
    list of Markup
        Warnings, a table, and what cannot be known.
    """
    rows = [*_frames(page), *_particles(page), *_motion(page), *_pits(page), *_current(page)]
    shown = pd.DataFrame(rows, columns=["quantity", "value", "95 % interval", "of"])
    blocks = [warnings(page.warnings)]
    blocks.append(table(shown, "What was found"))
    unknown = what_is_unknown(page)
    if unknown:
        blocks.append(paragraph("What this run cannot tell:"))
        items = Markup().join(Markup("<li>{}</li>").format(words) for words in unknown)
        blocks.append(Markup("<ul>") + items + Markup("</ul>"))
    return blocks


def what_is_unknown(page: RunPage) -> list[str]:
    """Say what the run cannot tell, and why.

    Parameters
    ----------
    page
        Of the run.

    Returns
    -------
    list of str
        A sentence or two each.
    """
    frames = page.frames
    gaps, flagged = len(frames) - len(page.segmented), int(frames["flagged"].sum())
    told = []
    if page.pixel_size_um is None:
        told.append("The pixel size is not known: lengths are in pixels, areas in square pixels.")
    if not page.course.timed:
        told.append(
            "The times of the frames are not known: numbers of frames stand for them, and there "
            "are no speeds, rates per second or laws of growth in seconds."
        )
    if page.current is None:
        told.append("No current was given: charge and transients are not known.")
    elif page.recorded is None:
        told.append(
            "The current cannot be laid beside the frames: "
            + (
                "it has no sample while frames were taken, or the clocks could not be matched."
                if page.course.timed
                else "the times of the frames are not known."
            )
        )
    if page.corrected is None:
        told.append(
            "The recall of the network by size is not known: counts are as found, without a "
            "correction for what was missed."
        )
    if len(frames) and page.segmented.empty:
        told.append("No frame was segmented: nothing is known of particles.")
    elif gaps:
        told.append(
            f"{of(gaps, 'frame')} could not be segmented: what happened there is not known, and "
            "is not taken for nothing."
        )
    if flagged:
        told.append(
            f"{of(flagged, 'frame is', 'frames are')} flagged: without a drift of "
            "their own, or with one unlike that of frames around them."
        )
    if len(frames) == 1:
        told.append("There is one frame: nothing is known of motion, growth or rates.")
    return told


def _frames(page: RunPage) -> list[Row]:
    frames = page.frames
    told = f"{len(page.segmented):,} segmented, {int(frames['flagged'].sum()):,} flagged"
    rows = [("frames", f"{len(frames):,}", NOTHING, told)]
    if page.course.timed and len(frames) > 1:
        low, high = page.course.span
        steps = np.diff(np.sort(page.course.axis))
        rows.append(
            ("duration", f"{number(high - low)} s", NOTHING,
             f"steps of {number(float(np.median(steps)))} s (median), "
             f"{number(float(steps.max()))} s at most")
        )  # fmt: skip
    return rows


def _particles(page: RunPage) -> list[Row]:
    if page.segmented.empty:
        return []
    lengths, last = page.lengths, page.segmented.iloc[-1]
    rows = [("particles in the last frame", number(float(last["particles"])), NOTHING,
             f"frame {last['frame']}, as found")]  # fmt: skip
    if page.corrected is not None:
        _, value, low, high = page.corrected.total
        rows.append(("particles, corrected", number(value), interval(low, high),
                     page.corrected.source))  # fmt: skip
    area_px, what = counted_areas(page)
    if area_px.size:
        middle, low, high = (float(x) for x in lengths.area(median_interval(area_px)))
        rows.append(("median area", f"{number(middle)} {lengths.area_unit}",
                     _in(low, high, lengths.area_unit), f"{area_px.size:,} {what}"))  # fmt: skip
    return rows


def _motion(page: RunPage) -> list[Row]:
    tracks = page.track_summary
    if tracks.empty:
        return []
    told = f"median quality {number(tracks['quality'].median())}"
    if page.course.timed:  # when something came to rest is not known without
        told += f", {int(tracks['settled_s'].notna().sum()):,} came to rest"
    rows = [("tracks", f"{len(tracks):,}", NOTHING, told)]
    speed = tracks["speed_px_s"].dropna().to_numpy(np.float64)
    if speed.size:
        unit = f"{page.lengths.unit}/s"
        middle, low, high = (float(x) for x in page.lengths.length(median_interval(speed)))
        rows.append(("median speed", f"{number(middle)} {unit}", _in(low, high, unit),
                     f"{of(speed.size, 'track')} while afloat"))  # fmt: skip
    ejected = page.happened("ejection")
    if len(ejected):
        known = ejected.loc[ejected["pit"] > 0, "particles"].sum()
        rows.append(("particles ejected", number(float(ejected["particles"].sum())), NOTHING,
                     f"{number(float(known))} with a mother pit, "
                     f"{of(len(page.happened('burst')), 'burst')}"))  # fmt: skip
    overall = page.rates[page.rates["pit"] == 0]
    rate = overall["ejections_per_s"].to_numpy(np.float64)
    if page.course.timed and np.isfinite(rate).any() and np.nanmax(rate) > 0:
        at = page.course.at(overall["frame"])[int(np.nanargmax(rate))]
        rows.append(("highest ejection rate", f"{number(np.nanmax(rate))} 1/s", NOTHING,
                     f"smoothed, at {number(at)} s"))  # fmt: skip
    return rows


def _pits(page: RunPage) -> list[Row]:
    pits = page.pit_summary
    if pits.empty:
        return [] if page.segmented.empty else [("pits", "0", NOTHING, "none was found")]
    kinds = pits["kind"].value_counts()
    rows = [("pits", f"{len(pits):,}", NOTHING,
             ", ".join(f"{count} {kind}" for kind, count in kinds.items()))]  # fmt: skip
    lengths = page.lengths
    radius = lengths.length(pits["equivalent_radius_px"])
    rows.append(("largest pit", f"{number(np.nanmax(radius))} {lengths.unit}", NOTHING,
                 "equivalent radius when last seen"))  # fmt: skip
    exponents = pits["exponent"].dropna().to_numpy(np.float64)
    if exponents.size:
        middle, low, high = median_interval(exponents)
        rows.append(("median exponent of growth", number(middle), interval(low, high),
                     f"n of area = c · age^n, {of(exponents.size, 'pit')}"))  # fmt: skip
    return rows


def _current(page: RunPage) -> list[Row]:
    current = page.recorded
    if current is None:
        return []
    values = current.current_ua
    charge = float(np.trapezoid(values, current.time_s))
    rows = [
        ("current", f"{number(float(np.nanmean(values)))} µA", NOTHING,
         f"mean while frames were taken, {number(float(np.nanmax(values)))} µA at most"),
        ("charge", f"{number(charge)} µC", NOTHING, "current over time, while frames were taken"),
    ]  # fmt: skip
    if current.offset_s is not None and np.isfinite(current.offset_s):
        rows.append(("clock offset", f"{number(current.offset_s)} s",
                     _in(current.offset_low_s, current.offset_high_s, "s"),
                     "added to the potentiostat's times"))  # fmt: skip
    if len(page.transient_rows):
        rows.append(("transients of current", f"{len(page.transient_rows):,}", NOTHING, ""))
    return rows


def _in(low: float | None, high: float | None, unit: str) -> str:
    """An interval with its unit."""
    ends = interval(low, high)
    return ends if ends == NOTHING else f"{ends} {unit}"
