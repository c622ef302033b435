// What was done, on its way to the disk: one after the other, tried again when the connection
// was broken, and always visible as saved, saving or failed.

import { post, Refused, Unreachable } from "./api.js";

const AGAIN_MS = 1500;

export class Acts {
  #waiting = [];
  #busy = false;
  #own = new Set();
  #show;
  #revision;
  #onAnswer;
  #onConflict;
  #onRefused;

  // `revision(id)` tells what of an image was seen: asked when a deed's turn has come, since those
  // before it count, too.
  constructor({ show, revision, onAnswer, onConflict, onRefused }) {
    this.#show = show;
    this.#revision = revision;
    this.#onAnswer = onAnswer;
    this.#onConflict = onConflict;
    this.#onRefused = onRefused;
  }

  get waiting() {
    return this.#waiting.length;
  }

  mine(act) {
    return this.#own.has(act);
  }

  // Resolves with the answer, or with null where the deed was refused.
  do(id, deed) {
    return new Promise((resolve) => {
      const act = crypto.randomUUID();
      this.#own.add(act);
      this.#waiting.push({ id, deed, act, resolve });
      this.#next();
    });
  }

  async #next() {
    if (this.#busy || this.#waiting.length === 0) return;
    this.#busy = true;
    const { id, deed, act, resolve } = this.#waiting[0];
    this.#show("saving");
    try {
      const answer = await post(`/api/images/${id}/act`, { act, revision: this.#revision(id), deed });
      this.#waiting.shift();
      this.#onAnswer(id, answer);
      resolve(answer);
      if (answer.problem) this.#show("failed", answer.problem);
      else this.#show(this.#waiting.length > 0 ? "saving" : "saved");
    } catch (error) {
      if (error instanceof Unreachable) {
        this.#show("failed", "Not saved: the studio does not answer; trying again");
        setTimeout(() => {
          this.#busy = false;
          this.#next();
        }, AGAIN_MS);
        return;
      }
      this.#refused(id, error);
    }
    this.#busy = false;
    this.#next();
  }

  #refused(id, error) {
    const conflict = error instanceof Refused && error.status === 409;
    // What came after was done on what was not there.
    const lost = conflict ? this.#waiting.filter((each) => each.id === id) : [this.#waiting[0]];
    this.#waiting = this.#waiting.filter((each) => !lost.includes(each));
    if (conflict) this.#onConflict(id, error.content.image, lost.length);
    else this.#onRefused(error);
    for (const each of lost) each.resolve(null);
    this.#show(this.#waiting.length > 0 ? "saving" : "saved");
  }
}
