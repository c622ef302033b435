"""What happened in a sequence, on one page."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from corroscope.outputs import replacing
from corroscope.report.run.scales import Lengths

LARGEST_SIDE_PX: Final = 1250
"""Larger pictures are reduced; more than this the page does not show."""


@dataclass(frozen=True)
class Overview:
    """What the page shows.

    Attributes
    ----------
    frame
        ``(height, width)``, the last frame that was segmented.
    mask
        ``(height, width)`` bool, particles found in it.
    first_seen
        ``(height, width)``, when a particle was first found at each pixel; NaN where
        none ever was.
    times
        ``(frames,)``, in seconds, or frame numbers where no times are known.
    found
        Particles found, with ``frame`` and ``area_px``.
    counted
        ``(frames,)`` bool, frames of which the particles are known; None for all.
    timed
        Whether times are in seconds.
    number
        Which frame is shown; the last one by default.
    truth
        The same where it is known; None otherwise.
    current
        Times in seconds and current in microamperes, where it is known.
    pixel_size_um
        Side of a pixel; None leaves areas in pixels.
    """

    frame: NDArray[np.generic]
    mask: NDArray[np.bool_]
    first_seen: NDArray[np.float64]
    times: NDArray[np.float64]
    found: pd.DataFrame
    counted: NDArray[np.bool_] | None = None
    timed: bool = True
    number: int = -1
    truth: pd.DataFrame | None = None
    current: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    pixel_size_um: float | None = None

    @property
    def axis(self) -> str:
        """What the time axis is called."""
        return "time / s" if self.timed else "frame"


def draw_overview(shown: Overview, path: str | Path) -> None:
    """Draw the last frame, numbers through time, sizes, and when each place was reached.

    Parameters
    ----------
    shown
        What to show.
    path
        The PNG file to write.

    Examples
    --------
    >>> import tempfile
    >>> frame, nowhere = np.zeros((40, 50)), np.full((40, 50), np.nan)
    >>> found = pd.DataFrame({"frame": [0, 1, 1], "area_px": [9, 9, 20]})
    >>> shown = Overview(frame, frame > 0, nowhere, np.array([0.0, 1.0]), found)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw_overview(shown, f"{folder}/o.png")
    ...     Path(folder, "o.png").stat().st_size > 0
    True
    """
    shown = _reduced(shown)
    figure = Figure(figsize=(12, 8.6), layout="constrained")
    last, reached, number, size = figure.subplots(2, 2).ravel()
    _draw_last(last, shown)
    _draw_reached(reached, shown)
    _draw_numbers(number, shown)
    _draw_sizes(size, shown)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _reduced(shown: Overview) -> Overview:
    """The pictures at the size of the page: matplotlib would take a gigabyte for large ones."""
    step = -(-max(shown.frame.shape) // LARGEST_SIDE_PX)
    if step == 1:
        return shown
    frame, mask, first_seen = (
        picture[: height * step, : width * step].reshape(height, step, width, step)
        for height, width in [tuple(length // step for length in shown.frame.shape)]
        for picture in (shown.frame, shown.mask, shown.first_seen)
    )
    return replace(
        shown,
        frame=frame.mean(axis=(1, 3)),
        mask=np.asarray(mask.any(axis=(1, 3))),
        first_seen=np.fmin.reduce(np.fmin.reduce(first_seen, axis=3), axis=1),
    )


def _draw_last(axes: Axes, shown: Overview) -> None:
    axes.imshow(shown.frame, cmap="gray", vmin=0)
    if shown.mask.any():
        axes.contour(shown.mask, levels=[0.5], colors="tab:red", linewidths=0.8)
    when = (
        f"{shown.times[shown.number]:.1f} s"
        if shown.timed
        else f"number {shown.times[shown.number]:.0f}"
    )
    axes.set_title(f"last frame, {when}: particles found")
    axes.set_axis_off()


def _draw_reached(axes: Axes, shown: Overview) -> None:
    axes.imshow(shown.frame, cmap="gray", vmin=-250)
    if np.isfinite(shown.first_seen).any():
        image = axes.imshow(shown.first_seen, cmap="plasma", interpolation="nearest")
        axes.figure.colorbar(image, ax=axes, label=f"first seen, {shown.axis}", shrink=0.8)
    axes.set_title("where particles have been, by time")
    axes.set_axis_off()


def _draw_numbers(axes: Axes, shown: Overview) -> None:
    frames = np.arange(len(shown.times))
    found = shown.found["frame"].value_counts().reindex(frames, fill_value=0)
    known = np.ones(len(frames), bool) if shown.counted is None else shown.counted
    # A gap is not a zero.
    axes.plot(shown.times, found.where(known), "o-", color="tab:red", ms=3, label="found")
    if shown.truth is not None:
        numbers = shown.truth["frame"].value_counts().reindex(frames, fill_value=0)
        axes.plot(shown.times, numbers, "--", color="black", label="true")
    axes.set(xlabel=shown.axis, ylabel="particles in the frame", ylim=(0, None))
    axes.legend(loc="upper left")
    if shown.current is not None:
        beside = axes.twinx()
        beside.plot(*shown.current, color="tab:blue", lw=0.8, alpha=0.7)
        beside.set_ylabel("current / µA", color="tab:blue")
    axes.set_title("number of particles" + ("" if shown.current is None else " and current"))


def _draw_sizes(axes: Axes, shown: Overview) -> None:
    areas = shown.found["area_px"]
    if shown.truth is not None:
        areas = pd.concat([areas, shown.truth["area_px"]])
    lengths = Lengths(shown.pixel_size_um)
    # At least from 5 to 500 px², so that pages can be compared; further where need be.
    edges = lengths.area(np.geomspace(min([5, *areas]), max([500, *areas]) + 1, 24)).tolist()
    axes.hist(
        lengths.area(shown.found["area_px"]), edges, color="tab:red", alpha=0.5, label="found"
    )
    if shown.truth is not None:
        true = lengths.area(shown.truth["area_px"])
        axes.hist(true, edges, histtype="step", color="black", ls="--", label="true")
    axes.set_xscale("log")
    axes.set(xlabel=f"area / {lengths.area_unit}", ylabel="particles, all frames")
    axes.legend(loc="upper right")
    axes.set_title("sizes")
