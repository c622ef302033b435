"""A browser that opens the studio as a person would."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

SCREENSHOTS = Path(__file__).parents[1] / "build" / "screenshots"
"""Where the tests leave what they saw, to be looked at."""

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
    page.set_default_timeout(20_000)
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
        assert not checked or complaints == []
    finally:
        context.close()


def keep_screenshot(page: Page, name: str) -> Path:
    """Leave a picture of the page to be looked at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / f"{name}.png"
    page.screenshot(path=path)
    return path
