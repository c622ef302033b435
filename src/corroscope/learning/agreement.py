"""What was annotated twice in a dataset: overlaps of patches, and blind repeats."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from corroscope.annotation.instances import IGNORE, AnnotatedImage, paint
from corroscope.annotation.stored import JOURNAL, annotation_folder, read_annotations
from corroscope.learning.dataset import Patch, read_dataset
from corroscope.learning.overlaps import Overlap, find_overlaps
from corroscope.learning.surfaces import shared_surface, surface_groups
from corroscope.scoring.agreement import Agreement, count_both_ways, summarise
from corroscope.scoring.counts import Counts
from corroscope.scoring.surface import overlap_slices

OVERLAPS: Final = "overlaps"
"""Source of an agreement: patches cut out of one frame that overlap."""


def agreement(
    dataset: str | Path | Sequence[Patch],
    rng: np.random.Generator,
    *,
    overlaps: Sequence[Overlap] | None = None,
) -> Agreement | None:
    """Agreement of annotators in a dataset, from the source that has most particles.

    Parameters
    ----------
    dataset
        Folder, or patches, of which overlaps alone can be looked at.
    rng
        For the intervals.
    overlaps
        Of the annotated patches, in order of name, if they have been found before.

    Returns
    -------
    Agreement or None
        None where nothing was annotated twice.

    Raises
    ------
    DatasetError, FrameError, AnnotationError
        If the dataset or a second annotation cannot be read.
    """
    found = agreements(dataset, rng, overlaps=overlaps)
    return max(found, key=lambda one: one.particles, default=None)


def agreements(
    dataset: str | Path | Sequence[Patch],
    rng: np.random.Generator,
    *,
    overlaps: Sequence[Overlap] | None = None,
) -> list[Agreement]:
    """Agreement of annotators from every source there is in a dataset.

    Neighbouring patches of one frame overlap, and what lies in both has been marked twice.
    All pairs count, so that a place where four patches meet counts six times. Of patches that
    were cut out of one annotated picture, both show the same marks and say nothing: where no
    overlap with a particle differs, there is no such source. The other sources are second
    annotations, each compared with the first on the images that both have.

    Parameters
    ----------
    dataset, rng, overlaps
        As for `agreement`.

    Returns
    -------
    list of Agreement
        Overlaps first, then second annotations in order of name; empty where nothing was
        annotated twice.

    Raises
    ------
    DatasetError, FrameError, AnnotationError
        If the dataset or a second annotation cannot be read.

    Examples
    --------
    >>> metal = np.random.default_rng(0).integers(150, 250, (96, 160), dtype=np.uint8)
    >>> mask = np.zeros((96, 160), bool)
    >>> mask[40:45, 70:76] = True
    >>> left = Patch("a", metal[:, :96], mask[:, :96].copy())
    >>> mask[45, 70:76] = True
    >>> right = Patch("b", metal[:, 64:], mask[:, 64:])
    >>> (found,) = agreements([left, right], np.random.default_rng(0))
    >>> found.source, found.pairs, round(found.scores["dice"], 3)
    ('overlaps', 1, 0.909)
    """
    if isinstance(dataset, str | Path):
        patches = read_dataset(dataset, annotated_only=True)
        repeats = {
            name: read_annotations(dataset, second=name) for name in second_annotators(dataset)
        }
    else:
        patches, repeats = list(dataset), {}
    known = find_overlaps(patches) if overlaps is None else overlaps
    surfaces = surface_groups(shared_surface(patches, known))
    found = [_of_overlaps(patches, known, surfaces, rng)]
    found += [_of_repeats(patches, images, surfaces, rng, name) for name, images in repeats.items()]
    return [one for one in found if one is not None]


def second_annotators(folder: str | Path) -> list[str]:
    """Who has annotated a dataset once more, blind.

    Parameters
    ----------
    folder
        Dataset folder.

    Returns
    -------
    list of str
        Names for `corroscope.annotation.stored.read_annotations`, in order.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     second_annotators(folder)
    []
    """
    base = annotation_folder(Path(folder), "any").parent
    return sorted(path.parent.name for path in base.glob(f"*/{JOURNAL}"))


def _of_overlaps(
    patches: Sequence[Patch],
    overlaps: Sequence[Overlap],
    surfaces: NDArray[np.int64],
    rng: np.random.Generator,
) -> Agreement | None:
    counts, clusters = [], []
    twice = [np.zeros(patch.shape, bool) for patch in patches]
    differ = False
    for overlap in overlaps:
        if not overlap.same_frame:
            continue
        a, b = patches[overlap.first], patches[overlap.second]
        place = (overlap.dy_px, overlap.dx_px)
        in_a, in_b = overlap_slices(a.shape, b.shape, place)
        if overlap.share == 1 and np.array_equal(a.mask[in_a], b.mask[in_b]):
            continue  # a copy of the picture with its mask
        ignored = _either(a, b, in_a, in_b)
        counts.append(count_both_ways(a.mask[in_a], b.mask[in_b], ignored))
        clusters.append(int(surfaces[overlap.first]))
        differ |= counts[-1].false_positive > 0
        # Each place counts where the patch with the lowest number shows it.
        twice[overlap.first][in_a] |= True if ignored is None else ~ignored
    if not differ:
        return None
    distinct_px = _distinct(twice, overlaps)
    return summarise(counts, clusters, rng, source=OVERLAPS, distinct_px=distinct_px)


def _distinct(twice: Sequence[NDArray[np.bool_]], overlaps: Sequence[Overlap]) -> int:
    """Pixels of frames that several patches show, each counted in the first of them only."""
    for overlap in overlaps:
        if overlap.same_frame:
            first, second = twice[overlap.first], twice[overlap.second]
            place = (overlap.dy_px, overlap.dx_px)
            _, in_second = overlap_slices(first.shape, second.shape, place)
            second[in_second] = False
    return sum(int(mask.sum()) for mask in twice)


def _of_repeats(
    patches: Sequence[Patch],
    repeats: Sequence[AnnotatedImage],
    surfaces: NDArray[np.int64],
    rng: np.random.Generator,
    name: str,
) -> Agreement | None:
    numbers = {patch.name: number for number, patch in enumerate(patches)}
    counts: list[Counts] = []
    clusters = []
    for repeat in repeats:
        if repeat.name not in numbers:
            continue
        patch = patches[numbers[repeat.name]]
        ignored = paint(repeat.instances, repeat.shape, IGNORE)
        if patch.ignored is not None:
            ignored |= patch.ignored
        second = paint(repeat.instances, repeat.shape)
        counts.append(count_both_ways(patch.mask, second, ignored))
        clusters.append(int(surfaces[numbers[repeat.name]]))
    if not counts:
        return None
    source = f"second annotation by {name}"
    found = summarise(counts, clusters, rng, source=source, distinct_px=0)
    return replace(found, distinct_px=found.counted_px)


def _either(
    first: Patch,
    second: Patch,
    in_first: tuple[slice, slice],
    in_second: tuple[slice, slice],
) -> NDArray[np.bool_] | None:
    """What either annotation ignores of an overlap; None where neither ignores anything."""
    parts = [
        patch.ignored[part]
        for patch, part in ((first, in_first), (second, in_second))
        if patch.ignored is not None
    ]
    return np.logical_or.reduce(parts) if parts else None
