-- The Parquet parts of a run's snapshot. What a run did is kept in three places: rows of
-- media_assets, these parts, and the counters of the run's row. A part is written first; then one
-- transaction (media_record_part, in 55_recording.sql) records its rows, counts them, and notes the
-- part as recorded. A part that was never noted, because its writer was killed in between, is given
-- up: its file is deleted, its objects have no rows, and so the next run does them.
--
-- A part is written under a name that readers ignore, and gets its final name once it is recorded.
-- Whoever opens a part, or settles a bucket's snapshots, is told the last recorded one: its writer
-- may have been killed before it gave the part its final name. The parts before it have theirs, for
-- a writer names a part before it writes the next.

-- The parts of each run. The number of the part that is being written is here before its file
-- exists: it was opened when the part before was recorded.
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

-- Opens the first part of a run, or of another attempt at it, and gives up what an earlier attempt
-- left open. Returns the number to write next, those whose files are to be deleted, and the last
-- recorded one.
--
-- p_least is the first number that is free where the snapshot is kept.
create function public.media_open_part(p_run_id uuid, p_least integer)
returns table (part integer, given_up integer[], recorded integer)
language sql security definer set search_path = '' as $$
  insert into media_enricher.snapshot_ledgers as l (run_id, next_part, open_part)
  values (p_run_id, p_least + 1, p_least)
  on conflict (run_id) do update set
    given_up = l.given_up || array_remove(array[l.open_part], null),
    open_part = greatest(l.next_part, p_least),
    next_part = greatest(l.next_part, p_least) + 1,
    touched_at = now()
  returning l.open_part, l.given_up, l.recorded_part
$$;
comment on function public.media_open_part is
  'Opens the next part of a run''s snapshot, and gives up what was left open.';

-- Gives up the parts that runs left open which have ended, or have been silent for
-- p_silence_seconds: those of one bucket, or of all if p_bucket is null. If such a run is alive
-- after all, its next write is refused, and it writes another part.
--
-- Returns, for up to 1,000 such runs, the parts whose files are to be deleted and the last recorded
-- part; and for up to 1,000 other runs, which look alive, the last recorded part alone.
create function public.media_give_up_parts(p_bucket text, p_silence_seconds double precision)
returns table (run_id uuid, snapshot_path text, parts integer[], recorded integer)
language sql security definer set search_path = '' as $$
  with unsettled as materialized (
    select l.run_id, d.snapshot_path, l.recorded_part, l.touched_at,
      d.finished_at is not null
        or coalesce(
          greatest(d.heartbeat_at, d.started_at)
            < now() - make_interval(secs => p_silence_seconds),
          false
        ) as is_over
    from media_enricher.snapshot_ledgers l
    join public.media_enrich_runs d on d.id = l.run_id
    where (l.open_part is not null or l.given_up <> '{}')
      and (p_bucket is null or d.bucket = p_bucket)
  ),
  settled as (
    update media_enricher.snapshot_ledgers l set
      given_up = l.given_up || array_remove(array[l.open_part], null),
      open_part = null,
      touched_at = now() -- those that can't be reached make room for others
    from public.media_enrich_runs r
    where r.id = l.run_id and l.run_id in (
      select u.run_id from unsettled u where u.is_over order by u.touched_at limit 1000
    )
    returning l.run_id, r.snapshot_path, l.given_up, l.recorded_part
  )
  select * from settled
  union all
  (
    select u.run_id, u.snapshot_path, '{}', u.recorded_part
    from unsettled u
    where not u.is_over and u.recorded_part is not null
    order by u.touched_at desc -- the last to write are the likeliest to have been cut short
    limit 1000
  )
$$;
comment on function public.media_give_up_parts is
  'Gives up parts of snapshots that runs which are over have left open; their files are to go.';

-- Notes that the files of these parts, which were given up, are deleted.
create function public.media_forget_parts(p_run_id uuid, p_parts integer[]) returns void
language sql security definer set search_path = '' as $$
  update media_enricher.snapshot_ledgers l
  set given_up = array(select n from unnest(l.given_up) as n where n <> all (p_parts) order by n)
  where l.run_id = p_run_id
$$;
comment on function public.media_forget_parts is
  'Notes that the files of parts that were given up are deleted.';
