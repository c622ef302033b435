"""Results of runs, written by hand as `corroscope run` writes them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corroscope.outputs import write_mask
from corroscope.tables import PIT_SUMMARY, RATES, SEGMENTED_FRAMES, TRACK_SUMMARY, Column
from corroscope.tabulation import write_table


def write_result(
    folder: Path,
    *,
    concentration_mm: float | None = 30.0,
    potential_v: float | None = 1.6,
    repeat: int | None = None,
    times_s: Sequence[float] = tuple(range(11)),
    gaps: Sequence[int] = (),
    ejections: Sequence[int] | None = None,
    with_mother: Sequence[int] | None = None,
    particles: Sequence[int] | None = None,
    tracks: Sequence[dict[str, float]] = (),
    pits: Sequence[dict[str, Any]] = (),
    pixel_size_um: float | None = 0.5,
    shape: tuple[int, int] | None = (1000, 2000),
    settings: dict[str, Any] | None = None,
    current: tuple[Sequence[float], Sequence[float]] | None = None,
    name: str | None = None,
) -> Path:
    """Write a result; what is not given is empty, or the same in all results."""
    folder.mkdir(parents=True)
    count = len(times_s)
    ejected = [0] * count if ejections is None else list(ejections)
    seen = np.cumsum(ejected).tolist() if particles is None else list(particles)
    segmented = np.array([number not in gaps for number in range(count)], bool)
    known = pd.array(seen, dtype="Int64")
    known[~segmented] = pd.NA
    common = {"frame": range(count), "time_s": np.array(times_s, float), "particles": known}
    _write(
        folder / "frames", SEGMENTED_FRAMES, count,
        **common, image="a.tif", segmented=segmented, flagged=~segmented, aligned=segmented,
    )  # fmt: skip
    totals = np.cumsum(ejected)
    rates = [pd.DataFrame({**common, "pit": 0, "ejections": ejected, "ejections_total": totals})]
    if with_mother is not None:
        mine = list(with_mother)
        rates.append(
            pd.DataFrame(
                {**common, "pit": 1, "ejections": mine, "ejections_total": np.cumsum(mine)}
            )
        )
    whole = pd.concat(rates, ignore_index=True)
    _write(folder / "rates", RATES, len(whole), **{str(name): whole[name] for name in whole})
    for stem, columns, rows in (
        ("track_summary", TRACK_SUMMARY, tracks), ("pit_summary", PIT_SUMMARY, pits)
    ):  # fmt: skip
        given = pd.DataFrame(list(rows))
        _write(folder / stem, columns, len(given), **{str(name): given[name] for name in given})
    if current is not None:
        time_s, current_ua = current
        two = (Column("time_s", "float64", "s", ""), Column("current_ua", "float64", "µA", ""))
        _write(
            folder / "current", two, len(time_s),
            time_s=np.array(time_s, float), current_ua=np.array(current_ua, float),
        )  # fmt: skip
    sequence: dict[str, Any] = {
        "name": name or folder.name,
        "frames": count,
        "fingerprint": f"of {folder.name}",
        "conditions": {
            "concentration_mm": concentration_mm, "potential_v": potential_v, "repeat": repeat
        },
    }  # fmt: skip
    if shape is not None:
        sequence["shape"] = list(shape)
    manifest = {
        "command": "run",
        "sequence": sequence,
        "settings": {
            "bundle": "ab" * 32,
            "threshold": 0.4,
            "smallest area": 7,
            "reference": "first:0 0123456789abcdef",
            "pixel_size_um": pixel_size_um,
        }
        | (settings or {}),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def mask_of(folder: Path, shape: tuple[int, int]) -> None:
    """Write an empty mask, as a run does for each frame."""
    (folder / "masks").mkdir()
    write_mask(folder / "masks" / "a_mask.png", np.zeros(shape, bool))


def _write(stem: Path, columns: Sequence[Column], count: int, **given: Any) -> None:
    empty = {"float64": np.nan, "int64": 0, "Int64": 0, "bool": False, "str": ""}
    rows = pd.DataFrame(
        {column.name: given.get(column.name, empty[column.dtype]) for column in columns},
        index=range(count),
    )
    write_table(stem, rows, columns)
