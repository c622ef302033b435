// Pixels of images, and the bitmap that a brightness window makes of them. The window is for the
// eye alone: the engine always works on the pixels as they are.

import { getPixels } from "./api.js";

const KEPT = 8;

export class Pictures {
  #pixels = new Map(); // "id/plane" → promise of {height, width, values, darkest, brightest}
  #bitmaps = new Map();

  pixels(id, plane) {
    return remembered(this.#pixels, `${id}/${plane}`, async () => {
      const pixels = await getPixels(`/api/images/${id}/pixels/${plane}`);
      return { ...pixels, ...usualWindow(pixels.values, plane) };
    });
  }

  async bitmap(id, plane, chosen) {
    const pixels = await this.pixels(id, plane);
    const window = chosen ?? { low: pixels.darkest, high: pixels.brightest };
    const key = `${id}/${plane}/${window.low}/${window.high}`;
    return remembered(this.#bitmaps, key, () => createImageBitmap(painted(pixels, window)));
  }
}

function remembered(map, key, make) {
  let promise = map.get(key);
  if (promise === undefined) {
    promise = make();
    promise.catch(() => map.delete(key));
    if (map.size >= KEPT) map.delete(map.keys().next().value);
  } else {
    map.delete(key); // to the end: it was used last
  }
  map.set(key, promise);
  return promise;
}

// From the 0.1 % to the 99.9 % quantile of every 97th pixel; a difference keeps its zero in the middle.
function usualWindow(values, plane) {
  const some = new Float64Array(Math.ceil(values.length / 97));
  for (let k = 0; k < some.length; k += 1) some[k] = values[k * 97];
  some.sort();
  let darkest = some[Math.floor(some.length * 0.001)];
  let brightest = some[Math.floor((some.length - 1) * 0.999)];
  if (plane === "difference" && values instanceof Uint8Array) {
    const reach = Math.max(128 - darkest, brightest - 128, 16);
    darkest = 128 - reach;
    brightest = 128 + reach;
  }
  if (brightest <= darkest) brightest = darkest + 1;
  return { darkest, brightest };
}

function painted({ height, width, values }, { low, high }) {
  const picture = new ImageData(width, height);
  const pixels = new Uint32Array(picture.data.buffer);
  const factor = 255 / (high - low);
  const grey = (value) => {
    const level = Math.min(255, Math.max(0, Math.round((value - low) * factor)));
    return 0xff000000 | (level << 16) | (level << 8) | level;
  };
  if (values instanceof Float32Array) {
    for (let k = 0; k < pixels.length; k += 1) pixels[k] = grey(values[k]);
  } else {
    const table = new Uint32Array(values instanceof Uint8Array ? 256 : 65536);
    for (let value = 0; value < table.length; value += 1) table[value] = grey(value);
    for (let k = 0; k < pixels.length; k += 1) pixels[k] = table[values[k]];
  }
  return picture;
}
