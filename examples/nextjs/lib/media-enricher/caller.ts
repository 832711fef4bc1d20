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
  tenant_id: z.uuid().nullish(),
})

export interface Caller {
  isAdmin: boolean
  /** Null for somebody who belongs to no tenant, and so works on all of the bucket. */
  tenantId: string | null
}

/** @throws Refusal 403: the metadata is not what it should be, so nothing follows from it. */
export function callerOf(metadata: unknown): Caller {
  const parsed = appMetadata.safeParse(metadata)
  if (!parsed.success) {
    throw new Refusal(403, 'not_admin', 'Your app_metadata is not as it should be. Ask an admin.')
  }
  const { user_role, role, tenant_id } = parsed.data
  return { isAdmin: [user_role, role].includes('admin'), tenantId: tenant_id ?? null }
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
  if (isAuthRetryableFetchError(error)) throw unavailable('Who you are cannot be checked just now.')
  throw notSignedIn()
}

export function notSignedIn(): Refusal {
  return new Refusal(401, 'no_session', 'Nobody is signed in, or the session has ended. Sign in.')
}

// The service key may do anything, so what this caller may do is settled here.

/** @throws Refusal 403. */
export function mustBeAdmin(caller: Caller): void {
  if (caller.isAdmin) return
  throw new Refusal(
    403,
    'not_admin',
    'Only admins may start backfills: users whose app_metadata has user_role (or role) "admin".',
  )
}

/** @throws Refusal 403: a tenant's admin asks for more than the tenant's folder. */
export function mustStayInTenant({ tenantId }: Caller, { prefix = '' }: Backfill): void {
  if (tenantId === null) return
  const allowed = `${tenantId.toLowerCase()}/`
  if (prefix.toLowerCase().startsWith(allowed)) return
  throw new Refusal(
    403,
    'outside_tenant',
    `prefix is ${JSON.stringify(prefix)}, and you may only work in the folder of your tenant: start it with ${allowed}`,
    { field: 'prefix', value: prefix, allowed },
  )
}
