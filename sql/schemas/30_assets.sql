-- public.media_assets: what is known of each object of a Storage bucket, one row for each.

create table public.media_assets (
  id uuid primary key default gen_random_uuid(), -- stays when the object is enriched again
  object_id uuid, -- the id in storage.objects
  user_id uuid,
  tenant_id uuid, -- the first folder of the path, if it is a UUID: public.media_tenant_id
  attempts integer not null default 1,
  enricher_version integer not null, -- ENRICHER_VERSION of the program that wrote the row
  gone_at timestamptz,
  bucket text not null, -- the Storage bucket
  -- In the order of storage.objects' index, so that the two can be merged.
  path text collate "C" not null, -- the object's name in its bucket
  etag text,
  status text not null, -- how enriching the object ended
  depth text not null, -- how much of the object was read: its start, or all of it
  error_code text, -- why there is no metadata; null where the object is enriched
  error_message text, -- the same, as a sentence
  run_id uuid, -- the run that wrote the row last
  enriched_at timestamptz not null default now(), -- when that run wrote it
  created_at timestamptz not null default now(), -- when the row was made
  updated_at timestamptz not null default now(), -- when any column changed last
  size_bytes bigint, -- the object's size
  declared_content_type text,
  content_type text,
  kind text not null default 'other',
  format text,
  width integer,
  height integer,
  orientation smallint,
  frame_count integer,
  is_animated boolean,
  has_alpha boolean,
  is_opaque boolean,
  color_mode text,
  bit_depth smallint,
  icc_profile text,
  dominant_color text,
  palette text[],
  blurhash text,
  thumbhash text,
  phash text,
  sha256 text,
  taken_at timestamptz,
  camera_make text,
  camera_model text,
  lens text,
  latitude double precision,
  longitude double precision,
  exif jsonb,
  title text,
  description text,
  tags text[],
  -- Text, as Storage has it: with an identity provider of the project's own a user's id may be no
  -- UUID, and user_id has no room for it. user_id is the owner where that is a UUID, else null.
  owner_id text,
  page_count integer,
  page_width_points double precision,
  page_height_points double precision,
  is_encrypted boolean,
  duration_seconds double precision,
  frame_rate double precision,
  bit_rate bigint,
  video_codec text,
  audio_codec text,
  audio_channels smallint,
  sample_rate_hz integer,
  has_audio boolean,
  taken_at_offset smallint,
  has_location boolean,
  creator text,
  copyright text,
  license_url text,
  alt_text text,
  rating smallint,
  digital_source_type text,
  is_ai_generated boolean,
  has_content_credentials boolean,
  text_excerpt text,
  labels text[],
  warnings text[],
  -- The four bands of phash, for public.similar_media.
  phash_band_1 integer generated always as (('x' || substr(phash, 1, 4))::bit(16)::integer) stored,
  phash_band_2 integer generated always as (('x' || substr(phash, 5, 4))::bit(16)::integer) stored,
  phash_band_3 integer generated always as (('x' || substr(phash, 9, 4))::bit(16)::integer) stored,
  phash_band_4 integer generated always as (('x' || substr(phash, 13, 4))::bit(16)::integer) stored,

  -- Holds all that planning compares, so that a pass over a whole bucket reads this index and not
  -- the rows, which are six times its size.
  constraint media_assets_bucket_path_key unique (bucket, path) include (
    etag, object_id, user_id, owner_id, gone_at, status, depth, error_code, attempts,
    enricher_version, declared_content_type
  ),
  constraint media_assets_status_check check (status in ('enriched', 'failed', 'unsupported')),
  constraint media_assets_error_check check (
    case status
      when 'enriched' then error_code is null
      when 'failed' then error_code is not null
      else true
    end
  ),
  constraint media_assets_depth_check check (depth in ('header', 'full')),
  constraint media_assets_kind_check
    check (kind in ('image', 'video', 'audio', 'document', 'other')),
  constraint media_assets_attempts_check check (attempts >= 0),
  constraint media_assets_size_check check (size_bytes >= 0),
  constraint media_assets_dimensions_check check (width > 0 and height > 0),
  constraint media_assets_orientation_check check (orientation between 1 and 8),
  constraint media_assets_frame_count_check check (frame_count > 0),
  constraint media_assets_bit_depth_check check (bit_depth > 0),
  -- By their lengths alone: regular expressions would be a fifth of the cost of writing a row.
  constraint media_assets_dominant_color_check check (octet_length(dominant_color) = 7),
  constraint media_assets_phash_check check (octet_length(phash) = 16),
  constraint media_assets_sha256_check check (octet_length(sha256) = 64),
  constraint media_assets_latitude_check check (latitude between -90 and 90),
  constraint media_assets_longitude_check check (longitude between -180 and 180),
  constraint media_assets_page_count_check check (page_count > 0),
  constraint media_assets_page_size_check check (page_width_points > 0 and page_height_points > 0),
  constraint media_assets_duration_check check (duration_seconds >= 0),
  constraint media_assets_frame_rate_check check (frame_rate > 0),
  constraint media_assets_bit_rate_check check (bit_rate >= 0),
  constraint media_assets_audio_channels_check check (audio_channels > 0),
  constraint media_assets_sample_rate_check check (sample_rate_hz > 0),
  constraint media_assets_taken_at_offset_check check (taken_at_offset between -1439 and 1439),
  constraint media_assets_rating_check check (rating between -1 and 5)
);

comment on table public.media_assets is
  'Metadata of the objects of Storage buckets, one row an object, kept by Media Enricher.';
comment on column public.media_assets.user_id is 'The owner, if its id is a UUID.';
comment on column public.media_assets.owner_id is
  'Storage''s owner_id of the object. Null for uploads with a service key, and in rows that were '
  'written before this column was there and have a user_id, which then says the same.';
comment on column public.media_assets.declared_content_type is
  'What the object was uploaded as; the first 200 characters.';
comment on column public.media_assets.etag is
  'Of the bytes that were read: W/ stripped, double quotes kept.';
comment on column public.media_assets.width is 'Pixels, as displayed (orientation applied).';
comment on column public.media_assets.height is 'Pixels, as displayed (orientation applied).';
comment on column public.media_assets.phash is '64 bits as 16 hexadecimal digits.';
comment on column public.media_assets.phash_band_1 is
  'Digits 1 to 4 of phash as a number, for similar_media.';
comment on column public.media_assets.phash_band_2 is
  'Digits 5 to 8 of phash as a number, for similar_media.';
comment on column public.media_assets.phash_band_3 is
  'Digits 9 to 12 of phash as a number, for similar_media.';
comment on column public.media_assets.phash_band_4 is
  'Digits 13 to 16 of phash as a number, for similar_media.';
comment on column public.media_assets.attempts is 'Runs that tried these very bytes (this etag).';
comment on column public.media_assets.taken_at_offset is
  'Minutes east of UTC. Null where it is unknown: then taken_at is local time taken for UTC.';
comment on column public.media_assets.has_location is
  'The file says where it was taken. True even where latitude and longitude are not stored.';
comment on column public.media_assets.labels is 'Facts by rule, such as screenshot or panorama.';
comment on column public.media_assets.tags is 'Keywords that people wrote.';
comment on column public.media_assets.warnings is
  'What is wrong with an enriched object, such as damaged.';
comment on column public.media_assets.gone_at is
  'When the object was found to be deleted. Null while it exists.';

-- Each write pays for every index. So there are those that policies need, and those for the filters
-- of a frontend, each without the rows that have no value. (bucket, path) has its unique
-- constraint.
create index media_assets_user_id_idx on public.media_assets (user_id)
  where user_id is not null;
-- For the policy, beside the index on user_id: few rows, or none, on most projects.
create index media_assets_owner_id_idx on public.media_assets (owner_id)
  where owner_id is not null and user_id is null;
create index media_assets_tenant_id_idx on public.media_assets (tenant_id)
  where tenant_id is not null;
create index media_assets_sha256_idx on public.media_assets (sha256)
  where sha256 is not null;
create index media_assets_phash_idx on public.media_assets (phash)
  where phash is not null;
-- For public.similar_media. Integers, because what is not leakproof can't use an index under row
-- level security.
create index media_assets_phash_band_1_idx on public.media_assets (phash_band_1)
  where phash_band_1 is not null;
create index media_assets_phash_band_2_idx on public.media_assets (phash_band_2)
  where phash_band_2 is not null;
create index media_assets_phash_band_3_idx on public.media_assets (phash_band_3)
  where phash_band_3 is not null;
create index media_assets_phash_band_4_idx on public.media_assets (phash_band_4)
  where phash_band_4 is not null;
create index media_assets_tags_idx on public.media_assets using gin (tags)
  where tags is not null;
create index media_assets_labels_idx on public.media_assets using gin (labels)
  where labels is not null;
create index media_assets_warnings_idx on public.media_assets using gin (warnings)
  where warnings is not null;
-- For the question what went wrong in a bucket: the few rows that someone looks for.
create index media_assets_not_enriched_idx on public.media_assets (bucket, status, path)
  where status <> 'enriched';
-- For the sweep: those that are to be tried again, without a look at the many that are not.
create index media_assets_failed_idx on public.media_assets (bucket, error_code, attempts)
  where status = 'failed' and gone_at is null;
-- For a page about a run, which lists its assets.
create index media_assets_run_id_idx on public.media_assets (run_id, path)
  where run_id is not null;

create trigger media_assets_touch_updated_at before update on public.media_assets
  for each row execute function media_enricher.touch_updated_at();
