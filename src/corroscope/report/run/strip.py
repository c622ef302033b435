"""The course under the film: the current, or the number of particles."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from corroscope.report.run.contents import RunPage
from corroscope.report.run.drawing import number, thinned

WIDTH, HEIGHT = 1000.0, 100.0
"""Of the strip, in units of its own: it is drawn as wide as the picture."""


class Strip(NamedTuple):
    """A line over time.

    Attributes
    ----------
    path
        For the ``d`` of an SVG path; empty where nothing is known.
    label
        What it shows, with units and bounds.
    span
        Time, or number of a frame, at the left and at the right end.
    start, end
        The same as words.
    """

    path: str
    label: str
    span: tuple[float, float]
    start: str
    end: str


def strip(page: RunPage) -> Strip:
    """Draw the current during the film, or where there is none the number of particles.

    Parameters
    ----------
    page
        Of the run.

    Returns
    -------
    Strip
        The line.
    """
    course, current = page.course, page.recorded
    low, high = course.span
    high = high if high > low else low + 1
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    if current is not None:
        x, y = thinned(current.time_s, np.asarray(current.current_ua, np.float64), 500)
        name, unit = "current", " µA"
    else:
        x = course.axis
        y = page.found
        name, unit = "particles in the frame", ""
    known = np.isfinite(y)
    label = "no " + name + " known"
    if known.any():
        ends = float(y[known].min()), float(y[known].max())
        label = f"{name}, {number(ends[0])} to {number(ends[1])}{unit}"
    words = [f"{number(value)} s" if course.timed else f"frame {number(value)}"
             for value in course.span]  # fmt: skip
    return Strip(_path((x - low) / (high - low), y), label, (low, high), words[0], words[1])


def _path(share: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """A line that is broken where nothing is known."""
    known = np.isfinite(y)
    if not known.any():
        return ""
    low, high = float(y[known].min()), float(y[known].max())
    up = (y - low) / (high - low) if high > low else np.full(y.size, 0.5)
    parts, pen = [], "M"
    for left, height, here in zip(share, up, known, strict=True):
        if here:
            parts.append(f"{pen}{WIDTH * left:.1f} {HEIGHT * (0.95 - 0.9 * height):.1f}")
        pen = "L" if here else "M"
    return "".join(parts)
