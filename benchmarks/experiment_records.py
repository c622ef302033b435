"""What is kept of a row of `experiments.py`: counts of every patch, so that any two can be paired.

Networks and probabilities of a row are large and belong to one machine; its counts are a small
file beside this one, from which tables and paired intervals are made without training anything.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corroscope.learning.clusters import clusters_of
from corroscope.learning.judge import Judged, near_objects
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
EIGHT_WAYS: Final = ", eight ways"
RESCORED: Final = ", rescored"
TOLD: Final = ", told"
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
        Cost of all networks, None where it is not known, and the size of one.
    """

    settings: Mapping[str, Any]
    counts: Mapping[str, Counts]
    clusters: Mapping[str, int]
    near: Reliability
    processor_min: float | None
    parameters: float


def judged_record(
    judged: Judged,
    counts: Sequence[Counts],
    shared: NDArray[np.bool_],
    settings: Mapping[str, Any],
    processor_min: float | None,
    parameters: float,
) -> Record:
    """What is kept of what a row's networks found on patches that they have not seen."""
    names = [patch.name for patch in judged.patches]
    labels = clusters_of(shared).labels.tolist()
    return Record(
        settings,
        dict(zip(names, counts, strict=True)),
        dict(zip(names, labels, strict=True)),
        near_objects(judged),
        processor_min,
        parameters,
    )


def write_records(records: Mapping[str, Record]) -> None:
    """Keep rows."""
    for name, record in records.items():
        _write(name, record)


def _write(name: str, record: Record) -> None:
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
            "row": name,
            "settings": dict(record.settings),
            "processor_min": record.processor_min and round(record.processor_min, 1),
            "parameters": record.parameters,
            "near": near,
            "patches": patches,
        },
    )


def read_records(order: Iterable[str]) -> dict[str, Record]:
    """All rows that were kept, by name; those of an order first, as they come there."""
    kept = [json.loads(path.read_text()) for path in sorted(RECORDS.glob("*.json"))]
    rows = {one["row"]: _record(one) for one in kept}
    names = [*(name for name in order if name in rows), *rows]
    return {name: rows[name] for name in dict.fromkeys(names)}


def _record(kept: Mapping[str, Any]) -> Record:
    clusters = {patch: row["cluster"] for patch, row in kept["patches"].items()}
    counts = {
        patch: Counts(**{field: value for field, value in row.items() if field != "cluster"})
        for patch, row in kept["patches"].items()
    }
    near = Reliability(**{field: np.array(values) for field, values in kept["near"].items()})
    return Record(
        kept["settings"], counts, clusters, near, kept["processor_min"], kept["parameters"]
    )


def file_name(row: str) -> str:
    """A row's name as that of a file or folder."""
    return row.replace(",", "").replace(" ", "-")


def table(records: Mapping[str, Record], baseline: str, *, alike: bool) -> str:
    """Rows in Markdown, with paired differences from one of them, where that is there.

    Where ``alike``, from that one judged in the same way.
    """
    heads = [*SHOWN.values(), "ECE near",
             *(f"{what} − {baseline}'s" for what in PAIRED.values()), "cost, min",
             "parameters"]  # fmt: skip
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name, record in records.items():
        against = records.get(baseline + how_judged(name) if alike else baseline)
        patches = sorted(record.counts)
        counts = [record.counts[patch] for patch in patches]
        labels = [record.clusters[patch] for patch in patches]
        pooled = scores(sum(counts, Counts()))
        bounds = intervals(counts, labels, np.random.default_rng(0))
        cells = [
            f"{pooled[score]:{shown}.3f} ({low:{shown}.2f} to {high:{shown}.2f})"
            for score in SHOWN
            for shown, (low, high) in [("+" if score == "count_bias" else "", bounds[score])]
        ]
        cells.append(f"{expected_calibration_error(record.near):.3f}")
        cells += _changes(against, counts, patches, labels)
        cost = "" if record.processor_min is None else f"{record.processor_min:.0f}"
        cells += [cost, f"{record.parameters:,.0f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def how_judged(name: str) -> str:
    """The part of a row's name that says how its networks were judged."""
    how = next((end for end in (RESCORED, TOLD) if name.endswith(end)), "")
    return EIGHT_WAYS + how if name.removesuffix(how).endswith(EIGHT_WAYS) else how


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
