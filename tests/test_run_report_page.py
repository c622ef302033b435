"""The report of a run in a browser: its film, on paper, on a telephone, and for all readers."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import run_pages
from axe_playwright_python.sync_playwright import Axe
from browsers import chromium, keep_screenshot, opened
from playwright.sync_api import Browser, Page, expect

from corroscope.report.run.write import write_run_report


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    write_run_report(run_pages.usual(), folder)
    return (folder / "report.html").as_uri()


def told(page: Page, words: str) -> None:
    expect(page.locator("#told")).to_contain_text(words)


def screen(page: Page) -> str:
    """What the film shows, when its picture is there."""
    page.wait_for_function(
        """() => {
          const probe = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
          probe.drawImage(document.getElementById("screen"), 4, 4, 1, 1, 0, 0, 1, 1);
          return probe.getImageData(0, 0, 1, 1).data[3] === 255;
        }"""
    )
    shown = page.evaluate("document.getElementById('screen').toDataURL()")
    assert isinstance(shown, str)
    return shown


def test_nothing_is_loaded_and_nothing_complained_of(browser: Browser, link: str) -> None:
    requests: list[str] = []
    with opened(browser, "about:blank") as page:
        page.on("request", lambda request: requests.append(request.url))
        page.goto(link)
        screen(page)
        keep_screenshot(page, "run-report")
        assert page.title().startswith("Run of <script>")
    assert {url for url in requests if not url.startswith("data:")} == {link}


def test_the_film_without_a_mouse(browser: Browser, link: str) -> None:
    with opened(browser, link) as page:
        told(page, "Frame 9, 18.00 s: 27 particles, 2 pits")
        last = screen(page)
        page.locator("#screen").focus()
        page.keyboard.press("ArrowLeft")
        told(page, "Frame 8, 16.00 s: 24 particles")
        assert screen(page) != last
        page.keyboard.press("Home")
        told(page, "Frame 0, 0.00 s: 0 particles, 0 pits")
        page.keyboard.press("ArrowRight")
        told(page, "Frame 1")
        page.keyboard.press("End")
        told(page, "Frame 9")
        assert screen(page) == last
        for key, box in (("p", "#outlines"), ("t", "#tails"), ("o", "#pits"), ("n", "#ids")):
            was = page.locator(box).is_checked()
            page.keyboard.press(key)
            assert page.locator(box).is_checked() is not was
            assert screen(page) != last, key
            page.keyboard.press(key)
            assert screen(page) == last, key


def test_the_film_plays_to_its_end_and_can_be_held(browser: Browser, link: str) -> None:
    with opened(browser, link) as page:
        page.locator("#rate").select_option("25")
        page.locator("#screen").focus()
        page.keyboard.press("Space")
        expect(page.locator("#play")).to_have_text("Pause")
        expect(page.locator("#play")).to_have_text("Play")
        told(page, "Frame 9")
        page.locator("#rate").select_option("2")
        page.locator("#play").click()
        told(page, "Frame 1")
        page.locator("#play").click()
        expect(page.locator("#play")).to_have_text("Play")
        page.locator("#on").click()
        told(page, "Frame 2")
        page.locator("#back").click()
        told(page, "Frame 1")


def test_the_strip_and_the_slider_go_to_a_time(browser: Browser, link: str) -> None:
    with opened(browser, link) as page:
        box = page.locator("#strip").bounding_box()
        assert box is not None
        page.locator("#strip").click(position={"x": 0.45 * box["width"], "y": 10})
        told(page, "Frame 4, 8.00 s")
        cursor = page.locator("#cursor").get_attribute("d") or ""
        place = re.match(r"M([\d.]+) 0V100", cursor)
        assert place is not None
        assert float(place[1]) == pytest.approx(1000 * 8 / 18, abs=0.1)
        page.locator("#place").fill("0")
        told(page, "Frame 0")
        assert page.locator("#cursor").get_attribute("d") == "M0.0 0V100"
        expect(page.locator(".ends")).to_contain_text("µA")


def test_on_paper_and_without_a_script_there_is_a_still(browser: Browser, link: str) -> None:
    with opened(browser, link) as page:
        expect(page.locator(".still")).to_be_hidden()
        expect(page.locator("#player")).to_be_visible()
        page.emulate_media(media="print")
        expect(page.locator(".still")).to_be_visible()
        expect(page.locator("#player")).to_be_hidden()
        # Whatever is wider than the paper would be cut.
        page.set_viewport_size({"width": 680, "height": 960})
        assert page.evaluate("document.documentElement.scrollWidth") <= 680
        wide = page.evaluate(
            "[...document.querySelectorAll('svg.plot, .still svg')]"
            ".filter((one) => one.getBoundingClientRect().right > 680).length"
        )
        assert wide == 0
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(link)
    expect(page.locator(".still")).to_be_visible()
    expect(page.locator("#player")).to_be_hidden()
    assert page.locator(".still circle.pit").count() == 2
    assert page.locator(".still circle.afloat, .still rect.settled").count() == 30
    context.close()


def test_every_figure_is_drawn_and_fits_a_telephone(browser: Browser, link: str) -> None:
    with opened(browser, link, width=360) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        sizes = page.evaluate(
            "[...document.querySelectorAll('svg.plot')]"
            ".map((one) => [one.getBoundingClientRect().width, one.getBBox().width])"
        )
        assert len(sizes) == 13
        assert all(100 < width <= 360 and drawn > 50 for width, drawn in sizes)


@pytest.mark.parametrize(
    "make",
    [
        run_pages.usual,
        run_pages.nothing,
        run_pages.all_flagged,
        run_pages.one_frame,
        run_pages.untimed,
    ],
)
def test_axe_finds_nothing_and_the_console_is_silent(
    make: object, browser: Browser, tmp_path: Path
) -> None:
    assert callable(make)
    write_run_report(make(), tmp_path)
    link = (tmp_path / "report.html").as_uri()
    with opened(browser, link, width=360) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        if page.locator("#screen").count():
            screen(page)
    # axe runs inside the page, which the page's own rules would forbid.
    with opened(browser, link, checked=False) as page:
        found = Axe().run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []
