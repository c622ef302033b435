// Results of runs: start one, choose one, its particles on the picture and in a table, its plots.

import { get, post } from "../api.js";
import { chartFigure, histogram } from "../chart.js";
import { command, element } from "../dom.js";
import { layersOf, particleAt, pointOf } from "../found.js";
import { keyOf } from "../keymap.js";
import { ParticleTable } from "../particle_table.js";
import { centred, cornerPoint } from "../view.js";

const NOTHING = { frame: null, segmented: false, remark: "", rows: [], rings: [], taken: [], trails: [] };
const CLOSE = 8; // screen pixels to a pixel where one is led to a particle
const PLOT = 344;
const STAGES = { align: "Aligning", segment: "Finding particles" };

export const title = "Results";

export class Results {
  #session;
  #tools;
  #listed = null;
  #number = null; // of the result that is looked at
  #told = null;
  #found = { ...NOTHING, columns: [] };
  #asked = 0;
  #seen = null; // revision of the image when it was asked what was found in it
  #own = null; // size of a pixel that the folder was told
  active = false;

  constructor(session, tools) {
    this.#session = session;
    this.#tools = tools;
    this.choice = element("select", { id: "result", onchange: () => this.#choose(Number(this.choice.value)) });
    this.chosen = element("div", {}, element("label", { className: "row" }, "Result", this.choice));
    this.trouble = element("p", { role: "alert", className: "bad" });
    this.again = element("button", { className: "primary", id: "run-again", onclick: () => this.#start({ again: this.#number }) }, "Go on");
    this.unfinished = element("div", {}, element("div", { className: "row" }, this.again));
    this.facts = element("dl");
    this.here = element("p", { role: "status", id: "found-here" });
    this.around = element("input", { type: "range", id: "around", min: 0, max: 10, step: 1, value: 2, oninput: () => this.#look() });
    this.reach = element("span");
    this.table = new ParticleTable((number) => this.#lead(number));
    this.takeAll = element("button", { id: "take-all", onclick: () => this.#take([]) });
    this.takeOne = element("button", { id: "take-one", onclick: () => this.#take([this.table.chosen]) }, "Take the chosen one");
    this.taking = element("div");
    this.image = element("section", { "aria-label": "Particles of this image" },
      element("h2", {}, "Particles of this image"), this.here,
      element("label", { className: "row" }, "Trails", this.around, this.reach),
      element("p", { className: "quiet" }, "Where particles were in the frames before (●) and will be in those after (△); the farther in time, the smaller."),
      this.table.box,
      element("div", { className: "row" }, this.takeAll, this.takeOne),
      element("details", {}, element("summary", {}, "Take those of all images"), this.taking));
    this.numbers = element("div");
    this.sizes = element("div");
    this.picture = element("div");
    this.plots = element("section", { "aria-label": "Plots" }, element("h2", {}, "Number of particles"), this.numbers,
      element("h2", {}, "Sizes"), this.sizes, this.picture);
    this.line = element("div");
    this.run = new RunForm((content) => this.#start(content), () => this.#stop());
    this.made = element("details", {}, element("summary", {}, "How it was made"), this.facts, this.line);
    this.panel = element("div", {}, this.chosen, this.trouble, this.unfinished, this.image, this.plots, this.made, this.run.panel);
    this.#show();
  }

  get hint() {
    return this.#found.rows.length > 0 ? "Click a particle to find it in the table · N and Shift+N: next and previous" : "";
  }

  activate(active) {
    this.active = active;
    const session = this.#session;
    session.picker = active ? (point) => this.pick(point) : null;
    if (active) {
      if (session.tool !== "click") this.#tools.use("click");
      this.refresh();
    } else {
      this.#mark();
    }
  }

  // Something has been started, has ended, or the studio is there again.
  async refresh() {
    if (!this.active) return;
    try {
      this.#listed = await get("/api/results");
      const { results } = this.#listed;
      const numbers = results.map(({ number }) => number);
      if (!numbers.includes(this.#number)) {
        this.#number = results.findLast(({ state }) => state === "finished")?.number ?? numbers.at(-1) ?? null;
      }
      await this.#describe();
    } catch (error) {
      this.#session.trouble(error.message);
    }
  }

  heard(status) {
    if (!this.#listed) return;
    const before = this.#listed.run;
    this.#listed.run = status;
    this.#showRun();
    if (before.running === status.running && before.name === status.name) return;
    if (!status.running) this.#number = status.number; // that is what one waited for
    this.refresh();
  }

  onImage() {
    this.#found = { ...NOTHING, columns: [] };
    this.#mark();
    if (this.active && this.#listed) this.#look();
  }

  // What is annotated by now decides what can be taken.
  update() {
    const { image } = this.#session;
    if (this.active && this.#told && image && image.revision !== this.#seen) this.#look();
  }

  #choose(number) {
    this.#number = number;
    return this.#describe().catch((error) => this.#session.trouble(error.message));
  }

  async #describe() {
    const number = this.#number;
    const listed = this.#listed.results.find((each) => each.number === number);
    let problem = listed?.state === "finished" ? "" : listed?.problem ?? "";
    this.#told = null;
    if (listed?.state === "finished") {
      try {
        this.#told = await get(`/api/results/${number}`);
      } catch (error) {
        if (error.status !== 422) throw error;
        problem = error.message;
      }
    }
    if (number !== this.#number) return;
    this.trouble.textContent = problem;
    this.#show();
    await this.#look();
  }

  // What was found in the image that is shown.
  async #look() {
    const session = this.#session;
    const asked = ++this.#asked;
    const { image } = session;
    this.#seen = image?.revision ?? null;
    this.reach.textContent = `± ${this.around.value} frames`;
    let found = { ...NOTHING };
    let problem = null;
    if (this.#told && image && this.active) {
      try {
        found = await get(this.#address(image));
      } catch (error) {
        problem = error.message;
      }
    }
    if (asked !== this.#asked) return;
    const same = found.frame !== null && found.frame === this.#found.frame && found.rows.length === this.#found.rows.length;
    const chosen = same ? this.table.chosen : null;
    this.#found = { ...found, columns: (this.#told?.columns ?? []).map(({ name }) => name) };
    this.table.show(this.#told?.columns ?? [], found.rows);
    if (chosen !== null) this.table.choose(chosen);
    this.table.box.hidden = found.rows.length === 0;
    this.here.textContent = problem ?? this.#inWords();
    this.here.classList.toggle("bad", problem !== null);
    this.#showNumbers();
    this.#mark();
    const next = session.images[session.index + 1];
    if (this.#told && this.active && next) get(this.#address(next)).catch(() => {}); // so that the server has it at hand
  }

  #address({ id }) {
    return `/api/results/${this.#number}/images/${id}?around=${this.around.value}`;
  }

  #inWords() {
    const { frame, segmented, remark, rows } = this.#found;
    if (frame === null) return remark || "Open an image.";
    const time = this.#told.frames[frame].time_s;
    const when = `Frame ${frame}${time === null ? "" : `, ${Number(time.toPrecision(5))} s`}`;
    const what = segmented ? `${rows.length} ${rows.length === 1 ? "particle" : "particles"}` : "a gap: nothing is known";
    return `${when}: ${what}.${remark ? ` ${remark}.` : ""}`;
  }

  // --- picture and table ---------------------------------------------------------------------

  #mark() {
    const session = this.#session;
    session.layers = this.active ? layersOf(this.#found) : [];
    this.#highlight();
  }

  #highlight() {
    const session = this.#session;
    session.marks = session.marks.filter(({ style }) => style !== "found-chosen");
    const at = this.active ? this.#found.rows.findIndex(([number]) => number === this.table.chosen) : -1;
    if (at >= 0) session.marks.push({ rings: this.#found.rings[at], style: "found-chosen" });
    const count = this.#found.rows.length;
    const { taken } = this.#found;
    const none = count > 0 && taken.every(Boolean);
    this.takeAll.textContent = none ? `${count === 1 ? "It is" : `All ${count} are`} annotated`
      : `Take ${count === 1 ? "it" : `all ${count}`} as annotation`;
    this.takeAll.disabled = count === 0 || none;
    this.takeOne.disabled = at < 0 || taken[at];
    session.changed();
  }

  pick(point) {
    const number = particleAt(this.#found, point, this.#session.view.scale);
    this.table.choose(number);
    this.#highlight();
  }

  step(by) {
    const number = this.table.beside(by);
    if (number === null) return;
    this.table.choose(number);
    this.#lead(number);
  }

  // From the table to the picture.
  #lead(number) {
    const session = this.#session;
    const at = cornerPoint(pointOf(this.#found, number));
    session.crosshair = null;
    session.look(centred(at, Math.max(session.view.scale, CLOSE), session.stage.size));
    this.#highlight();
  }

  async #take(particles) {
    const session = this.#session;
    await session.flush();
    const answer = await session.do({ do: "take", result: this.#number, particles });
    if (answer?.changed) session.announce(`${answer.changed.length} taken as annotation; ${keyOf("undo")} takes that back`);
    this.update();
  }

  // --- runs ----------------------------------------------------------------------------------

  async #start(content) {
    try {
      await this.#session.flush();
      const status = await post("/api/results/start", content);
      this.heard(status);
    } catch (error) {
      this.#session.trouble(error.message);
    }
  }

  async #stop() {
    try {
      this.heard(await post("/api/results/stop", {}));
    } catch (error) {
      this.#session.trouble(error.message);
    }
  }

  // --- what is shown of the result -----------------------------------------------------------

  #show() {
    const results = this.#listed?.results ?? [];
    this.choice.replaceChildren(...results.map(({ number, name, state }) =>
      element("option", { value: number }, state === "finished" ? name : `${name} (${state})`)));
    if (this.#number !== null) this.choice.value = this.#number;
    this.chosen.hidden = results.length === 0;
    const listed = results.find(({ number }) => number === this.#number);
    this.unfinished.hidden = listed?.state !== "unfinished" || !listed.again;
    if (!this.unfinished.hidden) this.unfinished.replaceChildren(this.unfinished.firstChild, command(listed.command));
    for (const part of [this.image, this.plots, this.made]) part.hidden = this.#told === null;
    this.#showRun();
    this.#measure();
    if (this.#told === null) return;
    const { made, frames, sizes, overview, number, name } = this.#told;
    const gaps = frames.filter(({ particles }) => particles === null).length;
    const median = sizes.median === null ? "–" : `${sizes.median} ${sizes.unit}`;
    const facts = [["Frames", gaps > 0 ? `${frames.length}, ${gaps} of them gaps` : frames.length],
      ["Particles, all frames", sizes.total], ["Median area", median], ...made];
    this.facts.replaceChildren(...facts.flatMap(([term, value]) => [element("dt", {}, term), element("dd", {}, String(value))]));
    this.line.replaceChildren(command(this.#told.command));
    this.taking.replaceChildren(command(this.#told.take_all));
    this.sizes.replaceChildren(sizes.total === 0 ? element("p", {}, "No particle was found in any frame.")
      : histogram({ ...sizes, x: `area (${sizes.unit})`, y: "particles, all frames", width: PLOT }));
    const address = `/api/results/${number}/overview`;
    this.picture.replaceChildren(...(overview ? [element("h2", {}, "Overview"),
      element("a", { href: address, target: "_blank", rel: "noopener" },
        element("img", { src: address, className: "whole", alt: `Overview of ${name}, in a window of its own: the last frame, where particles have been, their number and sizes` }))] : []));
  }

  // What the folder was told goes before what the chosen result was.
  #measure() {
    const { folder } = this.#session;
    if (!folder) return;
    if (this.#own?.folder !== folder) this.#own = { folder, pixelSize: folder.pixel_size_um };
    folder.pixel_size_um = this.#own.pixelSize ?? this.#told?.pixel_size_um ?? null;
  }

  // A run at work is what one waits for: it stands first.
  #showRun() {
    const first = Boolean(this.#listed?.run.running);
    if (first !== (this.panel.firstChild === this.run.panel)) {
      if (first) this.panel.prepend(this.run.panel);
      else this.panel.append(this.run.panel);
      if (first) this.run.panel.scrollIntoView({ block: "nearest" });
    }
    this.run.show(this.#listed);
  }

  #showNumbers() {
    if (this.#told === null) return;
    const { frames } = this.#told;
    const timed = frames.every(({ time_s: time }) => time !== null);
    const at = (each, index) => (timed ? each.time_s : index);
    const points = frames.map((each, index) => [at(each, index), each.particles]);
    const series = [{ name: "found", points }];
    const { frame } = this.#found;
    if (frame !== null && points[frame][1] !== null) series.push({ name: "this image", points: [points[frame]], line: false });
    const open = this.numbers.querySelector("details")?.open ?? false;
    this.numbers.replaceChildren(chartFigure({ series, x: timed ? "time (s)" : "frame", y: "particles", low: 0, width: PLOT }));
    this.numbers.querySelector("details").open = open;
  }
}

// The form that starts a run, and how far the run is.
class RunForm {
  #base = "";

  constructor(start, stop) {
    const field = (name, label, placeholder) => {
      const input = element("input", { type: "number", id: `run-${name}`, min: 0, step: "any", placeholder });
      return [name, label, input];
    };
    this.fields = [
      field("pixel_size", "Pixel size, µm", "unknown"),
      field("interval", "Time between frames, s", "by names"),
      field("threshold", "Threshold", "network's"),
    ];
    this.begin = element("button", { className: "primary", id: "run-start", onclick: () => start({ options: this.#options() }) }, "Start run");
    this.preview = element("div");
    this.form = element("div", { oninput: () => this.#write() },
      element("p", {}, "A run aligns all images of this folder as frames of one sequence, finds the particles in each that were not there in the first, and measures them."),
      ...this.fields.map(([, label, input]) => element("label", { className: "row" }, label, input)),
      element("div", { className: "row" }, this.begin), this.preview);
    this.fold = element("details", {}, element("summary", {}, "New run"));
    this.status = element("p", { role: "status", id: "run-status" });
    this.bar = element("progress", { max: 1, value: 0, "aria-label": "Frames done" });
    this.halt = element("button", { id: "run-stop", onclick: stop }, "Stop");
    this.line = element("div");
    this.working = element("div", {}, this.bar, element("div", { className: "row" }, this.halt), this.line);
    this.panel = element("section", { "aria-label": "Run" }, element("h2", {}, "Run"), this.status, this.working, this.fold, this.form);
  }

  show(listed) {
    if (!listed) {
      this.working.hidden = this.form.hidden = this.fold.hidden = true;
      return;
    }
    const { run, results, next } = listed;
    this.#base = next.command;
    this.working.hidden = !run.running;
    this.form.hidden = this.fold.hidden = run.running;
    // Where there is a result, the form waits in a fold.
    if (results.length > 0) this.fold.append(this.form);
    else this.panel.append(this.form);
    if (results.length === 0) this.fold.hidden = true;
    this.#say(run.running ? inWords(run) : run.problem ?? "");
    this.status.classList.toggle("bad", Boolean(run.problem));
    this.bar.max = run.total ?? 1;
    this.bar.value = run.done ?? 0;
    this.halt.disabled = Boolean(run.stopping);
    if (run.running && this.line.dataset.of !== run.name) this.line.replaceChildren(command(run.command));
    this.line.dataset.of = run.running ? run.name : "";
    this.#write();
  }

  // A live region speaks when its text is set, be it the same.
  #say(text) {
    if (this.status.textContent !== text) this.status.textContent = text;
  }

  #options() {
    const given = this.fields.filter(([, , input]) => input.value !== "");
    return Object.fromEntries(given.map(([name, , input]) => [name, Number(input.value)]));
  }

  #write() {
    const words = Object.entries(this.#options()).map(([name, value]) => ` --${name.replace("_", "-")} ${value}`);
    const text = this.#base + words.join("");
    if (this.preview.dataset.text !== text) this.preview.replaceChildren(command(text));
    this.preview.dataset.text = text;
  }
}

function inWords({ name, stage, done, total, stopping }) {
  if (stopping) return `${name}: stopping.`;
  return done === 0 ? `${name}: starting.` : `${name}: ${STAGES[stage].toLowerCase()}, ${done} of ${total} frames.`;
}
