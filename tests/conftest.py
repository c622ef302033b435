"""Data that tests share: real patches where they are, small made ones everywhere."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from corroscope.learning.dataset import Patch, read_dataset
from corroscope.synthesis.experiment import Scene
from corroscope.synthesis.patches import draw_patch
from corroscope.synthesis.settings import make_synth_settings

# Time per example depends on the machine and is no property of the code.
settings.register_profile("corroscope", deadline=None)
settings.load_profile("corroscope")

REAL = Path(__file__).parents[2] / "shared" / "data" / "pitting-30mM"


@pytest.fixture(scope="session")
def real_folder() -> Path:
    if not (REAL / "index.csv").exists():
        pytest.skip(f"real patches are not at {REAL}")
    return REAL


@pytest.fixture(scope="session")
def real_patches(real_folder: Path) -> list[Patch]:
    return read_dataset(real_folder)


@lru_cache(maxsize=64)
def crowded_patch(shape: tuple[int, int], seed: int) -> Scene:
    """A synthetic patch with many particles, for tests that need some.

    It takes a while and is drawn once; nobody may change it.
    """
    settings = make_synth_settings({"particles": {"per_mpx": 2000, "drift_px_s": 20}})
    scene = draw_patch(shape, settings, np.random.default_rng(seed))
    for pixels in (scene.frame, scene.mask, scene.instances):
        pixels.flags.writeable = False
    return scene


@pytest.fixture(scope="session")
def crowded() -> Callable[[tuple[int, int], int], Scene]:
    return crowded_patch


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def write_image(tmp_path: Path) -> Callable[[str, NDArray[np.generic]], Path]:
    """Write an array as an image file and return its path."""

    def write(name: str, pixels: NDArray[np.generic]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), np.asarray(pixels))
        return path

    return write


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Six synthetic patches of different surfaces, with index."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    rows = ["image,mask,surface_group"]
    for number in range(6):
        made = crowded_patch((128, 136), number)
        cv2.imwrite(str(folder / f"image_{number}.png"), made.frame)
        cv2.imwrite(str(folder / f"mask_{number}.png"), made.mask.astype(np.uint8) * 255)
        rows.append(f"image_{number}.png,mask_{number}.png,{number}")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    return folder
