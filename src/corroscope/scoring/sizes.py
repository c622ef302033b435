"""How well the areas of particles are measured, pair by pair and as a distribution."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import wasserstein_distance


class AreaErrors(NamedTuple):
    """Areas of predicted particles against those of their partners, at IoU ≥ 0.3.

    Attributes
    ----------
    pairs
        Number of pairs.
    median_relative_error
        Median of predicted over annotated area, minus 1: what is typical. Nearer to 0 is
        better.
    median_absolute_relative_error
        Median of the same without its sign. Lower is better.
    mean_log_ratio
        Mean of the natural logarithm of predicted over annotated area: 0.1 is about 10 %
        too large. Twice as large and half as large cancel out. Nearer to 0 is better.
    sd_log_ratio
        Standard deviation of these logarithms, about a mean that is estimated. Lower is
        better; NaN for a single pair.
    """

    pairs: int
    median_relative_error: float
    median_absolute_relative_error: float
    mean_log_ratio: float
    sd_log_ratio: float


def area_errors(particles: pd.DataFrame) -> AreaErrors:
    """Compare the areas of each pair.

    Parameters
    ----------
    particles
        Joined tables of `corroscope.scoring.particles.judge_particles`.

    Returns
    -------
    AreaErrors
        NaN, all but the number of pairs, where there is no pair.

    Notes
    -----
    A pair has an IoU of 0.3 or more, so that no ratio can be beyond 0.3 and 1/0.3.

    Examples
    --------
    >>> table = pd.DataFrame({
    ...     "side": ["predicted"] * 3, "area_px": [12, 20, 7], "partner_area_px": [10, 20, np.nan],
    ... })
    >>> errors = area_errors(table)
    >>> errors.pairs, round(errors.median_relative_error, 3)
    (2, 0.1)
    """
    paired = particles[(particles["side"] == "predicted") & particles["partner_area_px"].notna()]
    if paired.empty:
        return AreaErrors(0, np.nan, np.nan, np.nan, np.nan)
    ratio = paired["area_px"].to_numpy(np.float64) / paired["partner_area_px"].to_numpy(np.float64)
    logarithm = np.log(ratio)
    return AreaErrors(
        ratio.size,
        float(np.median(ratio - 1)),
        float(np.median(np.abs(ratio - 1))),
        float(logarithm.mean()),
        float(logarithm.std(ddof=1)) if ratio.size > 1 else float("nan"),
    )


def size_distance(particles: pd.DataFrame) -> float:
    """Wasserstein distance of predicted and annotated sizes, whoever is whose partner.

    Parameters
    ----------
    particles
        Joined tables of `corroscope.scoring.particles.judge_particles`.

    Returns
    -------
    float
        By how much the natural logarithm of an area has to change, on average, to turn one
        distribution into the other: 0 for the same distribution, 0.1 for sizes that are
        about 10 % off, 0.69 for a factor of two. It does not say in which direction, nor
        whether there are as many particles. NaN where either side has none.

    References
    ----------
    L. N. Vaserstein, Problems of Information Transmission 5, 1969; for one dimension, the
    area between the two cumulative distributions.

    Examples
    --------
    >>> table = pd.DataFrame({"side": ["annotated", "predicted"], "area_px": [10, 20]})
    >>> round(size_distance(table), 3)
    0.693
    """
    logarithm = np.log(particles["area_px"].to_numpy(np.float64))
    predicted = (particles["side"] == "predicted").to_numpy(bool)
    if predicted.all() or not predicted.any():
        return float("nan")
    return float(wasserstein_distance(logarithm[predicted], logarithm[~predicted]))
