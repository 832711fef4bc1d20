-- What a dashboard and a view of all assets ask: totals that every write to media_assets keeps up to
-- date, and a search by words and filters, with an index of its own. What is there already is
-- counted once, at the end; that and the index take a minute or so for a million assets.

create table public.media_totals (
  bucket text not null, -- the Storage bucket
  -- Whose share it is: the id of a tenant, or '' for the whole bucket, with all tenants and none.
  scope text not null,
  tenant_id uuid generated always as (nullif(scope, '')::uuid) stored,
  facet text not null, -- what is told apart
  value text not null, -- one value of it
  objects bigint not null,
  size_bytes bigint not null,
  counted_at timestamptz, -- when pending was counted; null where the total is always exact

  primary key (bucket, scope, facet, value)
);
comment on table public.media_totals is
  'How many assets there are, and of how many bytes: a row for each value of a facet, in the whole '
  'of a bucket and in the share of each tenant. Objects that are gone do not count.';
comment on column public.media_totals.facet is
  'status, kind, label, warning: as in media_assets. location: files that say where they were '
  'taken. alt_text: enriched images without one. copy: what could be deleted because the same '
  'bytes are there once more, in the same bucket and of the same tenant. pending: what a run in '
  'mode missing would work on (value missing), and what has no asset at all (value unrecorded).';

create index media_totals_tenant_id_idx on public.media_totals (tenant_id)
  where tenant_id is not null;

-- How often each content is there. Copies are told by it, and the totals of the facet 'copy' add
-- up what is here.
create table media_enricher.contents (
  bucket text not null,
  tenant text not null, -- the tenant's id; '' for objects of no tenant
  sha256 text not null,
  objects bigint not null,
  size_bytes bigint not null, -- of all of them

  primary key (bucket, tenant, sha256)
);
comment on table media_enricher.contents is
  'How many objects have the same bytes: a row for each content, in each bucket and tenant.';
create index contents_copied_idx on media_enricher.contents (bucket, sha256, tenant)
  where objects > 1;

-- Rows of media_assets as they are counted, as a SELECT: each with its sign, 1 for a row that is
-- there now and -1 for one that was there before.
create function media_enricher.counted_rows_sql(p_rows text, p_sign integer) returns text
language sql immutable set search_path = '' as $$
  select format(
    $q$select %L::integer as sign, a.bucket, a.tenant_id, a.status, a.kind, a.labels, a.warnings,
      (a.has_location or a.latitude is not null) is true as has_location,
      a.status = 'enriched' and a.kind = 'image' and coalesce(a.alt_text, '') = '' as lacks_alt_text,
      coalesce(a.size_bytes, 0) as size_bytes, a.sha256
    from %s a where a.gone_at is null$q$, p_sign, p_rows)
$$;

-- The statement that adds such rows to media_totals: all facets but 'copy' and 'pending'. Rows that
-- are alike are added up first, so that a thousand of them cost a few dozen updates. In the order
-- of the key, as every statement that locks rows of this table.
create function media_enricher.count_facets_sql(p_counted_rows text) returns text
language sql immutable set search_path = '' as $$
  select format(
    $q$with alike as materialized (
      select c.bucket, c.tenant_id, c.status, c.kind, c.labels, c.warnings, c.has_location,
        c.lacks_alt_text, sum(c.sign) as objects, sum(c.sign * c.size_bytes) as size_bytes
      from (%s) c
      group by c.bucket, c.tenant_id, c.status, c.kind, c.labels, c.warnings, c.has_location,
        c.lacks_alt_text
      having sum(c.sign) <> 0 or sum(c.sign * c.size_bytes) <> 0
    )
    insert into public.media_totals as t (bucket, scope, facet, value, objects, size_bytes)
    select c.bucket, s.scope, f.facet, f.value, sum(c.objects), sum(c.size_bytes)
    from alike c
    cross join lateral (
      values ('status', c.status), ('kind', c.kind),
        ('location', case when c.has_location then 'present' end),
        ('alt_text', case when c.lacks_alt_text then 'absent' end)
      union all select distinct 'label', l from unnest(c.labels) l
      union all select distinct 'warning', w from unnest(c.warnings) w
    ) as f (facet, value)
    cross join lateral (
      select '' union all select c.tenant_id::text where c.tenant_id is not null
    ) as s (scope)
    where f.value is not null
    group by c.bucket, s.scope, f.facet, f.value
    having sum(c.objects) <> 0 or sum(c.size_bytes) <> 0
    order by c.bucket, s.scope, f.facet, f.value
    on conflict (bucket, scope, facet, value) do update set
      objects = t.objects + excluded.objects, size_bytes = t.size_bytes + excluded.size_bytes$q$,
    p_counted_rows)
$$;

-- What could be deleted of so many objects with the same bytes: all but one of them.
create function media_enricher.redundant_bytes(p_objects bigint, p_size_bytes bigint)
returns bigint
language sql immutable set search_path = '' as $$
  select case when p_objects > 1 then p_size_bytes - p_size_bytes / p_objects else 0 end
$$;

-- The statement that adds such rows to media_enricher.contents, and what that changes to the facet
-- 'copy' of media_totals.
create function media_enricher.count_copies_sql(p_counted_rows text) returns text
language sql immutable set search_path = '' as $$
  select format(
    $q$with changed as materialized (
      select c.bucket, coalesce(c.tenant_id::text, '') as tenant, c.sha256,
        sum(c.sign)::bigint as objects, sum(c.sign * c.size_bytes)::bigint as size_bytes
      from (%s) c
      where c.sha256 is not null
      group by 1, 2, 3
      having sum(c.sign) <> 0 or sum(c.sign * c.size_bytes) <> 0
    ),
    saved as (
      insert into media_enricher.contents as k (bucket, tenant, sha256, objects, size_bytes)
      select * from changed order by bucket, tenant, sha256
      on conflict (bucket, tenant, sha256) do update set
        objects = k.objects + excluded.objects, size_bytes = k.size_bytes + excluded.size_bytes
      returning k.bucket, k.tenant, k.sha256, k.objects, k.size_bytes
    ),
    redundant as (
      select s.bucket, s.tenant,
        sum(greatest(s.objects - 1, 0) - greatest(s.objects - c.objects - 1, 0)) as objects,
        sum(media_enricher.redundant_bytes(s.objects, s.size_bytes)
          - media_enricher.redundant_bytes(s.objects - c.objects, s.size_bytes - c.size_bytes))
          as size_bytes
      from saved s
      join changed c on c.bucket = s.bucket and c.tenant = s.tenant and c.sha256 = s.sha256
      -- Most contents are there once, before and after.
      where s.objects > 1 or s.objects - c.objects > 1
      group by s.bucket, s.tenant
    )
    insert into public.media_totals as t (bucket, scope, facet, value, objects, size_bytes)
    select r.bucket, s.scope, 'copy', 'redundant', sum(r.objects), sum(r.size_bytes)
    from redundant r
    cross join lateral (select '' union select r.tenant) as s (scope)
    group by r.bucket, s.scope
    having sum(r.objects) <> 0 or sum(r.size_bytes) <> 0
    order by r.bucket, s.scope
    on conflict (bucket, scope, facet, value) do update set
      objects = t.objects + excluded.objects, size_bytes = t.size_bytes + excluded.size_bytes$q$,
    p_counted_rows)
$$;

-- Makes transactions that change the totals of a bucket take turns, until they end. Each adds to
-- several rows, and would else wait for rows of another that waits for its own. The rows of
-- media_assets are locked before, never after: so it can't be part of a deadlock with them.
create function media_enricher.lock_totals(p_buckets text[]) returns void
language plpgsql set search_path = '' as $$
declare
  locked text;
begin
  for locked in select distinct b from unnest(p_buckets) b order by b loop
    perform pg_advisory_xact_lock(hashtextextended('media_totals:' || locked, 0));
  end loop;
end
$$;

-- For every statement that writes to media_assets.
create function media_enricher.count_changes() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  changed text; -- the counted rows
  buckets text[];
begin
  if tg_op = 'TRUNCATE' then
    delete from public.media_totals;
    delete from media_enricher.contents;
    return null;
  end if;
  changed := case tg_op
    when 'INSERT' then media_enricher.counted_rows_sql('new_rows', 1)
    when 'DELETE' then media_enricher.counted_rows_sql('old_rows', -1)
    else media_enricher.counted_rows_sql('new_rows', 1) || ' union all '
      || media_enricher.counted_rows_sql('old_rows', -1)
  end;
  execute format('select array_agg(distinct c.bucket) from (%s) c', changed) into buckets;
  if buckets is null then
    return null;
  end if;
  perform media_enricher.lock_totals(buckets);
  execute media_enricher.count_facets_sql(changed);
  execute media_enricher.count_copies_sql(changed);
  if tg_op <> 'INSERT' then
    execute format(
      $q$delete from media_enricher.contents k using (
        select distinct c.bucket, coalesce(c.tenant_id::text, '') as tenant, c.sha256
        from (%s) c where c.sign < 0 and c.sha256 is not null
      ) c
      where k.bucket = c.bucket and k.tenant = c.tenant and k.sha256 = c.sha256
        and k.objects = 0$q$, changed);
  end if;
  return null;
end
$$;

create trigger media_assets_count_inserted after insert on public.media_assets
  referencing new table as new_rows
  for each statement execute function media_enricher.count_changes();
create trigger media_assets_count_updated after update on public.media_assets
  referencing old table as old_rows new table as new_rows
  for each statement execute function media_enricher.count_changes();
create trigger media_assets_count_deleted after delete on public.media_assets
  referencing old table as old_rows
  for each statement execute function media_enricher.count_changes();
create trigger media_assets_count_truncated after truncate on public.media_assets
  for each statement execute function media_enricher.count_changes();

-- Counts a bucket anew. Only needed where the triggers were off, as while a dump is restored: until
-- it ends, writes to the bucket's assets wait. Of a million contents, only those are written that
-- were counted wrong.
create function public.media_recount(p_bucket text) returns void
language plpgsql security definer set search_path = '' set statement_timeout = '10min'
set work_mem = '64MB' as $$
declare
  counted text := format('select * from (%s) c where c.bucket = %L',
    media_enricher.counted_rows_sql('public.media_assets', 1), p_bucket);
begin
  perform media_enricher.lock_totals(array[p_bucket]);
  delete from public.media_totals where bucket = p_bucket and facet <> 'pending';
  execute media_enricher.count_facets_sql(counted);

  execute format(
    $q$with fresh as materialized (
      select coalesce(c.tenant_id::text, '') as tenant, c.sha256, count(*) as objects,
        sum(c.size_bytes)::bigint as size_bytes
      from (%1$s) c
      where c.sha256 is not null
      group by 1, 2
    ),
    removed as (
      delete from media_enricher.contents k
      where k.bucket = %2$L
        and not exists (select from fresh f where f.tenant = k.tenant and f.sha256 = k.sha256)
    )
    insert into media_enricher.contents (bucket, tenant, sha256, objects, size_bytes)
    select %2$L, f.tenant, f.sha256, f.objects, f.size_bytes
    from fresh f
    left join media_enricher.contents k
      on k.bucket = %2$L and k.tenant = f.tenant and k.sha256 = f.sha256
    where (k.objects, k.size_bytes) is distinct from (f.objects, f.size_bytes)
    order by f.tenant, f.sha256
    on conflict (bucket, tenant, sha256) do update set
      objects = excluded.objects, size_bytes = excluded.size_bytes$q$,
    counted, p_bucket);

  insert into public.media_totals (bucket, scope, facet, value, objects, size_bytes)
  select p_bucket, s.scope, 'copy', 'redundant', sum(k.objects - 1),
    sum(media_enricher.redundant_bytes(k.objects, k.size_bytes))
  from media_enricher.contents k
  cross join lateral (select '' union select k.tenant) as s (scope)
  where k.bucket = p_bucket and k.objects > 1
  group by s.scope;
end
$$;
comment on function public.media_recount is
  'Counts the assets of a bucket anew, into media_totals. Writes to them wait until it is done.';

-- Counts what is pending in a bucket, as media_count_pending does in mode missing, and keeps it in
-- media_totals: in all, and of each tenant. Returns the pending objects and their bytes.
create function public.media_count_missing(
  p_bucket text, p_depth text, p_enricher_version integer, p_transient_codes text[],
  p_max_attempts integer
) returns table (objects bigint, size_bytes bigint)
language plpgsql security definer
set search_path = '' set statement_timeout = '2min' set jit = 'off'
set enable_nestloop = 'on' set enable_hashjoin = 'on' set enable_sort = 'on' as $$
declare
  found jsonb; -- an array of {tenant, is_recorded, objects, size_bytes}
begin
  perform media_enricher.prefer_merging();
  execute format(
    $q$select jsonb_agg(counted) from (
      select public.media_tenant_id(%1$L, p.path) as tenant,
        exists (
          select from public.media_assets a
          where a.bucket = %1$L and a.path = p.path and a.gone_at is null
        ) as is_recorded,
        count(*) as objects, coalesce(sum(p.size_bytes), 0)::bigint as size_bytes
      from (%2$s) p
      group by 1, 2
    ) counted$q$,
    p_bucket,
    media_enricher.pending_sql(p_bucket, '', 'missing', p_depth, p_enricher_version,
      p_transient_codes, p_max_attempts)
  ) into found;

  perform media_enricher.lock_totals(array[p_bucket]);
  delete from public.media_totals t where t.bucket = p_bucket and t.facet = 'pending';
  insert into public.media_totals (bucket, scope, facet, value, objects, size_bytes, counted_at)
  select p_bucket, s.scope, 'pending', v.value,
    coalesce(sum(c.objects) filter (where v.value = 'missing' or not c.is_recorded), 0),
    coalesce(sum(c.size_bytes) filter (where v.value = 'missing' or not c.is_recorded), 0),
    now()
  from jsonb_to_recordset(coalesce(found, '[]') || jsonb_build_object('objects', 0))
    as c (tenant uuid, is_recorded boolean, objects bigint, size_bytes bigint)
  cross join (values ('missing'), ('unrecorded')) as v (value)
  cross join lateral (
    select '' union all select c.tenant::text where c.tenant is not null
  ) as s (scope)
  group by s.scope, v.value;
  return query
    select t.objects, t.size_bytes from public.media_totals t
    where t.bucket = p_bucket and t.scope = '' and t.facet = 'pending' and t.value = 'missing';
end
$$;
comment on function public.media_count_missing is
  'Counts what a run in mode missing would work on, and keeps it in media_totals.';

-- The buckets and their totals, for the dashboard: all, or a tenant's share of those that hold
-- some of its objects. Our own buckets hold no media.
create function public.media_dashboard(p_tenant_id uuid default null)
returns table (bucket text, is_public boolean, totals jsonb)
language sql stable security definer set search_path = '' as $$
  select b.id, b.public, coalesce(
    jsonb_agg(jsonb_build_object(
      'facet', t.facet, 'value', t.value, 'objects', t.objects, 'size_bytes', t.size_bytes,
      'counted_at', t.counted_at
    ) order by t.facet, t.objects desc, t.value) filter (where t.bucket is not null),
    '[]'
  )
  from storage.buckets b
  left join public.media_totals t on t.bucket = b.id
    and t.scope = coalesce(p_tenant_id::text, '')
    and (t.objects > 0 or t.counted_at is not null)
  where not media_enricher.is_own_bucket(b.id)
  group by b.id, b.public
  having p_tenant_id is null or count(t.bucket) > 0
  order by b.id
  limit 1000
$$;
comment on function public.media_dashboard is
  'The buckets that can be enriched, and their totals: of all that is in them, or of one tenant.';

-- The runs that an asset's row and the records of runs tell of, the newest first: the one that
-- wrote the row last; those that tried the object and left another verdict standing, or failed; and
-- backfills over its folder since the row was made, of which only the snapshot says what they did.
create function public.media_asset_runs(p_asset_id uuid)
returns table (
  id uuid, flow text, mode text, status text, started_at timestamptz, finished_at timestamptz,
  is_last boolean, outcome text, error_code text
)
language sql stable security definer set search_path = '' as $$
  select r.id, r.flow, r.mode, r.status, r.started_at, r.finished_at, r.id = a.run_id,
    coalesce(d.ended, case when r.id = a.run_id then a.status end,
      case when f.error_code is not null then 'failed' end),
    coalesce(d.error_code, case when r.id = a.run_id then a.error_code end, f.error_code)
  from public.media_assets a
  join public.media_enrich_runs r on r.bucket = a.bucket and a.path ^@ r.prefix
  left join media_enricher.run_deviations d on d.run_id = r.id and d.path = a.path
  left join lateral (
    select e.error_code from media_enricher.run_failures e
    where e.run_id = r.id and e.path = a.path limit 1
  ) f on true
  where a.id = p_asset_id
    and (
      r.id = a.run_id or d.run_id is not null or f.error_code is not null
      or r.flow = 'backfill' and r.started_at >= a.created_at
    )
  order by r.started_at desc nulls last, r.id
  limit 20
$$;
comment on function public.media_asset_runs is
  'The runs that are known to have tried an asset, or may have, the newest first.';

-- The name of a colour, one of twelve: black, white, gray, brown, red, orange, yellow, green, cyan,
-- blue, purple, pink. By hue and lightness (HSL), with little chroma as a gray. Null for anything
-- but #rrggbb.
create function public.media_color_name(hex text) returns text
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  red integer;
  green integer;
  blue integer;
  lightest integer;
  darkest integer;
  chroma integer;
  hue double precision; -- degrees
begin
  if hex is null or hex !~ '^#[0-9a-fA-F]{6}$' then
    return null;
  end if;
  red := ('x' || substr(hex, 2, 2))::bit(8)::integer;
  green := ('x' || substr(hex, 4, 2))::bit(8)::integer;
  blue := ('x' || substr(hex, 6, 2))::bit(8)::integer;
  lightest := greatest(red, green, blue);
  darkest := least(red, green, blue);
  chroma := lightest - darkest;
  if lightest < 40 then
    return 'black';
  elsif chroma < 26 then
    return case when lightest < 60 then 'black' when darkest > 215 then 'white' else 'gray' end;
  end if;
  hue := case lightest
    when red then 60.0 * (green - blue) / chroma
    when green then 60.0 * (blue - red) / chroma + 120
    else 60.0 * (red - green) / chroma + 240
  end;
  if hue < 0 then
    hue := hue + 360;
  end if;
  return case
    when hue < 15 or hue >= 345 then
      case when lightest + darkest > 370 then 'pink' else 'red' end
    when hue < 45 then case when lightest + darkest < 250 then 'brown' else 'orange' end
    when hue < 70 then 'yellow'
    when hue < 165 then 'green'
    when hue < 195 then 'cyan'
    when hue < 255 then 'blue'
    when hue < 320 then 'purple'
    else 'pink'
  end;
end
$$;
comment on function public.media_color_name is
  'The name of a colour, #rrggbb: one of twelve, as media_search filters by.';

-- The words of a text, as the index holds them and as a search asks for them. All punctuation of
-- ASCII is a space, or Postgres would take `a/b.jpg` for one word.
create function public.media_search_words(given text) returns tsvector
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return to_tsvector('simple',
    translate(given, '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32)));
end
$$;
comment on function public.media_search_words is 'The words of a text, as media_search knows them.';

-- All that a search can find an asset by: the words of its path, title and tags, and its filters as
-- terms such as kind/image, which no word can be. Of a title and of tags only as much as an index
-- needs to know, for a file may claim a title of any length.
create function public.media_search_terms(
  path text, title text, tags text[], kind text, labels text[], warnings text[],
  dominant_color text, is_located boolean, lacks_alt_text boolean
) returns tsvector
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return to_tsvector('simple', translate(
      concat_ws(' ', path, left(title, 1000), left(array_to_string(tags[:100], ' '), 5000)),
      '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32)
    )) || array_to_tsvector(array_remove(
      array[
        'kind/' || kind,
        'color/' || public.media_color_name(dominant_color),
        case when is_located then 'location/present' end,
        case when lacks_alt_text then 'alt_text/absent' end
      ]
        -- Joined and split again: a subquery would take as long as all of the rest. Never too
        -- long for a term, which has at most 2,046 bytes.
        || string_to_array(
          'label/' || nullif(left(array_to_string(labels, E'\nlabel/'), 500), ''), E'\n')
        || string_to_array(
          'warning/' || nullif(left(array_to_string(warnings, E'\nwarning/'), 500), ''), E'\n'),
      null
    ));
end
$$;
comment on function public.media_search_terms is
  'What media_search finds an asset by: words, and filters. It is what the index holds.';

-- One index for the words and for the filters, in any combination. For roles that row level
-- security does not bind: under it only what is leakproof can use an index.
create index media_assets_search_idx on public.media_assets using gin (
  public.media_search_terms(
    path, title, tags, kind, labels, warnings, dominant_color,
    (has_location or latitude is not null) is true,
    status = 'enriched' and kind = 'image' and coalesce(alt_text, '') = ''
  )
) where gone_at is null;

-- Contents that are there more than once in a bucket, for media_search: those after a content.
create function public.media_copied_contents(
  p_bucket text, p_tenant_id uuid, p_after_bucket text, p_after_sha256 text, p_limit integer
) returns table (bucket text, tenant_id uuid, sha256 text)
language sql stable security definer set search_path = '' as $$
  select c.bucket, nullif(c.tenant, '')::uuid, c.sha256
  from media_enricher.contents c
  where c.objects > 1
    and (p_bucket is null or c.bucket = p_bucket)
    and (p_tenant_id is null or c.tenant = p_tenant_id::text)
    and (c.bucket, c.sha256) >= (coalesce(p_after_bucket, ''), coalesce(p_after_sha256, ''))
  order by c.bucket, c.sha256
  limit p_limit
$$;
comment on function public.media_copied_contents is
  'Contents of which there are several objects in a bucket and a tenant, in their order.';

-- Media by words and filters, of those that the caller may see, in the order of bucket and path.
-- Every argument narrows; one that is null does not. What is gone is never found.
--
-- Words match beginnings of words in paths, titles and tags, in upper or lower case, and all must
-- match. `after` is the id of the last asset of the page before.
--
-- What finds the rows depends on the caller. service_role asks the index on media_search_terms: for
-- all that match, up to 10,000. Where more match, the next page is found soon enough by reading on
-- in the order of paths. Postgres can't choose between the two, for it guesses that one in 200 rows
-- has a word, whichever it is. Under row level security that index is of no use, for its operator is not leakproof: there the
-- indexes on user and tenant find the rows that the caller may see, and each is compared.
create function public.media_search(
  words text default null, bucket text default null, kind text default null,
  status text default null, label text default null, warning text default null,
  color text default null, is_located boolean default null, lacks_alt_text boolean default null,
  is_copied boolean default null, tenant_id uuid default null, after uuid default null,
  max_results integer default 24
) returns setof public.media_assets
language plpgsql stable
set search_path = '' set statement_timeout = '8s'
set work_mem = '16MB' -- or the rows of a common word are all looked at again
set enable_seqscan = 'on' set enable_indexscan = 'on' as $$
#variable_conflict use_variable
declare
  most constant integer := 10000;
  terms constant text := 'public.media_search_terms(a.path, a.title, a.tags, a.kind, a.labels,'
    ' a.warnings, a.dominant_color, (a.has_location or a.latitude is not null) is true,'
    || $t$ a.status = 'enriched' and a.kind = 'image' and coalesce(a.alt_text, '') = '')$t$;
  has_index constant boolean := not row_security_active('public.media_assets');
  asked text[] := '{}'; -- terms, as a tsquery has them
  conditions text[] := array['a.gone_at is null'];
  matching text; -- the condition on terms, if any are asked for
  copies text; -- a join with the contents that are there several times
  last public.media_assets; -- the asset of `after`
  sorting constant text := case when is_copied then 'a.bucket, a.sha256, a.path'
    else 'a.bucket, a.path' end;
  matches integer;
  page uuid[]; -- of the matches, those to return
begin
  if max_results is null or max_results not between 1 and 1000 then
    raise exception 'max_results is %: it must be 1 to 1000', max_results using errcode = '22023';
  end if;
  if after is not null then
    select a.* into last from public.media_assets a where a.id = after;
    if last.id is null then
      return; -- there is no such asset, or not for this caller
    end if;
  end if;

  asked := array(
    select quote_literal(w) || ':*' from unnest(tsvector_to_array(
      public.media_search_words(left(words, 200)))) w limit 10
  );
  if words ~ '\S' and asked = '{}' then
    return; -- nothing that could be in an index
  end if;
  if has_index then
    asked := asked || array(
      -- A tsquery has its own quotes, in which a backslash escapes.
      select format('''%s''', replace(replace(t, '\', '\\'), '''', '''''')) from unnest(array[
        'kind/' || kind, 'color/' || color, 'label/' || label, 'warning/' || warning,
        case when is_located then 'location/present' end,
        case when lacks_alt_text then 'alt_text/absent' end
      ]) t where t is not null
    );
  else
    conditions := conditions || array_remove(array[
      'a.kind = ' || quote_literal(kind),
      'public.media_color_name(a.dominant_color) = ' || quote_literal(color),
      'a.labels @> array[' || quote_literal(label) || ']',
      'a.warnings @> array[' || quote_literal(warning) || ']',
      case when is_located then '(a.has_location or a.latitude is not null)' end,
      case when lacks_alt_text
        then $c$a.status = 'enriched' and a.kind = 'image' and coalesce(a.alt_text, '') = ''$c$ end
    ], null);
  end if;
  if asked <> '{}' then
    matching := format('%s @@ %L::tsquery', terms, array_to_string(asked, ' & '));
  end if;
  conditions := conditions || array_remove(array[
    'a.bucket = ' || quote_literal(bucket),
    'a.status = ' || quote_literal(status),
    'a.tenant_id = ' || quote_literal(tenant_id),
    case when not is_located then '(a.has_location or a.latitude is not null) is not true' end,
    case when not lacks_alt_text then $c$a.alt_text <> ''$c$ end
  ], null);

  if is_copied and has_index then
    copies := format(
      ' join public.media_copied_contents(%L, %L, %L, %L, %L) c on c.bucket = a.bucket'
      ' and c.sha256 = a.sha256 and c.tenant_id is not distinct from a.tenant_id',
      bucket, tenant_id, last.bucket, last.sha256,
      -- Each has two objects at the least. Where filters hide some, all may be needed.
      case when asked = '{}' and status is null then max_results end);
  elsif is_copied then
    conditions := conditions || array[
      'exists (select from public.media_assets b where b.sha256 = a.sha256'
      ' and b.bucket = a.bucket and b.tenant_id is not distinct from a.tenant_id'
      ' and b.id <> a.id and b.gone_at is null)'
    ];
  end if;
  if last.id is not null and is_copied then
    conditions := conditions || format('(a.bucket, a.sha256, a.path) > (%L, %L, %L)',
      last.bucket, last.sha256, last.path);
  elsif last.id is not null then
    conditions := conditions || format('(a.bucket, a.path) > (%L, %L)', last.bucket, last.path);
  end if;

  if has_index and matching is not null then
    -- OFFSET keeps the other conditions out, or another index might be asked, and every row of a
    -- bucket be compared.
    perform set_config('enable_seqscan', 'off', true), set_config('enable_indexscan', 'off', true);
    execute format(
      'select count(*), (array_agg(a.id order by %s))[:%s] from'
      ' (select a.id, a.bucket, a.sha256, a.path'
      ' from (select * from public.media_assets a where a.gone_at is null and %s offset 0) a %s'
      ' where %s limit %s) a',
      sorting, max_results, matching, copies, array_to_string(conditions, ' and '), most + 1
    ) into matches, page;
    perform set_config('enable_seqscan', 'on', true), set_config('enable_indexscan', 'on', true);
    if matches <= most then
      return query execute format(
        'select a.* from public.media_assets a where a.id = any ($1) order by %s', sorting
      ) using page;
      return;
    end if;
  end if;
  return query execute format(
    'select a.* from public.media_assets a %s where %s order by %s limit %s',
    copies, concat_ws(' and ', array_to_string(conditions, ' and '), matching), sorting, max_results
  );
end
$$;
comment on function public.media_search is
  'Media by words and filters, of those that the caller may see, in the order of bucket and path.';

-- Who may read and call it

alter table public.media_totals enable row level security;
revoke all on public.media_totals from public, anon, authenticated, service_role;
grant select on public.media_totals to authenticated, service_role;

create policy "users read the totals of their tenant"
  on public.media_totals for select to authenticated
  using (tenant_id = (select public.media_caller_tenant_id()));

revoke all on media_enricher.contents from public, anon, authenticated, service_role;
alter table media_enricher.contents enable row level security;
create policy "nobody, but through the functions"
  on media_enricher.contents for select using (false);

revoke execute on all functions in schema media_enricher
  from public, anon, authenticated, service_role;

revoke execute on function
  public.media_color_name,
  public.media_search,
  public.media_search_terms,
  public.media_search_words
from public, anon;
grant execute on function
  public.media_color_name,
  public.media_search,
  public.media_search_terms,
  public.media_search_words
to authenticated, service_role;

revoke execute on function
  public.media_asset_runs,
  public.media_copied_contents,
  public.media_count_missing,
  public.media_dashboard,
  public.media_recount
from public, anon, authenticated;
grant execute on function
  public.media_asset_runs,
  public.media_copied_contents,
  public.media_count_missing,
  public.media_dashboard,
  public.media_recount
to service_role;

-- What is there already

select public.media_recount(b.bucket)
from (select distinct bucket from public.media_assets order by bucket) b;
