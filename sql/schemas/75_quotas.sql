-- Limits, so that nobody shuts out others: requests per minute for each caller, and a quota of runs
-- under way for each tenant and each user. The service key has a quota of its own.

-- The quota that a request counts towards: 'service' (the service key, webhooks, sweeps), 'tenant
-- <id>', 'admins' (of everything), or 'users', which all users without a tenant share, so that
-- nobody gets more by signing up again.
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

-- Seconds until the caller may ask again, or null if they may now. It looks at their requests that
-- were allowed in the last minute.
create function media_enricher.seconds_to_wait(p_requested_by text, p_per_minute integer)
returns integer
language sql stable set search_path = '' as $$
  select greatest(1, ceil(extract(epoch from i.invoked_at + interval '1 minute' - now())))::integer
  from audit.enricher_invocations i
  where i.requested_by = p_requested_by and i.is_allowed
    and i.invoked_at > now() - interval '1 minute'
  order by i.invoked_at desc
  offset greatest(p_per_minute, 1) - 1 limit 1
$$;

-- Seconds until there is room for another backfill, or null if there is now. It is an estimate from
-- the runs that count towards the quota: what each has left at its pace so far or, before it has
-- one, as long as runs took lately. It is at least 1 s and at most 10 minutes.
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

-- Which quota of backfills has no room for this request, and for how long; nothing if all have
-- room. Of several full quotas it is the one that stays full the longest.
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
