"""From a trained network to a bundle, checked against the network it came from."""

import hashlib
import io
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from corroscope.errors import ExportError
from corroscope.learning.crops import CONTRAST_SCALE
from corroscope.learning.networks import geometry
from corroscope.learning.settings import TrainSettings
from corroscope.segmentation.bundle import Bundle, write_bundle
from corroscope.segmentation.card import Card
from corroscope.segmentation.engines import ENGINES, start_engine
from corroscope.segmentation.particles import OperatingPoint
from corroscope.segmentation.rescoring import Rescoring

LARGEST_DIFFERENCE: Final = 1e-3
"""Largest difference of a probability, in f32, between an engine and PyTorch."""

OPSET: Final = 17


class _Probability(nn.Module):
    """The last head alone, as probability: the others only helped to learn."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> Tensor:
        return torch.sigmoid(self.network(frames)[-1])


def export_bundle(
    network: nn.Module,
    settings: TrainSettings,
    folder: str | Path,
    *,
    name: str,
    point: OperatingPoint,
    training: dict[str, Any],
    metrics: dict[str, Any],
    provenance: dict[str, str],
    rescoring: Rescoring | None = None,
) -> Bundle:
    """Write a network as a bundle and check that both engines agree with it.

    Parameters
    ----------
    network
        Trained network, on the CPU.
    settings
        What it was built with.
    folder
        Where to write the bundle.
    point
        What counts as a particle.
    name, training, metrics, provenance
        As in `corroscope.segmentation.bundle.Card`.
    rescoring
        How candidates of single frames are judged once more.

    Returns
    -------
    Bundle
        The bundle as read back.

    Raises
    ------
    ExportError
        If a probability of OpenVINO or ONNX Runtime differs by more than
        `LARGEST_DIFFERENCE` from PyTorch's.
    """
    probability = _Probability(network).float().eval()
    shape = geometry(settings)
    content = _to_onnx(probability, settings.channels, shape.stride_px)
    card = Card(
        name=name,
        architecture=settings.architecture,
        parameters=sum(weights.numel() for weights in network.parameters()),
        background_sigma_px=settings.background_sigma_px,
        channels=settings.channels,
        contrast_scale=CONTRAST_SCALE,
        threshold=point.threshold,
        min_area_px=point.min_area_px,
        peak=point.peak,
        rescoring=rescoring,
        receptive_field_px=shape.receptive_field_px,
        pooling_stride_px=shape.stride_px,
        network_sha256=hashlib.sha256(content).hexdigest(),
        training=training,
        metrics=metrics,
        provenance=provenance,
    )
    check_parity(probability, Bundle(Path(folder), content, card))
    return write_bundle(folder, content, card)


def check_parity(probability: nn.Module, bundle: Bundle) -> float:
    """Compare both engines with PyTorch on noise with dark spots.

    Parameters
    ----------
    probability
        From ``(1, channels, height, width)``, as a network is shown it, to probabilities.
    bundle
        The exported network.

    Returns
    -------
    float
        Largest difference of a probability.

    Raises
    ------
    ExportError
        If it exceeds `LARGEST_DIFFERENCE`.
    """
    stride = bundle.card.pooling_stride_px
    rng = np.random.default_rng(0)
    shape = (bundle.card.channels, 8 * stride, 12 * stride)
    window = rng.normal(0, 0.3, shape).astype(np.float32)
    spots = rng.integers(0, window.size, window.size // 200)
    window.flat[spots] -= rng.uniform(0, 8, spots.size).astype(np.float32)
    with torch.no_grad():
        expected = probability(torch.from_numpy(window)[None])[0, 0].numpy()
    largest = 0.0
    for engine in ENGINES:
        found = start_engine(bundle, engine, "f32").predict(window)
        difference = float(np.abs(found - expected).max())
        if not difference <= LARGEST_DIFFERENCE:
            raise ExportError(
                f"{bundle.folder}: {engine} differs from PyTorch by {difference:.2g} in a "
                f"probability (at most {LARGEST_DIFFERENCE:g} is allowed); the bundle was not "
                "written; try another architecture or version of the engine"
            )
        largest = max(largest, difference)
    return largest


def _to_onnx(probability: nn.Module, channels: int, stride_px: int) -> bytes:
    buffer = io.BytesIO()
    example = torch.zeros(1, channels, 4 * stride_px, 6 * stride_px)
    axes = {0: "batch", 2: "height", 3: "width"}
    with warnings.catch_warnings():
        # The older exporter is deprecated, but needs no more than onnx and fits networks
        # without control flow.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            probability,
            (example,),
            buffer,  # type: ignore[arg-type]
            opset_version=OPSET,
            dynamo=False,
            input_names=["planes"],
            output_names=["probability"],
            dynamic_axes={"planes": axes, "probability": axes},
        )
    return buffer.getvalue()
