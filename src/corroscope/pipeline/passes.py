"""The two passes over the frames of a run: each is aligned, then each is segmented."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.errors import FrameError, OutputError
from corroscope.frames.contrast import relative_contrast
from corroscope.frames.reference import Choice, name_error
from corroscope.frames.registration import Measured, Registrar, Registration, register
from corroscope.frames.resampling import aligned_reference
from corroscope.frames.sequence import FrameSequence
from corroscope.journal import Journal
from corroscope.outputs import output_folder, write_mask, written_here
from corroscope.segmentation.openings import find_openings
from corroscope.segmentation.particles import complete_particles
from corroscope.segmentation.segmenter import Segmenter
from corroscope.tables import OPENINGS, PARTICLES, PARTICLES_UM, SEGMENTED_FRAMES
from corroscope.tabulation import TableWriter, write_table

Progress = Callable[[str, int, int], object]


class Passes:
    """The passes of one run, which share its sequence, network and journal.

    Parameters
    ----------
    frames
        The sequence.
    segmenter
        The network.
    registrar
        What measures drift, with the reference.
    choice
        What frames are compared with.
    folder
        Of the result.
    journal
        What is done.
    progress
        Called after each frame with the stage, the number done and the number of all.

    Raises
    ------
    OutputError
        If a mask stands there that corroscope has not written.
    """

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
        """Measure the drift of every frame; what the journal has is not measured again.

        Returns
        -------
        Registration
            Drift and gain of all frames, and what is wrong with them.
        """
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
        """Segment every frame whose drift is known.

        Parameters
        ----------
        registration
            What `align` gave.

        Returns
        -------
        pandas.DataFrame
            With the columns of `corroscope.tables.SEGMENTED_FRAMES`.
        """
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
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Put the tables together from the journal.

        Parameters
        ----------
        registration
            What `align` gave.
        table
            What `segment` gave.
        pixel_size_um
            Side of a pixel; None where it is unknown.

        Returns
        -------
        particles : pandas.DataFrame
            With the columns of `corroscope.tables.PARTICLES`; written as well.
        openings : pandas.DataFrame
            With those of `corroscope.tables.OPENINGS`.
        """
        write_table(self.folder / "frames", table, SEGMENTED_FRAMES)
        columns = PARTICLES if pixel_size_um is None else PARTICLES + PARTICLES_UM
        pieces, openings = [], [pd.DataFrame(columns=[column.name for column in OPENINGS])]
        with TableWriter(self.folder / "particles", columns) as writer:
            for number in np.flatnonzero(table["segmented"]).tolist():
                kept = self.journal.read("segment", self._key(number, registration))
                assert kept is not None  # written by `segment`
                dy, dx = registration.drift(number)
                found, opened = (
                    _placed(pd.DataFrame(kept[name]), number, self.frames.time_s[number], dy, dx)
                    for name in ("particles", "openings")
                )
                rows = complete_particles(
                    [found.assign(image=self.frames.names[number])], pixel_size_um
                )
                writer.write(rows)
                pieces.append(rows)
                if len(opened):
                    openings.append(opened)
        types = {column.name: column.dtype for column in OPENINGS}
        joined = pd.concat(openings[len(openings) > 1 :], ignore_index=True)
        return complete_particles(pieces, pixel_size_um), joined[list(types)].astype(types)

    def mask(self, number: int) -> Path:
        """Where the mask of a frame is.

        Parameters
        ----------
        number
            Of the frame.

        Returns
        -------
        Path
            There is none for a frame that was not segmented.
        """
        return self.masks / f"{self.frames.stems[number]}_mask.png"

    def _segment(self, number: int, registration: Registration) -> int:
        """Segment one frame, or find it in the journal; return the number of particles."""
        key = self._key(number, registration)
        kept = self.journal.read("segment", key)
        mask_file = self.mask(number)
        # An older run has no openings in its journal.
        if kept is not None and "openings" in kept and written_here(mask_file):
            return len(kept["particles"]["particle"])
        frame = self.frames.frame(number)
        before = self._reference(number, registration)
        found = self.segmenter(frame, before)
        if registration.earlier(number, self.choice) is not None:
            before = self._first(number, registration)
        openings = find_openings(found.contrast, before)
        write_mask(mask_file, found.labels > 0)
        self.journal.write(
            "segment",
            key,
            {
                name: {column: rows[column].tolist() for column in rows}
                for name, rows in (("particles", found.particles), ("openings", openings))
            },
        )
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
        return self._first(number, registration)

    def _first(self, number: int, registration: Registration) -> NDArray[np.float32]:
        """Relative contrast of the one reference of all frames, on the grid of a frame."""
        now = registration.measured[number]
        if self._contrast is None:  # the same for all frames
            self._contrast = relative_contrast(self.registrar.reference.picture, self._sigma_px)
        return aligned_reference(self._contrast, now.dy_px, now.dx_px)

    def _refuse_foreign_masks(self) -> None:
        for number in range(len(self.frames)):
            mask_file = self.mask(number)
            if mask_file.exists() and not written_here(mask_file):
                raise OutputError(
                    f"{mask_file}: stands there already and was not written by corroscope; "
                    "choose another output folder"
                )

    def _remove_stale(self, segmented: NDArray[np.bool_]) -> None:
        """What was found earlier in a frame that is a gap now, or gone, must not pass for ours."""
        kept = {self.mask(number) for number in np.flatnonzero(segmented).tolist()}
        for mask_file in self.masks.iterdir():
            if mask_file not in kept and written_here(mask_file):
                mask_file.unlink()

    def _tell(self, stage: str, number: int) -> None:
        if self.progress is not None:
            self.progress(stage, number + 1, len(self.frames))


def _placed(
    rows: pd.DataFrame, number: int, time_s: float, dy_px: float, dx_px: float
) -> pd.DataFrame:
    """Say of what was found in a frame when that was, and where in the reference."""
    return rows.assign(
        frame=number, time_s=time_s, y_ref_px=rows["y_px"] - dy_px, x_ref_px=rows["x_px"] - dx_px
    )
