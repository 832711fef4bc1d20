-- How often a sweep compares a bucket with its assets, and how much of it at a time: by the change
-- feed where it is on, else in parts that come round in a day.

create index media_assets_failed_idx on public.media_assets (bucket, error_code, attempts)
  where status = 'failed' and gone_at is null;

-- Keeps what is pending in a bucket in media_totals: in all, and of each tenant. p_tenants is an
-- array of {tenant, is_recorded, objects, size_bytes}, which may name a tenant several times.
create function media_enricher.store_pending(p_bucket text, p_tenants jsonb) returns void
language plpgsql set search_path = '' as $$
begin
  perform media_enricher.lock_totals(array[p_bucket]);
  delete from public.media_totals t where t.bucket = p_bucket and t.facet = 'pending';
  insert into public.media_totals (bucket, scope, facet, value, objects, size_bytes, counted_at)
  select p_bucket, s.scope, 'pending', v.value,
    coalesce(sum(c.objects) filter (where v.value = 'missing' or not c.is_recorded), 0),
    coalesce(sum(c.size_bytes) filter (where v.value = 'missing' or not c.is_recorded), 0),
    now()
  from jsonb_to_recordset(coalesce(p_tenants, '[]') || jsonb_build_object('objects', 0))
    as c (tenant uuid, is_recorded boolean, objects bigint, size_bytes bigint)
  cross join (values ('missing'), ('unrecorded')) as v (value)
  cross join lateral (
    select '' union all select c.tenant::text where c.tenant is not null
  ) as s (scope)
  group by s.scope, v.value;
end
$$;

create or replace function public.media_count_missing(
  p_bucket text, p_depth text, p_enricher_version integer, p_transient_codes text[],
  p_max_attempts integer
) returns table (objects bigint, size_bytes bigint)
language plpgsql security definer
set search_path = '' set statement_timeout = '2min' set jit = 'off'
set enable_nestloop = 'on' set enable_hashjoin = 'on' set enable_sort = 'on' as $$
declare
  found jsonb; -- an array of {tenant, is_recorded, objects, size_bytes}
begin
  perform media_enricher.prefer_merging();
  execute format(
    $q$select jsonb_agg(counted) from (
      select public.media_tenant_id(%1$L, p.path) as tenant,
        exists (
          select from public.media_assets a
          where a.bucket = %1$L and a.path = p.path and a.gone_at is null
        ) as is_recorded,
        count(*) as objects, coalesce(sum(p.size_bytes), 0)::bigint as size_bytes
      from (%2$s) p
      group by 1, 2
    ) counted$q$,
    p_bucket,
    media_enricher.pending_sql(p_bucket, '', 'missing', p_depth, p_enricher_version,
      p_transient_codes, p_max_attempts)
  ) into found;
  perform media_enricher.store_pending(p_bucket, found);
  return query
    select t.objects, t.size_bytes from public.media_totals t
    where t.bucket = p_bucket and t.scope = '' and t.facet = 'pending' and t.value = 'missing';
end
$$;

create table media_enricher.comparisons (
  bucket text primary key,
  -- The last one that came to the end of the bucket.
  compared_from timestamptz, -- when it began; null if the whole bucket has to be compared anew
  objects bigint not null default 0, -- rows of storage.objects that it saw
  -- The one that sweeps are going on with.
  after text collate "C" not null default '', -- the last path that was compared
  part_from timestamptz, -- when it began
  part_objects bigint not null default 0, -- rows of storage.objects that it has seen
  tenants jsonb not null default '[]', -- what it found pending, as media_enricher.store_pending takes it
  noted_at timestamptz not null default now() -- when a sweep last came on
);
comment on table media_enricher.comparisons is
  'How far the comparison of each bucket with its assets has come, and when the last one began.';

-- Whether the three triggers of sql/hosted/changes.sql are there and on.
create function media_enricher.has_change_feed() returns boolean
language sql stable set search_path = '' as $$
  select count(*) = 3 from pg_catalog.pg_trigger t
  where t.tgrelid = 'storage.objects'::regclass and t.tgenabled in ('O', 'A')
    and t.tgname in ('media_enricher_object_updated', 'media_enricher_objects_deleted',
      'media_enricher_objects_inserted')
$$;

-- What a sweep has to do about a bucket. It costs the same however large the bucket is.
--
-- comparing: 'whole' where it was never compared, not within a day, or where a backfill has ended
-- since without coming through; 'nothing' where the change feed has queued what changed since the
-- last comparison; else 'part'. What the feed queued counts from 10 minutes after it was turned on,
-- for uploads that were under way then were not queued: a comparison has to begin after that.
-- after, part_from, part_objects, tenants: where the part begins, and what was found before it.
-- part_rows: of how many rows the part should be.
-- objects: how many there are in the bucket, by the last comparison.
-- is_waiting: objects are known to be pending: as counted last, or failed and to be tried again.
create function public.media_next_comparison(
  p_bucket text, p_transient_codes text[], p_max_attempts integer
) returns table (
  comparing text, after text, part_from timestamptz, part_objects bigint, tenants jsonb,
  part_rows bigint, objects bigint, is_waiting boolean
)
language plpgsql stable security definer set search_path = '' as $$
declare
  least_rows constant bigint := 50000;
  round_seconds constant double precision := 80000; -- less than a day: sweeps may be late
  c media_enricher.comparisons;
  fed_from timestamptz; -- all that has changed since was queued
begin
  select k.* into c from media_enricher.comparisons k where k.bucket = p_bucket;
  select w.watched_since + interval '10 minutes' into fed_from
  from media_enricher.watched_buckets w
  where w.bucket = p_bucket and media_enricher.has_change_feed();
  comparing := case
    when c.compared_from is null or c.noted_at < now() - interval '1 day' then 'whole'
    when exists (
      select from public.media_enrich_runs r
      where r.bucket = p_bucket and r.flow in ('backfill', 'backfill-sharded')
        and r.status in ('failed', 'crashed', 'cancelled')
        and r.started_at > c.compared_from - interval '7 days' and r.finished_at > c.compared_from
    ) then 'whole'
    when fed_from is null or fed_from > now() then 'part'
    when c.compared_from < greatest(fed_from, now() - interval '1 day') then 'whole'
    else 'nothing'
  end;
  after := coalesce(c.after, '');
  part_from := c.part_from;
  part_objects := coalesce(c.part_objects, 0);
  tenants := coalesce(c.tenants, '[]');
  objects := coalesce(c.objects, 0);
  part_rows := greatest(least_rows, ceil(
    objects * extract(epoch from now() - c.noted_at) / round_seconds)::bigint);
  is_waiting := exists (
    select from public.media_totals t
    where t.bucket = p_bucket and t.scope = '' and t.facet = 'pending' and t.value = 'missing'
      and t.objects > 0
  ) or exists (
    select from public.media_assets a
    where a.bucket = p_bucket and a.error_code = any (p_transient_codes)
      and a.attempts < p_max_attempts and a.status = 'failed' and a.gone_at is null
  );
  return next;
end
$$;
comment on function public.media_next_comparison is
  'How much of a bucket the sweep has to compare with its assets, and from where.';

-- Takes note of how far a comparison has come. p_from is where it began: '' for one of the whole
-- bucket, which is noted in any case; else nothing is noted (false) unless the bucket's comparison
-- stands there still, for two sweeps may have compared the same part. p_started_at is when the
-- comparison of the first piece began. At the end of the bucket (p_is_complete), what was found
-- pending is kept in media_totals.
create function public.media_note_comparison(
  p_bucket text, p_from text, p_after text, p_is_complete boolean, p_started_at timestamptz,
  p_objects bigint, p_tenants jsonb
) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  c media_enricher.comparisons;
begin
  insert into media_enricher.comparisons (bucket) values (p_bucket) on conflict do nothing;
  select k.* into c from media_enricher.comparisons k where k.bucket = p_bucket for update;
  if p_from <> '' and c.after <> p_from then
    return false;
  end if;
  update media_enricher.comparisons k set
    compared_from = case when p_is_complete then p_started_at else k.compared_from end,
    objects = case when p_is_complete then p_objects else k.objects end,
    after = case when p_is_complete then '' else p_after end,
    part_from = case when not p_is_complete then p_started_at end,
    part_objects = case when p_is_complete then 0 else p_objects end,
    tenants = case when p_is_complete then '[]' else p_tenants end,
    noted_at = now()
  where k.bucket = p_bucket;
  if p_is_complete then
    perform media_enricher.store_pending(p_bucket, p_tenants);
  end if;
  return true;
end
$$;
comment on function public.media_note_comparison is
  'Takes note of how far the comparison of a bucket with its assets has come.';

alter table media_enricher.comparisons enable row level security;
create policy "nobody, but through the functions"
  on media_enricher.comparisons for select using (false);
revoke all on media_enricher.comparisons from public, anon, authenticated, service_role;
revoke execute on function media_enricher.store_pending, media_enricher.has_change_feed
  from public, anon, authenticated, service_role;
revoke execute on function public.media_next_comparison, public.media_note_comparison
  from public, anon, authenticated;
grant execute on function public.media_next_comparison, public.media_note_comparison
  to service_role;
