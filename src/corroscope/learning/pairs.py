"""Patches with a reference that was really taken: synthetic runs, and surface seen twice."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import permutations
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from corroscope.frames.alignment import Aligner
from corroscope.frames.contrast import relative_contrast
from corroscope.frames.resampling import shift_frame
from corroscope.learning.augment import change_light, random_pose
from corroscope.learning.dataset import Patch
from corroscope.learning.pseudo import IGNORED, Pair, misaligned, uncovered
from corroscope.learning.recent import Recent
from corroscope.learning.settings import TrainSettings
from corroscope.synthesis.patches import draw_pair
from corroscope.synthesis.settings import SynthSettings

SMALLEST_SIDE_PX: Final = 64
"""Shorter overlaps of two patches are left out: too little to align."""

ARRIVED: Final = 0.6
"""Share of a particle's contrast that the reference lacks, from which it has arrived since."""

PRESENT: Final = 0.3
"""Share below which it was there already; between the two nobody knows."""

PATCH_PX: Final = 200
"""Side of synthetic patches."""


class Paired(NamedTuple):
    """A patch with the reference aligned to it.

    Attributes
    ----------
    later, earlier
        Names of the patch and of the one that is its reference.
    contrast, reference
        ``(height, width)`` float32, relative contrast; the reference has a value everywhere.
    covered
        ``(height, width)`` bool, where the reference really shows the surface.
    annotated
        ``(height, width)`` bool, all particles that were marked.
    arrived
        ``(height, width)`` bool, those that the reference does not have.
    doubtful
        ``(height, width)`` bool, particles of which nobody knows whether it has them, and what
        is ignored in either patch.
    """

    later: str
    earlier: str
    contrast: NDArray[np.float32]
    reference: NDArray[np.float32]
    covered: NDArray[np.bool_]
    annotated: NDArray[np.bool_]
    arrived: NDArray[np.bool_]
    doubtful: NDArray[np.bool_]


class _Place(NamedTuple):
    """Where one patch shows the surface of an earlier one."""

    later: Patch
    earlier: Patch
    here: tuple[slice, slice]
    there: tuple[slice, slice]
    drift_px: tuple[float, float]


def surface_pairs(patches: Sequence[Patch], background_sigma_px: float) -> Recent[Paired]:
    """Find patches that show one surface at two times, and align the earlier to the later.

    Parameters
    ----------
    patches
        Those whose place and time ``index.csv`` tells are paired.
    background_sigma_px
        As for `corroscope.frames.contrast.relative_contrast`.

    Returns
    -------
    Recent of Paired
        What each pair has in common, of at least `SMALLEST_SIDE_PX`; where is found at once, the
        pictures are made when they are asked for. Pairs that cannot be aligned are left out.
    """
    places = list(_places(patches))
    return Recent(len(places), partial(_paired, places, background_sigma_px))


def _places(patches: Sequence[Patch]) -> Iterator[_Place]:
    for earlier, later in permutations(patches, 2):
        if earlier.time is None or later.time is None or not earlier.time < later.time:
            continue
        if earlier.corner_px is None or later.corner_px is None:
            continue
        here, there = _overlap(later, earlier)
        if min(axis.stop - axis.start for axis in here) < SMALLEST_SIDE_PX:
            continue
        measured = Aligner(earlier.frame[there]).measure(later.frame[here])
        if measured.aligned:
            yield _Place(later, earlier, here, there, (measured.dy_px, measured.dx_px))


def _paired(places: Sequence[_Place], background_sigma_px: float, number: int) -> Paired:
    later, earlier, here, there, drift_px = places[number]
    contrast = relative_contrast(later.frame, background_sigma_px)[here].copy()
    before = relative_contrast(earlier.frame, background_sigma_px)[there]
    reference, covered = shift_frame(before, *drift_px)
    mask = later.mask[here].copy()
    ignored = np.zeros_like(mask)
    if later.ignored is not None:
        ignored |= later.ignored[here]
    if earlier.ignored is not None:
        hidden = earlier.ignored[there].astype(np.float32)
        ignored |= shift_frame(hidden, *drift_px)[0] >= 0.5
    since = _since(contrast, reference, mask, ignored)
    return Paired(later.name, earlier.name, contrast, reference, covered, mask, *since)


def synthetic_pairs(number: int, background_sigma_px: float, seed: int) -> list[Paired]:
    """Take patches out of synthetic runs, each with the first frame of its run.

    Parameters
    ----------
    number
        How many.
    background_sigma_px
        As for `corroscope.frames.contrast.relative_contrast`.
    seed
        Of all runs.

    Returns
    -------
    list of Paired
        Pairs aligned by the drift that is known.
    """
    found = []
    for count in range(number):
        rng = np.random.default_rng([seed, 4, count])
        first, scene = draw_pair((PATCH_PX, PATCH_PX), SynthSettings(), rng)
        contrast = relative_contrast(scene.frame, background_sigma_px)
        before = relative_contrast(first.frame, background_sigma_px)
        drift = np.subtract(scene.drift_px, first.drift_px)
        reference, covered = shift_frame(before, float(drift[0]), float(drift[1]))
        nowhere = np.zeros_like(scene.mask)
        names = (f"synthetic {count}", f"synthetic {count}, first frame")
        mask = scene.mask
        found.append(Paired(*names, contrast, reference, covered, mask, mask, nowhere))
    return found


def crop_pair(paired: Paired, settings: TrainSettings, rng: np.random.Generator) -> Pair:
    """Cut a random crop out of both, with light changed alike but noise of its own.

    Parameters
    ----------
    paired
        The patch and its reference.
    settings
        Augmentation and pairing.
    rng
        Source of all randomness.

    Returns
    -------
    Pair
        The crop.
    """
    pose = random_pose(paired.arrived, settings.crop_px, settings.augmentation, rng)
    both = np.dstack([pose.cut(paired.contrast), pose.cut(paired.reference)])
    both = change_light(both, settings.augmentation, rng)
    reference = misaligned(np.ascontiguousarray(both[..., 1]), (0, 0), settings.pairing, rng)
    reference = uncovered(reference, np.zeros(2), rng)
    reference[~pose.cut_mask(paired.covered)] = np.nan
    target = pose.cut_mask(paired.arrived).astype(np.float32)
    target[pose.cut_mask(paired.doubtful)] = IGNORED
    return Pair(np.ascontiguousarray(both[..., 0]), reference, target)


def _overlap(a: Patch, b: Patch) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Rows and columns that two patches have in common, in each of them."""
    assert a.corner_px is not None
    assert b.corner_px is not None
    inside: list[tuple[slice, slice]] = []
    for start_a, length_a, start_b, length_b in zip(
        a.corner_px, a.shape, b.corner_px, b.shape, strict=True
    ):
        start = max(start_a, start_b)
        stop = max(start, min(start_a + length_a, start_b + length_b))
        inside.append(
            (slice(start - start_a, stop - start_a), slice(start - start_b, stop - start_b))
        )
    (rows_a, rows_b), (columns_a, columns_b) = inside
    return (rows_a, columns_a), (rows_b, columns_b)


def _since(
    contrast: NDArray[np.float32],
    reference: NDArray[np.float32],
    mask: NDArray[np.bool_],
    ignored: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Annotated particles that have arrived since the reference, and what is in doubt."""
    arrived, doubtful = np.zeros_like(mask), ignored.copy()
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    for label in range(1, count):
        outline = np.asarray(labels == label)
        if ignored[outline].any():
            doubtful |= outline
            continue
        dark = float(contrast[outline].mean())
        share = float((contrast - reference)[outline].mean()) / dark if dark < 0 else 0.5
        arrived[outline] = share >= ARRIVED
        doubtful[outline] = PRESENT < share < ARRIVED
    return arrived, doubtful
