"""The window round a click, which grows until it shows the whole of what was clicked."""

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from corroscope.annotation.click_network import ClickNetwork
from corroscope.annotation.front import LATEST, Front, run_front
from corroscope.annotation.surroundings import CENTRE, WINDOW_PX, Surroundings, snap, surroundings
from corroscope.errors import AnnotationError

SCALES: Final = (1, 2, 4, 8)
"""Pixels per pixel of the network's window; it grows until the contour clears its border."""

MARGIN: Final = 2
"""By how many pixels of the network's window the contour must clear its border."""

CLEAR: Final = 5.0
"""Contrast over noise from which a spot is one; fainter ones may be noise on something larger."""

MUCH_LARGER: Final = 3.0
"""So many times the contrast has what a larger window shows, if the spot was only noise on it."""

EDGE: Final = 0.25
"""Share of the contrast where the edge of something large is drawn."""

_CORRECTION_ALL: Final = 1.0  # log-odds that a correction adds everywhere
_CORRECTION_NEAR: Final = 3.0  # and at its own place
_CORRECTION_REACH: Final = 0.35  # of the square root of the area

_NONE: Final = np.empty((0, 2), np.int64)


class Wish(NamedTuple):
    """What an annotator has clicked so far.

    Attributes
    ----------
    pixel
        Row and column, int64, of the dark spot that the click went to.
    kept, removed
        ``(n, 2)`` int64, pixels that further clicks have taken in or left out.
    area_px
        How large the object is to be, about; None if nobody has said so.
    latest
        When the front stops at the latest, in the smallest window.
    told
        How errors name the click.
    """

    pixel: NDArray[np.int64]
    kept: NDArray[np.int64] = _NONE
    removed: NDArray[np.int64] = _NONE
    area_px: float | None = None
    latest: float = LATEST
    told: str = ""


def grown_front(image: NDArray[np.float32], wish: Wish, network: ClickNetwork) -> Front:
    """Run the front in the smallest window whose border the contour clears.

    Parameters
    ----------
    image
        ``(height, width)`` float32; particles are dark.
    wish
        What was clicked.
    network
        Who tells what belongs together.

    Returns
    -------
    Front
        Its window does not reach beyond the image.

    Raises
    ------
    AnnotationError
        If nothing stands out, what does is larger than the largest window, or further clicks
        contradict one another or lie outside it.
    """
    if any((out == within).all() for out in wish.removed for within in (wish.pixel, *wish.kept)):
        raise AnnotationError(
            f"click {wish.told}: a place is to be taken in and left out; choose one"
        )
    seen = larger = False
    for scale in SCALES:
        corner = wish.pixel - (scale * CENTRE + scale // 2)
        size, margin = scale * WINDOW_PX, scale * MARGIN
        further = np.concatenate([wish.kept, wish.removed]) - corner
        if ((further < margin) | (further >= size - margin)).any():
            continue
        seen = True
        shown = surroundings(image, wish.pixel[None], scale)
        if shown.contrast[0] <= 0 or _within_something(image, wish.pixel, shown, scale):
            continue
        larger = True
        probability = _enlarged(network.belonging(shown.planes)[0], scale)
        if scale > 1:
            probability *= _dark(image, corner, scale, shown)
        for pixel in snap(image, wish.kept.astype(np.float64)):
            _unite(probability, image, corner, pixel, scale, network)
        # Beyond the image there is nothing to run through.
        low, high = np.maximum(-corner, 0), np.minimum(image.shape - corner, size)
        probability = np.ascontiguousarray(probability[low[0] : high[0], low[1] : high[1]])
        front = _mended(probability, corner + low, wish, wish.latest * scale)
        if _clears(front, corner, size, margin, image.shape):
            return front
    if larger:
        raise AnnotationError(
            f"click {wish.told}: what is dark there is larger than {SCALES[-1] * WINDOW_PX} px; "
            "draw it with points on its contour"
        )
    if not seen:
        raise AnnotationError(
            f"click {wish.told}: a further click is farther than {SCALES[-1] * CENTRE} px from "
            "it; click there first"
        )
    raise AnnotationError(f"click {wish.told}: nothing stands out there; click into a dark spot")


def _unite(
    probability: NDArray[np.float32],
    image: NDArray[np.float32],
    corner: NDArray[np.int64],
    pixel: NDArray[np.int64],
    scale: int,
    network: ClickNetwork,
) -> None:
    """Take in what a further click means by itself, if that is another spot."""
    if probability[tuple(pixel - corner)] >= 0.5:
        return
    shown = surroundings(image, pixel[None], scale)
    if shown.contrast[0] <= 0 or shown.contrast[0] < CLEAR * shown.noise[0]:
        return
    other = _enlarged(network.belonging(shown.planes)[0], scale)
    apart = pixel - (scale * CENTRE + scale // 2) - corner
    size = len(probability)
    here, there = (
        tuple(slice(max(way, 0), size + min(way, 0)) for way in sign * apart) for sign in (1, -1)
    )
    probability[here] = 1 - (1 - probability[here]) * (1 - other[there])


def _mended(
    probability: NDArray[np.float32], start: NDArray[np.int64], wish: Wish, latest: float
) -> Front:
    """The front, and again with what the annotator has said besides."""
    corner_px = (int(start[0]), int(start[1]))
    seeds = (wish.pixel - start)[None]
    front = run_front(probability, corner_px, seeds, latest=latest)
    if wish.area_px is not None:
        front = run_front(_resized(front, wish.area_px), corner_px, seeds, latest=latest)
    if len(wish.kept) + len(wish.removed):
        corrected = _corrected(front, wish.kept - start, wish.removed - start, wish.area_px is None)
        seeds = np.concatenate([seeds, wish.kept - start])
        front = run_front(corrected, corner_px, seeds, seeds, latest)
    return front


def _clears(
    front: Front, corner: NDArray[np.int64], size: int, margin: int, shape: tuple[int, ...]
) -> bool:
    """Whether the particle keeps away from its window's border, where that is not the image's."""
    pixels = np.argwhere(front.mask()) + front.corner_px
    low = (corner <= 0) | (pixels.min(axis=0) >= corner + margin)
    high = (corner + size >= shape) | (pixels.max(axis=0) < corner + size - margin)
    return bool(low.all() and high.all())


def _within_something(
    image: NDArray[np.float32], pixel: NDArray[np.int64], shown: Surroundings, scale: int
) -> bool:
    """Whether the window shows only the inside of something larger, and noise on it."""
    if shown.contrast[0] >= CLEAR * shown.noise[0]:
        return False
    return any(
        surroundings(image, pixel[None], other).contrast[0] > MUCH_LARGER * shown.contrast[0]
        for other in SCALES
        if other > scale
    )


def _dark(
    image: NDArray[np.float32], corner: NDArray[np.int64], scale: int, shown: Surroundings
) -> NDArray[np.float32]:
    """How dark a window's pixels are: coarse windows cannot tell where an edge is."""
    size, around = scale * WINDOW_PX, 2 * scale
    rows = np.clip(np.arange(-around, size + around) + corner[0], 0, image.shape[0] - 1)
    cols = np.clip(np.arange(-around, size + around) + corner[1], 0, image.shape[1] - 1)
    smooth = cv2.GaussianBlur(image[np.ix_(rows, cols)], (0, 0), scale / 2)
    part = (shown.ground[0] - smooth[around:-around, around:-around]) / shown.contrast[0]
    return np.asarray(1 / (1 + np.exp((EDGE - part) / 0.05)), np.float32)


def _enlarged(probability: NDArray[np.float32], scale: int) -> NDArray[np.float32]:
    if scale == 1:
        return probability.copy()
    size = (scale * WINDOW_PX, scale * WINDOW_PX)
    return np.asarray(cv2.resize(probability, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _resized(front: Front, area_px: float) -> NDArray[np.float32]:
    """Shift the odds of all pixels alike, so that as many more or fewer are expected."""
    odds = _log_odds(front.probability)
    wanted = float(front.probability.sum()) * area_px / front.count
    low, high = -20.0, 20.0
    for _ in range(30):
        middle = (low + high) / 2
        if (1 / (1 + np.exp(-odds - middle))).sum() < wanted:
            low = middle
        else:
            high = middle
    return np.asarray(1 / (1 + np.exp(-odds - low)), np.float32)


def _log_odds(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    clipped = np.clip(probability, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(clipped / (1 - clipped)), np.float32)


def _corrected(
    front: Front, kept: NDArray[np.int64], removed: NDArray[np.int64], size_too: bool
) -> NDArray[np.float32]:
    """What further clicks teach: strongly near them, and a little everywhere.

    The latter not if somebody has said how large the object is.
    """
    odds = _log_odds(front.probability)
    rows, cols = np.indices(odds.shape)
    reach2_px = _CORRECTION_REACH**2 * front.count
    for points, sign in ((kept, 1), (removed, -1)):
        for row, col in points:
            near = np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / (2 * reach2_px))
            odds = odds + sign * (size_too * _CORRECTION_ALL + _CORRECTION_NEAR * near)
    corrected = (1 / (1 + np.exp(-odds))).astype(np.float32)
    corrected[tuple(removed.T)] = 0
    return corrected
