/** Starting a backfill from a browser: by the user's own token, or through a server route. */

import type { SupabaseClient } from '@supabase/supabase-js'

import type { Backfill, BackfillStarted } from './contract'
import { EnricherError } from './enricher-error'

const TRIES = 4
const ANSWER_SECONDS = 15
const LONGEST_WAIT_SECONDS = 120

/** One try to start a backfill. */
export type Ask = (
  backfill: Backfill,
  init: { idempotencyKey: string; signal: AbortSignal },
) => Promise<Response>

/** Ask the enricher itself, which checks the role in the user's token. */
export function askEnricher(supabase: SupabaseClient, enricherUrl: string): Ask {
  return async ({ bucket, prefix, limit }, { idempotencyKey, signal }) => {
    // The token is only sent from here; whom it names is for the enricher to verify.
    const { data } = await supabase.auth.getSession()
    const url = new URL(`${enricherUrl}/backfill`)
    url.searchParams.set('bucket', bucket)
    if (prefix) url.searchParams.set('prefix', prefix)
    if (limit) url.searchParams.set('limit', String(limit))
    return fetch(url, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${data.session?.access_token ?? ''}`,
        'Content-Type': 'application/json',
        'Idempotency-Key': idempotencyKey,
      },
      body: '{}',
      signal,
    })
  }
}

/** Ask a route of our own server, which knows the user by the session's cookies. */
export function askServerRoute(path: string): Ask {
  return (backfill, { idempotencyKey, signal }) =>
    fetch(path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'Idempotency-Key': idempotencyKey },
      body: JSON.stringify(backfill),
      signal,
    })
}

/**
 * Start a backfill. No answer and 5xx are tried again, each time after a longer while; 429 after
 * the time that the answer names. All tries have one Idempotency-Key, so they start one run.
 *
 * @param options.onWait - told before each further try: why, and in how many seconds.
 * @throws EnricherError if it was refused, or all tries failed.
 */
export async function startBackfill(
  ask: Ask,
  backfill: Backfill,
  options: { signal: AbortSignal; onWait?: (error: EnricherError, seconds: number) => void },
): Promise<BackfillStarted> {
  const { signal, onWait } = options
  const idempotencyKey = randomKey()
  for (let tried = 1; ; tried += 1) {
    const outcome = await tryOnce(ask, backfill, idempotencyKey, signal)
    if (!(outcome instanceof EnricherError)) return outcome

    const seconds = outcome.retryAfterSeconds ?? 2 ** (tried - 1) * (0.75 + Math.random() / 2)
    if (!outcome.isTransient || tried === TRIES || seconds > LONGEST_WAIT_SECONDS) throw outcome
    onWait?.(outcome, seconds)
    await sleep(seconds, signal)
  }
}

async function tryOnce(
  ask: Ask,
  backfill: Backfill,
  idempotencyKey: string,
  signal: AbortSignal,
): Promise<BackfillStarted | EnricherError> {
  const inTime = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_SECONDS * 1000)])
  try {
    const answer = await ask(backfill, { idempotencyKey, signal: inTime })
    return answer.ok ? ((await answer.json()) as BackfillStarted) : await EnricherError.of(answer)
  } catch (error) {
    signal.throwIfAborted()
    console.warn('No answer to the backfill:', error)
    return new EnricherError('The server cannot be reached. Check the network, and try again.')
  }
}

/** Unlike crypto.randomUUID, this also works on a page served over plain HTTP. */
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function sleep(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop)
      resolve()
    }, seconds * 1000)
    const stop = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    signal.addEventListener('abort', stop, { once: true })
  })
}
