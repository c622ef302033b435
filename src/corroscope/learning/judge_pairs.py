"""What a reference is worth to a network: specks that go, particles that stay."""

from dataclasses import dataclass, fields
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from corroscope.learning.pairs import Paired

DARK_BLOB: Final = -15 / 200
"""Relative contrast of a dark blob: 15 of 200 grey levels."""

BLOB_AREAS_PX: Final = (5, 300)
"""Smallest and largest dark blob that may pass for a particle."""

SAME_IOU: Final = 0.3
"""Overlap from which something found is the particle."""

ALREADY_THERE: Final = 0.5
"""Share of a speck's contrast that the reference must have for it to be an old one."""


@dataclass(frozen=True)
class PairCounts:
    """What is counted on pairs of one surface at two times.

    Attributes
    ----------
    pairs
        Number of pairs.
    specks, specks_gone
        Found without the reference, not marked, and dark in the reference already; those of
        them that are not found with it.
    blobs, blobs_gone
        The same for all dark blobs, found or not.
    arrived, arrived_alone, arrived_compared
        Marked particles that the reference does not have; those found without and with it.
    lost
        Of the arrived, found without the reference but not with it.
    found
        Found with the reference, rightly or not; without those of which nobody knows, and those
        of a particle that is left out.
    """

    pairs: int = 0
    specks: int = 0
    specks_gone: int = 0
    blobs: int = 0
    blobs_gone: int = 0
    arrived: int = 0
    arrived_alone: int = 0
    arrived_compared: int = 0
    lost: int = 0
    found: int = 0

    def __add__(self, other: "PairCounts") -> "PairCounts":
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return PairCounts(**sums)


def count_pair(pair: Paired, alone: NDArray[np.int32], compared: NDArray[np.int32]) -> PairCounts:
    """Count what was found in a frame with and without its reference.

    Parameters
    ----------
    pair
        Frame and reference.
    alone, compared
        ``(height, width)``, labels of what a network that has not seen this surface finds
        without the reference and with it.

    Returns
    -------
    PairCounts
        Of this pair. Particles that the border cuts, or that lie where the reference shows
        nothing, are left out; so are specks and blobs that touch what is ignored.
    """
    known = pair.annotated | pair.doubtful
    marked = cv2.dilate(known.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0

    def old(outline: NDArray[np.bool_]) -> bool:
        return not marked[outline].any() and _was_there(pair, outline)

    least, most = BLOB_AREAS_PX
    specks = [outline for outline in _outlines(alone) if old(outline)]
    blobs = [
        outline
        for outline in _components(pair.contrast <= DARK_BLOB)
        if least <= outline.sum() <= most and old(outline)
    ]
    arrived = _whole(pair)
    hits = [(_hit(outline, alone), _hit(outline, compared)) for outline in arrived]
    found = found_since(pair, compared)
    return PairCounts(
        pairs=1,
        specks=len(specks),
        specks_gone=sum(not compared[outline].any() for outline in specks),
        blobs=len(blobs),
        blobs_gone=sum(not compared[outline].any() for outline in blobs),
        arrived=len(arrived),
        arrived_alone=sum(before for before, _ in hits),
        arrived_compared=sum(after for _, after in hits),
        lost=sum(before and not after for before, after in hits),
        found=len(found),
    )


def found_since(pair: Paired, compared: NDArray[np.int32]) -> list[NDArray[np.bool_]]:
    """What was found with the reference and is judged: rightly or not.

    Parameters
    ----------
    pair
        Frame and reference.
    compared
        ``(height, width)``, labels of what was found.

    Returns
    -------
    list of ndarray of bool
        ``(height, width)`` for each: where it is. What the border cuts, or touches something of
        which nobody knows, or a particle that is left out, is not among them.
    """
    # What is found of a particle that the border cuts need not reach the border itself.
    left_out = pair.doubtful | ~pair.covered | pair.arrived
    for outline in _whole(pair):
        left_out[outline] = False
    return [
        outline
        for outline in _outlines(compared)
        if not left_out[outline].any() and not _cut_by_border(outline)
    ]


def _whole(pair: Paired) -> list[NDArray[np.bool_]]:
    """Particles that have arrived, but for those that the border or the reference's end cuts."""
    return [
        outline
        for outline in _components(pair.arrived)
        if pair.covered[outline].all() and not _cut_by_border(outline)
    ]


def _components(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    return _outlines(np.asarray(cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[1]))


def _outlines(labels: NDArray[Any]) -> list[NDArray[np.bool_]]:
    return [np.asarray(labels == label) for label in range(1, int(labels.max(initial=0)) + 1)]


def _cut_by_border(outline: NDArray[np.bool_]) -> bool:
    sides = (outline[0], outline[-1], outline[:, 0], outline[:, -1])
    return any(bool(side.any()) for side in sides)


def _was_there(pair: Paired, outline: NDArray[np.bool_]) -> bool:
    if not pair.covered[outline].all():
        return False
    now, before = float(pair.contrast[outline].mean()), float(pair.reference[outline].mean())
    return before < ALREADY_THERE * now < 0


def _hit(outline: NDArray[np.bool_], labels: NDArray[np.int32]) -> bool:
    for label in np.unique(labels[outline]):
        found = labels == label
        if label and (found & outline).sum() >= SAME_IOU * (found | outline).sum():
            return True
    return False
