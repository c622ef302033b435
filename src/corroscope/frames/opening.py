"""From a path to a sequence: a folder of images, a list of them, a stack or a video."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from corroscope.errors import FrameError, SettingsError
from corroscope.frames.beside import without_masks
from corroscope.frames.clock import natural_order, order_names
from corroscope.frames.light import flat_field
from corroscope.frames.naming import Conditions, Name, check_pattern, find_conditions, find_parts
from corroscope.frames.reading import is_image, list_images, read_frame
from corroscope.frames.sequence import Frame, FrameSequence, Source, file_stem
from corroscope.frames.stack import SUFFIXES as STACK_SUFFIXES
from corroscope.frames.stack import Stack, read_timestamps
from corroscope.frames.video import SUFFIXES as VIDEO_SUFFIXES
from corroscope.frames.video import Video


class _Images:
    """Single image files, as a source; none is read before it is asked for."""

    def __init__(self, files: list[Path], time_s: NDArray[np.float64], clock: str) -> None:
        self.places: list[tuple[Path, int | None]] = [(file, None) for file in files]
        self.time_s = time_s
        self.clock = clock
        self.remarks: list[str] = []
        self.broken = ""

    def read(self, number: int) -> Frame:
        return read_frame(self.places[number][0])

    def close(self) -> None:
        """Nothing is open."""


def open_sequence(
    path: str | Path | Sequence[str | Path],
    *,
    pattern: str | None = None,
    interval_s: float | None = None,
    start: float | None = None,
    flat: str | Path | None = None,
    dark: str | Path | None = None,
) -> FrameSequence:
    """Open the frames of one experiment, in order of time.

    Times come from the clocks in the file names; where no name has one, from the
    metadata (OME, ImageJ, DateTime tags, timestamps of a video). Without times, the
    order is that of the numbers in the names.

    Parameters
    ----------
    path
        A folder of PNG, TIFF and JPEG files, a list of such files, a multi-page TIFF,
        or a video (mp4, avi, mov, mkv). Hidden and other files in a folder are ignored, and
        so is a mask beside its frame: ``x_mask.png`` or ``x_ignore.png`` beside ``x.png``.
    pattern
        Regular expression for the file names; see `corroscope.frames.naming.read_name`.
    interval_s
        Time between frames in seconds, instead of their own times; their order stays.
    start
        When the run began, in seconds since midnight, where the clocks do not tell on
        which side of midnight a frame lies.
    flat
        Image of an even surface in the same light; all frames are corrected with it and
        become ``float32``.
    dark
        Image without light, for the flat-field correction.

    Returns
    -------
    FrameSequence
        To be closed after use, or used in a ``with`` statement.

    Raises
    ------
    FrameError
        If there is nothing to open, some names have a clock and others do not, two
        files have the same stem, where the run begins cannot be told, or the flat or
        the dark field does not fit the frames.
    SettingsError
        If a setting is out of its range or of no use here.
    MissingExtraError
        If this is a video and PyAV is not installed.

    Examples
    --------
    >>> import tempfile, tifffile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for clock in ("00-00-04.500", "23-59-58.000"):
    ...         file = f"{folder}/30mM_1.6V-w-snaps-{clock}.tif"
    ...         tifffile.imwrite(file, np.zeros((16, 20), np.uint8))
    ...     with open_sequence(folder) as sequence:
    ...         times, last = sequence.time_s.tolist(), sequence.stems[-1]
    >>> times, last, sequence.conditions.potential_v
    ([0.0, 6.5], '30mM_1.6V-w-snaps-00-00-04.500', 1.6)
    """
    if interval_s is not None and not 0 < interval_s < float("inf"):
        raise SettingsError(f"interval: {interval_s:g} s (allowed: above 0)")
    if pattern is not None:
        check_pattern(pattern)
    if dark is not None and flat is None:
        raise SettingsError("dark: is for the flat-field correction; give the flat field as well")
    sequence = _open(path, pattern, interval_s, start)
    if flat is not None:
        sequence.correct = _flat_correction(sequence, Path(flat), dark)
    return sequence


def _open(
    path: str | Path | Sequence[str | Path],
    pattern: str | None,
    interval_s: float | None,
    start: float | None,
) -> FrameSequence:
    if not isinstance(path, str | Path):
        files = [Path(file) for file in path]
        _check_files(files)
        return _open_images(files[0].resolve().parent, files, pattern, interval_s, start)
    path = Path(path)
    if path.is_dir():
        listed = list_images(path)
        files = without_masks(listed)
        sequence = _open_images(path, files, pattern, interval_s, start)
        if masks := len(listed) - len(files):
            beside = (
                "a mask beside its frame is" if masks == 1 else f"{masks} masks beside frames are"
            )
            sequence.remarks.append(f"{beside} left out")
        return sequence
    if not path.is_file():
        raise FrameError(f"{path}: no such folder or file; check the path")
    suffix = path.suffix.lower()
    if suffix not in (*STACK_SUFFIXES, *VIDEO_SUFFIXES):
        what = "a single image" if is_image(path.name) else "neither a multi-page TIFF nor a video"
        raise FrameError(f"{path}: is {what}; give the folder of the images, or a list of them")
    for setting, value in (("pattern", pattern), ("start", start)):
        if value is not None:
            raise SettingsError(f"{setting}: is only for the names of single images; leave it out")
    source: Source = Video(path) if suffix in VIDEO_SUFFIXES else Stack(path)
    conditions, doubts = _agree([find_conditions(path.stem)])
    source.remarks += doubts
    return FrameSequence(file_stem(path), source, conditions, interval_s)


def _open_images(
    folder: Path,
    files: list[Path],
    pattern: str | None,
    interval_s: float | None,
    start: float | None,
) -> FrameSequence:
    files = [files[place] for place in natural_order([file.name for file in files])]
    _check_stems(files)
    try:
        names = [find_parts(file.stem, pattern) for file in files]
    except FrameError as error:
        raise FrameError(f"{folder}: {error}") from None
    fitting = sum(name.tells_order for name in names)
    if fitting < len(files) and (fitting or pattern is not None):
        foreign = files[[name.tells_order for name in names].index(False)]
        what = "has no clock in its name" if pattern is None else "does not fit the pattern"
        others = f"{fitting} of {len(files)} images do" if pattern else f"{fitting} others have one"
        remedy = "correct the pattern" if pattern else "give a pattern"
        raise FrameError(f"{foreign}: {what}, {others}; move it out, or {remedy}")
    remarks: list[str] = []
    begun = Name()
    if fitting:
        try:
            order, time_s = order_names(names, start)
        except FrameError as error:
            raise FrameError(f"{folder}: {error}") from None
        files = [files[place] for place in order]
        begun = names[order[0]]
    elif start is not None:
        raise SettingsError("start: is only for names with a clock; leave it out")
    else:
        time_s, remarks = read_timestamps(files)
    clock = "names" if fitting else "TIFF DateTime"
    source = _Images(files, time_s, "unknown" if np.isnan(time_s).any() else clock)
    conditions, doubts = _agree(names)
    source.remarks = remarks + doubts
    return FrameSequence(
        folder.resolve().name, source, conditions, interval_s, begun.clock_s, begun.date
    )


def _check_files(files: list[Path]) -> None:
    if not files:
        raise FrameError("the list of images is empty; name at least one")
    for file in files:
        if not file.is_file():
            raise FrameError(f"{file}: no such file; check the path")
        if not is_image(file.name):
            raise FrameError(f"{file}: not a PNG, TIFF or JPEG file; leave it out")


def _check_stems(files: list[Path]) -> None:
    seen: dict[str, Path] = {}
    for file in files:
        if (other := seen.setdefault(file.stem, file)) is not file:
            raise FrameError(
                f"{file}: has the same stem as {other}, so they would share one mask; rename one"
            )


def _agree(names: list[Name]) -> tuple[Conditions, list[str]]:
    """What all names agree on, and remarks on what they do not."""
    remarks, agreed = [], []
    for field in Conditions._fields:
        values = {getattr(name, field) for name in names}
        agreed.append(values.pop() if len(values) == 1 else None)
        if values:
            remarks.append(f"the names do not agree on {field.rsplit('_', 1)[0]}")
    doubts = [name.doubt for name in names if name.doubt]
    return Conditions(*agreed), [*remarks, *doubts[:1]]


def _flat_correction(
    sequence: FrameSequence, flat: Path, dark: str | Path | None
) -> Callable[[Frame], NDArray[np.float32]]:
    light = read_frame(flat)
    black = None if dark is None else read_frame(dark)
    name = f"{flat}" if dark is None else f"{flat} and {dark}"

    def correct(frame: Frame) -> NDArray[np.float32]:
        try:
            return flat_field(frame, light, black)
        except FrameError as error:
            raise FrameError(f"{name}: {error}") from None

    # What does not fit is to be known before the first frame.
    correct(np.zeros(sequence.shape, np.uint8))
    return correct
