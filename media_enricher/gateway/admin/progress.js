// @ts-check
/** How far a run is: its status, a bar in the colours of its results, and their numbers. */

import { element, setText } from "./dom.js";
import { ago, count, duration, rate } from "./format.js";

/** @typedef {import("./api.js").Run} Run */

export const STATUS_WORDS = {
  queued: "Queued",
  running: "Running",
  completed: "Completed",
  failed: "Failed",
  cancelled: "Cancelled",
  crashed: "Crashed",
};

/** What became of an object: the column of the run that counts it, and the word that people read. */
const OUTCOMES = /** @type {const} */ ([
  { column: "succeeded", word: "enriched" },
  { column: "failed", word: "failed" },
  { column: "skipped", word: "unsupported" },
]);

/** @param {Run} run */
export const isActive = (run) => run.status === "queued" || run.status === "running";

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
  setText(parts.status, isCancelling && isActive(run) ? "Cancelling" : STATUS_WORDS[run.status]);
  parts.status.dataset.status = run.status;
  showBar(parts, run);
  setText(parts.amount, amount(run));
  setText(parts.pace, pace(run));
}

/**
 * The bar is one image to a screen reader, which reads its numbers instead of its colours.
 * @param {import("./dom.js").Parts} parts
 * @param {Run} run
 */
function showBar(parts, run) {
  const { progress } = parts;
  const isWaiting = isActive(run) && !run.total_files;
  progress.setAttribute("aria-label", `Progress of ${placeOf(run)}`);
  progress.classList.toggle("waiting", isWaiting);
  if (isWaiting) {
    progress.removeAttribute("aria-valuenow"); // indeterminate: the total is not known yet
  } else {
    progress.setAttribute("aria-valuenow", String(run.processed_files));
  }
  progress.setAttribute("aria-valuemax", String(Math.max(1, run.total_files)));
  progress.setAttribute("aria-valuetext", [amount(run), ...resultsOf(run)].join(", "));
  for (const { column } of OUTCOMES) setShare(parts[`bar-${column}`], run[column]);
  setShare(parts["bar-left"], run.total_files - run.processed_files);
}

/**
 * @param {HTMLElement} part
 * @param {number} objects
 */
function setShare(part, objects) {
  part.style.setProperty("flex-grow", String(objects));
  part.hidden = objects <= 0;
}

/**
 * The results that a run has, with the colours of the bar: it explains the bar.
 * @param {HTMLElement} list
 * @param {Run} run
 */
export function showLegend(list, run) {
  const results = OUTCOMES.filter(({ column }) => run[column]);
  const text = resultsOf(run).join();
  list.hidden = !results.length;
  if (list.dataset.shown === text) return;
  list.dataset.shown = text;
  list.replaceChildren(
    ...results.map(({ column, word }) => {
      const item = element("li", {}, `${count(run[column])} ${word}`);
      item.dataset.outcome = word;
      return item;
    }),
  );
}

/**
 * `["64 enriched", "4 failed"]`, without the results that no object had.
 * @param {Run} run
 */
export function resultsOf(run) {
  return OUTCOMES.filter(({ column }) => run[column]).map(
    ({ column, word }) => `${count(run[column])} ${word}`,
  );
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
  if (run.finished_at) {
    const seconds = (Date.parse(run.finished_at) - Date.parse(run.started_at)) / 1000;
    words.push(`took ${duration(seconds)}`);
  }
  words.push(`${run.status === "queued" ? "requested" : "started"} ${ago(run.started_at)}`);
  return words.join(" · ");
}
