-- An object that was asked for and is not there: the run that looked for it says so.

drop function public.media_fulfil_requests;

-- Those that were asked for again meanwhile, and so after p_sequence, stay. Of the idle ones, for
-- which there was nothing to do, the run notes those that do not exist.
create function public.media_fulfil_requests(
  p_bucket text, p_prefix text, p_paths text[], p_sequence bigint,
  p_run_id uuid default null, p_idle text[] default '{}'
) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
  done text[];
begin
  with fulfilled as (
    delete from media_enricher.requested_objects o
    where o.bucket = p_bucket and o.prefix = p_prefix and o.path = any (p_paths)
      and o.sequence <= p_sequence
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
  'Takes requested objects for done, but for those asked for again after p_sequence.';

revoke execute on function public.media_fulfil_requests from public, anon, authenticated;
grant execute on function public.media_fulfil_requests to service_role;
