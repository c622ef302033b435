// Drawing: a snapshot of what is to be seen, onto two canvases. Below the picture with the
// objects, which changes with the view; above what follows the pointer.

import { box, ringsPath, stroke, strokeTrail } from "./outlines.js";
import { cornerPoint, toScreen, visible } from "./view.js";

const MARGIN = 160; // CSS pixels round the stage in which outlines are drawn beforehand
const IDLE_MS = 90;
const MINIMAP = 130;

export class Stage {
  #below;
  #above;
  #outlines = document.createElement("canvas");
  #drawnFor = null; // the view and objects that the outlines were drawn for
  #wanted = null;
  #late = 0;
  #frame = 0;

  constructor(below, above) {
    this.#below = below;
    this.#above = above;
  }

  get size() {
    return { width: this.#above.clientWidth, height: this.#above.clientHeight };
  }

  // Draw at the next frame of the screen; the last snapshot before it counts.
  show(snapshot) {
    this.#wanted = snapshot;
    if (this.#frame === 0) {
      this.#frame = requestAnimationFrame(() => {
        this.#frame = 0;
        this.#draw(this.#wanted);
      });
    }
  }

  // Draw what follows the pointer at once: it is little, and it is waited for.
  showAbove(snapshot) {
    this.#wanted = snapshot;
    if (this.#frame !== 0) return; // all is drawn in a moment
    this.#drawAbove(snapshot, window.devicePixelRatio || 1);
    this.#tell(snapshot);
  }

  // Whoever measures how quickly the page answers waits for this.
  #tell(snapshot) {
    this.#above.dispatchEvent(new CustomEvent("drawn", { detail: snapshot }));
  }

  #draw(snapshot) {
    const ratio = window.devicePixelRatio || 1;
    const { width, height } = this.size;
    for (const canvas of [this.#below, this.#above]) {
      if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
      }
    }
    this.#drawBelow(snapshot, ratio);
    this.#drawAbove(snapshot, ratio);
    this.#tell(snapshot);
  }

  #drawBelow(snapshot, ratio) {
    const { view, bitmap, image } = snapshot;
    const context = this.#below.getContext("2d", { alpha: false });
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = "#0a0d10";
    context.fillRect(0, 0, this.size.width, this.size.height);
    if (!bitmap) return;
    const part = visible(view, image, this.size);
    const [across, down] = [part.x1 - part.x0, part.y1 - part.y0];
    if (across <= 0 || down <= 0) return;
    context.imageSmoothingEnabled = view.scale < 2; // close by, pixels are pixels
    const corner = toScreen(view, { x: part.x0, y: part.y0 });
    context.drawImage(
      bitmap, part.x0, part.y0, across, down,
      corner.x, corner.y, across * view.scale, down * view.scale,
    );
    if (snapshot.opacity > 0) this.#drawOutlines(snapshot, context, ratio);
  }

  // Thousands of outlines take longer than a frame: they are drawn once with a margin, moved and
  // stretched with the view, and drawn anew when it rests.
  #drawOutlines(snapshot, context, ratio) {
    const { view, objects, selected, hidden, opacity, layers } = snapshot;
    const key = { view, version: snapshot.version, selected, hidden, opacity, layers, ratio };
    const last = this.#drawnFor;
    const stale =
      !last || last.version !== key.version || last.selected !== selected ||
      last.hidden !== hidden || last.opacity !== opacity || last.layers !== layers || last.ratio !== ratio ||
      last.width !== this.size.width || last.height !== this.size.height;
    const moved = last && last.view !== view;
    const count = layers.reduce((sum, layer) => sum + layer.count, objects.size);
    if (stale || (moved && count <= 200)) {
      this.#paintOutlines(snapshot, key, ratio);
    } else if (moved) {
      clearTimeout(this.#late);
      this.#late = setTimeout(() => {
        if (this.#drawnFor.view !== this.#wanted.view) {
          this.#drawnFor = null;
          this.show(this.#wanted);
        }
      }, IDLE_MS);
    }
    const drawn = this.#drawnFor;
    const stretch = view.scale / drawn.view.scale;
    context.drawImage(
      this.#outlines,
      view.x - drawn.view.x * stretch - MARGIN * stretch,
      view.y - drawn.view.y * stretch - MARGIN * stretch,
      (this.#outlines.width / ratio) * stretch,
      (this.#outlines.height / ratio) * stretch,
    );
  }

  #paintOutlines(snapshot, key, ratio) {
    const { view, objects, selected, hidden, opacity, layers } = snapshot;
    const canvas = this.#outlines;
    const [width, height] = [this.size.width + 2 * MARGIN, this.size.height + 2 * MARGIN];
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.setTransform(
      view.scale * ratio, 0, 0, view.scale * ratio,
      (view.x + MARGIN) * ratio, (view.y + MARGIN) * ratio,
    );
    const low = { x: (-view.x - MARGIN) / view.scale, y: (-view.y - MARGIN) / view.scale };
    const high = { x: low.x + width / view.scale, y: low.y + height / view.scale };
    const styles = ["particle", "ignore", "selected", "selectedIgnore"];
    const paths = Object.fromEntries(styles.map((style) => [style, new Path2D()]));
    for (const object of objects.values()) {
      if (hidden.has(object.number)) continue;
      object.box ??= box(object.rings);
      const { x0, y0, x1, y1 } = object.box;
      if (x1 < low.x || x0 > high.x || y1 < low.y || y0 > high.y) continue;
      const chosen = object.label === "ignore" ? "selectedIgnore" : "selected";
      ringsPath(object.rings, paths[selected.has(object.number) ? chosen : object.label]);
    }
    for (const { style, path, points } of layers) {
      if (path) stroke(context, path, style, view.scale, opacity);
      else strokeTrail(context, points, style, view.scale, opacity);
    }
    for (const [style, path] of Object.entries(paths)) {
      stroke(context, path, style, view.scale, opacity);
    }
    this.#drawnFor = { ...key, width: this.size.width, height: this.size.height };
  }

  #drawAbove(snapshot, ratio) {
    const { view, image, crosshair, handles, brush, line } = snapshot;
    const context = this.#above.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.#above.width, this.#above.height);
    if (!image) return;
    const toPicture = () =>
      context.setTransform(view.scale * ratio, 0, 0, view.scale * ratio, view.x * ratio, view.y * ratio);
    toPicture();
    for (const { rings, style } of snapshot.shapes) {
      stroke(context, ringsPath(rings), style, view.scale);
    }
    for (const [row, col] of brush.pixels) {
      context.fillStyle = brush.erase ? "rgb(0 0 0 / 60%)" : "rgb(86 180 233 / 70%)";
      context.fillRect(col, row, 1, 1);
    }
    if (line) {
      const path = new Path2D();
      path.moveTo(line[0].x, line[0].y);
      path.lineTo(line[1].x, line[1].y);
      stroke(context, path, "pending", view.scale);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    for (const handle of handles) drawHandle(context, toScreen(view, cornerPoint(handle.point)), handle);
    if (crosshair) drawCrosshair(context, toScreen(view, cornerPoint(crosshair)));
    drawScaleBar(context, view, snapshot.pixelSizeUm, this.size);
    drawMinimap(context, snapshot, this.size);
  }
}

function drawHandle(context, { x, y }, { kind }) {
  context.beginPath();
  if (kind === "exclude") {
    context.moveTo(x - 4, y - 4);
    context.lineTo(x + 4, y + 4);
    context.moveTo(x + 4, y - 4);
    context.lineTo(x - 4, y + 4);
  } else if (kind === "include") {
    context.moveTo(x - 5, y);
    context.lineTo(x + 5, y);
    context.moveTo(x, y - 5);
    context.lineTo(x, y + 5);
  } else {
    context.arc(x, y, 4, 0, 2 * Math.PI);
  }
  context.lineWidth = 4;
  context.strokeStyle = "#000000";
  context.stroke();
  context.lineWidth = 2;
  context.strokeStyle = kind === "exclude" ? "#e69f00" : "#ffffff";
  context.stroke();
}

function drawCrosshair(context, { x, y }) {
  context.beginPath();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    context.moveTo(x + 4 * dx, y + 4 * dy);
    context.lineTo(x + 16 * dx, y + 16 * dy);
  }
  context.lineWidth = 4;
  context.strokeStyle = "#000000";
  context.stroke();
  context.lineWidth = 1.6;
  context.strokeStyle = "#ffffff";
  context.stroke();
}

function drawScaleBar(context, view, pixelSizeUm, size) {
  const unit = pixelSizeUm ? "µm" : "px";
  const perUnit = pixelSizeUm ? view.scale / pixelSizeUm : view.scale;
  const wanted = 120 / perUnit;
  const power = 10 ** Math.floor(Math.log10(wanted));
  const length = [5, 2, 1].map((step) => step * power).find((step) => step <= wanted) ?? power;
  const [x, y] = [16, size.height - 22];
  const text = `${Number(length.toPrecision(3))} ${unit}`;
  context.font = "600 13px system-ui, sans-serif";
  const width = Math.max(length * perUnit, context.measureText(text).width);
  context.fillStyle = "rgb(10 13 16 / 80%)";
  context.fillRect(x - 7, y - 22, width + 14, 34);
  context.fillStyle = "#ffffff";
  context.fillRect(x, y, length * perUnit, 4);
  context.fillText(text, x, y - 6);
}

function drawMinimap(context, { view, image, bitmap }, size) {
  const part = visible(view, image, size);
  if (!bitmap || (part.x1 - part.x0 >= image.width && part.y1 - part.y0 >= image.height)) return;
  const scale = MINIMAP / Math.max(image.width, image.height);
  const [width, height] = [image.width * scale, image.height * scale];
  const [x, y] = [size.width - width - 12, size.height - height - 12];
  context.fillStyle = "#000000";
  context.fillRect(x - 2, y - 2, width + 4, height + 4);
  context.drawImage(smaller(bitmap, width, height), x, y, width, height);
  context.lineWidth = 3;
  context.strokeStyle = "#000000";
  const frame = [
    x + part.x0 * scale, y + part.y0 * scale,
    Math.max((part.x1 - part.x0) * scale, 3), Math.max((part.y1 - part.y0) * scale, 3),
  ];
  context.strokeRect(...frame);
  context.lineWidth = 1.5;
  context.strokeStyle = "#f0e442";
  context.strokeRect(...frame);
}

const small = new WeakMap();

function smaller(bitmap, width, height) {
  if (!small.has(bitmap)) {
    const canvas = document.createElement("canvas");
    canvas.width = Math.ceil(width);
    canvas.height = Math.ceil(height);
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    small.set(bitmap, canvas);
  }
  return small.get(bitmap);
}
