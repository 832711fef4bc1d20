-- Optional, for a hosted Supabase project: the change feed. Each object that is uploaded, overwritten,
-- moved or deleted in a watched bucket is queued by the database, in the same transaction, so that no
-- upload is lost, and none depends on HTTP. `media-enricher changes on` applies this file, and `off`
-- takes it back; or run it in the dashboard's SQL editor, after the migrations. Run it again after an
-- upgrade of Storage: it names columns that newer versions have.
--
-- media_enricher.watched_buckets says which buckets are watched: `media-enricher setup` writes those
-- of MEDIA_ENRICHER_BUCKETS there. A run drains the queue within a minute. Where the extension pg_net
-- is, and two secrets are in Vault, the gateway is told at once:
--
--   create extension if not exists pg_net;
--   select vault.create_secret('https://media.example.com', 'media_enricher_url');
--   select vault.create_secret('the value of MEDIA_ENRICHER_WEBHOOK_SECRET',
--     'media_enricher_webhook_secret');
--
-- To remove it: drop function media_enricher.queue_changed_rows, media_enricher.queue_changed_row cascade.
-- (Only the owner of storage.objects may drop a trigger, but who drops its function drops it too.)

-- Both functions never raise, for that would break uploads; nor does an upload wait longer than a
-- second for a lock. What could not be queued is a warning in the log, and the sweep finds it when
-- it next compares the whole bucket with media_assets, which it does once a day for the buckets of
-- MEDIA_ENRICHER_BUCKETS.
--
-- An exception block costs a subtransaction, and many in one transaction slow a whole server. So
-- inserts and deletes, which may be of thousands of rows, are queued by statement. Updates are
-- queued by row: that way an update of other columns costs nothing, and Storage moves and overwrites
-- one object at a time.

create or replace function media_enricher.queue_changed_rows() returns trigger
language plpgsql security definer set search_path = '' set lock_timeout = '1s' as $$
begin
  perform media_enricher.queue_changes(array_agg(c.bucket_id), array_agg(c.name)) from changed c;
  return null;
exception when others then
  raise warning 'media-enricher could not queue changed objects: %. The next comparison finds them', sqlerrm;
  return null;
end
$$;

-- Of an object that was moved, the old name is gone and the new one is new.
create or replace function media_enricher.queue_changed_row() returns trigger
language plpgsql security definer set search_path = '' set lock_timeout = '1s' as $$
begin
  perform media_enricher.queue_changes(
    array[old.bucket_id, new.bucket_id], array[old.name, new.name]);
  return null;
exception when others then
  raise warning 'media-enricher could not queue changed objects: %. The next comparison finds them', sqlerrm;
  return null;
end
$$;

revoke execute on function media_enricher.queue_changed_rows, media_enricher.queue_changed_row
  from public, anon, authenticated, service_role;

create or replace trigger media_enricher_objects_inserted
  after insert on storage.objects referencing new table as changed
  for each statement execute function media_enricher.queue_changed_rows();

create or replace trigger media_enricher_objects_deleted
  after delete on storage.objects referencing old table as changed
  for each statement execute function media_enricher.queue_changed_rows();

-- The columns that planning looks at, where they exist: older versions of Storage lack some. No
-- others: each download may touch last_accessed_at.
do $do$
declare
  present text[] := array(
    select a.attname::text from pg_catalog.pg_attribute a
    where a.attrelid = 'storage.objects'::regclass and not a.attisdropped and a.attname = any (array[
      'id', 'bucket_id', 'name', 'version', 'metadata', 'owner', 'owner_id',
      'archived_at', 'is_delete_marker'
    ])
    order by a.attnum
  );
begin
  execute format(
    'create or replace trigger media_enricher_object_updated after update on storage.objects '
    'for each row when ((%s) is distinct from (%s)) '
    'execute function media_enricher.queue_changed_row()',
    (select string_agg(format('old.%I', name), ', ') from unnest(present) as name),
    (select string_agg(format('new.%I', name), ', ') from unnest(present) as name)
  );
end
$do$;

-- What changed while the triggers were off was not queued. So the sweep compares all watched buckets
-- whole before it relies on the queue.
update media_enricher.watched_buckets set watched_since = now();
