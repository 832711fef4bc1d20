-- The buckets that Media Enricher itself writes to: results of tasks, and snapshots. What a run
-- stores there is an upload like any other, and would start the next run, without end. So no run is
-- reserved for these buckets, and planning finds nothing in them, whoever asks.

create table media_enricher.own_buckets (
  bucket text primary key,
  purpose text not null,
  registered_at timestamptz not null default now(),

  constraint own_buckets_purpose_check check (purpose in ('results', 'snapshots'))
);
comment on table media_enricher.own_buckets is
  'Buckets that Media Enricher writes to, and never works on. One that is not used any more stays '
  'known, for what it holds is no media; delete its row here to have it worked on.';

-- Their names, unless a setting or a block says otherwise.
insert into media_enricher.own_buckets (bucket, purpose) values
  ('media-enricher-results', 'results'),
  ('media-enricher-snapshots', 'snapshots');

create function media_enricher.is_own_bucket(p_bucket text) returns boolean
language sql stable set search_path = '' as $$
  select exists (select from media_enricher.own_buckets o where o.bucket = p_bucket)
$$;

-- Registers the buckets that the calling program writes to, and returns all that are registered.
create function public.media_own_buckets(p_buckets jsonb default '{}') returns setof text
language plpgsql security definer set search_path = '' as $$
begin
  insert into media_enricher.own_buckets (bucket, purpose)
  select given.key, given.value from jsonb_each_text(p_buckets) given
  where not media_enricher.is_own_bucket(given.key)
  on conflict (bucket) do nothing;
  if found then -- what was asked for before it was known
    delete from media_enricher.requested_objects o using media_enricher.own_buckets b
    where b.bucket = o.bucket;
    delete from media_enricher.watched_buckets w using media_enricher.own_buckets b
    where b.bucket = w.bucket;
  end if;
  return query select o.bucket from media_enricher.own_buckets o order by o.bucket;
end
$$;
comment on function public.media_own_buckets is
  'Takes note of buckets that Media Enricher writes to ({name: purpose}); returns all that are known.';

-- The triggers that call the next two functions are defined with their tables: run_requests (in
-- 70_run_requests.sql), requested_objects (in 65_requested_objects.sql) and watched_buckets (in
-- 67_watched_buckets.sql).

-- Refuses a run in such a bucket. The gateway checks first; whoever did not gets this error.
create function media_enricher.refuse_own_bucket() returns trigger
language plpgsql set search_path = '' as $$
begin
  if media_enricher.is_own_bucket(new.bucket) then
    raise exception 'the bucket % holds what Media Enricher stores, and is not worked on',
      quote_literal(new.bucket) using errcode = '22023';
  end if;
  return new;
end
$$;

-- Drops a request for an object in such a bucket: there is nothing to do for it.
create function media_enricher.ignore_own_bucket() returns trigger
language plpgsql set search_path = '' as $$
begin
  return case when media_enricher.is_own_bucket(new.bucket) then null else new end;
end
$$;
