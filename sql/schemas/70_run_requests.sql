-- Requests to start runs: who reserved which run, and which run already does what is asked. No role
-- of the Data API, not even the service role, sees these tables: all goes through functions.

-- A reservation: at most one of a flow, bucket and prefix is unreleased. Its id is the idempotency
-- key towards Prefect, so whoever finds one without a run id may start it: it starts once.
create table media_enricher.run_requests (
  id uuid primary key default gen_random_uuid(),
  flow text not null,
  bucket text not null,
  prefix text not null,
  max_files integer,
  mode text not null,
  depth text not null,
  trigger text not null,
  requested_by text,
  tenant_id uuid,
  run_id uuid,
  requested_at timestamptz not null default now(),
  released_at timestamptz,
  share text not null default 'service',
  max_bytes bigint,

  constraint run_requests_flow_check check (flow in ('backfill', 'enrich-object')),
  constraint run_requests_max_files_check check (max_files >= 0),
  constraint run_requests_max_bytes_check check (max_bytes >= 0),
  constraint run_requests_mode_check check (mode in ('missing', 'failed', 'stale', 'all')),
  constraint run_requests_depth_check check (depth in ('header', 'full')),
  constraint run_requests_trigger_check
    check (trigger in ('manual', 'schedule', 'http', 'event'))
);
comment on table media_enricher.run_requests is
  'Reserved runs. Unreleased until the run has ended, or is known not to start.';
comment on column media_enricher.run_requests.share is
  'Whose quota of active runs it counts towards: service, admins, users, or "tenant <id>".';

-- The prefix by its hash, for a key of an index has less room than a prefix may take.
create unique index run_requests_unreleased_key
  on media_enricher.run_requests (flow, bucket, md5(prefix)) where released_at is null;
create index run_requests_run_id_idx on media_enricher.run_requests (run_id);
create index run_requests_released_at_idx on media_enricher.run_requests (released_at)
  where released_at is not null;

create trigger run_requests_refuse_own_bucket before insert on media_enricher.run_requests
  for each row execute function media_enricher.refuse_own_bucket();

-- What a caller's idempotency key was used for, and the run that it gave: of a request, or one that
-- was under way without any.
create table media_enricher.idempotency_keys (
  requested_by text,
  idempotency_key text,
  asked jsonb not null,
  invocation_id uuid not null,
  request_id uuid references media_enricher.run_requests (id) on delete cascade,
  run_id uuid,
  used_at timestamptz not null default now(),

  primary key (requested_by, idempotency_key),
  constraint idempotency_keys_length_check check (length(idempotency_key) <= 255),
  constraint idempotency_keys_run_check check (request_id is not null or run_id is not null)
);
create index idempotency_keys_request_id_idx on media_enricher.idempotency_keys (request_id);
create index idempotency_keys_used_at_idx on media_enricher.idempotency_keys (used_at);

-- Lets requests, and runs that want to end, take turns until the transaction ends: what one of them
-- finds is still so when it acts on it. They are rare and short, so one turn for all will do.
create function media_enricher.take_turns() returns void
language sql set search_path = '' as $$
  select pg_advisory_xact_lock(hashtextextended('media_enricher.run_requests', 0))
$$;

-- Releases the requests whose run has ended without releasing them. A running one that has been
-- silent for too long counts as dead; else one lost machine would block its bucket for ever.
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

-- Whether one of two prefixes contains the other.
create function media_enricher.overlaps(p_prefix text, p_another text) returns boolean
language sql immutable set search_path = '' as $$
  select starts_with(p_prefix, p_another) or starts_with(p_another, p_prefix)
$$;

-- A backfill under way that has no request: it was started by a schedule, by hand or in Prefect's
-- UI. Of a sharded run it is the run itself and never one of its shards.
create function media_enricher.unrequested_run(
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
create function media_enricher.essence(p_asked jsonb) returns jsonb
language sql immutable set search_path = '' as $$
  select jsonb_object_agg(name, p_asked -> name)
  from unnest(array['flow', 'bucket', 'prefix', 'max_files', 'mode', 'depth', 'objects']
    || case when p_asked ? 'max_bytes' then array['max_bytes'] end) as name
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
