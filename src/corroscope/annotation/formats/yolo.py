"""YOLO segmentation: a text file an image, a line an object: class and one ring of vertices."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from corroscope.annotation.formats.reading import (
    Sizes,
    files,
    filled,
    image_of,
    label_of,
    understanding,
)
from corroscope.annotation.instances import LABELS, AnnotatedImage, Instance
from corroscope.annotation.outlines import Polygon, bridged, polygons
from corroscope.outputs import replacing

_CLASSES = "classes.txt"


def write(images: Sequence[AnnotatedImage], folder: Path) -> None:
    """Write ``x.txt`` in shares of width and height, and ``classes.txt``."""
    for image in images:
        lines = []
        for one in image.instances:
            pieces = [_moved(piece, one.corner_px) for piece in polygons(one.mask)]
            shares = bridged(pieces)[:, ::-1] / image.shape[::-1]
            numbers = " ".join(f"{share:.9f}" for share in shares.ravel())
            lines.append(f"{LABELS.index(one.label)} {numbers}\n")
        with replacing(folder / f"{Path(image.name).stem}.txt") as temporary:
            temporary.write_text("".join(lines))
    with replacing(folder / _CLASSES) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in LABELS))


def read(path: Path, sizes: Sizes) -> list[AnnotatedImage]:
    """Read one ring an object, filled by the odd-even rule."""
    found = []
    listed = (path if path.is_dir() else path.parent) / _CLASSES
    for file in files(path, ".txt"):
        if file.name == _CLASSES:
            continue
        name = image_of(file.stem, sizes, file)
        height, width = sizes[name]
        instances: list[Instance] = []
        with understanding(file):
            classes = listed.read_text().splitlines() if listed.exists() else [*LABELS]
            for number, line in enumerate(file.read_text().splitlines(), start=1):
                kind, *shares = line.split()
                ring = np.array(shares, np.float64).reshape(-1, 2)[:, ::-1] * (height, width)
                if len(ring) < 3:
                    raise ValueError(f"line {number} has fewer than three vertices")
                label = label_of(classes[int(kind)], classes, str(file))
                where = f"{file}, line {number}"
                instances.append(filled([ring], (height, width), label, where))
        found.append(AnnotatedImage(name, (height, width), tuple(instances)))
    return found


def _moved(piece: Polygon, corner_px: tuple[int, int]) -> Polygon:
    return Polygon(piece.outer + corner_px, tuple(hole + corner_px for hole in piece.holes))
