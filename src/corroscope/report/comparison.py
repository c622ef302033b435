"""Several models on the same patches, side by side on one page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from corroscope.report.page import (
    NOTHING,
    Section,
    facts,
    paragraph,
    svg,
    table,
    warnings,
    write_page,
)

_MARKS: Final = "osD^vPX*"
_COLOURS: Final = ("#1a1a1a", "#00538a", "#8a4b00", "#1b6b3a", "#a3003d", "#5b3a8c")


@dataclass(frozen=True)
class ComparisonPage:
    """What the page shows.

    Attributes
    ----------
    names
        Of the models; the others are compared with the first.
    scores
        One row for each score: ``score``, ``meaning``, and for each model a column of its name,
        ``<name> low`` and ``<name> high``, the bounds of a 95 % interval.
    differences
        One row for each model but the first and each score: ``model``, ``score``, ``difference``,
        ``low``, ``high``, ``verdict`` (``better``, ``worse`` or ``not told apart``).
    per_image
        One row for each image: ``image``, and for each model and each score of `scattered` a
        column ``<name> <score>``.
    drawn
        Scores with figures of values and differences.
    scattered
        Scores that are drawn image by image.
    ceiling
        How well the annotators agree, by score; empty where it is not known.
    verdict
        One sentence for each model but the first.
    warnings
        What is to be minded, one sentence each.
    how
        Names and values that say how it was done.
    """

    names: Sequence[str]
    scores: pd.DataFrame
    differences: pd.DataFrame
    per_image: pd.DataFrame
    drawn: Sequence[str]
    scattered: Sequence[str]
    ceiling: Mapping[str, float] = field(default_factory=dict)
    verdict: Sequence[str] = ()
    warnings: Sequence[str] = ()
    how: Mapping[str, Any] = field(default_factory=dict)


def write_comparison(page: ComparisonPage, path: str | Path) -> None:
    """Write a comparison as one HTML file.

    Parameters
    ----------
    page
        What to show.
    path
        The file to write.

    Raises
    ------
    OutputError
        If it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> row = {"score": "dice", "meaning": "Dice of pixels"}
    >>> row |= {f"{name}{end}": 0.7 for name in "ab" for end in ("", " low", " high")}
    >>> change = {"model": "b", "score": "dice", "difference": 0.0, "low": -0.1, "high": 0.1}
    >>> page = ComparisonPage(
    ...     "ab",
    ...     pd.DataFrame([row]),
    ...     pd.DataFrame([change | {"verdict": "not told apart"}]),
    ...     pd.DataFrame({"image": ["one.png"], "a dice": [0.7], "b dice": [0.7]}),
    ...     ["dice"],
    ...     ["dice"],
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_comparison(page, f"{folder}/report.html")
    ...     "not told apart" in Path(folder, "report.html").read_text("utf-8")
    True
    """
    first, *others = page.names
    sections = [
        Section("Mind", [warnings(page.warnings)]),
        Section(f"Differences to {first}", [_draw_differences(page), *_tables(page)]),
        Section("Scores", [_draw_values(page), _scores(page)]),
        Section(
            "Image by image",
            [_draw_images(page, other, number) for number, other in enumerate(others, start=1)],
        ),
        Section("How it was done", [paragraph(_how()), *([facts(page.how)] if page.how else [])]),
    ]
    if not page.warnings:
        del sections[0]
    title = f"Comparison of {len(page.names)} models"
    write_page(path, title=title, lead=page.verdict, sections=sections)


def _how() -> str:
    return (
        "Scores are pooled over all images. Intervals are of 95 %, by resampling separate pieces of "
        "surface; those of differences take the same pieces of both models. With many scores some "
        "will seem better or worse by chance, about one in twenty where nothing differs: the "
        "scores to go by are to be chosen before."
    )


def _scores(page: ComparisonPage) -> Markup:
    columns: dict[str, Any] = {"score": page.scores["score"], "meaning": page.scores["meaning"]}
    for name in page.names:
        columns[name] = [
            _with_bounds(*values)
            for values in zip(
                page.scores[name], page.scores[f"{name} low"], page.scores[f"{name} high"],
                strict=True,
            )
        ]  # fmt: skip
    if page.ceiling:
        columns["annotators"] = [page.ceiling.get(name, np.nan) for name in page.scores["score"]]
    return table(pd.DataFrame(columns), "Pooled scores with 95 % intervals.")


def _tables(page: ComparisonPage) -> list[Markup]:
    tables = []
    for name in page.names[1:]:
        rows = page.differences[page.differences["model"] == name]
        shown = rows[["score", "difference", "low", "high", "verdict"]]
        caption = (
            f"{name} minus {page.names[0]}, with the paired 95 % interval. Of scores that are best "
            "near 0 it is the difference of absolute values."
        )
        tables.append(table(shown, caption))
    return tables


def _with_bounds(value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return NOTHING
    return f"{value:.3f}" + ("" if np.isnan(low) else f" ({low:.3f} to {high:.3f})")


def _draw_values(page: ComparisonPage) -> Markup:
    """Dots with intervals; models one below the other in each score."""
    scores = page.scores.set_index("score")
    figure = Figure(figsize=(9, _height(page, len(page.names))), layout="constrained")
    axes = figure.subplots()
    step = 0.7 / len(page.names)
    for number, name in enumerate(page.names):
        rows = scores.loc[list(page.drawn)]
        places = np.arange(len(rows)) + (number - (len(page.names) - 1) / 2) * step
        _dots(axes, rows[name], rows[f"{name} low"], rows[f"{name} high"], places, number, name)
    told = False
    for place, score in enumerate(page.drawn):
        if np.isfinite(page.ceiling.get(score, np.nan)):
            label = None if told else "annotators among themselves"
            top, bottom = place - 0.45, place + 0.45
            axes.vlines(page.ceiling[score], top, bottom, color="0.3", ls="--", label=label)
            told = True
    _finish(figure, axes, page.drawn, "score")
    ceiling = " Dashed: how well annotators agree." if told else ""
    return svg(figure, "values", f"Pooled scores with 95 % intervals.{ceiling}")


def _draw_differences(page: ComparisonPage) -> Markup:
    figure = Figure(figsize=(9, _height(page, len(page.names) - 1)), layout="constrained")
    axes = figure.subplots()
    others = page.names[1:]
    step = 0.7 / len(others)
    for number, name in enumerate(others):
        rows = page.differences[page.differences["model"] == name].set_index("score")
        rows = rows.loc[list(page.drawn)]
        places = np.arange(len(rows)) + (number - (len(others) - 1) / 2) * step
        _dots(
            axes, rows["difference"], rows["low"], rows["high"], places, number + 1,
            f"{name} minus {page.names[0]}",
        )  # fmt: skip
    axes.axvline(0, color="black", lw=1)
    _finish(figure, axes, page.drawn, "difference")
    description = (
        f"Differences to {page.names[0]} with paired 95 % intervals. An interval that holds 0 "
        "does not tell the two apart."
    )
    return svg(figure, "differences", description)


def _dots(
    axes: Any,
    values: "pd.Series[float]",
    low: "pd.Series[float]",
    high: "pd.Series[float]",
    places: Any,
    number: int,
    label: str,
) -> None:
    """Bounds are drawn as they are: a pooled value can lie outside its interval."""
    colour = _COLOURS[number % len(_COLOURS)]
    axes.hlines(places, low, high, color=colour, lw=1.6)
    axes.plot(
        values, places, _MARKS[number % len(_MARKS)], color=colour, label=label, ls="none", ms=6
    )


def _height(page: ComparisonPage, models: int) -> float:
    return 1.3 + len(page.drawn) * (0.3 + 0.22 * models)


def _finish(figure: Figure, axes: Any, names: Sequence[str], label: str) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(label)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2, frameon=False)


def _draw_images(page: ComparisonPage, other: str, number: int) -> Markup:
    """Each image a dot: where it lies above the diagonal, the other model is higher."""
    first = page.names[0]
    figure = Figure(figsize=(4.5 * len(page.scattered), 4.4), layout="constrained")
    grid = figure.subplots(1, len(page.scattered), squeeze=False)
    undefined = []
    for axes, score in zip(grid.flat, page.scattered, strict=True):
        x = page.per_image[f"{first} {score}"].astype(float)
        y = page.per_image[f"{other} {score}"].astype(float)
        known = x.notna() & y.notna()
        axes.plot([0, 1], [0, 1], color="0.5", lw=1)
        axes.scatter(x[known], y[known], s=18, color=_COLOURS[1], alpha=0.6)
        axes.set(
            xlabel=first, ylabel=other, title=score, xlim=(-0.03, 1.03), ylim=(-0.03, 1.03),
            aspect="equal",
        )  # fmt: skip
        undefined.append(f"{score}: {int((~known).sum())}")
    description = (
        f"Each dot is one image; above the line {other} is higher than {first}. Left out because "
        f"the score is undefined in one of the two: {', '.join(undefined)} of "
        f"{len(page.per_image)} images."
    )
    return svg(figure, f"images{number}", description)
