"""The page of a comparison: what it shows, and odd comparisons."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from browsers import chromium, opened

from corroscope.errors import OutputError
from corroscope.report.comparison import ComparisonPage, write_comparison

NAMES = ["first", "<b>$x_$", "a third with a name that is longer than any figure has room for"]
SCORES = ["dice", "recall", "count_bias"]
NAN = float("nan")


def comparison(models: int = 3) -> ComparisonPage:
    names = NAMES[:models]
    values = pd.DataFrame(
        [
            (model, score, f"what {score} means", 0.5 + 0.1 * k, 0.4 + 0.1 * k, 0.6 + 0.1 * k)
            for k, model in enumerate(names)
            for score in SCORES
        ],
        columns=["model", "score", "meaning", "value", "low", "high"],
    )
    differences = pd.DataFrame(
        [
            (model, score, 0.1 * k, -0.05 if k == 1 else 0.02, 0.31, word)
            for k, (model, word) in enumerate(
                zip(names, ("", "not told apart", "better"), strict=False)
            )
            for score in SCORES
            if k
        ],
        columns=["model", "score", "difference", "low", "high", "verdict"],
    )
    images = pd.DataFrame(
        [
            (model, f"{number}.png", NAN if number == 7 else (number + k) / 20)
            for k, model in enumerate(names)
            for number in range(15)
        ],
        columns=["model", "image", "dice"],
    )
    return ComparisonPage(
        names,
        values,
        differences,
        images,
        drawn=["dice", "recall"],
        scattered=["dice"],
        ceiling={"dice": 0.8123},
        verdict=["The second cannot be told apart.", "The third is better."],
        warnings=["The third was trained on 4 of 15 patches."],
        how={"patches": 15},
    )


def written(page: ComparisonPage, folder: Path) -> str:
    write_comparison(page, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


def rows(text: str, caption: str) -> list[list[str]]:
    """Cells of the table with this caption."""
    table = text.split(caption, 1)[1].split("</table>")[0]
    return [
        re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row)
        for row in re.findall(r"<tr>(.*?)</tr>", table, flags=re.DOTALL)
    ]


def test_all_is_there(tmp_path: Path) -> None:
    text = written(comparison(), tmp_path)
    for words in (
        "Comparison of 3 models",
        "The third is better.",
        "The third was trained on 4 of 15 patches.",
        "Differences to first",
        "1 it is undefined for one of the two",
    ):
        assert words in text
    assert text.count("<svg") == 4  # differences, values, and the images of two models
    assert "<b>" not in text
    assert "&lt;b&gt;$x_$ minus first" in text


def test_tables_tell_values_and_differences(tmp_path: Path) -> None:
    text = written(comparison(), tmp_path)
    told = rows(text, "Pooled scores with their 95 % intervals.")
    assert told[0] == ["score", "meaning", "first", "&lt;b&gt;$x_$", NAMES[2], "ceiling"]
    assert told[1][2:4] == ["0.500 (0.400 to 0.600)", "0.600 (0.500 to 0.700)"]
    assert [row[-1] for row in told[1:]] == ["0.812", "–", "–"]
    changes = rows(text, f"<caption>{NAMES[2]} minus first")
    assert changes[1] == ["dice", "0.200", "0.020", "0.310", "better"]
    other = rows(text, "<caption>&lt;b&gt;$x_$ minus first")
    assert other[1] == ["dice", "0.100", "−0.050", "0.310", "not told apart"]


def test_images_are_counted_on_the_right_side(tmp_path: Path) -> None:
    text = written(comparison(2), tmp_path)
    assert "is higher in 14, lower in 0 of 15" in text
    turned = comparison(2)
    images = turned.per_image.assign(dice=1 - turned.per_image["dice"])
    assert "is higher in 0, lower in 14 of 15" in written(
        replace(turned, per_image=images), tmp_path
    )


def test_nothing_is_defined(tmp_path: Path) -> None:
    page = comparison(2)
    unknown = replace(
        page,
        scores=page.scores.assign(value=NAN, low=NAN, high=NAN),
        differences=page.differences.assign(difference=NAN, low=NAN, high=NAN),
        per_image=page.per_image.assign(dice=NAN),
        ceiling={},
        warnings=[],
    )
    text = written(unknown, tmp_path)
    assert "ceiling" not in text
    assert "in 15 it is undefined" in text
    assert "Warning" not in text
    assert not re.search(r"\bnan\b|None", text)


def test_values_without_intervals(tmp_path: Path) -> None:
    page = comparison(2)
    values = page.scores.assign(low=np.nan, high=np.nan)
    told = rows(written(replace(page, scores=values), tmp_path), "Pooled scores with their")
    assert told[1][2] == "0.500"


def test_the_same_page_each_time(tmp_path: Path) -> None:
    assert written(comparison(), tmp_path) == written(comparison(), tmp_path)


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nowhere"):
        write_comparison(comparison(), tmp_path / "nowhere" / "report.html")


def test_a_browser_has_nothing_to_complain_of(tmp_path: Path) -> None:
    written(comparison(), tmp_path)
    link = (tmp_path / "report.html").as_uri()
    with chromium() as browser:
        with opened(browser, link, width=360) as tab:
            assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        with opened(browser, link, checked=False) as tab:
            found = Axe().run(tab).response["violations"]
            assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []
