-- Objects that somebody asked for, one by one: what the run that drains them calls.

-- The oldest of those that were asked for under exactly this prefix, up to 1,000, with what planning
-- tells of them. Those that there is nothing to do for have is_pending false; where the object is
-- gone, its asset is marked as such.
create function public.media_requested_objects(
  p_bucket text, p_prefix text, p_depth text, p_enricher_version integer,
  p_transient_codes text[], p_max_attempts integer, p_limit integer
) returns table (
  path text, etag text, size_bytes bigint, declared_content_type text, previous_etag text,
  attempts integer, sequence bigint, is_pending boolean
)
language plpgsql security definer
-- Each path is looked up in the indexes, whatever the statistics say: there may be a thousand of
-- them in a bucket of millions.
set search_path = '' set statement_timeout = '2min' set jit = 'off'
set enable_nestloop = 'on' set enable_hashjoin = 'off' set enable_mergejoin = 'off'
set enable_seqscan = 'off' as $$
declare
  requested text[];
  forced boolean[];
  sequences bigint[];
  planned text := media_enricher.pending_sql(p_bucket, '', 'missing', p_depth, p_enricher_version,
    p_transient_codes, p_max_attempts);
  planned_anyway text := media_enricher.pending_sql(p_bucket, '', 'all', p_depth,
    p_enricher_version, p_transient_codes, p_max_attempts);
begin
  select array_agg(r.path), array_agg(r.is_forced), array_agg(r.sequence)
  into requested, forced, sequences
  from (
    select o.path, o.is_forced, o.sequence from media_enricher.requested_objects o
    where o.bucket = p_bucket and o.prefix = p_prefix
    order by o.sequence limit least(p_limit, 1000)
  ) r;
  if requested is null then
    return;
  end if;

  execute format(
    $q$update public.media_assets a set gone_at = now()
    where a.bucket = %1$L and a.gone_at is null and a.path = any (%2$L)
      and not exists (select from (%3$s) o where o.path = a.path)$q$,
    p_bucket, requested, media_enricher.objects_sql(p_bucket)
  );

  return query execute format(
    $q$select r.path, p.etag, p.size_bytes, p.declared_content_type, p.previous_etag, p.attempts,
      r.sequence, p.path is not null
    from unnest(%1$L::text[], %2$L::boolean[], %3$L::bigint[]) as r (path, is_forced, sequence)
    left join lateral (
      select * from (%4$s) p where not r.is_forced and p.path = r.path
      union all
      select * from (%5$s) p where r.is_forced and p.path = r.path
    ) p on true
    order by r.sequence$q$,
    requested, forced, sequences, planned, planned_anyway
  );
end
$$;
comment on function public.media_requested_objects is
  'The oldest objects that somebody asked for under this prefix, with what there is to do for each.';

-- Those that were asked for again meanwhile, and so after p_sequence, stay.
create function public.media_fulfil_requests(
  p_bucket text, p_prefix text, p_paths text[], p_sequence bigint
) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
  fulfilled bigint;
begin
  delete from media_enricher.requested_objects o
  where o.bucket = p_bucket and o.prefix = p_prefix and o.path = any (p_paths)
    and o.sequence <= p_sequence;
  get diagnostics fulfilled = row_count;
  return fulfilled;
end
$$;
comment on function public.media_fulfil_requests is
  'Takes requested objects for done, but for those asked for again after p_sequence.';

-- Whether the run that drains this prefix may end. It may if nothing is left; its request is then
-- released in the same turn, so an object that is asked for next gets a new run, and none is lost.
-- A request that has no run yet is released too: it may be this run's own, whose start is still to
-- be confirmed, and there is nothing to do for another's.
create function public.media_finish_requests(p_run_id uuid, p_bucket text, p_prefix text)
returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  perform media_enricher.take_turns();
  if exists (
    select from media_enricher.requested_objects o
    where o.bucket = p_bucket and o.prefix = p_prefix
  ) then
    return false;
  end if;
  update media_enricher.run_requests q set released_at = now()
  where q.flow = 'enrich-object' and q.bucket = p_bucket and q.prefix = p_prefix
    and q.released_at is null and (q.run_id = p_run_id or q.run_id is null);
  return true;
end
$$;
comment on function public.media_finish_requests is
  'Releases the request of a run that has nothing left to do; false if there is more.';

revoke execute on function public.media_requested_objects, public.media_fulfil_requests,
  public.media_finish_requests from public, anon, authenticated;
grant execute on function public.media_requested_objects, public.media_fulfil_requests,
  public.media_finish_requests to service_role;
