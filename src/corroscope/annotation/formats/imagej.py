"""ImageJ: a zip of ROIs an image. Integer vertices lie on the corners of pixels, so it is exact."""

import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from roifile import ROI_TYPE, ImagejRoi

from corroscope.annotation.formats.reading import (
    Sizes,
    files,
    filled,
    image_of,
    label_of,
    understanding,
)
from corroscope.annotation.instances import AnnotatedImage, Instance
from corroscope.annotation.outlines import Ring, polygons
from corroscope.errors import AnnotationError
from corroscope.outputs import replacing

_ENDING = "_rois.zip"
_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0  # how java.awt.geom.PathIterator numbers them


def write(images: Sequence[AnnotatedImage], folder: Path) -> None:
    """Write ``x_rois.zip``; objects with holes or several pieces are composite ROIs."""
    for image in images:
        with (
            replacing(folder / f"{Path(image.name).stem}{_ENDING}") as temporary,
            zipfile.ZipFile(temporary, "w") as archive,
        ):
            for number, one in enumerate(image.instances, start=1):
                name = f"{one.label} {number}"
                archive.writestr(f"{name}.roi", _roi(one, name).tobytes())


def read(path: Path, sizes: Sizes) -> list[AnnotatedImage]:
    """Read polygons, freehand, traced and composite ROIs; the label is the name's first word."""
    found = []
    for file in files(path, _ENDING):
        name = image_of(file.name.removesuffix(_ENDING).removesuffix(".zip"), sizes, file)
        instances = []
        with understanding(file):
            try:
                with zipfile.ZipFile(file) as archive:
                    rois = [ImagejRoi.frombytes(archive.read(e)) for e in archive.namelist()]
            except (zipfile.BadZipFile, struct.error) as error:
                raise ValueError(str(error)) from error
            names = [(roi.name.split() or [""])[0] for roi in rois]
            for number, roi in enumerate(rois):
                where = f"{file}, object {number + 1}"
                area = (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED)
                if not roi.composite and roi.roitype not in area:
                    raise AnnotationError(
                        f"{where}: is a {roi.roitype.name} ROI, which has no area"
                    )
                parts = roi.coordinates(multi=True) if roi.composite else [roi.coordinates()]
                rings = [np.asarray(part, np.float64)[:, ::-1] for part in parts]
                label = label_of(names[number], ["particle"], where)
                instances.append(filled(rings, sizes[name], label, where))
        found.append(AnnotatedImage(name, sizes[name], tuple(instances)))
    return found


def _roi(one: Instance, name: str) -> ImagejRoi:
    rings: list[Ring] = [
        ring + one.corner_px for piece in polygons(one.mask) for ring in (piece.outer, *piece.holes)
    ]
    every = np.concatenate(rings)
    roi = ImagejRoi.frompoints(every[:, ::-1].astype(np.int32), name=name)
    roi.roitype = ROI_TYPE.POLYGON
    roi.bottom, roi.right = (int(value) for value in every.max(axis=0))
    if len(rings) > 1:
        path: list[float] = []
        for ring in rings:
            for step, (row, col) in enumerate(ring):
                path += [_LINE if step else _MOVE, col, row]
            path.append(_CLOSE)
        roi.roitype = ROI_TYPE.RECT
        roi.shape_roi_size = len(path)
        roi.multi_coordinates = np.array(path, np.float32)
        roi.integer_coordinates = None
        roi.n_coordinates = 0
    return roi
