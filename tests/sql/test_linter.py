"""What Supabase's database linter looks for, asked of the catalogs: no finding in what is ours."""

from __future__ import annotations

import pytest

from tests.database import Database

OURS = "('public', 'audit', 'media_enricher')"
CLIENT_ROLES = ("anon", "authenticated")

FINDINGS = {
    "functions whose search_path the caller could set": f"""
        select p.oid::regprocedure from pg_proc p
        where p.pronamespace::regnamespace::text in {OURS}
          and not coalesce(p.proconfig, '{{}}') @> array['search_path=""']
    """,
    "SECURITY DEFINER functions that a client may call": f"""
        select p.oid::regprocedure from pg_proc p, unnest(array['anon', 'authenticated']) as role
        where p.pronamespace::regnamespace::text in {OURS} and p.prosecdef
          and has_function_privilege(role, p.oid, 'execute')
    """,
    "exposed tables without row level security": """
        select c.oid::regclass from pg_class c
        where c.relnamespace in ('public'::regnamespace, 'audit'::regnamespace)
          and c.relkind in ('r', 'p') and not c.relrowsecurity
    """,
    "tables with row level security and no policy": f"""
        select c.oid::regclass from pg_class c
        where c.relnamespace::regnamespace::text in {OURS} and c.relrowsecurity
          and not exists (select from pg_policy where polrelid = c.oid)
    """,
    "policies that ask who the caller is for each row": f"""
        select tablename || ': ' || policyname from pg_policies
        where schemaname in {OURS}
          and regexp_replace(
            lower(coalesce(qual, '') || coalesce(with_check, '')), 'select [a-z_.]+\\(\\)', '', 'g'
          ) ~ '(auth\\.(uid|jwt|role|email)|media_caller_[a-z_]+)\\(\\)'
    """,
    "policies and functions that raise for a user whose id is no UUID": f"""
        select tablename || ': ' || policyname from pg_policies
        where schemaname in {OURS}
          and coalesce(qual, '') || coalesce(with_check, '') ~ 'auth\\.uid\\('
        union all
        select p.oid::regprocedure::text from pg_proc p
        where p.pronamespace::regnamespace::text in {OURS} and p.prosrc ~ 'auth\\.uid\\('
    """,
    "policies that trust what a user writes about themselves": f"""
        select tablename || ': ' || policyname from pg_policies
        where schemaname in {OURS} and coalesce(qual, '') || coalesce(with_check, '')
          like '%user_metadata%'
    """,
    "several permissive policies for the same role and action": f"""
        select schemaname || '.' || tablename from pg_policies, unnest(roles) as role
        where schemaname in {OURS} and permissive = 'PERMISSIVE'
        group by schemaname, tablename, role, cmd having count(*) > 1
    """,
    "policies that let clients write": f"""
        select tablename || ': ' || policyname from pg_policies
        where schemaname in {OURS} and cmd <> 'SELECT'
          and roles && array['anon', 'authenticated', 'public']::name[]
    """,
    "tables without a primary key": f"""
        select c.oid::regclass from pg_class c
        where c.relnamespace::regnamespace::text in {OURS} and c.relkind = 'r'
          and not exists (select from pg_index where indrelid = c.oid and indisprimary)
    """,
    "foreign keys without an index": f"""
        select conname from pg_constraint k
        where k.contype = 'f' and k.connamespace::regnamespace::text in {OURS}
          and not exists (
            select from pg_index i where i.indrelid = k.conrelid
              and string_to_array(i.indkey::text, ' ')::smallint[] @> k.conkey
          )
    """,
    "indexes of the same columns": f"""
        select string_agg(indexrelid::regclass::text, ', ') from pg_index i
        join pg_class c on c.oid = i.indrelid
        where c.relnamespace::regnamespace::text in {OURS}
        group by indrelid, indkey::text, indclass::text, pg_get_expr(indpred, indrelid)
        having count(*) > 1
    """,
    "views that read with their owner's rights": f"""
        select c.oid::regclass from pg_class c
        where c.relnamespace::regnamespace::text in {OURS} and c.relkind in ('v', 'm')
    """,
    "extensions in public": """
        select extname from pg_extension where extnamespace = 'public'::regnamespace
    """,
}


@pytest.mark.parametrize("finding", FINDINGS)
def test_nothing_is_found(database: Database, finding: str) -> None:
    assert database.column(f"select found::text from ({FINDINGS[finding]}) as f (found)") == []


def test_every_column_that_a_policy_compares_leads_an_index(database: Database) -> None:
    compared = {
        ("media_assets", "user_id"),
        ("media_assets", "owner_id"),
        ("media_assets", "tenant_id"),
        ("media_enrich_runs", "tenant_id"),
        ("media_totals", "tenant_id"),
    }
    leading = database.rows(
        """
        select c.relname, a.attname from pg_index i
        join pg_class c on c.oid = i.indrelid
        join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
        where c.relnamespace = 'public'::regnamespace
        """
    )
    assert compared <= {(row["relname"], row["attname"]) for row in leading}


@pytest.mark.parametrize(
    "condition",
    [
        "tags @> array['sunset']",
        "phash = '0123456789abcdef'",
        f"sha256 = '{'ab' * 32}'",
        "user_id = '0a5a7a70-0000-4000-8000-00000000ada0'",
        "tenant_id = '0a5a7a70-0000-4000-8000-00000000ada0'",
        "bucket = 'photos' and path = 'a.jpg'",
        "bucket = 'photos' and path >= 'images/' and path < 'images0'",
        "bucket = 'photos' and status = 'failed'",
        "bucket = 'photos' and status = 'unsupported'",
    ],
)
def test_a_frontends_filters_ride_on_an_index(database: Database, condition: str) -> None:
    database.run("begin; set local enable_seqscan = off")
    try:
        plan = "\n".join(
            database.column(f"explain select * from public.media_assets where {condition}")
        )
    finally:
        database.run("rollback")
    assert "Index" in plan
    assert "Index Cond" in plan


def test_the_api_roles_have_what_they_need_and_no_more(database: Database) -> None:
    granted = database.rows(
        """
        select grantee, table_schema || '.' || table_name as name, privilege_type as privilege
        from information_schema.table_privileges
        where table_schema in ('public', 'audit') and grantee in
          ('anon', 'authenticated', 'service_role', 'PUBLIC')
          and privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
        """
    )
    everything = {"SELECT", "INSERT", "UPDATE", "DELETE"}
    expected = {
        ("authenticated", "public.media_assets", "SELECT"),
        ("authenticated", "public.media_totals", "SELECT"),
        ("service_role", "public.media_totals", "SELECT"),
        *(("service_role", "public.media_assets", each) for each in everything),
        *(("service_role", "public.media_enrich_runs", each) for each in everything),
        ("service_role", "audit.enricher_invocations", "SELECT"),
        ("service_role", "audit.enricher_invocations", "INSERT"),
        ("service_role", "audit.type_repairs", "SELECT"),
    }
    assert {(row["grantee"], row["name"], row["privilege"]) for row in granted} == expected
    for role in CLIENT_ROLES:
        for schema in ("audit", "media_enricher"):
            assert not database.value("select has_schema_privilege($1, $2, 'usage')", role, schema)
