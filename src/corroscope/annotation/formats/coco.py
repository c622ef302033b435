"""COCO: one JSON file for all images, masks as compressed run lengths; read are polygons, too."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as run_lengths

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
from corroscope.annotation.instances import LABELS, AnnotatedImage, Instance, paint
from corroscope.errors import AnnotationError
from corroscope.outputs import write_json

_FILE = "annotations.json"


def write(images: Sequence[AnnotatedImage], folder: Path) -> None:
    """Write ``annotations.json``; the categories are particle, 1, and ignore, 2."""
    objects: list[dict[str, Any]] = []
    for number, image in enumerate(images, start=1):
        for one in image.instances:
            whole = paint([one], image.shape, one.label)
            encoded = run_lengths.encode(np.asfortranarray(whole.astype(np.uint8)))
            objects.append(
                {
                    "id": len(objects) + 1,
                    "image_id": number,
                    "category_id": LABELS.index(one.label) + 1,
                    "segmentation": {
                        "size": list(image.shape),
                        "counts": encoded["counts"].decode(),
                    },
                    "bbox": [*one.corner_px[::-1], *one.mask.shape[::-1]],
                    "area": one.area_px,
                    "iscrowd": 0,
                }
            )
    listed = [
        {"id": number, "file_name": image.name, "height": image.shape[0], "width": image.shape[1]}
        for number, image in enumerate(images, start=1)
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(LABELS, start=1)]
    write_json(folder / _FILE, {"images": listed, "annotations": objects, "categories": categories})


def read(path: Path, sizes: Sizes) -> list[AnnotatedImage]:
    """Read masks as compressed or plain run lengths, or as polygons."""
    (file,) = files(path, _FILE)[:1]
    content = read_json(file)
    with understanding(file):
        names = {c["id"]: str(c["name"]) for c in content["categories"]}
        images = {
            i["id"]: image_of(Path(i["file_name"]).name, sizes, file) for i in content["images"]
        }
        instances: dict[Any, list[Instance]] = {number: [] for number in images}
        for one in content["annotations"]:
            where = f"{file}, object {one['id']}"
            label = label_of(names[one["category_id"]], names.values(), str(file))
            size = sizes[images[one["image_id"]]]
            instances[one["image_id"]].append(_instance(one["segmentation"], size, label, where))
    return [AnnotatedImage(n, sizes[n], tuple(instances[number])) for number, n in images.items()]


def _instance(told: Any, size: tuple[int, int], label: str, where: str) -> Instance:
    if isinstance(told, list):
        rings = [np.array(ring, np.float64).reshape(-1, 2)[:, ::-1] for ring in told]
        return filled(rings, size, label, where)
    if tuple(told["size"]) != size:
        raise AnnotationError(
            f"{where}: is for an image of {told['size'][0]} by {told['size'][1]} pixels, not "
            f"{size[0]} by {size[1]}"
        )
    if isinstance(told["counts"], list):
        told = run_lengths.frPyObjects(told, *size)
    with warnings.catch_warnings():
        # It asks its own C array for a copy in a way that NumPy is about to give up.
        warnings.simplefilter("ignore", DeprecationWarning)
        mask: NDArray[np.bool_] = run_lengths.decode(told).astype(bool)
    return instance(mask, label, where)
