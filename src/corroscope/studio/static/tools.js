// What hands do: intents of pointer and keys, turned into gestures on the session.

import { anchors, holds } from "./outlines.js";
import { cornerPoint, panned, pixelPoint, toImage, toScreen, zoomed } from "./view.js";

const PAN_FROM = 4; // CSS pixels that a press may tremble
const SETTLE_MS = 350;
const GRAB = 9;
const ANCHORS_FROM_SCALE = 6;

export class Tools {
  #session;
  #press = null;
  #asking = false;
  #pointer = null;

  constructor(session) {
    this.#session = session;
  }

  // --- looking -------------------------------------------------------------------------------

  zoom(factor, at) {
    const { session } = this;
    if (!session.image) return;
    const { width, height } = session.stage.size;
    const smallest = Math.min(width / session.image.width, height / session.image.height) / 2;
    session.look(zoomed(session.view, factor, at ?? { x: width / 2, y: height / 2 }, Math.min(smallest, 1)));
  }

  get session() {
    return this.#session;
  }

  move(rows, cols) {
    const { session } = this;
    if (!session.image) return;
    const [row, col] = session.crosshair ?? [
      Math.floor(session.image.height / 2), Math.floor(session.image.width / 2),
    ];
    const next = session.crosshair ? [row + rows, col + cols] : [row, col];
    session.crosshair = [
      Math.min(Math.max(Math.round(next[0]), 0), session.image.height - 1),
      Math.min(Math.max(Math.round(next[1]), 0), session.image.width - 1),
    ];
    this.#follow();
    if (session.tool === "split" && session.line) session.line = [session.line[0], cornerPoint(session.crosshair)];
    this.hover(session.crosshair);
    session.changed();
  }

  // Keep the crosshair in sight.
  #follow() {
    const { session } = this;
    const { width, height } = session.stage.size;
    const at = toScreen(session.view, cornerPoint(session.crosshair));
    const dx = Math.max(40 - at.x, 0) + Math.min(width - 40 - at.x, 0);
    const dy = Math.max(40 - at.y, 0) + Math.min(height - 40 - at.y, 0);
    if (dx || dy) session.look(panned(session.view, dx, dy));
  }

  // --- hovering ------------------------------------------------------------------------------

  // Outline what a click would give; one question at a time, the last place counts.
  hover(point) {
    this.#pointer = point;
    if (!this.#asking) this.#ask();
  }

  async #ask() {
    const { session } = this;
    this.#asking = true;
    while (this.#pointer !== null) {
      const point = this.#pointer;
      this.#pointer = null;
      const idle =
        session.tool === "click" && !session.picker && !session.held && session.image && session.within(point) &&
        session.points.length === 0 && !this.objectAt(point);
      let rings = null;
      if (idle) {
        try {
          rings = (await session.ask("hover", { plane: session.plane, point })).rings;
        } catch {
          rings = null; // a ghost is not worth a message
        }
      }
      session.ghost = rings;
      if (session.view) session.stage.showAbove(session.snapshot());
    }
    this.#asking = false;
  }

  objectAt(point) {
    const at = cornerPoint(point);
    let found = null;
    for (const object of this.session.objects.values()) {
      if (this.session.hidden.has(object.number)) continue;
      if (holds(object.rings, at) && (!found || object.area_px < found.area_px)) found = object;
    }
    return found;
  }

  // --- taking --------------------------------------------------------------------------------

  async take(point, { keep = true } = {}) {
    const { session } = this;
    await session.flush();
    const gesture = { kind: "click", plane: session.plane, point, include: [], exclude: [] };
    const held = await this.#solved(gesture, null);
    if (held && keep) {
      session.held = held;
      session.ghost = null;
      session.changed();
    }
    return held;
  }

  async #solved(gesture, number, candidates = false) {
    const { session } = this;
    try {
      const { levels, best } = await session.solve(gesture, candidates);
      session.trouble("");
      return { number, gesture, levels, index: best };
    } catch (error) {
      session.trouble(error.message);
      return null;
    }
  }

  get single() {
    const { selected, objects } = this.session;
    return selected.size === 1 ? objects.get([...selected][0]) ?? null : null;
  }

  // What led to the selected object; for one of another day, a click in its middle.
  async #recipe() {
    const { session, single } = this;
    if (session.held) return session.held;
    if (!single) return null;
    const { number } = single;
    const known = session.recipes.get(number);
    if (known) return { number, ...known };
    const gesture = {
      kind: "click", plane: session.plane, point: single.at, include: [], exclude: [],
      area_px: single.area_px,
    };
    return this.#solved(gesture, number);
  }

  async step(by) {
    const { session } = this;
    await this.#press?.taking;
    let held = await this.#recipe();
    if (held && held.levels.some((level) => level.method)) {
      const { method: _, ...gesture } = held.gesture;
      held = await this.#solved(gesture, held.number);
    }
    if (!held) return;
    const index = Math.min(Math.max(held.index + by, 0), held.levels.length - 1);
    this.#hold({ ...held, index });
    session.announce(`${held.levels[index].area_px} px, contour ${index + 1} of ${held.levels.length}`);
  }

  async candidate(by) {
    const { session } = this;
    let held = await this.#recipe();
    if (!held || held.gesture.kind !== "click") return;
    if (!held.levels.some((level) => level.method)) {
      const { level: _, ...gesture } = held.gesture;
      const found = await this.#solved(gesture, held.number, true);
      if (!found) return;
      held = { ...found, index: 0 };
    }
    const count = held.levels.length;
    const index = (held.index + by + count) % count;
    this.#hold({ ...held, index });
    session.announce(`candidate ${index + 1} of ${count}: ${held.levels[index].method}`);
  }

  // Show it at once; to the disk when nothing more comes.
  #hold(held) {
    const { session } = this;
    clearTimeout(session.settling);
    session.held = held;
    session.changed();
    if (held.number !== null || this.#press === null) {
      session.settling = setTimeout(() => session.flush(), SETTLE_MS);
    }
  }

  async correct(which, point) {
    const { session } = this;
    if (session.tool === "points") {
      session.excluded.push(point);
      await this.#tracePoints();
      return;
    }
    const held = await this.#recipe();
    if (!held) {
      session.trouble("Select a particle first; then say what it must not, or must, take in");
      return;
    }
    if (held.gesture.kind !== "click") {
      session.trouble("This contour goes through points: drag one of them");
      return;
    }
    const { method: _, ...clean } = held.gesture;
    const gesture = {
      ...clean,
      [which]: [...clean[which], point],
      area_px: clean.area_px ?? null,
    };
    const found = await this.#solved(gesture, held.number);
    if (found) this.#hold(found);
  }

  // --- contour points ------------------------------------------------------------------------

  async addPoint(point) {
    const { session } = this;
    await session.flush();
    if (session.tool !== "points") this.use("points");
    session.points.push(point);
    await this.#tracePoints();
  }

  async #tracePoints() {
    const { session } = this;
    this.showHandles();
    if (session.points.length < 2) return;
    const gesture = this.#pointsGesture(session.points, session.excluded);
    const held = await this.#solved(gesture, null);
    if (held) session.held = held;
    session.changed();
  }

  #pointsGesture(points, excluded = [], inside = null) {
    return { kind: "points", plane: this.session.plane, points, excluded, inside };
  }

  async finish() {
    const { session } = this;
    if (session.tool === "points" && session.points.length < 2) {
      session.trouble("A contour needs two points at least");
      return;
    }
    await session.flush();
    session.points = [];
    session.excluded = [];
    if (session.tool === "points") this.use("click");
    this.showHandles();
  }

  showHandles() {
    const { session, single } = this;
    session.handles = [];
    if (session.tool === "points") {
      session.handles.push(...session.points.map((point) => ({ kind: "point", point })));
      session.handles.push(...session.excluded.map((point) => ({ kind: "exclude", point })));
    } else if (single && session.view.scale >= ANCHORS_FROM_SCALE && session.tool === "click") {
      const gesture = session.recipes.get(single.number)?.gesture;
      const points =
        gesture?.kind === "points" ? gesture.points
          : anchors(single.rings, Math.min(Math.max(Math.round(Math.sqrt(single.area_px)), 4), 10));
      session.handles.push(...points.map((point) => ({ kind: "point", point })));
      for (const kind of ["exclude", "include"]) {
        session.handles.push(...(gesture?.[kind] ?? []).map((point) => ({ kind, point })));
      }
    }
    session.changed();
  }

  // --- tools ---------------------------------------------------------------------------------

  use(tool) {
    const { session } = this;
    session.tool = session.tool === tool && tool !== "click" ? "click" : tool;
    session.release();
    session.brush = { pixels: [], erase: session.tool === "eraser" };
    this.showHandles();
  }

  async drawLine(start, end) {
    const { session, single } = this;
    session.line = null;
    if (!single) {
      session.trouble("Select the particle to cut first");
      return;
    }
    const answer = await session.do({
      do: "split", number: single.number, start: pixelPoint(start), end: pixelPoint(end),
    });
    if (answer?.changed) session.select(answer.changed.map((object) => object.number));
    this.use("click");
  }

  async paint(pixels) {
    const { session, single } = this;
    const inside = pixels.filter(([row, col]) => session.within([row, col]));
    const erase = session.tool === "eraser";
    session.brush = { pixels: [], erase };
    if (inside.length === 0) return;
    if (erase && !single) {
      session.trouble("Select the particle to erase from first");
      session.changed();
      return;
    }
    const deed = { do: "stroke", number: single?.number ?? null, pixels: inside, erase };
    const answer = await session.do(deed);
    if (answer?.changed?.length > 0) session.select([answer.changed.at(-1).number]);
    this.showHandles();
  }

  async several(what) {
    const { session } = this;
    await session.flush();
    if (session.selected.size === 0) {
      session.trouble("Select a particle first");
      return;
    }
    const numbers = [...session.selected];
    if (what === "merge" && numbers.length < 2) {
      session.trouble("Select the particles to merge: Shift+S, or Ctrl+Alt-click, selects one more");
      return;
    }
    let deed = what;
    if (what === "ignore" && numbers.every((n) => session.objects.get(n)?.label === "ignore")) {
      deed = "particle";
    }
    const answer = await session.do({ do: deed, numbers });
    if (answer?.changed && what !== "remove") {
      session.select(answer.changed.map((object) => object.number));
    }
    this.showHandles();
  }

  selectNext(by) {
    const { session } = this;
    const numbers = [...session.objects.keys()];
    if (numbers.length === 0) return;
    const at = numbers.indexOf([...session.selected].at(-1));
    const next = numbers[(at + by + numbers.length) % numbers.length] ?? numbers[0];
    session.select([next]);
    session.crosshair = session.objects.get(next).at.map(Math.round);
    this.#follow();
    this.showHandles();
  }

  alsoSelect(point) {
    const { session } = this;
    const object = this.objectAt(point);
    if (!object) return;
    const numbers = new Set(session.selected);
    if (!numbers.delete(object.number)) numbers.add(object.number);
    session.select(numbers);
    this.showHandles();
  }

  // --- pointer -------------------------------------------------------------------------------

  async down(event, screen) {
    const { session } = this;
    if (!session.image) return;
    const at = toImage(session.view, screen);
    const point = pixelPoint(at);
    session.crosshair = null;
    this.#press = { screen, view: session.view, button: event.button, what: "pan" };
    if (session.picker) {
      if (event.button === 0) this.#press.picked = point;
      return;
    }
    if (event.button === 2) {
      this.#press = null;
      if (session.within(point)) await this.correct("exclude", point);
      return;
    }
    if (event.button !== 0 || !session.within(point)) return;
    const handle = this.#handleAt(screen);
    if (event.altKey && (event.ctrlKey || event.metaKey)) {
      this.#press = null;
      this.alsoSelect(point);
    } else if (event.altKey) {
      this.#press = null;
      await this.correct("include", point);
    } else if (event.ctrlKey || event.metaKey) {
      this.#press = null;
      const object = this.objectAt(point);
      if (object) {
        session.select([object.number]);
        await this.several("remove");
      }
    } else if (event.shiftKey || (session.tool === "points" && handle < 0)) {
      this.#press = null;
      await this.addPoint(point);
    } else if (session.tool === "points" && handle === 0 && session.points.length > 1) {
      this.#press = null;
      await this.finish();
    } else if (handle >= 0) {
      this.#press = { ...this.#press, what: "handle", handle, points: this.#handlePoints() };
    } else if (session.tool === "brush" || session.tool === "eraser") {
      this.#press = { ...this.#press, what: "brush" };
      this.#brushTo(at, at);
    } else if (session.tool === "split") {
      this.#press = { ...this.#press, what: "line" };
      session.line = [at, at];
    } else {
      const object = this.objectAt(point);
      const press = this.#press;
      press.what = object ? "select" : "click";
      if (object) {
        session.select([object.number]);
        this.showHandles();
      } else {
        press.taking = this.take(point);
      }
    }
    session.changed();
  }

  moveTo(screen) {
    const { session } = this;
    if (!session.image) return;
    const at = toImage(session.view, screen);
    const press = this.#press;
    if (press === null) {
      this.hover(pixelPoint(at));
      return;
    }
    const [dx, dy] = [screen.x - press.screen.x, screen.y - press.screen.y];
    if (press.what === "brush") {
      this.#brushTo(toImage(session.view, press.last ?? press.screen), at);
      press.last = screen;
    } else if (press.what === "line") {
      session.line = [session.line[0], at];
    } else if (press.what === "handle") {
      press.points[press.handle] = pixelPoint(at);
      this.#dragHandle(press);
    } else if (press.panning || Math.hypot(dx, dy) > PAN_FROM) {
      if (!press.panning && press.what === "click") {
        Promise.resolve(press.taking).then(() => session.release());
      }
      press.panning = true;
      session.look(panned(press.view, dx, dy));
    }
    session.changed();
  }

  async up() {
    const { session } = this;
    const press = this.#press;
    this.#press = null;
    if (press === null || press.panning) return;
    if (press.picked) {
      session.picker?.(press.picked);
    } else if (press.what === "click") {
      await press.taking;
      await session.flush();
      this.showHandles();
    } else if (press.what === "brush") {
      await this.paint(session.brush.pixels);
    } else if (press.what === "line") {
      await this.drawLine(...session.line);
    } else if (press.what === "handle") {
      await press.solving;
      await session.flush();
      this.showHandles();
    }
  }

  // The wheel steps through the levels while a particle is held, and zooms otherwise.
  wheel(event, screen) {
    if (this.#press?.what === "click" && !this.#press.panning) this.step(event.deltaY < 0 ? 1 : -1);
    else this.zoom(1.0015 ** -event.deltaY, screen);
  }

  get pressed() {
    return this.#press !== null;
  }

  #handleAt(screen) {
    return this.session.handles.findIndex(({ kind, point }) => {
      const at = toScreen(this.session.view, cornerPoint(point));
      return kind === "point" && Math.hypot(at.x - screen.x, at.y - screen.y) <= GRAB;
    });
  }

  #handlePoints() {
    return this.session.handles.filter(({ kind }) => kind === "point").map(({ point }) => point);
  }

  // One question at a time; the last place counts.
  #dragHandle(press) {
    const { session, single } = this;
    session.handles = press.points.map((point) => ({ kind: "point", point }));
    if (session.tool === "points") session.points = press.points;
    press.wanted = [...press.points];
    press.solving ??= (async () => {
      while (press.wanted) {
        const points = press.wanted;
        press.wanted = null;
        const inside = session.tool === "points" ? null : single?.at ?? null;
        const number = session.tool === "points" ? null : single?.number ?? null;
        const held = await this.#solved(this.#pointsGesture(points, session.excluded, inside), number);
        if (held) session.held = held;
        session.changed();
      }
      press.solving = null;
    })();
  }

  #brushTo(from, to) {
    const { pixels } = this.session.brush;
    const steps = Math.max(1, Math.ceil(2 * Math.hypot(to.x - from.x, to.y - from.y)));
    const known = new Set(pixels.map(String));
    for (let k = 0; k <= steps; k += 1) {
      const pixel = [
        Math.floor(from.y + ((to.y - from.y) * k) / steps),
        Math.floor(from.x + ((to.x - from.x) * k) / steps),
      ];
      if (!known.has(String(pixel))) pixels.push(pixel);
      known.add(String(pixel));
    }
  }
}
