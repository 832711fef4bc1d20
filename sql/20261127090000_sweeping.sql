-- Sweeping: what the scheduled sweep asks of the database, and what it has it forget.

-- Runs that look alive, and have given no sign of life for so long. They may be dead, or wait for a
-- worker or a retry: only Prefect can tell. The sweep takes up to 1,000 at a time.
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

-- Ends a run that was silent; but not if it has meanwhile stirred, or ended, or been retried.
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

-- Each bucket and prefix that objects were asked for under: one look at the index for each, however
-- many objects there are.
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

create index run_requests_released_at_idx on media_enricher.run_requests (released_at)
  where released_at is not null;
create index idempotency_keys_used_at_idx on media_enricher.idempotency_keys (used_at);

-- Forgets what is kept about asking for runs: what is older than so many days, up to 10,000 rows of
-- each table in a call; and all objects of buckets that are no more. Only this deletes from the
-- audit; no role may.
create function public.media_purge_requests(p_keep_days double precision) returns bigint
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

  delete from media_enricher.requested_objects o using media_enricher.requested_places() p
  where o.bucket = p.bucket and o.prefix = p.prefix
    and not exists (select from storage.buckets b where b.id = p.bucket);
  get diagnostics deleted = row_count;
  return purged + deleted;
end
$$;
comment on function public.media_purge_requests is
  'Forgets requests to start runs after so many days, and those for buckets that are no more.';

revoke execute on function media_enricher.requested_places
  from public, anon, authenticated, service_role;
revoke execute on function public.media_silent_runs, public.media_end_silent_run,
  public.media_undrained_requests, public.media_purge_requests from public, anon, authenticated;
grant execute on function public.media_silent_runs, public.media_end_silent_run,
  public.media_undrained_requests, public.media_purge_requests to service_role;
