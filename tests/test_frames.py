"""Reading frames, and their contrast."""

import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from corroscope.errors import FrameError
from corroscope.frames.contrast import relative_contrast
from corroscope.frames.reading import list_images, read_frame, read_page

Writer = Callable[[str, NDArray[np.generic]], Path]


@pytest.fixture
def grey(rng: np.random.Generator) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (30, 41), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_8_bit_grey(suffix: str, grey: NDArray[np.uint8], write_image: Writer) -> None:
    smooth = cv2.GaussianBlur(grey, (0, 0), 4)
    frame = read_frame(write_image(f"frame{suffix}", smooth))
    assert frame.dtype == np.uint8
    assert np.abs(frame.astype(int) - smooth).max() <= (3 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_colour_keeps_its_depth(
    suffix: str, grey: NDArray[np.uint8], write_image: Writer
) -> None:
    deep = grey.astype(np.uint16) * 257 - (grey > 0)
    frame = read_frame(write_image(f"frame{suffix}", np.repeat(deep[..., None], 3, axis=2)))
    assert frame.dtype == np.uint16
    assert np.array_equal(frame, deep)


def test_colour_becomes_luma(write_image: Writer) -> None:
    blue_green_red = np.zeros((20, 20, 3), np.uint8)
    blue_green_red[..., 1] = 100
    assert np.unique(read_frame(write_image("green.png", blue_green_red))).tolist() == [59]


def test_alpha_is_dropped(tmp_path: Path, grey: NDArray[np.uint8]) -> None:
    for name, mode in (("rgba.png", "RGBA"), ("la.png", "LA")):
        image = Image.fromarray(grey).convert(mode)
        image.putalpha(Image.fromarray(255 - grey))
        image.save(tmp_path / name)
        assert np.array_equal(read_frame(tmp_path / name), grey)


def test_palette_and_one_bit(tmp_path: Path, grey: NDArray[np.uint8]) -> None:
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    assert np.array_equal(read_frame(tmp_path / "palette.png"), grey)
    tifffile.imwrite(tmp_path / "bits.tif", grey > 127, photometric="minisblack")
    assert np.array_equal(read_frame(tmp_path / "bits.tif"), (grey > 127) * 255)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    Image.new("CMYK", (20, 20), (0, 0, 0, 128)).save(tmp_path / "print.jpg")
    assert abs(float(read_frame(tmp_path / "print.jpg").mean()) - 127) < 3


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float64, np.int16, np.uint32, np.dtype(">u2"), np.dtype(">f4")]
)
def test_tiff_number_types(tmp_path: Path, grey: NDArray[np.uint8], dtype: np.dtype) -> None:
    tifffile.imwrite(tmp_path / "frame.tif", grey.astype(dtype))
    frame = read_frame(tmp_path / "frame.tif")
    assert frame.dtype == (np.uint16 if np.dtype(dtype) == ">u2" else np.float32)
    assert np.array_equal(frame, grey)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_tiff_both_layouts(tmp_path: Path, grey: NDArray[np.uint8], planar: str) -> None:
    axis = 2 if planar == "contig" else 0
    pixels = np.repeat(np.expand_dims(grey, axis), 3, axis=axis)
    tifffile.imwrite(tmp_path / "c.tif", pixels, photometric="rgb", planarconfig=planar)
    assert np.array_equal(read_frame(tmp_path / "c.tif"), grey)


def test_compressed_tiff(tmp_path: Path, grey: NDArray[np.uint8]) -> None:
    for compression in ("lzw", "zlib", "packbits"):
        tifffile.imwrite(tmp_path / "c.tif", grey, compression=compression)
        assert np.array_equal(read_frame(tmp_path / "c.tif"), grey)


def test_content_decides_not_the_name(tmp_path: Path, grey: NDArray[np.uint8]) -> None:
    (tmp_path / "really.png.tif").write_bytes(imagecodecs.png_encode(grey))
    assert np.array_equal(read_frame(tmp_path / "really.png.tif"), grey)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match="no such file; check the path"):
        read_frame(tmp_path / "missing.png")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match="is a folder; name the image files"):
        read_frame(tmp_path)


def test_folders_are_searched_for_images(tmp_path: Path) -> None:
    for name in ("a.TIFF", "b.jpeg", ".c.png", "d.bmp"):
        (tmp_path / name).touch()
    (tmp_path / "e.png").mkdir()
    assert sorted(file.name for file in list_images(tmp_path)) == ["a.TIFF", "b.jpeg"]
    with pytest.raises(FrameError, match="missing: cannot be read .*check its rights"):
        list_images(tmp_path / "missing")
    with pytest.raises(FrameError, match="e.png: holds no PNG, TIFF or JPEG file"):
        list_images(tmp_path / "e.png")


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", "rgb"])
def test_a_page_is_read_like_a_file(tmp_path: Path, photometric: str) -> None:
    rng = np.random.default_rng(0)
    shape = (3, 16, 20, 3) if photometric == "rgb" else (3, 16, 20)
    pixels = rng.integers(0, 256, shape, np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", pixels, photometric=photometric)
    tifffile.imwrite(tmp_path / "single.tif", pixels[1], photometric=photometric)
    with tifffile.TiffFile(tmp_path / "stack.tif") as tiff:
        first = tiff.pages.first
        expected = read_frame(tmp_path / "single.tif")
        page = tiff.pages[1]
        assert isinstance(page, tifffile.TiffPage)
        assert np.array_equal(read_page(page, "stack.tif[1]"), expected)
        offset = first.dataoffsets[0] + first.nbytes
        assert np.array_equal(read_page(first, "stack.tif[1]", offset), expected)
        with pytest.raises(FrameError, match=r"stack.tif\[9\]: broken or truncated TIFF"):
            read_page(first, "stack.tif[9]", 10**6)


def test_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(FrameError, match="cannot be read .*check name and rights"):
        read_frame(tmp_path / "file" / "inside.png")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(FrameError, match=r"empty file \(0 bytes\)"):
        read_frame(tmp_path / "empty.png")


def test_text_renamed(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("not an image")
    with pytest.raises(FrameError, match="not a PNG, TIFF or JPEG image"):
        read_frame(tmp_path / "notes.png")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("fraction", [0.05, 0.4, 0.9, 0.995])
def test_truncated(
    suffix: str, fraction: float, grey: NDArray[np.uint8], write_image: Writer
) -> None:
    path = write_image(f"cut{suffix}", grey)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(FrameError, match="broken or truncated .* copy the file anew"):
        read_frame(path)


def test_png_without_pixels(tmp_path: Path, grey: NDArray[np.uint8]) -> None:
    content = bytearray(imagecodecs.png_encode(grey))
    content[16:20] = struct.pack(">I", 0)  # the width in the header
    (tmp_path / "flat.png").write_bytes(bytes(content))
    with pytest.raises(FrameError, match="broken or truncated PNG"):
        read_frame(tmp_path / "flat.png")


def test_tiff_without_pixels(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="zero-size"):
        tifffile.imwrite(tmp_path / "flat.tif", np.zeros((0, 20), np.uint8))
    with pytest.raises(FrameError, match="flat.tif"):
        read_frame(tmp_path / "flat.tif")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(tmp_path: Path, value: float) -> None:
    pixels = np.ones((20, 20), np.float32)
    pixels[3, 4] = value
    tifffile.imwrite(tmp_path / "frame.tif", pixels)
    with pytest.raises(FrameError, match="1 pixels are NaN or infinite"):
        read_frame(tmp_path / "frame.tif")


@pytest.mark.parametrize("shapes", [[(7, 20, 20)], [(20, 20)] * 7, [(20, 20), (30, 30)]])
def test_stack_of_frames(tmp_path: Path, shapes: list[tuple[int, ...]]) -> None:
    with tifffile.TiffWriter(tmp_path / "stack.tif") as stack:
        for shape in shapes:
            stack.write(np.zeros(shape, np.uint8), contiguous=False)
    with pytest.raises(FrameError, match="holds [27] frames"):
        read_frame(tmp_path / "stack.tif")


def test_volume(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "volume.tif", np.zeros((2, 5, 20, 20), np.uint8))
    with pytest.raises(FrameError, match="holds 10 frames"):
        read_frame(tmp_path / "volume.tif")


def test_inverted_tiff(tmp_path: Path, grey: NDArray[np.uint8]) -> None:
    """As ImageJ writes it with an inverting look-up table."""
    tifffile.imwrite(tmp_path / "inverted.tif", 255 - grey, photometric="miniswhite")
    assert np.array_equal(read_frame(tmp_path / "inverted.tif"), grey)


def test_palette_tiff(tmp_path: Path) -> None:
    colours = np.zeros((3, 256), np.uint16)
    colours[:, 0], colours[:, 1] = 200 << 8, 40 << 8
    indices = np.eye(20, dtype=np.uint8)
    tifffile.imwrite(tmp_path / "p.tif", indices, photometric="palette", colormap=colours)
    assert np.array_equal(read_frame(tmp_path / "p.tif"), np.where(indices, 40, 200))


def test_palette_tiff_with_8_bit_colours(tmp_path: Path) -> None:
    colours = np.full((3, 256), 200, np.uint16)
    tifffile.imwrite(
        tmp_path / "p.tif", np.zeros((20, 20), np.uint8), photometric="palette", colormap=colours
    )
    assert (read_frame(tmp_path / "p.tif") == 200).all()


def test_five_channels(tmp_path: Path) -> None:
    pixels = np.zeros((20, 20, 5), np.uint8)
    tifffile.imwrite(tmp_path / "five.tif", pixels, photometric="minisblack", planarconfig="contig")
    with pytest.raises(FrameError, match="has 5 channels; save it as grey or RGB"):
        read_frame(tmp_path / "five.tif")


def test_uncompressed_ycbcr_tiff(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "y.tif", np.zeros((20, 20, 3), np.uint8), photometric="ycbcr")
    with pytest.raises(FrameError, match="TIFF in YCBCR colours"):
        read_frame(tmp_path / "y.tif")


def test_tiff_for_printing(tmp_path: Path) -> None:
    pixels = np.zeros((20, 20, 4), np.uint8)
    tifffile.imwrite(tmp_path / "print.tif", pixels, photometric="separated")
    with pytest.raises(FrameError, match="TIFF in SEPARATED colours; save it as grey or RGB"):
        read_frame(tmp_path / "print.tif")


def test_large_jpeg_is_no_broken_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Image.new("L", (40, 40), 7).save(tmp_path / "large.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert read_frame(tmp_path / "large.jpg").shape == (40, 40)


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "nul\0.png"])
def test_impossible_names(name: str) -> None:
    with pytest.raises(FrameError, match="cannot be read .*check name and rights"):
        read_frame(name)


def test_float64_beyond_float32(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "huge.tif", np.full((20, 20), 1e300))
    with pytest.raises(FrameError, match="400 pixels are NaN or infinite"):
        read_frame(tmp_path / "huge.tif")


def test_complex_pixels(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "wave.tif", np.zeros((20, 20), np.complex64))
    with pytest.raises(FrameError, match="pixels are complex64"):
        read_frame(tmp_path / "wave.tif")


def test_contrast_does_not_know_the_lamp(grey: NDArray[np.uint8]) -> None:
    frame = 100 + grey.astype(np.float32) / 4
    expected = relative_contrast(frame)
    assert np.allclose(relative_contrast(frame * 0.37), expected, atol=1e-5)
    assert np.allclose(
        relative_contrast(np.rint(frame * 200).astype(np.uint16)), expected, atol=1e-4
    )


def test_contrast_of_uneven_light() -> None:
    """A spot that takes a fifth of the light shows so on the bright and on the dim side."""
    light = np.linspace(80, 240, 600)[None, :].repeat(200, axis=0)
    for column in (100, 300, 500):
        light[100, column] *= 0.8
    contrast = relative_contrast(light)
    assert np.allclose(contrast[100, [100, 300, 500]], -0.2, atol=0.01)


def test_large_pit_hardly_darkens_its_own_background() -> None:
    frame = np.full((300, 300), 200.0)
    frame[120:160, 120:160] = 15
    contrast = relative_contrast(frame)
    once = frame / cv2.GaussianBlur(frame, (0, 0), 25) - 1
    assert contrast[140, 165] < 0.12 < 0.25 < once[140, 165]


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (17, 600), (3, 2)])
def test_contrast_of_any_size(shape: tuple[int, int]) -> None:
    contrast = relative_contrast(np.full(shape, 50, np.uint8))
    assert contrast.shape == shape
    assert np.abs(contrast).max() < 1e-6


def test_contrast_of_black_is_zero() -> None:
    assert not relative_contrast(np.zeros((40, 40), np.uint8)).any()
