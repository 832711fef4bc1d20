/** Why a backfill was not started, in the enricher's own words where it answered. */

import type { ErrorAnswer } from './contract'

export class EnricherError extends Error {
  override name = 'EnricherError'

  constructor(
    message: string,
    /** Of HTTP; undefined if there was no answer. */
    readonly status?: number,
    readonly code?: string,
    readonly retryAfterSeconds?: number,
  ) {
    super(message)
  }

  static async of(answer: Response): Promise<EnricherError> {
    const body = (await answer.json().catch(() => undefined)) as Partial<ErrorAnswer> | undefined
    return new EnricherError(
      body?.error ?? `The server answered ${answer.status}. Try again in a while.`,
      answer.status,
      body?.code,
      secondsOf(answer.headers.get('Retry-After')) ?? body?.retry_after,
    )
  }

  /** Whether the same request may do better later: no answer, 429 or 5xx, but no other 4xx. */
  get isTransient(): boolean {
    return this.status === undefined || this.status === 429 || this.status >= 500
  }
}

function secondsOf(header: string | null): number | undefined {
  const seconds = Number(header ?? NaN)
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined
}
