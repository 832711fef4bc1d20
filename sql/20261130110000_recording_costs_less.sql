-- What recording 1,000 rows costs the database: an eighth to a fifth less. Nothing changes in what is recorded.
--
-- record_rows carried all columns of the earlier rows through two joins, although hardly any row
-- keeps something of them. media_tenant_id and media_search_terms run once for each row.

create or replace function media_enricher.record_rows(
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

-- An operator may have replaced it, and then theirs stays. A function in SQL that sets search_path
-- takes 2.5 microseconds a call, this one a fifth of that.
do $do$
begin
  if (
    select p.prosrc from pg_proc p where p.oid = 'public.media_tenant_id(text, text)'::regprocedure
  ) = $old$
  select case
    when split_part(p_path, '/', 1) ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
      and strpos(p_path, '/') > 0
    then split_part(p_path, '/', 1)::uuid
  end
$old$ then
    execute $new$
create or replace function public.media_tenant_id(p_bucket text, p_path text) returns uuid
language plpgsql stable set search_path = '' as $$
begin
  if strpos(p_path, '/') = 37
    and left(p_path, 36) ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
    return left(p_path, 36)::uuid;
  end if;
  return null;
end
$$;
$new$;
  end if;
end
$do$;

-- The words of a text, as the index holds them and as a search asks for them. Punctuation that could
-- join words is a space, or Postgres would take `a/b.jpg` for one word. It takes all other for a
-- space by itself, and translate() takes as long as it has characters to look for.
create or replace function public.media_search_words(given text) returns tsvector
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return to_tsvector('simple', translate(given, '-./_@+:&<~', repeat(' ', 10)));
end
$$;

create or replace function public.media_search_terms(
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
