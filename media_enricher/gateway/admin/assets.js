// @ts-check
/** The search of all assets. Its filters are in the URL's hash, so a search is a link. */

import { Api, ApiError } from "./api.js";
import { KeyedList, byId, element, setText, setTextOrHide } from "./dom.js";
import { counted, size } from "./format.js";
import { ADDRESSES_GOOD_FOR_MS, card } from "./gallery.js";
import { goTo, linkTo } from "./router.js";

/** @typedef {import("./api.js").FoundAsset} FoundAsset */
/** @typedef {import("./api.js").MissingObject} MissingObject */

const PAGE = 24;
const TYPING_PAUSE_MS = 350;
const FILTERS = ["words", "bucket", "kind", "status", "label", "color", "only"];
/** What the choices of `only` ask the gateway for. `missing` asks another route. */
const ONLY = /** @type {Record<string, Record<string, boolean>>} */ ({
  located: { is_located: true },
  "no-alt-text": { lacks_alt_text: true },
  copies: { is_copied: true },
});

export class AssetSearch {
  /** @param {Api} api */
  constructor(api) {
    this.api = api;
    /** @type {HTMLFormElement} */
    this.form = byId("search");
    /** The filters that are shown, or null where the view is another. @type {string | null} */
    this.shown = null;
    this.isDue = false;
    this.loadedAt = 0;
    this.loads = 0;
    /** @type {string | null} */
    this.next = null;
    /** @type {FoundAsset[]} */
    this.assets = [];
    /** @type {MissingObject[]} */
    this.objects = [];
    this.list = assetList(byId("found"));
    this.typing = 0;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this._follow();
    });
    this.form.addEventListener("change", () => this._follow());
    byId("words").addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = window.setTimeout(() => this._follow(), TYPING_PAUSE_MS);
    });
    byId("more-assets").addEventListener("click", () => this._more());
  }

  /** @param {URLSearchParams | null} params */
  choose(params) {
    clearTimeout(this.typing);
    const shown = params && JSON.stringify(FILTERS.map((name) => params.get(name) ?? ""));
    if (shown === this.shown) return;
    this.shown = shown;
    this.isDue = Boolean(params);
    this.loads += 1; // what is under way answers another question
    if (!params) return;
    for (const name of FILTERS) {
      const field = this._field(name);
      if (document.activeElement !== field) field.value = params.get(name) ?? "";
    }
    setText(byId("found-count"), "Searching…");
  }

  /** Searches, if the filters have changed, or the addresses of the pictures have expired. */
  async refresh() {
    const isOld = Date.now() - this.loadedAt > ADDRESSES_GOOD_FOR_MS && this.assets.length <= PAGE;
    if (!this.isDue && !isOld) return;
    this.isDue = false;
    await this._load(null);
  }

  async _more() {
    const first = this.assets.length + this.objects.length;
    byId("more-assets").hidden = true;
    await this._load(this.next);
    const list = this._value("only") === "missing" ? byId("missing-objects") : byId("found");
    /** @type {HTMLElement | null | undefined} */
    const target = list.children[first]?.querySelector("h4") ?? undefined;
    target?.focus();
  }

  /** @param {string | null} after */
  async _load(after) {
    this.loads += 1;
    const turn = this.loads;
    try {
      const isMissing = this._value("only") === "missing";
      const bucket = this._value("bucket");
      if (isMissing && !bucket) {
        this._show([], [], null, "Choose a bucket to see what is missing from it.");
        return;
      }
      const page = isMissing
        ? { assets: [], ...(await this.api.missing({ bucket, after: after ?? "", limit: PAGE })) }
        : { objects: [], ...(await this.api.search(this._question(after))) };
      if (turn !== this.loads) return;
      this.loadedAt = Date.now();
      this._show(
        after ? [...this.assets, ...page.assets] : page.assets,
        after ? [...this.objects, ...page.objects] : page.objects,
        page.next,
      );
    } catch (error) {
      if (!(error instanceof ApiError) || error.status === 403) throw error;
      if (error.isPassing) this.isDue = true; // the next poll asks again
      if (turn === this.loads) this._show([], [], null, error.message);
    }
  }

  /**
   * @param {FoundAsset[]} assets
   * @param {MissingObject[]} objects
   * @param {string | null} next
   * @param {string} [trouble]
   */
  _show(assets, objects, next, trouble = "") {
    this.assets = assets;
    this.objects = objects;
    this.next = next;
    this.list.show(assets);
    byId("missing-objects").replaceChildren(...objects.map(missingItem));
    byId("more-assets").hidden = !next;
    const shown = assets.length + objects.length;
    setText(byId("found-count"), shown ? `${counted(shown, "object")}${next ? " shown" : ""}` : "");
    setTextOrHide(byId("nothing-found"), trouble || (shown ? "" : "Nothing matches these filters."));
  }

  /** @param {string | null} after */
  _question(after) {
    const given = FILTERS.filter((name) => name !== "only").map((name) => [name, this._value(name)]);
    return {
      ...Object.fromEntries(given),
      ...ONLY[this._value("only")],
      after: after ?? "",
      limit: PAGE,
    };
  }

  _follow() {
    if (this.shown === null) return;
    const filters = Object.fromEntries(FILTERS.map((name) => [name, this._value(name)]));
    goTo(linkTo("assets", filters), { replace: true });
  }

  /**
   * @param {string} name
   * @returns {HTMLInputElement}
   */
  _field(name) {
    return /** @type {HTMLInputElement} */ (this.form.elements.namedItem(name));
  }

  /** @param {string} name */
  _value(name) {
    return this._field(name).value.trim();
  }
}

/**
 * A list of cards that lead to their assets.
 * @param {HTMLElement} list
 * @returns {KeyedList<FoundAsset>}
 */
export function assetList(list) {
  return new KeyedList(list, (asset) => asset.id, linkedCard);
}

function linkedCard() {
  const { node, update } = card(() => {});
  const part = (/** @type {string} */ name) =>
    /** @type {HTMLElement} */ (node.querySelector(`[data-part="${name}"]`));
  return {
    node,
    update: (/** @type {FoundAsset} */ asset) => {
      update(asset);
      const name = part("name");
      if (!name.querySelector("a")) {
        const href = linkTo("asset", { id: asset.id });
        name.replaceChildren(element("a", { href }, name.textContent ?? ""));
      }
      const folder = asset.path.slice(0, asset.path.lastIndexOf("/") + 1);
      setTextOrHide(part("folder"), `${asset.bucket}/${folder}`);
    },
  };
}

/** @param {MissingObject} object */
function missingItem({ path, size_bytes: bytes, declared_content_type: type }) {
  const facts = [type, bytes === null ? null : size(bytes)].filter(Boolean).join(" · ");
  return element(
    "li",
    {},
    element("span", {}, path),
    " ",
    element("span", { className: "quiet small" }, facts),
  );
}
