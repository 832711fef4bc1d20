// @ts-check
/** The form that counts and starts runs. */

import { Api, ApiError } from "./api.js";
import { chosen } from "./confirmation.js";
import { costOf, sentenceOf } from "./cost.js";
import { byId, element } from "./dom.js";
import { SignedOutError } from "./session.js";
import { toast } from "./toasts.js";

const BYTES_PER_GIGABYTE = 1e9;
/** The form's fields that the gateway knows by another name. @type {Record<string, string>} */
const FIELDS = { max_bytes: "max_gigabytes" };
const MODES = {
  missing: "Objects that are new or changed, or failed for a temporary reason.",
  failed: "All failed objects.",
  stale: "Objects whose metadata is from an older version of the enricher.",
  all: "Every object, also those with current metadata.",
};
const DEPTHS = {
  full: "Reads whole objects: all metadata, with placeholder, colours and hashes.",
  header: "Reads only the start of each object: type, dimensions, capture data.",
};
const PREFIX_HINT = "Only objects whose path starts with this text.";
const TENANT_HINT = "You are an admin of one tenant: the prefix must start with its folder.";

export class StartForm {
  /**
   * @param {Api} api
   * @param {{ onStarted: (runId: string) => void, onSignedOut: () => void }} events
   */
  constructor(api, { onStarted, onSignedOut }) {
    this.api = api;
    this.onStarted = onStarted;
    this.onSignedOut = onSignedOut;
    this.form = /** @type {HTMLFormElement} */ (byId("start-form"));
    this.countButton = /** @type {HTMLButtonElement} */ (byId("count"));
    this.startButton = /** @type {HTMLButtonElement} */ (byId("start-button"));
    this.counted = byId("counted");
    this.error = byId("start-error");
    this.countsAsked = 0;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this._start();
    });
    this.form.addEventListener("input", () => this._forgetAnswers());
    this.countButton.addEventListener("click", () => this._count());
    byId("to-form").addEventListener("click", () => this._field("bucket").focus());
    this._explain();
  }

  /**
   * Offers what this user may work on.
   * @param {string} defaultBucket
   * @param {string | null} tenantId
   */
  prepare(defaultBucket, tenantId) {
    this.form.reset();
    this._forgetAnswers();
    this._field("bucket").value = defaultBucket;
    byId("prefix-hint").textContent = tenantId ? TENANT_HINT : PREFIX_HINT;
    this._field("prefix").value = tenantId ? `${tenantId}/` : "";
    this._suggestBuckets(defaultBucket);
  }

  /** @param {string} defaultBucket */
  async _suggestBuckets(defaultBucket) {
    const { buckets } = await this.api.buckets().catch(() => ({ buckets: null }));
    if (!buckets) return; // the name can be typed, and polling shows the error
    byId("buckets").replaceChildren(...buckets.map((value) => element("option", { value })));
    const field = this._field("bucket");
    const isUntouched = field.value === defaultBucket && document.activeElement !== field;
    if (!buckets.includes(defaultBucket) && isUntouched) field.value = buckets[0] ?? defaultBucket;
  }

  async _count() {
    const request = this._request();
    if (!request) return;
    this.countsAsked += 1;
    const turn = this.countsAsked;
    await this._busy(this.countButton, "Counting…", async () => {
      const estimate = await this.api.count(request);
      if (turn === this.countsAsked) this.counted.textContent = sentenceOf(estimate);
    });
  }

  async _start() {
    const request = this._request();
    if (!request) return;
    await this._busy(this.startButton, "Starting…", async () => {
      const depth = await this._affordableDepth(request);
      if (!depth) return;
      request.depth = depth;
      const { run_id: id, already_running: wasRunning } = await this.api.start(
        request,
        (error, seconds) => this._showError(`${error.message} Trying again in ${seconds} s.`),
      );
      this._forgetAnswers();
      const place = request.prefix ? `${request.bucket}/${request.prefix}` : request.bucket;
      toast(wasRunning ? `A run of ${place} is already under way.` : `Started a run of ${place}.`);
      this.onStarted(id);
    });
  }

  /**
   * The depth that the user wants once they know that `full` would read very much, or "" for none.
   * @param {import("./api.js").RunRequest} request
   */
  async _affordableDepth(request) {
    if (request.depth !== "full" || request.max_bytes) return request.depth;
    const estimate = await this.api.count(request).catch(() => null); // the start says what is wrong
    if (!estimate?.suggestion) return request.depth;
    return chosen(
      `Read ${costOf(estimate)}?`,
      `${estimate.suggestion.message} ${DEPTHS.header}`,
      [
        { label: "Use header depth", value: "header", look: "primary" },
        { label: "Read everything", value: "full" },
        { label: "Back", value: "" },
      ],
    );
  }

  /** The request that the form describes, or null if a field is invalid and shows an error. */
  _request() {
    this._forgetAnswers();
    const limit = this._field("limit");
    const bucket = this._field("bucket").value.trim();
    if (!bucket) return this._refuse("bucket", "Enter the name of a bucket.");
    if (!limit.validity.valid) {
      return this._refuse("limit", "Enter a whole number of at least 1, or leave the limit empty.");
    }
    const maximum = this._field("max_gigabytes");
    if (!maximum.validity.valid) {
      return this._refuse("max_gigabytes", "Enter a number of gigabytes, such as 0.5, or leave the field empty.");
    }
    const prefix = this._field("prefix").value;
    return {
      bucket,
      ...(prefix && { prefix }),
      ...(limit.value && { limit: Number(limit.value) }),
      ...(maximum.value && { max_bytes: Math.round(Number(maximum.value) * BYTES_PER_GIGABYTE) }),
      mode: this._field("mode").value,
      depth: this._field("depth").value,
    };
  }

  /**
   * Does something once, with its button showing that, and shows what went wrong.
   * @param {HTMLButtonElement} button
   * @param {string} label
   * @param {() => Promise<void>} work
   */
  async _busy(button, label, work) {
    if (button.getAttribute("aria-disabled") === "true") return;
    const usual = button.textContent;
    button.setAttribute("aria-disabled", "true"); // not `disabled`, which would lose the focus
    button.textContent = label;
    try {
      await work();
    } catch (error) {
      if (error instanceof SignedOutError) this.onSignedOut();
      else if (error instanceof ApiError) {
        button.textContent = usual;
        await this._showRefusal(error);
      }
      else throw error;
    } finally {
      button.textContent = usual;
      button.removeAttribute("aria-disabled");
    }
  }

  /**
   * A request that came too often is not taken again before its time.
   * @param {ApiError} error
   */
  async _showRefusal(error) {
    if (error.field) this._refuse(FIELDS[error.field] ?? error.field, error.message);
    else this._showError(error.message);
    if (error.status !== 429) return;
    for (let seconds = Math.ceil(error.retryAfter ?? 0); seconds > 0; seconds -= 1) {
      this._showError(`${error.message} Try again in ${seconds} s.`);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    this._showError("");
  }

  /**
   * @param {string} name
   * @param {string} sentence
   */
  _refuse(name, sentence) {
    this._showError(sentence);
    const field = this.form.elements.namedItem(name);
    if (field instanceof HTMLElement) {
      field.setAttribute("aria-invalid", "true");
      field.focus();
    }
    return null;
  }

  /** @param {string} sentence */
  _showError(sentence) {
    this.error.textContent = sentence;
  }

  /** The count and the error belong to a request, so they disappear when the form changes. */
  _forgetAnswers() {
    this.countsAsked += 1;
    this.counted.textContent = "";
    this._showError("");
    for (const field of this.form.querySelectorAll("[aria-invalid]")) {
      field.removeAttribute("aria-invalid");
    }
    this._explain();
  }

  _explain() {
    byId("mode-hint").textContent = MODES[/** @type {keyof MODES} */ (this._field("mode").value)];
    byId("depth-hint").textContent =
      DEPTHS[/** @type {keyof DEPTHS} */ (this._field("depth").value)];
  }

  /** @param {string} name */
  _field(name) {
    return /** @type {HTMLInputElement} */ (this.form.elements.namedItem(name));
  }
}
