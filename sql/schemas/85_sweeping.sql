-- Sweeping: what the scheduled sweep asks the database, and what it deletes from it.

-- Runs that are queued or running and have given no sign of life for so long. They may be dead, or
-- wait for a worker or a retry: only Prefect knows. It returns up to 1,000 at a time.
create function public.media_silent_runs(p_silence_seconds double precision)
returns setof public.media_enrich_runs
language sql stable security definer set search_path = '' as $$
  select r.* from public.media_enrich_runs r
  where r.status in ('queued', 'running')
    and case r.status
      when 'queued' then r.created_at
      else coalesce(r.heartbeat_at, r.started_at)
    end < now() - make_interval(secs => p_silence_seconds)
  order by r.created_at
  limit 1000
$$;
comment on function public.media_silent_runs is
  'Runs queued or running that have given no sign of life for so many seconds, oldest first.';

-- Ends a run that was silent, unless it has meanwhile sent a heartbeat, ended, or been retried.
create function public.media_end_silent_run(
  p_run_id uuid, p_heartbeat_at timestamptz, p_status text, p_error text,
  p_finished_at timestamptz
) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  perform from public.media_enrich_runs r
  where r.id = p_run_id and r.status in ('queued', 'running')
    and r.heartbeat_at is not distinct from p_heartbeat_at
  for update;
  if not found then
    return false;
  end if;
  perform public.media_record_run(jsonb_build_object(
    'id', p_run_id, 'status', p_status, 'error', p_error, 'finished_at', p_finished_at
  ));
  return true;
end
$$;
comment on function public.media_end_silent_run is
  'Ends a run whose last heartbeat is still the one named; whether it did.';

-- Each bucket and prefix under which objects were asked for. It looks into the index once for each,
-- however many objects there are.
create function media_enricher.requested_places() returns table (bucket text, prefix text)
language sql stable set search_path = '' as $$
  with recursive places as (
    (
      select o.bucket, o.prefix from media_enricher.requested_objects o
      order by o.bucket, o.prefix limit 1
    )
    union all
    select following.bucket, following.prefix
    from places p
    cross join lateral (
      select o.bucket, o.prefix from media_enricher.requested_objects o
      where (o.bucket, o.prefix) > (p.bucket, p.prefix)
      order by o.bucket, o.prefix limit 1
    ) following
  )
  select p.bucket, p.prefix from places p
$$;

create function public.media_undrained_requests() returns table (bucket text, prefix text)
language sql stable security definer set search_path = '' as $$
  select p.bucket, p.prefix from media_enricher.requested_places() p
  where not exists (
    select from public.media_enrich_runs r
    where r.flow = 'enrich-object' and r.bucket = p.bucket and r.prefix = p.prefix
      and r.status in ('queued', 'running')
  )
$$;
comment on function public.media_undrained_requests is
  'Where objects were asked for, and no run is under way that would do them.';

-- Deletes what is kept about requests to start runs: what is older than p_keep_days, and the counts
-- of unauthenticated requests after a week, and requested objects of buckets that no longer exist: up
-- to 10,000 rows of each in a call. Only this function deletes from the audit; no role may.
create function public.media_purge_requests(p_keep_days double precision)
returns bigint
language plpgsql security definer set search_path = '' set statement_timeout = '2min' as $$
declare
  oldest constant timestamptz := now() - make_interval(secs => p_keep_days * 86400);
  most constant integer := 10000;
  purged bigint := 0;
  deleted bigint;
begin
  delete from audit.enricher_invocations where id in (
    select i.id from audit.enricher_invocations i
    where i.invoked_at < oldest order by i.invoked_at limit most
  );
  get diagnostics deleted = row_count;
  purged := purged + deleted;

  delete from audit.enricher_invocations where id in (
    select i.id from audit.enricher_invocations i
    where i.reason = 'unauthenticated' and i.invoked_at < now() - interval '7 days'
    order by i.invoked_at limit most
  );
  get diagnostics deleted = row_count;
  purged := purged + deleted;

  delete from media_enricher.idempotency_keys k using (
    select o.requested_by, o.idempotency_key from media_enricher.idempotency_keys o
    where o.used_at < oldest order by o.used_at limit most
  ) expired
  where k.requested_by = expired.requested_by and k.idempotency_key = expired.idempotency_key;
  get diagnostics deleted = row_count;
  purged := purged + deleted;

  delete from media_enricher.run_requests where id in (
    select q.id from media_enricher.run_requests q
    where q.released_at < oldest order by q.released_at limit most
  );
  get diagnostics deleted = row_count;
  purged := purged + deleted;

  -- Of a bucket that was emptied and deleted, no run sees what was deleted last.
  with forgotten as (
    delete from media_enricher.requested_objects o using (
      select r.bucket, r.prefix, r.path
      from media_enricher.requested_places() p
      join media_enricher.requested_objects r on r.bucket = p.bucket and r.prefix = p.prefix
      where not exists (select from storage.buckets b where b.id = p.bucket)
      limit most
    ) f
    where o.bucket = f.bucket and o.prefix = f.prefix and o.path = f.path
    returning o.bucket, o.path
  ), gone as (
    update public.media_assets a set gone_at = now() from forgotten f
    where a.bucket = f.bucket and a.path = f.path and a.gone_at is null
  )
  select count(*) into deleted from forgotten;
  return purged + deleted;
end
$$;
comment on function public.media_purge_requests is
  'Forgets requests to start runs after so many days, and those for buckets that are no more.';

-- Runs that ended before then, of those that have rows in run_deviations. It looks into the index
-- once for each run, however many rows there are.
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

-- Deletes, for runs that ended more than p_keep_days ago, what only serves to follow them: up to
-- 10,000 rows of each table in a call. Returns how many; 0 once nothing is left.
create function public.media_purge_run_records(p_keep_days double precision)
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
comment on function public.media_purge_run_records is
  'Forgets why objects of runs failed, and which parts they wrote, so many days after their end.';
