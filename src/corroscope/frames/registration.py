"""A whole sequence against its reference: drift and gain of each frame, and what is wrong."""

from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.errors import BatchError, FrameError
from corroscope.frames.alignment import Aligner
from corroscope.frames.drift import follow_drift
from corroscope.frames.light import match_light
from corroscope.frames.reference import Choice, Reference, check_name, name_error
from corroscope.frames.sequence import FrameSequence

AROUND: Final = 5
LEAST_SHARE: Final = 0.8
"""A frame that does not lie where those around it say is believed all the same if its texture
correlates by this share of what it does in the nearest good frames: in a wrong place it would not.
"""


@dataclass(frozen=True)
class Measured:
    """What one frame tells by itself.

    Attributes
    ----------
    dy_px, dx_px, sigma_px, correlation, aligned
        As in `corroscope.frames.alignment.Alignment`; NaN and False without a measurement.
    gain
        Brightness against the reference; NaN where it is not aligned.
    problem
        Why there is no frame; empty where there is one.
    """

    dy_px: float = np.nan
    dx_px: float = np.nan
    sigma_px: float = np.nan
    correlation: float = np.nan
    aligned: bool = False
    gain: float = np.nan
    problem: str = ""


class Registrar:
    """Measures the frames of a sequence, one after the other, against one reference.

    Parameters
    ----------
    reference
        What they are aligned to.
    sequence
        The frames.

    Raises
    ------
    FrameError
        If the reference is of another size or shows nothing to align with, or the name of a
        frame is no text.
    """

    def __init__(self, reference: Reference, sequence: FrameSequence) -> None:
        for name in (sequence.name, *sequence.names):
            check_name(name)
        height, width = reference.picture.shape
        shape = sequence.shape
        if (height, width) != shape:
            raise FrameError(
                f"{reference.name}: the reference is {height}×{width} px, the frames "
                f"{shape[0]}×{shape[1]} px; give one of their size"
            )
        self.reference = reference
        self._sequence = sequence
        try:
            self._aligner = Aligner(reference.picture)
        except FrameError as error:
            raise name_error(reference.name, error) from None

    def measure(self, number: int, near: tuple[float, float] | None = None) -> Measured:
        """Measure one frame.

        Parameters
        ----------
        number
            0, 1, … in order of time.
        near
            Where the frame before it was. If it is not found there, it is searched for.

        Returns
        -------
        Measured
            Drift and gain; with a problem where the frame cannot be used at all.
        """
        sequence = self._sequence
        if number in sequence.duplicates:
            earlier = sequence.names[sequence.duplicates[number]]
            return Measured(problem=f"{sequence.names[number]}: has the same time as {earlier}")
        try:
            frame = sequence.frame(number)
            found = self._aligner.measure(frame, near)
            if near is not None and not found.aligned:
                found = self._aligner.measure(frame)
        except FrameError as error:
            return Measured(problem=str(name_error(sequence.names[number], error)))
        gain = np.nan
        if found.aligned:
            gain = self._gain(frame, found.dy_px, found.dx_px)
        return Measured(
            found.dy_px, found.dx_px, found.sigma_px, found.correlation, found.aligned, gain
        )

    def _gain(self, frame: NDArray[Any], dy_px: float, dx_px: float) -> float:
        # The median over blocks of several pixels: whole pixels of drift are enough.
        dy, dx = round(dy_px), round(dx_px)
        now, before = (
            tuple(
                slice(max(0, s * d), n + min(0, s * d))
                for d, n in zip((dy, dx), frame.shape, strict=True)
            )
            for s in (1, -1)
        )
        here, there = frame[now], self.reference.picture[before]
        try:
            return match_light(here, there, np.ones(here.shape, bool))[1]
        except FrameError:  # black: there is no gain to speak of
            return np.nan


@dataclass(frozen=True)
class Registration:
    """Drift of all frames of a sequence, smoothed and checked.

    Attributes
    ----------
    measured
        What each frame told by itself.
    dy_px, dx_px
        ``(frames,)`` float64, smoothed; as measured where a good frame jumps; of frames that are
        not aligned, taken from those around them, and NaN where nobody knows.
    aligned
        ``(frames,)`` bool, whether a frame can be read and its own measurement is believed.
    flagged
        ``(frames,)`` bool, where the measurement is missing or does not fit the frames around it.
    remarks
        For each frame what is wrong with it; empty for a good one.
    """

    measured: list[Measured]
    dy_px: NDArray[np.float64]
    dx_px: NDArray[np.float64]
    aligned: NDArray[np.bool_]
    flagged: NDArray[np.bool_]
    remarks: list[str]

    def known(self, number: int) -> bool:
        """Whether a frame can be compared with its reference."""
        # One in the wrong place would be full of particles that are none.
        return bool(self.aligned[number])

    def drift(self, number: int) -> tuple[float, float]:
        """Rows and columns by which a frame has moved."""
        return float(self.dy_px[number]), float(self.dx_px[number])

    def earlier(self, number: int, choice: Choice) -> int | None:
        """Which frame is the reference of a frame; None where all have the same one.

        With a rolling reference that is the frame so many before, or the next one after it
        that is known, or the last one before it; at the start of a run, the first.
        """
        if choice.kind != "rolling":
            return None
        since = max(0, number - choice.frames)
        others = chain(range(since, number), range(since - 1, -1, -1))
        return next((k for k in others if self.known(k)), number)

    def raise_failures(self, sequence: FrameSequence, done: int) -> None:
        """Tell of the frames that could not be used, if there are any.

        Parameters
        ----------
        sequence
            The frames.
        done
            How many were done.

        Raises
        ------
        BatchError
            With a remark for each of them, and for a sequence that breaks off.
        """
        failures = {
            name: remark
            for name, remark in zip(sequence.names, self.remarks, strict=True)
            if remark
        }
        if sequence.broken:
            failures[sequence.name] = f"{sequence.name}: {sequence.broken}"
        if failures:
            raise BatchError(failures, done)

    def table(self, sequence: FrameSequence) -> pd.DataFrame:
        """One row for each frame, the columns of `corroscope.tables.ALIGNED_FRAMES`."""
        frames = len(self.measured)
        sigma_px = np.array([m.sigma_px for m in self.measured])
        return pd.DataFrame(
            {
                "image": sequence.names,
                "frame": np.arange(frames),
                "time_s": sequence.time_s,
                # What was taken from the frames around is no measurement.
                "dy_px": np.where(self.aligned, self.dy_px, np.nan),
                "dx_px": np.where(self.aligned, self.dx_px, np.nan),
                "gain": [m.gain for m in self.measured],
                "drift_sigma_px": np.where(np.isfinite(sigma_px), sigma_px, np.nan),
                "correlation": [m.correlation for m in self.measured],
                "aligned": self.aligned,
                "flagged": self.flagged,
                "remark": self.remarks,
            }
        )


def register(
    sequence: FrameSequence, measured: list[Measured], reference: Reference
) -> Registration:
    """Put what the frames told together: smooth drift, and a remark for each bad frame.

    Parameters
    ----------
    sequence
        The frames.
    measured
        What `Registrar.measure` gave for each of them.
    reference
        What they were aligned to.

    Returns
    -------
    Registration
        The drift.
    """
    columns = {
        name: np.array([asdict(m)[name] for m in measured], np.float64)
        for name in ("dy_px", "dx_px", "sigma_px", "correlation", "aligned")
    }
    drift = follow_drift(
        sequence.time_s,
        columns["dy_px"],
        columns["dx_px"],
        columns["sigma_px"],
        columns["aligned"] > 0,
    )
    believed = (columns["aligned"] > 0) & _as_usual(columns["correlation"], ~drift.flagged)
    jumps = believed & drift.flagged
    dy_px = np.where(jumps, columns["dy_px"], drift.dy_px)
    dx_px = np.where(jumps, columns["dx_px"], drift.dx_px)
    remarks = []
    for number, one in enumerate(measured):
        name = sequence.names[number]
        if one.problem:
            remarks.append(one.problem)
        elif not one.aligned:
            remarks.append(f"{name}: cannot be aligned with the reference, {reference.name}")
        elif not believed[number]:
            remarks.append(
                f"{name}: its drift of {one.dy_px:.1f}, {one.dx_px:.1f} px does not fit the "
                "frames around it"
            )
        else:
            remarks.append("")
    return Registration(measured, dy_px, dx_px, believed, drift.flagged, remarks)


def _as_usual(correlation: NDArray[np.float64], good: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether frames correlate about as well as the nearest good ones, as good ones do."""
    usual = good.copy()
    others = np.flatnonzero(good)
    for number in np.flatnonzero(~good):
        nearest = others[np.argsort(np.abs(others - number), kind="stable")[:AROUND]]
        least = LEAST_SHARE * np.median(correlation[nearest]) if nearest.size else 0
        usual[number] = correlation[number] >= least
    return usual
