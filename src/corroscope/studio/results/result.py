"""What one ``corroscope run`` has found, read from its folder: tables, masks, and trails."""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import ndimage

from corroscope.annotation.instances import Instance
from corroscope.errors import FrameError, OutputError, StudioError
from corroscope.frames.reading import read_frame
from corroscope.outputs import read_manifest
from corroscope.segmentation.particles import find_particles
from corroscope.studio.workplace import Workplace, within
from corroscope.tables import PARTICLES, PARTICLES_UM, SEGMENTED_FRAMES, Column

JOURNAL: Final = "journal.jsonl"
"""As `corroscope.pipeline.run` calls it, which takes its time to be imported."""

_BEGUN: Final = b'{"asked": '
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_BROKEN: Final = (OSError, ValueError, TypeError, KeyError, pa.ArrowException)

Stamp = tuple[int, int]
"""Time of change and size of a file: another one is read anew."""


class Trail(NamedTuple):
    """Where the particles of another frame are, in the pixels of this one.

    Attributes
    ----------
    by
        How many frames later that one is; negative for an earlier one.
    points
        Row and column of each particle's centroid.
    """

    by: int
    points: list[tuple[float, float]]


class Result:
    """A folder that ``corroscope run`` has written.

    Parameters
    ----------
    folder
        The folder.
    place
        The folder of images that is worked on.
    """

    def __init__(self, folder: Path, place: Workplace) -> None:
        self.folder = folder
        self._place = place

    @property
    def name(self) -> str:
        """What people call it."""
        return self.folder.resolve().name

    @property
    def begun(self) -> bool:
        """Whether a run has begun here, be it finished or not."""
        try:
            with self._file(JOURNAL).open("rb") as journal:
                return journal.read(len(_BEGUN)) == _BEGUN
        except (StudioError, OSError):
            return False

    @property
    def finished(self) -> bool:
        """Whether there is a table of frames, which is written at the end."""
        return (self.folder / "frames.parquet").is_file()

    def frames(self) -> pd.DataFrame:
        """Read the table of frames.

        Returns
        -------
        pandas.DataFrame
            With the columns of `corroscope.tables.SEGMENTED_FRAMES`.

        Raises
        ------
        StudioError
            If there is none, it cannot be read, or it is about other images than the folder's.
        """
        if not self.finished:
            raise StudioError(f"{self.name}: holds no finished result of `corroscope run`")
        frames = self._table("frames.parquet", SEGMENTED_FRAMES)
        if not set(frames["image"]) & set(self._place.names):
            raise StudioError(
                f"{self.name}: is a result of other images: none of its {len(frames)} frames is in "
                f"{self._place.folder.resolve().name}; open their folder"
            )
        return frames

    def frame(self, image: str) -> "pd.Series[Any] | None":
        """Find an image in the table of frames.

        Parameters
        ----------
        image
            Its file name.

        Returns
        -------
        pandas.Series or None
            Its row; None where the run has not seen it.
        """
        frames = self.frames()
        rows = frames[frames["image"] == image]
        return None if rows.empty else rows.iloc[0]

    def particle_columns(self) -> tuple[Column, ...]:
        """Columns of the table of particles.

        Returns
        -------
        tuple of Column
            With those in µm where the pixel size was given.
        """
        try:
            names = pq.read_schema(self._file("particles.parquet")).names
        except _BROKEN as error:
            raise self._unreadable("particles.parquet") from error
        return PARTICLES + tuple(column for column in PARTICLES_UM if column.name in names)

    def particles(self, first: int, last: int) -> pd.DataFrame:
        """Read the particles of some frames.

        Parameters
        ----------
        first, last
            Numbers of the frames, both included.

        Returns
        -------
        pandas.DataFrame
            With the columns of `particle_columns`.

        Raises
        ------
        StudioError
            If the table cannot be read.
        """
        return self._table("particles.parquet", self.particle_columns(), (first, last))

    def instances(self, image: str) -> tuple[Instance, ...]:
        """Cut the particles of an image out of the run's mask.

        Parameters
        ----------
        image
            Its file name.

        Returns
        -------
        tuple of Instance
            Particles 1, 2, … of the table; none where the image is no frame, or a gap.

        Raises
        ------
        StudioError
            If the mask cannot be read, or does not fit to image and table.
        """
        row = self.frame(image)
        if row is None or not row["segmented"]:
            return ()
        file = self._file(f"masks/{Path(image).stem}_mask.png")
        try:
            shape, found = _cut(file, _stamp(file))
        except (OSError, FrameError) as error:
            raise self._unreadable(file.name) from error
        table = self.particles(row["frame"], row["frame"])
        same = [one.area_px for one in found] == table["area_px"].tolist()
        if not same or shape != self._place.picture(image).grey.shape:
            raise StudioError(
                f"{self.name}: mask, table and image {image} do not fit together; wait until the "
                "run has ended, or run it again"
            )
        return found

    def trails(self, image: str, around: int) -> list[Trail]:
        """Place the particles of neighbouring frames in an image.

        Parameters
        ----------
        image
            Its file name.
        around
            How many frames before and after it.

        Returns
        -------
        list of Trail
            One for each neighbour that has particles, in order of time.
        """
        row = self.frame(image)
        if row is None or around == 0 or math.isnan(row["dy_px"]):
            return []
        near = self.particles(row["frame"] - around, row["frame"] + around)
        near = near[(near["frame"] != row["frame"]) & near["y_ref_px"].notna()]
        trails = []
        for frame, rows in near.groupby("frame", sort=True):
            y, x = rows["y_ref_px"] + row["dy_px"], rows["x_ref_px"] + row["dx_px"]
            points = list(zip(y.tolist(), x.tolist(), strict=True))
            trails.append(Trail(int(str(frame)) - int(row["frame"]), points))
        return trails

    def areas(self) -> "pd.Series[float]":
        """Read the areas of all particles in all frames.

        Returns
        -------
        pandas.Series
            In µm² where the pixel size was given, in px² otherwise; its name is the column's.

        Raises
        ------
        StudioError
            If the table cannot be read, or some have no size.
        """
        columns = {column.name: column for column in self.particle_columns()}
        chosen = columns.get("area_um2", columns["area_px"])
        areas = self._table("particles.parquet", (chosen,))[chosen.name].astype(float)
        if not ((areas > 0) & (areas < math.inf)).all():
            raise self._unreadable("particles.parquet")
        return areas

    def overview(self) -> bytes | None:
        """Read ``overview.png``.

        Returns
        -------
        bytes or None
            None where there is no such picture.
        """
        try:
            content = self._file("overview.png").read_bytes()
        except OSError:
            return None
        return content if content.startswith(_PNG) else None

    def manifest(self) -> dict[str, Any]:
        """Read what the run says of itself.

        Returns
        -------
        dict
            Empty where it says nothing.
        """
        try:
            self._file("manifest.json")
            return read_manifest(self.folder)
        except (StudioError, OutputError):
            return {}

    def _table(
        self, name: str, columns: Sequence[Column], frames: tuple[int, int] | None = None
    ) -> pd.DataFrame:
        file = self._file(name)
        types = tuple((column.name, column.dtype) for column in columns)
        try:
            return _read(file, _stamp(file), types, frames)
        except _BROKEN as error:
            raise self._unreadable(name) from error

    def _unreadable(self, name: str) -> StudioError:
        return StudioError(f"{self.name}: {name} cannot be read; run it again")

    def _file(self, name: str) -> Path:
        within(self.folder, self.folder / name)
        return self.folder / name


def _stamp(file: Path) -> Stamp:
    state = file.stat()
    return state.st_mtime_ns, state.st_size


@lru_cache(maxsize=64)
def _read(
    file: Path, _: Stamp, types: tuple[tuple[str, str], ...], frames: tuple[int, int] | None
) -> pd.DataFrame:
    """Read a table; of some frames only where they are given."""
    filters = None if frames is None else [("frame", ">=", frames[0]), ("frame", "<=", frames[1])]
    return pd.read_parquet(file, columns=[name for name, _ in types], filters=filters).astype(
        dict(types)
    )


@lru_cache(maxsize=16)
def _cut(file: Path, _: Stamp) -> tuple[tuple[int, ...], tuple[Instance, ...]]:
    """Label a mask as the run labelled what it was made from, so that numbers are the same."""
    pixels = read_frame(file)
    labels = find_particles((pixels > 0).astype(np.float32), 0.5, 1)
    found = tuple(
        Instance.of(labels[box] == number, corner_px=(box[0].start, box[1].start))
        for number, box in enumerate(ndimage.find_objects(labels), start=1)
    )
    return pixels.shape, found
