-- What a run did is told in three places: rows of media_assets, the Parquet parts of its snapshot,
-- and the counters of its row. A part is written first; then one transaction
-- (media_record_part) records its rows, counts them, and notes the part as recorded. A part that was
-- never noted, because its writer was killed in between, is given up: its file is deleted, its
-- objects have no rows, and so the next run does them.

-- What is known of a run's parts. The number of the part that is being written stands here before
-- its file exists: it was opened when the part before was recorded.
create table media_enricher.snapshot_ledgers (
  run_id uuid primary key references public.media_enrich_runs on delete cascade,
  next_part integer not null default 0, -- no number is given out twice
  open_part integer, -- which may be written now; null once the run was settled
  recorded_part integer, -- the last one
  recorded_gone text[] not null default '{}', -- what was answered then, for a repeated call
  given_up integer[] not null default '{}', -- never recorded; whose files are still to be deleted
  touched_at timestamptz not null default now()
);
create index snapshot_ledgers_unsettled_idx on media_enricher.snapshot_ledgers (run_id)
  where open_part is not null or given_up <> '{}';
alter table media_enricher.snapshot_ledgers enable row level security;
revoke all on media_enricher.snapshot_ledgers
  from public, anon, authenticated, service_role;
create policy "nobody, but through the functions"
  on media_enricher.snapshot_ledgers for select using (false);

-- Why objects of a run did not succeed, in the run's own record: a later run that takes an object's
-- row over takes nothing away from here.
create table media_enricher.run_failures (
  run_id uuid not null references public.media_enrich_runs on delete cascade,
  error_code text not null, -- or 'gone': deleted before it was read
  objects bigint not null,
  path text not null, -- of an example, the first that was recorded
  error_message text, -- of that one
  primary key (run_id, error_code)
);
alter table media_enricher.run_failures enable row level security;
revoke all on media_enricher.run_failures
  from public, anon, authenticated, service_role;
create policy "nobody, but through the functions"
  on media_enricher.run_failures for select using (false);

-- Runs that ended, or run now, are shown what their rows tell of them as they are today.
insert into media_enricher.run_failures (run_id, error_code, objects, path, error_message)
select f.run_id, f.error_code, f.objects, f.path, a.error_message
from (
  select a.bucket, a.run_id, coalesce(a.error_code, 'unknown') as error_code, count(*) as objects,
    min(a.path) as path
  from public.media_assets a
  join public.media_enrich_runs r on r.id = a.run_id
  where a.status = 'failed'
  group by 1, 2, 3
) f
join public.media_assets a on a.bucket = f.bucket and a.path = f.path
on conflict do nothing;

-- Opens the first part of a run, or of another attempt at it: what an attempt before left open is
-- given up. Returns the number to write next, and those whose files are to be deleted.
--
-- p_least is the first number that is free where the snapshot is kept.
create function public.media_open_part(p_run_id uuid, p_least integer)
returns table (part integer, given_up integer[])
language sql security definer set search_path = '' as $$
  insert into media_enricher.snapshot_ledgers as l (run_id, next_part, open_part)
  values (p_run_id, p_least + 1, p_least)
  on conflict (run_id) do update set
    given_up = l.given_up || array_remove(array[l.open_part], null),
    open_part = greatest(l.next_part, p_least),
    next_part = greatest(l.next_part, p_least) + 1,
    touched_at = now()
  returning l.open_part, l.given_up
$$;
comment on function public.media_open_part is
  'Opens the next part of a run''s snapshot, and gives up what was left open.';

-- Records a part that is written: upserts its rows as media_record_assets does, adds them to the
-- run's counters and to its failures, and opens the next part; all of it or nothing.
--
-- A call that is repeated answers the same and counts nothing twice. Of a part that is not open
-- (it was given up meanwhile, for its writer was taken for dead) nothing is recorded: is_recorded is
-- false, and whoever wrote its file deletes it and writes another.
create function public.media_record_part(
  p_run_id uuid, p_part integer, p_bucket text, p_assets json, p_transient_codes text[],
  p_bytes_read bigint
) returns table (is_recorded boolean, gone text[], next_part integer, run jsonb)
language plpgsql security definer set search_path = '' as $$
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
  failures as (
    insert into media_enricher.run_failures as f (run_id, error_code, objects, path, error_message)
    select p_run_id, why.code, count(*), (array_agg(g.path order by g.path))[1],
      (array_agg(why.message order by g.path))[1]
    from given g
    cross join lateral (
      select case when g.is_gone then 'gone' else coalesce(g.error_code, 'unknown') end as code,
        case when g.is_gone then 'deleted before its row was written' else g.error_message end
          as message
    ) why
    where g.ended in ('gone', 'failed')
    group by why.code
    on conflict (run_id, error_code) do update set objects = f.objects + excluded.objects
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
comment on function public.media_record_part is
  'Records the rows of a part of a run''s snapshot and counts them, together or not at all.';

-- Gives up what ended runs left open, and those that have been silent for so long: of one bucket, or
-- of all if none is named. Should such a run be alive after all, its next write is refused, and it
-- writes another part.
--
-- Returns, of up to 1,000 runs, the parts whose files are to be deleted.
create function public.media_give_up_parts(p_bucket text, p_silence_seconds double precision)
returns table (run_id uuid, snapshot_path text, parts integer[])
language sql security definer set search_path = '' as $$
  update media_enricher.snapshot_ledgers l set
    given_up = l.given_up || array_remove(array[l.open_part], null),
    open_part = null,
    touched_at = now() -- those that can't be reached make room for others
  from public.media_enrich_runs r
  where r.id = l.run_id and l.run_id in (
    select u.run_id
    from media_enricher.snapshot_ledgers u
    join public.media_enrich_runs d on d.id = u.run_id
    where (u.open_part is not null or u.given_up <> '{}')
      and (p_bucket is null or d.bucket = p_bucket)
      and (
        d.finished_at is not null
        or greatest(d.heartbeat_at, d.started_at)
          < now() - make_interval(secs => p_silence_seconds)
      )
    order by u.touched_at
    limit 1000
  )
  returning l.run_id, r.snapshot_path, l.given_up
$$;
comment on function public.media_give_up_parts is
  'Gives up parts of snapshots that runs which are over have left open; their files are to go.';

-- Notes that the files of these given up parts are no more.
create function public.media_forget_parts(p_run_id uuid, p_parts integer[]) returns void
language sql security definer set search_path = '' as $$
  update media_enricher.snapshot_ledgers l
  set given_up = array(select n from unnest(l.given_up) as n where n <> all (p_parts) order by n)
  where l.run_id = p_run_id
$$;
comment on function public.media_forget_parts is
  'Notes that the files of parts that were given up are deleted.';

-- Why objects of this run, or of the parts of a sharded one, did not succeed: as the run saw it,
-- whatever became of the objects since.
create or replace function public.media_run_failures(p_run_id uuid)
returns table (error_code text, objects bigint, path text, error_message text)
language sql stable security definer set search_path = '' as $$
  select f.error_code, sum(f.objects)::bigint, (array_agg(f.path order by f.path))[1],
    (array_agg(f.error_message order by f.path))[1]
  from public.media_enrich_runs r
  join media_enricher.run_failures f on f.run_id = r.id
  where r.id = p_run_id or r.parent_run_id = p_run_id
  group by f.error_code
  order by 2 desc, 1
$$;

-- Forgets, of runs that ended more than so many days ago, what only serves to follow them: up to
-- 10,000 rows of each table in a call.
create function public.media_purge_run_records(p_keep_days double precision) returns bigint
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

  delete from media_enricher.snapshot_ledgers l where l.run_id in (
    select o.run_id from media_enricher.snapshot_ledgers o
    join public.media_enrich_runs r on r.id = o.run_id
    where r.finished_at < oldest and o.open_part is null and o.given_up = '{}' limit most
  );
  get diagnostics deleted = row_count;
  return purged + deleted;
end
$$;
comment on function public.media_purge_run_records is
  'Forgets why objects of runs failed, and which parts they wrote, so many days after their end.';

revoke execute on function public.media_open_part, public.media_record_part,
  public.media_give_up_parts, public.media_forget_parts, public.media_purge_run_records
  from public, anon, authenticated;
grant execute on function public.media_open_part, public.media_record_part,
  public.media_give_up_parts, public.media_forget_parts, public.media_purge_run_records
  to service_role;
