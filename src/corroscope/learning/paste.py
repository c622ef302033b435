"""Particles of one patch pasted onto the surface of another.

There are few particles and fewer rare ones, large and out of focus; pasted on other
metal, each is learnt from many times and apart from the scratches it was found on.

G. Ghiasi et al., *Simple Copy-Paste is a Strong Data Augmentation Method for Instance
Segmentation*, CVPR 2021, doi:10.1109/CVPR46437.2021.00294.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

RIM_PX: Final = 5
"""Surroundings cut out with a particle; its edge is blended within them."""

MOST_SPRITES: Final = 4096
"""Particles kept to be pasted, about 10 MB; 74 real patches have some 430."""


class Sprite(NamedTuple):
    """A particle cut out.

    Attributes
    ----------
    contrast
        ``(height, width)`` float32, relative contrast of particle and rim.
    mask
        ``(height, width)`` float32, 1 in the particle.
    """

    contrast: NDArray[np.float32]
    mask: NDArray[np.float32]


def cut_sprites(
    contrasts: Iterable[NDArray[np.float32]],
    masks: Iterable[NDArray[np.bool_]],
    rng: np.random.Generator | None = None,
    most: int = MOST_SPRITES,
) -> list[Sprite]:
    """Cut out every particle that stands alone and inside its patch.

    Parameters
    ----------
    contrasts
        Relative contrast of each patch.
    masks
        Mask of each patch.
    rng
        Draws which are kept where there are more than ``most``, each with the same chance;
        without it, all are kept.
    most
        See ``rng``.

    Returns
    -------
    list of Sprite
        Particles whose rim is inside the patch and holds no other particle.

    References
    ----------
    Algorithm R of J. S. Vitter, *Random sampling with a reservoir*, ACM Transactions on
    Mathematical Software 11 (1985) 37–57, doi:10.1145/3147.3165.

    Examples
    --------
    >>> mask = np.zeros((40, 40), bool)
    >>> mask[20:23, 20:24] = mask[0:3, 0:3] = True
    >>> [sprite.mask.shape for sprite in cut_sprites([-0.1 * mask], [mask])]
    [(13, 14)]
    """
    kept: list[Sprite] = []
    for count, sprite in enumerate(_sprites(contrasts, masks)):
        if rng is None or count < most:
            kept.append(sprite)
        elif (place := rng.integers(count + 1)) < most:
            kept[place] = sprite
    return kept


def _sprites(
    contrasts: Iterable[NDArray[np.float32]], masks: Iterable[NDArray[np.bool_]]
) -> Iterator[Sprite]:
    for contrast, mask in zip(contrasts, masks, strict=True):
        count, labels, statistics, _ = cv2.connectedComponentsWithStats(
            mask.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S
        )
        for label in range(1, count):
            left, top, width, height, _ = statistics[label]
            rows = slice(top - RIM_PX, top + height + RIM_PX)
            columns = slice(left - RIM_PX, left + width + RIM_PX)
            inside = rows.start >= 0 and columns.start >= 0
            inside &= rows.stop <= mask.shape[0] and columns.stop <= mask.shape[1]
            if inside and set(np.unique(labels[rows, columns])) == {0, label}:
                cut = contrast[rows, columns].astype(np.float32)
                yield Sprite(cut, mask[rows, columns].astype(np.float32))


class Decal(NamedTuple):
    """A particle turned and scaled, with its place in a crop.

    Attributes
    ----------
    place
        Rows and columns of the crop.
    contrast, mask
        As of a sprite, ``(height, width)`` float32.
    opacity
        ``(height, width)`` float32, 1 where the decal hides what is below.
    """

    place: tuple[slice, slice]
    contrast: NDArray[np.float32]
    mask: NDArray[np.float32]
    opacity: NDArray[np.float32]

    def paste(self, crop: NDArray[np.float32]) -> None:
        """Paste the particle onto a crop, which is changed in place."""
        crop[self.place] += self.opacity * (self.contrast - crop[self.place])


def place_decal(
    sprite: Sprite, occupied: NDArray[np.float32], rng: np.random.Generator
) -> Decal | None:
    """Turn and scale a particle at random and choose a place for it.

    Parameters
    ----------
    sprite
        The particle.
    occupied
        ``(height, width)`` of the crop, not 0 where something is already.
    rng
        Source of all randomness.

    Returns
    -------
    Decal or None
        None where it does not fit or would touch what is there.
    """
    angle, scale = rng.uniform(0, 360), float(np.exp(rng.uniform(-0.25, 0.25)))
    contrast, mask = _turned(sprite, angle, scale)
    height, width = mask.shape
    free = (occupied.shape[0] - height, occupied.shape[1] - width)
    if min(free) <= 0:
        return None
    row, column = rng.integers(free[0]), rng.integers(free[1])
    place = np.s_[row : row + height, column : column + width]
    if occupied[place].any():
        return None
    # Fully opaque in the particle and one pixel round it, then fading out.
    opacity = np.asarray(cv2.dilate(mask, np.ones((3, 3), np.uint8)), np.float32)
    opacity = np.maximum(opacity, np.asarray(cv2.GaussianBlur(opacity, (0, 0), 1.5)))
    return Decal(place, contrast, mask, opacity)


def paste_particle(
    crop: NDArray[np.float32],
    target: NDArray[np.float32],
    sprite: Sprite,
    rng: np.random.Generator,
) -> None:
    """Paste a particle at a random place, turned and scaled, where none is yet.

    Parameters
    ----------
    crop
        ``(height, width)``, relative contrast; changed in place.
    target
        ``(height, width)``, 1 in particles; changed in place.
    sprite
        The particle. Where it does not fit or would touch another one, nothing is
        done.
    rng
        Source of all randomness.

    Examples
    --------
    >>> crop, target = np.zeros((64, 64), np.float32), np.zeros((64, 64), np.float32)
    >>> mask = np.pad(np.ones((5, 5), np.float32), RIM_PX)
    >>> paste_particle(crop, target, Sprite(-0.2 * mask, mask), np.random.default_rng(0))
    >>> bool(target.any()), round(float(crop.min()), 1)
    (True, -0.2)
    """
    decal = place_decal(sprite, target, rng)
    if decal is not None:
        decal.paste(crop)
        target[decal.place] = decal.mask


def _turned(sprite: Sprite, angle: float, scale: float) -> Sprite:
    height, width = sprite.mask.shape
    side = int(np.ceil(np.hypot(height, width) * scale)) + 2
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, scale)
    matrix[:, 2] += (side - width) / 2, (side - height) / 2
    contrast = cv2.warpAffine(
        sprite.contrast, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    mask = cv2.warpAffine(sprite.mask, matrix, (side, side), flags=cv2.INTER_LINEAR)
    return Sprite(np.asarray(contrast, np.float32), (np.asarray(mask) >= 0.5).astype(np.float32))
