/**
 * NextAuth, signing in with the project's Supabase users. With another provider, only `authorize`
 * changes: the role and the tenant must come from where the user can't write them.
 */

import 'server-only'

import { createClient } from '@supabase/supabase-js'
import type { NextAuthOptions } from 'next-auth'
import { getToken } from 'next-auth/jwt'
import CredentialsProvider from 'next-auth/providers/credentials'
import type { NextRequest } from 'next/server'

import { publishableKey, supabaseUrl } from '@/lib/env'
import { type Caller, callerOf, notSignedIn } from '@/lib/media-enricher/caller'

/** The token holds the role as it was at the sign-in, so one has to sign in again after a while. */
const SESSION_SECONDS = 8 * 60 * 60

export const authOptions: NextAuthOptions = {
  session: { strategy: 'jwt', maxAge: SESSION_SECONDS },
  providers: [
    CredentialsProvider({
      name: 'Supabase',
      credentials: {
        email: { label: 'Email', type: 'email' },
        password: { label: 'Password', type: 'password' },
      },
      async authorize(credentials) {
        const supabase = createClient(supabaseUrl(), publishableKey(), {
          auth: { persistSession: false, autoRefreshToken: false },
        })
        const { data } = await supabase.auth.signInWithPassword({
          email: credentials?.email ?? '',
          password: credentials?.password ?? '',
        })
        if (!data.user) return null
        const { id, email, app_metadata } = data.user
        return { id, email: email ?? null, appMetadata: app_metadata }
      },
    }),
  ],
  callbacks: {
    jwt({ token, user }) {
      return user ? { ...token, appMetadata: user.appMetadata, signedInAt: Date.now() } : token
    },
  },
}

/**
 * The user by NextAuth's token, which is encrypted and read on the server alone. What the session
 * callback shows to the browser plays no part.
 *
 * @throws Refusal 401: nobody is signed in, or not since SESSION_SECONDS.
 */
export async function callerOfToken(request: NextRequest): Promise<Caller> {
  const token = await getToken({ req: request })
  const isFresh = token?.signedInAt && Date.now() - token.signedInAt < SESSION_SECONDS * 1000
  if (!isFresh) throw notSignedIn()
  return callerOf(token.appMetadata)
}
