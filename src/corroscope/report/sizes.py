"""Sizes of annotated and of predicted particles."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from corroscope.report.style import ANNOTATED, PREDICTED, QUIET, logarithmic

_BINS = 24


def draw_sizes(annotated_px: NDArray[np.floating], predicted_px: NDArray[np.floating]) -> Figure:
    """Draw how areas are distributed.

    Parameters
    ----------
    annotated_px, predicted_px
        ``(particles,)``, areas in px².

    Returns
    -------
    Figure
        Left numbers in classes of equal ratio; right the share of particles of at least each
        area, where neither classes nor numbers matter.

    Examples
    --------
    >>> len(draw_sizes(np.array([10.0, 20.0]), np.array([])).axes)
    2
    """
    figure = Figure(figsize=(9, 3.3), layout="constrained")
    number, share = figure.subplots(1, 2)
    both = np.concatenate([annotated_px, predicted_px])
    edges = np.geomspace(both.min(), both.max() * 1.001 + 1, _BINS + 1) if both.size else [1, 10]
    for areas, name, colour, line in (
        (annotated_px, "annotated", ANNOTATED, "-"),
        (predicted_px, "predicted", PREDICTED, "--"),
    ):
        label = f"{name}, {areas.size:,}"
        number.hist(areas, edges, histtype="step", color=colour, ls=line, lw=1.8, label=label)
        ordered = np.sort(areas)
        at_least = 1 - np.arange(ordered.size) / max(ordered.size, 1)
        share.step(ordered, at_least, where="pre", color=colour, ls=line, lw=1.8, label=label)
    for axes in (number, share):
        logarithmic(axes, "x")
        axes.set_xlabel("area / px²")
        axes.set_ylim(bottom=0)
        axes.grid(color="#dddddd", lw=0.8)
        if not both.size:
            axes.text(
                0.5, 0.5, "no particle", transform=axes.transAxes, ha="center", color=QUIET
            )  # fmt: skip
    number.set_ylabel("particles")
    share.set_ylabel("share of at least this area")
    number.legend(loc="upper right")
    return figure
