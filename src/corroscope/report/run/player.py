"""The film of a run: frames with what was found in them, to be played in the page."""

import base64
import io
import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from corroscope.report.page import paragraph, render
from corroscope.report.run.contents import RunPage
from corroscope.report.run.drawing import of
from corroscope.report.run.strip import strip

MOST_FRAMES: Final = 150
"""Frames in the page."""

MOST_PICTURE_BYTES: Final = 8_000_000
"""Of all pictures as they stand in the page."""

MOST_MARKS: Final = 150_000
"""Outlines and places of tracks in the page; 20 bytes each."""

_QUALITIES: Final = (82, 70, 55, 40, 25)
"""Of WebP, the best that keeps the pictures within `MOST_PICTURE_BYTES`."""

ROOM_PX: Final = 1.5
"""Between a particle and its circle, in pixels of the picture: the circle is not to hide it."""


class Player(NamedTuple):
    """The player as a part of the page.

    Attributes
    ----------
    blocks
        What stands in its section.
    moves
        Whether there is something to play.
    """

    blocks: list[Markup]
    moves: bool


class _Picture(NamedTuple):
    """One frame of the film."""

    number: int
    grey: NDArray[np.uint8]
    scale: float


def player(page: RunPage) -> Player:
    """Put the film together.

    Parameters
    ----------
    page
        Of the run.

    Returns
    -------
    Player
        With a still of the last frame for paper and for browsers without scripts; a sentence
        alone where there is no picture.
    """
    given = [_Picture(*one) for one in page.pictures]
    if not given:
        return Player([paragraph("No frame can be shown: there is no picture of any.")], False)
    shown = given if len(given) <= MOST_FRAMES else _evenly(given)
    encoded = _encoded([one.grey for one in shown])
    marks, dropped = _marks(page, [one.number for one in shown])
    frames = [
        _frame(page, one, picture, marks) for one, picture in zip(shown, encoded, strict=True)
    ]
    height, width = shown[0].grey.shape
    strips = strip(page)
    film = {"width": width, "height": height, "frames": frames, "timed": page.course.timed,
            "span": list(strips.span)}  # fmt: skip
    text = json.dumps(film, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")
    still = _still(frames[-1], width, height)
    said = _said(page, len(shown), dropped)
    block = render(
        "player.html.j2", film=Markup(text), still=still, said=said, strip=strips,
        width=width, height=height, last=len(frames) - 1, rate=_rate(len(frames)),
        moves=len(frames) > 1, named=_named(frames[-1]),
    )  # fmt: skip
    return Player([block], True)


def _evenly(given: list[_Picture]) -> list[_Picture]:
    chosen = np.linspace(0, len(given) - 1, MOST_FRAMES).round().astype(int)
    return [given[k] for k in chosen]


def _rate(frames: int) -> int:
    """Frames per second with which the film takes about ten seconds."""
    return min((2, 5, 10, 25), key=lambda rate: abs(rate - frames / 10))


def _encoded(pictures: Sequence[NDArray[np.uint8]]) -> list[str]:
    """All in one quality and size, since a film whose grain changes distracts."""
    tried = pictures[:: max(1, len(pictures) // 5)]
    allowed = MOST_PICTURE_BYTES * 3 / 4 / len(pictures)
    for step in (1, 2, 4):
        for quality in _QUALITIES:
            # The last frames have most to show and need most.
            if max(len(_webp(one, quality, step)) for one in tried) <= allowed:
                return [_address(_webp(one, quality, step)) for one in pictures]
    return [_address(_webp(one, _QUALITIES[-1], 4)) for one in pictures]


def _webp(grey: NDArray[np.uint8], quality: int, step: int) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(grey))
    reduced = image if step == 1 else image.reduce(step)
    reduced.save(file, "WEBP", quality=quality, method=3)
    return file.getvalue()


def _address(webp: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(webp).decode()


def _marks(page: RunPage, numbers: list[int]) -> tuple[pd.DataFrame, int]:
    """Particles of the shown frames with their tracks, and how many tracks were left out."""
    names = ["frame", "particle"]
    places = [*names, "y_px", "x_px", "y_ref_px", "x_ref_px", "equivalent_diameter_px"]
    found = page.particles.loc[page.particles["frame"].isin(numbers), places]
    followed = page.tracks.loc[
        page.tracks["frame"].isin(numbers), [*names, "track", "state", "y_ref_px", "x_ref_px"]
    ]
    first = followed.drop_duplicates(names)
    rows = found.merge(first[[*names, "track", "state"]], on=names, how="left")
    # A clump is outlined once, but each of the tracks in it has its place there.
    others = followed[followed.duplicated(names)].assign(equivalent_diameter_px=0.0)
    rows = pd.concat([rows, others], ignore_index=True)
    rows["track"] = rows["track"].fillna(0).astype(np.int64)
    # Without a reference there is one grid only.
    rows["y_ref_px"] = rows["y_ref_px"].fillna(rows["y_px"])
    rows["x_ref_px"] = rows["x_ref_px"].fillna(rows["x_px"])
    rows["settled"] = rows["state"] == "settled"
    if len(rows) <= MOST_MARKS:
        return rows, 0
    seen = rows.groupby("track").size().sort_values(ascending=False, kind="stable")
    kept = seen.index[seen.cumsum() <= MOST_MARKS]
    return rows[rows["track"].isin(kept)], len(seen) - len(kept)


def _frame(page: RunPage, one: _Picture, address: str, marks: pd.DataFrame) -> dict[str, Any]:
    """One frame as the script takes it; lengths in tenths of a pixel of the picture."""
    here = marks[marks["frame"] == one.number]
    radius = here["equivalent_diameter_px"] / 2 * one.scale
    drawn = np.column_stack(
        [
            _tenths(here["x_ref_px"] + 0.5, one.scale),
            _tenths(here["y_ref_px"] + 0.5, one.scale),
            np.where(radius > 0, _tenths(radius + ROOM_PX, 1.0), 0),
            here["track"],
            here["settled"],
        ]
    ).astype(np.int64)
    pits = page.pits[page.pits["frame"] == one.number]
    open_px = np.sqrt(pits["area_px"].clip(lower=0) / np.pi) * one.scale
    holes = np.column_stack(
        [
            _tenths(pits["x_ref_px"] + 0.5, one.scale),
            _tenths(pits["y_ref_px"] + 0.5, one.scale),
            _tenths(open_px + 2 * ROOM_PX, 1.0),
            pits["pit"],
            pits["growing"],
        ]
    ).astype(np.int64)
    row = page.frames[page.frames["frame"] == one.number]
    count = row["particles"].iloc[0] if len(row) else pd.NA
    when = float(page.course.at([one.number])[0])
    return {
        "number": one.number,
        "at": round(when, 4) if np.isfinite(when) else None,
        "particles": None if pd.isna(count) else int(count),
        "flagged": bool(row["flagged"].iloc[0]) if len(row) else False,
        "picture": address,
        "marks": drawn.ravel().tolist(),
        "pits": holes.ravel().tolist(),
    }


def _tenths(values: "pd.Series[float]", scale: float) -> NDArray[np.float64]:
    return np.asarray(values * (scale * 10), np.float64).round()


def _named(frame: dict[str, Any]) -> str:
    """What the still shows, for who cannot see it."""
    found = "a gap" if frame["particles"] is None else of(frame["particles"], "particle")
    return f"Frame {frame['number']}: {found}, {of(len(frame['pits']) // 5, 'pit')}"


def _still(frame: dict[str, Any], width: int, height: int) -> Markup:
    """The last frame with its outlines, as vectors over the picture."""
    marks = np.array(frame["marks"], np.float64).reshape(-1, 5)
    pits = np.array(frame["pits"], np.float64).reshape(-1, 5)
    circle = Markup('<circle class="{}" cx="{:g}" cy="{:g}" r="{:g}"/>')
    square = Markup('<rect class="settled" x="{:g}" y="{:g}" width="{:g}" height="{:g}"/>')
    parts = [
        square.format((x - r) / 10, (y - r) / 10, r / 5, r / 5)
        if settled
        else circle.format("afloat", x / 10, y / 10, r / 10)
        for x, y, r, _, settled in marks.tolist()
        if r > 0
    ]
    for x, y, r, pit, _ in pits.tolist():
        parts += [circle.format(name, x / 10, y / 10, r / 10) for name in ("under", "pit")]
        label = Markup('<text x="{:g}" y="{:g}">{:g}</text>')
        parts.append(label.format((x + r) / 10, (y - r) / 10, pit))
    image = Markup('<image width="{}" height="{}" href="{}"/>').format(
        width, height, frame["picture"]
    )
    return image + Markup("\n").join(parts)


def _said(page: RunPage, shown: int, dropped: int) -> str:
    told = (
        f"{of(shown, 'frame')} of {len(page.frames):,}, laid on the first so that the metal stands "
        "still. Circles and squares have the width of a particle or pit of this area and a little "
        "room; they are not its outline."
    )
    if dropped:
        told += (
            f" So that the page stays small, {of(dropped, 'track')} that were seen least are not "
            "drawn here; the counts are of all particles."
        )
    return told
