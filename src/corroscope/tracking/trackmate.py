"""Tracks as TrackMate files, so that Fiji opens them on the film."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from xml.sax.saxutils import quoteattr

import numpy as np
import pandas as pd

from corroscope.tracking.trackmate_graph import Film, Joined, join_tracks

VERSION: Final = "7.11.1"
"""Of TrackMate, whose format this is."""

_UNWRITABLE: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML 1.0 file can hold."""


class _Feature(NamedTuple):
    """One measurement as TrackMate declares it."""

    key: str
    name: str
    short: str
    dimension: str
    is_integer: bool = False


_SPOT_FEATURES: Final = (
    _Feature("QUALITY", "Quality", "Quality", "QUALITY"),
    _Feature("POSITION_X", "X", "X", "POSITION"),
    _Feature("POSITION_Y", "Y", "Y", "POSITION"),
    _Feature("POSITION_Z", "Z", "Z", "POSITION"),
    _Feature("POSITION_T", "T", "T", "TIME"),
    _Feature("FRAME", "Frame", "Frame", "NONE", True),
    _Feature("RADIUS", "Radius", "R", "LENGTH"),
    _Feature("VISIBILITY", "Visibility", "Visibility", "NONE", True),
    _Feature("PARTICLE_AREA", "Particle area", "Area", "AREA"),
    _Feature("PARTICLE_CONTRAST", "Particle contrast", "Contrast", "NONE"),
    _Feature("SETTLED", "Settled", "Settled", "NONE", True),
)

_EDGE_FEATURES: Final = (
    _Feature("SPOT_SOURCE_ID", "Source spot ID", "Source ID", "NONE", True),
    _Feature("SPOT_TARGET_ID", "Target spot ID", "Target ID", "NONE", True),
    _Feature("LINK_COST", "Edge cost", "Cost", "COST"),
    _Feature("SPEED", "Speed", "Speed", "VELOCITY"),
    _Feature("DISPLACEMENT", "Displacement", "Disp.", "LENGTH"),
)

_TRACK_FEATURES: Final = (
    _Feature("TRACK_INDEX", "Track index", "Index", "NONE", True),
    _Feature("TRACK_ID", "Track ID", "ID", "NONE", True),
    _Feature("NUMBER_SPOTS", "Number of spots in track", "N spots", "NONE", True),
    _Feature("NUMBER_GAPS", "Number of gaps", "N gaps", "NONE", True),
    _Feature("NUMBER_SPLITS", "Number of split events", "N splits", "NONE", True),
    _Feature("NUMBER_MERGES", "Number of merge events", "N merges", "NONE", True),
    _Feature("NUMBER_COMPLEX", "Number of complex points", "N complex", "NONE", True),
    _Feature("LONGEST_GAP", "Longest gap", "Lgst gap", "NONE", True),
    _Feature("TRACK_DURATION", "Track duration", "Duration", "TIME"),
    _Feature("TRACK_START", "Track start", "Track start", "TIME"),
    _Feature("TRACK_STOP", "Track stop", "Track stop", "TIME"),
    _Feature("TRACK_DISPLACEMENT", "Track displacement", "Track disp.", "LENGTH"),
)


def trackmate_xml(tracks: pd.DataFrame, summary: pd.DataFrame, film: Film) -> bytes:
    """Write tracks as a TrackMate file, which Fiji opens by *Load a TrackMate file*.

    A particle is one spot, where it lies in its own frame. In TrackMate, whatever hangs together
    is one track: tracks whose particles form a clump become one that merges, named with their
    numbers, such as ``3+7``. A track of a single particle is a spot without a track. ``QUALITY``
    is the particle's score, ``LINK_COST`` the squared distance between the two spots.
    Where a time is unknown, all times are frame numbers.

    Parameters
    ----------
    tracks
        With the columns of `corroscope.tables.TRACKS`.
    summary
        With the columns of `corroscope.tables.TRACK_SUMMARY`, of which ``track`` and
        ``merged_into`` are needed.
    film
        What they lie on.

    Returns
    -------
    bytes
        The XML file, in UTF-8.

    Raises
    ------
    SettingsError
        If a row is in no frame of the film, or the film has no size.

    References
    ----------
    J.-Y. Tinevez et al., *TrackMate: An open and extensible platform for single-particle
    tracking*, Methods 115, 80–90, 2017; D. Ershov et al., *TrackMate 7*, Nature Methods 19,
    829–832, 2022.

    Examples
    --------
    >>> rows = {
    ...     "track": [1, 1], "frame": [0, 1], "time_s": [0.0, 1.1], "particle": [1, 1],
    ...     "y_px": [4.0, 5.0], "x_px": [2.0, 2.0], "equivalent_diameter_px": 5.0,
    ...     "area_px": 20, "contrast": 0.2, "score": 0.9, "state": "afloat",
    ... }
    >>> summary = pd.DataFrame({"track": [1], "merged_into": [0]})
    >>> film = Film("film.tif", "", height=8, width=8, frames=2, interval_s=1.1)
    >>> text = trackmate_xml(pd.DataFrame(rows), summary, film).decode()
    >>> '<Edge SPOT_SOURCE_ID="0" SPOT_TARGET_ID="1" LINK_COST="1"' in text
    True
    """
    graph = join_tracks(tracks, summary, film)
    space_unit = "pixel" if film.pixel_size_um is None else "µm"
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<TrackMate version="{VERSION}">',
        "<Log>Tracks by corroscope.</Log>",
        f'<Model spatialunits="{space_unit}" timeunits="{graph.time_unit}">',
        *_declarations(),
        *_spot_lines(graph.spots, film.frames),
        *_track_lines(graph),
        "</Model>",
        *_settings_lines(film, graph),
        '<GUIState state="ConfigureViews"><View key="HYPERSTACKDISPLAYER" /></GUIState>',
        "</TrackMate>",
    ]
    return ("\n".join(lines) + "\n").encode()


def trackmate_csv(tracks: pd.DataFrame, summary: pd.DataFrame, film: Film) -> str:
    """Write tracks as TrackMate's table of spots, for its CSV importer and for spreadsheets.

    Parameters
    ----------
    tracks, summary, film
        As for `trackmate_xml`.

    Returns
    -------
    str
        Four lines of heads (key, name, short name, unit), then one line for each spot; the
        track is empty for a spot without one.

    Raises
    ------
    SettingsError
        As `trackmate_xml`.

    Examples
    --------
    >>> rows = {
    ...     "track": [1], "frame": [0], "time_s": [0.0], "particle": [1], "y_px": [4.0],
    ...     "x_px": [2.0], "equivalent_diameter_px": 5.0, "area_px": 20, "contrast": 0.2,
    ...     "score": 0.9, "state": "afloat",
    ... }
    >>> summary = pd.DataFrame({"track": [1], "merged_into": [0]})
    >>> film = Film("film.tif", "", height=8, width=8, frames=1, interval_s=1.0)
    >>> print(trackmate_csv(pd.DataFrame(rows), summary, film).splitlines()[4])
    1,0,,0.9,2,4,0,0,0,2.5,1,20,0.2,0
    """
    graph = join_tracks(tracks, summary, film)
    space = "pixel" if film.pixel_size_um is None else "µm"
    units = {
        "QUALITY": "(quality)",
        "POSITION": f"({space})",
        "LENGTH": f"({space})",
        "AREA": f"({space}^2)",
        "TIME": f"({graph.time_unit})",
        "NONE": "",
    }
    own = (
        _Feature("LABEL", "Label", "Label", "NONE"),
        _Feature("ID", "Spot ID", "Spot ID", "NONE"),
        _Feature("TRACK_ID", "Track ID", "Track ID", "NONE"),
    )
    columns = (*own, *_SPOT_FEATURES)
    heads = [
        ",".join(feature.key for feature in columns),
        ",".join(feature.name for feature in columns),
        ",".join(feature.short for feature in columns),
        ",".join(units[feature.dimension] for feature in columns),
    ]
    spots = graph.spots[[feature.key for feature in columns]]
    rows = spots.to_csv(header=False, index=False, float_format="%.9g", lineterminator="\n")
    return "\n".join(heads) + "\n" + rows


def _declarations() -> Iterator[str]:
    yield "<FeatureDeclarations>"
    for element, features in (
        ("SpotFeatures", _SPOT_FEATURES),
        ("EdgeFeatures", _EDGE_FEATURES),
        ("TrackFeatures", _TRACK_FEATURES),
    ):
        yield f"<{element}>"
        for one in features:
            yield (
                f'<Feature feature="{one.key}" name="{one.name}" shortname="{one.short}" '
                f'dimension="{one.dimension}" isint="{str(one.is_integer).lower()}" />'
            )
        yield f"</{element}>"
    yield "</FeatureDeclarations>"


def _spot_lines(spots: pd.DataFrame, frames: int) -> Iterator[str]:
    yield f'<AllSpots nspots="{len(spots)}">'
    columns = [feature.key for feature in _SPOT_FEATURES]
    lines = _elements("Spot", spots, ["ID", *columns], "LABEL")
    ends = np.searchsorted(spots["FRAME"].to_numpy(), np.arange(frames), side="right").tolist()
    begin = 0
    for frame, end in enumerate(ends):
        if end > begin:
            yield f'<SpotsInFrame frame="{frame}">'
            yield from lines[begin:end]
            yield "</SpotsInFrame>"
        else:
            yield f'<SpotsInFrame frame="{frame}" />'
        begin = end
    yield "</AllSpots>"


def _track_lines(graph: Joined) -> Iterator[str]:
    yield "<AllTracks>"
    edges = _elements("Edge", graph.edges, [feature.key for feature in _EDGE_FEATURES])
    number = graph.edges["TRACK_ID"].to_numpy()
    columns = [feature.key for feature in _TRACK_FEATURES]
    heads = _elements("Track", graph.tracks, columns, "name")
    ends = np.searchsorted(number, np.arange(len(heads)), side="right").tolist()
    begin = 0
    for head, end in zip(heads, ends, strict=True):
        yield head.removesuffix(" />") + ">"
        yield from edges[begin:end]
        yield "</Track>"
        begin = end
    yield "</AllTracks>"
    yield "<FilteredTracks>"
    yield from (f'<TrackID TRACK_ID="{one}" />' for one in range(len(heads)))
    yield "</FilteredTracks>"


def _settings_lines(film: Film, graph: Joined) -> Iterator[str]:
    """What TrackMate needs to show the file; nothing was detected or linked by it."""
    scale = 1.0 if film.pixel_size_um is None else film.pixel_size_um
    interval = film.interval_s if graph.time_unit == "sec" else 1.0
    radius = graph.spots["RADIUS"].median() if len(graph.spots) else scale
    name, folder = (quoteattr(_UNWRITABLE.sub("\ufffd", text)) for text in film[:2])
    yield "<Settings>"
    yield (
        f'<ImageData filename={name} folder={folder} width="{film.width}" height="{film.height}" '
        f'nslices="1" nframes="{film.frames}" pixelwidth="{scale:.9g}" pixelheight="{scale:.9g}" '
        f'voxeldepth="1" timeinterval="{interval:.9g}" />'
    )
    yield (
        f'<BasicSettings xstart="0" xend="{film.width - 1}" ystart="0" yend="{film.height - 1}" '
        f'zstart="0" zend="0" tstart="0" tend="{film.frames - 1}" />'
    )
    yield f'<DetectorSettings DETECTOR_NAME="MANUAL_DETECTOR" RADIUS="{radius:.9g}" />'
    yield '<InitialSpotFilter feature="QUALITY" value="0.0" isabove="true" />'
    yield "<SpotFilterCollection />"
    yield '<TrackerSettings TRACKER_NAME="MANUAL_TRACKER" />'
    yield "<TrackFilterCollection />"
    yield "<AnalyzerCollection><SpotAnalyzers /><EdgeAnalyzers /><TrackAnalyzers />"
    yield "</AnalyzerCollection>"
    yield "</Settings>"


def _elements(
    tag: str, rows: pd.DataFrame, columns: list[str], name: str | None = None
) -> list[str]:
    """One empty element for each row; names of ours need no quoting."""
    named = [] if name is None else [name]
    form = f"<{tag} " + "".join('name="%s" ' for _ in named)
    for column in columns:
        whole = pd.api.types.is_integer_dtype(rows[column])
        form += f'{column}="%{"d" if whole else ".9g"}" '
    form += "/>"
    values = rows[[*named, *columns]].itertuples(index=False, name=None)
    # "nan" is how Python, "NaN" how Java and XML Schema write it.
    return [(form % row).replace('"nan"', '"NaN"') for row in values]
