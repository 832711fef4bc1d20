-- What makes an object another one: its bytes (the etag), and the content type it was uploaded with,
-- by which a probe judges what should be in it. The size needs no comparing: an etag is a digest of
-- the bytes, so the same etag has the same size.

-- The unique index holds all that planning compares, so that a pass over a bucket reads no rows. It
-- is made anew beside the old one: 0.5 s for 250,000 rows where it was measured, and in proportion for
-- more. Meanwhile rows can be read, and writers wait; then the old one is dropped, in no time. Until
-- the end there is room needed for both (42 MB each for those rows).
create unique index media_assets_bucket_path_new_key on public.media_assets (bucket, path) include (
  etag, object_id, user_id, owner_id, gone_at, status, depth, error_code, attempts,
  enricher_version, declared_content_type
);
alter table public.media_assets drop constraint media_assets_bucket_path_key;
alter table public.media_assets add constraint media_assets_bucket_path_key
  unique using index media_assets_bucket_path_new_key;

comment on column public.media_assets.declared_content_type is
  'What the object was uploaded as; the first 200 characters.';

-- What an object was uploaded as, as an expression, of the length that the index has room for; null
-- where the listing does not say.
create function media_enricher.declared_type_sql(p_metadata text) returns text
language sql immutable set search_path = '' as $$
  select format('nullif(left(%s ->> ''mimetype'', 200), '''')', p_metadata)
$$;

-- Whether an object `o` is another version than its row `a` describes, as an expression. Without an
-- etag in the listing there is nothing to tell a change of bytes by, nor without a type one of that.
-- Comparing what is written comes first, for nearly all are equal and need no further look.
create function media_enricher.is_changed_sql() returns text
language sql immutable set search_path = '' as $$
  select format(
    '(o.listed_etag is distinct from a.etag and o.listed_etag is not null'
    ' and %s is distinct from a.etag'
    ' or o.metadata ->> ''mimetype'' is distinct from a.declared_content_type'
    ' and %2$s is not null and %2$s is distinct from a.declared_content_type)',
    media_enricher.bare_etag_sql('o.listed_etag'),
    media_enricher.declared_type_sql('o.metadata'))
$$;

-- Whether an object `o` has another owner than its row `a` says, as an expression. A row that was
-- written before owner_id was there says it in user_id alone.
create function media_enricher.is_owner_changed_sql() returns text
language sql immutable set search_path = '' as $$
  select format(
    '(o.owner_id is distinct from coalesce(a.owner_id, a.user_id::text)'
    ' and (%1$s, %2$s) is distinct from (a.owner_id, a.user_id)'
    ' and (a.owner_id is not null or a.user_id is null or %2$s is distinct from a.user_id))',
    media_enricher.owner_id_sql('o.owner_id'),
    media_enricher.user_id_sql('o.owner_id'))
$$;

-- The objects to work on as a SELECT, in no order, with the columns of media_pending_objects.
create or replace function media_enricher.pending_sql(
  p_bucket text, p_prefix text, p_mode text, p_depth text, p_enricher_version integer,
  p_transient_codes text[], p_max_attempts integer, p_after text default null,
  p_until text default null
) returns text
language plpgsql stable set search_path = '' as $$
declare
  is_changed text := media_enricher.is_changed_sql();
  is_wanted text;
begin
  if p_depth is null or p_depth not in ('header', 'full') then
    raise exception 'depth is %, and must be header or full', coalesce(quote_literal(p_depth), 'null')
      using errcode = '22023';
  end if;
  is_wanted := case p_mode
    when 'missing' then concat_ws(' or ',
      'a.path is null',
      'a.gone_at is not null',
      is_changed,
      case when p_depth = 'full' then $c$(a.depth = 'header' and a.status <> 'failed')$c$ end,
      format('(a.status = ''failed'' and a.attempts < %L and a.error_code = any (%L))',
        p_max_attempts, p_transient_codes),
      'a.object_id is distinct from o.object_id',
      media_enricher.is_owner_changed_sql())
    when 'failed' then $c$a.status = 'failed'$c$
    when 'stale' then format('a.enricher_version < %L', p_enricher_version)
    when 'all' then 'true'
  end;
  if is_wanted is null then
    raise exception 'mode is %, and must be missing, failed, stale or all',
      coalesce(quote_literal(p_mode), 'null') using errcode = '22023';
  end if;
  return format(
    $q$select o.path, %1$s as etag,
      -- A number of Storage's, but still data: one that is no size is unknown, and no error.
      case when jsonb_typeof(o.metadata -> 'size') = 'number' then
        case when (o.metadata ->> 'size')::numeric between 0 and 9223372036854775807
          then (o.metadata ->> 'size')::numeric::bigint end
      end as size_bytes,
      %8$s as declared_content_type,
      a.etag as previous_etag,
      case when a.path is null or %2$s then 0 else a.attempts end as attempts
    from (%3$s and %4$s) o
    left join (
      select * from public.media_assets where bucket = %5$L and %6$s
    ) a on a.path = o.path
    -- Supabase Studio keeps empty folders by a placeholder, which is no media. Looked at last, for
    -- it is the dearest test and few objects come this far.
    where case when %7$s
      then o.path <> '.emptyFolderPlaceholder' and right(o.path, 24) <> '/.emptyFolderPlaceholder'
      else false
    end$q$,
    media_enricher.bare_etag_sql('o.listed_etag'),
    is_changed,
    media_enricher.objects_sql(p_bucket),
    media_enricher.path_sql('o.name collate "C"', p_prefix, p_after, p_until),
    p_bucket,
    media_enricher.path_sql('path', p_prefix, p_after, p_until),
    is_wanted,
    media_enricher.declared_type_sql('o.metadata')
  );
end
$$;

revoke execute on all functions in schema media_enricher
  from public, anon, authenticated, service_role;
