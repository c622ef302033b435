"""The studio in a browser when answers come late, never, or from another studio: what was done
is stored once, where it was meant."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsers import Hands, chromium, disc, discs_in, opened, stored
from playwright.sync_api import Browser, Dialog, Page, expect
from studios import Served, studio
from test_studio_trouble import command, free_port

from corroscope.annotation.instances import Instance, iou
from corroscope.annotation.record import read_record

FIRST, SECOND, THIRD = PLACES = ((40, 50), (110, 60), (80, 150))
OTHER = (40, 150)

LATE = (("/solve$", "answered"), ("/act$", "asked"), ("/act$", "answered"))
"""What is kept back, and whether before it is sent or after it was answered."""

_KEEP_BACK = """([which, when]) => {
  const ask = window.fetch;
  const told = document.documentElement.dataset;
  told.late = 0;
  const opened = new Promise((open) => { window.letThrough = open; });
  window.fetch = async (path, ...more) => {
    if (!new RegExp(which).test(path)) return ask(path, ...more);
    const wait = () => {
      told.late = Number(told.late) + 1;
      return opened;
    };
    if (when === "asked") await wait();
    const answer = await ask(path, ...more);
    if (when === "answered") await wait();
    return answer;
  };
}"""
"""Requests are sent, or their answers come, only when they are let through."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images with other discs in them than the first, so that it shows where one came from."""
    folder = tmp_path / "folder"
    discs_in(folder, "a.png", PLACES)
    for name in ("b.png", "c.png"):
        discs_in(folder, name, [OTHER])
    return folder


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    with studio(folder) as served:
        yield served


@pytest.fixture
def hands(browser: Browser, served: Served) -> Iterator[Hands]:
    with opened(browser, served.link) as page:
        hands = Hands(page)
        hands.shows(0)
        yield hands


def keep_back(hands: Hands, which: str, when: str = "answered") -> None:
    hands.page.evaluate(_KEEP_BACK, [which, when])


def late(hands: Hands, count: int = 1) -> None:
    """Wait until so many are kept back."""
    expect(hands.root).to_have_attribute("data-late", str(count))


def let_through(hands: Hands) -> None:
    hands.page.evaluate("() => window.letThrough()")


def take(hands: Hands, *places: tuple[int, int]) -> None:
    for count, place in enumerate(places, start=1):
        hands.click(place)
        hands.shows(count)


def is_open(hands: Hands, name: str) -> None:
    expect(hands.current()).to_contain_text(name)
    expect(hands.page.locator("#saved")).to_have_attribute("data-state", "saved")


def finish(hands: Hands) -> None:
    """Declare the open image done, which comes after all that is still on its way."""
    hands.page.keyboard.press("f")
    expect(hands.current().locator(".mark")).to_have_text("✓")
    expect(hands.page.locator("#saved")).to_have_attribute("data-state", "saved")


def covers(one: Instance, place: tuple[int, int]) -> bool:
    return iou(one, disc(place)) > 0.6


def are(objects: list[Instance] | None, *places: tuple[int, int]) -> bool:
    """Whether there is one object at each place, and no other."""
    return (
        objects is not None
        and len(objects) == len(places)
        and all(any(covers(one, place) for one in objects) for place in places)
    )


# --- late answers ----------------------------------------------------------------------------


@pytest.mark.parametrize(("which", "when"), LATE)
def test_a_click_belongs_to_the_image_it_was_made_in(
    hands: Hands, folder: Path, which: str, when: str
) -> None:
    keep_back(hands, which, when)
    hands.click(FIRST)
    hands.page.keyboard.press("d")
    late(hands)
    let_through(hands)
    is_open(hands, "b.png")
    hands.shows(0)
    hands.page.keyboard.press("a")
    is_open(hands, "a.png")
    hands.shows(1)
    assert are(stored(folder), FIRST)
    assert stored(folder, "b.png") is None


@pytest.mark.parametrize("again", [False, True], ids=["known", "sought"])
def test_a_step_belongs_to_the_image_it_was_made_in(
    hands: Hands, folder: Path, again: bool
) -> None:
    take(hands, FIRST)
    (before,) = stored(folder) or []
    if again:  # what led to the particle is forgotten
        hands.page.reload()
        hands = Hands(hands.page)
        hands.shows(1)
        hands.click(FIRST)
        expect(hands.area()).to_be_visible()
    keep_back(hands, "/(solve|act)$")
    hands.page.keyboard.press("]")
    hands.page.keyboard.press("d")
    late(hands)
    let_through(hands)
    is_open(hands, "b.png")
    hands.shows(0)
    hands.page.keyboard.press("a")
    is_open(hands, "a.png")
    hands.click(FIRST)
    expect(hands.area()).to_have_text(re.compile("px"))
    expect(hands.area()).not_to_have_text(f"{before.area_px} px")
    hands.shows(1)
    (after,) = stored(folder) or []
    assert covers(after, FIRST)
    assert after.area_px > before.area_px
    assert stored(folder, "b.png") is None


@pytest.mark.parametrize(("which", "when"), LATE)
def test_clicks_during_the_first_act_take_nothing_twice(
    hands: Hands, folder: Path, which: str, when: str
) -> None:
    points = [hands.at(place) for place in (FIRST, FIRST, SECOND, SECOND, FIRST)]
    keep_back(hands, which, when)
    for x, y in points:
        hands.page.mouse.move(x, y)
        hands.page.mouse.down()
        hands.page.mouse.up()
    expect(hands.root).not_to_have_attribute("data-late", "0")
    let_through(hands)
    hands.shows(2)
    finish(hands)
    assert are(stored(folder), FIRST, SECOND)
    expect(hands.page.locator("#trouble")).to_be_hidden()


@pytest.mark.parametrize("waiting", ["nothing", "/solve$", "/act$"])
def test_deeds_in_quick_succession_are_all_done(hands: Hands, folder: Path, waiting: str) -> None:
    if waiting == "nothing":
        take(hands, FIRST)
        keep_back(hands, "/act$")
    else:
        keep_back(hands, waiting)
        hands.click(FIRST)
    for key in "ifd":
        hands.page.keyboard.press(key)
    late(hands)
    let_through(hands)
    is_open(hands, "b.png")
    expect(hands.mark("a.png")).to_have_text("✓")
    expect(hands.mark("b.png")).to_have_text("○")
    expect(hands.page.locator("#trouble")).to_be_hidden()
    hands.page.keyboard.press("a")
    is_open(hands, "a.png")
    objects = stored(folder) or []
    assert are(objects, FIRST)
    assert [one.label for one in objects] == ["ignore"]
    assert stored(folder, "b.png") is None


@pytest.mark.parametrize("which", ["/act$", "/verdict$"])
def test_a_verdict_belongs_to_the_image_it_was_given_on(
    hands: Hands, folder: Path, which: str
) -> None:
    page = hands.page
    page.get_by_role("tab", name="Review").click()
    expect(page.locator("#review-status")).to_contain_text("Proposal 1 of 3")
    keep_back(hands, which)
    page.keyboard.press("Space")
    page.keyboard.press("Space")  # too soon for another one
    page.keyboard.press("d")
    late(hands)
    let_through(hands)
    is_open(hands, "b.png")
    expect(page.locator("#review-status")).to_contain_text("Proposal 1 of 1")
    page.keyboard.press("Space")
    expect(page.locator("#review-status")).to_contain_text("Nothing left")
    lines = [line for line in read_record(folder / "annotation/reviews.jsonl") if "key" in line]
    assert [line["image"] for line in lines] == ["a.png", "b.png"]
    (one,) = stored(folder) or []
    assert any(covers(one, place) for place in PLACES)
    assert are(stored(folder, "b.png"), OTHER)


def test_what_comes_after_a_refused_deed_is_done(
    browser: Browser, served: Served, folder: Path
) -> None:
    with opened(browser, served.link, checked=False) as page:
        hands = Hands(page)
        hands.shows(0)
        take(hands, FIRST)
        keep_back(hands, "/act$")
        page.keyboard.press("s")
        hands.drag((20, 90), (60, 90))  # beside it
        late(hands)
        page.keyboard.press("i")
        page.keyboard.press("f")
        let_through(hands)
        expect(hands.mark("a.png")).to_have_text("✓")
        expect(page.locator("#saved")).to_have_attribute("data-state", "saved")
        expect(page.locator("#trouble")).to_contain_text("does not cut")
    objects = stored(folder) or []
    assert are(objects, FIRST)
    assert [one.label for one in objects] == ["ignore"]


@pytest.mark.parametrize(("which", "when"), LATE)
def test_undo_of_a_click_that_is_on_its_way_undoes_it(
    hands: Hands, folder: Path, which: str, when: str
) -> None:
    take(hands, FIRST)
    keep_back(hands, which, when)
    hands.click(SECOND)
    hands.page.keyboard.press("Control+z")
    late(hands)
    let_through(hands)
    expect(hands.page.locator("#redo")).to_be_enabled()
    hands.shows(1)
    assert are(stored(folder), FIRST)
    hands.page.keyboard.press("Control+y")
    hands.shows(2)
    assert are(stored(folder), FIRST, SECOND)


def test_what_is_taken_over_belongs_to_the_image_it_was_asked_for(
    hands: Hands, folder: Path
) -> None:
    hands.page.keyboard.press("d")
    is_open(hands, "b.png")
    hands.shows(0)
    take(hands, OTHER)
    hands.page.keyboard.press("d")
    is_open(hands, "c.png")
    hands.shows(0)
    keep_back(hands, "/act$")
    hands.page.keyboard.press("p")
    hands.page.keyboard.press("a")
    late(hands)
    let_through(hands)
    is_open(hands, "b.png")
    hands.shows(1)
    hands.page.keyboard.press("Delete")  # of what is selected: nothing
    finish(hands)
    assert are(stored(folder, "b.png"), OTHER)
    assert are(stored(folder, "c.png"), OTHER)


def leave(page: Page) -> None:
    page.close(run_before_unload=True)


def test_leaving_asks_while_something_is_unsaved(hands: Hands, folder: Path) -> None:
    page = hands.page
    keep_back(hands, "/act$", "asked")
    hands.click(FIRST)
    late(hands)
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    with page.expect_event("dialog"):
        leave(page)
    assert asked == ["beforeunload"]
    let_through(hands)
    hands.shows(1)
    assert are(stored(folder), FIRST)
    with page.expect_event("close"):  # now, nobody is asked
        leave(page)
    assert asked == ["beforeunload"]


# --- no answers, and those of another studio -------------------------------------------------


def test_what_was_done_without_the_studio_is_stored_once_when_it_is_back(
    browser: Browser, folder: Path
) -> None:
    port = free_port()
    with command(folder, port) as (child, link), opened(browser, link, checked=False) as page:
        hands = Hands(page)
        hands.shows(0)
        child.kill()
        child.wait()
        hands.click(FIRST)
        page.keyboard.press("d")
        expect(page.locator("#trouble")).to_contain_text("does not answer")
        assert stored(folder) is None
        with command(folder, port):
            expect(page.locator("#trouble")).to_be_hidden(timeout=20_000)
            page.locator("#images button", has_text="a.png").click()
            is_open(hands, "a.png")
            hands.shows(1)
            take_also(hands, SECOND, 2)
            page.keyboard.press("d")
            is_open(hands, "b.png")
            hands.shows(0)
            take_also(hands, OTHER, 1)
    assert are(stored(folder), FIRST, SECOND)
    assert are(stored(folder, "b.png"), OTHER)


def take_also(hands: Hands, place: tuple[int, int], count: int) -> None:
    hands.click(place)
    hands.shows(count)


_ELSEWHERE = re.compile("another folder|open the link", re.IGNORECASE)


def work_blindly(hands: Hands) -> None:
    for place in (FIRST, SECOND):
        hands.click(place)
    for key in ("Delete", "f", "Control+z", "d", "f"):
        hands.page.keyboard.press(key)


@pytest.mark.parametrize("pending", [False, True], ids=["idle", "unsaved"])
def test_a_page_writes_nothing_into_another_folder(
    browser: Browser, folder: Path, tmp_path: Path, pending: bool
) -> None:
    other = tmp_path / "other"  # with images of the same names
    discs_in(other, "a.png", PLACES)
    discs_in(other, "b.png", PLACES)
    port = free_port()
    with command(folder, port) as (child, link), opened(browser, link, checked=False) as page:
        hands = Hands(page)
        hands.shows(0)
        take(hands, FIRST)
        child.kill()
        child.wait()
        if pending:
            page.keyboard.press("Delete")
            expect(page.locator("#saved")).to_have_attribute("data-state", "failed")
        with command(other, port) as (_, new_link):
            told = page.locator("#trouble")
            expect(told).to_contain_text(_ELSEWHERE, timeout=20_000)
            work_blindly(hands)
            expect(told).to_contain_text(_ELSEWHERE)
            # Opened anew beside it, in the same browser: the old page is let in again.
            new = page.context.new_page()
            new.goto(new_link)
            new_hands = Hands(new)
            new_hands.shows(0)
            work_blindly(hands)
            new_hands.click(THIRD)
            new_hands.shows(1)
    assert are(stored(other), THIRD)
    assert stored(other, "b.png") is None
    assert are(stored(folder), FIRST)
