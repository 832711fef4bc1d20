-- What a signed-in user may read in Storage. The gateway asks as that user: all but the last of
-- these functions run with the caller's rights, so they tell nobody more than Storage's own
-- policies do.

-- Whether Storage's policies let the caller read any object of this name, whoever owns it. It asks
-- the policies and never the objects: an answer that depended on objects that the caller can't see
-- would tell of them. A policy that looks at an object's owner or metadata counts as not met.
create function public.media_reads_name(p_bucket text, p_name text) returns boolean
language plpgsql stable security invoker set search_path = '' as $$
declare
  conditions text;
  is_readable boolean;
begin
  if not has_table_privilege('storage.objects', 'select') then
    return false;
  end if;
  if not row_security_active('storage.objects') then
    return true;
  end if;
  select format('(%s) and %s',
    coalesce(string_agg(p.condition, ' or ') filter (where p.is_permissive), 'false'),
    coalesce(string_agg(p.condition, ' and ') filter (where not p.is_permissive), 'true'))
  into conditions
  from (
    select '(' || coalesce(pg_catalog.pg_get_expr(q.polqual, q.polrelid), 'true') || ')'
        as condition,
      q.polpermissive as is_permissive
    from pg_catalog.pg_policy q
    where q.polrelid = 'storage.objects'::regclass and q.polcmd in ('r', '*')
      -- 0 stands for every role
      and exists (
        select from unnest(q.polroles) r where r = 0 or pg_has_role(current_user, r, 'usage')
      )
  ) p;
  execute format(
    'select coalesce(%s, false) from jsonb_populate_record(null::storage.objects, $1) as objects',
    conditions
  ) into is_readable using jsonb_build_object(
    'id', gen_random_uuid(), 'bucket_id', p_bucket, 'name', p_name,
    'path_tokens', string_to_array(p_name, '/'), 'is_delete_marker', false, 'is_versioned', false
  );
  return is_readable;
exception when others then
  return false; -- a policy that can't be asked lets nobody in
end
$$;
comment on function public.media_reads_name is
  'Whether Storage''s policies let the caller read an object of this name, whoever owns it.';

-- Whether Storage's policies let the caller read whatever there may be under a prefix. A random
-- name, which no policy can know, stands for all names.
create function public.media_reads_prefix(p_bucket text, p_prefix text) returns boolean
language sql stable security invoker set search_path = '' as $$
  select public.media_reads_name(p_bucket, p_prefix || gen_random_uuid()::text)
$$;
comment on function public.media_reads_prefix is
  'Whether Storage''s policies let the caller read whatever there is under a prefix.';

create function public.media_reads_object(p_bucket text, p_path text) returns boolean
language sql stable security invoker set search_path = '' as $$
  select exists (
    select from storage.objects o where o.bucket_id = p_bucket and o.name = p_path
      -- As media_enricher.is_object says, which users may not call.
      and to_jsonb(o) ->> 'archived_at' is null
      and coalesce(to_jsonb(o) ->> 'is_delete_marker', 'false') <> 'true'
  )
$$;
comment on function public.media_reads_object is 'Whether the caller can see this very object.';

-- Which of these buckets the caller knows of anyway: Storage shows the bucket, or lets the caller
-- read all of it, or all in the folder that has the caller's id as its name.
create function public.media_reads_buckets(p_buckets text[]) returns text[]
language sql stable security invoker set search_path = '' as $$
  select coalesce(array_agg(b.name order by b.position), '{}')
  from unnest(p_buckets) with ordinality as b (name, position)
  where exists (select from storage.buckets s where s.id = b.name)
    or public.media_reads_prefix(b.name, '')
    or public.media_reads_prefix(b.name, (auth.jwt() ->> 'sub') || '/')
$$;
comment on function public.media_reads_buckets is
  'Of these buckets, those that Storage''s policies let the caller know of.';

-- The buckets that hold something in a tenant's folder. It reads with its owner's rights, and only
-- the gateway, which knows the caller's tenant, may call it.
create function public.media_tenant_buckets(p_tenant_id uuid) returns text[]
language sql stable security definer set search_path = '' as $$
  select coalesce(array_agg(b.id order by b.id), '{}')
  from storage.buckets b
  where exists (
    select from unnest(array[p_tenant_id::text, upper(p_tenant_id::text)]) as f (folder)
    where exists (
      select from storage.objects o
      where o.bucket_id = b.id and o.name collate "C" >= f.folder || '/'
        and o.name collate "C" < f.folder || '0'
        and media_enricher.is_object(to_jsonb(o))
    )
  )
$$;
comment on function public.media_tenant_buckets is
  'The buckets that hold something in a tenant''s folder.';
