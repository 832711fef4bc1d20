/** POST /api/media-enricher/backfill: App Router, with the session of Supabase Auth. */

import { answerBackfill, jsonOf } from '@/lib/media-enricher/answer-backfill'
import { findCaller } from '@/lib/media-enricher/caller'
import { supabaseOfRoute } from '@/lib/supabase/app-router'

export function POST(request: Request): Promise<Response> {
  return answerBackfill({
    findCaller: async () => findCaller(await supabaseOfRoute()),
    readBody: () => jsonOf(request),
    idempotencyKey: request.headers.get('Idempotency-Key'),
  })
}
