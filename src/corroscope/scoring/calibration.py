"""Whether a probability of 0.7 is right in seven cases of ten, near objects."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.scoring.curves import counted

BINS: Final = 15
"""Bins of equal width."""

NEAR_PX: Final = 5.0
"""How far the surroundings of an object reach."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """Pixels by predicted probability, in bins that add up over images.

    Attributes
    ----------
    pixels
        ``(15,)`` int64, pixels with a probability in the bin. Bins contain their lower
        bound, the last one its upper bound too.
    particle
        ``(15,)`` int64, those of them that are annotated.
    probability
        ``(15,)`` float64, sum of their probabilities.
    """

    pixels: NDArray[np.int64]
    particle: NDArray[np.int64]
    probability: NDArray[np.float64]

    def __add__(self, other: "Reliability") -> "Reliability":
        return Reliability(
            self.pixels + other.pixels,
            self.particle + other.particle,
            self.probability + other.probability,
        )


def reliability(
    probability: NDArray[np.floating],
    annotation: NDArray[np.bool_],
    ignored: NDArray[np.bool_] | None = None,
    *,
    near_px: float | None = NEAR_PX,
) -> Reliability:
    """Sort the pixels near objects by the probability that was predicted.

    Far from objects nearly all pixels are rightly given a probability near 0, and there are
    so many of them that any network would seem calibrated. Near are pixels at most
    `near_px` from a pixel that is annotated, or whose probability is 0.5 or more: what a
    network thinks more likely than not is an object of its own, whatever threshold is
    used later.

    Parameters
    ----------
    probability
        ``(height, width)``, 0 to 1.
    annotation
        ``(height, width)``, true in particles.
    ignored
        ``(height, width)``, true where nothing counts and no object is; None where all
        counts.
    near_px
        Distance between pixel centres up to which pixels are taken; None takes all.

    Returns
    -------
    Reliability
        To be added to those of other images.

    Raises
    ------
    ValueError
        If the arrays differ in shape, or a probability that counts is not between 0 and 1.

    Notes
    -----
    The choice of pixels depends on the annotation: it is for comparing networks, and not
    the calibration of a whole frame.

    Examples
    --------
    >>> probability = np.zeros((1, 20))
    >>> probability[0, 3] = 0.6
    >>> found = reliability(probability, probability > 0.5)
    >>> found.pixels[0], found.particle[9], found.probability[9]
    (np.int64(8), np.int64(1), np.float64(0.6))
    """
    values, truth = counted(probability, annotation, ignored)
    if near_px is not None:
        kept = np.ones(annotation.shape, bool) if ignored is None else ~ignored
        near = _near(kept & (annotation | (probability >= 0.5)), near_px)[kept]
        values, truth = values[near], truth[near]
    values = values.astype(np.float64)
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], values, side="right")
    return Reliability(
        np.bincount(bins, minlength=BINS),
        np.bincount(bins[truth], minlength=BINS),
        np.bincount(bins, weights=values, minlength=BINS).astype(np.float64),
    )


def reliability_curve(found: Reliability) -> pd.DataFrame:
    """Predicted against observed share of particle pixels.

    Parameters
    ----------
    found
        Sum over all images.

    Returns
    -------
    pandas.DataFrame
        For each bin ``lower`` and ``upper`` bound, number of ``pixels``, mean ``predicted``
        probability and ``observed`` share of annotated pixels; these two are NaN in an empty
        bin.

    Examples
    --------
    >>> found = reliability(np.array([[0.9, 0.9]]), np.array([[True, False]]))
    >>> reliability_curve(found)[["pixels", "predicted", "observed"]].values[13].tolist()
    [2.0, 0.9, 0.5]
    """
    edges = np.linspace(0, 1, BINS + 1)
    pixels = np.where(found.pixels > 0, found.pixels, np.nan)
    return pd.DataFrame(
        {
            "lower": edges[:-1],
            "upper": edges[1:],
            "pixels": found.pixels,
            "predicted": found.probability / pixels,
            "observed": found.particle / pixels,
        }
    )


def expected_calibration_error(found: Reliability) -> float:
    """Mean distance of predicted and observed shares, weighted by pixels.

    Parameters
    ----------
    found
        Sum over all images.

    Returns
    -------
    float
        0 to 1, lower is better; NaN without pixels.

    References
    ----------
    C. Guo et al., *On calibration of modern neural networks*, ICML 2017, with the
    probability of one class in place of the highest one.

    Examples
    --------
    >>> found = reliability(np.array([[0.9, 0.9]]), np.array([[True, False]]))
    >>> round(expected_calibration_error(found), 3)
    0.4
    """
    total = int(found.pixels.sum())
    if not total:
        return float("nan")
    return float(np.abs(found.probability - found.particle).sum() / total)


def _near(objects: NDArray[np.bool_], near_px: float) -> NDArray[np.bool_]:
    """Pixels whose centre is at most so far from that of an object's pixel."""
    if not objects.any():
        return np.zeros_like(objects)
    distance = cv2.distanceTransform(
        (~objects).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )
    # In 32 bits, a limit just below a distance would be rounded up to it.
    return np.asarray(distance.astype(np.float64) <= near_px)
