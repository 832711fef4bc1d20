// @ts-check
/** The details of one run: progress, failures by reason, snapshot, gallery. */

import { Api } from "./api.js";
import { KeyedList, byId, element, setText, setTextOrHide, stamp } from "./dom.js";
import { count, counted, date, size } from "./format.js";
import { ADDRESSES_GOOD_FOR_MS, Gallery } from "./gallery.js";
import { isActive, placeOf, showProgress } from "./progress.js";
import { isSeenWhole, mayCancel } from "./runs.js";

/** @typedef {import("./api.js").Run} Run */
/** @typedef {import("./api.js").Failure} Failure */

/** The chosen run, until another is chosen. */
export class RunView {
  /**
   * @param {string} id
   * @param {Api} api
   * @param {string | null} reader The user's id.
   * @param {{ onCancel: (run: Run) => void, onRetry: (run: Run) => void }} events
   */
  constructor(id, api, reader, { onCancel, onRetry }) {
    this.id = id;
    this.api = api;
    this.reader = reader;
    /** @type {Run | null} */
    this.run = null;
    this.isLeft = false;
    this.isMissing = false;
    this.snapshotAt = 0;
    this.snapshotOf = "";
    const { nodes, parts } = stamp("run-detail");
    this.nodes = nodes;
    this.parts = parts;
    this.gallery = new Gallery(id, api, parts);
    parts.cancel.addEventListener("click", () => this.run && onCancel(this.run));
    parts.retry.addEventListener("click", () => this.run && onRetry(this.run));
    /** @type {KeyedList<Failure>} */
    this.reasons = new KeyedList(parts.reasons, (failure) => failure.error_code, reason);
    setText(byId("run-title"), "Loading the run…");
    byId("run-hint").hidden = true;
  }

  /**
   * @param {boolean} isCancelling
   * @param {Run | undefined} listed The run as the list has just read it, if it is in the list.
   */
  async refresh(isCancelling, listed) {
    if (this.isMissing) return;
    const isFirst = !this.run;
    if (this._needsDetails(listed)) this.run = await this.api.run(this.id);
    else this.run = /** @type {Run} */ ({ ...this.run, ...listed });
    if (this.isLeft) return;
    if (isFirst) byId("run-view").replaceChildren(...this.nodes);
    this._show(this.run, isCancelling);
    await this.gallery.refresh(this.run);
    if (this.gallery.isOpen) await this._refreshSnapshot(this.run);
  }

  /**
   * The list has all but the reasons of failures, and not every run.
   * @param {Run | undefined} listed
   */
  _needsDetails(listed) {
    if (!this.run) return true;
    if (!listed) return isActive(this.run);
    return listed.failed !== this.run.failed || listed.status !== this.run.status;
  }

  /** Stops requests in progress from overwriting the next view. */
  leave() {
    this.isLeft = true;
  }

  /** @param {string} sentence */
  showMissing(sentence) {
    this.isMissing = true;
    setText(byId("run-title"), "No such run");
    setTextOrHide(byId("run-hint"), sentence);
    byId("run-view").replaceChildren();
  }

  /**
   * @param {Run} run
   * @param {boolean} isCancelling
   */
  _show(run, isCancelling) {
    const { parts } = this;
    setText(byId("run-title"), placeOf(run));
    showProgress(parts, run, isCancelling);
    parts.cancel.hidden = !mayCancel(run);
    parts.cancel.disabled = isCancelling;
    parts.retry.hidden = isActive(run) || !run.failed || !isSeenWhole(run);
    setText(parts.succeeded, count(run.succeeded));
    setText(parts.failed, count(run.failed));
    setText(parts.skipped, count(run.skipped));
    setText(parts.read, run.bytes_read === null ? "–" : size(run.bytes_read));
    setTextOrHide(parts.error, run.error ?? "");
    parts.error.dataset.status = run.status;
    parts.prefect.hidden = !run.prefect_url;
    if (run.prefect_url) parts.prefect.href = run.prefect_url;
    if (parts.facts.dataset.status !== run.status) {
      parts.facts.dataset.status = run.status;
      parts.facts.replaceChildren(...facts(run, this.reader));
    }
    parts.failures.hidden = !run.failures?.length;
    this.reasons.show(run.failures ?? []);
  }

  /**
   * Links are signed for a short while, so they are asked for anew now and then.
   * @param {Run} run
   */
  async _refreshSnapshot(run) {
    const { parts } = this;
    parts.snapshot.hidden = !run.snapshot_path || !parts.parts.hasChildNodes();
    const state = `${run.status} ${run.snapshot_path}`;
    const isGood =
      state === this.snapshotOf && Date.now() - this.snapshotAt < ADDRESSES_GOOD_FOR_MS;
    if (!run.snapshot_path || isGood) return;
    const snapshot = await this.api.snapshot(this.id);
    this.snapshotOf = state;
    this.snapshotAt = Date.now();
    parts.parts.replaceChildren(...snapshot.parts.map(download));
    parts.snapshot.hidden = snapshot.parts.length === 0;
  }
}

/** Shows the view for no chosen run. */
export function showNoRun() {
  setText(byId("run-title"), "No run yet");
  setTextOrHide(byId("run-hint"), "A run’s results appear here.");
  byId("run-view").replaceChildren();
}

/**
 * @param {Run} run
 * @param {string | null} reader
 */
function facts(run, reader) {
  const requester = run.requested_by && run.requested_by === reader ? "you" : run.requested_by;
  /** @type {[string, string | null][]} */
  const known = [
    ["Flow", run.flow],
    ["Objects", run.mode],
    ["Depth", run.depth],
    ["Limit", run.max_files === null ? null : count(run.max_files)],
    ["Read at most", run.max_bytes ? size(run.max_bytes) : null],
    ["Stopped by", run.stopped_by === "max_bytes" ? "the most bytes to read" : null],
    ["Requested by", [requester, run.trigger].filter(Boolean).join(", by ")],
    ["Started", date(run.started_at)],
    ["Finished", run.finished_at && date(run.finished_at)],
    ["Run", run.id],
    ["Shard of", run.parent_run_id],
  ];
  return known
    .filter(([, value]) => value)
    .map(([name, value]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value ?? "")),
    );
}

/** One reason: its number of objects, and an example. */
function reason() {
  const code = element("code");
  const objects = element("strong");
  const example = element("p", { className: "quiet small" });
  return {
    node: element("li", {}, element("p", {}, objects, " ", code), example),
    update: (/** @type {Failure} */ failure) => {
      setText(code, failure.error_code);
      setText(objects, counted(failure.objects, "object"));
      setText(example, `${failure.path}: ${failure.error_message ?? "no message"}`);
    },
  };
}

/** @param {{ name: string, url: string | null }} part */
function download({ name, url }) {
  return element("li", {}, url ? element("a", { href: url, download: name }, name) : name);
}
