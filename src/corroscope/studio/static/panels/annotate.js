// The tools, how the picture is shown, and export.

import { get, post } from "../api.js";
import { command, element } from "../dom.js";
import { keyOf } from "../keymap.js";

const TOOLS = [["click", "Click"], ["points", "Contour"], ["brush", "Brush"], ["eraser", "Eraser"], ["split", "Cut"]];
const DEEDS = [["merge", "Merge"], ["ignore", "Ignore"], ["remove", "Delete"]];

export const title = "Annotate";

export function make(session, tools) {
  const buttons = TOOLS.map(([tool, label]) =>
    element("button", {
      className: "tool", onclick: () => tools.use(tool), data: { tool }, "aria-pressed": "false",
      "aria-keyshortcuts": tool === "click" ? "Escape" : keyOf(tool),
    }, label));
  const deeds = DEEDS.map(([deed, label]) =>
    element("button", { onclick: () => tools.several(deed), data: { deed } }, label));
  const facts = element("dl");
  const done = element("button", { className: "primary", data: { action: "done" } }, "Done with this image ");
  done.append(element("kbd", {}, keyOf("done")));
  const plane = element("select", {
    id: "plane",
    onchange: async () => {
      session.plane = plane.value;
      session.window[plane.value] ??= null;
      await session.show(plane.value);
      fillWindow();
    },
  }, element("option", { value: "frame" }, "frame"), element("option", { value: "difference" }, "difference"));
  const [low, high, opacity] = ["darkest", "brightest", "outlines"].map((name) =>
    element("input", { type: "range", id: name, step: "any" }));
  opacity.min = 0;
  opacity.max = 1;
  opacity.value = 1;
  opacity.addEventListener("input", () => {
    session.opacity = Number(opacity.value);
    session.changed();
  });
  const onWindow = async () => {
    const [from, to] = [Number(low.value), Number(high.value)];
    session.window[session.plane] = { low: Math.min(from, to - 1), high: Math.max(to, from + 1) };
    await session.show(session.plane);
  };
  low.addEventListener("change", onWindow);
  high.addEventListener("change", onWindow);
  const auto = element("button", {
    onclick: async () => {
      session.window[session.plane] = null;
      await session.show(session.plane);
      await fillWindow();
    },
  }, "Automatic");
  let shownFor = "";
  async function fillWindow() {
    if (!session.image) return;
    const { id } = session.image;
    const pixels = await session.pictures.pixels(id, session.plane).catch(() => null);
    if (!pixels || session.image?.id !== id) return;
    const top = pixels.values instanceof Uint8Array ? 255 : pixels.values instanceof Uint16Array ? 65535 : pixels.brightest;
    const bottom = pixels.values instanceof Float32Array ? pixels.darkest : 0;
    const window = session.window[session.plane] ?? { low: pixels.darkest, high: pixels.brightest };
    for (const [slider, value] of [[low, window.low], [high, window.high]]) {
      slider.min = bottom;
      slider.max = top;
      slider.value = value;
    }
  }
  const format = element("select", { id: "format" });
  const exported = element("div", { role: "status" });
  const exportButton = element("button", {
    id: "export",
    onclick: async () => {
      await session.flush();
      try {
        const answer = await post("/api/export", { format: format.value });
        exported.replaceChildren(
          element("p", {}, `${answer.objects} objects of ${answer.images} images are in ${answer.out}/, read back and compared.`),
          ...answer.losses.map((loss) => element("p", {}, `Note: ${loss}`)),
          command(answer.command),
        );
      } catch (error) {
        exported.replaceChildren(element("p", {}, error.message));
      }
    },
  }, "Export");
  const named = (text, input) => element("label", { className: "row" }, text, input);
  const panel = element("div", {},
    element("h2", {}, "Tools"),
    element("div", { className: "row", role: "group", "aria-label": "Tools" }, ...buttons),
    element("div", { className: "row", role: "group", "aria-label": "Selected particles" }, ...deeds),
    facts,
    element("div", { className: "row" }, done),
    element("h2", {}, "Picture"),
    named("Shown and clicked on", plane),
    named("Darkest", low),
    named("Brightest", high),
    named("Outlines", opacity),
    element("div", { className: "row" }, auto),
    element("p", { className: "quiet" }, "Brightness is for the eye; it changes nothing that is computed."),
    element("h2", {}, "Export"),
    element("div", { className: "row" }, element("label", { htmlFor: "format" }, "Format"), format, exportButton),
    exported,
  );
  function update() {
    const { image, selected, objects } = session;
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.tool === session.tool));
      button.disabled = !image;
    }
    for (const button of deeds) button.disabled = selected.size < (button.dataset.deed === "merge" ? 2 : 1);
    done.disabled = !image;
    plane.value = session.plane;
    plane.options[1].disabled = !image?.difference;
    if (format.options.length === 0 && session.folder) {
      format.append(...session.folder.formats.map((name) => element("option", { value: name }, name)));
      format.value = "coco";
    }
    if (image && shownFor !== `${image.id}/${session.plane}`) {
      shownFor = `${image.id}/${session.plane}`;
      fillWindow();
    }
    const chosen = [...selected].map((number) => objects.get(number)).filter(Boolean);
    const of = (label) => [...objects.values()].filter((object) => object.label === label).length;
    const rows = image ? [["Particles", of("particle")], ["Ignored", of("ignore")]] : [];
    if (chosen.length === 1) {
      rows.push(["Selected", `${chosen[0].label} ${chosen[0].number}`], ["Area", `${chosen[0].area_px} px`]);
    } else if (chosen.length > 1) {
      rows.push(["Selected", chosen.length]);
    }
    facts.replaceChildren(...rows.flatMap(([term, value]) => [element("dt", {}, term), element("dd", {}, String(value))]));
  }
  return { panel, update };
}
