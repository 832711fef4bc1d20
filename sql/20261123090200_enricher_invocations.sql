-- audit.enricher_invocations: every request to start a run, allowed or refused. Append-only: the
-- service role inserts and reads, nobody changes or deletes, no client role sees it.

create schema if not exists audit;

create table audit.enricher_invocations (
  id uuid primary key default gen_random_uuid(),
  invoked_at timestamptz not null default now(),
  route text not null,
  caller_role text,
  user_id uuid,
  tenant_id uuid,
  bucket text,
  prefix text,
  max_files integer,
  mode text,
  depth text,
  is_allowed boolean not null,
  http_status integer not null,
  reason text,
  run_id uuid,
  ip_address inet,
  user_agent text
);

comment on table audit.enricher_invocations is
  'Requests to start runs of Media Enricher, allowed or refused. Append-only.';

create index enricher_invocations_invoked_at_idx
  on audit.enricher_invocations (invoked_at desc);

alter table audit.enricher_invocations enable row level security;
revoke all on audit.enricher_invocations from public, anon, authenticated, service_role;
grant usage on schema audit to service_role;
grant select, insert on audit.enricher_invocations to service_role;

create policy "the service role keeps the audit"
  on audit.enricher_invocations to service_role
  using (true) with check (true);
