// Outlines of objects: a light line on a wider dark one, to be seen on any ground by anybody.
// Kinds differ by dashes and width as well as by colour (Okabe and Ito's).

export const STYLES = {
  particle: { colour: "#ffffff", width: 1.4, dash: [] },
  ignore: { colour: "#f0e442", width: 1.4, dash: [5, 3] },
  selectedIgnore: { colour: "#56b4e9", width: 2.4, dash: [5, 3] },
  selected: { colour: "#56b4e9", width: 2.4, dash: [] },
  ghost: { colour: "#ffffff", width: 1.2, dash: [2, 2] },
  pending: { colour: "#56b4e9", width: 2, dash: [] },
  proposal: { colour: "#e69f00", width: 2, dash: [6, 2] },
  neighbour: { colour: "#e79fc8", width: 1.6, dash: [2, 2] },
  patch: { colour: "#5fdcab", width: 2.2, dash: [] },
  found: { colour: "#5fdcab", width: 2, dash: [8, 3] },
  "found-chosen": { colour: "#5fdcab", width: 4, dash: [] },
};

// Trails of frames before and after: full discs and open triangles, smaller with distance in time.
const TRAILS = {
  earlier: { colour: "#e69f00", full: true, draw: (path, x, y, r) => path.arc(x, y, r, 0, 2 * Math.PI) },
  later: {
    colour: "#9ad4f5", full: false, draw: (path, x, y, r) => {
      path.lineTo(x - 1.3 * r, y + r);
      path.lineTo(x + 1.3 * r, y + r);
      path.lineTo(x, y - 1.3 * r);
      path.closePath();
    },
  },
};

export function ringsPath(rings, path = new Path2D()) {
  for (const ring of rings) {
    path.moveTo(ring[1], ring[0]);
    for (let k = 2; k < ring.length; k += 2) path.lineTo(ring[k + 1], ring[k]);
    path.closePath();
  }
  return path;
}

export function box(rings) {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const ring of rings) {
    for (let k = 0; k < ring.length; k += 2) {
      y0 = Math.min(y0, ring[k]);
      y1 = Math.max(y1, ring[k]);
      x0 = Math.min(x0, ring[k + 1]);
      x1 = Math.max(x1, ring[k + 1]);
    }
  }
  return { x0, y0, x1, y1 };
}

export function stroke(context, path, style, scale, opacity = 1) {
  const { colour, width, dash } = STYLES[style];
  context.save();
  context.globalAlpha = opacity;
  context.lineJoin = "round";
  context.strokeStyle = "#000000";
  context.lineWidth = (width + 2) / scale;
  context.stroke(path);
  context.strokeStyle = colour;
  context.lineWidth = width / scale;
  context.setLineDash(dash.map((length) => length / scale));
  context.stroke(path);
  context.restore();
}

export function strokeTrail(context, points, style, scale, opacity = 1) {
  const { colour, full, draw } = TRAILS[style];
  const path = new Path2D();
  for (const [row, col, by] of points) {
    const radius = Math.max(1.4, 3.2 - 0.4 * by) / scale;
    path.moveTo(col + 0.5 + (full ? radius : -1.3 * radius), row + 0.5 + (full ? 0 : radius));
    draw(path, col + 0.5, row + 0.5, radius);
  }
  context.save();
  context.globalAlpha = opacity;
  context.strokeStyle = "#000000";
  context.lineWidth = (full ? 2 : 3) / scale;
  context.stroke(path);
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = 1.4 / scale;
  if (full) context.fill(path);
  else context.stroke(path);
  context.restore();
}

// Whether a point lies within an odd number of rings.
export function holds(rings, { x, y }) {
  let inside = false;
  for (const ring of rings) {
    for (let k = 0, before = ring.length - 2; k < ring.length; before = k, k += 2) {
      const [y0, x0, y1, x1] = [ring[before], ring[before + 1], ring[k], ring[k + 1]];
      if (y0 > y !== y1 > y && x < ((x1 - x0) * (y - y0)) / (y1 - y0) + x0) inside = !inside;
    }
  }
  return inside;
}

// Some points along the longest ring, evenly, in pixel coordinates (centres at integers).
export function anchors(rings, count) {
  const ring = rings.reduce((one, other) => (other.length > one.length ? other : one), rings[0]);
  const corners = [];
  for (let k = 0; k < ring.length; k += 2) corners.push([ring[k] - 0.5, ring[k + 1] - 0.5]);
  const lengths = corners.map((corner, k) => {
    const next = corners[(k + 1) % corners.length];
    return Math.hypot(next[0] - corner[0], next[1] - corner[1]);
  });
  const whole = lengths.reduce((sum, length) => sum + length, 0);
  const found = [];
  let [at, walked] = [0, 0];
  for (let k = 0; k < count; k += 1) {
    const goal = ((k + 0.5) * whole) / count;
    while (walked + lengths[at] < goal) {
      walked += lengths[at];
      at += 1;
    }
    const part = (goal - walked) / lengths[at];
    const next = corners[(at + 1) % corners.length];
    found.push([
      corners[at][0] + part * (next[0] - corners[at][0]),
      corners[at][1] + part * (next[1] - corners[at][1]),
    ]);
  }
  return found;
}
