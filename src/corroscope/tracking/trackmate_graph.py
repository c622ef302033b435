"""Tracks as a graph of spots and links: what hangs together through clumps is one track."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from corroscope.errors import SettingsError


class Film(NamedTuple):
    """The film that tracks lie on.

    Attributes
    ----------
    name
        File name: of the stack or video; for a folder of images, of the stack that somebody may
        save them as, since TrackMate opens one file.
    folder
        Where it is; empty for the folder of the TrackMate file.
    height, width
        Of its frames, in pixels.
    frames
        How many it has.
    interval_s
        Usual time between two; NaN where it is unknown.
    pixel_size_um
        Side of a pixel; None lets positions be in pixels, which lie on a film that Fiji knows no
        scale of.
    """

    name: str
    folder: str
    height: int
    width: int
    frames: int
    interval_s: float
    pixel_size_um: float | None = None


class Joined(NamedTuple):
    """Tracks as TrackMate sees them: spots, links between them and what hangs together.

    Attributes
    ----------
    spots
        One row for each particle, in order of time, with TrackMate's names of columns and units
        of the film; ``LABEL`` holds the numbers of its tracks, ``TRACK_ID`` is missing for a spot
        without a link.
    edges
        One row for each link, in order of ``TRACK_ID`` and time.
    tracks
        One row for each ``TRACK_ID``, 0, 1, … in order of our own numbers.
    time_unit
        ``sec``, or ``frame`` where a time is unknown.
    """

    spots: pd.DataFrame
    edges: pd.DataFrame
    tracks: pd.DataFrame
    time_unit: str


def join_tracks(tracks: pd.DataFrame, summary: pd.DataFrame, film: Film) -> Joined:
    """Make a graph of tracks, in which each particle is one spot.

    Parameters
    ----------
    tracks
        With the columns of `corroscope.tables.TRACKS`.
    summary
        With the columns ``track`` and ``merged_into`` of `corroscope.tables.TRACK_SUMMARY`.
    film
        What they lie on.

    Returns
    -------
    Joined
        The graph; tracks that share a clump are one in it.

    Raises
    ------
    SettingsError
        If a row is in no frame of the film, or the film has no size.

    Examples
    --------
    >>> rows = {
    ...     "track": [1, 1, 2, 2], "frame": [0, 1, 0, 1], "time_s": [0.0, 1.0, 0.0, 1.0],
    ...     "particle": [1, 1, 2, 1], "y_px": 4.0, "x_px": [2.0, 4.0, 6.0, 4.0],
    ...     "equivalent_diameter_px": 5.0, "area_px": 20, "contrast": 0.2, "score": 0.9,
    ...     "state": "afloat",
    ... }
    >>> summary = pd.DataFrame({"track": [1, 2], "merged_into": [0, 1]})
    >>> film = Film("film.tif", "", height=8, width=8, frames=2, interval_s=1.0)
    >>> joined = join_tracks(pd.DataFrame(rows), summary, film)
    >>> joined.spots["LABEL"].tolist(), joined.tracks["NUMBER_MERGES"].tolist()
    (['1', '2', '1+2'], [1])
    """
    _check(tracks, film)
    rows = tracks.sort_values(["track", "frame"], kind="stable", ignore_index=True)
    known = bool(rows["time_s"].notna().all()) and np.isfinite(film.interval_s)
    scale = 1.0 if film.pixel_size_um is None else film.pixel_size_um
    # A clump is a row of each track in it, but one spot.
    keys = rows[["frame", "particle"]]
    first = rows.loc[~keys.duplicated()].sort_values(["frame", "particle"], ignore_index=True)
    spots = pd.DataFrame(
        {
            "ID": np.arange(len(first)),
            "QUALITY": first["score"].to_numpy(float),
            "POSITION_X": first["x_px"].to_numpy(float) * scale,
            "POSITION_Y": first["y_px"].to_numpy(float) * scale,
            "POSITION_Z": 0.0,
            "POSITION_T": first["time_s" if known else "frame"].to_numpy(float),
            "FRAME": first["frame"].to_numpy(np.int64),
            "RADIUS": first["equivalent_diameter_px"].to_numpy(float) / 2 * scale,
            "VISIBILITY": 1,
            "PARTICLE_AREA": first["area_px"].to_numpy(float) * scale**2,
            "PARTICLE_CONTRAST": first["contrast"].to_numpy(float),
            "SETTLED": (first["state"] == "settled").to_numpy(np.int64),
        }
    )
    places = pd.MultiIndex.from_frame(first[["frame", "particle"]])
    spot = places.get_indexer(pd.MultiIndex.from_frame(keys))
    track = rows["track"].to_numpy(np.int64)
    links = _links(spot, track, rows["frame"].to_numpy(np.int64), summary)
    spots["LABEL"] = first["track"].astype(str).to_numpy()
    shared = keys.duplicated(keep=False).to_numpy()
    clumps = pd.Series(track[shared], dtype=str).groupby(spot[shared]).agg("+".join)
    spots.loc[clumps.index, "LABEL"] = clumps
    return _connected(spots, links, spot, track, "sec" if known else "frame")


def _check(tracks: pd.DataFrame, film: Film) -> None:
    if min(film.height, film.width, film.frames) < 1:
        raise SettingsError(
            f"{film.name}: a film of {film.frames} frames, {film.height} × {film.width} px; "
            "give its size"
        )
    outside = tracks.loc[(tracks["frame"] < 0) | (tracks["frame"] >= film.frames), "frame"]
    if len(outside):
        raise SettingsError(
            f"{film.name}: has {film.frames} frames, but a track is in frame {outside.iloc[0]}; "
            "give the film that was followed"
        )


def _links(
    spot: NDArray[np.int64],
    track: NDArray[np.int64],
    frame: NDArray[np.int64],
    summary: pd.DataFrame,
) -> NDArray[np.int64]:
    """Pairs of spots ``(links, 2)``, each once, the earlier first."""
    same = track[1:] == track[:-1]
    pairs = [np.column_stack([spot[:-1][same], spot[1:][same]])]
    # Where a track goes into a clump that is no row of its own, it is led to the clump.
    begins = dict(zip(*np.unique(track, return_index=True), strict=True))
    ends = dict(zip(begins, [*begins.values()][1:], strict=False))
    for one, into in zip(summary["track"].tolist(), summary["merged_into"].tolist(), strict=True):
        if into not in begins or one not in begins:
            continue
        last = ends.get(one, len(track)) - 1
        others = slice(begins[into], ends.get(into, len(track)))
        after = np.flatnonzero(frame[others] > frame[last])
        if len(after) and spot[last] not in spot[others]:
            pairs.append(np.array([[spot[last], spot[others][after[0]]]]))
    found = np.concatenate(pairs).reshape(-1, 2)
    found = found[found[:, 0] != found[:, 1]]
    return np.unique(found, axis=0)


def _connected(
    spots: pd.DataFrame,
    links: NDArray[np.int64],
    spot: NDArray[np.int64],
    track: NDArray[np.int64],
    time_unit: str,
) -> Joined:
    """Find what hangs together, and measure it as TrackMate does."""
    count = len(spots)
    ones = np.ones(len(links))
    _, part = connected_components(
        coo_array((ones, (links[:, 0], links[:, 1])), shape=(count, count)), directed=False
    )
    linked = np.unique(links)
    # Parts that have links, in the order of their first tracks.
    first = pd.Series(track).groupby(part[spot]).min()
    order = first[first.index.isin(part[linked])].sort_values(kind="stable").index
    number = pd.Series(np.arange(len(order)), index=order)
    own = number.reindex(part)
    spots = spots.assign(TRACK_ID=own.astype("Int64").to_numpy())
    names = (
        pd.DataFrame({"part": part[spot], "track": track})
        .drop_duplicates()
        .sort_values(["part", "track"])
        .astype({"track": str})
        .groupby("part")["track"]
        .agg("+".join)
        .reindex(order)
    )
    x, y, t, frame = (
        spots[name].to_numpy() for name in ("POSITION_X", "POSITION_Y", "POSITION_T", "FRAME")
    )
    source, target = links[:, 0], links[:, 1]
    distance = np.hypot(x[target] - x[source], y[target] - y[source])
    took = t[target] - t[source]
    speed = np.divide(distance, took, out=np.full(len(took), np.nan), where=took > 0)
    edges = pd.DataFrame(
        {
            "SPOT_SOURCE_ID": source,
            "SPOT_TARGET_ID": target,
            "LINK_COST": distance**2,
            "SPEED": speed,
            "DISPLACEMENT": distance,
            "TRACK_ID": own.to_numpy()[source].astype(np.int64),
            "gap": frame[target] - frame[source] - 1,
        }
    ).sort_values(["TRACK_ID", "SPOT_SOURCE_ID"], kind="stable", ignore_index=True)
    into, out = np.bincount(target, minlength=count), np.bincount(source, minlength=count)
    kinds = pd.DataFrame(
        {
            "TRACK_ID": own.to_numpy(),
            "NUMBER_SPLITS": (out > 1) & (into <= 1),
            "NUMBER_MERGES": (into > 1) & (out <= 1),
            "NUMBER_COMPLEX": (into > 1) & (out > 1),
        }
    )
    grouped = spots.groupby("TRACK_ID")
    gaps = edges.assign(is_gap=edges["gap"] > 0).groupby("TRACK_ID")
    start, stop = grouped.first(), grouped.last()  # spots are in order of time
    summary = pd.DataFrame(
        {
            "TRACK_INDEX": np.arange(len(order)),
            "TRACK_ID": np.arange(len(order)),
            "NUMBER_SPOTS": grouped.size().to_numpy(),
            "NUMBER_GAPS": gaps["is_gap"].sum().to_numpy(np.int64),
            **{
                name: column.to_numpy(np.int64)
                for name, column in kinds.groupby("TRACK_ID").sum().items()
            },
            "LONGEST_GAP": gaps["gap"].max().to_numpy(np.int64),
            "TRACK_DURATION": (stop["POSITION_T"] - start["POSITION_T"]).to_numpy(float),
            "TRACK_START": start["POSITION_T"].to_numpy(float),
            "TRACK_STOP": stop["POSITION_T"].to_numpy(float),
            "TRACK_DISPLACEMENT": np.hypot(
                *(
                    (stop[name] - start[name]).to_numpy(float)
                    for name in ("POSITION_X", "POSITION_Y")
                )
            ),
            "name": names.to_numpy(),
        }
    )
    return Joined(spots, edges, summary, time_unit)
