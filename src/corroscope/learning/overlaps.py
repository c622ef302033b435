"""Which patches overlap on the metal: the pixels decide, ``index.csv`` confirms."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from corroscope.frames.contrast import relative_contrast
from corroscope.learning.dataset import Patch, frame_hash
from corroscope.learning.told import (
    groups_differ,
    told_of,
    told_overlaps,
    told_place,
)
from corroscope.scoring.surface import Match, best_matches, match_around, overlap_px, overlap_slices
from corroscope.scoring.texture import whiten

SAME_SURFACE_EVIDENCE: Final = 31.0
"""Correlation times the root of the overlap in pixels, from which two textures are one surface.

On the real patches, pairs that share surface reach 42 at least, others 24 at most.
"""

LEAST_CORRELATION: Final = 0.25
"""Of one surface at two times; large patches would otherwise need next to none."""

REAL_PAIRS: Final = 2700
"""Number of the real pairs behind `SAME_SURFACE_EVIDENCE`."""

EVIDENCE_STEP: Final = 1.7
"""How much more evidence is asked for e times as many pairs.

Above 15, the number of real pairs that share nothing falls by e for every 1.6.
"""

CONFIRMING_EVIDENCE: Final = 20.0
"""What is enough near a place that neighbours or ``index.csv`` name: chance has little choice.

On the real patches, others reach 17 within `LARGEST_DRIFT_PX` of a place.
"""

TELLING_PX: Final = 2500
"""Pixels of overlap below which the texture need not tell, and ``index.csv`` decides."""

LARGEST_DRIFT_PX: Final = 16
"""By how much a place found and the place in ``index.csv`` may differ."""

MOST_PAIRS: Final = 2_000_000
"""Of more pairs, those that ``index.csv`` puts far apart are not looked at."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Overlap:
    """Two patches that show a common piece of metal, or of which ``index.csv`` says so.

    Attributes
    ----------
    first, second
        The patches, by their number.
    dy_px, dx_px
        Where the second's top-left pixel lies in the first: row and column, with drift
        where the pixels tell.
    share
        Overlap over the area of the smaller patch.
    correlation
        Of whitened texture in the overlap; NaN where the overlap is too small to tell.
    gain
        Brightness of the second over that of the first, as the median over the overlap.
    same_frame
        All pixels of the overlap are equal: both were cut out of one frame.
    found
        Whether the pixels show it.
    told
        Whether ``index.csv`` says so; None where it says nothing of the two.
    remark
        How pixels and ``index.csv`` contradict each other; empty where they do not.
    """

    first: int
    second: int
    dy_px: int
    dx_px: int
    share: float
    correlation: float
    gain: float
    same_frame: bool
    found: bool
    told: bool | None
    remark: str

    @property
    def shared(self) -> bool:
        """Whether the two count as showing common surface."""
        return self.found or (bool(self.told) and not self.remark)


def find_overlaps(
    patches: Sequence[Patch],
    others: Sequence[Patch] | None = None,
    *,
    progress: Progress | None = None,
) -> list[Overlap]:
    """Find all pairs of patches that show a common piece of metal, at any two times.

    The pixels decide: the correlation of whitened texture, which depends neither on
    brightness nor on bit depth, over all places. Where two patches should overlap by what
    was found of their neighbours, or by ``index.csv``, the texture near that place is asked
    again, with less to prove. If that fails too, the index counts for overlaps of fewer than
    `TELLING_PX` pixels, and is contradicted for larger ones. Frames that are the same to the
    last pixel always overlap.

    Parameters
    ----------
    patches
        ``n`` patches.
    others
        ``m`` patches of another dataset, whose index tells nothing about places in the
        first; without them, the patches are compared with each other.
    progress
        Called with the number of pairs done and of all.

    Returns
    -------
    list of Overlap
        In order of the pairs; also those that ``index.csv`` alone names, with a remark where
        the pixels contradict it. In a pair of the first list, ``first`` is the lower number.

    Notes
    -----
    If there are more than `MOST_PAIRS`, pairs are left out that ``index.csv`` puts further
    apart than `LARGEST_DRIFT_PX`, where it has the places of both.

    Examples
    --------
    >>> metal = np.random.default_rng(0).integers(150, 250, (96, 160), dtype=np.uint8)
    >>> empty = np.zeros((96, 96), bool)
    >>> left, right = Patch("a", metal[:, :96], empty), Patch("b", metal[:, 64:], empty)
    >>> other = Patch("c", metal[::-1, :96], empty)
    >>> [(o.first, o.second, o.dx_px, o.same_frame) for o in find_overlaps([left, right, other])]
    [(0, 1, 64, True)]
    """
    second = patches if others is None else others
    textures = _textures(patches)
    other_textures = textures if others is None else _textures(others)
    wanted = None if others is not None else _wanted(patches)
    matches = best_matches(
        textures,
        None if others is None else other_textures,
        wanted=wanted,
        progress=progress,
    )
    pairs = len(patches) * (len(patches) - 1) // 2 if others is None else len(patches) * len(others)
    least = required_evidence(pairs)
    places = {
        (match.first, match.second): match
        for match in matches
        if match.evidence >= least and match.correlation >= LEAST_CORRELATION
    }
    places |= _same_frames(patches, others)
    if others is None:
        places |= _through_neighbours(textures, places)
    found = [
        _measured(patches[i], second[j], match, told_of(patches[i], second[j], others is None))
        for (i, j), match in places.items()
    ]
    if others is None:
        for i, j in told_overlaps(patches):
            if (i, j) not in places:
                near = _near(textures[i], textures[j], told_place(patches[i], patches[j]))
                found.append(_told(patches[i], patches[j], i, j, near))
    return sorted(found, key=lambda overlap: (overlap.first, overlap.second))


def required_evidence(pairs: int) -> float:
    """Evidence that proves an overlap: more where chance has more pairs to choose from.

    Parameters
    ----------
    pairs
        Number of pairs that are compared.

    Returns
    -------
    float
        Correlation times the root of the overlap in pixels.

    Examples
    --------
    >>> required_evidence(100), round(required_evidence(500_000), 1)
    (31.0, 39.9)
    """
    return SAME_SURFACE_EVIDENCE + EVIDENCE_STEP * max(0.0, math.log(max(pairs, 1) / REAL_PAIRS))


def _textures(patches: Sequence[Patch]) -> list[NDArray[np.float16]]:
    """In half precision, which is ample, so that a thousand patches fit in memory."""

    def texture(patch: Patch) -> NDArray[np.float16]:
        return whiten(relative_contrast(patch.frame, 8.0)).astype(np.float16)

    with ThreadPoolExecutor() as pool:
        return list(pool.map(texture, patches))


def _wanted(patches: Sequence[Patch]) -> NDArray[np.bool_] | None:
    """All pairs, or, of very many, those that the index does not put far apart."""
    count = len(patches)
    if count * (count - 1) // 2 <= MOST_PAIRS:
        return None
    placed = np.array([patch.corner_px is not None for patch in patches])
    low = np.array([patch.corner_px or (0, 0) for patch in patches])
    high = low + np.array([patch.shape for patch in patches])
    near = np.ones((count, count), bool)
    for axis in (0, 1):
        before = low[:, None, axis] - LARGEST_DRIFT_PX < high[None, :, axis]
        near &= before & before.T
    return np.asarray(near | ~placed[:, None] | ~placed[None])


def _same_frames(
    patches: Sequence[Patch], others: Sequence[Patch] | None
) -> dict[tuple[int, int], Match]:
    """Pairs whose frames are equal to the last pixel, whatever texture they have."""
    numbers: dict[str, list[int]] = {}
    second = patches if others is None else others
    for j, patch in enumerate(second):
        if np.ptp(patch.frame) > 0:  # nothing but one grey is the same everywhere
            numbers.setdefault(frame_hash(patch), []).append(j)
    return {
        (i, j): Match(i, j, 0, 0, math.prod(patch.shape), 1.0, math.prod(patch.shape) ** 0.5)
        for i, patch in enumerate(patches)
        for j in numbers.get(frame_hash(patch), ())
        if others is not None or i < j
    }


def _through_neighbours(
    textures: Sequence[NDArray[np.float16]], places: dict[tuple[int, int], Match]
) -> dict[tuple[int, int], Match]:
    """Overlaps too faint to be found, where places add up: b lies so in a, and c so in b."""
    more = {}
    for at in _laid_out(places):
        members = sorted(at)
        for i, j in combinations(members, 2):
            place = (at[j][0] - at[i][0], at[j][1] - at[i][1])
            if (i, j) not in places:
                near = _near(textures[i], textures[j], place)
                if near is not None and near.evidence >= CONFIRMING_EVIDENCE:
                    more[i, j] = near._replace(first=i, second=j)
    return more


def _laid_out(places: dict[tuple[int, int], Match]) -> list[dict[int, tuple[int, int]]]:
    """For each group of patches where each lies, from one of them, by the fewest steps."""
    steps: dict[int, list[tuple[int, int, int]]] = {}
    for (i, j), match in places.items():
        steps.setdefault(i, []).append((j, match.dy_px, match.dx_px))
        steps.setdefault(j, []).append((i, -match.dy_px, -match.dx_px))
    groups: list[dict[int, tuple[int, int]]] = []
    for start in sorted(steps):
        if any(start in at for at in groups):
            continue
        at, queue = {start: (0, 0)}, deque([start])
        while queue:
            here = queue.popleft()
            for there, dy, dx in steps[here]:
                if there not in at:
                    at[there] = (at[here][0] + dy, at[here][1] + dx)
                    queue.append(there)
        groups.append(at)
    return groups


def _measured(first: Patch, second: Patch, match: Match, told: bool | None) -> Overlap:
    place = (match.dy_px, match.dx_px)
    in_first, in_second = overlap_slices(first.shape, second.shape, place)
    a, b = first.frame[in_first], second.frame[in_second]
    lit = a > 0
    gain = float(np.median(b[lit].astype(np.float64) / a[lit])) if lit.any() else float("nan")
    remark = ""
    if told is False and groups_differ(first, second):
        remark = (
            f"pixels show an overlap, index.csv has surface groups {first.surface_group} and "
            f"{second.surface_group}"
        )
    elif told is not None and first.corner_px is not None and second.corner_px is not None:
        index = told_place(first, second)
        if max(abs(p - q) for p, q in zip(place, index, strict=True)) > LARGEST_DRIFT_PX:
            remark = f"pixels show an offset of {_text(place)} px, index.csv has {_text(index)} px"
    return Overlap(
        match.first,
        match.second,
        match.dy_px,
        match.dx_px,
        _share(first, second, place),
        match.correlation,
        gain,
        bool(np.array_equal(a, b)),
        found=True,
        told=told,
        remark=remark,
    )


def _told(first: Patch, second: Patch, i: int, j: int, near: Match | None) -> Overlap:
    """An overlap that the index names and no search has found."""
    index = told_place(first, second)
    if near is not None and near.evidence >= CONFIRMING_EVIDENCE:
        return _measured(first, second, near._replace(first=i, second=j), told=True)
    shared_px = overlap_px(first.shape, second.shape, index)
    share, nan = _share(first, second, index), float("nan")
    remark = ""
    if shared_px >= TELLING_PX:
        remark = f"index.csv has an overlap of {share:.0%}, the pixels show none"
    correlation = near.correlation if near is not None and remark else nan
    return Overlap(
        i, j, *index, share, correlation, nan,
        same_frame=False, found=False, told=True, remark=remark,
    )  # fmt: skip


def _near(
    first: NDArray[np.float16], second: NDArray[np.float16], place: tuple[int, int]
) -> Match | None:
    if overlap_px(first.shape, second.shape, place) < TELLING_PX:
        return None
    return match_around(first, second, place, LARGEST_DRIFT_PX)


def _share(first: Patch, second: Patch, place: tuple[int, int]) -> float:
    smaller = min(math.prod(first.shape), math.prod(second.shape))
    return overlap_px(first.shape, second.shape, place) / smaller


def _text(place: tuple[int, int]) -> str:
    return f"({place[0]}, {place[1]})"
