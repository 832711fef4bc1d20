/**
 * POST /api/media-enricher/backfill-pages: Pages Router, with the session of Supabase Auth.
 *
 * In a project of your own this is pages/api/media-enricher/backfill.ts; here the App Router has
 * that address already, and Next.js lets no two routes share one.
 */

import type { NextApiRequest, NextApiResponse } from 'next'

import { answerBackfill } from '@/lib/media-enricher/answer-backfill'
import { findCaller } from '@/lib/media-enricher/caller'
import { Refusal } from '@/lib/media-enricher/refusal'
import { supabaseOfApiRoute } from '@/lib/supabase/pages-router'

export default async function handler(req: NextApiRequest, res: NextApiResponse): Promise<void> {
  const answer =
    req.method === 'POST'
      ? await answerBackfill({
          findCaller: () => findCaller(supabaseOfApiRoute(req, res)),
          readBody: async () => req.body as unknown,
          idempotencyKey: req.headers['idempotency-key']?.toString() ?? null,
        })
      : new Refusal(405, 'method_not_allowed', 'Use POST.').answer()
  for (const [name, value] of answer.headers) res.setHeader(name, value)
  if (answer.status === 405) res.setHeader('Allow', 'POST')
  res.status(answer.status).send(await answer.text())
}
