"""Outlines are exact, and what formats can hold comes back as it was."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pycocotools import mask as run_lengths
from roifile import ROI_TYPE, ImagejRoi
from skimage import draw, io

from corroscope.annotation.exchange import FORMATS, export_annotations, import_annotations
from corroscope.annotation.instances import AnnotatedImage, Instance, separate
from corroscope.annotation.outlines import bridged, fill, polygons
from corroscope.errors import AnnotationError
from corroscope.outputs import write_json, write_png

SIZE = (30, 40)
Mask = NDArray[np.bool_]


def _of(text: str, row: int = 0, col: int = 0, label: str = "particle") -> Instance:
    mask = np.array([[sign == "#" for sign in line] for line in text.split()])
    return Instance.of(mask, label, (row, col))


OBJECTS = {
    "one pixel": [_of("#", 5, 7)],
    "with a hole": [_of("### #.# ###", 5, 7)],
    "an island in the hole": [_of("##### #...# #.#.# #...# #####", 5, 7)],
    "a hole that touches the outside": [_of("##. #.# ###", 3, 3)],
    "at every border": [
        _of("##", 0, 0),
        _of("# #", 28, 39),
        _of("##", 29, 5),
        _of("# #", 12, 0),
    ],
    "the whole image": [Instance.of(np.ones(SIZE, bool))],
    "side by side": [_of("## ##", 4, 4), _of("## ##", 4, 6)],
    "corner to corner": [_of("## ##", 4, 4), _of("## ##", 6, 6)],
    "in two pieces": [_of("#.# ... #..", 8, 8)],
    "touching itself at a corner": [_of("#. .#", 8, 8)],
    "one ignored": [_of("##", 3, 3), _of("## ##", 20, 20, "ignore")],
    "nothing": [],
    "overlapping": [_of("### ###", 4, 4), _of("### ###", 5, 5)],
}
CANNOT = {
    "png": {
        "an island in the hole",
        "side by side",
        "corner to corner",
        "in two pieces",
        "overlapping",
    },
    "label-tiff": {"overlapping"},
}


@settings(max_examples=300, deadline=None)
@given(mask=arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_filled_outlines_are_the_mask_they_came_from(mask: Mask) -> None:
    pieces = polygons(mask)
    shape = (mask.shape[0], mask.shape[1])
    rings = [ring for piece in pieces for ring in (piece.outer, *piece.holes)]
    np.testing.assert_array_equal(fill(rings, shape), mask)
    for ring in rings:
        assert len({tuple(vertex) for vertex in ring.tolist()}) == len(ring)
    if pieces:
        np.testing.assert_array_equal(fill([bridged(pieces)], shape), mask)


def test_any_polygon_is_filled_where_the_centres_are_inside() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        angle = np.sort(rng.uniform(0, 2 * np.pi, 7))
        radius = rng.uniform(2, 14, 7)
        ring = np.stack([15 + radius * np.sin(angle), 20 + radius * np.cos(angle)], axis=1)
        expected = draw.polygon2mask(SIZE, ring - 0.5)
        assert (fill([ring], SIZE) != expected).sum() <= 1  # centres on an edge


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("case", OBJECTS)
def test_what_a_format_can_hold_comes_back_exactly(tmp_path: Path, kind: str, case: str) -> None:
    image = AnnotatedImage("a.png", SIZE, tuple(OBJECTS[case]))
    files, losses = export_annotations([image], tmp_path, kind)
    assert files
    assert all(file.is_file() for file in files)
    assert sorted(tmp_path.iterdir()) == sorted(files)
    (back,) = import_annotations(tmp_path, kind, {"a.png": SIZE})
    same = sorted(back.instances, key=hash) == sorted(image.instances, key=hash)
    assert same == (case not in CANNOT.get(kind, set()))
    assert bool(losses) != same
    if losses:
        assert "a.png: " in losses[0]
        assert kind in losses[0]


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=25, deadline=None)
@given(mask=arrays(bool, (12, 11)))
def test_random_masks_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, kind: str, mask: Mask
) -> None:
    folder = tmp_path_factory.mktemp("out")
    image = AnnotatedImage("a.png", (12, 11), tuple(separate(mask)))
    assert export_annotations([image], folder, kind).losses == ()
    (back,) = import_annotations(folder, kind, {"a.png": (12, 11)})
    assert set(back.instances) == set(image.instances)


def _exported(tmp_path: Path, kind: str, case: str = "with a hole") -> Path:
    image = AnnotatedImage("a.png", SIZE, tuple(OBJECTS[case]))
    return export_annotations([image], tmp_path, kind).files[0]


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_pycocotools_reads_the_same_masks(tmp_path: Path) -> None:
    (told,) = json.loads(_exported(tmp_path, "coco").read_text())["annotations"]
    (one,) = OBJECTS["with a hole"]
    mask = run_lengths.decode(told["segmentation"])
    assert mask[5:8, 7:10].tolist() == one.mask.astype(int).tolist()
    assert told["bbox"] == run_lengths.toBbox(told["segmentation"]).tolist()
    assert told["area"] == run_lengths.area(told["segmentation"]) == 8


def test_other_programs_read_the_label_image(tmp_path: Path) -> None:
    labels = io.imread(_exported(tmp_path, "label-tiff", "side by side"))
    assert labels.dtype == np.uint16
    assert [int((labels == number).sum()) for number in (1, 2)] == [4, 4]


def test_a_roi_covers_the_pixels_between_its_corners(tmp_path: Path) -> None:
    with zipfile.ZipFile(_exported(tmp_path, "imagej", "one pixel")) as archive:
        roi = ImagejRoi.frombytes(archive.read("particle 1.roi"))
    assert roi.roitype == ROI_TYPE.POLYGON
    assert (roi.top, roi.left, roi.bottom, roi.right) == (5, 7, 6, 8)


def test_polygons_and_plain_run_lengths_of_other_programs_are_read(tmp_path: Path) -> None:
    square = [3, 2, 6, 2, 6, 4, 3, 4]
    content = {
        "images": [{"id": 1, "file_name": "folder/a.png", "height": 3, "width": 4}],
        "categories": [{"id": 5, "name": "speck"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 5, "segmentation": [square]},
            {
                "id": 2,
                "image_id": 1,
                "category_id": 5,
                "segmentation": {"size": list(SIZE), "counts": [31, 2, 1167]},
            },
        ],
    }
    write_json(tmp_path / "any name.json", content)
    (image,) = import_annotations(tmp_path / "any name.json", "coco", {"a.png": SIZE})
    assert image.instances == (_of("### ###", 2, 3), _of("# #", 1, 1))
    shape = {"label": "dirt", "shape_type": "polygon", "points": [[3, 2], [6, 2], [6, 4], [3, 4]]}
    write_json(tmp_path / "a.json", {"imagePath": "../a.png", "shapes": [shape]})
    (image,) = import_annotations(tmp_path / "a.json", "labelme", {"a.png": SIZE})
    assert image.instances == (_of("### ###", 2, 3),)


@pytest.mark.parametrize("kind", FORMATS)
def test_broken_files_are_one_line_that_names_them(tmp_path: Path, kind: str) -> None:
    file = _exported(tmp_path, kind)
    content = file.read_bytes()
    file.write_bytes(b"\x00broken")
    with pytest.raises(Exception, match=file.name) as caught:
        import_annotations(file if kind != "png" else tmp_path, kind, {"a.png": SIZE})
    assert type(caught.value).__module__ == "corroscope.errors"
    assert "\n" not in str(caught.value)
    file.write_bytes(content)


@pytest.mark.parametrize("kind", ["coco", "labelme", "geojson"])
def test_json_of_another_kind_is_told(tmp_path: Path, kind: str) -> None:
    file = _exported(tmp_path, kind)
    write_json(file, {"something": "else"})
    with pytest.raises(AnnotationError, match="not as the format has it"):
        import_annotations(file, kind, {"a.png": SIZE})


@pytest.mark.parametrize("kind", FORMATS)
def test_annotations_of_another_image_are_refused(tmp_path: Path, kind: str) -> None:
    _exported(tmp_path, kind, "the whole image")
    with pytest.raises(AnnotationError):
        import_annotations(tmp_path, kind, {"b.png": SIZE})
    if kind != "yolo":  # in shares of the size, it fits every image
        with pytest.raises(AnnotationError, match="another image|for an image of"):
            import_annotations(tmp_path, kind, {"a.png": (20, 20)})
    with pytest.raises(AnnotationError):
        import_annotations(tmp_path / "nowhere", kind, {"a.png": SIZE})


def test_an_empty_folder_and_an_ambiguous_name_are_told(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"holds no file \*.geojson"):
        import_annotations(tmp_path, "geojson", {"a.png": SIZE})
    _exported(tmp_path, "geojson")
    with pytest.raises(AnnotationError, match="several images"):
        import_annotations(tmp_path, "geojson", {"a.png": SIZE, "a.tif": SIZE})
    twice = [AnnotatedImage(name, SIZE, ()) for name in ("a.png", "a.tif")]
    with pytest.raises(AnnotationError, match="one name but for the ending"):
        export_annotations(twice, tmp_path, "yolo")
    with pytest.raises(AnnotationError, match="format 'voc' is unknown"):
        export_annotations([], tmp_path, "voc")


def test_several_foreign_classes_are_not_guessed(tmp_path: Path) -> None:
    file = _exported(tmp_path, "geojson", "side by side")
    content = json.loads(file.read_text())
    for feature, name in zip(content["features"], ("pit", "scratch"), strict=True):
        feature["properties"]["classification"]["name"] = name
    write_json(file, content)
    with pytest.raises(AnnotationError, match="classes pit, scratch"):
        import_annotations(file, "geojson", {"a.png": SIZE})


def test_objects_without_an_area_or_a_pixel_are_told(tmp_path: Path) -> None:
    file = _exported(tmp_path, "geojson", "one pixel")
    content = json.loads(file.read_text())
    geometry = content["features"][0]["geometry"]
    geometry["coordinates"] = [[[1.1, 1.1], [1.2, 1.1], [1.2, 1.2], [1.1, 1.1]]]
    write_json(file, content)
    with pytest.raises(AnnotationError, match="covers the centre of no pixel"):
        import_annotations(file, "geojson", {"a.png": SIZE})
    geometry["type"] = "Point"
    write_json(file, content)
    with pytest.raises(AnnotationError, match="is a Point"):
        import_annotations(file, "geojson", {"a.png": SIZE})
    file = _exported(tmp_path, "labelme", "one pixel")
    content = json.loads(file.read_text())
    content["shapes"][0]["shape_type"] = "circle"
    write_json(file, content)
    with pytest.raises(AnnotationError, match="is a circle"):
        import_annotations(file, "labelme", {"a.png": SIZE})
    with zipfile.ZipFile(tmp_path / "a_rois.zip", "w") as archive:
        roi = ImagejRoi.frompoints([[1, 1]], name="p")
        roi.roitype = ROI_TYPE.POINT
        archive.writestr("p.roi", roi.tobytes())
    with pytest.raises(AnnotationError, match="POINT ROI"):
        import_annotations(tmp_path, "imagej", {"a.png": SIZE})
    (tmp_path / "a.txt").write_text("0 0.1 0.1 0.2 0.2\n")
    with pytest.raises(AnnotationError, match="fewer than three vertices"):
        import_annotations(tmp_path / "a.txt", "yolo", {"a.png": SIZE})


def test_a_png_mask_of_another_size_and_a_coloured_label_image_are_told(tmp_path: Path) -> None:
    import tifffile

    write_png(tmp_path / "a_mask.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(AnnotationError, match="5 by 5 pixels"):
        import_annotations(tmp_path, "png", {"a.png": SIZE})
    tifffile.imwrite(tmp_path / "a_labels.tif", np.zeros((5, 5, 3), np.uint8))
    with pytest.raises(AnnotationError, match="no label image"):
        import_annotations(tmp_path, "label-tiff", {"a.png": SIZE})


def test_an_export_of_nothing_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="there is nothing to export yet"):
        export_annotations([], tmp_path / "out", "coco")
    assert not (tmp_path / "out").exists()


def test_an_export_that_comes_back_changed_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = run_lengths.decode
    monkeypatch.setattr(run_lengths, "decode", lambda told: np.roll(decode(told), 1, 0))
    with pytest.raises(AnnotationError, match="1 objects came back changed from coco"):
        _exported(tmp_path, "coco")
    assert list(tmp_path.iterdir()) == []
