"""Where two textures show a common piece of surface, and how sure that is."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

SMALLEST_OVERLAP_PX: Final = 1000
"""Overlaps of fewer pixels are not looked for: no correlation would be enough."""

PROMISING: Final = 20.0
"""Evidence at half resolution from which a pair is looked at in full."""

REFINED_PX: Final = 3
"""How far from the place found at half resolution the best one is looked for."""

LEAST_ENERGY: Final = 0.1
"""Of texture in an overlap, against the whole patch: what is flatter correlates by chance."""

_REDUCTION: Final = 2
_BLOCK: Final = 32
_BLOCK_PX: Final = 2_000_000

Texture = NDArray[np.float32] | NDArray[np.float16]


class Match(NamedTuple):
    """The place at which two textures fit best.

    Attributes
    ----------
    first, second
        Which textures, by their number.
    dy_px, dx_px
        Where the second's top-left pixel lies in the first: row and column.
    overlap_px
        Number of pixels that they share there.
    correlation
        Of the two textures in the overlap, −1 to 1.
    evidence
        ``correlation`` times the root of ``overlap_px``: for textures that have nothing to
        do with each other it is of the same size in small and in large overlaps.
    """

    first: int
    second: int
    dy_px: int
    dx_px: int
    overlap_px: int
    correlation: float
    evidence: float


def best_matches(
    textures: Sequence[Texture],
    others: Sequence[Texture] | None = None,
    *,
    wanted: NDArray[np.bool_] | None = None,
    promising: float = PROMISING,
    progress: Callable[[int, int], None] | None = None,
) -> list[Match]:
    """Find for all pairs of textures the place where they fit best.

    All overlaps of at least `SMALLEST_OVERLAP_PX` are tried, at half resolution, by
    normalised cross-correlation: products by FFT, energies from running sums. Pairs that
    look promising are then refined at full resolution.

    Parameters
    ----------
    textures
        ``n`` textures as `corroscope.scoring.texture.whiten` gives them, of any sizes.
    others
        ``m`` textures to compare with; without them, the textures with each other.
    wanted
        ``(n, m)``, which pairs to look at; all by default. Without ``others`` a pair is looked
        at once, the one with the lower number first, if it is wanted either way round.
    promising
        Evidence at half resolution below which a pair is left out of the result.
    progress
        Called with the number of pairs done and of all.

    Returns
    -------
    list of Match
        In order of the pairs.

    References
    ----------
    J. P. Lewis, *Fast normalized cross-correlation*, Vision Interface, 1995.

    Examples
    --------
    >>> metal = np.random.default_rng(0).normal(size=(96, 160)).astype(np.float32)
    >>> metal = cv2.GaussianBlur(metal, (0, 0), 1.5)
    >>> found = best_matches([metal[:, :96], metal[4:, 60:], metal[::-1, :96].copy()])
    >>> [(match.first, match.second, match.dy_px, match.dx_px) for match in found]
    [(0, 1, 4, 60)]
    """
    pairs = _Pairs(textures, others, wanted)
    blocks = list(pairs.blocks())
    total = sum(pairs.count(block) for block in blocks)
    done = 0
    found: list[Match] = []
    # Transforms and sums run without Python's lock.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        jobs = pool.map(lambda block: list(_block_matches(pairs, block, promising)), blocks)
        for block, matches in zip(blocks, jobs, strict=True):
            found += matches
            done += pairs.count(block)
            if progress is not None:
                progress(done, total)
    return sorted(found)


def match_near(
    first: Texture, second: Texture, place_px: tuple[int, int], radius_px: int
) -> Match | None:
    """Find the best fit of two textures near a place where they are thought to overlap.

    Parameters
    ----------
    first, second
        Textures as in `best_matches`.
    place_px
        Row and column of the second's top-left pixel in the first.
    radius_px
        How far from there to look, in rows and in columns.

    Returns
    -------
    Match or None
        Of textures 0 and 1, the one with the strongest evidence; None where they overlap nowhere.

    Examples
    --------
    >>> metal = np.random.default_rng(0).normal(size=(64, 80)).astype(np.float32)
    >>> match = match_near(metal[:, :64], metal[:, 16:], (1, 14), 3)
    >>> match.dy_px, match.dx_px, round(match.correlation, 2)
    (0, 16, 1.0)
    """
    a, b = first.astype(np.float32, copy=False), second.astype(np.float32, copy=False)
    best: Match | None = None
    for dy in range(place_px[0] - radius_px, place_px[0] + radius_px + 1):
        for dx in range(place_px[1] - radius_px, place_px[1] + radius_px + 1):
            in_first, in_second = overlap_slices(a.shape, b.shape, (dy, dx))
            x, y = a[in_first], b[in_second]
            if x.size == 0:
                continue
            floor = LEAST_ENERGY * x.size
            energy = max(float((x * x).sum()), floor) * max(float((y * y).sum()), floor)
            correlation = float((x * y).sum()) / energy**0.5
            evidence = correlation * x.size**0.5
            if best is None or evidence > best.evidence:
                best = Match(0, 1, dy, dx, x.size, correlation, evidence)
    return best


def match_around(
    first: Texture, second: Texture, place_px: tuple[int, int], radius_px: int
) -> Match | None:
    """As `match_near`, for a larger radius: at half resolution first, then in full near the best.

    Parameters
    ----------
    first, second, place_px, radius_px
        As for `match_near`.

    Returns
    -------
    Match or None
        As of `match_near`; the place may lie up to `REFINED_PX` outside the radius.

    Examples
    --------
    >>> metal = np.random.default_rng(0).normal(size=(96, 120)).astype(np.float32)
    >>> metal = cv2.GaussianBlur(metal, (0, 0), 1.5)
    >>> match = match_around(metal[:, :96], metal[:, 24:], (8, 16), 12)
    >>> match.dy_px, match.dx_px
    (0, 24)
    """
    halves = [_reduced([texture])[0] for texture in (first, second)]
    place = (place_px[0] // _REDUCTION, place_px[1] // _REDUCTION)
    rough = match_near(halves[0], halves[1], place, -(-radius_px // _REDUCTION))
    if rough is None:
        return None
    return match_near(
        first, second, (_REDUCTION * rough.dy_px, _REDUCTION * rough.dx_px), REFINED_PX
    )


def overlap_slices(
    first: tuple[int, ...], second: tuple[int, ...], place_px: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Cut the overlap out of two images.

    Parameters
    ----------
    first, second
        Their heights and widths.
    place_px
        Row and column of the second's top-left pixel in the first.

    Returns
    -------
    first, second : tuple of slice
        Rows and columns in each; empty where they do not overlap.

    Examples
    --------
    >>> overlap_slices((10, 10), (8, 6), (-3, 7))
    ((slice(0, 5, None), slice(7, 10, None)), (slice(3, 8, None), slice(0, 3, None)))
    """
    in_first, in_second = [], []
    for length, other, offset in zip(first, second, place_px, strict=True):
        start, stop = max(offset, 0), max(min(length, offset + other), max(offset, 0))
        in_first.append(slice(start, stop))
        in_second.append(slice(start - offset, stop - offset))
    return (in_first[0], in_first[1]), (in_second[0], in_second[1])


def overlap_px(first: tuple[int, ...], second: tuple[int, ...], place_px: tuple[int, int]) -> int:
    """Count the pixels that two images share.

    Parameters
    ----------
    first, second
        Their heights and widths.
    place_px
        Row and column of the second's top-left pixel in the first.

    Returns
    -------
    int
        Pixels.

    Examples
    --------
    >>> overlap_px((10, 10), (8, 6), (-3, 7))
    15
    """
    rows, columns = overlap_slices(first, second, place_px)[0]
    return int((rows.stop - rows.start) * (columns.stop - columns.start))


class _Block(NamedTuple):
    first: list[int]
    second: list[int]


class _Pairs:
    """All pairs to look at, in blocks of one shape each, so that memory stays small."""

    def __init__(
        self,
        textures: Sequence[Texture],
        others: Sequence[Texture] | None,
        wanted: NDArray[np.bool_] | None,
    ) -> None:
        self.first = textures
        self.second = textures if others is None else others
        shape = (len(self.first), len(self.second))
        self.wanted = np.ones(shape, bool) if wanted is None else wanted
        if others is None:
            self.wanted = np.triu(self.wanted | self.wanted.T, 1)

    def blocks(self) -> Iterator[_Block]:
        for first in self._of_one_shape(self.first):
            for second in self._of_one_shape(self.second):
                block = _Block(first, second)
                if self.count(block):
                    yield block

    def count(self, block: _Block) -> int:
        return int(self.wanted[np.ix_(block.first, block.second)].sum())

    @staticmethod
    def _of_one_shape(textures: Sequence[Texture]) -> list[list[int]]:
        order = sorted(range(len(textures)), key=lambda i: (textures[i].shape, i))
        blocks = []
        for shape, members in groupby(order, key=lambda i: textures[i].shape):
            same = list(members)
            size = max(1, min(_BLOCK, _BLOCK_PX // (shape[0] * shape[1])))
            blocks += [same[start : start + size] for start in range(0, len(same), size)]
        return blocks


class _Half(NamedTuple):
    """Textures of a block at half resolution: spectra, and what divides their products."""

    spectra: NDArray[np.complex64]
    weights: NDArray[np.float32]


def _block_matches(pairs: _Pairs, block: _Block, promising: float) -> Iterator[Match]:
    first = _reduced([pairs.first[i] for i in block.first])
    second = _reduced([pairs.second[j] for j in block.second])
    shape = [
        fft.next_fast_len(a + b - 1, real=True)
        for a, b in zip(first.shape[1:], second.shape[1:], strict=True)
    ]
    shifts = [
        (np.arange(n) + b - 1) % n - (b - 1) for n, b in zip(shape, second.shape[1:], strict=True)
    ]
    halves = _Half(fft.rfft2(first, shape), _weights(first, second.shape[1:], shifts))
    back = [-shift for shift in shifts]
    others = _Half(fft.rfft2(second, shape).conj(), _weights(second, first.shape[1:], back))
    for row, i in enumerate(block.first):
        columns = np.flatnonzero(pairs.wanted[i, block.second])
        if columns.size == 0:
            continue
        evidence = fft.irfft2(halves.spectra[row] * others.spectra[columns], shape)
        evidence *= halves.weights[row]
        evidence *= others.weights[columns]
        flat = evidence.reshape(len(columns), -1)
        best = flat.argmax(axis=1)
        for column, at, value in zip(columns, best, flat.max(axis=1), strict=True):
            if value < promising:
                continue
            j = block.second[column]
            y, x = np.unravel_index(at, shape)
            place = (_REDUCTION * int(shifts[0][y]), _REDUCTION * int(shifts[1][x]))
            match = match_near(pairs.first[i], pairs.second[j], place, REFINED_PX)
            if match is not None:
                yield match._replace(first=i, second=j)


def _reduced(textures: Sequence[Texture]) -> NDArray[np.float32]:
    """Half the resolution: the band of whitened texture ends near what that can carry."""
    height, width = (max(1, length // _REDUCTION) for length in textures[0].shape)
    return np.stack(
        [
            cv2.resize(
                t[: height * _REDUCTION, : width * _REDUCTION].astype(np.float32),
                (width, height),
                interpolation=cv2.INTER_AREA,
            )
            for t in textures
        ]
    )


def _weights(
    textures: NDArray[np.float32], other: tuple[int, ...], shifts: list[NDArray[Any]]
) -> NDArray[np.float32]:
    """Factors that turn products into evidence, for every shift; 0 where the overlap is small.

    The product of both textures' factors is the root of the overlap over that of the energies.
    """
    count, height, width = textures.shape
    sums = np.zeros((count, height + 1, width + 1))
    np.cumsum(np.cumsum(textures.astype(np.float64) ** 2, axis=1), axis=2, out=sums[:, 1:, 1:])
    spans = []
    for length, across, shift in zip((height, width), other, shifts, strict=True):
        low = np.clip(shift, 0, length)
        spans.append((low, np.maximum(low, np.clip(shift + across, 0, length))))
    (top, bottom), (left, right) = spans
    upper, lower = sums[:, top], sums[:, bottom]
    energy = lower[:, :, right] - lower[:, :, left] - upper[:, :, right] + upper[:, :, left]
    area = np.outer(bottom - top, right - left).astype(np.float64)
    # Texture at half resolution has less energy than at full, where it is 1 for each pixel.
    mean = sums[:, -1, -1][:, None, None] / (height * width)
    energy = np.maximum(energy, LEAST_ENERGY * mean * area)
    large = (area * _REDUCTION**2 >= SMALLEST_OVERLAP_PX) & (energy > 0)
    root = np.sqrt(np.sqrt(area) * _REDUCTION)
    weights = np.zeros(energy.shape, np.float32)
    np.divide(root, np.sqrt(energy), out=weights, where=large, casting="same_kind")
    return weights
