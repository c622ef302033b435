// What a run has found in an image, as the stage draws it: outlines, and trails of dots.

import { holds, ringsPath } from "./outlines.js";

const REACH = 8; // CSS pixels from a particle's middle that still mean it

// Layers for the stage; a new list is another drawing.
export function layersOf({ rings, trails }) {
  const layers = [];
  for (const [style, sign] of [["earlier", -1], ["later", 1]]) {
    const dots = trails.filter(({ by }) => by * sign > 0);
    const points = dots.flatMap(({ by, points: flat }) => pairs(flat).map(([row, col]) => [row, col, Math.abs(by)]));
    if (points.length > 0) layers.push({ style, points, count: points.length });
  }
  if (rings.length > 0) layers.push({ style: "found", path: ringsPath(rings.flat()), count: rings.length });
  return layers;
}

// The particle at a point: the one that holds it, or whose middle is near on the screen.
export function particleAt({ rows, rings, columns }, [row, col], scale) {
  const at = { x: col + 0.5, y: row + 0.5 };
  const inside = rings.findIndex((each) => holds(each, at));
  if (inside >= 0) return rows[inside][0];
  const [y, x] = [columns.indexOf("y_px"), columns.indexOf("x_px")];
  let [nearest, closest] = [null, REACH / scale];
  for (const each of rows) {
    const distance = Math.hypot(each[y] - row, each[x] - col);
    if (distance < closest) [nearest, closest] = [each[0], distance];
  }
  return nearest;
}

export function pointOf({ rows, columns }, number) {
  const row = rows.find((each) => each[0] === number);
  return [row[columns.indexOf("y_px")], row[columns.indexOf("x_px")]];
}

function pairs(flat) {
  const found = [];
  for (let k = 0; k < flat.length; k += 2) found.push([flat[k], flat[k + 1]]);
  return found;
}
