-- What a run may cost: runs have a budget of bytes (max_bytes), and a dry run says how many bytes
-- reading would take, and how fast the last runs were.

alter table public.media_enrich_runs
  add column max_bytes bigint, -- the most bytes that the run may read; null for any number
  add column stopped_by text, -- what kept the run from objects that are still pending
  add constraint media_enrich_runs_max_bytes_check check (max_bytes >= 0),
  add constraint media_enrich_runs_stopped_by_check check (stopped_by in ('max_bytes'));
comment on column public.media_enrich_runs.max_bytes is
  'The most bytes that the run may read; null for any number.';
comment on column public.media_enrich_runs.stopped_by is
  'max_bytes: the budget had no room for objects that are still pending; null otherwise.';
grant select (stopped_by) on public.media_enrich_runs to authenticated;

alter table media_enricher.run_requests
  add column max_bytes bigint,
  add constraint run_requests_max_bytes_check check (max_bytes >= 0);

alter table audit.enricher_invocations
  add column max_bytes bigint; -- as the request has it

-- Saves what the caller knows of a run, given as a JSON object with the columns' names and the
-- run's id; what is absent or null stays as it is. Calls may come late, twice or out of order, so
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
      run.total_files, told.total_files,
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

drop function public.media_count_pending(
  text, text, text, text, integer, text[], integer, integer, text, text
);
create function public.media_count_pending(
  p_bucket text, p_prefix text, p_mode text, p_depth text, p_enricher_version integer,
  p_transient_codes text[], p_max_attempts integer, p_limit integer default null,
  p_after text default '', p_until text default '',
  p_max_whole_bytes bigint default null, p_part_bytes bigint default null,
  p_header_bytes bigint default null
) returns table (objects bigint, size_bytes bigint, full_bytes bigint, header_bytes bigint)
language plpgsql stable security definer
set search_path = '' set statement_timeout = '2min' set jit = 'off'
set enable_nestloop = 'on' set enable_hashjoin = 'on' set enable_sort = 'on' as $$
begin
  if p_mode <> 'failed' then
    perform media_enricher.prefer_merging();
  end if;
  return query execute format(
    $q$select count(*), coalesce(sum(p.size_bytes), 0)::bigint,
      -- greatest and least ignore nulls: without a limit, all of an object is read
      coalesce(sum(case when p.size_bytes > %3$L then least(p.size_bytes, %4$L)
        else p.size_bytes end), 0)::bigint,
      coalesce(sum(least(p.size_bytes, %5$L)), 0)::bigint
    from (%1$s %2$s) p$q$,
    media_enricher.pending_sql(p_bucket, p_prefix, p_mode, p_depth, p_enricher_version,
      p_transient_codes, p_max_attempts, p_after, p_until),
    case when p_limit is not null then format('order by o.path limit %L', p_limit) end,
    p_max_whole_bytes, p_part_bytes, p_header_bytes);
end
$$;
comment on function public.media_count_pending is
  'How many objects there are to work on, their bytes, and how many of these a run would read.';
revoke execute on function public.media_count_pending from public, anon, authenticated;
grant execute on function public.media_count_pending to service_role;

-- How fast the last runs were, for an estimate of the next one: for each depth, the figures of up
-- to 10 runs added up, the newest of the last 1,000. Those over the bucket count if there are any,
-- else those over all buckets. Runs that did little say little: their start takes most of the time.
create function public.media_run_paces(p_bucket text)
returns table (depth text, objects bigint, bytes_read bigint, seconds double precision)
language sql stable security definer set search_path = '' as $$
  with last_runs as (
    select r.* from public.media_enrich_runs r
    order by r.started_at desc
    limit 1000
  ),
  usable as (
    select r.*, r.bucket = p_bucket as is_same, bool_or(r.bucket = p_bucket)
        over (partition by r.depth) as has_same,
      row_number() over (partition by r.depth, r.bucket = p_bucket order by r.started_at desc) as age
    from last_runs r
    where r.flow = 'backfill' and r.status = 'completed' and r.bytes_read > 0
  )
  select u.depth, sum(u.processed_files)::bigint, sum(u.bytes_read)::bigint,
    sum(extract(epoch from u.finished_at - u.started_at))::double precision
  from usable u
  where u.is_same = u.has_same and u.age <= 10
  group by u.depth
$$;
comment on function public.media_run_paces is
  'What the last runs of each depth read, and how long they took, added up.';
revoke execute on function public.media_run_paces from public, anon, authenticated;
grant execute on function public.media_run_paces to service_role;

-- A JSON number as a bigint, and anything else as null.
create function media_enricher.bigint_or_null(p_value jsonb) returns bigint
language sql immutable set search_path = '' as $$
  select case
    when jsonb_typeof(p_value) = 'number' then
      case when p_value::numeric between -9223372036854775808 and 9223372036854775807
        then p_value::bigint end
  end
$$;
revoke execute on function media_enricher.bigint_or_null
  from public, anon, authenticated, service_role;

-- Writes the row of a request to the audit, or updates the row of an earlier look at it. A value
-- that is too long or malformed is cut or left out, so that every request is recorded. A user who
-- is refused again and again gets one more row for each minute, which counts and holds nothing of
-- what they sent.
create or replace function media_enricher.audit_invocation(
  p_asked jsonb, p_invocation_id uuid, p_is_allowed boolean, p_http_status integer, p_reason text,
  p_run_id uuid
) returns void
language plpgsql set search_path = '' as $$
begin
  if not p_is_allowed and media_enricher.is_refused_too_often(p_asked) and not exists (
    select from audit.enricher_invocations i where i.id = p_invocation_id
  ) then
    insert into audit.enricher_invocations as i (
      id, route, caller_role, user_id, tenant_id, requested_by, is_allowed, http_status, reason
    )
    values (
      media_enricher.counting_id(media_enricher.caller_name(p_asked)),
      'several',
      left(p_asked -> 'caller' ->> 'role', 100),
      media_enricher.uuid_or_null(p_asked -> 'caller' ->> 'user_id'),
      media_enricher.uuid_or_null(p_asked -> 'caller' ->> 'tenant_id'),
      media_enricher.caller_name(p_asked),
      false, p_http_status, 'refused_again'
    )
    on conflict (id) do update set requests = i.requests + 1;
    return;
  end if;

  insert into audit.enricher_invocations (
    id, route, flow, caller_role, user_id, tenant_id, requested_by, bucket, prefix, path, max_files,
    max_bytes, mode, depth, is_allowed, http_status, reason, run_id, ip_address, user_agent
  )
  values (
    p_invocation_id,
    left(p_asked ->> 'route', 100),
    left(p_asked ->> 'flow', 100),
    left(p_asked -> 'caller' ->> 'role', 100),
    media_enricher.uuid_or_null(p_asked -> 'caller' ->> 'user_id'),
    media_enricher.uuid_or_null(p_asked -> 'caller' ->> 'tenant_id'),
    media_enricher.caller_name(p_asked),
    left(p_asked ->> 'bucket', 1024),
    left(p_asked ->> 'prefix', 1024),
    left(p_asked -> 'objects' -> 0 ->> 'path', 1024),
    media_enricher.integer_or_null(p_asked -> 'max_files'),
    media_enricher.bigint_or_null(p_asked -> 'max_bytes'),
    left(p_asked ->> 'mode', 100),
    left(p_asked ->> 'depth', 100),
    p_is_allowed,
    p_http_status,
    left(p_reason, 500),
    p_run_id,
    media_enricher.address_or_null(p_asked ->> 'ip_address'),
    left(p_asked ->> 'user_agent', 500)
  )
  on conflict (id) do update set
    is_allowed = excluded.is_allowed,
    http_status = excluded.http_status,
    reason = excluded.reason,
    run_id = excluded.run_id;
end
$$;

drop function media_enricher.covers(text, integer, text, text, text, text, text);
-- Whether a run does what is asked for a prefix: it has that very prefix; or it has a broader one
-- and no limit of objects or bytes, and its mode and depth include what is asked.
create function media_enricher.covers(
  p_prefix text, p_is_limited boolean, p_mode text, p_depth text,
  p_asked_prefix text, p_asked_mode text, p_asked_depth text
) returns boolean
language sql immutable set search_path = '' as $$
  select p_prefix = p_asked_prefix
    or starts_with(p_asked_prefix, p_prefix) and not p_is_limited
      and p_mode in ('all', p_asked_mode) and p_depth in ('full', p_asked_depth)
$$;
revoke execute on function media_enricher.covers from public, anon, authenticated, service_role;

-- A backfill under way that has no request: it was started by a schedule, by hand or in Prefect's
-- UI. Of a sharded run it is the run itself and never one of its shards.
create or replace function media_enricher.unrequested_run(
  p_bucket text, p_prefix text, p_mode text, p_depth text, p_is_exclusive boolean,
  p_silence interval
) returns uuid
language sql stable set search_path = '' as $$
  select r.id from public.media_enrich_runs r
  where r.bucket = p_bucket and r.flow in ('backfill', 'backfill-sharded')
    and r.parent_run_id is null and r.status in ('queued', 'running')
    and (
      media_enricher.covers(r.prefix, coalesce(r.max_files, r.max_bytes) is not null, r.mode,
        r.depth, p_prefix, p_mode, p_depth)
      or p_is_exclusive and media_enricher.overlaps(r.prefix, p_prefix)
    )
    and case r.status
      when 'queued' then r.created_at
      else coalesce(r.heartbeat_at, r.started_at)
    end > now() - p_silence
    and not exists (select from media_enricher.run_requests q where q.run_id = r.id)
  order by r.prefix = p_prefix desc, length(r.prefix), r.started_at desc
  limit 1
$$;

-- The part of a request that must be the same when its idempotency key is used again. A request
-- without max_bytes has the same as one of a version that knew none.
create or replace function media_enricher.essence(p_asked jsonb) returns jsonb
language sql immutable set search_path = '' as $$
  select jsonb_object_agg(name, p_asked -> name)
  from unnest(array['flow', 'bucket', 'prefix', 'max_files', 'mode', 'depth', 'objects']
    || case when p_asked ? 'max_bytes' then array['max_bytes'] end) as name
$$;

-- Decides on a request that the gateway did not refuse: the outcome, and the reservation and the
-- run that it led to. A second look within the same HTTP request counts towards no limit.
create or replace function media_enricher.reserve_run(
  p_asked jsonb, p_limits jsonb, p_invocation_id uuid, p_is_second_look boolean,
  out outcome text, out retry_after integer, out limited_by text, out is_new boolean,
  out request_id uuid, out run_id uuid
)
language plpgsql set search_path = '' as $$
declare
  caller text := media_enricher.caller_name(p_asked);
  asked_flow text := p_asked ->> 'flow';
  asked_bucket text := p_asked ->> 'bucket';
  asked_prefix text := p_asked ->> 'prefix';
  is_exclusive boolean := coalesce((p_asked ->> 'is_exclusive')::boolean, false);
  silence interval := make_interval(secs => (p_limits ->> 'silence_seconds')::double precision);
  most_waiting integer := (p_limits ->> 'waiting_objects')::integer;
  is_same boolean;
begin
  is_new := false;
  perform media_enricher.take_turns();

  if p_limits ? 'requests_per_minute' and not p_is_second_look then
    retry_after :=
      media_enricher.seconds_to_wait(caller, (p_limits ->> 'requests_per_minute')::integer);
    if retry_after is not null then
      outcome := 'rate_limited';
      return;
    end if;
  end if;

  if not exists (select from storage.buckets b where b.id = asked_bucket) then
    outcome := 'unknown_bucket';
    return;
  end if;

  if (p_asked ->> 'is_dry_run')::boolean then
    outcome := 'counted';
    return;
  end if;

  -- A key whose request could not be started gave no run, so it is as good as new.
  select k.asked = media_enricher.essence(p_asked), k.request_id, coalesce(k.run_id, q.run_id)
  into is_same, request_id, run_id
  from media_enricher.idempotency_keys k
  left join media_enricher.run_requests q on q.id = k.request_id
  where k.requested_by = caller and k.idempotency_key = p_asked ->> 'idempotency_key'
    and k.invocation_id <> p_invocation_id
    and (coalesce(k.run_id, q.run_id) is not null or q.released_at is null);
  if found then
    outcome := case when is_same then 'repeated' else 'key_reused' end;
    if not is_same then
      request_id := null;
      run_id := null;
    end if;
    return;
  end if;

  if p_asked ? 'objects' then
    if media_enricher.share_of(p_asked) <> 'service' and asked_prefix <> ''
      and media_enricher.waiting_objects(asked_bucket, asked_prefix, '', most_waiting)
        >= most_waiting
    then
      outcome := 'too_many_objects';
      retry_after := 60;
      return;
    end if;
    asked_prefix := media_enricher.queue_of(asked_bucket, asked_prefix, p_asked -> 'objects',
      (p_limits ->> 'shared_queue_objects')::integer);
    perform media_enricher.note_objects(asked_bucket, asked_prefix, p_asked -> 'objects');
  end if;

  perform media_enricher.release_ended(asked_flow, silence);
  select q.id, q.run_id into request_id, run_id
  from media_enricher.run_requests q
  where q.flow = asked_flow and q.bucket = asked_bucket and q.released_at is null
    and case
      when asked_flow <> 'backfill' then q.prefix = asked_prefix
      else media_enricher.covers(q.prefix, coalesce(q.max_files, q.max_bytes) is not null,
          q.mode, q.depth, asked_prefix, p_asked ->> 'mode', p_asked ->> 'depth')
        or is_exclusive and media_enricher.overlaps(q.prefix, asked_prefix)
    end
  order by q.prefix = asked_prefix desc, length(q.prefix), q.requested_at
  limit 1;
  if not found and asked_flow = 'backfill' then
    run_id := media_enricher.unrequested_run(asked_bucket, asked_prefix, p_asked ->> 'mode',
      p_asked ->> 'depth', is_exclusive, silence);
  end if;
  if request_id is not null or run_id is not null then
    outcome := case when run_id is null then 'queued' else 'under_way' end;
    perform media_enricher.note_key(p_asked, p_invocation_id, request_id, run_id);
    return;
  end if;

  if asked_flow = 'backfill' then
    select f.limited_by, f.retry_after into limited_by, retry_after
    from media_enricher.full_quota(p_asked, p_limits, silence) f;
    if retry_after is not null then
      outcome := 'too_many_runs';
      return;
    end if;
  end if;

  insert into media_enricher.run_requests as q (
    flow, bucket, prefix, max_files, max_bytes, mode, depth, trigger, requested_by, tenant_id, share
  )
  values (
    asked_flow, asked_bucket, asked_prefix, (p_asked ->> 'max_files')::integer,
    (p_asked ->> 'max_bytes')::bigint,
    p_asked ->> 'mode', p_asked ->> 'depth', p_asked ->> 'trigger', caller,
    coalesce(
      media_enricher.uuid_or_null(p_asked -> 'caller' ->> 'tenant_id'),
      public.media_tenant_id(asked_bucket, asked_prefix)
    ),
    media_enricher.share_of(p_asked)
  )
  returning q.id into request_id;
  perform media_enricher.note_key(p_asked, p_invocation_id, request_id, null);
  outcome := 'queued';
  is_new := true;
end
$$;
