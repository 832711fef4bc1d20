// @ts-check
/** Retries the failed objects of a run: counts them, asks, and starts a run of mode `failed`. */

import { Api } from "./api.js";
import { confirmed } from "./confirmation.js";
import { costOf } from "./cost.js";
import { counted } from "./format.js";
import { placeOf } from "./progress.js";
import { toast } from "./toasts.js";

/** @typedef {import("./api.js").Run} Run */

/**
 * The new run works on the bucket and prefix of the old one, where other runs may have failed, too.
 * @param {Api} api
 * @param {Run} run
 * @returns {Promise<string | null>} The id of the new run, or null if none was started.
 * @throws {import("./api.js").ApiError}
 */
export async function retryFailures(api, run) {
  const place = placeOf(run);
  const request = {
    bucket: run.bucket ?? "",
    ...(run.prefix && { prefix: run.prefix }),
    mode: "failed",
    depth: run.depth ?? "full",
  };
  const estimate = await api.count(request);
  if (!estimate.objects) {
    toast(`${place} has no failed objects any more.`);
    return null;
  }
  const isConfirmed = await confirmed({
    title: `Retry the failed objects of ${place}?`,
    text: `A new run tries ${counted(estimate.objects, "failed object")} again. It reads ${costOf(estimate)}.`,
    yes: "Retry failures",
    no: "Not now",
  });
  if (!isConfirmed) return null;
  const { run_id: id, already_running: wasRunning } = await api.start(request, (error, seconds) =>
    toast(`${error.message} Trying again in ${seconds} s.`, { isError: true }),
  );
  toast(wasRunning ? `A run of ${place} is already under way.` : `Started a run of ${place}.`);
  return id;
}
