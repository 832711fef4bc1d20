// @ts-check
/** Which view is shown. The URL's hash says so: a view is a link, and holds no secret. */

/** @typedef {"home" | "run" | "assets" | "asset"} ViewName */

/**
 * @typedef {object} View
 * @property {ViewName} name
 * @property {string} id Of the run or the asset, else "".
 * @property {URLSearchParams} params What follows the `?`, such as the filters of the assets.
 */

/** The hash of each view. An id is one segment, and a hash that matches none is the home view. */
const PATHS = /** @type {const} */ ({
  home: "#/",
  run: "#/runs/",
  assets: "#/assets",
  asset: "#/assets/",
});

/** @returns {View} */
export function currentView() {
  return viewOf(location.hash);
}

/**
 * @param {string} hash
 * @returns {View}
 */
export function viewOf(hash) {
  const [path, query = ""] = splitOnce(hash, "?");
  const params = new URLSearchParams(query);
  if (path === PATHS.assets) return { name: "assets", id: "", params };
  for (const name of /** @type {const} */ (["run", "asset"])) {
    const id = decoded(path, PATHS[name]);
    if (id) return { name, id, params };
  }
  return { name: "home", id: "", params };
}

/**
 * The hash of a view, for `href`. A parameter that is empty is left out.
 * @param {ViewName} name
 * @param {Record<string, string | number | undefined>} [params] `id` names the run or the asset.
 */
export function linkTo(name, { id = "", ...params } = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    if (value !== undefined && value !== "") query.set(key, String(value));
  }
  const path = PATHS[name] + encodeURIComponent(id);
  return query.size ? `${path}?${query}` : path;
}

/**
 * Shows another view, as a link to it does. With `replace`, the Back button skips this one.
 * @param {string} link From `linkTo`.
 * @param {{ replace?: boolean }} [options]
 */
export function goTo(link, { replace = false } = {}) {
  if (replace) location.replace(link);
  else location.hash = link;
}

/** @param {(view: View) => void} listener Called after each change of the view. */
export function onViewChange(listener) {
  window.addEventListener("hashchange", () => listener(currentView()));
}

/**
 * @param {string} text
 * @param {string} separator
 */
function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

/**
 * The id after the start of a path, or "" if there is none or it is badly encoded.
 * @param {string} path
 * @param {string} start
 */
function decoded(path, start) {
  const id = path.startsWith(start) ? path.slice(start.length) : "";
  if (id.includes("/")) return "";
  try {
    return decodeURIComponent(id);
  } catch {
    return ""; // someone has changed the link by hand
  }
}
