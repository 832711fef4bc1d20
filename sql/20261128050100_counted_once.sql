-- A run counts an object once, as it ended last: what a retry of the run tries again, because it
-- failed for now, is no second object. The snapshot's readers and media_assets have it once, too.

-- How a run counted an object, where the object's row does not say so: it went away before its row
-- was written, the row keeps an earlier verdict, or it describes newer bytes.
create table media_enricher.run_deviations (
  run_id uuid references public.media_enrich_runs on delete cascade,
  path text,
  ended text not null, -- the status that was counted, or 'gone'
  error_code text, -- as in run_failures; null unless it is counted there
  primary key (run_id, path)
);
alter table media_enricher.run_deviations enable row level security;
revoke all on media_enricher.run_deviations
  from public, anon, authenticated, service_role;
create policy "nobody, but through the functions"
  on media_enricher.run_deviations for select using (false);

-- Takes back what a run counted of objects that it is about to count again. Returns their paths.
create function media_enricher.uncount(p_run_id uuid, p_bucket text, p_paths text[])
returns text[]
language plpgsql set search_path = '' as $$
declare
  counted_paths text[];
  ended text[];
  codes text[];
begin
  select array_agg(e.path), array_agg(e.ended), array_agg(e.error_code)
  into counted_paths, ended, codes
  from (
    select d.path, d.ended, d.error_code
    from media_enricher.run_deviations d
    where d.run_id = p_run_id and d.path = any (p_paths)
    union all
    select a.path, a.status,
      case when a.status = 'failed' then coalesce(a.error_code, 'unknown') end
    from unnest(p_paths) as given (path)
    -- Row by row: a plan made for all rows of the run reads them all, for every part.
    cross join lateral (
      select m.path, m.status, m.error_code, m.run_id from public.media_assets m
      where m.bucket = p_bucket and m.path = given.path offset 0
    ) a
    where a.run_id = p_run_id
      and not exists (
        select from media_enricher.run_deviations d
        where d.run_id = p_run_id and d.path = a.path
      )
  ) e;
  if counted_paths is null then
    return '{}';
  end if;

  update public.media_enrich_runs r set
    succeeded = greatest(0, r.succeeded - c.succeeded),
    failed = greatest(0, r.failed - c.failed),
    skipped = greatest(0, r.skipped - c.skipped),
    -- The run expected them on top of what it had counted.
    total_files = greatest(0, r.total_files - cardinality(counted_paths))
  from (
    select
      count(*) filter (where e = 'enriched') as succeeded,
      count(*) filter (where e = 'failed') as failed,
      count(*) filter (where e in ('gone', 'unsupported')) as skipped
    from unnest(ended) as e
  ) c
  where r.id = p_run_id;

  update media_enricher.run_failures f set objects = f.objects - c.objects
  from (select code, count(*) as objects from unnest(codes) as code group by code) c
  where f.run_id = p_run_id and f.error_code = c.code;
  delete from media_enricher.run_failures f where f.run_id = p_run_id and f.objects <= 0;

  delete from media_enricher.run_deviations d
  where d.run_id = p_run_id and d.path = any (counted_paths);

  -- An example must be one that still counts.
  update media_enricher.run_failures f
  set path = other.path, error_message = coalesce(other.error_message, f.error_message)
  from media_enricher.run_failures g
  cross join lateral (
    select a.path, a.error_message
    from public.media_assets a
    where a.run_id = p_run_id and a.bucket = p_bucket and a.status = 'failed'
      and coalesce(a.error_code, 'unknown') = g.error_code
      and a.path <> all (counted_paths)
      and not exists (
        select from media_enricher.run_deviations d
        where d.run_id = p_run_id and d.path = a.path
      )
    union all
    select d.path, null
    from media_enricher.run_deviations d
    where d.run_id = p_run_id and d.error_code = g.error_code
    limit 1
  ) other
  where f.run_id = p_run_id and f.path = any (counted_paths)
    and g.run_id = f.run_id and g.error_code = f.error_code;

  return counted_paths;
end
$$;
revoke execute on function media_enricher.uncount
  from public, anon, authenticated, service_role;

-- Records a part that is written: upserts its rows as media_record_assets does, adds them to the
-- run's counters and to its failures, each object once, and opens the next part; all of it or
-- nothing.
--
-- A call that is repeated answers the same and counts nothing twice. Of a part that is not open
-- (it was given up meanwhile, for its writer was taken for dead) nothing is recorded: is_recorded is
-- false, and whoever wrote its file deletes it and writes another.
create or replace function public.media_record_part(
  p_run_id uuid, p_part integer, p_bucket text, p_assets json, p_transient_codes text[],
  p_bytes_read bigint
) returns table (is_recorded boolean, gone text[], next_part integer, run jsonb)
language plpgsql security definer set search_path = ''
set plan_cache_mode = force_custom_plan -- a plan made for an empty table is slow once it is full
as $$
declare
  ledger media_enricher.snapshot_ledgers;
  new_gone text[];
  done public.media_enrich_runs;
begin
  select * into ledger from media_enricher.snapshot_ledgers l where l.run_id = p_run_id for update;
  if ledger.recorded_part = p_part then
    select * into done from public.media_enrich_runs r where r.id = p_run_id;
    return query select true, ledger.recorded_gone, ledger.open_part, to_jsonb(done);
    return;
  elsif ledger.open_part is distinct from p_part then
    return query select false, null::text[], null::integer, null::jsonb;
    return;
  end if;

  -- As media_record_assets does, only earlier: no other run changes these rows in between.
  perform pg_advisory_xact_lock(hashtextextended('media_assets:' || p_bucket, 0));
  perform media_enricher.uncount(
    p_run_id, p_bucket, array(select g.path from json_to_recordset(p_assets) as g (path text))
  );
  new_gone := array(
    select public.media_record_assets(p_run_id, p_bucket, p_assets, p_transient_codes)
  );

  with given as materialized (
    select distinct on (g.path) g.path, g.path = any (new_gone) as is_gone,
      case when g.path = any (new_gone) then 'gone' else g.status end as ended,
      g.error_code, g.error_message
    from json_to_recordset(p_assets) as g (
      path text, status text, error_code text, error_message text
    )
    order by g.path
  ),
  explained as materialized (
    select g.path, g.ended,
      case g.ended
        when 'gone' then 'gone'
        when 'failed' then coalesce(g.error_code, 'unknown')
      end as code,
      case when g.is_gone then 'deleted before its row was written' else g.error_message end
        as message
    from given g
  ),
  failures as (
    insert into media_enricher.run_failures as f (run_id, error_code, objects, path, error_message)
    select p_run_id, e.code, count(*), (array_agg(e.path order by e.path))[1],
      (array_agg(e.message order by e.path))[1]
    from explained e
    where e.code is not null
    group by e.code
    on conflict (run_id, error_code) do update set objects = f.objects + excluded.objects
  ),
  deviations as (
    insert into media_enricher.run_deviations (run_id, path, ended, error_code)
    select p_run_id, e.path, e.ended, e.code
    from explained e
    left join lateral ( -- row by row, as above
      select m.status, m.error_code, m.run_id from public.media_assets m
      where m.bucket = p_bucket and m.path = e.path offset 0
    ) a on a.run_id = p_run_id
    where a.status is distinct from e.ended
      or e.ended = 'failed' and coalesce(a.error_code, 'unknown') <> e.code
  ),
  counted as (
    select
      count(*) filter (where g.ended = 'enriched') as succeeded,
      count(*) filter (where g.ended = 'failed') as failed,
      count(*) filter (where g.ended in ('gone', 'unsupported')) as skipped
    from given g
  )
  update public.media_enrich_runs r set
    succeeded = r.succeeded + c.succeeded,
    failed = r.failed + c.failed,
    skipped = r.skipped + c.skipped,
    bytes_read = r.bytes_read + p_bytes_read,
    total_files = greatest(
      r.total_files, r.succeeded + r.failed + r.skipped + c.succeeded + c.failed + c.skipped
    )
  from counted c
  where r.id = p_run_id
  returning r.* into done;

  update media_enricher.snapshot_ledgers l set
    recorded_part = p_part,
    recorded_gone = new_gone,
    open_part = l.next_part,
    next_part = l.next_part + 1,
    touched_at = now()
  where l.run_id = p_run_id
  returning l.* into ledger;
  return query select true, new_gone, ledger.open_part, to_jsonb(done);
end
$$;

-- Forgets, of runs that ended more than so many days ago, what only serves to follow them: up to
-- 10,000 rows of each table in a call.
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

  delete from media_enricher.run_deviations v where v.ctid in (
    select o.ctid from media_enricher.run_deviations o
    join public.media_enrich_runs r on r.id = o.run_id
    where r.finished_at < oldest limit most
  );
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
