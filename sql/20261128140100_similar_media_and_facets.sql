-- What frontends ask: which media look alike (similar_media), and how many there are of each sort
-- (media_facets). Adding the bands of phash rewrites the table once.

alter table public.media_assets
  add column phash_band_1 integer generated always as (('x' || substr(phash, 1, 4))::bit(16)::integer) stored,
  add column phash_band_2 integer generated always as (('x' || substr(phash, 5, 4))::bit(16)::integer) stored,
  add column phash_band_3 integer generated always as (('x' || substr(phash, 9, 4))::bit(16)::integer) stored,
  add column phash_band_4 integer generated always as (('x' || substr(phash, 13, 4))::bit(16)::integer) stored;

comment on column public.media_assets.phash_band_1 is
  'Digits 1 to 4 of phash as a number, for similar_media.';
comment on column public.media_assets.phash_band_2 is
  'Digits 5 to 8 of phash as a number, for similar_media.';
comment on column public.media_assets.phash_band_3 is
  'Digits 9 to 12 of phash as a number, for similar_media.';
comment on column public.media_assets.phash_band_4 is
  'Digits 13 to 16 of phash as a number, for similar_media.';

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

-- The media that look like one of them: those whose perceptual hashes differ in at most
-- max_distance of 64 bits (0 to 15), the most similar first. The caller finds the rows that row
-- level security shows them. An asset without a hash has none, nor has one that they may not see.
--
-- Of two hashes that differ in d bits, one of their four bands of 16 bits differs in at most d / 4
-- bits. So only the rows with such a band are compared, which the indexes on the bands find.
create function public.similar_media(
  asset_id uuid, max_distance integer default 8, max_results integer default 50
) returns table (
  distance integer, id uuid, bucket text, path text, content_type text, width integer,
  height integer, size_bytes bigint, dominant_color text, blurhash text, thumbhash text,
  taken_at timestamptz
)
language plpgsql stable set search_path = '' as $$
#variable_conflict use_column
declare
  given public.media_assets;
  flips integer[]; -- what may be flipped in a band: all of at most max_distance / 4 of its bits
begin
  if max_distance is null or max_distance not between 0 and 15 then
    raise exception 'max_distance is %: it must be 0 to 15', max_distance using errcode = '22023';
  end if;
  if max_results is null or max_results not between 1 and 1000 then
    raise exception 'max_results is %: it must be 1 to 1000', max_results using errcode = '22023';
  end if;
  select a.* into given from public.media_assets a where a.id = asset_id;
  if given.phash is null then
    return;
  end if;
  flips := array[0];
  for _ in 1 .. max_distance / 4 loop
    flips := array(
      select distinct f # (1 << b) from unnest(flips) f cross join generate_series(0, 15) b
      union
      select unnest(flips)
    );
  end loop;
  return query
  select near.distance, a.id, a.bucket, a.path, a.content_type, a.width, a.height, a.size_bytes,
    a.dominant_color, a.blurhash, a.thumbhash, a.taken_at
  from public.media_assets a
  cross join lateral (
    select bit_count(('x' || a.phash)::bit(64) # ('x' || given.phash)::bit(64))::integer as distance
  ) as near
  where (
      a.phash_band_1 = any (array(select given.phash_band_1 # f from unnest(flips) f))
      or a.phash_band_2 = any (array(select given.phash_band_2 # f from unnest(flips) f))
      or a.phash_band_3 = any (array(select given.phash_band_3 # f from unnest(flips) f))
      or a.phash_band_4 = any (array(select given.phash_band_4 # f from unnest(flips) f))
    )
    and near.distance <= max_distance
    and a.id <> asset_id
    and a.gone_at is null
  order by near.distance, a.bucket, a.path
  limit max_results;
end
$$;

comment on function public.similar_media is
  'Media that look like one of them, the most similar first, of those that the caller may see.';

-- How many media there are under a prefix of a bucket, and of how many bytes: by kind, format,
-- status, label and warning. The caller counts the rows that row level security shows them.
create function public.media_facets(bucket text, prefix text default '')
returns table (facet text, value text, objects bigint, size_bytes bigint)
language sql stable set search_path = '' as $$
  with seen as materialized (
    select a.kind, a.format, a.status, a.labels, a.warnings, a.size_bytes
    from public.media_assets a
    where a.bucket = media_facets.bucket and a.path ^@ media_facets.prefix and a.gone_at is null
  )
  select f.facet, f.value, count(*), coalesce(sum(s.size_bytes), 0)::bigint
  from seen s
  cross join lateral (
    values ('kind', s.kind), ('format', s.format), ('status', s.status)
    union all select 'label', l from unnest(s.labels) l
    union all select 'warning', w from unnest(s.warnings) w
  ) as f (facet, value)
  where f.value is not null
  group by f.facet, f.value
  order by f.facet, count(*) desc, f.value
$$;

comment on function public.media_facets is
  'Objects and bytes by kind, format, status, label and warning, of those that the caller may see.';

revoke execute on function public.media_facets, public.similar_media from public, anon;
grant execute on function public.media_facets, public.similar_media to authenticated, service_role;
