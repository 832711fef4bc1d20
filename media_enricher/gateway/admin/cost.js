// @ts-check
/** What a run would cost: objects, bytes and time, as the gateway estimates them. */

import { counted, duration, size } from "./format.js";

/**
 * What a run reads from Storage (egress) and takes. What is not known is absent or null.
 * @typedef {object} Cost
 * @property {number | null} [estimated_read_bytes]
 * @property {number | null} [estimated_seconds]
 */

/**
 * The answer to a dry run.
 * @typedef {object} Counted
 * @property {number} objects
 * @property {number} size_bytes Of the objects, as they are stored.
 * @property {(Cost & { message: string }) | null} [suggestion] What depth `header` would cost, if
 *   `full` would read very much.
 */

/** @typedef {Cost & Counted} Estimate */

/**
 * `905 MB of 14 GB, in about 3 min`.
 * @param {Estimate} estimate
 */
export function costOf({ size_bytes: stored, ...cost }) {
  const read = cost.estimated_read_bytes ?? stored;
  const bytes = read === stored ? size(stored) : `${size(read)} of ${size(stored)}`;
  return bytes + timeOf(cost);
}

/** @param {Cost} cost */
function timeOf({ estimated_seconds: seconds }) {
  if (seconds === undefined || seconds === null) return "";
  return `, in about ${duration(Math.max(1, seconds))}`;
}

/**
 * One sentence for the form.
 * @param {Estimate} estimate
 */
export function sentenceOf(estimate) {
  if (!estimate.objects) return "Nothing to do: no objects are pending.";
  const cost = `${counted(estimate.objects, "object")}. A run reads ${costOf(estimate)}.`;
  return estimate.suggestion ? `${cost} ${estimate.suggestion.message}` : cost;
}
