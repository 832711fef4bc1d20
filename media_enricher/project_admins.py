"""Whether admins of the whole project read all rows through the Data API.

`sql/hosted/project_admins.sql` defines who they are, and the policies. The functions here apply and
remove them. All of them can be repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg

from media_enricher.database import DatabaseUnreachableError, connected
from media_enricher.project_files import MIGRATIONS

FILE = MIGRATIONS / "hosted" / "project_admins.sql"
TABLES = ("media_assets", "media_enrich_runs", "media_totals")
"""Those that such an admin reads all of."""

_LOCK_SECONDS = 10
"""Readers of the tables wait behind us while we wait for a lock, so this is short."""
_REMOVE = "drop function if exists public.media_caller_is_project_admin() cascade"
_COVERED = """
    select distinct tablename::text from pg_catalog.pg_policies
    where schemaname = 'public' and tablename = any ($1::text[]) and cmd = 'SELECT'
      and permissive = 'PERMISSIVE' and qual like '%media_caller_is_project_admin()%'
"""

_Result = TypeVar("_Result")


class ProjectAdminsError(Exception):
    """The policies can't be changed or looked at. The message says why and what to do."""


def turn_on(database_url: str) -> None:
    """Let admins without a tenant read all rows.

    Args:
        database_url: of the owner of the tables; on Supabase, `postgres`, through the direct
            connection or the session pooler (port 5432).

    Raises:
        ProjectAdminsError: the database can't be reached, is not migrated, or is too busy.
    """
    _run(database_url, lambda connection: _define(connection, FILE.read_text(encoding="utf-8")))


def turn_off(database_url: str) -> None:
    """Take away what `turn_on` gave.

    Raises:
        ProjectAdminsError: the database can't be reached, or is too busy.
    """
    _run(database_url, lambda connection: _define(connection, _REMOVE))


def missing(database_url: str) -> list[str]:
    """The tables that such an admin does not read all of: none if it is on, `TABLES` if it is off.

    Raises:
        ProjectAdminsError: the database can't be reached.
    """

    async def work(connection: asyncpg.Connection[Any]) -> list[str]:
        covered = {row[0] for row in await connection.fetch(_COVERED, list(TABLES))}
        return [table for table in TABLES if table not in covered]

    return _run(database_url, work)


async def _define(connection: asyncpg.Connection[Any], statements: str) -> None:
    try:
        async with connection.transaction():
            await connection.execute(f"set local lock_timeout = '{_LOCK_SECONDS}s'")
            await connection.execute(statements)
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
        raise ProjectAdminsError(
            f"Another transaction kept a table locked for {_LOCK_SECONDS} s. Nothing was changed. "
            "Run this command again when fewer queries run"
        ) from None


def _run(
    database_url: str, work: Callable[[asyncpg.Connection[Any]], Awaitable[_Result]]
) -> _Result:
    async def connect_and_work() -> _Result:
        async with connected(database_url, "project-admins") as connection:
            return await work(connection)

    try:
        return asyncio.run(connect_and_work())
    except DatabaseUnreachableError as error:
        raise ProjectAdminsError(str(error)) from None
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedFunctionError) as error:
        raise ProjectAdminsError(f"{error}. Run `media-enricher migrate` first") from None
    except asyncpg.PostgresError as error:
        raise ProjectAdminsError(f"The database refused it: {error}") from None
