// @ts-check
/** What a run would cost: objects, bytes and time, as the gateway estimates them. */

import { counted, duration, size } from "./format.js";

/**
 * The answer to a dry run. What the gateway can't estimate is absent or null.
 * @typedef {object} Estimate
 * @property {number} objects
 * @property {number} size_bytes Of the objects, as they are stored.
 * @property {number | null} [egress_bytes] What the run would read of them.
 * @property {number | null} [seconds]
 * @property {string | null} [suggested_depth] `header`, if `full` would read very much.
 */

/**
 * `905 MB of 14 GB, in about 3 min`.
 * @param {Estimate} estimate
 */
export function costOf({ size_bytes: stored, egress_bytes: read, seconds }) {
  const bytes =
    read === undefined || read === null || read === stored ? size(stored) : `${size(read)} of ${size(stored)}`;
  return seconds === undefined || seconds === null ? bytes : `${bytes}, in about ${duration(seconds)}`;
}

/**
 * One sentence for the form.
 * @param {Estimate} estimate
 */
export function sentenceOf(estimate) {
  if (!estimate.objects) return "Nothing to do: no objects are pending.";
  return `${counted(estimate.objects, "object")}. A run reads ${costOf(estimate)}.`;
}
