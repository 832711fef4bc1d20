-- Optional, for a hosted Supabase project: tell the gateway of each change of an object, so that an
-- upload is enriched within seconds. `media-enricher migrate` does not apply it; run it once, in the
-- dashboard's SQL editor, after the migrations. Written for pg_net and Vault, which the project's own
-- stack lacks: there, only this was tested, that uploads work whatever happens in here.
--
-- It needs the extension pg_net, and two secrets in Vault:
--
--   create extension if not exists pg_net;
--   select vault.create_secret('https://media.example.com', 'media_enricher_url');
--   select vault.create_secret('the value of MEDIA_ENRICHER_WEBHOOK_SECRET',
--     'media_enricher_webhook_secret');
--
-- pg_net sends once and gives up. What it loses, the next sweep finds: see schedule.sql.
-- To remove it: drop function media_enricher.tell_gateway cascade.

-- It never raises, for that would break uploads: whatever goes wrong is a warning in the log.
create or replace function media_enricher.tell_gateway() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  was_object boolean;
  is_object boolean;
begin
  -- Versions that were replaced and marks of deletions are rows of the table, and no objects.
  was_object := tg_op <> 'INSERT' and media_enricher.is_object(to_jsonb(old));
  is_object := tg_op <> 'DELETE' and media_enricher.is_object(to_jsonb(new));
  if not was_object and not is_object then
    return null;
  end if;
  -- What Media Enricher stores itself is nothing to tell; the gateway would ignore it, at a request each.
  if media_enricher.is_own_bucket(case when tg_op = 'DELETE' then old.bucket_id else new.bucket_id end)
    and (tg_op <> 'UPDATE' or new.bucket_id = old.bucket_id)
  then
    return null;
  end if;
  perform net.http_post(
    url := media_enricher.secret('media_enricher_url') || '/media-enricher/enrich',
    headers := jsonb_build_object(
      'Content-Type', 'application/json',
      'x-webhook-secret', media_enricher.secret('media_enricher_webhook_secret')
    ),
    body := jsonb_build_object(
      'type', case when not is_object then 'DELETE' when was_object then 'UPDATE' else 'INSERT' end,
      'table', tg_table_name,
      'schema', tg_table_schema,
      'record', case when is_object
        then jsonb_build_object('bucket_id', new.bucket_id, 'name', new.name) end,
      'old_record', case when was_object
        then jsonb_build_object('bucket_id', old.bucket_id, 'name', old.name) end
    ),
    timeout_milliseconds := 5000
  );
  return null;
exception when others then
  raise warning 'media-enricher was not told of a change in Storage: %', sqlerrm;
  return null;
end
$$;

-- A secret of Vault by its name.
create or replace function media_enricher.secret(p_name text) returns text
language plpgsql stable set search_path = '' as $$
declare
  found_secret text;
begin
  select decrypted_secret into strict found_secret
  from vault.decrypted_secrets where name = p_name;
  return found_secret;
exception when no_data_found then
  raise exception 'Vault has no secret named %', p_name;
end
$$;

revoke execute on function media_enricher.tell_gateway, media_enricher.secret
  from public, anon, authenticated, service_role;

-- Not on every update: each download touches last_accessed_at. Older projects have no versions of
-- objects, and so not all of these columns.
do $$
begin
  execute format(
    'create or replace trigger media_enricher_object_changed'
    ' after insert or delete or update of %s on storage.objects'
    ' for each row execute function media_enricher.tell_gateway()',
    (
      select string_agg(quote_ident(attname), ', ') from pg_catalog.pg_attribute
      where attrelid = 'storage.objects'::regclass and not attisdropped and attname in
        ('bucket_id', 'name', 'version', 'metadata', 'archived_at', 'is_delete_marker')
    )
  );
end
$$;
