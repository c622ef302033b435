"""The studio in a browser when something breaks: nothing is lost, and whoever looks is told."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from annotating import SHAPE
from browsers import chromium, keep_screenshot, opened
from playwright.sync_api import Browser, Page, expect
from studios import studio

from corroscope.annotation.stored import read_annotations
from corroscope.outputs import write_png

PLACES = ((20, 30), (40, 60), (44, 14))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images with three dark discs each."""
    folder = tmp_path / "folder"
    folder.mkdir()
    rows, cols = np.indices(SHAPE)
    grey = np.random.default_rng(1).normal(170, 3, SHAPE)
    for row, col in PLACES:
        grey[np.hypot(rows - row, cols - col) <= 3] = 60
    for name in ("a.png", "b.png"):
        write_png(folder / name, grey.astype(np.uint8))
    return folder


def click(page: Page, place: tuple[int, int]) -> None:
    """Click inside a particle; the small picture is shown at 16 times its size at most."""
    box = page.locator("#drawing").bounding_box()
    assert box is not None
    scale = min(16, 0.98 * min(box["width"] / SHAPE[1], box["height"] / SHAPE[0]))
    x = box["x"] + box["width"] / 2 + (place[1] + 0.5 - SHAPE[1] / 2) * scale
    y = box["y"] + box["height"] / 2 + (place[0] + 0.5 - SHAPE[0] / 2) * scale
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.up()


def shows(page: Page, particles: int, state: str = "saved") -> None:
    """What the tools count, and whether it is on the disk."""
    counted = page.locator("#panel-annotate dl dt", has_text="Particles").locator("+ dd")
    expect(counted).to_have_text(str(particles))
    expect(page.locator("#saved")).to_have_attribute("data-state", state)


def count(folder: Path, name: str = "a.png") -> int:
    """Particles that the journal holds."""
    return {image.name: len(image.instances) for image in read_annotations(folder)}.get(name, 0)


@contextmanager
def command(folder: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``corroscope annotate`` as a process of its own, and the link it tells."""
    child = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "corroscope",
            "annotate",
            str(folder),
            "--no-browser",
            "--port",
            str(port),
            "--annotator",
            "ada",
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_STATE_HOME": str(folder.parent / "state")},
    )
    try:
        assert child.stdout is not None
        yield child, child.stdout.readline().split()[-1]
    finally:
        child.kill()
        child.communicate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_killed_studio_is_found_again_and_nothing_is_lost(browser: Browser, folder: Path) -> None:
    port = free_port()
    with command(folder, port) as (child, link), opened(browser, link, checked=False) as page:
        shows(page, 0)
        click(page, PLACES[0])
        shows(page, 1)
        # It freezes with a deed on its way, and dies with it.
        child.send_signal(signal.SIGSTOP)
        page.keyboard.press("Delete")
        expect(page.locator("#saved")).to_have_attribute("data-state", "saving")
        child.kill()
        child.wait()
        expect(page.locator("#saved")).to_have_attribute("data-state", "failed")
        expect(page.locator("#trouble")).to_be_visible()
        keep_screenshot(page, "trouble-killed")
        assert count(folder) == 1
        with command(folder, port):
            shows(page, 0)
            expect(page.locator("#trouble")).to_be_hidden()
            click(page, PLACES[1])
            shows(page, 1)
            page.keyboard.press("Control+z")
            shows(page, 0)
            page.keyboard.press("Control+z")
            shows(page, 1)
            page.keyboard.press("Control+z")
            shows(page, 0)
            expect(page.locator("#undo")).to_be_disabled()
            press_redo_thrice(page)
            shows(page, 1)
        assert count(folder) == 1


def press_redo_thrice(page: Page) -> None:
    for particles in (1, 0, 1):
        page.keyboard.press("Control+y")
        shows(page, particles)


def test_a_click_while_the_studio_is_away_waits_for_it(browser: Browser, folder: Path) -> None:
    port = free_port()
    with command(folder, port) as (child, link), opened(browser, link, checked=False) as page:
        shows(page, 0)
        child.kill()
        child.wait()
        click(page, PLACES[0])
        expect(page.locator("#trouble")).to_contain_text("does not answer")
        expect(page.locator("#saved")).to_have_attribute("data-state", "failed")
        with command(folder, port):
            shows(page, 1)
            expect(page.locator("#trouble")).to_be_hidden(timeout=20_000)
        assert count(folder) == 1


def test_two_tabs_on_one_image_never_overwrite_each_other(browser: Browser, folder: Path) -> None:
    with studio(folder) as served, opened(browser, served.link, checked=False) as one:
        two = one.context.new_page()
        two.goto(f"http://{served.host}/")
        shows(one, 0)
        shows(two, 0)
        click(one, PLACES[0])
        shows(two, 1)
        expect(two.locator("#trouble")).to_contain_text("another window")
        keep_screenshot(two, "trouble-two-tabs")
        click(two, PLACES[1])
        shows(one, 2)
        assert count(folder) == 2


def test_a_tab_that_was_cut_off_is_told_instead_of_overwriting(
    browser: Browser, folder: Path
) -> None:
    with studio(folder) as served, opened(browser, served.link, checked=False) as one:
        two = one.context.new_page()
        two.route("**/api/events", lambda route: route.abort())  # it hears of nothing
        two.goto(f"http://{served.host}/")
        shows(two, 0, "failed")
        click(one, PLACES[0])
        shows(one, 1)
        click(two, PLACES[1])
        expect(two.locator("#trouble")).to_contain_text("Changed elsewhere meanwhile")
        shows(two, 1, "failed")
        assert count(folder) == 1
        click(two, PLACES[1])
        shows(two, 2, "failed")
        assert count(folder) == 2


def test_an_image_that_cannot_be_read_says_so_and_the_others_work(
    browser: Browser, folder: Path
) -> None:
    (folder / "b.png").write_bytes(b"no picture")
    with studio(folder) as served, opened(browser, served.link, checked=False) as page:
        shows(page, 0)
        page.keyboard.press("d")
        expect(page.locator("#trouble")).to_contain_text("b.png")
        keep_screenshot(page, "trouble-unreadable")
        page.keyboard.press("a")
        expect(page.locator("#trouble")).to_be_hidden()
        click(page, PLACES[0])
        shows(page, 1)
