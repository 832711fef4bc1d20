"""What a database consists of, as text that two databases can be compared by.

`read` asks the catalogues of Postgres for everything that SQL can define, in every schema that is
not Postgres's own. It leaves out what no file decides: object ids, statistics, and times.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncpg

Catalogue = Mapping[str, str]
"""From what a thing is, as `index public.media_assets_phash_idx`, to its definition."""

_IS_OURS = """
    n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
    and n.nspname not like 'pg\\_temp\\_%' and n.nspname not like 'pg\\_toast\\_temp\\_%'
"""
"""Of a row `n` of pg_namespace."""

_RELATION_KINDS = """
    (values
      ('r', 'table'), ('p', 'table'), ('f', 'foreign table'), ('v', 'view'),
      ('m', 'materialized view'), ('S', 'sequence'), ('c', 'composite type')
    ) as kinds (relkind, word)
"""

_GRANTS = f"""
    select 'grants on ' || r.thing, string_agg(r.grants, E'\\n' order by r.grants)
    from (
      select g.thing, format('%s to %s%s',
          string_agg(lower(x.privilege_type), ', ' order by x.privilege_type),
          coalesce(nullif(x.grantee, 0)::regrole::text, 'public'),
          case when x.is_grantable then ' with grant option' end) as grants
      from (
        select 'schema ' || quote_ident(n.nspname) as thing,
          coalesce(n.nspacl, acldefault('n', n.nspowner)) as acl
        from pg_namespace n where {_IS_OURS}
        union all
        select kinds.word || ' ' || c.oid::regclass,
          coalesce(c.relacl, acldefault((case c.relkind when 'S' then 's' else 'r' end)::"char",
            c.relowner))
        from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        join {_RELATION_KINDS} on kinds.relkind = c.relkind::text
        where {_IS_OURS}
        union all
        select format('column %s.%I', c.oid::regclass, a.attname), a.attacl
        from pg_attribute a
        join pg_class c on c.oid = a.attrelid
        join pg_namespace n on n.oid = c.relnamespace
        where a.attacl is not null and not a.attisdropped and {_IS_OURS}
        union all
        select 'function ' || p.oid::regprocedure,
          coalesce(p.proacl, acldefault('f', p.proowner))
        from pg_proc p
        join pg_namespace n on n.oid = p.pronamespace
        where {_IS_OURS}
        union all
        select 'type ' || y.oid::regtype, coalesce(y.typacl, acldefault('T', y.typowner))
        from pg_type y
        join pg_namespace n on n.oid = y.typnamespace
        where y.typrelid = 0 and y.typelem = 0 and {_IS_OURS}
        union all
        select format('what %s creates in %s (%s)', d.defaclrole::regrole,
            coalesce(nullif(d.defaclnamespace, 0)::regnamespace::text, 'any schema'),
            d.defaclobjtype),
          d.defaclacl
        from pg_default_acl d
      ) g
      cross join lateral aclexplode(g.acl) x
      group by g.thing, x.grantee, x.is_grantable
    ) r
    group by r.thing
"""
"""Rows of: a thing, and what each role may do with it, its owner included."""

_COMMENTS = """
    select 'comment on ' || i.type || ' ' || replace(i.identity, 'pg_catalog.', ''), d.description
    from pg_description d
    cross join lateral pg_identify_object(d.classoid, d.objoid, d.objsubid) i
    where d.objoid >= 16384 -- those below came with Postgres
    union all
    select 'comment on schema public', obj_description('public'::regnamespace, 'pg_namespace')
"""
"""The schema public came with Postgres too, and yet is ours."""

_QUERIES = {
    "schemas": f"""
        select 'schema ' || quote_ident(n.nspname), 'owner ' || n.nspowner::regrole
        from pg_namespace n where {_IS_OURS}
    """,
    "extensions": """
        select 'extension ' || quote_ident(e.extname),
          format('version %s in schema %s', e.extversion, e.extnamespace::regnamespace)
        from pg_extension e
    """,
    "tables, views and sequences": f"""
        select kinds.word || ' ' || c.oid::regclass,
          concat_ws(E'\\n',
            'owner ' || c.relowner::regrole,
            'row level security ' || case
              when not c.relrowsecurity then 'off'
              when c.relforcerowsecurity then 'forced'
              else 'on'
            end,
            'persistence ' || c.relpersistence::text,
            'options ' || array_to_string(c.reloptions, ', '),
            'replica identity ' || c.relreplident::text,
            'partition key ' || pg_get_partkeydef(c.oid),
            'partition ' || pg_get_expr(c.relpartbound, c.oid),
            'inherits ' || (
              select string_agg(i.inhparent::regclass::text, ', ' order by i.inhseqno)
              from pg_inherits i where i.inhrelid = c.oid
            ),
            'columns in order: ' || (
              select string_agg(quote_ident(a.attname), ', ' order by a.attnum)
              from pg_attribute a
              where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                and c.relkind <> 'S'
            ),
            case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end
          )
        from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        join {_RELATION_KINDS} on kinds.relkind = c.relkind::text
        where {_IS_OURS}
    """,
    "columns": f"""
        select format('column %s.%I', c.oid::regclass, a.attname),
          concat_ws(' ',
            format_type(a.atttypid, a.atttypmod),
            case when a.attcollation not in (0, y.typcollation)
              then 'collate ' || a.attcollation::regcollation end,
            case when a.attnotnull then 'not null' end,
            case a.attidentity
              when 'a' then 'generated always as identity'
              when 'd' then 'generated by default as identity'
            end,
            case when d.oid is not null then
              format(case a.attgenerated
                when 's' then 'generated always as (%s) stored'
                when 'v' then 'generated always as (%s) virtual'
                else 'default %s'
              end, pg_get_expr(d.adbin, d.adrelid))
            end,
            'compression ' || nullif(a.attcompression::text, ''),
            case when a.attstorage <> y.typstorage then 'storage ' || a.attstorage::text end,
            'options ' || array_to_string(a.attoptions, ', ')
          )
        from pg_attribute a
        join pg_class c on c.oid = a.attrelid
        join pg_namespace n on n.oid = c.relnamespace
        join pg_type y on y.oid = a.atttypid
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where c.relkind in ('r', 'p', 'f', 'v', 'm', 'c') and a.attnum > 0
          and not a.attisdropped and {_IS_OURS}
    """,
    "sequences": f"""
        select 'sequence values ' || c.oid::regclass,
          format('%s start %s increment %s from %s to %s cache %s%s', format_type(s.seqtypid, null),
            s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache,
            case when s.seqcycle then ' cycle' end)
        from pg_sequence s
        join pg_class c on c.oid = s.seqrelid
        join pg_namespace n on n.oid = c.relnamespace
        where {_IS_OURS}
    """,
    "constraints": f"""
        select format('constraint %I on %s', k.conname,
            coalesce(nullif(k.conrelid, 0)::regclass::text, k.contypid::regtype::text)),
          pg_get_constraintdef(k.oid)
        from pg_constraint k
        join pg_namespace n on n.oid = k.connamespace
        where {_IS_OURS}
    """,
    "indexes": f"""
        select 'index ' || i.indexrelid::regclass,
          concat_ws(' ', pg_get_indexdef(i.indexrelid),
            case when i.indisclustered then 'clustered' end,
            case when i.indisreplident then 'replica identity' end,
            case when not i.indisvalid then 'invalid' end)
        from pg_index i
        join pg_class c on c.oid = i.indexrelid
        join pg_namespace n on n.oid = c.relnamespace
        where {_IS_OURS}
    """,
    "functions": f"""
        select p.prokind_word || ' ' || p.oid::regprocedure,
          concat_ws(E'\\n',
            'owner ' || p.proowner::regrole,
            case when p.prokind = 'a' then 'an aggregate'
              else rtrim(pg_get_functiondef(p.oid), E'\\n') end
          )
        from (
          select *, case prokind when 'p' then 'procedure' else 'function' end as prokind_word
          from pg_proc
        ) p
        join pg_namespace n on n.oid = p.pronamespace
        where {_IS_OURS}
    """,
    "triggers": f"""
        select format('trigger %I on %s', t.tgname, t.tgrelid::regclass),
          concat_ws(' ', pg_get_triggerdef(t.oid, true), 'enabled ' || t.tgenabled::text)
        from pg_trigger t
        join pg_class c on c.oid = t.tgrelid
        join pg_namespace n on n.oid = c.relnamespace
        where not t.tgisinternal and {_IS_OURS}
    """,
    "event triggers": """
        select 'event trigger ' || quote_ident(e.evtname),
          format('on %s %s execute %s enabled %s', e.evtevent, e.evttags, e.evtfoid::regprocedure,
            e.evtenabled)
        from pg_event_trigger e
    """,
    "rules": """
        select format('rule %I on %I.%I', r.rulename, r.schemaname, r.tablename), r.definition
        from pg_rules r where r.schemaname not in ('pg_catalog', 'information_schema')
    """,
    "policies": """
        select format('policy %I on %I.%I', p.policyname, p.schemaname, p.tablename),
          concat_ws(E'\\n',
            format('%s for %s to %s', lower(p.permissive), lower(p.cmd),
              array_to_string(p.roles, ', ')),
            'using ' || p.qual,
            'with check ' || p.with_check
          )
        from pg_policies p
    """,
    "types": f"""
        select 'type ' || y.oid::regtype,
          concat_ws(E'\\n',
            'owner ' || y.typowner::regrole,
            case y.typtype
              when 'e' then 'enum of ' || (
                select string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder)
                from pg_enum e where e.enumtypid = y.oid
              )
              when 'd' then concat_ws(' ', 'domain over', format_type(y.typbasetype, y.typtypmod),
                case when y.typnotnull then 'not null' end, 'default ' || y.typdefault)
              when 'r' then (
                select 'range of ' || format_type(r.rngsubtype, null)
                from pg_range r where r.rngtypid = y.oid
              )
              else 'kind ' || y.typtype::text
            end
          )
        from pg_type y
        join pg_namespace n on n.oid = y.typnamespace
        where y.typrelid = 0 and y.typelem = 0 and y.typtype <> 'm' and {_IS_OURS}
    """,
    "publications": """
        select 'publication ' || quote_ident(p.pubname),
          concat_ws(E'\\n',
            'owner ' || p.pubowner::regrole,
            format('all tables %s, insert %s, update %s, delete %s, truncate %s', p.puballtables,
              p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate),
            (
              select string_agg(
                format('table %I.%I %s %s', t.schemaname, t.tablename, t.attnames, t.rowfilter),
                E'\\n' order by t.schemaname, t.tablename
              )
              from pg_publication_tables t where t.pubname = p.pubname
            )
          )
        from pg_publication p
    """,
    "settings of this database": """
        select 'settings of ' || coalesce(nullif(s.setrole, 0)::regrole::text, 'all roles'),
          array_to_string(s.setconfig, E'\\n')
        from pg_db_role_setting s
        join pg_database d on d.oid = s.setdatabase and d.datname = current_database()
    """,
    "extended statistics": f"""
        select format('statistics %I.%I', n.nspname, s.stxname), pg_get_statisticsobjdef(s.oid)
        from pg_statistic_ext s
        join pg_namespace n on n.oid = s.stxnamespace
        where {_IS_OURS}
    """,
    "grants": _GRANTS,
    "comments": _COMMENTS,
    # Kinds that nothing of ours is of: that there are such things is all that is compared.
    "others": """
        select 'other ' || i.type || ' ' || i.identity, ''
        from (
          select 'pg_operator'::regclass as catalogue, oid from pg_operator
          union all select 'pg_cast'::regclass, oid from pg_cast
          union all select 'pg_collation'::regclass, oid from pg_collation
          union all select 'pg_conversion'::regclass, oid from pg_conversion
          union all select 'pg_opclass'::regclass, oid from pg_opclass
          union all select 'pg_language'::regclass, oid from pg_language
          union all select 'pg_ts_config'::regclass, oid from pg_ts_config
          union all select 'pg_ts_dict'::regclass, oid from pg_ts_dict
          union all select 'pg_foreign_server'::regclass, oid from pg_foreign_server
        ) o
        cross join lateral pg_identify_object(o.catalogue, o.oid, 0) i
        where o.oid >= 16384 -- those below came with Postgres
    """,
}
"""Each gives rows of: what it is, and its definition."""

_TABLES = f"""
    select c.oid::regclass::text as name, array(
      select a.attname::text from pg_attribute a
      join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
      where a.attrelid = c.oid and pg_get_expr(d.adbin, d.adrelid) ~ '\\('
    ) as computed
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and {_IS_OURS}
"""
"""Each table, and its columns filled by a function: times and random ids, never the same twice."""


async def read(connection: asyncpg.Connection[Any]) -> Catalogue:
    """What the database consists of, and the rows that it holds from the start.

    Args:
        connection: of a role that reads every table and that row level security does not bind.
    """
    # With nothing on the path, names are written with their schema.
    await connection.execute("set search_path = ''")
    found: dict[str, str] = {}
    for kind, query in _QUERIES.items():
        for thing, definition in await connection.fetch(query):
            assert thing not in found, f"the query of {kind} finds {thing} twice"
            found[thing] = definition or ""
    for table in await connection.fetch(_TABLES):
        rows = await connection.fetch(
            f"select (to_jsonb(t) - $1::text[])::text from {table['name']} t order by 1",
            table["computed"],
        )
        if rows:
            found[f"rows of {table['name']}"] = "\n".join(row[0] for row in rows)
    return found


def differences(old: Catalogue, new: Catalogue, old_name: str, new_name: str) -> str:
    """What leads from the old catalogue to the new one, as a diff; empty if they are equal.

    Each part is headed by the thing that differs.
    """
    parts: list[str] = []
    for thing in sorted(old.keys() | new.keys()):
        if thing not in new:
            parts += [f"@@ {thing}: only in {old_name}", *_lines("-", old[thing])]
        elif thing not in old:
            parts += [f"@@ {thing}: only in {new_name}", *_lines("+", new[thing])]
        elif old[thing] != new[thing]:
            diff = difflib.unified_diff(
                old[thing].splitlines(), new[thing].splitlines(), n=2, lineterm=""
            )
            parts += [f"@@ {thing}", *(line for line in list(diff)[2:] if line[:2] != "@@")]
    return "\n".join([f"--- {old_name}", f"+++ {new_name}", *parts]) if parts else ""


def _lines(sign: str, definition: str) -> list[str]:
    return [sign + line for line in definition.splitlines()]
