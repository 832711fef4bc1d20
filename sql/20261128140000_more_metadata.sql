-- Columns for what is found in video, sound and documents, for what people write about rights, and
-- for facts by rule (labels) and about damage (warnings).

alter table public.media_assets
  add column page_count integer,
  add column page_width_points double precision,
  add column page_height_points double precision,
  add column is_encrypted boolean,
  add column duration_seconds double precision,
  add column frame_rate double precision,
  add column bit_rate bigint,
  add column video_codec text,
  add column audio_codec text,
  add column audio_channels smallint,
  add column sample_rate_hz integer,
  add column has_audio boolean,
  add column taken_at_offset smallint,
  add column has_location boolean,
  add column creator text,
  add column copyright text,
  add column license_url text,
  add column alt_text text,
  add column rating smallint,
  add column digital_source_type text,
  add column is_ai_generated boolean,
  add column has_content_credentials boolean,
  add column text_excerpt text,
  add column labels text[],
  add column warnings text[],
  add constraint media_assets_page_count_check check (page_count > 0),
  add constraint media_assets_page_size_check check (page_width_points > 0 and page_height_points > 0),
  add constraint media_assets_duration_check check (duration_seconds >= 0),
  add constraint media_assets_frame_rate_check check (frame_rate > 0),
  add constraint media_assets_bit_rate_check check (bit_rate >= 0),
  add constraint media_assets_audio_channels_check check (audio_channels > 0),
  add constraint media_assets_sample_rate_check check (sample_rate_hz > 0),
  add constraint media_assets_taken_at_offset_check check (taken_at_offset between -1439 and 1439),
  add constraint media_assets_rating_check check (rating between -1 and 5);

comment on column public.media_assets.taken_at_offset is
  'Minutes east of UTC. Null where it is unknown: then taken_at is local time taken for UTC.';
comment on column public.media_assets.has_location is
  'The file says where it was taken. True even where latitude and longitude are not stored.';
comment on column public.media_assets.labels is 'Facts by rule, such as screenshot or panorama.';
comment on column public.media_assets.tags is 'Keywords that people wrote.';
comment on column public.media_assets.warnings is
  'What is wrong with an enriched object, such as damaged.';

create index media_assets_labels_idx on public.media_assets using gin (labels)
  where labels is not null;
create index media_assets_warnings_idx on public.media_assets using gin (warnings)
  where warnings is not null;

create or replace function media_enricher.found_columns() returns text[]
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
