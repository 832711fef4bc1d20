"""Queries on `storage.*`, each as the role of the caller, as the real server runs them.

Row level security thus decides what a caller may see and do; only lookups that Storage itself
makes (is the bucket public, which blob does a row replace) are made as the tables' owner.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeAlias

import asyncpg

from supabase_local.storage import errors
from supabase_local.storage.lookups import IS_OBJECT, DownloadLookup, StoredObject, stored_object
from supabase_local.tokens import Caller

Row: TypeAlias = Mapping[str, Any]
Connection: TypeAlias = Any  # asyncpg ships no types

_BECOME_CALLER = """
    select set_config('role', $1, true), set_config('request.jwt.claims', $2, true),
      set_config('storage.allow_delete_query', 'true', true)
"""
_DOWNLOAD = f"""
    select version, metadata from storage.objects
    where bucket_id = $1 and name = $2 and {IS_OBJECT}
"""  # noqa: S608 - a constant


class Database:
    """A pool of connections as `supabase_storage_admin`, the owner of the tables."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._downloads = DownloadLookup(pool)

    @classmethod
    async def connect(cls, url: str) -> Database:
        """Open the pool."""
        pool = await asyncpg.create_pool(url, min_size=2, max_size=10, reset=_leave_as_it_is)
        return cls(pool)

    async def close(self) -> None:
        """Close the pool at once."""
        self._pool.terminate()

    @contextlib.asynccontextmanager
    async def as_owner(self) -> AsyncIterator[Connection]:
        """A transaction that row level security does not bind."""
        with _translated():
            async with self._pool.acquire() as connection, connection.transaction():
                yield connection

    @contextlib.asynccontextmanager
    async def as_caller(self, caller: Caller) -> AsyncIterator[Connection]:
        """A transaction in the caller's role and with the caller's claims."""
        async with self.as_owner() as connection:
            await become(connection, caller)
            yield connection

    async def find_bucket(self, bucket: str) -> Row | None:
        """A bucket, regardless of who may see it."""
        with _translated():
            row: Row | None = await self._pool.fetchrow(
                "select id, public, file_size_limit, allowed_mime_types"
                " from storage.buckets where id = $1",
                bucket,
            )
            return row

    async def require_bucket(self, bucket: str) -> Row:
        """The same, or NoSuchBucket."""
        row = await self.find_bucket(bucket)
        if row is None:
            raise errors.no_such_bucket()
        return row

    async def find_download(self, caller: Caller | None, bucket: str, key: str) -> StoredObject:
        """The object that a caller asks to read; without a caller, any object.

        Raises:
            StorageError: NoSuchKey, also for an object that the caller may not see; NoSuchBucket.
        """
        if caller is None or caller.bypasses_rls:
            with _translated():
                found = await self._downloads.find(bucket, key)
        else:
            async with self.as_caller(caller) as connection:
                row = await connection.fetchrow(_DOWNLOAD, bucket, key)
                found = stored_object(row[0], row[1]) if row else None
        if found is None:
            await self.require_bucket(bucket)
            raise errors.no_such_key()
        return found


async def become(connection: Connection, caller: Caller) -> None:
    """Give the current transaction the caller's role and claims, until it ends."""
    await connection.execute(_BECOME_CALLER, caller.role, caller.claims_json)


async def _leave_as_it_is(_: Connection) -> None:
    """What a connection needs before its next use: nothing, for we set what ends with us."""


@contextlib.contextmanager
def _translated() -> Any:
    try:
        yield
    except asyncpg.InsufficientPrivilegeError as refusal:
        raise errors.access_denied(_without_table(str(refusal))) from refusal
    except asyncpg.ForeignKeyViolationError as missing:
        raise errors.no_such_bucket() from missing
    except (asyncpg.QueryCanceledError, asyncpg.TooManyConnectionsError, TimeoutError) as slow:
        raise errors.database_timeout() from slow


def _without_table(message: str) -> str:
    return message.removesuffix(' for table "objects"').removesuffix(' for table "buckets"')
