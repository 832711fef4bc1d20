// @ts-check
/** The list of runs. Each is a link to its own view. */

import { KeyedList, byId, setText, stamp } from "./dom.js";
import { STATUS_WORDS, isActive, placeOf, resultsOf, showLegend, showProgress } from "./progress.js";
import { linkTo } from "./router.js";
import { announce } from "./toasts.js";

/** @typedef {import("./api.js").Run} Run */

const PAGES = [20, 50, 100];

/**
 * Whether the reader may act on a run: of another's, most is hidden.
 * @param {Run} run
 */
export const isSeenWhole = (run) => run.bucket !== null;

/** @param {Run} run */
export const mayCancel = (run) => isActive(run) && isSeenWhole(run);

export class RunList {
  /** @param {{ onCancel: (run: Run) => void, onMore: () => void }} events */
  constructor({ onCancel, onMore }) {
    this.onCancel = onCancel;
    this.limit = PAGES[0];
    this.more = byId("more-runs");
    this.more.addEventListener("click", () => {
      this.limit = PAGES[PAGES.indexOf(this.limit) + 1];
      onMore();
    });
    /** @type {KeyedList<Run>} */
    this.list = new KeyedList(
      byId("run-list"),
      (run) => run.id,
      () => this._item(),
    );
    /** @type {Map<string, string>} */
    this.statuses = new Map();
    /** @type {Set<string>} */
    this.cancelling = new Set();
    this.chosen = "";
  }

  /** @param {Run[]} runs */
  show(runs) {
    this.list.show(runs);
    byId("no-runs").hidden = runs.length > 0;
    this.more.hidden = runs.length < this.limit || this.limit === PAGES.at(-1);
    this._announceChanges(runs);
  }

  /** @param {string} id */
  choose(id) {
    this.chosen = id;
    for (const link of this.list.list.querySelectorAll("a")) {
      setCurrent(link, link.hash === linkTo("run", { id }));
    }
  }

  /** @param {string} id */
  focus(id) {
    const links = [...this.list.list.querySelectorAll("a")];
    links.find((link) => link.hash === linkTo("run", { id }))?.focus();
  }

  clear() {
    this.statuses.clear();
    this.list.show([]);
  }

  _item() {
    const { nodes, parts } = stamp("run-item");
    /** @type {Run} */
    let shown;
    parts.cancel.addEventListener("click", () => this.onCancel(shown));
    return {
      node: nodes[0],
      update: (/** @type {Run} */ run) => {
        shown = run;
        parts.link.href = linkTo("run", { id: run.id });
        setCurrent(parts.link, run.id === this.chosen);
        setText(parts.place, placeOf(run));
        parts.cancel.setAttribute("aria-label", `Cancel the run of ${placeOf(run)}`);
        showProgress(parts, run, this.cancelling.has(run.id));
        showLegend(parts.legend, run);
        parts.cancel.disabled = this.cancelling.has(run.id);
        parts.actions.hidden = !mayCancel(run);
      },
    };
  }

  /**
   * Says what ended or began since the last look; the numbers in between would only chatter.
   * @param {Run[]} runs
   */
  _announceChanges(runs) {
    const changes = runs.filter((run) => {
      const before = this.statuses.get(run.id);
      return before !== undefined && before !== run.status;
    });
    for (const run of runs) {
      this.statuses.set(run.id, run.status);
      if (!isActive(run)) this.cancelling.delete(run.id);
    }
    if (changes.length) announce(changes.map(change).join(" "));
  }
}

/** @param {Run} run */
function change(run) {
  const results = isActive(run) ? "" : ` ${resultsOf(run).join(", ")}.`;
  return `Run of ${placeOf(run)}: ${STATUS_WORDS[run.status].toLowerCase()}.${results}`;
}

/**
 * @param {HTMLElement} link
 * @param {boolean} isCurrent
 */
function setCurrent(link, isCurrent) {
  if (isCurrent) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");
}
