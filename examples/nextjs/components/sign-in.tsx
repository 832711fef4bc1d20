'use client'

/** Signing in with email and password. */

import type { SupabaseClient } from '@supabase/supabase-js'
import { useActionState } from 'react'

export function SignIn({ supabase }: { supabase: SupabaseClient }) {
  const [error, signIn, isSigningIn] = useActionState(
    async (_previous: string | null, form: FormData) => {
      const { error } = await supabase.auth.signInWithPassword({
        email: String(form.get('email')),
        password: String(form.get('password')),
      })
      return error && error.message
    },
    null,
  )
  return (
    <form action={signIn}>
      <h1>Sign in</h1>
      <p>
        <label>
          Email <input name="email" type="email" autoComplete="username" required />
        </label>
      </p>
      <p>
        <label>
          Password{' '}
          <input name="password" type="password" autoComplete="current-password" required />
        </label>
      </p>
      <button disabled={isSigningIn}>{isSigningIn ? 'Signing in…' : 'Sign in'}</button>
      {error && <p role="alert">{error}</p>}
    </form>
  )
}
