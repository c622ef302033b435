"""Transients of current, and how births and ejections go with them."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from corroscope.report.page import facts, paragraph, table
from corroscope.report.run.contents import RunPage
from corroscope.report.run.drawing import Drawing, count_scale, number, of, with_grid
from corroscope.report.style import BLUE, QUIET, VERMILION

MOST_ROWS: Final = 20
"""Transients in the table."""

_STEPS: Final = 12
"""Frames before and after the beginning of a transient that are looked at."""


def transients(page: RunPage) -> list[Drawing | Markup]:
    """Show transients, events around them, the test of their association, and the charge.

    Parameters
    ----------
    page
        Of the run.

    Returns
    -------
    list
        Figure, tables and sentences.
    """
    if page.current is None:
        return [paragraph("No current was given.")]
    if page.recorded is None:
        return [paragraph("The current cannot be laid beside the frames, so nothing is compared.")]
    blocks: list[Drawing | Markup] = []
    rows = page.transient_rows
    if page.transients is None:
        blocks.append(paragraph("Transients of current were not looked for."))
    elif rows.empty:
        blocks.append(paragraph("No transient of current was found."))
    else:
        around = _around(page, rows)
        if around is not None:
            blocks.append(around)
        caption = "Transients of current"
        if len(rows) > MOST_ROWS:
            caption += f", the first {MOST_ROWS} of {len(rows)}"
        blocks.append(table(_with_units(rows.head(MOST_ROWS)), caption))
    blocks += _association(page.association)
    if page.faraday is not None:
        blocks.append(paragraph("Charge, and the volume of metal it stands for (Faraday's law):"))
        blocks.append(facts(page.faraday))
    return blocks


def _association(found: Mapping[str, Any] | None) -> list[Markup]:
    if found is None:
        return [paragraph("Whether events go with transients was not tested.")]
    nested = {name: value for name, value in found.items() if isinstance(value, Mapping)}
    blocks = []
    if nested:
        rows = pd.DataFrame.from_dict(nested, orient="index")
        rows.insert(0, "", rows.index.astype(str))
        caption = "Events and transients: do they go together more than by chance?"
        blocks.append(table(_with_units(rows), caption))
    blocks.append(facts({name: value for name, value in found.items() if name not in nested}))
    return blocks


def _with_units(rows: pd.DataFrame) -> pd.DataFrame:
    """Columns as they are read: ``height_ua`` becomes ``height / µA``."""
    units = {"_s": "s", "_ua": "µA", "_uc": "µC", "_v": "V"}
    names = {}
    for column in map(str, rows.columns):
        ending = next((ending for ending in units if column.endswith(ending)), "")
        name = column.removesuffix(ending).replace("_", " ")
        names[column] = f"{name} / {units[ending]}" if ending else name
    return rows.rename(columns=names)


def _around(page: RunPage, rows: pd.DataFrame) -> Drawing | None:
    """Births and ejections in the time around the beginnings of transients."""
    looks = {"nucleation": ("births of pits", VERMILION), "ejection": ("ejections", BLUE)}
    kinds = {name: page.happened(name) for name in looks if len(page.happened(name))}
    starts = rows["start_s"].to_numpy(np.float64)
    step = float(np.median(np.diff(np.sort(page.course.axis)))) if len(page.frames) > 1 else 0.0
    if step <= 0 or not kinds:
        return None
    edges = step * (np.arange(-_STEPS, _STEPS + 2) - 0.5)
    figure = Figure(figsize=(9, 2.9), layout="constrained")
    numbers = pd.DataFrame({"from_s": edges[:-1], "to_s": edges[1:]})
    told = []
    row = figure.subplots(1, len(kinds), squeeze=False)[0]
    for axes, (kind, events) in zip(row, kinds.items(), strict=True):
        name, colour = looks[kind]
        when = page.course.of_rows(events)
        lag = (when[:, None] - starts[None, :]).ravel()
        weight = np.repeat(np.maximum(events["particles"].to_numpy(np.float64), 1), starts.size)
        counts, _ = np.histogram(lag, edges, weights=weight)
        axes.stairs(counts, edges, fill=True, color=colour, alpha=0.35)
        axes.stairs(counts, edges, color=colour, lw=1.2)
        count_scale(axes)
        axes.axvline(0, color=QUIET, lw=1, ls=":")
        axes.set(xlabel="time since a transient began / s", ylabel=name)
        with_grid(axes)
        numbers[name.replace(" ", "_")] = counts
        told.append(f"{number(counts.sum())} {name}")
    said = (
        f"Events around the beginnings of {of(len(rows), 'transient')}, in steps of one frame "
        f"({number(step)} s): {' and '.join(told)} within ± {number(step * _STEPS)} s of one, "
        "counted once for each transient nearby."
    )
    return Drawing("around-transients", figure, said, numbers)
