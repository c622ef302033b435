"""LabelMe: a JSON file an image, with shapes of the kind ``mask``; read are polygons, too."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from corroscope.annotation.formats.reading import (
    Sizes,
    files,
    filled,
    image_of,
    instance,
    label_of,
    read_json,
    understanding,
)
from corroscope.annotation.instances import AnnotatedImage, Instance
from corroscope.errors import AnnotationError
from corroscope.outputs import write_json


def write(images: Sequence[AnnotatedImage], folder: Path) -> None:
    """Write ``x.json``; the two points of a mask are its first and its last pixel."""
    for image in images:
        write_json(
            folder / f"{Path(image.name).stem}.json",
            {
                "version": "5.5.0",
                "flags": {},
                "shapes": [_shape(one) for one in image.instances],
                "imagePath": image.name,
                "imageData": None,
                "imageHeight": image.shape[0],
                "imageWidth": image.shape[1],
            },
        )


def read(path: Path, sizes: Sizes) -> list[AnnotatedImage]:
    """Read masks and polygons; the corners of a polygon count from the corner of the image."""
    found = []
    for file in files(path, ".json"):
        content = read_json(file)
        with understanding(file):
            name = image_of(Path(content["imagePath"]).name, sizes, file)
            names = [str(shape["label"]) for shape in content["shapes"]]
            instances = []
            for number, shape in enumerate(content["shapes"], start=1):
                where = f"{file}, object {number}"
                label = label_of(str(shape["label"]), names, str(file))
                instances.append(_instance(shape, sizes[name], label, where))
        found.append(AnnotatedImage(name, sizes[name], tuple(instances)))
    return found


def _shape(one: Instance) -> dict[str, Any]:
    content = io.BytesIO()
    Image.fromarray(one.mask.astype(np.uint8) * 255).convert("1").save(content, "PNG")
    (row, col), (height, width) = one.corner_px, one.mask.shape
    return {
        "label": one.label,
        "points": [[col, row], [col + width - 1, row + height - 1]],
        "group_id": None,
        "description": "",
        "shape_type": "mask",
        "flags": {},
        "mask": base64.b64encode(content.getvalue()).decode(),
    }


def _instance(shape: dict[str, Any], size: tuple[int, int], label: str, where: str) -> Instance:
    kind = shape["shape_type"]
    if kind == "polygon":
        return filled([np.array(shape["points"], np.float64)[:, ::-1]], size, label, where)
    if kind != "mask":
        raise AnnotationError(f"{where}: is a {kind}; only masks and polygons are read")
    with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as picture:
        part = np.asarray(picture.convert("L")) > 0
    col, row = (round(value) for value in shape["points"][0])
    if row < 0 or col < 0 or row + part.shape[0] > size[0] or col + part.shape[1] > size[1]:
        raise AnnotationError(
            f"{where}: reaches outside the image of {size[0]} by {size[1]} pixels; is it for "
            "another image?"
        )
    mask = np.zeros(size, bool)
    mask[row : row + part.shape[0], col : col + part.shape[1]] = part
    return instance(mask, label, where)
