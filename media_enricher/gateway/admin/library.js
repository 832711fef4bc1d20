// @ts-check
/** All assets together: the dashboard, the search, and one asset. For admins alone. */

import { Api, ApiError } from "./api.js";
import { AssetView } from "./asset.js";
import { AssetSearch } from "./assets.js";
import { Dashboard } from "./dashboard.js";
import { byId } from "./dom.js";

/** @typedef {import("./router.js").View} View */

export class Library {
  /** @param {Api} api */
  constructor(api) {
    this.dashboard = new Dashboard(api);
    this.search = new AssetSearch(api);
    /** @type {AssetView | null} */
    this.asset = null;
    this.api = api;
    this.isOpen = true;
  }

  /** @param {View} view */
  choose(view) {
    for (const link of byId("views").querySelectorAll("a")) {
      const isCurrent = link.getAttribute("href") === (view.name === "assets" ? "#/assets" : "#/");
      if (isCurrent && view.name !== "asset") link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    this.search.choose(view.name === "assets" ? view.params : null);
    const id = view.name === "asset" ? view.id : "";
    if (id === (this.asset?.id ?? "")) return;
    this.asset?.leave();
    this.asset = id ? new AssetView(id, this.api) : null;
  }

  /**
   * Reads what the view shows, if it is due.
   * @param {View} view
   */
  async refresh(view) {
    if (!this.isOpen) return;
    try {
      await this.dashboard.refresh();
      if (view.name === "assets") await this.search.refresh();
      if (view.name === "asset") await this.asset?.refresh();
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 403)) throw error;
      this.isOpen = false; // they may start runs, and see only their own rows
      byId("dashboard").classList.add("refused");
      byId("views").hidden = true;
    }
  }

  /** Forgets everything: the next to sign in may be another. */
  leave() {
    this.isOpen = true;
    byId("dashboard").classList.remove("refused");
    byId("views").hidden = false;
    this.dashboard.clear();
    this.search.choose(null);
    this.asset?.leave();
    this.asset = null;
  }
}
