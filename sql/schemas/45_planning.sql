-- Planning: which objects of a bucket a run has to work on.
--
-- storage.objects and media_assets are read side by side, both in the order of their index on
-- (bucket, name collate "C"), so a page costs what lies between its cursor and its last row, and a
-- whole pass is one merge. The statements are put together here and executed with their values in
-- place, for two reasons: a plan made for any value would not ride on the indexes; and columns of
-- storage.objects that not every project has (it grows with Storage's versions) can only be named
-- where they exist.
--
-- Runs that share a bucket plan within a range of paths: p_after (exclusive) to p_until
-- (inclusive), in byte order; '' leaves that side open. The ends of a range are bounds on those
-- indexes, so a range costs what lies in it. The range has defaults, so that an older program can
-- call these functions too.

-- The objects of a bucket as a SELECT of: object_id, path, owner_id (text), listed_etag (as Storage
-- wrote it), metadata, updated_at. What we stored ourselves is left out.
create function media_enricher.objects_sql(p_bucket text) returns text
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

-- A condition on a path, as an expression: it starts with the prefix, literally, and lies in the
-- range.
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

-- The owner as media_assets keeps it, as an expression: null where there is none, and where the id
-- is longer than any real one. It is in an index, and entries of an index have a limit.
create function media_enricher.owner_id_sql(p_expression text) returns text
language sql immutable set search_path = '' as $$
  select format('case when length(%1$s) between 1 and 255 then %1$s end', p_expression)
$$;

-- The content type that an object was uploaded with, as an expression: cut to the length that the
-- index has room for; null where the listing does not say.
create function media_enricher.declared_type_sql(p_metadata text) returns text
language sql immutable set search_path = '' as $$
  select format('nullif(left(%s ->> ''mimetype'', 200), '''')', p_metadata)
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

-- Whether an object `o` is another version than its row `a` describes, as an expression. Two things
-- make it another: its bytes (the etag), and the content type it was uploaded with, by which a
-- probe judges what should be in it. The size needs no comparing: an etag is a digest of the bytes,
-- so the same etag has the same size. An etag or a type that the listing does not have tells of no
-- change. Where an object had lost its bytes, a later upload has put them back, and the same bytes
-- have the same etag. The plain comparison comes first: nearly all are equal and need no further look.
create function media_enricher.is_changed_sql() returns text
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

-- Whether an object `o` has another owner than its row `a` says, as an expression. A row that is
-- older than the column owner_id has the owner in user_id alone.
create function media_enricher.is_owner_changed_sql() returns text
language sql immutable set search_path = '' as $$
  select format(
    '(o.owner_id is distinct from coalesce(a.owner_id, a.user_id::text)'
    ' and (%1$s, %2$s) is distinct from (a.owner_id, a.user_id)'
    ' and (a.owner_id is not null or a.user_id is null or %2$s is distinct from a.user_id))',
    media_enricher.owner_id_sql('o.owner_id'),
    media_enricher.user_id_sql('o.owner_id'))
$$;

-- The objects to work on as a SELECT, in no order, with the columns of media_pending_objects.
create function media_enricher.pending_sql(
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

-- Makes the next statement merge two indexes in their order, whatever the statistics say. Right
-- after a bucket was filled there are no statistics, and the planner would look up each object by
-- itself. The settings end with the calling function, since that function sets the same names.
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

-- As one value, because PostgREST cuts a result of rows after 1,000 of them by default: a page may be
-- larger, and a page that is not full is the last one.
create function public.media_pending_page(
  p_bucket text, p_prefix text, p_mode text, p_depth text, p_enricher_version integer,
  p_transient_codes text[], p_max_attempts integer, p_after text, p_limit integer,
  p_until text default ''
) returns json
language sql stable set search_path = '' as $$
  select json_build_object(
    'objects', coalesce(json_agg(p order by p.path collate "C"), '[]'),
    'is_last', count(*) < p_limit)
  from public.media_pending_objects(p_bucket, p_prefix, p_mode, p_depth, p_enricher_version,
    p_transient_codes, p_max_attempts, p_after, p_limit, p_until) p
$$;
comment on function public.media_pending_page is
  'What media_pending_objects returns, as one value, and whether it is the last page.';

create function public.media_count_pending(
  p_bucket text, p_prefix text, p_mode text, p_depth text, p_enricher_version integer,
  p_transient_codes text[], p_max_attempts integer, p_limit integer default null,
  p_after text default '', p_until text default '',
  p_max_whole_bytes bigint default null, p_part_bytes bigint default null,
  p_header_bytes bigint default null
) returns table (objects bigint, size_bytes bigint, full_bytes bigint, header_bytes bigint)
language plpgsql stable security definer
set search_path = '' set statement_timeout = '2min' set jit = 'off'
set enable_nestloop = 'on' set enable_hashjoin = 'on' set enable_sort = 'on' as $$
begin
  if p_mode <> 'failed' then
    perform media_enricher.prefer_merging();
  end if;
  return query execute format(
    $q$select count(*), coalesce(sum(p.size_bytes), 0)::bigint,
      -- greatest and least ignore nulls: without a limit, all of an object is read
      coalesce(sum(case when p.size_bytes > %3$L then least(p.size_bytes, %4$L)
        else p.size_bytes end), 0)::bigint,
      coalesce(sum(least(p.size_bytes, %5$L)), 0)::bigint
    from (%1$s %2$s) p$q$,
    media_enricher.pending_sql(p_bucket, p_prefix, p_mode, p_depth, p_enricher_version,
      p_transient_codes, p_max_attempts, p_after, p_until),
    case when p_limit is not null then format('order by o.path limit %L', p_limit) end,
    p_max_whole_bytes, p_part_bytes, p_header_bytes);
end
$$;
comment on function public.media_count_pending is
  'How many objects there are to work on, their bytes, and how many of these a run would read.';

-- How fast the last runs were, for an estimate of the next one: for each depth, the figures of up
-- to 10 runs added up, the newest of the last 1,000. Those over the bucket count if there are any,
-- else those over all buckets. Runs that did little say little: their start takes most of the time.
create function public.media_run_paces(p_bucket text)
returns table (depth text, objects bigint, bytes_read bigint, seconds double precision)
language sql stable security definer set search_path = '' as $$
  with last_runs as (
    select r.* from public.media_enrich_runs r
    order by r.started_at desc
    limit 1000
  ),
  usable as (
    select r.*, r.bucket = p_bucket as is_same, bool_or(r.bucket = p_bucket)
        over (partition by r.depth) as has_same,
      row_number() over (partition by r.depth, r.bucket = p_bucket order by r.started_at desc) as age
    from last_runs r
    where r.flow = 'backfill' and r.status = 'completed' and r.bytes_read > 0
  )
  select u.depth, sum(u.processed_files)::bigint, sum(u.bytes_read)::bigint,
    sum(extract(epoch from u.finished_at - u.started_at))::double precision
  from usable u
  where u.is_same = u.has_same and u.age <= 10
  group by u.depth
$$;
comment on function public.media_run_paces is
  'What the last runs of each depth read, and how long they took, added up.';

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

-- Cuts the objects to work on into ranges of paths that take about the same time each. Where only
-- headers are read, an object counts as one; else it counts by its bytes, plus 75 KB for what any
-- object costs. An object of unknown size counts as half a megabyte. It takes one pass, in path
-- order.
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

-- Where the batches end that a run has written in part. The results of a batch are cached by its
-- members. So a run that goes on where another was interrupted has to cut the rest into the same
-- batches, or it would read again what was read already.
create table media_enricher.batch_cuts (
  bucket text not null,
  path text collate "C" not null,
  noted_at timestamptz not null default now(),

  primary key (bucket, path)
);
comment on table media_enricher.batch_cuts is
  'Paths that no batch reaches across: the bounds of those that were written in part. They go once '
  'the batch is done, or after a week, when what was cached of it has gone too.';

create function public.media_note_cuts(p_bucket text, p_paths text[], p_done text[]) returns void
language sql security definer set search_path = '' as $$
  delete from media_enricher.batch_cuts
  where bucket = p_bucket and (path = any (p_done) or noted_at < now() - interval '7 days');
  insert into media_enricher.batch_cuts (bucket, path)
  select distinct p_bucket, noted from unnest(p_paths) as noted
  on conflict (bucket, path) do update set noted_at = now();
$$;
comment on function public.media_note_cuts is
  'Takes note of where batches end that are written in part, and forgets those that are done.';

-- The latest 1,000. There are more only where runs are interrupted all the time.
create function public.media_cuts(p_bucket text) returns setof text
language sql stable security definer set search_path = '' as $$
  select path from media_enricher.batch_cuts where bucket = p_bucket
  order by noted_at desc, path limit 1000
$$;
comment on function public.media_cuts is 'Where batches end that were written in part.';
