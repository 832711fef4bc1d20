-- Who the caller is, and which tenant an object belongs to: what the policies in 90_access.sql ask.
--
-- These functions never raise. auth.uid() does: it casts the claim `sub` to a UUID, and the users
-- of a project's own identity provider (Auth0, Clerk, Firebase) have ids that are none. Such a user
-- could read nothing at all, not even what belongs to their tenant.

-- The claims of the caller's token; null where there are none, or where they are no JSON.
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

-- The id of the caller if it is a UUID, in upper or lower case; else null.
create function public.media_caller_user_id() returns uuid
language sql stable set search_path = '' as $$
  select case
    when caller.id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then caller.id::uuid
  end
  from (select public.media_caller_id()) as caller (id)
$$;
comment on function public.media_caller_user_id() is
  'The id of the signed-in user if it is a UUID, else null. Used by the RLS policies.';

-- The tenant of the caller: from app_metadata, which only the project's backend can write. A user
-- writes user_metadata themselves. Anything but a UUID is no tenant, never an error.
create function public.media_caller_tenant_id() returns uuid
language sql stable set search_path = '' as $$
  select case
    when claimed.tenant ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then claimed.tenant::uuid
  end
  from (select public.media_caller_claims() -> 'app_metadata' ->> 'tenant_id') as claimed (tenant)
$$;
comment on function public.media_caller_tenant_id() is
  'The tenant of the signed-in user, from app_metadata.tenant_id. Used by the RLS policies.';

-- The tenant of an object: the first folder of its path, if that is a UUID. An operator with
-- another layout replaces this function in a migration of their own (it must not raise, for any
-- path), and then brings the rows up to date:
--   update public.media_assets set tenant_id = public.media_tenant_id(bucket, path);
create function public.media_tenant_id(p_bucket text, p_path text) returns uuid
language plpgsql stable set search_path = '' as $$
begin
  if strpos(p_path, '/') = 37
    and left(p_path, 36) ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
    return left(p_path, 36)::uuid;
  end if;
  return null;
end
$$;
comment on function public.media_tenant_id(text, text) is
  'The tenant that an object belongs to. Replace it to change how tenants are told apart.';
