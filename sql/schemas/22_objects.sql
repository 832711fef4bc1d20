-- Which rows of storage.objects are objects. Where a bucket keeps versions, the table also has those
-- that were replaced (archived_at) and marks of deletions (is_delete_marker). Older projects have
-- neither column, so they are named only where they exist.
--
-- The definition has two forms, and a test holds them together: planning reads the columns of a
-- million rows, and whoever has one row at hand asks of it as JSON.

-- A condition on a row `o`, as an expression.
create function media_enricher.is_object_sql() returns text
language sql stable set search_path = '' as $$
  select concat_ws(' and ', 'true',
    case when bool_or(attname = 'archived_at') then 'o.archived_at is null' end,
    case when bool_or(attname = 'is_delete_marker') then 'o.is_delete_marker is not true' end)
  from pg_catalog.pg_attribute
  where attrelid = 'storage.objects'::regclass and attnum > 0 and not attisdropped
$$;

-- The same of one row, as to_jsonb(…) makes it.
create function media_enricher.is_object(p_row jsonb) returns boolean
language sql immutable set search_path = '' as $$
  select p_row ->> 'archived_at' is null
    and coalesce(p_row ->> 'is_delete_marker', 'false') <> 'true'
$$;
