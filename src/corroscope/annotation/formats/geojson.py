"""GeoJSON, as QuPath reads and writes it: a file an image, a feature an object."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from corroscope.annotation.formats.reading import (
    Sizes,
    files,
    filled,
    image_of,
    label_of,
    read_json,
    understanding,
)
from corroscope.annotation.instances import PARTICLE, AnnotatedImage, Instance
from corroscope.annotation.outlines import Ring, polygons
from corroscope.errors import AnnotationError
from corroscope.outputs import write_json

_ENDING = ".geojson"


def write(images: Sequence[AnnotatedImage], folder: Path) -> None:
    """Write ``x.geojson``; the corner of the image is the origin, x comes before y."""
    for image in images:
        features = [_feature(one) for one in image.instances]
        content = {"type": "FeatureCollection", "features": features}
        write_json(folder / f"{Path(image.name).stem}{_ENDING}", content)


def read(path: Path, sizes: Sizes) -> list[AnnotatedImage]:
    """Read polygons and multi-polygons."""
    found = []
    for file in files(path, _ENDING):
        name = image_of(file.stem, sizes, file)
        content = read_json(file)
        instances = []
        with understanding(file):
            names = [_name(feature) for feature in content["features"]]
            for number, feature in enumerate(content["features"]):
                where = f"{file}, object {number + 1}"
                label = label_of(names[number], names, str(file))
                rings = _rings(feature["geometry"], where)
                instances.append(filled(rings, sizes[name], label, where))
        found.append(AnnotatedImage(name, sizes[name], tuple(instances)))
    return found


def _feature(one: Instance) -> dict[str, Any]:
    pieces = [
        [_closed(ring + one.corner_px) for ring in (piece.outer, *piece.holes)]
        for piece in polygons(one.mask)
    ]
    single = len(pieces) == 1
    return {
        "type": "Feature",
        "geometry": {
            "type": "Polygon" if single else "MultiPolygon",
            "coordinates": pieces[0] if single else pieces,
        },
        "properties": {"objectType": "annotation", "classification": {"name": one.label}},
    }


def _closed(ring: Ring) -> list[list[int]]:
    """As the format has it: outer rings counterclockwise, the first vertex once more at the end."""
    points: list[list[int]] = ring[::-1, ::-1].astype(int).tolist()
    return [*points, points[0]]


def _name(feature: dict[str, Any]) -> str:
    classification = feature.get("properties", {}).get("classification") or {}
    return str(classification.get("name", PARTICLE))


def _rings(geometry: dict[str, Any], where: str) -> list[Ring]:
    if geometry["type"] not in ("Polygon", "MultiPolygon"):
        raise AnnotationError(f"{where}: is a {geometry['type']}, which has no area; remove it")
    pieces = geometry["coordinates"]
    if geometry["type"] == "Polygon":
        pieces = [pieces]
    return [np.array(ring, np.float64)[:-1, ::-1] for piece in pieces for ring in piece]
