// The page: puts session, tools, stage and panels together. No decision is made here.

import { listen } from "./api.js";
import { element } from "./dom.js";
import { FROM_SCALE } from "./handles.js";
import { actionOf, HELD, helpContent, KEYMAP, ONCE } from "./keymap.js";
import * as annotatePanel from "./panels/annotate.js";
import { Patches, title as patchesTitle } from "./panels/patches.js";
import { Results, title as resultsTitle } from "./panels/results.js";
import { Review, title as reviewTitle } from "./panels/review.js";
import { Sequence, title as sequenceTitle } from "./panels/sequence.js";
import { Train, title as trainTitle } from "./panels/train.js";
import { Pointer } from "./pointer.js";
import { Session } from "./session.js";
import { Stage } from "./stage.js";
import { Tools } from "./tools.js";
import { centred, pixelPoint, toImage } from "./view.js";

const ANNOUNCED_MS = 4000;
const byId = (id) => document.getElementById(id);
const drawing = byId("drawing");
const stage = new Stage(byId("picture"), drawing);
let drawn = 0;
let connected = true;
let saved = { state: "saved" };

const session = new Session({
  stage,
  changed: () => {
    if (drawn === 0) drawn = requestAnimationFrame(update);
    if (session.view) stage.show(session.snapshot());
  },
  trouble: (text) => {
    byId("trouble").textContent = text;
    byId("trouble").hidden = !text;
  },
  saved: (state, text) => {
    saved = { state, text };
    session.changed();
  },
  announce: (text) => {
    byId("hint").textContent = text;
    announcedAt = performance.now();
    setTimeout(() => session.changed(), ANNOUNCED_MS + 50);
  },
});
let announcedAt = -Infinity;
const tools = new Tools(session);
const pointer = new Pointer(session, tools);

// --- panels ----------------------------------------------------------------------------------

const annotate = annotatePanel.make(session, tools);
const review = new Review(session, tools, () => choose("annotate"));
const sequence = new Sequence(session, tools);
const patches = new Patches(session);
const train = new Train(session);
const results = new Results(session, tools);
const panels = {
  annotate: { title: annotatePanel.title, panel: annotate.panel, update: annotate.update },
  review: { title: reviewTitle, panel: review.panel, update: () => review.update(), activate: (on) => review.activate(on) },
  sequence: { title: sequenceTitle, panel: sequence.panel, update: () => sequence.update() },
  patches: { title: patchesTitle, panel: patches.panel, update: () => patches.update(), activate: (on) => patches.activate(on) },
  train: { title: trainTitle, panel: train.panel, update: () => train.update(), activate: (on) => train.activate(on) },
  results: { title: resultsTitle, panel: results.panel, update: () => results.update(), activate: (on) => results.activate(on) },
};
let active = null;

for (const [name, { title, panel }] of Object.entries(panels)) {
  byId("tabs").append(element("button", {
    role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, onclick: (event) => {
      choose(name);
      if (event.detail > 0) drawing.focus(); // by pointer: keys are meant for the picture
    },
    onkeydown: (event) => {
      const names = Object.keys(panels);
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      event.stopPropagation();
      const next = names[(names.indexOf(name) + by + names.length) % names.length];
      choose(next);
      byId(`tab-${next}`).focus();
    },
  }, title));
  Object.assign(panel, { id: `panel-${name}` });
  panel.setAttribute("role", "tabpanel");
  panel.setAttribute("aria-labelledby", `tab-${name}`);
  byId("panels").append(panel);
}

function choose(name) {
  if (active === name) return;
  panels[active]?.activate?.(false);
  active = name;
  for (const [each, { panel }] of Object.entries(panels)) {
    const chosen = each === name;
    panel.hidden = !chosen;
    byId(`tab-${each}`).setAttribute("aria-selected", String(chosen));
    byId(`tab-${each}`).tabIndex = chosen ? 0 : -1;
  }
  panels[name].activate?.(true);
  session.changed();
}

// --- what is shown besides the picture -------------------------------------------------------

function update() {
  drawn = 0;
  const { image, images, folder } = session;
  if (folder) byId("folder").title = folder.path;
  if (folder) byId("folder").textContent = `${folder.folder} · ${folder.annotator}${folder.second ? " (second, blind)" : ""}`;
  updateSaved();
  byId("undo").disabled = !image?.can_undo;
  byId("redo").disabled = !image?.can_redo;
  const done = images.filter((each) => each.done).length;
  byId("progress").textContent = images.length > 0 ? `${done} of ${images.length} done` : "";
  updateList();
  panels[active]?.update();
  byId("zoom").textContent = session.view ? `${Math.round(100 * session.view.scale)} %` : "";
  if (performance.now() - announcedAt > ANNOUNCED_MS) byId("hint").textContent = hint();
}

// What is held is on the screen alone: it counts as saved only when it is on the disk.
function updateSaved() {
  let { state, text } = saved;
  if (state === "saved" && !connected) [state, text] = ["failed", "Not connected"];
  else if (state === "saved" && (session.held || session.busy)) [state, text] = ["saving", session.busy ? "Looking" : "Not yet saved"];
  const shown = byId("saved");
  shown.dataset.state = state;
  text ??= { saved: "All saved", saving: "Saving", failed: "Not saved" }[state];
  if (shown.textContent !== text) shown.textContent = text;
}

function updateList() {
  const list = byId("images");
  if (list.children.length !== session.images.length) {
    list.replaceChildren(...session.images.map((image, index) =>
      element("li", {}, element("button", {
        onclick: (event) => {
          tools.go(index);
          if (event.detail > 0) drawing.focus(); // by pointer: keys are meant for the picture
        },
      }, element("span", { className: "mark", "aria-hidden": "true" }), element("span", {}, ...breakable(image.name))))));
  }
  session.images.forEach((image, index) => {
    const button = list.children[index].firstChild;
    const current = String(index === session.index);
    if (button.getAttribute("aria-current") !== current) {
      button.setAttribute("aria-current", current);
      if (current === "true") button.scrollIntoView({ block: "nearest" });
    }
    button.firstChild.textContent = image.problem ? "✕" : image.done ? "✓" : image.annotated ? "◐" : "○";
    const begun = `begun, ${image.objects} objects; F declares it done`;
    button.title = image.problem ?? (image.done ? `done, ${image.objects} objects` : image.annotated ? begun : "not yet annotated");
  });
}

// A long name may break before what tells it from its neighbours, not within a number.
function breakable(name) {
  return name.split(/(?<=[-_])/).flatMap((part) => [part, element("wbr")]);
}

function hint() {
  if (session.busy) return session.folder?.ready ? "Looking…" : "Looking… the first time after installing it takes some 15 s";
  const { image, tool, held, points, objects, selected } = session;
  if (!image) return session.images.length > 0 ? "Choose an image on the left" : "";
  if (active === "review" || active === "patches") return "";
  if (active === "results") return results.hint;
  if (tool === "points") {
    return points.length < 2 ? "Click along the edge of the particle" : "Enter or the first point closes the contour; right click keeps it away from something";
  }
  if (tool === "brush") return "Draw pixels; Escape ends the brush";
  if (tool === "eraser") return "Erase pixels of the selected particle; Escape ends the eraser";
  if (tool === "split") return "Draw a line across the selected particle";
  if (held) return "Wheel or [ ] steps through smaller and larger contours";
  if (selected.size === 1) return `[ ] smaller, larger · Tab other candidates, Escape lets go · right click excludes · ${session.view.scale < FROM_SCALE ? "closer: points to drag" : "drag a point"}`;
  if (objects.size === 0) return "Click inside a particle. If there is none: F, done with this image";
  return "";
}

// --- intents ---------------------------------------------------------------------------------

// Where keys act: the crosshair once arrows have moved it, else the pointer, else the middle.
const cursor = () => session.crosshair ?? pointer.at ?? pixelPoint(toImage(session.view, middle()));
const middle = () => ({ x: stage.size.width / 2, y: stage.size.height / 2 });
const moves = { left: [0, -1], right: [0, 1], up: [-1, 0], down: [1, 0], farLeft: [0, -10], farRight: [0, 10], farUp: [-10, 0], farDown: [10, 0] };

const actions = {
  undo: () => tools.whole("undo"),
  redo: () => tools.whole("redo"),
  done: async () => {
    const { name } = session.image;
    await tools.whole("done");
    session.announce(`${name} is done`);
  },
  take: enter,
  smaller: () => tools.step(-1),
  larger: () => tools.step(1),
  candidate: () => tools.candidate(1),
  exclude: () => tools.correct("exclude", cursor()),
  include: () => tools.correct("include", cursor()),
  points: () => tools.addPoint(cursor()),
  brush: () => tools.use("brush"),
  eraser: () => tools.use("eraser"),
  split: () => tools.use("split"),
  merge: () => tools.several("merge"),
  ignore: () => tools.several("ignore"),
  remove: () => tools.several("remove"),
  cancel: () => {
    if (session.tool !== "click") tools.use("click");
    else if (session.held) session.release();
    else session.select([]);
    session.trouble("");
  },
  nextObject: () => (active === "results" ? results.step(1) : tools.selectNext(1)),
  previousObject: () => (active === "results" ? results.step(-1) : tools.selectNext(-1)),
  alsoSelect: () => tools.alsoSelect(cursor()),
  zoomIn: () => tools.zoom(1.5, session.crosshair ? screenOf(session.crosshair) : undefined),
  zoomOut: () => tools.zoom(1 / 1.5),
  fit: () => { session.fit(); session.changed(); },
  actual: () => session.look(centred(toImage(session.view, middle()), 1, stage.size)),
  blink: (down) => session.blink(down),
  plane: async () => {
    const other = session.plane === "frame" ? "difference" : "frame";
    if (other === "frame" || session.image?.difference) session.plane = other;
    await session.show(other);
  },
  outlines: (down) => { session.outlined = !down; session.changed(); },
  previousImage: () => tools.inTurn(() => session.go(session.index - 1)),
  nextImage: () => tools.inTurn(() => session.go(session.index + 1)),
  nextOpen: () => {
    const order = [...session.images.keys()].map((k) => (k + session.index + 1) % session.images.length);
    const open = order.find((k) => !session.images[k].done);
    if (open === undefined) session.announce("Every image is done");
    else tools.go(open);
  },
  onion: () => sequence.toggle(),
  propagate: () => sequence.propagate(),
  accept: () => review.verdict("accept"),
  reject: () => review.verdict("reject"),
  edit: () => review.edit(),
  keepPatch: () => patches.decide("keep"),
  emptyPatch: () => patches.decide("empty"),
  skipPatch: () => patches.decide("skip"),
  undecidePatch: () => patches.takeBack(),
  nextPatch: () => patches.step(1),
  previousPatch: () => patches.step(-1),
  help: () => {
    byId("help").showModal();
    byId("help-title").focus(); // or it would open at its end, where the first control is
  },
};
for (const [action, [rows, cols]] of Object.entries(moves)) actions[action] = () => tools.move(rows, cols, cursor());

async function enter() {
  if (session.tool === "points") return tools.finish();
  if (!session.crosshair && !pointer.at) return tools.move(0, 0, cursor());
  const point = cursor();
  if (session.picker) return session.picker(point);
  const at = { x: point[1] + 0.5, y: point[0] + 0.5 };
  if (session.tool === "brush" || session.tool === "eraser") return tools.paint([point]);
  if (session.tool === "split") {
    if (session.line) return tools.drawLine(session.line[0], at);
    session.line = [at, at];
    return session.changed();
  }
  const object = tools.objectAt(point);
  if (object) return session.select([object.number]);
  tools.take(point);
  return tools.settle();
}

function screenOf([row, col]) {
  const { view } = session;
  return { x: (col + 0.5) * view.scale + view.x, y: (row + 0.5) * view.scale + view.y };
}

const needsImage = new Set(KEYMAP.map(({ action }) => action).filter((action) => action !== "help"));
const down = new Map(); // held actions by the key that holds them
let singleKeys = localStorage.getItem("singleKeys") !== "off";

function act(action, down = true) {
  if (needsImage.has(action) && !session.image && !["previousImage", "nextImage", "nextOpen"].includes(action)) return;
  Promise.resolve(actions[action]?.(down)).catch((error) => session.trouble(error.message));
}

addEventListener("keydown", (event) => {
  if (byId("help").open) return;
  const action = actionOf(event, active);
  if (!action || !(action in actions)) return;
  const field = event.target.closest?.("input, select, textarea, button, summary, [role=tab]");
  const single = !event.ctrlKey && !event.metaKey;
  if (field && takes(field, event)) return;
  if (single && !singleKeys && event.target !== drawing) return;
  // Tab leaves the picture unless a particle is there to have candidates.
  if (action === "candidate" && (event.target !== drawing || (session.selected.size !== 1 && !session.held))) return;
  event.preventDefault();
  if (ONCE.has(action) && event.repeat) return;
  if (HELD.has(action)) down.set(event.code, action);
  act(action);
});
// Whatever else is pressed meanwhile, or if the window is left: what was held is let go.
addEventListener("keyup", (event) => letGo(event.code));
// A choice made by pointer is over: keys are meant for the picture again.
let byPointer = false;
addEventListener("pointerdown", () => { byPointer = true; }, true);
addEventListener("keydown", () => { byPointer = false; }, true);
addEventListener("change", (event) => {
  if (byPointer && event.target.matches("select")) drawing.focus();
});
addEventListener("blur", () => [...down.keys()].forEach(letGo));

function letGo(code) {
  const action = down.get(code);
  if (action && down.delete(code)) act(action, false);
}

// Whether a control needs a key for itself.
function takes(field, { key, ctrlKey, metaKey }) {
  if (["Enter", " ", "Tab"].includes(key)) return true;
  if (!field.matches("input, select, textarea")) return false;
  if (field.type === "checkbox") return false;
  if (field.type === "range") return /^(Arrow|Page|Home|End)/.test(key);
  return field.matches("textarea, input") || !(ctrlKey || metaKey);
}
document.addEventListener("click", (event) => {
  const action = event.target.closest?.("[data-action]")?.dataset.action;
  if (action) act(action);
});

const place = (event) => {
  const box = drawing.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
};
const guarded = (promise) => Promise.resolve(promise).catch((error) => session.trouble(error.message));
drawing.addEventListener("pointerdown", (event) => {
  drawing.focus();
  drawing.setPointerCapture(event.pointerId);
  guarded(pointer.down(event, place(event)));
});
drawing.addEventListener("pointermove", (event) => {
  const at = place(event);
  pointer.move(at);
  if (!session.image) return;
  const [row, col] = pixelPoint(toImage(session.view, at)).map(Math.round);
  showPlace(row, col);
});
drawing.addEventListener("pointerup", () => guarded(pointer.up()));
drawing.addEventListener("pointercancel", () => pointer.cancel());
drawing.addEventListener("pointerleave", () => {
  pointer.leave();
  byId("place").textContent = "";
});
drawing.addEventListener("contextmenu", (event) => event.preventDefault());
drawing.addEventListener("wheel", (event) => {
  event.preventDefault();
  guarded(pointer.wheel(event, place(event)));
}, { passive: false });

let shownPlace = 0;

async function showPlace(row, col) {
  const asked = ++shownPlace;
  const pixels = await session.pictures.pixels(session.image.id, session.plane).catch(() => null);
  if (asked !== shownPlace || !pixels || !session.within([row, col])) return;
  byId("place").textContent = `row ${row}, column ${col}: ${pixels.values[row * pixels.width + col]}`;
}

new ResizeObserver(() => {
  if (!session.view || !session.image) return;
  if (session.view === session.fitted) session.fit();
  else session.look(session.view);
  session.changed();
}).observe(byId("stage"));

byId("help").append(helpContent(singleKeys, (on) => {
  singleKeys = on;
  localStorage.setItem("singleKeys", on ? "on" : "off");
}));

session.onImage = () => {
  session.marks = [];
  review.onImage();
  sequence.onImage();
  patches.onImage();
  results.onImage();
};
choose("annotate");
listen({
  onOpen: () => {
    if (connected) return;
    connected = true;
    session.changed();
    session.trouble("");
    guarded(session.again().then(() => Promise.all([train.refresh(), results.refresh()])));
  },
  onLost: () => {
    connected = false;
    session.changed();
    session.trouble("The studio does not answer; trying to reach it again");
  },
  onRefused: (error) => session.trouble(`This page is not let in any more: ${error.message}`),
  on: { ready: () => { session.folder.ready = true; }, image: (content) => guarded(session.heard(content)), training: () => train.refresh(), results: (content) => results.heard(content) },
});
addEventListener("beforeunload", (event) => {
  if (session.acts.waiting > 0 || session.held) event.preventDefault();
});
guarded(session.open());
