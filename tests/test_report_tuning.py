"""The page of a search: what it shows, and odd searches."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from browsers import chromium, opened

from corroscope.errors import OutputError
from corroscope.report.tuning import TuningPage, write_tuning

ODD = '"<b>$x_$"'
"""A choice that must come out as it is."""


def search(trials: int = 14) -> TuningPage:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "trial": range(trials),
            "state": ["pruned" if k % 4 == 3 else "complete" for k in range(trials)],
            "value": np.round(0.5 + 0.02 * np.arange(trials), 3),
            "duration_s": 400.0 + np.arange(trials),
            "architecture": [ODD if k % 2 else '"unet"' for k in range(trials)],
            "widths": ["[8, 16, 48, 96]" if k % 3 else "[8, 16]" for k in range(trials)],
            "learning_rate": 10 ** rng.uniform(-3, -2, trials),
            "batch_size": rng.integers(4, 9, trials),
        }
    )
    held_out = pd.DataFrame(
        [
            ("dice", "Dice of pixels", 0.68, 0.71, 0.01, 0.05),
            ("count_bias", "predicted over annotated, minus 1", -0.1, *[float("nan")] * 3),
        ],
        columns=["score", "meaning", "default", "best", "low", "high"],
    )
    return TuningPage(
        table,
        default_trial=0,
        best_trial=int(table[table["state"] == "complete"]["trial"].iloc[-1]),
        sentence="The best is better than the default: Dice 0.68 → 0.71.",
        held_out=held_out,
        importance={"learning_rate": 0.7, "widths": 0.2, "architecture": 0.1, "batch_size": 0.0},
        logarithmic=["learning_rate"],
        lead=["Fourteen trials."],
        how={"folds": 3},
    )


def written(page: TuningPage, folder: Path) -> str:
    write_tuning(page, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


def titles(text: str) -> list[str]:
    return re.findall(r"<h2[^>]*>([^<]+)</h2>", text)


def test_all_parts_are_there(tmp_path: Path) -> None:
    text = written(search(), tmp_path)
    assert titles(text) == [
        "Contents",
        "On surface held out",
        "Course of the search",
        "The best trials",
        "Which settings matter",
        "Value against each setting",
        "How long trials took",
        "How it was done",
    ]
    assert "The best is better than the default: Dice 0.68 → 0.71." in text
    assert text.count("<svg") == 4
    assert "Of those ended early (3)" in text
    assert "95 min for all" in text  # 14 trials of 400 to 413 s


def test_the_ten_best_complete_trials_are_told(tmp_path: Path) -> None:
    text = written(search(), tmp_path)
    assert "The 10 best of 11 complete trials" in text
    heads = re.findall(r'<th scope="col"[^>]*>([^<]+)</th>', text.split("<caption>The 10 best")[1])
    # Values rise with the number; 3, 7 and 11 were ended early, and 0 is the worst.
    assert heads == [
        "trial", "13 (best)", "12", "10", "9", "8", "trial", "6", "5", "4", "2", "1",
    ]  # fmt: skip
    assert "[8, 16, 48, 96]" in text
    assert ">0.76<" in text  # of trial 13


def test_choices_come_out_as_they_are(tmp_path: Path) -> None:
    text = written(search(), tmp_path)
    assert "&lt;b&gt;$x_$" in text
    assert "<b>" not in text


def test_the_same_page_each_time(tmp_path: Path) -> None:
    assert written(search(), tmp_path) == written(search(), tmp_path)


def test_one_trial(tmp_path: Path) -> None:
    page = replace(search(1), importance={}, best_trial=0)
    text = written(page, tmp_path)
    assert "0 (default, best)" in text
    assert "All complete trials" in text
    assert "Too few trials were completed" in text
    assert "ended early" not in text


def test_all_ended_early_but_the_default(tmp_path: Path) -> None:
    page = search()
    table = page.trials.assign(state=["complete", *["pruned"] * 13])
    text = written(replace(page, trials=table, best_trial=0, importance={}), tmp_path)
    assert "Of those ended early (13)" in text
    heads = re.findall(
        r'<th scope="col"[^>]*>([^<]+)</th>', text.split("<caption>All complete trials")[1]
    )
    assert heads == ["trial", "0 (default, best)"]


def test_none_complete(tmp_path: Path) -> None:
    page = search()
    table = page.trials.assign(state="pruned")
    assert "No trial was completed." in written(replace(page, trials=table), tmp_path)


def test_unknown_values(tmp_path: Path) -> None:
    page = search()
    table = page.trials.astype({"batch_size": float})
    table["value"] = table["value"].where(table["trial"] != 3)
    table["duration_s"] = table["duration_s"].where(table["trial"] != 13)
    table["batch_size"] = table["batch_size"].where(table["trial"] > 5)
    table["architecture"] = table["architecture"].where(table["trial"] != 4, None)
    text = written(replace(page, trials=table), tmp_path)
    assert ">unknown<" in text
    assert not re.search(r"\bnan\b|>None<", text)


@pytest.mark.parametrize("settings", [0, 1, 3, 4])
def test_any_number_of_settings(tmp_path: Path, settings: int) -> None:
    page = search()
    varied = page.settings[:settings]
    table = page.trials[["trial", "state", "value", "duration_s", *varied]]
    shares = {name: page.importance[name] for name in varied}
    text = written(replace(page, trials=table, importance=shares), tmp_path)
    assert ("Value against each setting" in titles(text)) == (settings > 0)
    assert ("Too few trials" in text) == (settings == 0)


def test_a_factor_of_zero_is_drawn_without_logarithm(tmp_path: Path) -> None:
    page = search()
    table = page.trials.assign(learning_rate=0.0)
    assert "<svg" in written(replace(page, trials=table), tmp_path)


def test_without_what_was_held_out(tmp_path: Path) -> None:
    text = written(replace(search(), held_out=pd.DataFrame()), tmp_path)
    assert "On surface held out" not in titles(text)


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nowhere"):
        write_tuning(search(), tmp_path / "nowhere" / "report.html")


def test_a_browser_has_nothing_to_complain_of(tmp_path: Path) -> None:
    written(search(), tmp_path)
    link = (tmp_path / "report.html").as_uri()
    with chromium() as browser:
        with opened(browser, link, width=360) as tab:
            assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        with opened(browser, link, checked=False) as tab:
            found = Axe().run(tab).response["violations"]
            assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []
