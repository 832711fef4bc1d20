// @ts-check
/** Short messages at the edge of the page. All but errors disappear after some seconds. */

import { byId, element } from "./dom.js";

const SECONDS_SHOWN = 10;
const SECONDS_SHOWN_WITH_LINK = 20;
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
  if (!isError) leaveAfter(node, link ? SECONDS_SHOWN_WITH_LINK : SECONDS_SHOWN);
}

/**
 * Removes a message after some time, unless the pointer or the focus is on it.
 * @param {HTMLElement} node
 * @param {number} seconds
 */
function leaveAfter(node, seconds) {
  setTimeout(() => {
    if (node.matches(":hover, :focus-within")) leaveAfter(node, seconds);
    else node.remove();
  }, seconds * 1000);
}

/**
 * Announces a change to users of screen readers.
 * @param {string} text
 */
export function announce(text) {
  byId("announcer").textContent = text;
}
