// What is worked on: the image, its objects, what is selected and held, and where one looks.
// Intents change it; `snapshot` tells what is to be drawn; the page only shows.

import { Acts } from "./acts.js";
import { get, post } from "./api.js";
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
  blinking = false;
  outlined = true;
  opacity = 1;
  window = { frame: null, difference: null };
  crosshair = null;
  tool = "click";
  ghost = null; // rings of what a click would give
  held = null; // {number, gesture, levels, index}: taken, not yet on the disk
  points = [];
  excluded = [];
  handles = [];
  brush = { pixels: [], erase: false };
  line = null;
  marks = []; // further shapes: proposals, neighbouring frames
  layers = []; // many shapes at once: what a run has found
  picker = null; // what a click on the picture is for, where it is not for taking a particle
  bitmap = null;

  constructor({ stage, changed, trouble, saved, announce }) {
    this.stage = stage;
    this.announce = announce;
    this.pictures = new Pictures();
    this.changed = changed;
    this.trouble = trouble;
    this.acts = new Acts({
      show: saved,
      onAnswer: (id, answer) => this.#apply(id, answer),
      onConflict: (id, image) => {
        trouble("Changed elsewhere meanwhile: what you did last was not done; here is what is there");
        this.#receive(image);
      },
      onRefused: (error) => {
        trouble(error.message);
        this.held = null;
        this.changed();
      },
    });
  }

  async open() {
    this.folder = await get("/api/folder");
    this.images = this.folder.images;
    this.changed();
    if (this.images.length > 0) await this.go(Math.max(this.index, 0));
  }

  get current() {
    return this.images[this.index] ?? null;
  }

  async go(index) {
    if (index < 0 || index >= this.images.length) return;
    await this.flush();
    this.index = index;
    const { id } = this.images[index];
    const sizeBefore = this.image && `${this.image.height} ${this.image.width}`;
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
      if (this.current?.id === id) {
        this.image = null;
        this.bitmap = null;
        this.trouble(error.message);
        this.changed();
      }
      return;
    }
    if (this.current?.id !== id) return; // gone on meanwhile
    this.trouble("");
    this.selected = new Set();
    this.hidden = new Set();
    this.recipes = new Map();
    this.release();
    this.#receive(image);
    this.bitmap = bitmap;
    if (sizeBefore !== `${image.height} ${image.width}` || this.view === null) this.fit();
    if (this.crosshair === null || !this.within(this.crosshair)) {
      this.crosshair = null;
    }
    this.changed();
    this.onImage?.();
    setTimeout(() => this.#prefetch(index), 30);
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
    if (image.id !== this.current?.id) return;
    const { objects, ...rest } = image;
    this.image = rest;
    this.objects = new Map(objects.map((object) => [object.number, object]));
    this.selected = new Set([...this.selected].filter((number) => this.objects.has(number)));
    this.held = null;
    this.#touched();
  }

  // What an act has changed.
  #apply(id, answer) {
    if (answer.objects) {
      this.#receive(answer);
      return;
    }
    const listed = this.images.find((image) => image.id === id);
    if (id !== this.current?.id) return;
    for (const number of answer.removed) {
      this.objects.delete(number);
      this.selected.delete(number);
      this.recipes.delete(number);
    }
    for (const object of answer.changed) this.objects.set(object.number, object);
    const { revision, annotated, can_undo, can_redo } = answer;
    Object.assign(this.image, { revision, annotated, can_undo, can_redo });
    if (listed) Object.assign(listed, { annotated, objects: this.objects.size });
    this.#touched();
  }

  // Somebody else has done something.
  async heard({ id, act, ...answer }) {
    if (this.acts.mine(act)) return;
    const listed = this.images.find((image) => image.id === id);
    if (id === this.current?.id && answer.revision > this.image?.revision) {
      this.#receive(await get(`/api/images/${id}`));
      this.trouble("This image was changed in another window");
    } else if (listed) {
      listed.annotated = answer.annotated;
      this.changed();
    }
  }

  // After the connection was lost: the image as it is now.
  async again() {
    if (this.image && this.acts.waiting === 0) this.#receive(await get(`/api/images/${this.image.id}`));
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

  do(deed) {
    const { id } = this.image;
    return this.acts.do(id, deed, () => this.image.revision);
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

  // Bring what is held to the disk.
  async flush() {
    clearTimeout(this.settling);
    if (this.held === null) return null;
    const { held } = this;
    const { number, label } = held;
    const gesture = chosen(held);
    const deed =
      number === null ? { do: "add", gesture, label: label ?? "particle" } : { do: "replace", number, gesture };
    const answer = await this.do(deed);
    if (this.held === held) this.held = null;
    if (answer?.changed?.length > 0) {
      const made = answer.changed.at(-1).number;
      this.recipes.set(made, { gesture: held.gesture, levels: held.levels, index: held.index });
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

  async show(plane) {
    if (plane === "difference" && !this.image?.difference) {
      this.trouble("This image has no difference to a reference; `corroscope prepare` makes them");
      return;
    }
    const { id } = this.image;
    const bitmap = await this.pictures.bitmap(id, plane, this.window[plane]);
    if (this.current?.id !== id) return;
    this.bitmap = bitmap;
    this.changed();
  }

  snapshot() {
    const shapes = [...this.marks];
    if (this.ghost && !this.held) shapes.push({ rings: this.ghost, style: "ghost" });
    const hidden = new Set(this.hidden);
    if (this.held) {
      shapes.push({ rings: this.held.levels[this.held.index].rings, style: "pending" });
    }
    return {
      view: this.view,
      image: this.image,
      bitmap: this.view && this.bitmap,
      objects: this.objects,
      version: this.version,
      selected: this.selected,
      hidden: this.held?.number == null ? this.hidden : hidden.add(this.held.number),
      opacity: this.outlined ? this.opacity : 0,
      shapes: this.outlined ? shapes : [],
      layers: this.layers,
      handles: this.handles,
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
