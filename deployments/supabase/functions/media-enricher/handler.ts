/** One request: to the gateway and back. */

import { exposeTo, isPreflight, preflight } from "./cors.ts";
import { methodNotAllowed, misconfigured, notFound, unavailable } from "./errors.ts";
import { answerHeaders, requestHeaders } from "./headers.ts";
import type { Settings } from "./settings.ts";
import { SilenceLimit } from "./silence.ts";
import { queryOf, routeOf, urlOf } from "./target.ts";

/** `fetch` throws at them. */
const NOT_FORWARDED = ["CONNECT", "TRACE", "TRACK"];
const WITHOUT_BODY = [204, 304];

/** What answers every request. */
export function handler(settings: Settings): (request: Request) => Promise<Response> {
  return async (request) => {
    if (isPreflight(request)) return preflight(request, settings.corsOrigins);
    const answer = await respond(request, settings);
    exposeTo(request.headers.get("origin"), settings.corsOrigins, answer.headers);
    return answer;
  };
}

async function respond(request: Request, settings: Settings): Promise<Response> {
  const url = urlOf(request);
  const route = routeOf(url);
  if (route === null) return notFound(url.pathname);
  if (NOT_FORWARDED.includes(request.method)) return methodNotAllowed(request.method);
  if (settings.gatewayUrl === null) return misconfigured();
  return await forward(request, `${settings.gatewayUrl}${route}${queryOf(url)}`, settings);
}

async function forward(request: Request, target: string, settings: Settings): Promise<Response> {
  const limit = new SilenceLimit(settings.seconds);
  try {
    const answer = await fetch(target, {
      method: request.method,
      headers: requestHeaders(request.headers, settings),
      body: request.body, // null of a GET, whatever came with it
      redirect: "manual",
      signal: limit.signal,
    });
    return await passOn(answer, limit);
  } catch (error) {
    if (limit.isExceeded) {
      console.error(`The gateway did not answer within ${settings.seconds} s.`);
      return unavailable(`The gateway did not answer within ${settings.seconds} s.`);
    }
    console.error(`The gateway cannot be reached: ${reasonOf(error)}`);
    return unavailable("The gateway cannot be reached.");
  } finally {
    limit.stop();
  }
}

/** Why `fetch` failed, without the URL: a query is the caller's, and no matter of the log's. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return String(cause).replace(/ for url \([^)]*\)/, "");
}

async function passOn(answer: Response, limit: SilenceLimit): Promise<Response> {
  const fault = faultOf(answer);
  if (fault !== null) {
    await answer.body?.cancel();
    console.error(fault);
    return unavailable("The gateway does not answer.", answer.headers.get("retry-after"));
  }
  const hasBody = answer.body !== null && !WITHOUT_BODY.includes(answer.status);
  return new Response(hasBody ? limit.watch(answer.body) : null, {
    status: answer.status,
    headers: answerHeaders(answer.headers),
  });
}

/** Why an answer is not the gateway's own, or null if it is. */
function faultOf(answer: Response): string | null {
  const { status, headers } = answer;
  if (status >= 300 && status < 400 && status !== 304) {
    return `MEDIA_ENRICHER_URL redirects to ${headers.get("location")}. Redirects are not ` +
      "followed: name the gateway's own address.";
  }
  const isOfProxy = status === 502 || status === 504 || status >= 520 ||
    (status === 503 && !headers.get("content-type")?.startsWith("application/json"));
  return isOfProxy ? `A proxy in front of the gateway answers ${status}.` : null;
}
