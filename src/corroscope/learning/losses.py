"""What a prediction is punished for."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def segmentation_loss(logits: Tensor, target: Tensor, dice_weight: float) -> Tensor:
    """Cross-entropy and Dice over a batch, mixed.

    Dice balances rare particles against much background, but on a batch without any
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
    dice_weight
        Weight of Dice, 0 to 1; the rest is for cross-entropy.

    Returns
    -------
    Tensor
        The loss, a scalar.

    References
    ----------
    F. Milletari, N. Navab, S.-A. Ahmadi, *V-Net*, 3DV 2016, doi:10.1109/3DV.2016.79.

    Examples
    --------
    >>> empty = torch.zeros(1, 1, 8, 8)
    >>> bool(segmentation_loss(empty + 5, empty, 0.5) > segmentation_loss(empty - 5, empty, 0.5))
    True
    """
    logits = logits.float()
    known = (target >= 0).float()
    target = target * known
    entropy = functional.binary_cross_entropy_with_logits(
        logits, target, weight=known, reduction="sum"
    )
    # Per foreground pixel, as Dice is; the floor is what an empty batch is divided by.
    entropy = entropy / torch.clamp(target.sum(), min=0.002 * target.numel())
    probability = torch.sigmoid(logits) * known
    overlap = (probability * target).sum()
    dice = (2 * overlap + 1) / (probability.sum() + target.sum() + 1)
    return dice_weight * (1 - dice) + (1 - dice_weight) * entropy


def deep_supervision_loss(heads: Sequence[Tensor], target: Tensor, dice_weight: float) -> Tensor:
    """Mean of the losses of all heads, the last counting twice what each other does.

    Parameters
    ----------
    heads
        Logits, ``(batch, 1, height, width)`` each, the prediction last.
    target
        As in `segmentation_loss`.
    dice_weight
        As in `segmentation_loss`.

    Returns
    -------
    Tensor
        The loss, a scalar.

    Examples
    --------
    >>> target = torch.zeros(1, 1, 8, 8)
    >>> one, two = (deep_supervision_loss([target] * n, target, 0.0) for n in (1, 2))
    >>> bool(torch.isclose(one, two))
    True
    """
    weights = [1.0] * (len(heads) - 1) + [2.0]
    losses = [segmentation_loss(logits, target, dice_weight) for logits in heads]
    return sum((w * loss for w, loss in zip(weights, losses, strict=True)), torch.zeros(())) / sum(
        weights
    )
