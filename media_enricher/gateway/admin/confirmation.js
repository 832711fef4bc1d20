// @ts-check
/** Asks for confirmation before an action that cannot be undone. */

import { byId } from "./dom.js";

/**
 * @param {string} title
 * @param {string} text
 * @returns {Promise<boolean>} Whether the answer was yes; Escape is no.
 */
export function confirmed(title, text) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("confirmation"));
  byId("confirmation-title").textContent = title;
  byId("confirmation-text").textContent = text;
  return new Promise((resolve) => {
    byId("confirmation-yes").onclick = () => dialog.close("yes");
    byId("confirmation-no").onclick = () => dialog.close("no");
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
    dialog.returnValue = "no";
    dialog.showModal();
  });
}
