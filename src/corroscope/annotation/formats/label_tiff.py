"""Label TIFF: 0 is background, each object has a number. Fiji, napari and scikit-image read it."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile

from corroscope.annotation.formats.reading import Sizes, files, image_of, understanding
from corroscope.annotation.instances import IGNORE, PARTICLE, AnnotatedImage, Instance
from corroscope.errors import AnnotationError

_ENDING = "_labels.tif"


def write(images: Sequence[AnnotatedImage], folder: Path) -> None:
    """Write ``x_labels.tif``; which numbers are ignored stands in its description, as JSON."""
    for image in images:
        kind = np.uint16 if len(image.instances) < 2**16 else np.uint32
        labels = np.zeros(image.shape, kind)
        for number, instance in enumerate(image.instances, start=1):
            labels[instance.box][instance.mask] = number
        ignored = [n for n, one in enumerate(image.instances, start=1) if one.label == IGNORE]
        tifffile.imwrite(
            folder / f"{Path(image.name).stem}{_ENDING}",
            labels,
            compression="zlib",
            description=json.dumps({"ignore": ignored}),
            metadata=None,
        )


def read(path: Path, sizes: Sizes) -> list[AnnotatedImage]:
    """Read the label images that there are; of other programs, too."""
    found = []
    for file in files(path, _ENDING):
        with understanding(file):
            with tifffile.TiffFile(file) as tiff:
                labels = tiff.pages.first.asarray()
                description = str(tiff.pages.first.description)
            ignored = (
                json.loads(description).get("ignore", []) if description.startswith("{") else []
            )
            if labels.ndim != 2 or labels.dtype.kind not in "ui":
                raise TypeError(f"{labels.dtype} {labels.shape} is no label image")
        name = image_of(file.name.removesuffix(_ENDING), sizes, file)
        if labels.shape != sizes[name]:
            raise AnnotationError(
                f"{file}: has {labels.shape[0]} by {labels.shape[1]} pixels, its image "
                f"{sizes[name][0]} by {sizes[name][1]}; is it for another image?"
            )
        instances = tuple(
            Instance.of(labels == number, IGNORE if number in ignored else PARTICLE)
            for number in np.unique(labels[labels > 0]).tolist()
        )
        found.append(AnnotatedImage(name, sizes[name], instances))
    return found
