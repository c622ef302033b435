"""Several evaluations on the same patches, side by side. Needs no torch."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.errors import DatasetError, OutputError
from corroscope.outputs import (
    MANIFEST,
    output_folder,
    read_manifest,
    replacing,
    versions,
    write_json,
)
from corroscope.report.comparison import ComparisonPage, write_comparison
from corroscope.scoring.bootstrap import difference_intervals, intervals, verdict
from corroscope.scoring.counts import Counts
from corroscope.scoring.scores import SCORES, scores

DECIDING: Final = {"dice": "Dice", "particle_f1_iou30": "particle F1"}
"""Scores that the word on a model is about: one must be better, and none worse."""

DRAWN: Final = (
    "dice", "precision", "recall", "particle_f1_iou30", "particle_precision", "particle_recall"
)  # fmt: skip
"""Scores with a figure; all are in the tables."""

SEED: Final = 0
"""Of the resampling; so the same comparison has the same intervals."""

_WORDS: Final = {"better": "better", "worse": "worse", "undecided": "not told apart"}

_COUNTED: Final = tuple(field.name for field in fields(Counts))

_TYPES: Final[dict[str, Any]] = {
    "image": str,
    "surface": "int64",
    "cluster": "int64",
    "seen_in_training": bool,
    "tainted": bool,
    **dict.fromkeys(_COUNTED, "float64"),
}
"""Columns of ``per_image.csv`` that are read."""


@dataclass(frozen=True)
class _Evaluation:
    """What an evaluation has written."""

    folder: Path
    dataset_sha256: str
    name: str  # of the bundle
    network_sha256: str
    settings: dict[str, Any]
    agreement: dict[str, Any] | None
    table: pd.DataFrame  # indexed by image
    counts: list[Counts]


class _Change(NamedTuple):
    """How a model differs from the first."""

    difference: dict[str, float]
    bounds: dict[str, tuple[float, float]]
    words: dict[str, str]


def compare_evaluations(folders: Sequence[Path], out: str | Path) -> dict[str, Any]:
    """Compare evaluations on one dataset; the others with the first.

    Differences have paired intervals, over what `corroscope.evaluate` took them over. Patches of
    surface that one of the models was trained on have no part in them; where there are no others,
    no model is called better.

    Writes ``report.html``, ``comparison.csv``, ``metrics.json`` and ``manifest.json``.

    Parameters
    ----------
    folders
        That ``corroscope evaluate`` has written, at least two.
    out
        Output folder, made if missing.

    Returns
    -------
    dict
        What ``metrics.json`` holds: ``models``, one for each result, with ``scores``,
        ``intervals_95`` and, but for the first, ``difference``, ``difference_95``, ``words`` by
        score, ``verdict`` (``better``, ``worse`` or ``not told apart``) and ``sentence``; the
        ``sentences`` of all; the ``warnings``; ``patches``, ``surfaces``, and the number of
        ``unknown_patches``, those that no model was trained on or near.

    Raises
    ------
    DatasetError
        If they are of different patches.
    OutputError
        If one is incomplete, or the output cannot be written.
    """
    evaluations = [_read_evaluation(folder) for folder in folders]
    _check_same(evaluations)
    folder = output_folder(out)
    names = _names(evaluations)
    first = evaluations[0]
    surfaces, clusters = (first.table[name].tolist() for name in ("surface", "cluster"))
    unknown = ~np.any([one.table["tainted"].to_numpy(bool) for one in evaluations], axis=0)
    warnings = _warnings(evaluations, names, unknown)
    models = []
    for name, one in zip(names, evaluations, strict=True):
        bounds = intervals(one.counts, clusters, np.random.default_rng(SEED))
        told: dict[str, Any] = {
            "name": name,
            "scores": scores(sum(one.counts, Counts())),
            "intervals_95": bounds,
            "seen_in_training": int(one.table["seen_in_training"].sum()),
            "tainted": int(one.table["tainted"].sum()),
        }
        if one is not first:
            change = _change(first, one, unknown)
            word, sentence = _judge(change, names[0], name, int(unknown.sum()))
            told |= {
                "difference": change.difference,
                "difference_95": change.bounds,
                "words": change.words,
                "verdict": word,
                "sentence": sentence,
            }
        models.append(told)
    metrics = {
        "patches": len(surfaces),
        "surfaces": len(set(surfaces)),
        "unknown_patches": int(unknown.sum()),
        "models": models,
        "sentences": [model["sentence"] for model in models[1:]],
        "warnings": warnings,
    }
    manifest = {
        "command": "compare",
        "versions": versions("numpy", "pandas"),
        "dataset_sha256": first.dataset_sha256,
        "seed": SEED,
        "results": [
            {
                "folder": str(one.folder.resolve()),
                "name": name,
                "network_sha256": one.network_sha256,
                "settings": one.settings,
            }
            for name, one in zip(names, evaluations, strict=True)
        ],
    }
    page = _page(evaluations, metrics, manifest)
    with replacing(folder / "comparison.csv") as temporary:
        page.scores.merge(
            page.differences.rename(columns={"low": "difference_low", "high": "difference_high"}),
            how="left", on=["model", "score"],
        ).drop(columns="meaning").to_csv(temporary, index=False, float_format="%.6g")  # fmt: skip
    write_comparison(page, folder / "report.html")
    plain: dict[str, Any] = _plain(metrics)
    write_json(folder / "metrics.json", plain)
    write_json(folder / MANIFEST, manifest)
    return plain


def _read_evaluation(folder: Path) -> _Evaluation:
    try:
        table = pd.read_csv(folder / "per_image.csv", dtype=_TYPES, usecols=[*_TYPES])
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        agreement = metrics["agreement"]
        manifest = read_manifest(folder)
        dataset, settings = manifest["dataset_sha256"], manifest["settings"]
        name, network = manifest["bundle"]["name"], manifest["bundle"]["network_sha256"]
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise OutputError(
            f"{folder}: the evaluation is incomplete or broken ({reason}); evaluate again"
        ) from error
    if table.empty or table.isna().any(axis=None) or table["image"].duplicated().any():
        raise OutputError(
            f"{folder}: per_image.csv has no image, one twice or one without counts; evaluate again"
        )
    counts = [
        Counts(**dict(zip(_COUNTED, row, strict=True)))
        for row in table[[*_COUNTED]].itertuples(index=False, name=None)
    ]
    return _Evaluation(
        folder, dataset, str(name), network, settings, agreement, table.set_index("image"), counts
    )


def _check_same(evaluations: Sequence[_Evaluation]) -> None:
    first = evaluations[0]
    for other in evaluations[1:]:
        both = f"{first.folder} and {other.folder}"
        if other.dataset_sha256 != first.dataset_sha256:
            raise DatasetError(f"{both}: evaluated on different datasets; evaluate on one")
        if other.table.index.tolist() != first.table.index.tolist():
            raise DatasetError(f"{both}: of different images; evaluate again")
        if not other.table[["surface", "cluster"]].equals(first.table[["surface", "cluster"]]):
            raise DatasetError(
                f"{both}: divided into surfaces differently; evaluate both with one version"
            )


def _names(evaluations: Sequence[_Evaluation]) -> list[str]:
    """Names of the bundles, with the folder where two have the same."""
    names = [one.name for one in evaluations]
    often = Counter(names)
    names = [
        name if often[name] == 1 else f"{name} ({one.folder.name})"
        for name, one in zip(names, evaluations, strict=True)
    ]
    often = Counter(names)
    return [
        name if often[name] == 1 else f"{name} [{number}]"
        for number, name in enumerate(names, start=1)
    ]


def _warnings(
    evaluations: Sequence[_Evaluation], names: Sequence[str], unknown: NDArray[np.bool_]
) -> list[str]:
    told = []
    for later, one in enumerate(evaluations):
        told += [
            f"{names[earlier]} and {names[later]} are the same network with the same settings."
            for earlier in range(later)
            if evaluations[earlier].network_sha256 == one.network_sha256
            and evaluations[earlier].settings == one.settings
        ]
    patches = len(unknown)
    for name, one in zip(names, evaluations, strict=True):
        seen, near = (int(one.table[column].sum()) for column in ("seen_in_training", "tainted"))
        if seen:
            told.append(
                f"{name} was trained on {seen} of {patches} patches: on them its scores measure "
                "memory."
            )
        if near > seen:
            told.append(
                f"{name} was trained on surface that {near - seen} more of {patches} patches show."
            )
    if not unknown.all():
        judged = int(unknown.sum())
        told.append(
            f"Differences and verdicts are of the {judged} patches of surface that no model was "
            "trained on; scores are of all."
            if judged
            else "There is no patch of surface that no model was trained on: differences are of "
            "all, and there is no verdict."
        )
    return told


def _change(first: _Evaluation, other: _Evaluation, unknown: NDArray[np.bool_]) -> _Change:
    """How the second differs from the first where neither can remember anything."""
    chosen = unknown if unknown.any() else ~unknown
    before, after = (
        [count for count, kept in zip(one.counts, chosen, strict=True) if kept]
        for one in (first, other)
    )
    clusters = first.table["cluster"][chosen].tolist()
    bounds = difference_intervals(before, after, clusters, np.random.default_rng(SEED))
    was, now = (scores(sum(counts, Counts())) for counts in (before, after))
    difference = {
        name: abs(now[name]) - abs(was[name])
        if score.better == "nearer to 0"
        else now[name] - was[name]
        for name, score in SCORES.items()
    }
    # Nothing is better for what it remembers.
    words = {
        name: _WORDS[verdict(name, bounds[name]) if unknown.any() else "undecided"]
        for name in SCORES
    }
    return _Change(difference, bounds, words)


def _judge(change: _Change, before: str, after: str, unknown: int) -> tuple[str, str]:
    """The word on a model, and a sentence with its figures."""
    if not unknown:
        return (
            _WORDS["undecided"],
            f"{after} cannot be judged against {before}: all patches show surface that a model "
            "was trained on.",
        )
    found = {change.words[name] for name in DECIDING}
    word = next((word for word in ("worse", "better") if word in found), _WORDS["undecided"])
    verb = "cannot be told apart from" if word == _WORDS["undecided"] else f"is {word} than"
    figures = "; ".join(
        f"{title} {_signed(change.difference[name])} ({_between(*change.bounds[name])})"
        for name, title in DECIDING.items()
    )
    return word, f"{after} {verb} {before} on {unknown} patches: {figures}."


def _signed(value: float) -> str:
    return "undefined" if np.isnan(value) else f"{value:+.3f}"


def _between(low: float, high: float) -> str:
    if np.isnan([low, high]).any():
        return "no interval: it is defined on too few pieces of surface"
    return f"95 %: {_signed(low)} to {_signed(high)}"


def _page(
    evaluations: Sequence[_Evaluation], metrics: Mapping[str, Any], manifest: Mapping[str, Any]
) -> ComparisonPage:
    models = metrics["models"]
    values = [
        {
            "model": model["name"],
            "score": name,
            "meaning": SCORES[name].meaning,
            "value": model["scores"][name],
            "low": model["intervals_95"][name][0],
            "high": model["intervals_95"][name][1],
        }
        for model in models
        for name in SCORES
    ]
    differences = [
        {
            "model": model["name"],
            "score": name,
            "difference": model["difference"][name],
            "low": model["difference_95"][name][0],
            "high": model["difference_95"][name][1],
            "verdict": model["words"][name],
        }
        for model in models[1:]
        for name in SCORES
    ]
    images = [
        {"model": model["name"], "image": image} | {name: scores(count)[name] for name in DECIDING}
        for model, one in zip(models, evaluations, strict=True)
        for image, count in zip(one.table.index, one.counts, strict=True)
    ]
    agreed = next((one.agreement for one in evaluations if one.agreement is not None), None)
    ceiling = {} if agreed is None else agreed["scores"]
    return ComparisonPage(
        names=[model["name"] for model in models],
        scores=pd.DataFrame(values),
        differences=pd.DataFrame(differences),
        per_image=pd.DataFrame(images),
        drawn=DRAWN,
        scattered=tuple(DECIDING),
        ceiling={name: value for name, value in ceiling.items() if value is not None},
        verdict=[model["sentence"] for model in models[1:]],
        warnings=metrics["warnings"],
        how={
            "patches": metrics["patches"],
            "surfaces": metrics["surfaces"],
            "dataset": manifest["dataset_sha256"],
            "results": {one["name"]: one["folder"] for one in manifest["results"]},
        },
    )


def _plain(value: Any) -> Any:
    """As JSON can hold it: numbers to four digits, None for what is undefined."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return round(value, 4) if np.isfinite(value) else None
    return value
