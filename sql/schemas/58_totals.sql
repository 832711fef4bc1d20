-- public.media_totals: how many assets there are of each sort, kept by the writes themselves, so
-- that a dashboard reads some rows and never counts a bucket.
--
-- All of it is exact as soon as a write commits, but for the facet 'pending', which needs a look at
-- Storage: runs and the sweep count it (media_compare_next_piece), and say when.

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
-- By it a comparison finds the totals of pending objects that it has to replace, in their order.
create index media_totals_pending_idx on public.media_totals (bucket, scope)
  where facet = 'pending' and value = 'missing';

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
    $q$select %L::integer as sign, a.bucket, a.path, a.tenant_id, a.status, a.kind, a.labels,
      a.warnings,
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

-- Buckets that are being counted anew (media_recount_piece), in the order of their paths. Triggers do
-- not count what lies behind the place: the count comes to it.
create table media_enricher.recounts (
  bucket text primary key,
  after text collate "C" not null default '', -- the last path that was counted
  objects bigint not null default 0, -- rows of media_assets so far, gone ones too
  started_at timestamptz not null default now()
);
comment on table media_enricher.recounts is
  'How far counting a bucket anew has come. Totals of the rest of it are not there yet.';

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
  if exists (select from media_enricher.recounts r where r.bucket = any (buckets)) then
    changed := format(
      'select * from (%s) c where not exists ('
      'select from media_enricher.recounts r where r.bucket = c.bucket and r.after < c.path)',
      changed);
  end if;
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

-- Counts a bucket anew, a piece in each call: it forgets what was counted, then counts so many rows
-- of media_assets at a time as the triggers do. Writes to the bucket's assets wait for one piece at
-- most, and are counted meanwhile where they lie before the place. It goes on where the last call
-- ended, also if that was long ago. objects: how many rows were counted so far, gone ones too.
create function public.media_recount_piece(p_bucket text, p_rows integer default 20000)
returns table (objects bigint, is_last boolean)
language plpgsql security definer set search_path = '' set statement_timeout = '2min'
set jit = 'off' as $$
declare
  place media_enricher.recounts;
  until text; -- null in the last piece
  counted text;
  looked_at bigint;
begin
  if p_rows is null or p_rows < 1 then
    raise exception 'rows is %, and must be at least 1', coalesce(p_rows::text, 'null')
      using errcode = '22023';
  end if;
  perform media_enricher.lock_totals(array[p_bucket]);
  insert into media_enricher.recounts (bucket) values (p_bucket) on conflict do nothing;
  select r.* into place from media_enricher.recounts r where r.bucket = p_bucket;

  if place.after = '' then
    with totals as (
      delete from public.media_totals t where t.ctid = any (array(
        select o.ctid from public.media_totals o
        where o.bucket = p_bucket and o.facet <> 'pending' limit p_rows))
      returning 1
    ), contents as (
      delete from media_enricher.contents k where k.ctid = any (array(
        select o.ctid from media_enricher.contents o where o.bucket = p_bucket limit p_rows))
      returning 1
    )
    select greatest((select count(*) from totals), (select count(*) from contents)) into looked_at;
    if looked_at = p_rows then -- there may be more
      return query select 0::bigint, false;
      return;
    end if;
  end if;

  select count(*), max(p.path) filter (where p.number = p_rows) into looked_at, until
  from (
    select a.path, row_number() over (order by a.path) as number from public.media_assets a
    where a.bucket = p_bucket and a.path > place.after
    order by a.path limit p_rows
  ) p;
  counted := format('%s and a.bucket = %L and %s',
    media_enricher.counted_rows_sql('public.media_assets', 1), p_bucket,
    media_enricher.path_sql('a.path', '', place.after, until));
  execute media_enricher.count_facets_sql(counted);
  execute media_enricher.count_copies_sql(counted);

  if until is null then
    delete from media_enricher.recounts r where r.bucket = p_bucket;
  else
    update media_enricher.recounts r set after = until, objects = r.objects + looked_at
    where r.bucket = p_bucket;
  end if;
  return query select place.objects + looked_at, until is null;
end
$$;
comment on function public.media_recount_piece is
  'Counts the next piece of a bucket anew, into media_totals. Call it until it says is_last.';

-- Counts a bucket anew, all of it in one statement, for which a large bucket takes too long.
create function public.media_recount(p_bucket text) returns void
language plpgsql security definer set search_path = '' set statement_timeout = '10min' as $$
begin
  perform media_enricher.lock_totals(array[p_bucket]);
  delete from media_enricher.recounts r where r.bucket = p_bucket;
  while not (select p.is_last from public.media_recount_piece(p_bucket) p) loop
  end loop;
end
$$;
comment on function public.media_recount is
  'Counts the assets of a bucket anew, into media_totals. Writes to them wait until it is done.';

-- Keeps what is pending in a bucket in media_totals: in all, and of each tenant. p_tenants is an
-- array of {tenant, is_recorded, objects, size_bytes}, which may name a tenant several times.
create function media_enricher.store_pending(p_bucket text, p_tenants jsonb) returns void
language plpgsql set search_path = '' as $$
begin
  perform media_enricher.lock_totals(array[p_bucket]);
  delete from public.media_totals t where t.bucket = p_bucket and t.facet = 'pending';
  insert into public.media_totals (bucket, scope, facet, value, objects, size_bytes, counted_at)
  select p_bucket, s.scope, 'pending', v.value,
    coalesce(sum(c.objects) filter (where v.value = 'missing' or not c.is_recorded), 0),
    coalesce(sum(c.size_bytes) filter (where v.value = 'missing' or not c.is_recorded), 0),
    now()
  from jsonb_to_recordset(coalesce(p_tenants, '[]') || jsonb_build_object('objects', 0))
    as c (tenant uuid, is_recorded boolean, objects bigint, size_bytes bigint)
  cross join (values ('missing'), ('unrecorded')) as v (value)
  cross join lateral (
    select '' union all select c.tenant::text where c.tenant is not null
  ) as s (scope)
  group by s.scope, v.value;
end
$$;

-- Counts what is pending in a bucket, as media_count_pending does in mode missing, and keeps it in
-- media_totals. In one statement, for programs of before media_compare_piece. Returns the pending
-- objects and their bytes.
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
  perform media_enricher.store_pending(p_bucket, found);
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
