"""A search as a page to look at."""

from typing import Any, Final

import pandas as pd

from corroscope.learning.search import Search
from corroscope.learning.space import Between
from corroscope.learning.verdict import Verdict
from corroscope.report.tuning import TuningPage
from corroscope.scoring.scores import SCORES

FIGURES: Final = ("default", "best", "low", "high")


def tuning_page(search: Search, verdict: Verdict, how: dict[str, Any]) -> TuningPage:
    """Gather what the page of a search shows.

    Parameters
    ----------
    search
        A search that is over.
    verdict
        What it has come to.
    how
        Its manifest.

    Returns
    -------
    TuningPage
        For `corroscope.report.tuning.write_tuning`.
    """
    asked, metrics = search.asked, verdict.metrics
    held_out = metrics["held_out"]
    rows = [
        {
            "score": name,
            "meaning": score.meaning,
            "default": held_out["default"][name],
            "best": held_out["best"][name],
            "low": held_out["difference_95"][name][0],
            "high": held_out["difference_95"][name][1],
        }
        for name, score in SCORES.items()
    ]
    counted = metrics["trials"]
    return TuningPage(
        trials=verdict.trials,
        default_trial=metrics["default"]["trial"],
        best_trial=metrics["best"]["trial"],
        sentence=verdict.sentence,
        held_out=pd.DataFrame(rows).astype(
            dict.fromkeys(("default", "best", "low", "high"), float)
        ),
        importance=metrics["importance"],
        logarithmic=[
            name for name, given in asked.space.items() if isinstance(given, Between) and given.log
        ],
        lead=[
            f"{counted['complete']} trials were completed, {counted['pruned']} ended early. Each "
            f"was judged by {asked.folds} folds that share no surface, after {asked.epochs} "
            "epochs; its value is the mean of pooled Dice and particle F1 at IoU 0.3.",
            f"{held_out['patches']} patches ({held_out['intervals_over']}) were set aside before "
            "the first trial.",
        ],
        how=how,
        value_label="mean of Dice and particle F1",
    )
