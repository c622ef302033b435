"""Pictures of a run for its pages: where particles have been, and its frames made small."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.errors import FrameError
from corroscope.frames.reading import read_frame
from corroscope.frames.registration import Registration
from corroscope.pipeline.passes import Passes
from corroscope.report.overview import Overview

BRIGHTEST: Final = 235
"""Grey level of the brightest metal in a small picture."""


class Small(NamedTuple):
    """A frame made small, on the reference's grid.

    Attributes
    ----------
    number
        Of the frame.
    picture
        ``(height, width)`` uint8.
    scale
        Its pixels for one of the frame.
    """

    number: int
    picture: NDArray[np.uint8]
    scale: float


def draw_activity(passes: Passes, registration: Registration, done: NDArray[np.int64],
                  times: NDArray[np.float64]) -> NDArray[np.float32]:  # fmt: skip
    """Find out when a particle was first seen at each place.

    Parameters
    ----------
    passes
        Of the run, whose masks are read.
    registration
        Where each frame lies.
    done
        Numbers of the frames that were segmented.
    times
        ``(frames,)``, of all frames.

    Returns
    -------
    ndarray of float32
        ``(height, width)``, on the reference's grid; NaN where none ever was.
    """
    height, width = passes.frames.shape
    first = np.full((height, width), np.nan, np.float32)
    for number in done.tolist():
        rows, columns = np.nonzero(read_frame(passes.mask(number)))
        dy, dx = registration.drift(number)
        rows, columns = rows - round(dy), columns - round(dx)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        here = rows[inside], columns[inside]
        first[here] = np.fmin(first[here], np.float32(times[number]))
    return first


def small_frames(
    passes: Passes, registration: Registration, numbers: NDArray[np.int64], side_px: int
) -> Iterator[Small]:
    """Make frames small, moved onto the reference so that the metal stands still.

    Parameters
    ----------
    passes
        Of the run.
    registration
        Where each frame lies.
    numbers
        Of the frames wanted.
    side_px
        Longest side of a small picture; smaller frames keep their size.

    Yields
    ------
    Small
        A picture for each frame that can still be read.
    """
    bright: float | None = None
    for number in numbers.tolist():
        try:
            frame = passes.frames.frame(number)
        except FrameError:  # gone since; what it told is kept
            continue
        if bright is None:  # one light for all, or what changes would not be seen to change
            bright = max(float(np.quantile(frame[::8, ::8], 0.99)), 1e-6)
        dy, dx = registration.drift(number)
        grey = np.clip(frame.astype(np.float32) * (BRIGHTEST / bright), 0, 255).astype(np.uint8)
        scale = min(1.0, side_px / max(grey.shape))
        size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
        move = np.array([[1, 0, -round(dx)], [0, 1, -round(dy)]], np.float64)
        moved = cv2.warpAffine(grey, move, grey.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        small = moved if scale == 1 else cv2.resize(moved, size, interpolation=cv2.INTER_AREA)
        yield Small(number, np.asarray(small, np.uint8), scale)


def make_overview(
    passes: Passes,
    registration: Registration,
    table: pd.DataFrame,
    particles: pd.DataFrame,
    pixel_size_um: float | None,
) -> Overview | None:
    """Put together what the overview shows.

    Parameters
    ----------
    passes
        Of the run.
    registration
        Where each frame lies.
    table
        Of frames.
    particles
        Of all frames.
    pixel_size_um
        Side of a pixel; None leaves areas in pixels.

    Returns
    -------
    Overview or None
        None where no frame was segmented, or the last one cannot be read any more.
    """
    done = np.flatnonzero(table["segmented"])
    if not done.size:
        return None
    times, known = course(passes.frames.time_s)
    last = int(done[-1])
    try:
        frame = passes.frames.frame(last)
    except FrameError:  # gone since; what it told is kept, but it cannot be shown
        return None
    first = draw_activity(passes, registration, done, times)
    dy, dx = registration.drift(last)
    move = np.array([[1, 0, round(dx)], [0, 1, round(dy)]], np.float64)
    return Overview(
        frame=frame,
        mask=read_frame(passes.mask(last)) > 0,
        first_seen=np.asarray(
            cv2.warpAffine(
                first, move, first.shape[::-1], flags=cv2.INTER_NEAREST, borderValue=np.nan
            ),
            np.float64,
        ),
        times=times,
        found=particles,
        counted=np.asarray(table["segmented"], bool),
        timed=known,
        number=last,
        pixel_size_um=pixel_size_um,
    )


def course(time_s: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
    """What time there is: seconds, or numbers of frames where some are unknown.

    Parameters
    ----------
    time_s
        ``(frames,)``, NaN where unknown.

    Returns
    -------
    times : ndarray of float64
        ``(frames,)``.
    known : bool
        Whether they are seconds.

    Examples
    --------
    >>> course(np.array([0.0, np.nan]))
    (array([0., 1.]), False)
    """
    known = not bool(np.isnan(time_s).any())
    return (time_s if known else np.arange(time_s.size, dtype=np.float64)), known
