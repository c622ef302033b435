"use strict";
(() => {
  const film = JSON.parse(document.getElementById("film").textContent);
  const element = (id) => document.getElementById(id);
  const player = element("player"), screen = element("screen"), place = element("place");
  const context = screen.getContext("2d");
  const { frames, width, height, span } = film;
  const TAIL = 12;
  const COLOURS = { afloat: "#D55E00", settled: "#0072B2", pit: "#8B2C6B", ground: "#ffffff" };

  // Where each track was: [picture, x, y] in order.
  const ways = new Map();
  frames.forEach(({ marks }, k) => {
    for (let i = 0; i < marks.length; i += 5) {
      if (!marks[i + 3]) continue;
      const way = ways.get(marks[i + 3]) ?? [];
      way.push([k, marks[i] / 10, marks[i + 1] / 10]);
      ways.set(marks[i + 3], way);
    }
  });

  const pictures = [];
  const pictureOf = (k) => {
    if (!pictures[k]) {
      pictures[k] = new Image();
      pictures[k].src = frames[k].picture;
      pictures[k].addEventListener("load", () => { if (k === at) draw(); });
    }
    return pictures[k];
  };

  let at = frames.length - 1, playing = false, shownAt = 0, waiting = 0;

  const line = (path, colour, thick) => {
    const unit = width / screen.width * (window.devicePixelRatio || 1);
    context.lineWidth = thick * unit;
    context.strokeStyle = colour;
    context.stroke(path);
  };

  const squares = (values, wanted) => {
    const path = new Path2D();
    for (let i = 0; i < values.length; i += 5) {
      const radius = values[i + 2] / 10;
      if (radius && wanted(i)) path.rect(values[i] / 10 - radius, values[i + 1] / 10 - radius, 2 * radius, 2 * radius);
    }
    return path;
  };

  const circles = (values, wanted) => {
    const path = new Path2D();
    for (let i = 0; i < values.length; i += 5) {
      const radius = values[i + 2] / 10;
      if (!radius || !wanted(i)) continue;
      path.moveTo(values[i] / 10 + radius, values[i + 1] / 10);
      path.arc(values[i] / 10, values[i + 1] / 10, radius, 0, 2 * Math.PI);
    }
    return path;
  };

  const tailsAt = (k) => {
    const path = new Path2D();
    for (const way of ways.values()) {
      // What has gone leaves no tail.
      if (way[0][0] > k || way[way.length - 1][0] < k) continue;
      let before = null;
      for (const point of way) {
        if (point[0] > k) break;
        if (point[0] < k - TAIL) continue;
        if (before) { path.moveTo(before[1], before[2]); path.lineTo(point[1], point[2]); }
        before = point;
      }
    }
    return path;
  };

  const numbers = (values, colour) => {
    const unit = width / screen.width * (window.devicePixelRatio || 1);
    context.font = `${12 * unit}px sans-serif`;
    context.lineWidth = 3 * unit;
    for (let i = 0; i < values.length; i += 5) {
      if (!values[i + 2] || !values[i + 3]) continue;
      const [x, y] = [(values[i] + values[i + 2]) / 10, (values[i + 1] - values[i + 2]) / 10];
      context.strokeStyle = COLOURS.ground;
      context.strokeText(values[i + 3], x, y);
      context.fillStyle = colour;
      context.fillText(values[i + 3], x, y);
    }
  };

  const draw = () => {
    const { marks, pits } = frames[at];
    const scale = screen.width / width;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.lineJoin = "round";
    const picture = pictureOf(at);
    // A picture on its way leaves the one before it: a film must not flicker.
    if (picture.complete && picture.naturalWidth) context.drawImage(picture, 0, 0, width, height);
    if (element("tails").checked) {
      const tails = tailsAt(at);
      line(tails, COLOURS.ground, 3);
      line(tails, "#000000", 1.2);
    }
    if (element("outlines").checked) {
      line(circles(marks, (i) => !marks[i + 4]), COLOURS.afloat, 1.8);
      line(squares(marks, (i) => marks[i + 4]), COLOURS.settled, 1.8);
    }
    if (element("pits").checked) {
      const rings = circles(pits, () => true);
      line(rings, COLOURS.ground, 5);
      line(rings, COLOURS.pit, 2.6);
    }
    if (element("ids").checked) {
      if (element("outlines").checked) numbers(marks, "#1a1a1a");
      if (element("pits").checked) numbers(pits, COLOURS.pit);
    }
    for (let k = at + 1; k < Math.min(at + 4, frames.length); k += 1) pictureOf(k);
  };

  const amount = (count, name) => `${count.toLocaleString("en")} ${name}${count === 1 ? "" : "s"}`;

  const tell = () => {
    const frame = frames[at];
    const when = film.timed && frame.at !== null ? `, ${frame.at.toFixed(2)} s` : "";
    const found = frame.particles === null ? "a gap" : amount(frame.particles, "particle");
    const flagged = frame.flagged ? ", flagged" : "";
    const words = `Frame ${frame.number}${when}: ${found}, ${amount(frame.pits.length / 5, "pit")}${flagged}`;
    element("told").textContent = words;
    place.setAttribute("aria-valuetext", words);
    screen.setAttribute("aria-label", words);
    const share = frame.at === null ? 0 : (frame.at - span[0]) / (span[1] - span[0]);
    element("cursor").setAttribute("d", `M${(1000 * share).toFixed(1)} 0V100`);
  };

  const go = (k) => {
    at = Math.max(0, Math.min(frames.length - 1, k));
    place.value = at;
    tell();
    draw();
  };

  const stop = () => {
    playing = false;
    cancelAnimationFrame(waiting);
    element("play").textContent = "Play";
  };

  const next = (now) => {
    if (!playing) return;
    if (now - shownAt >= 1000 / Number(element("rate").value) - 4) {
      const following = at + 1;
      if (following >= frames.length) { stop(); return; }
      if (pictureOf(following).complete) { shownAt = now; go(following); }
    }
    waiting = requestAnimationFrame(next);
  };

  const toggle = () => {
    if (frames.length < 2) return;
    if (playing) { stop(); return; }
    if (at === frames.length - 1) go(0);
    playing = true;
    element("play").textContent = "Pause";
    waiting = requestAnimationFrame(next);
  };

  const step = (by) => { stop(); go(at + by); };

  const fit = () => {
    // Film and controls are to be seen together.
    const most = Math.max(240, 0.78 * window.innerHeight) * width / height;
    player.style.maxWidth = `${Math.round(most)}px`;
    const shown = screen.clientWidth * (window.devicePixelRatio || 1);
    screen.width = Math.max(1, Math.round(shown));
    screen.height = Math.max(1, Math.round(shown * height / width));
    draw();
  };

  element("play").addEventListener("click", toggle);
  element("back").addEventListener("click", () => step(-1));
  element("on").addEventListener("click", () => step(1));
  place.addEventListener("input", () => { stop(); go(Number(place.value)); });
  for (const id of ["outlines", "tails", "pits", "ids"]) element(id).addEventListener("change", draw);

  const seek = (event) => {
    const box = element("strip").getBoundingClientRect();
    const wanted = span[0] + (event.clientX - box.left) / box.width * (span[1] - span[0]);
    const distance = ({ at: when }) => (when === null ? Infinity : Math.abs(when - wanted));
    stop();
    go(frames.reduce((best, frame, k) => (distance(frame) < distance(frames[best]) ? k : best), 0));
  };
  element("strip").addEventListener("pointerdown", (event) => {
    element("strip").setPointerCapture(event.pointerId);
    seek(event);
  });
  element("strip").addEventListener("pointermove", (event) => { if (event.buttons) seek(event); });

  screen.tabIndex = 0;
  player.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
    const box = { p: "outlines", t: "tails", o: "pits", n: "ids" }[event.key.toLowerCase()];
    const ownSpace = event.target.tagName === "BUTTON" || event.target.type === "checkbox";
    if (box) { element(box).click(); }
    else if (event.key === " " && !ownSpace) toggle();
    else if (event.key === "ArrowLeft") step(-1);
    else if (event.key === "ArrowRight") step(1);
    else if (event.key === "Home") { stop(); go(0); }
    else if (event.key === "End") { stop(); go(frames.length - 1); }
    else return;
    event.preventDefault();
  });

  document.documentElement.classList.add("scripted");
  player.hidden = false;
  window.addEventListener("resize", fit);
  go(at);
  fit();
})();
