"""Several models on the same patches, side by side on one page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from corroscope.report.dots import Dot, Line, draw_dots
from corroscope.report.images import draw_pairs
from corroscope.report.page import (
    Section,
    facts,
    paragraph,
    plain,
    svg,
    table,
    warnings,
    write_page,
)
from corroscope.report.style import report_style, shortened

_HOW = (
    "Scores are pooled over all images. Intervals are of 95 %, by resampling separate pieces of "
    "surface; those of differences take the same pieces of both models. Where two models are "
    "equally good, each interval leaves out 0 in about one case of 20, and among many scores some "
    "will: only the scores that the verdict is about were chosen beforehand."
)


@dataclass(frozen=True)
class ComparisonPage:
    """What the page shows.

    Attributes
    ----------
    names
        Of the models, each another one; the others are compared with the first.
    scores
        One row for each model and score: ``model``, ``score``, ``meaning``, ``value`` and its
        bounds ``low`` and ``high``.
    differences
        One row for each model but the first and each score: ``model``, ``score``,
        ``difference``, its bounds ``low`` and ``high``, and ``verdict`` (``better``, ``worse`` or
        ``not told apart``).
    per_image
        One row for each model and image: ``model``, ``image`` and the scores of `scattered`.
    drawn
        Scores between 0 and 1 of which values and differences are drawn.
    scattered
        Scores that are drawn image by image.
    ceiling
        How well the annotators agree, by score; empty where it is not known.
    verdict
        A sentence for each model but the first.
    warnings
        What must be known before the figures are believed.
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
        What it shows.
    path
        The file to write.

    Raises
    ------
    OutputError
        If it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> score = {"score": "dice", "meaning": "Dice", "value": 0.7, "low": 0.6, "high": 0.8}
    >>> change = {"score": "dice", "difference": 0.0, "low": -0.1, "high": 0.1}
    >>> image = {"image": "one.png", "dice": 0.7}
    >>> page = ComparisonPage(
    ...     ["a", "b"],
    ...     pd.DataFrame([{"model": name} | score for name in "ab"]),
    ...     pd.DataFrame([{"model": "b"} | change | {"verdict": "not told apart"}]),
    ...     pd.DataFrame([{"model": name} | image for name in "ab"]),
    ...     drawn=["dice"],
    ...     scattered=["dice"],
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_comparison(page, f"{folder}/report.html")
    ...     "not told apart" in Path(folder, "report.html").read_text("utf-8")
    True
    """
    first = page.names[0]
    with report_style():
        sections = [
            Section(
                f"Differences to {first}",
                [warnings(page.warnings), _draw_differences(page), *_difference_tables(page)],
            ),
            Section("Scores", [_draw_values(page), _score_table(page)]),
            Section("Image by image", _draw_images(page)),
            Section("How it was done", [paragraph(_HOW), facts(page.how)]),
        ]
    title = f"Comparison of {len(page.names)} models"
    write_page(path, title=title, lead=page.verdict, sections=sections)


def _draw_differences(page: ComparisonPage) -> Markup:
    first, *others = page.names
    dots = _dots(page.differences, "difference")
    lines = [Line(name, [dots[name, other] for other in others]) for name in page.drawn]
    title = f"difference to {shortened(first)}, with paired 95 % interval"
    figure = draw_dots(lines, others, zero=True, title=title)
    told = "; ".join(
        f"{other} " + ", ".join(f"{line.label} {plain(line.dots[k].value)}" for line in lines)
        for k, other in enumerate(others)
    )
    return svg(
        figure,
        "differences",
        f"Differences to {first}: {told}. An interval that holds 0 does not tell two models apart.",
    )


def _difference_tables(page: ComparisonPage) -> list[Markup]:
    return [
        table(
            page.differences.loc[
                page.differences["model"] == name,
                ["score", "difference", "low", "high", "verdict"],
            ].rename(columns={"low": "95 % from", "high": "to"}),
            f"{name} minus {page.names[0]}. Of scores that are best near 0 (biases), it is the "
            "difference of absolute values.",
        )
        for name in page.names[1:]
    ]


def _draw_values(page: ComparisonPage) -> Markup:
    """The first model comes last, so that the others look as in the figure of differences."""
    first, *others = page.names
    dots = _dots(page.scores, "value")
    series = [*others, first]
    lines = [
        Line(
            name,
            [dots[name, model] for model in series],
            Dot(page.ceiling.get(name, float("nan"))),
        )
        for name in page.drawn
    ]
    figure = draw_dots(lines, series, between=(0, 1), title="score, with 95 % interval")
    told = "; ".join(
        f"{model} " + ", ".join(f"{line.label} {plain(line.dots[k].value)}" for line in lines)
        for k, model in enumerate(series)
    )
    return svg(figure, "values", f"Pooled scores: {told}.")


def _score_table(page: ComparisonPage) -> Markup:
    rows = page.scores.drop_duplicates("score")[["score", "meaning"]].reset_index(drop=True)
    for name in page.names:
        of_model = page.scores[page.scores["model"] == name]
        rows[name] = [
            _with_bounds(value, low, high)
            for value, low, high in zip(
                of_model["value"], of_model["low"], of_model["high"], strict=True
            )
        ]
    if page.ceiling:
        rows["ceiling"] = [page.ceiling.get(name, float("nan")) for name in rows["score"]]
    return table(rows, "Pooled scores with their 95 % intervals.")


def _draw_images(page: ComparisonPage) -> list[Markup]:
    first, *others = page.names
    figures = []
    for number, other in enumerate(others, start=1):
        for score in page.scattered:
            x, y = (
                page.per_image[page.per_image["model"] == model].set_index("image")[score]
                for model in (first, other)
            )
            undefined = int((x.isna() | y.isna()).sum())
            higher, lower = int((y > x).sum()), int((y < x).sum())
            figures.append(
                svg(
                    draw_pairs(x, y, (shortened(first, 28), shortened(other, 28)), score),
                    f"images{number}-{score}",
                    f"{score} of each image: {other} is higher in {higher}, lower in {lower} of "
                    f"{len(x)}; in {undefined} it is undefined for one of the two.",
                )
            )
    return figures


def _dots(rows: pd.DataFrame, column: str) -> dict[tuple[str, str], Dot]:
    """By score and model."""
    values = rows[[column, "low", "high"]].astype(float).itertuples(index=False, name=None)
    return {
        (score, model): Dot(*dot)
        for score, model, dot in zip(rows["score"], rows["model"], values, strict=True)
    }


def _with_bounds(value: float, low: float, high: float) -> str:
    bounds = "" if np.isnan([low, high]).any() else f" ({plain(low)} to {plain(high)})"
    return plain(value) + bounds
