/** An answer of a server route that is an error, in the enricher's own shape. */

import type { ErrorAnswer } from './contract'

export class Refusal extends Error {
  override name = 'Refusal'

  constructor(
    readonly status: number,
    readonly code: string,
    /** A sentence for people. */
    message: string,
    private readonly more: Record<string, unknown> & { retry_after?: number } = {},
  ) {
    super(message)
  }

  answer(): Response {
    const body: ErrorAnswer = { error: this.message, code: this.code, ...this.more }
    const { retry_after } = this.more
    return Response.json(body, {
      status: this.status,
      headers: retry_after === undefined ? {} : { 'Retry-After': String(retry_after) },
    })
  }
}

/** 503: somebody whom we need is away. */
export function unavailable(sentence: string): Refusal {
  return new Refusal(503, 'unavailable', `${sentence} Try again in a moment.`, { retry_after: 2 })
}

/** 500: the server was set up wrongly. What exactly is for its log, not for the user. */
export function misconfigured(detail: string): Refusal {
  console.error(`media-enricher: ${detail}`)
  return new Refusal(500, 'misconfigured', 'The server is not set up for this; its log says why.')
}
