"""Windows cover any frame, and together give what the whole frame gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from corroscope.learning.dataset import Patch
from corroscope.segmentation.inputs import network_input
from corroscope.segmentation.segmenter import Segmenter
from corroscope.segmentation.tiles import plan_tiles, run_tiled


@st.composite
def layouts(draw: st.DrawFn) -> tuple[tuple[int, int], int, int, int]:
    grid = draw(st.sampled_from([1, 2, 4, 8, 32]))
    margin = draw(st.integers(0, 70))
    rounded = -(-margin // grid) * grid
    tile = draw(st.integers(2 * rounded + grid, 2 * rounded + 20 * grid + 300))
    longest = min(1500, 12 * (tile - 2 * rounded)) // grid
    shape = tuple(grid * draw(st.integers(1, max(1, longest))) for _ in range(2))
    return (shape[0], shape[1]), tile, margin, grid


@given(layouts())
def test_plan(layout: tuple[tuple[int, int], int, int, int]) -> None:
    shape, tile_px, margin, grid = layout
    tiles = plan_tiles(shape, tile_px, margin, grid)
    written = np.zeros(shape, int)
    sizes = set()
    for tile in tiles:
        written[tile.write] += 1
        sizes.add(tuple(s.stop - s.start for s in tile.read))
        for read, write, length in zip(tile.read, tile.write, shape, strict=True):
            assert 0 <= read.start <= write.start < write.stop <= read.stop <= length
            assert read.start % grid == 0
            assert (read.stop - read.start) % grid == 0
            assert read.stop - read.start <= tile_px
            assert read.start == 0 or write.start - read.start >= margin
            assert read.stop == length or read.stop - write.stop >= margin
    assert (written == 1).all()
    assert len(sizes) == 1  # one compiled network serves the frame


@given(
    st.integers(1, 150), st.integers(1, 150), st.integers(1, 5), st.integers(14, 60),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_tiled_equals_whole(height: int, width: int, radius: int, tile: int, seed: int) -> None:
    """With a filter of known radius, cut at the window's border as a network's is."""
    frame = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)

    def blur(window: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(ndimage.uniform_filter(window, 2 * radius + 1, mode="constant"))

    def blur_window(window: NDArray[np.float32]) -> NDArray[np.float32]:
        return blur(window[0])

    tiled = run_tiled(frame[None], blur_window, max(tile, 2 * radius + 2), radius, 1)
    assert np.allclose(tiled, blur(frame), atol=1e-5)


@pytest.mark.parametrize("length", [0, -8, 12])
def test_length_off_the_grid(length: int) -> None:
    with pytest.raises(ValueError, match=f"length {length} px is not a positive multiple of 8"):
        plan_tiles((8, length), 64, 8, 8)


def test_tile_too_small() -> None:
    with pytest.raises(ValueError, match="tile of 64 px is too small for margins of 32 px"):
        plan_tiles((8, 800), 64, 30, 8)


@pytest.fixture(scope="module")
def contrast() -> NDArray[np.float32]:
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 0.02, (395, 437)).astype(np.float32)
    spots = rng.random(noise.shape) < 0.002
    return np.asarray(noise - 8 * ndimage.gaussian_filter(spots * 1.0, 1.5), np.float32)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_shipped_network_tiled_equals_whole(engine: str, contrast: NDArray[np.float32]) -> None:
    segmenter = Segmenter(engine=engine, precision="f32")  # type: ignore[arg-type]
    card = segmenter.bundle.card
    scaled = network_input(contrast, None, card.contrast_scale, card.channels)
    assert card.receptive_field_px is not None
    whole = run_tiled(scaled, segmenter.engine.predict, 4096, 0, card.pooling_stride_px)
    margin = card.receptive_field_px
    tiled = run_tiled(scaled, segmenter.engine.predict, 296, margin, card.pooling_stride_px)
    assert whole.max() > 0.5  # something to disagree about
    assert np.abs(tiled - whole).max() <= 1e-3
    careless = run_tiled(scaled, segmenter.engine.predict, 296, 0, card.pooling_stride_px)
    assert np.abs(careless - whole).max() > 1e-2


def test_tiled_equals_whole_on_a_real_patch(real_patches: list[Patch]) -> None:
    from corroscope.frames.contrast import relative_contrast

    segmenter = Segmenter(precision="f32")
    card = segmenter.bundle.card
    assert card.receptive_field_px is not None
    frame = np.tile(real_patches[20].frame, (2, 2))
    contrast = relative_contrast(frame)
    scaled = network_input(contrast, contrast, card.contrast_scale, card.channels)
    outputs = [
        run_tiled(scaled, segmenter.engine.predict, tile, card.receptive_field_px, 8)
        for tile in (4096, 280)
    ]
    assert np.abs(outputs[0] - outputs[1]).max() <= 1e-3
