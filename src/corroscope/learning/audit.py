"""`corroscope audit`: which patches show a common piece of metal, and whether a split leaks."""

import csv
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.errors import DatasetError, LeakageError
from corroscope.learning import overlaps as limits
from corroscope.learning.dataset import Patch, dataset_hash, read_dataset
from corroscope.learning.overlaps import Overlap, find_overlaps
from corroscope.learning.surfaces import shared_surface, surface_groups
from corroscope.outputs import output_folder, replacing, versions, write_json

SIDE_NAMES: Final = ("side", "part", "split", "fold", "set")
"""Columns that may say on which side of a split an image is."""

MOST_NAMED: Final = 3
"""Pairs that a message names; all are in the tables."""


@dataclass(frozen=True)
class Audit:
    """What an audit found where nothing leaks.

    Attributes
    ----------
    surfaces
        One row for each patch: ``image`` and ``surface``, a number.
    overlaps
        One row for each pair, as in ``overlaps.csv``.
    summary
        What was found, in lines of text.
    """

    surfaces: pd.DataFrame
    overlaps: pd.DataFrame
    summary: tuple[str, ...]


def audit(
    dataset: str | Path,
    *,
    out: str | Path,
    against: str | Path | None = None,
    split: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Audit:
    """Find shared surface in a dataset from the pixels, and refuse a split that leaks.

    Writes ``surfaces.csv``, ``overlaps.csv``, ``summary.txt`` and ``manifest.json``, with
    ``against`` also ``against.csv``: all before a leak is told.

    Parameters
    ----------
    dataset
        Folder of images and masks.
    out
        Output folder, made if missing.
    against
        Another dataset, of which the first must show no surface.
    split
        CSV file with a column ``image`` and one of `SIDE_NAMES`: patches of different
        sides must show no common surface. Patches that it does not name are on no side.
    progress
        Called with the number of pairs of patches compared, and of all.

    Returns
    -------
    Audit
        What was found.

    Raises
    ------
    DatasetError, FrameError
        If a dataset or the split cannot be read.
    LeakageError
        If patches of different sides, or of the two datasets, show a common piece of metal.
    OutputError
        If the output cannot be written.
    """
    patches = read_dataset(dataset)
    others = None if against is None else read_dataset(against)
    sides = None if split is None else _read_split(Path(split), patches)
    folder = output_folder(out)
    found = find_overlaps(patches, progress=progress)
    shared = shared_surface(patches, found, doubtful=False)
    groups = surface_groups(shared)
    summary = _summary(patches, found, int(groups.max()) + 1)
    leaks = []
    if split is not None and sides is not None:
        told, line = _across_sides(patches, shared, sides)
        summary += told
        if line:
            leaks.append(f"{split}: {line}")
    crossing: list[Overlap] = []
    if others is not None:
        crossing = find_overlaps(patches, others, progress=progress)
        told, line = _across_datasets(patches, others, crossing, str(against))
        summary += told
        if line:
            leaks.append(f"{dataset}: {line}")
    result = Audit(
        pd.DataFrame({"image": [patch.name for patch in patches], "surface": groups}),
        _table(found, patches, patches),
        tuple(summary),
    )
    _write_table(folder / "surfaces.csv", result.surfaces)
    _write_table(folder / "overlaps.csv", result.overlaps)
    if others is not None:
        _write_table(folder / "against.csv", _table(crossing, patches, others))
    with replacing(folder / "summary.txt") as temporary:
        temporary.write_text("\n".join([*summary, *leaks]) + "\n", encoding="utf-8")
    write_json(folder / "manifest.json", _manifest(patches, others, split, summary, leaks))
    if leaks:
        raise LeakageError("; ".join(leaks))
    return result


def _read_split(path: Path, patches: Sequence[Patch]) -> list[str | None]:
    """On which side each patch is; None where the file does not name it."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{path}: cannot be read ({error}); give a CSV file with columns image and side"
        ) from error
    names = [name for name in SIDE_NAMES if rows and name in rows[0]]
    if not names or "image" not in rows[0]:
        raise DatasetError(
            f"{path}: has no rows with columns image and side (or {', '.join(SIDE_NAMES[1:])}); "
            "add them"
        )
    sides: dict[str, str] = {}
    known = {patch.name for patch in patches}
    for row in rows:
        image, side = row["image"], row[names[0]]
        if image not in known:
            raise DatasetError(f"{path}: names {image}, which is not in the dataset; mend the name")
        if not side:
            raise DatasetError(f"{path}: {image} is on no side; fill in {names[0]} or drop the row")
        if sides.setdefault(image, side) != side:
            raise DatasetError(f"{path}: {image} is on two sides; keep one of the rows")
    return [sides.get(patch.name) for patch in patches]


def _summary(patches: Sequence[Patch], found: Sequence[Overlap], surfaces: int) -> list[str]:
    seen = sum(overlap.found for overlap in found)
    by_index = sum(overlap.shared and not overlap.found for overlap in found)
    twice = [o for o in found if o.same_frame]
    count = len(patches)
    lines = [
        f"{count} patches show {surfaces} separate pieces of surface; {seen} pairs overlap "
        f"by their pixels, {by_index} more by index.csv alone; {len(twice)} pairs are of one frame."
    ]
    told = [patch.surface_group for patch in patches]
    if None not in told:
        seen_alone = _by_pixels_alone(len(patches), found)
        pairs = set(zip(told, seen_alone, strict=True))
        agree = len(pairs) == len(set(told)) == len(set(seen_alone))
        lines.append(
            f"index.csv has {len(set(told))} surface groups, the pixels alone "
            f"{len(set(seen_alone))}: {'the same.' if agree else 'not the same.'}"
        )
    equal = [o for o in twice if patches[o.first].shape == patches[o.second].shape]
    lines += [
        f"Duplicate: {patches[o.first].name} and {patches[o.second].name} are the same picture."
        for o in equal
        if (o.dy_px, o.dx_px) == (0, 0)
    ]
    lines += [
        f"Contradiction: {patches[o.first].name} and {patches[o.second].name}: {o.remark}."
        for o in found
        if o.remark
    ]
    return lines


def _by_pixels_alone(count: int, found: Sequence[Overlap]) -> list[int]:
    shared = np.eye(count, dtype=bool)
    for overlap in found:
        shared[overlap.first, overlap.second] |= overlap.found
    return [int(number) for number in surface_groups(shared | shared.T)]


def _across_sides(
    patches: Sequence[Patch], shared: NDArray[np.bool_], sides: Sequence[str | None]
) -> tuple[list[str], str]:
    """Lines about each side, and what is wrong with the split, if anything is."""
    names = sorted({side for side in sides if side is not None})
    on = np.array([-1 if side is None else names.index(side) for side in sides])
    leaking = shared & (on[:, None] != on[None]) & (on >= 0)[:, None] & (on >= 0)[None]
    per_patch = leaking.any(axis=1)
    told = [
        f"Side {name}: {int(per_patch[on == n].sum())} of {int((on == n).sum())} patches share "
        "surface with another side."
        for n, name in enumerate(names)
    ]
    if (on < 0).any():
        told.append(f"{int((on < 0).sum())} patches are on no side.")
    pairs = np.argwhere(np.triu(leaking)).tolist()
    if not pairs:
        return told, ""
    first = ", ".join(
        f"{patches[i].name} ({sides[i]}) with {patches[j].name} ({sides[j]})"
        for i, j in pairs[:MOST_NAMED]
    )
    by_side = ", ".join(
        f"{int(per_patch[on == n].sum())} of {int((on == n).sum())} in {name}"
        for n, name in enumerate(names)
    )
    return told, (
        f"the split leaks: {len(pairs)} pairs share surface across sides ({by_side}), as {first}; "
        "keep each surface of surfaces.csv on one side"
    )


def _across_datasets(
    patches: Sequence[Patch], others: Sequence[Patch], crossing: Sequence[Overlap], against: str
) -> tuple[list[str], str]:
    """A line about the two, and what is wrong, if anything is."""
    count = len({overlap.first for overlap in crossing})
    told = [
        f"{count} of {len(patches)} patches show surface of the other dataset.",
        *(
            f"Duplicate: {patches[o.first].name} is {others[o.second].name} of the other dataset."
            for o in crossing
            if o.same_frame and o.share == 1 and (o.dy_px, o.dx_px) == (0, 0)
        ),
    ]
    if not crossing:
        return told, ""
    first = ", ".join(
        f"{patches[o.first].name} (with {others[o.second].name})" for o in crossing[:MOST_NAMED]
    )
    return told, (
        f"{count} of {len(patches)} patches show surface that is in {against} too, as {first}; "
        "leave them out"
    )


def _table(
    overlaps: Sequence[Overlap], patches: Sequence[Patch], others: Sequence[Patch]
) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "image": patches[o.first].name,
                "other": others[o.second].name,
                "dy_px": o.dy_px,
                "dx_px": o.dx_px,
                "share": o.share,
                "correlation": o.correlation,
                "gain": o.gain,
                "same_frame": o.same_frame,
                "found": o.found,
                "index": {None: "", True: "yes", False: "no"}[o.told],
                "remark": o.remark,
            }
            for o in overlaps
        ],
        columns=[
            "image", "other", "dy_px", "dx_px", "share", "correlation", "gain", "same_frame",
            "found", "index", "remark",
        ],
    )  # fmt: skip


def _write_table(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4g")


def _manifest(
    patches: list[Patch],
    others: list[Patch] | None,
    split: str | Path | None,
    summary: Sequence[str],
    leaks: Sequence[str],
) -> dict[str, Any]:
    pairs = len(patches) * (len(patches) - 1) // 2
    return {
        "command": "audit",
        "versions": versions("numpy", "scipy", "cv2"),
        "dataset_sha256": dataset_hash(patches),
        "against_sha256": None if others is None else dataset_hash(others),
        "split_sha256": None
        if split is None
        else hashlib.sha256(Path(split).read_bytes()).hexdigest(),
        "settings": {
            "required_evidence": limits.required_evidence(pairs),
            "least_correlation": limits.LEAST_CORRELATION,
            "confirming_evidence": limits.CONFIRMING_EVIDENCE,
            "telling_px": limits.TELLING_PX,
            "largest_drift_px": limits.LARGEST_DRIFT_PX,
        },
        "summary": list(summary),
        "leaks": list(leaks),
    }
