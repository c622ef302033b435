"""`corroscope segment`: image files in, masks, overlays and a table out."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from corroscope.errors import BatchError, CorroscopeError, FrameError, OutputError, SettingsError
from corroscope.frames.reading import read_frame
from corroscope.outputs import output_folder, replacing, sha256, versions, write_json
from corroscope.segmentation.bundle import load_bundle
from corroscope.segmentation.engines import EngineName, Precision
from corroscope.segmentation.overlay import draw_overlay
from corroscope.segmentation.segmenter import Segmenter
from corroscope.tables import PARTICLES, PARTICLES_UM


def segment(
    images: Sequence[str | Path],
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
        Image files: PNG, TIFF or JPEG, grey or colour, 8 or 16 bits, 16×16 px or more.
    out
        Output folder, made if missing.
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
    FrameError
        If there is one image only and it could not be done.
    BundleError, EngineError, SettingsError, OutputError
        Before any image is touched.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = cv2.imwrite(f"{folder}/frame.png", np.full((64, 64), 200, np.uint8))
    ...     table = segment([f"{folder}/frame.png"], out=f"{folder}/result")
    ...     sorted(path.name for path in Path(folder, "result").iterdir())
    ['frame_mask.png', 'frame_overlay.png', 'manifest.json', 'particles.csv', 'particles.parquet']
    """
    paths = [Path(image) for image in images]
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
    folder = output_folder(out)
    stems = Counter(path.stem for path in paths)
    tables: list[pd.DataFrame] = []
    inputs: list[dict[str, Any]] = []
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
            failures[f"{index}: {path}"] = error
            entry |= {"error": str(error)}
        inputs.append(entry)
        if progress is not None:
            progress(index + 1, len(paths))
    if len(failures) == len(paths) == 1:
        raise next(iter(failures.values()))
    particles = _complete(tables, pixel_size)
    _write_table(particles, folder)
    manifest = {
        "command": "segment",
        "versions": versions("numpy", "openvino", "onnxruntime", "opencv-python-headless"),
        "bundle": {
            "name": segmenter.bundle.card.name,
            "network_sha256": segmenter.bundle.card.network_sha256,
        },
        "settings": {
            "engine": segmenter.engine.name,
            "precision": segmenter.engine.precision,
            "threshold": segmenter.threshold,
            "min_area_px": segmenter.min_area_px,
            "pixel_size_um": pixel_size,
        },
        "inputs": inputs,
    }
    write_json(folder / "manifest.json", manifest)
    if failures:
        raise BatchError({k: str(e) for k, e in failures.items()}, len(paths) - len(failures))
    return particles


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
    _write_png(folder / f"{path.stem}_mask.png", mask.astype(np.uint8) * np.uint8(255))
    _write_png(folder / f"{path.stem}_overlay.png", draw_overlay(frame, mask)[..., ::-1])
    return found.particles


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    # Fast compression: on a 6-megapixel overlay the default takes longer than the network.
    written, content = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert written  # uint8 arrays of these shapes can always be encoded
    with replacing(path) as temporary:
        temporary.write_bytes(content.tobytes())


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


def _write_table(particles: pd.DataFrame, folder: Path) -> None:
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
