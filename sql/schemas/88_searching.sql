-- Searching what is known, for frontends: by words and filters, look-alikes, and counts.

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
--
-- It goes through the paths in pages: `after` is the last path of the page before, and next_after is
-- where the next one begins, null at the end. A page looks at max_objects rows, gone ones too, or
-- at all where that is null. facets: an array of {facet, value, objects, size_bytes}. objects: how
-- many were counted.
--
-- Under row level security, rows are found by the indexes on user and tenant, which costs what the
-- caller may see, wherever it lies: up to five times max_objects are the first page, and the last.
-- Who sees more, as an admin of the whole project does, finds them soon enough by reading on in the
-- order of paths. Postgres can't choose between the two, for it knows neither the caller nor how
-- much is theirs.
create function public.media_facets_page(
  bucket text, prefix text default '', after text default '', max_objects integer default 100000
) returns table (facets jsonb, objects bigint, next_after text)
language plpgsql stable
set search_path = '' set jit = 'off'
set work_mem = '64MB' -- or the bitmap of many rows tells pages only, whose rows are all looked at
set enable_seqscan = 'on' set enable_indexscan = 'on' set enable_bitmapscan = 'on'
set enable_sort = 'on' as $$
declare
  is_asked constant text := format('a.bucket = %L and a.path ^@ %L and a.path > %L',
    bucket, coalesce(prefix, ''), coalesce(after, ''));
  is_one_page boolean := max_objects is null;
begin
  if max_objects not between 1 and 1000000 then
    raise exception 'max_objects is %: it must be 1 to 1000000', max_objects
      using errcode = '22023';
  end if;
  if row_security_active('public.media_assets') then
    perform set_config(name, 'off', true)
    from unnest(array['enable_seqscan', 'enable_indexscan']) as name;
    if not is_one_page and coalesce(after, '') = '' then
      execute format(
        'select count(*) <= %s from (select from public.media_assets a where %s limit %1$s + 1) s',
        5 * max_objects, is_asked
      ) into is_one_page;
    end if;
  end if;
  if not is_one_page then
    perform set_config('enable_indexscan', 'on', true);
    perform set_config(name, 'off', true)
    from unnest(array['enable_seqscan', 'enable_bitmapscan', 'enable_sort']) as name;
    execute format(
      'select a.path from public.media_assets a where %s order by a.path offset %s limit 1',
      is_asked, max_objects - 1
    ) into next_after;
  end if;
  -- Rows that are alike are added up before they are taken apart: a quarter of the time.
  return query execute format(
    $q$with alike as materialized (
      select a.kind, a.format, a.status, a.labels, a.warnings, count(*) as objects,
        coalesce(sum(a.size_bytes), 0) as size_bytes
      from public.media_assets a
      where %s and a.gone_at is null
      group by 1, 2, 3, 4, 5
    ),
    counted as (
      select f.facet, f.value, sum(s.objects)::bigint as objects,
        sum(s.size_bytes)::bigint as size_bytes
      from alike s
      cross join lateral (
        values ('kind', s.kind), ('format', s.format), ('status', s.status)
        union all select 'label', l from unnest(s.labels) l
        union all select 'warning', w from unnest(s.warnings) w
      ) as f (facet, value)
      where f.value is not null
      group by 1, 2
    )
    select
      (select coalesce(jsonb_agg(c order by c.facet, c.objects desc, c.value), '[]') from counted c),
      (select coalesce(sum(s.objects), 0)::bigint from alike s),
      %L::text$q$,
    concat_ws(' and ', is_asked, 'a.path <= ' || quote_literal(next_after)), next_after);
end
$$;
comment on function public.media_facets_page is
  'Objects and bytes by kind, format, status, label and warning, of those that the caller may see: '
  'a page of them, and where the next one begins.';

-- The same in one statement, which a large bucket takes too long for.
create function public.media_facets(bucket text, prefix text default '')
returns table (facet text, value text, objects bigint, size_bytes bigint)
language sql stable set search_path = '' as $$
  select f.* from public.media_facets_page(bucket, prefix, max_objects => null) p
  cross join jsonb_to_recordset(p.facets)
    as f (facet text, value text, objects bigint, size_bytes bigint)
  order by f.facet, f.objects desc, f.value
$$;
comment on function public.media_facets is
  'Objects and bytes by kind, format, status, label and warning, of those that the caller may see.';

-- The name of a colour, one of twelve: black, white, gray, brown, red, orange, yellow, green, cyan,
-- blue, purple, pink. By hue and lightness (HSL), with little chroma as a gray. Null for anything
-- but #rrggbb.
create function public.media_color_name(hex text) returns text
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  red integer;
  green integer;
  blue integer;
  lightest integer;
  darkest integer;
  chroma integer;
  hue double precision; -- degrees
begin
  if hex is null or hex !~ '^#[0-9a-fA-F]{6}$' then
    return null;
  end if;
  red := ('x' || substr(hex, 2, 2))::bit(8)::integer;
  green := ('x' || substr(hex, 4, 2))::bit(8)::integer;
  blue := ('x' || substr(hex, 6, 2))::bit(8)::integer;
  lightest := greatest(red, green, blue);
  darkest := least(red, green, blue);
  chroma := lightest - darkest;
  if lightest < 40 then
    return 'black';
  elsif chroma < 26 then
    return case when lightest < 60 then 'black' when darkest > 215 then 'white' else 'gray' end;
  end if;
  hue := case lightest
    when red then 60.0 * (green - blue) / chroma
    when green then 60.0 * (blue - red) / chroma + 120
    else 60.0 * (red - green) / chroma + 240
  end;
  if hue < 0 then
    hue := hue + 360;
  end if;
  return case
    when hue < 15 or hue >= 345 then
      case when lightest + darkest > 370 then 'pink' else 'red' end
    when hue < 45 then case when lightest + darkest < 250 then 'brown' else 'orange' end
    when hue < 70 then 'yellow'
    when hue < 165 then 'green'
    when hue < 195 then 'cyan'
    when hue < 255 then 'blue'
    when hue < 320 then 'purple'
    else 'pink'
  end;
end
$$;
comment on function public.media_color_name is
  'The name of a colour, #rrggbb: one of twelve, as media_search filters by.';

-- The words of a text, as the index holds them and as a search asks for them. Punctuation that could
-- join words is a space, or Postgres would take `a/b.jpg` for one word. It takes all other for a
-- space by itself, and translate() takes as long as it has characters to look for.
create function public.media_search_words(given text) returns tsvector
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return to_tsvector('simple', translate(given, '-./_@+:&<~', repeat(' ', 10)));
end
$$;
comment on function public.media_search_words is 'The words of a text, as media_search knows them.';

-- All that a search can find an asset by: the words of its path, title and tags, and its filters as
-- terms such as kind/image, which no word can be. Of a title and of tags only as much as an index
-- needs to know, for a file may claim a title of any length.
create function public.media_search_terms(
  path text, title text, tags text[], kind text, labels text[], warnings text[],
  dominant_color text, is_located boolean, lacks_alt_text boolean
) returns tsvector
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return to_tsvector('simple', translate(
      concat_ws(' ', path, left(title, 1000), left(array_to_string(tags[:100], ' '), 5000)),
      '-./_@+:&<~', repeat(' ', 10) -- as media_search_words
    )) || array_to_tsvector(array_remove(
      array[
        'kind/' || kind,
        'color/' || public.media_color_name(dominant_color),
        case when is_located then 'location/present' end,
        case when lacks_alt_text then 'alt_text/absent' end
      ]
        -- Joined and split again: a subquery would take as long as all of the rest. Never too
        -- long for a term, which has at most 2,046 bytes.
        || case when labels is not null then string_to_array(
          'label/' || nullif(left(array_to_string(labels, E'\nlabel/'), 500), ''), E'\n') end
        || case when warnings is not null then string_to_array(
          'warning/' || nullif(left(array_to_string(warnings, E'\nwarning/'), 500), ''), E'\n') end,
      null
    ));
end
$$;
comment on function public.media_search_terms is
  'What media_search finds an asset by: words, and filters. It is what the index holds.';

-- One index for the words and for the filters, in any combination. For roles that row level
-- security does not bind: under it only what is leakproof can use an index.
create index media_assets_search_idx on public.media_assets using gin (
  public.media_search_terms(
    path, title, tags, kind, labels, warnings, dominant_color,
    (has_location or latitude is not null) is true,
    status = 'enriched' and kind = 'image' and coalesce(alt_text, '') = ''
  )
) where gone_at is null;

-- Contents that are there more than once in a bucket, for media_search: those after a content.
create function public.media_copied_contents(
  p_bucket text, p_tenant_id uuid, p_after_bucket text, p_after_sha256 text, p_limit integer
) returns table (bucket text, tenant_id uuid, sha256 text)
language sql stable security definer set search_path = '' as $$
  select c.bucket, nullif(c.tenant, '')::uuid, c.sha256
  from media_enricher.contents c
  where c.objects > 1
    and (p_bucket is null or c.bucket = p_bucket)
    and (p_tenant_id is null or c.tenant = p_tenant_id::text)
    and (c.bucket, c.sha256) >= (coalesce(p_after_bucket, ''), coalesce(p_after_sha256, ''))
  order by c.bucket, c.sha256
  limit p_limit
$$;
comment on function public.media_copied_contents is
  'Contents of which there are several objects in a bucket and a tenant, in their order.';

-- Media by words and filters, of those that the caller may see, in the order of bucket and path.
-- Every argument narrows; one that is null does not. What is gone is never found.
--
-- Words match beginnings of words in paths, titles and tags, in upper or lower case, and all must
-- match. `after` is the id of the last asset of the page before.
--
-- What finds the rows depends on the caller. service_role asks the index on media_search_terms: for
-- all that match, up to 10,000. Where more match, the next page is found soon enough by reading on
-- in the order of paths. Postgres can't choose between the two, for it guesses that one in 200 rows
-- has a word, whichever it is. Under row level security that index is of no use, for its operator is not leakproof: there the
-- indexes on user and tenant find the rows that the caller may see, and each is compared.
create function public.media_search(
  words text default null, bucket text default null, kind text default null,
  status text default null, label text default null, warning text default null,
  color text default null, is_located boolean default null, lacks_alt_text boolean default null,
  is_copied boolean default null, tenant_id uuid default null, after uuid default null,
  max_results integer default 24
) returns setof public.media_assets
language plpgsql stable
set search_path = '' set statement_timeout = '8s'
set work_mem = '16MB' -- or the rows of a common word are all looked at again
set enable_seqscan = 'on' set enable_indexscan = 'on' as $$
#variable_conflict use_variable
declare
  most constant integer := 10000;
  terms constant text := 'public.media_search_terms(a.path, a.title, a.tags, a.kind, a.labels,'
    ' a.warnings, a.dominant_color, (a.has_location or a.latitude is not null) is true,'
    || $t$ a.status = 'enriched' and a.kind = 'image' and coalesce(a.alt_text, '') = '')$t$;
  has_index constant boolean := not row_security_active('public.media_assets');
  asked text[] := '{}'; -- terms, as a tsquery has them
  conditions text[] := array['a.gone_at is null'];
  matching text; -- the condition on terms, if any are asked for
  copies text; -- a join with the contents that are there several times
  last public.media_assets; -- the asset of `after`
  sorting constant text := case when is_copied then 'a.bucket, a.sha256, a.path'
    else 'a.bucket, a.path' end;
  matches integer;
  page uuid[]; -- of the matches, those to return
begin
  if max_results is null or max_results not between 1 and 1000 then
    raise exception 'max_results is %: it must be 1 to 1000', max_results using errcode = '22023';
  end if;
  if after is not null then
    select a.* into last from public.media_assets a where a.id = after;
    if last.id is null then
      return; -- there is no such asset, or not for this caller
    end if;
  end if;

  asked := array(
    select quote_literal(w) || ':*' from unnest(tsvector_to_array(
      public.media_search_words(left(words, 200)))) w limit 10
  );
  if words ~ '\S' and asked = '{}' then
    return; -- nothing that could be in an index
  end if;
  if has_index then
    asked := asked || array(
      -- A tsquery has its own quotes, in which a backslash escapes.
      select format('''%s''', replace(replace(t, '\', '\\'), '''', '''''')) from unnest(array[
        'kind/' || kind, 'color/' || color, 'label/' || label, 'warning/' || warning,
        case when is_located then 'location/present' end,
        case when lacks_alt_text then 'alt_text/absent' end
      ]) t where t is not null
    );
  else
    conditions := conditions || array_remove(array[
      'a.kind = ' || quote_literal(kind),
      'public.media_color_name(a.dominant_color) = ' || quote_literal(color),
      'a.labels @> array[' || quote_literal(label) || ']',
      'a.warnings @> array[' || quote_literal(warning) || ']',
      case when is_located then '(a.has_location or a.latitude is not null)' end,
      case when lacks_alt_text
        then $c$a.status = 'enriched' and a.kind = 'image' and coalesce(a.alt_text, '') = ''$c$ end
    ], null);
  end if;
  if asked <> '{}' then
    matching := format('%s @@ %L::tsquery', terms, array_to_string(asked, ' & '));
  end if;
  conditions := conditions || array_remove(array[
    'a.bucket = ' || quote_literal(bucket),
    'a.status = ' || quote_literal(status),
    'a.tenant_id = ' || quote_literal(tenant_id),
    case when not is_located then '(a.has_location or a.latitude is not null) is not true' end,
    case when not lacks_alt_text then $c$a.alt_text <> ''$c$ end
  ], null);

  if is_copied and has_index then
    copies := format(
      ' join public.media_copied_contents(%L, %L, %L, %L, %L) c on c.bucket = a.bucket'
      ' and c.sha256 = a.sha256 and c.tenant_id is not distinct from a.tenant_id',
      bucket, tenant_id, last.bucket, last.sha256,
      -- Each has two objects at the least. Where filters hide some, all may be needed.
      case when asked = '{}' and status is null then max_results end);
  elsif is_copied then
    conditions := conditions || array[
      'exists (select from public.media_assets b where b.sha256 = a.sha256'
      ' and b.bucket = a.bucket and b.tenant_id is not distinct from a.tenant_id'
      ' and b.id <> a.id and b.gone_at is null)'
    ];
  end if;
  if last.id is not null and is_copied then
    conditions := conditions || format('(a.bucket, a.sha256, a.path) > (%L, %L, %L)',
      last.bucket, last.sha256, last.path);
  elsif last.id is not null then
    conditions := conditions || format('(a.bucket, a.path) > (%L, %L)', last.bucket, last.path);
  end if;

  if has_index and matching is not null then
    -- OFFSET keeps the other conditions out, or another index might be asked, and every row of a
    -- bucket be compared.
    perform set_config('enable_seqscan', 'off', true), set_config('enable_indexscan', 'off', true);
    execute format(
      'select count(*), (array_agg(a.id order by %s))[:%s] from'
      ' (select a.id, a.bucket, a.sha256, a.path'
      ' from (select * from public.media_assets a where a.gone_at is null and %s offset 0) a %s'
      ' where %s limit %s) a',
      sorting, max_results, matching, copies, array_to_string(conditions, ' and '), most + 1
    ) into matches, page;
    perform set_config('enable_seqscan', 'on', true), set_config('enable_indexscan', 'on', true);
    if matches <= most then
      return query execute format(
        'select a.* from public.media_assets a where a.id = any ($1) order by %s', sorting
      ) using page;
      return;
    end if;
  end if;
  return query execute format(
    'select a.* from public.media_assets a %s where %s order by %s limit %s',
    copies, concat_ws(' and ', array_to_string(conditions, ' and '), matching), sorting, max_results
  );
end
$$;
comment on function public.media_search is
  'Media by words and filters, of those that the caller may see, in the order of bucket and path.';
