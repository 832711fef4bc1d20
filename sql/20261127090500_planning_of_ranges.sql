-- Planning within a range of paths, for runs that share a bucket: after the one path, and up to and
-- including the other, in the order of their bytes; '' leaves that side open. Where a range ends is
-- a bound on the indexes that planning rides on, so a range costs what lies in it.
--
-- The functions are dropped, for another one of the same name would be a second one to PostgREST;
-- what is new about each may be left out, so that an older program finds them, too.

drop function public.media_pending_objects, public.media_count_pending, public.media_mark_gone,
  media_enricher.pending_sql, media_enricher.path_sql;

-- A condition on a path: starts with the prefix, literally, and lies in the range.
create function media_enricher.path_sql(
  p_column text, p_prefix text, p_after text, p_until text default null
) returns text
language sql immutable set search_path = '' as $$
  select concat_ws(' and ', 'true',
    case when p_prefix <> '' then format('%s ^@ %L', p_column, p_prefix) end,
    case when p_after <> '' then format('%s > %L', p_column, p_after) end,
    case when p_until <> '' then format('%s <= %L', p_column, p_until) end
  )
$$;

-- The objects to work on as a SELECT, in no order, with the columns of media_pending_objects.
create function media_enricher.pending_sql(
  p_bucket text, p_prefix text, p_mode text, p_depth text, p_enricher_version integer,
  p_transient_codes text[], p_max_attempts integer, p_after text default null,
  p_until text default null
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
    media_enricher.path_sql('o.name collate "C"', p_prefix, p_after, p_until),
    p_bucket,
    media_enricher.path_sql('path', p_prefix, p_after, p_until),
    is_wanted
  );
end
$$;

create function public.media_pending_objects(
  p_bucket text, p_prefix text, p_mode text, p_depth text, p_enricher_version integer,
  p_transient_codes text[], p_max_attempts integer, p_after text, p_limit integer,
  p_until text default ''
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
      p_transient_codes, p_max_attempts, p_after, p_until),
    p_limit);
end
$$;
comment on function public.media_pending_objects is
  'The next page of objects to work on, in the order of their paths, after p_after, up to p_until.';

create function public.media_count_pending(
  p_bucket text, p_prefix text, p_mode text, p_depth text, p_enricher_version integer,
  p_transient_codes text[], p_max_attempts integer, p_limit integer default null,
  p_after text default '', p_until text default ''
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
      p_transient_codes, p_max_attempts, p_after, p_until),
    case when p_limit is not null then format('order by o.path limit %L', p_limit) end);
end
$$;
comment on function public.media_count_pending is
  'How many objects there are to work on, and their bytes; of the first p_limit, if it is given.';

create function public.media_mark_gone(
  p_bucket text, p_prefix text, p_after text default '', p_until text default ''
) returns bigint
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
    media_enricher.path_sql('o.name collate "C"', p_prefix, p_after, p_until),
    p_bucket,
    media_enricher.path_sql('a.path', p_prefix, p_after, p_until)
  ) into gone;
  update public.media_assets set gone_at = now() where bucket = p_bucket and path = any (gone);
  get diagnostics marked = row_count;
  return marked;
end
$$;
comment on function public.media_mark_gone is
  'Stamps gone_at on the assets whose object was deleted; returns how many were newly marked.';

-- Cuts what there is to work on into ranges of paths that take about as long as each other: by
-- number where only headers are read, else by bytes and what any object costs, which is as much as
-- 75 KB. An object of unknown size counts as one of half a megabyte. In one pass, and in their order.
create function public.media_split_pending(
  p_bucket text, p_prefix text, p_mode text, p_depth text, p_enricher_version integer,
  p_transient_codes text[], p_max_attempts integer, p_shards integer,
  p_after text default '', p_until text default ''
) returns table (until text, objects bigint, size_bytes bigint)
language plpgsql stable security definer
set search_path = '' set statement_timeout = '2min' set jit = 'off'
set enable_nestloop = 'on' set enable_hashjoin = 'on' set enable_sort = 'on' as $$
begin
  if p_shards is null or p_shards < 1 then
    raise exception 'shards is %, and must be at least 1', coalesce(p_shards::text, 'null')
      using errcode = '22023';
  end if;
  if p_mode <> 'failed' then
    perform media_enricher.prefer_merging();
  end if;
  return query execute format(
    $q$select max(w.path), count(*), coalesce(sum(w.size_bytes), 0)::bigint
    from (
      select p.path, p.size_bytes, p.cost,
        sum(p.cost) over (order by p.path) as cost_so_far, sum(p.cost) over () as cost_of_all
      from (select *, %1$s as cost from (%2$s) p) p
    ) w
    -- Where its middle falls, so that no share is off by more than half an object.
    group by floor((w.cost_so_far - w.cost / 2) * %3$L / w.cost_of_all)
    order by 1$q$,
    case p_depth when 'header' then '1::float8' else '75000::float8 + coalesce(p.size_bytes, 500000)' end,
    media_enricher.pending_sql(p_bucket, p_prefix, p_mode, p_depth, p_enricher_version,
      p_transient_codes, p_max_attempts, p_after, p_until),
    p_shards);
end
$$;
comment on function public.media_split_pending is
  'Cuts the objects to work on into ranges of about the same work: the last path of each.';

revoke execute on all functions in schema media_enricher
  from public, anon, authenticated, service_role;
revoke execute on function public.media_pending_objects, public.media_count_pending,
  public.media_mark_gone, public.media_split_pending from public, anon, authenticated;
grant execute on function public.media_pending_objects, public.media_count_pending,
  public.media_mark_gone, public.media_split_pending to service_role;
