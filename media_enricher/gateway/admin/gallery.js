// @ts-check
/** The assets of a run: each picture with its metadata. */

import { Api, ApiError } from "./api.js";
import { drawBlurhash } from "./blurhash.js";
import { KeyedList, element, setText, setTextOrHide, stamp } from "./dom.js";
import { cameraDate, count, playingTime, size } from "./format.js";
import { isActive } from "./progress.js";
import { SignedOutError } from "./session.js";
import { toast } from "./toasts.js";

/** @typedef {import("./api.js").Asset} Asset */
/** @typedef {import("./api.js").Run} Run */

const PAGE = 24;
const LARGEST_ORIGINAL_BYTES = 1e6;
const PLACEHOLDER_SIDE = 32;
const FRAME_SHAPE = 4 / 3;
const ACTIVE_MS = 3000; // a run's numbers move every second, its results need not
export const ADDRESSES_GOOD_FOR_MS = 5 * 60 * 1000;

export class Gallery {
  /**
   * @param {string} runId
   * @param {Api} api
   * @param {import("./dom.js").Parts} parts
   */
  constructor(runId, api, parts) {
    this.runId = runId;
    this.api = api;
    this.parts = parts;
    /** @type {Asset[]} */
    this.assets = [];
    /** @type {string | null} */
    this.next = null;
    this.pages = 1;
    this.loads = 0;
    this.loadedAt = 0;
    this.isActive = false;
    this.isOpen = true;
    this.state = "";
    /** @type {KeyedList<Asset>} */
    this.list = new KeyedList(parts.assets, (asset) => asset.path, () =>
      card(() => {
        this.state = "";
      }),
    );
    parts.filter.addEventListener("change", () => this._restart());
    parts.more.addEventListener("click", () => this._more());
  }

  /**
   * Reads again what is shown, if the run has moved on since. While it runs, only someone who
   * still is at the first page gets more under their eyes.
   * @param {Run} run
   */
  async refresh(run) {
    this.isActive = isActive(run);
    const state = `${run.status} ${run.processed_files}`;
    if (state === this.state || (this.isActive && this._mayWait())) return;
    this.loadedAt = Date.now();
    try {
      await this._load();
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 403)) throw error;
      this.isOpen = false; // this user may not see the results
      setTextOrHide(this.parts.nothing, error.message);
    }
    this.state = state;
  }

  _mayWait() {
    return this.pages > 1 || Date.now() - this.loadedAt < ACTIVE_MS;
  }

  async _restart() {
    this.pages = 1;
    await this._guarded(() => this._load());
  }

  async _more() {
    this.pages += 1;
    const firstNew = this.assets.length;
    await this._guarded(async () => {
      this.loads += 1;
      const turn = this.loads;
      const page = await this._page(this.next);
      if (turn === this.loads) this._show([...this.assets, ...page.assets], page.next);
    });
    if (!this.next) this.parts.assets.children[firstNew]?.querySelector("h4")?.focus();
  }

  /** @param {() => Promise<void>} load */
  async _guarded(load) {
    try {
      await load();
    } catch (error) {
      if (error instanceof ApiError) toast(error.message, { isError: true });
      else if (!(error instanceof SignedOutError)) throw error; // the next poll handles it
    }
  }

  /** Loads as many pages as are shown. If several loads are in progress, the last one counts. */
  async _load() {
    this.loads += 1;
    const turn = this.loads;
    /** @type {Asset[]} */
    const assets = [];
    /** @type {string | null} */
    let next = null;
    do {
      const page = await this._page(next);
      assets.push(...page.assets);
      next = page.next;
    } while (next && assets.length < this.pages * PAGE && turn === this.loads);
    if (turn === this.loads) this._show(assets, next);
  }

  /** @param {string | null} after */
  _page(after) {
    return this.api.assets(this.runId, {
      after: after ?? undefined,
      limit: PAGE,
      status: this.parts.filter.value,
    });
  }

  /**
   * @param {Asset[]} assets
   * @param {string | null} next
   */
  _show(assets, next) {
    this.assets = assets;
    this.next = next;
    this.list.show(assets);
    this.parts.more.hidden = !next;
    const nothing = this.isActive
      ? "No objects yet. They appear here as they are processed."
      : "This run has no objects with this status.";
    setTextOrHide(this.parts.nothing, assets.length ? "" : nothing);
  }
}

/**
 * One asset, redrawn only if it has changed. The signed URL of its picture is new in each response,
 * and used only if the previous one has expired.
 * @param {() => void} onOutdated
 */
export function card(onOutdated) {
  const { nodes, parts } = stamp("asset");
  let drawn = "";
  let addressedAt = 0;
  const isOutdated = () => Date.now() - addressedAt > ADDRESSES_GOOD_FOR_MS;
  parts.image.addEventListener("load", () => parts.picture.classList.add("loaded"));
  parts.image.addEventListener("error", () => {
    parts.image.hidden = true;
    const type = parts.image.dataset.type;
    setTextOrHide(parts.absent, `Your browser can’t show this ${type || "picture"}.`);
    if (isOutdated()) onOutdated();
  });
  return {
    node: nodes[0],
    update: (/** @type {Asset} */ asset) => {
      const { picture_url: _, preview_url: __, ...found } = asset;
      const isSame = drawn === JSON.stringify(found);
      if (isSame && (parts.picture.classList.contains("loaded") || !isOutdated())) return;
      drawn = JSON.stringify(found);
      addressedAt = Date.now();
      drawPicture(parts, asset);
      drawText(parts, asset);
      drawColours(parts, asset);
    },
  };
}

/**
 * A card never loads a large original: the placeholder stands for it.
 * @param {Asset} asset
 */
function pictureOf({ preview_url: preview, picture_url: original, size_bytes: bytes }) {
  if (preview) return preview;
  return bytes !== null && bytes <= LARGEST_ORIGINAL_BYTES ? original : null;
}

/**
 * Reserves the picture's space, and fills it with the placeholder until the picture has loaded.
 * @param {import("./dom.js").Parts} parts
 * @param {Asset} asset
 */
function drawPicture(parts, asset) {
  const { blurhash, kind } = asset;
  const url = pictureOf(asset);
  const width = asset.width ?? asset.page_width_points;
  const height = asset.height ?? asset.page_height_points;
  const shape = width && height ? width / height : kind === "audio" ? 1 : FRAME_SHAPE;
  parts.picture.style.setProperty("aspect-ratio", String(shape));
  parts.picture.classList.toggle("tall", shape < FRAME_SHAPE);
  parts.picture.classList.toggle("clear", Boolean(asset.has_alpha));
  parts.placeholder.width = shape >= 1 ? PLACEHOLDER_SIDE : Math.ceil(PLACEHOLDER_SIDE * shape);
  parts.placeholder.height = shape >= 1 ? Math.ceil(PLACEHOLDER_SIDE / shape) : PLACEHOLDER_SIDE;
  parts.placeholder.hidden = !(blurhash && drawBlurhash(parts.placeholder, blurhash));
  const hasIcon = ["video", "audio", "document"].includes(kind);
  parts.icon.toggleAttribute("hidden", !hasIcon);
  if (hasIcon) {
    parts.icon.setAttribute("aria-label", kind);
    parts.icon.firstElementChild?.setAttribute("href", `#icon-${kind}`);
  }
  const isPicture = Boolean(url && width && kind === "image");
  parts.image.hidden = !isPicture;
  const isLarge = Boolean(asset.picture_url && !url && width && kind === "image");
  setTextOrHide(parts.absent, absence(isPicture || hasIcon, isLarge, Boolean(blurhash)));
  if (!isPicture) return;
  parts.image.alt = asset.description ?? asset.title ?? nameOf(asset.path);
  parts.image.width = width;
  parts.image.height = height;
  parts.image.dataset.type = asset.content_type ?? "";
  parts.image.src = url;
}

/**
 * What is said in place of a picture.
 * @param {boolean} isShown
 * @param {boolean} isLarge
 * @param {boolean} hasPlaceholder
 */
function absence(isShown, isLarge, hasPlaceholder) {
  if (isShown) return "";
  if (isLarge) return hasPlaceholder ? "Placeholder of a large picture" : "Large picture";
  return hasPlaceholder ? "" : "No picture";
}

/**
 * @param {import("./dom.js").Parts} parts
 * @param {Asset} asset
 */
function drawText(parts, asset) {
  setText(parts.name, nameOf(asset.path));
  setTextOrHide(parts.folder, asset.path.slice(0, -nameOf(asset.path).length));
  const isBad = asset.status !== "enriched";
  const reason = [asset.error_code, asset.error_message].filter(Boolean).join(": ");
  setTextOrHide(parts.failure, isBad ? reason || asset.status : "");
  parts.failure.dataset.status = asset.status;
  const warnings = asset.warnings?.map((warning) => warning.replaceAll("-", " ")) ?? [];
  setTextOrHide(parts.warnings, warnings.length ? `Warnings: ${warnings.join(", ")}` : "");
  parts.measures.replaceChildren(...measures(asset).map((text) => element("li", {}, text)));
  setTextOrHide(parts.title, asset.title ?? asset.description ?? "");
  setTextOrHide(
    parts.capture,
    joined([
      cameraOf(asset),
      asset.taken_at ? `taken ${cameraDate(asset.taken_at, asset.taken_at_offset)}` : null,
    ]),
  );
  listOrHide(parts.tags, asset.tags);
  listOrHide(parts.labels, asset.labels);
}

/**
 * @param {HTMLElement} list
 * @param {string[] | null} texts
 */
function listOrHide(list, texts) {
  list.hidden = !texts?.length;
  list.replaceChildren(...(texts ?? []).map((text) => element("li", {}, text)));
}

/** @param {Asset} asset */
function measures(asset) {
  const { width, height, content_type: type, size_bytes: bytes } = asset;
  const { duration_seconds: seconds, page_count: pages } = asset;
  return [
    width && height ? `${count(width)} × ${count(height)}` : "",
    seconds === null ? "" : playingTime(seconds),
    pages ? `${count(pages)} ${pages === 1 ? "page" : "pages"}` : "",
    type ?? "",
    bytes === null ? "" : size(bytes),
    asset.has_alpha ? "transparency" : "",
  ].filter(Boolean);
}

/**
 * @param {import("./dom.js").Parts} parts
 * @param {Asset} asset
 */
function drawColours(parts, asset) {
  const { palette, blurhash, dominant_color: dominant } = asset;
  const colours = palette ?? (dominant ? [dominant] : []);
  parts.thumbnail.width = parts.placeholder.width;
  parts.thumbnail.height = parts.placeholder.height;
  parts.thumbnail.hidden = !(blurhash && drawBlurhash(parts.thumbnail, blurhash));
  parts.palette.replaceChildren(...colours.map(swatch));
  parts.palette.hidden = !colours.length;
}

/** @param {string} colour */
function swatch(colour) {
  const square = element("span", { className: "swatch" });
  square.style.setProperty("background-color", colour);
  return element("li", {}, square, element("code", {}, colour));
}

/** A model often begins with its make. @param {Asset} asset */
function cameraOf({ camera_make: make, camera_model: model }) {
  if (!make || !model) return make ?? model;
  return model.toLowerCase().startsWith(make.toLowerCase()) ? model : `${make} ${model}`;
}

/** @param {(string | null)[]} words */
const joined = (words) => words.filter(Boolean).join(" · ");

/** @param {string} path */
const nameOf = (path) => path.slice(path.lastIndexOf("/") + 1);
