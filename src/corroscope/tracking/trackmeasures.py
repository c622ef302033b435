"""What tracks tell: steps, speed, direction, displacement, rest, mean squared displacement."""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.tables import TRACK_SUMMARY

AFLOAT: Final = "afloat"
SETTLED: Final = "settled"


def summarise_tracks(
    tracks: pd.DataFrame,
    usable: NDArray[np.int64],
    merged_into: dict[int, int],
    quality: dict[int, float],
) -> pd.DataFrame:
    """One row for each track: where, when, how far, how fast, which way.

    Parameters
    ----------
    tracks
        As `corroscope.tables.TRACKS`, in order of track and frame.
    usable
        ``(frames,)``: numbers of the frames that are no gaps, rising.
    merged_into
        For tracks that end in a clump, the track that goes on.
    quality
        For each track the probability that its links are right.

    Returns
    -------
    DataFrame
        As `corroscope.tables.TRACK_SUMMARY`; no pit is named.
    """
    y_name, x_name = place_names(tracks)
    rows = []
    for track, part in tracks.groupby("track", sort=True):
        number = int(str(track))
        frame, time_s = part["frame"].to_numpy(int), part["time_s"].to_numpy(float)
        y, x = part[y_name].to_numpy(float), part[x_name].to_numpy(float)
        settled = part["state"].to_numpy() == SETTLED
        afloat = ~settled
        step = np.hypot(part["step_y_px"].to_numpy(float), part["step_x_px"].to_numpy(float))
        # A step belongs to what it leads to: the one on which it lands is still a flight.
        flown = np.flatnonzero((afloat | (settled & ~np.r_[False, settled[:-1]]))[1:]) + 1
        # Clumps are of others as well: their area says nothing of this one.
        own = ~part["joined"].to_numpy(bool)
        best = own & settled if (own & settled).any() else own
        best = best if best.any() else np.ones(len(part), bool)
        # It lands within a step, at a time that nobody knows: no speed can be told from that one.
        speed = part["speed_px_s"].to_numpy(float)[afloat]
        dy, dx = y[-1] - y[0], x[-1] - x[0]
        between = np.searchsorted(usable, frame[-1]) - np.searchsorted(usable, frame[0]) + 1
        rows.append(
            {
                "track": number,
                "first_frame": frame[0],
                "last_frame": frame[-1],
                "first_s": time_s[0],
                "last_s": time_s[-1],
                "seen": len(part),
                "missed": int(between) - len(part),
                "y_first_px": y[0],
                "x_first_px": x[0],
                "y_last_px": y[-1],
                "x_last_px": x[-1],
                "area_px": float(np.median(part["area_px"].to_numpy(float)[best])),
                "contrast": _median(part["contrast"].to_numpy(float)[best]),
                "path_px": float(step[flown].sum()),
                "displacement_px": float(np.hypot(dy, dx)),
                "speed_px_s": _median(speed),
                "direction_deg": float(np.degrees(np.arctan2(-dy, dx))) if dy or dx else np.nan,
                "settled_s": (
                    time_s[np.flatnonzero(np.r_[True, ~settled])[-1]] if settled[-1] else np.nan
                ),
                "merged_into": merged_into.get(number, 0),
                "quality": quality[number],
                "pit": 0,
                "pit_probability": np.nan,
                "pit_distance_px": np.nan,
            }
        )
    return pd.DataFrame(rows, columns=[c.name for c in TRACK_SUMMARY]).astype(
        {c.name: c.dtype for c in TRACK_SUMMARY}
    )


def _median(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")


def place_names(particles: pd.DataFrame) -> tuple[str, str]:
    """Names of the columns with places: in the reference, or in the frames if it has none.

    Parameters
    ----------
    particles
        As `corroscope.tables.PARTICLES`.

    Returns
    -------
    tuple of str
        Of rows and of columns.

    Examples
    --------
    >>> place_names(pd.DataFrame({"y_ref_px": [np.nan], "x_ref_px": [np.nan]}))
    ('y_px', 'x_px')
    """
    if particles[["y_ref_px", "x_ref_px"]].isna().all(axis=None):
        return "y_px", "x_px"
    return "y_ref_px", "x_ref_px"


def mean_squared_displacement(
    tracks: pd.DataFrame, lags_s: NDArray[np.float64], width: float = 0.2
) -> pd.DataFrame:
    """Mean squared displacement against lag, of steps that are afloat all along.

    Lags are real times: a pair of rows counts for the lag it is nearest to, if it is not further
    from it than a share of the lag.

    Parameters
    ----------
    tracks
        As `corroscope.tables.TRACKS`.
    lags_s
        ``(lags,)``, rising, positive.
    width
        That share.

    Returns
    -------
    DataFrame
        ``lag_s`` (mean of the pairs), ``msd_px2``, ``pairs`` and ``tracks``, one row for each
        lag; empty (NaN) where no pair is.

    References
    ----------
    X. Michalet, *Mean square displacement analysis of single-particle trajectories*, Phys. Rev. E
    82, 2010, doi:10.1103/PhysRevE.82.041914.

    Examples
    --------
    >>> tracks = pd.DataFrame({"track": 1, "time_s": [0.0, 1, 2], "y_ref_px": [0.0, 0, 0],
    ...     "x_ref_px": [0.0, 2, 4], "state": "afloat"})
    >>> mean_squared_displacement(tracks, np.array([1.0, 2.0]))["msd_px2"].tolist()
    [4.0, 16.0]
    """
    lags = np.asarray(lags_s, float)
    sums = np.zeros((3, lags.size))
    members: list[set[int]] = [set() for _ in lags]
    y_name, x_name = place_names(tracks)
    for number, (_, part) in enumerate(tracks.groupby("track", sort=True)):
        flying = part["state"].to_numpy() == AFLOAT
        places = part[[y_name, x_name]].to_numpy(float)[flying]
        times = part["time_s"].to_numpy(float)[flying]
        one, two = np.triu_indices(len(times), 1)
        lag = times[two] - times[one]
        squared = ((places[two] - places[one]) ** 2).sum(axis=1)
        nearest = np.abs(lag[:, None] - lags[None]).argmin(axis=1) if len(lag) else one
        near = np.abs(lag - lags[nearest]) <= width * lags[nearest]
        for row, value in enumerate((squared, lag, np.ones(len(lag)))):
            sums[row] += np.bincount(nearest[near], value[near], minlength=lags.size)
        for index in np.unique(nearest[near]).tolist():
            members[index].add(number)
    with np.errstate(invalid="ignore", divide="ignore"):
        return pd.DataFrame(
            {
                "lag_s": sums[1] / sums[2],
                "msd_px2": sums[0] / sums[2],
                "pairs": sums[2].astype(int),
                "tracks": [len(one) for one in members],
            }
        )
