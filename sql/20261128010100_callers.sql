-- Who the caller is, asked in a way that cannot fail. auth.uid() casts the claim `sub` to a UUID and
-- raises where it is none, as with identity providers of a project's own (Auth0, Clerk, Firebase):
-- such a user could read nothing at all, not even their tenant's.

-- The claims of the caller's token; null where there are none, or what there is is no JSON.
create function public.media_caller_claims() returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return auth.jwt();
exception when others then
  return null;
end
$$;
comment on function public.media_caller_claims() is
  'The claims of the caller''s token. Never raises. Used by the RLS policies.';

-- The id of the caller, as Storage keeps it in owner_id: the claim `sub`, a UUID or not.
create function public.media_caller_id() returns text
language sql stable set search_path = '' as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    case when jsonb_typeof(claims.held -> 'sub') in ('string', 'number')
      then nullif(claims.held ->> 'sub', '') end
  )
  from (select public.media_caller_claims()) as claims (held)
$$;
comment on function public.media_caller_id() is
  'The id of the signed-in user, which need not be a UUID. Used by the RLS policies.';

-- The same where it is a UUID, however it is written; else null.
create function public.media_caller_user_id() returns uuid
language sql stable set search_path = '' as $$
  select case
    when caller.id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then caller.id::uuid
  end
  from (select public.media_caller_id()) as caller (id)
$$;
comment on function public.media_caller_user_id() is
  'The id of the signed-in user if it is a UUID, else null. Used by the RLS policies.';

create or replace function public.media_caller_tenant_id() returns uuid
language sql stable set search_path = '' as $$
  select case
    when claimed.tenant ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then claimed.tenant::uuid
  end
  from (select public.media_caller_claims() -> 'app_metadata' ->> 'tenant_id') as claimed (tenant)
$$;

revoke execute on function public.media_caller_claims, public.media_caller_id,
  public.media_caller_user_id from public, anon;
grant execute on function public.media_caller_claims, public.media_caller_id,
  public.media_caller_user_id to authenticated, service_role;

alter policy "users read their own media and their tenant's" on public.media_assets
  using (
    user_id = (select public.media_caller_user_id())
    or owner_id = (select public.media_caller_id()) and user_id is null
    or tenant_id = (select public.media_caller_tenant_id())
  );
