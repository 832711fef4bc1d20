-- audit.enricher_invocations: every request to start a run, allowed or refused. Append-only: the
-- service role inserts and reads, nobody changes or deletes, no client role sees it. Only
-- media_purge_requests (85_sweeping.sql) deletes what is old.

create table audit.enricher_invocations (
  id uuid primary key default gen_random_uuid(), -- the request's id
  invoked_at timestamptz not null default now(), -- when it came
  route text not null, -- which route of the gateway
  caller_role text, -- the role that the token proves
  user_id uuid, -- the user that the token proves, if its id is a UUID
  tenant_id uuid, -- the user's tenant
  bucket text, -- as the request has it
  prefix text, -- as the request has it
  max_files integer, -- as the request has it (`limit`)
  mode text, -- as the request has it
  depth text, -- as the request has it
  is_allowed boolean not null, -- whether it was
  http_status integer not null, -- the status of the answer
  reason text, -- why not, or why no run was started
  run_id uuid, -- the run that the caller was told of
  ip_address inet, -- the caller's address
  user_agent text, -- the caller's program
  flow text, -- the flow of the run
  path text,
  requested_by text,
  -- The audit counts what would otherwise fill it: a row a minute instead of a row a request.
  requests integer not null default 1,
  max_bytes bigint -- as the request has it
);

comment on table audit.enricher_invocations is
  'Requests to start runs of Media Enricher, allowed or refused. Append-only.';
comment on column audit.enricher_invocations.path is
  'Of the object that was asked for; of the first of several.';
comment on column audit.enricher_invocations.requested_by is
  'The caller as limits know them: the user''s id, or else the role.';
comment on column audit.enricher_invocations.requests is
  'How many requests the row stands for: 1, or those of a minute that were only counted.';

create index enricher_invocations_invoked_at_idx
  on audit.enricher_invocations (invoked_at desc);
-- For the limit on requests per minute.
create index enricher_invocations_requested_by_idx
  on audit.enricher_invocations (requested_by, invoked_at desc) where is_allowed;
create index enricher_invocations_refused_idx
  on audit.enricher_invocations (requested_by, invoked_at desc) where not is_allowed;
create index enricher_invocations_unauthenticated_idx
  on audit.enricher_invocations (invoked_at) where reason = 'unauthenticated';

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

-- A JSON number as a bigint, and anything else as null.
create function media_enricher.bigint_or_null(p_value jsonb) returns bigint
language sql immutable set search_path = '' as $$
  select case
    when jsonb_typeof(p_value) = 'number' then
      case when p_value::numeric between -9223372036854775808 and 9223372036854775807
        then p_value::bigint end
  end
$$;

-- The name by which limits count a caller: the user's id, or else the role.
create function media_enricher.caller_name(p_asked jsonb) returns text
language sql immutable set search_path = '' as $$
  select left(coalesce(p_asked -> 'caller' ->> 'user_id', p_asked -> 'caller' ->> 'role'), 255)
$$;

-- The id of the row that counts the requests of one minute. It is the same at every gateway.
create function media_enricher.counting_id(p_whose text) returns uuid
language sql stable set search_path = '' as $$
  select md5(concat_ws(' ', 'counted', date_trunc('minute', now() at time zone 'UTC'), p_whose))::uuid
$$;

-- Whether 10 requests of a user, or of webhooks, were refused within a minute: then a further one
-- is only counted. The requests of the service key are all recorded.
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

-- Writes the row of a request to the audit, or updates the row of an earlier look at it. A value
-- that is too long or malformed is cut or left out, so that every request is recorded. A user who
-- is refused again and again gets one more row for each minute, which counts and holds nothing of
-- what they sent.
create function media_enricher.audit_invocation(
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

-- Counts requests without valid credentials: a JSON object from addresses (IPv6: networks) to
-- numbers.
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
