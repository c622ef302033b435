"""Curves of a training."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from corroscope.outputs import replacing
from corroscope.report.style import BLUE, VERMILION


def draw_curves(history: Sequence[Mapping[str, float | None]], path: str | Path) -> None:
    """Draw loss, learning rate and validation scores over the epochs.

    Parameters
    ----------
    history
        As for `curves`.
    path
        The PNG file to write.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw_curves([{"epoch": 0, "loss": 1.0, "learning_rate": 0.1}], f"{folder}/c.png")
    ...     Path(folder, "c.png").stat().st_size > 0
    True
    """
    with replacing(path) as temporary:
        curves(history).savefig(temporary, dpi=120)


def curves(
    history: Sequence[Mapping[str, float | None]], ceiling: Mapping[str, float] | None = None
) -> Figure:
    """Draw loss, learning rate and validation scores over the epochs.

    Parameters
    ----------
    history
        For each epoch ``epoch``, ``loss``, ``learning_rate`` and, where there was a
        validation, ``dice`` and ``particle_f1_iou30``; None for what was not finite.
    ceiling
        How well annotators agree, by the same names; drawn as lines.

    Returns
    -------
    Figure
        The figure.

    Examples
    --------
    >>> len(curves([{"epoch": 0, "loss": None, "learning_rate": 0.1}]).axes)
    3
    """
    rows = [{name: _number(value) for name, value in row.items()} for row in history]
    figure = Figure(figsize=(7.5, 6), layout="constrained")
    loss, score = figure.subplots(2, 1, sharex=True)
    epochs = [row["epoch"] + 1 for row in rows]
    marker = "o" if len(history) < 3 else None
    loss.plot(epochs, [row["loss"] for row in rows], color="black", marker=marker)
    loss.set_ylabel("training loss")
    loss.set_ylim(bottom=0)
    rate = loss.twinx()
    rate.plot(epochs, [row["learning_rate"] for row in rows], color=BLUE, ls=":")
    rate.set_ylabel("learning rate", color=BLUE)
    rate.set_ylim(bottom=0)
    rate.spines["right"].set_visible(True)
    for name, label, style, colour in (
        ("dice", "Dice", "-", BLUE),
        ("particle_f1_iou30", "particle F1 (IoU ≥ 0.3)", "--", VERMILION),
    ):
        judged = [row for row in rows if name in row]
        if judged:
            score.plot(
                [row["epoch"] + 1 for row in judged],
                [row[name] for row in judged],
                style,
                color=colour,
                label=label,
                marker=marker,
            )
            agreed = (ceiling or {}).get(name, float("nan"))
            if not math.isnan(agreed):
                score.axhline(
                    agreed,
                    color=colour,
                    ls=(0, (1, 3)),
                    label=f"{label}, annotators among themselves",
                )
    if score.lines:
        score.legend(loc="lower right")
    else:
        score.text(
            0.5, 0.5, "trained on all patches: none left for validation",
            ha="center", va="center", transform=score.transAxes,
        )  # fmt: skip
    score.set_ylim(0, 1)
    score.set_ylabel("score on unseen surface")
    score.set_xlabel("epoch")
    score.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
