"""`corroscope run`: a whole sequence in, masks and tables of every frame out, resumable."""

import hashlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from corroscope.errors import OutputError
from corroscope.frames.opening import open_sequence
from corroscope.frames.reading import frame_sha256
from corroscope.frames.reference import (
    Choice,
    Reference,
    find_reference,
    parse_choice,
)
from corroscope.frames.registration import (
    Registrar,
)
from corroscope.journal import Journal
from corroscope.outputs import (
    MANIFEST,
    made_by,
    output_folder,
    versions,
    write_json,
)
from corroscope.pipeline.passes import Passes, Progress
from corroscope.pipeline.pictures import make_overview
from corroscope.report.overview import draw_overview
from corroscope.segmentation.bundle import load_bundle
from corroscope.segmentation.engines import EngineName, Precision
from corroscope.segmentation.particles import check_pixel_size
from corroscope.segmentation.segmenter import Segmenter

COMMAND: Final = "run"
JOURNAL: Final = "journal.jsonl"


def run(
    sequence: str | Path,
    *,
    out: str | Path,
    model: str | Path | None = None,
    reference: str | Path = "first",
    pixel_size: float | None = None,
    engine: EngineName = "openvino",
    precision: Precision = "auto",
    threshold: float | None = None,
    min_area: int | None = None,
    flat: str | Path | None = None,
    dark: str | Path | None = None,
    pattern: str | None = None,
    interval: float | None = None,
    start: float | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Find the corrosion products in every frame of a sequence.

    First all frames are aligned to the reference, then each is segmented in comparison with
    it. What is done for a frame is kept at once: called again on the same ``out``, the run
    goes on where it was stopped.

    Writes ``masks/<stem>_mask.png`` for each frame; ``particles`` and ``frames`` as ``.csv``
    and ``.parquet``; ``overview.png``, ``manifest.json`` and ``journal.jsonl``.

    Parameters
    ----------
    sequence
        Folder of images, multi-page TIFF or video, as for `corroscope.open_sequence`.
    out
        Output folder, made if missing.
    model
        Bundle folder; without it, the bundle that comes with corroscope. It must be one that
        compares frames with a reference.
    reference
        ``"first"``, ``"median:K"``, ``"rolling:K"`` or an image file, as for
        `corroscope.frames.reference.parse_choice`.
    pixel_size
        Side of a pixel in µm. Only with it the table has columns in µm.
    engine, precision
        As in `corroscope.segmentation.engines.start_engine`.
    threshold, min_area
        Probability of a particle's pixels and smallest particle in pixels; the
        bundle's own if None.
    flat, dark
        Images to correct all frames with: an even surface in the same light, and no light.
    pattern, interval, start
        How times are read; ``pattern``, ``interval_s`` and ``start`` of
        `corroscope.open_sequence`.
    progress
        Called after each frame with the stage, the number done and the number of all.

    Returns
    -------
    pandas.DataFrame
        All particles, with the columns of `corroscope.tables.PARTICLES`.

    Raises
    ------
    BatchError
        After the others were done, if some frames could not be; ``frames.csv`` says why.
    FrameError, SettingsError, BundleError, EngineError
        Before any frame is touched.
    OutputError
        If ``out`` cannot be written to, or holds a run that was asked for something else.

    Examples
    --------
    >>> import tempfile, corroscope
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = corroscope.synth(out=f"{folder}/made", size=128, frames=4)
    ...     particles = run(made / "frames", out=f"{folder}/result", pixel_size=0.5)
    ...     sorted(path.name for path in Path(folder, "result").iterdir())[:3]
    ['frames.csv', 'frames.parquet', 'journal.jsonl']
    """
    check_pixel_size(pixel_size)
    choice = parse_choice(reference)
    segmenter = Segmenter(
        load_bundle(model),
        engine=engine,
        precision=precision,
        threshold=threshold,
        min_area_px=min_area,
    )
    segmenter.require_comparing()
    with open_sequence(
        sequence, pattern=pattern, interval_s=interval, start=start, flat=flat, dark=dark
    ) as frames:
        picture = find_reference(frames, choice)
        registrar = Registrar(picture, frames)
        record = frames.record()
        folder = _own_folder(out, sequence)
        asked = _asked(segmenter, choice, picture)
        for name, file in (("flat field", flat), ("dark field", dark)):
            asked[name] = None if file is None else frame_sha256(file)
        with Journal(folder / JOURNAL, asked) as journal:
            course = Passes(frames, segmenter, registrar, choice, folder, journal, progress)
            registration = course.align()
            table = course.segment(registration)
            particles, _ = course.write(registration, table, pixel_size)
        _write_manifest(folder, record, picture.name, asked, segmenter, pixel_size)
        shown = make_overview(course, registration, table, particles)
        if shown is not None:
            draw_overview(shown, folder / "overview.png")
        registration.raise_failures(frames, int(table["segmented"].sum()))
    return particles


def _asked(segmenter: Segmenter, choice: Choice, picture: Reference) -> dict[str, Any]:
    """What decides the results besides the frames themselves."""
    digest = hashlib.sha256(np.ascontiguousarray(picture.picture).tobytes()).hexdigest()
    return {
        "bundle": segmenter.bundle.card.network_sha256,
        "threshold": segmenter.threshold,
        "smallest area": segmenter.min_area_px,
        "engine": segmenter.engine.name,
        "precision": segmenter.engine.precision,
        "reference": f"{choice.kind}:{choice.frames} {digest[:16]}",
    }


def _own_folder(out: str | Path, sequence: str | Path) -> Path:
    if Path(out).resolve() == Path(sequence).resolve():
        raise OutputError(f"{out}: is the sequence itself; choose another output folder")
    folder = output_folder(out)
    ours = made_by(folder) == COMMAND or (folder / JOURNAL).exists()
    if any(folder.iterdir()) and not ours:
        raise OutputError(
            f"{folder}: is not empty and was not written by corroscope {COMMAND}; choose another "
            "output folder"
        )
    return folder


def _write_manifest(
    folder: Path,
    record: dict[str, Any],
    reference: str,
    asked: dict[str, Any],
    segmenter: Segmenter,
    pixel_size_um: float | None,
) -> None:
    manifest = {
        "command": COMMAND,
        "versions": versions("numpy", "openvino", "onnxruntime", "cv2"),
        "sequence": record,
        "reference": reference,
        "bundle": {
            "name": segmenter.bundle.card.name,
            "network_sha256": segmenter.bundle.card.network_sha256,
        },
        "settings": {**asked, "device": segmenter.engine.device, "pixel_size_um": pixel_size_um},
    }
    write_json(folder / MANIFEST, manifest)
