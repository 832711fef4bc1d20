/** The Supabase client of a route handler of the App Router: the session is in its cookies. */

import 'server-only'

import { createServerClient } from '@supabase/ssr'
import type { SupabaseClient } from '@supabase/supabase-js'
import { cookies } from 'next/headers'

import { publishableKey, supabaseUrl } from '@/lib/env'

export async function supabaseOfRoute(): Promise<SupabaseClient> {
  const jar = await cookies()
  return createServerClient(supabaseUrl(), publishableKey(), {
    cookies: {
      getAll: () => jar.getAll(),
      setAll: (changed) => {
        for (const { name, value, options } of changed) jar.set(name, value, options)
      },
    },
  })
}
