/** Who asks a server route, and whether they may start a backfill. */

import 'server-only'

import { isAuthRetryableFetchError, type SupabaseClient } from '@supabase/supabase-js'
import { z } from 'zod'

import type { Backfill } from './contract'
import { Refusal, unavailable } from './refusal'

/** What an administrator of the project wrote of a user. (The user writes user_metadata.) */
const appMetadata = z.object({
  user_role: z.string().nullish(),
  role: z.string().nullish(),
  tenant_id: z.string().nullish(),
})

export interface Caller {
  role: string | null
  /** Null for somebody who belongs to no tenant, and so works on all of the bucket. */
  tenantId: string | null
}

/** @throws Refusal 403: the metadata is not what it should be, so nothing follows from it. */
export function callerOf(metadata: unknown): Caller {
  const parsed = appMetadata.safeParse(metadata)
  if (!parsed.success) {
    throw new Refusal(403, 'not_admin', 'Your app_metadata can’t be understood. Ask an admin.')
  }
  const { user_role, role, tenant_id } = parsed.data
  return { role: user_role ?? role ?? null, tenantId: tenant_id ?? null }
}

/**
 * The user whose session the request's cookies hold. Supabase Auth is asked, so that a role which
 * was taken away counts no more.
 *
 * @throws Refusal 401: nobody is signed in; 503: Supabase Auth is away.
 */
export async function findCaller(supabase: SupabaseClient): Promise<Caller> {
  const { data, error } = await supabase.auth.getUser()
  if (data.user) return callerOf(data.user.app_metadata)
  if (isAuthRetryableFetchError(error)) throw unavailable('Who you are can’t be checked just now.')
  throw notSignedIn()
}

export function notSignedIn(): Refusal {
  return new Refusal(401, 'no_session', 'Nobody is signed in, or the session has ended. Sign in.')
}

/**
 * The service key may do anything, so what this caller may do is settled here.
 *
 * @throws Refusal 403.
 */
export function mustBeAllowed(caller: Caller, { prefix = '' }: Backfill): void {
  if (caller.role !== 'admin') {
    throw new Refusal(
      403,
      'not_admin',
      'Only admins may start a backfill: user_role in your app_metadata is not "admin".',
    )
  }
  if (caller.tenantId !== null && !prefix.startsWith(`${caller.tenantId}/`)) {
    throw new Refusal(
      403,
      'outside_tenant',
      `You may start a backfill in your tenant’s folder: give a prefix that starts with ${caller.tenantId}/.`,
      { field: 'prefix', value: prefix, allowed: `${caller.tenantId}/…` },
    )
  }
}
