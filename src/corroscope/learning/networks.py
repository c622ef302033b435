"""From settings to a network: our own, or one of segmentation-models-pytorch."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from corroscope.errors import MissingExtraError, SettingsError
from corroscope.learning.settings import TrainSettings
from corroscope.learning.unet import UNet
from corroscope.learning.unetpp import UNetPlusPlus


class Geometry(NamedTuple):
    """What tiling must know of a network.

    Attributes
    ----------
    stride_px
        Height and width of the input must be multiples of it.
    receptive_field_px
        How far an output pixel sees; None where it sees the whole input.
    """

    stride_px: int
    receptive_field_px: int | None


class _OneHead(nn.Module):
    """A network with one output, in the form of ours."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> list[Tensor]:
        return [self.network(frames)]


def build_network(settings: TrainSettings) -> nn.Module:
    """Build an untrained network whose first guess is the expected particle fraction.

    Parameters
    ----------
    settings
        Architecture, widths, encoder and expected foreground.

    Returns
    -------
    torch.nn.Module
        From ``(batch, channels, height, width)`` to a list of logits of
        ``(batch, 1, height, width)``, the prediction last. Weights are random, from
        torch's global generator.

    Raises
    ------
    SettingsError
        If segmentation-models-pytorch has no such architecture or encoder.
    MissingExtraError
        If it is asked for and not installed.

    Examples
    --------
    >>> network = build_network(TrainSettings(widths=(4, 8))).eval()
    >>> logits = network(torch.zeros(1, 3, 16, 16))[-1]
    >>> bool(abs(torch.sigmoid(logits).mean() - 0.006) < 0.01)
    True
    """
    network: nn.Module
    if settings.architecture == "unetpp":
        network = UNetPlusPlus(settings.channels, settings.widths, settings.dilations)
        heads: list[nn.Module] = list(network.heads)
    elif settings.architecture == "unet":
        network = UNet(settings.channels, settings.widths, settings.dilations)
        heads = [network.head]
    else:
        network = _OneHead(_from_smp(settings))
        convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
        heads = [*convolutions[-1:]]
    # Without this the first hundred steps only learn that particles are rare.
    bias = math.log(settings.foreground / (1 - settings.foreground))
    for head in heads:
        if not (isinstance(head, nn.Conv2d) and head.out_channels == 1 and head.bias is not None):
            raise SettingsError(
                f"architecture {settings.architecture}: does not end with a convolution whose bias "
                "can be set; choose another"
            )
        nn.init.constant_(head.bias, bias)
    return network


def geometry(settings: TrainSettings) -> Geometry:
    """Pooling stride and receptive field of a network.

    Parameters
    ----------
    settings
        Architecture and widths.

    Returns
    -------
    Geometry
        Of segmentation-models-pytorch's networks the receptive field is taken as
        unbounded: many of their encoders average over the whole input.

    Examples
    --------
    >>> geometry(TrainSettings(widths=(4, 8), dilations=()))
    Geometry(stride_px=2, receptive_field_px=8)
    """
    if settings.architecture.startswith("smp:"):
        return Geometry(32, None)
    stride = 2 ** (len(settings.widths) - 1)
    return Geometry(stride, _measured_receptive_field(settings, stride))


def _measured_receptive_field(settings: TrainSettings, stride: int) -> int:
    """Farthest pixel that any position within the pooling grid can influence.

    Weights, all positive, and an input of a single bright pixel on black: whatever
    lights up in the output has seen it. One pixel is tried for each place that it
    can have on the pooling grid. Only the depth counts, so narrow levels do.
    """
    narrow = settings.model_copy(update={"widths": (1,) * len(settings.widths)})
    network = build_network(narrow).double().eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.constant_(module.weight, 1.0)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    middle = (16 + sum(settings.dilations)) * stride
    farthest = 0
    with torch.no_grad():
        # Along one axis suffices: the networks treat rows and columns alike.
        for phase in range(stride):
            frame = torch.zeros(1, settings.channels, stride, 2 * middle, dtype=torch.float64)
            frame[..., middle + phase] = 1.0
            lit = torch.nonzero(network(frame)[-1][0, 0, 0])[:, 0]
            farthest = max(farthest, int((lit - middle - phase).abs().max()))
    return farthest


def _from_smp(settings: TrainSettings) -> nn.Module:
    try:
        import segmentation_models_pytorch as smp
    except ImportError as error:
        raise MissingExtraError(
            f"architecture {settings.architecture} needs segmentation-models-pytorch "
            f"({error}); pip install 'corroscope[smp]'"
        ) from error
    name = settings.architecture.removeprefix("smp:")
    options: dict[str, Any] = {
        "encoder_weights": None,
        "in_channels": settings.channels,
        "classes": 1,
    }
    try:
        network: nn.Module = smp.create_model(name, settings.encoder, **options)
    except (KeyError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise SettingsError(
            f"architecture {settings.architecture} with encoder {settings.encoder}: {reason}; "
            "choose another"
        ) from error
    return network
