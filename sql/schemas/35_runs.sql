-- public.media_enrich_runs: one row for each run, which frontends poll:
--   select id, started_at, status, total_files, processed_files, succeeded, failed
--   from public.media_enrich_runs order by started_at desc limit 20;

create table public.media_enrich_runs (
  id uuid primary key, -- that of the Prefect flow run
  bucket text not null, -- the Storage bucket
  prefix text not null default '', -- only objects whose path starts with it
  max_files integer,
  mode text not null default 'missing', -- which objects the run works on
  depth text not null default 'full', -- how much of each object it reads
  trigger text not null default 'manual', -- what started it
  requested_by text, -- the user's id, or else the role
  tenant_id uuid, -- the tenant of the prefix
  status text not null default 'queued', -- how far the run is, or how it ended
  total_files integer not null default 0, -- objects to do, counted as the run plans
  processed_files integer not null generated always as (succeeded + failed + skipped) stored,
  succeeded integer not null default 0, -- objects enriched
  failed integer not null default 0, -- objects that have an error_code and are not skipped
  skipped integer not null default 0,
  bytes_read bigint not null default 0, -- downloaded from Storage
  snapshot_path text, -- where the run's Parquet files are
  error text, -- why the run did not complete, as a sentence
  -- When it was asked for, until it begins: never null, or it would sort above every other run.
  started_at timestamptz not null default now(),
  finished_at timestamptz, -- null until the run has ended
  heartbeat_at timestamptz, -- the run's last sign of life
  created_at timestamptz not null default now(), -- when the row was made
  updated_at timestamptz not null default now(), -- when any column changed last
  flow text not null default 'backfill',
  -- No foreign key: a shard may be recorded before the run that it is a part of.
  parent_run_id uuid,
  max_bytes bigint, -- the most bytes that the run may read; null for any number
  stopped_by text, -- what kept the run from objects that are still pending

  constraint media_enrich_runs_flow_check
    check (flow in ('backfill', 'backfill-sharded', 'enrich-object')),
  constraint media_enrich_runs_max_files_check check (max_files >= 0),
  constraint media_enrich_runs_max_bytes_check check (max_bytes >= 0),
  constraint media_enrich_runs_stopped_by_check check (stopped_by in ('max_bytes')),
  constraint media_enrich_runs_mode_check check (mode in ('missing', 'failed', 'stale', 'all')),
  constraint media_enrich_runs_depth_check check (depth in ('header', 'full')),
  constraint media_enrich_runs_trigger_check
    check (trigger in ('manual', 'schedule', 'http', 'event')),
  constraint media_enrich_runs_status_check
    check (status in ('queued', 'running', 'completed', 'failed', 'cancelled', 'crashed')),
  constraint media_enrich_runs_counts_check check (
    succeeded >= 0 and failed >= 0 and skipped >= 0 and bytes_read >= 0
    and succeeded + failed + skipped <= total_files
  ),
  constraint media_enrich_runs_finished_check
    check ((status in ('queued', 'running')) = (finished_at is null))
);

comment on table public.media_enrich_runs is
  'Runs of Media Enricher, one row each; the id is that of the Prefect flow run.';
comment on column public.media_enrich_runs.started_at is
  'When the run began; until then, when it was asked for.';
comment on column public.media_enrich_runs.max_files is 'The limit of the run; null for none.';
comment on column public.media_enrich_runs.max_bytes is
  'The most bytes that the run may read; null for any number.';
comment on column public.media_enrich_runs.stopped_by is
  'max_bytes: the budget had no room for objects that are still pending; null otherwise.';
comment on column public.media_enrich_runs.skipped is
  'Objects of types without a probe, and objects deleted before they were read.';
comment on column public.media_enrich_runs.flow is 'The name of the Prefect flow.';
comment on column public.media_enrich_runs.parent_run_id is
  'The sharded run that this one is a part of; null for a run of its own.';

create index media_enrich_runs_started_at_idx on public.media_enrich_runs (started_at desc);
create index media_enrich_runs_tenant_id_idx on public.media_enrich_runs (tenant_id)
  where tenant_id is not null;
-- For each request: the few runs that are under way.
create index media_enrich_runs_under_way_idx on public.media_enrich_runs (bucket)
  where status in ('queued', 'running');
create index media_enrich_runs_parent_run_id_idx on public.media_enrich_runs (parent_run_id)
  where parent_run_id is not null;

create trigger media_enrich_runs_touch_updated_at before update on public.media_enrich_runs
  for each row execute function media_enricher.touch_updated_at();

-- Why objects of a run did not succeed. It is the run's own record: a later run that overwrites an
-- object's row in media_assets changes nothing here.
create table media_enricher.run_failures (
  run_id uuid not null references public.media_enrich_runs on delete cascade,
  error_code text not null, -- or 'gone': deleted before it was read
  objects bigint not null,
  path text not null, -- of an example, the first that was recorded
  error_message text, -- of that one
  primary key (run_id, error_code)
);

-- The status of a run that has p_status, when p_told is reported.
create function media_enricher.next_status(
  p_status text, p_told text, p_is_alive boolean, p_is_restarted boolean
) returns text
language sql immutable set search_path = '' as $$
  select case
    when p_told = p_status then p_status
    when p_told = 'running' and p_is_restarted then 'running'
    when p_told = 'running' and p_status = 'crashed' and p_is_alive then 'running'
    when p_status = 'crashed' and p_told not in ('queued', 'running') then p_told
    when p_status = 'queued' then p_told
    when p_status = 'running' and p_told <> 'queued' then p_told
    else p_status
  end
$$;

-- Saves what the caller knows of a run, given as a JSON object with the columns' names and the
-- run's id; what is absent or null stays as it is. Calls may come late, twice or out of order, so
--   * a status only moves forward: queued, running, then one of completed, failed, cancelled and
--     crashed, which the first to arrive settles; but crashed is a guess, so it gives way to a
--     newer heartbeat (the run is running) and to any other end;
--   * "restart": true (Prefect retries the same flow run) makes an ended run running again;
--   * counters only grow; processed_files is their sum; started_at is settled once it runs;
--   * "settle_total": true (the run has done all that it had to do) lowers total_files to what was
--     processed: objects that were counted may be deleted, or done by another run, before their turn;
--   * what started a run, for whom, and which run it is a shard of, is settled by the first to say
--     so; a run that nobody named a tenant for is that of its prefix's.
create function public.media_record_run(p_run jsonb) returns public.media_enrich_runs
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
comment on function public.media_record_run is
  'Saves what is known of a run; a status never moves backwards and counters only grow.';

-- Why objects of this run, or of the shards of a sharded run, did not succeed: as the run saw it,
-- whatever became of the objects since.
create function public.media_run_failures(p_run_id uuid)
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
comment on function public.media_run_failures is
  'Why objects failed in a run: how many for each reason, most frequent first, with an example.';
