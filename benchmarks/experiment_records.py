"""What is kept of a row of `experiments.py`: counts of every patch, so that any two can be paired.

Networks and probabilities of a row are large and belong to one machine; its counts are a small
file beside this one, from which tables and paired intervals are made without training anything.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corroscope.learning.clusters import clusters_of
from corroscope.learning.judge import Judged, near_objects, nested_counts
from corroscope.outputs import output_folder, write_json
from corroscope.scoring.bootstrap import difference_intervals, intervals
from corroscope.scoring.calibration import Reliability, expected_calibration_error
from corroscope.scoring.counts import Counts
from corroscope.scoring.scores import scores

RECORDS: Final = Path(__file__).parent / "experiments"
SHOWN: Final = {
    "dice": "Dice", "particle_f1_iou30": "F1, IoU ≥ 0.3", "particle_f1_3px": "F1, 3 px",
    "count_bias": "count bias",
}  # fmt: skip
PAIRED: Final = {"dice": "Dice", "particle_f1_iou30": "F1"}


class Record(NamedTuple):
    """A row that has been judged.

    Attributes
    ----------
    settings
        Of the first of its networks, as asked for.
    counts, clusters
        For each patch, by its name: what is counted, and which piece of surface it shows.
    near
        Probabilities near objects, of all patches.
    processor_min, parameters
        Cost of all networks, and the size of one.
    """

    settings: Mapping[str, Any]
    counts: Mapping[str, Counts]
    clusters: Mapping[str, int]
    near: Reliability
    processor_min: float
    parameters: float


def judged_record(
    judged: Judged,
    shared: NDArray[np.bool_],
    settings: Mapping[str, Any],
    processor_min: float,
    parameters: float,
) -> Record:
    """Judge a row on patches that its networks have not seen, thresholds of other surface."""
    names = [patch.name for patch in judged.patches]
    counts = nested_counts(judged, shared)
    labels = clusters_of(shared).labels.tolist()
    return Record(
        settings,
        dict(zip(names, counts, strict=True)),
        dict(zip(names, labels, strict=True)),
        near_objects(judged),
        processor_min,
        parameters,
    )


def write_record(name: str, record: Record) -> None:
    """Keep a row."""
    patches = {
        patch: {
            "cluster": record.clusters[patch],
            **{field: value for field, value in asdict(counts).items() if value},
        }
        for patch, counts in sorted(record.counts.items())
    }
    near = {field: values.tolist() for field, values in asdict(record.near).items()}
    write_json(
        output_folder(RECORDS) / f"{file_name(name)}.json",
        {
            "settings": dict(record.settings),
            "processor_min": round(record.processor_min, 1),
            "parameters": record.parameters,
            "near": near,
            "patches": patches,
        },
    )


def read_record(name: str) -> Record | None:
    """A row that was kept; None where there is none."""
    path = RECORDS / f"{file_name(name)}.json"
    if not path.is_file():
        return None
    kept = json.loads(path.read_text())
    clusters = {patch: row.pop("cluster") for patch, row in kept["patches"].items()}
    return Record(
        kept["settings"],
        {patch: Counts(**row) for patch, row in kept["patches"].items()},
        clusters,
        Reliability(**{field: np.array(values) for field, values in kept["near"].items()}),
        kept["processor_min"],
        kept["parameters"],
    )


def file_name(row: str) -> str:
    """A row's name as that of a file or folder."""
    return row.replace(",", "").replace(" ", "-")


def table(records: Mapping[str, Record], baseline: str) -> str:
    """Rows in Markdown, with paired differences from one of them, where that is there."""
    heads = [*SHOWN.values(), "ECE near",
             *(f"{what} − {baseline}'s" for what in PAIRED.values()), "cost, min",
             "parameters"]  # fmt: skip
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    against = records.get(baseline)
    for name, record in records.items():
        patches = sorted(record.counts)
        counts = [record.counts[patch] for patch in patches]
        labels = [record.clusters[patch] for patch in patches]
        pooled = scores(sum(counts, Counts()))
        bounds = intervals(counts, labels, np.random.default_rng(0))
        cells = [
            f"{pooled[score]:.3f} ({bounds[score][0]:.2f} to {bounds[score][1]:.2f})"
            for score in SHOWN
        ]
        cells.append(f"{expected_calibration_error(record.near):.3f}")
        cells += _changes(against, counts, patches, labels)
        cells += [f"{record.processor_min:.0f}", f"{record.parameters:,.0f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _changes(
    against: Record | None, counts: Sequence[Counts], patches: Sequence[str], labels: Sequence[int]
) -> list[str]:
    if against is None or sorted(against.counts) != list(patches):
        return [""] * len(PAIRED)
    before = [against.counts[patch] for patch in patches]
    if before == list(counts):
        return [""] * len(PAIRED)
    bounds = difference_intervals(before, counts, labels, np.random.default_rng(0))
    earlier, later = (scores(sum(these, Counts())) for these in (before, counts))
    return [
        f"{later[score] - earlier[score]:+.3f} ({bounds[score][0]:+.3f} to {bounds[score][1]:+.3f})"
        for score in PAIRED
    ]
