-- Recording who owns what, as Storage has it, and a changed content type as the change that it is.

-- Upserts rows of a bucket, given as a JSON array of objects with the columns' names, and returns
-- the paths that were not recorded because their object is gone. Calling it again changes nothing.
--
-- The database adds what must be true now, and not when the object was listed: object, owner and
-- tenant. Of a row that describes the same bytes (the same etag), uploaded as the same content type,
--   * a failure, or a look at less depth, clears no field: what it did not find stays;
--   * a failure that may pass (p_transient_codes), or a look at less depth, leaves a good row's
--     verdict as it is: status, error, depth and enricher_version.
-- Findings about bytes that were replaced meanwhile do not touch a row that is up to date.
create or replace function public.media_record_assets(
  p_run_id uuid, p_bucket text, p_assets json, p_transient_codes text[]
) returns setof text
language plpgsql security definer set search_path = '' as $$
begin
  -- Calls for one bucket take turns, so that what is read below is what is overwritten, and two
  -- runs over the same rows cannot block each other.
  perform pg_advisory_xact_lock(hashtextextended('media_assets:' || p_bucket, 0));

  return query
  with given as materialized (
    select distinct on (g.path) g.* -- a page names an object once; be sure of it
    from json_populate_recordset(null::public.media_assets, p_assets) as g
    order by g.path
  ),
  objects as materialized (
    select * from media_enricher.find_objects(p_bucket, array(select g.path from given g))
  ),
  recorded as (
    insert into public.media_assets (
      object_id, user_id, owner_id, tenant_id, attempts, enricher_version, gone_at, bucket, path,
      etag, status, depth, error_code, error_message, run_id, enriched_at,
      size_bytes, declared_content_type, content_type, kind, format, width, height, orientation,
      frame_count, is_animated, has_alpha, is_opaque, color_mode, bit_depth, icc_profile,
      dominant_color, palette, blurhash, thumbhash, phash, sha256, taken_at, camera_make,
      camera_model, lens, latitude, longitude, exif, title, description, tags
    )
    select
      o.object_id, o.user_id, o.owner_id, public.media_tenant_id(p_bucket, g.path),
      case
        when not same_bytes then 1
        when old.run_id = p_run_id then old.attempts
        else old.attempts + 1
      end,
      case when keeps_verdict then old.enricher_version else g.enricher_version end,
      null, p_bucket, g.path, new_etag,
      case when keeps_verdict then old.status else g.status end,
      case when keeps_verdict then old.depth else g.depth end,
      case when keeps_verdict then old.error_code else g.error_code end,
      case when keeps_verdict then old.error_message else g.error_message end,
      p_run_id,
      case when keeps_verdict then old.enriched_at else now() end,
      coalesce(g.size_bytes, fill.size_bytes),
      coalesce(g.declared_content_type, fill.declared_content_type),
      coalesce(g.content_type, fill.content_type),
      coalesce(g.kind, fill.kind, 'other'),
      coalesce(g.format, fill.format),
      coalesce(g.width, fill.width),
      coalesce(g.height, fill.height),
      coalesce(g.orientation, fill.orientation),
      coalesce(g.frame_count, fill.frame_count),
      coalesce(g.is_animated, fill.is_animated),
      coalesce(g.has_alpha, fill.has_alpha),
      coalesce(g.is_opaque, fill.is_opaque),
      coalesce(g.color_mode, fill.color_mode),
      coalesce(g.bit_depth, fill.bit_depth),
      coalesce(g.icc_profile, fill.icc_profile),
      coalesce(g.dominant_color, fill.dominant_color),
      coalesce(g.palette, fill.palette),
      coalesce(g.blurhash, fill.blurhash),
      coalesce(g.thumbhash, fill.thumbhash),
      coalesce(g.phash, fill.phash),
      coalesce(g.sha256, fill.sha256),
      coalesce(g.taken_at, fill.taken_at),
      coalesce(g.camera_make, fill.camera_make),
      coalesce(g.camera_model, fill.camera_model),
      coalesce(g.lens, fill.lens),
      coalesce(g.latitude, fill.latitude),
      coalesce(g.longitude, fill.longitude),
      coalesce(g.exif, fill.exif),
      coalesce(g.title, fill.title),
      coalesce(g.description, fill.description),
      coalesce(g.tags, fill.tags)
    from given g
    join objects o on o.path = g.path
    left join public.media_assets old on old.bucket = p_bucket and old.path = g.path
    cross join lateral (select regexp_replace(g.etag, '^W/', '') as new_etag) as stripped
    cross join lateral (
      select
        old.path is not null and old.etag is not distinct from new_etag
          and coalesce(g.declared_content_type = old.declared_content_type, true) as same_bytes,
        coalesce(g.depth = 'header' and old.depth = 'full', false) as is_shallower
    ) as compared
    cross join lateral (
      select coalesce(
        same_bytes and old.status <> 'failed'
          and (is_shallower or g.status = 'failed' and g.error_code = any (p_transient_codes)),
        false
      ) as keeps_verdict
    ) as weighed
    left join lateral (select old.*) as fill on same_bytes and (is_shallower or g.status = 'failed')
    where not coalesce(old.etag = o.etag and new_etag is distinct from o.etag, false)
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
      size_bytes = excluded.size_bytes,
      declared_content_type = excluded.declared_content_type,
      content_type = excluded.content_type,
      kind = excluded.kind,
      format = excluded.format,
      width = excluded.width,
      height = excluded.height,
      orientation = excluded.orientation,
      frame_count = excluded.frame_count,
      is_animated = excluded.is_animated,
      has_alpha = excluded.has_alpha,
      is_opaque = excluded.is_opaque,
      color_mode = excluded.color_mode,
      bit_depth = excluded.bit_depth,
      icc_profile = excluded.icc_profile,
      dominant_color = excluded.dominant_color,
      palette = excluded.palette,
      blurhash = excluded.blurhash,
      thumbhash = excluded.thumbhash,
      phash = excluded.phash,
      sha256 = excluded.sha256,
      taken_at = excluded.taken_at,
      camera_make = excluded.camera_make,
      camera_model = excluded.camera_model,
      lens = excluded.lens,
      latitude = excluded.latitude,
      longitude = excluded.longitude,
      exif = excluded.exif,
      title = excluded.title,
      description = excluded.description,
      tags = excluded.tags
  )
  select g.path from given g
  where not exists (select from objects o where o.path = g.path);
end
$$;
