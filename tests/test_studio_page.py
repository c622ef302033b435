"""The studio in a browser: whole sessions by mouse and by keyboard, what it looks like, who it
tells when something breaks."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from browsers import chromium, keep_screenshot, opened
from playwright.sync_api import Browser, Page, Route, expect
from scipy import ndimage
from studios import Served, studio

from corroscope.annotation.instances import Instance, iou
from corroscope.annotation.stored import read_annotations
from corroscope.frames.reading import read_frame
from corroscope.segmentation.bundle import load_bundle

TINY = """widths=[4, 8]
crop_px=32
batch_size=2
pairing.runs=2"""
"""Settings of a training that ends soon and learns nothing."""

PATCHES = ("30mM(2)_0.5_264.000", "30mM(2)_0.25_43.000", "30mM(2)_0.25_49.000")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def folder(real_folder: Path, tmp_path: Path) -> Path:
    """Real patches that nobody has annotated yet."""
    folder = tmp_path / "patches"
    folder.mkdir()
    for name in PATCHES:
        shutil.copy(real_folder / f"{name}.png", folder)
    return folder


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    with studio(folder) as served:
        yield served


def particles(real_folder: Path, name: str) -> list[Instance]:
    """What the annotator drew in a patch, the largest first."""
    labels, count = ndimage.label(read_frame(real_folder / f"{name}_mask.png") > 0, np.ones((3, 3)))
    found = [Instance.of(labels == k) for k in range(1, count + 1)]
    return sorted(found, key=lambda one: -one.area_px)


def middle(one: Instance) -> tuple[int, int]:
    """The pixel of an object that lies deepest in it."""
    depth = ndimage.distance_transform_edt(np.pad(one.mask, 1))[1:-1, 1:-1]
    row, col = np.unravel_index(np.argmax(depth), depth.shape)
    return int(row) + one.corner_px[0], int(col) + one.corner_px[1]


class Stage(NamedTuple):
    """Where the picture lies on the page when all of it is shown."""

    page: Page
    shape: tuple[int, int]

    def at(self, point: tuple[float, float]) -> tuple[float, float]:
        box = self.page.locator("#drawing").bounding_box()
        assert box is not None
        height, width = self.shape
        scale = min(16, 0.98 * min(box["width"] / width, box["height"] / height))
        x = box["x"] + box["width"] / 2 + (point[1] + 0.5 - width / 2) * scale
        y = box["y"] + box["height"] / 2 + (point[0] + 0.5 - height / 2) * scale
        return x, y


def fact(page: Page, term: str) -> str:
    """What the tools say of the image."""
    return page.locator("#panel-annotate dl dt", has_text=term).locator("+ dd").inner_text()


def until_saved(page: Page, count: int) -> None:
    expect(
        page.locator("#panel-annotate dl dt", has_text="Particles").locator("+ dd")
    ).to_have_text(str(count))
    expect(page.locator("#saved")).to_have_attribute("data-state", "saved")


def stored(folder: Path, name: str) -> list[Instance]:
    """What the journal holds, read as another program would."""
    by_name = {image.name: image for image in read_annotations(folder)}
    return list(by_name[f"{name}.png"].instances)


def best_iou(one: Instance, others: list[Instance]) -> float:
    return max(iou(one, other) for other in others)


def finished(page: Page) -> None:
    """Wait for the training's end and look at what came out."""
    expect(page.locator("#panel-train")).to_contain_text("1: finished", timeout=180_000)
    expect(page.get_by_label("Chosen training").locator("dt", has_text="Dice")).to_be_visible()
    expect(page.locator("#panel-train svg[role=img]").first).to_be_visible()
    expect(page.locator("#panel-train img").first).to_be_visible()
    expect(page.locator("#panel-train")).to_contain_text("corroscope train")


def trained(folder: Path) -> dict[str, Any]:
    """What the run has written, and whether its bundle loads."""
    load_bundle(folder / "runs/train1/bundle")
    metrics: dict[str, Any] = json.loads((folder / "runs/train1/metrics.json").read_text())
    assert len(metrics["history"]) == 1
    return metrics


def test_a_session_by_mouse(
    browser: Browser, folder: Path, real_folder: Path, served: Served
) -> None:
    name = PATCHES[0]
    truth = particles(real_folder, name)[:3]
    with opened(browser, served.link) as page:
        expect(page.locator("#images button")).to_have_count(len(PATCHES))
        assert "token" not in page.url
        page.locator("#images button", has_text=name).click()
        until_saved(page, 0)
        stage = Stage(page, (200, 200))
        keep_screenshot(page, "annotate-empty")
        for count, one in enumerate(truth, start=1):
            page.mouse.move(*stage.at(middle(one)))
            page.mouse.down()
            page.mouse.up()
            until_saved(page, count)
        assert all(best_iou(one, stored(folder, name)) > 0.5 for one in truth)
        keep_screenshot(page, "annotate-three")

        before = int(fact(page, "Area").split()[0])
        page.keyboard.press("]")
        expect(
            page.locator("#panel-annotate dl dt", has_text="Area").locator("+ dd")
        ).not_to_have_text(f"{before} px")
        until_saved(page, 3)
        larger = sorted(one.area_px for one in stored(folder, name))
        page.locator("#undo").click()
        expect(page.locator("#redo")).to_be_enabled()
        until_saved(page, 3)
        assert sorted(one.area_px for one in stored(folder, name)) != larger
        page.locator("#redo").click()
        expect(page.locator("#redo")).to_be_disabled()
        until_saved(page, 3)
        assert sorted(one.area_px for one in stored(folder, name)) == larger

        page.reload()  # on the same image, too
        until_saved(page, 3)
        page.locator("#format").select_option("coco")
        page.locator("#export").click()
        expect(page.get_by_text("read back and compared")).to_be_visible()
        keep_screenshot(page, "annotate-exported")

        for other in PATCHES[1:]:  # no particle there, says the session
            page.locator("#images button", has_text=other).click()
            expect(page.locator("#images button[aria-current=true]")).to_contain_text(other)
            until_saved(page, 0)
            page.get_by_role("button", name="Done with this image").click()
            expect(page.locator("#images button[aria-current=true] .mark")).to_have_text("✓")
        page.get_by_role("tab", name="Train").click()
        for label, value in (("Epochs", "1"), ("Steps per epoch", "2"), ("Folds", "2")):
            page.get_by_label(label, exact=True).fill(value)
        page.get_by_text("Further settings").click()
        page.locator("#train-more").fill(TINY)
        page.locator("#train-start").click()
        finished(page)
        keep_screenshot(page, "train-finished")
    assert trained(folder)
    coco = json.loads((folder / "export/coco/annotations.json").read_text())
    assert sorted(each["area"] for each in coco["annotations"]) == larger


def test_what_is_typed_before_the_usual_settings_come_stays(
    browser: Browser, served: Served
) -> None:
    waiting: list[Route] = []
    with opened(browser, served.link) as page:
        page.route("**/api/training/settings", lambda route: waiting.append(route))
        until_saved(page, 0)
        page.get_by_role("tab", name="Train").click()
        typed = {"Epochs": "1", "Folds": "3"}
        for label, value in typed.items():
            page.get_by_label(label, exact=True).fill(value)
        while not waiting:
            page.wait_for_timeout(20)
        waiting.pop().continue_()
        expect(page.get_by_label("Steps per epoch", exact=True)).not_to_have_value("")
        for label, value in typed.items():
            expect(page.get_by_label(label, exact=True)).to_have_value(value)


def test_a_particle_is_stepped_through_while_the_button_is_held(
    browser: Browser, folder: Path, real_folder: Path, served: Served
) -> None:
    (one, *_) = particles(real_folder, PATCHES[0])
    areas = []
    with opened(browser, served.link) as page:
        page.locator("#images button", has_text=PATCHES[0]).click()
        stage = Stage(page, (200, 200))
        for turns in (0, -3, 3):
            until_saved(page, 0)
            page.mouse.move(*stage.at(middle(one)))
            page.mouse.down()
            for _ in range(abs(turns)):
                page.mouse.wheel(0, 100 if turns < 0 else -100)
            page.mouse.up()
            until_saved(page, 1)
            areas += [each.area_px for each in stored(folder, PATCHES[0])]
            page.keyboard.press("Delete")
    assert areas[1] < areas[0] < areas[2]


def press(page: Page, key: str, times: int) -> None:
    for _ in range(times):
        page.keyboard.press(key)


def walk(page: Page, start: tuple[int, int], goal: tuple[int, int]) -> None:
    """Move the crosshair by keys."""
    for k, (less, more) in enumerate([("ArrowUp", "ArrowDown"), ("ArrowLeft", "ArrowRight")]):
        by = goal[k] - start[k]
        key = more if by > 0 else less
        press(page, f"Shift+{key}", abs(by) // 10)
        press(page, key, abs(by) % 10)


def tab_to(page: Page, selector: str) -> None:
    """Reach a control by Tab alone."""
    for _ in range(120):
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} cannot be reached by Tab")


def go_to(page: Page, name: str) -> None:
    """Reach an image by the keys for the previous and the next one."""
    current = page.locator("#images button[aria-current=true]")
    listed = page.locator("#images button").all_inner_texts()
    order = [text.splitlines()[-1].removesuffix(".png") for text in listed]
    at = order.index(current.inner_text().splitlines()[-1].removesuffix(".png"))
    while order[at] != name:
        by = 1 if order.index(name) > at else -1
        page.keyboard.press("d" if by > 0 else "a")
        at += by
        expect(current).to_contain_text(order[at])


def test_a_session_by_keyboard_alone(
    browser: Browser, folder: Path, real_folder: Path, served: Served
) -> None:
    name = PATCHES[1]
    truth = particles(real_folder, name)[:3]
    with opened(browser, served.link) as page:
        until_saved(page, 0)
        go_to(page, name)
        tab_to(page, "#drawing")
        page.keyboard.press("Enter")  # the crosshair appears in the middle
        place = (100, 100)
        for count, one in enumerate(truth, start=1):
            walk(page, place, middle(one))
            place = middle(one)
            page.keyboard.press("Enter")
            until_saved(page, count)
        assert all(best_iou(one, stored(folder, name)) > 0.5 for one in truth)
        keep_screenshot(page, "keyboard-three")
        before = fact(page, "Area")
        page.keyboard.press("Tab")  # another candidate
        expect(page.locator("#hint")).to_contain_text("candidate 2")
        page.keyboard.press("Escape")
        page.keyboard.press("n")
        page.keyboard.press("Shift+N")
        page.keyboard.press("[")
        expect(page.locator("#hint")).to_contain_text("contour")
        area = page.locator("#panel-annotate dl dt", has_text="Area").locator("+ dd")
        expect(area).not_to_have_text(before)
        until_saved(page, 3)
        expect(page.locator("#undo")).to_be_enabled()
        smaller = [one.area_px for one in stored(folder, name)]
        page.keyboard.press("Control+z")
        expect(page.locator("#redo")).to_be_enabled()
        until_saved(page, 3)
        assert [one.area_px for one in stored(folder, name)] != smaller
        page.keyboard.press("Control+y")
        expect(page.locator("#redo")).to_be_disabled()
        until_saved(page, 3)
        assert [one.area_px for one in stored(folder, name)] == smaller
        assert before
        page.reload()
        until_saved(page, 3)
        tab_to(page, "#format")
        page.keyboard.type("coco")
        tab_to(page, "#export")
        page.keyboard.press("Enter")
        expect(page.get_by_text("read back and compared")).to_be_visible()
        page.keyboard.press("?")
        expect(page.locator("#help")).to_be_visible()
        for key in ("Enter", "Tab", "Ctrl+z", "Space"):
            expect(page.locator("#help kbd", has_text=key).first).to_be_attached()
        keep_screenshot(page, "keys")
        page.keyboard.press("Escape")
        expect(page.locator("#help")).to_be_hidden()

        for other in (PATCHES[0], PATCHES[2]):
            go_to(page, other)
            until_saved(page, 0)
            page.keyboard.press("f")
            expect(page.locator("#images button[aria-current=true] .mark")).to_have_text("✓")
        tab_to(page, "[role=tab][aria-selected=true]")
        while not page.locator("#tab-train[aria-selected=true]").count():
            page.keyboard.press("ArrowRight")
        # What is usual is shown first; between selecting and typing it would be added to.
        expect(page.get_by_label("Epochs", exact=True)).not_to_have_value("")
        for label, value in (("Epochs", "1"), ("Steps per epoch", "2"), ("Folds", "2")):
            page.keyboard.press("Tab")
            expect(page.get_by_label(label, exact=True)).to_be_focused()
            page.keyboard.press("Control+a")
            page.keyboard.type(value)
        tab_to(page, "#panel-train summary")
        page.keyboard.press("Enter")
        tab_to(page, "#train-more")
        page.keyboard.type(TINY)
        tab_to(page, "#train-start")
        page.keyboard.press("Enter")
        finished(page)
    assert trained(folder)
    assert (folder / "export/coco/annotations.json").exists()
