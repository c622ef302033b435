// Asking the server. Every failure is an Error with a line for people.

const AGAIN_MS = 1500;

export class Refused extends Error {
  constructor(status, content) {
    super(content.error ?? `the studio answered ${status}`);
    this.status = status;
    this.content = content;
  }
}

export class Unreachable extends Error {
  constructor() {
    super("the studio does not answer; is it still running in the terminal?");
  }
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Unreachable();
  }
  if (!answer.ok) {
    const text = await answer.text();
    let content;
    try {
      content = JSON.parse(text);
    } catch {
      content = { error: text.trim() };
    }
    throw new Refused(answer.status, content);
  }
  return answer;
}

export async function get(path) {
  return (await ask(path)).json();
}

export async function post(path, content, signal) {
  const answer = await ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(content),
    signal,
  });
  return answer.json();
}

export async function getPixels(path) {
  const answer = await ask(path);
  const [height, width] = JSON.parse(answer.headers.get("x-size"));
  const content = await answer.arrayBuffer();
  const kinds = { uint8: Uint8Array, uint16: Uint16Array, float32: Float32Array };
  return { height, width, values: new kinds[answer.headers.get("x-type")](content) };
}

// Hear of what others do; `onOpen` after every connection, also a renewed one.
export function listen(told) {
  const { onOpen, onLost, onRefused, on } = told;
  const source = new EventSource("/api/events");
  source.addEventListener("hello", onOpen);
  source.addEventListener("error", async () => {
    onLost();
    if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself
    await get("/api/folder").catch((error) => error instanceof Refused && onRefused(error));
    setTimeout(() => listen(told), AGAIN_MS);
  });
  for (const [kind, heard] of Object.entries(on)) {
    source.addEventListener(kind, (event) => heard(JSON.parse(event.data)));
  }
}
