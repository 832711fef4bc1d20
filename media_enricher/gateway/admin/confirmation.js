// @ts-check
/** Asks before an action that cannot be undone, or that costs much. */

import { byId, element } from "./dom.js";

/**
 * @typedef {object} Choice
 * @property {string} label
 * @property {string} value What `chosen` returns.
 * @property {"primary" | "danger"} [look]
 */

/**
 * @param {string} title
 * @param {string} text
 * @param {Choice[]} choices The first has the focus, so it is the one that changes least.
 * @returns {Promise<string>} The value of the choice, or "" for Escape.
 */
export function chosen(title, text, choices) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("confirmation"));
  byId("confirmation-title").textContent = title;
  byId("confirmation-text").textContent = text;
  const buttons = choices.map(({ label, value, look = "" }) =>
    element("button", { type: "button", className: look, onclick: () => dialog.close(value) }, label),
  );
  byId("confirmation-choices").replaceChildren(...buttons);
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue);
    dialog.returnValue = "";
    dialog.showModal();
    buttons[0].focus();
  });
}

/**
 * @param {object} question
 * @param {string} question.title
 * @param {string} question.text
 * @param {string} question.yes The label of the button that goes on.
 * @param {string} question.no
 * @param {"primary" | "danger"} [question.look] Of the button that goes on.
 * @returns {Promise<boolean>} Whether the answer was yes; Escape is no.
 */
export async function confirmed({ title, text, yes, no, look = "primary" }) {
  const choices = [
    { label: no, value: "no" },
    { label: yes, value: "yes", look },
  ];
  return (await chosen(title, text, choices)) === "yes";
}
