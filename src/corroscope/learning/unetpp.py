"""UNet++ from scratch: nested skips and deep supervision.

Z. Zhou, M. M. R. Siddiquee, N. Tajbakhsh, J. Liang, *UNet++: A Nested U-Net
Architecture for Medical Image Segmentation*, DLMIA 2018,
doi:10.1007/978-3-030-00889-5_1.

With four levels the nodes and their arrows are (``↓`` max-pool, ``↗`` up-convolution,
and every node also sees all nodes to its left on its own row)::

    X00 ──► X01 ──► X02 ──► X03      full resolution, heads on X01, X02, X03
      ↓   ↗       ↗       ↗
    X10 ──► X11 ──► X12              1/2
      ↓   ↗       ↗
    X20 ──► X21                      1/4
      ↓   ↗
    X30                              1/8
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from corroscope.learning.unet import ConvBlock, DilatedContext, UpConvolution


class UNetPlusPlus(nn.Module):
    """UNet++ with a stride-1 stem, so that a particle 5 px wide is never pooled away.

    Two things are for speed on whole frames, where most of the time goes into the
    full-resolution row: what comes up from below is narrowed to its new row on the way
    (by the up-convolution of the U-Net), and the nested nodes of the first row have one
    convolution instead of two.

    Parameters
    ----------
    in_channels
        Channels of the input.
    widths
        Channels of each level, full resolution first; height and width of the
        input must be multiples of ``2 ** (len(widths) - 1)``.
    dilations
        As for `corroscope.learning.unet.DilatedContext`, at the coarsest level.

    Examples
    --------
    >>> import torch
    >>> network = UNetPlusPlus(in_channels=1, widths=(4, 8, 16)).eval()
    >>> [tuple(logits.shape) for logits in network(torch.zeros(1, 1, 16, 24))]
    [(1, 1, 16, 24), (1, 1, 16, 24)]
    """

    def __init__(
        self, in_channels: int, widths: Sequence[int], dilations: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.levels = len(widths)
        inputs = (in_channels, *widths[:-1])
        self.backbone = nn.ModuleList(ConvBlock(i, o) for i, o in zip(inputs, widths, strict=True))
        self.context = DilatedContext(widths[-1], dilations)
        # Nodes by their names in the drawing above, and the arrows that rise to them.
        self.nested = nn.ModuleDict()
        self.rising = nn.ModuleDict()
        for i in range(self.levels - 1):
            for j in range(1, self.levels - i):
                convolutions = 1 if i == 0 else 2
                self.nested[f"X{i}{j}"] = ConvBlock((j + 1) * widths[i], widths[i], convolutions)
                self.rising[f"X{i}{j}"] = UpConvolution(widths[i + 1], widths[i])
        self.heads = nn.ModuleList(nn.Conv2d(widths[0], 1, 1) for _ in range(self.levels - 1))

    def forward(self, frames: Tensor) -> list[Tensor]:
        """Return the logits of every head, shallowest first; the last one is the prediction."""
        rows: list[list[Tensor]] = [[self.backbone[0](frames)]]
        for level in range(1, self.levels):
            rows.append([self.backbone[level](functional.max_pool2d(rows[-1][0], 2))])
        rows[-1] = [self.context(rows[-1][0])]
        for j in range(1, self.levels):
            for i in range(self.levels - j):
                risen = self.rising[f"X{i}{j}"](rows[i + 1][j - 1])
                rows[i].append(self.nested[f"X{i}{j}"](torch.cat([*rows[i], risen], dim=1)))
        return [head(node) for head, node in zip(self.heads, rows[0][1:], strict=True)]
