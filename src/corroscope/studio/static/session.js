// What is worked on: the image, its objects, what is selected and held, and where one looks.
// Intents change it; `snapshot` tells what is to be drawn; the page only shows.

import { Acts } from "./acts.js";
import { get, post, Unreachable } from "./api.js";
import { handlesOf } from "./handles.js";
import { Pictures } from "./picture.js";
import { fit, kept } from "./view.js";

export class Session {
  folder = null;
  images = [];
  index = -1;
  image = null; // {id, name, height, width, revision, can_undo, …}
  objects = new Map();
  selected = new Set();
  hidden = new Set();
  recipes = new Map(); // by object: the gesture that made it, its levels and which one it is
  version = 0; // of the objects, for what is drawn beforehand
  view = null;
  fitted = null; // the view that shows all, for as long as nobody has moved it
  plane = "frame";
  outlined = true;
  opacity = 1;
  window = { frame: null, difference: null };
  crosshair = null;
  tool = "click";
  ghost = null; // rings of what a click would give
  held = null; // {id, number, gesture, levels, index}: taken, not yet on the disk
  leaving = new Set(); // of the same kind: on their way there
  flushed = Promise.resolve(null);
  busy = false; // a contour is being sought, and takes its time
  points = [];
  excluded = [];
  dragged = null; // handles that a hand is moving
  brush = { pixels: [], erase: false };
  line = null;
  marks = []; // further shapes: proposals, neighbouring frames
  layers = []; // many shapes at once: what a run has found
  picker = null; // what a click on the picture is for, where it is not for taking a particle
  bitmap = null;
  #revisions = new Map(); // by image: the newest that was seen
  #shown = 0;
  #blinking = false;

  constructor({ stage, changed, trouble, saved, announce }) {
    this.stage = stage;
    this.announce = announce;
    this.pictures = new Pictures();
    this.changed = changed;
    this.trouble = trouble;
    this.acts = new Acts({
      show: saved,
      revision: (id) => this.#revisions.get(id) ?? 0,
      onAnswer: (id, answer) => this.#apply(id, answer),
      onConflict: (id, image, count) => {
        const what = count > 1 ? `the last ${count} actions were` : "what you did last was";
        trouble(`Changed elsewhere meanwhile: ${what} not done; here is what is there`);
        this.#receive(image);
      },
      onRefused: (error) => {
        trouble(error.message);
        this.changed();
      },
    });
  }

  async open() {
    this.folder = await get("/api/folder");
    this.images = this.folder.images;
    this.changed();
    const before = this.images.findIndex(({ id }) => id === sessionStorage.getItem("image"));
    if (this.images.length > 0) await this.go(Math.max(before, 0));
  }

  get current() {
    return this.images[this.index] ?? null;
  }

  async go(index) {
    if (index < 0 || index >= this.images.length) return;
    this.flush();
    const before = this.index;
    this.index = index;
    const { id } = this.images[index];
    let image;
    let bitmap;
    try {
      const plane = this.plane;
      [image, bitmap] = await Promise.all([
        get(`/api/images/${id}`),
        this.pictures.bitmap(id, plane, this.window[plane]).catch((error) => {
          if (plane === "frame") throw error;
          return null;
        }),
      ]);
      if (bitmap === null) {
        this.plane = "frame";
        bitmap = await this.pictures.bitmap(id, "frame", this.window.frame);
      }
    } catch (error) {
      if (this.current?.id === id) this.#notShown(error, before);
      return;
    }
    if (this.current?.id !== id) return; // gone on meanwhile
    const resized = this.image?.height !== image.height || this.image?.width !== image.width;
    this.trouble("");
    this.selected = new Set();
    this.hidden = new Set();
    this.release();
    this.image = image;
    this.#receive(image);
    this.bitmap = bitmap;
    sessionStorage.setItem("image", id);
    if (resized || this.view === null) this.fit();
    if (this.crosshair !== null && !this.within(this.crosshair)) this.crosshair = null;
    this.changed();
    this.onImage?.();
    setTimeout(() => this.#prefetch(index), 30);
  }

  // Without the studio one stays where one is; an image that cannot be read leaves an empty stage.
  #notShown(error, before) {
    if (error instanceof Unreachable && this.image) {
      this.index = before;
    } else {
      this.image = null;
      this.bitmap = null;
      this.objects = new Map();
    }
    this.trouble(error.message);
    this.changed();
  }

  #prefetch(index) {
    for (const each of [index + 1, index - 1]) {
      const image = this.images[each];
      if (image && this.index === index) {
        this.pictures.bitmap(image.id, this.plane, this.window[this.plane]).catch(() => {});
      }
    }
  }

  within([row, col]) {
    return row > -0.5 && col > -0.5 && row < this.image.height - 0.5 && col < this.image.width - 0.5;
  }

  fit() {
    if (this.image) this.view = this.fitted = fit(this.image, this.stage.size);
  }

  look(view) {
    if (this.image) this.view = kept(view, this.image, this.stage.size);
    this.changed();
  }

  // A whole state of an image, from the server.
  #receive(image) {
    const { objects, ...rest } = image;
    this.#known(image.id, { ...image, count: objects.length });
    if (image.id !== this.image?.id) return;
    this.image = rest;
    this.objects = new Map(objects.map((object) => [object.number, object]));
    this.selected = new Set([...this.selected].filter((number) => this.objects.has(number)));
    this.recipes = new Map();
    this.held = null;
    this.#touched();
  }

  // What an act has changed.
  #apply(id, answer) {
    if (answer.objects) {
      this.#receive(answer);
      return;
    }
    this.#known(id, answer);
    if (id !== this.image?.id) return;
    for (const number of answer.removed) {
      this.objects.delete(number);
      this.selected.delete(number);
      this.recipes.delete(number);
    }
    for (const object of answer.changed) {
      this.objects.set(object.number, object);
      this.recipes.delete(object.number); // what had led to it leads there no more
    }
    const { revision, annotated, done, can_undo, can_redo } = answer;
    Object.assign(this.image, { revision, annotated, done, can_undo, can_redo });
    this.#touched();
  }

  // What is newest of an image, be it shown or not.
  #known(id, { revision, annotated, done, count }) {
    this.#revisions.set(id, Math.max(revision, this.#revisions.get(id) ?? 0));
    const listed = this.images.find((image) => image.id === id);
    if (listed) Object.assign(listed, { annotated, done, objects: count });
    this.changed();
  }

  // Somebody else has done something.
  async heard({ id, act, ...answer }) {
    if (this.acts.mine(act)) return;
    if (id === this.image?.id && answer.revision > this.image.revision) {
      this.#receive(await get(`/api/images/${id}`));
      this.trouble("This image was changed in another window");
    } else {
      const listed = this.images.find((image) => image.id === id);
      if (listed) Object.assign(listed, { annotated: answer.annotated, done: answer.done, objects: answer.count });
      this.changed();
    }
  }

  // After the connection was lost: the folder as it is now, if it still is the same one.
  async again() {
    const folder = await get("/api/folder");
    if (folder.key !== this.folder.key) {
      this.image = null;
      this.bitmap = null;
      this.objects = new Map();
      this.images = [];
      this.changed();
      throw new Error(`Another folder is open at this address now (${folder.path}): reload the page to work on it`);
    }
    this.folder = folder;
    if (this.acts.waiting > 0) return; // its answers tell
    this.images = folder.images;
    if (this.image) this.#receive(await get(`/api/images/${this.image.id}`));
    else if (this.index >= 0) await this.go(this.index);
  }

  #touched() {
    this.version += 1;
    this.selected = new Set(this.selected); // another set is another drawing
    this.changed();
  }

  select(numbers) {
    this.selected = new Set(numbers);
    this.ghost = null;
    this.#touched();
  }

  hide(numbers) {
    this.hidden = new Set(numbers);
    this.#touched();
  }

  do(deed, id = this.image.id) {
    return this.acts.do(id, deed);
  }

  // Let go of all that is not yet an object.
  release() {
    clearTimeout(this.settling);
    this.held = null;
    this.ghost = null;
    this.points = [];
    this.excluded = [];
    this.line = null;
    this.brush = { pixels: [], erase: this.tool === "eraser" };
    this.changed();
  }

  // Bring what is held to the disk; at once, since a second call must not bring it again.
  flush() {
    clearTimeout(this.settling);
    const { held } = this;
    if (held === null) return this.flushed;
    this.held = null;
    this.flushed = this.commit(held);
    return this.flushed;
  }

  async commit(held) {
    const { id, number, gesture, levels, index } = held;
    const meant = chosen(held);
    const deed = number === null ? { do: "add", gesture: meant, label: "particle" } : { do: "replace", number, gesture: meant };
    this.leaving.add(held);
    const answer = await this.do(deed, id);
    this.leaving.delete(held);
    if (answer?.changed?.length > 0 && id === this.image?.id) {
      const made = answer.changed.at(-1).number;
      this.recipes.set(made, { gesture, levels, index });
      if (number === null) this.select([made]);
    }
    this.changed();
    return answer;
  }

  ask(what, content) {
    return post(`/api/images/${this.image.id}/${what}`, content);
  }

  solve(gesture, candidates = false) {
    return this.ask("solve", { gesture, candidates });
  }

  // While it lasts, the other plane is what is seen and clicked on.
  blink(begins) {
    if (begins && !this.image?.difference) return this.show("difference"); // which says so
    if (begins === this.#blinking) return null;
    this.#blinking = begins;
    this.plane = this.plane === "frame" ? "difference" : "frame";
    return this.show(this.plane);
  }

  async show(plane) {
    if (plane === "difference" && !this.image?.difference) {
      this.trouble("This image has no difference to a reference; `corroscope prepare` makes them");
      return;
    }
    const { id } = this.image;
    this.#shown += 1; // whoever asked last is shown, whatever comes first
    const turn = this.#shown;
    const bitmap = await this.pictures.bitmap(id, plane, this.window[plane]);
    if (this.image?.id !== id || turn !== this.#shown) return;
    this.bitmap = bitmap;
    this.changed();
  }

  snapshot() {
    const shapes = [...this.marks];
    if (this.ghost && !this.held) shapes.push({ rings: this.ghost, style: "ghost" });
    const pending = [...this.leaving, ...(this.held ? [this.held] : [])].filter(({ id }) => id === this.image?.id);
    shapes.push(...pending.map(({ levels, index }) => ({ rings: levels[index].rings, style: "pending" })));
    const replaced = pending.map(({ number }) => number).filter((number) => number !== null);
    return {
      view: this.view,
      image: this.image,
      bitmap: this.view && this.bitmap,
      objects: this.objects,
      version: this.version,
      selected: this.selected,
      hidden: replaced.length > 0 ? new Set([...this.hidden, ...replaced]) : this.hidden,
      opacity: this.outlined ? this.opacity : 0,
      shapes: this.outlined ? shapes : [],
      layers: this.layers,
      handles: this.image ? this.dragged ?? handlesOf(this) : [],
      crosshair: this.crosshair,
      brush: this.brush,
      line: this.line,
      pixelSizeUm: this.folder?.pixel_size_um ?? null,
    };
  }
}

// The gesture with the level or candidate that was stepped to.
export function chosen({ gesture, levels, index }) {
  if (gesture.kind !== "click") return gesture;
  const { method } = levels[index];
  return method ? { ...gesture, method } : { ...gesture, level: index };
}
