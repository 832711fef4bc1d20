-- A part of a snapshot is written under a name that readers do not take, and gets its own once it
-- is recorded. Whoever opens a part, or settles a bucket's snapshots, is told the last recorded one:
-- its writer may have been killed before it gave the part its name. The parts before it have theirs,
-- for a writer names a part before it writes the next.

drop function public.media_open_part;

-- Opens the first part of a run, or of another attempt at it: what an attempt before left open is
-- given up. Returns the number to write next, those whose files are to be deleted, and the last
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

drop function public.media_give_up_parts;

-- Gives up what ended runs left open, and those that have been silent for so long: of one bucket, or
-- of all if none is named. Should such a run be alive after all, its next write is refused, and it
-- writes another part.
--
-- Returns, of up to 1,000 runs, the parts whose files are to be deleted, and the last recorded one;
-- of up to 1,000 others, which look alive, only the latter.
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

revoke execute on function public.media_open_part, public.media_give_up_parts
  from public, anon, authenticated;
grant execute on function public.media_open_part, public.media_give_up_parts to service_role;
