-- Recording what was found: rows of media_assets, and how a run counts them.

-- Which of these paths are objects now, and who owns them.
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

-- What became of a row that was to be recorded, and how its run counted the object before.
create type media_enricher.recorded_row as (
  path text,
  ended text, -- the status that was found, or 'gone'
  code text, -- as in run_failures; null where it is no failure
  message text, -- why, for people
  row_status text, -- what the object's row says now; null where it was not written
  row_code text,
  earlier_status text, -- what it said before, if this run had written it; null otherwise
  earlier_code text
);

-- The columns of media_assets that hold what was found in an object's bytes, or listed with it. A
-- row keeps them where a failure, or a look at less depth, finds nothing in the same bytes.
create function media_enricher.found_columns() returns text[]
language sql immutable set search_path = '' as $$
  select array[
    'size_bytes', 'declared_content_type', 'content_type', 'format', 'width', 'height',
    'orientation', 'frame_count', 'is_animated', 'has_alpha', 'is_opaque', 'color_mode',
    'bit_depth', 'page_count', 'page_width_points', 'page_height_points', 'is_encrypted',
    'duration_seconds', 'frame_rate', 'bit_rate', 'video_codec', 'audio_codec', 'audio_channels',
    'sample_rate_hz', 'has_audio', 'icc_profile', 'dominant_color', 'palette', 'blurhash',
    'thumbhash', 'phash', 'sha256', 'taken_at', 'taken_at_offset', 'camera_make', 'camera_model',
    'lens', 'has_location', 'latitude', 'longitude', 'exif', 'title', 'description', 'tags',
    'creator', 'copyright', 'license_url', 'alt_text', 'rating', 'digital_source_type',
    'is_ai_generated', 'has_content_credentials', 'text_excerpt', 'labels', 'warnings'
  ]
$$;

-- Upserts rows of a bucket, given as a JSON array of objects with the columns' names, and says
-- what became of each. Calling it again changes nothing.
--
-- The database adds what must be true now, and not when the object was listed: object, owner and
-- tenant. Where the row describes the same bytes (the same etag), uploaded as the same type,
--   * a failure, or a look at less depth, clears no field: what it did not find stays;
--   * a failure that may pass (p_transient_codes), or a look at less depth, leaves a good row's
--     verdict as it is: status, error, depth and enricher_version.
-- Findings about bytes that were replaced meanwhile do not touch a row that is up to date.
create function media_enricher.record_rows(
  p_run_id uuid, p_bucket text, p_assets json, p_transient_codes text[]
) returns setof media_enricher.recorded_row
language plpgsql set search_path = '' as $$
declare
  found text[] := media_enricher.found_columns();
begin
  -- Calls for one bucket take turns, so that what is read below is what is overwritten, and two
  -- runs over the same rows cannot block each other.
  perform pg_advisory_xact_lock(hashtextextended('media_assets:' || p_bucket, 0));

  return query execute format(
    $query$
    with given as materialized (
      select distinct on (g.path) g.* -- a page names an object once; be sure of it
      from json_populate_recordset(null::public.media_assets, $3) as g
      order by g.path
    ),
    objects as materialized (
      select * from media_enricher.find_objects($2, array(select g.path from given g))
    ),
    -- What each row replaces, and what is kept of that. It is narrow, because it is joined: only
    -- where something is kept are the columns of the earlier row read.
    weighed as materialized (
      select
        g.path, o.object_id, o.user_id, o.owner_id, stripped.new_etag,
        o.path is null as is_gone,
        coalesce(old.etag = o.etag and new_etag is distinct from o.etag, false) as is_outdated,
        coalesce(same_bytes, false) as same_bytes,
        same_bytes and (is_shallower or g.status = 'failed') as keeps_findings,
        coalesce(
          same_bytes and old.status <> 'failed'
            and (is_shallower or g.status = 'failed' and g.error_code = any ($4)),
          false
        ) as keeps_verdict,
        g.status, g.error_code, g.error_message,
        old.status as earlier_status, old.error_code as earlier_code, old.attempts,
        coalesce(old.run_id = $1, false) as is_of_this_run
      from given g
      left join objects o on o.path = g.path
      -- Row by row: a plan made for a bucket of few rows reads them all, for every part.
      left join lateral (
        select a.path, a.etag, a.status, a.error_code, a.depth, a.attempts, a.run_id,
          a.declared_content_type
        from public.media_assets a
        where a.bucket = $2 and a.path = g.path offset 0
      ) as old on true
      cross join lateral (
        select case when g.etag like 'W/%%' then substr(g.etag, 3) else g.etag end as new_etag
      ) as stripped
      cross join lateral (
        select
          old.path is not null and old.etag is not distinct from new_etag
            and coalesce(g.declared_content_type = old.declared_content_type, true) as same_bytes,
          coalesce(g.depth = 'header' and old.depth = 'full', false) as is_shallower
      ) as compared
    ),
    recorded as (
      insert into public.media_assets (
        object_id, user_id, owner_id, tenant_id, attempts, enricher_version, gone_at, bucket, path,
        etag, status, depth, error_code, error_message, run_id, enriched_at,
        kind, %1$s
      )
      select
        w.object_id, w.user_id, w.owner_id, public.media_tenant_id($2, g.path),
        case
          when not w.same_bytes then 1
          when w.is_of_this_run then w.attempts
          else w.attempts + 1
        end,
        case when w.keeps_verdict then kept.enricher_version else g.enricher_version end,
        null, $2, g.path, w.new_etag,
        case when w.keeps_verdict then kept.status else g.status end,
        case when w.keeps_verdict then kept.depth else g.depth end,
        case when w.keeps_verdict then kept.error_code else g.error_code end,
        case when w.keeps_verdict then kept.error_message else g.error_message end,
        $1,
        case when w.keeps_verdict then kept.enriched_at else now() end,
        coalesce(g.kind, kept.kind, 'other'), %2$s
      from given g
      join weighed w on w.path = g.path
      left join lateral (
        select a.* from public.media_assets a
        where w.keeps_findings and a.bucket = $2 and a.path = w.path offset 0
      ) as kept on true
      where not w.is_gone and not w.is_outdated
      order by g.path
      on conflict (bucket, path) do update set
        object_id = excluded.object_id,
        user_id = excluded.user_id,
        owner_id = excluded.owner_id,
        tenant_id = excluded.tenant_id,
        attempts = excluded.attempts,
        enricher_version = excluded.enricher_version,
        gone_at = excluded.gone_at,
        etag = excluded.etag,
        status = excluded.status,
        depth = excluded.depth,
        error_code = excluded.error_code,
        error_message = excluded.error_message,
        run_id = excluded.run_id,
        enriched_at = excluded.enriched_at,
        kind = excluded.kind,
        %3$s
    )
    select
      w.path,
      case when w.is_gone then 'gone' else w.status end,
      case
        when w.is_gone then 'gone'
        when w.status = 'failed' then coalesce(w.error_code, 'unknown')
      end,
      case when w.is_gone then 'deleted before its row was written' else w.error_message end,
      written.status,
      case when written.status = 'failed' then coalesce(written.error_code, 'unknown') end,
      case when w.is_of_this_run then w.earlier_status end,
      case when w.is_of_this_run and w.earlier_status = 'failed'
        then coalesce(w.earlier_code, 'unknown')
      end
    from weighed w
    -- What the object's row says now: null where it was not written.
    cross join lateral (
      select
        case
          when w.is_gone or w.is_outdated then null
          when w.keeps_verdict then w.earlier_status
          else w.status
        end as status,
        case when w.keeps_verdict then w.earlier_code else w.error_code end as error_code
    ) as written
    $query$,
    (select string_agg(format('%I', c), ', ') from unnest(found) as c),
    (select string_agg(format('coalesce(g.%1$I, kept.%1$I)', c), ', ') from unnest(found) as c),
    (select string_agg(format('%1$I = excluded.%1$I', c), ', ') from unnest(found) as c)
  ) using p_run_id, p_bucket, p_assets, p_transient_codes;
end
$$;

-- Records rows as record_rows does, and returns the paths that were not recorded because their
-- object is gone.
create function public.media_record_assets(
  p_run_id uuid, p_bucket text, p_assets json, p_transient_codes text[]
) returns setof text
language sql security definer set search_path = '' as $$
  select r.path
  from media_enricher.record_rows(p_run_id, p_bucket, p_assets, p_transient_codes) r
  where r.ended = 'gone';
$$;
comment on function public.media_record_assets is
  'Upserts rows of media_assets; returns the paths whose object is gone, which are left out.';

-- How a run counted an object, where the object's row does not say so: the object was deleted
-- before its row was written, the row keeps an earlier verdict, or it describes newer bytes. It is
-- needed because a run counts an object once, as it ended last: a retry of the run that tries the
-- object again counts no second one.
create table media_enricher.run_deviations (
  run_id uuid references public.media_enrich_runs on delete cascade,
  path text,
  ended text not null, -- the status that was counted, or 'gone'
  error_code text, -- as in run_failures; null unless it is counted there
  primary key (run_id, path)
);

-- Subtracts what a run counted for objects that it is about to count again.
create function media_enricher.uncount(
  p_run_id uuid, p_bucket text, p_recorded media_enricher.recorded_row[]
) returns void
language plpgsql set search_path = '' as $$
declare
  counted_paths text[];
  ended text[];
  codes text[];
begin
  select array_agg(g.path), array_agg(coalesce(d.ended, g.earlier_status)),
    array_agg(case when d.ended is null then g.earlier_code else d.error_code end)
  into counted_paths, ended, codes
  from unnest(p_recorded) as g
  left join media_enricher.run_deviations d on d.run_id = p_run_id and d.path = g.path
  where coalesce(d.ended, g.earlier_status) is not null;
  if counted_paths is null then
    return;
  end if;

  update public.media_enrich_runs r set
    succeeded = greatest(0, r.succeeded - c.succeeded),
    failed = greatest(0, r.failed - c.failed),
    skipped = greatest(0, r.skipped - c.skipped),
    -- The run expected them on top of what it had counted.
    total_files = greatest(0, r.total_files - cardinality(counted_paths))
  from (
    select
      count(*) filter (where e = 'enriched') as succeeded,
      count(*) filter (where e = 'failed') as failed,
      count(*) filter (where e in ('gone', 'unsupported')) as skipped
    from unnest(ended) as e
  ) c
  where r.id = p_run_id;

  update media_enricher.run_failures f set objects = f.objects - c.objects
  from (select code, count(*) as objects from unnest(codes) as code group by code) c
  where f.run_id = p_run_id and f.error_code = c.code;
  delete from media_enricher.run_failures f where f.run_id = p_run_id and f.objects <= 0;

  delete from media_enricher.run_deviations d
  where d.run_id = p_run_id and d.path = any (counted_paths);

  -- An example must be one that still counts.
  update media_enricher.run_failures f
  set path = other.path, error_message = coalesce(other.error_message, f.error_message)
  from media_enricher.run_failures g
  cross join lateral (
    select a.path, a.error_message
    from public.media_assets a
    where a.run_id = p_run_id and a.bucket = p_bucket and a.status = 'failed'
      and coalesce(a.error_code, 'unknown') = g.error_code
      and a.path <> all (counted_paths)
      and not exists (
        select from media_enricher.run_deviations d
        where d.run_id = p_run_id and d.path = a.path
      )
    union all
    select d.path, null
    from media_enricher.run_deviations d
    where d.run_id = p_run_id and d.error_code = g.error_code
    limit 1
  ) other
  where f.run_id = p_run_id and f.path = any (counted_paths)
    and g.run_id = f.run_id and g.error_code = f.error_code;
end
$$;

-- Records a part that is written: upserts its rows as media_record_assets does, adds them to the
-- run's counters and to its failures, each object once, and opens the next part; all of it or
-- nothing.
--
-- A repeated call returns the same and counts nothing twice. A part that is not open was given up
-- meanwhile, because its writer was taken for dead. Nothing of it is recorded: is_recorded is
-- false, and whoever wrote its file deletes it and writes another.
create function public.media_record_part(
  p_run_id uuid, p_part integer, p_bucket text, p_assets json, p_transient_codes text[],
  p_bytes_read bigint
) returns table (is_recorded boolean, gone text[], next_part integer, run jsonb)
language plpgsql security definer set search_path = ''
set plan_cache_mode = force_custom_plan -- a plan made for an empty table is slow once it is full
as $$
declare
  ledger media_enricher.snapshot_ledgers;
  recorded media_enricher.recorded_row[];
  new_gone text[];
  done public.media_enrich_runs;
begin
  select * into ledger from media_enricher.snapshot_ledgers l where l.run_id = p_run_id for update;
  if ledger.recorded_part = p_part then
    select * into done from public.media_enrich_runs r where r.id = p_run_id;
    return query select true, ledger.recorded_gone, ledger.open_part, to_jsonb(done);
    return;
  elsif ledger.open_part is distinct from p_part then
    return query select false, null::text[], null::integer, null::jsonb;
    return;
  end if;

  recorded := array(
    select r from media_enricher.record_rows(p_run_id, p_bucket, p_assets, p_transient_codes) r
  );
  new_gone := array(select r.path from unnest(recorded) r where r.ended = 'gone');
  perform media_enricher.uncount(p_run_id, p_bucket, recorded);

  with given as materialized (
    select * from unnest(recorded)
  ),
  failures as (
    insert into media_enricher.run_failures as f (run_id, error_code, objects, path, error_message)
    select p_run_id, g.code, count(*), (array_agg(g.path order by g.path))[1],
      (array_agg(g.message order by g.path))[1]
    from given g
    where g.code is not null
    group by g.code
    on conflict (run_id, error_code) do update set objects = f.objects + excluded.objects
  ),
  deviations as (
    insert into media_enricher.run_deviations (run_id, path, ended, error_code)
    select p_run_id, g.path, g.ended, g.code
    from given g
    where g.row_status is distinct from g.ended
      or g.ended = 'failed' and g.row_code <> g.code
  ),
  counted as (
    select
      count(*) filter (where g.ended = 'enriched') as succeeded,
      count(*) filter (where g.ended = 'failed') as failed,
      count(*) filter (where g.ended in ('gone', 'unsupported')) as skipped
    from given g
  )
  update public.media_enrich_runs r set
    succeeded = r.succeeded + c.succeeded,
    failed = r.failed + c.failed,
    skipped = r.skipped + c.skipped,
    bytes_read = r.bytes_read + p_bytes_read,
    total_files = greatest(
      r.total_files, r.succeeded + r.failed + r.skipped + c.succeeded + c.failed + c.skipped
    )
  from counted c
  where r.id = p_run_id
  returning r.* into done;

  update media_enricher.snapshot_ledgers l set
    recorded_part = p_part,
    recorded_gone = new_gone,
    open_part = l.next_part,
    next_part = l.next_part + 1,
    touched_at = now()
  where l.run_id = p_run_id
  returning l.* into ledger;
  return query select true, new_gone, ledger.open_part, to_jsonb(done);
end
$$;
comment on function public.media_record_part is
  'Records the rows of a part of a run''s snapshot and counts them, together or not at all.';
