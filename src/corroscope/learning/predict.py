"""What a network says of whole patches, before it is a bundle."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from corroscope.learning.crops import WholePatches
from corroscope.learning.dataset import Patch
from corroscope.learning.settings import TrainSettings


def predict(
    network: nn.Module, patches: Sequence[Patch], settings: TrainSettings
) -> list[NDArray[np.float32]]:
    """Probability of a particle in every pixel of patches, each shown alone.

    Parameters
    ----------
    network
        In evaluation mode, on the CPU.
    patches
        The patches.
    settings
        What the network was built with.

    Returns
    -------
    list of ndarray of float32
        ``(height, width)`` for each patch.

    Examples
    --------
    >>> from corroscope.learning.networks import build_network
    >>> settings = TrainSettings(widths=(4, 8))
    >>> patch = Patch("a.png", np.full((40, 50), 200, np.uint8), np.zeros((40, 50), bool))
    >>> predict(build_network(settings).eval(), [patch], settings)[0].shape
    (40, 50)
    """
    shown = WholePatches(patches, settings)
    found = []
    with torch.no_grad():
        for number, patch in enumerate(patches):
            height, width = patch.shape
            logits = network(shown[number][0][None])[-1][0, 0, :height, :width]
            found.append(torch.sigmoid(logits.float()).numpy())
    return found
