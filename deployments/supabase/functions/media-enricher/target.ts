/** Where a request goes: always to the gateway, and there to its routes alone. */

/** Hosted Supabase takes it off before the function sees a path; some self-hosted proxies do not. */
const PREFIX = "/functions/v1";
/** The function's name and the gateway's routes: plain names between single slashes. */
const ROUTE = /^\/media-enricher(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*\/?$/;
/** supabase-js adds it for Supabase's own routing (`invoke(…, { region })`). */
const REGION = "forceFunctionRegion";

/** What a request asks for. Its host is the caller's to choose, is not needed, and may be no host. */
export function urlOf(request: Request): URL {
  return new URL(request.url.replace(/^https?:\/\/[^/?#]*/i, "http://function"));
}

/**
 * The path below the gateway's base, or null if it is none of the gateway's.
 *
 * `URL` has resolved dots by now, encoded ones too. What is encoded otherwise is refused: no route
 * has it.
 */
export function routeOf(url: URL): string | null {
  const path = url.pathname.startsWith(`${PREFIX}/`)
    ? url.pathname.slice(PREFIX.length)
    : url.pathname;
  return ROUTE.test(path) ? path : null;
}

/** The query as it was sent, without the region. */
export function queryOf(url: URL): string {
  const pairs = url.search.slice(1).split("&");
  const kept = pairs.filter((pair) => pair !== "" && !new URLSearchParams(pair).has(REGION));
  return kept.length > 0 ? `?${kept.join("&")}` : "";
}
