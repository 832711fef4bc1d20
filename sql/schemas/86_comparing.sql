-- Comparing: how often a sweep compares a bucket with its assets, and how much of it at a time.
--
-- A comparison goes through a bucket in pieces (46_pieces.sql). Where the change feed is on, it
-- queues what changes, and the bucket is compared whole once a day. Elsewhere each sweep compares a
-- part and the next one goes on from there, so that it comes round in a day at most; small buckets
-- come round in every sweep. There is no quicker way: neither of storage.objects' times has an
-- index, and both are those of the statement and not of the commit, so a mark of the latest time
-- would miss what commits late. A comparison by paths misses nothing for longer than one round.

create table media_enricher.comparisons (
  bucket text primary key,
  -- The last one that came to the end of the bucket.
  compared_from timestamptz, -- when it began; null if the whole bucket has to be compared anew
  objects bigint not null default 0, -- rows of storage.objects that it saw
  -- The one that sweeps are going on with.
  after text collate "C" not null default '', -- the last path that was compared
  part_from timestamptz, -- when it began; null if it has come to the end of the bucket
  part_objects bigint not null default 0, -- rows of storage.objects that it has seen
  -- What it found pending, if it is one of programs of before media_compare_next_piece; else null.
  tenants jsonb,
  noted_at timestamptz not null default now(), -- when it last came on
  number bigint not null default 0, -- how many comparisons of the bucket have begun
  storing text -- the first tenant whose total is not stored yet; null if there is nothing to store
);
comment on table media_enricher.comparisons is
  'How far the comparison of each bucket with its assets has come, and when the last one began.';

-- What a comparison has found pending so far. At its end it is moved to media_totals, some tenants at
-- a time. Rows of another number are of a comparison that did not come to its end, and count as 0.
create table media_enricher.pending_counts (
  bucket text not null,
  scope text not null, -- the tenant's id; '' for the whole bucket, with all tenants and none
  number bigint not null, -- of the comparison
  objects bigint not null,
  size_bytes bigint not null,
  unrecorded_objects bigint not null, -- those of them that have no asset at all
  unrecorded_bytes bigint not null,

  primary key (bucket, scope)
);
comment on table media_enricher.pending_counts is
  'What the comparison of a bucket with its assets has found pending so far, of each tenant.';

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
-- last comparison, and none is under way; else 'part'. What the feed queued counts from 10 minutes
-- after it was turned on, for uploads that were under way then were not queued: a comparison has to
-- begin after that.
-- number: the comparison that the part goes on with, for media_compare_next_piece; null if a new one
-- has to begin.
-- after, part_from, part_objects, tenants: the same for programs of before that function. Each begins
-- anew where the other has left off.
-- part_rows: of how many rows the part should be.
-- objects: how many there are in the bucket, by the last comparison.
-- is_waiting: objects are known to be pending: as counted last, or failed and to be tried again.
create function public.media_next_comparison(
  p_bucket text, p_transient_codes text[], p_max_attempts integer
) returns table (
  comparing text, after text, part_from timestamptz, part_objects bigint, tenants jsonb,
  part_rows bigint, objects bigint, is_waiting boolean, number bigint
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
  number := case
    when c.tenants is null and (c.part_from is not null or c.storing is not null) then c.number
  end;
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
    when number is not null then 'part'
    else 'nothing'
  end;
  after := case when c.tenants is null then '' else c.after end;
  part_from := case when c.tenants is not null then c.part_from end;
  part_objects := case when c.tenants is null then 0 else c.part_objects end;
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

-- Adds what a piece has found pending to what its comparison had found. p_tenants is an array of
-- {tenant, is_recorded, objects, size_bytes}.
create function media_enricher.add_pending(p_bucket text, p_number bigint, p_tenants jsonb)
returns void
language sql set search_path = '' as $$
  insert into media_enricher.pending_counts as k
    (bucket, scope, number, objects, size_bytes, unrecorded_objects, unrecorded_bytes)
  select p_bucket, s.scope, p_number, sum(c.objects), sum(c.size_bytes),
    coalesce(sum(c.objects) filter (where not c.is_recorded), 0),
    coalesce(sum(c.size_bytes) filter (where not c.is_recorded), 0)
  from jsonb_to_recordset(p_tenants || jsonb_build_object('objects', 0, 'size_bytes', 0))
    as c (tenant uuid, is_recorded boolean, objects bigint, size_bytes bigint)
  cross join lateral (
    select '' union all select c.tenant::text where c.tenant is not null
  ) as s (scope)
  group by s.scope
  on conflict (bucket, scope) do update set
    number = excluded.number,
    objects = excluded.objects
      + case when k.number = excluded.number then k.objects else 0 end,
    size_bytes = excluded.size_bytes
      + case when k.number = excluded.number then k.size_bytes else 0 end,
    unrecorded_objects = excluded.unrecorded_objects
      + case when k.number = excluded.number then k.unrecorded_objects else 0 end,
    unrecorded_bytes = excluded.unrecorded_bytes
      + case when k.number = excluded.number then k.unrecorded_bytes else 0 end
$$;

-- Moves what a comparison has found pending to media_totals: of p_tenants scopes from p_from on, in
-- their order. Totals of those of them that have nothing pending any more are deleted. Returns where
-- the next ones begin, or null at the end.
create function media_enricher.store_pending_of(
  p_bucket text, p_number bigint, p_from text, p_tenants integer
) returns text
language plpgsql set search_path = '' set jit = 'off'
set enable_seqscan = 'off' set enable_bitmapscan = 'off' as $$
declare
  scopes text[]; -- one more than are moved
  next_from text;
begin
  perform media_enricher.lock_totals(array[p_bucket]);
  scopes := array(
    (
      select k.scope from media_enricher.pending_counts k
      where k.bucket = p_bucket and k.scope >= p_from
      order by k.scope limit p_tenants + 1
    ) union (
      select t.scope from public.media_totals t
      where t.bucket = p_bucket and t.scope >= p_from and t.facet = 'pending' and t.value = 'missing'
      order by t.scope limit p_tenants + 1
    ) order by scope limit p_tenants + 1
  );
  next_from := scopes[p_tenants + 1];
  scopes := scopes[:p_tenants];

  with moved as (
    delete from media_enricher.pending_counts k
    where k.bucket = p_bucket and k.scope = any (scopes)
    returning k.*
  ), pending as materialized (
    select * from moved m where m.number = p_number
  ), ended as (
    delete from public.media_totals t
    where t.bucket = p_bucket and t.facet = 'pending'
      and t.scope = any (array(select unnest(scopes) except select p.scope from pending p))
  )
  insert into public.media_totals as t
    (bucket, scope, facet, value, objects, size_bytes, counted_at)
  select p_bucket, p.scope, 'pending', v.value, v.objects, v.size_bytes, now()
  from pending p
  cross join lateral (
    values ('missing', p.objects, p.size_bytes),
      ('unrecorded', p.unrecorded_objects, p.unrecorded_bytes)
  ) as v (value, objects, size_bytes)
  order by p.scope, v.value
  on conflict (bucket, scope, facet, value) do update set
    objects = excluded.objects, size_bytes = excluded.size_bytes, counted_at = excluded.counted_at;
  return next_from;
end
$$;

-- Goes on with a comparison of a bucket: compares its next piece with media_compare_piece, and after
-- the last one stores what is pending in media_totals, p_tenants tenants in each call. p_number says
-- which comparison; null begins a new one, which takes the place of one that is under way. Call it
-- until it says is_complete. No row: another comparison of the bucket has begun since.
--
-- All that is known of the comparison changes in the same transaction. So a call that is repeated,
-- for its answer was lost, goes on with the next piece, and so does a second caller: each piece is
-- counted once.
--
-- is_compared: no piece is left, but for storing. objects, gone, pending: of this piece.
create function public.media_compare_next_piece(
  p_bucket text, p_depth text, p_enricher_version integer, p_transient_codes text[],
  p_max_attempts integer, p_number bigint default null, p_rows integer default 50000,
  p_tenants integer default 10000
) returns table (
  number bigint, is_compared boolean, is_complete boolean, objects bigint, gone bigint,
  pending bigint
)
language plpgsql security definer set search_path = '' set statement_timeout = '2min' as $$
declare
  c media_enricher.comparisons;
  piece record;
begin
  if p_tenants is null or p_tenants < 1 then
    raise exception 'tenants is %, and must be at least 1', coalesce(p_tenants::text, 'null')
      using errcode = '22023';
  end if;
  insert into media_enricher.comparisons (bucket) values (p_bucket) on conflict do nothing;
  select k.* into c from media_enricher.comparisons k where k.bucket = p_bucket for update;
  if p_number <> c.number then
    return;
  elsif p_number is null then
    c.number := c.number + 1;
    c.after := '';
    c.part_from := now();
    c.part_objects := 0;
    c.tenants := null;
    c.storing := null;
  end if;

  objects := 0;
  gone := 0;
  pending := 0;
  if c.part_from is not null then
    select p.* into piece from public.media_compare_piece(
      p_bucket, '', 'missing', p_depth, p_enricher_version, p_transient_codes, p_max_attempts,
      c.after, '', p_rows, true
    ) p;
    objects := piece.objects;
    gone := piece.gone;
    pending := piece.pending;
    perform media_enricher.add_pending(p_bucket, c.number, piece.tenants);
    c.after := piece.until;
    c.part_objects := c.part_objects + piece.objects;
    if piece.is_last then
      c.compared_from := c.part_from;
      c.objects := c.part_objects;
      c.after := '';
      c.part_from := null;
      c.part_objects := 0;
      c.storing := '';
    end if;
  end if;
  if c.storing is not null then
    c.storing := media_enricher.store_pending_of(p_bucket, c.number, c.storing, p_tenants);
  end if;
  update media_enricher.comparisons k set
    compared_from = c.compared_from,
    objects = c.objects,
    after = c.after,
    part_from = c.part_from,
    part_objects = c.part_objects,
    tenants = c.tenants,
    noted_at = now(),
    number = c.number,
    storing = c.storing
  where k.bucket = p_bucket;
  number := c.number;
  is_compared := c.part_from is null;
  is_complete := c.part_from is null and c.storing is null;
  return next;
end
$$;
comment on function public.media_compare_next_piece is
  'Goes on with the comparison of a bucket with its assets: the next piece of it, or at its end some '
  'of the totals of what is pending. Call it until it says is_complete.';

-- Takes note of how far a comparison has come, for programs of before media_compare_next_piece.
-- p_from is where it began: '' for one of the whole bucket, which is noted in any case; else nothing is
-- noted (false) unless the bucket's comparison stands there still, for two sweeps may have compared
-- the same part. p_started_at is when the comparison of the first piece began. At the end of the
-- bucket (p_is_complete), what was found pending is kept in media_totals.
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
    noted_at = now(),
    number = k.number + 1,
    storing = null
  where k.bucket = p_bucket;
  if p_is_complete then
    perform media_enricher.store_pending(p_bucket, p_tenants);
  end if;
  return true;
end
$$;
comment on function public.media_note_comparison is
  'Takes note of how far the comparison of a bucket with its assets has come.';
