-- Sharded runs: a run of the flow backfill-sharded has others work on a part of its bucket each, and
-- adds them up in a row of its own.

alter table public.media_enrich_runs
  -- No foreign key: the hook of a shard may be the first to tell of either.
  add column parent_run_id uuid,
  drop constraint media_enrich_runs_flow_check,
  add constraint media_enrich_runs_flow_check
    check (flow in ('backfill', 'backfill-sharded', 'enrich-object'));
comment on column public.media_enrich_runs.parent_run_id is
  'The sharded run that this one is a part of; null for a run of its own.';
create index media_enrich_runs_parent_run_id_idx on public.media_enrich_runs (parent_run_id)
  where parent_run_id is not null;
-- Who follows runs may tell the parts from the whole.
grant select (parent_run_id) on public.media_enrich_runs to authenticated;

-- Saves what the caller knows of a run, given as a JSON object with the columns' names and the run's
-- id; what is absent or null stays as it is. Calls may come late, twice or out of order, so
--   * a status only moves forward: queued, running, then one of completed, failed, cancelled and
--     crashed, which the first to arrive settles; but crashed is a guess, so it gives way to a
--     newer heartbeat (the run is running) and to any other end;
--   * "restart": true (Prefect retries the same flow run) makes an ended run running again;
--   * counters only grow; processed_files is their sum; started_at is settled once it runs;
--   * what started a run, for whom, and which run it is a shard of, is settled by the first to say
--     so; a run that nobody named a tenant for is that of its prefix's.
create or replace function public.media_record_run(p_run jsonb) returns public.media_enrich_runs
language plpgsql security definer set search_path = '' as $$
declare
  given jsonb := jsonb_strip_nulls(p_run);
  run public.media_enrich_runs; -- as it is
  told public.media_enrich_runs; -- as the caller has it
  is_new boolean;
  is_alive boolean; -- there is a sign of life since the last one
  new_status text;
  unknown text;
begin
  select string_agg(key, ', ' order by key) into unknown from jsonb_object_keys(given) as key
  where key <> 'restart'
    and not to_jsonb(jsonb_populate_record(null::public.media_enrich_runs, '{}')) ? key;
  if unknown is not null then
    raise exception 'media_enrich_runs has no column %', unknown using errcode = '22023';
  end if;

  told := jsonb_populate_record(null::public.media_enrich_runs, given);
  if told.id is null then
    raise exception 'a run is recorded by its id, and none was given' using errcode = '22023';
  end if;
  insert into public.media_enrich_runs (id, bucket)
  select told.id, told.bucket where told.bucket is not null
  on conflict (id) do nothing;
  is_new := found;
  select * into run from public.media_enrich_runs where id = told.id for update;
  if not found then
    raise exception 'run % is not known yet, so the first record of it must name its bucket', told.id
      using errcode = '22023';
  end if;

  told := jsonb_populate_record(run, given);
  is_alive := given ? 'heartbeat_at'
    and (run.heartbeat_at is null or told.heartbeat_at > run.heartbeat_at);
  new_status := media_enricher.next_status(
    run.status,
    coalesce(given ->> 'status', case when is_alive then 'running' else run.status end),
    is_alive,
    coalesce((given ->> 'restart')::boolean, false)
  );

  update public.media_enrich_runs set
    flow = told.flow,
    bucket = told.bucket,
    prefix = told.prefix,
    max_files = told.max_files,
    mode = told.mode,
    depth = told.depth,
    trigger = case when is_new then told.trigger else run.trigger end,
    requested_by = coalesce(run.requested_by, told.requested_by),
    parent_run_id = coalesce(run.parent_run_id, told.parent_run_id),
    tenant_id = coalesce(
      run.tenant_id, told.tenant_id, public.media_tenant_id(told.bucket, told.prefix)
    ),
    status = new_status,
    total_files = greatest(
      run.total_files, told.total_files,
      greatest(run.succeeded, told.succeeded) + greatest(run.failed, told.failed)
        + greatest(run.skipped, told.skipped)
    ),
    succeeded = greatest(run.succeeded, told.succeeded),
    failed = greatest(run.failed, told.failed),
    skipped = greatest(run.skipped, told.skipped),
    bytes_read = greatest(run.bytes_read, told.bytes_read),
    snapshot_path = told.snapshot_path,
    error = case
      when new_status = run.status and given ->> 'status' is distinct from run.status
        and given ? 'status' then run.error -- it was told of another end, too late
      when new_status = 'running' and run.status <> 'running' then given ->> 'error'
      else told.error
    end,
    started_at = case
      when run.status <> 'queued' then run.started_at
      when given ? 'started_at' then told.started_at
      when new_status = 'running' then now()
      else run.started_at
    end,
    finished_at = case
      when new_status in ('queued', 'running') then null
      when new_status <> run.status then coalesce((given ->> 'finished_at')::timestamptz, now())
      else run.finished_at
    end,
    heartbeat_at = case
      when new_status = 'running' and run.status <> 'running'
        then greatest(run.heartbeat_at, told.heartbeat_at, now())
      else greatest(run.heartbeat_at, told.heartbeat_at)
    end
  where id = run.id
  returning * into run;
  return run;
end
$$;

-- A backfill under way that nobody requested here: started by a schedule, by hand, in Prefect's UI.
-- Of a sharded one, that is the whole and none of its parts.
create or replace function media_enricher.unrequested_run(
  p_bucket text, p_prefix text, p_is_any_prefix boolean, p_silence interval
) returns uuid
language sql stable set search_path = '' as $$
  select r.id from public.media_enrich_runs r
  where r.bucket = p_bucket and r.flow in ('backfill', 'backfill-sharded')
    and r.parent_run_id is null and r.status in ('queued', 'running')
    and (r.prefix = p_prefix or p_is_any_prefix)
    and case r.status
      when 'queued' then r.created_at
      else coalesce(r.heartbeat_at, r.started_at)
    end > now() - p_silence
    and not exists (select from media_enricher.run_requests q where q.run_id = r.id)
  order by r.prefix = p_prefix desc, r.started_at desc
  limit 1
$$;

-- Failures of this run, or of the parts of a sharded one, that no later run has tried again.
create or replace function public.media_run_failures(p_run_id uuid)
returns table (error_code text, objects bigint, path text, error_message text)
language sql stable security definer set search_path = '' as $$
  select f.error_code, f.objects, f.path, a.error_message
  from (
    select a.bucket, a.error_code, count(*) as objects, min(a.path) as path
    from public.media_enrich_runs r
    join public.media_assets a on a.bucket = r.bucket and a.run_id = r.id and a.status = 'failed'
    where r.id = p_run_id or r.parent_run_id = p_run_id
    group by a.bucket, a.error_code
  ) f
  join public.media_assets a on a.bucket = f.bucket and a.path = f.path
  order by f.objects desc, f.error_code
$$;
