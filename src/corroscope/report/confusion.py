"""Found, missed, false alarms: where each particle of either side went."""

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from corroscope.report.style import BLUE, GREEN, QUIET, VERMILION


def draw_confusion(found: int, missed: int, false_alarms: int) -> Figure:
    r"""Draw a confusion matrix of particles.

    Parameters
    ----------
    found, missed
        Annotated particles with and without a match.
    false_alarms
        Predicted particles without a match.

    Returns
    -------
    Figure
        Three fields, darker for more. The fourth has no number: what is not annotated and not
        predicted is no particle that could be counted.

    Examples
    --------
    >>> [text.get_text() for text in draw_confusion(8, 2, 1).axes[0].texts][0]
    '8\nfound'
    """
    figure = Figure(figsize=(5.2, 2.9), layout="constrained")
    axes = figure.subplots()
    most = max(found, missed, false_alarms, 1)
    for x, y, number, name, colour in (
        (0, 0, found, "found", GREEN),
        (1, 0, missed, "missed", VERMILION),
        (0, 1, false_alarms, "false alarms", BLUE),
    ):
        # Pale enough for black numbers.
        axes.add_patch(Rectangle((x, y), 1, 1, fc=colour, alpha=0.08 + 0.3 * number / most))
        axes.text(x + 0.5, y + 0.5, f"{number}\n{name}", ha="center", va="center", fontsize=12)
    axes.add_patch(Rectangle((1, 1), 1, 1, fc="white", ec="#bbbbbb", lw=0, hatch="///"))
    axes.text(
        1.5, 1.5, "not countable", ha="center", va="center", color=QUIET, fontsize=10,
        bbox={"fc": "white", "ec": "none"},
    )  # fmt: skip
    axes.set(xlim=(0, 2), ylim=(2, 0))
    axes.set_xticks([0.5, 1.5], ["predicted", "not predicted"])
    axes.set_yticks([0.5, 1.5], ["annotated", "not annotated"])
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=10)
    for place in range(3):
        axes.axhline(place, color="black", lw=1)
        axes.axvline(place, color="black", lw=1)
    for side in axes.spines.values():
        side.set_visible(False)
    return figure
