"""`corroscope run`: a whole sequence in, masks and tables of every frame out, resumable."""

import hashlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from corroscope.current.alloys import find_alloy
from corroscope.current.reading import read_current
from corroscope.errors import OutputError, SettingsError
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
from corroscope.pipeline.cell import CELL_FILES, check_overlap, compare_current
from corroscope.pipeline.efficiency import operating_point_remark, read_efficiency
from corroscope.pipeline.follow import film_of, follow
from corroscope.pipeline.passes import Passes, Progress
from corroscope.pipeline.pictures import make_overview
from corroscope.pipeline.show import Counted, show
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
    tta: bool = False,
    threshold: float | None = None,
    min_area: int | None = None,
    peak: float | None = None,
    flat: str | Path | None = None,
    dark: str | Path | None = None,
    pattern: str | None = None,
    interval: float | None = None,
    start: float | None = None,
    current: str | Path | None = None,
    current_unit: str | None = None,
    alloy: str | None = None,
    efficiency: str | Path | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Find the corrosion products in every frame of a sequence.

    First all frames are aligned to the reference, then each is segmented in comparison with
    it. What is done for a frame is kept at once: called again on the same ``out``, the run
    goes on where it was stopped.

    Then particles are followed, and pits found and followed, from frame to frame; which pit
    ejected which particle is weighed, and a report put together.

    Writes ``masks/<stem>_mask.png`` for each frame; ``frames``, ``particles``, ``tracks``,
    ``track_summary``, ``pits``, ``pit_summary``, ``events``, ``bursts`` and ``rates`` as ``.csv``
    and ``.parquet``; ``tracks.xml`` and ``tracks_spots.csv`` for TrackMate; ``report.html`` and
    its ``figures/``; ``overview.png``, ``manifest.json`` and ``journal.jsonl``.

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
    tta
        Average over the eight ways in which a frame can lie, at eight times the cost.
    threshold, min_area
        Probability of a particle's pixels and smallest particle in pixels; the
        bundle's own if None.
    peak
        As in `corroscope.segment`.
    flat, dark
        Images to correct all frames with: an even surface in the same light, and no light.
    pattern, interval, start
        How times are read; ``pattern``, ``interval_s`` and ``start`` of
        `corroscope.open_sequence`.
    current
        Record of a potentiostat: BioLogic ``.mpt``, Gamry ``.DTA``, or text with named columns.
    current_unit
        A, mA, µA, nA or pA, where the record does not tell.
    alloy
        What corrodes, as in `corroscope.current.alloys.ALLOYS`; with it and the pixel size charge
        and volume of the pits are compared.
    efficiency
        Folder of `corroscope.evaluate` that tells what the network misses; without it, what was
        measured of the shipped bundle on synthetic runs. Only the report's counts are corrected.
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
    FrameError, SettingsError, BundleError, EngineError, CurrentError
        Before any frame is touched.
    OutputError
        If ``out`` cannot be written to, or holds a run that was asked for something else.

    Examples
    --------
    >>> import tempfile, corroscope
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = corroscope.synth(out=f"{folder}/made", size=128, frames=4)
    ...     particles = run(made / "frames", out=f"{folder}/result", pixel_size=0.5)
    ...     Path(folder, "result", "report.html").is_file()
    True
    """
    check_pixel_size(pixel_size)
    record = None if current is None else read_current(current, unit=current_unit)
    if record is None and current_unit is not None:
        raise SettingsError("current_unit: is only for a record of current; leave it out")
    metal = None if alloy is None else find_alloy(alloy)
    if record is None and alloy is not None:
        raise SettingsError("alloy: is only for a record of current; leave it out")
    choice = parse_choice(reference)
    segmenter = Segmenter(
        load_bundle(model),
        engine=engine,
        precision=precision,
        tta=tta,
        threshold=threshold,
        min_area_px=min_area,
        peak=peak,
    )
    segmenter.require_comparing()
    known, known_with = read_efficiency(efficiency)
    with open_sequence(
        sequence, pattern=pattern, interval_s=interval, start=start, flat=flat, dark=dark
    ) as frames:
        picture = find_reference(frames, choice)
        registrar = Registrar(picture, frames)
        if record is not None:
            check_overlap(record, frames)
        described = frames.record() | {"shape": list(frames.shape)}
        folder = _own_folder(out, sequence)
        asked = _asked(segmenter, choice, picture)
        for name, file in (("flat field", flat), ("dark field", dark)):
            asked[name] = None if file is None else frame_sha256(file)
        with Journal(folder / JOURNAL, asked) as journal:
            course = Passes(frames, segmenter, registrar, choice, folder, journal, progress)
            registration = course.align()
            table = course.segment(registration)
            particles, openings = course.write(registration, table, pixel_size)
        followed = follow(table, particles, openings, frames.shape)
        followed.write(folder, film_of(Path(sequence), frames, pixel_size))
        cell = None
        for name in CELL_FILES:  # of an earlier call that was given a record
            (folder / name).unlink(missing_ok=True)
        if record is not None:
            cell = compare_current(record, frames, followed, pixel_size, metal)
            cell.write(folder)
        manifest = _manifest(described, picture.name, asked, segmenter)
        manifest["settings"] |= {"pixel_size_um": pixel_size, "alloy": alloy}
        counted = Counted(known, operating_point_remark(known_with, segmenter))
        manifest["current"] = None if cell is None else cell.facts
        write_json(folder / MANIFEST, manifest)
        shown = make_overview(course, registration, table, particles, pixel_size)
        if shown is not None:
            draw_overview(shown, folder / "overview.png")
        show(course, registration, table, particles, followed, cell, counted, manifest, folder)
        registration.raise_failures(frames, int(table["segmented"].sum()))
    return particles


def _asked(segmenter: Segmenter, choice: Choice, picture: Reference) -> dict[str, Any]:
    """What decides the results besides the frames themselves."""
    digest = hashlib.sha256(np.ascontiguousarray(picture.picture).tobytes()).hexdigest()
    point = segmenter.operating_point
    return {
        "bundle": segmenter.bundle.card.network_sha256,
        "threshold": segmenter.threshold,
        "smallest area": segmenter.min_area_px,
        "engine": segmenter.engine.name,
        "precision": segmenter.engine.precision,
        "tta": segmenter.tta,
        "reference": f"{choice.kind}:{choice.frames} {digest[:16]}",
        # One that drops nothing is none: so runs from before there were peaks can be gone on with.
        **({"peak": point.peak} if point.peak > point.threshold else {}),
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


def _manifest(
    sequence: dict[str, Any], reference: str, asked: dict[str, Any], segmenter: Segmenter
) -> dict[str, Any]:
    return {
        "command": COMMAND,
        "versions": versions("numpy", "scipy", "openvino", "onnxruntime", "cv2"),
        "sequence": sequence,
        "reference": reference,
        "bundle": {
            "name": segmenter.bundle.card.name,
            "network_sha256": segmenter.bundle.card.network_sha256,
        },
        "settings": {**asked, "device": segmenter.engine.device},
    }
