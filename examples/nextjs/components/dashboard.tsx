'use client'

/** A page for those who are signed in, and a form for the others. */

import { MediaEnricherAdmin } from '@/components/media-enricher-admin'
import { SignIn } from '@/components/sign-in'
import { useSession } from '@/lib/supabase/use-session'

export function Dashboard({ serverRoute }: { serverRoute?: string }) {
  const client = useSession()
  if (!client) return <p>Loading…</p>

  const { supabase, session } = client
  if (!session) return <SignIn supabase={supabase} />
  return (
    <>
      <p>
        Signed in as {session.user.email}.{' '}
        <button type="button" onClick={() => void supabase.auth.signOut({ scope: 'local' })}>
          Sign out
        </button>
      </p>
      <MediaEnricherAdmin supabase={supabase} serverRoute={serverRoute} />
    </>
  )
}
