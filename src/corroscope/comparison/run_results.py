"""What a run has written, as far as runs are compared by it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from corroscope.errors import OutputError, SettingsError
from corroscope.outputs import read_manifest

_COLUMNS: Final = {
    "frames": ("frame", "time_s", "flagged", "segmented", "particles"),
    "rates": ("pit", "frame", "time_s", "ejections"),
    "track_summary": ("track", "first_s", "area_px", "speed_px_s", "settled_s"),
    "pit_summary": ("pit", "born_frame", "born_s", "exponent", "kind"),
}
"""Tables that are needed, and what of them."""


@dataclass(frozen=True)
class RunResult:
    """A run, and what was found in it.

    Attributes
    ----------
    folder
        Of the result.
    name
        Of the sequence.
    fingerprint
        By which the sequence is known.
    conditions
        ``concentration_mm``, ``potential_v`` and ``repeat``, each None where unknown.
    settings
        What decided the result besides the frames.
    pixel_size_um
        Side of a pixel; None where unknown.
    shape
        Height and width of a frame, in pixels; None where unknown.
    frames, rates, track_summary, pit_summary
        With columns of `corroscope.tables.SEGMENTED_FRAMES`, `RATES`, `TRACK_SUMMARY` and
        `PIT_SUMMARY`.
    current
        With the columns ``time_s``, on the clock of the frames, and ``current_ua``; None where no
        current was given.
    """

    folder: Path
    name: str
    fingerprint: str
    conditions: dict[str, Any]
    settings: dict[str, Any]
    pixel_size_um: float | None
    shape: tuple[int, int] | None
    frames: pd.DataFrame
    rates: pd.DataFrame
    track_summary: pd.DataFrame
    pit_summary: pd.DataFrame
    current: pd.DataFrame | None

    @property
    def used_s(self) -> NDArray[np.float64]:
        """Times of the frames whose particles are known; NaN where a time is unknown."""
        times: NDArray[np.float64] = self.frames.loc[self.frames["segmented"], "time_s"].to_numpy(
            np.float64
        )
        return times

    @property
    def start_s(self) -> float:
        """Time of the first usable frame; NaN without one or without times."""
        return float(self.used_s[0]) if self.used_s.size else float("nan")

    @property
    def duration_s(self) -> float:
        """Time from the first to the last usable frame; NaN where it is unknown."""
        return float(self.used_s[-1] - self.used_s[0]) if self.used_s.size else float("nan")

    @property
    def interval_s(self) -> float:
        """Usual time between two usable frames; NaN where it is unknown."""
        steps = np.diff(self.used_s)
        return float(np.median(steps)) if steps.size else float("nan")


def read_runs(folders: Sequence[Path]) -> tuple[list[RunResult], list[str]]:
    """Read results of runs, each of a sequence of its own.

    Parameters
    ----------
    folders
        That ``corroscope run`` has written.

    Returns
    -------
    results : list of RunResult
        In order of concentration, potential and repeat, unknown ones last.
    names : list of str
        Of the sequences, with the folder where two have the same.

    Raises
    ------
    OutputError
        If a result is incomplete, or was written before runs followed tracks and pits.
    SettingsError
        If two are of one sequence.
    """
    results = sorted((_read(folder) for folder in folders), key=_order)
    first: dict[str, RunResult] = {}
    for one in results:
        other = first.setdefault(one.fingerprint, one)
        if other is not one:
            raise SettingsError(
                f"{other.folder} and {one.folder}: results of one sequence, which is no repeat of "
                "itself; give one of them"
            )
    return results, _names(results)


def _order(one: RunResult) -> list[tuple[bool, float]]:
    return [(value is None, value or 0.0) for value in one.conditions.values()]


def _names(results: Sequence[RunResult]) -> list[str]:
    """Names of the sequences, with the folder where two have the same."""
    names = [one.name for one in results]
    often = Counter(names)
    names = [
        name if often[name] == 1 else f"{name} ({one.folder.resolve().name})"
        for name, one in zip(names, results, strict=True)
    ]
    often = Counter(names)
    return [
        name if often[name] == 1 else f"{name} [{number}]"
        for number, name in enumerate(names, start=1)
    ]


def _read(folder: Path) -> RunResult:
    manifest = read_manifest(folder)
    missing = [name for name in _COLUMNS if not (folder / f"{name}.parquet").exists()]
    if missing:
        raise OutputError(
            f"{folder}: has no {missing[0]}.parquet, which runs are compared by; run again"
        )
    try:
        sequence, settings = manifest["sequence"], manifest["settings"]
        conditions = {
            name: sequence["conditions"][name]
            for name in ("concentration_mm", "potential_v", "repeat")
        }
        tables = {
            name: pd.read_parquet(folder / f"{name}.parquet", columns=[*columns])
            for name, columns in _COLUMNS.items()
        }
        size = settings["pixel_size_um"]
        return RunResult(
            folder,
            str(sequence["name"]),
            str(sequence["fingerprint"]),
            conditions,
            dict(settings),
            None if size is None else float(size),
            _shape(sequence, folder),
            tables["frames"],
            tables["rates"],
            tables["track_summary"],
            tables["pit_summary"],
            _current(folder),
        )
    except (OSError, KeyError, TypeError, ValueError, SyntaxError) as error:
        reason = " ".join(str(error).split())
        raise OutputError(
            f"{folder}: the result is incomplete or broken ({reason}); run again"
        ) from error


def _shape(sequence: dict[str, Any], folder: Path) -> tuple[int, int] | None:
    """Size of a frame; older manifests do not tell it, but masks have it."""
    if sequence.get("shape") is not None:
        height, width = sequence["shape"]
        return int(height), int(width)
    for mask in sorted(folder.glob("masks/*_mask.png")):
        with Image.open(mask) as picture:
            return picture.height, picture.width
    return None


def _current(folder: Path) -> pd.DataFrame | None:
    path = folder / "current.parquet"
    return pd.read_parquet(path, columns=["time_s", "current_ua"]) if path.exists() else None
