-- What a page about a run shows: its assets, page by page, and why some failed.

create index media_assets_run_id_idx on public.media_assets (run_id, path)
  where run_id is not null;

-- Failures of this run that no later run has tried again.
create function public.media_run_failures(p_run_id uuid)
returns table (error_code text, objects bigint, path text, error_message text)
language sql stable security definer set search_path = '' as $$
  select f.error_code, f.objects, f.path, a.error_message
  from (
    select a.bucket, a.error_code, count(*) as objects, min(a.path) as path
    from public.media_enrich_runs r
    join public.media_assets a on a.bucket = r.bucket and a.run_id = r.id and a.status = 'failed'
    where r.id = p_run_id
    group by a.bucket, a.error_code
  ) f
  join public.media_assets a on a.bucket = f.bucket and a.path = f.path
  order by f.objects desc, f.error_code
$$;
comment on function public.media_run_failures is
  'Why objects failed in a run: how many for each reason, most frequent first, with an example.';

revoke execute on function public.media_run_failures from public, anon, authenticated;
grant execute on function public.media_run_failures to service_role;
