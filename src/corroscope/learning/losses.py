"""What a prediction is punished for."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class LossWeights(NamedTuple):
    """What a loss weighs.

    Attributes
    ----------
    dice
        Weight of the overlap, 0 to 1; the rest is for cross-entropy.
    missed
        What a missed pixel costs in the overlap, 0 to 1; an invented one costs the rest. At 0.5
        the overlap is Dice's, elsewhere Tversky's.
    focal_gamma
        How much less well recognised pixels count in the cross-entropy; 0 for all alike.
    """

    dice: float = 0.5
    missed: float = 0.5
    focal_gamma: float = 0.0


def segmentation_loss(logits: Tensor, target: Tensor, weights: LossWeights) -> Tensor:
    """Cross-entropy and overlap over a batch, mixed.

    The overlap balances rare particles against much background, but on a batch without any
    particle it is constant but for its smoothing: inventing particles there would cost
    next to nothing. The cross-entropy goes on speaking there. Both are sums over the
    whole batch, so that one empty crop does not weigh as much as one with ten particles.

    Parameters
    ----------
    logits
        ``(batch, 1, height, width)``.
    target
        ``(batch, 1, height, width)``, 0 to 1; negative where nobody knows, which counts
        for nothing.
    weights
        How the two are mixed.

    Returns
    -------
    Tensor
        The loss, a scalar.

    References
    ----------
    F. Milletari, N. Navab, S.-A. Ahmadi, *V-Net*, 3DV 2016, doi:10.1109/3DV.2016.79.
    S. S. M. Salehi, D. Erdogmus, A. Gholipour, *Tversky loss function*, MLMI 2017,
    doi:10.1007/978-3-319-67389-9_44.
    T.-Y. Lin et al., *Focal loss for dense object detection*, ICCV 2017,
    doi:10.1109/ICCV.2017.324.

    Examples
    --------
    >>> empty = torch.zeros(1, 1, 8, 8)
    >>> invented, right = (segmentation_loss(empty + x, empty, LossWeights()) for x in (5, -5))
    >>> bool(invented > right)
    True
    """
    logits = logits.float()
    known = (target >= 0).float()
    target = target * known
    entropy = functional.binary_cross_entropy_with_logits(
        logits, target, weight=known, reduction="none"
    )
    probability = torch.sigmoid(logits) * known
    if weights.focal_gamma > 0:
        # A fractional power has an infinite slope at 0.
        wrong = (probability - target).abs().clamp(min=1e-4)
        entropy = entropy * wrong**weights.focal_gamma
    # Per foreground pixel, as the overlap is; the floor is what an empty batch is divided by.
    per_pixel = entropy.sum() / torch.clamp(target.sum(), min=0.002 * target.numel())
    overlap = (probability * target).sum()
    missed, invented = target.sum() - overlap, probability.sum() - overlap
    errors = weights.missed * missed + (1 - weights.missed) * invented
    tversky = (overlap + 0.5) / (overlap + errors + 0.5)
    return weights.dice * (1 - tversky) + (1 - weights.dice) * per_pixel


def deep_supervision_loss(heads: Sequence[Tensor], target: Tensor, weights: LossWeights) -> Tensor:
    """Mean of the losses of all heads, the last counting twice what each other does.

    Parameters
    ----------
    heads
        Logits, ``(batch, 1, height, width)`` each, the prediction last.
    target
        As in `segmentation_loss`.
    weights
        As in `segmentation_loss`.

    Returns
    -------
    Tensor
        The loss, a scalar.

    Examples
    --------
    >>> target = torch.zeros(1, 1, 8, 8)
    >>> one, two = (deep_supervision_loss([target] * n, target, LossWeights()) for n in (1, 2))
    >>> bool(torch.isclose(one, two))
    True
    """
    shares = [1.0] * (len(heads) - 1) + [2.0]
    losses = [segmentation_loss(logits, target, weights) for logits in heads]
    return sum((w * loss for w, loss in zip(shares, losses, strict=True)), torch.zeros(())) / sum(
        shares
    )
