"""The report of an evaluation: scores with intervals and ceiling, curves, the worst mistakes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from corroscope.report.classes import class_names, draw_classes
from corroscope.report.confusion import draw_confusion
from corroscope.report.curves import curves
from corroscope.report.dots import Dot, Line, draw_dots
from corroscope.report.examples import Example
from corroscope.report.gallery import Crop, crop_gallery, example_gallery, outline_key
from corroscope.report.images import SHOWN, draw_images
from corroscope.report.markdown import render_markdown
from corroscope.report.page import (
    NOTHING,
    Section,
    facts,
    paragraph,
    picture,
    plain,
    svg,
    table,
    warnings,
    write_page,
)
from corroscope.report.precision_recall import Point, draw_precision_recall
from corroscope.report.reliability import draw_reliability
from corroscope.report.sizes import draw_sizes
from corroscope.report.style import report_style

MOST_ROWS: Final = 200
"""Images in the table."""


@dataclass(frozen=True, eq=False)
class EvaluationPage:
    """What the report shows.

    Attributes
    ----------
    title
        Heading of the page.
    lead
        What was judged, one paragraph each.
    warnings
        What must not be overlooked.
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
        Figures about sizes, by name; NaN where undefined.
    confusion
        Particles found, missed, and false alarms.
    per_image
        ``image``, ``annotated``, ``predicted``, ``dice``, ``particle_f1_iou30``.
    misses, false_alarms
        The worst mistakes, the worst first.
    examples
        Whole patches, in the order in which they are shown.
    history
        Of the training, as for `corroscope.report.curves.curves`; empty where not at hand.
    predictions
        Epochs, and PNG files of what the network found after them; empty where not at hand.
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
    """Write the report of an evaluation as one HTML file.

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
    """
    with report_style():
        sections = [
            Section("Scores", _scores(page)),
            Section("Precision and recall", _precision_recall(page)),
            Section("Calibration", _calibration(page)),
            Section("Found, missed, false alarms", [_confusion(page)]),
            Section("By size and contrast", _strata(page)),
            Section("Sizes of particles", _sizes(page)),
            Section("Image by image", _images(page)),
            Section("Worst misses", _crops(page.misses, "Annotated")),
            Section("Worst false alarms", _crops(page.false_alarms, "Predicted")),
            Section("Whole patches", _examples(page)),
            Section("Training", _training(page)),
            Section("Model card", _model_card(page)),
            Section("How it was done", [facts(page.how)]),
        ]
    write_page(path, title=page.title, lead=page.lead, sections=sections)


def _scores(page: EvaluationPage) -> list[Markup]:
    rows = page.scores.to_dict("records")
    blocks = [warnings(page.warnings)]
    if page.ceiling_source:
        blocks.append(
            paragraph(
                f"The ceiling is how well annotations agree with each other. {page.ceiling_source}"
            )
        )
    lines = [
        Line(
            row["score"],
            [Dot(row["value"], row["low"], row["high"])],
            Dot(row["ceiling"], row["ceiling_low"], row["ceiling_high"]),
        )
        for row in rows
        if row["bounded"] and not np.isnan([row["value"], row["ceiling"]]).all()
    ]
    if lines:
        told = ", ".join(f"{line.label} {_number(line.dots[0].value)}" for line in lines)
        figure = draw_dots(lines, between=(0, 1), title="score, with 95 % interval")
        blocks.append(svg(figure, "scores", f"Scores between 0 and 1: {told}."))
    blocks += [_score_table(page, group) for group in page.scores["group"].unique()]
    return blocks


def _score_table(page: EvaluationPage, group: str) -> Markup:
    chosen = page.scores[page.scores["group"] == group]
    shown = chosen[["score", "meaning", "value"]].assign(
        **{"95 % interval": _intervals(chosen, "low", "high")}
    )
    if page.ceiling_source:
        shown["ceiling"] = chosen["ceiling"]
        shown["its 95 % interval"] = _intervals(chosen, "ceiling_low", "ceiling_high")
    shown["images without it"] = chosen["undefined_images"].astype("Int64")
    return table(shown, f"Scores of {group}, pooled; and images in which each is undefined")


def _intervals(rows: pd.DataFrame, low: str, high: str) -> list[str]:
    return [
        NOTHING if np.isnan([a, b]).any() else f"{plain(a)} to {plain(b)}"
        for a, b in zip(rows[low].astype(float), rows[high].astype(float), strict=True)
    ]


def _precision_recall(page: EvaluationPage) -> list[Markup]:
    pixel_label = f"AP {_number(page.average_precision)}"
    particle_curves = {
        f"{name}, AP {_number(page.particle_ap[name])}": curve
        for name, curve in page.particle_curves.items()
    }
    figure = draw_precision_recall(
        {
            "pixels": ({pixel_label: page.pixel_curve}, page.operating_point, page.ceiling_point),
            "particles": (particle_curves, None, page.particle_ceiling_point),
        }
    )
    recall, precision = page.operating_point
    said = (
        f"Precision over recall. Pixels: {pixel_label}; used at recall {_number(recall)}, "
        f"precision {_number(precision)}{_ceiling(page.ceiling_point)}. Particles: "
        f"{'; '.join(particle_curves) or 'none'}{_ceiling(page.particle_ceiling_point)}. "
        "Curves vary the threshold alone. Where it is used, smallest area and peak, or a second "
        "look at candidates, decide as well: that point may lie off its curve."
    )
    return [svg(figure, "precision-recall", said)]


def _ceiling(point: Point | None) -> str:
    if point is None:
        return ""
    return f"; the ceiling at recall {_number(point[0])}, precision {_number(point[1])}"


def _calibration(page: EvaluationPage) -> list[Markup]:
    said = (
        f"Share of pixels that are annotated over predicted probability, and pixels in each class. "
        f"Expected calibration error {_number(page.ece)}."
    )
    return [
        svg(draw_reliability(page.reliability), "reliability", said),
        table(page.reliability, "Pixels by predicted probability"),
    ]


def _confusion(page: EvaluationPage) -> Markup:
    found, missed, alarms = page.confusion
    said = (
        f"Particles matched one to one at IoU ≥ 0.3: {found} found, {missed} missed, {alarms} "
        "false alarms. What is neither annotated nor predicted cannot be counted."
    )
    return svg(draw_confusion(found, missed, alarms), "confusion", said)


def _strata(page: EvaluationPage) -> list[Markup]:
    blocks = []
    point = page.particle_ceiling_point
    ceiling = None if point is None else dict(zip(("recall", "precision"), point, strict=True))
    for number, (title, classes) in enumerate(page.strata.items()):
        figure = draw_classes(classes, title, ceiling)
        said = f"Recall and precision by {title}, with the numbers of particles they come from."
        blocks.append(svg(figure, f"classes{number}", said))
        shown = classes.drop(columns=["lower", "upper"])
        shown.insert(0, title, class_names(classes))
        blocks.append(table(shown, f"Particles by {title}, matched at IoU ≥ 0.3"))
    return blocks


def _sizes(page: EvaluationPage) -> list[Markup]:
    sides = [
        f"{name} {area.size}" + (f" with median {np.median(area):.4g} px²" if area.size else "")
        for name, area in (
            ("annotated", page.annotated_area_px),
            ("predicted", page.predicted_area_px),
        )
    ]
    figure = draw_sizes(page.annotated_area_px, page.predicted_area_px)
    said = f"Areas of particles, in classes and cumulated: {', '.join(sides)}."
    return [svg(figure, "sizes", said), facts(page.size_facts)]


def _images(page: EvaluationPage) -> list[Markup]:
    frame = page.per_image
    said = (
        f"{len(frame)} images. Left: particles predicted over particles annotated, a larger disc "
        "for more images. Right: scores of images in order; without those in which a score is "
        f"undefined ({', '.join(f'{SHOWN[name]}: {frame[name].isna().sum()}' for name in SHOWN)})."
    )
    ceiling = _ceilings(page)
    listed = frame.sort_values("dice", kind="stable", na_position="last").head(MOST_ROWS)
    caption = "Images, the lowest Dice first"
    if len(listed) < len(frame):
        caption += f": {len(listed)} of {len(frame)}"
    return [svg(draw_images(frame, ceiling), "images", said), table(listed, caption)]


def _ceilings(page: EvaluationPage) -> dict[str, float]:
    known = page.scores.set_index("score")["ceiling"].reindex(list(SHOWN)).astype(float)
    return {str(name): float(value) for name, value in known.items()}


def _crops(crops: Sequence[Crop], side: str) -> list[Markup]:
    if not crops:
        return [paragraph("There are none.")]
    words = f"{side} particles without a match, the worst first; each in the middle of its picture"
    window = "unless an edge of the image is near. Grey values from 1 % to 99 % of each picture."
    return [paragraph(f"{words}, {window}"), outline_key(), crop_gallery(crops)]


def _examples(page: EvaluationPage) -> list[Markup]:
    return [outline_key(), example_gallery(page.examples)] if page.examples else []


def _training(page: EvaluationPage) -> list[Markup]:
    blocks = []
    if page.history:
        said = f"Loss, learning rate and scores over {len(page.history)} epochs of the training."
        blocks.append(svg(curves(page.history, _ceilings(page)), "training", said))
    prints = [
        picture(png, f"What the network found after epoch {epoch}")
        for epoch, png in page.predictions
    ]
    if prints:
        blocks.append(Markup('<div class="prints">{}</div>').format(Markup().join(prints)))
    return blocks


def _model_card(page: EvaluationPage) -> list[Markup]:
    text = render_markdown(page.model_card, level=3)
    return [Markup('<div class="prose">{}</div>').format(text)] if text else []


def _number(value: float) -> str:
    return "undefined" if np.isnan(value) else plain(float(value))
