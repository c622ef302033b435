"""A frame and its reference made from one annotated crop.

The annotators marked what had appeared since the first frame, but of the crop there is no
earlier one. Its particles taken away, the crop is what the first frame must have shown:
dark specks that nobody marked were there from the start. So particles are healed out of
the reference, or pasted into the frame, or into both, or into the reference alone, and
only what the frame alone has is to be found.

How a pair was made should tell as little as possible: clean metal is healed as well, and the
reference is always a second picture, shifted and aligned again, with light and noise of its
own. What is pasted into the frame alone keeps the light and noise of the crop that it was cut
from, though, which may tell; pairs that were really taken guard against that.

Z. Zheng et al., *Change is Everywhere: Single-Temporal Supervised Object Change Detection in
Remote Sensing Imagery*, ICCV 2021, doi:10.1109/ICCV48922.2021.01491, made pseudo-pairs of single
images before.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from corroscope.learning.paste import Decal, Sprite, place_decal
from corroscope.learning.settings import Pairing

IGNORED: Final = -1.0
"""Target of pixels of which nobody knows whether they are a particle."""

HEALING_RIM_PX: Final = 3
"""A particle's blur reaches beyond its outline; so does what is healed."""

TRIES: Final = 24
"""Pieces of metal tried for each place that is healed."""


class Pair(NamedTuple):
    """A crop of a frame with the reference aligned to it.

    Attributes
    ----------
    contrast
        ``(height, width)`` float32, relative contrast of the frame.
    reference
        ``(height, width)`` float32, that of the reference; NaN where it shows nothing.
    target
        ``(height, width)`` float32, 1 in particles that the reference does not have, 0
        elsewhere, `IGNORED` where nobody knows.
    """

    contrast: NDArray[np.float32]
    reference: NDArray[np.float32]
    target: NDArray[np.float32]


def pseudo_pair(
    crop: NDArray[np.float32],
    target: NDArray[np.float32],
    draw_sprite: Callable[[], Sprite] | None,
    pairing: Pairing,
    pasted: float,
    rng: np.random.Generator,
) -> Pair:
    """Make a pair from a crop and its particles.

    Parameters
    ----------
    crop
        ``(height, width)``, relative contrast.
    target
        ``(height, width)``, 1 in particles, `IGNORED` where nobody knows; there nothing is
        pasted or healed, and no metal is taken from there.
    draw_sprite
        Gives a particle to paste; None if there are none.
    pairing
        How pairs are made.
    pasted
        Mean number of particles pasted into the frame.
    rng
        Source of all randomness.

    Returns
    -------
    Pair
        The pair; ``crop`` and ``target`` are left as they are.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> target = np.zeros((64, 64), np.float32)
    >>> target[30:34, 30:34] = 1
    >>> pair = pseudo_pair(-0.3 * target, target, None, Pairing(healed=1), 0, rng)
    >>> float(pair.target.sum()), bool(pair.reference[31, 31] > -0.15)
    (16.0, True)
    """
    frame, reference = crop.copy(), crop.copy()
    found = np.zeros_like(target)
    found[target < 0] = IGNORED
    count, labels = cv2.connectedComponents((target > 0).astype(np.uint8), connectivity=8)
    outlines = [np.asarray(labels == label) for label in range(1, count)]
    for outline in outlines:
        if rng.random() < pairing.healed and heal(reference, outline, target != 0, rng):
            found[outline] = 1
    # Healed metal alone must not mean that there is a particle.
    for outline in outlines:
        shift = tuple(int(v) for v in rng.integers(-40, 41, 2))
        elsewhere = np.roll(outline, shift, (0, 1))
        darkest = float(np.where(elsewhere, crop, 0).min())
        clean = not target[elsewhere].any() and darkest > pairing.clean_contrast
        if clean and rng.random() < pairing.healed:
            heal(reference, elsewhere, target != 0, rng)
    if draw_sprite is not None:
        occupied = target.copy()
        numbers = [(pasted, "frame"), (pairing.static, "both"), (pairing.gone, "reference")]
        for mean, onto in numbers:
            for _ in range(rng.poisson(mean)):
                decal = place_decal(draw_sprite(), occupied, rng)
                if decal is None:
                    continue
                occupied[decal.place] = np.maximum(occupied[decal.place], decal.mask)
                _paste(decal, onto, frame, reference, found)
    return Pair(frame, second_take(reference, pairing, rng), found)


def heal(
    crop: NDArray[np.float32],
    outline: NDArray[np.bool_],
    occupied: NDArray[np.bool_],
    rng: np.random.Generator,
) -> bool:
    """Cover a place with clean metal from elsewhere in the crop, which changes in place.

    Of several pieces the one is taken whose surroundings fit best and which is not dark itself.

    Parameters
    ----------
    crop
        ``(height, width)``, relative contrast.
    outline
        ``(height, width)`` bool, what is to disappear.
    occupied
        ``(height, width)`` bool, where there are particles, or nobody knows.
    rng
        Source of all randomness.

    Returns
    -------
    bool
        False where no clean piece was found; the crop is then as it was.
    """
    rows, columns = np.nonzero(outline)
    if rows.size == 0:
        return False
    rim = HEALING_RIM_PX
    top, left = max(rows.min() - 2 * rim, 0), max(columns.min() - 2 * rim, 0)
    bottom = min(rows.max() + 2 * rim + 1, crop.shape[0])
    right = min(columns.max() + 2 * rim + 1, crop.shape[1])
    height, width = bottom - top, right - left
    inside = outline[top:bottom, left:right].astype(np.uint8)
    hidden = cv2.dilate(inside, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim + 1,) * 2))
    ring = hidden == 0
    here = crop[top:bottom, left:right]
    best, chosen = np.inf, None
    for _ in range(TRIES):
        row = int(rng.integers(crop.shape[0] - height + 1))
        column = int(rng.integers(crop.shape[1] - width + 1))
        piece = np.s_[row : row + height, column : column + width]
        if occupied[piece].any():
            continue
        misfit = float(np.mean((crop[piece] - here)[ring] ** 2)) if ring.any() else 0.0
        # A dark speck would only take the particle's place.
        misfit += float(np.mean(np.minimum(crop[piece], 0)[hidden > 0] ** 2))
        if misfit < best:
            best, chosen = misfit, piece
    if chosen is None:
        return False
    opacity = np.asarray(cv2.GaussianBlur(hidden.astype(np.float32), (0, 0), 1.0))
    opacity = np.maximum(opacity, cv2.dilate(inside, np.ones((3, 3), np.uint8)))
    here += opacity * (crop[chosen] - here)
    return True


def second_take(
    surface: NDArray[np.float32], pairing: Pairing, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Photograph a crop again: other noise and light, drifted and aligned back.

    Parameters
    ----------
    surface
        ``(height, width)``, relative contrast.
    pairing
        Ranges of drift, noise and light.
    rng
        Source of all randomness.

    Returns
    -------
    ndarray of float32
        ``(height, width)``, in some crops with NaN at two borders, as from `uncovered`; in
        the others drift brings in mirrored metal there.
    """
    # The crop has noise of its own, which a second picture must not share.
    smooth = np.asarray(cv2.GaussianBlur(surface, (0, 0), rng.uniform(0.6, 1.0)), np.float32)
    taken = smooth + np.float32(rng.uniform(0, 1)) * (surface - smooth)
    drift = rng.uniform(-pairing.shift_px, pairing.shift_px, 2)
    taken = _shifted(taken, drift)
    taken *= np.float32(np.exp(rng.normal(0, pairing.contrast)))
    taken += _slow_light(taken.shape, pairing.brightness, rng)
    noise = rng.uniform(pairing.least_noise, pairing.most_noise)
    taken += rng.normal(0, noise, taken.shape).astype(np.float32)
    return uncovered(misaligned(taken, -drift, pairing, rng), drift, rng)


def misaligned(
    reference: NDArray[np.float32],
    by: ArrayLike,
    pairing: Pairing,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Shift a reference, but not quite to where it belongs.

    Parameters
    ----------
    reference
        ``(height, width)``.
    by
        Rows and columns.
    pairing
        How far it is off.
    rng
        Source of all randomness.

    Returns
    -------
    ndarray of float32
        ``(height, width)``.
    """
    return _shifted(reference, np.asarray(by) + rng.normal(0, pairing.misaligned_px, 2))


def uncovered(
    reference: NDArray[np.float32], drift: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Take away what a reference does not show, in those crops that lie at its border.

    Parameters
    ----------
    reference
        ``(height, width)``.
    drift
        Rows and columns.
    rng
        Source of all randomness.

    Returns
    -------
    ndarray of float32
        The same; in three crops of ten with NaN at two borders, mostly narrow ones.
    """
    seen = reference.copy()
    if rng.random() < 0.3:
        margins = np.ceil(np.abs(drift)).astype(int)
        if rng.random() < 0.3:
            margins = margins + rng.integers(0, np.array(reference.shape) // 2)
        rows, columns = (int(margin) for margin in margins)
        seen[:rows] = np.nan
        seen[:, seen.shape[1] - columns :] = np.nan
    return seen


def _paste(
    decal: Decal,
    onto: str,
    frame: NDArray[np.float32],
    reference: NDArray[np.float32],
    found: NDArray[np.float32],
) -> None:
    if onto != "reference":
        decal.paste(frame)
    if onto != "frame":
        decal.paste(reference)
    else:
        found[decal.place] = np.maximum(found[decal.place], decal.mask)


def _shifted(crop: NDArray[np.float32], by: NDArray[np.float64]) -> NDArray[np.float32]:
    matrix = np.array([[1, 0, by[1]], [0, 1, by[0]]], np.float64)
    moved = cv2.warpAffine(
        crop, matrix, crop.shape[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(moved, np.float32)


def _slow_light(
    shape: tuple[int, ...], sigma: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A smooth field: what is left of the lamp's changes, and haze."""
    coarse = rng.normal(0, sigma, (4, 4)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)
