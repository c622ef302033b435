"""Precision and recall of pixels over all thresholds, from histograms that add up."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

STEPS: Final = 1024
"""Thresholds are multiples of 1/1024, which floating-point numbers hold exactly."""


@dataclass(frozen=True, eq=False)
class Histograms:
    """How often each probability was given, to particles and to background.

    Attributes
    ----------
    particle, background
        ``(1025,)`` int64, pixels with a probability in ``[k / 1024, (k + 1) / 1024)``,
        annotated as particle and not; the last are those with a probability of 1.
    """

    particle: NDArray[np.int64]
    background: NDArray[np.int64]

    def __add__(self, other: "Histograms") -> "Histograms":
        return Histograms(self.particle + other.particle, self.background + other.background)


def histograms(
    probability: NDArray[np.floating],
    annotation: NDArray[np.bool_],
    ignored: NDArray[np.bool_] | None = None,
) -> Histograms:
    """Count the probabilities of one image.

    Parameters
    ----------
    probability
        ``(height, width)``, 0 to 1.
    annotation
        ``(height, width)``, true in particles.
    ignored
        ``(height, width)``, true where nothing counts; None where all does.

    Returns
    -------
    Histograms
        To be added to those of other images; the size stays the same.

    Raises
    ------
    ValueError
        If the arrays differ in shape, or a probability that counts is not between 0 and 1.

    Examples
    --------
    >>> found = histograms(np.array([[0.25, 1.0]]), np.array([[False, True]]))
    >>> found.background[256], found.particle[1024]
    (np.int64(1), np.int64(1))
    """
    values, truth = counted(probability, annotation, ignored)
    level = (values * STEPS).astype(np.int64)
    return Histograms(
        np.bincount(level[truth], minlength=STEPS + 1),
        np.bincount(level[~truth], minlength=STEPS + 1),
    )


def counted(
    probability: NDArray[np.floating],
    annotation: NDArray[np.bool_],
    ignored: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Probabilities and annotations of the pixels that are not ignored.

    Parameters
    ----------
    probability, annotation, ignored
        As for `histograms`.

    Returns
    -------
    probability : ndarray
        ``(pixels,)``.
    annotation : ndarray of bool
        ``(pixels,)``.

    Raises
    ------
    ValueError
        As `histograms`.

    Examples
    --------
    >>> counted(np.array([[0.5, 2.0]]), np.ones((1, 2), bool), np.array([[False, True]]))
    (array([0.5]), array([ True]))
    """
    for other in (annotation,) if ignored is None else (annotation, ignored):
        if other.shape != probability.shape:
            raise ValueError(f"probabilities of {probability.shape} for a mask of {other.shape}")
    kept = np.ones(annotation.shape, bool) if ignored is None else ~ignored
    values = probability[kept]
    if not np.all((values >= 0) & (values <= 1)):  # NaN is neither
        raise ValueError("probabilities must be between 0 and 1")
    return values, annotation[kept]


def precision_recall_curve(found: Histograms) -> pd.DataFrame:
    """Precision and recall at each threshold at which anything changes.

    Parameters
    ----------
    found
        Sum of the histograms of all images.

    Returns
    -------
    pandas.DataFrame
        ``threshold``, rising, ``precision`` and ``recall`` of the pixels with at least this
        probability. Recall is NaN where no pixel is annotated.

    Examples
    --------
    >>> probability = np.array([[0.25, 0.5, 0.5, 1.0]])
    >>> annotation = np.array([[False, True, False, True]])
    >>> precision_recall_curve(histograms(probability, annotation)).round(2).values.tolist()
    [[0.25, 0.5, 1.0], [0.5, 0.67, 1.0], [1.0, 1.0, 0.5]]
    """
    levels = np.flatnonzero(found.particle + found.background)
    right = np.cumsum(found.particle[::-1])[::-1][levels]
    wrong = np.cumsum(found.background[::-1])[::-1][levels]
    total = found.particle.sum()
    return pd.DataFrame(
        {
            "threshold": levels / STEPS,
            "precision": right / (right + wrong),
            "recall": right / total if total else np.full(levels.size, np.nan),
        }
    )


def average_precision(found: Histograms) -> float:
    """Mean of the precision over recall, without interpolation.

    Parameters
    ----------
    found
        Sum of the histograms of all images.

    Returns
    -------
    float
        0 to 1, higher is better; a network that tells nothing has the share of particle
        pixels. NaN where no pixel is annotated.

    References
    ----------
    M. Zhu, *Recall, precision and average precision*, University of Waterloo, 2004.

    Examples
    --------
    >>> probability = np.array([[0.25, 0.5, 0.5, 1.0]])
    >>> annotation = np.array([[False, True, False, True]])
    >>> round(average_precision(histograms(probability, annotation)), 3)
    0.833
    """
    if not found.particle.any():
        return float("nan")
    curve = precision_recall_curve(found)
    gained = curve["recall"] - curve["recall"].shift(-1, fill_value=0.0)
    return float((gained * curve["precision"]).sum())
