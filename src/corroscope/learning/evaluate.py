"""`corroscope evaluate`: a bundle against what annotators drew. Needs no torch."""

from pathlib import Path
from typing import Any

import pandas as pd

from corroscope.learning.dataset import dataset_hash, read_dataset
from corroscope.learning.judgement import (
    SEED,
    Judgement,
    judge_bundle,
    strata,
    summarise,
    warnings_of,
)
from corroscope.learning.pictured import picture
from corroscope.outputs import code_hash, output_folder, replacing, versions, write_json
from corroscope.report.evaluation import write_evaluation
from corroscope.report.examples import draw_examples
from corroscope.scoring.calibration import reliability_curve
from corroscope.scoring.curves import precision_recall_curve
from corroscope.scoring.detection import CRITERIA, detection_curve
from corroscope.scoring.scores import scores
from corroscope.segmentation.bundle import load_bundle
from corroscope.segmentation.engines import EngineName, Precision
from corroscope.segmentation.segmenter import Segmenter


def evaluate(
    dataset: str | Path,
    *,
    out: str | Path,
    model: str | Path | None = None,
    trained_on: str | Path | None = None,
    engine: EngineName = "openvino",
    precision: Precision = "auto",
    tta: bool = False,
    threshold: float | None = None,
    min_area: int | None = None,
    peak: float | None = None,
) -> dict[str, Any]:
    """Score a bundle on annotated patches, at its own operating point unless another is given.

    Writes ``report.html``, and its figures as ``metrics.json``, ``per_image.csv``,
    ``particles.csv``, ``pixel_curve.csv``, ``particle_curve.csv``, ``reliability.csv`` and
    ``strata.csv``; ``examples.png`` and ``manifest.json``.

    Parameters
    ----------
    dataset
        Folder of images and masks.
    out
        Output folder, made if missing.
    model
        Bundle folder; without it, the bundle that comes with corroscope.
    trained_on
        Folder of the images that the bundle was trained on. Patches that show the same surface,
        if only in part or at another time, are told apart.
    engine, precision
        As in `corroscope.segmentation.engines.start_engine`.
    tta
        Average over the eight ways in which a frame can lie, at eight times the cost.
    threshold, min_area, peak
        As in `corroscope.segment`. With the bundle's own ``threshold`` and ``peak`` given, patches
        are judged at the operating point of a run, though without its reference.

    Returns
    -------
    dict
        What ``metrics.json`` holds: pooled ``scores``, ``intervals_95`` over pieces of surface,
        ``agreement`` of the annotator with himself, ``seen_in_training``, the number of patches
        that the bundle was trained on, and ``tainted``, of those that share surface with them.
        Where these are not 0 the scores measure memory; ``untainted`` has those of the others.

    Raises
    ------
    DatasetError, FrameError
        If a dataset cannot be read.
    BundleError
        If the bundle cannot.
    SettingsError
        If threshold, smallest area or peak is out of range.
    """
    bundle = load_bundle(model)
    patches = read_dataset(dataset)
    trained = None if trained_on is None else read_dataset(trained_on, annotated_only=True)
    segmenter = Segmenter(
        bundle,
        engine=engine,
        precision=precision,
        tta=tta,
        threshold=threshold,
        min_area_px=min_area,
        peak=peak,
    )
    folder = output_folder(out)
    found = judge_bundle(dataset, patches, trained, segmenter)
    metrics = summarise(found)
    metrics["warnings"] = warnings_of(metrics)
    _write_tables(found, folder)
    manifest = {
        "command": "evaluate",
        "versions": versions("numpy", "openvino", "onnxruntime", "cv2"),
        "code_sha256": code_hash(),
        "bundle": {"name": bundle.card.name, "network_sha256": bundle.card.network_sha256},
        "dataset_sha256": dataset_hash(patches),
        "trained_on_sha256": None if trained is None else dataset_hash(trained),
        "seed": SEED,
        "settings": {
            "engine": segmenter.engine.name,
            "device": segmenter.engine.device,
            "precision": segmenter.engine.precision,
            "tta": tta,
            **segmenter.asked(compared=False),
        },
    }
    page = picture(found, metrics, manifest)
    draw_examples(page.examples, folder / "examples.png")
    write_evaluation(page, folder / "report.html")
    write_json(folder / "metrics.json", metrics)
    write_json(folder / "manifest.json", manifest)
    return metrics


def _write_tables(found: Judgement, folder: Path) -> None:
    """The numbers behind every figure."""
    measured = found.measured
    patches = zip(
        found.patches,
        found.surfaces,
        found.clusters.labels,
        found.seen,
        found.tainted,
        measured.counts,
        strict=True,
    )
    rows = [
        {
            "image": patch.name,
            "surface": int(surface),
            "cluster": int(cluster),
            "seen_in_training": bool(was_seen),
            "tainted": bool(is_tainted),
        }
        | vars(one)
        | scores(one)
        for patch, surface, cluster, was_seen, is_tainted, one in patches
    ]
    curves = [
        detection_curve(measured.candidates, criterion).assign(criterion=criterion)
        for criterion in CRITERIA
    ]
    classes = [table.assign(by=column) for column, table in strata(measured.particles).items()]
    tables = {
        "per_image": pd.DataFrame(rows),
        "particles": measured.particles,
        "pixel_curve": precision_recall_curve(measured.histograms),
        "particle_curve": pd.concat(curves, ignore_index=True),
        "reliability": reliability_curve(measured.reliability),
        "strata": pd.concat(classes, ignore_index=True),
    }
    for name, table in tables.items():
        with replacing(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
