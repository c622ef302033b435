"""What pre-treatment did to a sequence, on one page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from corroscope.outputs import replacing

CLOSE_UP_PX: Final = 320
"""Side of what is shown of a difference; on a whole frame one would not see scratches."""


@dataclass(frozen=True)
class Pretreatment:
    """What the page shows.

    Attributes
    ----------
    frames
        The columns of `corroscope.tables.ALIGNED_FRAMES`, in order of time.
    measured_px
        ``(frames, 2)``, drift as each frame told it, rows and columns; NaN where it did not.
    plain
        ``(height, width)``, the last frame minus the reference, as they are; None where no
        frame could be aligned.
    difference
        The same, aligned and with light matched.
    """

    frames: pd.DataFrame
    measured_px: NDArray[np.float64]
    plain: NDArray[np.floating[Any]] | None
    difference: NDArray[np.floating[Any]] | None


def draw_pretreatment(shown: Pretreatment, path: str | Path) -> None:
    """Draw drift and gain through time, and what they are worth to a difference.

    Parameters
    ----------
    shown
        What to show.
    path
        The PNG file to write.

    Examples
    --------
    >>> import tempfile
    >>> from corroscope.tables import ALIGNED_FRAMES
    >>> frames = pd.DataFrame({column.name: [0.0, 1.0] for column in ALIGNED_FRAMES})
    >>> shown = Pretreatment(frames, np.zeros((2, 2)), None, None)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw_pretreatment(shown, f"{folder}/p.png")
    ...     Path(folder, "p.png").stat().st_size > 0
    True
    """
    figure = Figure(figsize=(12, 9), layout="constrained")
    drift, gain, before, after = figure.subplots(2, 2).ravel()
    timed = bool(shown.frames["time_s"].notna().all())
    along = shown.frames["time_s" if timed else "frame"].to_numpy(float)
    label = "time / s" if timed else "frame"
    _draw_drift(drift, shown, along, label)
    _draw_gain(gain, shown, along, label)
    _draw_difference(before, shown.plain, "last frame − reference, as they are")
    _draw_difference(after, shown.difference, "aligned, light matched")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _draw_drift(axes: Axes, shown: Pretreatment, along: NDArray[np.float64], label: str) -> None:
    flagged = shown.frames["flagged"].to_numpy(bool)
    for k, (name, colour) in enumerate((("dy_px", "tab:blue"), ("dx_px", "tab:orange"))):
        axes.plot(along, shown.frames[name], color=colour, lw=1, label=name.replace("_", " / "))
        axes.plot(along, shown.measured_px[:, k], ".", color=colour, ms=4)
    for place in along[flagged]:
        axes.axvline(place, color="tab:red", lw=0.8, alpha=0.6)
    marked = f", {flagged.sum()} of {flagged.size} frames flagged (red)" if flagged.any() else ""
    axes.set(xlabel=label, ylabel="drift / px", title=f"drift{marked}")
    axes.legend()


def _draw_gain(axes: Axes, shown: Pretreatment, along: NDArray[np.float64], label: str) -> None:
    axes.plot(along, shown.frames["gain"], ".-", color="black", lw=0.8, ms=4)
    axes.set(xlabel=label, ylabel="brightness against the reference", title="gain")


def _draw_difference(axes: Axes, difference: NDArray[Any] | None, title: str) -> None:
    axes.set_axis_off()
    if difference is None:
        axes.set_title(f"{title}: no frame is aligned")
        return
    top, left = (max(0, (length - CLOSE_UP_PX) // 2) for length in difference.shape)
    close = difference[top : top + CLOSE_UP_PX, left : left + CLOSE_UP_PX]
    reach = 6 * float(np.nanmedian(np.abs(close - np.nanmedian(close)))) + 1e-6
    axes.imshow(close, cmap="gray", vmin=-reach, vmax=reach, interpolation="nearest")
    axes.set_title(f"{title}: ±{reach:.2g} grey levels, rms {np.sqrt(np.nanmean(close**2)):.2g}")
