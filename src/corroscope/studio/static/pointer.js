// What a hand with a mouse or pen does: presses, drags and turns of the wheel become intents.

import { cornerPoint, panned, pixelPoint, toImage, toScreen } from "./view.js";

const PAN_FROM = 4; // CSS pixels that a press may tremble
const GRAB = 9;

export class Pointer {
  #session;
  #tools;
  #press = null;
  at = null; // where it is in the picture; null outside

  constructor(session, tools) {
    this.#session = session;
    this.#tools = tools;
  }

  leave() {
    this.at = null;
    this.#session.ghost = null;
    this.#session.changed();
  }

  // A press that came to nothing, as when a pen leaves its reach.
  cancel() {
    const session = this.#session;
    const what = this.#press?.what;
    this.#press = null;
    session.dragged = null;
    if (what !== "pan" && what !== "select") session.release();
  }

  async down(event, screen) {
    const session = this.#session;
    const tools = this.#tools;
    if (!session.image) return;
    const at = toImage(session.view, screen);
    const point = pixelPoint(at);
    session.crosshair = null;
    this.#press = { screen, view: session.view, what: "pan" };
    if (session.picker) {
      if (event.button === 0) this.#press.picked = point;
      return;
    }
    if (event.button === 2) {
      this.#press = null;
      if (session.within(point)) await tools.correct("exclude", point);
      return;
    }
    if (event.button !== 0 || !session.within(point)) return;
    const handle = this.#handleAt(screen);
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) {
      this.#press = null;
      await this.#modified(event, point);
    } else if (session.tool === "points" && (handle < 0 || (handle === 0 && session.points.length > 1))) {
      this.#press = null;
      await (handle < 0 ? tools.addPoint(point) : tools.finish());
    } else if (handle >= 0) {
      this.#grab(handle);
    } else if (session.tool === "brush" || session.tool === "eraser") {
      this.#press.what = "brush";
      this.#brushTo(at, at);
    } else if (session.tool === "split") {
      this.#press.what = "line";
      session.line = [at, at];
    } else {
      this.#pressOn(point);
    }
    session.changed();
  }

  async #modified(event, point) {
    const tools = this.#tools;
    const ctrl = event.ctrlKey || event.metaKey;
    if (event.altKey && ctrl) tools.alsoSelect(point);
    else if (event.altKey) await tools.correct("include", point);
    else if (!ctrl) await tools.addPoint(point);
    else {
      const object = tools.objectAt(point);
      if (object) await tools.several("remove", [object.number]);
    }
  }

  #pressOn(point) {
    const object = this.#tools.objectAt(point);
    const press = this.#press;
    if (object) {
      press.what = "select";
      if (this.#session.held?.number !== object.number) this.#session.flush();
      this.#session.select([object.number]);
    } else {
      press.what = "click";
      press.taking = this.#tools.take(point);
    }
  }

  move(screen) {
    const session = this.#session;
    if (!session.image) return;
    const at = toImage(session.view, screen);
    this.at = pixelPoint(at);
    const press = this.#press;
    if (press === null) {
      session.crosshair = null; // keys mean what is under the pointer again
      this.#tools.hover(this.at);
      return;
    }
    const [dx, dy] = [screen.x - press.screen.x, screen.y - press.screen.y];
    if (press.what === "brush") {
      this.#brushTo(toImage(session.view, press.last ?? press.screen), at);
      press.last = screen;
    } else if (press.what === "line") {
      session.line = [session.line[0], at];
    } else if (press.what === "handle") {
      this.#drag(press, this.at);
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
    const session = this.#session;
    const press = this.#press;
    this.#press = null;
    if (press === null || press.panning) return;
    if (press.picked) {
      session.picker?.(press.picked);
    } else if (press.what === "click") {
      await this.#tools.settle();
    } else if (press.what === "brush") {
      await this.#tools.paint(session.brush.pixels);
    } else if (press.what === "line") {
      await this.#tools.drawLine(...session.line);
    } else if (press.what === "handle") {
      await press.solving;
      session.dragged = null;
      if (session.tool !== "points") await this.#tools.settle();
      session.changed();
    }
  }

  // The wheel steps through the levels while the button is held on a particle, and zooms otherwise.
  async wheel(event, screen) {
    const press = this.#press;
    if ((press?.what === "click" || press?.what === "select") && !press.panning) {
      await this.#tools.step(event.deltaY < 0 ? 1 : -1);
    } else {
      this.#tools.zoom(1.0015 ** -event.deltaY, screen);
    }
  }

  // --- handles -------------------------------------------------------------------------------

  #handleAt(screen) {
    const session = this.#session;
    return session.snapshot().handles.findIndex(({ kind, point }) => {
      const at = toScreen(session.view, cornerPoint(point));
      return kind === "point" && Math.hypot(at.x - screen.x, at.y - screen.y) <= GRAB;
    });
  }

  #grab(handle) {
    const session = this.#session;
    const { handles } = session.snapshot();
    const points = handles.filter(({ kind }) => kind === "point").map(({ point }) => point);
    const drawn = session.tool === "points";
    const number = drawn ? null : this.#tools.single?.number ?? null;
    Object.assign(this.#press, { what: "handle", handle, points, number, inside: drawn ? null : this.#tools.single?.at ?? null });
  }

  // One question at a time; the last place counts.
  #drag(press, point) {
    const session = this.#session;
    press.points[press.handle] = point;
    session.dragged = press.points.map((each) => ({ kind: "point", point: each }));
    if (session.tool === "points") session.points = press.points;
    press.wanted = [...press.points];
    press.solving ??= (async () => {
      while (press.wanted) {
        const points = press.wanted;
        press.wanted = null;
        await this.#tools.drag(points, press.number, press.inside);
      }
      press.solving = null;
    })();
  }

  #brushTo(from, to) {
    const { pixels } = this.#session.brush;
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
