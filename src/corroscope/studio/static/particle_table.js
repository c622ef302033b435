// A table of any number of particles, of which only the rows in sight exist. One row is chosen.

import { element } from "./dom.js";

const ROW = 24; // CSS pixels, as in the style sheet
const BEYOND = 10; // rows above and below those in sight

// What people call a column, and how many decimals tell something.
const SHOWN = {
  particle: ["no.", 0],
  area_px: ["area", 0],
  area_um2: ["area", 2],
  equivalent_diameter_px: ["diameter", 1],
  equivalent_diameter_um: ["diameter", 2],
  contrast: ["contrast", 2],
  score: ["score", 2],
  eccentricity: ["ecc.", 2],
  y_px: ["row", 1],
  x_px: ["column", 1],
};

export class ParticleTable {
  #columns = [];
  #rows = [];
  #order = []; // places in rows, as sorted
  #sorted = { column: 0, down: false };
  #chosen = null; // number of the particle
  #drawn = "";
  #onChoose;

  constructor(onChoose) {
    this.#onChoose = onChoose;
    this.head = element("tr", { "aria-rowindex": 1 });
    this.body = element("tbody", { onkeydown: (event) => this.#key(event), onclick: (event) => this.#click(event) });
    this.table = element("table", { role: "grid", "aria-label": "Particles of this image" },
      element("thead", {}, this.head), this.body);
    this.room = element("div", {}, this.table);
    this.box = element("div", { className: "particles", onscroll: () => this.#draw() }, this.room);
    new ResizeObserver(() => this.#draw()).observe(this.box);
  }

  get chosen() {
    return this.#chosen;
  }

  // Other particles; which one is chosen is forgotten.
  show(columns, rows) {
    this.#columns = columns;
    this.#rows = rows;
    this.#chosen = null;
    this.#sorted.column = Math.min(this.#sorted.column, Math.max(columns.length - 1, 0));
    this.head.replaceChildren(...columns.map((column, index) => this.#heading(column, index)));
    this.table.setAttribute("aria-rowcount", rows.length + 1);
    this.#sort();
  }

  // Choose a particle and bring its row into sight; none with null.
  choose(number) {
    this.#chosen = number;
    const at = this.#order.findIndex((place) => this.#rows[place][0] === number);
    if (at >= 0) this.#reveal(at);
    this.#drawn = "";
    this.#draw();
  }

  // The particle that is so many rows further than the chosen one.
  beside(by) {
    const { length } = this.#order;
    if (length === 0) return null;
    const at = this.#order.findIndex((place) => this.#rows[place][0] === this.#chosen);
    const next = at < 0 ? (by > 0 ? 0 : length - 1) : (at + by + length) % length;
    return this.#rows[this.#order[next]][0];
  }

  #heading({ name, unit, meaning }, index) {
    const [label] = SHOWN[name];
    return element("th", { scope: "col", "aria-sort": "none" },
      element("button", {
        title: meaning, onclick: () => {
          const { column, down } = this.#sorted;
          this.#sorted = { column: index, down: column === index && !down };
          this.#sort();
        },
      }, label, element("span", { className: "quiet" }, unit)));
  }

  #sort() {
    const { column, down } = this.#sorted;
    const value = (place) => this.#rows[place][column] ?? Infinity; // what is unknown comes last
    this.#order = [...this.#rows.keys()].sort((a, b) => (down ? value(b) - value(a) : value(a) - value(b)) || a - b);
    [...this.head.children].forEach((heading, index) => {
      const order = index !== column ? "none" : down ? "descending" : "ascending";
      heading.setAttribute("aria-sort", order);
    });
    this.box.scrollTop = 0;
    this.choose(this.#chosen);
  }

  #reveal(at) {
    const room = this.box.clientHeight - this.head.offsetHeight - ROW;
    const top = at * ROW;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top > this.box.scrollTop + room) this.box.scrollTop = top - room;
  }

  // The rows in sight, between two empty spaces as high as the others would be.
  #draw() {
    const { length } = this.#order;
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - BEYOND);
    const last = Math.min(length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / ROW) + BEYOND);
    const drawn = `${first} ${last} ${length}`;
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const focused = this.body.contains(document.activeElement);
    const shown = this.#order.slice(first, last);
    const entry = shown.some((place) => this.#rows[place][0] === this.#chosen) ? this.#chosen : this.#rows[shown[0]]?.[0];
    this.room.style.paddingTop = `${first * ROW}px`;
    this.room.style.paddingBottom = `${(length - last) * ROW}px`;
    this.body.replaceChildren(...shown.map((place, index) => this.#row(this.#rows[place], first + index, entry)));
    if (focused) this.body.querySelector("[tabindex='0']")?.focus({ preventScroll: true });
  }

  #row(row, at, entry) {
    const chosen = row[0] === this.#chosen;
    return element("tr", {
      "aria-rowindex": at + 2, "aria-selected": String(chosen), tabIndex: row[0] === entry ? 0 : -1, data: { particle: row[0] },
    }, ...row.map((value, index) => element("td", {}, written(value, this.#columns[index].name))));
  }

  #click(event) {
    const row = event.target.closest("tr");
    if (row) this.#take(Number(row.dataset.particle));
  }

  #key(event) {
    const page = Math.max(1, Math.floor(this.box.clientHeight / ROW) - 2);
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    const on = Number(event.target.closest("tr").dataset.particle);
    if (by === undefined && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation(); // the arrows are not meant for the picture
    const at = this.#order.findIndex((place) => this.#rows[place][0] === on);
    const next = Math.min(Math.max(at + (by ?? 0), 0), this.#order.length - 1);
    this.#take(this.#rows[this.#order[next]][0]);
  }

  #take(number) {
    this.choose(number);
    this.body.querySelector("[tabindex='0']")?.focus({ preventScroll: true });
    this.#onChoose(number);
  }
}

function written(value, name) {
  return value === null ? "–" : value.toFixed(SHOWN[name][1]);
}
