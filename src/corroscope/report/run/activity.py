"""Where particles have been, coded by the time of the first."""

from typing import Any, Final

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from corroscope.report.page import paragraph
from corroscope.report.run.contents import RunPage
from corroscope.report.run.drawing import Drawing, number
from corroscope.report.style import BLACK

MOST_PX: Final = 800
"""Longest side of the map on the page; about a pixel of the screen each."""


def activity(page: RunPage) -> list[Drawing | Markup]:
    """Draw the map of activity.

    Parameters
    ----------
    page
        Of the run.

    Returns
    -------
    list
        The map, or a sentence that there is none.
    """
    seen = np.asarray(page.first_seen, np.float64)
    if not np.isfinite(seen).any():
        return [paragraph("No particle was found anywhere, so there is no map of activity.")]
    if len(page.segmented) < 2:
        return [paragraph("One frame was segmented: there is no course of time to map.")]
    reduced = reduced_map(seen, MOST_PX)
    lengths, course = page.lengths, page.course
    height, width = (float(side) for side in lengths.length(seen.shape))
    figure = Figure(figsize=(9, min(9.0, 1.0 + 7.2 * height / width)), layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("#f2f2f2")
    low, high = float(np.nanmin(seen)), float(np.nanmax(seen))
    image = axes.imshow(
        reduced, cmap="viridis_r", interpolation="nearest", extent=(0, width, height, 0),
        vmin=low, vmax=high if high > low else low + 1,
    )  # fmt: skip
    places = page.pit_summary
    axes.plot(
        lengths.length(places["x_ref_px"] + 0.5), lengths.length(places["y_ref_px"] + 0.5),
        "X", mfc="white", mec=BLACK, ms=10, mew=1.3,
    )  # fmt: skip
    axes.set(xlabel=f"x / {lengths.unit}", ylabel=f"y / {lengths.unit}",
             xlim=(0, width), ylim=(height, 0))  # fmt: skip
    bar = figure.colorbar(image, ax=axes, label=f"particle first seen, {course.label}", shrink=0.85)
    if low == high:
        bar.set_ticks([low])
    share = float(np.isfinite(seen).mean())
    said = (
        f"Where particles have been, coloured by when the first was found there: from "
        f"{number(low)} to {number(high)} {course.unit}. {number(100 * share)} % of the view was "
        "covered at some time. "
        + (f"Crosses: {len(places)} pits." if len(places) else "No pit was found.")
    )
    return [Drawing("activity", figure, said, _by_place(page, reduced, seen.shape))]


def reduced_map(seen: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Make a map small; a place was reached when the first of its pixels was.

    Parameters
    ----------
    seen
        ``(height, width)``, NaN where nothing ever was.
    most
        Longest side wanted.

    Returns
    -------
    ndarray of float64
        The earliest of each square block.

    Examples
    --------
    >>> reduced_map(np.array([[np.nan, 2.0], [1.0, np.nan], [np.nan, 3.0]]), 2).tolist()
    [[1.0], [3.0]]
    """
    step = -(-max(seen.shape) // most)
    missing = [(0, -length % step) for length in seen.shape]
    filled = np.pad(seen, missing, constant_values=np.nan)
    rows, columns = filled.shape[0] // step, filled.shape[1] // step
    blocks = filled.reshape(rows, step, columns, step)
    earliest: NDArray[np.float64] = np.fmin.reduce(np.fmin.reduce(blocks, axis=3), axis=1)
    return earliest


def _by_place(page: RunPage, reduced: NDArray[np.float64], shape: tuple[Any, ...]) -> pd.DataFrame:
    step = -(-max(shape) // MOST_PX)
    rows, columns = np.nonzero(np.isfinite(reduced))
    return pd.DataFrame(
        {
            "y_ref_px": rows * step,
            "x_ref_px": columns * step,
            f"first_seen_{page.course.unit}": reduced[rows, columns],
        }
    )
