// @ts-check
/** How many objects each bucket has, and of which sort. Each figure leads to the assets behind it. */

import { Api } from "./api.js";
import { KeyedList, byId, element, setText, setTextOrHide, stamp } from "./dom.js";
import { ago, count, size } from "./format.js";
import { linkTo } from "./router.js";

/** @typedef {import("./api.js").BucketTotals} BucketTotals */
/** @typedef {{ objects: number, size_bytes: number, counted_at: string | null }} Amount */
/** @typedef {{ name: string, text: string, link: string, tone?: string }} Figure */

const SECONDS_BETWEEN_LOOKS = 3;
const MOST_CHIPS = 12;
const NOTHING = { objects: 0, size_bytes: 0, counted_at: null };

export class Dashboard {
  /** @param {Api} api */
  constructor(api) {
    this.api = api;
    this.lookedAt = 0;
    /** @type {KeyedList<BucketTotals>} */
    this.list = new KeyedList(byId("bucket-list"), (each) => each.bucket, bucketCard);
  }

  /** Reads the totals, unless that was a moment ago: a poll of runs comes more often. */
  async refresh() {
    if (Date.now() - this.lookedAt < SECONDS_BETWEEN_LOOKS * 1000) return;
    this.lookedAt = Date.now();
    const { buckets } = await this.api.dashboard();
    this.list.show(buckets);
    byId("no-buckets").hidden = buckets.length > 0;
    suggestLabels(buckets);
  }

  clear() {
    this.lookedAt = 0;
    this.list.show([]);
  }
}

/** For the search's field. @param {BucketTotals[]} buckets */
function suggestLabels(buckets) {
  const all = buckets.flatMap((each) => each.totals).filter((each) => each.facet === "label");
  const labels = [...new Set(all.map((each) => each.value))].sort();
  byId("labels").replaceChildren(...labels.map((value) => element("option", { value })));
}

function bucketCard() {
  const { nodes, parts } = stamp("bucket-totals");
  let drawn = "";
  return {
    node: nodes[0],
    update: (/** @type {BucketTotals} */ totals) => {
      const missing = totals.totals.find((each) => each.facet === "pending");
      setText(
        parts.counted,
        missing?.counted_at
          ? `Missing objects were counted ${ago(missing.counted_at)}.`
          : "Missing objects are counted at the end of the next run.",
      );
      if (drawn === JSON.stringify(totals)) return;
      drawn = JSON.stringify(totals);
      setText(parts.name, totals.bucket);
      parts.name.href = linkTo("assets", { bucket: totals.bucket });
      setTextOrHide(parts.access, totals.is_public ? "public" : "");
      parts.figures.replaceChildren(...figures(totals).map(figureItem));
      showChips(parts.kinds, totals, "kind");
      showChips(parts.labels, totals, "label");
    },
  };
}

/**
 * @param {BucketTotals} totals
 * @returns {Figure[]}
 */
function figures(totals) {
  const { bucket } = totals;
  const of = (/** @type {string} */ facet, /** @type {string} */ value) => find(totals, facet, value);
  const enriched = of("status", "enriched");
  const failed = of("status", "failed");
  const unsupported = of("status", "unsupported");
  const missing = of("pending", "missing");
  const copies = of("copy", "redundant");
  const located = of("location", "present");
  const all = [enriched, failed, unsupported, of("pending", "unrecorded")];
  const isKnown = Boolean(missing.counted_at || sum(all, "objects"));
  const link = (/** @type {Record<string, string>} */ filter) => linkTo("assets", { bucket, ...filter });
  return [
    { name: "Objects", text: isKnown ? count(sum(all, "objects")) : "–", link: link({}) },
    { name: "Size", text: isKnown ? size(sum(all, "size_bytes")) : "–", link: link({}) },
    { name: "Enriched", text: count(enriched.objects), link: link({ status: "enriched" }) },
    {
      name: "Missing",
      text: missing.counted_at ? count(missing.objects) : "–",
      link: link({ only: "missing" }),
    },
    {
      name: "Failed",
      text: count(failed.objects),
      link: link({ status: "failed" }),
      tone: failed.objects ? "bad" : "",
    },
    { name: "Unsupported", text: count(unsupported.objects), link: link({ status: "unsupported" }) },
    { name: "Wasted by copies", text: size(copies.size_bytes), link: link({ only: "copies" }) },
    {
      name: totals.is_public ? "Public, with a location" : "With a location",
      text: count(located.objects),
      link: link({ only: "located" }),
      tone: totals.is_public && located.objects ? "warn" : "",
    },
    {
      name: "No alternative text",
      text: count(of("alt_text", "absent").objects),
      link: link({ only: "no-alt-text" }),
    },
  ];
}

/** @param {Figure} figure */
function figureItem({ name, text, link, tone }) {
  const number = element("a", { href: link }, text);
  const item = element("div", {}, element("dt", {}, name), element("dd", {}, number));
  if (tone) item.dataset.tone = tone;
  return item;
}

/**
 * @param {HTMLElement} list
 * @param {BucketTotals} totals
 * @param {string} facet
 */
function showChips(list, totals, facet) {
  const values = totals.totals.filter((each) => each.facet === facet).slice(0, MOST_CHIPS);
  list.hidden = values.length === 0;
  list.replaceChildren(
    ...values.map(({ value, objects }) => {
      const href = linkTo("assets", { bucket: totals.bucket, [facet]: value });
      return element("li", {}, element("a", { href }, `${value} ${count(objects)}`));
    }),
  );
}

/**
 * @param {BucketTotals} totals
 * @param {string} facet
 * @param {string} value
 * @returns {Amount}
 */
function find(totals, facet, value) {
  return totals.totals.find((each) => each.facet === facet && each.value === value) ?? NOTHING;
}

/**
 * @param {Amount[]} amounts
 * @param {"objects" | "size_bytes"} what
 */
const sum = (amounts, what) => amounts.reduce((total, each) => total + each[what], 0);
