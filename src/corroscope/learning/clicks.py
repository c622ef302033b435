"""Fit the click network: what belongs to the particle that was clicked."""

import io
import warnings
from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from corroscope.annotation.instances import Instance, separate
from corroscope.annotation.surroundings import CENTRE, PLANES, WINDOW_PX, snap, surroundings
from corroscope.learning.dataset import Patch

JITTER_PX: Final = 1.0
"""Standard deviation of where an annotator clicks, along each axis."""

COARSE_FROM_PX: Final = 80
"""Particles of this area and more are learnt from at half the resolution, too."""

_BATCH: Final = 32
_LEARNING_RATE: Final = 5e-3
_BCE_WEIGHT: Final = 0.3


class ClickSamples(NamedTuple):
    """Clicks whose particle is known.

    Attributes
    ----------
    planes
        ``(samples, 5, 24, 24)`` float32, as `corroscope.annotation.surroundings` makes them.
    target
        ``(samples, 24, 24)`` float32: the share of each block of pixels that belongs to the
        clicked particle.
    """

    planes: NDArray[np.float32]
    target: NDArray[np.float32]


def whole_particles(patch: Patch) -> list[Instance]:
    """Particles of a patch that its border does not cut.

    Parameters
    ----------
    patch
        An annotated patch.

    Returns
    -------
    list of Instance
        Connected pieces of its mask.
    """
    height, width = patch.mask.shape
    return [
        piece
        for piece in separate(patch.mask)
        if min(piece.corner_px) > 0 and piece.box[0].stop < height and piece.box[1].stop < width
    ]


def simulated_clicks(
    particle: Instance,
    shape: tuple[int, int],
    clicks: int,
    rng: np.random.Generator,
    jitter_px: float = JITTER_PX,
) -> NDArray[np.float64]:
    """Click into the middle of a particle as an annotator would.

    Parameters
    ----------
    particle
        Where the particle is.
    shape
        Height and width of the image; no click falls outside it.
    clicks
        How many.
    rng
        Source of the jitter.
    jitter_px
        Its standard deviation along each axis.

    Returns
    -------
    ndarray of float64
        ``(clicks, 2)``, row and column: its deepest pixel (of several, the one nearest to the
        centroid) and the jitter.
    """
    depth = ndimage.distance_transform_edt(np.pad(particle.mask, 1))[1:-1, 1:-1]
    deepest = np.argwhere(depth >= depth.max() - 1e-6)
    centroid = np.argwhere(particle.mask).mean(axis=0)
    middle = deepest[((deepest - centroid) ** 2).sum(axis=1).argmin()] + particle.corner_px
    points = middle + rng.normal(0, jitter_px, (clicks, 2))
    clipped: NDArray[np.float64] = np.clip(points, 0, np.array(shape) - 1)
    return clipped


def click_samples(
    patches: Iterable[Patch], rng: np.random.Generator, clicks: int = 3
) -> ClickSamples:
    """Click on every whole particle of some patches.

    Parameters
    ----------
    patches
        Annotated patches.
    rng
        Source of the clicks' jitter.
    clicks
        How many for each particle.

    Returns
    -------
    ClickSamples
        What the network is shown and what it should answer.
    """
    planes, targets = [], []
    for patch in patches:
        image = patch.frame.astype(np.float32)
        for particle in whole_particles(patch):
            pixels = snap(image, simulated_clicks(particle, image.shape, clicks, rng))
            alone = np.zeros(image.shape, np.float32)
            alone[particle.box] = particle.mask
            for scale in (1, 2) if particle.area_px >= COARSE_FROM_PX else (1,):
                planes.append(surroundings(image, pixels, scale).planes)
                targets.append([_cut(alone, pixel, scale) for pixel in pixels])
    return ClickSamples(np.concatenate(planes), np.concatenate(targets).astype(np.float32))


def fit_click_network(samples: ClickSamples, *, seed: int = 0, epochs: int = 60) -> nn.Module:
    """Train the click network from scratch.

    Parameters
    ----------
    samples
        Clicks with their particles.
    seed
        Of weights, order and augmentation.
    epochs
        How often each sample is seen.

    Returns
    -------
    nn.Module
        In evaluation mode; from planes ``(batch, 5, 24, 24)`` to probabilities
        ``(batch, 24, 24)``. Its weights are an exponential average over the last steps.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ClickNetwork()
        average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.995), use_buffers=True)
        optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.03)
        planes, target = torch.from_numpy(samples.planes), torch.from_numpy(samples.target)
        batches = len(planes) // _BATCH + (len(planes) % _BATCH > 1)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, _LEARNING_RATE, total_steps=epochs * batches
        )
        for _ in range(epochs):
            for chosen in torch.randperm(len(planes), generator=generator).split(_BATCH)[:batches]:
                seen, truth = _augmented(planes[chosen], target[chosen], generator)
                loss = _loss(network.logits(seen), truth)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                average.update_parameters(network)
    return average.module.eval()


class ClickNetwork(nn.Module):
    """Two levels of 3×3 convolutions: small enough for thousands of clicks a second."""

    def __init__(self, fine: int = 16, coarse: int = 32) -> None:
        super().__init__()
        self.near = _convolution(PLANES, fine)
        self.far = nn.Sequential(
            nn.MaxPool2d(2),
            _convolution(fine, coarse),
            _convolution(coarse, coarse),
            _convolution(coarse, coarse, dilation=2),
            _convolution(coarse, coarse),
            nn.Dropout2d(0.1),
            nn.Upsample(scale_factor=2),
        )
        self.both = nn.Sequential(nn.Conv2d(fine + coarse, fine, 1), nn.ReLU())
        self.head = nn.Conv2d(fine + PLANES, 1, 3, padding=1)

    def logits(self, planes: Tensor) -> Tensor:
        """Log-odds ``(batch, height, width)``."""
        near = self.near(planes)
        both = self.both(torch.cat([near, self.far(near)], dim=1))
        logits: Tensor = self.head(torch.cat([both, planes], dim=1))[:, 0]
        return logits

    def forward(self, planes: Tensor) -> Tensor:
        """Probabilities ``(batch, height, width)``."""
        return torch.sigmoid(self.logits(planes))


def to_onnx(network: nn.Module) -> bytes:
    """Write the click network down as ONNX.

    Parameters
    ----------
    network
        From `fit_click_network`.

    Returns
    -------
    bytes
        Input ``planes``, output ``probability``; any number of clicks at once.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The older exporter is deprecated, but needs no more than onnx.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (torch.zeros(2, PLANES, WINDOW_PX, WINDOW_PX),),
            buffer,  # type: ignore[arg-type]
            opset_version=17,
            dynamo=False,
            input_names=["planes"],
            output_names=["probability"],
            dynamic_axes={"planes": {0: "clicks"}, "probability": {0: "clicks"}},
        )
    return buffer.getvalue()


def _convolution(inputs: int, outputs: int, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def _cut(alone: NDArray[np.float32], pixel: NDArray[np.int64], scale: int) -> NDArray[np.float32]:
    """The particle's share of each block of the window."""
    reach = scale * CENTRE + scale // 2
    rows = np.arange(scale * WINDOW_PX) + pixel[0] - reach
    cols = np.arange(scale * WINDOW_PX) + pixel[1] - reach
    inside = np.zeros((len(rows), len(cols)), np.float32)
    r = (rows >= 0) & (rows < alone.shape[0])
    c = (cols >= 0) & (cols < alone.shape[1])
    inside[np.ix_(r, c)] = alone[np.ix_(rows[r], cols[c])]
    blocks = inside.reshape(WINDOW_PX, scale, WINDOW_PX, scale)
    share: NDArray[np.float32] = blocks.mean(axis=(1, 3))
    return share


def _loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Soft IoU, which is what counts, and cross-entropy, which keeps probabilities honest."""
    probability = logits.sigmoid()
    area = truth.sum((1, 2)).clamp(min=3)
    both = (probability * truth).sum((1, 2))
    iou = both / (probability.sum((1, 2)) + area - both)
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return (1 - iou).mean() + _BCE_WEIGHT * (entropy.sum((1, 2)) / area).mean()


def _augmented(planes: Tensor, truth: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Another camera, another particle: mirrored, bent, brighter, noisier.

    Only left and right are exchanged: particles have tails that hang down.
    """

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    def chance() -> float:
        return float(torch.rand((), generator=generator))

    if chance() < 0.5:  # the middle is at 12 of 24, so that the mirror leaves one column over
        planes, truth = planes.flip(3).roll(1, 3), truth.flip(2).roll(1, 2)
    if chance() < 0.6:
        planes, truth = _bent(planes, truth, normal)
    else:
        planes = planes.clone()
    n = len(planes)
    darkness = [0, 1, 4]
    gain, offset = 1 + 0.1 * normal(n, 1, 1, 1), 0.06 * normal(n, 1, 1, 1)
    planes[:, darkness] = planes[:, darkness] * gain + offset
    grain = 0.08 * torch.rand((n, 1, 1, 1), generator=generator)
    planes[:, [0, 4]] += grain * normal(n, 1, WINDOW_PX, WINDOW_PX)
    return planes, truth


def _bent(planes: Tensor, truth: Tensor, normal: "_Normal") -> tuple[Tensor, Tensor]:
    """A little turned, larger or smaller, longer or wider, moved by parts of a pixel."""
    n = len(planes)
    angle, size, length = 0.2 * normal(n), (0.15 * normal(n)).exp(), (0.075 * normal(n)).exp()
    turn = torch.zeros(n, 2, 3)
    turn[:, 0, 0], turn[:, 0, 1] = angle.cos() * size * length, -angle.sin() * size
    turn[:, 1, 0], turn[:, 1, 1] = angle.sin() * size, angle.cos() * size / length
    middle = torch.full((2,), 2 * CENTRE / (WINDOW_PX - 1) - 1)
    turn[:, :, 2] = middle - turn[:, :, :2] @ middle + 0.04 * normal(n, 2)
    grid = functional.affine_grid(turn, [n, 1, WINDOW_PX, WINDOW_PX], align_corners=True)
    bent = functional.grid_sample(planes, grid, padding_mode="border", align_corners=True)
    bent[:, 2:4] = planes[:, 2:4]  # nearness stays where the click is
    moved = functional.grid_sample(truth[:, None], grid, align_corners=True)[:, 0]
    return bent, moved


class _Normal(Protocol):
    """Standard normal numbers of a given shape."""

    def __call__(self, *shape: int) -> Tensor: ...
