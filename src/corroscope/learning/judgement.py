"""What an evaluation has found, and its figures."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.learning.agreement import agreement
from corroscope.learning.clusters import Clusters, clusters_of
from corroscope.learning.dataset import Patch, frame_hash
from corroscope.learning.judge import finite, finite_bounds, finite_or_none
from corroscope.learning.measured import Measured, measure
from corroscope.learning.overlaps import find_overlaps
from corroscope.learning.surfaces import shared_surface, surface_groups, tainted, tainted_through
from corroscope.scoring.agreement import Agreement
from corroscope.scoring.bootstrap import intervals
from corroscope.scoring.calibration import expected_calibration_error
from corroscope.scoring.counts import Counts
from corroscope.scoring.curves import average_precision
from corroscope.scoring.detection import CRITERIA, detection_average_precision
from corroscope.scoring.scores import per_image, scores
from corroscope.scoring.sizes import area_errors, size_distance
from corroscope.scoring.strata import AREA_EDGES_PX, quantile_edges, stratify
from corroscope.segmentation.bundle import Bundle
from corroscope.segmentation.segmenter import Segmenter

CONTRAST_CLASSES: Final = 4

SEED: Final = 0
"""Of the resampling; so the same evaluation has the same intervals."""


@dataclass(frozen=True)
class Judgement:
    """What an evaluation has found.

    Attributes
    ----------
    bundle
        What was judged.
    segmenter
        The network at its operating point.
    patches
        On what.
    surfaces
        ``(n,)``, for each patch the number of its piece of surface.
    clusters
        What intervals are taken over.
    seen, tainted
        ``(n,)`` bool: patches that the bundle was trained on, and those that share surface with
        any that it was trained on.
    measured
        Counts, histograms and particles.
    agreement
        How well the annotator agrees with himself; None where nothing was annotated twice.
    """

    bundle: Bundle
    segmenter: Segmenter
    patches: Sequence[Patch]
    surfaces: NDArray[np.int64]
    clusters: Clusters
    seen: NDArray[np.bool_]
    tainted: NDArray[np.bool_]
    measured: Measured
    agreement: Agreement | None


def judge_bundle(
    dataset: str | Path,
    patches: list[Patch],
    trained: list[Patch] | None,
    segmenter: Segmenter,
) -> Judgement:
    """Segment patches and find out all there is to know of the result.

    Parameters
    ----------
    dataset
        Folder of the patches, where second annotations may lie.
    patches
        What was read there.
    trained
        Patches that the bundle was trained on, if they are at hand.
    segmenter
        The network at its operating point.

    Returns
    -------
    Judgement
        What was found.

    Raises
    ------
    DatasetError, FrameError, AnnotationError
        If a second annotation cannot be read.
    """
    bundle = segmenter.bundle
    overlaps = find_overlaps(patches)
    shared = shared_surface(patches, overlaps)
    surfaces = surface_groups(shared)
    known = set(bundle.card.training.get("frames_sha256", ()))
    seen = np.array([frame_hash(patch)[:16] in known for patch in patches])
    touched = tainted_through(shared, seen)
    if trained is not None:
        touched |= tainted(patches, trained)
    return Judgement(
        bundle,
        segmenter,
        patches,
        surfaces,
        clusters_of(shared),
        seen,
        touched,
        measure(patches, segmenter),
        agreement(dataset, np.random.default_rng(SEED), overlaps=overlaps),
    )


def summarise(found: Judgement) -> dict[str, Any]:
    """Put into figures what an evaluation has found.

    Parameters
    ----------
    found
        What it has found.

    Returns
    -------
    dict
        As `evaluate` returns it.
    """
    measured = found.measured
    rest = ~found.tainted
    number = int(found.surfaces.max()) + 1
    return {
        "patches": len(found.patches),
        "surfaces": number,
        "seen_in_training": int(found.seen.sum()),
        "tainted": int(found.tainted.sum()),
        **_scored(measured.counts, found.clusters.labels),
        "intervals_over": found.clusters.words,
        "average_precision": finite_or_none(average_precision(measured.histograms)),
        "calibration_error": finite_or_none(expected_calibration_error(measured.reliability)),
        "particle_average_precision": {
            criterion.removeprefix("matched_"): finite_or_none(
                detection_average_precision(measured.candidates, criterion)
            )
            for criterion in CRITERIA
        },
        "sizes": finite(
            area_errors(measured.particles)._asdict()
            | {"log_size_distance": size_distance(measured.particles)}
        ),
        "per_image": {
            name: finite(spread._asdict()) for name, spread in per_image(measured.counts).items()
        },
        "agreement": None if found.agreement is None else _agreed(found.agreement),
        "untainted": None
        if rest.all() or not rest.any()
        else {
            "patches": int(rest.sum()),
            **_scored(
                [one for one, kept in zip(measured.counts, rest, strict=True) if kept],
                found.clusters.labels[rest],
            ),
        },
    }


def warnings_of(metrics: Mapping[str, Any]) -> list[str]:
    """Say why scores may be better than they should be.

    Parameters
    ----------
    metrics
        As from `summarise`.

    Returns
    -------
    list of str
        One sentence each; empty where nothing is to be said.
    """
    told = []
    number = metrics["patches"]
    if metrics["seen_in_training"]:
        told.append(
            f"{metrics['seen_in_training']} of {number} patches were used to train this bundle: "
            "on them the scores measure memory."
        )
    through = metrics["tainted"] - metrics["seen_in_training"]
    if through:
        told.append(
            f"{through} more of {number} patches show surface that the bundle was trained on: its "
            "scratches and specks are known."
        )
    rest = metrics["untainted"]
    if rest is not None:
        figures = ", ".join(
            f"{title} {'undefined' if rest['scores'][name] is None else rest['scores'][name]}"
            for name, title in (("dice", "Dice"), ("particle_f1_iou30", "particle F1"))
        )
        told.append(f"On the {rest['patches']} patches of other surface: {figures}.")
    return told


def strata(particles: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Recall and precision by size and by contrast.

    Parameters
    ----------
    particles
        As in `corroscope.learning.measured.Measured`.

    Returns
    -------
    dict of str to pandas.DataFrame
        ``area_px`` in fixed classes, ``contrast`` in classes of equally many particles.
    """
    edges = {
        "area_px": AREA_EDGES_PX,
        "contrast": quantile_edges(particles, "contrast", CONTRAST_CLASSES),
    }
    return {
        column: stratify(particles, column, between, "matched_iou_30")
        for column, between in edges.items()
    }


def _scored(counts: Sequence[Counts], clusters: NDArray[np.int64]) -> dict[str, Any]:
    bounds = intervals(counts, clusters.tolist(), np.random.default_rng(SEED))
    return {"scores": finite(scores(sum(counts, Counts()))), "intervals_95": finite_bounds(bounds)}


def _agreed(found: Agreement) -> dict[str, Any]:
    return asdict(found) | {
        "scores": finite(found.scores),
        "intervals_95": finite_bounds(found.intervals_95),
    }
