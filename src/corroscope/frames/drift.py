"""The stage's drift through time: what single frames measured, smoothed and checked."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corroscope.errors import FrameError

LEAST_JUMP_PX: Final = 0.5
SIGMAS: Final = 4.0
"""A frame that far from its neighbours, in pixels and in standard errors, is flagged."""

NEIGHBOURS: Final = 5
"""Frames on either side that tell where a frame should be."""

LEAST_STAY: Final = 3
"""Frames that a knocked stage has to stay at its new place to be believed."""

LONGEST_GAP: Final = 3.0
"""Usual intervals, on either side, over which a frame's place is taken from neighbours."""

_ROUNDS: Final = 10

_Vector = NDArray[np.float64]
_Mask = NDArray[np.bool_]


class Drift(NamedTuple):
    """Drift through a run.

    Attributes
    ----------
    dy_px
        ``(frames,)`` float64, rows by which the picture has moved; NaN where nobody knows.
    dx_px
        ``(frames,)`` float64, columns; likewise.
    flagged
        ``(frames,)`` bool, true where the frame's own measurement is missing or was not
        believed.
    """

    dy_px: NDArray[np.float64]
    dx_px: NDArray[np.float64]
    flagged: NDArray[np.bool_]


def follow_drift(
    time_s: ArrayLike, dy_px: ArrayLike, dx_px: ArrayLike, sigma_px: ArrayLike, aligned: ArrayLike
) -> Drift:
    """Smooth the measured drift of a run and flag frames that do not fit.

    A frame fits if it is, within the line's own scatter, where a robust line (repeated
    medians, Siegel 1982, doi:10.1093/biomet/69.1.242) through the frames before it, or
    after it, or on both sides says.
    So a step of the stage is kept, if it stays for three frames, and what jumps and returns
    is flagged. Between steps a line fitted locally by weight (Cleveland 1979,
    doi:10.1080/01621459.1979.10481038; here a parabola) is the course. Each
    measured value is drawn towards the course, the more the larger its standard error is
    against the stage's own tremble (Efron & Morris 1975,
    doi:10.1080/01621459.1975.10479864): where the stage really trembles, or the course is too
    stiff, nothing is smoothed away.

    Parameters
    ----------
    time_s
        ``(frames,)``, not falling; if any is NaN, frames count as evenly spaced.
    dy_px, dx_px
        ``(frames,)``, measured drift.
    sigma_px
        ``(frames,)``, its standard error.
    aligned
        ``(frames,)`` bool, false where nothing was measured.

    Returns
    -------
    Drift
        Flagged frames have their place from the course where there are good frames close in
        time on both sides and no step between; else NaN.

    Raises
    ------
    FrameError
        If the lengths differ or times fall.

    Examples
    --------
    >>> drift = follow_drift(range(7), [0, 1, 2, 9, 4, 5, 6], [0] * 7, [0.02] * 7, [True] * 7)
    >>> [abs(round(float(dy), 1)) for dy in drift.dy_px]
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    >>> drift.flagged.nonzero()[0].tolist()
    [3]
    """
    time, dy, dx, sigma = (
        np.asarray(values, np.float64) for values in (time_s, dy_px, dx_px, sigma_px)
    )
    good = np.array(aligned, bool)
    if len({values.shape for values in (time, dy, dx, sigma, good)}) > 1 or time.ndim != 1:
        raise FrameError(
            f"times, drift, sigma and aligned have shapes {time.shape}, {dy.shape}, {dx.shape}, "
            f"{sigma.shape} and {good.shape}; give one value for each frame"
        )
    if np.isnan(time).any():
        time = np.arange(len(time), dtype=np.float64)
    falls = np.flatnonzero(np.diff(time) < 0)
    if falls.size:
        raise FrameError(
            f"time falls after frame {falls[0]}, from {time[falls[0]]:g} to "
            f"{time[falls[0] + 1]:g} s; sort the frames by time"
        )
    good &= np.isfinite(dy) & np.isfinite(dx) & np.isfinite(sigma)
    place = np.column_stack([dy, dx])
    limit = np.maximum(LEAST_JUMP_PX, SIGMAS * np.where(good, sigma, 0))
    good = _fitting(time, place, limit, good)
    piece = _pieces(time, place, limit, good)
    smooth = np.full_like(place, np.nan)
    for number in np.unique(piece[good]):
        _smooth_piece(smooth, time, place, sigma, good & (piece == number))
    _fill(smooth, time, good, piece)
    return Drift(smooth[:, 0], smooth[:, 1], ~good)


def _fitting(time: _Vector, place: _Vector, limit: _Vector, good: _Mask) -> _Mask:
    """Which frames are where their neighbours say."""
    fits = good
    for _ in range(_ROUNDS):
        now = good.copy()
        others = np.flatnonzero(fits)
        for index in np.flatnonzero(good):
            left, right = np.searchsorted(others, (index, index + 1))
            before = others[max(0, left - NEIGHBOURS) : left]
            after = others[right : right + NEIGHBOURS]
            # One or two frames say where they are, not where the stage stays.
            sides = [side for side in (before, after) if len(side) >= LEAST_STAY - 1]
            if len(before) and len(after):
                sides.append(np.concatenate([before, after]))
            lines = [_robust_line(time[side], place[side], time[index]) for side in sides]
            beyond = [
                float(np.abs(place[index] - line.there).max()) - SIGMAS * line.spread
                for line in lines
            ]
            now[index] = min(beyond, default=0.0) <= limit[index]
        if (now == fits).all():
            break
        fits = now
    return fits


class _Line(NamedTuple):
    there: _Vector
    spread: float


def _robust_line(time: _Vector, place: _Vector, at: float) -> _Line:
    """Repeated-median line through places: where it is at one time, and how far they lie off."""
    gap = time[None] - time[:, None]
    apart = gap != 0
    slope = np.zeros(2)
    if apart.any():
        for axis in (0, 1):
            rise = place[None, :, axis] - place[:, None, axis]
            rows = zip(rise, gap, apart, strict=True)
            slope[axis] = np.median([np.median(r[a] / g[a]) for r, g, a in rows if a.any()])
    level = place - time[:, None] * slope
    middle = np.median(level, axis=0)
    spread = 1.4826 * float(np.median(np.abs(level - middle).max(axis=1)))
    return _Line(np.asarray(middle + at * slope), spread)


def _pieces(time: _Vector, place: _Vector, limit: _Vector, good: _Mask) -> NDArray[np.int64]:
    """Number of the piece between steps, for each frame; steps lie between good frames."""
    piece = np.zeros(len(time), np.int64)
    known = np.flatnonzero(good)
    for number in range(1, len(known)):
        last, first = known[number - 1], known[number]
        most = max(limit[last], limit[first])
        if np.abs(place[first] - place[last]).max() <= most:
            continue
        before = known[max(0, number - NEIGHBOURS) : number]
        after = known[number : number + NEIGHBOURS]
        if min(len(before), len(after)) < LEAST_STAY - 1:
            continue
        middle = (time[last] + time[first]) / 2
        lines = [_robust_line(time[side], place[side], middle) for side in (before, after)]
        if np.abs(lines[1].there - lines[0].there).max() > most:
            piece[first:] += 1
    return piece


def _smooth_piece(
    smooth: _Vector, time: _Vector, place: _Vector, sigma: _Vector, members: _Mask
) -> None:
    known = np.flatnonzero(members)
    measured = place[known]
    times, sigmas = time[known], sigma[known]
    course = np.empty_like(measured)
    for number in range(len(known)):
        # Time rises: the nearest are not far in order, however long the run is.
        near = np.s_[max(0, number - 2 * NEIGHBOURS) : number + 2 * NEIGHBOURS + 1]
        course[number] = _course(times[near], measured[near], sigmas[near], times[number])
    # The stage's own tremble is what is left beyond the errors of measurement.
    left = measured - course
    tremble = np.maximum((1.4826 * np.median(np.abs(left), axis=0)) ** 2, (left**2).mean(axis=0))
    tremble = np.maximum(tremble - np.median(sigma[known] ** 2), 0)
    error = sigma[known][:, None] ** 2
    # A frame without error, as the reference against itself, stays where it is.
    share = np.divide(tremble, tremble + error, out=np.ones_like(left), where=error > 0)
    smooth[known] = course + share * left


def _course(time: _Vector, place: _Vector, sigma: _Vector, at: float) -> _Vector:
    """Locally weighted parabola at one time."""
    distance = np.abs(time - at)
    nearest = np.argsort(distance, kind="stable")[: 2 * NEIGHBOURS + 1]
    away = time[nearest] - at
    reach = float(distance[nearest].max()) * 1.01
    if reach == 0:
        return np.asarray(place[nearest].mean(axis=0))
    closeness = (1 - (distance[nearest] / reach) ** 3) ** 3
    usual = float(np.median(sigma[nearest])) or 1.0
    root = np.sqrt(closeness / np.maximum(sigma[nearest] / usual, 0.1) ** 2)[:, None]
    order = min(2, len(np.unique(away)) - 1)
    terms = np.vander(away / reach, order + 1, increasing=True)
    return np.asarray(np.linalg.lstsq(terms * root, place[nearest] * root, rcond=None)[0][0])


def _fill(smooth: _Vector, time: _Vector, good: _Mask, piece: NDArray[np.int64]) -> None:
    known = np.flatnonzero(good)
    if len(known) < 2:
        return
    longest = LONGEST_GAP * float(np.median(np.diff(time)))
    for index in np.flatnonzero(~good):
        right = int(np.searchsorted(known, index))
        if not 0 < right < len(known):
            continue
        last, first = known[right - 1], known[right]
        near = max(time[index] - time[last], time[first] - time[index]) <= longest
        if near and piece[last] == piece[first]:
            same = known[piece[known] == piece[last]]
            around = same[np.argsort(np.abs(time[same] - time[index]), kind="stable")[:4]]
            order = np.ones(len(around))
            smooth[index] = _course(time[around], smooth[around], order, time[index])
