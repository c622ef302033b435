"""A folder of annotated patches → patches, whose frames stay in their files."""

import csv
import hashlib
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corroscope.annotation.pairing import pair_files
from corroscope.errors import DatasetError, FrameError
from corroscope.frames.reading import SUFFIXES, read_frame
from corroscope.segmentation.segmenter import check_frame

LARGEST_SHARE: Final = 0.5
"""A mask with a larger share of particle pixels is taken for an inverted one."""


@dataclass(frozen=True)
class Patch:
    """An image with its mask.

    Attributes
    ----------
    name
        File name of the image.
    frame
        ``(height, width)``, grey.
    mask
        ``(height, width)`` bool, true where the annotator saw a particle; false where ignored.
    corner_px
        Row and column of the top-left pixel in the frame that the patch was cut
        from, where ``index.csv`` tells it.
    surface_group
        Name of the piece of metal, where ``index.csv`` tells it.
    time
        When the frame was taken, where ``index.csv`` tells it; only the order counts.
    ignored
        ``(height, width)`` bool, true where nothing is learnt or scored; None where all is.
    """

    name: str
    frame: NDArray[np.uint8 | np.uint16 | np.float32]
    mask: NDArray[np.bool_]
    corner_px: tuple[int, int] | None = None
    surface_group: str | None = None
    time: float | None = None
    ignored: NDArray[np.bool_] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width."""
        return self.frame.shape

    @property
    def sha256(self) -> str:
        """As `frame_hash` gives it."""
        return _hash(self.frame)


@dataclass(frozen=True)
class FrameFile:
    """A frame that stays in its file.

    Attributes
    ----------
    path
        The file.
    shape
        Height and width.
    sha256
        Of the frame, as `frame_hash` gives it.
    """

    path: Path
    shape: tuple[int, ...]
    sha256: str

    def read(self) -> NDArray[np.uint8 | np.uint16 | np.float32]:
        """Read the frame, which must be the same as ever.

        Returns
        -------
        ndarray of uint8, uint16 or float32
            ``(height, width)``.

        Raises
        ------
        FrameError
            If the file cannot be read any more.
        DatasetError
            If it is another frame now.
        """
        frame = read_frame(self.path)
        if _hash(frame) != self.sha256:
            raise DatasetError(
                f"{self.path}: is another frame than when the dataset was read; leave images as "
                "they are while they are in use, and begin anew"
            )
        return frame


class FiledPatch(Patch):
    """A patch of a dataset folder: its frame is read from the file whenever it is asked for.

    So thousands of patches fit in memory. Masks are kept, packed: somebody may go on annotating
    while a network learns from what there was. Parameters are as of `Patch`, but that ``frame``
    may be a `FrameFile`.
    """

    def __init__(
        self,
        name: str,
        frame: FrameFile | NDArray[np.uint8 | np.uint16 | np.float32],
        mask: NDArray[np.bool_],
        corner_px: tuple[int, int] | None = None,
        surface_group: str | None = None,
        time: float | None = None,
        ignored: NDArray[np.bool_] | None = None,
    ) -> None:
        self.__dict__.update(  # it is frozen
            name=name, corner_px=corner_px, surface_group=surface_group, time=time,
            _frame=frame, _mask=_packed(mask),
            _ignored=None if ignored is None else _packed(ignored),
        )  # fmt: skip

    _frame: FrameFile | NDArray[np.uint8 | np.uint16 | np.float32]
    _mask: bytes
    _ignored: bytes | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width."""
        return self._frame.shape

    @property
    def sha256(self) -> str:
        """As `frame_hash` gives it."""
        return self._frame.sha256 if isinstance(self._frame, FrameFile) else _hash(self._frame)

    @property
    def frame(self) -> NDArray[np.uint8 | np.uint16 | np.float32]:
        """``(height, width)``, grey; read anew, with the errors of `FrameFile.read`."""
        return self._frame.read() if isinstance(self._frame, FrameFile) else self._frame

    @property
    def mask(self) -> NDArray[np.bool_]:
        """``(height, width)`` bool, as in `Patch`."""
        return _unpacked(self._mask, self.shape)

    @property
    def ignored(self) -> NDArray[np.bool_] | None:
        """``(height, width)`` bool or None, as in `Patch`."""
        return None if self._ignored is None else _unpacked(self._ignored, self.shape)


class _Place(NamedTuple):
    """What ``index.csv`` tells of a patch, as in `Patch`."""

    corner_px: tuple[int, int] | None = None
    surface_group: str | None = None
    time: float | None = None


def read_dataset(folder: str | Path, *, annotated_only: bool = False) -> list[Patch]:
    """Read every image of a dataset folder with its mask.

    A mask is a file whose name has ``mask`` in it: ``mask_1.png`` belongs to
    ``image_1.png``, ``x_mask.png`` to ``x.png``. It is two-valued: zero where there
    is no particle. ``x_ignore.png`` is an ignore mask: what is not zero there is neither learnt
    from nor scored, whatever the mask says of it. ``index.csv``, where there is one, has a
    column ``image`` and may have ``y0_px`` and ``x0_px`` (the patch's corner in its frame),
    ``surface_group``, and ``time_s`` or ``time_fraction``.

    Parameters
    ----------
    folder
        The dataset folder.
    annotated_only
        Leave out images without a mask.

    Returns
    -------
    list of Patch
        In order of name. All has been read and checked; frames are read again when they are
        asked for, so that the folder may be of any size but must stay.

    Raises
    ------
    DatasetError
        If the folder is missing or empty, an image has no mask (or none has), or a mask no image,
        a patch is no frame that can be segmented, a mask or ignore mask has another size than its
        image or more than two values, a mask is mostly particle, or ``index.csv`` cannot be
        understood or names an image that is not there.
    FrameError
        If a file cannot be read as an image.
    """
    folder = Path(folder)
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DatasetError(
            f"{folder}: no folder that can be read ({error.strerror}); give the folder of images "
            "and masks"
        ) from error
    files = [p for p in entries if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
    if not files:
        raise DatasetError(f"{folder}: no images; put image and mask files (PNG, TIFF) there")
    found: dict[Path, tuple[Path, Path | None]] = {}
    left_out = set()
    for image, mask, ignore in pair_files(files).values():
        if image is None:
            raise DatasetError(f"{mask}: is a mask without an image; add the image or remove it")
        if mask is not None:
            found[image] = mask, ignore
        elif annotated_only:
            left_out.add(image.name)
        else:
            raise DatasetError(f"{image}: has no mask; add {image.stem}_mask.png or remove it")
    if not found:
        raise DatasetError(f"{folder}: no image has a mask; annotate some")
    places = _read_index(folder / "index.csv")
    unknown = sorted(places.keys() - {image.name for image in found} - left_out)
    if unknown:
        raise DatasetError(
            f"{folder / 'index.csv'}: names {unknown[0]}, which is not there; mend the name or "
            "remove the row"
        )
    return [_read_patch(image, *found[image], places.get(image.name, _Place())) for image in found]


def frame_hash(patch: Patch) -> str:
    """SHA-256 over a patch's frame, whatever its file is called and however it is annotated.

    Parameters
    ----------
    patch
        The patch.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> len(frame_hash(Patch("a.png", np.zeros((2, 2), np.uint8), np.zeros((2, 2), bool))))
    64
    """
    return patch.sha256


def dataset_hash(patches: Sequence[Patch]) -> str:
    """SHA-256 over frames, masks and what is ignored of all patches, in order.

    Parameters
    ----------
    patches
        What `read_dataset` returned.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> len(dataset_hash([Patch("a.png", np.zeros((2, 2), np.uint8), np.zeros((2, 2), bool))]))
    64
    """
    digest = hashlib.sha256()
    for patch in patches:
        digest.update(frame_hash(patch).encode())
        digest.update(np.packbits(patch.mask).tobytes())
        if patch.ignored is not None:
            digest.update(b"ignored" + np.packbits(patch.ignored).tobytes())
    return digest.hexdigest()


def _read_patch(image: Path, mask: Path, ignore: Path | None, place: _Place) -> Patch:
    frame = read_frame(image)
    try:
        check_frame(frame)
    except FrameError as error:
        raise DatasetError(f"{image}: {error}") from None
    particles = _read_mask(mask, frame.shape, "mask", "no particle")
    if particles.mean() > LARGEST_SHARE:
        raise DatasetError(
            f"{mask}: {particles.mean():.0%} of the pixels are particle; if the mask is inverted, "
            "save it with 0 for no particle"
        )
    ignored = None
    if ignore is not None:
        ignored = _read_mask(ignore, frame.shape, "ignore mask", "what counts")
        particles &= ~ignored
    # An empty ignore mask is as good as none.
    nothing = ignored is None or not ignored.any()
    filed = FrameFile(image, frame.shape, _hash(frame))
    return FiledPatch(image.name, filed, particles, *place, ignored=None if nothing else ignored)


def _hash(frame: NDArray[np.generic]) -> str:
    digest = hashlib.sha256(f"{frame.dtype} {frame.shape}\n".encode())
    digest.update(np.ascontiguousarray(frame).tobytes())
    return digest.hexdigest()


def _packed(mask: NDArray[np.bool_]) -> bytes:
    """A mask as some hundred bytes: particles are few."""
    return zlib.compress(np.packbits(mask).tobytes(), level=1)


def _unpacked(packed: bytes, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    bits = np.frombuffer(zlib.decompress(packed), np.uint8)
    return np.unpackbits(bits, count=math.prod(shape)).view(np.bool_).reshape(shape)


def _read_mask(path: Path, shape: tuple[int, ...], kind: str, zero: str) -> NDArray[np.bool_]:
    values = read_frame(path)
    if values.shape != shape:
        raise DatasetError(
            f"{path}: {kind} of {_size(values.shape)} px for an image of {_size(shape)} px; "
            "export the mask at the size of its image"
        )
    levels = np.unique(values)
    if levels.size > 2 or (levels.size == 2 and levels[0] != 0):
        raise DatasetError(
            f"{path}: {kind} with values {', '.join(f'{v:g}' for v in levels[:4])}"
            f"{', …' if levels.size > 4 else ''}; use 0 for {zero} and one other value"
        )
    return np.asarray(values != 0)


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(str(n) for n in shape)


def _read_index(path: Path) -> dict[str, _Place]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, strict=True))
        if not all(row["image"] for row in rows):
            raise ValueError("a row names no image")
        return {
            row["image"]: _Place(
                (int(row["y0_px"]), int(row["x0_px"])) if row.get("y0_px") else None,
                row.get("surface_group") or None,
                _time(row),
            )
            for row in rows
        }
    except FileNotFoundError:
        return {}
    except (OSError, csv.Error, KeyError, ValueError, TypeError) as error:
        raise DatasetError(
            f"{path}: cannot be understood ({type(error).__name__}: {error}); mend it, or "
            "remove it and shared surface is found from the pixels"
        ) from error


def _time(row: dict[str, str]) -> float | None:
    for name in ("time_s", "time_fraction"):
        if row.get(name):
            time = float(row[name])
            if not math.isfinite(time):
                raise ValueError(f"{name} is {row[name]}")
            return time
    return None
