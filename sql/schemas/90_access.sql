-- Who may read, write and call what: row level security, policies and grants, of all that the other
-- files define.
--
-- Three roles come through Supabase's Data API: `anon` (nobody is signed in), `authenticated` (a
-- user) and `service_role` (a backend, the gateway and the flows; policies do not bind it). A new
-- table has to be closed here, and a new function too, for Postgres lets everybody (PUBLIC) call
-- it.

-- Schemas

revoke all on schema media_enricher from public;
grant usage on schema audit to service_role;

-- media_assets: a signed-in user reads their own and their tenant's; nobody but service_role
-- writes.

alter table public.media_assets enable row level security;
revoke all on public.media_assets from public, anon, authenticated;
grant select on public.media_assets to authenticated;
grant select, insert, update, delete on public.media_assets to service_role;

create policy "users read their own media and their tenant's"
  on public.media_assets for select to authenticated
  using (
    user_id = (select public.media_caller_user_id())
    or owner_id = (select public.media_caller_id()) and user_id is null
    or tenant_id = (select public.media_caller_tenant_id())
  );

-- media_totals: a tenant's share, for its users, as with the rows that it counts; the totals of
-- whole buckets, which count everybody's, for the service role alone. A user's own media outside
-- of a tenant have no total: media_facets counts them. Only triggers write.

alter table public.media_totals enable row level security;
revoke all on public.media_totals from public, anon, authenticated, service_role;
grant select on public.media_totals to authenticated, service_role;

create policy "users read the totals of their tenant"
  on public.media_totals for select to authenticated
  using (tenant_id = (select public.media_caller_tenant_id()));

-- media_enrich_runs: signed-in users follow the runs of their tenant and those of no tenant. A
-- row's columns can't differ by reader, so what is granted is what any of them may know: that a run
-- exists, which run it is a part of, and how it is getting on, not what it looks at, for whom, or
-- what went wrong. `select *` is therefore refused to them; service_role (a backend) reads it all.

alter table public.media_enrich_runs enable row level security;
revoke all on public.media_enrich_runs from public, anon, authenticated;
grant select (
  id, tenant_id, status, total_files, processed_files, succeeded, failed, skipped,
  started_at, finished_at, heartbeat_at, created_at, updated_at, parent_run_id,
  stopped_by
) on public.media_enrich_runs to authenticated;
grant select, insert, update, delete on public.media_enrich_runs to service_role;

create policy "users follow the runs of their tenant and of none"
  on public.media_enrich_runs for select to authenticated
  using (tenant_id is null or tenant_id = (select public.media_caller_tenant_id()));

-- audit.enricher_invocations: the service role adds and reads; nobody changes or deletes.

alter table audit.enricher_invocations enable row level security;
revoke all on audit.enricher_invocations from public, anon, authenticated, service_role;
grant select, insert on audit.enricher_invocations to service_role;

create policy "the service role keeps the audit"
  on audit.enricher_invocations to service_role
  using (true) with check (true);

-- audit.type_repairs: the service role reads; only functions write.

alter table audit.type_repairs enable row level security;
revoke all on audit.type_repairs from public, anon, authenticated, service_role;
grant select on audit.type_repairs to service_role;

create policy "the service role reads the repairs"
  on audit.type_repairs for select to service_role
  using (true);

-- The tables of media_enricher: no role reads or writes them, but through the functions.

revoke all on all tables in schema media_enricher from public, anon, authenticated, service_role;

alter table media_enricher.own_buckets enable row level security;
create policy "nobody, but through the functions"
  on media_enricher.own_buckets for select using (false);

alter table media_enricher.contents enable row level security;
create policy "nobody, but through the functions"
  on media_enricher.contents for select using (false);

alter table media_enricher.recounts enable row level security;
create policy "nobody, but through the functions"
  on media_enricher.recounts for select using (false);

alter table media_enricher.batch_cuts enable row level security;
create policy "nobody, but through the functions"
  on media_enricher.batch_cuts for select using (false);

alter table media_enricher.comparisons enable row level security;
create policy "nobody, but through the functions"
  on media_enricher.comparisons for select using (false);

alter table media_enricher.pending_counts enable row level security;
create policy "nobody, but through the functions"
  on media_enricher.pending_counts for select using (false);

alter table media_enricher.snapshot_ledgers enable row level security;
create policy "nobody, but through the functions"
  on media_enricher.snapshot_ledgers for select using (false);

alter table media_enricher.run_failures enable row level security;
create policy "nobody, but through the functions"
  on media_enricher.run_failures for select using (false);

alter table media_enricher.run_deviations enable row level security;
create policy "nobody, but through the functions"
  on media_enricher.run_deviations for select using (false);

alter table media_enricher.requested_objects enable row level security;
create policy "nobody, but through the functions"
  on media_enricher.requested_objects for select using (false);

alter table media_enricher.watched_buckets enable row level security;
create policy "nobody, but through the functions"
  on media_enricher.watched_buckets for select using (false);

alter table media_enricher.run_requests enable row level security;
create policy "nobody, but through the functions"
  on media_enricher.run_requests for select using (false);

alter table media_enricher.idempotency_keys enable row level security;
create policy "nobody, but through the functions"
  on media_enricher.idempotency_keys for select using (false);

-- Functions of media_enricher: called by other functions and by triggers alone.

revoke execute on all functions in schema media_enricher
  from public, anon, authenticated, service_role;

-- Functions that policies call, and so every signed-in user.

revoke execute on function
  public.media_caller_claims,
  public.media_caller_id,
  public.media_caller_tenant_id,
  public.media_caller_user_id
from public, anon;
grant execute on function
  public.media_caller_claims,
  public.media_caller_id,
  public.media_caller_tenant_id,
  public.media_caller_user_id
to authenticated, service_role;

-- Functions that frontends call.

-- Also those that the query of media_search calls, with the caller's rights.

revoke execute on function
  public.media_color_name,
  public.media_facets,
  public.media_facets_page,
  public.media_search,
  public.media_search_terms,
  public.media_search_words,
  public.similar_media
from public, anon;
grant execute on function
  public.media_color_name,
  public.media_facets,
  public.media_facets_page,
  public.media_search,
  public.media_search_terms,
  public.media_search_words,
  public.similar_media
to authenticated, service_role;

-- Functions that the gateway calls as the user who asks.

revoke execute on function
  public.media_reads_buckets,
  public.media_reads_name,
  public.media_reads_object,
  public.media_reads_prefix
from public, anon, authenticated;
grant execute on function
  public.media_reads_buckets,
  public.media_reads_name,
  public.media_reads_object,
  public.media_reads_prefix
to authenticated, service_role;

-- Functions for the gateway and the flows alone.

revoke execute on function
  public.media_asset_runs,
  public.media_copied_contents,
  public.media_compare_next_piece,
  public.media_compare_piece,
  public.media_count_missing,
  public.media_count_pending,
  public.media_count_unauthenticated,
  public.media_cuts,
  public.media_dashboard,
  public.media_end_silent_run,
  public.media_finish_requests,
  public.media_forget_parts,
  public.media_fulfil_requests,
  public.media_give_up_parts,
  public.media_mark_gone,
  public.media_mistyped_objects,
  public.media_next_comparison,
  public.media_note_comparison,
  public.media_note_cuts,
  public.media_note_type_repair_part,
  public.media_open_part,
  public.media_own_buckets,
  public.media_pending_objects,
  public.media_pending_page,
  public.media_piece_ends,
  public.media_purge_requests,
  public.media_purge_run_records,
  public.media_record_assets,
  public.media_record_part,
  public.media_record_run,
  public.media_recount,
  public.media_recount_piece,
  public.media_release_request,
  public.media_request_run,
  public.media_requested_objects,
  public.media_run_failures,
  public.media_run_paces,
  public.media_settle_invocation,
  public.media_settle_type_repair,
  public.media_silent_runs,
  public.media_split_pending,
  public.media_start_run,
  public.media_start_type_repair,
  public.media_tenant_buckets,
  public.media_tenant_id,
  public.media_type_repair_part,
  public.media_undrained_requests,
  public.media_unsettled_type_repairs,
  public.media_was_told,
  public.media_watch_buckets
from public, anon, authenticated;
grant execute on function
  public.media_asset_runs,
  public.media_copied_contents,
  public.media_compare_next_piece,
  public.media_compare_piece,
  public.media_count_missing,
  public.media_count_pending,
  public.media_count_unauthenticated,
  public.media_cuts,
  public.media_dashboard,
  public.media_end_silent_run,
  public.media_finish_requests,
  public.media_forget_parts,
  public.media_fulfil_requests,
  public.media_give_up_parts,
  public.media_mark_gone,
  public.media_mistyped_objects,
  public.media_next_comparison,
  public.media_note_comparison,
  public.media_note_cuts,
  public.media_note_type_repair_part,
  public.media_open_part,
  public.media_own_buckets,
  public.media_pending_objects,
  public.media_pending_page,
  public.media_piece_ends,
  public.media_purge_requests,
  public.media_purge_run_records,
  public.media_record_assets,
  public.media_record_part,
  public.media_record_run,
  public.media_recount,
  public.media_recount_piece,
  public.media_release_request,
  public.media_request_run,
  public.media_requested_objects,
  public.media_run_failures,
  public.media_run_paces,
  public.media_settle_invocation,
  public.media_settle_type_repair,
  public.media_silent_runs,
  public.media_split_pending,
  public.media_start_run,
  public.media_start_type_repair,
  public.media_tenant_buckets,
  public.media_tenant_id,
  public.media_type_repair_part,
  public.media_undrained_requests,
  public.media_unsettled_type_repairs,
  public.media_was_told,
  public.media_watch_buckets
to service_role;
