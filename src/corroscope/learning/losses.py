"""What a prediction is punished for."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
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
    balance
        How much pixels of small particles count more, 0 to 1: at 0 all pixels count alike, at 1
        all particles.
    """

    dice: float = 0.5
    missed: float = 0.5
    focal_gamma: float = 0.0
    balance: float = 0.0


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
    doi:10.1109/ICCV.2017.324. That small particles weigh too little is the subject of F. Kofler et
    al., *blob loss*, IPMI 2023, doi:10.1007/978-3-031-34048-2_58.

    Examples
    --------
    >>> empty = torch.zeros(1, 1, 8, 8)
    >>> invented, right = (segmentation_loss(empty + x, empty, LossWeights()) for x in (5, -5))
    >>> bool(invented > right)
    True
    """
    logits = logits.float()
    known = (target >= 0).float()
    if weights.balance > 0:
        known = known * particle_weights(target, weights.balance)
    target = target.clamp(min=0)
    entropy = functional.binary_cross_entropy_with_logits(
        logits, target, weight=known, reduction="none"
    )
    probability = torch.sigmoid(logits)
    if weights.focal_gamma > 0:
        # A fractional power has an infinite slope at 0.
        wrong = (probability - target).abs().clamp(min=1e-4)
        entropy = entropy * wrong**weights.focal_gamma
    # Per foreground pixel, as the overlap is; the floor is what an empty batch is divided by.
    there = (known * target).sum()
    per_pixel = entropy.sum() / torch.clamp(there, min=0.002 * target.numel())
    overlap = (known * probability * target).sum()
    missed, invented = there - overlap, (known * probability).sum() - overlap
    errors = weights.missed * missed + (1 - weights.missed) * invented
    tversky = (overlap + 0.5) / (overlap + errors + 0.5)
    return weights.dice * (1 - tversky) + (1 - weights.dice) * per_pixel


def particle_weights(target: Tensor, balance: float) -> Tensor:
    """Weights of pixels by which small particles count for more.

    A particle's pixels weigh ``(mean area / its area) ** balance``, scaled so that all pixels of
    particles together weigh what they do without; background weighs 1.

    Parameters
    ----------
    target
        ``(batch, 1, height, width)``; particles are where it is at least 0.5.
    balance
        0 to 1.

    Returns
    -------
    Tensor
        Like ``target``.

    Examples
    --------
    >>> target = torch.zeros(1, 1, 5, 9)
    >>> target[..., 1:3, 1:3] = target[..., 1:3, 5:8] = 1
    >>> particle_weights(target, 1.0)[0, 0, 1].tolist()
    [1.0, 1.25, 1.25, 1.0, 1.0, 0.8333333134651184, 0.8333333134651184, 0.8333333134651184, 1.0]
    """
    inside = (target[:, 0] >= 0.5).cpu().numpy().astype(np.uint8)
    weight = np.ones(inside.shape, np.float32)
    areas: list[NDArray[np.float64]] = []
    labels = []
    for crop in inside:
        number, label, stats, _ = cv2.connectedComponentsWithStats(crop, connectivity=8)
        areas.append(stats[1:number, cv2.CC_STAT_AREA].astype(np.float64))
        labels.append(label)
    area = np.concatenate(areas)
    if area.size:
        scale = area.sum() / (area ** (1 - balance)).sum()
        for crop_weight, label, own in zip(weight, labels, areas, strict=True):
            crop_weight[...] = np.append(1.0, scale * own**-balance)[label]
    return torch.from_numpy(weight)[:, None].to(target.device)


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
