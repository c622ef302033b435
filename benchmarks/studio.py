"""How quickly the studio answers in Chromium, on frames of 2448×2452 pixels.

python benchmarks/studio.py
python benchmarks/studio.py --picture docs/images/studio.png    # what it looks like, instead

Times run from the event in the page (a move, a press, a key) to the end of the drawing that shows
the answer.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from playwright.sync_api import Page
from scipy import ndimage

from corroscope import synth
from corroscope.annotation import propose
from corroscope.annotation.instances import Instance
from corroscope.annotation.store import Store
from corroscope.frames.reading import read_frame
from corroscope.synthesis.settings import make_synth_settings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browsers import chromium, opened

SIZE_PX = (2448, 2452)
FRAMES = 9
MASKS = 5000

# Asked before the event, answered after the drawing that fulfils the condition.
WATCH = """([event, condition]) => {
  const canvas = document.querySelector("#drawing");
  const fulfils = new Function("snapshot", "before", `return ${condition}`);
  const before = window.lastDrawn ?? {};
  window.measured = new Promise((resolve) => {
    let start = null;
    addEventListener(event, () => { start = performance.now(); }, { capture: true, once: true });
    canvas.addEventListener("drawn", function drawn({ detail }) {
      if (start === null || !fulfils(detail, before)) return;
      canvas.removeEventListener("drawn", drawn);
      resolve(performance.now() - start);
    });
  });
}"""

GHOST = "snapshot.shapes.some((s) => s.style === 'ghost' && s.rings.length > 0)"
NO_GHOST = "!snapshot.shapes.some((s) => s.style === 'ghost' && s.rings.length > 0)"
PENDING = "snapshot.shapes.some((s) => s.style === 'pending')"
OTHER_IMAGE = "snapshot.bitmap && snapshot.image && snapshot.image.id !== before.image?.id"

# Every screen frame another view, as a hand on the wheel and on the button would ask for.
FLY = """async ({ seconds, zooming }) => {
  const canvas = document.querySelector("#drawing");
  const box = canvas.getBoundingClientRect();
  const middle = [box.x + box.width / 2, box.y + box.height / 2];
  const fire = (kind, type, x, y, more) => canvas.dispatchEvent(new kind(type, {
    bubbles: true, cancelable: true, clientX: x, clientY: y, pointerId: 1, ...more }));
  canvas.setPointerCapture = () => {};
  if (!zooming) fire(PointerEvent, "pointerdown", ...middle, { button: 1 });
  const gaps = [];
  let last = await new Promise(requestAnimationFrame);
  const first = last;
  for (let k = 0; last - first < 1000 * seconds; k += 1) {
    const [x, y] = [middle[0] + 150 * Math.sin(k / 20), middle[1] + 150 * Math.cos(k / 25)];
    if (zooming) fire(WheelEvent, "wheel", x, y, { deltaY: 40 * Math.sign(Math.sin(k / 20)) });
    else fire(PointerEvent, "pointermove", x, y);
    const now = await new Promise(requestAnimationFrame);
    gaps.push(now - last);
    last = now;
  }
  if (!zooming) fire(PointerEvent, "pointerup", ...middle, { button: 1 });
  return gaps;
}"""


def measured(page: Page, event: str, condition: str) -> "Measure":
    """Wait for what is drawn after an event."""
    page.evaluate(WATCH, [event, condition])
    return Measure(page)


class Measure:
    """The time from the event to the drawing, once the event was made."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def ms(self) -> float:
        """Milliseconds."""
        return float(self._page.evaluate("() => window.measured"))


@contextmanager
def studio(folder: Path) -> Iterator[str]:
    """The studio as a process of its own; gives the link."""
    child = subprocess.Popen(
        [sys.executable, "-m", "corroscope", "annotate", str(folder), "--no-browser"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_STATE_HOME": str(folder.parent), "USER": "ada", "LOGNAME": "ada"},
    )
    try:
        assert child.stdout is not None
        yield child.stdout.readline().split()[-1]
    finally:
        child.terminate()
        child.wait()


def scattered(count: int) -> list[Instance]:
    """Discs of 5 to 9 pixels across, side by side without touching."""
    rng = np.random.default_rng(0)
    columns = int(np.ceil(np.sqrt(count)))
    pitch = SIZE_PX[0] // columns
    discs = []
    for k in range(count):
        radius = rng.uniform(2.2, 4.5)
        reach = int(radius)
        rows, cols = np.ogrid[-reach : reach + 1, -reach : reach + 1]
        corner = rng.integers(0, pitch - 2 * reach - 2, 2) + pitch * np.array(divmod(k, columns))
        mask = np.hypot(rows, cols) <= radius
        discs.append(Instance.of(mask, corner_px=(int(corner[0]), int(corner[1]))))
    return discs


def line(what: str, times: list[float], bar: str) -> None:
    """Print a row of the table."""
    quantiles = np.quantile(times, [0.5, 0.95])
    print(
        f"| {what} | {quantiles[0]:.1f} | {quantiles[1]:.1f} | {len(times)} | {bar} |", flush=True
    )


def screen(page: Page, point: tuple[float, float]) -> tuple[float, float]:
    """Where a pixel is on the page."""
    x, y = page.evaluate(
        """([row, col]) => {
          const { view } = window.lastDrawn;
          const box = document.querySelector("#drawing").getBoundingClientRect();
          return [box.x + (col + 0.5) * view.scale + view.x,
                  box.y + (row + 0.5) * view.scale + view.y];
        }""",
        list(point),
    )
    return x, y


def spots(folder: Path, name: str) -> list[tuple[float, float]]:
    """Middles of the clearest dark spots of a frame, far from each other."""
    found: list[tuple[float, float]] = []
    for proposal in propose(read_frame(folder / name)):
        one = proposal.instance
        row, col = ndimage.center_of_mass(one.mask)
        at = (row + one.corner_px[0], col + one.corner_px[1])
        inside = all(40 < place < side - 40 for place, side in zip(at, SIZE_PX, strict=True))
        if inside and all(np.hypot(at[0] - y, at[1] - x) > 60 for y, x in found):
            found.append(at)
    return found


def picture(path: str) -> None:
    """Show the studio at work on a synthetic frame."""
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        crowded = make_synth_settings({"particles": {"per_mpx": 1500, "drift_px_s": 20}})
        made = synth(out=Path(name) / "made", frames=8, size=180, seed=4, settings=crowded)
        folder = (made / "frames").rename(Path(name) / "my_run")
        last = sorted(path.name for path in folder.iterdir())[-1]
        with Store(folder, "ada") as store:
            for proposal in propose(read_frame(folder / last)):
                if 8 < proposal.instance.area_px < 150:
                    store.add(last, proposal.instance)
        with studio(folder) as link, opened(browser, link, checked=False) as page:
            page.locator("#images button").last.click()
            page.wait_for_timeout(1000)
            page.locator("#drawing").focus()
            page.keyboard.press("n")
            page.keyboard.press("+")
            page.keyboard.press("]")
            page.wait_for_timeout(1500)
            page.screenshot(path=path)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        made = synth(
            out=Path(name) / "made",
            frames=FRAMES,
            settings=make_synth_settings({"height_px": SIZE_PX[0], "width_px": SIZE_PX[1]}),
        )
        folder = made / "frames"
        images = sorted(path.name for path in folder.iterdir() if path.suffix != ".json")
        with Store(folder, "ada") as store:
            store.replace_all(images[-1], scattered(MASKS))
        places = spots(folder, images[0])[:60]
        print("| | median, ms | 95 %, ms | number | bar |\n|---|---|---|---|---|")
        with studio(folder) as link, opened(browser, link, checked=False) as page:
            page.evaluate(
                """() => { performance.setResourceTimingBufferSize(10000);
                document.querySelector("#drawing").addEventListener("drawn",
                  (event) => { window.lastDrawn = event.detail; }); }"""
            )
            page.wait_for_function("() => window.lastDrawn?.bitmap", timeout=60_000)
            look(page, places)
            go(page, len(images))
            crowd(page)


def look(page: Page, places: list[tuple[float, float]]) -> None:
    """Hovering and clicking."""
    hovered, clicked = [], []
    for point in places:
        page.mouse.move(*screen(page, (point[0] + 25, point[1])))
        page.wait_for_timeout(40)
        measure = measured(page, "pointermove", GHOST)
        page.mouse.move(*screen(page, point))
        hovered.append(measure.ms())
        measure = measured(page, "pointerdown", PENDING)
        page.mouse.down()
        clicked.append(measure.ms())
        page.mouse.up()
        page.wait_for_function("() => document.querySelector('#saved').dataset.state === 'saved'")
    line("move of the mouse → contour drawn", hovered, "95 % ≤ 16 ms")
    line("press of the button → contour drawn", clicked, "≤ 50 ms")
    line("commit", asked(page, "act"), "≤ 50 ms")


def asked(page: Page, what: str) -> list[float]:
    """How long the page waited for each answer of a kind."""
    return list(
        page.evaluate(
            """(what) => performance.getEntriesByType("resource")
               .filter((entry) => entry.name.endsWith(`/${what}`))
               .map((entry) => entry.duration)""",
            what,
        )
    )


def go(page: Page, count: int) -> None:
    """From image to image: one that was fetched beforehand, and one that nobody has asked for."""
    warm, cold = [], []
    for _ in range(4):
        page.wait_for_timeout(1500)
        measure = measured(page, "keydown", OTHER_IMAGE)
        page.keyboard.press("d")
        warm.append(measure.ms())
    buttons = page.locator("#images button")
    page.wait_for_timeout(1500)
    for k in (count - 2, 0):
        measure = measured(page, "pointerdown", OTHER_IMAGE)
        buttons.nth(k).click()
        cold.append(measure.ms())
        page.wait_for_timeout(1500)
    line("next image, fetched beforehand", warm, "≤ 100 ms")
    line("image never asked for", cold, "≤ 500 ms")


def crowd(page: Page) -> None:
    """With thousands of masks: moving about, and adding one more."""
    page.locator("#images button").last.click()
    page.wait_for_function(f"() => window.lastDrawn.objects.size === {MASKS}", timeout=60_000)
    page.wait_for_timeout(2000)
    before = len(asked(page, "act"))
    for zooming, what in ((False, "panned"), (True, "zoomed")):
        gaps = page.evaluate(FLY, {"seconds": 5, "zooming": zooming})
        line(f"screen frame while {MASKS} masks are {what}", gaps, "≥ 50 a second: ≤ 20 ms")
        print(f"|   frames a second, {what} | {1000 * len(gaps) / sum(gaps):.0f} | | | ≥ 50 |")
    page.keyboard.press("0")
    page.keyboard.press("n")
    for number in range(20):
        page.keyboard.press("Control+z" if number % 2 else "Delete")
        page.wait_for_function(
            """(count) => performance.getEntriesByType("resource")
               .filter((entry) => entry.name.endsWith("/act")).length === count""",
            arg=before + number + 1,
        )
        page.keyboard.press("n")
    line(f"commit with {MASKS} masks in the image", asked(page, "act")[before:], "≤ 50 ms")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--picture"]:
        picture(sys.argv[2])
    else:
        main()
