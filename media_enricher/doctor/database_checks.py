"""Checks that need a connection to Postgres; they are skipped if DATABASE_URL is not set."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from media_enricher import migrations
from media_enricher.doctor.checkup import NothingToCheck
from media_enricher.doctor.setup import ANSWER_SECONDS, Setup, Trouble
from media_enricher.doctor.supabase_checks import FUNCTIONS, MIGRATE, TABLES
from media_enricher.settings import SettingsError, database_settings

_EXCESSIVE_RIGHTS = """
    select format('%s may %s public.%s', role, lower(privilege), relname) as excess
    from pg_catalog.pg_class,
      unnest(array['anon', 'authenticated']) as role,
      unnest(array['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) as privilege
    where relnamespace = 'public'::regnamespace and relname = any ($1)
      and (has_table_privilege(role, pg_class.oid, privilege)
        or privilege in ('INSERT', 'UPDATE')
          and has_any_column_privilege(role, pg_class.oid, privilege))
    union all
    select format('%s may call public.%s', role, proname)
    from pg_catalog.pg_proc, unnest(array['anon', 'authenticated']) as role
    where pronamespace = 'public'::regnamespace and proname = any ($2)
      and has_function_privilege(role, pg_proc.oid, 'EXECUTE')
    union all
    select format('row level security is off on public.%s', relname)
    from pg_catalog.pg_class
    where relnamespace = 'public'::regnamespace and relname = any ($1) and not relrowsecurity
    order by excess
"""


_BY_SUPABASE_CLI = "select version from supabase_migrations.schema_migrations"


def migrations_are_applied(setup: Setup) -> str:  # noqa: ARG001  (a check takes the set-up)
    """Every migration of this version is in the database, unchanged, whoever applied it."""
    try:
        pending = migrations.pending(database_url())
    except migrations.MigrationError as error:
        raise Trouble(
            str(error), "Fix this, or unset DATABASE_URL: only migrations need it"
        ) from None
    if pending:
        by_supabase_cli = _versions_of_supabase_cli()
        pending = [name for name in pending if name.partition("_")[0] not in by_supabase_cli]
    if pending:
        raise Trouble(f"not applied yet: {', '.join(pending)}", MIGRATE)
    return "all applied"


def _versions_of_supabase_cli() -> set[str]:
    """The versions of the migrations that `supabase db push` applied; it has a table of its own."""
    try:
        return {row["version"] for row in asyncio.run(_fetch(_BY_SUPABASE_CLI))}
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return set()


def clients_cannot_write(setup: Setup) -> str:  # noqa: ARG001  (a check takes the set-up)
    """Neither visitors nor signed-in users may write to the tables or call internal functions."""
    excess = asyncio.run(_fetch(_EXCESSIVE_RIGHTS, list(TABLES), list(FUNCTIONS)))
    if excess:
        raise Trouble(
            "; ".join(row["excess"] for row in excess),
            "Revoke these rights (`revoke … from anon, authenticated`) and keep row level security "
            "on (`alter table … enable row level security`)",
        )
    return "visitors and signed-in users can neither write nor call internal functions"


def database_url() -> str:
    """The URL of the settings.

    Raises:
        NothingToCheck: it is not set.
    """
    try:
        return database_settings().database_url.get_secret_value()
    except SettingsError:
        raise NothingToCheck("DATABASE_URL is not set (only migrations need it)") from None


async def _fetch(query: str, *arguments: Any) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(database_url(), timeout=ANSWER_SECONDS)
    try:
        rows: list[asyncpg.Record] = await connection.fetch(query, *arguments)
        return rows
    finally:
        await connection.close()
