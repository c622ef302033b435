"""Results of runs, as the page shows them: which there are, and what is in each."""

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from corroscope.annotation.instances import Instance, iou
from corroscope.errors import StudioError
from corroscope.frames.clock import natural_order
from corroscope.outputs import made_by
from corroscope.studio.answers import Answer
from corroscope.studio.drawing import rings
from corroscope.studio.results.result import Result
from corroscope.studio.reviewing import SAME
from corroscope.studio.workplace import Workplace, within
from corroscope.tables import PARTICLES, PARTICLES_UM, Column

FOLDER: Final = "results"
"""In the folder of the images: results of runs that the page has started."""

SHOWN: Final = (
    "particle",
    "area_um2",
    "area_px",
    "equivalent_diameter_um",
    "equivalent_diameter_px",
    "contrast",
    "score",
    "eccentricity",
    "y_px",
    "x_px",
)
"""Columns of the page's table, as far as a result has them."""

BINS: Final = 24

_UNITS: Final = {column.name: column.unit for column in PARTICLES + PARTICLES_UM}


class Results:
    """The results that belong to a folder, by numbers.

    Parameters
    ----------
    place
        The folder that is worked on.
    named
        Results anywhere, as they were named on the command line.

    Raises
    ------
    StudioError
        If one of those cannot be read, or is about other images.
    """

    def __init__(self, place: Workplace, named: Sequence[Path] = ()) -> None:
        self._place = place
        self._folders: list[Path] = []
        for folder in named:
            if not folder.is_dir():
                raise StudioError(f"{folder}: no such folder; give one that `corroscope run` wrote")
            Result(folder, place).frames()
            self.number(folder)
        self._named = len(self._folders)
        self._found()

    @property
    def home(self) -> Path:
        """Where results of runs go that the page starts."""
        return self._place.folder / FOLDER

    def number(self, folder: Path) -> int:
        """Number a result.

        Parameters
        ----------
        folder
            Its folder.

        Returns
        -------
        int
            1, 2, …, always the same for the same folder.
        """
        folder = folder.absolute()
        if folder not in self._folders:
            self._folders.append(folder)
        return self._folders.index(folder) + 1

    def __getitem__(self, number: int) -> Result:
        """Give a result by its number, or raise KeyError."""
        if not 1 <= number <= len(self._folders):
            raise KeyError(number)
        return Result(self._folders[number - 1], self._place)

    def overview(self) -> list[Answer]:
        """List the results.

        Returns
        -------
        list of dict
            Those that were named, then those in ``results/``: ``number``, ``name``, ``state``
            (finished, unfinished or unreadable) and, unless finished, a line that says why.
        """
        found = list(range(1, self._named + 1))
        found += [number for number in self._found() if number not in found]
        return [self._told(number) for number in found]

    def describe(self, number: int) -> Answer:
        """Tell what is in a result.

        Parameters
        ----------
        number
            Its number.

        Returns
        -------
        dict
            ``frames`` with time, number of particles and remark, and the opaque name of their
            image; ``sizes``, ``columns``, what it was ``made`` with, and the commands that open
            it and take all it has found as annotations; ``pixel_size_um``, None where unknown.
        """
        result = self[number]
        frames = result.frames()
        known = {column.name: column for column in result.particle_columns()}
        folder, masks = str(self._place.folder), str(result.folder / "masks")
        to_take = ["import", masks, "--format", "png", "--into", folder]
        return {
            "number": number,
            "name": result.name,
            "frames": [
                {
                    "id": self._place.opaque.get(row["image"]),
                    "image": row["image"],
                    "time_s": tidy(row["time_s"]),
                    "particles": int(row["particles"]) if row["segmented"] else None,
                    "remark": row["remark"] if isinstance(row["remark"], str) else "",
                }
                for row in frames.to_dict("records")
            ],
            "sizes": _sizes(result),
            "columns": [_column(known[name]) for name in SHOWN if name in known],
            "overview": result.overview() is not None,
            "pixel_size_um": _number(_within(result.manifest(), "settings", "pixel_size_um")),
            "made": _made(result.manifest()),
            "command": _said("annotate", folder, "--result", str(result.folder)),
            "take_all": _said(*to_take, "--annotator", self._place.annotator),
        }

    def image(self, number: int, name: str, around: int) -> Answer:
        """Tell what a result has found in an image.

        Parameters
        ----------
        number
            Of the result.
        name
            File name of the image.
        around
            From how many frames before and after it to take trails.

        Returns
        -------
        dict
            ``frame``, None where the run has not seen it; ``segmented`` and ``remark``;
            ``rows`` and ``rings`` of each particle, and whether it is annotated already
            (``taken``); ``trails``, each with its points as ``[row, col, row, col, …]``.
        """
        result = self[number]
        row = result.frame(name)
        answer: Answer = {"frame": None, "segmented": False, "remark": "", "rows": [], "rings": []}
        answer["taken"] = []
        if row is None:
            return answer | {"remark": f"{result.name} has not seen this image", "trails": []}
        instances = result.instances(name)
        with self._place.store() as store:
            there = list(store.objects(name).values())
        columns = {column.name for column in result.particle_columns()}
        table = result.particles(row["frame"], row["frame"]).head(len(instances))
        values = table[[column for column in SHOWN if column in columns]].to_numpy(float)
        return answer | {
            "frame": int(row["frame"]),
            "segmented": bool(row["segmented"]),
            "remark": row["remark"] if isinstance(row["remark"], str) else "",
            "rows": [[tidy(value) for value in each] for each in values.tolist()],
            "rings": [rings(one) for one in instances],
            "taken": present(instances, there),
            "trails": [
                {"by": by, "points": [tidy(part) for point in points for part in point]}
                for by, points in result.trails(name, around)
            ],
        }

    def taken(self, number: int, name: str, particles: Sequence[int]) -> list[Instance]:
        """Give what a result has found in an image, to be annotated.

        Parameters
        ----------
        number
            Of the result.
        name
            File name of the image.
        particles
            Their numbers; all of them where there are none.

        Returns
        -------
        list of Instance
            One for each.

        Raises
        ------
        StudioError
            If there is no such result, or none of those particles in it.
        """
        try:
            result = self[number]
        except KeyError:
            raise StudioError("there is no such result; look again which there are") from None
        found = dict(enumerate(result.instances(name), start=1))
        wanted = particles or tuple(found)
        if not wanted or not set(wanted) <= found.keys():
            raise StudioError(f"{result.name}: has no such particle in {name}; nothing was taken")
        return [found[particle] for particle in dict.fromkeys(wanted)]

    def origin(self, number: int) -> Answer:
        """Tell where particles of a result come from, for the journal of annotations.

        Parameters
        ----------
        number
            Of the result.

        Returns
        -------
        dict
            Its name, the network's hash and the threshold.
        """
        result = self[number]
        manifest = result.manifest()
        return {
            "name": result.name,
            "network_sha256": _within(manifest, "bundle", "network_sha256"),
            "threshold": _within(manifest, "settings", "threshold"),
        }

    def _found(self) -> list[int]:
        """Numbers of the runs in ``results/``; a link out of the folder is not followed."""
        try:
            within(self._place.folder, self.home)
            entries = [entry for entry in self.home.iterdir() if self._is_run(entry)]
        except (StudioError, OSError):
            return []
        names = [entry.name for entry in entries]
        return [self.number(entries[k]) for k in natural_order(names)]

    def _is_run(self, folder: Path) -> bool:
        try:
            within(self._place.folder, folder)
        except StudioError:
            return False
        return made_by(folder) == "run" or Result(folder, self._place).begun

    def _told(self, number: int) -> Answer:
        result = self[number]
        told: Answer = {"number": number, "name": result.name, "state": "finished"}
        if not result.finished:
            return told | {"state": "unfinished", "problem": f"{result.name} is not finished"}
        try:
            result.frames()
            result.particle_columns()
        except StudioError as error:
            return told | {"state": "unreadable", "problem": str(error)}
        return told


def present(found: Sequence[Instance], there: Sequence[Instance]) -> list[bool]:
    """Tell what is there already.

    Parameters
    ----------
    found
        Objects that might come.
    there
        Objects of the image.

    Returns
    -------
    list of bool
        For each of the first, whether it is one of the second.

    Examples
    --------
    >>> dot = Instance.of(np.ones((3, 3), bool))
    >>> present([dot, Instance.of(dot.mask, corner_px=(9, 9))], [dot])
    [True, False]
    """
    low = np.array([one.corner_px for one in there], int).reshape(-1, 2)
    high = low + np.array([one.mask.shape for one in there], int).reshape(-1, 2)
    told = []
    for one in found:
        first, last = one.corner_px, np.add(one.corner_px, one.mask.shape)
        near = np.flatnonzero(((low < last) & (high > first)).all(axis=1))
        told.append(any(iou(one, there[k]) >= SAME for k in near.tolist()))
    return told


def tidy(value: float) -> float | None:
    """Round a number to six digits, for JSON.

    Parameters
    ----------
    value
        The number.

    Returns
    -------
    float or None
        None for what is no finite number.

    Examples
    --------
    >>> tidy(1 / 3), tidy(float("nan"))
    (0.333333, None)
    """
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _said(*words: str) -> str:
    return shlex.join(["corroscope", *words])


def _column(column: Column) -> Answer:
    return {"name": column.name, "unit": column.unit, "meaning": column.meaning}


def _sizes(result: Result) -> Answer:
    """How many particles there are of each size, all frames together; bins of equal ratio."""
    areas = result.areas()
    told: Answer = {"unit": _UNITS[str(areas.name)], "counts": [], "edges": []}
    if areas.empty:
        return told | {"total": 0, "median": None}
    low, high = float(areas.min()), float(areas.max())
    edges = np.geomspace(low, 1.001 * max(high, 2 * low), BINS + 1)
    counts, _ = np.histogram(areas, edges)
    return told | {
        "counts": counts.tolist(),
        "edges": [tidy(edge) for edge in edges.tolist()],
        "total": len(areas),
        "median": tidy(float(areas.median())),
    }


def _made(manifest: Answer) -> list[list[str]]:
    """What a manifest says that people want to know, each with its name."""
    found = []
    for term, path in (
        ("Network", ("bundle", "name")),
        ("Threshold", ("settings", "threshold")),
        ("Peak", ("settings", "peak")),
        ("Smallest, px²", ("settings", "smallest area")),
        ("Reference", ("reference",)),
        ("Times from", ("sequence", "times")),
        ("Pixel size, µm", ("settings", "pixel_size_um")),
        ("Made by", ("versions", "corroscope")),
    ):
        value = _within(manifest, *path)
        if value is not None:
            found.append([term, f"corroscope {value}" if term == "Made by" else str(value)])
    return found


def _within(manifest: Answer, *path: str) -> str | int | float | None:
    value: Any = manifest
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, str | int | float) else None


def _number(value: str | int | float | None) -> float | None:
    return tidy(value) if isinstance(value, int | float) and value > 0 else None
