"""Predictions beside what the annotator drew."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from corroscope.outputs import replacing


class Example(NamedTuple):
    """One patch with both masks.

    Attributes
    ----------
    name
        Name of the image.
    frame
        ``(height, width)``, grey.
    annotation, prediction
        ``(height, width)`` bool.
    """

    name: str
    frame: NDArray[np.uint8 | np.uint16 | np.float32]
    annotation: NDArray[np.bool_]
    prediction: NDArray[np.bool_]


def draw_examples(examples: Sequence[Example], path: str | Path, *, most: int = 12) -> None:
    """Draw patches with annotation and prediction outlined.

    Parameters
    ----------
    examples
        The patches; when there are more than ``most``, evenly spaced ones from the
        worst to the best agreement are shown, the worst first.
    path
        The PNG file to write.
    most
        Number of patches at most.

    Examples
    --------
    >>> import tempfile
    >>> mask = np.eye(20, dtype=bool)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw_examples([Example("a.png", np.zeros((20, 20)), mask, ~mask)], f"{folder}/e.png")
    ...     Path(folder, "e.png").stat().st_size > 0
    True
    """
    with replacing(path) as temporary:
        examples_figure(examples, most=most).savefig(temporary, dpi=120)


def examples_figure(examples: Sequence[Example], *, most: int = 12) -> Figure:
    """Draw patches with annotation and prediction outlined.

    Parameters
    ----------
    examples, most
        As for `draw_examples`.

    Returns
    -------
    Figure
        The figure.

    Examples
    --------
    >>> mask = np.eye(20, dtype=bool)
    >>> len(examples_figure([Example("a.png", np.zeros((20, 20)), mask, ~mask)]).axes)
    1
    """
    ordered = sorted(examples, key=dice)
    if len(ordered) > most:
        ordered = [ordered[i] for i in np.linspace(0, len(ordered) - 1, most).round().astype(int)]
    columns = min(4, len(ordered))
    rows = -(-len(ordered) // columns)
    figure = Figure(figsize=(3.2 * columns, 3.4 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, example in zip(axes, ordered, strict=False):
        axis.imshow(example.frame, cmap="gray", interpolation="nearest")
        for mask, colour, width in (
            (example.annotation, "#E69F00", 1.8),
            (example.prediction, "#0072B2", 0.9),
        ):
            if mask.any() and not mask.all():
                axis.contour(mask, [0.5], colors=colour, linewidths=width)
        axis.set_title(f"{example.name}\n{dice_in_words(example)}", fontsize=7, parse_math=False)
    figure.suptitle("annotated: thick, orange    predicted: thin, blue", fontsize=10)
    return figure


def dice(example: Example) -> float:
    """Dice of a patch.

    Parameters
    ----------
    example
        The patch.

    Returns
    -------
    float
        1 where neither has a particle, for then they agree.

    Examples
    --------
    >>> mask = np.eye(4, dtype=bool)
    >>> dice(Example("a.png", np.zeros((4, 4)), mask, mask & (np.arange(4) > 1)))
    0.6666666666666666
    """
    size = int(example.annotation.sum() + example.prediction.sum())
    return 2 * int((example.annotation & example.prediction).sum()) / size if size else 1.0


def dice_in_words(example: Example) -> str:
    """Say how well a patch was done: its Dice, or that there is nothing, where it is 0/0.

    Parameters
    ----------
    example
        The patch.

    Returns
    -------
    str
        For a caption.

    Examples
    --------
    >>> empty = np.zeros((4, 4), bool)
    >>> dice_in_words(Example("a.png", np.zeros((4, 4)), empty, empty))
    'nothing annotated, nothing predicted'
    """
    if not (example.annotation.any() or example.prediction.any()):
        return "nothing annotated, nothing predicted"
    return f"Dice {dice(example):.2f}"
