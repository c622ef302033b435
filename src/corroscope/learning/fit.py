"""Fitting a network to patches: Lightning trains, this says on what and how it is judged."""

import contextlib
import logging
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import lightning
import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from corroscope.errors import SettingsError
from corroscope.learning.checkpoints import (
    BEST,
    LAST,
    WholeCheckpoints,
    read_checkpoint,
    start_from,
)
from corroscope.learning.crops import Crops, WholePatches
from corroscope.learning.dataset import Patch
from corroscope.learning.losses import LossWeights, deep_supervision_loss
from corroscope.learning.networks import build_network
from corroscope.learning.pairs import Paired
from corroscope.learning.progress import Progress, is_drawn, plain, prediction, write_epochs
from corroscope.learning.settings import TrainSettings
from corroscope.outputs import output_folder, replacing
from corroscope.report.examples import Example, draw_examples
from corroscope.scoring.counts import Counts, count
from corroscope.scoring.scores import scores

FINISHED: Final = "finished"

_WATCHED: Final = 4
"""Validation patches whose predictions are drawn as the network learns."""


class Fitting(lightning.LightningModule):
    """A network with its loss, its optimiser and its validation."""

    def __init__(
        self,
        training: Sequence[Patch],
        validation: Sequence[Patch],
        settings: TrainSettings,
        folder: Path,
        synthetic: Sequence[Paired] | None = None,
        progress: Callable[[Progress], object] | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.folder = folder
        self.network = build_network(settings).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.history: list[dict[str, float]] = []
        self._crops = Crops(training, settings, epoch=0, synthetic=synthetic)
        self._patches = WholePatches(validation, settings)
        self._counts = Counts()
        most = sorted(range(len(validation)), key=lambda i: -int(validation[i].mask.sum()))
        self._watched = {i: validation[i] for i in most[:_WATCHED]}
        self._examples: list[Example] = []
        self._begun: tuple[int, float] | None = None
        self._progress = progress

    def on_train_start(self) -> None:
        """Look at the clock, for the time that an epoch takes, and log the settings, once."""
        self._begun = self.current_epoch, time.monotonic()
        if self.current_epoch == 0 and isinstance(self.logger, TensorBoardLogger):
            text = self.settings.model_dump_json(indent=4).replace("\n", "\n    ")
            self.logger.experiment.add_text("settings", f"    {text}")  # as code, in Markdown
        self._tell(None)

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
            optimizer, s.learning_rate, total_steps=steps, pct_start=_rising_share(steps)
        )
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def forward(self, frames: Tensor) -> list[Tensor]:
        """Logits of every head."""
        heads: list[Tensor] = self.network(frames.contiguous(memory_format=torch.channels_last))
        return heads

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Loss of one batch of crops."""
        crops, targets = batch
        s = self.settings
        weights = LossWeights(s.dice_weight, s.missed_weight, s.focal_gamma, s.balance)
        loss = deep_supervision_loss(self(crops), targets, weights)
        self.log("loss", loss, on_step=False, on_epoch=True, prog_bar=True, sync_dist=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], number: int) -> None:
        """Count what one whole patch has right and wrong."""
        frames, masks = batch
        mask = masks[0, 0].cpu().numpy()
        height, width = mask.shape
        found = (self(frames)[-1][0, 0, :height, :width] >= 0).cpu().numpy()
        self._counts += count(found, mask > 0, mask < 0)
        # Several devices take the patches in turn.
        patch = self._watched.get(number * self.trainer.world_size + self.global_rank)
        if patch is not None and is_drawn(self.current_epoch + 1, self.settings.epochs):
            self._examples.append(Example(patch.name, patch.frame, patch.mask, found))

    def on_validation_epoch_end(self) -> None:
        """Pool the counts: a mean of patches' scores would depend on how they were cut."""
        # Whole numbers beyond 2**24 are not exact in 32 bits; Apple's devices have no 64.
        where = "cpu" if self.device.type == "mps" else self.device
        counts = torch.tensor(astuple(self._counts), dtype=torch.float64, device=where)
        gathered = self.all_gather(counts)  # from all devices
        assert isinstance(gathered, Tensor)
        pooled = scores(Counts(*gathered.reshape(-1, counts.numel()).sum(dim=0).tolist()))
        self._counts = Counts()
        for name in ("dice", "particle_f1_iou30"):
            # No particle found and none there is 0/0; the checkpoint needs a number.
            value = float(np.nan_to_num(pooled[name]))
            self.log(name, value, prog_bar=True, rank_zero_only=False)
        if self._examples and self.trainer.is_global_zero:
            picture = prediction(self.folder, self.current_epoch + 1)
            output_folder(picture.parent)
            draw_examples(self._examples, picture)
        self._examples = []

    def on_train_epoch_end(self) -> None:
        """Keep the epoch's figures for the curves, and let others see them."""
        figures = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        self.history.append({"epoch": self.current_epoch, "learning_rate": rate, **figures})
        if self.logger is not None:  # beside the others, at the same step
            self.logger.log_metrics({"learning_rate": rate}, self.trainer.global_step - 1)
        if self.trainer.is_global_zero:
            assert self._begun is not None
            first, begun_s = self._begun
            epoch_s = (time.monotonic() - begun_s) / (self.current_epoch + 1 - first)
            write_epochs(self.folder, self.history, epoch_s)
            self._tell(epoch_s)

    def _tell(self, epoch_s: float | None) -> None:
        if self._progress is not None and self.trainer.is_global_zero:
            self._progress(Progress(plain(self.history), self.settings.epochs, epoch_s))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the curves across a kill."""
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the curves."""
        self.history = checkpoint["history"]


def fit(
    training: Sequence[Patch],
    validation: Sequence[Patch],
    settings: TrainSettings,
    folder: Path,
    *,
    start: Path | None = None,
    synthetic: Sequence[Paired] | None = None,
    accelerator: str = "auto",
    devices: int | str = 1,
    progress: Callable[[Progress], object] | None = None,
) -> tuple[nn.Module, list[dict[str, float]]]:
    """Train a network, or go on where a killed training stopped.

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
        For checkpoints, the TensorBoard log, the figures of each epoch and some pictures of
        predictions. If it holds a checkpoint of the same training, that is continued, to the
        same end as without the interruption.
    start
        Folder of an earlier fit, whose weights to start from; random ones by default.
    synthetic
        As for `corroscope.learning.crops.Crops`: several fits can share them.
    accelerator, devices
        As Lightning's Trainer understands them.
    progress
        Called when the training begins and after each epoch. With several devices it is called
        in another process, so it must be one that can be sent there (no lambda).

    Returns
    -------
    network : torch.nn.Module
        With the averaged weights of the best epoch, in evaluation mode, on the CPU.
    history : list of dict
        Figures of each epoch.

    Raises
    ------
    SettingsError
        If there is no such accelerator or number of devices, a checkpoint cannot be
        read, or the weights to start from are those of another network.
    OutputError
        If the folder or a checkpoint cannot be written.
    """
    output_folder(folder)
    if (folder / FINISHED).exists():
        return _finished(settings, folder)
    torch.manual_seed(settings.seed)
    fitting = Fitting(training, validation, settings, folder, synthetic, progress)
    if start is not None:
        start_from(fitting.network, start)
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
    with _tamed():
        trainer = _trainer(
            accelerator,
            devices,
            plugins=[WholeCheckpoints()],
            max_epochs=settings.epochs,
            reload_dataloaders_every_n_epochs=1,
            logger=TensorBoardLogger(folder, name="tensorboard", version=""),
            callbacks=callbacks,
            log_every_n_steps=settings.steps_per_epoch,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            limit_val_batches=1.0 if validation else 0,
        )
        checkpoint = resumed if resumed.exists() else None
        trainer.fit(fitting, ckpt_path=checkpoint, weights_only=True)
        # A training that stopped early would go on if it were resumed.
        with replacing(folder / FINISHED) as marker:
            marker.write_text(f"{trainer.current_epoch} epochs\n")
    # From files and not from memory: with several devices, others have trained.
    return _finished(settings, folder)


def _finished(settings: TrainSettings, folder: Path) -> tuple[nn.Module, list[dict[str, float]]]:
    """What a training that has ended left in its folder."""
    network = build_network(settings)
    start_from(network, folder)
    history: list[dict[str, float]] = read_checkpoint(folder / f"{LAST}.ckpt")["history"]
    return network.eval(), history


def _moving_average(average: Tensor, current: Tensor, _: Tensor | int, decay: float) -> Tensor:
    # Lightning's own callback for this holds a closure, which cannot be sent to the
    # processes of further devices.
    return decay * average + (1 - decay) * current


def check_machine(accelerator: str, devices: int | str) -> None:
    """See whether a training could start, before anything is written.

    Parameters
    ----------
    accelerator, devices
        As for `fit`.

    Raises
    ------
    SettingsError
        If there is no such accelerator or number of devices.

    Examples
    --------
    >>> check_machine("cpu", 1)
    """
    with _tamed():
        _trainer(accelerator, devices, logger=False, enable_checkpointing=False)


def _trainer(accelerator: str, devices: int | str, **options: Any) -> lightning.Trainer:
    try:
        return lightning.Trainer(
            accelerator=accelerator,
            devices=devices,
            # Spawned, since other processes would go through all of this command again.
            strategy="auto" if devices in (1, "1") else "ddp_spawn",
            precision=precision_of(accelerator),
            deterministic="warn",
            **options,
        )
    except (MisconfigurationException, ImportError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SettingsError(
            f"accelerator {accelerator!r} with devices {devices!r} cannot be used here ({reason}); "
            "try --accelerator cpu --devices 1"
        ) from error


def _rising_share(steps: int) -> float:
    """Share of the steps in which the learning rate rises; never a single step."""
    return min(0.9, max(0.1, 1.5 / steps))


@contextlib.contextmanager
def _tamed() -> Iterator[None]:
    """Undo what Lightning does to the whole process, and keep what it announces to itself."""
    announcements = logging.getLogger("lightning.pytorch")
    level = announcements.level
    announcements.setLevel(logging.WARNING)
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        with warnings.catch_warnings():
            # Crops are drawn in the training process on purpose: they cost a millisecond.
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
            # Between Lightning 2.6 and this torch; nothing that we could change.
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
            # Asked for another accelerator than the best there is: the user knows.
            warnings.filterwarnings("ignore", message=".*available but not used.*")
            yield
    except SystemExit as error:
        # What it makes of Ctrl-C.
        raise KeyboardInterrupt from error
    finally:
        announcements.setLevel(level)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        if interrupt is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, interrupt)


def precision_of(accelerator: str) -> Literal["bf16-mixed", "16-mixed", "32-true"]:
    """Mixed precision where the machine has units for it; elsewhere it is slower, not faster.

    Parameters
    ----------
    accelerator
        As Lightning names it: ``"auto"``, ``"cpu"``, ``"gpu"`` or ``"cuda"``.

    Returns
    -------
    str
        As Lightning names it: ``"bf16-mixed"``, ``"16-mixed"`` or ``"32-true"``.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    capabilities = torch.cpu.get_capabilities()
    has_bf16 = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return "bf16-mixed" if has_bf16 else "32-true"
