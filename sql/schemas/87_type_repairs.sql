-- Repairing declared content types: which objects are declared as another type than they are, and
-- what was done about it.
--
-- Storage serves another type only after a copy of the object onto itself. That copy drops the
-- owner, and may drop the user's metadata. So a repair has three steps, and this audit says at each
-- moment what is still to be done:
--   1. media_start_type_repair notes what the object has, before anything is changed;
--   2. the program has Storage copy the object;
--   3. media_settle_type_repair gives the owner back, and lets the row of media_assets follow.
-- A run that is killed in between leaves a row 'started'; the next run settles it.
create table audit.type_repairs (
  id uuid primary key default gen_random_uuid(), -- the repair's id
  run_id uuid not null, -- the Prefect flow run that started it
  requested_by text, -- who asked for that run, or what started it
  bucket text not null, -- the Storage bucket
  path text collate "C" not null, -- the object's name in its bucket
  object_id uuid not null, -- the id in storage.objects
  from_type text, -- the declared content type before
  to_type text not null, -- the one to declare
  outcome text not null default 'started',
  error_message text, -- why it failed
  started_at timestamptz not null default now(), -- when it was noted, before the copy
  settled_at timestamptz, -- when its outcome was known
  size_bytes bigint, -- the object's size
  cache_control text, -- the object's, which is to stay
  owner uuid, -- the object's, to be given back
  owner_id text, -- the object's, to be given back
  user_metadata jsonb, -- the object's, to be given back; null once that is done
  version_before text, -- Storage's version of the object before
  version_after text, -- the one that the repair made
  etag_before text, -- the object's before, W/ stripped
  etag_after text, -- the object's after, W/ stripped
  part uuid, -- the Parquet part that has the row
  part_written_at timestamptz, -- when that part was written

  constraint type_repairs_outcome_check check (outcome in (
    'started', 'repaired', 'unverified', 'changed', 'gone', 'failed', 'not_done'
  )),
  constraint type_repairs_settled_check check ((outcome = 'started') = (settled_at is null))
);
comment on table audit.type_repairs is
  'Content types that were put right in Storage, a row a try. Written by functions alone.';
comment on column audit.type_repairs.outcome is
  'started: under way, or interrupted. repaired: the type is right, all else as before. unverified: '
  'so it is, but Storage''s ETag does not say that the bytes are the same, so the object is enriched '
  'again. changed, gone: the object was overwritten or deleted meanwhile. failed: Storage refused. '
  'not_done: interrupted before anything was changed.';

-- One repair of an object at a time.
create unique index type_repairs_started_key on audit.type_repairs (bucket, path)
  where outcome = 'started';
create index type_repairs_bucket_path_idx on audit.type_repairs (bucket, path);
-- What the next part is made of, and the part that is being written.
create index type_repairs_unwritten_idx on audit.type_repairs (bucket, part)
  where outcome <> 'started' and part_written_at is null;

create function media_enricher.bare_etag(p_etag text) returns text
language sql immutable set search_path = '' as $$
  select case when starts_with(p_etag, 'W/') then substr(p_etag, 3) else p_etag end
$$;

-- The size that Storage says an object has, or null where it is no size.
create function media_enricher.size_of(p_metadata jsonb) returns bigint
language sql immutable set search_path = '' as $$
  select case when jsonb_typeof(p_metadata -> 'size') = 'number' then
    case when (p_metadata ->> 'size')::numeric between 0 and 9223372036854775807
      then (p_metadata ->> 'size')::numeric::bigint end
  end
$$;

-- Objects whose declared type is not the one that was found in their bytes, after p_after, in the
-- order of their paths, up to p_until. p_types are the types of interest. is_stale: other bytes are there now than
-- those that were looked at. Of objects that failed, only the type of mislabelled ones is sure.
create function public.media_mistyped_objects(
  p_bucket text, p_prefix text, p_types text[], p_after text, p_limit integer,
  p_until text default ''
) returns table (
  path text, etag text, size_bytes bigint, declared_content_type text, content_type text,
  is_stale boolean
)
language plpgsql stable security definer
set search_path = '' set statement_timeout = '2min' set jit = 'off'
set enable_nestloop = 'on' set enable_hashjoin = 'on' set enable_sort = 'on' as $$
begin
  perform media_enricher.prefer_merging();
  return query execute format(
    $q$select o.path, %1$s, media_enricher.size_of(o.metadata), o.metadata ->> 'mimetype',
      a.content_type, %1$s is distinct from a.etag
    from (%2$s and %3$s) o
    join (
      select * from public.media_assets where bucket = %4$L and %5$s
    ) a on a.path = o.path
    where a.gone_at is null and a.content_type = any (%6$L)
      and (a.status <> 'failed' or a.error_code = 'mislabelled')
      and lower(btrim(split_part(coalesce(o.metadata ->> 'mimetype', ''), ';', 1)))
        <> a.content_type
    order by o.path limit %7$L$q$,
    media_enricher.bare_etag_sql('o.listed_etag'),
    media_enricher.objects_sql(p_bucket),
    media_enricher.path_sql('o.name collate "C"', p_prefix, p_after, p_until),
    p_bucket,
    media_enricher.path_sql('path', p_prefix, p_after, p_until),
    p_types,
    p_limit);
end
$$;
comment on function public.media_mistyped_objects is
  'The next objects whose declared content type is not what their bytes are.';

-- Notes what an object has, before its type is changed. No row: it is not any more what planning
-- saw, or another run repairs it. A repeated call of the same run returns the same.
create function public.media_start_type_repair(
  p_run_id uuid, p_requested_by text, p_bucket text, p_path text, p_etag text, p_from_type text,
  p_to_type text
) returns table (id uuid, cache_control text, user_metadata jsonb)
language plpgsql security definer set search_path = '' as $$
declare
  o storage.objects;
begin
  select s.* into o from storage.objects s
  where s.id = (select f.object_id from media_enricher.find_objects(p_bucket, array[p_path]) f)
    and media_enricher.is_object(to_jsonb(s));
  if not found
    or media_enricher.bare_etag(o.metadata ->> 'eTag') is distinct from p_etag
    or o.metadata ->> 'mimetype' is distinct from p_from_type
  then
    return;
  end if;
  return query
  insert into audit.type_repairs as r (
    run_id, requested_by, bucket, path, object_id, from_type, to_type, size_bytes, cache_control,
    owner, owner_id, user_metadata, version_before, etag_before
  )
  values (
    p_run_id, left(p_requested_by, 255), p_bucket, p_path, o.id, p_from_type, p_to_type,
    media_enricher.size_of(o.metadata), o.metadata ->> 'cacheControl',
    o.owner, o.owner_id, o.user_metadata, o.version, p_etag
  )
  on conflict (bucket, path) where outcome = 'started' do update set run_id = excluded.run_id
    where r.run_id = excluded.run_id
  returning r.id, r.cache_control, r.user_metadata;
end
$$;
comment on function public.media_start_type_repair is
  'Notes what an object has before its content type is changed; nothing if it is not the same.';

-- Whether an object has the same bytes as before its copy, by what Storage says of it. An ETag that
-- is an MD5 says so by itself. That of an upload in parts ("…-2") becomes another by the copy, and
-- so do those that are made of a time; then the size has to do.
create function media_enricher.is_copied_whole(r audit.type_repairs, o storage.objects)
returns boolean
language sql immutable set search_path = '' as $$
  select media_enricher.bare_etag(o.metadata ->> 'eTag') = r.etag_before
    or r.etag_before !~ '^"?[0-9a-fA-F]{32}"?$'
      and media_enricher.size_of(o.metadata) = r.size_bytes
$$;

-- Whether an object looks like the copy that was to be made. An upload by somebody else has its own
-- owner; one without an owner keeps the one before.
create function media_enricher.looks_copied(r audit.type_repairs, o storage.objects)
returns boolean
language sql immutable set search_path = '' as $$
  select o.metadata ->> 'mimetype' = r.to_type
    and o.metadata ->> 'cacheControl' is not distinct from r.cache_control
    and (o.user_metadata is null or o.user_metadata is not distinct from r.user_metadata)
    and (o.owner_id is null or o.owner_id is not distinct from r.owner_id)
    and (o.owner is null or o.owner is not distinct from r.owner)
    and media_enricher.is_copied_whole(r, o)
$$;

-- Ends a repair by what is in Storage now, and returns its outcome. Where the copy is there, the
-- owner and the user's metadata are given back, and the row of media_assets follows, all in one
-- transaction. p_version is the version that the copy got, as far as the caller knows; p_error is
-- why there is none.
--
-- A repeated call returns the same. One that comes late, with a version of its own, still gives
-- back the owner.
create function public.media_settle_type_repair(
  p_id uuid, p_version text default null, p_error text default null
) returns text
language plpgsql security definer set search_path = '' as $$
declare
  r audit.type_repairs;
  o storage.objects;
  ended text;
begin
  select t.* into r from audit.type_repairs t where t.id = p_id for update;
  if not found then
    raise exception 'there is no repair %', p_id using errcode = '22023';
  end if;
  if r.outcome <> 'started' and (p_version is null or p_version = r.version_after) then
    return r.outcome;
  end if;

  select s.* into o from storage.objects s
  where s.id = (select f.object_id from media_enricher.find_objects(r.bucket, array[r.path]) f)
    and media_enricher.is_object(to_jsonb(s))
  for update;
  ended := case
    when o.id is null then 'gone'
    when o.id <> r.object_id then 'changed'
    when o.version is not distinct from r.version_before then
      case when p_error is null then 'not_done' else 'failed' end
    when o.version = p_version or media_enricher.looks_copied(r, o) then
      case when media_enricher.is_copied_whole(r, o) then 'repaired' else 'unverified' end
    else 'changed'
  end;

  if ended in ('repaired', 'unverified') then
    update storage.objects s set
      owner = r.owner,
      owner_id = r.owner_id,
      user_metadata = case when r.outcome = 'started' then r.user_metadata else s.user_metadata end
    where s.id = o.id and s.version is not distinct from o.version;
  end if;
  if ended = 'repaired' then
    update public.media_assets a set
      etag = media_enricher.bare_etag(o.metadata ->> 'eTag'),
      declared_content_type = left(r.to_type, 200),
      labels = nullif(array_remove(a.labels, 'mislabelled'), '{}')
    -- A failed one is to be enriched again: it may have failed for its declared type.
    where a.bucket = r.bucket and a.path = r.path and a.etag = r.etag_before
      and a.status <> 'failed';
  end if;
  if r.outcome = 'started' then
    update audit.type_repairs t set
      outcome = ended,
      error_message = left(p_error, 500),
      settled_at = now(),
      user_metadata = null,
      version_after = case when ended in ('repaired', 'unverified') then o.version end,
      etag_after = case when ended in ('repaired', 'unverified')
        then media_enricher.bare_etag(o.metadata ->> 'eTag') end
    where t.id = r.id;
  end if;
  return ended;
end
$$;
comment on function public.media_settle_type_repair is
  'Ends a repair of a content type: gives the owner back where the copy is there; its outcome.';

create function public.media_unsettled_type_repairs(p_bucket text, p_prefix text)
returns table (id uuid, path text, age_seconds double precision)
language sql stable security definer set search_path = '' as $$
  select r.id, r.path, extract(epoch from now() - r.started_at)::double precision
  from audit.type_repairs r
  where r.bucket = p_bucket and r.outcome = 'started' and starts_with(r.path, p_prefix)
  order by r.path limit 1000
$$;
comment on function public.media_unsettled_type_repairs is
  'Up to 1,000 repairs that are under way or were interrupted, and since how many seconds.';

-- The rows of the Parquet part that is to be written next, as one JSON array of at most 1,000; null
-- if there is none. A part that was handed out and never noted as written is handed out again, with
-- the same rows, so a writer that was killed leaves no gap.
create function public.media_type_repair_part(p_bucket text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  next_part uuid;
begin
  select r.part into next_part from audit.type_repairs r
  where r.bucket = p_bucket and r.outcome <> 'started' and r.part_written_at is null
    and r.part is not null
  limit 1;
  if next_part is null then
    next_part := gen_random_uuid();
    update audit.type_repairs t set part = next_part where t.id in (
      select r.id from audit.type_repairs r
      where r.bucket = p_bucket and r.outcome <> 'started' and r.part_written_at is null
        and r.part is null
      order by r.settled_at, r.id limit 1000
      for update skip locked
    );
  end if;
  return (
    select jsonb_agg(jsonb_build_object(
      'id', r.id, 'run_id', r.run_id, 'requested_by', r.requested_by, 'bucket', r.bucket,
      'path', r.path, 'object_id', r.object_id, 'from_type', r.from_type, 'to_type', r.to_type,
      'outcome', r.outcome, 'error_message', r.error_message, 'started_at', r.started_at,
      'settled_at', r.settled_at, 'size_bytes', r.size_bytes,
      'version_before', r.version_before, 'version_after', r.version_after,
      'etag_before', r.etag_before, 'etag_after', r.etag_after, 'part', r.part
    ) order by r.path, r.settled_at)
    from audit.type_repairs r where r.bucket = p_bucket and r.part = next_part
      and r.part_written_at is null and r.outcome <> 'started'
  );
end
$$;
comment on function public.media_type_repair_part is
  'The rows of the next Parquet part about repaired content types; null if there is none.';

create function public.media_note_type_repair_part(p_bucket text, p_part uuid) returns void
language sql security definer set search_path = '' as $$
  update audit.type_repairs r set part_written_at = now()
  where r.bucket = p_bucket and r.part = p_part and r.part_written_at is null
    and r.outcome <> 'started'
$$;
comment on function public.media_note_type_repair_part is
  'Takes note that a Parquet part about repaired content types is written.';
