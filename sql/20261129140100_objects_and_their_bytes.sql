-- Rows of storage.objects that are no objects: versions that were replaced, and marks of deletions.
-- Planning knew them, the checks of what a user may read did not. There is one definition now.
--
-- An object whose bytes are gone fails with the code bytes_missing, and is not tried again until
-- somebody uploads it: with the same bytes and so the same etag, which changed nothing until now.

-- Which rows of storage.objects are objects: a condition on a row `o`, as an expression.
create function media_enricher.is_object_sql() returns text
language sql stable set search_path = '' as $$
  select concat_ws(' and ', 'true',
    case when bool_or(attname = 'archived_at') then 'o.archived_at is null' end,
    case when bool_or(attname = 'is_delete_marker') then 'o.is_delete_marker is not true' end)
  from pg_catalog.pg_attribute
  where attrelid = 'storage.objects'::regclass and attnum > 0 and not attisdropped
$$;

-- The same of one row, as to_jsonb(…) makes it.
create function media_enricher.is_object(p_row jsonb) returns boolean
language sql immutable set search_path = '' as $$
  select p_row ->> 'archived_at' is null
    and coalesce(p_row ->> 'is_delete_marker', 'false') <> 'true'
$$;

-- Whether an object was written to after its row was. By a look at the row, for its index does not
-- have the time; is_changed_sql asks for few rows.
create function media_enricher.is_newer_than_row(
  p_bucket text, p_path text, p_updated_at timestamptz
) returns boolean
language sql stable parallel safe set search_path = '' as $$
  select exists (
    select from public.media_assets a
    where a.bucket = p_bucket and a.path = p_path and p_updated_at > a.enriched_at
  )
$$;

revoke execute on function
  media_enricher.is_object_sql, media_enricher.is_object, media_enricher.is_newer_than_row
  from public, anon, authenticated, service_role;

create or replace function media_enricher.objects_sql(p_bucket text) returns text
language plpgsql stable set search_path = '' as $$
declare
  knows_owner_id boolean := exists (
    select from pg_catalog.pg_attribute
    where attrelid = 'storage.objects'::regclass and attname = 'owner_id' and not attisdropped
  );
begin
  return format(
    $q$select o.id as object_id, o.name collate "C" as path, %1$s as owner_id,
      o.metadata ->> 'eTag' as listed_etag, o.metadata, o.updated_at
    from storage.objects o where o.bucket_id = %2$L and %3$s and %4$s$q$,
    case when knows_owner_id then 'coalesce(o.owner_id, o.owner::text)' else 'o.owner::text' end,
    p_bucket,
    media_enricher.is_object_sql(),
    case when media_enricher.is_own_bucket(p_bucket) then 'false' else 'true' end
  );
end
$$;

create or replace function media_enricher.is_changed_sql() returns text
language sql immutable set search_path = '' as $$
  select format(
    '(o.listed_etag is distinct from a.etag and o.listed_etag is not null'
    ' and %s is distinct from a.etag'
    ' or o.metadata ->> ''mimetype'' is distinct from a.declared_content_type'
    ' and %2$s is not null and %2$s is distinct from a.declared_content_type'
    -- By `case`, for `null and …` would call the function for every row without an error.
    ' or case when a.error_code = ''bytes_missing'''
    ' then media_enricher.is_newer_than_row(a.bucket, a.path, o.updated_at) else false end)',
    media_enricher.bare_etag_sql('o.listed_etag'),
    media_enricher.declared_type_sql('o.metadata'))
$$;

create or replace function media_enricher.pending_sql(
  p_bucket text, p_prefix text, p_mode text, p_depth text, p_enricher_version integer,
  p_transient_codes text[], p_max_attempts integer, p_after text default null,
  p_until text default null
) returns text
language plpgsql stable set search_path = '' as $$
declare
  is_changed text := media_enricher.is_changed_sql();
  is_wanted text;
begin
  if p_depth is null or p_depth not in ('header', 'full') then
    raise exception 'depth is %, and must be header or full', coalesce(quote_literal(p_depth), 'null')
      using errcode = '22023';
  end if;
  is_wanted := case p_mode
    when 'missing' then concat_ws(' or ',
      'a.path is null',
      'a.gone_at is not null',
      is_changed,
      case when p_depth = 'full' then $c$(a.depth = 'header' and a.status <> 'failed')$c$ end,
      format('(a.status = ''failed'' and a.attempts < %L and a.error_code = any (%L))',
        p_max_attempts, p_transient_codes),
      'a.object_id is distinct from o.object_id',
      media_enricher.is_owner_changed_sql())
    when 'failed' then $c$a.status = 'failed'$c$
    when 'stale' then format('a.enricher_version < %L', p_enricher_version)
    when 'all' then 'true'
  end;
  if is_wanted is null then
    raise exception 'mode is %, and must be missing, failed, stale or all',
      coalesce(quote_literal(p_mode), 'null') using errcode = '22023';
  end if;
  return format(
    $q$select o.path, %1$s as etag,
      -- A number of Storage's, but still data: one that is no size is unknown, and no error.
      case when jsonb_typeof(o.metadata -> 'size') = 'number' then
        case when (o.metadata ->> 'size')::numeric between 0 and 9223372036854775807
          then (o.metadata ->> 'size')::numeric::bigint end
      end as size_bytes,
      %8$s as declared_content_type,
      a.etag as previous_etag,
      -- Of bytes that were lost the tries go on, for by them the task cache tells the looks apart.
      case when a.path is null or %2$s and a.error_code is distinct from 'bytes_missing'
        then 0 else a.attempts end as attempts
    from (%3$s and %4$s) o
    left join (
      select * from public.media_assets where bucket = %5$L and %6$s
    ) a on a.path = o.path
    -- Supabase Studio keeps empty folders by a placeholder, which is no media. Looked at last, for
    -- it is the dearest test and few objects come this far.
    where case when %7$s
      then o.path <> '.emptyFolderPlaceholder' and right(o.path, 24) <> '/.emptyFolderPlaceholder'
      else false
    end$q$,
    media_enricher.bare_etag_sql('o.listed_etag'),
    is_changed,
    media_enricher.objects_sql(p_bucket),
    media_enricher.path_sql('o.name collate "C"', p_prefix, p_after, p_until),
    p_bucket,
    media_enricher.path_sql('path', p_prefix, p_after, p_until),
    is_wanted,
    media_enricher.declared_type_sql('o.metadata')
  );
end
$$;

create or replace function public.media_reads_name(p_bucket text, p_name text) returns boolean
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

create or replace function public.media_reads_object(p_bucket text, p_path text) returns boolean
language sql stable security invoker set search_path = '' as $$
  select exists (
    select from storage.objects o where o.bucket_id = p_bucket and o.name = p_path
      -- As media_enricher.is_object says, which users may not call.
      and to_jsonb(o) ->> 'archived_at' is null
      and coalesce(to_jsonb(o) ->> 'is_delete_marker', 'false') <> 'true'
  )
$$;

create or replace function public.media_tenant_buckets(p_tenant_id uuid) returns text[]
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
