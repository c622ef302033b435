// Line charts as SVG. Series are told apart without colour: by dashes and by markers.
//
// lineChart({series: [{name, points: [[x, y], …], dash?, line?}], x: "epoch", y: "loss",
//            low?, high?, width?, height?})
// histogram({counts, edges, x, y, width?, height?})
// give the drawing; chartFigure(…the same…) gives it with its numbers in a table below. `low` and
// `high` fix the ends of the y axis; a y of null or NaN leaves a gap; `line: false` has only markers.

import { element } from "./dom.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const COLOURS = ["#56b4e9", "#f0b429", "#8fe0a8", "#e8a2cc"];
const DASHES = ["", "6 3", "2 3", "8 3 2 3"];
const TEXT_PX = 11;
const LETTER_PX = 6;
const MARKED = 12; // more markers than this only hide the line

export function chartFigure(options) {
  const { series, x } = options;
  const rows = new Map(series.flatMap(({ points }) => points.map(([at]) => [at, []])));
  for (const { points } of series) {
    const values = new Map(points);
    for (const [at, row] of rows) row.push(values.get(at));
  }
  const cells = (tag, texts) => element("tr", {}, ...texts.map((text) => element(tag, {}, text)));
  return element("figure", { className: "chart" }, lineChart(options),
    element("details", {}, element("summary", {}, "As a table"),
      element("table", {},
        element("thead", {}, cells("th", [x, ...series.map(({ name }) => name)])),
        element("tbody", {}, ...[...rows].sort(([a], [b]) => a - b).map(([at, row]) =>
          cells("td", [at, ...row].map(written)))))));
}

export function lineChart({ series, x, y, low, high, width = 262, height = 170 }) {
  const known = series.map((one) => ({ ...one, points: one.points.filter(([, value]) => Number.isFinite(value)) }));
  const all = known.flatMap(({ points }) => points);
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": summary(known, x, y) });
  const xs = extent(all.map(([at]) => at));
  const ys = extent(all.map(([, value]) => value), low, high);
  const whole = all.every(([at]) => Number.isInteger(at));
  const xTicks = ticks(xs, Math.max(2, Math.floor(width / 60)), whole);
  const yTicks = ticks(ys, Math.max(2, Math.floor(height / 40)));
  const step = yTicks.length > 1 ? yTicks[1] - yTicks[0] : 0; // the axis ends at a tick
  if (low === undefined && ys.low < yTicks[0]) yTicks.unshift((ys.low = yTicks[0] - step));
  if (high === undefined && ys.high > yTicks.at(-1)) yTicks.push((ys.high = yTicks.at(-1) + step));
  const rows = legendRows(known, y, width);
  const left = 10 + LETTER_PX * Math.max(...yTicks.map((tick) => written(tick).length));
  const box = { left, right: width - 10, top: 8 + 15 * rows.length, bottom: height - 32 };
  const place = ([at, value]) => [
    box.left + ((at - xs.low) / (xs.high - xs.low)) * (box.right - box.left),
    box.bottom - ((value - ys.low) / (ys.high - ys.low)) * (box.bottom - box.top),
  ];
  for (const tick of yTicks) {
    const [, at] = place([xs.low, tick]);
    svg.append(
      drawn("line", { x1: box.left, x2: box.right, y1: at, y2: at, stroke: "currentColor", "stroke-opacity": 0.22 }),
      words(written(tick), box.left - 4, at + 4, "end"));
  }
  for (const tick of xTicks) {
    const [at] = place([tick, ys.low]);
    svg.append(
      drawn("line", { x1: at, x2: at, y1: box.bottom, y2: box.bottom + 4, stroke: "currentColor" }),
      words(written(tick), at, box.bottom + 16, "middle"));
  }
  svg.append(
    drawn("path", { d: `M${box.left} ${box.top}V${box.bottom}H${box.right}`, fill: "none", stroke: "currentColor" }),
    words(x, (box.left + box.right) / 2, height - 3, "middle"));
  rows.forEach((row, index) => row.forEach(({ which, text, at }) => {
    const line = 11 + 15 * index;
    if (which !== null) svg.append(...sample(known[which], which, at, line - 4));
    svg.append(words(text, at + (which === null ? 0 : 28), line, "start"));
  }));
  known.forEach((one, which) => svg.append(...curve(one, which, series[which].points, place)));
  return svg;
}

// Bars of bins whose edges are ever the same ratio apart, on a logarithmic axis.
export function histogram({ counts, edges, x, y, width = 262, height = 170 }) {
  const most = Math.max(...counts);
  const all = counts.reduce((sum, count) => sum + count, 0);
  const peak = counts.indexOf(most);
  const svg = drawn("svg", {
    viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `${y} by ${x}: ${all} from ${written(edges[0])} to ${written(edges.at(-1))}, most of them from ${written(edges[peak])} to ${written(edges[peak + 1])}`,
  });
  const yTicks = ticks({ low: 0, high: most }, Math.max(2, Math.floor(height / 40)), true);
  const left = 10 + LETTER_PX * Math.max(...yTicks.map((tick) => written(tick).length));
  const box = { left, right: width - 10, top: 23, bottom: height - 32 };
  const [low, high] = [Math.log10(edges[0]), Math.log10(edges.at(-1))];
  const across = (value) => box.left + ((Math.log10(value) - low) / (high - low)) * (box.right - box.left);
  const up = (count) => box.bottom - (count / most) * (box.bottom - box.top);
  for (const tick of yTicks) {
    svg.append(
      drawn("line", { x1: box.left, x2: box.right, y1: up(tick), y2: up(tick), stroke: "currentColor", "stroke-opacity": 0.22 }),
      words(written(tick), box.left - 4, up(tick) + 4, "end"));
  }
  counts.forEach((count, bin) => {
    const [from, to] = [across(edges[bin]), across(edges[bin + 1])];
    svg.append(drawn("rect", { x: from, y: up(count), width: Math.max(to - from - 1, 0.5), height: box.bottom - up(count), fill: COLOURS[0] }));
  });
  for (const tick of decades(edges[0], edges.at(-1))) {
    svg.append(
      drawn("line", { x1: across(tick), x2: across(tick), y1: box.bottom, y2: box.bottom + 4, stroke: "currentColor" }),
      words(written(tick), across(tick), box.bottom + 16, "middle"));
  }
  svg.append(
    drawn("path", { d: `M${box.left} ${box.top}V${box.bottom}H${box.right}`, fill: "none", stroke: "currentColor" }),
    words(x, (box.left + box.right) / 2, height - 3, "middle"), words(y, 2, 11, "start"));
  return svg;
}

function decades(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    found.push(...[1, 2, 5].map((step) => step * 10 ** power).filter((tick) => tick >= low && tick <= high));
  }
  return found;
}

// The y axis's name, then each series with a sample of its line, as many to a row as there is room.
function legendRows(series, y, width) {
  const entries = [{ which: null, text: y }];
  if (series.length > 1) entries.push(...series.map(({ name }, which) => ({ which, text: name })));
  const rows = [[]];
  let at = 2;
  for (const entry of entries) {
    const wide = LETTER_PX * entry.text.length + (entry.which === null ? 12 : 40);
    if (at > 2 && at + wide - 12 > width) {
      rows.push([]);
      at = 2;
    }
    rows.at(-1).push({ ...entry, at });
    at += wide;
  }
  return rows;
}

const colour = (which) => COLOURS[which % COLOURS.length];
const strokeOf = (one, which) => ({
  fill: "none", stroke: colour(which), "stroke-width": 1.8, "stroke-dasharray": one.dash ?? DASHES[which % DASHES.length],
});

function sample(one, which, at, line) {
  const stroke = drawn("path", { d: `M${at} ${line}h22`, ...strokeOf(one, which) });
  return [...(one.line === false ? [] : [stroke]), marker(which, at + 11, line)];
}

function curve(one, which, points, place) {
  let pen = "M";
  const steps = points.map((point) => {
    if (!Number.isFinite(point[1])) {
      pen = "M";
      return "";
    }
    const step = pen + place(point).map((value) => value.toFixed(1)).join(" ");
    pen = "L";
    return step;
  });
  const every = one.line === false ? 1 : Math.ceil(one.points.length / MARKED);
  const last = one.points.length - 1;
  const marked = one.points.filter((_, index) => (last - index) % every === 0);
  const markers = marked.map((point) => marker(which, ...place(point)));
  return one.line === false ? markers : [drawn("path", { d: steps.join(""), ...strokeOf(one, which) }), ...markers];
}

function marker(which, x, y) {
  const shapes = ["m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z", "m-3-3h6v6h-6z", "m0-4l4 7h-8z", "m0-4l4 4l-4 4l-4-4z"];
  return drawn("path", { d: `M${x.toFixed(1)} ${y.toFixed(1)}${shapes[which % shapes.length]}`, fill: colour(which) });
}

function extent(values, low, high) {
  const found = { low: low ?? Math.min(...values), high: high ?? Math.max(...values) };
  if (!Number.isFinite(found.low) || !Number.isFinite(found.high)) return { low: low ?? 0, high: high ?? 1 };
  if (found.low < found.high) return found;
  const around = Math.abs(found.low) / 2 || 1;
  return { low: low ?? found.low - around, high: high ?? found.high + around };
}

function ticks({ low, high }, most, whole = false) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(power * [1, 2, 5, 10].find((each) => each * power >= rough * 0.999), whole ? 1 : 0);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-6); k * step <= high + 1e-6 * step; k += 1) found.push(k * step);
  return found;
}

function written(value) {
  if (typeof value !== "number") return value ?? "–";
  if (!Number.isFinite(value)) return "–";
  const small = value !== 0 && Math.abs(value) < 1e-3;
  return small ? value.toExponential(1).replace(".0e", "e") : String(Number(value.toPrecision(4)));
}

function summary(series, x, y) {
  const newest = series.filter(({ points }) => points.length > 0).map(({ name, points }) =>
    `${name} ${written(points.at(-1)[1])} at ${x} ${written(points.at(-1)[0])}`);
  return `${y} against ${x}. ${newest.length > 0 ? `Newest: ${newest.join("; ")}.` : "Nothing yet."}`;
}

function words(text, x, y, anchor) {
  const made = drawn("text", { x, y, "text-anchor": anchor, "font-size": TEXT_PX, fill: "currentColor" });
  made.textContent = text;
  return made;
}

function drawn(tag, attributes) {
  const made = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
