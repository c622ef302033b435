"""What a network is shown: random crops to learn from, whole patches to be judged on."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from corroscope.frames.contrast import relative_contrast
from corroscope.learning.augment import change_light, random_pose
from corroscope.learning.dataset import Patch
from corroscope.learning.networks import geometry
from corroscope.learning.pairs import Paired, crop_pair, surface_pairs, synthetic_pairs
from corroscope.learning.paste import RIM_PX, Sprite, cut_sprites, paste_particle
from corroscope.learning.pseudo import IGNORED, Pair, pseudo_pair
from corroscope.learning.recent import Recent
from corroscope.learning.settings import TrainSettings
from corroscope.learning.specks import dark_specks
from corroscope.segmentation.inputs import network_input

CONTRAST_SCALE: Final = 0.1
"""Relative contrast that the network sees as 1: a clear particle is near −1."""

_WHICH_SPRITES: Final = 5
"""Tells the draw of which particles are pasted from other draws of one seed."""

_WHICH_SPECKS: Final = 6
"""The same for specks."""

_MOST_COMPANY: Final = 2.5
"""How many times the mean number of particles are pasted at most, where they are in proportion."""


class Crops(Dataset[tuple[Tensor, Tensor]]):
    """Random crops of one epoch; crop ``i`` depends on seed, epoch and ``i`` alone.

    So the crops are the same whether training ran through or was killed and resumed,
    and whichever process draws them. The target is 1 in particles, 0 elsewhere and `IGNORED`
    where nothing is to be learnt; no particle is pasted there, and none is taken from there. With
    `TrainSettings.soft_rim_px` it rises from 0 to 1 over the rim of a particle, since nobody can
    tell to the pixel where one ends.

    Pairs of synthetic runs are made anew unless ``synthetic`` has those of these settings.
    """

    def __init__(
        self,
        patches: Sequence[Patch],
        settings: TrainSettings,
        epoch: int,
        synthetic: Sequence[Paired] | None = None,
    ) -> None:
        self._patches = patches
        self._contrasts = contrasts(patches, settings)
        self._sprites = cut_sprites(
            self._contrasts,
            map(_far_from_ignored, patches),
            np.random.default_rng([settings.seed, _WHICH_SPRITES]),
        )
        # Large particles are rare, and most of what is missed; small ones must not vanish.
        weights = np.sqrt([sprite.mask.sum() for sprite in self._sprites])
        self._weights = weights / weights.sum() if self._sprites else weights
        self._company = np.ones(len(patches))
        if settings.augmentation.in_company:
            self._company = _company(patches)
        self._specks: list[Sprite] = []
        if settings.augmentation.specks > 0:
            specks = (
                dark_specks(
                    contrast, patch.mask if patch.ignored is None else patch.mask | patch.ignored
                )
                for contrast, patch in zip(self._contrasts, patches, strict=True)
            )
            rng = np.random.default_rng([settings.seed, _WHICH_SPECKS])
            self._specks = cut_sprites(self._contrasts, specks, rng)
        self._settings = settings
        self.epoch = epoch
        pairing, sigma = settings.pairing, settings.background_sigma_px
        compares = settings.channels > 1
        self._twice: Sequence[Paired] = []
        if compares and pairing.paired > 0:
            self._twice = surface_pairs(patches, sigma)
        self._synthetic: Sequence[Paired] = []
        if compares and pairing.synthetic > 0:
            self._synthetic = (
                synthetic_pairs(pairing.runs, sigma, settings.seed)
                if synthetic is None
                else synthetic
            )

    def __len__(self) -> int:
        return self._settings.steps_per_epoch * self._settings.batch_size

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        settings = self._settings
        rng = np.random.default_rng([settings.seed, self.epoch, index])
        pairing = settings.pairing
        which = rng.random() if settings.channels > 1 else 0.0
        shares = np.cumsum([pairing.alone, pairing.synthetic, pairing.paired])
        if which < shares[0]:
            pick = int(rng.integers(len(self._patches)))
            crop, target = self._annotated_crop(pick, rng)
            pasted = settings.augmentation.pasted * self._company[pick]
            for _ in range(rng.poisson(pasted) if self._sprites else 0):
                paste_particle(crop, target, self._draw_sprite(rng), rng)
            for _ in range(rng.poisson(settings.augmentation.specks) if self._specks else 0):
                speck = self._specks[rng.integers(len(self._specks))]
                paste_particle(crop, target.copy(), speck, rng)  # a copy: it is marked nowhere
            return self._shown(crop, None, target)
        if which < shares[1] and self._synthetic:
            pair = crop_pair(
                self._synthetic[int(rng.integers(len(self._synthetic)))], settings, rng
            )
            if rng.random() < pairing.first_unseen:
                return self._shown(pair.contrast, None, pair.target)
        elif shares[1] <= which < shares[2] and self._twice:
            pair = crop_pair(self._twice[int(rng.integers(len(self._twice)))], settings, rng)
        else:
            pair = self._pseudo_pair(rng)
        return self._shown(*pair)

    def _annotated_crop(
        self, pick: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        settings = self._settings
        contrast, mask = self._contrasts[pick], self._patches[pick].mask
        pose = random_pose(mask, settings.crop_px, settings.augmentation, rng)
        crop = change_light(pose.cut(contrast), settings.augmentation, rng)
        target = pose.cut_mask(mask).astype(np.float32)
        ignored = self._patches[pick].ignored
        if ignored is not None:
            target[pose.cut_mask(ignored)] = IGNORED
        return crop, target

    def _pseudo_pair(self, rng: np.random.Generator) -> Pair:
        settings = self._settings
        crop, target = self._annotated_crop(int(rng.integers(len(self._patches))), rng)
        draw = (lambda: self._draw_sprite(rng)) if self._sprites else None
        return pseudo_pair(crop, target, draw, settings.pairing, settings.augmentation.pasted, rng)

    def _draw_sprite(self, rng: np.random.Generator) -> Sprite:
        return self._sprites[rng.choice(len(self._sprites), p=self._weights)]

    def _shown(
        self,
        crop: NDArray[np.float32],
        reference: NDArray[np.float32] | None,
        target: NDArray[np.float32],
    ) -> tuple[Tensor, Tensor]:
        planes = network_input(crop, reference, CONTRAST_SCALE, self._settings.channels)
        target = soften(target, self._settings.soft_rim_px)
        return torch.from_numpy(planes), torch.from_numpy(target)[None]


class WholePatches(Dataset[tuple[Tensor, Tensor]]):
    """Patches whole, alone and unaugmented, mirrored up to the network's stride.

    The second of each is 1 in particles, 0 elsewhere and −1 where nothing is scored.
    """

    def __init__(self, patches: Sequence[Patch], settings: TrainSettings) -> None:
        self._patches = patches
        self._contrasts = contrasts(patches, settings)
        self._stride = geometry(settings).stride_px
        self._channels = settings.channels

    def __len__(self) -> int:
        return len(self._patches)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        contrast, patch = self._contrasts[index], self._patches[index]
        mask = patch.mask.astype(np.int8)
        if patch.ignored is not None:
            mask[patch.ignored] = -1
        surplus = [(0, -length % self._stride) for length in contrast.shape]
        padded = np.pad(contrast, surplus, mode="symmetric")
        planes = network_input(padded, None, CONTRAST_SCALE, self._channels)
        return torch.from_numpy(planes), torch.from_numpy(mask)[None]


def contrasts(patches: Sequence[Patch], settings: TrainSettings) -> Recent[NDArray[np.float32]]:
    """Relative contrast of each patch, computed when it is asked for.

    Parameters
    ----------
    patches
        The patches.
    settings
        For the width of the background.

    Returns
    -------
    Recent of ndarray of float32
        In the same order.
    """
    return Recent(len(patches), partial(_contrast, patches, settings.background_sigma_px))


def soften(target: NDArray[np.float32], sd_px: float) -> NDArray[np.float32]:
    """Let a target rise over the rims of particles; what is ignored stays so.

    Parameters
    ----------
    target
        ``(height, width)``, 1 in particles, 0 elsewhere, `IGNORED` where nothing is known.
    sd_px
        SD of the blur, in px; 0 for none.

    Returns
    -------
    ndarray of float32
        ``(height, width)``.

    Examples
    --------
    >>> target = np.zeros((5, 7), np.float32)
    >>> target[:, 3:] = 1
    >>> print(soften(target, 0.6)[2].round(2))
    [0.   0.   0.17 0.83 1.   1.   1.  ]
    """
    if sd_px == 0:
        return target
    unknown = target < 0
    blurred = cv2.GaussianBlur(np.where(unknown, 0, target), (0, 0), sd_px)
    return np.where(unknown, np.float32(IGNORED), blurred)


def _contrast(
    patches: Sequence[Patch], background_sigma_px: float, number: int
) -> NDArray[np.float32]:
    return relative_contrast(patches[number].frame, background_sigma_px)


def _company(patches: Sequence[Patch]) -> NDArray[np.float64]:
    """Particles for each pixel of a patch over those of all, up to a bound.

    Where there are few, a dark speck is more likely an old one. Particles pasted whatever there is
    would teach that this tells nothing.
    """
    numbers = np.array([_particles(patch) for patch in patches], np.float64)
    areas = np.array(
        [
            patch.mask.size - (0 if patch.ignored is None else patch.ignored.sum())
            for patch in patches
        ]
    )
    usual = max(numbers.sum(), 1) / max(areas.sum(), 1)
    return np.asarray(np.minimum(numbers / np.maximum(areas, 1) / usual, _MOST_COMPANY))


def _particles(patch: Patch) -> int:
    return int(cv2.connectedComponents(patch.mask.astype(np.uint8), connectivity=8)[0]) - 1


def _far_from_ignored(patch: Patch) -> NDArray[np.bool_]:
    """A patch's particles but for those that what is ignored cuts, or whose rim it reaches."""
    if patch.ignored is None:
        return patch.mask
    near = cv2.dilate(patch.ignored.astype(np.uint8), np.ones((2 * RIM_PX + 1,) * 2, np.uint8)) > 0
    _, labels = cv2.connectedComponents(patch.mask.astype(np.uint8), connectivity=8)
    return patch.mask & ~np.isin(labels, np.unique(labels[near]))
