// Proposals, the most doubtful first: accept, reject, or mend.

import { element } from "../dom.js";
import { keyOf } from "../keymap.js";
import { centred, cornerPoint } from "../view.js";

export const title = "Review";

export class Review {
  #session;
  #tools;
  #proposals = [];
  #at = 0;
  #for = null;
  #judged = 0;
  #agreement = null;
  #busy = false;
  #by = "contrast";
  active = false;

  constructor(session, tools, toAnnotate) {
    this.#tools = tools;
    this.#session = session;
    this.toAnnotate = toAnnotate;
    this.status = element("p", { role: "status", id: "review-status" });
    this.bar = element("progress", { max: 1, value: 0, "aria-label": "Proposals judged" });
    this.facts = element("dl");
    this.by = element("select", { id: "by", onchange: () => this.ask(this.by.value) },
      element("option", { value: "contrast" }, "dark spots, one click each"),
      element("option", { value: "network" }, "the network"));
    const button = (action, label) => element("button", { data: { action } }, `${label} `, element("kbd", {}, keyOf(action)));
    this.buttons = [button("accept", "Accept"), button("reject", "Reject"), button("edit", "Mend")];
    this.panel = element("div", {},
      element("h2", {}, "Proposals"),
      element("label", { className: "row" }, "Proposed by", this.by),
      this.status, this.bar,
      element("div", { className: "row" }, ...this.buttons),
      this.facts,
      element("p", { className: "quiet" }, "The most doubtful come first. About one verdict in ten is asked for once more, unannounced, to tell how well verdicts repeat."),
    );
  }

  get current() {
    return this.#proposals[this.#at] ?? null;
  }

  activate(active) {
    this.active = active;
    this.#session.picker = active ? () => {} : null; // a click here would take what is not proposed
    if (active && this.#for !== this.#newest) this.ask(this.#by);
    this.mark();
  }

  // What proposals are for: whatever is done to the image elsewhere, they may be others.
  get #newest() {
    const { image, plane } = this.#session;
    return image && `${image.id}/${image.revision}/${plane}`;
  }

  onImage() {
    this.#proposals = [];
    this.#for = null;
    if (this.active) this.ask(this.#by);
    else this.mark();
  }

  async ask(by) {
    const { image } = this.#session;
    if (!image) return;
    this.#by = by;
    this.#for = this.#newest;
    this.#proposals = [];
    this.#busy = true;
    this.mark();
    try {
      const answer = await this.#session.ask("proposals", { by, plane: this.#session.plane });
      if (this.#session.image?.id !== image.id) return;
      this.#proposals = answer.proposals;
      this.#at = 0;
      this.#told(answer);
    } catch (error) {
      this.#session.trouble(error.message);
    } finally {
      this.#busy = false;
      this.#show();
    }
  }

  #told({ judged, agreement }) {
    this.#judged = judged;
    this.#agreement = agreement;
  }

  async verdict(verdict) {
    const proposal = this.current;
    if (!proposal || this.#busy) return null;
    this.#busy = true;
    return this.#tools.inTurn(() => this.#judge(proposal, verdict));
  }

  async #judge(proposal, verdict) {
    const session = this.#session;
    let made = null;
    try {
      if (verdict === "accept" && proposal.hides.length === 0) {
        const answer = await session.do({ do: "add", gesture: proposal.gesture });
        if (!answer) return null;
        made = answer.changed?.at(-1)?.number ?? null;
        this.#for = this.#newest;
      }
      this.#told(await session.ask("verdict", {
        key: proposal.key, verdict, by: this.#by, score: proposal.score,
      }));
      this.#at += 1;
    } catch (error) {
      session.trouble(error.message);
    } finally {
      this.#busy = false;
      this.#show();
    }
    return made;
  }

  // Accept it, and go to where it is in the tab that mends.
  async edit() {
    const proposal = this.current;
    const made = (await this.verdict("accept")) ?? proposal?.hides[0] ?? null;
    if (made === null) return;
    this.toAnnotate();
    this.#session.select([made]);
    this.#look(proposal);
  }

  // Bring the proposal into the middle.
  #show() {
    const proposal = this.current;
    if (proposal && this.active) this.#look(proposal);
    this.mark();
  }

  #look({ at }) {
    const session = this.#session;
    session.crosshair = null;
    session.look(centred(cornerPoint(at), Math.min(Math.max(session.view.scale, 10), 20), session.stage.size));
  }

  mark() {
    const session = this.#session;
    session.marks = session.marks.filter((mark) => mark.style !== "proposal");
    const proposal = this.active ? this.current : null;
    if (proposal) session.marks.push({ rings: proposal.rings, style: "proposal" });
    // A repeat is blind: the object that the first verdict made is not shown.
    session.hide(proposal ? proposal.hides : []);
    this.update();
  }

  update() {
    const proposal = this.current;
    const count = this.#proposals.length;
    for (const button of this.buttons) button.disabled = !proposal || this.#busy;
    this.bar.value = count > 0 ? this.#at / count : 1;
    if (!this.#session.image) this.status.textContent = "Open an image first.";
    else if (this.#busy && count === 0) this.status.textContent = "Looking for what may be particles…";
    else if (proposal) this.status.textContent = `Proposal ${this.#at + 1} of ${count}`;
    else this.status.textContent = `Nothing left to judge here. Next image: ${keyOf("nextImage").toUpperCase()}.`;
    const rows = [["Judged here", this.#judged]];
    if (proposal) rows.unshift(["Score", proposal.score.toFixed(2)], ["Area", `${proposal.area_px} px`]);
    if (this.#agreement) {
      const { repeats, same, kappa } = this.#agreement;
      rows.push(["Repeated", repeats], ["Same verdict", repeats > 0 ? `${same} (${Math.round((100 * same) / repeats)} %)` : "–"]);
      rows.push(["Cohen's κ", kappa === null ? "–" : kappa.toFixed(2)]);
    }
    this.facts.replaceChildren(...rows.flatMap(([term, value]) => [element("dt", {}, term), element("dd", {}, String(value))]));
  }
}
