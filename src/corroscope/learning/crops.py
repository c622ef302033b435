"""What a network is shown: random crops to learn from, whole patches to be judged on."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from corroscope.frames.contrast import relative_contrast
from corroscope.learning.augment import random_crop
from corroscope.learning.dataset import Patch
from corroscope.learning.networks import geometry
from corroscope.learning.paste import cut_sprites, paste_particle
from corroscope.learning.settings import TrainSettings

CONTRAST_SCALE: Final = 0.1
"""Relative contrast that the network sees as 1: a clear particle is near −1."""


class Crops(Dataset[tuple[Tensor, Tensor]]):
    """Random crops of one epoch; crop ``i`` depends on seed, epoch and ``i`` alone.

    So the crops are the same whether training ran through or was killed and resumed,
    and whichever process draws them.
    """

    def __init__(self, patches: Sequence[Patch], settings: TrainSettings, epoch: int) -> None:
        self._contrasts = contrasts(patches, settings)
        self._masks = [patch.mask for patch in patches]
        self._sprites = cut_sprites(self._contrasts, self._masks)
        # Large particles are rare, and most of what is missed; small ones must not vanish.
        weights = np.sqrt([sprite.mask.sum() for sprite in self._sprites])
        self._weights = weights / weights.sum() if self._sprites else weights
        self._settings = settings
        self.epoch = epoch

    def __len__(self) -> int:
        return self._settings.steps_per_epoch * self._settings.batch_size

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        settings = self._settings
        rng = np.random.default_rng([settings.seed, self.epoch, index])
        pick = int(rng.integers(len(self._masks)))
        crop, target = random_crop(
            self._contrasts[pick], self._masks[pick], settings.crop_px, settings.augmentation, rng
        )
        if self._sprites:
            for _ in range(rng.poisson(settings.augmentation.pasted)):
                sprite = self._sprites[rng.choice(len(self._sprites), p=self._weights)]
                paste_particle(crop, target, sprite, rng)
        return torch.from_numpy(crop)[None] / CONTRAST_SCALE, torch.from_numpy(target)[None]


class WholePatches(Dataset[tuple[Tensor, Tensor]]):
    """Patches whole and unaugmented, mirrored up to the network's stride."""

    def __init__(self, patches: Sequence[Patch], settings: TrainSettings) -> None:
        self._contrasts = contrasts(patches, settings)
        self._masks = [patch.mask for patch in patches]
        self._stride = geometry(settings).stride_px

    def __len__(self) -> int:
        return len(self._masks)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        contrast = self._contrasts[index]
        surplus = [(0, -length % self._stride) for length in contrast.shape]
        padded = np.pad(contrast, surplus, mode="symmetric") / np.float32(CONTRAST_SCALE)
        return torch.from_numpy(padded)[None], torch.from_numpy(self._masks[index])[None]


def contrasts(patches: Sequence[Patch], settings: TrainSettings) -> list[NDArray[np.float32]]:
    """Relative contrast of each patch.

    Parameters
    ----------
    patches
        The patches.
    settings
        For the width of the background.

    Returns
    -------
    list of ndarray of float32
        In the same order.
    """
    return [relative_contrast(patch.frame, settings.background_sigma_px) for patch in patches]
