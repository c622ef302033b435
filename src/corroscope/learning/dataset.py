"""A folder of annotated patches → patches in memory."""

import csv
import hashlib
import math
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
        In order of name.

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
    digest = hashlib.sha256(f"{patch.frame.dtype} {patch.frame.shape}\n".encode())
    digest.update(np.ascontiguousarray(patch.frame).tobytes())
    return digest.hexdigest()


def dataset_hash(patches: list[Patch]) -> str:
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
    return Patch(image.name, frame, particles, *place, ignored=None if nothing else ignored)


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
