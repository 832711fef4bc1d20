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

-- Access: no role sees the table, and only the service role may call the function.

revoke all on media_enricher.watched_buckets from public, anon, authenticated, service_role;
alter table media_enricher.watched_buckets enable row level security;
create policy "nobody, but through the functions"
  on media_enricher.watched_buckets for select using (false);
revoke execute on function media_enricher.notify_gateway, media_enricher.queue_changes
  from public, anon, authenticated, service_role;
revoke execute on function public.media_watch_buckets from public, anon, authenticated;
grant execute on function public.media_watch_buckets to service_role;

-- Registers the buckets that the calling program writes to, and returns all that are registered.
create or replace function public.media_own_buckets(p_buckets jsonb default '{}') returns setof text
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

-- Uploads do not take turns with the runs that drain the queue, as requests do. So what is done is
-- known by the number of each object, and not by the highest number of a page: the overwrite of an
-- object may have a lower one, and appear only after the page was read.
drop function public.media_fulfil_requests(text, text, text[], bigint, uuid, text[]);

-- Removes objects that are done. An object that was asked for again meanwhile has another number
-- than in p_sequences (of the same length as p_paths), and stays; an older program gives p_sequence
-- alone, the highest number. A row that another transaction has locked is being asked for again:
-- it stays too, and neither waits for the other. p_idle are the paths for which there was nothing
-- to do: those without an object are counted as failures of the run, with the code not_found.
create function public.media_fulfil_requests(
  p_bucket text, p_prefix text, p_paths text[], p_sequence bigint,
  p_run_id uuid default null, p_idle text[] default '{}', p_sequences bigint[] default null
) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
  done text[];
begin
  with finished as materialized (
    select o.path from media_enricher.requested_objects o
    join unnest(p_paths, p_sequences) as g (path, sequence) on g.path = o.path
    where o.bucket = p_bucket and o.prefix = p_prefix
      and case when p_sequences is null then o.sequence <= p_sequence
        else o.sequence = g.sequence end
    for update of o skip locked
  ), fulfilled as (
    delete from media_enricher.requested_objects o using finished f
    where o.bucket = p_bucket and o.prefix = p_prefix and o.path = f.path
    returning o.path
  )
  select coalesce(array_agg(f.path), '{}') into done from fulfilled f;

  insert into media_enricher.run_failures as f (run_id, error_code, objects, path, error_message)
  select r.id, 'not_found', count(*), min(m.path), 'there was no such object'
  from public.media_enrich_runs r
  cross join (
    select i.path from unnest(p_idle) as i (path)
    where i.path = any (done)
    except
    select o.path from media_enricher.find_objects(p_bucket, p_idle) o
  ) m
  where r.id = p_run_id
  group by r.id
  on conflict (run_id, error_code) do update set objects = f.objects + excluded.objects;

  return cardinality(done);
end
$$;
comment on function public.media_fulfil_requests is
  'Takes requested objects for done, but for those asked for again meanwhile.';

revoke execute on function public.media_fulfil_requests from public, anon, authenticated;
grant execute on function public.media_fulfil_requests to service_role;

-- Deletes what is kept about requests to start runs: what is older than p_keep_days, and the counts
-- of unauthenticated requests after a week, up to 10,000 rows of each in a call; and all requested
-- objects of buckets that no longer exist. Only this function deletes from the audit; no role may.
create or replace function public.media_purge_requests(p_keep_days double precision)
returns bigint
language plpgsql security definer set search_path = '' set statement_timeout = '2min' as $$
declare
  oldest constant timestamptz := now() - make_interval(secs => p_keep_days * 86400);
  most constant integer := 10000;
  purged bigint := 0;
  deleted bigint;
begin
  delete from audit.enricher_invocations where id in (
    select i.id from audit.enricher_invocations i
    where i.invoked_at < oldest order by i.invoked_at limit most
  );
  get diagnostics deleted = row_count;
  purged := purged + deleted;

  delete from audit.enricher_invocations where id in (
    select i.id from audit.enricher_invocations i
    where i.reason = 'unauthenticated' and i.invoked_at < now() - interval '7 days'
    order by i.invoked_at limit most
  );
  get diagnostics deleted = row_count;
  purged := purged + deleted;

  delete from media_enricher.idempotency_keys k using (
    select o.requested_by, o.idempotency_key from media_enricher.idempotency_keys o
    where o.used_at < oldest order by o.used_at limit most
  ) expired
  where k.requested_by = expired.requested_by and k.idempotency_key = expired.idempotency_key;
  get diagnostics deleted = row_count;
  purged := purged + deleted;

  delete from media_enricher.run_requests where id in (
    select q.id from media_enricher.run_requests q
    where q.released_at < oldest order by q.released_at limit most
  );
  get diagnostics deleted = row_count;
  purged := purged + deleted;

  -- Of a bucket that was emptied and deleted, no run sees what was deleted last.
  with forgotten as (
    delete from media_enricher.requested_objects o using media_enricher.requested_places() p
    where o.bucket = p.bucket and o.prefix = p.prefix
      and not exists (select from storage.buckets b where b.id = p.bucket)
    returning o.bucket, o.path
  ), gone as (
    update public.media_assets a set gone_at = now() from forgotten f
    where a.bucket = f.bucket and a.path = f.path and a.gone_at is null
  )
  select count(*) into deleted from forgotten;
  return purged + deleted;
end
$$;
