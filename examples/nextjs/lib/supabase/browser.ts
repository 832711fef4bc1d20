/** The Supabase client of the browser. It keeps the session in cookies, so that the server has it. */

import { createBrowserClient } from '@supabase/ssr'
import type { SupabaseClient } from '@supabase/supabase-js'

import { publishableKey, supabaseUrl } from '@/lib/env'

export function supabaseInBrowser(): SupabaseClient {
  return createBrowserClient(supabaseUrl(), publishableKey())
}
