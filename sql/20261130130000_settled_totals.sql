-- A run that has done all that it had to do settles its total: it had counted objects that were
-- deleted, or done by another run, before their turn, and ended with "0 enriched of 400".

create or replace function public.media_record_run(p_run jsonb) returns public.media_enrich_runs
language plpgsql security definer set search_path = '' as $$
declare
  given jsonb := jsonb_strip_nulls(p_run);
  settles constant boolean := coalesce((p_run ->> 'settle_total')::boolean, false);
  run public.media_enrich_runs; -- as it is
  told public.media_enrich_runs; -- as the caller has it
  is_new boolean;
  is_alive boolean; -- there is a sign of life since the last one
  new_status text;
  unknown text;
begin
  select string_agg(key, ', ' order by key) into unknown from jsonb_object_keys(given) as key
  where key not in ('restart', 'settle_total')
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
    max_bytes = told.max_bytes,
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
      case when not settles then greatest(run.total_files, told.total_files) end,
      greatest(run.succeeded, told.succeeded) + greatest(run.failed, told.failed)
        + greatest(run.skipped, told.skipped)
    ),
    succeeded = greatest(run.succeeded, told.succeeded),
    failed = greatest(run.failed, told.failed),
    skipped = greatest(run.skipped, told.skipped),
    bytes_read = greatest(run.bytes_read, told.bytes_read),
    snapshot_path = told.snapshot_path,
    stopped_by = case
      when new_status = 'running' and run.status <> 'running' then null
      else told.stopped_by
    end,
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
