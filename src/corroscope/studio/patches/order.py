"""How much happens in each patch of a frame: what changed, what is dark, what is annotated."""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from corroscope.annotation.instances import Instance
from corroscope.annotation.proposals import dark_spots
from corroscope.cutting import Cut, entropy_bits, noise_of
from corroscope.errors import StudioError
from corroscope.patch_folder import MIDDLE
from corroscope.studio.workplace import Workplace

Measure = Literal["entropy", "spots"]
"""Entropy of the difference to the reference in bits, or the number of dark spots."""


def measured(place: Workplace, name: str, cuts: Sequence[Cut]) -> tuple[Measure, list[float]]:
    """Tell how much happens in patches.

    Parameters
    ----------
    place, name
        The folder and the frame.
    cuts
        The patches.

    Returns
    -------
    measure : str
        ``"entropy"`` where the frame has a difference; from the frame alone nobody knows what is
        new, so that ``"spots"`` counts what was dark from the start as well.
    values : list of float
        One for each patch.

    Raises
    ------
    StudioError
        If the difference has another size than the frame.
    FrameError
        If one of them cannot be read.
    """
    grey = place.picture(name).grey
    if place.difference_file(name) is None:
        spots = np.zeros(grey.shape, np.int64)
        at, _ = dark_spots(grey)
        spots[tuple(at.T)] = 1
        return "spots", [int(spots[cut.box].sum()) for cut in cuts]
    picture = place.picture(name, "difference")
    if picture.grey.shape != grey.shape:
        sizes = ["×".join(map(str, shape)) for shape in (picture.grey.shape, grey.shape)]
        raise StudioError(
            f"{name}: its difference has {sizes[0]} px, the frame {sizes[1]}; make the differences "
            "anew with `corroscope prepare`"
        )
    # Differences of patches are pictures whose middle grey is no change; others have signs.
    change = picture.grey - np.float32(MIDDLE if picture.pixels.dtype == np.uint8 else 0)
    covered = np.ones(change.shape, bool)
    noise = noise_of(change, covered)
    return "entropy", [
        round(entropy_bits(change[cut.box], covered[cut.box], noise), 4) for cut in cuts
    ]


def held(instances: Iterable[Instance], cuts: Sequence[Cut]) -> list[int]:
    """Count the objects in patches.

    Parameters
    ----------
    instances
        The frame's objects.
    cuts
        The patches.

    Returns
    -------
    list of int
        For each patch, how many objects have a pixel in it.

    Examples
    --------
    >>> from corroscope.cutting import Grid
    >>> speck = Instance.of(np.ones((4, 4), bool), corner_px=(10, 62))
    >>> held([speck], list(Grid(64, 64).cuts((64, 128))))
    [1, 1]
    """
    by_rows: dict[tuple[int, int], list[tuple[int, Cut]]] = {}
    for number, cut in enumerate(cuts):
        by_rows.setdefault((cut.y0_px, cut.y0_px + cut.size_px), []).append((number, cut))
    counts = [0] * len(cuts)
    for one in instances:
        (top, left), (height, width) = one.corner_px, one.mask.shape
        for (start, stop), beside in by_rows.items():
            if start >= top + height or stop <= top:
                continue
            part = one.mask[max(start - top, 0) : stop - top]
            for number, cut in beside:
                first, last = cut.x0_px - left, cut.x0_px + cut.size_px - left
                if first < width and last > 0:
                    counts[number] += bool(part[:, max(first, 0) : last].any())
    return counts
