-- Requesting a run: one call audits, limits and reserves, so that several gateways agree. Another
-- says which flow run it became.

-- The HTTP status of an outcome. A request that the gateway refused brings its own.
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
    when 'too_many_objects' then 429
  end
$$;

-- Decides on a request that the gateway did not refuse: the outcome, and the reservation and the
-- run that it led to. A second look within the same HTTP request counts towards no limit.
create function media_enricher.reserve_run(
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

-- A request to start a run, given as JSON with what is asked, by whom and from where; null counts
-- as absent. In this order: one that the gateway refused is only audited; a caller who asked too
-- often is told when to come again; the bucket must exist; a dry run reserves nothing; a known
-- idempotency key gives its run again; objects are noted; a run under way that does what is asked
-- is found; there must be room in the caller's quotas; and then the run is reserved.
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
      'outcome', 'refused', 'invocation_id', invocation, 'retry_after', null, 'limited_by', null,
      'is_new', false, 'request', null, 'run', null
    );
  end if;

  if media_enricher.caller_name(asked) is null then
    raise exception 'a request that is not refused names its caller, by user_id or role'
      using errcode = '22023';
  end if;
  select * into reserved from media_enricher.reserve_run(
    asked, jsonb_strip_nulls(p_limits), invocation, is_second_look);
  perform media_enricher.audit_invocation(asked, invocation,
    reserved.outcome not in ('rate_limited', 'too_many_runs', 'too_many_objects'),
    media_enricher.http_status_of(reserved.outcome), reserved.outcome, reserved.run_id);
  return jsonb_build_object(
    'outcome', reserved.outcome,
    'invocation_id', invocation,
    'retry_after', reserved.retry_after,
    'limited_by', reserved.limited_by,
    'is_new', reserved.is_new,
    'request', (
      select to_jsonb(q) - array['released_at', 'share'] from media_enricher.run_requests q
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
create function public.media_start_run(
  p_request_id uuid, p_run_id uuid, p_invocation_id uuid
) returns jsonb
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
    to_jsonb(request) - array['requested_at', 'released_at', 'run_id', 'share']
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
