"""`corroscope prepare`: pre-treatment of a sequence as a step of its own, to be looked at."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.cutting import Cutting
from corroscope.errors import FrameError, OutputError, SettingsError
from corroscope.frames.light import difference, match_light
from corroscope.frames.opening import open_sequence
from corroscope.frames.reference import (
    Choice,
    Reference,
    find_reference,
    name_error,
    parse_choice,
)
from corroscope.frames.registration import Measured, Registrar, Registration, register
from corroscope.frames.resampling import shift_frame
from corroscope.frames.sequence import FrameSequence
from corroscope.outputs import MANIFEST, made_by, output_folder, versions, write_json, write_tiff
from corroscope.patch_folder import Change, Patches, check_folder
from corroscope.report.pretreatment import Pretreatment, draw_pretreatment
from corroscope.tables import ALIGNED_FRAMES
from corroscope.tabulation import write_table

Progress = Callable[[str, int, int], object]

COMMAND: Final = "prepare"

PATCHES: Final = "patches"
"""Folder of the patches."""

_SIGNED: Final[dict[str, np.dtype[Any]]] = {
    "uint8": np.dtype(np.int16),
    "uint16": np.dtype(np.int32),
    "float32": np.dtype(np.float32),
}
"""Number types that hold the differences of frames of these."""


class Treated(NamedTuple):
    """A frame on the grid of the reference, in the reference's light.

    Attributes
    ----------
    frame
        ``(height, width)`` float32, grey levels; 0 where the frame does not reach.
    difference
        ``(height, width)`` float32, frame minus reference; 0 where the frame does not reach.
    covered
        ``(height, width)`` bool, where frame and reference reach.
    """

    frame: NDArray[np.float32]
    difference: NDArray[np.float32]
    covered: NDArray[np.bool_]


def prepare(
    sequence: str | Path,
    *,
    out: str | Path,
    reference: str | Path = "first",
    flat: str | Path | None = None,
    dark: str | Path | None = None,
    denoise: int | None = None,
    equalise: bool = False,
    patches: str | None = None,
    times: Sequence[float] | None = None,
    patch_entropy_bits: float | None = None,
    pattern: str | None = None,
    interval: float | None = None,
    start: float | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Align a sequence to its reference, match the light and subtract.

    Writes ``aligned/<stem>.tif`` in the frames' own number type, ``difference/<stem>.tif`` in a
    type that holds negative numbers, ``frames.csv`` and ``.parquet`` with drift and gain,
    ``drift.png`` and ``manifest.json``. `corroscope.run` does not need it: it aligns by itself, and
    compares relative contrast, which no lamp changes. Here it can be looked at, and used elsewhere.

    With ``patches`` it cuts a dataset to annotate besides: ``patches/``, with ``index.csv`` and the
    differences, and ``browse.png``, a sheet of those in which most has changed
    (`corroscope.patch_folder`). Without, a folder of patches from before stays as it is.

    Parameters
    ----------
    sequence
        Folder of images, multi-page TIFF or video, as for `corroscope.open_sequence`.
    out
        Output folder, made if missing; empty or written by this command before.
    reference
        ``"first"``, ``"median:K"``, ``"rolling:K"`` or an image file, as for
        `corroscope.frames.reference.parse_choice`. All is aligned to the first frame where it
        is rolling, and the difference is to the frame K before.
    flat, dark
        Images to correct all frames with: an even surface in the same light, and no light.
    denoise
        Side of a median filter for ``aligned/``, in pixels: 3 or 5. For the eye: neither the
        differences nor the network have it.
    equalise
        Raise local contrast in ``aligned/`` (CLAHE). For the eye as well.
    patches
        ``"SIZE/STRIDE"`` in pixels, as ``"200/100"``; None cuts none. The last row and column of
        patches are moved in, so that all of a frame is in some patch.
    times
        Which frames are cut: those nearest to these shares of the run, 0 to 1, that could be
        aligned. By default `corroscope.cutting.TIMES`.
    patch_entropy_bits
        Patches whose difference has less entropy are left out. By default
        `corroscope.cutting.LEAST_ENTROPY_BITS`; 0 keeps all.
    pattern, interval, start
        How times are read; ``pattern``, ``interval_s`` and ``start`` of
        `corroscope.open_sequence`.
    progress
        Called after each frame with the stage, the number done and the number of all.

    Returns
    -------
    pandas.DataFrame
        The columns of `corroscope.tables.ALIGNED_FRAMES`.

    Raises
    ------
    BatchError
        After the others were done, if some frames could not be; ``frames.csv`` says why.
    FrameError, SettingsError
        Before any frame is touched.
    OutputError
        If ``out`` cannot be written to, or holds something else; if its patches are to be replaced
        and hold annotations.

    References
    ----------
    K. Zuiderveld, *Contrast limited adaptive histogram equalization*, Graphics Gems IV, 1994,
    474–485, for ``equalise``.

    Examples
    --------
    >>> import tempfile, corroscope
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = corroscope.synth(out=f"{folder}/made", size=128, frames=3)
    ...     frames = prepare(made / "frames", out=f"{folder}/prepared")
    ...     sorted(path.name for path in Path(folder, "prepared").iterdir())[:4]
    ['aligned', 'difference', 'drift.png', 'frames.csv']
    """
    if denoise not in (None, 3, 5):
        raise SettingsError(f"denoise: {denoise} px (allowed: 3 or 5)")
    choice = parse_choice(reference)
    cutting = _cutting(patches, times, patch_entropy_bits)
    with open_sequence(
        sequence, pattern=pattern, interval_s=interval, start=start, flat=flat, dark=dark
    ) as frames:
        if equalise and frames.dtype.kind == "f":
            raise SettingsError(
                "equalise: is for integer grey levels; leave it out for floating-point frames "
                "and with a flat field"
            )
        picture = find_reference(frames, choice)
        registrar = Registrar(picture, frames)
        if picture.picture.dtype not in (frames.dtype, np.float32):
            raise FrameError(
                f"{picture.name}: the reference is {picture.picture.dtype}, the frames are "
                f"{frames.dtype}; give one of their number type"
            )
        if cutting is not None:
            cutting.check(frames.shape, frames.stems)
            check_folder(Path(out, PATCHES), COMMAND)
        folder = _own_folder(out)
        manifest = {
            "command": COMMAND,
            "versions": versions("numpy", "scipy", "cv2"),
            "sequence": frames.record(),
            "reference": picture.name,
            "settings": {
                "reference": str(reference),
                "flat": None if flat is None else str(flat),
                "dark": None if dark is None else str(dark),
                "denoise_px": denoise,
                "equalise": equalise,
                **({} if cutting is None else {"patches": cutting.record()}),
            },
        }
        # First of all, so that a folder that was left half done is known for one of this command,
        # and without what an earlier call has made with other settings.
        write_json(folder / MANIFEST, manifest)
        folders = output_folder(folder / "aligned"), output_folder(folder / "difference")
        for old in (*folders[0].glob("*.tif"), *folders[1].glob("*.tif")):
            old.unlink()
        registration = _align(frames, registrar, progress)
        shown: tuple[NDArray[np.float32] | None, NDArray[np.float32] | None] = (None, None)
        for number, stem in enumerate(frames.stems):
            aligned, changed = (folder / f"{stem}.tif" for folder in folders)
            compared = _compare(frames, number, picture, registration, choice)
            if compared is not None:
                frame, before, treated = compared
                seen = _for_the_eye(_as_type(treated.frame, frames.dtype), denoise, equalise)
                seen[~treated.covered] = 0
                write_tiff(aligned, seen)
                write_tiff(changed, _as_type(treated.difference, _SIGNED[frames.dtype.name]))
                shown = frame.astype(np.float32) - before, treated.difference
            if progress is not None:
                progress("write", number + 1, len(frames))
        if cutting is not None:
            brightness = float(np.median(picture.picture))
            place = Patches(folder / PATCHES, cutting, brightness, manifest)
            _cut(frames, picture, registration, choice, place, progress)
        table = registration.table(frames)
        write_table(folder / "frames", table, ALIGNED_FRAMES)
        measured = np.array([(m.dy_px, m.dx_px) for m in registration.measured])
        draw_pretreatment(Pretreatment(table, measured, *shown), folder / "drift.png")
        registration.raise_failures(frames, registration.remarks.count(""))
    return table


def treat(
    frame: NDArray[Any],
    reference: NDArray[Any],
    drift_px: tuple[float, float],
    reference_drift_px: tuple[float, float] | None = None,
) -> Treated:
    """Bring a frame to the grid and the light of its reference.

    Parameters
    ----------
    frame, reference
        ``(height, width)``, grey levels.
    drift_px
        Rows and columns by which the frame has moved.
    reference_drift_px
        The same for the reference, where it is not what all frames are aligned to.

    Returns
    -------
    Treated
        Frame and difference.

    Raises
    ------
    FrameError
        If the two have another size or nothing bright in common.

    Examples
    --------
    >>> metal = np.random.default_rng(0).normal(200, 5, (64, 64))
    >>> treated = treat(0.9 * np.roll(metal, 1, 0), metal, (1, 0))
    >>> bool(np.abs(treated.difference).max() < 0.1)
    True
    """
    moved, covered = shift_frame(frame, -drift_px[0], -drift_px[1])
    before = reference.astype(np.float32, copy=False)
    if reference_drift_px is not None:
        before, there = shift_frame(before, -reference_drift_px[0], -reference_drift_px[1])
        covered &= there
    field, _ = match_light(moved, before, covered)
    matched = np.where(covered, moved / field, np.float32(0))
    changed = np.where(covered, difference(moved, before, field), np.float32(0))
    return Treated(matched, changed, covered)


def _align(frames: FrameSequence, registrar: Registrar, progress: Progress | None) -> Registration:
    measured: list[Measured] = []
    near: tuple[float, float] | None = None
    for number in range(len(frames)):
        one = registrar.measure(number, near)
        near = (one.dy_px, one.dx_px) if one.aligned else near
        measured.append(one)
        if progress is not None:
            progress("align", number + 1, len(frames))
    return register(frames, measured, registrar.reference)


def _compare(
    frames: FrameSequence,
    number: int,
    picture: Reference,
    registration: Registration,
    choice: Choice,
    *,
    on_frame: bool = False,
) -> tuple[NDArray[Any], NDArray[Any], Treated] | None:
    """A frame, its reference and the frame treated, on its own grid or on that of all.

    None where it cannot be compared.
    """
    if not registration.known(number):
        return None
    earlier = registration.earlier(number, choice)
    try:
        before = picture.picture if earlier is None else frames.frame(earlier)
        drift = registration.drift(number)
        moved = None if earlier is None else registration.drift(earlier)
        if on_frame:
            since, drift = np.subtract(moved or (0.0, 0.0), drift), (0.0, 0.0)
            moved = float(since[0]), float(since[1])
        frame = frames.frame(number)
        treated = treat(frame, before, drift, moved)
    except FrameError as error:  # readable a moment ago
        registration.remarks[number] = str(name_error(frames.names[number], error))
        return None
    return frame, before, treated


def _cutting(
    patches: str | None, times: Sequence[float] | None, patch_entropy_bits: float | None
) -> Cutting | None:
    if patches is not None:
        return Cutting.of(patches, times, patch_entropy_bits)
    if times is not None or patch_entropy_bits is not None:
        raise SettingsError("times and patch entropy: are for patches; give their size, as 200/100")
    return None


def _cut(
    frames: FrameSequence,
    picture: Reference,
    registration: Registration,
    choice: Choice,
    patches: Patches,
    progress: Progress | None,
) -> None:
    """Cut some frames into patches."""
    usable = [number for number in range(len(frames)) if registration.known(number)]
    chosen = patches.cutting.frames(frames.time_s, usable)
    for done, number in enumerate(chosen, start=1):
        compared = _compare(frames, number, picture, registration, choice, on_frame=True)
        if compared is not None:
            frame, _, treated = compared
            change = Change(treated.difference, treated.covered, registration.drift(number))
            time_s = float(frames.time_s[number])
            patches.add(frames.stems[number], number, time_s, frame, change)
        if progress is not None:
            progress("cut", done, len(chosen))
    patches.write()


def _own_folder(out: str | Path) -> Path:
    folder = output_folder(out)
    if any(folder.iterdir()) and made_by(folder) != COMMAND:
        raise OutputError(
            f"{folder}: is not empty and was not written by corroscope {COMMAND}; choose another"
        )
    return folder


def _as_type(frame: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind == "f":
        return frame
    return np.clip(np.rint(frame), np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)


def _for_the_eye(frame: NDArray[Any], denoise: int | None, equalise: bool) -> NDArray[Any]:
    if denoise is not None:
        frame = np.asarray(cv2.medianBlur(frame, denoise))
    if not equalise:
        return frame
    return np.asarray(cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(frame))
