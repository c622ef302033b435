"""Where on the metal a frame lies and when it was taken, as the tables beside it tell."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

from corroscope.errors import StudioError
from corroscope.outputs import made_by
from corroscope.studio.workplace import within

HANDED_DOWN: Final = ("time_s", "time_fraction", "frame", "surface_group")
"""Columns that hold for every patch of a frame as they do for the frame."""

Source = Literal["index", "drift", "aligned", "nothing"]
"""``index.csv``, or ``frames.csv`` with the drift, or that of frames which are aligned."""

_TABLES: Final[dict[str, Source]] = {"index.csv": "index", "frames.csv": "drift"}


class Origin(NamedTuple):
    """What is known of a frame.

    Attributes
    ----------
    corner_px
        Row and column of its first pixel in the reference; None where the drift is unknown.
    told
        Those of the columns `HANDED_DOWN` that have a value.
    """

    corner_px: tuple[int, int] | None
    told: Mapping[str, str]


class Origins(NamedTuple):
    """What is known of the frames of a folder.

    Attributes
    ----------
    source
        Where from.
    by_stem
        By the frame's name without ending: aligned frames have another one.
    """

    source: Source
    by_stem: Mapping[str, Origin]

    def of(self, name: str) -> Origin:
        """Look up a frame.

        Parameters
        ----------
        name
            Its file name.

        Returns
        -------
        Origin
            Empty where nothing is known.
        """
        return self.by_stem.get(Path(name).stem, Origin(None, {}))


def read_origins(folder: Path) -> Origins:
    """Read where the frames of a folder lie.

    Parameters
    ----------
    folder
        With ``index.csv``, as datasets have it, or with ``frames.csv``, as ``prepare`` and ``run``
        write it; or the folder ``aligned/`` that ``prepare`` wrote.

    Returns
    -------
    Origins
        Of no frame, where there is no such table.

    Raises
    ------
    StudioError
        If a table cannot be understood, or is a link out of the folder.
    """
    for name, source in _TABLES.items():
        if (folder / name).exists():
            within(folder, folder / name)
            return _read(folder / name, source)
    home = folder.resolve().parent
    if folder.resolve().name == "aligned" and made_by(home) == "prepare":
        return _read(home / "frames.csv", "aligned")
    return Origins("nothing", {})


def _read(path: Path, source: Source) -> Origins:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, strict=True))
        return Origins(source, {Path(row["image"]).stem: _origin(row, source) for row in rows})
    except (OSError, csv.Error, KeyError, ValueError, TypeError) as error:
        raise StudioError(
            f"{path}: cannot be understood ({type(error).__name__}: {error}); mend it, or remove "
            "it and shared surface is found from the pixels"
        ) from error


def _origin(row: dict[str, str], source: Source) -> Origin:
    told = {name: row[name] for name in HANDED_DOWN if row.get(name)}
    if source == "aligned":  # on the reference's grid already
        return Origin((0, 0), told)
    names, sign = (("y0_px", "x0_px"), 1) if source == "index" else (("dy_px", "dx_px"), -1)
    values = [float(row.get(name) or "nan") for name in names]
    if not all(math.isfinite(value) for value in values):
        return Origin(None, told)
    return Origin((sign * round(values[0]), sign * round(values[1])), told)
