"""Every gesture of the studio, by a hand in a browser: how many objects are stored, and which
pixels."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from browsers import Hands, chromium, disc, discs_in, opened, stored
from playwright.sync_api import Browser, Page, Route, expect
from studios import Served, studio

from corroscope.annotation.instances import Instance, iou
from corroscope.annotation.record import read_record

FIRST, SECOND, THIRD = PLACES = ((40, 50), (110, 60), (80, 150))
IN_DIFFERENCE = (40, 150)
EDGE = ((35.5, 50), (40, 54.5), (44.5, 50), (40, 45.5))
"""Round the first disc."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An image with three discs, the next with one of them, the last with none."""
    folder = tmp_path / "folder"
    discs_in(folder, "a.png", PLACES)
    discs_in(folder, "b.png", [SECOND])
    discs_in(folder, "c.png", [])
    for name in ("a.png", "b.png", "c.png"):
        discs_in(folder / "difference", name, [IN_DIFFERENCE], ground=128)
    return folder


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    with studio(folder) as served:
        yield served


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    with opened(browser, served.link) as page:
        yield page


@pytest.fixture
def hands(page: Page) -> Hands:
    hands = Hands(page)
    hands.shows(0)
    return hands


@pytest.fixture
def objects(folder: Path) -> Callable[..., list[Instance]]:
    """What is stored of an image."""
    return lambda name="a.png": stored(folder, name) or []


Objects = Callable[..., list[Instance]]


def pixels(one: Instance) -> set[tuple[int, int]]:
    rows, cols = np.nonzero(one.mask)
    corner_row, corner_col = one.corner_px
    return {(int(r) + corner_row, int(c) + corner_col) for r, c in zip(rows, cols, strict=True)}


def covers(one: Instance, place: tuple[int, int]) -> bool:
    return iou(one, disc(place)) > 0.6


def take(hands: Hands, *places: tuple[int, int]) -> None:
    """Take some particles, one after the other."""
    for count, place in enumerate(places, start=1):
        hands.click(place)
        hands.shows(count)


def open_next(hands: Hands, name: str) -> None:
    hands.page.keyboard.press("d")
    expect(hands.current()).to_contain_text(name)
    hands.shows(0)


# --- contour points --------------------------------------------------------------------------


@pytest.mark.parametrize("close", ["Enter", "first point"])
def test_points_round_a_particle_make_one_object(
    hands: Hands, objects: Objects, close: str
) -> None:
    for count, point in enumerate(EDGE, start=1):
        hands.click(point, "Shift")
        expect(hands.root).to_have_attribute("data-handles", str(count))
    if close == "Enter":
        hands.page.keyboard.press("Enter")
    else:
        hands.click(EDGE[0])
    hands.shows(1)
    (one,) = objects()
    assert covers(one, FIRST)
    assert 35 < one.area_px < 80


def test_points_that_are_let_go_leave_nothing(hands: Hands, objects: Objects) -> None:
    for count, point in enumerate(EDGE[:3], start=1):
        hands.click(point, "Shift")
        expect(hands.root).to_have_attribute("data-handles", str(count))
    hands.page.keyboard.press("Escape")
    expect(hands.root).to_have_attribute("data-handles", "0")
    take(hands, SECOND)  # whatever was on its way comes before this
    (one,) = objects()
    assert covers(one, SECOND)


def test_undo_takes_the_last_point_back(hands: Hands, objects: Objects, folder: Path) -> None:
    take(hands, SECOND)
    far = (60, 90)
    for count, point in enumerate((*EDGE, far), start=1):
        hands.click(point, "Shift")
        expect(hands.root).to_have_attribute("data-handles", str(count))
    before = (folder / "annotation/journal.jsonl").read_bytes()
    hands.page.keyboard.press("Control+z")
    expect(hands.root).to_have_attribute("data-handles", "4")
    assert (folder / "annotation/journal.jsonl").read_bytes() == before
    hands.page.keyboard.press("Enter")
    hands.shows(2)
    first, second = sorted(objects(), key=lambda one: one.corner_px)
    assert covers(first, FIRST)
    assert covers(second, SECOND)


def test_c_starts_and_goes_on_with_a_contour_under_the_mouse(
    hands: Hands, objects: Objects
) -> None:
    for count, point in enumerate(EDGE, start=1):
        hands.move(point)
        hands.page.keyboard.press("c")
        expect(hands.root).to_have_attribute("data-handles", str(count))
    hands.page.keyboard.press("Enter")
    hands.shows(1)
    (one,) = objects()
    assert covers(one, FIRST)


# --- clicks ----------------------------------------------------------------------------------


def test_a_double_click_takes_once(hands: Hands, objects: Objects) -> None:
    hands.click(FIRST, times=2)
    hands.shows(1)
    hands.page.keyboard.press("f")  # comes after whatever is still on its way
    expect(hands.mark("a.png")).to_have_text("✓")
    (one,) = objects()
    assert covers(one, FIRST)


def test_two_quick_clicks_take_two(hands: Hands, objects: Objects) -> None:
    points = [hands.at(FIRST), hands.at(SECOND)]
    for x, y in points:
        hands.page.mouse.move(x, y)
        hands.page.mouse.down()
        hands.page.mouse.up()
    hands.shows(2)
    first, second = sorted(objects(), key=lambda one: one.corner_px)
    assert covers(first, FIRST)
    assert covers(second, SECOND)


def test_the_wheel_steps_a_taken_particle_that_is_held(hands: Hands, objects: Objects) -> None:
    take(hands, FIRST)
    (before,) = objects()
    zoom = hands.page.locator("#zoom").inner_text()
    for turn in (-100, 100, 100):
        hands.move(FIRST)
        text = hands.area().inner_text()
        hands.page.mouse.down()
        hands.page.mouse.wheel(0, turn)
        hands.page.mouse.up()
        expect(hands.area()).not_to_have_text(text)
        hands.shows(1)
    (after,) = objects()
    assert after.area_px < before.area_px
    assert hands.page.locator("#zoom").inner_text() == zoom


@pytest.mark.parametrize("how", ["mouse", "keys"])
def test_places_are_excluded_and_included(hands: Hands, objects: Objects, how: str) -> None:
    if how == "mouse":
        take(hands, FIRST)
    else:
        hands.move(FIRST)
        hands.page.keyboard.press("Enter")
        hands.shows(1)
    areas = []
    for key, point in (("o", (40, 54)), ("Shift+O", (44, 46))):
        areas += [one.area_px for one in objects()]
        text = hands.area().inner_text()
        if how == "keys":
            hands.move(point)
            hands.page.keyboard.press(key)
        elif key == "o":
            hands.click(point, button="right")
        else:
            hands.click(point, "Alt")
        expect(hands.area()).not_to_have_text(text)
        hands.shows(1)
    (one,) = objects()
    assert areas[1] < areas[0]
    assert areas[1] < one.area_px
    assert covers(one, FIRST)


# --- handles ---------------------------------------------------------------------------------


def handles(page: Page) -> list[tuple[float, float]]:
    """Where the points of the contour are drawn."""
    drawn = page.evaluate(
        "() => window.lastDrawn.handles.filter(h => h.kind === 'point').map(h => h.point)"
    )
    return [(row, col) for row, col in drawn]


def lie_on(points: list[tuple[float, float]], one: Instance, within_px: float = 1.5) -> bool:
    """Whether all points are close to the rim of an object."""
    whole = np.zeros((160, 200), bool)
    whole[one.box] = one.mask
    inside = np.argwhere(whole)
    outside = np.argwhere(~whole)
    return all(
        max(np.hypot(*(side - point).T).min() for side in (inside, outside)) < within_px
        for point in points
    )


def test_a_point_is_dragged_after_coming_closer_and_undo_brings_all_back(
    hands: Hands, objects: Objects
) -> None:
    take(hands, FIRST)
    (before,) = objects()
    expect(hands.root).to_have_attribute("data-handles", "0")
    hands.move(FIRST)
    for _ in range(6):
        hands.page.mouse.wheel(0, -200)
    expect(hands.root).not_to_have_attribute("data-handles", "0")
    assert lie_on(handles(hands.page), before)
    grabbed = max(handles(hands.page))
    text = hands.area().inner_text()
    hands.drag(grabbed, (grabbed[0] + 4, grabbed[1]))
    expect(hands.area()).not_to_have_text(text)
    hands.shows(1)
    (after,) = objects()
    assert pixels(after) != pixels(before)
    assert iou(after, before) > 0.4
    assert lie_on(handles(hands.page), after, 4)  # the mask has no pixel at the tip itself
    hands.page.keyboard.press("Control+z")
    expect(hands.page.locator("#redo")).to_be_enabled()
    hands.shows(1)
    (again,) = objects()
    assert pixels(again) == pixels(before)
    # Right after an undo, too, the points are those of what is there now.
    if hands.root.get_attribute("data-handles") == "0":
        hands.click(FIRST)
        expect(hands.root).not_to_have_attribute("data-handles", "0")
    assert lie_on(handles(hands.page), before)


# --- pixels ----------------------------------------------------------------------------------


def test_a_stroke_beside_makes_another_object(hands: Hands, objects: Objects) -> None:
    take(hands, FIRST)
    (first,) = objects()
    hands.page.keyboard.press("b")
    hands.drag((70, 20), (70, 29))
    hands.shows(2)
    assert {frozenset(pixels(one)) for one in objects()} == {
        frozenset(pixels(first)),
        frozenset((70, col) for col in range(20, 30)),
    }


def test_a_stroke_that_touches_extends_and_undo_keeps_the_selection(
    hands: Hands, objects: Objects
) -> None:
    take(hands, FIRST)
    (before,) = objects()
    text = hands.area().inner_text()
    hands.page.keyboard.press("b")
    hands.drag((40, 52), (40, 70))
    expect(hands.area()).not_to_have_text(text)
    hands.shows(1)
    (after,) = objects()
    assert pixels(after) == pixels(before) | {(40, col) for col in range(52, 71)}
    hands.page.keyboard.press("Control+z")
    expect(hands.area()).to_have_text(text)  # of what is selected
    hands.shows(1)
    expect(hands.root).to_have_attribute("data-selected", "1")
    (again,) = objects()
    assert pixels(again) == pixels(before)


def test_the_eraser_takes_pixels_away(hands: Hands, objects: Objects) -> None:
    take(hands, FIRST)
    (before,) = objects()
    text = hands.area().inner_text()
    hands.page.keyboard.press("e")
    hands.drag((40, 40), (40, 60))
    expect(hands.area()).not_to_have_text(text)
    hands.shows(1)
    (after,) = objects()
    assert pixels(after) == pixels(before) - {(40, col) for col in range(40, 61)}
    assert pixels(after) != pixels(before)


# --- whole objects ---------------------------------------------------------------------------


def test_a_line_across_cuts_in_two(hands: Hands, objects: Objects) -> None:
    take(hands, FIRST)
    (before,) = objects()
    hands.page.keyboard.press("s")
    hands.drag((30, 50), (50, 50))
    hands.shows(2)
    one, other = objects()
    assert pixels(one) | pixels(other) == pixels(before)
    assert not pixels(one) & pixels(other)


def test_two_that_are_selected_merge(hands: Hands, objects: Objects) -> None:
    take(hands, FIRST, SECOND)
    both = objects()
    hands.page.keyboard.press("Escape")
    expect(hands.root).to_have_attribute("data-selected", "0")
    for count, place in enumerate((FIRST, SECOND), start=1):
        hands.click(place, "Control", "Alt")
        expect(hands.root).to_have_attribute("data-selected", str(count))
    hands.page.keyboard.press("m")
    hands.shows(1)
    (one,) = objects()
    assert pixels(one) == pixels(both[0]) | pixels(both[1])


def test_ignored_is_written_apart(hands: Hands, objects: Objects, folder: Path) -> None:
    take(hands, FIRST)
    (before,) = objects()
    assert not (folder / "a_ignore.png").exists()
    hands.page.keyboard.press("i")
    hands.shows(0)
    (one,) = objects()
    assert one.label == "ignore"
    assert pixels(one) == pixels(before)
    assert (folder / "a_ignore.png").exists()


def test_what_is_deleted_is_gone(hands: Hands, objects: Objects) -> None:
    take(hands, FIRST, SECOND)
    hands.click(FIRST, "Control")
    hands.shows(1)
    (one,) = objects()
    assert covers(one, SECOND)
    hands.click(SECOND)
    expect(hands.area()).to_be_visible()
    hands.page.keyboard.press("Delete")
    hands.shows(0)
    assert objects() == []


# --- planes and neighbours -------------------------------------------------------------------


def test_while_r_is_held_the_difference_is_shown_and_clicked_on(
    hands: Hands, objects: Objects
) -> None:
    hands.page.evaluate("point => { window.probe = point; }", list(IN_DIFFERENCE))
    hands.move((70, 100))
    expect(hands.root).to_have_attribute("data-probe", "bright")
    hands.page.keyboard.down("r")
    expect(hands.root).to_have_attribute("data-probe", "dark")
    hands.click(IN_DIFFERENCE)
    hands.shows(1)
    (one,) = objects()
    assert covers(one, IN_DIFFERENCE)
    hands.page.keyboard.up("r")
    expect(hands.root).to_have_attribute("data-probe", "bright")
    hands.click(FIRST)
    hands.shows(2)
    assert any(covers(one, FIRST) for one in objects())


def test_r_released_before_the_difference_came_shows_the_frame(
    page: Page, objects: Objects
) -> None:
    waiting: list[Route] = []
    page.route("**/pixels/difference", lambda route: waiting.append(route))
    page.reload()
    hands = Hands(page)
    hands.shows(0)
    page.evaluate("point => { window.probe = point; }", list(IN_DIFFERENCE))
    hands.move((70, 100))
    expect(hands.root).to_have_attribute("data-probe", "bright")
    page.keyboard.down("r")
    while not waiting:  # it may have been asked for beforehand
        hands.at(FIRST)
    page.keyboard.up("r")
    with page.expect_response("**/pixels/difference"):
        for route in waiting:
            route.continue_()
    for k in range(5):  # time to show it, if it would
        hands.move((70, 100 + k))
    expect(hands.root).to_have_attribute("data-probe", "bright")
    hands.click(FIRST)
    hands.shows(1)
    (one,) = objects()
    assert covers(one, FIRST)
    page.keyboard.down("r")
    expect(hands.root).to_have_attribute("data-probe", "dark")
    page.keyboard.up("r")
    expect(hands.root).to_have_attribute("data-probe", "bright")


def test_p_takes_over_what_is_still_there(hands: Hands, objects: Objects) -> None:
    take(hands, FIRST, SECOND)
    open_next(hands, "b.png")
    hands.page.keyboard.press("p")
    hands.shows(1)
    (one,) = objects("b.png")
    assert covers(one, SECOND)


def test_p_that_finds_nothing_says_so_and_stores_nothing(
    browser: Browser, served: Served, folder: Path
) -> None:
    with opened(browser, served.link, checked=False) as page:
        hands = Hands(page)
        hands.shows(0)  # before, nobody listens to keys
        open_next(hands, "b.png")
        take(hands, SECOND)
        open_next(hands, "c.png")
        journal = (folder / "annotation/journal.jsonl").read_bytes()
        page.keyboard.press("p")
        expect(page.locator("#trouble")).to_contain_text(re.compile("none of the", re.IGNORECASE))
        assert "\n" not in page.locator("#trouble").inner_text()
        hands.shows(0)
        expect(hands.mark("c.png")).to_have_text("○")
    assert (folder / "annotation/journal.jsonl").read_bytes() == journal
    assert stored(folder, "c.png") is None


def test_t_outlines_what_the_neighbours_have(hands: Hands, objects: Objects, folder: Path) -> None:
    take(hands, FIRST)
    open_next(hands, "b.png")
    for shapes in ("neighbour", ""):
        hands.page.keyboard.press("t")
        expect(hands.root).to_have_attribute("data-shapes", shapes)
    assert len(objects()) == 1
    assert stored(folder, "b.png") is None


# --- review ----------------------------------------------------------------------------------


def review(hands: Hands) -> None:
    hands.page.get_by_role("tab", name="Review").click()
    expect(hands.page.locator("#review-status")).to_contain_text("Proposal 1 of 3")


def judged(hands: Hands, count: int) -> None:
    """Wait until so many verdicts are given and all is on the disk."""
    told = hands.page.locator("#panel-review dl dt", has_text="Judged here").locator("+ dd")
    expect(told).to_have_text(str(count))
    expect(hands.page.locator("#saved")).to_have_attribute("data-state", "saved")


def test_space_accepts_and_x_rejects(hands: Hands, objects: Objects, folder: Path) -> None:
    review(hands)
    hands.page.keyboard.press("Space")
    judged(hands, 1)
    (one,) = objects()
    assert any(covers(one, place) for place in PLACES)
    hands.page.keyboard.press("x")
    judged(hands, 2)
    assert objects() == [one]
    lines = read_record(folder / "annotation/reviews.jsonl")
    assert [line["verdict"] for line in lines if "verdict" in line] == ["accept", "reject"]


def test_e_accepts_and_goes_on_to_mend_what_it_made(hands: Hands, objects: Objects) -> None:
    review(hands)
    hands.page.keyboard.press("e")
    expect(hands.page.get_by_role("tab", name="Annotate")).to_have_attribute(
        "aria-selected", "true"
    )
    hands.shows(1)
    (one,) = objects()
    expect(hands.root).to_have_attribute("data-selected", "1")
    expect(hands.area()).to_have_text(f"{one.area_px} px")
    (place,) = (place for place in PLACES if covers(one, place))
    x, y = hands.at(place)
    box = hands.page.locator("#drawing").bounding_box()
    assert box is not None
    assert box["x"] + 20 < x < box["x"] + box["width"] - 20
    assert box["y"] + 20 < y < box["y"] + box["height"] - 20


def test_space_accepts_after_an_image_was_chosen_in_the_list(
    hands: Hands, objects: Objects
) -> None:
    hands.page.get_by_role("tab", name="Review").click()
    hands.page.locator("#images button", has_text="b.png").click()
    expect(hands.current()).to_contain_text("b.png")
    expect(hands.page.locator("#review-status")).to_contain_text("Proposal 1 of 1")
    hands.page.keyboard.press("Space")
    judged(hands, 1)
    (one,) = objects("b.png")
    assert covers(one, SECOND)
    expect(hands.current()).to_contain_text("b.png")


def test_clicks_in_the_picture_add_nothing_while_reviewing(hands: Hands, objects: Objects) -> None:
    review(hands)
    hands.move(FIRST)
    hands.page.keyboard.press("0")  # the whole picture
    for place in PLACES:
        hands.click(place)
    hands.page.keyboard.press("Space")
    judged(hands, 1)
    assert len(objects()) == 1


# --- the page --------------------------------------------------------------------------------


@pytest.mark.parametrize("control", ["range", "checkbox", "select"])
def test_keys_work_after_a_control_was_touched(hands: Hands, control: str) -> None:
    page = hands.page
    if control == "range":
        page.locator("#outlines").click()
    elif control == "checkbox":
        page.get_by_role("tab", name="Sequence").click()
        page.locator("#onion").click()
        expect(page.locator("#onion")).to_be_checked()
    else:
        page.locator("#plane").click()
        page.locator("#plane").select_option("difference")
        expect(page.locator("#plane")).to_have_value("difference")
    page.keyboard.press("d")
    expect(hands.current()).to_contain_text("b.png")


def test_the_list_tells_done_from_begun_and_the_image_stays_open(
    hands: Hands, objects: Objects, folder: Path
) -> None:
    expect(hands.mark("a.png")).to_have_text("○")
    take(hands, FIRST)
    expect(hands.mark("a.png")).to_have_text("◐")
    hands.page.keyboard.press("f")
    expect(hands.mark("a.png")).to_have_text("✓")
    open_next(hands, "b.png")
    take(hands, SECOND)
    hands.page.reload()
    expect(hands.current()).to_contain_text("b.png")
    expect(hands.mark("a.png")).to_have_text("✓")
    expect(hands.mark("b.png")).to_have_text("◐")
    expect(hands.mark("c.png")).to_have_text("○")
    assert len(objects()) == len(objects("b.png")) == 1
    assert stored(folder, "c.png") is None


def test_the_list_of_keys_opens_at_its_top(browser: Browser, served: Served) -> None:
    with opened(browser, served.link, height=560) as page:
        Hands(page).shows(0)
        page.keyboard.press("?")
        first = page.locator("#help kbd").first
        expect(first).to_have_text("Enter")
        expect(first).to_be_in_viewport()
        assert page.locator("#help").evaluate("dialog => dialog.scrollTop") == 0
