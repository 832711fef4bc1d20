-- public.media_enrich_runs: one row a run, which frontends poll:
--   select id, started_at, status, total_files, processed_files, succeeded, failed
--   from public.media_enrich_runs order by started_at desc limit 20;

create table public.media_enrich_runs (
  id uuid primary key, -- that of the Prefect flow run
  bucket text not null,
  prefix text not null default '',
  max_files integer,
  mode text not null default 'missing',
  depth text not null default 'full',
  trigger text not null default 'manual',
  requested_by text,
  tenant_id uuid,
  status text not null default 'queued',
  total_files integer not null default 0,
  processed_files integer not null generated always as (succeeded + failed + skipped) stored,
  succeeded integer not null default 0,
  failed integer not null default 0,
  skipped integer not null default 0,
  bytes_read bigint not null default 0,
  snapshot_path text,
  error text,
  -- When it was asked for, until it begins: never null, or it would sort above every other run.
  started_at timestamptz not null default now(),
  finished_at timestamptz,
  heartbeat_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),

  constraint media_enrich_runs_max_files_check check (max_files >= 0),
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
comment on column public.media_enrich_runs.skipped is
  'Objects of types without a probe, and objects deleted before they were read.';

create index media_enrich_runs_started_at_idx on public.media_enrich_runs (started_at desc);
create index media_enrich_runs_tenant_id_idx on public.media_enrich_runs (tenant_id)
  where tenant_id is not null;

create trigger media_enrich_runs_touch_updated_at before update on public.media_enrich_runs
  for each row execute function media_enricher.touch_updated_at();

-- Signed-in users follow the runs of their tenant and those of no tenant. A row's columns can't
-- differ by reader, so what is granted is what any of them may know: that a run exists and how it
-- is getting on, not what it looks at, for whom, or what went wrong. `select *` is therefore
-- refused to them; service_role (a backend) reads it all.
alter table public.media_enrich_runs enable row level security;
revoke all on public.media_enrich_runs from public, anon, authenticated;
grant select (
  id, tenant_id, status, total_files, processed_files, succeeded, failed, skipped,
  started_at, finished_at, heartbeat_at, created_at, updated_at
) on public.media_enrich_runs to authenticated;
grant select, insert, update, delete on public.media_enrich_runs to service_role;

create policy "users follow the runs of their tenant and of none"
  on public.media_enrich_runs for select to authenticated
  using (tenant_id is null or tenant_id = (select public.media_caller_tenant_id()));
