"""The recipe of the notebooks this project started from, on patches of ours, from random weights.

As published: UNet++ with an EfficientNet-B0 encoder, grey levels over 255, resized from 200 to
224 px without interpolation, mirror images and turns by up to 45°, cross-entropy, Adam at 0.001
throughout, 100 epochs of batches of 5. Two things differ, or it could not be compared: its weights
are not those of ImageNet, and no epoch is chosen by the patches that it is judged on. Precision is
what `corroscope train` chooses on the same processor.

https://github.com/AnesSAD/Pitting_corrosion-CNRS, src/config.py, src/dataset.py, src/train.py.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from corroscope.learning.dataset import Patch

SIDE_PX: Final = 224
BATCH: Final = 5
EPOCHS: Final = 100
LEARNING_RATE: Final = 1e-3

# A torchvision built for CUDA beside a torch built for the CPU lacks two operators when it is
# imported, which torchmetrics does where it finds one; neither is used here.
try:
    with suppress(ImportError):
        import torchvision  # noqa: F401
except RuntimeError:
    _operators = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        _operators.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def recipe_network(in_channels: int) -> nn.Module:
    """UNet++ with EfficientNet-B0, of random weights."""
    import segmentation_models_pytorch as smp

    network: nn.Module = smp.UnetPlusPlus(
        "timm-efficientnet-b0", encoder_weights=None, in_channels=in_channels, classes=1
    )
    return network


def fit_recipe(
    patches: Sequence[Patch], seed: int, epochs: int | None = None
) -> tuple[Callable[[NDArray[np.float32]], NDArray[np.float32]], int]:
    """Train as the notebooks do; what predicts a frame's probabilities, and its size."""
    from corroscope.learning.fit import precision_of  # Lightning needs the operators above

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    # Channels last: the same sums, of which this network takes a fifth less time.
    network = recipe_network(1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mixed = precision_of("cpu") == "bf16-mixed"
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    loss = nn.BCEWithLogitsLoss()
    network.train()
    for _ in range(epochs or EPOCHS):
        order = rng.permutation(len(patches))
        for first in range(0, len(order), BATCH):
            drawn = [_drawn(patches[i], rng) for i in order[first : first + BATCH]]
            frames, masks = (torch.stack(part) for part in zip(*drawn, strict=True))
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                logits = network(frames.contiguous(memory_format=torch.channels_last))
            loss(logits.float(), masks).backward()
            optimizer.step()
    network.eval()

    def predict(frame: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            logits = network(_tensor(_resized(frame / np.float32(255)))[None])[0, 0].numpy()
        probability = 1 / (1 + np.exp(-logits))
        height, width = frame.shape
        back = cv2.resize(probability, (width, height), interpolation=cv2.INTER_NEAREST)
        return np.asarray(back, np.float32)

    return predict, sum(weights.numel() for weights in network.parameters())


def _drawn(patch: Patch, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    frame = _resized(patch.frame.astype(np.float32) / np.float32(255))
    mask = _resized(patch.mask.astype(np.float32))
    for axis in (1, 0):
        if rng.random() < 0.5:
            frame, mask = np.flip(frame, axis), np.flip(mask, axis)
    if rng.random() < 0.5:
        middle = ((SIDE_PX - 1) / 2,) * 2
        turn = np.asarray(cv2.getRotationMatrix2D(middle, rng.uniform(-45, 45), 1), np.float64)
        frame = _turned(frame, turn, cv2.INTER_LINEAR)
        mask = _turned(mask, turn, cv2.INTER_NEAREST)
    return _tensor(frame), _tensor(mask)


def _turned(
    picture: NDArray[np.float32], turn: NDArray[np.float64], between: int
) -> NDArray[np.float32]:
    turned = cv2.warpAffine(
        np.ascontiguousarray(picture), turn, picture.shape, flags=between,
        borderMode=cv2.BORDER_REFLECT_101,
    )  # fmt: skip
    return np.asarray(turned, np.float32)


def _resized(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    resized = cv2.resize(picture, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized, np.float32)


def _tensor(picture: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture))[None]
