-- Where the batches of a run end that it has written in part. Batches are cut by their members, and
-- the results of a batch are cached by them; so the run that goes on where another was interrupted
-- has to cut what is left as that one did, or it would read again what was read already.

create table media_enricher.batch_cuts (
  bucket text not null,
  path text collate "C" not null,
  noted_at timestamptz not null default now(),

  primary key (bucket, path)
);
comment on table media_enricher.batch_cuts is
  'Paths that no batch reaches across: the bounds of those that were written in part. They go once '
  'the batch is done, or after a week, when what was cached of it has gone too.';
alter table media_enricher.batch_cuts enable row level security;
revoke all on media_enricher.batch_cuts from public, anon, authenticated, service_role;
create policy "nobody, but through the functions"
  on media_enricher.batch_cuts for select using (false);

create function public.media_note_cuts(p_bucket text, p_paths text[], p_done text[]) returns void
language sql security definer set search_path = '' as $$
  delete from media_enricher.batch_cuts
  where bucket = p_bucket and (path = any (p_done) or noted_at < now() - interval '7 days');
  insert into media_enricher.batch_cuts (bucket, path)
  select distinct p_bucket, noted from unnest(p_paths) as noted
  on conflict (bucket, path) do update set noted_at = now();
$$;
comment on function public.media_note_cuts is
  'Takes note of where batches end that are written in part, and forgets those that are done.';

-- The latest, of which there are more than so many only where runs are interrupted all the time.
create function public.media_cuts(p_bucket text) returns setof text
language sql stable security definer set search_path = '' as $$
  select path from media_enricher.batch_cuts where bucket = p_bucket
  order by noted_at desc, path limit 1000
$$;
comment on function public.media_cuts is 'Where batches end that were written in part.';

revoke execute on function public.media_note_cuts, public.media_cuts
  from public, anon, authenticated;
grant execute on function public.media_note_cuts, public.media_cuts to service_role;
