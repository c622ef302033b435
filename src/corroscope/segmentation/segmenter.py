"""A bundle and an engine, together: from frames in memory to particles in memory."""

from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.errors import FrameError, SettingsError
from corroscope.frames.contrast import relative_contrast
from corroscope.segmentation.bundle import Bundle, load_bundle
from corroscope.segmentation.engines import EngineName, Precision, start_engine
from corroscope.segmentation.inputs import network_input
from corroscope.segmentation.particles import (
    OperatingPoint,
    find_particles,
    measure_particles,
)
from corroscope.segmentation.rescoring import find_rescored
from corroscope.segmentation.tiles import run_tiled
from corroscope.segmentation.tta import average_over_ways

SMALLEST_FRAME_PX: Final = 16
"""Shortest side of a frame that can be segmented."""

TILE_PX: Final = 1344
"""Largest window: 5-megapixel frames take four, whose rims are a tenth of the work."""

UNBOUNDED_MARGIN_PX: Final = 64
"""Rim for networks that see the whole window, whose tiles can only nearly agree."""


class Segmentation(NamedTuple):
    """What was found in one frame.

    Attributes
    ----------
    probability
        ``(height, width)`` float32, of a particle at each pixel.
    labels
        ``(height, width)`` int32, 0 for background, particles 1, 2, ….
    particles
        One row for each particle, as from
        `corroscope.segmentation.particles.measure_particles`.
    contrast
        ``(height, width)`` float32, relative contrast of the frame.
    """

    probability: NDArray[np.float32]
    labels: NDArray[np.int32]
    particles: pd.DataFrame
    contrast: NDArray[np.float32]


class Segmenter:
    """A network ready to segment frames of any size.

    Parameters
    ----------
    bundle
        What `load_bundle` gave; without it, the bundle that comes with corroscope.
    engine, precision
        As in `corroscope.segmentation.engines.start_engine`.
    tta
        Average over the eight ways in which a frame can lie, at eight times the cost.
    threshold
        Probability from which a pixel belongs to a particle; the bundle's own if None. A threshold
        or a peak that is given decides alone: particles of single frames are then not judged once
        more by what is around them, as some bundles do (`corroscope.segmentation.rescoring`).
    min_area_px
        Particles with fewer pixels are dropped; the bundle's own if None.
    peak
        Particles none of whose pixels has this probability are dropped. If None, the bundle's own
        with the bundle's own threshold.

    Raises
    ------
    SettingsError
        If threshold, smallest area or peak is out of range.
    EngineError
        If the engine cannot run here.

    Examples
    --------
    >>> frame = np.full((64, 64), 200, np.uint8)
    >>> found = Segmenter()(frame)
    >>> found.probability.shape, len(found.particles)
    ((64, 64), 0)
    """

    def __init__(
        self,
        bundle: Bundle | None = None,
        *,
        engine: EngineName = "openvino",
        precision: Precision = "auto",
        tta: bool = False,
        threshold: float | None = None,
        min_area_px: int | None = None,
        peak: float | None = None,
    ) -> None:
        self.bundle = bundle if bundle is not None else load_bundle()
        card = self.bundle.card
        self.threshold = card.threshold if threshold is None else threshold
        self.min_area_px = card.min_area_px if min_area_px is None else min_area_px
        own_peak = card.peak if threshold is None else 0.0
        self.peak = own_peak if peak is None else peak
        if not 0 < self.threshold < 1:
            raise SettingsError(f"threshold {self.threshold:g}: must lie between 0 and 1")
        if self.min_area_px < 1:
            raise SettingsError(f"min_area_px {self.min_area_px}: must be 1 or more")
        if not 0 <= self.peak < 1:
            raise SettingsError(f"peak {self.peak:g}: must be 0 or more and less than 1")
        self.rescoring = card.rescoring if threshold is None and peak is None else None
        self._rescored_min_area_px = 1 if min_area_px is None else min_area_px
        self.tta = tta
        self.engine = start_engine(self.bundle, engine, precision)

    @property
    def operating_point(self) -> OperatingPoint:
        """What of the probabilities counts as a particle, unless they are judged once more."""
        return OperatingPoint(self.threshold, self.min_area_px, self.peak)

    def asked(self, *, compared: bool) -> dict[str, Any]:
        """What decides which particles are found, as manifests tell it.

        Parameters
        ----------
        compared
            Whether frames are compared with a reference.

        Returns
        -------
        dict
            ``threshold``, ``min_area_px`` and ``peak``; and ``rescoring``, None where candidates
            are not judged once more.
        """
        look = None if compared else self.rescoring
        if look is None:
            return {**self.operating_point._asdict(), "rescoring": None}
        return {
            "threshold": look.threshold,
            "min_area_px": max(look.min_area_px, self._rescored_min_area_px),
            "peak": 0.0,
            "rescoring": look.model_dump(mode="json"),
        }

    @property
    def compares(self) -> bool:
        """Whether the network can compare a frame with a reference."""
        return self.bundle.card.channels > 1

    def require_comparing(self) -> None:
        """Refuse a network that cannot compare a frame with a reference.

        Raises
        ------
        SettingsError
            If it sees single frames only.
        """
        if not self.compares:
            raise SettingsError(
                f"bundle {self.bundle.card.name!r} sees single frames only; choose one that was "
                "trained to compare, or segment single frames without a reference"
            )

    def __call__(
        self,
        frame: NDArray[np.uint8 | np.uint16 | np.float32],
        reference: NDArray[np.float32] | None = None,
    ) -> Segmentation:
        """Segment one frame.

        Parameters
        ----------
        frame
            ``(height, width)``, at least 16×16.
        reference
            ``(height, width)``, relative contrast of the reference, aligned to the frame;
            NaN where it shows nothing. Dark specks that it has as well are no particles.

        Returns
        -------
        Segmentation
            Probabilities, labels and table.

        Raises
        ------
        FrameError
            If the frame is too small, not two-dimensional, not finite or not an image
            of intensities (more negative than positive), or the reference has another
            shape.
        SettingsError
            If there is a reference and the network sees single frames only.
        """
        check_frame(frame)
        contrast = relative_contrast(frame, self.bundle.card.background_sigma_px)
        probability = self.probability(contrast, reference)
        labels = self.find(probability, contrast, compared=reference is not None)
        particles = measure_particles(labels, contrast, probability)
        return Segmentation(probability, labels, particles, contrast)

    def find(
        self, probability: NDArray[np.float32], contrast: NDArray[np.float32], *, compared: bool
    ) -> NDArray[np.int32]:
        """Label the particles in a map of probabilities.

        Parameters
        ----------
        probability
            ``(height, width)``, 0 to 1.
        contrast
            ``(height, width)``, relative contrast of the frame.
        compared
            Whether it comes from a comparison with a reference: then there is no need to judge
            particles by what is around them.

        Returns
        -------
        ndarray of int32
            ``(height, width)``, 0 for background, particles 1, 2, ….
        """
        if compared or self.rescoring is None:
            return find_particles(probability, *self.operating_point)
        return find_rescored(probability, contrast, self.rescoring, self._rescored_min_area_px)

    def probability(
        self, contrast: NDArray[np.float32], reference: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Probability of a particle at each pixel.

        Parameters
        ----------
        contrast
            ``(height, width)``, relative contrast of a frame.
        reference
            As for a call.

        Returns
        -------
        ndarray of float32
            ``(height, width)``, 0 to 1.

        Raises
        ------
        FrameError
            If the reference has another shape.
        SettingsError
            If there is a reference and the network sees single frames only.
        """
        if reference is not None:
            self.require_comparing()
        if reference is not None and reference.shape != contrast.shape:
            raise FrameError(
                f"reference of shape {reference.shape} for a frame of {contrast.shape}; give one "
                "of the same size"
            )
        if self.tta:
            return average_over_ways(self._probability, contrast, reference)
        return self._probability(contrast, reference)

    def _probability(
        self, contrast: NDArray[np.float32], reference: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        card = self.bundle.card
        sees = card.receptive_field_px
        margin = UNBOUNDED_MARGIN_PX if sees is None else sees
        planes = network_input(contrast, reference, card.contrast_scale, card.channels)
        return run_tiled(planes, self.engine.predict, TILE_PX, margin, card.pooling_stride_px)


def check_frame(frame: NDArray[np.uint8 | np.uint16 | np.float32]) -> None:
    """See whether a frame can be segmented.

    Parameters
    ----------
    frame
        ``(height, width)``.

    Raises
    ------
    FrameError
        If it is too small, not two-dimensional, not finite or not an image of
        intensities (more negative than positive).
    """
    if frame.ndim != 2:
        raise FrameError(f"frame of shape {frame.shape}; give one grey frame, height × width")
    height, width = frame.shape
    if min(height, width) < SMALLEST_FRAME_PX:
        raise FrameError(
            f"frame of {height}×{width} px is too small; "
            f"give {SMALLEST_FRAME_PX}×{SMALLEST_FRAME_PX} px or more"
        )
    if not np.isfinite(frame).all():
        raise FrameError("frame has pixels that are NaN or infinite; replace them first")
    if frame.dtype.kind != "u" and float(frame.mean()) < 0:
        raise FrameError("frame is negative on the whole; give intensities, not a difference")
