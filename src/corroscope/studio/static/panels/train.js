// Training: start one on what is annotated, follow it epoch by epoch, stop and resume it.

import { get, post } from "../api.js";
import { chartFigure } from "../chart.js";
import { command, element } from "../dom.js";

const CHART = { x: "epoch", low: 0, width: 350 };
const AGAIN_MS = 5000; // a training that was started elsewhere does not tell of itself
const TYPED_MS = 300;
const FIELDS = [["epochs", "Epochs"], ["steps_per_epoch", "Steps per epoch"], ["folds", "Folds"], ["seed", "Seed"]];
const ARCHITECTURES = ["unetpp", "unet"];
const OTHERS = ["smp:Unet", "smp:UnetPlusPlus", "smp:FPN", "smp:DeepLabV3Plus"];
const MARKS = { starting: "…", running: "▶", finished: "✓", stopped: "❚❚", failed: "✕" };

export const title = "Train";

export class Train {
  #session;
  #state = null;
  #run = null; // number of the one that is looked at; null: the newest
  #figures = null;
  #asking = null;
  #again = false;
  #counted = "";
  #asked = 0;
  #folds = null; // unless somebody has chosen another number
  active = false;

  constructor(session) {
    this.#session = session;
    this.status = element("p", { role: "status", id: "train-status" });
    this.counts = element("p", { id: "train-counts" });
    this.ended = element("p", { role: "alert", className: "bad" }); // why the last one did
    this.trouble = element("p", { role: "alert", className: "bad" }); // with what is asked for
    this.fields = Object.fromEntries(FIELDS.map(([name]) => [name, element("input", { type: "number", step: 1, min: 0 })]));
    this.architecture = element("select");
    this.across = element("input", { type: "checkbox" });
    this.more = element("textarea", { rows: 3, spellcheck: false, id: "train-more", placeholder: "augmentation.pasted=3" });
    this.every = element("dl", { className: "every" });
    this.start = element("button", { className: "primary", id: "train-start", onclick: () => this.#do("start", this.#wanted()) }, "Start training");
    this.preview = element("div");
    this.fields.folds.addEventListener("input", () => { this.#folds = null; });
    this.form = element("div", { oninput: () => this.#typed() },
      ...FIELDS.map(([name, label]) => element("label", { className: "row" }, label, this.fields[name])),
      element("label", { className: "row" }, "Architecture", this.architecture),
      element("label", { className: "row" }, "Cross-validate", this.across),
      element("p", { className: "quiet" }, "One fold of the images is kept to judge by; with cross-validation each in turn, which takes longer."),
      element("details", {}, element("summary", {}, "Further settings"),
        element("label", { htmlFor: "train-more" }, "One a line, as NAME=VALUE"), this.more,
        element("div", { className: "scrolled", tabIndex: 0, role: "region", "aria-label": "Every setting" }, this.every)));
    this.go = element("div", {}, element("div", { className: "row" }, this.start), this.preview);
    this.list = element("ul", { className: "runs" });
    this.facts = element("div");
    this.curves = element("div");
    this.pictures = element("div");
    this.line = element("div");
    this.shown = element("section", { "aria-label": "Chosen training" }, this.facts, this.curves, this.pictures, this.line);
    this.past = element("div", {}, element("h2", {}, "Trainings"), this.list);
    this.panel = element("div", {},
      element("h2", {}, "Train on what is annotated"),
      this.status, this.ended, this.counts, this.form, this.trouble, this.go, this.past, this.shown);
    setInterval(() => this.active && this.#busy() && this.refresh(), AGAIN_MS);
  }

  activate(active) {
    this.active = active;
    if (active) this.refresh();
  }

  // Ask anew, once at a time; what is asked for meanwhile is asked afterwards.
  refresh() {
    if (!this.active) return null;
    if (this.#asking) this.#again = true;
    else {
      this.#asking = this.#ask().catch((error) => this.#session.trouble(error.message)).finally(() => {
        this.#asking = null;
        if (this.#again) {
          this.#again = false;
          this.refresh();
        }
      });
    }
    return this.#asking;
  }

  async #ask() {
    if (this.every.children.length === 0) this.#offer(await get("/api/training/settings"));
    const state = await get("/api/training");
    const run = state.runs.find(({ number }) => number === this.#run) ?? state.runs[0];
    const figures = run && run.begun !== null ? await get(`/api/training/${run.number}`) : null;
    this.#take(state, run?.number ?? null, figures);
  }

  #take(state, number, figures) {
    const before = this.#state;
    this.#state = state;
    this.#figures = figures;
    if (before === null || before.needs !== state.needs) this.#typed();
    const busy = this.#busy();
    this.form.hidden = this.go.hidden = busy || Boolean(state.needs);
    this.#say(this.status, state.needs || statusLine(state));
    this.#say(this.ended, state.problem);
    this.#counted = "";
    this.update();
    this.past.hidden = state.runs.length === 0;
    this.#showList(state.runs, number);
    this.#showRun(state.runs.find((run) => run.number === number));
  }

  #busy() {
    return Boolean(this.#state?.runs.some(atWork));
  }

  // A live region speaks when its text is set, be it the same.
  #say(region, text) {
    if (region.textContent !== text) region.textContent = text;
  }

  #offer(settings) {
    const usual = Object.fromEntries(settings.map((one) => [one.name, one.usual]));
    if (this.fields.folds.value === "") this.#folds = Number(usual.folds);
    // Who types faster than settings come keeps what was typed.
    for (const [name] of FIELDS) this.fields[name].value ||= usual[name];
    this.every.replaceChildren(...settings.flatMap(({ name, usual: value, about, allowed }) => [
      element("dt", {}, element("code", {}, `${name}=${value}`)),
      element("dd", {}, allowed ? `${about} (${allowed})` : about),
    ]));
  }

  #wanted() {
    const given = FIELDS.map(([name]) => [name, this.fields[name].value]).filter(([, value]) => value !== "");
    given.push(["architecture", this.architecture.value || ARCHITECTURES[0]]);
    const more = this.more.value.split("\n").map((line) => line.trim()).filter(Boolean);
    return { settings: [...given.map(([name, value]) => `${name}=${value}`), ...more], cross_validate: this.across.checked };
  }

  // See what the command would be, or what is wrong, a moment after the last key.
  #typed() {
    const asked = ++this.#asked;
    if (this.architecture.options.length === 0 && this.#state) {
      const names = this.#state.smp ? [...ARCHITECTURES, ...OTHERS] : ARCHITECTURES;
      this.architecture.append(...names.map((name) => element("option", { value: name }, name)));
    }
    setTimeout(async () => {
      if (asked !== this.#asked || this.form.hidden) return;
      try {
        const answer = await post("/api/training/check", this.#wanted());
        if (asked !== this.#asked) return;
        this.#say(this.trouble, answer.problem);
        this.preview.replaceChildren(...(answer.command ? [command(answer.command)] : []));
      } catch (error) {
        if (asked === this.#asked) this.#say(this.trouble, error.message);
      }
    }, TYPED_MS);
  }

  async #do(what, content) {
    this.#say(this.trouble, "");
    this.#say(this.ended, "");
    if (what === "stop") this.#say(this.status, "Stopping…");
    for (const button of this.panel.querySelectorAll("button.deed, #train-start")) button.disabled = true;
    try {
      await this.#session.flush();
      const state = await post(`/api/training/${what}`, content);
      this.#run = null;
      this.#state = state;
      await this.refresh();
    } catch (error) {
      await this.refresh();
      this.#say(this.trouble, error.message);
    } finally {
      this.#counted = "";
      this.update();
    }
  }

  #showList(runs, chosen) {
    const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.run : null;
    this.list.replaceChildren(...runs.map((run) => element("li", {},
      element("button", {
        data: { run: run.number }, "aria-current": String(run.number === chosen),
        onclick: () => {
          this.#run = run.number;
          this.refresh();
        },
      }, element("span", { "aria-hidden": "true", className: "mark" }, MARKS[run.status]),
      element("span", {}, `${run.number}: ${run.status}`), element("span", { className: "quiet" }, inShort(run))))));
    if (focused) this.list.querySelector(`[data-run="${focused}"]`)?.focus();
  }

  #showRun(run) {
    const focused = this.facts.contains(document.activeElement) ? document.activeElement.id : "";
    if (!run) return;
    const at = atWork(run);
    const parts = [element("h2", {}, `Training ${run.number}${run.begun === null ? "" : `, ${when(run.begun)}`}`)];
    if (at) parts.push(...this.#atWork(progress(run)));
    else if (run.problem) parts.push(element("p", { className: "bad" }, run.problem));
    if (!at && run.resumable && !this.#state.needs) {
      parts.push(element("p", {}, `${run.done} of ${run.epochs} epochs are done. Resumed, it comes to the same end as without the stop, as long as no annotation has changed.`),
        element("div", { className: "row" }, element("button", { id: "train-resume", className: "deed", onclick: () => this.#do("start", { resume: true }) }, "Resume")),
        command(run.resume));
    }
    if (run.metrics) parts.push(...outcome(run.metrics));
    this.facts.replaceChildren(...parts);
    if (focused) document.getElementById(focused)?.focus();
    this.line.replaceChildren(...(run.command ? [command(run.command)] : []));
    this.curves.hidden = this.pictures.hidden = this.#figures?.number !== run.number;
    if (this.curves.hidden) return;
    this.#showCurves(run);
    this.#showPictures(run);
  }

  #atWork(told) {
    const stop = element("button", { id: "train-stop", className: "deed", onclick: () => this.#do("stop", {}) }, "Stop");
    return [...told, element("div", { className: "row" }, stop)];
  }

  #showCurves(run) {
    const open = new Set([...this.curves.querySelectorAll("details[open]")].map((each) => each.dataset.name));
    const focused = this.curves.contains(document.activeElement) ? document.activeElement.parentElement.dataset.name : null;
    this.curves.replaceChildren(...curves(this.#figures, run));
    for (const each of this.curves.querySelectorAll("details")) {
      each.open = open.has(each.dataset.name);
      if (each.dataset.name === focused) each.firstChild.focus();
    }
  }

  // Pictures stay as they are while they are the same, or looked at.
  #showPictures(run) {
    const { number, pictures, predictions } = this.#figures;
    const wanted = JSON.stringify([number, pictures, predictions, run.status]);
    if (this.pictures.dataset.wanted === wanted || this.pictures.querySelector("dialog[open]")) return;
    this.pictures.dataset.wanted = wanted;
    const parts = [];
    if (pictures.includes("examples") && run.status === "finished") {
      parts.push(picture([`/api/training/${number}/examples`], () => "What it finds, the worst first"));
    }
    if (predictions.length > 0) {
      parts.push(picture(predictions.map((epoch) => `/api/training/${number}/predictions/${epoch}`),
        (index) => `What it found after epoch ${predictions[index]}`));
    }
    this.pictures.replaceChildren(...parts);
  }

  update() {
    const { images } = this.#session;
    const done = images.filter((image) => image.annotated);
    const objects = done.reduce((sum, image) => sum + image.objects, 0);
    const begun = done.filter((image) => !image.done).length;
    const counted = `${objects}/${done.length}/${images.length}/${begun}`;
    if (this.#counted === counted || !this.#state) return;
    this.#counted = counted;
    const left = images.length - done.length;
    let text = `${objects} objects in ${done.length} of ${images.length} images.`;
    if (left > 0) text += ` The other ${left} ${left === 1 ? "is" : "are"} left out: nobody has annotated ${left === 1 ? "it" : "them"}.`;
    if (begun > 0) text += ` ${begun} of them ${begun === 1 ? "is" : "are"} not declared done (F): what nobody has marked there yet is learnt as background.`;
    const few = objects === 0 ? "Annotate at least one particle first."
      : done.length < 2 ? "Annotate a second image first, be it an empty one: one is kept to judge by." : "";
    this.#say(this.counts, few || text);
    this.counts.hidden = Boolean(this.#state.needs) || this.#busy();
    this.start.disabled = Boolean(few);
    const folds = this.#folds === null || few ? null : String(Math.min(this.#folds, done.length)); // more cannot be had
    if (folds !== null && folds !== this.fields.folds.value) {
      this.fields.folds.value = folds;
      this.#typed();
    }
  }
}

const atWork = ({ status }) => status === "running" || status === "starting";

function statusLine({ runs }) {
  const run = runs.find(atWork);
  return run ? `Training ${run.number} is ${run.status}.` : "";
}

function inShort(run) {
  if (run.metrics) return `Dice ${short(run.metrics.scores.dice)}, F1 ${short(run.metrics.scores.particle_f1_iou30)}`;
  return run.epochs > 0 ? `${run.done} of ${run.epochs} epochs` : "";
}

function progress(run) {
  const left = run.epochs - run.done;
  let text = `Epoch ${run.done} of ${run.epochs}${run.cross_validate ? " over all folds" : ""}`;
  if (run.status === "starting") text = "PyTorch is loaded and the images are read…";
  else if (run.done === 0) text = "Preparing: surfaces are told apart and pairs are made…";
  else if (left === 0) text += "; now it is judged and exported…";
  else if (run.epoch_s) text += `, ${duration(left * run.epoch_s)} left at most`;
  return [element("p", {}, text),
    element("progress", { max: Math.max(run.epochs, 1), value: run.done, "aria-label": "Epochs done" })];
}

function outcome({ scores, intervals_95: bounds, threshold, peak, min_area_px: area, rescoring, patches, surfaces, method }) {
  const row = (label, name) => [label, `${short(scores[name])}${interval(bounds[name])}`];
  const rows = [row("Dice", "dice"), row("Particle F1", "particle_f1_iou30"), row("Precision", "particle_precision"),
    row("Recall", "particle_recall"), ["Threshold", threshold],
    ...(peak > threshold ? [["Peak", peak]] : []), ["Smallest area", `${area} px`],
    ...(rescoring ? [["Single images", `judged once more by what is around: kept from ${rescoring.decision}`]] : []),
    ["Judged on", `${patches} ${patches === 1 ? "image" : "images"}, ${surfaces} ${surfaces === 1 ? "surface" : "surfaces"}`]];
  const how = `${method[0].toUpperCase()}${method.slice(1)}. Particles count as found at IoU ≥ 0.3.`;
  return [element("dl", {}, ...rows.flatMap(([term, value]) => [element("dt", {}, term), element("dd", {}, String(value))])),
    element("p", { className: "quiet" }, bounds.dice[0] === null ? how : `In brackets 95 % intervals. ${how}`)];
}

function curves({ fits }, run) {
  const fit = fits.findLast(({ history }) => history.length > 0);
  if (!fit) return [];
  const points = (name, rows = fit.history) => rows.filter((row) => name in row).map((row) => [row.epoch + 1, row[name]]);
  const begun = fits.filter(({ history }) => history.length > 0).slice(-4);
  const losses = begun.map(({ name, history }) => ({ name: name || "loss", points: points("loss", history) }));
  const scores = [["Dice", "dice"], ["particle F1", "particle_f1_iou30"]]
    .map(([name, key]) => ({ name, points: points(key) })).filter((one) => one.points.length > 0);
  const drawn = [named("loss", chartFigure({ ...CHART, series: losses, y: "training loss" }))];
  if (scores.length > 0) drawn.push(named("scores", chartFigure({ ...CHART, series: scores, y: "score", high: 1 })));
  else if (run.cross_validate) drawn.push(element("p", { className: "quiet" }, "Folds are judged when all have been trained: no epoch is chosen by what it is judged on."));
  drawn.push(named("rate", element("details", {}, element("summary", {}, "Learning rate"),
    chartFigure({ ...CHART, series: [{ name: "learning rate", points: points("learning_rate") }], y: "learning rate" }))));
  return drawn;
}

function named(name, holder) {
  const all = [holder, ...holder.querySelectorAll("details")].filter((each) => each.tagName === "DETAILS");
  all.forEach((each, index) => { each.dataset.name = `${name}${index}`; });
  return holder;
}

// Small in the panel, and large after a click; of several one chooses with a slider.
function picture(addresses, captionOf) {
  const caption = element("figcaption");
  const small = element("img", { alt: "" });
  const large = element("img");
  const close = element("button", { onclick: () => dialog.close() }, "Close");
  const dialog = element("dialog", { className: "pictured" }, large, close);
  dialog.addEventListener("keydown", (event) => event.stopPropagation()); // keys are not for what is behind
  const enlarge = element("button", { className: "thumb", onclick: () => dialog.showModal() }, small);
  const slider = element("input", {
    type: "range", min: 0, max: addresses.length - 1, step: 1, value: addresses.length - 1, "aria-label": "Epoch",
    oninput: () => choose(Number(slider.value)),
  });
  slider.hidden = addresses.length < 2;
  function choose(index) {
    const text = captionOf(index);
    caption.textContent = text;
    small.src = large.src = addresses[index];
    large.alt = `${text}: images with what was annotated in orange and what was found in blue`;
    enlarge.setAttribute("aria-label", `${text}: enlarge`);
    dialog.setAttribute("aria-label", text);
    slider.setAttribute("aria-valuetext", text);
  }
  choose(addresses.length - 1);
  return element("figure", {}, caption, slider, enlarge, dialog);
}

const short = (value) => (value === null ? "–" : value.toFixed(2));
const interval = ([low, high]) => (low === null ? "" : ` (${low.toFixed(2)} – ${high.toFixed(2)})`);
const when = (seconds) => new Date(1000 * seconds).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });

function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
