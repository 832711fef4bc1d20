// @ts-check
/** One asset: its picture, every field, its runs, what looks like it, and Enrich again. */

import { Api, ApiError } from "./api.js";
import { assetList } from "./assets.js";
import { byId, element, setText, setTextOrHide, stamp } from "./dom.js";
import { cameraDate, count, date, playingTime, size } from "./format.js";
import { card } from "./gallery.js";
import { linkTo } from "./router.js";
import { SignedOutError } from "./session.js";
import { toast } from "./toasts.js";

/** @typedef {import("./api.js").AssetDetails} AssetDetails */
/** @typedef {import("./api.js").AssetRun} AssetRun */

const SECONDS_BETWEEN_LOOKS = 2;
/** After Enrich again, so long the row is read again and again. */
const SECONDS_OF_WAITING = 120;
/** Fields that the page shows elsewhere, or that only the database uses. */
const NO_FACTS = /^(id|bucket|path|exif|phash_band_\d|error_code|error_message)$/;
const SIZES = new Set(["size_bytes"]);
const TIMES = new Set(["enriched_at", "created_at", "updated_at", "gone_at"]);

/** The chosen asset, until another is chosen. */
export class AssetView {
  /**
   * @param {string} id
   * @param {Api} api
   */
  constructor(id, api) {
    this.id = id;
    this.api = api;
    this.isLeft = false;
    this.isDone = false;
    this.lookedAt = 0;
    /** The row's enriched_at before Enrich again, and when to stop waiting for another. */
    this.waiting = { since: "", until: 0 };
    const { nodes, parts } = stamp("asset-detail");
    this.nodes = nodes;
    this.parts = parts;
    this.card = card(() => {
      this.isDone = false;
    });
    this.similar = assetList(parts.similar);
    /** @type {AssetDetails | null} */
    this.details = null;
    parts.again.addEventListener("click", () => this._enrichAgain());
    parts.picture.replaceChildren(this.card.node);
    setText(byId("asset-title"), "Loading the asset…");
    setTextOrHide(byId("asset-hint"), "");
    byId("asset-view").replaceChildren();
  }

  /** Reads the asset once, and while a run that was asked for is under way. */
  async refresh() {
    const isWaiting = Date.now() < this.waiting.until;
    const isSoon = Date.now() - this.lookedAt < SECONDS_BETWEEN_LOOKS * 1000;
    if (this.isLeft || (this.isDone && (!isWaiting || isSoon))) return;
    this.lookedAt = Date.now();
    try {
      const details = await this.api.asset(this.id);
      if (!this.isLeft) this._show(details);
    } catch (error) {
      if (!(error instanceof ApiError && error.status !== null && [404, 422].includes(error.status))) {
        throw error;
      }
      setText(byId("asset-title"), "No such asset");
      setTextOrHide(byId("asset-hint"), error.message);
    }
    this.isDone = true;
  }

  /** Stops requests in progress from overwriting the next view. */
  leave() {
    this.isLeft = true;
  }

  /** @param {AssetDetails} details */
  _show(details) {
    const { asset, runs, similar } = details;
    const { parts } = this;
    this.details = details;
    if (this.waiting.until && asset.enriched_at !== this.waiting.since) {
      this.waiting.until = 0;
      toast("The asset was enriched again.");
    }
    if (!this.nodes[0].isConnected) byId("asset-view").replaceChildren(...this.nodes);
    setText(byId("asset-title"), String(asset.path).split("/").pop() ?? "");
    const { picture_url, preview_url } = details;
    this.card.update(/** @type {any} */ ({ ...asset, picture_url, preview_url }));
    parts.original.hidden = !picture_url;
    parts.original.href = picture_url ?? "";
    setText(parts.place, `${asset.bucket}/${asset.path}`);
    setTextOrHide(parts.gone, asset.gone_at ? `Deleted; noticed ${date(asset.gone_at)}.` : "");
    parts.again.disabled = Boolean(asset.gone_at);
    parts.bucket.href = linkTo("assets", { bucket: asset.bucket });
    parts.fields.replaceChildren(...fields(asset));
    setTextOrHide(parts.exif, asset.exif ? JSON.stringify(asset.exif, null, 2) : "");
    parts.exifSection.hidden = !asset.exif;
    parts.runs.replaceChildren(...runs.map(runItem));
    setTextOrHide(parts.noRuns, runs.length ? "" : "No run is on record for it.");
    this.similar.show(similar);
    setTextOrHide(parts.noSimilar, similar.length ? "" : "Nothing looks like it.");
  }

  async _enrichAgain() {
    if (!this.details) return;
    const { bucket, path, enriched_at: since } = this.details.asset;
    this.parts.again.disabled = true;
    try {
      const { run_id: id } = await this.api.enrich(bucket, path);
      this.waiting = { since, until: Date.now() + SECONDS_OF_WAITING * 1000 };
      toast("A run looks at the asset again.", {
        link: { text: "See the run", href: linkTo("run", { id }) },
      });
    } catch (error) {
      if (error instanceof ApiError) toast(error.message, { isError: true });
      else if (!(error instanceof SignedOutError)) throw error; // the next poll handles it
    }
    this.parts.again.disabled = false;
  }
}

/** Each field that has a value, in the order of the table. @param {Record<string, any>} asset */
function fields(asset) {
  return Object.entries(asset)
    .filter(([name, value]) => !NO_FACTS.test(name) && value !== null)
    .map(([name, value]) =>
      element("div", {}, element("dt", {}, name.replaceAll("_", " ")), field(name, value, asset)),
    );
}

/**
 * @param {string} name
 * @param {any} value
 * @param {Record<string, any>} asset
 */
function field(name, value, asset) {
  if (name === "run_id") {
    return element("dd", {}, element("a", { href: linkTo("run", { id: value }) }, value));
  }
  if (name === "sha256") return element("dd", {}, element("code", {}, value));
  return element("dd", {}, text(name, value, asset));
}

/**
 * @param {string} name
 * @param {any} value
 * @param {Record<string, any>} asset
 * @returns {string}
 */
function text(name, value, asset) {
  if (SIZES.has(name)) return `${size(value)} (${count(value)} bytes)`;
  if (TIMES.has(name)) return date(value);
  if (name === "taken_at") return cameraDate(value, asset.taken_at_offset);
  if (name === "duration_seconds") return playingTime(value);
  if (Array.isArray(value)) return value.join(", ") || "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return String(value);
}

/** @param {AssetRun} run */
function runItem(run) {
  const moment = run.started_at ?? run.finished_at;
  const outcome = run.outcome
    ? [run.outcome, run.error_code].filter(Boolean).join(": ")
    : "over its folder; only its snapshot says what it did here";
  return element(
    "li",
    {},
    element("a", { href: linkTo("run", { id: run.id }) }, moment ? date(moment) : "not started"),
    ` ${run.flow}, ${run.mode}: `,
    element("strong", {}, outcome),
    run.is_last ? element("span", { className: "quiet" }, " · wrote what is shown") : "",
  );
}
