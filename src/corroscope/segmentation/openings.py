"""Dark regions that the reference did not have: openings of pits, and particles among them."""

from typing import Final, NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.errors import FrameError, SettingsError
from corroscope.tables import OPENINGS

LEAST_MISSING: Final = 0.2
"""Share of the light that must be missing: a pit of one pixel, seen through a point spread of
0.7 px, still takes away a quarter in its middle; noise of 1 to 2 % is far below."""

NOISE_SIGMAS: Final = 6.0
"""Where noise is strong, the limit is this many of its SDs: one in 10⁹ pixels exceeds it."""

OPEN: Final = 0.5
"""Metal that reflects less than this share of its surroundings' light is a hole: in a region
that was open in the reference already, light is compared with the surroundings, not with it."""

RIM_PX: Final = 3
"""How far beyond half its depth a region's missing light is added up: the reach of optics."""

BACKGROUND_PX: Final = 8.0
"""SD of the local background: a halo is a few times as wide as its pit and mostly followed by
it, a region's own light is not in it."""

_REDUCTION: Final = 4
_DARK: Final = 0.93
"""Of the smoothed light: what is darker does not count as background."""


class _Light(NamedTuple):
    """A frame, the metal as it would be without corrosion, and where the reference is a hole."""

    now: NDArray[np.float32]
    metal: NDArray[np.float32]
    hole: NDArray[np.bool_]

    def missing(self, at: NDArray[np.int64]) -> NDArray[np.float64]:
        """Share of the light that is missing at some pixels of the flattened frame."""
        return 1 - self.now.ravel()[at] / self.metal.ravel()[at].astype(np.float64)


def find_openings(
    contrast: NDArray[np.float32],
    reference: NDArray[np.float32],
    least_missing: float = LEAST_MISSING,
) -> pd.DataFrame:
    """Find dark regions that the reference did not have, or had smaller.

    Light is compared with the reference's, the two being brought together by a local
    background that leaves out everything dark: neither a large pit nor its grey halo shifts
    it. A region's border is where half of the light is missing that is missing in its darkest
    part, so that a faint particle at the rim of a pit stays outside of it.

    The missing light of a region and its rim, added up, is its area without the rounding to
    whole pixels; optics cannot change it. As a hole is not perfectly dark, it is that area
    times the hole's depth.

    Parameters
    ----------
    contrast
        ``(height, width)``, relative contrast of the frame, as from
        `corroscope.frames.contrast.relative_contrast`.
    reference
        ``(height, width)``, relative contrast of the reference, aligned to the frame; NaN where
        it shows nothing. Nothing is new there.
    least_missing
        Share of the light that must be missing at a region's pixels.

    Returns
    -------
    pandas.DataFrame
        The columns of `corroscope.tables.OPENINGS` that a frame can tell: ``opening``,
        ``y_px``, ``x_px``, ``area_px``, ``soft_area_px``, ``depth`` and the bounding box; from
        top to bottom by the first pixel.

    Raises
    ------
    FrameError
        If the pictures differ in shape.
    SettingsError
        If the share does not lie between 0 and 1.

    References
    ----------
    H. Knutsson & C.-F. Westin, *Normalized and differential convolution*, CVPR 1993: means of
    what is certain, for the background.

    Examples
    --------
    >>> before = np.zeros((64, 64), np.float32)
    >>> now = before.copy()
    >>> now[30:34, 20:26] = -0.9
    >>> found = find_openings(now, before)
    >>> found[["y_px", "x_px", "area_px", "soft_area_px", "depth"]].round(2).values.tolist()
    [[31.5, 22.5, 24.0, 21.6, 0.9]]
    """
    if contrast.shape != reference.shape:
        raise FrameError(
            f"reference of shape {reference.shape} for a frame of {contrast.shape}; give one of "
            "the same size"
        )
    if not 0 < least_missing < 1:
        raise SettingsError(f"least_missing {least_missing:g}: must lie between 0 and 1")
    light, new, dark = _darkened(contrast, reference, least_missing)
    at, label = _bodies(light, new, dark)
    return _measured(light, dark, at, label)


def _darkened(
    contrast: NDArray[np.float32], reference: NDArray[np.float32], least_missing: float
) -> tuple[_Light, NDArray[np.bool_], NDArray[np.uint8]]:
    """What is darker than in the reference, and what is dark whether it was before or not."""
    now = 1 + contrast
    metal = 1 + reference
    background = _background(now, metal)
    hole = metal < OPEN
    metal *= background
    difference = metal - now  # NaN where the reference shows nothing: never above anything
    limit = max(least_missing, NOISE_SIGMAS * _noise(difference))
    # A share of the light of the surroundings: in a dark speck noise and drift are no less.
    background *= np.float32(limit)
    new = difference > background
    background *= np.float32(1 / limit)
    # In what was a hole already, light is compared with the surroundings.
    np.copyto(metal, background, where=hole)
    dark = new | (hole & (now < OPEN * background))
    return _Light(now, metal, hole), new, dark.astype(np.uint8)


def _background(now: NDArray[np.float32], metal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Local mean of the frame's light over the reference's, without what is dark."""
    height, width = now.shape
    size = (max(1, width // _REDUCTION), max(1, height // _REDUCTION))
    above, below = (cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (now, metal))
    known = np.isfinite(above) & np.isfinite(below) & (below > OPEN)
    ratio = np.ones_like(above)
    np.divide(above, below, out=ratio, where=known)
    sigma = BACKGROUND_PX / _REDUCTION
    smooth = cv2.GaussianBlur(ratio, (0, 0), 3 * sigma)
    bright = (known & (ratio > _DARK * smooth)).astype(np.uint8)
    weight = cv2.erode(bright, np.ones((3, 3), np.uint8)).astype(np.float32)
    # In the middle of a large hole nothing certain is near: what lies further out has to do.
    total, certain = np.zeros_like(ratio), np.zeros_like(ratio)
    for widening, share in ((1, 1.0), (4, 1e-3), (16, 1e-6)):
        for_sum, for_weight = (
            cv2.GaussianBlur(x, (0, 0), widening * sigma, borderType=cv2.BORDER_REFLECT)
            for x in (ratio * weight, weight)
        )
        total = total + np.float32(share) * for_sum
        certain = certain + np.float32(share) * for_weight
    everywhere = float(np.median(ratio[known])) if known.any() else 1.0
    total = total + np.float32(1e-9 * everywhere)
    certain = certain + np.float32(1e-9)
    return np.asarray(
        cv2.resize(total / certain, (width, height), interpolation=cv2.INTER_LINEAR), np.float32
    )


def _noise(difference: NDArray[np.float32]) -> float:
    """SD of most pixels, from the median of their absolute deviations; 0 if none is known."""
    some = difference[::5, ::7]
    some = some[np.isfinite(some)]
    if some.size == 0:
        return 0.0
    return float(1.4826 * np.median(np.abs(some - np.median(some))))


def _bodies(
    light: _Light, new: NDArray[np.bool_], dark: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels, in a flattened frame, and labels 1, 2, … of the bodies that have something new."""
    count, labels = cv2.connectedComponents(dark, connectivity=8, ltype=cv2.CV_32S)
    at = np.flatnonzero(dark).astype(np.int64)
    label = np.asarray(labels.ravel()[at], np.int64)
    missing = light.missing(at)
    depth = _depths(label, missing, count)
    # Within half of the depth: a faint particle at a pit's rim falls off, two pits come apart.
    body = missing >= 0.5 * depth[label]
    within = np.zeros_like(dark)
    within.ravel()[at[body]] = 1
    count, labels = cv2.connectedComponents(within, connectivity=8, ltype=cv2.CV_32S)
    at = at[body]
    label = np.asarray(labels.ravel()[at], np.int64)
    news = np.bincount(label, weights=new.ravel()[at], minlength=count)
    # OpenCV does not promise an order of labels; count anew by first pixel.
    present, first = np.unique(label, return_index=True)
    ordered = present[np.argsort(first)]
    ordered = ordered[news[ordered] > 0]
    renumbered = np.zeros(count, np.int64)
    renumbered[ordered] = np.arange(1, ordered.size + 1)
    label = renumbered[label]
    return at[label > 0], label[label > 0]


def _depths(
    label: NDArray[np.int64], missing: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """Mean over the darkest quarter of each label's pixels; 0 for a label without any."""
    order = np.lexsort((-missing, label))
    number = np.bincount(label, minlength=count)
    start = np.cumsum(number) - number
    rank = np.arange(len(order)) - start[label[order]]
    quarter = np.maximum(1, number // 4)
    chosen = order[rank < quarter[label[order]]]
    total = np.bincount(label[chosen], weights=missing[chosen], minlength=count)
    return np.asarray(total / np.where(number > 0, quarter, 1))


def _measured(
    light: _Light, dark: NDArray[np.uint8], at: NDArray[np.int64], label: NDArray[np.int64]
) -> pd.DataFrame:
    """Measure bodies, given by their pixels in the flattened frame."""
    shape = light.now.shape
    count = int(label.max(initial=0)) + 1
    rows, columns = np.divmod(at, shape[1])
    area = np.bincount(label, minlength=count)[1:]
    missing = light.missing(at)

    def mean(values: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(label, weights=values, minlength=count)[1:] / area)

    low, high = np.full((2, count), max(shape)), np.zeros((2, count), np.int64)
    for axis, values in enumerate((rows, columns)):
        np.minimum.at(low[axis], label, values)
        np.maximum.at(high[axis], label, values + 1)
    table = pd.DataFrame(
        {
            "opening": np.arange(1, count),
            "y_px": mean(rows),
            "x_px": mean(columns),
            "area_px": area,
            "soft_area_px": _soft_areas(light, dark, at, label, count)[1:],
            "depth": _depths(label, missing, count)[1:],
            "bbox_top_px": low[0, 1:],
            "bbox_left_px": low[1, 1:],
            "bbox_bottom_px": high[0, 1:],
            "bbox_right_px": high[1, 1:],
        }
    )
    placed = {"frame", "time_s", "y_ref_px", "x_ref_px"}
    types = {column.name: column.dtype for column in OPENINGS if column.name not in placed}
    return table[list(types)].astype(types)


def _soft_areas(
    light: _Light,
    dark: NDArray[np.uint8],
    at: NDArray[np.int64],
    label: NDArray[np.int64],
    count: int,
) -> NDArray[np.float64]:
    """Sum of the light that is missing in each body and its rim, against what is around it."""
    marked = np.zeros(dark.shape, np.float32)  # whole numbers up to 2^24
    marked.ravel()[at] = label
    rim = cv2.dilate(marked, np.ones((2 * RIM_PX + 1, 2 * RIM_PX + 1), np.uint8))
    ring = cv2.dilate(rim, np.ones((2 * RIM_PX + 1, 2 * RIM_PX + 1), np.uint8))
    near = np.flatnonzero(ring).astype(np.int64)
    missing = light.missing(near)
    of_ring, of_rim, of_body = (
        np.asarray(picture.ravel()[near], np.int64) for picture in (ring, rim, marked)
    )
    # A body's pixels are its own, whosever rim they are in as well.
    owner = np.where(of_body > 0, of_body, of_rim)
    known = np.isfinite(missing)
    around = known & (owner == 0) & (dark.ravel()[near] == 0)
    level = _medians(of_ring[around], missing[around], count)
    inside = known & (owner > 0)
    owner = owner[inside]
    # The darkness of a body is that against the metal around it: 1 − light / light there.
    lost = 1 - (1 - missing[inside]) / (1 - level[owner])
    return np.asarray(np.bincount(owner, weights=lost, minlength=count), np.float64)


def _medians(
    label: NDArray[np.int64], values: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """Median of each label's values; 0 for a label without any."""
    number = np.bincount(label, minlength=count)
    start = np.cumsum(number) - number
    ordered = values[np.lexsort((values, label))]
    medians = np.zeros(count)
    some = number > 0
    middle = (start + (number - 1) // 2)[some], (start + number // 2)[some]
    medians[some] = 0.5 * (ordered[middle[0]] + ordered[middle[1]])
    return medians
