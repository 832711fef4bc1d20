/**
 * CORS by the gateway's own rules (`media_enricher/gateway/cors.py`; a test compares the lists).
 *
 * The function answers preflights itself, so that a browser shows a page the 503 of a gateway that
 * is away, and not an error without a status.
 */

const METHODS = ["GET", "POST"];
const HEADERS = [
  "accept",
  "accept-language",
  "apikey",
  "authorization",
  "content-language",
  "content-type",
  "idempotency-key",
  "x-client-info",
  "x-region",
  "x-supabase-api-version",
];
const EXPOSED_HEADERS = ["Retry-After"];
const MAX_AGE_SECONDS = 600;

/** Whether a request is a browser's question, and not the request of a page itself. */
export function isPreflight(request: Request): boolean {
  return request.method === "OPTIONS" && request.headers.has("origin") &&
    request.headers.has("access-control-request-method");
}

/** Answer a preflight: 200 with what is allowed, or 400 with what is not. */
export function preflight(request: Request, origins: string[]): Response {
  const asked = request.headers;
  const wanted = (asked.get("access-control-request-headers") ?? "").split(",")
    .map((name) => name.trim().toLowerCase()).filter((name) => name !== "");
  const refused = [
    ...(allowedOrigin(asked.get("origin"), origins) === null ? ["origin"] : []),
    ...(METHODS.includes(asked.get("access-control-request-method") ?? "") ? [] : ["method"]),
    ...(wanted.every((name) => HEADERS.includes(name)) ? [] : ["headers"]),
  ];
  const answer = refused.length > 0
    ? new Response(`Disallowed CORS ${refused.join(", ")}`, { status: 400 })
    : new Response("OK");
  answer.headers.set("access-control-allow-methods", METHODS.join(", "));
  answer.headers.set("access-control-allow-headers", HEADERS.join(", "));
  answer.headers.set("access-control-max-age", String(MAX_AGE_SECONDS));
  allowOrigin(asked.get("origin"), origins, answer.headers);
  return answer;
}

/** Let the page of an allowed origin read an answer. */
export function exposeTo(origin: string | null, origins: string[], headers: Headers): void {
  if (allowOrigin(origin, origins, headers)) {
    headers.set("access-control-expose-headers", EXPOSED_HEADERS.join(", "));
  }
}

/** Name the origin in the headers if it is allowed, and return whether it is. */
function allowOrigin(origin: string | null, origins: string[], headers: Headers): boolean {
  if (!origins.includes("*")) headers.append("vary", "Origin");
  const allowed = allowedOrigin(origin, origins);
  if (allowed !== null) headers.set("access-control-allow-origin", allowed);
  return allowed !== null;
}

function allowedOrigin(origin: string | null, origins: string[]): string | null {
  if (origin === null) return null;
  if (origins.includes("*")) return "*";
  return origins.includes(origin) ? origin : null;
}
