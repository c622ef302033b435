"""What a network's predictions are measured by, patch after patch, in little memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from corroscope.frames.contrast import relative_contrast
from corroscope.learning.dataset import Patch
from corroscope.scoring.calibration import Reliability, reliability
from corroscope.scoring.counts import Counts, count
from corroscope.scoring.curves import Histograms, histograms
from corroscope.scoring.particles import judge_particles
from corroscope.segmentation.particles import find_particles
from corroscope.segmentation.segmenter import Segmenter

CANDIDATE_THRESHOLD: Final = 0.1
"""Probability from which something is a candidate, for the curve of particles over their score."""


@dataclass(frozen=True)
class Measured:
    """What was measured on some patches; no picture is kept.

    Attributes
    ----------
    counts
        Counts of each patch, as the segmenter finds particles without a reference.
    histograms, reliability
        Of all pixels, and of those near objects.
    particles
        One row for each particle of prediction and annotation, as
        `corroscope.scoring.particles.judge_particles` has them, with the ``image``.
    candidates
        The same for everything from `CANDIDATE_THRESHOLD`.
    """

    counts: list[Counts]
    histograms: Histograms
    reliability: Reliability
    particles: pd.DataFrame
    candidates: pd.DataFrame


def measure(patches: Sequence[Patch], segmenter: Segmenter) -> Measured:
    """Segment patches and measure what was found.

    Parameters
    ----------
    patches
        At least one.
    segmenter
        The network, with its operating point.

    Returns
    -------
    Measured
        Of all patches.

    Examples
    --------
    >>> import numpy as np
    >>> frame = np.full((64, 64), 200, np.uint8)
    >>> found = measure([Patch("a.png", frame, np.zeros((64, 64), bool))], Segmenter())
    >>> len(found.counts), len(found.particles)
    (1, 0)
    """
    sigma_px = segmenter.bundle.card.background_sigma_px
    counts, pixels, calibration = [], [], []
    tables: list[pd.DataFrame] = []
    candidates: list[pd.DataFrame] = []
    for patch in patches:
        contrast = relative_contrast(patch.frame, sigma_px)
        probability = segmenter.probability(contrast)
        sides = (patch.mask, patch.ignored)
        labels = segmenter.find(probability, contrast, compared=False)
        more = find_particles(
            probability, CANDIDATE_THRESHOLD, segmenter.asked(compared=False)["min_area_px"]
        )
        counts.append(count(labels > 0, *sides))
        pixels.append(histograms(probability, *sides))
        calibration.append(reliability(probability, *sides))
        for found, into in ((labels, tables), (more, candidates)):
            table = judge_particles(found > 0, *sides, contrast=contrast, probability=probability)
            table.insert(0, "image", patch.name)
            into.append(table)
    return Measured(
        counts,
        sum(pixels[1:], pixels[0]),
        sum(calibration[1:], calibration[0]),
        pd.concat(tables, ignore_index=True),
        pd.concat(candidates, ignore_index=True),
    )
