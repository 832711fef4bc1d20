/** POST /api/media-enricher/backfill-nextauth: App Router, with the session of NextAuth. */

import type { NextRequest } from 'next/server'

import { callerOfToken } from '@/lib/auth-options'
import { answerBackfill, jsonOf } from '@/lib/media-enricher/answer-backfill'

export function POST(request: NextRequest): Promise<Response> {
  return answerBackfill({
    findCaller: () => callerOfToken(request),
    readBody: () => jsonOf(request),
    idempotencyKey: request.headers.get('Idempotency-Key'),
  })
}
