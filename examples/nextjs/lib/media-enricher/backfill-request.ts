/** The body that a server route takes, checked. */

import { z } from 'zod'

import type { Backfill } from './contract'
import { Refusal } from './refusal'

const MAX_LIMIT = 2 ** 31 - 1

const LONGEST_SHOWN = 200

const text = z
  .string('a text')
  .regex(/^[^\x00-\x1f\x7f]*$/, 'a text without control characters')
  .max(1024, 'a text of at most 1,024 characters')
const fromOne = `a whole number from 1 to ${MAX_LIMIT}`

const backfill = z.strictObject({
  bucket: text.min(1, 'the name of a bucket').max(255, 'a name of at most 255 characters'),
  prefix: text.optional(),
  limit: z.int(fromOne).min(1, fromOne).max(MAX_LIMIT, fromOne).optional(),
})

/** @throws Refusal 422: it names the first field that is wrong, its value, and what is allowed. */
export function parseBackfill(body: unknown): Backfill {
  const parsed = backfill.safeParse(body)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  if (issue?.code === 'unrecognized_keys') {
    const field = issue.keys[0] ?? ''
    throw invalid(field, valueOf(body, field), 'left out: there is no such field')
  }
  const field = String(issue?.path[0] ?? '')
  if (!field) throw invalid('body', body, 'a JSON object, as {"bucket": "dashboard-assets"}')
  throw invalid(field, valueOf(body, field), issue?.message ?? 'something else')
}

function invalid(field: string, value: unknown, allowed: string): Refusal {
  const shown = JSON.stringify(value)?.slice(0, LONGEST_SHOWN)
  return new Refusal(
    422,
    'invalid_value',
    `${field} is ${shown ?? 'missing'}, and must be ${allowed}.`,
    { field, value: shown ?? null, allowed },
  )
}

function valueOf(body: unknown, field: string): unknown {
  return (body as Record<string, unknown>)[field]
}
