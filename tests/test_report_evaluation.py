"""The report of an evaluation: what it says, what it must not do, and odd evaluations."""

import base64
import io
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from browsers import chromium
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.path import Path as Polygon
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page

from corroscope.errors import OutputError
from corroscope.report.evaluation import EvaluationPage, write_evaluation
from corroscope.report.examples import Example
from corroscope.report.gallery import Crop, crop_gallery, outline_path, outlined
from corroscope.report.markdown import render_markdown
from corroscope.report.page import (
    Section,
    facts,
    paragraph,
    picture,
    pixels,
    svg,
    table,
    warnings,
    write_page,
)

ODD = '<script>alert("x")</script> $x_$'
"""A name that must come out as it is."""

SHOWN_ODD = "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; $x_$"

CARD = """# Model card: <b>net</b>

Words with `code`.

- one

| score | value |
| --- | ---: |
| dice | 0.7 |
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def disc(size: int, radius: float) -> NDArray[np.bool_]:
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    inside: NDArray[np.bool_] = y**2 + x**2 < radius**2
    return inside


def example(name: str) -> Example:
    frame = np.random.default_rng(3).normal(120, 8, (64, 64)) - 40 * disc(64, 9)
    return Example(name, frame.astype(np.float32), disc(64, 9), disc(64, 7))


def crop(name: str) -> Crop:
    shown = example(name)
    return Crop(name, 8.4, 9.6, shown.frame, shown.annotation, shown.prediction, 253, 0.3)


def score(name: str, group: str, value: float, *, bounded: bool = True) -> dict[str, object]:
    return {
        "score": name, "meaning": f"meaning of {name}", "group": group, "bounded": bounded,
        "value": value, "low": value - 0.1, "high": value + 0.1, "ceiling": 0.9,
        "ceiling_low": 0.85, "ceiling_high": 0.95, "undefined_images": 2.0,
    }  # fmt: skip


def classes(edges: list[float]) -> pd.DataFrame:
    number = len(edges) - 1
    return pd.DataFrame(
        {
            "lower": edges[:-1], "upper": edges[1:], "annotated": [4] * number,
            "found": [3] * number, "recall": [0.75] * number, "predicted": [0] * number,
            "right": [0] * number, "precision": [np.nan] * number,
        }
    )  # fmt: skip


def per_image(images: int, name: str = "patch") -> pd.DataFrame:
    rng = np.random.default_rng(0)
    annotated = rng.integers(0, 9, images)
    dice = np.where(annotated == 0, np.nan, rng.uniform(0.3, 1, images))
    return pd.DataFrame(
        {
            "image": [f"{name}{k}.png" for k in range(images)], "annotated": annotated,
            "predicted": annotated + 1, "dice": dice, "particle_f1_iou30": dice,
        }
    )  # fmt: skip


def usual() -> EvaluationPage:
    recall = np.linspace(1, 0.1, 30)
    curve = pd.DataFrame({"recall": recall, "precision": 1 - recall / 2})
    edges = np.linspace(0, 1, 5)
    areas = np.random.default_rng(1).lognormal(3, 1, 90)
    return EvaluationPage(
        title=f"Evaluation of {ODD}",
        lead=[f"lead {ODD}"],
        warnings=[f"warning {ODD}"],
        scores=pd.DataFrame(
            [
                score("dice", "pixels", 0.7),
                score("iou", "pixels", np.nan),
                score("particle_f1_iou30", "particles", 0.8),
                score("count_bias", "particles", -0.25, bounded=False),
            ]
        ),
        ceiling_source="From 70 pairs.",
        pixel_curve=curve.assign(threshold=recall),
        average_precision=0.81,
        operating_point=(0.72, 0.75),
        particle_curves={"IoU ≥ 0.3": curve.assign(score=recall)},
        particle_ap={"IoU ≥ 0.3": 0.6},
        ceiling_point=(0.85, 0.86),
        particle_ceiling_point=(0.9, 0.88),
        reliability=pd.DataFrame(
            {
                "lower": edges[:-1], "upper": edges[1:], "pixels": [900, 40, 0, 30],
                "predicted": [0.1, 0.4, np.nan, 0.9], "observed": [0.1, 0.3, np.nan, 0.95],
            }
        ),
        ece=0.043,
        strata={
            "area in px²": classes([0, 20, 80, np.inf]),
            "contrast": classes([-np.inf, 0.1, np.inf]),
        },
        annotated_area_px=areas,
        predicted_area_px=areas[:70] * 1.1,
        size_facts={"median_annotated_px": 33.2, "median_predicted_px": float("nan")},
        confusion=(250, 70, 40),
        per_image=per_image(74, ODD),
        misses=[crop(ODD)] * 12,
        false_alarms=[crop("plain.png")] * 12,
        examples=[example(ODD)] * 12,
        history=[{"epoch": k, "loss": 1 / (k + 1), "learning_rate": 0.1} for k in range(5)],
        predictions=[(5, pixels(np.zeros((20, 30), np.uint8)))],
        model_card=CARD,
        how={"settings": {"threshold": 0.5, ODD: None}},
    )  # fmt: skip


def empty() -> EvaluationPage:
    """Nothing annotated, nothing predicted, nothing defined, one image."""
    page = usual()
    scores = page.scores.copy()
    scores.loc[:, ["value", "low", "high", "ceiling", "ceiling_low", "ceiling_high"]] = np.nan
    none = classes([0, np.inf]).assign(annotated=0, found=0, recall=np.nan)
    blank, nowhere = np.full((16, 16), 7, np.uint8), np.zeros((16, 16), bool)
    return replace(
        page,
        warnings=[],
        scores=scores,
        ceiling_source="",
        pixel_curve=page.pixel_curve.assign(recall=np.nan, precision=np.nan),
        average_precision=np.nan,
        operating_point=(np.nan, np.nan),
        particle_curves={"IoU ≥ 0.3": page.particle_curves["IoU ≥ 0.3"].head(0)},
        particle_ap={"IoU ≥ 0.3": np.nan},
        ceiling_point=None,
        particle_ceiling_point=None,
        reliability=page.reliability.assign(pixels=0, predicted=np.nan, observed=np.nan),
        ece=np.nan,
        strata={"area in px²": none, "contrast": none},
        annotated_area_px=np.zeros(0),
        predicted_area_px=np.zeros(0),
        size_facts={},
        confusion=(0, 0, 0),
        per_image=pd.DataFrame(
            [{"image": "one", "annotated": 0, "predicted": 0, "dice": np.nan,
              "particle_f1_iou30": np.nan}]
        ),
        misses=[],
        false_alarms=[],
        examples=[Example("one", blank, nowhere, nowhere)],
        history=[],
        predictions=[],
        model_card="",
        how={},
    )  # fmt: skip


class _Outline(HTMLParser):
    """Elements with their attributes, and words without them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def ids(self) -> list[str | None]:
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]


def written(page: EvaluationPage, folder: Path) -> str:
    write_evaluation(page, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(usual(), tmp_path_factory.mktemp("usual"))


def test_what_is_given_is_shown_and_escaped(page: str) -> None:
    outline = _Outline(page)
    assert not {"script", "b", "iframe", "object", "embed"} & {tag for tag, _ in outline.elements}
    for text in (
        f"<h1>Evaluation of {SHOWN_ODD}</h1>", f"<p>lead {SHOWN_ODD}</p>",
        f"<li>warning {SHOWN_ODD}</li>", f"<strong>{SHOWN_ODD}</strong>",
        f"<dt>settings.{SHOWN_ODD}</dt><dd>none</dd>", "&lt;b&gt;net&lt;/b&gt;",
    ):  # fmt: skip
        assert text in page
    assert f"{ODD}0.png" in outline.words
    for words in (
        "0.600 to 0.800", "−0.250", "From 70 pairs.", "AP 0.810", "error 0.043", "250 found",
        "70 missed", "40 false alarms", "row 8, column 10: 253 px²", "contrast 0.30",
        "annotated 90 with median", "after epoch 5", "median_predicted_px",
    ):  # fmt: skip
        assert words in outline.words, words


def test_names_inside_a_page_are_unique_and_all_references_lead_somewhere(page: str) -> None:
    ids = _Outline(page).ids()
    assert len(ids) == len(set(ids))
    references = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)|aria-labelledby="([^"]*)"', page)
    assert len(references) > 20
    assert {one or two or three for one, two, three in references} <= set(ids)


def test_headings_come_in_order_and_contents_lead_to_them(page: str) -> None:
    levels = [int(tag[1]) for tag, _ in _Outline(page).elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    assert re.findall(r'<li><a href="#(part\d+)">', page) == re.findall(
        r'<h2 id="(part\d+)">', page
    )


def test_same_bytes_each_time(page: str, tmp_path: Path) -> None:
    assert written(usual(), tmp_path) == page


def test_nothing_is_loaded_run_or_complained_of_in_a_browser(
    page: str, browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    for content in (page, written(empty(), tmp_path)):
        path.write_text(content, encoding="utf-8")
        plain, messages, requests = _opened(browser, path, bypass_csp=False)
        assert messages == []
        assert {url for url in requests if not url.startswith("data:")} == {path.as_uri()}
        plain.set_viewport_size({"width": 360, "height": 800})
        assert plain.evaluate("document.documentElement.scrollWidth") <= 360
        plain.close()


def test_axe_finds_nothing(page: str, browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    for content in (page, written(empty(), tmp_path)):
        path.write_text(content, encoding="utf-8")
        # axe runs inside the page, which the page's own rules would forbid.
        tab, _, _ = _opened(browser, path, bypass_csp=True)
        found = Axe().run(tab).response["violations"]
        assert [
            f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]
        ] == []
        tab.close()


def _opened(browser: Browser, path: Path, *, bypass_csp: bool) -> tuple[Page, list[str], list[str]]:
    """A page with what it says in the console and asks for."""
    tab = browser.new_page(bypass_csp=bypass_csp)
    messages: list[str] = []
    requests: list[str] = []
    tab.on("console", lambda message: messages.append(message.text))
    tab.on("pageerror", lambda error: messages.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(path.as_uri())
    return tab, messages, requests


def test_rules_of_the_page_stop_what_it_holds(browser: Browser, tmp_path: Path) -> None:
    hostile = Markup("<script>document.title = 'run'</script><img src='http://127.0.0.1:9/a.png'>")
    write_page(tmp_path / "a.html", title="A", lead=[], sections=[Section("B", [hostile])])
    tab, messages, _ = _opened(browser, tmp_path / "a.html", bypass_csp=False)
    assert tab.title() == "A"
    assert sum("Content Security Policy" in message for message in messages) == 2


def test_nothing_anywhere(tmp_path: Path) -> None:
    outline = _Outline(written(empty(), tmp_path))
    for words in ("There are none.", "AP undefined", "error undefined", "0 found", "– stands"):
        assert words in outline.words, words
    assert "Training" not in outline.words
    assert "ceiling" not in outline.words
    assert "nothing annotated, nothing predicted" in outline.words
    assert not re.search(r"\bnan\b|None", outline.words)


def test_many_images(tmp_path: Path) -> None:
    page = replace(usual(), per_image=per_image(1000))
    text = written(page, tmp_path)
    assert "200 of 1000" in text
    assert len(re.findall(r'<th scope="row">patch\d+\.png', text)) == 200
    assert (tmp_path / "report.html").stat().st_size < 5e6
    least = page.per_image["dice"].idxmin()
    assert re.search(r'<th scope="row">(patch\d+)\.png', text)[1] == f"patch{least}"  # type: ignore[index]


def test_without_strata_or_curves(tmp_path: Path) -> None:
    page = replace(usual(), strata={}, particle_curves={}, particle_ap={})
    outline = _Outline(written(page, tmp_path))
    assert "Particles: none" in outline.words
    assert "By size and contrast" not in outline.words


def test_every_field_is_read(tmp_path: Path) -> None:
    read: set[str] = set()

    class Watched(EvaluationPage):
        def __getattribute__(self, name: str) -> Any:
            read.add(name)
            return super().__getattribute__(name)

    page = usual()
    write_evaluation(
        Watched(**{field.name: getattr(page, field.name) for field in fields(page)}),
        tmp_path / "report.html",
    )
    assert {field.name for field in fields(page)} <= read


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_page(tmp_path / "missing" / "a.html", title="A", lead=[], sections=[])


def test_table_marks_numbers_heads_and_what_is_missing() -> None:
    frame = pd.DataFrame(
        {"name": ["a", "b"], "number": [1.5, np.nan], "count": [2, 3], "flag": [True, False]}
    )
    text = table(frame, "C <d>", digits=1)
    rows = re.findall(r"<tr>(.*?)</tr>", text)
    assert rows[0] == (
        '<th scope="col">name</th><th scope="col" class="number">number</th>'
        '<th scope="col" class="number">count</th><th scope="col">flag</th>'
    )
    assert rows[1].startswith('<th scope="row">a</th><td class="number">1.5</td>')
    assert rows[2].startswith('<th scope="row">b</th><td class="number">–</td>')
    assert [row[-7:-5] for row in rows[1:]] == ["es", "no"]
    assert "C &lt;d&gt;" in text
    assert "no value" in text
    assert "no value" not in table(frame.head(1), "C")


def test_small_blocks_are_escaped() -> None:
    assert warnings(["<a>"]).count("&lt;a&gt;") == 1
    assert paragraph("<a>") == "<p>&lt;a&gt;</p>"
    text = facts({"a": {"b": {"c": [1, "<d>"]}, "e": {}}, "f": -0.25})
    pairs = re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", text)
    assert pairs == [("a.b.c", "1, &lt;d&gt;"), ("a.e", "none"), ("f", "−0.25")]


def test_a_formula_in_a_figure_stays_as_it_is() -> None:
    """As a formula this would be an error: its brace does not close."""
    figure = Figure(figsize=(2, 2))
    figure.subplots().set_title(r"$\frac{$")
    assert '<svg class="plot"' in svg(figure, "odd", "a")


def test_pixels_come_back() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for array in (grey, np.stack([grey] * 3, axis=-1)):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(pixels(array)))), array)
    assert 'alt="&lt;a&gt;"' in picture(pixels(grey), "<a>")


def test_outline_contains_the_pixels_of_the_mask() -> None:
    mask = np.random.default_rng(0).random((20, 25)) > 0.5
    rings = []
    for ring in outline_path(mask).split("Z")[:-1]:
        x, y = map(int, re.match(r"M(\d+) (\d+)", ring).groups())  # type: ignore[union-attr]
        points = [(x, y)]
        for axis, place in re.findall(r"([HV])(\d+)", ring):
            x, y = (int(place), y) if axis == "H" else (x, int(place))
            points.append((x, y))
        rings.append(Polygon([*points, points[0]]))
    rows, columns = np.mgrid[:20, :25]
    middles = np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], axis=1)
    times = sum(ring.contains_points(middles).astype(int) for ring in rings)
    assert np.array_equal(np.reshape(times, mask.shape) % 2 == 1, mask)


def test_crop_shows_one_to_ninety_nine_per_cent() -> None:
    frame = np.arange(10000, dtype=np.uint16).reshape(100, 100)
    nowhere = np.zeros((100, 100), bool)
    text = crop_gallery([Crop("a", 1, 1, frame, nowhere, nowhere, 1)])
    address = re.search('href="data:image/png;base64,([^"]*)"', text)
    assert address is not None
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(address[1]))))
    assert shown.shape == (100, 100)
    assert (shown == 0).sum() == pytest.approx(100, abs=30)
    assert (shown == 255).sum() == pytest.approx(100, abs=30)


def test_large_frames_are_shown_with_fewer_pixels() -> None:
    nowhere = np.zeros((1300, 1000), bool)
    text = outlined(np.zeros((1300, 1000)), nowhere, nowhere, "a")
    assert 'viewBox="0 0 1000 1300"' in text
    assert '<image width="1002" height="1302"' in text
    broken = np.full((4, 4), np.nan)
    assert "<image" in outlined(broken, nowhere[:4, :4], nowhere[:4, :4], "a")


def test_shapes_that_differ() -> None:
    mask = np.zeros((4, 4), bool)
    with pytest.raises(ValueError, match="shapes"):
        outlined(np.zeros((4, 5)), mask, mask, "a")


def test_markdown_has_no_styles_pictures_or_html() -> None:
    text = render_markdown(CARD + "\n![a](http://b.example/c.png) <img src=x>", level=3)
    assert "<h3>Model card: &lt;b&gt;net&lt;/b&gt;</h3>" in text
    assert '<th class="right" scope="col">value</th>' in text
    assert "style=" not in text
    assert "<img" not in text
