// Every key, once: what the dispatcher obeys and the help lists.

export const KEYMAP = [
  ["Annotate", "Enter", "take", "take the particle under the pointer or crosshair; finish a contour"],
  ["Annotate", "[", "smaller", "smaller nested contour"],
  ["Annotate", "]", "larger", "larger nested contour"],
  ["Annotate", "Tab", "candidate", "next candidate for the selected particle"],
  ["Annotate", "o", "exclude", "exclude what is under the pointer or crosshair"],
  ["Annotate", "Shift+O", "include", "take in what is under it"],
  ["Annotate", "c", "points", "contour point under it"],
  ["Annotate", "b", "brush", "brush of one pixel"],
  ["Annotate", "e", "eraser", "eraser of one pixel"],
  ["Annotate", "s", "split", "cut the selected particle along a line"],
  ["Annotate", "m", "merge", "merge the selected particles"],
  ["Annotate", "i", "ignore", "ignore, or no longer"],
  ["Annotate", "Delete", "remove", "delete the selected"],
  ["Annotate", "Backspace", "remove", null],
  ["Annotate", "Escape", "cancel", "let go: of points, line, brush, selection"],
  ["Annotate", "Ctrl+z", "undo", "undo, without limit; while points are set, the last point"],
  ["Annotate", "Ctrl+y", "redo", "redo"],
  ["Annotate", "Ctrl+Shift+Z", "redo", null],
  ["Annotate", "f", "done", "declare the image done as it is, also an empty one"],
  ["Select", "n", "nextObject", "next particle"],
  ["Select", "Shift+N", "previousObject", "previous particle"],
  ["Select", "Shift+S", "alsoSelect", "select what is under the pointer or crosshair, too"],
  ["Look", "ArrowLeft", "left", "move the crosshair by a pixel; with Shift by ten"],
  ["Look", "ArrowRight", "right", "likewise, as Up and Down"],
  ["Look", "ArrowUp", "up", null],
  ["Look", "ArrowDown", "down", null],
  ["Look", "Shift+ArrowLeft", "farLeft", null],
  ["Look", "Shift+ArrowRight", "farRight", null],
  ["Look", "Shift+ArrowUp", "farUp", null],
  ["Look", "Shift+ArrowDown", "farDown", null],
  ["Look", "+", "zoomIn", "closer"],
  ["Look", "-", "zoomOut", "farther"],
  ["Look", "0", "fit", "whole picture"],
  ["Look", "1", "actual", "one to one"],
  ["Look", "r", "blink", "hold: the other of frame and difference"],
  ["Look", "Shift+R", "plane", "frame or difference to work on"],
  ["Look", "h", "outlines", "hold: no outlines"],
  ["Look", "t", "onion", "outlines of the neighbouring frames"],
  ["Images", "a", "previousImage", "previous image"],
  ["Images", "d", "nextImage", "next image"],
  ["Images", "g", "nextOpen", "next image that nobody has declared done"],
  ["Images", "p", "propagate", "take over the previous image's particles, each sought anew"],
  ["Review", "Space", "accept", "accept the proposal"],
  ["Review", "x", "reject", "reject the proposal"],
  ["Review", "e", "edit", "accept it and go on to mend it"],
  ["Patches", "Space", "keepPatch", "keep the patch for the dataset"],
  ["Patches", "e", "emptyPatch", "keep it, and say that nothing is in it"],
  ["Patches", "x", "skipPatch", "skip it"],
  ["Patches", "u", "undecidePatch", "take the last decision back"],
  ["Patches", "j", "nextPatch", "next patch"],
  ["Patches", "k", "previousPatch", "previous patch"],
  ["Help", "?", "help", "this list"],
].map(([group, key, action, label]) => ({ group, key, action, label }));

// What a pointer does, for the help.
const POINTER = [
  ["click", "take the particle; select one that is taken"],
  ["wheel", "closer and farther; with the button held on a particle: larger, smaller"],
  ["drag", "move the picture; a point of the contour, once they show"],
  ["right click", "exclude a place from the selected particle"],
  ["Alt-click", "take a place in"],
  ["Shift-click", "contour point; the first one closes"],
  ["Ctrl-click", "delete"],
  ["Ctrl+Alt-click", "select one more"],
];

export const HELD = new Set(["blink", "outlines"]);
// A key that is held down decides nothing more.
export const ONCE = new Set([...HELD, "keepPatch", "emptyPatch", "skipPatch", "undecidePatch"]);

// Groups whose keys count while their tab is open, and only then; there they come first.
const TAB_OF = { Review: "review", Patches: "patches" };

export function keyName(event) {
  if (event.altKey) return null;
  let key = event.key === " " ? "Space" : event.key;
  const ctrl = event.ctrlKey || event.metaKey;
  if (key.length === 1 && ctrl) key = event.shiftKey ? key.toUpperCase() : key.toLowerCase();
  const typed = key.length === 1 && key.toLowerCase() === key.toUpperCase();
  const shift = event.shiftKey && !typed ? "Shift+" : "";
  if (shift && key.length === 1) key = key.toUpperCase();
  return `${ctrl ? "Ctrl+" : ""}${shift}${key}`;
}

export function actionOf(event, tab) {
  const name = keyName(event);
  const known = KEYMAP.filter(({ key, group }) => key === name && (TAB_OF[group] ?? tab) === tab);
  return (known.find(({ group }) => group in TAB_OF) ?? known[0])?.action;
}

export function keyOf(action) {
  return KEYMAP.find((each) => each.action === action)?.key ?? "";
}

// The help, made from the keymap itself.
export function helpContent(singleKeys, onSingleKeys) {
  const parts = document.createDocumentFragment();
  const title = document.createElement("h2");
  title.id = "help-title";
  title.textContent = "Keys";
  title.tabIndex = -1;
  const columns = document.createElement("div");
  columns.className = "columns";
  for (const group of new Set(KEYMAP.map((each) => each.group))) {
    const actions = KEYMAP.filter((each) => each.group === group && each.label);
    columns.append(table(group, actions.map(({ action, label }) =>
      [KEYMAP.filter((each) => each.action === action).map(({ key }) => key.replace("Arrow", "")), label])));
  }
  columns.append(table("Pointer", POINTER.map(([what, label]) => [[what], label])));
  const label = document.createElement("label");
  label.className = "row";
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = singleKeys;
  box.addEventListener("change", () => onSingleKeys(box.checked));
  label.append("Keys work anywhere on the page (off: only in the picture)", box);
  const close = document.createElement("button");
  close.textContent = "Close";
  close.addEventListener("click", () => close.closest("dialog").close());
  parts.append(title, columns, label, close);
  return parts;
}

function table(title, rows) {
  const made = document.createElement("table");
  const head = document.createElement("th");
  head.colSpan = 2;
  head.scope = "colgroup";
  head.textContent = title;
  made.createTHead().insertRow().append(head);
  const body = made.createTBody();
  for (const [keys, label] of rows) {
    const row = body.insertRow();
    const cell = row.insertCell();
    for (const key of keys) {
      const kbd = document.createElement("kbd");
      kbd.textContent = key;
      cell.append(kbd, " ");
    }
    row.insertCell().textContent = label;
  }
  return made;
}
