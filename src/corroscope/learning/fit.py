"""Fitting a network to patches: Lightning trains, this says on what and how it is judged."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any, Final

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from corroscope.frames.contrast import relative_contrast
from corroscope.learning.augment import random_crop
from corroscope.learning.dataset import Patch
from corroscope.learning.losses import deep_supervision_loss
from corroscope.learning.networks import build_network, geometry
from corroscope.learning.paste import cut_sprites, paste_particle
from corroscope.learning.settings import TrainSettings
from corroscope.scoring.counts import Counts, count
from corroscope.scoring.scores import scores

CONTRAST_SCALE: Final = 0.1
"""Relative contrast that the network sees as 1: a clear particle is near −1."""

LAST: Final = "last"
BEST: Final = "best"


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


class Fitting(lightning.LightningModule):
    """A network with its loss, its optimiser and its validation."""

    def __init__(
        self, training: Sequence[Patch], validation: Sequence[Patch], settings: TrainSettings
    ) -> None:
        super().__init__()
        self.settings = settings
        self.network = build_network(settings).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.history: list[dict[str, float]] = []
        self._crops = Crops(training, settings, epoch=0)
        self._patches = WholePatches(validation, settings)
        self._counts = Counts()

    def train_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """Crops of the coming epoch."""
        self._crops.epoch = self.current_epoch
        return DataLoader(self._crops, batch_size=self.settings.batch_size)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """Whole patches, one at a time since they may differ in size."""
        return DataLoader(self._patches, batch_size=1)

    def configure_optimizers(self) -> Any:
        """AdamW, and one cycle of the learning rate over the whole training."""
        s = self.settings
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=s.learning_rate, weight_decay=s.weight_decay
        )
        # Not epochs times steps: several devices share the steps of an epoch.
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, s.learning_rate, total_steps=steps, pct_start=0.1
        )
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def forward(self, frames: Tensor) -> list[Tensor]:
        """Logits of every head."""
        heads: list[Tensor] = self.network(frames.contiguous(memory_format=torch.channels_last))
        return heads

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Loss of one batch of crops."""
        crops, targets = batch
        loss = deep_supervision_loss(self(crops), targets, self.settings.dice_weight)
        self.log("loss", loss, on_step=False, on_epoch=True, prog_bar=True, sync_dist=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """Count what one whole patch has right and wrong."""
        frames, masks = batch
        mask = masks[0, 0].cpu().numpy()
        height, width = mask.shape
        logits = self(frames)[-1][0, 0, :height, :width]
        self._counts += count((logits >= 0).cpu().numpy(), mask)

    def on_validation_epoch_end(self) -> None:
        """Pool the counts: a mean of patches' scores would depend on how they were cut."""
        counts = torch.tensor(astuple(self._counts), device=self.device)
        gathered = self.all_gather(counts)  # from all devices
        assert isinstance(gathered, Tensor)
        pooled = scores(Counts(*gathered.reshape(-1, counts.numel()).sum(dim=0).tolist()))
        self._counts = Counts()
        for name in ("dice", "particle_f1_iou30"):
            # No particle found and none there is 0/0; the checkpoint needs a number.
            value = float(np.nan_to_num(pooled[name]))
            self.log(name, value, prog_bar=True, rank_zero_only=False)

    def on_train_epoch_end(self) -> None:
        """Keep the epoch's figures for the curves."""
        figures = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        self.history.append({"epoch": self.current_epoch, "learning_rate": rate, **figures})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the curves across a kill."""
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the curves."""
        self.history = checkpoint["history"]


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


def fit(
    training: Sequence[Patch],
    validation: Sequence[Patch],
    settings: TrainSettings,
    folder: Path,
    *,
    accelerator: str = "auto",
    devices: int | str = "auto",
    progress: bool = False,
) -> tuple[nn.Module, list[dict[str, float]]]:
    """Train a network from random weights, or go on where a killed training stopped.

    Parameters
    ----------
    training
        Patches to learn from.
    validation
        Patches that choose the best checkpoint and end the training early; without
        any, the last weights after all epochs are taken.
    settings
        Every setting.
    folder
        For checkpoints and the TensorBoard log. If it holds a checkpoint of the same
        training, that is continued, to the same end as without the interruption.
    accelerator, devices
        As Lightning's Trainer understands them.
    progress
        Show a bar.

    Returns
    -------
    network : torch.nn.Module
        With the averaged weights of the best epoch, in evaluation mode, on the CPU.
    history : list of dict
        Figures of each epoch.
    """
    torch.manual_seed(settings.seed)
    fitting = Fitting(training, validation, settings)
    best = ModelCheckpoint(
        folder,
        filename=BEST,
        monitor="dice" if validation else None,
        mode="max",
        enable_version_counter=False,
    )
    last = ModelCheckpoint(folder, filename=LAST, enable_version_counter=False)
    averaging = WeightAveraging(avg_fn=partial(_moving_average, decay=settings.ema_decay))
    callbacks: list[lightning.Callback] = [averaging, best, last]
    if validation:
        callbacks.append(EarlyStopping("dice", mode="max", patience=settings.patience))
    resumed = folder / f"{LAST}.ckpt"
    with _quiet():
        trainer = lightning.Trainer(
            accelerator=accelerator,
            devices=devices,
            # Spawned, since other processes would go through all of this command again.
            strategy="ddp_spawn" if devices not in (1, "1", "auto") else "auto",
            precision=_precision(),
            max_epochs=settings.epochs,
            reload_dataloaders_every_n_epochs=1,
            logger=TensorBoardLogger(folder, name="tensorboard", version=""),
            callbacks=callbacks,
            log_every_n_steps=settings.steps_per_epoch,
            enable_progress_bar=progress,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            limit_val_batches=1.0 if validation else 0,
            deterministic=True,
        )
        trainer.fit(fitting, ckpt_path=resumed if resumed.exists() else None, weights_only=True)
    # From files and not from memory: with several devices, others have trained.
    chosen, latest = (
        torch.load(folder / f"{name}.ckpt", map_location="cpu", weights_only=True)
        for name in (BEST, LAST)
    )
    fitting.load_state_dict(chosen["state_dict"])
    history: list[dict[str, float]] = latest["history"]
    return fitting.network.cpu().eval(), history


def _moving_average(average: Tensor, current: Tensor, _: Tensor | int, decay: float) -> Tensor:
    # Lightning's own callback for this holds a closure, which cannot be sent to the
    # processes of further devices.
    return decay * average + (1 - decay) * current


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's announcements, and what it warns of that is meant, to itself."""
    announcements = logging.getLogger("lightning.pytorch")
    level = announcements.level
    announcements.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Crops are drawn in the training process on purpose: they cost a millisecond.
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
            # Between Lightning 2.6 and this torch; nothing that we could change.
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
            yield
    finally:
        announcements.setLevel(level)


def _precision() -> Any:
    """Mixed precision where the machine has units for it; elsewhere it is slower, not faster."""
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    capabilities = torch.cpu.get_capabilities()
    has_bf16 = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return "bf16-mixed" if has_bf16 else "32-true"
