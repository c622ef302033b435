"""Annotated patches out of many synthetic runs, to learn from."""

from typing import Final, TypeVar

import numpy as np

from corroscope.synthesis.experiment import Experiment, Scene, Window
from corroscope.synthesis.settings import Camera, Surface, SynthSettings

SURFACE_PX: Final = 700
"""Side of the surface that a patch is cut out of: room for pits beside the patch."""

DURATION_S: Final = 20.0
FRAMES: Final = 40
"""Of the runs that patches are taken from, after a fifth of the time or later."""


SPREADS: Final = {
    "scratches_per_mpx": 0.2,
    "stripes": 0.1,
    "grain": 0.12,
    "haze": 0.15,
    "specks_per_mpx": 0.25,
    "smudges_per_mpx": 0.4,
    "point_spread_px": 0.05,
    "grey": 0.06,
    "noise_grey": 0.04,
}
"""SD of the logarithm of what differs from patch to patch: place, focus, lamp, polish."""

Group = TypeVar("Group", Surface, Camera)


def draw_patch(shape: tuple[int, int], settings: SynthSettings, rng: np.random.Generator) -> Scene:
    """Cut a patch out of a run of its own, at a random time.

    Every patch has a surface, pits and products of its own, and polish, focus and light
    differ a little.

    Parameters
    ----------
    shape
        Height and width of the patch, in pixels.
    settings
        Of the runs; frames and interval do not matter, and not the seed.
    rng
        Source of all randomness.

    Returns
    -------
    Scene
        The picture and its truth.

    Examples
    --------
    >>> scene = draw_patch((128, 128), SynthSettings(), np.random.default_rng(0))
    >>> scene.frame.shape, scene.mask.shape
    ((128, 128), (128, 128))
    """
    return draw_pair(shape, settings, rng)[1]


def draw_pair(
    shape: tuple[int, int], settings: SynthSettings, rng: np.random.Generator
) -> tuple[Scene, Scene]:
    """Cut a patch out of a run of its own, with the first frame of that run.

    Parameters
    ----------
    shape, settings, rng
        As for `draw_patch`, which gives the second of the two.

    Returns
    -------
    first : Scene
        The same piece of surface when the run began.
    later : Scene
        At a random time.

    Examples
    --------
    >>> first, later = draw_pair((128, 128), SynthSettings(), np.random.default_rng(0))
    >>> first.time_s, later.time_s > 0
    (0.0, True)
    """
    height, width = (max(SURFACE_PX, length) for length in shape)
    taken = int(rng.integers(FRAMES // 5, FRAMES))
    run = settings.model_copy(
        update={
            "frames": FRAMES,
            "interval_s": DURATION_S / FRAMES,
            "height_px": height,
            "width_px": width,
            "seed": int(rng.integers(2**32)),
            "surface": _varied(settings.surface, rng),
            "camera": _varied(settings.camera, rng),
        }
    )
    top, left = int(rng.integers(height - shape[0] + 1)), int(rng.integers(width - shape[1] + 1))
    window = Window(top, left, *shape)
    first, later = Experiment(run).scenes_through(window, (0, taken))
    return first, later


def _varied(group: Group, rng: np.random.Generator) -> Group:
    """Settings as they might be elsewhere in the frame, or on another day."""
    changes = {
        name: float(getattr(group, name) * np.exp(rng.normal(0, spread)))
        for name, spread in SPREADS.items()
        if name in type(group).model_fields
    }
    return group.model_copy(update=changes)
