-- Planning: which objects of a bucket a run has to work on.
--
-- storage.objects and media_assets are read side by side, both in the order of their index on
-- (bucket, name collate "C"), so a page costs what lies between its cursor and its last row, and a
-- whole pass is one merge. The statements are put together here and executed with their values in
-- place, for two reasons: a plan made for any value would not ride on the indexes; and columns of
-- storage.objects that not every project has (it grows with Storage's versions) can only be named
-- where they exist.

-- The objects of a bucket as a SELECT of: object_id, path, owner_id (text), listed_etag (as Storage
-- wrote it), metadata. Deleted and archived versions are not objects.
create function media_enricher.objects_sql(p_bucket text) returns text
language plpgsql stable set search_path = '' as $$
declare
  present text[] := array(
    select attname::text from pg_catalog.pg_attribute
    where attrelid = 'storage.objects'::regclass and attnum > 0 and not attisdropped
  );
  conditions text[] := array[format('o.bucket_id = %L', p_bucket)];
begin
  if 'is_delete_marker' = any (present) then
    conditions := conditions || 'o.is_delete_marker is not true'::text;
  end if;
  if 'archived_at' = any (present) then
    conditions := conditions || 'o.archived_at is null'::text;
  end if;
  return format(
    $q$select o.id as object_id, o.name collate "C" as path, %s as owner_id,
      o.metadata ->> 'eTag' as listed_etag, o.metadata
    from storage.objects o where %s$q$,
    case when 'owner_id' = any (present) then 'coalesce(o.owner_id, o.owner::text)'
      else 'o.owner::text' end,
    array_to_string(conditions, ' and ')
  );
end
$$;

-- A condition on a path: starts with the prefix, literally, and comes after the cursor.
create function media_enricher.path_sql(p_column text, p_prefix text, p_after text) returns text
language sql immutable set search_path = '' as $$
  select concat_ws(' and ', 'true',
    case when p_prefix <> '' then format('%s ^@ %L', p_column, p_prefix) end,
    case when p_after <> '' then format('%s > %L', p_column, p_after) end
  )
$$;

-- An etag without the W/ by which a proxy marks it weak, as an expression.
create function media_enricher.bare_etag_sql(p_expression text) returns text
language sql immutable set search_path = '' as $$
  select format('case when starts_with(%1$s, ''W/'') then substr(%1$s, 3) else %1$s end',
    p_expression)
$$;

-- A user's id as an expression: null unless it is a UUID (other identity providers have others).
create function media_enricher.user_id_sql(p_expression text) returns text
language sql immutable set search_path = '' as $$
  select format(
    'case when %1$s ~* ''^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'' then %1$s::uuid end',
    p_expression)
$$;

-- The objects to work on as a SELECT, in no order, with the columns of media_pending_objects.
create function media_enricher.pending_sql(
  p_bucket text, p_prefix text, p_mode text, p_depth text, p_enricher_version integer,
  p_transient_codes text[], p_max_attempts integer, p_after text default null
) returns text
language plpgsql stable set search_path = '' as $$
declare
  bare_etag text := media_enricher.bare_etag_sql('o.listed_etag');
  -- Without an etag in the listing there is nothing to tell a change by. Comparing what is written
  -- comes first, for nearly all are equal and need no further look.
  is_changed text := format(
    '(o.listed_etag is distinct from a.etag and o.listed_etag is not null'
    ' and %s is distinct from a.etag)', bare_etag);
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
      format('(o.owner_id is distinct from a.user_id::text and %s is distinct from a.user_id)',
        media_enricher.user_id_sql('o.owner_id')))
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
      case when jsonb_typeof(o.metadata -> 'size') = 'number'
        then (o.metadata ->> 'size')::numeric::bigint end as size_bytes,
      nullif(o.metadata ->> 'mimetype', '') as declared_content_type,
      a.etag as previous_etag,
      case when a.path is null or %2$s then 0 else a.attempts end as attempts
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
    bare_etag, is_changed,
    media_enricher.objects_sql(p_bucket),
    media_enricher.path_sql('o.name collate "C"', p_prefix, p_after),
    p_bucket,
    media_enricher.path_sql('path', p_prefix, p_after),
    is_wanted
  );
end
$$;

-- For the statement that follows: two indexes merged in their order, whatever the statistics say.
-- Right after a bucket was filled there are none, and the planner would look each object up singly.
-- It is undone where the calling function ends, since that function sets the same names.
create function media_enricher.prefer_merging() returns void
language plpgsql set search_path = '' as $$
begin
  perform set_config('enable_nestloop', 'off', true);
  perform set_config('enable_hashjoin', 'off', true);
  perform set_config('enable_sort', 'off', true);
end
$$;

create function public.media_pending_objects(
  p_bucket text, p_prefix text, p_mode text, p_depth text, p_enricher_version integer,
  p_transient_codes text[], p_max_attempts integer, p_after text, p_limit integer
) returns table (
  path text, etag text, size_bytes bigint, declared_content_type text, previous_etag text,
  attempts integer
)
language plpgsql stable security definer
set search_path = '' set statement_timeout = '2min' set jit = 'off'
set enable_nestloop = 'on' set enable_hashjoin = 'on' set enable_sort = 'on' as $$
begin
  if p_mode <> 'failed' then
    perform media_enricher.prefer_merging();
  end if;
  return query execute format('%s order by o.path limit %L',
    media_enricher.pending_sql(p_bucket, p_prefix, p_mode, p_depth, p_enricher_version,
      p_transient_codes, p_max_attempts, p_after),
    p_limit);
end
$$;
comment on function public.media_pending_objects is
  'The next page of objects to work on, in the order of their paths, after the path p_after.';

create function public.media_count_pending(
  p_bucket text, p_prefix text, p_mode text, p_depth text, p_enricher_version integer,
  p_transient_codes text[], p_max_attempts integer, p_limit integer default null
) returns table (objects bigint, size_bytes bigint)
language plpgsql stable security definer
set search_path = '' set statement_timeout = '2min' set jit = 'off'
set enable_nestloop = 'on' set enable_hashjoin = 'on' set enable_sort = 'on' as $$
begin
  if p_mode <> 'failed' then
    perform media_enricher.prefer_merging();
  end if;
  return query execute format(
    'select count(*), coalesce(sum(p.size_bytes), 0)::bigint from (%s %s) p',
    media_enricher.pending_sql(p_bucket, p_prefix, p_mode, p_depth, p_enricher_version,
      p_transient_codes, p_max_attempts),
    case when p_limit is not null then format('order by o.path limit %L', p_limit) end);
end
$$;
comment on function public.media_count_pending is
  'How many objects there are to work on, and their bytes; of the first p_limit, if it is given.';

create function public.media_mark_gone(p_bucket text, p_prefix text) returns bigint
language plpgsql security definer
set search_path = '' set statement_timeout = '2min' set jit = 'off'
set enable_nestloop = 'on' set enable_hashjoin = 'on' set enable_sort = 'on' as $$
declare
  gone text[];
  marked bigint;
begin
  perform media_enricher.prefer_merging();
  execute format(
    $q$select array_agg(a.path) from public.media_assets a
    left join (%1$s and %2$s) o on o.path = a.path
    where a.bucket = %3$L and a.gone_at is null and %4$s and o.path is null$q$,
    media_enricher.objects_sql(p_bucket),
    media_enricher.path_sql('o.name collate "C"', p_prefix, null),
    p_bucket,
    media_enricher.path_sql('a.path', p_prefix, null)
  ) into gone;
  update public.media_assets set gone_at = now() where bucket = p_bucket and path = any (gone);
  get diagnostics marked = row_count;
  return marked;
end
$$;
comment on function public.media_mark_gone is
  'Stamps gone_at on the assets whose object was deleted; returns how many were newly marked.';

revoke execute on all functions in schema media_enricher
  from public, anon, authenticated, service_role;
revoke execute on function public.media_pending_objects, public.media_count_pending,
  public.media_mark_gone from public, anon, authenticated;
grant execute on function public.media_pending_objects, public.media_count_pending,
  public.media_mark_gone to service_role;
