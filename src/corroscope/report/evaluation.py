"""The report of an evaluation: scores with intervals and ceiling, curves, the worst mistakes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from corroscope.report.curves import curves
from corroscope.report.examples import Example, examples_figure
from corroscope.report.gallery import Crop, gallery
from corroscope.report.page import (
    NOTHING,
    Section,
    drawn,
    facts,
    markdown,
    paragraph,
    picture,
    svg,
    table,
    warnings,
    write_page,
)

MOST_ROWS: Final = 30
"""Images in the table; all are in ``per_image.csv``."""

BLUE: Final = "#0072B2"
ORANGE: Final = "#D55E00"
GREEN: Final = "#009E73"
CEILING: Final = "#444444"

_STYLES: Final = (("-", BLUE), ("--", ORANGE), (":", GREEN))


@dataclass(frozen=True)
class EvaluationPage:
    """What the report shows.

    Attributes
    ----------
    title, lead, warnings
        What was judged, and what must not be overlooked.
    scores
        ``score``, ``meaning``, ``group`` (pixels or particles), ``bounded`` (whether it lies
        between 0 and 1), ``value``, ``low``, ``high``,
        ``ceiling``, ``ceiling_low``, ``ceiling_high``, ``undefined_images``; NaN where undefined.
    ceiling_source
        How the annotators' agreement was found; empty where there is none.
    pixel_curve
        ``threshold``, ``precision``, ``recall``.
    average_precision
        Of the pixels.
    operating_point
        Recall and precision of the pixels.
    particle_curves, particle_ap
        By criterion: ``score``, ``precision``, ``recall``; and the average precision.
    ceiling_point, particle_ceiling_point
        Recall and precision of one annotation against another.
    reliability
        ``lower``, ``upper``, ``pixels``, ``predicted``, ``observed``.
    ece
        Expected calibration error.
    strata
        By property: ``lower``, ``upper``, ``annotated``, ``found``, ``recall``, ``predicted``,
        ``right``, ``precision``.
    annotated_area_px, predicted_area_px
        Area of each particle.
    size_facts
        Figures about sizes, by name.
    confusion
        Particles found, missed and invented.
    per_image
        ``image``, ``annotated``, ``predicted``, ``dice``, ``particle_f1_iou30``.
    misses, false_alarms
        The worst mistakes.
    examples
        Whole patches.
    history, predictions
        Figures of each epoch, and pictures through the epochs; empty where not at hand.
    model_card
        Markdown.
    how
        Settings, versions, hashes.
    """

    title: str
    lead: Sequence[str]
    warnings: Sequence[str]
    scores: pd.DataFrame
    ceiling_source: str
    pixel_curve: pd.DataFrame
    average_precision: float
    operating_point: tuple[float, float]
    particle_curves: Mapping[str, pd.DataFrame]
    particle_ap: Mapping[str, float]
    ceiling_point: tuple[float, float] | None
    particle_ceiling_point: tuple[float, float] | None
    reliability: pd.DataFrame
    ece: float
    strata: Mapping[str, pd.DataFrame]
    annotated_area_px: NDArray[np.float64]
    predicted_area_px: NDArray[np.float64]
    size_facts: Mapping[str, float]
    confusion: tuple[int, int, int]
    per_image: pd.DataFrame
    misses: Sequence[Crop]
    false_alarms: Sequence[Crop]
    examples: Sequence[Example]
    history: Sequence[Mapping[str, float | None]]
    predictions: Sequence[tuple[int, bytes]]
    model_card: str
    how: Mapping[str, Any]


def write_evaluation(page: EvaluationPage, path: str | Path) -> None:
    """Write the report of an evaluation.

    Parameters
    ----------
    page
        What it shows.
    path
        The HTML file.
    """
    sections = [
        Section("Scores", _scores(page)),
        Section("Precision and recall", _precision_recall(page)),
        Section("Calibration", _calibration(page)),
        Section("Found, missed, invented", _confusion(page)),
        Section("By size and contrast", _strata(page)),
        Section("Sizes", _sizes(page)),
        Section("Images", _images(page)),
        Section("Worst misses", _crops(page.misses, "Annotated particles without a match")),
        Section("Worst false alarms", _crops(page.false_alarms, "Predicted ones without a match")),
        Section("Whole patches", _examples(page)),
        Section("Training", _training(page)),
        Section("Model card", [markdown(page.model_card)]),
        Section("How it was done", [facts(page.how)]),
    ]
    lead = [*page.lead]
    if page.ceiling_source:
        lead.append(f"The ceiling: {page.ceiling_source}")
    sections[0] = Section("Scores", [warnings(page.warnings), *sections[0].blocks])
    write_page(path, title=page.title, lead=lead, sections=sections)


def _scores(page: EvaluationPage) -> list[Markup]:
    blocks = []
    bounded = page.scores[page.scores["bounded"] & page.scores["value"].notna()][::-1]
    if len(bounded):
        figure = Figure(figsize=(8, 0.32 * len(bounded) + 1), layout="constrained")
        axis = figure.subplots()
        rows = np.arange(len(bounded))
        value = bounded["value"].to_numpy(np.float64)
        low = bounded["low"].fillna(bounded["value"]).to_numpy(np.float64)
        high = bounded["high"].fillna(bounded["value"]).to_numpy(np.float64)
        axis.hlines(rows, low, high, color=BLUE, linewidth=2)
        axis.plot(value, rows, "o", color=BLUE, label="network, 95 % interval")
        if bounded["ceiling"].notna().any():
            axis.plot(
                bounded["ceiling"], rows, "|", color=CEILING, markersize=13, markeredgewidth=2.5,
                label="annotator against himself",
            )  # fmt: skip
        axis.set_yticks(rows, bounded["score"].tolist(), parse_math=False)
        axis.set_xlim(0, 1.01)
        axis.grid(axis="x", alpha=0.3)
        figure.legend(loc="outside upper center", ncols=2, frameon=False)
        blocks.append(svg(figure, "scores", "Scores between 0 and 1, with their intervals"))
    for group in page.scores["group"].unique():
        blocks.append(_score_table(page, group))
    return blocks


def _score_table(page: EvaluationPage, group: str) -> Markup:
    chosen = page.scores[page.scores["group"] == group]
    shown = pd.DataFrame({"score": chosen["score"], "meaning": chosen["meaning"]})
    shown["value"] = chosen["value"]
    shown["95 % interval"] = _range(chosen["low"], chosen["high"])
    if page.ceiling_source:
        shown["annotator"] = chosen["ceiling"]
        shown["95 % interval of it"] = _range(chosen["ceiling_low"], chosen["ceiling_high"])
    shown["undefined in"] = chosen["undefined_images"].astype(int)
    return table(shown, f"Pooled scores of {group}, and in how many images each is undefined")


def _range(low: pd.Series, high: pd.Series) -> list[str]:
    return [
        NOTHING if np.isnan(a) or np.isnan(b) else f"{a:.3f} to {b:.3f}"
        for a, b in zip(low, high, strict=True)
    ]


def _precision_recall(page: EvaluationPage) -> list[Markup]:
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _curve(left, page.pixel_curve, f"network, AP {_text(page.average_precision)}", *_STYLES[0])
    left.plot(*page.operating_point, "o", color=BLUE, label="at the bundle's threshold")
    left.set_title("pixels")
    for (name, curve), style in zip(page.particle_curves.items(), _STYLES, strict=False):
        _curve(right, curve, f"{name}, AP {_text(page.particle_ap[name])}", *style)
    right.set_title("particles")
    for axis, point in ((left, page.ceiling_point), (right, page.particle_ceiling_point)):
        if point is not None:
            axis.plot(*point, "*", color=CEILING, markersize=13, label="annotator against himself")
            axis.axhline(point[1], color=CEILING, linewidth=0.8, linestyle=(0, (1, 3)))
            axis.axvline(point[0], color=CEILING, linewidth=0.8, linestyle=(0, (1, 3)))
        axis.set_xlabel("recall")
        axis.set_ylabel("precision")
        axis.set_xlim(0, 1.02)
        axis.set_ylim(0, 1.02)
        axis.legend(loc="lower left", fontsize=8)
    return [svg(figure, "curves", "Precision over recall, of pixels and of particles")]


def _curve(axis: Axes, curve: pd.DataFrame, label: str, style: str, colour: str) -> None:
    axis.plot(curve["recall"], curve["precision"], style, color=colour, label=label)


def _calibration(page: EvaluationPage) -> list[Markup]:
    filled = page.reliability[page.reliability["pixels"] > 0]
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color=CEILING, linestyle=(0, (1, 3)), label="as it should be")
    left.plot(filled["predicted"], filled["observed"], "o-", color=BLUE, label="network")
    left.set_xlabel("predicted probability")
    left.set_ylabel("share that is annotated")
    left.legend()
    width = page.reliability["upper"] - page.reliability["lower"]
    right.bar(
        page.reliability["lower"], page.reliability["pixels"], width, align="edge", color=BLUE,
        edgecolor="white",
    )  # fmt: skip
    if len(filled):
        right.set_yscale("log")
    right.set_xlabel("predicted probability")
    right.set_ylabel("pixels")
    return [
        paragraph(
            f"Expected calibration error {_text(page.ece)}, of pixels near objects: elsewhere "
            "nearly all probabilities are rightly near 0 and would hide the rest."
        ),
        svg(figure, "calibration", "Predicted against observed share, and how many pixels"),
        table(page.reliability, "Pixels near objects by predicted probability"),
    ]


def _confusion(page: EvaluationPage) -> list[Markup]:
    found, missed, invented = page.confusion
    shown = pd.DataFrame(
        {
            "": ["predicted", "not predicted"],
            "annotated": [f"{found} found", f"{missed} missed"],
            "not annotated": [f"{invented} invented", "not countable"],
        }
    )
    figure = Figure(figsize=(6.5, 1.6), layout="constrained")
    axis = figure.subplots()
    left = 0
    for number, label, colour, hatch in (
        (missed, "missed", ORANGE, "///"),
        (found, "found", GREEN, ""),
        (invented, "invented", BLUE, "..."),
    ):
        axis.barh(
            0, number, left=left, color=colour, hatch=hatch, edgecolor="white",
            label=f"{label} ({number})",
        )  # fmt: skip
        left += number
    axis.set_yticks([])
    axis.set_xlabel("particles")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return [
        table(shown, "Particles, matched one to one at IoU ≥ 0.3"),
        svg(figure, "confusion", f"{found} found, {missed} missed, {invented} invented"),
    ]


def _strata(page: EvaluationPage) -> list[Markup]:
    figure = Figure(figsize=(9, 4), layout="constrained")
    blocks = []
    for axis, (name, classes) in zip(
        figure.subplots(1, len(page.strata), squeeze=False)[0], page.strata.items(), strict=True
    ):
        places = np.arange(len(classes))
        for shift, column, number, colour, hatch in (
            (-0.2, "recall", "annotated", BLUE, ""),
            (0.2, "precision", "predicted", ORANGE, "///"),
        ):
            bars = axis.bar(
                places + shift, classes[column].fillna(0), 0.38, color=colour, hatch=hatch,
                edgecolor="white", label=f"{column} (number {number})",
            )  # fmt: skip
            axis.bar_label(bars, [str(n) for n in classes[number]], fontsize=7)
        edges = [_between(*pair) for pair in zip(classes["lower"], classes["upper"], strict=True)]
        axis.set_xticks(places, edges, fontsize=7, rotation=30)
        axis.set_ylim(0, 1.12)
        axis.set_xlabel(name)
        blocks.append(table(classes, f"Particles by {name}, matched at IoU ≥ 0.3"))
    figure.axes[0].legend(loc="lower right", fontsize=7)
    return [svg(figure, "strata", "Recall and precision by size and contrast"), *blocks]


def _sizes(page: EvaluationPage) -> list[Markup]:
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    axis = figure.subplots()
    for area, label, (style, colour) in (
        (page.annotated_area_px, "annotated", ("-", ORANGE)),
        (page.predicted_area_px, "predicted", ("--", BLUE)),
    ):
        if area.size:
            ordered = np.sort(area)
            share = 1 - np.arange(area.size) / area.size
            axis.step(
                ordered, share, style, color=colour, where="post", label=f"{label} ({area.size})"
            )
    axis.set_xlabel("area in px²")
    axis.set_ylabel("share of particles at least as large")
    if axis.lines:
        axis.set_xscale("log")
        axis.legend()
    return [
        svg(figure, "sizes", "Sizes of annotated and predicted particles"),
        facts(page.size_facts),
    ]


def _images(page: EvaluationPage) -> list[Markup]:
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    most = max(1, int(page.per_image[["annotated", "predicted"]].to_numpy().max(initial=1)))
    left.plot([0, most], [0, most], color=CEILING, linestyle=(0, (1, 3)), label="equal")
    left.plot(page.per_image["annotated"], page.per_image["predicted"], "o", color=BLUE, alpha=0.5)
    left.set_xlabel("particles annotated in an image")
    left.set_ylabel("particles predicted")
    left.legend()
    for column, label, (style, colour) in (
        ("dice", "Dice", _STYLES[0]),
        ("particle_f1_iou30", "particle F1 at IoU ≥ 0.3", _STYLES[1]),
    ):
        values = np.sort(page.per_image[column].dropna().to_numpy(np.float64))
        if values.size:
            share = np.arange(1, values.size + 1) / values.size
            right.step(values, share, style, color=colour, where="post", label=label)
    right.set_xlabel("score of an image")
    right.set_ylabel("share of images up to it")
    right.set_xlim(0, 1)
    if right.lines:
        right.legend(loc="upper left")
    undefined = int(page.per_image["dice"].isna().sum())
    listed = page.per_image.sort_values("dice", kind="stable", na_position="last")[:MOST_ROWS]
    return [
        svg(figure, "images", "Numbers and scores, image by image"),
        paragraph(f"{undefined} images have no particle on either side: their Dice is undefined."),
        table(listed, f"The worst first, {len(listed)} of {len(page.per_image)} images"),
    ]


def _crops(crops: Sequence[Crop], what: str) -> list[Markup]:
    if not crops:
        return [paragraph("There are none.")]
    caption = (
        f"{what}, the worst first: thick and orange what was annotated, thin, dashed and blue what "
        "was predicted. Row and column of the centroid in brackets."
    )
    return [picture(drawn(gallery(crops)), caption)]


def _examples(page: EvaluationPage) -> list[Markup]:
    if not page.examples:
        return []
    caption = (
        "Patches from the worst to the best: thick and orange annotated, thin and blue predicted"
    )
    return [picture(drawn(examples_figure(page.examples)), caption)]


def _training(page: EvaluationPage) -> list[Markup]:
    blocks = []
    if page.history:
        blocks.append(svg(curves(page.history), "training", "Loss and scores over the epochs"))
    for epoch, png in page.predictions:
        blocks.append(picture(png, f"What the network found after epoch {epoch}"))
    return blocks


def _between(lower: float, upper: float) -> str:
    if np.isinf(lower):
        return f"< {upper:.3g}"
    return f"≥ {lower:.3g}" if np.isinf(upper) else f"{lower:.3g}–{upper:.3g}"


def _text(value: float) -> str:
    return "undefined" if np.isnan(value) else f"{value:.3f}"
