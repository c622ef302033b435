// Intents: what can be done to particles, by whatever hand. Each turns into a gesture or a deed.

import { Unreachable } from "./api.js";
import { holds } from "./outlines.js";
import { cornerPoint, panned, pixelPoint, toScreen, zoomed } from "./view.js";

const SETTLE_MS = 350;
const PATIENCE_MS = 400;

export class Tools {
  #asking = false;
  #hovered = null;
  #tracing = null;

  constructor(session) {
    this.session = session;
  }

  // --- looking -------------------------------------------------------------------------------

  zoom(factor, at) {
    const { session } = this;
    if (!session.image) return;
    const { width, height } = session.stage.size;
    const smallest = Math.min(width / session.image.width, height / session.image.height) / 2;
    session.look(zoomed(session.view, factor, at ?? { x: width / 2, y: height / 2 }, Math.min(smallest, 1)));
  }

  // Move the crosshair; it appears where `from` is.
  move(rows, cols, from) {
    const { session } = this;
    if (!session.image) return;
    const next = session.crosshair ? [session.crosshair[0] + rows, session.crosshair[1] + cols] : from;
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
    this.#hovered = point;
    if (!this.#asking) this.#ask();
  }

  async #ask() {
    const { session } = this;
    this.#asking = true;
    while (this.#hovered !== null) {
      const point = this.#hovered;
      this.#hovered = null;
      const idle =
        session.tool === "click" && !session.picker && !session.held && session.image && session.within(point) &&
        session.points.length === 0 && !this.taken(point);
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

  // Whether there is a particle already, be it on its way to the disk.
  taken(point) {
    const { session } = this;
    const at = cornerPoint(point);
    const coming = [...session.leaving].filter(({ id }) => id === session.image?.id);
    return this.objectAt(point) !== null || coming.some(({ levels, index }) => holds(levels[index].rings, at));
  }

  // --- taking --------------------------------------------------------------------------------

  async take(point) {
    const { session } = this;
    session.flush();
    const gesture = { kind: "click", plane: session.plane, point, include: [], exclude: [] };
    const held = await this.solved(gesture, null);
    if (!held) return;
    if (held.id === session.image?.id && this.taken(point)) return; // by a click just before
    session.flush();
    this.#put(held);
  }

  // What is solved is held, to be mended; of an image that was left meanwhile it is done with.
  #put(held) {
    const { session } = this;
    if (held.id !== session.image?.id) {
      session.commit(held);
      return false;
    }
    session.held = held;
    session.ghost = null;
    session.changed();
    return true;
  }

  async solved(gesture, number, candidates = false) {
    const { session } = this;
    const { id } = session.image;
    const late = setTimeout(() => this.#busy(true), PATIENCE_MS);
    try {
      const { levels, best } = await session.solve(gesture, candidates);
      session.trouble("");
      return { id, number, gesture, levels, index: best };
    } catch (error) {
      // A click is not lost with the connection: it waits with all else that is not yet saved.
      if (error instanceof Unreachable && gesture.kind === "click" && number === null) {
        session.do({ do: "add", gesture, label: "particle" }, id);
      }
      session.trouble(error.message);
      return null;
    } finally {
      clearTimeout(late);
      this.#busy(false);
    }
  }

  #busy(busy) {
    this.session.busy = busy;
    this.session.changed();
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
    if (known) return { id: session.image.id, number, ...known };
    const gesture = {
      kind: "click", plane: session.plane, point: single.at, include: [], exclude: [],
      area_px: single.area_px,
    };
    return this.solved(gesture, number);
  }

  async step(by) {
    const { session } = this;
    let held = await this.#recipe();
    if (held && held.levels.some((level) => level.method)) {
      const { method: _, ...gesture } = held.gesture;
      held = await this.solved(gesture, held.number);
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
      const found = await this.solved(gesture, held.number, true);
      if (!found) return;
      held = { ...found, index: 0 };
    }
    const count = held.levels.length;
    const index = (held.index + by + count) % count;
    this.#hold({ ...held, index });
    session.announce(`candidate ${index + 1} of ${count}: ${held.levels[index].method}`);
  }

  // Show it at once; to the disk when nothing more comes. A new one waits for its button.
  #hold(held) {
    const { session } = this;
    clearTimeout(session.settling);
    if (!this.#put(held)) return;
    if (held.number !== null) session.settling = setTimeout(() => session.flush(), SETTLE_MS);
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
    const gesture = { ...clean, [which]: [...clean[which], point], area_px: clean.area_px ?? null };
    const found = await this.solved(gesture, held.number);
    if (found) this.#hold(found);
  }

  // --- contour points ------------------------------------------------------------------------

  async addPoint(point) {
    const { session } = this;
    if (session.tool !== "points") {
      session.flush();
      this.use("points");
    }
    session.points.push(point);
    await this.#tracePoints();
  }

  dropPoint() {
    this.session.points.pop();
    return this.#tracePoints();
  }

  #tracePoints() {
    this.#tracing = this.#traced();
    return this.#tracing;
  }

  async #traced() {
    const { session } = this;
    session.held = null; // the contour through one point less
    session.changed();
    const { points } = session;
    const count = points.length;
    if (count < 2) return;
    const held = await this.solved(this.throughPoints(points, session.excluded), null);
    const newest = session.points === points && points.length === count && held?.id === session.image?.id;
    if (held && newest) this.#put(held);
  }

  throughPoints(points, excluded = [], inside = null) {
    return { kind: "points", plane: this.session.plane, points: [...points], excluded: [...excluded], inside };
  }

  async finish() {
    const { session } = this;
    if (session.points.length < 2) {
      session.trouble("A contour needs two points at least");
      return;
    }
    await this.#tracing;
    if (!session.held) return; // it could not be drawn, and said why
    session.flush();
    this.use("click");
  }

  // Another contour through dragged points.
  async drag(points, number, inside) {
    const { session } = this;
    const excluded = session.tool === "points" ? session.excluded : [];
    const held = await this.solved(this.throughPoints(points, excluded, inside), number);
    if (held) this.#put(held);
  }

  // --- tools ---------------------------------------------------------------------------------

  use(tool) {
    const { session } = this;
    session.tool = session.tool === tool && tool !== "click" ? "click" : tool;
    session.release();
    session.brush = { pixels: [], erase: session.tool === "eraser" };
  }

  async drawLine(start, end) {
    const { session, single } = this;
    session.line = null;
    if (!single) {
      session.trouble("Select the particle to cut first");
      return;
    }
    this.use("click");
    const answer = await session.do({
      do: "split", number: single.number, start: pixelPoint(start), end: pixelPoint(end),
    });
    this.#selectChanged(answer);
  }

  async paint(pixels) {
    const { session, single } = this;
    const inside = pixels.filter(([row, col]) => session.within([row, col]));
    const erase = session.tool === "eraser";
    session.brush = { pixels: [], erase };
    session.changed();
    if (inside.length === 0) return;
    if (erase && !single) {
      session.trouble("Select the particle to erase from first");
      return;
    }
    // A stroke that does not touch the selected particle is another particle.
    const number = single && (erase || inside.some((pixel) => touches(single, pixel))) ? single.number : null;
    this.#selectChanged(await session.do({ do: "stroke", number, pixels: inside, erase }));
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
    if (what !== "remove") this.#selectChanged(answer);
  }

  // What is done with the image as a whole.
  async whole(what) {
    const { session } = this;
    session.flush();
    this.#selectChanged(await session.do({ do: what }));
  }

  #selectChanged(answer) {
    const changed = answer?.changed ?? [];
    const here = changed.map(({ number }) => number).filter((number) => this.session.objects.has(number));
    if (here.length > 0) this.session.select(here);
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
  }

  alsoSelect(point) {
    const { session } = this;
    const object = this.objectAt(point);
    if (!object) return;
    const numbers = new Set(session.selected);
    if (!numbers.delete(object.number)) numbers.add(object.number);
    session.select(numbers);
  }
}

// Whether a pixel is one of an object's, or beside one.
function touches({ rings }, [row, col]) {
  const near = [-1, 0, 1];
  return near.some((dr) => near.some((dc) => holds(rings, cornerPoint([row + dr, col + dc]))));
}
