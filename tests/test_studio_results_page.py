"""The Results tab in a browser: a run from the page, and its particles in picture and table."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from browsers import chromium, keep_screenshot, opened
from playwright.sync_api import Browser, Locator, Page, expect
from studios import studio

import corroscope
from corroscope.annotation.stored import read_annotations
from corroscope.frames.reading import read_frame
from corroscope.synthesis.settings import make_synth_settings

SIDE = 192
COUNT = 4


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = make_synth_settings({"particles": {"per_mpx": 2500}, "camera": {"drift_px": 6}})
    out = tmp_path_factory.mktemp("made") / "run"
    frames = corroscope.synth(out=out, settings=settings, size=SIDE, frames=COUNT, seed=5)
    corroscope.run(frames / "frames", out=frames / "frames/results/run1", pixel_size=0.5)
    return frames / "frames"


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "frames"))


def _axe(page: Page) -> list[str]:
    """What the page does wrong, by the rules of axe-core."""
    return [violation["id"] for violation in Axe().run(page).response["violations"]]


def _last_image(page: Page) -> None:
    page.locator("#images button").nth(COUNT - 1).click()
    expect(page.locator("#found-here")).to_contain_text(f"Frame {COUNT - 1}")


def _chosen(page: Page) -> Locator:
    return page.locator(".particles tr[aria-selected=true]")


def test_a_run_is_started_from_an_empty_tab_and_looked_at(browser: Browser, folder: Path) -> None:
    shutil.rmtree(folder / "results")
    with studio(folder) as served, opened(browser, served.link) as page:
        page.locator("#tab-results").click()
        expect(page.locator("#panel-results code")).to_contain_text("corroscope run")
        keep_screenshot(page, "results-empty")
        page.locator("#run-pixel_size").fill("0.5")
        command = f"corroscope run {folder} --out {folder / 'results/run1'} --pixel-size 0.5"
        expect(page.locator("#panel-results code").first).to_have_text(command)
        page.locator("#run-start").click()
        expect(page.locator("#run-stop")).to_be_visible()
        expect(page.locator("#result")).to_have_value("1", timeout=120_000)
        expect(page.locator("#result option")).to_have_text("run1")
        _last_image(page)
        table = pd.read_csv(folder / "results/run1/particles.csv")
        count = int((table["frame"] == COUNT - 1).sum())
        expect(page.locator("#found-here")).to_contain_text(f"{count} particles")
        expect(page.locator(".particles table")).to_have_attribute("aria-rowcount", str(count + 1))
        expect(page.locator("#panel-results svg[role=img]")).to_have_count(2)
        page.locator("#panel-results img").scroll_into_view_if_needed()
        assert page.locator("#panel-results img").evaluate("image => image.complete")
        keep_screenshot(page, "results-plots")


def test_table_and_picture_are_linked_both_ways(browser: Browser, folder: Path) -> None:
    table = pd.read_csv(folder / "results/run1/particles.csv")
    table = table[table["frame"] == COUNT - 1]
    largest = table.sort_values("area_px").iloc[-1]
    number = str(int(largest["particle"]))
    with studio(folder) as served, opened(browser, served.link, width=1280, height=800) as page:
        page.locator("#tab-results").click()
        _last_image(page)
        # From the picture to the table.
        box = page.locator("#drawing").bounding_box()
        assert box is not None
        scale = min(16, 0.98 * min(box["width"], box["height"]) / SIDE)
        x = box["x"] + box["width"] / 2 + (largest["x_px"] + 0.5 - SIDE / 2) * scale
        y = box["y"] + box["height"] / 2 + (largest["y_px"] + 0.5 - SIDE / 2) * scale
        page.mouse.click(x, y)
        expect(_chosen(page).locator("td").first).to_have_text(number)
        expect(_chosen(page)).to_be_in_viewport()
        expect(page.locator("#take-one")).to_be_enabled()
        assert served.get("/api/folder").content["images"][-1]["objects"] == 0  # nothing is taken
        # From the table to the picture: what is in the middle then is what was chosen.
        page.keyboard.press("0")
        heading = page.locator(".particles th").filter(has_text="areapx²")
        heading.locator("button").focus()
        page.keyboard.press("Enter")
        expect(heading).to_have_attribute("aria-sort", "ascending")
        page.keyboard.press("Enter")
        expect(heading).to_have_attribute("aria-sort", "descending")
        page.locator(".particles tbody tr[tabindex='0']").focus()
        page.keyboard.press("Home")
        expect(_chosen(page).locator("td").first).to_have_text(number)
        expect(page.locator("#zoom")).to_have_text("800 %")
        keep_screenshot(page, "results-chosen")
        page.mouse.click(box["x"] + 3, box["y"] + box["height"] - 3)
        expect(_chosen(page)).to_have_count(0)
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        expect(_chosen(page).locator("td").first).to_have_text(number)
        # By keys alone, through all of them and back to the first.
        for _ in range(len(table)):
            page.keyboard.press("n")
        expect(_chosen(page).locator("td").first).to_have_text(number)
        page.keyboard.press("a")
        expect(page.locator("#found-here")).to_contain_text(f"Frame {COUNT - 2}")
        expect(page.locator("#tab-results")).to_have_attribute("aria-selected", "true")


def test_particles_are_taken_and_the_page_breaks_no_rule(browser: Browser, folder: Path) -> None:
    with studio(folder) as served, opened(browser, served.link, checked=False) as page:
        page.locator("#tab-results").click()
        _last_image(page)
        name = served.place.names[-1]
        page.locator("#take-all").click()
        expect(page.locator("#hint")).to_contain_text("taken as annotation")
        expect(page.locator("#saved")).to_have_attribute("data-state", "saved")
        expect(page.locator("#take-all")).to_be_disabled()
        expect(page.locator("#take-all")).to_contain_text("annotated")
        page.keyboard.press("n")
        expect(page.locator("#take-one")).to_be_disabled()
        mask = read_frame(folder / f"results/run1/masks/{Path(name).stem}_mask.png") > 0
        (image,) = [each for each in read_annotations(folder) if each.name == name]
        assert sum(one.area_px for one in image.instances) == mask.sum()
        for fold in page.locator("#panel-results summary").all():
            fold.click()
        assert _axe(page) == []
        page.locator("#tab-annotate").click()
        page.locator("#undo").click()
        expect(page.locator("#redo")).to_be_enabled()
        page.locator("#tab-results").click()
        expect(page.locator("#take-all")).to_be_enabled()


# The panel beside a session of the test's own, whose folder was told a size or none.
_SIZES = """
async (own) => {
  const { Results } = await import("/static/panels/results.js");
  const session = { folder: { pixel_size_um: own }, image: null, images: [], marks: [],
                    tool: "click", changed() {}, trouble(text) { throw new Error(text); } };
  const panel = new Results(session, { use() {} });
  panel.activate(true);
  await panel.refresh();
  const sizes = [];
  for (const number of [1, 2, 3, 1]) {
    panel.choice.value = number;
    panel.choice.dispatchEvent(new Event("change"));
    await panel.refresh(); // which waits for the answer
    sizes.push(session.folder.pixel_size_um);
  }
  return sizes;
}
"""


def test_the_scale_is_that_of_the_folder_or_of_the_chosen_result(
    browser: Browser, folder: Path
) -> None:
    for name, size in (("run2", 0.25), ("run3", None)):
        copy = Path(shutil.copytree(folder / "results/run1", folder / "results" / name))
        manifest = json.loads((copy / "manifest.json").read_text())
        manifest["settings"]["pixel_size_um"] = size
        (copy / "manifest.json").write_text(json.dumps(manifest))
    with studio(folder) as served, opened(browser, served.link) as page:
        assert page.evaluate(_SIZES, None) == [0.5, 0.25, None, 0.5]
        assert page.evaluate(_SIZES, 0.42) == [0.42] * 4


def test_what_cannot_be_shown_says_what_to_do(browser: Browser, folder: Path) -> None:
    other = shutil.copytree(folder / "results/run1", folder / "results/run2")
    for name in ("frames.parquet", "frames.csv"):
        (other / name).unlink()
    (folder / "results/run2.json").write_text("{}")
    broken = shutil.copytree(folder / "results/run1", folder / "results/run3")
    (broken / "particles.parquet").write_bytes(b"no table")
    with studio(folder) as served, opened(browser, served.link, checked=False) as page:
        page.locator("#tab-results").click()
        expect(page.locator("#result")).to_have_value("1")
        page.locator("#result").select_option("run3 (unreadable)")
        expect(page.locator("#panel-results [role=alert]")).to_contain_text("cannot be read")
        expect(page.locator(".particles")).to_be_hidden()
        page.locator("#result").select_option("run2 (unfinished)")
        expect(page.locator("#panel-results [role=alert]")).to_contain_text("is not finished")
        keep_screenshot(page, "results-unfinished")
        page.locator("#run-again").click()
        expect(page.locator("#result option").nth(1)).to_have_text("run2", timeout=120_000)
        expect(page.locator("#panel-results [role=alert]")).to_be_empty()
    assert (other / "frames.csv").exists()
