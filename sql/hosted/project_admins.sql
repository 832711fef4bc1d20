-- Optional: admins of the whole project read all rows through the Data API (supabase-js), as they do
-- through the gateway. Without it, row level security shows everybody their own rows and those of their
-- tenant, and an admin without a tenant owns few or none.
--
-- `media-enricher project-admins on` applies it, and `off` removes it; `migrate` does neither. It
-- can be run in the dashboard's SQL editor instead, after the migrations.
--
-- To remove it: drop function public.media_caller_is_project_admin() cascade;
--
-- It only adds: who reads what without it, reads it with it too. A column that is not granted stays
-- hidden, so of a run these admins see what every user may see of a run of no tenant.

-- Whether the caller is an admin of the whole project, by the rule of the gateway: app_metadata has
-- user_role (or role) 'admin' and no tenant_id. One that is no UUID is not none. Never by
-- user_metadata, which users write themselves. Never raises.
create or replace function public.media_caller_is_project_admin() returns boolean
language sql stable set search_path = '' as $$
  select coalesce(
    'admin' in (caller.granted ->> 'user_role', caller.granted ->> 'role')
      and coalesce(caller.granted -> 'tenant_id', 'null') in ('null'::jsonb, '""'::jsonb)
      and coalesce(caller.is_anonymous, 'null') in ('null'::jsonb, 'false'::jsonb),
    false
  )
  from (
    select claims.held -> 'app_metadata' as granted, claims.held -> 'is_anonymous' as is_anonymous
    from (select public.media_caller_claims()) as claims (held)
  ) as caller
$$;
comment on function public.media_caller_is_project_admin() is
  'Whether the signed-in user is an admin of all tenants, from app_metadata. Used by RLS policies.';
revoke execute on function public.media_caller_is_project_admin() from public, anon;
grant execute on function public.media_caller_is_project_admin() to authenticated, service_role;

-- The function is in a subquery, so it is called once for a statement and not for each row.

drop policy if exists "project admins read all media" on public.media_assets;
create policy "project admins read all media"
  on public.media_assets for select to authenticated
  using ((select public.media_caller_is_project_admin()));

drop policy if exists "project admins follow all runs" on public.media_enrich_runs;
create policy "project admins follow all runs"
  on public.media_enrich_runs for select to authenticated
  using ((select public.media_caller_is_project_admin()));

drop policy if exists "project admins read all totals" on public.media_totals;
create policy "project admins read all totals"
  on public.media_totals for select to authenticated
  using ((select public.media_caller_is_project_admin()));

notify pgrst, 'reload schema';
