-- The buckets that Media Enricher itself writes to: results of tasks, and snapshots. What a run stores
-- there is an upload as any other, and would start the next run, without end. They are known here, so
-- that they are left alone whoever asks: no planning finds anything in them, no run is reserved.

create table media_enricher.own_buckets (
  bucket text primary key,
  purpose text not null,
  registered_at timestamptz not null default now(),

  constraint own_buckets_purpose_check check (purpose in ('results', 'snapshots'))
);
comment on table media_enricher.own_buckets is
  'Buckets that Media Enricher writes to, and never works on. One that is not used any more stays '
  'known, for what it holds is no media; delete its row here to have it worked on.';
alter table media_enricher.own_buckets enable row level security;
revoke all on media_enricher.own_buckets from public, anon, authenticated, service_role;
create policy "nobody, but through the functions"
  on media_enricher.own_buckets for select using (false);

-- The names that they have unless a setting or a block says otherwise.
insert into media_enricher.own_buckets (bucket, purpose) values
  ('media-enricher-results', 'results'),
  ('media-enricher-snapshots', 'snapshots');

create function media_enricher.is_own_bucket(p_bucket text) returns boolean
language sql stable set search_path = '' as $$
  select exists (select from media_enricher.own_buckets o where o.bucket = p_bucket)
$$;

-- What a program knows of its own buckets comes in here, and what is known of all comes back.
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
  end if;
  return query select o.bucket from media_enricher.own_buckets o order by o.bucket;
end
$$;
comment on function public.media_own_buckets is
  'Takes note of buckets that Media Enricher writes to ({name: purpose}); returns all that are known.';

-- A run in one of them is no run; a gateway that did not ask first is told by an error.
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
create trigger run_requests_refuse_own_bucket before insert on media_enricher.run_requests
  for each row execute function media_enricher.refuse_own_bucket();

-- An object in one of them is nothing to do.
create function media_enricher.ignore_own_bucket() returns trigger
language plpgsql set search_path = '' as $$
begin
  return case when media_enricher.is_own_bucket(new.bucket) then null else new end;
end
$$;
create trigger requested_objects_ignore_own_bucket before insert on media_enricher.requested_objects
  for each row execute function media_enricher.ignore_own_bucket();

delete from media_enricher.requested_objects o using media_enricher.own_buckets b
where b.bucket = o.bucket;

-- The objects of a bucket as a SELECT of: object_id, path, owner_id (text), listed_etag (as Storage
-- wrote it), metadata. Deleted and archived versions are not objects, nor is what we stored ourselves.
create or replace function media_enricher.objects_sql(p_bucket text) returns text
language plpgsql stable set search_path = '' as $$
declare
  present text[] := array(
    select attname::text from pg_catalog.pg_attribute
    where attrelid = 'storage.objects'::regclass and attnum > 0 and not attisdropped
  );
  conditions text[] := array[format('o.bucket_id = %L', p_bucket)];
begin
  if media_enricher.is_own_bucket(p_bucket) then
    conditions := conditions || 'false'::text;
  end if;
  if 'is_delete_marker' = any (present) then
    conditions := conditions || 'o.is_delete_marker is not true'::text;
  end if;
  if 'archived_at' = any (present) then
    conditions := conditions || 'o.archived_at is null'::text;
  end if;
  return format(
    $q$select o.id as object_id, o.name collate "C" as path, %s as owner_id,
      o.metadata ->> 'eTag' as listed_etag, o.metadata
    from storage.objects o where %s$q$,
    case when 'owner_id' = any (present) then 'coalesce(o.owner_id, o.owner::text)'
      else 'o.owner::text' end,
    array_to_string(conditions, ' and ')
  );
end
$$;

revoke execute on all functions in schema media_enricher
  from public, anon, authenticated, service_role;
revoke execute on function public.media_own_buckets from public, anon, authenticated;
grant execute on function public.media_own_buckets to service_role;
