"""An evaluation as a page to look at: figures, the worst mistakes, the model card."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.learning.dataset import Patch
from corroscope.learning.judgement import Judgement, strata
from corroscope.learning.progress import PREDICTIONS, read_epochs
from corroscope.report.evaluation import EvaluationPage
from corroscope.report.examples import Example
from corroscope.report.gallery import Crop
from corroscope.scoring.calibration import reliability_curve
from corroscope.scoring.counts import Counts
from corroscope.scoring.curves import precision_recall_curve
from corroscope.scoring.detection import detection_curve
from corroscope.scoring.scores import SCORES, scores
from corroscope.segmentation.card import render_model_card

MOST_CROPS: Final = 12
"""Of misses, and of false alarms."""

MOST_EXAMPLES: Final = 12

CROP_PX: Final = 48
"""Side of what is shown round a mistake."""

_CRITERIA: Final = {
    "iou_30": "IoU ≥ 0.3",
    "iou_50": "IoU ≥ 0.5",
    "3px": "centroids ≤ 3 px apart",
}


def picture(
    found: Judgement, metrics: Mapping[str, Any], manifest: Mapping[str, Any]
) -> EvaluationPage:
    """Gather what the page of an evaluation shows.

    Parameters
    ----------
    found
        What the evaluation has found.
    metrics, manifest
        What it has written.

    Returns
    -------
    EvaluationPage
        For `corroscope.report.evaluation.write_evaluation`.
    """
    measured = found.measured
    total = sum(measured.counts, Counts())
    pooled = scores(total)
    ceiling = None if found.agreement is None else found.agreement.scores
    per_image = pd.DataFrame(
        {"image": patch.name, "annotated": one.annotated, "predicted": one.predicted}
        | {name: scores(one)[name] for name in ("dice", "particle_f1_iou30")}
        for patch, one in zip(found.patches, measured.counts, strict=True)
    )
    wrong = measured.particles[~measured.particles["matched_iou_30"]]
    missed = wrong[wrong["side"] == "annotated"]
    invented = wrong[wrong["side"] == "predicted"]
    misses = _worst(missed, missed["area_px"] * missed["contrast"].abs())
    alarms = _worst(invented, invented["area_px"] * invented["score"])
    chosen = _examples(per_image)
    masks = _predictions(found, {*misses["image"], *alarms["image"], *chosen})
    patches = {patch.name: patch for patch in found.patches}
    folder = found.bundle.folder.parent
    return EvaluationPage(
        title=f"Evaluation of {found.bundle.card.name}",
        lead=_lead(found, metrics),
        warnings=metrics["warnings"],
        scores=_score_rows(metrics),
        ceiling_source="" if found.agreement is None else _ceiling_source(metrics["agreement"]),
        pixel_curve=precision_recall_curve(measured.histograms),
        average_precision=_number(metrics["average_precision"]),
        operating_point=(pooled["recall"], pooled["precision"]),
        particle_curves={
            title: detection_curve(measured.candidates, f"matched_{name}")
            for name, title in _CRITERIA.items()
        },
        particle_ap={
            title: _number(metrics["particle_average_precision"][name])
            for name, title in _CRITERIA.items()
        },
        ceiling_point=None if ceiling is None else (ceiling["recall"], ceiling["precision"]),
        particle_ceiling_point=None
        if ceiling is None
        else (ceiling["particle_recall"], ceiling["particle_precision"]),
        reliability=reliability_curve(measured.reliability),
        ece=_number(metrics["calibration_error"]),
        strata={
            title: strata(measured.particles)[column]
            for column, title in (("area_px", "area in px²"), ("contrast", "contrast"))
        },
        annotated_area_px=_areas(measured.particles, "annotated"),
        predicted_area_px=_areas(measured.particles, "predicted"),
        size_facts={name: _number(value) for name, value in metrics["sizes"].items()},
        confusion=(
            total.matched_iou_30,
            total.annotated - total.matched_iou_30,
            total.predicted - total.matched_iou_30,
        ),
        per_image=per_image,
        misses=[_crop(row, patches, masks) for row in _rows(misses)],
        false_alarms=[_crop(row, patches, masks) for row in _rows(alarms)],
        examples=[
            Example(name, patches[name].frame, patches[name].mask, masks[name]) for name in chosen
        ],
        history=read_epochs(folder).history,
        predictions=list(_through_epochs(folder)),
        model_card=render_model_card(found.bundle.card),
        how=manifest,
    )


def _lead(found: Judgement, metrics: Mapping[str, Any]) -> list[str]:
    card, asked = found.bundle.card, found.segmenter.asked(compared=False)
    least = f"at least {asked['min_area_px']} px"
    if found.segmenter.rescoring is not None:
        how = (
            f"candidates of {asked['threshold']:g} or more, {least}, judged once more by what is "
            f"around them and kept from {found.segmenter.rescoring.decision:g}"
        )
    elif asked["peak"] > asked["threshold"]:
        how = (
            f"at a probability of {asked['threshold']:g} or more, {asked['peak']:g} or more in one "
            f"pixel, and {least}"
        )
    else:
        how = f"at a probability of {asked['threshold']:g} or more, {least}"
    return [
        f"{card.name} ({card.parameters:,} weights) on {metrics['patches']} patches of "
        f"{metrics['surfaces']} separate pieces of surface, {how}.",
        f"Scores are pooled over all patches; 95 % intervals are over "
        f"{metrics['intervals_over']}. What would be 0/0 is left empty and counted.",
    ]


def _score_rows(metrics: Mapping[str, Any]) -> pd.DataFrame:
    agreed = metrics["agreement"] or {"scores": {}, "intervals_95": {}}
    rows = []
    for name, score in SCORES.items():
        low, high = metrics["intervals_95"][name]
        ceiling_low, ceiling_high = agreed["intervals_95"].get(name, (None, None))
        rows.append(
            {
                "score": name,
                "meaning": score.meaning,
                "group": "particles" if _is_of_particles(name) else "pixels",
                "bounded": (score.lowest, score.highest) == (0, 1),
                "value": metrics["scores"][name],
                "low": low,
                "high": high,
                "ceiling": agreed["scores"].get(name),
                "ceiling_low": ceiling_low,
                "ceiling_high": ceiling_high,
                "undefined_images": metrics["per_image"][name]["undefined"],
            }
        )
    table = pd.DataFrame(rows)
    figures = [column for column in table if column not in ("score", "meaning", "group", "bounded")]
    return table.astype(dict.fromkeys(figures, np.float64))


def _is_of_particles(name: str) -> bool:
    return name.startswith(("particle", "count", "area", "false"))


def _ceiling_source(agreed: Mapping[str, Any]) -> str:
    return (
        f"The annotator against himself, from {agreed['source']}: {agreed['pairs']} pairs, "
        f"{agreed['particles']:g} particles."
    )


def _worst(table: pd.DataFrame, weight: pd.Series) -> pd.DataFrame:
    order = weight.sort_values(ascending=False, kind="stable").index[:MOST_CROPS]
    return table.loc[order]


def _examples(per_image: pd.DataFrame) -> list[str]:
    """Evenly spaced from the worst to the best; those without any particle are in between."""
    names = per_image.sort_values("dice", kind="stable")["image"].tolist()
    picks = np.linspace(0, len(names) - 1, min(MOST_EXAMPLES, len(names))).round().astype(int)
    return [names[i] for i in picks]


def _predictions(found: Judgement, names: set[str]) -> dict[str, NDArray[np.bool_]]:
    """Segmented once more, for keeping all would take memory in proportion to the dataset."""
    return {
        patch.name: found.segmenter(patch.frame).labels > 0
        for patch in found.patches
        if patch.name in names
    }


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _crop(
    row: Mapping[str, Any],
    patches: Mapping[str, Patch],
    masks: Mapping[str, NDArray[np.bool_]],
) -> Crop:
    patch = patches[row["image"]]
    inside = []
    for position, length in zip((row["y_px"], row["x_px"]), patch.shape, strict=True):
        side = min(CROP_PX, length)
        start = min(max(round(position) - side // 2, 0), length - side)
        inside.append(slice(start, start + side))
    place = (inside[0], inside[1])
    return Crop(
        row["image"],
        float(row["y_px"]),
        float(row["x_px"]),
        patch.frame[place],
        patch.mask[place],
        masks[row["image"]][place],
        int(row["area_px"]),
        float(row["contrast"]),
        float(row["score"]),
    )


def _areas(particles: pd.DataFrame, side: str) -> NDArray[np.float64]:
    return particles.loc[particles["side"] == side, "area_px"].to_numpy(np.float64)


def _through_epochs(folder: Path) -> Iterator[tuple[int, bytes]]:
    for path in sorted((folder / PREDICTIONS).glob("epoch*.png")):
        yield int(path.stem.removeprefix("epoch")), path.read_bytes()


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
