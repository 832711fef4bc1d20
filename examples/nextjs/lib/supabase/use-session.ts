'use client'

/** Who is signed in, in the browser. */

import type { Session, SupabaseClient } from '@supabase/supabase-js'
import { useEffect, useState } from 'react'

import { supabaseInBrowser } from '@/lib/supabase/browser'

export interface Client {
  supabase: SupabaseClient
  session: Session | null
}

/** Undefined until it is known. */
export function useSession(): Client | undefined {
  const [client, setClient] = useState<Client>()
  useEffect(() => {
    const supabase = supabaseInBrowser()
    const { data } = supabase.auth.onAuthStateChange((_event, session) =>
      setClient({ supabase, session }),
    )
    return () => data.subscription.unsubscribe()
  }, [])
  return client
}
