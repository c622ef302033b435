// Intents: what can be done to particles, by whatever hand. Each turns into a gesture or a deed.

import { Unreachable } from "./api.js";
import { holds } from "./outlines.js";
import { cornerPoint, panned, pixelPoint, toScreen, zoomed } from "./view.js";

const SETTLE_MS = 350;
const PATIENCE_MS = 400;

export class Tools {
  #asking = false;
  #hovered = null;
  #last = Promise.resolve();
  #wanted = -1;

  constructor(session) {
    this.session = session;
  }

  // One intent after the other: each is meant for what those before it have led to, however late
  // their answers come. An intent must not wait for another one within its turn.
  inTurn(intent) {
    const turn = this.#last.then(intent);
    this.#last = turn.catch(() => {});
    return turn;
  }

  // To another image; of several asked for in a row, the last one only.
  go(index) {
    this.#wanted = index;
    return this.inTurn(() => (this.#wanted === index ? this.session.go(index) : null));
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

  take(point) {
    return this.inTurn(() => this.#take(point));
  }

  // The button was let go: what is held is meant.
  settle() {
    return this.inTurn(() => { this.session.flush(); });
  }

  async #take(point) {
    const { session } = this;
    if (this.taken(point)) return; // by a click just before
    session.flush();
    const gesture = { kind: "click", plane: session.plane, point, include: [], exclude: [] };
    const held = await this.solved(gesture, null);
    if (held) this.#put(held);
  }

  #put(held) {
    const { session } = this;
    session.held = held;
    session.ghost = null;
    session.changed();
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

  step(by) {
    return this.inTurn(() => this.#step(by));
  }

  async #step(by) {
    const { session } = this;
    await this.#arrived();
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

  candidate(by) {
    return this.inTurn(() => this.#candidate(by));
  }

  async #candidate(by) {
    const { session } = this;
    await this.#arrived();
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
    this.#put(held);
    if (held.number !== null) session.settling = setTimeout(() => session.flush(), SETTLE_MS);
  }

  correct(which, point) {
    return this.inTurn(() => this.#correct(which, point));
  }

  async #correct(which, point) {
    const { session } = this;
    await this.#arrived();
    if (session.tool === "points") {
      session.excluded.push(point);
      await this.#trace();
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

  addPoint(point) {
    return this.inTurn(() => {
      const { session } = this;
      if (session.tool !== "points") {
        session.flush();
        this.use("points");
      }
      session.points.push(point);
      return this.#trace();
    });
  }

  async #trace() {
    const { session } = this;
    session.held = null; // the contour through other points
    session.changed();
    const { points } = session;
    if (points.length < 2) return;
    const held = await this.solved(this.throughPoints(points, session.excluded), null);
    if (held && session.points === points) this.#put(held); // or they were let go meanwhile
  }

  throughPoints(points, excluded = [], inside = null) {
    return { kind: "points", plane: this.session.plane, points: [...points], excluded: [...excluded], inside };
  }

  finish() {
    return this.inTurn(() => {
      const { session } = this;
      if (session.points.length < 2) return session.trouble("A contour needs two points at least");
      if (!session.held) return null; // it could not be drawn, and said why
      session.flush();
      return this.use("click");
    });
  }

  // Another contour through dragged points.
  drag(points, number, inside) {
    return this.inTurn(async () => {
      const { session } = this;
      const excluded = session.tool === "points" ? session.excluded : [];
      const held = await this.solved(this.throughPoints(points, excluded, inside), number);
      if (held) this.#put(held);
    });
  }

  // --- tools ---------------------------------------------------------------------------------

  use(tool) {
    const { session } = this;
    session.tool = session.tool === tool && tool !== "click" ? "click" : tool;
    session.release();
    session.brush = { pixels: [], erase: session.tool === "eraser" };
  }

  drawLine(start, end) {
    this.session.line = null;
    return this.inTurn(async () => {
      const { session } = this;
      await this.#arrived();
      const { single } = this;
      if (!single) return session.trouble("Select the particle to cut first");
      this.use("click");
      return this.#selectChanged(await session.do({
        do: "split", number: single.number, start: pixelPoint(start), end: pixelPoint(end),
      }));
    });
  }

  paint(pixels) {
    return this.inTurn(() => this.#paint(pixels));
  }

  async #paint(pixels) {
    const { session } = this;
    await this.#arrived();
    const { single } = this;
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

  // To those that are selected, or to those that are told.
  several(what, told = null) {
    return this.inTurn(() => this.#several(what, told));
  }

  async #several(what, told) {
    const { session } = this;
    await session.flush();
    if (told) session.select(told);
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
  whole(what) {
    return this.inTurn(() => this.#whole(what));
  }

  async #whole(what) {
    const { session } = this;
    if (what === "undo" && session.tool === "points" && session.points.length > 0) {
      session.points.pop();
      await this.#trace();
      return;
    }
    await session.flush();
    const possible = { undo: session.image.can_undo, redo: session.image.can_redo, done: true }[what];
    if (possible) this.#selectChanged(await session.do({ do: what }));
  }

  // What was held before this is on the disk, unless it is still being mended.
  async #arrived() {
    await this.session.flushed;
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
