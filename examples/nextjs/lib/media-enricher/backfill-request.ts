/** The body that a server route takes, checked. */

import { z } from 'zod'

import type { Backfill } from './contract'
import { Refusal } from './refusal'

const MAX_LIMIT = 2 ** 31 - 1

const withoutControls = z
  .string('text')
  .regex(/^[^\x00-\x1f\x7f]*$/, 'text without control characters')
  .max(1024, 'at most 1,024 characters')

const backfill = z.strictObject({
  bucket: withoutControls.min(1, 'the name of a bucket').max(255, 'at most 255 characters'),
  prefix: withoutControls.optional(),
  limit: z
    .int('a whole number from 1')
    .min(1, 'a whole number from 1')
    .max(MAX_LIMIT, `at most ${MAX_LIMIT}`)
    .optional(),
})

/** @throws Refusal 422: it names the first field that is wrong, its value, and what is allowed. */
export function parseBackfill(body: unknown): Backfill {
  const parsed = backfill.safeParse(body)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  const field = issue?.code === 'unrecognized_keys' ? issue.keys[0] : issue?.path.join('.')
  const allowed =
    issue?.code === 'unrecognized_keys' ? 'bucket, prefix and limit alone' : issue?.message
  const value = field && (body as Record<string, unknown>)[field]
  throw new Refusal(
    422,
    'invalid_value',
    field
      ? `${field} is ${JSON.stringify(value) ?? 'missing'}; allowed is ${allowed}.`
      : 'The body is no JSON object. Send one, as {"bucket": "dashboard-assets"}.',
    { field: field || 'body', value, allowed },
  )
}
