"""The annotator in a notebook: in the frame of a page as Jupyter makes one, and in the kernel."""

import gc
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from annotating import SHAPE, images_in, speck
from browsers import chromium, keep_screenshot, opened
from playwright.sync_api import Browser, Page, expect
from studios import studio

from corroscope import Annotator
from corroscope.annotation.store import Store
from corroscope.annotation.stored import read_annotations
from corroscope.errors import AnnotationError, FrameError, StudioError
from corroscope.outputs import write_png
from corroscope.studio import annotate as opening

SPECK = (20, 30)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows, cols = np.indices(SHAPE)
    grey = np.random.default_rng(1).normal(170, 3, SHAPE)
    grey[np.hypot(rows - SPECK[0], cols - SPECK[1]) <= 3] = 60
    write_png(tmp_path / "a.png", grey.astype(np.uint8))
    write_png(tmp_path / "b.png", grey.astype(np.uint8))
    return tmp_path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@contextmanager
def page_with(content: str) -> Iterator[int]:
    """Serve a page, as the notebook server does the notebook; gives its port."""
    page = f"<!doctype html><title>notebook</title><body>{content}</body>".encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/" else 204)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            if self.path == "/":
                self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join(10)


def _click_in_frame(page: Page, at: tuple[int, int]) -> None:
    """Click on a pixel of the picture in the annotator's frame."""
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("button", name="a.png")).to_have_attribute("aria-current", "true")
    drawing = frame.locator("#drawing")
    box = drawing.bounding_box()
    assert box is not None
    scale = min(box["width"] / SHAPE[1], box["height"] / SHAPE[0])
    middle = (SHAPE[0] / 2, SHAPE[1] / 2)
    down, right = ((at[axis] + 0.5 - middle[axis]) * scale for axis in (0, 1))
    drawing.click(position={"x": box["width"] / 2 + right, "y": box["height"] / 2 + down})


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_a_click_in_the_frame_is_an_annotation_in_the_kernel(
    folder: Path, browser: Browser, name: str
) -> None:
    with (
        Annotator(folder, annotator="ada") as annotator,
        page_with(annotator._repr_html_()) as port,
        opened(browser, f"http://{name}:{port}/") as page,
    ):
        assert annotator.annotations == []
        _click_in_frame(page, SPECK)
        saved = page.frame_locator("iframe").locator("#saved")
        expect(saved).to_have_attribute("data-state", "saved")
        expect(page.frame_locator("iframe").locator("#images .mark").first).to_have_text("◐")
        (image,) = annotator.annotations
        assert image.name == "a.png"
        (found,) = image.instances
        assert found.mask[SPECK[0] - found.corner_px[0], SPECK[1] - found.corner_px[1]]
        assert 20 <= found.area_px <= 60
        keep_screenshot(page, f"notebook-{name}")
        with page.expect_popup() as popup:  # the same, in a tab
            page.get_by_role("link", name="Open in a tab of its own").click()
        expect(popup.value.locator("#images .mark").first).to_have_text("◐")
        page.reload()
        expect(page.frame_locator("iframe").locator("#images .mark").first).to_have_text("◐")
    assert annotator.annotations == [image] == read_annotations(folder)


def test_elsewhere_the_notebook_tells_what_to_do(folder: Path, browser: Browser) -> None:
    with Annotator(folder) as annotator:
        shown = annotator._repr_html_()
        page = browser.new_context().new_page()
        for address in ("http://lab.example:8888/", "https://localhost:8888/", "http://[::1]:8/"):
            page.route(address, lambda route: route.fulfill(body=shown, content_type="text/html"))
            page.goto(address)
            assert page.locator("iframe").count() == 0
            assert page.get_by_role("link").get_attribute("href") == annotator.link
            expect(page.get_by_text("annotate on your own machine")).to_be_visible()
        keep_screenshot(page, "notebook-elsewhere")
        page.goto(annotator.link)  # as if typed
        expect(page.locator("#progress")).to_have_text("0 of 2 done")
        page.context.close()


def test_without_scripts_the_link_remains(folder: Path, browser: Browser) -> None:
    with Annotator(folder) as annotator, page_with(annotator._repr_html_()) as port:
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        with page.expect_popup() as popup:
            page.get_by_role("link").click()
        popup.value.wait_for_load_state()
        assert popup.value.title() == "corroscope studio"
        assert "token" not in popup.value.url
        context.close()


def _frame(link: str) -> str:
    return f'<iframe id="held" src="{link}" width="1000" height="700"></iframe>'


def test_another_site_cannot_hold_the_annotator(folder: Path, browser: Browser) -> None:
    with Annotator(folder) as annotator:
        page = browser.new_context().new_page()
        page.goto(annotator.link)  # so that there is a cookie
        expect(page.locator("#progress")).to_have_text("0 of 2 done")
        for link in (annotator.link, annotator.link.split("?")[0]):
            page.route(
                "http://evil.example/",
                lambda route, link=link: route.fulfill(body=_frame(link), content_type="text/html"),
            )
            page.goto("http://evil.example/")
            assert page.frame_locator("#held").locator("#drawing").count() == 0
        # Another name of this machine is another site, too.
        with page_with(_frame(annotator.link)) as port:
            page.goto(f"http://localhost:{port}/")
            assert page.frame_locator("#held").locator("#drawing").count() == 0
            page.goto(f"http://127.0.0.1:{port}/")
            expect(page.frame_locator("#held").locator("#drawing")).to_be_visible()
        page.context.close()


def test_what_the_command_serves_no_page_can_hold(folder: Path, browser: Browser) -> None:
    with studio(folder) as served, page_with(_frame(served.link)) as port:
        page = browser.new_context().new_page()
        page.goto(served.link)
        expect(page.locator("#progress")).to_have_text("0 of 2 done")
        page.goto(f"http://127.0.0.1:{port}/")
        assert page.frame_locator("#held").locator("#drawing").count() == 0
        page.context.close()


def test_a_folder_is_open_once_and_free_afterwards(folder: Path) -> None:
    annotator = Annotator(folder)
    assert annotator.link in repr(annotator)
    with pytest.raises(AnnotationError, match=r"by an `Annotator` that is still open; close"):
        Annotator(folder)
    annotator.close()
    annotator.close()
    assert "closed" in repr(annotator)
    assert "is closed" in annotator._repr_html_()
    assert annotator.link not in annotator._repr_html_()
    with Store(folder, "ada") as store:
        store.add("b.png", speck(5, 5))
    assert [image.name for image in annotator.annotations] == ["b.png"]


def test_a_second_annotation_is_read_as_such(folder: Path) -> None:
    with Store(folder, "ada") as store:
        store.add("a.png", speck(5, 5))
    with Annotator(folder, annotator="bob", second=True) as annotator:
        assert annotator.annotations == []
        with annotator._studio.place.store() as second:
            second.add("b.png", speck(9, 9))
        assert [image.name for image in annotator.annotations] == ["b.png"]
    assert [image.name for image in annotator.annotations] == ["b.png"]


def test_one_that_is_forgotten_lets_go(folder: Path) -> None:
    annotator = Annotator(folder)
    port = annotator._studio.port
    del annotator
    gc.collect()
    with Store(folder, "ada"), opening.listening("127.0.0.1", port):
        pass


@pytest.mark.parametrize("end", ["pass", "raise SystemExit(0)", "import os; os._exit(0)"])
def test_the_end_of_the_kernel_lets_go(folder: Path, end: str) -> None:
    script = f"import corroscope; kept = corroscope.Annotator({str(folder)!r}); {end}"
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    with Store(folder, "ada"):
        pass


def test_what_cannot_be_opened_lets_go(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AnnotationError, match="holds no images"):
        Annotator(tmp_path_factory.mktemp("empty"))
    monkeypatch.setattr(opening, "PORT", 65536)
    with pytest.raises(StudioError, match="cannot listen"):
        Annotator(folder)
    with Store(folder, "ada"):
        pass


def test_an_image_that_cannot_be_read_is_told(folder: Path) -> None:
    with Annotator(folder) as annotator:
        (folder / "b.png").write_bytes(b"no picture")
        with pytest.raises(FrameError, match=r"b.png"):
            _ = annotator.annotations


def test_a_name_of_a_folder_is_no_html(tmp_path: Path) -> None:
    folder = tmp_path / "<img src=x onerror=alert(1)>'\\"
    folder.mkdir()
    with Annotator(images_in(folder)) as annotator:
        shown = annotator._repr_html_()
    for each in (shown, annotator._repr_html_()):
        assert "<img" not in each
        assert "&lt;img" in each
