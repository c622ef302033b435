"""Which detection efficiency counts are corrected by: the shipped one, or that of an evaluation."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from corroscope.errors import BundleError, OutputError
from corroscope.scoring.efficiency import Efficiency, calibrate
from corroscope.segmentation.bundle import SHIPPED
from corroscope.segmentation.segmenter import Segmenter

SHIPPED_TABLE: Final = "efficiency.csv"
"""In the folder of the shipped bundle: `corroscope.scoring.efficiency.Efficiency.table`."""
SHIPPED_FACTS: Final = "efficiency.json"
"""Beside it: classes, operating point, and where it was measured."""

_JUDGED: Final = ("image", "side", "area_px", "partner_area_px", "matched_iou_30")
_PIXELS: Final = ("true_positive", "false_positive", "false_negative", "true_negative")


def read_efficiency(folder: str | Path | None = None) -> tuple[Efficiency, dict[str, Any]]:
    """Read what is known of misses and false finds.

    Parameters
    ----------
    folder
        What ``corroscope evaluate`` wrote; without it, the efficiency of the shipped bundle on
        synthetic runs.

    Returns
    -------
    efficiency : Efficiency
        Its ``source`` says where it was measured.
    settings : dict
        ``network_sha256``, ``threshold``, ``min_area_px``, ``peak``, ``rescored`` and ``tta`` that
        it was measured with.

    Raises
    ------
    OutputError
        If the evaluation is incomplete or broken, or has no particles.
    BundleError
        If the shipped table is.

    Examples
    --------
    >>> efficiency, settings = read_efficiency()
    >>> efficiency.min_area_px == settings["min_area_px"]
    True
    """
    return _read_shipped(SHIPPED) if folder is None else _read_evaluation(Path(folder))


def operating_point_remark(settings: dict[str, Any], segmenter: Segmenter) -> str | None:
    """Say where an efficiency was measured with something else than what a run uses.

    Parameters
    ----------
    settings
        As from `read_efficiency`.
    segmenter
        Of the run.

    Returns
    -------
    str or None
        A sentence; None where all is the same. Counts must not be corrected otherwise.

    Examples
    --------
    >>> _, settings = read_efficiency()
    >>> operating_point_remark(settings, Segmenter(min_area_px=9))
    'Counts are not corrected: the efficiency was measured with smallest area 5, not 9.'
    """
    used = {
        "network_sha256": segmenter.bundle.card.network_sha256,
        "threshold": segmenter.threshold,
        "min_area_px": segmenter.min_area_px,
        "peak": segmenter.peak,
        "tta": segmenter.tta,
    }
    names = {
        "network_sha256": "network",
        "threshold": "threshold",
        "min_area_px": "smallest area",
        "peak": "peak",
        "tta": "test-time augmentation",
    }
    other = [
        f"{names[name]} {_short(settings[name])}, not {_short(value)}"
        for name, value in used.items()
        if settings[name] != value
    ]
    if settings["rescored"]:
        other.append(
            "a second look at single frames, which a run does not take (evaluate with --threshold "
            f"{segmenter.threshold:g} --peak {segmenter.peak:g} --min-area "
            f"{segmenter.min_area_px})"
        )
    if not other:
        return None
    return f"Counts are not corrected: the efficiency was measured with {'; '.join(other)}."


def _short(value: object) -> str:
    return str(value)[:12]


def _read_shipped(folder: Path) -> tuple[Efficiency, dict[str, Any]]:
    try:
        facts = json.loads((folder / SHIPPED_FACTS).read_text(encoding="utf-8"))
        table = pd.read_csv(folder / SHIPPED_TABLE, dtype=np.int64)
        edges = (*(float(edge) for edge in facts["area_edges_px"]), np.inf)
        counts = np.zeros((int(table["cluster"].max()) + 1, len(edges), len(edges)), np.int64)
        at = tuple(table[name].to_numpy() for name in ("cluster", "true_bin", "found_bin"))
        counts[at] = table["count"]
        field_px = np.full(len(counts), float(facts["field_px"]))
        efficiency = Efficiency(edges, counts, str(facts["source"]), field_px)
        settings = {
            name: facts[name]
            for name in ("network_sha256", "threshold", "min_area_px", "peak", "tta")
        }
        settings["rescored"] = False  # the runs were compared with a reference
    except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise BundleError(
            f"{folder}: the table of detection efficiency is incomplete or broken ({reason}); "
            "install corroscope again"
        ) from error
    return efficiency, settings


def _read_evaluation(folder: Path) -> tuple[Efficiency, dict[str, Any]]:
    try:
        judged = pd.read_csv(folder / "particles.csv", usecols=[*_JUDGED])
        images = pd.read_csv(
            folder / "per_image.csv",
            usecols=["image", "cluster", "seen_in_training", "tainted", *_PIXELS],
        )
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        settings = {
            name: manifest["settings"][name] for name in ("threshold", "min_area_px", "tta")
        }
        # Evaluations from before there were peaks dropped nothing for want of one.
        settings["peak"] = manifest["settings"].get("peak", 0.0)
        settings["rescored"] = manifest["settings"].get("rescoring") is not None
        settings["network_sha256"] = manifest["bundle"]["network_sha256"]
        judged = judged.astype({"area_px": "float64", "matched_iou_30": "bool"})
        judged = judged.merge(images, on="image", how="inner", validate="many_to_one")
        least = float(settings["min_area_px"])
        field_px = images[[*_PIXELS]].sum(axis=1).groupby(images["cluster"]).sum()
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise OutputError(
            f"{folder}: the evaluation is incomplete or broken ({reason}); evaluate again"
        ) from error
    if judged.empty:
        raise OutputError(
            f"{folder}: the evaluation has no particles; evaluate on patches that show some"
        )
    source = (
        f"Detection efficiency measured on {len(images)} annotated patches, "
        f"{images['cluster'].nunique()} pieces of surface, each frame without a reference "
        f"({folder.name})."
    )
    tainted = int((images["seen_in_training"] | images["tainted"]).sum())
    if tainted:
        source += (
            f" {tainted} of the patches show surface that the network was trained on, so that it "
            "may find fewer particles elsewhere."
        )
    return calibrate(judged, min_area_px=least, source=source, field_px=field_px), settings
