// Patches of the image, one after the other, those in which most happens first: keep or skip.

import { post } from "../api.js";
import { element } from "../dom.js";
import { keyOf } from "../keymap.js";
import { centred, LARGEST_SCALE } from "../view.js";

export const title = "Patches";

// CSS pixels that minimap (right) and scale bar (below) take of the stage, which the patch fills.
const BESIDE = 150;
const BELOW = 44;
const MEASURES = {
  entropy: {
    term: "Entropy", unit: " bit",
    about: "Most changed first: by the entropy of the difference to the reference.",
  },
  spots: {
    term: "Dark spots", unit: "",
    about: "Most dark spots first. These frames come without a difference to the reference, so specks that were there from the start count as well.",
  },
};
const PLACES = {
  index: "Where patches lie on the metal is known from index.csv.",
  drift: "Where patches lie on the metal is known from the drift in frames.csv.",
  aligned: "Aligned frames are moved by parts of a pixel, and brightened to match. For patches as the camera saw them open the folder of the sequence itself, with frames.csv copied into it.",
  nothing: "Drift is not known here: training will find from the pixels which patches show the same metal. With the frames.csv that corroscope prepare writes copied into this folder, it is known.",
};

export class Patches {
  #session;
  #cut = { grid: null, dataset: "dataset" }; // without a grid: the one that was taken before
  #patches = [];
  #at = 0;
  #told = null; // the last answer about the dataset
  #listed = null; // {id, revision} of the image when its patches were listed
  #problem = "";
  #busy = false; // listing
  #sent = Promise.resolve(); // decisions reach the disk in the order in which they were made
  #done = []; // what was decided on this image, to be taken back
  #goal = null; // the patch to go to once its image has come
  active = false;

  constructor(session) {
    this.#session = session;
    const number = (id, value) => element("input", { type: "number", id, min: 1, step: 1, value, required: true });
    this.size = number("patch-size", 200);
    this.stride = number("patch-stride", 100);
    this.dataset = element("input", { type: "text", id: "patch-dataset", value: "dataset", maxLength: 64, required: true, spellcheck: false });
    const form = element("form", { onsubmit: (event) => this.#recut(event) },
      element("label", { className: "row" }, "Size, px", this.size),
      element("label", { className: "row" }, "Stride, px", this.stride),
      element("label", { className: "row" }, "Into folder", this.dataset),
      element("div", { className: "row" }, element("button", {}, "Cut like this")));
    this.status = element("p", { role: "status", id: "patch-status" });
    this.bar = element("progress", { max: 1, value: 0, "aria-label": "Patches decided in this image" });
    const button = (action, label, className = "") =>
      element("button", { className, data: { action } }, `${label} `, element("kbd", {}, keyOf(action)));
    this.deciding = [button("keepPatch", "Keep", "primary"), button("skipPatch", "Skip"), button("emptyPatch", "Keep as empty")];
    this.back = button("undecidePatch", "Take back");
    this.stepping = [button("previousPatch", "Previous"), button("nextPatch", "Next")];
    this.only = element("input", { type: "checkbox", id: "patch-open", checked: true });
    this.facts = element("dl");
    this.loop = element("div", {}, this.bar,
      element("div", { className: "row" }, ...this.deciding),
      element("div", { className: "row" }, ...this.stepping, this.back),
      element("label", { className: "row" }, "Only undecided ones", this.only),
      this.facts);
    this.next = button("nextImage", "Next image");
    this.about = element("p", { className: "quiet" });
    this.count = element("h2");
    this.old = element("p", { id: "patch-stale" });
    this.renew = element("button", { id: "patch-renew", onclick: () => this.#renewAll() }, "Write the masks anew");
    this.list = element("ul", { className: "runs", id: "patch-kept" });
    this.commands = element("div");
    this.dataside = element("div", {}, this.count, this.old, this.renew, this.list, this.commands);
    this.panel = element("div", {},
      element("h2", {}, "Patches"), this.status, this.loop, element("div", { className: "row" }, this.next),
      this.about, element("h2", {}, "How to cut"), form, this.dataside);
  }

  get current() {
    return this.#patches[this.#at] ?? null;
  }

  activate(active) {
    this.active = active;
    if (active) this.#list();
    else this.#mark();
  }

  onImage() {
    this.#patches = [];
    this.#listed = null;
    this.#done = [];
    if (this.active) this.#list();
  }

  #recut(event) {
    event.preventDefault();
    this.#cut = { grid: `${this.size.value}/${this.stride.value}`, dataset: this.dataset.value };
    this.#listed = null;
    this.#done = [];
    this.#list();
  }

  // List the patches of the image; where they were listed before, stay with the one that is shown.
  async #list() {
    const session = this.#session;
    if (!session.image || this.#busy) return;
    const { id, revision } = session.image;
    const stays = this.#listed?.id === id ? this.current : null;
    this.#listed = { id, revision };
    this.#busy = true;
    this.update();
    try {
      await this.#sent;
      const answer = await post(`/api/images/${id}/patches`, this.#cut);
      if (session.image?.id !== id) return;
      this.#problem = "";
      this.#patches = answer.patches;
      this.#take(answer);
      [this.size.value, this.stride.value] = answer.grid.split("/");
      this.#cut.grid = answer.grid;
      const goal = this.#goal ?? stays;
      const found = this.#patches.findIndex((one) => goal && one.row === goal.row && one.column === goal.column);
      this.#at = found >= 0 ? found : Math.max(this.#patches.findIndex((one) => this.#wanted(one)), 0);
      this.#goal = null;
      if (!stays) this.#look();
    } catch (error) {
      this.#patches = [];
      this.#told = null;
      this.#problem = error.message;
    } finally {
      this.#busy = false;
      this.#mark();
    }
    if (session.image && session.image.id !== id) this.#list(); // gone on meanwhile
  }

  #take({ patch, patches, ...told }) {
    this.#told = { ...this.#told, ...told };
    if (patch) Object.assign(this.#find(patch) ?? {}, patch);
    this.#fillDataset();
  }

  #find({ row, column }) {
    return this.#patches.find((one) => one.row === row && one.column === column);
  }

  #wanted(patch) {
    return !this.only.checked || patch.state === "undecided";
  }

  // The next patch is shown at once; where a decision is refused, one comes back to it.
  async decide(what) {
    const patch = this.current;
    if (!patch) return;
    const { id } = this.#listed;
    const before = patch.state;
    patch.state = what === "skip" ? "skipped" : "kept";
    this.#done = [...this.#done.filter((one) => one !== patch), patch];
    const moved = this.#go(1) || this.#go(1, -1);
    if (!moved) this.#mark();
    if (await this.#send(what, patch)) return;
    patch.state = before;
    this.#done = this.#done.filter((one) => one !== patch);
    if (this.#listed?.id === id) this.#goTo(patch);
  }

  // Take back what was decided about this patch, or else the last decision on this image.
  async takeBack() {
    const patch = this.current?.state === "undecided" ? this.#done.at(-1) : this.current;
    const id = this.#listed?.id;
    if (!patch) {
      this.#session.announce("Nothing was decided on this image just now");
    } else if (await this.#send("undecide", patch)) {
      this.#done = this.#done.filter((one) => one !== patch);
      if (this.#listed?.id === id) this.#goTo(patch);
    }
  }

  #send(what, { row, column }) {
    const session = this.#session;
    const { id } = this.#listed;
    const content = { ...this.#cut, do: what, row, column };
    const sent = this.#sent.then(async () => {
      try {
        await session.flush();
        const answer = await post(`/api/images/${id}/patch`, content);
        if (this.#listed?.id !== id) delete answer.patch; // gone on meanwhile
        this.#take(answer);
        session.trouble("");
        return true;
      } catch (error) {
        session.trouble(error.message);
        return false;
      } finally {
        this.#mark();
      }
    });
    this.#sent = sent;
    return sent;
  }

  step(by) {
    if (this.current && !this.#go(by)) {
      this.#session.announce(by > 0 ? "No further patch in this image" : "No patch before this one");
    }
  }

  // The next patch that one wants to stop at, counted from the one shown or from another.
  #go(by, from = this.#at) {
    for (let k = from + by; k >= 0 && k < this.#patches.length; k += by) {
      if (this.#wanted(this.#patches[k])) {
        this.#at = k;
        this.#look();
        this.#mark();
        return true;
      }
    }
    return false;
  }

  // Let the patch fill the stage.
  #look() {
    const { current } = this;
    const session = this.#session;
    if (!current || !this.active) return;
    const [y0, x0] = current.corner;
    const size = this.#side();
    const { width, height } = session.stage.size;
    const room = { width: Math.max(width - BESIDE, height / 2), height };
    const scale = Math.min(room.width / (1.05 * size), (height - 2 * BELOW) / size, LARGEST_SCALE);
    session.view = centred({ x: x0 + size / 2, y: y0 + size / 2 }, scale, room);
    session.crosshair = null;
  }

  #side() {
    return Number(this.#cut.grid.split("/")[0]);
  }

  #mark() {
    const session = this.#session;
    session.marks = session.marks.filter((mark) => mark.style !== "patch");
    if (this.current && this.active) {
      const [y0, x0] = this.current.corner;
      const [y1, x1] = [y0 + this.#side(), x0 + this.#side()];
      session.marks.push({ rings: [[y0, x0, y0, x1, y1, x1, y1, x0]], style: "patch" });
    }
    session.changed();
  }

  async #renewAll() {
    const stale = this.#told.kept.filter((one) => one.stale);
    try {
      for (const id of new Set(stale.map((one) => one.id))) {
        this.#take(await post(`/api/images/${id}/patch`, { ...this.#cut, do: "renew" }));
      }
      this.#session.announce("The masks are as the frames are annotated now");
    } catch (error) {
      this.#session.trouble(error.message);
    }
  }

  // Show a patch of this image.
  #goTo(patch) {
    const at = this.#patches.indexOf(this.#find(patch));
    if (at < 0) return;
    this.#at = at;
    this.#look();
    this.#mark();
  }

  // Show a patch that is kept, of whichever image.
  #open(one) {
    const session = this.#session;
    if (one.id === session.image?.id) {
      this.#goTo(one);
    } else {
      this.#goal = one;
      session.go(session.images.findIndex((image) => image.id === one.id));
    }
  }

  update() {
    const { image } = this.#session;
    // What is annotated has changed: other numbers of objects, and masks that are no longer right.
    if (this.active && image && !this.#busy && this.#listed?.id === image.id && this.#listed.revision !== image.revision) {
      this.#list();
      return;
    }
    const { current } = this;
    const count = this.#patches.length;
    const decided = this.#patches.filter((one) => one.state !== "undecided").length;
    this.loop.hidden = count === 0;
    this.dataside.hidden = this.#told === null;
    for (const button of [...this.deciding, ...this.stepping]) button.disabled = !current;
    this.back.disabled = !current || (current.state === "undecided" && this.#done.length === 0);
    this.bar.value = count > 0 ? decided / count : 0;
    const last = this.#session.index >= this.#session.images.length - 1;
    this.next.hidden = last;
    this.next.className = count > 0 && decided === count ? "primary" : "";
    let status = `Patch ${this.#at + 1} of ${count}: ${current?.state}`;
    if (!image) status = "Open an image first.";
    else if (this.#problem) status = this.#problem;
    else if (count === 0) status = "Cutting…";
    else if (decided === count) {
      status += `. All patches of this image are decided${last ? "" : `; next image: ${keyOf("nextImage").toUpperCase()}`}.`;
    }
    if (this.status.textContent !== status) this.status.textContent = status;
    this.status.className = this.#problem ? "bad" : "";
    const measure = MEASURES[this.#told?.measure];
    this.about.textContent = count > 0 ? `${measure.about} ${PLACES[this.#told.places]}` : "";
    const rows = current ? [
      ["Decided here", `${decided} of ${count}`], ["Kept in all", this.#told.kept.length],
      [measure.term, `${current.measure}${measure.unit}`], ["Objects in it", image?.annotated ? current.objects : "not annotated"],
    ] : [];
    this.facts.replaceChildren(...rows.flatMap(([term, value]) => [element("dt", {}, term), element("dd", {}, String(value))]));
    for (const item of this.list.children) {
      const here = current && item.dataset.id === image?.id && item.dataset.at === `${current.row} ${current.column}`;
      item.firstChild.setAttribute("aria-current", String(Boolean(here)));
    }
  }

  #fillDataset() {
    const { kept, own, commands, dataset } = this.#told;
    const stale = kept.filter((one) => one.stale).length;
    this.count.textContent = kept.length > 0 ? `Kept in ${dataset}/ (${kept.length})` : "Nothing kept yet";
    const were = stale === 1 ? "One patch was" : `${stale} patches were`;
    this.old.hidden = stale === 0;
    this.old.textContent = stale === 0 ? "" : `${were} kept before the annotation of the frame changed.`;
    if (stale > 0 && own) {
      this.old.textContent += ` ${dataset}/ has been annotated on its own since, so its masks are left as they are.`;
    }
    this.renew.hidden = stale === 0 || own;
    this.list.replaceChildren(...kept.map((one) =>
      element("li", { data: { id: one.id ?? "", at: `${one.row} ${one.column}` } },
        element("button", {
          onclick: () => this.#open(one), disabled: one.id === null,
          title: one.annotated ? one.name : `${one.name}: not yet annotated`,
        },
          element("span", { className: "mark", "aria-hidden": "true" }, one.annotated ? "✓" : "○"),
          element("span", {}, one.name),
          one.stale ? element("span", { className: "quiet" }, "stale") : null))));
    const line = (text, words) => [element("p", { className: "quiet" }, text), element("code", { className: "command" }, words)];
    const open = kept.filter((one) => !one.annotated).length;
    this.commands.replaceChildren(
      ...(kept.length === 0 ? [] : [
        element("h2", {}, "What comes next"),
        ...line(open > 0 ? `Annotate the patches; ${open} ${open === 1 ? "has" : "have"} no mask yet:` : "Look at the patches once more:", commands.annotate),
        ...(open < kept.length ? line("Train on them:", commands.train) : []),
      ]),
      element("h2", {}, "In bulk"),
      ...line("All patches in which something has changed, on the command line:", commands.bulk));
  }
}
