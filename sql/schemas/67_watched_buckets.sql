-- The change feed: objects that are uploaded, overwritten, moved or deleted are queued by the
-- database itself, in the same transaction. Its triggers on storage.objects are optional
-- (sql/hosted/changes.sql, by `media-enricher changes on`); what they call is here, so that a
-- migration brings it up to date.

create table media_enricher.watched_buckets (
  bucket text primary key,
  origin text not null,
  watched_since timestamptz not null default now(),
  notified_at timestamptz,

  constraint watched_buckets_origin_check check (origin in ('settings', 'command'))
);
comment on table media_enricher.watched_buckets is
  'The buckets whose changes are queued. Never one that Media Enricher writes to.';
comment on column media_enricher.watched_buckets.origin is
  'settings: `media-enricher setup` found it in MEDIA_ENRICHER_BUCKETS, and removes it when it is '
  'not there any more. command: `media-enricher changes on --bucket` added it.';
comment on column media_enricher.watched_buckets.notified_at is
  'When the gateway was last told that objects of this bucket wait.';

create trigger watched_buckets_refuse_own_bucket before insert on media_enricher.watched_buckets
  for each row execute function media_enricher.refuse_own_bucket();

-- Tells the gateway that objects wait, so that a run starts at once. It needs pg_net, and two
-- secrets in Vault; sql/hosted/changes.sql names them. At most once a second for each bucket, since
-- the run takes all that waits by then. What is not told, or lost on the way, is drained within a
-- minute: the queue is the record, and this only saves time. A bucket's row that another
-- transaction has locked is being told already, so no upload waits here for another.
create function media_enricher.notify_gateway(p_buckets text[], p_paths text[]) returns void
language plpgsql set search_path = '' as $$
declare
  gateway text;
  webhook_secret text;
  waiting record;
begin
  select
    max(s.decrypted_secret) filter (where s.name = 'media_enricher_url'),
    max(s.decrypted_secret) filter (where s.name = 'media_enricher_webhook_secret')
  into gateway, webhook_secret
  from vault.decrypted_secrets s
  where s.name in ('media_enricher_url', 'media_enricher_webhook_secret');
  if gateway is null or webhook_secret is null then
    return;
  end if;
  for waiting in
    select w.bucket, p_paths[array_position(p_buckets, w.bucket)] as path
    from media_enricher.watched_buckets w
    where w.bucket = any (p_buckets)
      and coalesce(w.notified_at < clock_timestamp() - interval '1 second', true)
    for update skip locked
  loop
    update media_enricher.watched_buckets set notified_at = clock_timestamp()
    where bucket = waiting.bucket;
    perform net.http_post(
      url := gateway || '/media-enricher/enrich',
      headers := jsonb_build_object(
        'Content-Type', 'application/json', 'x-webhook-secret', webhook_secret),
      body := jsonb_build_object(
        'type', 'UPDATE', 'table', 'objects', 'schema', 'storage',
        'record', jsonb_build_object('bucket_id', waiting.bucket, 'name', waiting.path)),
      timeout_milliseconds := 5000
    );
  end loop;
exception when others then
  raise warning 'media-enricher could not tell the gateway that objects wait: %', sqlerrm;
end
$$;

-- Queues changed objects, given as buckets and paths of the same length, if their buckets are
-- watched. The triggers of sql/hosted/changes.sql call it. What uploads report is one queue for
-- each bucket, as with webhooks. A path that is longer than Storage allows is left out, as in
-- note_objects.
create function media_enricher.queue_changes(p_buckets text[], p_paths text[]) returns void
language plpgsql set search_path = '' as $$
begin
  if p_buckets is null then
    return;
  end if;
  insert into media_enricher.requested_objects as o (bucket, prefix, path)
  select distinct w.bucket, '', c.path
  from unnest(p_buckets, p_paths) as c (bucket, path)
  join media_enricher.watched_buckets w on w.bucket = c.bucket
  where octet_length(c.path) <= 1024
  order by w.bucket, c.path -- all lock rows in one order, so that no two wait for each other
  on conflict (bucket, prefix, path) do update set
    sequence = excluded.sequence,
    requested_at = excluded.requested_at;
  if found and to_regnamespace('net') is not null
    and to_regclass('vault.decrypted_secrets') is not null
  then
    perform media_enricher.notify_gateway(p_buckets, p_paths);
  end if;
end
$$;

-- Makes the buckets of MEDIA_ENRICHER_BUCKETS watched, and those that are not in it any more not;
-- those that a command added stay. Says of each what was done: added, kept, removed, or refused
-- for one that Media Enricher writes to.
create function public.media_watch_buckets(p_buckets text[])
returns table (bucket text, outcome text)
language plpgsql security definer set search_path = '' as $$
begin
  return query
  with given as (
    select distinct g.bucket, media_enricher.is_own_bucket(g.bucket) as is_own
    from unnest(p_buckets) as g (bucket) where g.bucket is not null
  ), removed as (
    delete from media_enricher.watched_buckets w
    where w.origin = 'settings' and not exists (select from given g where g.bucket = w.bucket)
    returning w.bucket
  ), added as (
    insert into media_enricher.watched_buckets as w (bucket, origin)
    select g.bucket, 'settings' from given g where not g.is_own
    on conflict on constraint watched_buckets_pkey do nothing
    returning w.bucket
  )
  select r.bucket, 'removed' from removed r
  union all
  select g.bucket, case when g.is_own then 'refused' when a.bucket is null then 'kept' else 'added' end
  from given g left join added a on a.bucket = g.bucket
  order by 1;
end
$$;
comment on function public.media_watch_buckets is
  'Makes these the buckets of the settings whose changes are queued; says what became of each.';
