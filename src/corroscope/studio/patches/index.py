"""``index.csv`` of a dataset: one line for each patch, changed line by line.

People add columns and lines of their own, ``surface_group`` for one; these stay as they are.
"""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from corroscope.cutting import Cut
from corroscope.errors import StudioError
from corroscope.outputs import replacing
from corroscope.studio.patches.origins import Origin

INDEX: Final = "index.csv"

Row = dict[str, str]


def index_row(patch: str, frame: str, cut: Cut, origin: Origin) -> Row:
    """Tell where a patch lies.

    Parameters
    ----------
    patch, frame
        File names of the patch and of the frame it is cut from.
    cut
        Its place in the frame.
    origin
        What is known of the frame.

    Returns
    -------
    dict
        As `corroscope.learning.dataset.read_dataset` takes it. Without the frame's drift the place
        in the reference is left empty: places in frames that have moved cannot be compared, and
        which patches show the same metal is found from their pixels.

    Examples
    --------
    >>> row = index_row("a_r01_c00.png", "a.tif", Cut(1, 0, 32, 0, 64), Origin((2, -3), {}))
    >>> row["y0_px"], row["x0_px"], row["y0_frame_px"], row["time_s"]
    ('34', '-3', '32', '')
    """
    place = {"y0_px": "", "x0_px": ""}
    if origin.corner_px is not None:
        place = {
            "y0_px": str(origin.corner_px[0] + cut.y0_px),
            "x0_px": str(origin.corner_px[1] + cut.x0_px),
        }
    return {
        "image": patch,
        **place,
        "time_s": "",
        "frame": "",
        **origin.told,
        "y0_frame_px": str(cut.y0_px),
        "x0_frame_px": str(cut.x0_px),
        "source": frame,
    }


def change_index(
    path: Path, changes: Mapping[str, Row | None], gone: Callable[[str], bool]
) -> None:
    """Put lines into an index, change or remove them.

    Parameters
    ----------
    path
        The file; made if missing.
    changes
        What lines become, by image; None removes one. Columns that a line has besides stay.
    gone
        Which other images are no longer there; their lines go.

    Raises
    ------
    StudioError
        If the index cannot be understood; it is left as it is.
    OutputError
        If it cannot be written.
    """
    columns, rows = _read(path)
    kept = []
    for row in rows:
        change = changes.get(row["image"], {})
        if change is not None and (row["image"] in changes or not gone(row["image"])):
            kept.append(row | change)
    known = {row["image"] for row in rows}
    kept += [row for name, row in changes.items() if row is not None and name not in known]
    if kept == rows:
        return
    columns += [
        name for name in dict.fromkeys(n for row in kept for n in row) if name not in columns
    ]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)


def _read(path: Path) -> tuple[list[str], list[Row]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            rows = [{name: value or "" for name, value in row.items()} for row in reader]
        if not all(row["image"] and None not in row for row in rows):
            raise ValueError("a line names no image, or has too many columns")
    except FileNotFoundError:
        return [], []
    except (OSError, csv.Error, KeyError, ValueError) as error:
        raise StudioError(
            f"{path}: cannot be understood ({type(error).__name__}: {error}); mend or remove it"
        ) from error
    return list(reader.fieldnames or []), rows
