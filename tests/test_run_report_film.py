"""The film in the report of a run: its pictures, and where it shows what was found."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image
from run_pages import Outline, usual, written

from corroscope.report.run import player


def test_what_a_thousand_particles_a_frame_leave_out_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = written(usual(), tmp_path)
    assert "are not drawn here" not in whole
    monkeypatch.setattr(player, "MOST_MARKS", 100)
    film = Outline(written(usual(), tmp_path)).words
    left_out = re.search(r"so that the page stays small, (\d+) tracks", film, re.IGNORECASE)
    assert left_out is not None
    seen = usual().tracks.groupby("track").size().sort_values(ascending=False)
    assert int(left_out[1]) == (seen.cumsum() > 100).sum()


def test_more_pictures_than_have_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player, "MOST_FRAMES", 4)
    page = usual()
    text = written(page, tmp_path)
    shown = [int(k) for k in re.findall(r'"number":(\d+)', text)]
    assert len(shown) == 4
    assert (shown[0], shown[-1]) == (0, 9)
    assert "4 frames of 10" in Outline(text).words


@pytest.mark.parametrize("most", [60_000, 9_000])
def test_pictures_keep_within_their_bytes(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    noise: list[NDArray[np.uint8]] = [
        rng.integers(0, 256, (200, 300), np.uint8).astype(np.uint8) for _ in range(9)
    ]
    page = replace(usual(), pictures=[(k, grey, 1.0) for k, grey in enumerate(noise)])
    monkeypatch.setattr(player, "MOST_PICTURE_BYTES", most)
    text = written(page, tmp_path)
    inside = re.findall(r'"picture":"([^"]*)"', text)
    assert len(inside) == 9
    assert sum(map(len, inside)) <= 1.05 * most
    assert '<canvas id="screen" role="img" aria-label="Film of the run" width="300"' in text


def test_places_of_a_film_are_those_of_the_tables(tmp_path: Path) -> None:
    """Half as large a picture, in tenths of its pixels; a pixel's middle is half a pixel in."""
    page = usual()
    grey = np.full((60, 80), 200, np.uint8)
    page = replace(page, pictures=[(9, grey, 0.5)])
    text = written(page, tmp_path)
    marks = re.search(r'"marks":\[([\d,-]*)\]', text)
    assert marks is not None
    found = np.array(marks[1].split(","), float).reshape(-1, 5)
    rows = page.tracks[page.tracks["frame"] == 9].set_index("track").loc[found[:, 3]]
    assert np.allclose(found[:, 0], 5 * (rows["x_ref_px"] + 0.5), atol=0.51)
    assert np.allclose(found[:, 1], 5 * (rows["y_ref_px"] + 0.5), atol=0.51)
    room = 10 * player.ROOM_PX
    assert np.allclose(found[:, 2], 2.5 * rows["equivalent_diameter_px"] + room, atol=0.51)
    assert np.array_equal(found[:, 4] == 1, rows["state"] == "settled")


def test_a_clump_is_outlined_once(tmp_path: Path) -> None:
    page = usual()
    second = page.tracks[(page.tracks["frame"] == 9) & (page.tracks["particle"] == 1)]
    tracks = pd.concat([page.tracks, second.assign(track=99)])
    page = replace(page, tracks=tracks, pictures=[(9, np.zeros((120, 160), np.uint8), 1.0)])
    marks = re.search(r'"marks":\[([\d,-]*)\]', written(page, tmp_path))
    assert marks is not None
    found = np.array(marks[1].split(","), int).reshape(-1, 5)
    assert (found[:, 2] > 0).sum() == (page.particles["frame"] == 9).sum()
    assert found[found[:, 3] == 99, 2].tolist() == [0]


def test_without_a_reference_places_are_those_of_the_frame(tmp_path: Path) -> None:
    page = usual()
    particles = page.particles.assign(y_ref_px=np.nan, x_ref_px=np.nan)
    tracks = page.tracks.head(0)
    page = replace(page, particles=particles, tracks=tracks)
    assert '"marks":[]' not in written(page, tmp_path).split('"number":9')[1]


def test_pictures_survive_in_the_page(tmp_path: Path) -> None:
    text = written(usual(), tmp_path)
    address = re.findall(r'"picture":"data:image/webp;base64,([^"]*)"', text)[-1]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(address))).convert("L"), float)
    given = list(usual().pictures)[-1][1].astype(float)
    assert shown.shape == given.shape
    assert abs(shown.mean() - given.mean()) < 2
