"""`corroscope evaluate`: a bundle against what annotators drew. Needs no torch."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components

from corroscope.learning.dataset import dataset_hash, frame_hash, read_dataset
from corroscope.learning.judge import count_at, finite, finite_or_none
from corroscope.learning.surfaces import shared_surface
from corroscope.outputs import output_folder, replacing, versions, write_json
from corroscope.report.examples import Example, draw_examples
from corroscope.scoring.bootstrap import intervals
from corroscope.scoring.counts import Counts
from corroscope.scoring.scores import scores
from corroscope.segmentation.bundle import load_bundle
from corroscope.segmentation.engines import EngineName, Precision
from corroscope.segmentation.segmenter import Segmenter


def evaluate(
    dataset: str | Path,
    *,
    out: str | Path,
    model: str | Path | None = None,
    engine: EngineName = "openvino",
    precision: Precision = "auto",
) -> dict[str, Any]:
    """Score a bundle on annotated patches, at its own threshold and smallest area.

    Writes ``metrics.json``, ``per_image.csv``, ``examples.png`` and ``manifest.json``.

    Parameters
    ----------
    dataset
        Folder of images and masks.
    out
        Output folder, made if missing.
    model
        Bundle folder; without it, the bundle that comes with corroscope.
    engine, precision
        As in `corroscope.segmentation.engines.start_engine`.

    Returns
    -------
    dict
        What ``metrics.json`` holds: pooled ``scores``, ``intervals_95`` by bootstrap
        over surfaces, and ``seen_in_training``, the number of patches that the bundle
        was trained on. Where that is not 0 the scores measure memory.

    Raises
    ------
    DatasetError, FrameError
        If the dataset cannot be read.
    BundleError
        If the bundle cannot.
    """
    bundle = load_bundle(model)
    patches = read_dataset(dataset)
    segmenter = Segmenter(bundle, engine=engine, precision=precision)
    folder = output_folder(out)
    counts: list[Counts] = []
    examples: list[Example] = []
    for patch in patches:
        found = segmenter(patch.frame)
        counts.append(
            count_at(patch, found.probability, segmenter.threshold, segmenter.min_area_px)
        )
        examples.append(Example(patch.name, patch.frame, patch.mask, found.labels > 0))
    surfaces, of_patch = connected_components(shared_surface(patches), directed=False)
    known = set(bundle.card.training.get("frames_sha256", ()))
    seen = [frame_hash(patch)[:16] in known for patch in patches]
    bounds = intervals(counts, of_patch.tolist(), np.random.default_rng(0))
    metrics: dict[str, Any] = {
        "patches": len(patches),
        "surfaces": int(surfaces),
        "seen_in_training": sum(seen),
        "scores": finite(scores(sum(counts, Counts()))),
        "intervals_95": {
            name: [finite_or_none(low), finite_or_none(high)]
            for name, (low, high) in bounds.items()
        },
    }
    manifest = {
        "command": "evaluate",
        "versions": versions("numpy", "openvino", "onnxruntime", "cv2"),
        "bundle": {"name": bundle.card.name, "network_sha256": bundle.card.network_sha256},
        "dataset_sha256": dataset_hash(patches),
        "settings": {
            "engine": segmenter.engine.name,
            "device": segmenter.engine.device,
            "precision": segmenter.engine.precision,
            "threshold": segmenter.threshold,
            "min_area_px": segmenter.min_area_px,
        },
    }
    per_image = pd.DataFrame(
        [
            {"image": patch.name, "surface": int(surface), "seen_in_training": was_seen}
            | vars(one)
            | scores(one)
            for patch, surface, was_seen, one in zip(patches, of_patch, seen, counts, strict=True)
        ]
    )
    with replacing(folder / "per_image.csv") as temporary:
        per_image.to_csv(temporary, index=False, float_format="%.6g")
    draw_examples(examples, folder / "examples.png")
    write_json(folder / "metrics.json", metrics)
    write_json(folder / "manifest.json", manifest)
    return metrics
