"""`corroscope segment`: image files in, masks, overlays and a table out."""

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from corroscope.errors import BatchError, CorroscopeError, FrameError, OutputError, SettingsError
from corroscope.frames.reading import read_frame
from corroscope.outputs import (
    output_folder,
    replacing,
    sha256,
    versions,
    write_json,
    write_png,
)
from corroscope.segmentation.bundle import load_bundle
from corroscope.segmentation.engines import EngineName, Precision
from corroscope.segmentation.overlay import draw_overlay
from corroscope.segmentation.segmenter import Segmenter
from corroscope.tables import PARTICLES, PARTICLES_UM

MANIFEST: Final = "manifest.json"


def segment(
    images: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    model: str | Path | None = None,
    pixel_size: float | None = None,
    engine: EngineName = "openvino",
    precision: Precision = "auto",
    threshold: float | None = None,
    min_area: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> pd.DataFrame:
    """Find the corrosion products in image files.

    Writes ``<stem>_mask.png`` (0 and 255) and ``<stem>_overlay.png`` for each image,
    and ``particles.csv``, ``particles.parquet`` and ``manifest.json`` for all.

    Parameters
    ----------
    images
        Image files, or one: PNG, TIFF or JPEG, grey or colour, 8 or 16 bits, 16×16 px or more.
    out
        Output folder, made if missing. A mask that stands there and is not ours is not replaced.
    model
        Bundle folder; without it, the bundle that comes with corroscope.
    pixel_size
        Side of a pixel in µm. Only with it the table has columns in µm.
    engine, precision
        As in `corroscope.segmentation.engines.start_engine`.
    threshold, min_area
        Probability of a particle's pixels and smallest particle in pixels; the
        bundle's own if None.
    progress
        Called after each image with the number done and the number of all.

    Returns
    -------
    pandas.DataFrame
        All particles, with the columns of `corroscope.tables.PARTICLES`.

    Raises
    ------
    BatchError
        After the others were done, if some images could not be.
    FrameError, OutputError
        If there is one image only and it could not be done.
    BundleError, EngineError, SettingsError
        Before any image is touched.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_png(f"{folder}/frame.png", np.full((64, 64), 200, np.uint8))
    ...     table = segment([f"{folder}/frame.png"], out=f"{folder}/result")
    ...     sorted(path.name for path in Path(folder, "result").iterdir())
    ['frame_mask.png', 'frame_overlay.png', 'manifest.json', 'particles.csv', 'particles.parquet']
    """
    paths = [Path(images)] if isinstance(images, str | Path) else [Path(i) for i in images]
    if not paths:
        raise SettingsError("no images given; name at least one image file")
    if pixel_size is not None and not 0 < pixel_size < float("inf"):
        raise SettingsError(f"pixel size {pixel_size:g} µm: must be a positive number")
    segmenter = Segmenter(
        load_bundle(model),
        engine=engine,
        precision=precision,
        threshold=threshold,
        min_area_px=min_area,
    )
    _refuse_to_replace(paths, Path(out))
    folder = output_folder(out)
    manifest: dict[str, Any] = {
        "command": "segment",
        "versions": versions("numpy", "openvino", "onnxruntime", "cv2"),
        "bundle": {
            "name": segmenter.bundle.card.name,
            "network_sha256": segmenter.bundle.card.network_sha256,
        },
        "settings": {
            "engine": segmenter.engine.name,
            "device": segmenter.engine.device,
            "precision": segmenter.engine.precision,
            "threshold": segmenter.threshold,
            "min_area_px": segmenter.min_area_px,
            "pixel_size_um": pixel_size,
        },
        "inputs": [],
    }
    tables, failures = _segment_files(paths, segmenter, folder, manifest["inputs"], progress)
    alone = next(iter(failures.values())) if len(failures) == len(paths) == 1 else None
    if alone is not None and not (folder / MANIFEST).exists():
        raise alone
    particles = _complete(tables, pixel_size)
    write_table(particles, folder)
    write_json(folder / MANIFEST, manifest)
    if alone is not None:
        raise alone
    if failures:
        raise BatchError({k: str(e) for k, e in failures.items()}, len(paths) - len(failures))
    return particles


def _segment_files(
    paths: Sequence[Path],
    segmenter: Segmenter,
    folder: Path,
    entries: list[dict[str, Any]],
    progress: Callable[[int, int], object] | None,
) -> tuple[list[pd.DataFrame], dict[str, CorroscopeError]]:
    """Segment one file after the other, and go on when one fails."""
    stems = Counter(path.stem for path in paths)
    tables: list[pd.DataFrame] = []
    failures: dict[str, CorroscopeError] = {}
    for index, path in enumerate(paths):
        entry: dict[str, Any] = {"image": str(path), "frame": index}
        try:
            if stems[path.stem] > 1:
                raise OutputError(
                    f"{path}: {stems[path.stem]} inputs are named {path.stem!r} and would share "
                    "one mask file; rename them or segment them into separate folders"
                )
            table = segment_file(path, segmenter, folder)
            table.insert(0, "image", path.name)
            table.insert(1, "frame", index)
            table.insert(2, "time_s", np.nan)
            tables.append(table)
            entry |= {"sha256": sha256(path), "particles": len(table)}
        except CorroscopeError as error:
            if isinstance(error, FrameError) and (folder / MANIFEST).exists():
                # What an earlier call found in this image must not pass for this one's.
                _remove_pictures(path.stem, folder)
            failures[f"{index}: {path}"] = error
            entry |= {"error": str(error)}
        entries.append(entry)
        if progress is not None:
            progress(index + 1, len(paths))
    return tables, failures


def _refuse_to_replace(inputs: Sequence[Path], out: Path) -> None:
    """A mask here is called as an annotator's is: ``x_mask.png`` beside ``x.png``."""
    ours = (out / MANIFEST).exists()
    given = {path.absolute() for path in inputs}
    for path in inputs:
        mask = (out / f"{path.stem}_mask.png").absolute()
        theirs = mask.parent == path.absolute().parent and mask.exists() and not ours
        if mask in given or theirs:
            raise OutputError(
                f"{mask}: stands there already and was not written by corroscope; choose "
                "another output folder"
            )


def _remove_pictures(stem: str, folder: Path) -> None:
    for kind in ("mask", "overlay"):
        with contextlib.suppress(OSError):
            (folder / f"{stem}_{kind}.png").unlink(missing_ok=True)


def segment_file(path: Path, segmenter: Segmenter, folder: Path) -> pd.DataFrame:
    """Segment one image file and write its mask and its overlay.

    Parameters
    ----------
    path
        The image.
    segmenter
        The network.
    folder
        Existing folder for ``<stem>_mask.png`` and ``<stem>_overlay.png``.

    Returns
    -------
    pandas.DataFrame
        Its particles, from the column ``particle`` on.

    Raises
    ------
    FrameError
        If the file cannot be segmented; nothing is written then.
    OutputError
        If a picture cannot be written.
    """
    frame = read_frame(path)
    try:
        found = segmenter(frame)
    except FrameError as error:
        raise FrameError(f"{path}: {error}") from None
    mask = found.labels > 0
    write_png(folder / f"{path.stem}_mask.png", mask.astype(np.uint8) * np.uint8(255))
    write_png(folder / f"{path.stem}_overlay.png", draw_overlay(frame, mask))
    return found.particles


def _complete(tables: list[pd.DataFrame], pixel_size_um: float | None) -> pd.DataFrame:
    """All tables as one, with the documented columns in their order and types."""
    columns = PARTICLES if pixel_size_um is None else PARTICLES + PARTICLES_UM
    filled = [table for table in tables if len(table)]
    particles = (
        pd.concat(filled, ignore_index=True)
        if filled
        else pd.DataFrame(columns=[c.name for c in PARTICLES])
    )
    if pixel_size_um is not None:
        for name in ("y", "x", "equivalent_diameter"):
            particles[f"{name}_um"] = particles[f"{name}_px"] * pixel_size_um
        particles["area_um2"] = particles["area_px"] * pixel_size_um**2
    return particles[[c.name for c in columns]].astype({c.name: c.dtype for c in columns})


def write_table(particles: pd.DataFrame, folder: Path) -> None:
    """Write a table of particles as CSV and as Parquet with units.

    Parameters
    ----------
    particles
        Columns of `corroscope.tables`.
    folder
        Existing folder for ``particles.csv`` and ``particles.parquet``.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    with replacing(folder / "particles.csv") as temporary:
        particles.to_csv(temporary, index=False, float_format="%.6g")
    units = {c.name: c for c in PARTICLES + PARTICLES_UM}
    table = pa.Table.from_pandas(particles, preserve_index=False)
    fields = [
        field.with_metadata({"unit": units[field.name].unit, "meaning": units[field.name].meaning})
        for field in table.schema
    ]
    table = table.cast(pa.schema(fields, metadata=table.schema.metadata))
    with replacing(folder / "particles.parquet") as temporary:
        pyarrow.parquet.write_table(table, temporary)
