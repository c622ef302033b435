"""TrackMate files: read by a parser of its own, by the rules of TrackMate's reader."""

import io
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pandas as pd
import pytest

from corroscope.errors import SettingsError
from corroscope.tables import TRACK_SUMMARY, TRACKS
from corroscope.tracking.trackmate import trackmate_csv, trackmate_xml
from corroscope.tracking.trackmate_graph import Film

FILM = Film("30mM_1.6V-w-snaps-18-27-56.446.tif", "", 100, 200, frames=12, interval_s=1.0)


def table(rows: list[tuple[int, int, int]], times: dict[int, float] | None = None) -> pd.DataFrame:
    """Tracks from (track, frame, particle); where a particle is follows from its numbers."""
    frame = pd.DataFrame(rows, columns=["track", "frame", "particle"])
    time = frame["frame"].map(times or {number: float(number) for number in range(100)})
    shown = frame.groupby(["frame", "particle"])["track"].transform("size")
    frame = frame.assign(
        time_s=time,
        y_px=10.0 + 3 * frame["frame"] + 7 * frame["particle"],
        x_px=5.0 + 2 * frame["frame"] + 11 * frame["particle"],
        y_ref_px=-1.0,
        x_ref_px=-1.0,
        area_px=20 + frame["particle"],
        equivalent_diameter_px=2 * np.sqrt((20 + frame["particle"]) / np.pi),
        contrast=0.25,
        score=0.5 + 0.01 * frame["particle"],
        state="afloat",
        joined=shown > 1,
    )
    missing = [column.name for column in TRACKS if column.name not in frame]
    return frame.assign(**dict.fromkeys(missing, 0))


def summarised(tracks: pd.DataFrame, merged: dict[int, int] | None = None) -> pd.DataFrame:
    numbers = sorted(set(tracks["track"]))
    frame = pd.DataFrame({column.name: 0 for column in TRACK_SUMMARY}, index=range(len(numbers)))
    return frame.assign(track=numbers, merged_into=[(merged or {}).get(n, 0) for n in numbers])


def read(content: bytes) -> tuple[ET.Element, dict[int, dict[str, str]], dict[int, list[Any]]]:
    """Read as TrackMate does, and refuse what TrackMate refuses."""
    root = ET.fromstring(content)
    model, settings = root.find("Model"), root.find("Settings")
    assert root.tag == "TrackMate"
    assert model is not None
    assert settings is not None
    for needed in (
        "ImageData", "DetectorSettings", "InitialSpotFilter", "SpotFilterCollection",
        "TrackerSettings", "TrackFilterCollection", "AnalyzerCollection",
    ):  # fmt: skip
        assert settings.find(needed) is not None, needed
    declared = {
        kind: {one.attrib["feature"] for one in model.iterfind(f"FeatureDeclarations/{kind}/*")}
        for kind in ("SpotFeatures", "EdgeFeatures", "TrackFeatures")
    }
    spots: dict[int, dict[str, str]] = {}
    for frame in model.iterfind("AllSpots/SpotsInFrame"):
        for spot in frame:
            assert spot.attrib["FRAME"] == frame.attrib["frame"]
            assert int(spot.attrib["ID"]) not in spots
            assert set(spot.attrib) - {"ID", "name"} == declared["SpotFeatures"]
            spots[int(spot.attrib["ID"])] = dict(spot.attrib)
    all_spots = model.find("AllSpots")
    assert all_spots is not None
    assert int(all_spots.attrib["nspots"]) == len(spots)
    tracks: dict[int, list[Any]] = {}
    edges_seen: set[frozenset[int]] = set()
    spots_seen: set[int] = set()
    for track in model.iterfind("AllTracks/Track"):
        assert set(track.attrib) - {"name"} == declared["TrackFeatures"]
        edges = []
        for edge in track:
            assert set(edge.attrib) == declared["EdgeFeatures"]
            source, target = (int(edge.attrib[f"SPOT_{end}_ID"]) for end in ("SOURCE", "TARGET"))
            assert {source, target} <= set(spots)
            assert int(spots[source]["FRAME"]) < int(spots[target]["FRAME"])
            assert frozenset({source, target}) not in edges_seen
            edges_seen.add(frozenset({source, target}))
            edges.append((source, target))
        here = {end for edge in edges for end in edge}
        assert not here & spots_seen
        spots_seen |= here
        reached = {min(here)}
        while more := {end for edge in edges if set(edge) & reached for end in edge} - reached:
            reached |= more
        assert reached == here
        assert int(track.attrib["NUMBER_SPOTS"]) == len(here)
        tracks[int(track.attrib["TRACK_ID"])] = [track.attrib, edges]
    filtered = {int(one.attrib["TRACK_ID"]) for one in model.iterfind("FilteredTracks/TrackID")}
    assert filtered == set(tracks)
    return root, spots, tracks


def test_tracks_are_rebuilt() -> None:
    """As many tracks as went in, each with its own places in the frames' own pixels."""
    rng = np.random.default_rng(1)
    rows = [
        (track, int(frame), track)
        for track in range(1, 30)
        for frame in np.flatnonzero(rng.random(12) < 0.7)
    ]
    tracks = table(rows)
    _, spots, found = read(trackmate_xml(tracks, summarised(tracks), FILM))
    assert len(spots) == len(tracks)
    by_name = {attributes["name"]: edges for attributes, edges in found.values()}
    for name, rows_of in tracks.groupby("track"):
        if len(rows_of) < 2:
            assert str(name) not in by_name
            continue
        edges = sorted(by_name[str(name)], key=lambda edge: int(spots[edge[0]]["FRAME"]))
        path = [edges[0][0], *(edge[1] for edge in edges)]
        assert [edge[0] for edge in edges] == path[:-1]
        for key, column in (
            ("POSITION_X", "x_px"), ("POSITION_Y", "y_px"), ("POSITION_T", "time_s"),
            ("FRAME", "frame"), ("QUALITY", "score"), ("PARTICLE_AREA", "area_px"),
        ):  # fmt: skip
            assert [float(spots[one][key]) for one in path] == pytest.approx(rows_of[column])
        radius = [float(spots[one]["RADIUS"]) for one in path]
        assert np.pi * np.square(radius) == pytest.approx(rows_of["area_px"].to_numpy())


def test_clump_is_one_spot_that_tracks_meet_in_and_leave() -> None:
    rows = [(1, 0, 1), (2, 0, 2), (1, 1, 1), (2, 1, 1), (1, 2, 1), (2, 2, 1), (1, 3, 1), (2, 3, 2)]
    tracks = table([*rows, (3, 0, 3), (3, 1, 3)])
    _, spots, found = read(trackmate_xml(tracks, summarised(tracks), FILM))
    assert len(spots) == 8
    assert [attributes["name"] for attributes, _ in found.values()] == ["1+2", "3"]
    (joined, edges), (alone, _) = found.values()
    assert len(edges) == 5  # two into the clump, one within, two out of it
    assert (joined["NUMBER_MERGES"], joined["NUMBER_SPLITS"]) == ("1", "1")
    assert (alone["NUMBER_MERGES"], alone["NUMBER_SPLITS"]) == ("0", "0")
    assert sorted(spot["name"] for spot in spots.values()).count("1+2") == 2


def test_track_that_ends_in_a_clump_is_led_to_it() -> None:
    rows = [(1, 0, 1), (1, 1, 1), (2, 0, 2), (2, 1, 2), (2, 3, 1), (2, 4, 1)]
    tracks = table(rows)
    _, spots, found = read(trackmate_xml(tracks, summarised(tracks, {1: 2}), FILM))
    ((attributes, edges),) = found.values()
    assert attributes["name"] == "1+2"
    assert attributes["NUMBER_MERGES"] == "1"
    frames = sorted((int(spots[a]["FRAME"]), int(spots[b]["FRAME"])) for a, b in edges)
    assert frames == [(0, 1), (0, 1), (1, 3), (1, 3), (3, 4)]
    assert (attributes["NUMBER_GAPS"], attributes["LONGEST_GAP"]) == ("2", "1")


def test_merger_into_a_track_that_is_not_there_or_over_is_no_link() -> None:
    tracks = table([(1, 4, 1), (1, 5, 1), (2, 0, 1), (2, 1, 1)])
    for merged in ({1: 2}, {1: 9}):
        _, _, found = read(trackmate_xml(tracks, summarised(tracks, merged), FILM))
        assert [attributes["name"] for attributes, _ in found.values()] == ["1", "2"]


def test_irregular_times_and_units() -> None:
    times = {0: 0.0, 1: 0.9, 2: 3.5}
    tracks = table([(1, 0, 1), (1, 1, 1), (1, 2, 1)], times)
    film = FILM._replace(pixel_size_um=0.5, interval_s=1.0)
    root, spots, found = read(trackmate_xml(tracks, summarised(tracks), film))
    model, image = root.find("Model"), root.find("Settings/ImageData")
    assert model is not None
    assert image is not None
    assert model.attrib == {"spatialunits": "µm", "timeunits": "sec"}
    assert [float(spot["POSITION_T"]) for spot in spots.values()] == [0.0, 0.9, 3.5]
    assert float(spots[0]["POSITION_X"]) == pytest.approx(tracks["x_px"][0] / 2)
    assert float(image.attrib["pixelwidth"]) == float(image.attrib["pixelheight"]) == 0.5
    assert image.attrib["filename"] == FILM.name
    assert [image.attrib[name] for name in ("width", "height", "nframes", "nslices")] == [
        "200", "100", "12", "1"
    ]  # fmt: skip
    (attributes, edges) = found[0]
    assert float(attributes["TRACK_DURATION"]) == 3.5
    step = np.hypot(1.0, 1.5)  # µm: 2 and 3 px
    assert float(attributes["TRACK_DISPLACEMENT"]) == pytest.approx(2 * step)
    speeds = {
        (edge.attrib["SPOT_SOURCE_ID"]): float(edge.attrib["SPEED"]) for edge in root.iter("Edge")
    }
    assert [speeds[str(one)] for one, _ in edges] == pytest.approx([step / 0.9, step / 2.6])
    costs = [float(edge.attrib["LINK_COST"]) for edge in root.iter("Edge")]
    assert costs == pytest.approx([step**2] * 2)


@pytest.mark.parametrize("interval", [1.0, float("nan")])
def test_unknown_times_become_frames(interval: float) -> None:
    tracks = table([(1, 0, 1), (1, 3, 1)], {0: 0.0, 3: float("nan")})
    film = FILM._replace(interval_s=interval)
    root, spots, _ = read(trackmate_xml(tracks, summarised(tracks), film))
    model = root.find("Model")
    assert model is not None
    assert model.attrib["timeunits"] == "frame"
    assert [float(spot["POSITION_T"]) for spot in spots.values()] == [0, 3]
    image = root.find("Settings/ImageData")
    assert image is not None
    assert image.attrib["timeinterval"] == "1"


def test_two_equal_times_have_no_speed() -> None:
    tracks = table([(1, 0, 1), (1, 1, 1)], {0: 2.0, 1: 2.0})
    root, _, _ = read(trackmate_xml(tracks, summarised(tracks), FILM))
    assert [edge.attrib["SPEED"] for edge in root.iter("Edge")] == ["NaN"]


def test_no_track_at_all() -> None:
    tracks = table([(1, 0, 1)]).head(0)
    content = trackmate_xml(tracks, summarised(tracks), FILM)
    root, spots, found = read(content)
    assert (spots, found) == ({}, {})
    assert len(root.findall("Model/AllSpots/SpotsInFrame")) == FILM.frames
    assert len(trackmate_csv(tracks, summarised(tracks), FILM).splitlines()) == 4


def test_names_of_films_are_quoted() -> None:
    tracks = table([(1, 0, 1)])
    film = FILM._replace(name='a<b>&"c"\x07.tif', folder="/tmp/é")
    root, _, _ = read(trackmate_xml(tracks, summarised(tracks), film))
    image = root.find("Settings/ImageData")
    assert image is not None
    assert image.attrib["filename"] == 'a<b>&"c"\ufffd.tif'
    assert image.attrib["folder"] == "/tmp/é"


def test_settled_is_told() -> None:
    tracks = table([(1, 0, 1), (1, 1, 1)]).assign(state=["afloat", "settled"])
    _, spots, _ = read(trackmate_xml(tracks, summarised(tracks), FILM))
    assert [spot["SETTLED"] for spot in spots.values()] == ["0", "1"]


def test_csv_has_the_same_spots() -> None:
    tracks = table([(7, 0, 1), (7, 2, 1), (9, 1, 1), (8, 2, 1)])
    film = FILM._replace(pixel_size_um=0.5)
    _, spots, found = read(trackmate_xml(tracks, summarised(tracks), film))
    text = trackmate_csv(tracks, summarised(tracks), film)
    assert [line.split(",")[:4] for line in text.splitlines()[:4]] == [
        ["LABEL", "ID", "TRACK_ID", "QUALITY"],
        ["Label", "Spot ID", "Track ID", "Quality"],
        ["Label", "Spot ID", "Track ID", "Quality"],
        ["", "", "", "(quality)"],
    ]
    rows = pd.read_csv(io.StringIO(text), skiprows=[1, 2, 3], dtype=str).set_index("ID")
    assert list(rows.index) == [str(one) for one in spots]
    for number, spot in spots.items():
        row = rows.loc[str(number)].to_dict()
        assert row["LABEL"] == spot["name"]
        for key in ("POSITION_X", "POSITION_T", "RADIUS", "QUALITY", "FRAME"):
            assert float(row[key]) == float(spot[key])
    ((_, edges),) = found.values()
    tracked = {str(end) for edge in edges for end in edge}
    assert set(rows.index[rows["TRACK_ID"].notna()]) == tracked
    units = dict(zip(*(text.splitlines()[line].split(",") for line in (0, 3)), strict=True))
    assert units["POSITION_X"] == "(µm)"
    assert units["POSITION_T"] == "(sec)"
    assert units["PARTICLE_AREA"] == "(µm^2)"


@pytest.mark.parametrize("frame", [-1, 12])
def test_track_beside_the_film(frame: int) -> None:
    tracks = table([(1, frame, 1)], {frame: 0.0})
    with pytest.raises(SettingsError, match=f"has 12 frames, but a track is in frame {frame}"):
        trackmate_xml(tracks, summarised(tracks), FILM)


def test_film_without_a_size() -> None:
    tracks = table([(1, 0, 1)])
    with pytest.raises(SettingsError, match="a film of 12 frames, 0 × 200 px; give its size"):
        trackmate_csv(tracks, summarised(tracks), FILM._replace(height=0))
