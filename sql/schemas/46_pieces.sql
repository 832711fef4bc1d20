-- Pieces: a question about a whole bucket is asked of ranges of its paths, one after the other, so
-- that no statement grows with the bucket. The caller keeps the place: the last path of a piece is
-- where the next one begins.

-- The piece of a bucket that begins after p_after: as many paths as there are at most p_rows rows of
-- in storage.objects, and at most p_rows in media_assets. Both are counted, for a bucket that was
-- emptied has all of its rows in one and none in the other. is_last: there is nothing behind it up
-- to p_until, and `until` is p_until. objects: its rows in storage.objects, replaced versions too.
--
-- It walks two indexes, whatever the statistics say.
create function media_enricher.piece_of(
  p_bucket text, p_prefix text, p_after text, p_until text, p_rows integer,
  out until text, out is_last boolean, out objects bigint
)
language plpgsql stable set search_path = '' set jit = 'off'
set enable_seqscan = 'off' set enable_bitmapscan = 'off' set enable_sort = 'off' as $$
declare
  assets_end text;
  objects_end text;
begin
  if p_rows is null or p_rows < 1 then
    raise exception 'rows is %, and must be at least 1', coalesce(p_rows::text, 'null')
      using errcode = '22023';
  end if;
  execute format(
    'select a.path from public.media_assets a where a.bucket = %L and %s'
    ' order by a.path offset %L limit 1',
    p_bucket, media_enricher.path_sql('a.path', p_prefix, p_after, p_until), p_rows - 1
  ) into assets_end;
  execute format(
    'select count(*), max(o.path) from (select o.name collate "C" as path from storage.objects o'
    ' where o.bucket_id = %L and %s order by o.name collate "C" limit %L) o',
    p_bucket,
    media_enricher.path_sql(
      'o.name collate "C"', p_prefix, p_after, coalesce(assets_end, p_until)),
    p_rows
  ) into objects, objects_end;
  is_last := assets_end is null and objects < p_rows;
  until := case when objects = p_rows then objects_end else coalesce(assets_end, p_until, '') end;
end
$$;

-- Where the next pieces end, up to p_most of them. Behind the last of them is more only where there
-- are p_most: else what is left up to p_until is less than a piece.
create function public.media_piece_ends(
  p_bucket text, p_prefix text, p_after text, p_until text, p_rows integer, p_most integer
) returns setof text
language plpgsql stable security definer set search_path = '' as $$
declare
  piece record;
  reached text := p_after;
begin
  for _ in 1 .. p_most loop
    piece := media_enricher.piece_of(p_bucket, p_prefix, reached, p_until, p_rows);
    exit when piece.is_last;
    reached := piece.until;
    return next reached;
  end loop;
end
$$;
comment on function public.media_piece_ends is
  'Cuts a bucket into pieces of at most so many objects and assets: the last path of each.';

-- Compares one piece of a bucket with its assets: stamps gone_at where the object was deleted, and
-- counts what is pending. A call marks 2,000 assets at most, for each has to be entered in all
-- indexes: where more are gone, the piece ends with the last that it marked. tenants, if it is asked
-- for: what is pending as {tenant, is_recorded, objects, size_bytes}, for
-- media_compare_next_piece.
create function public.media_compare_piece(
  p_bucket text, p_prefix text, p_mode text, p_depth text, p_enricher_version integer,
  p_transient_codes text[], p_max_attempts integer, p_after text, p_until text, p_rows integer,
  p_by_tenant boolean default false
) returns table (
  until text, is_last boolean, started_at timestamptz, objects bigint, gone bigint, pending bigint,
  size_bytes bigint, tenants jsonb
)
language plpgsql security definer
set search_path = '' set statement_timeout = '2min' set jit = 'off'
set enable_nestloop = 'on' set enable_hashjoin = 'on' set enable_sort = 'on' as $$
declare
  most constant integer := 2000;
  piece record;
  gone_paths text[];
begin
  started_at := now();
  piece := media_enricher.piece_of(p_bucket, p_prefix, p_after, p_until, p_rows);
  until := piece.until;
  is_last := piece.is_last;
  objects := piece.objects;

  perform media_enricher.prefer_merging();
  execute format(
    $q$select array_agg(g.path order by g.path) from (
      select a.path from public.media_assets a
      left join (%1$s and %2$s) o on o.path = a.path
      where a.bucket = %3$L and a.gone_at is null and %4$s and o.path is null
      order by a.path limit %5$L
    ) g$q$,
    media_enricher.objects_sql(p_bucket),
    media_enricher.path_sql('o.name collate "C"', p_prefix, p_after, until),
    p_bucket,
    media_enricher.path_sql('a.path', p_prefix, p_after, until),
    most + 1
  ) into gone_paths;
  if cardinality(gone_paths) > most then
    gone_paths := gone_paths[:most];
    until := gone_paths[most];
    is_last := false;
    execute format('select count(*) from storage.objects o where o.bucket_id = %L and %s',
      p_bucket, media_enricher.path_sql('o.name collate "C"', p_prefix, p_after, until)
    ) into objects;
  end if;
  update public.media_assets a set gone_at = now()
  where a.bucket = p_bucket and a.path = any (gone_paths) and a.gone_at is null;
  get diagnostics gone = row_count;

  if p_mode = 'failed' then -- few rows, by an index of their own
    perform set_config(name, 'on', true)
    from unnest(array['enable_nestloop', 'enable_hashjoin', 'enable_sort']) as name;
  end if;
  execute format(
    $q$select coalesce(sum(c.objects), 0)::bigint, coalesce(sum(c.size_bytes), 0)::bigint,
      case when %1$L then coalesce(jsonb_agg(c), '[]') end
    from (
      select %2$s as tenant, %3$s as is_recorded, count(*) as objects,
        coalesce(sum(p.size_bytes), 0)::bigint as size_bytes
      from (%4$s) p
      group by 1, 2
    ) c where c.objects > 0$q$,
    p_by_tenant,
    case when p_by_tenant then format('public.media_tenant_id(%L, p.path)', p_bucket)
      else 'null::uuid' end,
    case when p_by_tenant then format(
      'exists (select from public.media_assets a'
      ' where a.bucket = %L and a.path = p.path and a.gone_at is null)', p_bucket)
      else 'null::boolean' end,
    media_enricher.pending_sql(p_bucket, p_prefix, p_mode, p_depth, p_enricher_version,
      p_transient_codes, p_max_attempts, p_after, until)
  ) into pending, size_bytes, tenants;
  return next;
end
$$;
comment on function public.media_compare_piece is
  'Compares the objects of a piece of a bucket with its assets: marks what is gone, counts what is '
  'pending, and says where the next piece begins.';
