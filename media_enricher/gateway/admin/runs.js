// @ts-check
/** The list of runs, and the texts that describe a run. */

import { KeyedList, byId, setText, stamp } from "./dom.js";
import { ago, count, counted, duration, rate } from "./format.js";
import { announce } from "./toasts.js";

/** @typedef {import("./api.js").Run} Run */

const PAGES = [20, 50, 100];

const STATUS_WORDS = {
  queued: "Queued",
  running: "Running",
  completed: "Completed",
  failed: "Failed",
  cancelled: "Cancelled",
  crashed: "Crashed",
};

/** @param {Run} run */
export const isActive = (run) => run.status === "queued" || run.status === "running";

/** @param {Run} run */
export const isSeenWhole = (run) => run.bucket !== null;

/** @param {Run} run */
export function placeOf(run) {
  if (run.bucket === null) return "someone else’s bucket";
  return run.prefix ? `${run.bucket}/${run.prefix}` : run.bucket;
}

/**
 * Shows status, bar, amount and pace in the parts of a template, which have these names.
 * @param {import("./dom.js").Parts} parts
 * @param {Run} run
 * @param {boolean} isCancelling
 */
export function showProgress(parts, run, isCancelling) {
  const status = isCancelling && isActive(run) ? "Cancelling" : STATUS_WORDS[run.status];
  setText(parts.status, status);
  parts.status.dataset.status = run.status;
  const { progress } = parts;
  progress.setAttribute("aria-label", `Progress of ${placeOf(run)}`);
  progress.dataset.status = run.status;
  if (isActive(run) && !run.total_files) {
    progress.removeAttribute("value"); // indeterminate: the total is not known yet
  } else {
    progress.max = Math.max(1, run.total_files);
    progress.value = run.total_files ? run.processed_files : 1;
  }
  setText(parts.amount, amount(run));
  setText(parts.pace, pace(run));
  parts.cancel.hidden = !isActive(run) || !isSeenWhole(run);
  parts.cancel.disabled = isCancelling;
}

/** @param {Run} run */
function amount(run) {
  if (run.total_files) return `${count(run.processed_files)} of ${count(run.total_files)}`;
  if (run.status === "queued") return "waiting for a worker";
  return run.status === "running" ? "counting" : "nothing to do";
}

/** @param {Run} run */
function kind(run) {
  if (run.flow === "enrich-object") return ["single objects"];
  if (run.flow === "backfill-sharded") return ["in shards"];
  return run.parent_run_id ? ["a shard"] : [];
}

/** @param {Run} run */
function pace(run) {
  const words = kind(run);
  if (run.status === "running") {
    if (run.objects_per_second) words.push(rate(run.objects_per_second));
    if (run.seconds_left !== null) words.push(`about ${duration(run.seconds_left)} left`);
  }
  if (run.failed) words.push(`${count(run.failed)} failed`);
  if (run.finished_at) {
    const seconds = (Date.parse(run.finished_at) - Date.parse(run.started_at)) / 1000;
    words.push(`took ${duration(seconds)}`);
  }
  words.push(`${run.status === "queued" ? "requested" : "started"} ${ago(run.started_at)}`);
  return words.join(" · ");
}

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
      setCurrent(link, link.hash === `#/runs/${id}`);
    }
  }

  /** @param {string} id */
  focus(id) {
    const links = [...this.list.list.querySelectorAll("a")];
    links.find((link) => link.hash === `#/runs/${id}`)?.focus();
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
        parts.link.href = `#/runs/${run.id}`;
        setCurrent(parts.link, run.id === this.chosen);
        setText(parts.place, placeOf(run));
        parts.cancel.setAttribute("aria-label", `Cancel the run of ${placeOf(run)}`);
        showProgress(parts, run, this.cancelling.has(run.id));
        parts.actions.hidden = parts.cancel.hidden;
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
  const words = STATUS_WORDS[run.status].toLowerCase();
  const counts = isActive(run)
    ? ""
    : ` ${counted(run.succeeded, "object")} enriched, ${count(run.failed)} failed.`;
  return `Run of ${placeOf(run)}: ${words}.${counts}`;
}

/**
 * @param {HTMLElement} link
 * @param {boolean} isCurrent
 */
function setCurrent(link, isCurrent) {
  if (isCurrent) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");
}
