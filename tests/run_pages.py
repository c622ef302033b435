"""A small run as tables, so that its report can be written without one."""

from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corroscope.report.run.contents import CorrectedCounts, RecordedCurrent, RunPage
from corroscope.report.run.write import write_run_report
from corroscope.tables import (
    FOLLOWED_EVENTS,
    FOLLOWED_PITS,
    PARTICLES,
    PIT_SUMMARY,
    RATES,
    SEGMENTED_FRAMES,
    TRACK_SUMMARY,
    TRACKS,
    Column,
)

HEIGHT, WIDTH = 120, 160
ODD = '<script>alert("x")</script> $x_$ </script>'
"""A name that must come out as it is."""


def dtype_of(column: Column) -> Any:
    return column.dtype


def columns(schema: Sequence[Column], rows: pd.DataFrame | None = None) -> pd.DataFrame:
    """A table with all columns of its schema; what is not given is empty, 0 or NaN."""
    given = pd.DataFrame() if rows is None else rows.reset_index(drop=True)
    blank: dict[str, Any] = {"str": "", "bool": False, "int64": 0, "Int64": 0, "float64": np.nan}
    made: dict[str, Any] = {
        column.name: (
            given[column.name]
            if column.name in given
            else pd.Series([blank[column.dtype]] * len(given), dtype=column.dtype)
        ).astype(dtype_of(column))
        for column in schema
    }
    return pd.DataFrame(made)


def frame_table(frames: int) -> pd.DataFrame:
    number = np.arange(frames)
    return columns(
        SEGMENTED_FRAMES,
        pd.DataFrame(
            {
                "image": [f"{ODD}{k}.tif" for k in number], "frame": number, "time_s": 2.0 * number,
                "dy_px": 0.1 * number, "dx_px": -0.2 * number, "gain": 1.0, "correlation": 0.9,
                "drift_sigma_px": 0.01, "aligned": True, "flagged": number == 3,
                "segmented": number != 3, "particles": np.where(number == 3, 0, 3 * number),
                "remark": np.where(number == 3, "blurred", ""),
            }
        ),
    ).assign(particles=lambda table: table["particles"].mask(~table["segmented"]))  # fmt: skip


def followed(frames: int, tracks: int = 30) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tracks that begin one after the other and walk away from two pits, and their summary."""
    rng = np.random.default_rng(4)
    rows, summary = [], []
    for track in range(1, tracks + 1):
        first = 1 + track % max(frames - 2, 1)
        number = np.arange(first, frames)
        angle, area = rng.uniform(0, 2 * np.pi), float(rng.lognormal(3.3, 0.5) + 8)
        far = 4.0 * (number - first) + 2
        pit = 1 + track % 2
        y, x = 60 + far * np.sin(angle), 40.0 * (1 + pit) + far * np.cos(angle)
        state = np.where(number - first > 3, "settled", "afloat")
        step = np.where(number == first, np.nan, 4.0)
        rows.append(
            pd.DataFrame(
                {
                    "track": track, "frame": number, "time_s": 2.0 * number, "particle": track,
                    "y_px": y, "x_px": x, "y_ref_px": y, "x_ref_px": x, "area_px": round(area),
                    "equivalent_diameter_px": np.sqrt(4 * area / np.pi), "contrast": 0.3,
                    "score": rng.uniform(0.5, 1, number.size), "state": state,
                    "step_s": step / 2, "speed_px_s": step / 2,
                }
            )
        )  # fmt: skip
        summary.append(
            {
                "track": track, "first_frame": first, "last_frame": frames - 1,
                "first_s": 2.0 * first, "last_s": 2.0 * (frames - 1), "seen": number.size,
                "area_px": round(area), "displacement_px": far[-1] - far[0],
                "speed_px_s": rng.uniform(1, 3), "direction_deg": -np.rad2deg(angle),
                "settled_s": 2.0 * first + 8, "quality": 0.9, "pit": pit,
                "pit_probability": 0.9, "pit_distance_px": far[-1],
            }
        )  # fmt: skip
    return columns(TRACKS, pd.concat(rows)), columns(TRACK_SUMMARY, pd.DataFrame(summary))


def pit_tables(frames: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    number = np.arange(1, frames)
    areas = [
        pd.DataFrame(
            {
                "pit": pit, "frame": number, "time_s": 2.0 * number, "y_ref_px": 60.0,
                "x_ref_px": 40.0 * (1 + pit), "area_px": 5.0 * pit * (2.0 * number - 1),
                "growing": True, "equivalent_radius_px": 3.0, "measured": True,
            }
        )
        for pit in (1, 2)
    ]  # fmt: skip
    summary = pd.DataFrame(
        {
            "pit": [1, 2], "y_ref_px": 60.0, "x_ref_px": [80.0, 120.0], "born_frame": 1,
            "born_s": 1.0, "born_low_s": 0.5, "born_high_s": 1.5, "area_px": [65.0, 130.0],
            "equivalent_radius_px": [4.5, 6.4], "exponent": [1.02, 0.97],
            "exponent_low": [0.9, 0.8], "exponent_high": [1.1, 1.2], "coefficient_px": [5.0, 10.0],
            "fitted": 10, "kind": ["stable", "undecided"],
        }
    )  # fmt: skip
    return columns(FOLLOWED_PITS, pd.concat(areas)), columns(PIT_SUMMARY, summary)


def event_table(summary: pd.DataFrame) -> pd.DataFrame:
    ejected = pd.DataFrame(
        {
            "event": "ejection", "frame": summary["first_frame"], "time_s": summary["first_s"],
            "pit": summary["pit"].where(summary["track"] != 5, 0), "track": summary["track"],
            "particles": 1, "probability": 0.8,
        }
    )  # fmt: skip
    others = pd.DataFrame(
        {
            "event": ["nucleation", "nucleation", "burst"], "frame": [1, 1, 4],
            "time_s": [1.0, 1.0, 8.0], "pit": [1, 2, 1], "track": 0, "particles": [0, 0, 3],
            "probability": 0.9,
        }
    )  # fmt: skip
    return columns(FOLLOWED_EVENTS, pd.concat([others, ejected]))


def rate_table(frames: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    parts = []
    ejected = events[events["event"] == "ejection"]
    for pit in (0, 1, 2):
        here = ejected if pit == 0 else ejected[ejected["pit"] == pit]
        counts = np.bincount(here["frame"], minlength=len(frames))
        parts.append(
            frames[["frame", "time_s", "particles"]].assign(
                pit=pit, ejections=counts, ejections_total=counts.cumsum(),
                ejections_per_s=counts / 2, births=0, growing=2,
            )
        )  # fmt: skip
    return columns(RATES, pd.concat(parts))


def usual(frames: int = 10) -> RunPage:
    """A run of which all is known."""
    table = frame_table(frames)
    tracks, summary = followed(frames)
    # What was not segmented has no particle.
    tracks = tracks[tracks["frame"] != 3].reset_index(drop=True)
    pits, pit_summary = pit_tables(frames)
    events = event_table(summary)
    rng = np.random.default_rng(2)
    ground = rng.normal(180, 8, (HEIGHT, WIDTH)).clip(0, 255).astype(np.uint8)
    seen = np.full((HEIGHT, WIDTH), np.nan)
    seen[50:70, 60:90] = np.arange(20)[:, None] % 18
    bins = pd.DataFrame(
        {"lower_px": [7.0, 20.0, 50.0], "upper_px": [20.0, 50.0, np.inf], "found": [10, 15, 5],
         "corrected": [14.0, 16.0, 5.1], "low": [11.0, 15.0, 4.5], "high": [19.0, 18.0, 6.0]}
    )  # fmt: skip
    sampled = np.arange(-4, 2.0 * frames + 5, 0.25)
    return RunPage(
        title=f"Run of {ODD}",
        frames=table,
        particles=columns(PARTICLES, tracks),
        tracks=tracks,
        track_summary=summary,
        pits=pits,
        pit_summary=pit_summary,
        events=events,
        rates=rate_table(table, events),
        pictures=[(k, ground, 1.0) for k in range(frames) if k != 3],
        first_seen=seen,
        msd=pd.DataFrame({"lag_s": [2.0, 4.0], "msd_px2": [10.0, 30.0], "pairs": [90, 60]}),
        current=RecordedCurrent(sampled, 3 + sampled, 1.25, 1.1, 1.4),
        transients={"start_s": [1.0, 7.5], "end_s": [2.0, 9.0], "height_ua": [2.0, 1.0]},
        association={"nucleation": {"events": 2, "p_value": 0.04}, "permutations": 999},
        faraday={"alloy": "316L", "charge_uc": 200.0},
        corrected=CorrectedCounts(bins, (30.0, 35.1, 31.0, 42.0), "Recall from 74 patches."),
        pixel_size_um=0.5,
        smallest_area_px=7,
        conditions={"concentration_mm": 30.0, "potential_v": 1.6, "note": ODD, "repeat": None},
        manifest={"versions": {"corroscope": "0.1.0"}, ODD: None},
        warnings=[f"warning {ODD}"],
        files={"pits": "pit_summary.csv", "events": "events.csv"},
    )


def nothing(frames: int = 6) -> RunPage:
    """Frames without a particle, and nothing else known."""
    table = frame_table(frames).assign(flagged=False, segmented=True, particles=0, remark="")
    table["particles"] = table["particles"].astype("Int64")
    none = rate_table(table, columns(FOLLOWED_EVENTS))
    return replace(
        usual(),
        frames=table,
        particles=columns(PARTICLES),
        tracks=columns(TRACKS),
        track_summary=columns(TRACK_SUMMARY),
        pits=columns(FOLLOWED_PITS),
        pit_summary=columns(PIT_SUMMARY),
        events=columns(FOLLOWED_EVENTS),
        rates=none[none["pit"] == 0].reset_index(drop=True),
        first_seen=np.full((HEIGHT, WIDTH), np.nan),
        msd=None,
        current=None,
        transients=None,
        association=None,
        faraday=None,
        corrected=None,
        pixel_size_um=None,
        smallest_area_px=None,
        conditions={},
        warnings=[],
        files={},
        pictures=[(k, np.full((HEIGHT, WIDTH), 180, np.uint8), 1.0) for k in range(frames)],
    )


def all_flagged() -> RunPage:
    """Frames of which none could be aligned, so that nothing is known of any."""
    page = nothing()
    frames = page.frames.assign(
        flagged=True, aligned=False, segmented=False, dy_px=np.nan, dx_px=np.nan,
        correlation=np.nan, remark="no texture in common",
    )  # fmt: skip
    frames["particles"] = pd.array([pd.NA] * len(frames), dtype="Int64")
    rates = page.rates.assign(particles=frames["particles"], ejections_per_s=np.nan)
    return replace(page, frames=frames, rates=rates, pictures=[])


def one_frame() -> RunPage:
    """A single frame with particles."""
    page = nothing(1)
    tracks, _ = followed(10, 12)
    found = columns(PARTICLES, tracks[tracks["frame"] == 9].assign(frame=0, time_s=0.0))
    frames = page.frames.assign(particles=pd.array([len(found)], dtype="Int64"))
    seen = page.first_seen.copy()
    seen[3:9, 3:9] = 0
    return replace(page, frames=frames, particles=found, first_seen=seen)


def untimed() -> RunPage:
    """A run whose clock is not known."""
    page = usual()
    gone = {"time_s": np.nan}
    return replace(
        page,
        frames=page.frames.assign(**gone),
        particles=page.particles.assign(**gone),
        tracks=page.tracks.assign(**gone, step_s=np.nan, speed_px_s=np.nan),
        track_summary=page.track_summary.assign(
            first_s=np.nan, last_s=np.nan, speed_px_s=np.nan, settled_s=np.nan
        ),
        pits=page.pits.assign(**gone),
        pit_summary=page.pit_summary.assign(
            born_s=np.nan, born_low_s=np.nan, born_high_s=np.nan, exponent=np.nan,
            exponent_low=np.nan, exponent_high=np.nan, coefficient_px=np.nan,
        ),
        events=page.events.assign(**gone),
        rates=page.rates.assign(**gone, ejections_per_s=np.nan),
        msd=None,
    )  # fmt: skip


def without_pits() -> RunPage:
    """Tracks without any mother."""
    page = usual()
    events = page.events[page.events["event"] == "ejection"].assign(pit=0)
    return replace(
        page,
        pits=columns(FOLLOWED_PITS),
        pit_summary=columns(PIT_SUMMARY),
        events=events,
        rates=page.rates[page.rates["pit"] == 0],
        track_summary=page.track_summary.assign(
            pit=0, pit_probability=np.nan, pit_distance_px=np.nan
        ),
    )


class Outline(HTMLParser):
    """Elements with their attributes, and words without them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.words += data


def written(page: RunPage, folder: Path) -> str:
    write_run_report(page, folder)
    return (folder / "report.html").read_text(encoding="utf-8")
