-- Requesting a run: one call audits, limits and reserves, so that several gateways agree.

-- Text as a UUID, and anything else as null.
create function media_enricher.uuid_or_null(p_text text) returns uuid
language sql immutable set search_path = '' as $$
  select case
    when p_text ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then p_text::uuid
  end
$$;

-- Text as an address, and anything else as null.
create function media_enricher.address_or_null(p_text text) returns inet
language plpgsql immutable set search_path = '' as $$
begin
  return p_text::inet;
exception when others then
  return null;
end
$$;

-- A JSON number as an integer, and anything else as null.
create function media_enricher.integer_or_null(p_value jsonb) returns integer
language sql immutable set search_path = '' as $$
  select case
    when jsonb_typeof(p_value) = 'number' then
      case when p_value::numeric between -2147483648 and 2147483647 then p_value::integer end
  end
$$;

-- The caller as limits know them: a user, or else everybody of that role.
create function media_enricher.caller_name(p_asked jsonb) returns text
language sql immutable set search_path = '' as $$
  select left(coalesce(p_asked -> 'caller' ->> 'user_id', p_asked -> 'caller' ->> 'role'), 255)
$$;

-- What of a request makes it another one, if it comes with the same idempotency key.
create function media_enricher.essence(p_asked jsonb) returns jsonb
language sql immutable set search_path = '' as $$
  select jsonb_object_agg(name, p_asked -> name)
  from unnest(array['flow', 'bucket', 'prefix', 'max_files', 'mode', 'depth', 'objects']) as name
$$;

-- HTTP's word for an outcome; a refusal brings its own.
create function media_enricher.http_status_of(p_outcome text) returns integer
language sql immutable set search_path = '' as $$
  select case p_outcome
    when 'counted' then 200
    when 'under_way' then 200
    when 'queued' then 202
    when 'repeated' then 202
    when 'unknown_bucket' then 404
    when 'key_reused' then 422
    when 'rate_limited' then 429
    when 'too_many_runs' then 429
  end
$$;

-- Seconds until the caller may ask again, or null if they may now: so many of their requests were
-- allowed in the last minute.
create function media_enricher.seconds_to_wait(p_requested_by text, p_per_minute integer)
returns integer
language sql stable set search_path = '' as $$
  select greatest(1, ceil(extract(epoch from i.invoked_at + interval '1 minute' - now())))::integer
  from audit.enricher_invocations i
  where i.requested_by = p_requested_by and i.is_allowed
    and i.invoked_at > now() - interval '1 minute'
  order by i.invoked_at desc
  offset greatest(p_per_minute, 1) - 1 limit 1
$$;

-- Releases the requests whose run has ended: those that nobody will release otherwise, for the run
-- ended without knowing of its request. A running one that has been silent for too long is taken
-- for dead, or one lost machine would keep its bucket from being worked on for ever.
create function media_enricher.release_ended(p_flow text, p_silence interval) returns void
language sql set search_path = '' as $$
  update media_enricher.run_requests q set released_at = now()
  where q.flow = p_flow and q.released_at is null and q.run_id is not null
    and not exists (
      select from public.media_enrich_runs r
      where r.id = q.run_id and (
        r.status = 'queued'
        or r.status = 'running' and coalesce(r.heartbeat_at, r.started_at) > now() - p_silence
      )
    )
$$;

-- A backfill under way that nobody requested here: started by a schedule, by hand, in Prefect's UI.
create function media_enricher.unrequested_run(
  p_bucket text, p_prefix text, p_is_any_prefix boolean, p_silence interval
) returns uuid
language sql stable set search_path = '' as $$
  select r.id from public.media_enrich_runs r
  where r.bucket = p_bucket and r.flow = 'backfill' and r.status in ('queued', 'running')
    and (r.prefix = p_prefix or p_is_any_prefix)
    and case r.status
      when 'queued' then r.created_at
      else coalesce(r.heartbeat_at, r.started_at)
    end > now() - p_silence
    and not exists (select from media_enricher.run_requests q where q.run_id = r.id)
  order by r.prefix = p_prefix desc, r.started_at desc
  limit 1
$$;

-- Notes the objects that are asked for. What is no possible path of an object is left out: it would
-- not fit into the index, and there is nothing to do for it.
create function media_enricher.note_objects(p_bucket text, p_prefix text, p_objects jsonb)
returns void
language sql set search_path = '' as $$
  insert into media_enricher.requested_objects as o (bucket, prefix, path, is_forced)
  select p_bucket, p_prefix, g.path, bool_or(coalesce(g.is_forced, false))
  from jsonb_to_recordset(p_objects) as g (path text, is_forced boolean)
  where octet_length(g.path) <= 1024
  group by g.path
  on conflict (bucket, prefix, path) do update set
    sequence = excluded.sequence,
    is_forced = o.is_forced or excluded.is_forced,
    requested_at = excluded.requested_at
$$;

-- Remembers what an idempotency key stands for from now on.
create function media_enricher.note_key(
  p_asked jsonb, p_invocation_id uuid, p_request_id uuid, p_run_id uuid
) returns void
language sql set search_path = '' as $$
  insert into media_enricher.idempotency_keys
    (requested_by, idempotency_key, asked, invocation_id, request_id, run_id)
  select media_enricher.caller_name(p_asked), p_asked ->> 'idempotency_key',
    media_enricher.essence(p_asked), p_invocation_id, p_request_id, p_run_id
  where p_asked ? 'idempotency_key'
  on conflict (requested_by, idempotency_key) do update set
    invocation_id = excluded.invocation_id,
    request_id = excluded.request_id,
    run_id = excluded.run_id
$$;

-- Lets requests, and runs that want to end, take turns until the transaction ends: what one of them
-- finds is still so when it acts on it. They are rare and short, so one turn for all will do.
create function media_enricher.take_turns() returns void
language sql set search_path = '' as $$
  select pg_advisory_xact_lock(hashtextextended('media_enricher.run_requests', 0))
$$;

-- What becomes of a request that the gateway did not refuse: the outcome, and the request and the
-- run that it came to. A second look within the same HTTP request counts towards no limit.
create function media_enricher.reserve_run(
  p_asked jsonb, p_limits jsonb, p_invocation_id uuid, p_is_second_look boolean,
  out outcome text, out retry_after integer, out is_new boolean, out request_id uuid,
  out run_id uuid
)
language plpgsql set search_path = '' as $$
declare
  caller text := media_enricher.caller_name(p_asked);
  asked_flow text := p_asked ->> 'flow';
  asked_bucket text := p_asked ->> 'bucket';
  asked_prefix text := p_asked ->> 'prefix';
  is_exclusive boolean := coalesce((p_asked ->> 'is_exclusive')::boolean, false);
  silence interval := make_interval(secs => (p_limits ->> 'silence_seconds')::double precision);
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
    perform media_enricher.note_objects(asked_bucket, asked_prefix, p_asked -> 'objects');
  end if;

  perform media_enricher.release_ended(asked_flow, silence);
  select q.id, q.run_id into request_id, run_id
  from media_enricher.run_requests q
  where q.flow = asked_flow and q.bucket = asked_bucket and q.released_at is null
    and (q.prefix = asked_prefix or is_exclusive)
  order by q.prefix = asked_prefix desc, q.requested_at
  limit 1;
  if not found and asked_flow = 'backfill' then
    run_id := media_enricher.unrequested_run(asked_bucket, asked_prefix, is_exclusive, silence);
  end if;
  if request_id is not null or run_id is not null then
    outcome := case when run_id is null then 'queued' else 'under_way' end;
    perform media_enricher.note_key(p_asked, p_invocation_id, request_id, run_id);
    return;
  end if;

  -- One that was reserved by a gateway that died, and that nobody asked for since, is no run.
  if asked_flow = 'backfill' and (p_limits ->> 'active_runs')::integer <= (
    select count(*) from media_enricher.run_requests q
    where q.flow = 'backfill' and q.released_at is null
      and (q.run_id is not null or q.requested_at > now() - silence)
  ) then
    outcome := 'too_many_runs';
    retry_after := 30;
    return;
  end if;

  insert into media_enricher.run_requests as q
    (flow, bucket, prefix, max_files, mode, depth, trigger, requested_by, tenant_id)
  values (
    asked_flow, asked_bucket, asked_prefix, (p_asked ->> 'max_files')::integer,
    p_asked ->> 'mode', p_asked ->> 'depth', p_asked ->> 'trigger', caller,
    coalesce(
      media_enricher.uuid_or_null(p_asked -> 'caller' ->> 'tenant_id'),
      public.media_tenant_id(asked_bucket, asked_prefix)
    )
  )
  returning q.id into request_id;
  perform media_enricher.note_key(p_asked, p_invocation_id, request_id, null);
  outcome := 'queued';
  is_new := true;
end
$$;

-- Writes the row of a request to the audit, or that of an earlier look at it anew. Of what anybody
-- may send, each column takes what it can hold, so that nothing goes unrecorded.
create function media_enricher.audit_invocation(
  p_asked jsonb, p_invocation_id uuid, p_is_allowed boolean, p_http_status integer, p_reason text,
  p_run_id uuid
) returns void
language sql set search_path = '' as $$
  insert into audit.enricher_invocations (
    id, route, flow, caller_role, user_id, tenant_id, requested_by, bucket, prefix, path, max_files,
    mode, depth, is_allowed, http_status, reason, run_id, ip_address, user_agent
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
    run_id = excluded.run_id
$$;

-- A request to start a run, given as JSON with what is asked, by whom and from where; null counts
-- as absent. In this order: one that the gateway refused is only audited; a caller who asked too
-- often is told when to come again; the bucket must exist; a dry run reserves nothing; a known
-- idempotency key gives its run again; objects are noted; a run under way is found; so many may be
-- under way at once; and then the run is reserved.
--
-- Given the id of an invocation that was allowed before, it looks at the same HTTP request again.
create function public.media_request_run(p_request jsonb, p_limits jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  asked jsonb := '{"prefix": "", "mode": "missing", "depth": "full", "trigger": "http"}'
    || jsonb_strip_nulls(p_request);
  invocation uuid := coalesce(media_enricher.uuid_or_null(asked ->> 'invocation_id'),
    gen_random_uuid());
  is_second_look boolean := exists (
    select from audit.enricher_invocations i where i.id = invocation and i.is_allowed
  );
  reserved record;
begin
  if not asked ? 'route' then
    raise exception 'a request names its route, and this one has none' using errcode = '22023';
  end if;

  if asked ? 'refusal' then
    perform media_enricher.audit_invocation(asked, invocation, false,
      (asked -> 'refusal' ->> 'http_status')::integer, asked -> 'refusal' ->> 'reason', null);
    return jsonb_build_object(
      'outcome', 'refused', 'invocation_id', invocation, 'retry_after', null, 'is_new', false,
      'request', null, 'run', null
    );
  end if;

  if media_enricher.caller_name(asked) is null then
    raise exception 'a request that is not refused names its caller, by user_id or role'
      using errcode = '22023';
  end if;
  select * into reserved from media_enricher.reserve_run(
    asked, jsonb_strip_nulls(p_limits), invocation, is_second_look);
  perform media_enricher.audit_invocation(asked, invocation,
    reserved.outcome not in ('rate_limited', 'too_many_runs'),
    media_enricher.http_status_of(reserved.outcome), reserved.outcome, reserved.run_id);
  return jsonb_build_object(
    'outcome', reserved.outcome,
    'invocation_id', invocation,
    'retry_after', reserved.retry_after,
    'is_new', reserved.is_new,
    'request', (
      select to_jsonb(q) - 'released_at' from media_enricher.run_requests q
      where q.id = reserved.request_id
    ),
    'run', (select to_jsonb(r) from public.media_enrich_runs r where r.id = reserved.run_id)
  );
end
$$;
comment on function public.media_request_run is
  'Audits a request to start a run, checks it against the limits, and reserves the run.';

-- Says which flow run a request became, and makes its row. A hook of the run may have made it
-- before, as when Prefect's answer was lost; what the request knows better then wins.
create function public.media_start_run(p_request_id uuid, p_run_id uuid, p_invocation_id uuid)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  request media_enricher.run_requests;
  run public.media_enrich_runs;
begin
  update media_enricher.run_requests q set run_id = coalesce(q.run_id, p_run_id)
  where q.id = p_request_id
  returning * into request;
  if not found then
    raise exception 'there is no request %', p_request_id using errcode = '22023';
  end if;

  perform public.media_record_run(
    to_jsonb(request) - array['requested_at', 'released_at', 'run_id']
    || jsonb_build_object('id', request.run_id, 'status', 'queued')
  );
  update public.media_enrich_runs r set
    trigger = request.trigger,
    requested_by = coalesce(request.requested_by, r.requested_by),
    tenant_id = coalesce(request.tenant_id, r.tenant_id)
  where r.id = request.run_id
  returning * into run;

  update audit.enricher_invocations i set run_id = run.id where i.id = p_invocation_id;
  return to_jsonb(run);
end
$$;
comment on function public.media_start_run is
  'Says which flow run a request became; makes its row of media_enrich_runs, and returns it.';

create function public.media_release_request(p_request_id uuid) returns void
language sql security definer set search_path = '' as $$
  update media_enricher.run_requests q set released_at = now()
  where q.id = p_request_id and q.released_at is null
$$;
comment on function public.media_release_request is
  'Gives up a request whose run can''t be started or has ended, so that the next one is new.';

create function public.media_settle_invocation(
  p_invocation_id uuid, p_http_status integer, p_reason text
) returns void
language sql security definer set search_path = '' as $$
  update audit.enricher_invocations i set
    http_status = p_http_status,
    reason = coalesce(left(p_reason, 500), i.reason)
  where i.id = p_invocation_id
$$;
comment on function public.media_settle_invocation is
  'Corrects the audit of a request whose answer turned out otherwise.';

revoke execute on all functions in schema media_enricher
  from public, anon, authenticated, service_role;
revoke execute on function public.media_request_run, public.media_start_run,
  public.media_release_request, public.media_settle_invocation from public, anon, authenticated;
grant execute on function public.media_request_run, public.media_start_run,
  public.media_release_request, public.media_settle_invocation to service_role;
