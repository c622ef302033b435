// The images as a sequence: a slider through time, the neighbours' outlines, and taking over
// what the image before has.

import { get } from "../api.js";
import { element } from "../dom.js";
import { keyOf } from "../keymap.js";

export const title = "Sequence";

export class Sequence {
  #session;
  #tools;
  #shown = false;

  constructor(session, tools) {
    this.#session = session;
    this.#tools = tools;
    this.slider = element("input", {
      type: "range", id: "time", min: 0, step: 1, value: 0,
      oninput: () => this.#tools.go(Number(this.slider.value)),
    });
    this.name = element("p", { className: "quiet" });
    this.onion = element("input", { type: "checkbox", id: "onion", onchange: () => this.toggle() });
    this.take = element("button", { data: { action: "propagate" } }, "Take over ", element("kbd", {}, keyOf("propagate")));
    this.panel = element("div", {},
      element("h2", {}, "Time"),
      element("label", { className: "row" }, "Image", this.slider),
      this.name,
      element("div", { className: "row" },
        element("button", { data: { action: "previousImage" } }, "Previous ", element("kbd", {}, keyOf("previousImage"))),
        element("button", { data: { action: "nextImage" } }, "Next ", element("kbd", {}, keyOf("nextImage"))),
        element("button", { data: { action: "nextOpen" } }, "Next open ", element("kbd", {}, keyOf("nextOpen")))),
      element("h2", {}, "Neighbours"),
      element("label", { className: "row" }, "Outlines of the image before and after", this.onion),
      element("p", { className: "quiet" }, "Dotted outlines are what is annotated in the images before and after this one."),
      element("h2", {}, "Propagate"),
      element("p", {}, "Take over the particles of the image before; each is sought anew where it was, and left out where it has gone."),
      element("div", { className: "row" }, this.take),
    );
  }

  toggle() {
    this.#shown = !this.#shown;
    this.onion.checked = this.#shown;
    return this.onImage();
  }

  async onImage() {
    const session = this.#session;
    const { index, images } = session;
    session.marks = session.marks.filter((mark) => mark.style !== "neighbour");
    session.changed();
    if (!this.#shown) return;
    const near = [images[index - 1], images[index + 1]].filter(Boolean);
    const found = await Promise.all(near.map(({ id }) => get(`/api/images/${id}`).catch(() => ({ objects: [] }))));
    if (session.index !== index || !this.#shown) return;
    session.marks.push(...found.flatMap(({ objects }) =>
      objects.map(({ rings }) => ({ rings, style: "neighbour" }))));
    session.changed();
  }

  propagate() {
    return this.#tools.inTurn(() => this.#propagate());
  }

  async #propagate() {
    const session = this.#session;
    const before = session.images[session.index - 1];
    if (!before) {
      session.trouble("There is no image before this one");
      return;
    }
    await session.flush();
    const answer = await session.do({ do: "propagate", source: before.id, plane: session.plane });
    if (!answer?.changed) return;
    const numbers = answer.changed.map((object) => object.number);
    session.announce(`${numbers.length} of the particles before were found again`);
    session.select(numbers);
  }

  update() {
    const { images, index, image } = this.#session;
    this.slider.max = Math.max(images.length - 1, 0);
    this.slider.value = index;
    this.slider.disabled = images.length < 2;
    this.name.textContent = image ? `${index + 1} of ${images.length}: ${image.name}` : "";
    this.take.disabled = !image || index < 1;
  }
}
