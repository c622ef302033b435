// The points of a contour that a hand can take hold of. Pure: told by the session as it is.

import { anchors } from "./outlines.js";

export const FROM_SCALE = 6; // screen pixels to a pixel; below, they would hide the particle

export function handlesOf({ tool, points, excluded, view, held, selected, objects, recipes, picker }) {
  if (picker) return [];
  if (tool === "points") return [...marked(points, "point"), ...marked(excluded, "exclude")];
  if (tool !== "click" || view === null || view.scale < FROM_SCALE || selected.size !== 1) return [];
  const [number] = selected;
  const object = objects.get(number);
  if (!object) return [];
  const mended = held?.number === number ? held : null;
  const gesture = (mended ?? recipes.get(number))?.gesture;
  const { rings, area_px } = mended ? mended.levels[mended.index] : object;
  const along = gesture?.kind === "points" ? gesture.points : anchors(rings, Math.min(Math.max(Math.round(Math.sqrt(area_px)), 4), 10));
  return [
    ...marked(along, "point"),
    ...marked(gesture?.exclude ?? [], "exclude"),
    ...marked(gesture?.include ?? [], "include"),
  ];
}

function marked(points, kind) {
  return points.map((point) => ({ kind, point }));
}
