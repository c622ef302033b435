"""Whether probabilities can be taken at their word."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from corroscope.report.style import PREDICTED, QUIET


def draw_reliability(curve: pd.DataFrame) -> Figure:
    """Draw the observed share of particle pixels over the predicted probability.

    Parameters
    ----------
    curve
        For each bin of probability ``lower`` and ``upper`` bound, number of ``pixels``, mean
        ``predicted`` probability and ``observed`` share, NaN in an empty bin.

    Returns
    -------
    Figure
        Left the curve, right how many pixels are in each bin.

    References
    ----------
    A. Niculescu-Mizil, R. Caruana, *Predicting good probabilities with supervised learning*,
    ICML 2005.

    Examples
    --------
    >>> curve = pd.DataFrame({"lower": [0.0, 0.5], "upper": [0.5, 1.0], "pixels": [90, 10],
    ...                       "predicted": [0.1, 0.8], "observed": [0.1, 0.7]})
    >>> len(draw_reliability(curve).axes)
    2
    """
    figure = Figure(figsize=(9, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    known = curve[np.isfinite(curve["observed"])]
    left.plot([0, 1], [0, 1], color=QUIET, ls="--", lw=1, label="as it should be")
    left.plot(
        known["predicted"], known["observed"], color=PREDICTED, marker="o", ms=5, label="observed"
    )
    left.set(
        xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability", ylabel="share that is annotated"
    )
    left.set_aspect("equal")
    left.grid(color="#dddddd", lw=0.8)
    left.legend(loc="upper left")
    width = curve["upper"] - curve["lower"]
    right.bar(
        curve["lower"], curve["pixels"], width, align="edge", color="#9ecae1", edgecolor=PREDICTED
    )
    right.set(xlim=(0, 1), xlabel="predicted probability", ylabel="pixels")
    right.set_yscale("symlog", linthresh=1)
    right.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    right.set_ylim(0, 2 * max(curve["pixels"].max(), 1))
    return figure
