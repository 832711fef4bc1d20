"""Bringing a database up to date with the migrations in `sql/`.

For databases that nothing else migrates. A project that uses the Supabase CLI copies the files
into its `supabase/migrations/` instead, unchanged; a database is migrated in one way or the other.

What was applied is kept in `media_enricher.migrations`, with a checksum of each file: a migration
that was changed after it was applied is an error, for no one could tell what the database holds.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from media_enricher.database import DatabaseUnreachableError, connected
from media_enricher.project_files import MIGRATIONS

FOLDER = MIGRATIONS
"""The project's own migrations."""

_FILE_NAME = re.compile(r"(?P<version>\d{14})_\w+\.sql")
_LOCK = int.from_bytes(hashlib.sha256(b"media_enricher.migrations").digest()[:8], signed=True)
_LEDGER = """
    create schema if not exists media_enricher;
    create table if not exists media_enricher.migrations (
      name text primary key,
      sha256 text not null,
      applied_at timestamptz not null default now()
    );
    revoke all on schema media_enricher from public;
"""


class MigrationError(Exception):
    """The database can't be brought up to date. The message says why and what to do."""


@dataclass(frozen=True)
class Migration:
    """One file of `sql/`."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """What tells this text from any other."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def apply(database_url: str, folder: Path | None = None) -> list[str]:
    """Apply what is not applied yet, each file in a transaction of its own.

    Safe to call from many places at once: they take turns.

    Args:
        database_url: of a role that owns the schema `public`; on Supabase, `postgres`, through the
            direct connection or the session pooler (port 5432).
        folder: of `<timestamp>_name.sql` files; the project's own by default.

    Returns:
        The names of the files applied now, in order.

    Raises:
        MigrationError: the database can't be reached, a file failed (and left nothing behind; those
            before it stay applied), or an applied file was changed.
    """
    return asyncio.run(_with_connection(database_url, _apply, load(folder)))


def pending(database_url: str, folder: Path | None = None) -> list[str]:
    """The names of the files that `apply` would apply. Changes nothing.

    Raises:
        MigrationError: the database can't be reached, or an applied file was changed.
    """
    return asyncio.run(_with_connection(database_url, _pending, load(folder)))


def load(folder: Path | None = None) -> list[Migration]:
    """The migrations of a folder, in order.

    Raises:
        MigrationError: there are none, or a file's name does not say when it comes.
    """
    folder = FOLDER if folder is None else folder
    files = sorted(folder.glob("*.sql"))
    if not files:
        raise MigrationError(f"there are no migrations (*.sql) in {folder}")
    versions: dict[str, str] = {}
    for file in files:
        match = _FILE_NAME.fullmatch(file.name)
        if match is None:
            raise MigrationError(
                f"{file.name} is no name of a migration; it must be like "
                "20261123090000_media_assets.sql"
            )
        twin = versions.setdefault(match["version"], file.name)
        if twin != file.name:
            raise MigrationError(f"{twin} and {file.name} have the same timestamp; change one")
    return [Migration(file.name, file.read_text(encoding="utf-8")) for file in files]


async def _with_connection(database_url: str, work: Any, migrations: list[Migration]) -> list[str]:
    try:
        async with connected(database_url, "migrate") as connection:
            names: list[str] = await work(connection, migrations)
    except DatabaseUnreachableError as error:
        raise MigrationError(str(error)) from None
    return names


async def _apply(connection: asyncpg.Connection[Any], migrations: list[Migration]) -> list[str]:
    applied_now = []
    await connection.execute("select pg_advisory_lock($1)", _LOCK)
    try:
        await connection.execute(_LEDGER)
        for migration in await _missing(connection, migrations):
            await _apply_one(connection, migration)
            applied_now.append(migration.name)
        if applied_now:  # or PostgREST would answer for minutes that there are no such functions
            await connection.execute("notify pgrst, 'reload schema'")
    finally:
        await connection.execute("select pg_advisory_unlock($1)", _LOCK)
    return applied_now


async def _apply_one(connection: asyncpg.Connection[Any], migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "insert into media_enricher.migrations (name, sha256) values ($1, $2)",
                migration.name,
                migration.sha256,
            )
    except asyncpg.PostgresError as error:
        raise MigrationError(
            f"{migration.name} failed and was undone: {_with_line(error, migration.sql)}"
        ) from error


async def _pending(connection: asyncpg.Connection[Any], migrations: list[Migration]) -> list[str]:
    if not await connection.fetchval("select to_regclass('media_enricher.migrations') is not null"):
        return [migration.name for migration in migrations]
    return [migration.name for migration in await _missing(connection, migrations)]


async def _missing(
    connection: asyncpg.Connection[Any], migrations: list[Migration]
) -> list[Migration]:
    rows = await connection.fetch("select name, sha256 from media_enricher.migrations")
    applied = {row["name"]: row["sha256"] for row in rows}
    changed = [
        migration.name
        for migration in migrations
        if applied.get(migration.name, migration.sha256) != migration.sha256
    ]
    if changed:
        raise MigrationError(
            f"{', '.join(changed)} was changed after it was applied to this database. Put the file "
            "back as it was, and write the change as a new migration"
        )
    return [migration for migration in migrations if migration.name not in applied]


def _with_line(error: asyncpg.PostgresError, sql: str) -> str:
    """What Postgres says, and on which line of the file."""
    told = error.as_dict()
    position, hint = told.get("position"), told.get("hint")
    where = f" (line {sql.count(chr(10), 0, int(position) - 1) + 1})" if position else ""
    return f"{told.get('message', error)}{where}" + (f". {hint}" if hint else "")
