/**
 * What every server route does: checks who asks and what for, then asks the enricher with the
 * service key, and passes on what it answers.
 */

import 'server-only'

import { supabaseUrl } from '@/lib/env'

import { parseBackfill } from './backfill-request'
import { type Caller, mustBeAdmin, mustStayInTenant } from './caller'
import type { Backfill } from './contract'
import { misconfigured, Refusal, unavailable } from './refusal'

const ANSWER_SECONDS = 10
const PASSED_ON = ['Content-Type', 'Retry-After']

export interface BackfillCall {
  findCaller: () => Promise<Caller>
  readBody: () => Promise<unknown>
  idempotencyKey: string | null
}

export async function answerBackfill(call: BackfillCall): Promise<Response> {
  const answer = await answerOf(call)
  answer.headers.set('Cache-Control', 'private, no-store') // it may renew the session's cookies
  return answer
}

async function answerOf(call: BackfillCall): Promise<Response> {
  try {
    const caller = await call.findCaller()
    mustBeAdmin(caller)
    const asked = parseBackfill(await call.readBody())
    mustStayInTenant(caller, asked)
    return await askEnricher(asked, call.idempotencyKey)
  } catch (error) {
    if (error instanceof Refusal) return error.answer()
    throw error
  }
}

/** The body of a request of the App Router. */
export async function jsonOf(request: Request): Promise<unknown> {
  try {
    return await request.json()
  } catch {
    throw new Refusal(400, 'malformed_json', 'The body is no JSON. Send an object, as {}.')
  }
}

async function askEnricher(
  { bucket, prefix, limit }: Backfill,
  idempotencyKey: string | null,
): Promise<Response> {
  const url = new URL(`${enricherUrl()}/backfill`)
  url.searchParams.set('bucket', bucket)
  if (prefix) url.searchParams.set('prefix', prefix)
  if (limit) url.searchParams.set('limit', String(limit))
  const headers = new Headers({
    Authorization: `Bearer ${serviceKey()}`,
    'Content-Type': 'application/json',
  })
  if (idempotencyKey) headers.set('Idempotency-Key', idempotencyKey)

  const { status, headers: told, body } = await answerInTime(url, headers)
  if (status === 401) throw misconfigured(`${url.origin} refused the service key: ${body}`)
  const passedOn = new Headers()
  for (const name of PASSED_ON) {
    const value = told.get(name)
    if (value !== null) passedOn.set(name, value)
  }
  return new Response(body, { status, headers: passedOn })
}

async function answerInTime(url: URL, headers: Headers) {
  try {
    const answer = await fetch(url, {
      method: 'POST',
      headers,
      body: '{}',
      cache: 'no-store',
      redirect: 'error', // the key goes nowhere else
      signal: AbortSignal.timeout(ANSWER_SECONDS * 1000),
    })
    return { status: answer.status, headers: answer.headers, body: await answer.text() }
  } catch (error) {
    console.error(`media-enricher: no answer from ${url.origin}:`, error)
    throw unavailable('The media enricher does not answer.')
  }
}

function enricherUrl(): string {
  const url = process.env.MEDIA_ENRICHER_URL || `${supabaseUrl()}/functions/v1/media-enricher`
  return url.replace(/\/+$/, '')
}

function serviceKey(): string {
  const key = process.env.SUPABASE_SECRET_KEY || process.env.SUPABASE_SERVICE_ROLE_KEY
  if (!key) throw misconfigured('Set SUPABASE_SECRET_KEY or SUPABASE_SERVICE_ROLE_KEY.')
  return key
}
