/** Which headers pass, in both directions: those that the gateway reads, and those that it sets. */

import type { Settings } from "./settings.ts";

const FORWARDED = [
  "accept",
  "accept-language",
  "apikey",
  "authorization",
  "content-type",
  "idempotency-key",
  "if-none-match",
  "user-agent",
  "x-client-info",
  "x-supabase-api-version",
  "x-webhook-secret",
];

/** Not `content-length`: the body is a stream, whose end says how long it was. */
const RETURNED = [
  "allow",
  "cache-control",
  "content-encoding",
  "content-language",
  "content-security-policy",
  "content-type",
  "etag",
  "last-modified",
  "referrer-policy",
  "retry-after",
  "www-authenticate",
  "x-content-type-options",
  "x-frame-options",
];

/** The gateway believes the address because of the secret. */
const CALLER_ADDRESS = "x-media-enricher-caller-address";
const SECRET = "x-media-enricher-edge-function-secret";

/** The headers of the request to the gateway. */
export function requestHeaders(given: Headers, settings: Settings): Headers {
  const headers = pick(given, FORWARDED);
  // An answer passes as it is. Without this, `fetch` would ask for a compressed one and unpack it.
  headers.set("accept-encoding", "identity");
  const address = callerAddress(given.get(settings.callerAddressHeader));
  if (settings.secret !== null && address !== null) {
    headers.set(CALLER_ADDRESS, address);
    headers.set(SECRET, settings.secret);
  }
  return headers;
}

/** The headers of the answer to the caller. */
export function answerHeaders(given: Headers): Headers {
  return pick(given, RETURNED);
}

/** Of several addresses the last: the nearest proxy has added it, and a caller may have the rest. */
function callerAddress(header: string | null): string | null {
  const last = header?.split(",").at(-1)?.trim() ?? "";
  return /^[0-9a-f.:]{2,45}$/i.test(last) ? last : null;
}

function pick(given: Headers, names: string[]): Headers {
  const picked = new Headers();
  for (const name of names) {
    const value = given.get(name);
    if (value !== null) picked.set(name, value);
  }
  return picked;
}
