-- Counting a bucket anew goes in pieces, and old records of runs are found without reading all: no
-- statement of either grows with the bucket. Before, media_recount was one statement, and held up all
-- writes to the bucket's assets until it was done.

create table media_enricher.recounts (
  bucket text primary key,
  after text collate "C" not null default '', -- the last path that was counted
  objects bigint not null default 0, -- rows of media_assets so far, gone ones too
  started_at timestamptz not null default now()
);
comment on table media_enricher.recounts is
  'How far counting a bucket anew has come. Totals of the rest of it are not there yet.';

alter table media_enricher.recounts enable row level security;
create policy "nobody, but through the functions"
  on media_enricher.recounts for select using (false);
revoke all on media_enricher.recounts from public, anon, authenticated, service_role;

create or replace function media_enricher.counted_rows_sql(p_rows text, p_sign integer) returns text
language sql immutable set search_path = '' as $$
  select format(
    $q$select %L::integer as sign, a.bucket, a.path, a.tenant_id, a.status, a.kind, a.labels,
      a.warnings,
      (a.has_location or a.latitude is not null) is true as has_location,
      a.status = 'enriched' and a.kind = 'image' and coalesce(a.alt_text, '') = '' as lacks_alt_text,
      coalesce(a.size_bytes, 0) as size_bytes, a.sha256
    from %s a where a.gone_at is null$q$, p_sign, p_rows)
$$;

create or replace function media_enricher.count_changes() returns trigger
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

revoke execute on function public.media_recount_piece from public, anon, authenticated;
grant execute on function public.media_recount_piece to service_role;

create or replace function public.media_recount(p_bucket text) returns void
language plpgsql security definer set search_path = '' set statement_timeout = '10min' as $$
begin
  perform media_enricher.lock_totals(array[p_bucket]);
  delete from media_enricher.recounts r where r.bucket = p_bucket;
  while not (select p.is_last from public.media_recount_piece(p_bucket) p) loop
  end loop;
end
$$;

create function media_enricher.runs_with_old_deviations(p_oldest timestamptz) returns setof uuid
language sql stable set search_path = '' as $$
  with recursive kept as (
    (select d.run_id from media_enricher.run_deviations d order by d.run_id limit 1)
    union all
    select following.run_id
    from kept k
    cross join lateral (
      select d.run_id from media_enricher.run_deviations d
      where d.run_id > k.run_id order by d.run_id limit 1
    ) following
  )
  select r.id from kept k join public.media_enrich_runs r on r.id = k.run_id
  where r.finished_at < p_oldest
$$;

revoke execute on function media_enricher.runs_with_old_deviations
  from public, anon, authenticated, service_role;

create or replace function public.media_purge_run_records(p_keep_days double precision)
returns bigint
language plpgsql security definer set search_path = '' set statement_timeout = '2min' as $$
declare
  oldest constant timestamptz := now() - make_interval(secs => p_keep_days * 86400);
  most constant integer := 10000;
  purged bigint := 0;
  deleted bigint;
begin
  delete from media_enricher.run_failures f where f.ctid in (
    select o.ctid from media_enricher.run_failures o
    join public.media_enrich_runs r on r.id = o.run_id
    where r.finished_at < oldest limit most
  );
  get diagnostics deleted = row_count;
  purged := purged + deleted;

  delete from media_enricher.run_deviations v where v.ctid = any (array(
    select o.ctid from media_enricher.runs_with_old_deviations(oldest) as old (run_id)
    cross join lateral (
      select d.ctid from media_enricher.run_deviations d where d.run_id = old.run_id limit most
    ) o
    limit most
  ));
  get diagnostics deleted = row_count;
  purged := purged + deleted;

  delete from media_enricher.snapshot_ledgers l where l.run_id in (
    select o.run_id from media_enricher.snapshot_ledgers o
    join public.media_enrich_runs r on r.id = o.run_id
    where r.finished_at < oldest and o.open_part is null and o.given_up = '{}' limit most
  );
  get diagnostics deleted = row_count;
  return purged + deleted;
end
$$;
