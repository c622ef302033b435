// What was done, on its way to the disk: one after the other, tried again when the connection
// was broken, and always visible as saved, saving or failed.

import { post, Refused, Unreachable } from "./api.js";

const AGAIN_MS = 1500;

export class Acts {
  #waiting = [];
  #busy = false;
  #show;
  #onAnswer;
  #onConflict;
  #onRefused;

  constructor({ show, onAnswer, onConflict, onRefused }) {
    this.#show = show;
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

  #own = new Set();

  // The revision is asked for when the deed's turn has come: those before it count, too.
  do(id, deed, revision) {
    return new Promise((resolve) => {
      const act = crypto.randomUUID();
      this.#own.add(act);
      this.#waiting.push({ id, deed, revision, act, resolve });
      this.#next();
    });
  }

  async #next() {
    if (this.#busy || this.#waiting.length === 0) return;
    this.#busy = true;
    const { id, deed, revision, act, resolve } = this.#waiting[0];
    this.#show("saving");
    try {
      const answer = await post(`/api/images/${id}/act`, { act, revision: revision(), deed });
      this.#waiting.shift();
      this.#onAnswer(id, answer);
      resolve(answer);
      this.#show(this.#waiting.length > 0 ? "saving" : "saved");
    } catch (error) {
      if (error instanceof Unreachable) {
        this.#show("failed", "Not saved: the studio does not answer; trying again");
        setTimeout(() => {
          this.#busy = false;
          this.#next();
        }, AGAIN_MS);
        return;
      }
      const lost = this.#waiting.splice(0);
      if (error instanceof Refused && error.status === 409) {
        this.#onConflict(id, error.content.image);
        this.#show("saved");
      } else {
        this.#onRefused(error);
        this.#show(error.status === 422 ? "saved" : "failed", error.message);
      }
      for (const each of lost) each.resolve(null);
    }
    this.#busy = false;
    this.#next();
  }
}
