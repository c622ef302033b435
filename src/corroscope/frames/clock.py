"""Clocks → times of frames, and what is to be said about these times."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corroscope.errors import FrameError, SettingsError
from corroscope.frames.naming import Name

DAY_S = 86_400
"""Seconds of a day."""

GAP_STEPS = 3.0
"""A step longer than this many median steps is a gap."""

UNEVEN_STEPS = 0.2
"""Steps whose middle 90 % spread by more than this share of the median are irregular."""

_NS = 1_000_000_000


class Gap(NamedTuple):
    """A time without frames.

    Attributes
    ----------
    frame
        Number of the last frame before it.
    seconds
        Time from this frame to the next.
    """

    frame: int
    seconds: float


class TimeReport(NamedTuple):
    """What is to be said about the times of a sequence.

    Attributes
    ----------
    duplicates
        For each frame that has the time of an earlier one, the first such frame.
    gaps
        The gaps, in order of time.
    step_median_s, step_low_s, step_high_s
        Median, 5 % and 95 % quantile of the steps between different times, the last
        two without the gaps; NaN where there is no step or times are unknown.
    midnight
        The first frame after midnight; None if there is none, or the day is unknown.
    remarks
        All this in sentences, as far as it is out of the ordinary.
    """

    duplicates: dict[int, int]
    gaps: tuple[Gap, ...]
    step_median_s: float
    step_low_s: float
    step_high_s: float
    midnight: int | None
    remarks: tuple[str, ...]


def natural_order(texts: Sequence[str]) -> list[int]:
    """Order of texts with numbers by the numbers, so that frame2 is before frame10.

    Parameters
    ----------
    texts
        The texts, in any order.

    Returns
    -------
    list of int
        Indices into ``texts``.

    Examples
    --------
    >>> natural_order(["frame10", "frame2", "Frame3"])
    [1, 2, 0]
    """

    def key(place: int) -> tuple[list[tuple[int, str]], str]:
        parts = re.split(r"([0-9]+)", texts[place].casefold())
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], texts[place]

    return sorted(range(len(texts)), key=key)


def unwrap_clock(
    clock_s: ArrayLike, start: float | None = None
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Order of frames, and their times, from wall clocks without a date.

    A run shorter than a day covers an arc of it, perhaps across midnight: it begins
    after the longest silence. Where another silence is more than half as long, this
    would be a guess, and the start has to be given.

    Parameters
    ----------
    clock_s
        ``(frames,)``, seconds since midnight, in any order.
    start
        Seconds since midnight at which the run began, or some time before that.

    Returns
    -------
    order : ndarray of intp
        ``(frames,)``, indices into ``clock_s`` in order of time; equal clocks as given.
    time_s : ndarray of float64
        ``(frames,)``, the times of ``clock_s[order]`` from the first frame, exact to
        a nanosecond.

    Raises
    ------
    FrameError
        If a clock lies outside the day, or where the run begins cannot be told.
    SettingsError
        If the start lies outside the day.

    Examples
    --------
    >>> order, time_s = unwrap_clock([2.5, 86390.0, 86396.0])
    >>> order.tolist(), time_s.tolist()
    ([1, 2, 0], [0.0, 6.0, 12.5])
    """
    clock = np.atleast_1d(np.asarray(clock_s, np.float64))
    outside = ~((clock >= 0) & (clock < DAY_S))
    if outside.any():
        first = int(np.argmax(outside))
        raise FrameError(f"clock {first} is {clock[first]:g} s; give 0 to 86400 s since midnight")
    if start is not None and not 0 <= start < DAY_S:
        raise SettingsError(f"start: {start:g} s (allowed: from 0 to below 86400 s since midnight)")
    if clock.size == 0:
        return np.zeros(0, np.intp), np.zeros(0)
    clock_ns = _nanoseconds(clock)
    start_ns = _first_after_silence(clock_ns) if start is None else round(start * _NS)
    since = (clock_ns - start_ns) % (DAY_S * _NS)
    order = np.argsort(since, kind="stable")
    return order, (since[order] - since[order[0]]) / _NS


def order_names(
    names: Sequence[Name], start: float | None = None
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Order of frames, and their times, from what their names tell.

    Dates, where there are any, spare the guess about midnight. Frames of the same time
    are ordered by index, where all have one, else as given.

    Parameters
    ----------
    names
        One for each frame: all with a date and a clock, or all with a clock, or all
        with a time, or all with an index.
    start
        As in `unwrap_clock`; only for clocks without dates.

    Returns
    -------
    order : ndarray of intp
        ``(frames,)``, indices into ``names``.
    time_s : ndarray of float64
        ``(frames,)``, the times in this order from the first frame; NaN for indices.

    Raises
    ------
    FrameError
        If the names do not have the same parts, or as in `unwrap_clock`.
    SettingsError
        If a start is given that is not needed, or as in `unwrap_clock`.

    Examples
    --------
    >>> order, time_s = order_names([Name(index=20), Name(index=3)])
    >>> order.tolist(), time_s.tolist()
    ([1, 0], [nan, nan])
    """
    indices = [name.index for name in names if name.index is not None]
    ranks = np.arange(len(names))
    if len(indices) == len(names):
        ranks = np.asarray(sorted(range(len(names)), key=indices.__getitem__), np.intp)
    ranked = [names[int(rank)] for rank in ranks]
    dates = [name.date for name in ranked if name.date is not None]
    clocks = [name.clock_s for name in ranked if name.clock_s is not None]
    times = [name.time_s for name in ranked if name.time_s is not None]
    if len(clocks) == len(names) and not dates:
        order, time_s = unwrap_clock(clocks, start)
        return ranks[order], time_s
    if start is not None:
        raise SettingsError(
            "start: is only for names with a clock and without a date; leave it out"
        )
    if len(clocks) == len(names) == len(dates):
        first_day = min(dates).toordinal()
        days = np.asarray([date.toordinal() - first_day for date in dates], np.int64)
        since = days * (DAY_S * _NS) + _nanoseconds(np.asarray(clocks))
    elif len(times) == len(names):
        since = _nanoseconds(np.asarray(times))
    elif len(indices) == len(names) and not clocks and not times:
        return ranks, np.full(len(names), np.nan)
    else:
        raise FrameError(
            f"some of {len(names)} names have a date, clock, time or index that others have not; "
            "make them alike, or give a pattern"
        )
    order = np.argsort(since, kind="stable")
    return ranks[order], (since[order] - since[order[0]]) / _NS


def describe_times(time_s: ArrayLike, start_clock_s: float | None = None) -> TimeReport:
    """Describe the steps between frames: duplicates, gaps, irregularity, midnight.

    Parameters
    ----------
    time_s
        ``(frames,)``, ascending; NaN where unknown, and then nothing is said.
    start_clock_s
        Wall clock at time 0, in seconds since midnight, where the date is unknown.

    Returns
    -------
    TimeReport
        Numbers and sentences.

    Raises
    ------
    FrameError
        If a time is before that of the frame before it.

    Examples
    --------
    >>> report = describe_times([0, 5, 5, 10, 40, 45])
    >>> report.duplicates, report.gaps
    ({2: 1}, (Gap(frame=3, seconds=30.0),))
    >>> report.remarks[1]
    '1 gap (step longer than 3 times the median of 5 s): 30 s after frame 3'
    """
    time = np.asarray(time_s, np.float64)
    nothing = TimeReport({}, (), np.nan, np.nan, np.nan, None, ())
    if time.size < 2 or np.isnan(time).any():
        return nothing
    if (np.diff(time) < 0).any():
        frame = int(np.argmax(np.diff(time) < 0)) + 1
        raise FrameError(f"frame {frame} is earlier than the frame before it; order them by time")
    remarks = []
    _, firsts, which = np.unique(time, return_index=True, return_inverse=True)
    duplicates = {
        frame: int(first) for frame, first in enumerate(firsts[which]) if frame != int(first)
    }
    if duplicates:
        frame, first = next(iter(duplicates.items()))
        frames = "frame has" if len(duplicates) == 1 else "frames have"
        remarks.append(
            f"{len(duplicates)} {frames} the time of an earlier one: frame {frame} that of {first}"
            + (", and so on" if len(duplicates) > 1 else "")
        )
    steps = np.diff(time[firsts])
    if steps.size == 0:
        return nothing._replace(duplicates=duplicates, remarks=tuple(remarks))
    median = float(np.median(steps))
    long = steps > GAP_STEPS * median
    # A gap follows the last of the frames that share its time.
    last_frames = np.append(firsts[1:], time.size)[:-1] - 1
    gaps = tuple(
        Gap(int(frame), float(step))
        for frame, step in zip(last_frames[long], steps[long], strict=True)
    )
    if gaps:
        longest = max(gaps, key=lambda gap: gap.seconds)
        remarks.append(
            f"{len(gaps)} gap{'s' if len(gaps) > 1 else ''} (step longer than {GAP_STEPS:g} times "
            f"the median of {median:.4g} s): {'the longest ' if len(gaps) > 1 else ''}"
            f"{longest.seconds:.4g} s after frame {longest.frame}"
        )
    low, high = (float(step) for step in np.quantile(steps[~long], (0.05, 0.95)))
    if high - low > UNEVEN_STEPS * median:
        remarks.append(
            f"steps are irregular: 90 % of them lie between {low:.4g} and {high:.4g} s, "
            f"their median is {median:.4g} s"
        )
    midnight = None
    if start_clock_s is not None and start_clock_s + time[-1] >= DAY_S:
        midnight = int(np.searchsorted(time, DAY_S - start_clock_s))
        remarks.append(f"the clock passes midnight before frame {midnight}")
    return TimeReport(duplicates, gaps, median, low, high, midnight, tuple(remarks))


def _nanoseconds(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(seconds * _NS).astype(np.int64)


def _first_after_silence(clock_ns: NDArray[np.int64]) -> int:
    present = np.unique(clock_ns)
    silences = np.diff(present, prepend=present[-1] - DAY_S * _NS)
    if present.size > 1:
        second, longest = np.sort(silences)[-2:] / _NS
        if second > longest / 2:
            raise FrameError(
                f"where the run begins cannot be told: the clocks leave out {longest:.0f} s and "
                f"{second:.0f} s of the day; give its start in seconds since midnight"
            )
    return int(present[np.argmax(silences)])
