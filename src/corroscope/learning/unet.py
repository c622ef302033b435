"""Plain U-Net, the control that UNet++ has to beat.

O. Ronneberger, P. Fischer, T. Brox, *U-Net: Convolutional Networks for Biomedical
Image Segmentation*, MICCAI 2015, doi:10.1007/978-3-319-24574-4_28.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class ConvBlock(nn.Sequential):
    """3×3 convolutions at one resolution, each followed by batch norm and ReLU.

    Parameters
    ----------
    in_channels, out_channels
        Number of channels before and after the block.
    convolutions
        How many.
    dilation
        Distance of the nine points of each, in pixels.
    """

    def __init__(
        self, in_channels: int, out_channels: int, convolutions: int = 2, dilation: int = 1
    ) -> None:
        layers: list[nn.Module] = []
        for channels in (in_channels, *(convolutions - 1) * (out_channels,)):
            layers += [
                nn.Conv2d(
                    channels, out_channels, 3, padding=dilation, dilation=dilation, bias=False
                ),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class DilatedContext(nn.Module):
    """Dilated convolutions in a row, each adding what it has seen to what came in.

    At the coarsest level they see far at little cost: whether there is a pit nearby tells a
    satellite of it from a particle.

    Parameters
    ----------
    channels
        Number of channels before and after.
    dilations
        Distance of the nine points of each convolution, in pixels of this level; none leaves
        everything as it is.

    References
    ----------
    F. Yu, V. Koltun, *Multi-Scale Context Aggregation by Dilated Convolutions*, ICLR 2016,
    arXiv:1511.07122. The sum is that of L. Zhou, C. Zhang, M. Wu, *D-LinkNet*, CVPR Workshops
    2018, doi:10.1109/CVPRW.2018.00034.
    """

    def __init__(self, channels: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ConvBlock(channels, channels, 1, d) for d in dilations)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        seen = features
        for block in self.blocks:
            seen = block(seen)
            features = features + seen
        return features


class UpConvolution(nn.ConvTranspose2d):
    """The 2×2 up-convolution of the U-Net: twice the height and width, fewer channels.

    Parameters
    ----------
    coarse, fine
        Number of channels before and after.
    """

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__(coarse, fine, kernel_size=2, stride=2)


class UNet(nn.Module):
    """U-Net with a stride-1 stem: full-resolution features from the first layer on.

    Parameters
    ----------
    in_channels
        Channels of the input.
    widths
        Channels of each level, full resolution first; each further level halves
        the resolution, so height and width must be multiples of
        ``2 ** (len(widths) - 1)``.
    dilations
        As for `DilatedContext`, at the coarsest level.

    Examples
    --------
    >>> import torch
    >>> network = UNet(in_channels=1, widths=(4, 8, 16)).eval()
    >>> [tuple(logits.shape) for logits in network(torch.zeros(1, 1, 16, 24))]
    [(1, 1, 16, 24)]
    """

    def __init__(
        self, in_channels: int, widths: Sequence[int], dilations: Sequence[int] = ()
    ) -> None:
        super().__init__()
        inputs = (in_channels, *widths[:-1])
        self.down = nn.ModuleList(ConvBlock(i, o) for i, o in zip(inputs, widths, strict=True))
        self.context = DilatedContext(widths[-1], dilations)
        self.rising = nn.ModuleList(UpConvolution(c, f) for f, c in itertools.pairwise(widths))
        self.up = nn.ModuleList(ConvBlock(2 * fine, fine) for fine in widths[:-1])
        self.head = nn.Conv2d(widths[0], 1, 1)

    def forward(self, frames: Tensor) -> list[Tensor]:
        """Return a list with one map of logits, ``(batch, 1, height, width)``."""
        features: list[Tensor] = []
        current = frames
        for level, block in enumerate(self.down):
            current = block(current if level == 0 else functional.max_pool2d(current, 2))
            features.append(current)
        current = self.context(current)
        for level in reversed(range(len(self.up))):
            risen = self.rising[level](current)
            current = self.up[level](torch.cat([features[level], risen], dim=1))
        return [self.head(current)]
