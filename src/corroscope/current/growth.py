"""What was seen, frame by frame → series of rates that a current can be set beside."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def volume_growth(pits: pd.DataFrame, frame_time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Growth of the volume of each pit from frame to frame, up to a constant factor.

    The volume of a pit that keeps its shape goes with the power 3/2 of its area. A pit that
    a frame does not list keeps its last volume.

    Parameters
    ----------
    pits
        One row for each pit in each frame, with ``pit``, ``frame`` and ``area_px``; where there
        is a column ``measured``, frames in which no pit was measured tell nothing.
    frame_time_s
        ``(frames,)``, from the first frame; ``frame`` counts in it.

    Returns
    -------
    ndarray of float64
        ``(frames, pits)``, px³/s, each since the last frame before it that tells something; NaN
        in the first, and where a frame tells nothing or is at the time of the one before.

    Examples
    --------
    >>> pits = pd.DataFrame({"pit": 1, "frame": [1, 2], "area_px": [4.0, 9.0]})
    >>> volume_growth(pits, np.array([0.0, 2.0, 3.0]))[:, 0]
    array([nan,  4., 19.])
    """
    names, column = np.unique(pits["pit"].to_numpy(np.int64), return_inverse=True)
    frames = pits["frame"].to_numpy(np.int64)
    volume = np.full((len(frame_time_s), len(names)), np.nan)
    volume[frames, column] = pits["area_px"].to_numpy(np.float64) ** 1.5
    volume = pd.DataFrame(volume).ffill().fillna(0.0).to_numpy(np.float64)
    told = np.ones(len(frame_time_s), bool)
    if "measured" in pits:
        measured = np.bincount(frames, pits["measured"].to_numpy(bool), len(frame_time_s))
        listed = np.bincount(frames, minlength=len(frame_time_s))
        told = (measured > 0) | (listed == 0)
    return _rates(volume, told, frame_time_s)


def event_rate(
    event_time_s: NDArray[np.float64], frame_time_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Number of events between frames, per second.

    Parameters
    ----------
    event_time_s
        ``(events,)``, on the frames' clock.
    frame_time_s
        ``(frames,)``, from the first frame.

    Returns
    -------
    ndarray of float64
        ``(frames,)``, 1/s; NaN as in `volume_growth`.

    Examples
    --------
    >>> event_rate(np.array([0.5, 1.0, 3.5]), np.array([0.0, 1.0, 4.0]))
    array([       nan, 2.        , 0.33333333])
    """
    known = np.isfinite(frame_time_s)
    times = np.sort(event_time_s[np.isfinite(event_time_s)])
    before = np.searchsorted(times, np.where(known, frame_time_s, 0.0), side="right")
    return _rates(before.astype(np.float64)[:, None], known, frame_time_s)[:, 0]


def other_births(
    time_s: NDArray[np.float64],
    volume: NDArray[np.float64],
    runs: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Let the same pits be born at other times: runs of the same kind that never were.

    New births are drawn from the old ones, smoothed by a normal kernel as wide as Silverman's
    rule has it, or by a quarter of the film where there is one pit. Past its last frame, a pit
    goes on growing as it last did.

    Parameters
    ----------
    time_s
        ``(frames,)``, strictly increasing.
    volume
        ``(frames, pits)``, what each pit has grown by.
    runs
        How many runs.
    rng
        Source of the births.

    Returns
    -------
    ndarray of float64
        ``(frames, runs)``, the volume of all pits.

    References
    ----------
    B. W. Silverman, *Density estimation for statistics and data analysis*, Chapman & Hall 1986,
    eq. 3.28.

    Examples
    --------
    >>> volume = np.array([[0.0], [0], [1], [2], [3]])
    >>> runs = other_births(np.arange(5.0), volume, 3, np.random.default_rng(0))
    >>> runs.shape, bool((np.diff(runs, axis=0) <= 1).all())
    ((5, 3), True)
    """
    number = volume.shape[1]
    first, last = float(time_s[0]), float(time_s[-1])
    grows = np.diff(volume, axis=0) != 0
    at = np.where(grows.any(axis=0), grows.argmax(axis=0), len(time_s) - 1)
    births = time_s[at]
    width = 1.06 * float(np.std(births)) * number ** (-1 / 5)
    if width == 0:
        width = (last - first) / 4
    drawn = rng.choice(births, (runs, number)) + width * rng.standard_normal((runs, number))
    # Reflected at both ends of the film.
    drawn = first + np.abs((drawn - first + last - first) % (2 * (last - first)) - (last - first))
    rate = (volume[-1] - volume[-2]) / (time_s[-1] - time_s[-2])
    total = np.zeros((len(time_s), runs))
    for pit in range(number):
        for run in range(runs):
            then = time_s - (drawn[run, pit] - births[pit])
            total[:, run] += np.interp(then, time_s, volume[:, pit])
            total[:, run] += rate[pit] * np.maximum(then - last, 0.0)
    return total


def _rates(
    level: NDArray[np.float64], told: NDArray[np.bool_], time_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    rates = np.full(level.shape, np.nan)
    usable = np.flatnonzero(told & np.isfinite(time_s))
    if usable.size == 0:
        return rates
    usable = usable[np.append(True, np.diff(time_s[usable]) > 0)]
    rates[usable[1:]] = np.diff(level[usable], axis=0) / np.diff(time_s[usable])[:, None]
    return rates
