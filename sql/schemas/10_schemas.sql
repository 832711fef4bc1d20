-- The two schemas that Media Enricher adds to `public`, and what its tables share.
--
-- The files of this folder, in the order of their names, say what is in force today. The migrations
-- in `sql/` say how a database gets there. A test keeps the two equal:
-- docs/guides/change-the-database.md. Who may read, write and call what is in 90_access.sql, for
-- all files.

create schema media_enricher;
comment on schema media_enricher is 'Helpers of Media Enricher. Not for the Data API.';

create schema audit;

-- For the trigger of every table that has the column updated_at.
create function media_enricher.touch_updated_at() returns trigger
language plpgsql set search_path = '' as $$
begin
  new.updated_at := now();
  return new;
end
$$;
