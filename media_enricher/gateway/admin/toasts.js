// @ts-check
/** Short messages at the edge of the page. Those with a link or an error stay until dismissed. */

import { byId, element } from "./dom.js";

const SECONDS_SHOWN = 8;
const MOST = 4;

/**
 * @param {string} text
 * @param {{ link?: { text: string, href: string }, isError?: boolean }} [options]
 */
export function toast(text, { link, isError = false } = {}) {
  const node = element("div", { className: isError ? "toast bad" : "toast" });
  const remove = () => node.remove();
  const words = element("p", {}, text);
  if (link) {
    const anchor = element("a", { href: link.href, onclick: remove }, link.text);
    words.append(" ", anchor);
  }
  const dismiss = element("button", { type: "button", className: "plain", onclick: remove }, "×");
  dismiss.setAttribute("aria-label", "Dismiss this message");
  node.append(words, dismiss);

  const toasts = byId("toasts");
  toasts.append(node);
  while (toasts.children.length > MOST) toasts.firstElementChild?.remove();
  if (!link && !isError) setTimeout(remove, SECONDS_SHOWN * 1000);
}

/**
 * Says something to those who can't see the page change.
 * @param {string} text
 */
export function announce(text) {
  byId("announcer").textContent = text;
}
