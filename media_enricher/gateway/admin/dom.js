// @ts-check
/** Helpers that find, fill and reuse nodes. Text is always set as text, never as HTML. */

/**
 * The element with this id, which the page has.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`The page has no element #${id}.`);
  return /** @type {T} */ (node);
}

/** @typedef {Record<string, any>} Parts Nodes by the name in their `data-part`. */

/**
 * A copy of a template, and its parts by name.
 * @param {string} id
 * @returns {{ nodes: Element[], parts: Parts }}
 */
export function stamp(id) {
  const template = /** @type {HTMLTemplateElement} */ (byId(id));
  const copy = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
  /** @type {Parts} */
  const parts = {};
  for (const node of copy.querySelectorAll("[data-part]")) {
    parts[/** @type {HTMLElement} */ (node).dataset.part ?? ""] = node;
  }
  return { nodes: [...copy.children], parts };
}

/**
 * A new element, with properties and content.
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string)} content
 * @returns {HTMLElement}
 */
export function element(tag, properties = {}, ...content) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...content);
  return node;
}

/**
 * Sets text only where it differs, so that a poll touches nothing that has not changed.
 * @param {HTMLElement} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Sets text, and hides the node that has none.
 * @param {HTMLElement} node
 * @param {string} text
 */
export function setTextOrHide(node, text) {
  setText(node, text);
  node.hidden = !text;
}

/**
 * A list that follows data in place: an item keeps its node, so focus and scroll survive a poll.
 * @template Item
 */
export class KeyedList {
  /**
   * @param {HTMLElement} list
   * @param {(item: Item) => string} keyOf
   * @param {(item: Item) => { node: Element, update: (item: Item) => void }} make
   */
  constructor(list, keyOf, make) {
    this.list = list;
    this.keyOf = keyOf;
    this.make = make;
    /** @type {Map<string, { node: Element, update: (item: Item) => void }>} */
    this.views = new Map();
  }

  /** @param {Item[]} items */
  show(items) {
    const wanted = new Set(items.map(this.keyOf));
    for (const [key, view] of this.views) {
      if (wanted.has(key)) continue;
      view.node.remove();
      this.views.delete(key);
    }
    let place = this.list.firstElementChild;
    for (const item of items) {
      const key = this.keyOf(item);
      const view = this.views.get(key) ?? this.make(item);
      this.views.set(key, view);
      view.update(item);
      if (view.node === place) place = place.nextElementSibling;
      else this.list.insertBefore(view.node, place);
    }
  }
}
