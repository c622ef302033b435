"""The studio for everybody: axe-core finds nothing, colour-blind people see every outline."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from browsers import chromium, keep_screenshot, opened
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from studios import studio

RULES = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }
}

SIGHTS = ("none", "protanopia", "deuteranopia", "tritanopia")

GROUNDS = {"black": "#000000", "dark": "#404040", "middle": "#808080", "white": "#ffffff"}

# Every style on every ground, in rows and columns of 60 px.
DRAW = """async (grounds) => {
  const { STYLES, ringsPath, stroke } = await import("/static/outlines.js");
  const styles = Object.keys(STYLES);
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { id: "styles", width: 60 * grounds.length, height: 60 * styles.length });
  canvas.style.setProperty("position", "fixed");
  canvas.style.setProperty("inset", "0 auto auto 0");
  canvas.style.setProperty("z-index", 9);
  const context = canvas.getContext("2d");
  grounds.forEach((ground, k) => {
    context.fillStyle = ground;
    context.fillRect(60 * k, 0, 60, canvas.height);
    styles.forEach((style, j) => {
      context.save();
      context.translate(60 * k + 10, 60 * j + 10);
      context.scale(4, 4);
      stroke(context, ringsPath([[0, 0, 0, 10, 10, 10, 10, 0]]), style, 4);
      context.restore();
    });
  });
  document.body.append(canvas);
  return styles.map((name) => [name, STYLES[name].dash.length > 0, STYLES[name].width]);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, real_folder: Path, tmp_path: Path) -> Iterator[Page]:
    for name in ("30mM(2)_0.5_264.000", "30mM(2)_0.25_43.000"):
        for ending in (".png", "_mask.png"):
            shutil.copy(real_folder / f"{name}{ending}", tmp_path)
    with studio(tmp_path) as served, opened(browser, served.link) as page:
        expect(page.locator("#panel-annotate dd").first).not_to_have_text("0")
        yield page


def complaints(page: Page) -> list[str]:
    """What axe-core finds, with where."""
    found = Axe().run(page, options=RULES).response["violations"]
    return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]


def test_axe_finds_nothing_in_any_tab_or_dialog(page: Page) -> None:
    tabs = page.get_by_role("tab").all()
    assert len(tabs) >= 3
    for tab in tabs:
        tab.click()
        page.wait_for_timeout(300)  # what the tab asks of the server
        name = tab.inner_text().lower()
        keep_screenshot(page, f"tab-{name}")
        assert complaints(page) == [], name
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Keys").click()
    assert complaints(page) == []


def test_axe_finds_nothing_while_something_is_wrong_and_selected(page: Page) -> None:
    page.locator("#drawing").focus()
    page.keyboard.press("Shift+R")  # there is no difference
    expect(page.locator("#trouble")).to_be_visible()
    page.keyboard.press("n")
    expect(page.locator("#panel-annotate dl dt", has_text="Selected")).to_be_visible()
    assert complaints(page) == []


def test_axe_would_find_something(page: Page) -> None:
    page.evaluate("() => document.querySelector('#drawing').removeAttribute('aria-label')")
    page.evaluate("() => { document.querySelector('#undo').textContent = '' }")
    assert complaints(page)


def luminance(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Relative luminance as WCAG 2.2 defines it."""
    share = pixels[..., :3] / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    light: NDArray[np.float64] = linear @ np.array([0.2126, 0.7152, 0.0722])
    return light


@pytest.mark.parametrize("sight", SIGHTS)
def test_every_outline_stands_out_on_every_ground(page: Page, sight: str) -> None:
    page.get_by_role("tab").first.click()
    styles = page.evaluate(DRAW, list(GROUNDS.values()))
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setEmulatedVisionDeficiency", {"type": sight})
    picture = np.asarray(Image.open(io.BytesIO(page.locator("#styles").screenshot())))
    keep_screenshot(page, f"sight-{sight}")
    light = luminance(picture)
    for j, (style, dashed, _) in enumerate(styles):
        for k, ground in enumerate(GROUNDS):
            # Across the upper side of the square, away from its corners.
            strip = light[60 * j + 4 : 60 * j + 16, 60 * k + 16 : 60 * k + 44]
            # A dashed line is its dashes; a drawn-through one must be seen everywhere.
            axis = None if dashed else 0
            contrast = (strip.max(axis=axis) + 0.05) / (strip.min(axis=axis) + 0.05)
            assert np.min(contrast) >= 3, (style, ground)


def test_no_two_outlines_differ_by_colour_alone(page: Page) -> None:
    looks = page.evaluate(
        """async () => Object.values((await import("/static/outlines.js")).STYLES)
           .map(({ width, dash }) => JSON.stringify([width, dash]))"""
    )
    assert len(set(looks)) == len(looks)
