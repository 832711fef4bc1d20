-- Owners as Storage has them: text. With an identity provider of the project's own a user's id may be
-- no UUID, and user_id has no room for it. `user_id` stays: the owner where that is a UUID, else null.

alter table public.media_assets add column owner_id text;
comment on column public.media_assets.owner_id is
  'Storage''s owner_id of the object. Null for uploads with a service key, and in rows that were '
  'written before this column was there and have a user_id, which then says the same.';
comment on column public.media_assets.user_id is 'The owner, if its id is a UUID.';

-- What the policy needs beside the index on user_id: few rows, or none, on most projects.
create index media_assets_owner_id_idx on public.media_assets (owner_id)
  where owner_id is not null and user_id is null;

-- An owner as it is kept, as an expression: null where there is none, and where it is longer than a
-- claim `sub` has any reason to be, for it stands in an index, whose entries have a limit.
create function media_enricher.owner_id_sql(p_expression text) returns text
language sql immutable set search_path = '' as $$
  select format('case when length(%1$s) between 1 and 255 then %1$s end', p_expression)
$$;
revoke execute on function media_enricher.owner_id_sql
  from public, anon, authenticated, service_role;

-- Those of the given paths that are objects now, with who owns them. Dropped, since it returns more.
drop function media_enricher.find_objects;
create function media_enricher.find_objects(p_bucket text, p_paths text[])
returns table (path text, object_id uuid, user_id uuid, owner_id text, etag text)
language plpgsql stable set search_path = '' as $$
begin
  return query execute format(
    'select o.path, o.object_id, %s, %s, %s from (%s and o.name = any ($1)) o',
    media_enricher.user_id_sql('o.owner_id'),
    media_enricher.owner_id_sql('o.owner_id'),
    media_enricher.bare_etag_sql('o.listed_etag'),
    media_enricher.objects_sql(p_bucket)
  ) using p_paths;
end
$$;
revoke execute on function media_enricher.find_objects
  from public, anon, authenticated, service_role;

-- Rows whose owner is no UUID get it here, so that nothing has to be read again for it. One pass over
-- each bucket; it writes nothing where all owners are users of Supabase Auth.
do $$
declare
  filled_bucket text;
begin
  for filled_bucket in select b.id from storage.buckets b loop
    execute format(
      $q$update public.media_assets a set owner_id = o.owner_id
      from (%s) o
      where a.bucket = %L and a.path = o.path and a.user_id is null
        and %s is not null and %s is null$q$,
      media_enricher.objects_sql(filled_bucket), filled_bucket,
      media_enricher.owner_id_sql('o.owner_id'), media_enricher.user_id_sql('o.owner_id')
    );
  end loop;
end
$$;
