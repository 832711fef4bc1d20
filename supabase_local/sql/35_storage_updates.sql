-- What newer Storage servers added to their tables. It runs whenever a stack starts, so that a data
-- folder which an older version of this package made gets it too: each statement can be repeated.

-- Versions of objects (0062). A bucket keeps none: the real server does not allow it yet.
alter table storage.buckets
  add column if not exists versioning_status text not null default 'DISABLED';
alter table storage.buckets drop constraint if exists buckets_versioning_status_check;
alter table storage.buckets add constraint buckets_versioning_status_check
  check (versioning_status in ('DISABLED', 'ENABLED', 'SUSPENDED'));
alter table storage.buckets drop constraint if exists buckets_versioning_standard_only_check;
alter table storage.buckets add constraint buckets_versioning_standard_only_check
  check (type = 'STANDARD' or versioning_status = 'DISABLED');
alter table storage.objects
  add column if not exists archived_at timestamptz,
  add column if not exists is_delete_marker boolean not null default false,
  add column if not exists is_versioned boolean not null default false;

-- Rows go away through the Storage API alone, for a row's bytes would otherwise stay behind (0050).
create or replace function storage.protect_delete() returns trigger language plpgsql as $$
begin
  if coalesce(current_setting('storage.allow_delete_query', true), 'false') <> 'true' then
    raise exception 'Direct deletion from storage tables is not allowed. Use the Storage API instead.'
      using hint = 'This prevents accidental data loss from orphaned objects.', errcode = '42501';
  end if;
  return null;
end
$$;
create or replace trigger protect_buckets_delete before delete on storage.buckets
  for each statement execute function storage.protect_delete();
create or replace trigger protect_objects_delete before delete on storage.objects
  for each statement execute function storage.protect_delete();
