-- Nobody shuts out others: each tenant and each user has a quota of runs under way, the service key
-- has room of its own, and a prefix that a run is working on anyway is that run's work.

-- Whose share of the runs a request takes: 'service' (the service key, webhooks, sweeps),
-- 'tenant <id>', 'admins' (of everything), or 'users', all of whom without a tenant share one, so
-- that nobody gets more by signing up again.
create function media_enricher.share_of(p_asked jsonb) returns text
language sql immutable set search_path = '' as $$
  select case
    when p_asked -> 'caller' ->> 'role' is distinct from 'authenticated' then 'service'
    when p_asked -> 'caller' ->> 'tenant_id' is not null
      then 'tenant ' || left(lower(p_asked -> 'caller' ->> 'tenant_id'), 100)
    when (p_asked -> 'caller' ->> 'is_admin')::boolean then 'admins'
    else 'users'
  end
$$;

alter table media_enricher.run_requests add column share text not null default 'service';
comment on column media_enricher.run_requests.share is
  'Whose quota of active runs it counts towards: service, admins, users, or "tenant <id>".';
update media_enricher.run_requests set share = case
    when tenant_id is not null then 'tenant ' || tenant_id
    else 'users'
  end
where released_at is null and media_enricher.uuid_or_null(requested_by) is not null;

-- Whether a run does what is asked of a prefix: it is over that very prefix, or over a broader one,
-- all of it, and looks at no fewer objects and no less of them.
create function media_enricher.covers(
  p_prefix text, p_max_files integer, p_mode text, p_depth text,
  p_asked_prefix text, p_asked_mode text, p_asked_depth text
) returns boolean
language sql immutable set search_path = '' as $$
  select p_prefix = p_asked_prefix
    or starts_with(p_asked_prefix, p_prefix) and p_max_files is null
      and p_mode in ('all', p_asked_mode) and p_depth in ('full', p_asked_depth)
$$;

-- Whether one of two prefixes lies in the other.
create function media_enricher.overlaps(p_prefix text, p_another text) returns boolean
language sql immutable set search_path = '' as $$
  select starts_with(p_prefix, p_another) or starts_with(p_another, p_prefix)
$$;

-- A backfill under way that nobody requested here: started by a schedule, by hand, in Prefect's UI.
-- Of a sharded one, that is the whole and none of its parts.
drop function media_enricher.unrequested_run(text, text, boolean, interval);
create function media_enricher.unrequested_run(
  p_bucket text, p_prefix text, p_mode text, p_depth text, p_is_exclusive boolean,
  p_silence interval
) returns uuid
language sql stable set search_path = '' as $$
  select r.id from public.media_enrich_runs r
  where r.bucket = p_bucket and r.flow in ('backfill', 'backfill-sharded')
    and r.parent_run_id is null and r.status in ('queued', 'running')
    and (
      media_enricher.covers(r.prefix, r.max_files, r.mode, r.depth, p_prefix, p_mode, p_depth)
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

-- Seconds until there is room for another backfill, or null if there is now. Told by the runs that
-- take up the room: what each has left at its pace so far, or, before it has one, as long as runs
-- took lately. From 1 s to 10 minutes, for an estimate is worth no more.
create function media_enricher.seconds_to_room(
  p_share text, p_requested_by text, p_most integer, p_silence interval
) returns integer
language sql stable set search_path = '' as $$
  with lately as (
    select coalesce(
      percentile_cont(0.5) within group (
        order by extract(epoch from f.finished_at - f.started_at)::double precision
      ), 60
    ) as seconds
    from (
      select r.started_at, r.finished_at from public.media_enrich_runs r
      where r.flow = 'backfill' and r.status = 'completed'
      order by r.started_at desc limit 20
    ) f
  ),
  holders as (
    select case
        -- One that was reserved by a gateway that died, and that nobody asks for, is no run.
        when q.run_id is null then extract(epoch from q.requested_at + p_silence - now())
        when r.status is distinct from 'running' then l.seconds
        when r.processed_files > 0 then extract(epoch from now() - r.started_at)
          * greatest(r.total_files - r.processed_files, 0) / r.processed_files
        else l.seconds - extract(epoch from now() - r.started_at)
      end as seconds_left
    from media_enricher.run_requests q
    cross join lately l
    left join public.media_enrich_runs r on r.id = q.run_id
    where q.flow = 'backfill' and q.released_at is null
      and (q.run_id is not null or q.requested_at > now() - p_silence)
      and (q.share = p_share or p_share is null and q.share <> 'service')
      and (p_requested_by is null or q.requested_by = p_requested_by)
  )
  select least(greatest(ceil(waits.seconds), 1), 600)::integer
  from (
    select h.seconds_left as seconds from holders h
    where (select count(*) from holders) >= p_most
    union all
    select 600 where p_most < 1 -- there never is
    order by 1
    offset greatest((select count(*) from holders) - p_most, 0) limit 1
  ) waits
$$;

-- Which quota of backfills leaves no room for this request, and until when; nothing if there is
-- room. Where several do, the one that lasts longest: there is no room before.
create function media_enricher.full_quota(
  p_asked jsonb, p_limits jsonb, p_silence interval, out limited_by text, out retry_after integer
)
language sql stable set search_path = '' as $$
  select f.name, f.seconds
  from (select media_enricher.share_of(p_asked) as share) s
  cross join lateral (
    select 'service' as name, media_enricher.seconds_to_room(
      'service', null, (p_limits ->> 'service_active_runs')::integer, p_silence) as seconds
    where s.share = 'service'
    union all
    select 'user', media_enricher.seconds_to_room(
      null, media_enricher.caller_name(p_asked), (p_limits ->> 'user_active_runs')::integer,
      p_silence)
    where s.share <> 'service'
    union all
    select 'tenant', media_enricher.seconds_to_room(
      s.share, null, (p_limits ->> 'tenant_active_runs')::integer, p_silence)
    where s.share not in ('service', 'admins')
    union all
    select 'all', media_enricher.seconds_to_room(
      null, null, (p_limits ->> 'active_runs')::integer, p_silence)
    where s.share <> 'service'
  ) f
  where f.seconds is not null
  order by f.seconds desc
  limit 1
$$;

-- How many objects of a folder wait in a queue, counted up to so many.
create function media_enricher.waiting_objects(
  p_bucket text, p_prefix text, p_folder text, p_most integer
) returns integer
language sql stable set search_path = '' as $$
  select count(*)::integer from (
    select from media_enricher.requested_objects o
    where o.bucket = p_bucket and o.prefix = p_prefix
      and o.path >= p_folder and o.path < p_folder || chr(1114111)
    limit p_most
  ) waiting
$$;

-- The queue that objects are noted in. What webhooks tell of shares one queue a bucket; a tenant of
-- whom so many objects wait there gets one of its own for the rest, so that others' uploads do not
-- wait behind them.
create function media_enricher.queue_of(
  p_bucket text, p_prefix text, p_objects jsonb, p_most integer
) returns text
language sql stable set search_path = '' as $$
  select case
    when p_prefix = '' and f.is_one and public.media_tenant_id(p_bucket, f.folder) is not null
      and media_enricher.waiting_objects(p_bucket, '', f.folder, p_most) >= p_most
    then f.folder
    else p_prefix
  end
  from (
    select min(split_part(g.path, '/', 1) || '/') as folder,
      count(distinct split_part(g.path, '/', 1)) = 1 as is_one
    from jsonb_to_recordset(p_objects) as g (path text)
  ) f
$$;

-- What becomes of a request that the gateway did not refuse: the outcome, and the request and the
-- run that it came to. A second look within the same HTTP request counts towards no limit.
drop function media_enricher.reserve_run(jsonb, jsonb, uuid, boolean);
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
      else media_enricher.covers(q.prefix, q.max_files, q.mode, q.depth,
          asked_prefix, p_asked ->> 'mode', p_asked ->> 'depth')
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
    flow, bucket, prefix, max_files, mode, depth, trigger, requested_by, tenant_id, share
  )
  values (
    asked_flow, asked_bucket, asked_prefix, (p_asked ->> 'max_files')::integer,
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

create or replace function media_enricher.http_status_of(p_outcome text) returns integer
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

-- The audit counts what would otherwise fill it: a row a minute instead of a row a request.
alter table audit.enricher_invocations add column requests integer not null default 1;
comment on column audit.enricher_invocations.requests is
  'How many requests the row stands for: 1, or those of a minute that were only counted.';
create index enricher_invocations_refused_idx
  on audit.enricher_invocations (requested_by, invoked_at desc) where not is_allowed;
create index enricher_invocations_unauthenticated_idx
  on audit.enricher_invocations (invoked_at) where reason = 'unauthenticated';

-- The id of the row that counts for a minute, the same at every gateway.
create function media_enricher.counting_id(p_whose text) returns uuid
language sql stable set search_path = '' as $$
  select md5(concat_ws(' ', 'counted', date_trunc('minute', now() at time zone 'UTC'), p_whose))::uuid
$$;

-- Whether so many requests of a user, or of webhooks, were refused within a minute that a further
-- one is only counted. The service key's are all on record.
create function media_enricher.is_refused_too_often(p_asked jsonb) returns boolean
language sql stable set search_path = '' as $$
  select p_asked -> 'caller' ->> 'role' <> 'service_role' and 10 <= (
    select count(*) from (
      select from audit.enricher_invocations i
      where i.requested_by = media_enricher.caller_name(p_asked) and not i.is_allowed
        and i.invoked_at > now() - interval '1 minute'
      limit 10
    ) refused
  )
$$;

-- Writes the row of a request to the audit, or that of an earlier look at it anew. Of what anybody
-- may send, each column takes what it can hold, so that nothing goes unrecorded. A user who is
-- refused again and again leaves one more row a minute, which counts, and nothing of what they sent.
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
    run_id = excluded.run_id;
end
$$;

-- Counts requests of nobody in particular: an object from addresses (IPv6: networks) to how many.
create function public.media_count_unauthenticated(p_requests jsonb) returns void
language sql security definer set search_path = '' as $$
  insert into audit.enricher_invocations as i
    (id, route, is_allowed, http_status, reason, ip_address, requests)
  select media_enricher.counting_id('unauthenticated ' || g.key), 'several', false, 401,
    'unauthenticated', media_enricher.address_or_null(g.key), g.value::integer
  from jsonb_each_text(p_requests) g
  order by 1 -- two gateways must not wait for each other
  on conflict (id) do update set requests = i.requests + excluded.requests
$$;
comment on function public.media_count_unauthenticated is
  'Counts requests without valid credentials in the audit: a row a minute and address.';

-- Whether a request of this user's was answered with a run.
create function public.media_was_told(p_run_id uuid, p_user_id text) returns boolean
language sql stable security definer set search_path = '' as $$
  select exists (
    select from audit.enricher_invocations i
    where i.requested_by = p_user_id and i.is_allowed and i.run_id = p_run_id
  )
$$;
comment on function public.media_was_told is
  'Whether a request of this user''s was answered with a run, which they may then follow.';

-- A request to start a run, given as JSON with what is asked, by whom and from where; null counts
-- as absent. In this order: one that the gateway refused is only audited; a caller who asked too
-- often is told when to come again; the bucket must exist; a dry run reserves nothing; a known
-- idempotency key gives its run again; objects are noted; a run under way that does what is asked is
-- found; there must be room in the caller's quotas; and then the run is reserved.
--
-- Given the id of an invocation that was allowed before, it looks at the same HTTP request again.
create or replace function public.media_request_run(p_request jsonb, p_limits jsonb) returns jsonb
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

-- Says which flow run a request became, and makes its row. A hook of the run may have made it
-- before, as when Prefect's answer was lost; what the request knows better then wins.
create or replace function public.media_start_run(
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

-- Forgets what is kept about asking for runs: what is older than so many days, and after a week what
-- was only counted of strangers; up to 10,000 rows of each in a call; and all objects of buckets that
-- are no more. Only this deletes from the audit; no role may.
create or replace function public.media_purge_requests(p_keep_days double precision)
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

  delete from media_enricher.requested_objects o using media_enricher.requested_places() p
  where o.bucket = p.bucket and o.prefix = p.prefix
    and not exists (select from storage.buckets b where b.id = p.bucket);
  get diagnostics deleted = row_count;
  return purged + deleted;
end
$$;

revoke execute on function media_enricher.share_of, media_enricher.covers,
  media_enricher.overlaps, media_enricher.unrequested_run, media_enricher.seconds_to_room,
  media_enricher.full_quota, media_enricher.waiting_objects, media_enricher.queue_of,
  media_enricher.reserve_run, media_enricher.counting_id, media_enricher.is_refused_too_often
  from public, anon, authenticated, service_role;
revoke execute on function public.media_count_unauthenticated, public.media_was_told
  from public, anon, authenticated;
grant execute on function public.media_count_unauthenticated, public.media_was_told
  to service_role;
