/** Answers that are errors, in the shape and with the codes of the gateway's own. */

/** When to try again after a 503 that does not say it itself, in seconds. */
const RETRY_SECONDS = 2;

/** 404: the gateway has no such route. */
export function notFound(path: string): Response {
  return answer(404, { error: `There is no route ${path}.`, code: "not_found" });
}

/** 405: a method that no route takes, and that cannot be forwarded. */
export function methodNotAllowed(method: string): Response {
  const error = `No route accepts ${method}. Use GET or POST.`;
  return answer(405, { error, code: "method_not_allowed" }, { allow: "GET, POST" });
}

/** 500: the function's secrets are wrong; its log says which. */
export function misconfigured(): Response {
  const error = "The Edge Function is not set up. The operator finds the reason in its log.";
  return answer(500, { error, code: "internal" });
}

/**
 * 503: the gateway is away, or silent for too long.
 *
 * @param sentence what happened.
 * @param retryAfter the `Retry-After` of a proxy that said so, if it names seconds.
 */
export function unavailable(sentence: string, retryAfter: string | null = null): Response {
  const seconds = /^[1-9]\d{0,4}$/.test(retryAfter ?? "") ? Number(retryAfter) : RETRY_SECONDS;
  return answer(
    503,
    { error: `${sentence} Try again in a moment.`, code: "unavailable", retry_after: seconds },
    { "retry-after": String(seconds) },
  );
}

function answer(
  status: number,
  body: Record<string, unknown>,
  headers: Record<string, string> = {},
): Response {
  return Response.json(body, { status, headers: { "cache-control": "no-store", ...headers } });
}
