/** The Supabase client of an API route of the Pages Router: the session is in its cookies. */

import 'server-only'

import { createServerClient, serializeCookieHeader } from '@supabase/ssr'
import type { SupabaseClient } from '@supabase/supabase-js'
import type { NextApiRequest, NextApiResponse } from 'next'

import { publishableKey, supabaseUrl } from '@/lib/env'

export function supabaseOfApiRoute(req: NextApiRequest, res: NextApiResponse): SupabaseClient {
  return createServerClient(supabaseUrl(), publishableKey(), {
    cookies: {
      getAll: () =>
        Object.entries(req.cookies).map(([name, value]) => ({ name, value: value ?? '' })),
      setAll: (changed, headers) => {
        for (const { name, value, options } of changed) {
          res.appendHeader('Set-Cookie', serializeCookieHeader(name, value, options))
        }
        for (const [name, value] of Object.entries(headers)) res.setHeader(name, value)
      },
    },
  })
}
