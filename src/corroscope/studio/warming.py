"""Doing everything once that a click needs: after installation its code is compiled then."""

import numpy as np

from corroscope.annotation.candidates import candidates_from_click
from corroscope.annotation.click import instances_from_clicks, levels
from corroscope.annotation.wire import contour_from_points


def warm_up() -> None:
    """Click on a particle that is made for it, so that the first real click need not wait."""
    rows, cols = np.indices((64, 64))
    far = np.hypot(rows - 32, cols - 32)
    grey = (200 - 120 / (1 + np.exp(2 * (far - 4))) + (rows * 7 + cols * 3) % 5).astype(np.float32)
    middle, beside = (32.0, 32.0), (32.0, 40.0)
    instances_from_clicks(grey, [middle])
    levels(grey, middle, include=[(33.0, 32.0)], exclude=[beside])
    candidates_from_click(grey, middle)
    contour_from_points(grey, [(28.0, 32.0), (36.0, 32.0)], excluded=[beside])
