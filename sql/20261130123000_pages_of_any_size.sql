-- A page of pending objects may have more than 1,000 rows, and says whether it is the last one: a run
-- against a far Supabase begins four round trips sooner.

-- As one value, because PostgREST cuts a result of rows after 1,000 of them by default: a page may be
-- larger, and a page that is not full is the last one.
create function public.media_pending_page(
  p_bucket text, p_prefix text, p_mode text, p_depth text, p_enricher_version integer,
  p_transient_codes text[], p_max_attempts integer, p_after text, p_limit integer,
  p_until text default ''
) returns json
language sql stable set search_path = '' as $$
  select json_build_object(
    'objects', coalesce(json_agg(p order by p.path collate "C"), '[]'),
    'is_last', count(*) < p_limit)
  from public.media_pending_objects(p_bucket, p_prefix, p_mode, p_depth, p_enricher_version,
    p_transient_codes, p_max_attempts, p_after, p_limit, p_until) p
$$;
comment on function public.media_pending_page is
  'What media_pending_objects returns, as one value, and whether it is the last page.';

revoke execute on function public.media_pending_page from public, anon, authenticated;
grant execute on function public.media_pending_page to service_role;
