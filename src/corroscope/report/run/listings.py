"""Pits and events as tables."""

from typing import Final

import numpy as np
import pandas as pd
from markupsafe import Markup

from corroscope.report.page import paragraph, table
from corroscope.report.run.contents import RunPage
from corroscope.report.run.drawing import interval, linked, number

MOST_PITS: Final = 30
MOST_EVENTS: Final = 40


def pit_table(page: RunPage) -> list[Markup]:
    """List the pits.

    Parameters
    ----------
    page
        Of the run.

    Returns
    -------
    list of Markup
        The first `MOST_PITS`, and where all are.
    """
    pits = page.pit_summary
    if pits.empty:
        return [paragraph("No pit was found.")]
    lengths, shown = page.lengths, pits.head(MOST_PITS)
    ejected = page.happened("ejection").groupby("pit")["particles"].sum()
    rows = pd.DataFrame({"pit": shown["pit"]})
    rows[f"x / {lengths.unit}"] = lengths.length(shown["x_ref_px"])
    rows[f"y / {lengths.unit}"] = lengths.length(shown["y_ref_px"])
    if page.course.timed:
        rows["born / s"] = shown["born_s"]
        rows["its 95 % interval / s"] = _intervals(shown, "born_low_s", "born_high_s")
        rows["died / s"] = shown["died_s"]
    else:
        rows["born in frame"] = shown["born_frame"]
    rows["kind"] = shown["kind"]
    rows[f"area / {lengths.area_unit}"] = lengths.area(shown["area_px"])
    rows[f"radius / {lengths.unit}"] = lengths.length(shown["equivalent_radius_px"])
    rows["exponent"] = [number(value) for value in shown["exponent"]]
    rows["its 95 % interval"] = _intervals(shown, "exponent_low", "exponent_high")
    rows["ejected"] = ejected.reindex(shown["pit"]).fillna(0).to_numpy(np.int64)
    return [table(rows, _caption("Pits", len(shown), len(pits)), digits=1), *_link(page, "pits")]


def event_table(page: RunPage) -> list[Markup]:
    """List the events.

    Parameters
    ----------
    page
        Of the run.

    Returns
    -------
    list of Markup
        How many of each kind, the first `MOST_EVENTS`, and where all are.
    """
    events = page.events
    if events.empty:
        return [paragraph("No event was seen.")]
    shown = events.head(MOST_EVENTS)
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in events["event"].value_counts().items())
    rows = pd.DataFrame({"event": shown["event"], "frame": shown["frame"]})
    if page.course.timed:
        rows["time / s"] = shown["time_s"]
    for name in ("pit", "track"):
        rows[name] = shown[name].astype("Int64").mask(shown[name] == 0)
    rows["particles"] = shown["particles"]
    rows["probability"] = shown["probability"]
    caption = _caption("Events", len(shown), len(events))
    return [paragraph(f"Events by kind: {kinds}."), table(rows, caption, digits=2),
            *_link(page, "events")]  # fmt: skip


def _intervals(rows: pd.DataFrame, low: str, high: str) -> list[str]:
    return [interval(a, b) for a, b in zip(rows[low], rows[high], strict=True)]


def _caption(name: str, shown: int, there: int) -> str:
    return name if shown == there else f"{name}, the first {shown} of {there:,}"


def _link(page: RunPage, name: str) -> list[Markup]:
    return [linked(page.files[name], "All rows and columns:")] if name in page.files else []
