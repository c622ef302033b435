// Where the picture lies on the screen. Pure: every function returns a new view.
//
// Image coordinates are those of pixel corners, column x and row y: pixel (0, 0) reaches from 0
// to 1. A screen point is image point × scale + offset, in CSS pixels.

export const LARGEST_SCALE = 64;

export function fit(image, stage) {
  const scale = Math.min(stage.width / image.width, stage.height / image.height) * 0.98;
  return centred({ x: image.width / 2, y: image.height / 2 }, Math.min(scale, 16), stage);
}

export function centred(point, scale, stage) {
  return {
    scale,
    x: stage.width / 2 - point.x * scale,
    y: stage.height / 2 - point.y * scale,
  };
}

export function toImage(view, screen) {
  return { x: (screen.x - view.x) / view.scale, y: (screen.y - view.y) / view.scale };
}

export function toScreen(view, point) {
  return { x: point.x * view.scale + view.x, y: point.y * view.scale + view.y };
}

export function panned(view, dx, dy) {
  return { ...view, x: view.x + dx, y: view.y + dy };
}

export function zoomed(view, factor, at, smallest) {
  const scale = Math.min(Math.max(view.scale * factor, smallest), LARGEST_SCALE);
  const ratio = scale / view.scale;
  return { scale, x: at.x - (at.x - view.x) * ratio, y: at.y - (at.y - view.y) * ratio };
}

// No part of the way may lead out of sight of the picture.
export function kept(view, image, stage) {
  const within = (offset, length, room) =>
    Math.min(Math.max(offset, Math.min(room / 2, room - length - room / 2)), Math.max(room / 2, 0));
  return {
    scale: view.scale,
    x: within(view.x, image.width * view.scale, stage.width),
    y: within(view.y, image.height * view.scale, stage.height),
  };
}

export function visible(view, image, stage) {
  const low = toImage(view, { x: 0, y: 0 });
  const high = toImage(view, { x: stage.width, y: stage.height });
  return {
    x0: Math.max(0, Math.floor(low.x)),
    y0: Math.max(0, Math.floor(low.y)),
    x1: Math.min(image.width, Math.ceil(high.x)),
    y1: Math.min(image.height, Math.ceil(high.y)),
  };
}

// Row and column with pixel centres at integers, as the engine counts.
export function pixelPoint(point) {
  return [point.y - 0.5, point.x - 0.5];
}

export function cornerPoint([row, col]) {
  return { x: col + 0.5, y: row + 0.5 };
}
