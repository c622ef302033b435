"""`corroscope run`: a whole sequence in, masks and tables of every frame out, resumable."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.errors import FrameError, OutputError
from corroscope.frames.contrast import relative_contrast
from corroscope.frames.opening import open_sequence
from corroscope.frames.reading import frame_sha256, read_frame
from corroscope.frames.reference import (
    Choice,
    Reference,
    find_reference,
    name_error,
    parse_choice,
)
from corroscope.frames.registration import (
    Measured,
    Registrar,
    Registration,
    register,
)
from corroscope.frames.resampling import aligned_reference
from corroscope.frames.sequence import FrameSequence
from corroscope.journal import Journal
from corroscope.outputs import (
    MANIFEST,
    made_by,
    output_folder,
    versions,
    write_json,
    write_mask,
    written_here,
)
from corroscope.report.overview import Overview, draw_overview
from corroscope.segmentation.bundle import load_bundle
from corroscope.segmentation.engines import EngineName, Precision
from corroscope.segmentation.particles import check_pixel_size, complete_particles
from corroscope.segmentation.segmenter import Segmenter
from corroscope.tables import PARTICLES, PARTICLES_UM, SEGMENTED_FRAMES
from corroscope.tabulation import TableWriter, write_table

Progress = Callable[[str, int, int], object]

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
            course = _Run(frames, segmenter, registrar, choice, folder, journal, progress)
            registration = course.align()
            table = course.segment(registration)
            particles = course.write(registration, table, pixel_size)
        _write_manifest(folder, record, picture.name, asked, segmenter, pixel_size)
        shown = course.overview(registration, table, particles)
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


class _Run:
    """The stages of one run, which share its sequence, network and journal."""

    def __init__(
        self,
        frames: FrameSequence,
        segmenter: Segmenter,
        registrar: Registrar,
        choice: Choice,
        folder: Path,
        journal: Journal,
        progress: Progress | None,
    ) -> None:
        self.frames = frames
        self.segmenter = segmenter
        self.registrar = registrar
        self.choice = choice
        self.folder = folder
        self.masks = output_folder(folder / "masks")
        self._refuse_foreign_masks()
        self.journal = journal
        self.progress = progress
        # Taken before anything is read: what changes meanwhile is done anew the next time.
        self._fingerprints = [frames.fingerprint(number) for number in range(len(frames))]
        self._sigma_px = segmenter.bundle.card.background_sigma_px
        self._contrast: NDArray[np.float32] | None = None

    def align(self) -> Registration:
        """Measure the drift of every frame; what the journal has is not measured again."""
        measured: list[Measured] = []
        near: tuple[float, float] | None = None
        for number in range(len(self.frames)):
            key = self._fingerprints[number]
            double = number in self.frames.duplicates
            kept = None if double else self.journal.read("align", key)
            if kept is not None:
                one = Measured(**kept)
            else:
                one = self.registrar.measure(number, near)
                if not one.problem:  # or it would stay one when it is not any more
                    self.journal.write("align", key, asdict(one))
            if one.aligned:
                near = (one.dy_px, one.dx_px)
            measured.append(one)
            self._tell("align", number)
        return register(self.frames, measured, self.registrar.reference)

    def segment(self, registration: Registration) -> pd.DataFrame:
        """Segment every frame whose drift is known; return the table of frames."""
        table = registration.table(self.frames)
        counts = np.zeros(len(table), np.int64)
        segmented = np.zeros(len(table), bool)
        for number in range(len(table)):
            if registration.known(number):
                try:
                    counts[number] = self._segment(number, registration)
                    segmented[number] = True
                except FrameError as error:  # readable a moment ago
                    registration.remarks[number] = str(name_error(table["image"][number], error))
            self._tell("segment", number)
        self._remove_stale(segmented)
        known = pd.array(counts, dtype="Int64")
        known[~segmented] = pd.NA  # a gap, not a zero
        return table.assign(segmented=segmented, particles=known, remark=registration.remarks)

    def write(
        self, registration: Registration, table: pd.DataFrame, pixel_size_um: float | None
    ) -> pd.DataFrame:
        """Put the tables together from the journal."""
        write_table(self.folder / "frames", table, SEGMENTED_FRAMES)
        columns = PARTICLES if pixel_size_um is None else PARTICLES + PARTICLES_UM
        pieces = []
        with TableWriter(self.folder / "particles", columns) as writer:
            for number in np.flatnonzero(table["segmented"]).tolist():
                kept = self.journal.read("segment", self._key(number, registration))
                assert kept is not None  # written by `segment`
                dy, dx = registration.drift(number)
                found = pd.DataFrame(kept["particles"])
                found = found.assign(
                    image=self.frames.names[number],
                    frame=number,
                    time_s=self.frames.time_s[number],
                    y_ref_px=found["y_px"] - dy,
                    x_ref_px=found["x_px"] - dx,
                )
                rows = complete_particles([found], pixel_size_um)
                writer.write(rows)
                pieces.append(rows)
        return complete_particles(pieces, pixel_size_um)

    def overview(
        self, registration: Registration, table: pd.DataFrame, particles: pd.DataFrame
    ) -> Overview | None:
        """What the page shows; None where no frame could be segmented."""
        done = np.flatnonzero(table["segmented"]).tolist()
        if not done:
            return None
        known = not np.isnan(self.frames.time_s).any()
        times = self.frames.time_s if known else np.arange(len(table), dtype=float)
        first_seen = np.full(self.frames.shape, np.nan)
        mask = np.zeros(self.frames.shape, bool)
        for number in done:
            mask = read_frame(self._mask(number)) > 0
            rows, columns = np.nonzero(mask)
            # Where that is in the last frame, which is shown.
            rows = rows + round(float(registration.dy_px[done[-1]] - registration.dy_px[number]))
            columns = columns + round(
                float(registration.dx_px[done[-1]] - registration.dx_px[number])
            )
            inside = (rows >= 0) & (rows < mask.shape[0])
            inside &= (columns >= 0) & (columns < mask.shape[1])
            here = (rows[inside], columns[inside])
            first_seen[here] = np.fmin(first_seen[here], times[number])
        try:
            frame = self.frames.frame(done[-1])
        except FrameError:  # gone since; what it told is kept, but it cannot be shown
            return None
        return Overview(
            frame=frame,
            mask=mask,
            first_seen=first_seen,
            times=times,
            found=particles,
            counted=np.asarray(table["segmented"], bool),
            timed=bool(known),
            number=done[-1],
        )

    def _segment(self, number: int, registration: Registration) -> int:
        """Segment one frame, or find it in the journal; return the number of particles."""
        key = self._key(number, registration)
        kept = self.journal.read("segment", key)
        mask_file = self._mask(number)
        if kept is not None and written_here(mask_file):
            return len(kept["particles"]["particle"])
        frame = self.frames.frame(number)
        found = self.segmenter(frame, self._reference(number, registration))
        write_mask(mask_file, found.labels > 0)
        columns = {name: column.tolist() for name, column in found.particles.items()}
        self.journal.write("segment", key, {"particles": columns})
        return len(found.particles)

    def _key(self, number: int, registration: Registration) -> str:
        """What a frame's particles depend on."""
        earlier = registration.earlier(number, self.choice)
        key = self._fingerprints[number]
        return key if earlier is None else f"{key} since {self._fingerprints[earlier]}"

    def _reference(self, number: int, registration: Registration) -> NDArray[np.float32]:
        """Relative contrast of the reference, on the grid of a frame."""
        # As measured, not as smoothed: a frame's particles depend on it and its reference alone,
        # and frames that are added later change nothing.
        now = registration.measured[number]
        earlier = registration.earlier(number, self.choice)
        if earlier is not None:
            contrast = relative_contrast(self.frames.frame(earlier), self._sigma_px)
            before = registration.measured[earlier]
            return aligned_reference(contrast, now.dy_px - before.dy_px, now.dx_px - before.dx_px)
        if self._contrast is None:  # the same for all frames
            self._contrast = relative_contrast(self.registrar.reference.picture, self._sigma_px)
        return aligned_reference(self._contrast, now.dy_px, now.dx_px)

    def _mask(self, number: int) -> Path:
        return self.masks / f"{self.frames.stems[number]}_mask.png"

    def _refuse_foreign_masks(self) -> None:
        for number in range(len(self.frames)):
            mask_file = self._mask(number)
            if mask_file.exists() and not written_here(mask_file):
                raise OutputError(
                    f"{mask_file}: stands there already and was not written by corroscope; "
                    "choose another output folder"
                )

    def _remove_stale(self, segmented: NDArray[np.bool_]) -> None:
        """What was found earlier in a frame that is a gap now, or gone, must not pass for ours."""
        kept = {self._mask(number) for number in np.flatnonzero(segmented).tolist()}
        for mask_file in self.masks.iterdir():
            if mask_file not in kept and written_here(mask_file):
                mask_file.unlink()

    def _tell(self, stage: str, number: int) -> None:
        if self.progress is not None:
            self.progress(stage, number + 1, len(self.frames))


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
