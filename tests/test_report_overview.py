"""The page on which a sequence is seen at once."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from corroscope.report import overview


def shown(pixel_size_um: float | None) -> overview.Overview:
    frame = np.zeros((40, 50))
    found = pd.DataFrame({"frame": [0, 1, 1], "area_px": [9, 9, 2000]})
    return overview.Overview(
        frame,
        frame > 0,
        np.full((40, 50), np.nan),
        np.array([0.0, 1.0]),
        found,
        truth=found[:2],
        pixel_size_um=pixel_size_um,
    )


@pytest.mark.parametrize(("pixel_size_um", "unit"), [(None, "px²"), (0.5, "µm²")])
def test_sizes_are_in_the_unit_that_is_known(pixel_size_um: float | None, unit: str) -> None:
    axes = Figure().subplots()
    overview._draw_sizes(axes, shown(pixel_size_um))
    assert axes.get_xlabel() == f"area / {unit}"
    # Every particle is in a bar of its size, and those of two sizes far apart.
    bars = [bar for bar in axes.patches if isinstance(bar, Rectangle) and bar.get_height()]
    area = (pixel_size_um or 1) ** 2
    for size, number in ((9 * area, 2), (2000 * area, 1)):
        (bar,) = [b for b in bars if b.get_x() <= size < b.get_x() + b.get_width()]
        assert bar.get_height() == number
