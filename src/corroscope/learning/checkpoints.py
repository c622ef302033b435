"""Checkpoints of a training: written whole, read with words."""

import io
from pathlib import Path
from typing import Any, Final

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import nn

from corroscope.errors import SettingsError
from corroscope.outputs import replacing

LAST: Final = "last"
BEST: Final = "best"


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are written whole or not at all, on any file system."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; there are no options for local files."""
        del storage_options
        content = io.BytesIO()  # torch has an exception of its own for a full disk
        torch.save(checkpoint, content)
        with replacing(path) as temporary:
            temporary.write_bytes(content.getvalue())

    def load_checkpoint(self, path: str | Path, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Read a checkpoint."""
        try:
            checkpoint: dict[str, Any] = super().load_checkpoint(path, *arguments, **options)
        except Exception as error:  # what is broken decides which exception it is
            raise SettingsError(
                f"{path}: checkpoint cannot be read; start the training anew"
            ) from error
        return checkpoint


def start_from(network: nn.Module, folder: Path) -> None:
    """Give a network the weights that an earlier fit ended with.

    Parameters
    ----------
    network
        Changed in place.
    folder
        Folder of the earlier fit.

    Raises
    ------
    SettingsError
        If there are none, or they are those of another network.
    """
    path = folder / f"{BEST}.ckpt"
    if not path.is_file():
        raise SettingsError(f"{folder}: no trained weights to start from; give a run's own folder")
    prefix = "network."
    weights = {
        name.removeprefix(prefix): values
        for name, values in read_checkpoint(path).get("state_dict", {}).items()
        if name.startswith(prefix)
    }
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise SettingsError(
            f"{path}: weights of another network; train with its architecture, widths and dilations"
        ) from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what a training has left.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        As Lightning writes it, on the CPU.

    Raises
    ------
    SettingsError
        If it cannot be read.
    """
    return WholeCheckpoints().load_checkpoint(
        path, map_location=lambda storage, _: storage, weights_only=True
    )
