"""Annotations out to other programs' formats and in from them; what is written is read back."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from corroscope.annotation.formats import coco, geojson, imagej, label_tiff, labelme, png, yolo
from corroscope.annotation.formats.reading import Sizes
from corroscope.annotation.instances import (
    IGNORE,
    PARTICLE,
    AnnotatedImage,
    Instance,
    paint,
    separate,
)
from corroscope.errors import AnnotationError
from corroscope.outputs import output_folder


class Format(NamedTuple):
    """How annotations are written to a folder and read from it."""

    write: Callable[[Sequence[AnnotatedImage], Path], None]
    read: Callable[[Path, Sizes], list[AnnotatedImage]]


FORMATS: Final[Mapping[str, Format]] = {
    "png": Format(png.write, png.read),
    "label-tiff": Format(label_tiff.write, label_tiff.read),
    "coco": Format(coco.write, coco.read),
    "labelme": Format(labelme.write, labelme.read),
    "yolo": Format(yolo.write, yolo.read),
    "imagej": Format(imagej.write, imagej.read),
    "geojson": Format(geojson.write, geojson.read),
}
"""By the name that the command line has for them; see ``docs/formats.md``."""


class Exported(NamedTuple):
    """What an export has come to.

    Attributes
    ----------
    files
        What was written.
    losses
        One sentence for each image that the format could not hold as it is.
    """

    files: tuple[Path, ...]
    losses: tuple[str, ...]


def export_annotations(images: Sequence[AnnotatedImage], folder: str | Path, name: str) -> Exported:
    """Write annotations in another format, and read them back to see what has become of them.

    Parameters
    ----------
    images
        Annotated images, each of another name.
    folder
        Where to write; files of the same names are replaced.
    name
        One of `FORMATS`.

    Returns
    -------
    Exported
        Files, and what was lost: objects that the format runs together or cuts.

    Raises
    ------
    AnnotationError
        If the format is unknown, there is no image, or what was read back differs though the
        format can hold it; then nothing is written.
    OutputError
        If the folder cannot be written to.

    Examples
    --------
    >>> import numpy as np
    >>> image = AnnotatedImage("a.png", (9, 9), (Instance.of(np.ones((2, 2), bool)),))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     exported = export_annotations([image], folder, "coco")
    ...     import_annotations(folder, "coco", {"a.png": (9, 9)}) == [image], exported.losses
    (True, ())
    """
    chosen = _format(name)
    if not images:
        raise AnnotationError("no image is annotated: there is nothing to export yet")
    out = output_folder(folder)
    sizes = {image.name: image.shape for image in images}
    if len({Path(image.name).stem for image in images}) < len(images):
        raise AnnotationError("two images have one name but for the ending; rename one")
    with tempfile.TemporaryDirectory(dir=out, prefix=".export-") as temporary:
        chosen.write(images, Path(temporary))
        back = {i.name: i for i in chosen.read(Path(temporary), sizes)}
        told = [_loss(image, back.get(image.name), name) for image in images]
        written = sorted(Path(temporary).iterdir())
        files = tuple(file.replace(out / file.name) for file in written)
    return Exported(files, tuple(loss for loss in told if loss is not None))


def import_annotations(path: str | Path, name: str, sizes: Sizes) -> list[AnnotatedImage]:
    """Read annotations in another program's format.

    Parameters
    ----------
    path
        A file, or a folder of them.
    name
        One of `FORMATS`.
    sizes
        Height and width of the images that they may belong to, by file name.

    Returns
    -------
    list of AnnotatedImage
        Images for which there is something.

    Raises
    ------
    AnnotationError
        If the format is unknown, nothing of it is there, or a file is broken, is not as the
        format has it, or belongs to no image or to one of another size.
    FrameError
        If a mask is no image that can be read.
    """
    chosen = _format(name)
    if not Path(path).exists():
        raise AnnotationError(f"{path}: is not there; name a file or folder to import")
    return chosen.read(Path(path), sizes)


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise AnnotationError(f"format {name!r} is unknown; use {', '.join(FORMATS)}")
    return FORMATS[name]


def _loss(image: AnnotatedImage, back: AnnotatedImage | None, name: str) -> str | None:
    """Say what the format could not hold of an image; None if it is all there."""
    found = list(back.instances) if back is not None else []
    changed = []
    for instance in image.instances:
        if instance in found:
            found.remove(instance)
        else:
            changed.append(instance)
    if not changed and not found:
        return None
    if not _beyond(name, image):
        raise AnnotationError(
            f"{image.name}: {len(changed)} objects came back changed from {name}; nothing was "
            "written; export another format and report this"
        )
    worst = min((_best_iou(one, found, image.shape) for one in changed), default=1.0)
    return (
        f"{image.name}: {len(changed)} of {len(image.instances)} objects touch, overlap or are in "
        f"pieces, which {name} cannot hold; worst IoU after reading back {worst:.2f}"
    )


def _beyond(name: str, image: AnnotatedImage) -> bool:
    """Whether a format is known to be unable to hold an image's objects apart."""
    if name == "label-tiff":
        total = sum(instance.area_px for instance in image.instances)
        painted = paint(image.instances, image.shape) | paint(image.instances, image.shape, IGNORE)
        return total > int(painted.sum())
    if name != "png":
        return False
    particles = paint(image.instances, image.shape)
    ignored = paint(image.instances, image.shape, IGNORE) & ~particles
    for label, mask in ((PARTICLE, particles), (IGNORE, ignored)):
        own = [one for one in image.instances if one.label == label]
        if set(separate(mask, label)) != set(own) or len(set(own)) < len(own):
            return True
    return False


def _best_iou(one: Instance, others: Sequence[Instance], shape: tuple[int, int]) -> float:
    best = 0.0
    mask = paint([one], shape, one.label)
    for other in others:
        if other.label == one.label:
            there = paint([other], shape, other.label)
            best = max(best, float((mask & there).sum() / (mask | there).sum()))
    return best
