"""What a search has come to: its trials, and the best against the defaults on surface held out."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from corroscope.learning.clusters import clusters_of
from corroscope.learning.final import counts_held_out
from corroscope.learning.judge import finite, finite_bounds
from corroscope.learning.search import Search
from corroscope.learning.space import decoded
from corroscope.learning.study import DONE
from corroscope.scoring.bootstrap import difference_intervals, verdict
from corroscope.scoring.counts import Counts
from corroscope.scoring.scores import scores

DECIDING = ("dice", "particle_f1_iou30")
"""Scores of which one must be better, and none worse."""

LEAST_FOR_IMPORTANCE = 4
"""Completed trials below which the importance of a setting is not told."""

Word = Literal["better", "worse", "not told apart", "the default"]


@dataclass(frozen=True)
class Verdict:
    """What a search has come to.

    Attributes
    ----------
    word
        Whether the best configuration is better than the defaults on surface held out;
        ``the default`` where the defaults were the best that was found.
    sentence
        The same in words, with figures.
    metrics
        What ``metrics.json`` holds.
    trials
        One row for each trial: ``trial``, ``state``, ``value``, ``duration_s``, settings.
    """

    word: Word
    sentence: str
    metrics: dict[str, Any]
    trials: pd.DataFrame


def conclude(search: Search) -> Verdict:
    """Compare what was found with the defaults.

    Parameters
    ----------
    search
        A search that is over.

    Returns
    -------
    Verdict
        What it has come to.
    """
    finals = search.finals()
    best, default = search.study.best_trial, search.default_trial
    before, after = (counts_held_out(finals, which) for which in ("default", finals.judge_of_best))
    clusters = clusters_of(search.shared_held_out)
    rng = np.random.default_rng(search.asked.settings.seed)
    bounds = difference_intervals(before, after, clusters.labels.tolist(), rng)
    same = finals.best is finals.default
    word: Word = "the default" if same else _word(bounds)
    metrics = {
        "trials": {state.name.lower(): _number(search, state) for state in DONE},
        "best": {"trial": best.number, "value": best.value, "changed": _changed(best, default)},
        "default": {"trial": default.number, "value": default.value},
        "held_out": {
            "patches": len(search.held_out),
            "intervals_over": clusters.words,
            "default": finite(scores(sum(before, Counts()))),
            "best": finite(scores(sum(after, Counts()))),
            "difference_95": finite_bounds(bounds),
        },
        "verdict": word,
        "importance": _importance(search.study),
    }
    sentence = _sentence(word, metrics)
    return Verdict(word, sentence, metrics | {"sentence": sentence}, _table(search.study))


def _word(bounds: dict[str, tuple[float, float]]) -> Word:
    words = {verdict(name, bounds[name]) for name in DECIDING}
    if "worse" in words:
        return "worse"
    return "better" if "better" in words else "not told apart"


def _sentence(word: Word, metrics: dict[str, Any]) -> str:
    held = metrics["held_out"]
    on = f"{held['patches']} patches held out ({held['intervals_over']})"
    if word == "the default":
        return (
            f"No configuration did better than the default in cross-validation; on {on} it has "
            + (
                f"Dice {_shown(held['default']['dice'])} and particle F1 "
                f"{_shown(held['default']['particle_f1_iou30'])}."
            )
        )
    figures = "; ".join(
        f"{title} {_shown(held['default'][name])} → {_shown(held['best'][name])} "
        f"(95 % of the difference: {_shown(held['difference_95'][name][0], '+')} to "
        f"{_shown(held['difference_95'][name][1], '+')})"
        for name, title in zip(DECIDING, ("Dice", "particle F1"), strict=True)
    )
    starts = {
        "better": "The best configuration is better than the default",
        "worse": "The best configuration is worse than the default",
        "not told apart": "The best configuration cannot be told apart from the default",
    }
    return f"{starts[word]} on {on}: {figures}."


def _shown(value: float | None, sign: str = "") -> str:
    return "undefined" if value is None else format(value, f"{sign}.3f")


def _changed(best: FrozenTrial, default: FrozenTrial) -> dict[str, Any]:
    return {
        name: value
        for name, value in decoded(best.params).items()
        if best.params[name] != default.params[name]
    }


def _number(search: Search, state: TrialState) -> int:
    return len(search.study.get_trials(deepcopy=False, states=(state,)))


def _importance(study: optuna.Study) -> dict[str, float]:
    """Share of the spread of values that each setting explains; empty where too little is known."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len({trial.value for trial in complete}) < LEAST_FOR_IMPORTANCE:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: round(float(share), 4) for name, share in found.items()}


def _table(study: optuna.Study) -> pd.DataFrame:
    rows = [
        {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "value": _value(trial),
            "duration_s": None if trial.duration is None else trial.duration.total_seconds(),
            **trial.params,
        }
        for trial in study.get_trials(deepcopy=False, states=DONE)
    ]
    return pd.DataFrame(rows)


def _value(trial: FrozenTrial) -> float | None:
    """A pruned trial's value is what it had reached when it ended."""
    if trial.value is not None:
        return trial.value
    last = max(trial.intermediate_values, default=None)
    return None if last is None else trial.intermediate_values[last]
