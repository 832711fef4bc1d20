"""The change feed: triggers on `storage.objects` that queue each change of a watched bucket.

`sql/hosted/changes.sql` defines the triggers, and says how they behave. The functions here install
and remove them, choose the buckets, and report what waits. All of them can be repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import asyncpg

from media_enricher.database import DatabaseUnreachableError, connected
from media_enricher.project_files import MIGRATIONS

FILE = MIGRATIONS / "hosted" / "changes.sql"
TRIGGERS = (
    "media_enricher_object_updated",
    "media_enricher_objects_deleted",
    "media_enricher_objects_inserted",
)

_LOCK_ATTEMPTS = 5
_LOCK_SECONDS = 3
"""Uploads wait behind us while we wait for a lock, so this is short, and tried again."""

_REMOVE = """
    drop function if exists
      media_enricher.queue_changed_rows(), media_enricher.queue_changed_row() cascade
"""
_TRIGGERS = """
    select t.tgname::text as name, t.tgenabled <> 'D' as is_enabled,
      pg_catalog.pg_get_triggerdef(t.oid) as definition
    from pg_catalog.pg_trigger t
    where t.tgrelid = 'storage.objects'::regclass and t.tgname = any ($1::text[])
"""
_NEW_COLUMNS = """
    select attname::text from pg_catalog.pg_attribute
    where attrelid = 'storage.objects'::regclass and not attisdropped
      and attname in ('owner_id', 'archived_at', 'is_delete_marker')
    order by attname
"""
_BUCKETS = """
    select coalesce(w.bucket, q.bucket) as bucket, w.bucket is not null as is_watched,
      coalesce(q.waiting, 0) as waiting, q.oldest
    from media_enricher.watched_buckets w
    full join (
      select bucket, count(*) as waiting, min(requested_at) as oldest
      from media_enricher.requested_objects group by bucket
    ) q on q.bucket = w.bucket
    order by 1
"""
_ADD = """
    insert into media_enricher.watched_buckets (bucket, origin)
    select name, 'command' from unnest($1::text[]) as name
    on conflict (bucket) do update set origin = 'command'
"""
_SECRETS = """
    select count(*) = 2 from vault.decrypted_secrets
    where name in ('media_enricher_url', 'media_enricher_webhook_secret')
"""

_Result = TypeVar("_Result")


class ChangeFeedError(Exception):
    """The change feed can't be changed or looked at. The message says why and what to do."""


@dataclass(frozen=True)
class FeedBucket:
    """A bucket that is watched, or that has objects in the queue.

    Attributes:
        name: of the bucket.
        is_watched: whether its changes are queued.
        waiting: how many objects are queued, by changes or by requests over HTTP.
        oldest: since when the oldest of them waits; None if none does.
    """

    name: str
    is_watched: bool
    waiting: int
    oldest: datetime | None


@dataclass(frozen=True)
class FeedStatus:
    """What is installed, and what waits.

    Attributes:
        missing: the triggers that are not installed, or are disabled; all of them if it is off.
        unknown_columns: columns of `storage.objects` that are newer than the triggers.
        buckets: those that are watched or have objects in the queue, by name.
        notifies: whether the gateway is told at once: pg_net and both secrets are there.
    """

    missing: tuple[str, ...]
    unknown_columns: tuple[str, ...]
    buckets: tuple[FeedBucket, ...]
    notifies: bool

    @property
    def is_off(self) -> bool:
        """Whether nothing is installed."""
        return self.missing == TRIGGERS

    @property
    def is_complete(self) -> bool:
        """Whether all of it is installed, and up to date."""
        return not self.missing and not self.unknown_columns


def turn_on(database_url: str, buckets: Sequence[str], configured: Sequence[str]) -> None:
    """Install the triggers, and watch buckets.

    Args:
        database_url: of a role that may create triggers on `storage.objects`; on Supabase,
            `postgres`, through the direct connection or the session pooler (port 5432).
        buckets: watched from now on, until they are removed by a command.
        configured: those of the settings, which `setup` would watch too. Empty: as they are.

    Raises:
        ChangeFeedError: no bucket would be watched; one does not exist, or is written to by Media
            Enricher; the database can't be reached, is not migrated, or is too busy.
    """

    async def work(connection: asyncpg.Connection[Any]) -> None:
        await _require_buckets(connection, buckets)
        await connection.execute(_ADD, list(buckets))
        if configured:
            await connection.fetch("select public.media_watch_buckets($1)", list(configured))
        if not await connection.fetchval(
            "select exists (select from media_enricher.watched_buckets)"
        ):
            raise ChangeFeedError(
                "No bucket is watched, so nothing would be queued. Name one with --bucket, or set "
                "MEDIA_ENRICHER_BUCKETS"
            )
        await _define(connection, FILE.read_text(encoding="utf-8"))

    _run(database_url, work)


def turn_off(database_url: str) -> None:
    """Remove the triggers. The buckets stay chosen, and what is queued is still processed.

    Raises:
        ChangeFeedError: the database can't be reached, or is too busy.
    """
    _run(database_url, lambda connection: _define(connection, _REMOVE))


def unwatch(database_url: str, buckets: Sequence[str]) -> list[str]:
    """Stop watching buckets. The triggers stay.

    Returns:
        Those that were watched.

    Raises:
        ChangeFeedError: the database can't be reached, or is not migrated.
    """

    async def work(connection: asyncpg.Connection[Any]) -> list[str]:
        rows = await connection.fetch(
            "delete from media_enricher.watched_buckets where bucket = any ($1) returning bucket",
            list(buckets),
        )
        return sorted(row["bucket"] for row in rows)

    return _run(database_url, work)


def status(database_url: str) -> FeedStatus:
    """Look at what is installed, and what waits. Changes nothing.

    Raises:
        ChangeFeedError: the database can't be reached, or is not migrated.
    """
    return _run(database_url, _status)


async def _status(connection: asyncpg.Connection[Any]) -> FeedStatus:
    triggers = await connection.fetch(_TRIGGERS, list(TRIGGERS))
    enabled = {row["name"]: row["definition"] for row in triggers if row["is_enabled"]}
    updated = enabled.get("media_enricher_object_updated")
    present = [row[0] for row in await connection.fetch(_NEW_COLUMNS)]
    return FeedStatus(
        missing=tuple(name for name in TRIGGERS if name not in enabled),
        unknown_columns=tuple(
            name for name in present if updated and f"new.{name} " not in _spaced(updated)
        ),
        buckets=tuple(
            FeedBucket(row["bucket"], row["is_watched"], row["waiting"], row["oldest"])
            for row in await connection.fetch(_BUCKETS)
        ),
        notifies=await _notifies(connection),
    )


def _spaced(definition: str) -> str:
    """The definition of a trigger with a space after each name."""
    return definition.replace(",", " ").replace(")", " ")


async def _notifies(connection: asyncpg.Connection[Any]) -> bool:
    has_both = await connection.fetchval(
        "select to_regnamespace('net') is not null"
        " and to_regclass('vault.decrypted_secrets') is not null"
    )
    return bool(has_both and await connection.fetchval(_SECRETS))


async def _require_buckets(connection: asyncpg.Connection[Any], buckets: Sequence[str]) -> None:
    for name in buckets:
        if await connection.fetchval("select media_enricher.is_own_bucket($1)", name):
            raise ChangeFeedError(
                f"Media Enricher stores its own results or snapshots in the bucket {name!r}, so it "
                "can't be watched. Choose a bucket of media"
            )
        if not await connection.fetchval(
            "select exists (select from storage.buckets where id = $1)", name
        ):
            raise ChangeFeedError(
                f"There is no bucket {name!r} in this project. Check its name (it is "
                "case-sensitive), or create it in the dashboard under Storage"
            )


async def _define(connection: asyncpg.Connection[Any], statements: str) -> None:
    """Change triggers, in one transaction. It needs a lock that uploads hold for a moment."""
    for _ in range(_LOCK_ATTEMPTS):
        try:
            async with connection.transaction():
                await connection.execute(f"set local lock_timeout = '{_LOCK_SECONDS}s'")
                await connection.execute(statements)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(1)
        else:
            return
    raise ChangeFeedError(
        f"Another transaction kept storage.objects locked, {_LOCK_ATTEMPTS} times for "
        f"{_LOCK_SECONDS} s. The triggers are as before. Run this command again when Storage is "
        "less busy"
    )


def _run(
    database_url: str, work: Callable[[asyncpg.Connection[Any]], Awaitable[_Result]]
) -> _Result:
    async def connect_and_work() -> _Result:
        async with connected(database_url, "changes") as connection:
            return await work(connection)

    try:
        return asyncio.run(connect_and_work())
    except DatabaseUnreachableError as error:
        raise ChangeFeedError(str(error)) from None
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedFunctionError) as error:
        raise ChangeFeedError(
            f"The database is not up to date: {error}. Run `media-enricher migrate` first"
        ) from None
    except asyncpg.PostgresError as error:
        raise ChangeFeedError(
            f"The database refused: {error}. DATABASE_URL must be that of the role `postgres`"
        ) from None
