"""A browser that opens the studio as a person would."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from corroscope.annotation.instances import Instance
from corroscope.annotation.stored import read_annotations
from corroscope.outputs import write_png

SCREENSHOTS = Path(__file__).parents[1] / "build" / "screenshots"
"""Where the tests leave what they saw, to be looked at."""

PATIENCE_MS = 20_000
"""How long to wait for what a page is to show: a busy machine is no failure."""

expect.set_options(timeout=PATIENCE_MS)

# The sandbox needs rights that root in a container lacks; the rest keeps Chromium off the network.
_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium_path() -> str:
    """Find Chromium; without it the test is skipped, but fails where nobody would notice."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path is not None:
            return path
    reason = "no Chromium is installed"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium without a window."""
    path = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser, link: str, *, width: int = 1360, height: int = 850, checked: bool = True
) -> Iterator[Page]:
    """Open a page; whatever it complains about in its console fails the test."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, bypass_csp=not checked
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            complaints.append(message.text) if message.type in ("error", "warning") else None
        ),
    )
    try:
        page.goto(link)
        yield page
        assert not checked or complaints == [], complaints
    finally:
        context.close()


def keep_screenshot(page: Page, name: str) -> Path:
    """Leave a picture of the page to be looked at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / f"{name}.png"
    page.screenshot(path=path)
    return path


DISC_SHAPE = (160, 200)
"""Height and width of the images of discs: on the screen, their outlines have no points yet."""

_TELL_WHAT_IS_DRAWN = """() => {
  addEventListener("drawn", ({ detail }) => {
    window.lastDrawn = detail;
    const { handles, shapes, selected, bitmap } = detail;
    const told = document.documentElement.dataset;
    told.handles = handles.filter(({ kind }) => kind === "point").length;
    told.shapes = shapes.map(({ style }) => style).join(" ");
    told.selected = selected.size;
    if (!bitmap || !window.probe) return;
    const context = new OffscreenCanvas(1, 1).getContext("2d");
    context.drawImage(bitmap, window.probe[1], window.probe[0], 1, 1, 0, 0, 1, 1);
    told.probe = context.getImageData(0, 0, 1, 1).data[0] < 100 ? "dark" : "bright";
  }, true);
}"""
"""The page tells in attributes of its root what it draws, so that one can wait for it."""

_VIEW = """() => new Promise((told) => requestAnimationFrame(() => requestAnimationFrame(
  () => told(window.lastDrawn?.view ?? null))))"""


def discs_in(
    folder: Path, name: str, places: Sequence[tuple[int, int]], *, ground: int = 170
) -> None:
    """Write an image with dark discs of a radius of 4 px."""
    rows, cols = np.indices(DISC_SHAPE)
    grey = np.random.default_rng(1).normal(ground, 3, DISC_SHAPE)
    for row, col in places:
        grey[np.hypot(rows - row, cols - col) <= 4] = 60
    folder.mkdir(exist_ok=True)
    write_png(folder / name, grey.astype(np.uint8))


def disc(place: tuple[int, int], radius: float = 4.5) -> Instance:
    """What an annotator would draw round such a disc."""
    rows, cols = np.indices(DISC_SHAPE)
    return Instance.of(np.hypot(rows - place[0], cols - place[1]) <= radius)


def stored(folder: Path, name: str = "a.png") -> list[Instance] | None:
    """What the journal holds, read as another program would; None where nobody annotated."""
    by_name = {image.name: list(image.instances) for image in read_annotations(folder)}
    return by_name.get(name)


class Hands:
    """Hands on the studio's picture: points of the image become points of the screen."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.root = page.locator("html")
        page.evaluate(_TELL_WHAT_IS_DRAWN)

    def at(self, point: tuple[float, float]) -> tuple[float, float]:
        """Where the middle of a pixel is, as last drawn; before, all of the picture is shown."""
        box = self.page.locator("#drawing").bounding_box()
        assert box is not None
        view = self.page.evaluate(_VIEW)
        if view is None:
            height, width = DISC_SHAPE
            scale = min(16, 0.98 * min(box["width"] / width, box["height"] / height))
            middle = {"x": box["width"] - width * scale, "y": box["height"] - height * scale}
            view = {"scale": scale, "x": middle["x"] / 2, "y": middle["y"] / 2}
        x = box["x"] + view["x"] + (point[1] + 0.5) * view["scale"]
        y = box["y"] + view["y"] + (point[0] + 0.5) * view["scale"]
        return x, y

    def move(self, point: tuple[float, float]) -> None:
        self.page.mouse.move(*self.at(point))

    def click(
        self,
        point: tuple[float, float],
        *keys: str,
        button: Literal["left", "right"] = "left",
        times: int = 1,
    ) -> None:
        """Click while keys are held down."""
        self.move(point)
        for key in keys:
            self.page.keyboard.down(key)
        for k in range(times):
            self.page.mouse.down(button=button, click_count=k + 1)
            self.page.mouse.up(button=button, click_count=k + 1)
        for key in keys:
            self.page.keyboard.up(key)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.move(start)
        x, y = self.at(end)
        self.page.mouse.down()
        self.page.mouse.move(x, y, steps=8)
        self.page.mouse.up()

    def shows(self, particles: int) -> None:
        """Wait until so many particles are counted and all is on the disk."""
        counted = self.page.locator("#panel-annotate dl dt", has_text="Particles").locator("+ dd")
        expect(counted).to_have_text(str(particles))
        expect(self.page.locator("#saved")).to_have_attribute("data-state", "saved")

    def area(self) -> Locator:
        """What the tools say of the selected particle."""
        return self.page.locator("#panel-annotate dl dt", has_text="Area").locator("+ dd")

    def current(self) -> Locator:
        """The image that is open, in the list."""
        return self.page.locator("#images button[aria-current=true]")

    def mark(self, name: str) -> Locator:
        """How far an image is, in the list."""
        return self.page.locator("#images button", has_text=name).locator(".mark")
