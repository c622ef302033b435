"""A folder of patches to annotate, cut out of the frames of a sequence.

A patch is cut out of the frame as it was taken, not out of the aligned one: nothing in it is
interpolated, and it is what a network will be shown. The reference is moved onto the frame to
tell what has changed, and ``index.csv`` has each patch's place in the reference, so that one
piece of metal is known for one at whatever time.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.annotation.stored import FOLDER as ANNOTATION
from corroscope.cutting import Cutting, changed_fraction, entropy_bits, noise_of
from corroscope.errors import OutputError
from corroscope.frames.reading import SUFFIXES, read_frame
from corroscope.outputs import MANIFEST, made_by, output_folder, write_json, write_png, write_tiff
from corroscope.tables import Column
from corroscope.tabulation import write_table

MIDDLE: Final = 128
"""Grey level of a difference of 0 in a difference patch."""

SHOWN: Final = 48
"""Patches on the sheet, those in which most has changed."""

INDEX: Final = (
    Column("image", "str", "", "file name of the patch"),
    Column("y0_px", "int64", "px", "row of its corner in the reference's pixels"),
    Column("x0_px", "int64", "px", "column of its corner in the reference's pixels"),
    Column("time_s", "float64", "s", "time from the first frame; empty where unknown"),
    Column("frame", "int64", "", "number of the frame, 0, 1, … in order of time"),
    Column("y0_frame_px", "int64", "px", "row of its corner in the frame"),
    Column("x0_frame_px", "int64", "px", "column of its corner in the frame"),
    Column("entropy_bits", "float64", "bit", "entropy of the difference to the reference"),
    Column("changed_fraction", "float64", "", "share of pixels darker than the reference"),
)
"""One row for each patch, those in which most has changed first."""

_SHEET_COLUMNS: Final = 8
_SHEET_GAP_PX: Final = 4


class Change(NamedTuple):
    """What has changed in a frame, in the frame's own pixels.

    Attributes
    ----------
    difference
        ``(height, width)`` float32, frame minus reference, grey levels; 0 where not covered.
    covered
        ``(height, width)`` bool, where the reference reaches.
    drift_px
        Rows and columns by which the frame has moved since the reference.
    """

    difference: NDArray[np.float32]
    covered: NDArray[np.bool_]
    drift_px: tuple[float, float]


class Patches:
    """A folder of patches, written frame by frame.

    Parameters
    ----------
    folder
        Made if missing. Patches of an earlier call are removed.
    cutting
        How frames are cut.
    brightness
        Grey level of the reference's metal; it is 127 steps in the difference patches.
    manifest
        What was done; kept beside the patches, with the scale of the differences.

    Raises
    ------
    OutputError
        If the folder cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> from corroscope.cutting import Grid
    >>> frame = np.full((64, 96), 200, np.uint8)
    >>> frame[10:14, 70:75] = 90
    >>> noise = np.random.default_rng(0).normal(0, 2, frame.shape).astype(np.float32)
    >>> change = Change(frame - np.float32(200) + noise, np.ones((64, 96), bool), (1.2, -3.0))
    >>> with tempfile.TemporaryDirectory() as name:
    ...     patches = Patches(Path(name, "patches"), Cutting(Grid(64, 32)), 200, {})
    ...     patches.add("late", 7, 3.5, frame, change)
    ...     patches.write()[["image", "y0_px", "x0_px"]].to_numpy().tolist()
    [['late_r00_c01.png', -1, 35]]
    """

    def __init__(
        self, folder: Path, cutting: Cutting, brightness: float, manifest: dict[str, Any]
    ) -> None:
        self._folder = output_folder(folder)
        self.cutting = cutting
        self._step = max(brightness, float(np.finfo(np.float32).tiny)) / 127
        self._rows: list[dict[str, Any]] = []
        scale = {"middle": MIDDLE, "grey_levels_per_step": self._step}
        write_json(self._folder / MANIFEST, {**manifest, "difference": scale})
        self._differences = output_folder(self._folder / "difference")
        for where in (self._folder, self._differences):
            for old in where.glob("*_r*_c*.*"):
                old.unlink()
        for name in ("index.csv", "index.parquet"):
            (self._folder / name).unlink(missing_ok=True)

    def add(
        self, stem: str, number: int, time_s: float, frame: NDArray[Any], change: Change
    ) -> None:
        """Cut a frame and write the patches in which something has changed.

        Parameters
        ----------
        stem
            Name of the frame, without ending; patches are ``<stem>_r<row>_c<column>``.
        number, time_s
            Of the frame.
        frame
            ``(height, width)``, as it was taken. Patches are PNG files of its number type, TIFF
            where that is floating point.
        change
            Against the reference.

        Raises
        ------
        OutputError
            If a patch cannot be written.
        SettingsError
            If the frame is smaller than a patch.
        """
        grid = self.cutting.grid
        noise = noise_of(change.difference, change.covered)
        drift = [round(by) for by in change.drift_px]
        for cut in grid.cuts(frame.shape):
            place = cut.box
            measured = change.difference[place], change.covered[place], noise
            bits = entropy_bits(*measured)
            if bits < self.cutting.least_entropy_bits:
                continue
            name = cut.name(stem)
            image = patch_file(name, frame)
            write_pixels(self._folder / image, frame[place])
            shown = np.rint(MIDDLE + change.difference[place] / self._step)
            picture = np.clip(shown, 0, 255).astype(np.uint8)
            write_png(self._differences / f"{name}.png", picture)
            self._rows.append(
                {
                    "image": image,
                    "y0_px": cut.y0_px - drift[0],
                    "x0_px": cut.x0_px - drift[1],
                    "time_s": time_s,
                    "frame": number,
                    "y0_frame_px": cut.y0_px,
                    "x0_frame_px": cut.x0_px,
                    "entropy_bits": bits,
                    "changed_fraction": changed_fraction(*measured),
                }
            )

    def write(self) -> pd.DataFrame:
        """Write ``index.csv``, and the sheet ``browse.png`` beside the folder.

        Returns
        -------
        pandas.DataFrame
            The columns of `INDEX`, the patches in which most has changed first.

        Raises
        ------
        OutputError
            If a file cannot be written.
        """
        table = pd.DataFrame(self._rows, columns=[column.name for column in INDEX])
        table = table.sort_values(
            ["entropy_bits", "image"], ascending=[False, True], ignore_index=True
        )
        write_table(self._folder / "index", table, INDEX)
        best = [self._differences / f"{Path(name).stem}.png" for name in table["image"][:SHOWN]]
        sheet = self._folder.with_name("browse.png")
        sheet.unlink(missing_ok=True)
        if best:
            write_png(sheet, _sheet([read_frame(path) for path in best]))
        return table


def check_folder(folder: Path, command: str) -> None:
    """See that a folder of patches may be replaced, before anything is.

    Parameters
    ----------
    folder
        The folder; it need not exist.
    command
        The command that writes it.

    Raises
    ------
    OutputError
        If it holds masks or a store of annotations, or was not written by the command.

    Examples
    --------
    >>> check_folder(Path("nowhere"), "prepare")
    """
    if not folder.is_dir():
        return
    pictures = [path.stem for path in folder.iterdir() if path.suffix.lower() in SUFFIXES]
    masks = any("mask" in stem or stem.endswith("_ignore") for stem in pictures)
    if masks or (folder / ANNOTATION).exists():
        raise OutputError(f"{folder}: holds annotations; choose another folder")
    if any(folder.iterdir()) and made_by(folder) != command:
        raise OutputError(
            f"{folder}: is not empty and was not written by corroscope {command}; choose another"
        )


def patch_file(name: str, frame: NDArray[Any]) -> str:
    """File name of a patch: PNG, or TIFF where grey levels are floating point.

    Parameters
    ----------
    name
        Name of the patch, without ending.
    frame
        What it is cut from.

    Returns
    -------
    str
        With ending.

    Examples
    --------
    >>> patch_file("late_r00_c12", np.zeros((2, 2), np.float32))
    'late_r00_c12.tif'
    """
    return f"{name}.tif" if frame.dtype.kind == "f" else f"{name}.png"


def write_pixels(path: Path, pixels: NDArray[Any]) -> None:
    """Write a patch, whole or not at all, with the grey levels that it has.

    Parameters
    ----------
    path
        The file, as `patch_file` names it.
    pixels
        ``(height, width)``.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    (write_tiff if path.suffix == ".tif" else write_png)(path, pixels)


def _sheet(pictures: Sequence[NDArray[Any]]) -> NDArray[np.uint8]:
    """Pictures of one size side by side, row by row."""
    size = pictures[0].shape[0]
    pitch = size + _SHEET_GAP_PX
    columns = min(_SHEET_COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * pitch - _SHEET_GAP_PX, columns * pitch - _SHEET_GAP_PX), 255, np.uint8)
    for number, picture in enumerate(pictures):
        y0, x0 = (place * pitch for place in divmod(number, columns))
        sheet[y0 : y0 + size, x0 : x0 + size] = picture
    return sheet
