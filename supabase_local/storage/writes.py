"""Keeps rows and blobs consistent: store, move, copy and remove objects.

A blob is written before its row and removed after it, so a row never points at nothing, whatever
fails in between; at worst a blob stays that no row names.
"""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec
import orjson

from supabase_local.storage import errors
from supabase_local.storage.blobs import BlobStore
from supabase_local.storage.database import Connection, Database, Row, become
from supabase_local.storage.lookups import IS_OBJECT
from supabase_local.storage.names import require_valid_key
from supabase_local.storage.uploads import Received
from supabase_local.tokens import Caller

_LOCK = """
    select id, version, metadata::text as metadata, user_metadata::text as user_metadata,
      owner, owner_id
    from storage.objects where bucket_id = $1 and name = $2 for update
"""
_INSERT = """
    insert into storage.objects
      (id, bucket_id, name, owner, owner_id, version, metadata, user_metadata)
    values ($1, $2, $3, $4, $5, $6, $7, $8)
"""
_OVERWRITE = """
    on conflict (bucket_id, name) do update set
      version = excluded.version, metadata = excluded.metadata,
      user_metadata = excluded.user_metadata, archived_at = null, is_delete_marker = false,
"""
_KEEP_OWNER = """
      owner = coalesce(excluded.owner, objects.owner),
      owner_id = coalesce(excluded.owner_id, objects.owner_id)
"""
_CHANGE_OWNER = "owner = excluded.owner, owner_id = excluded.owner_id"
_REPLACE = """
    update storage.objects set version = $3, metadata = $4, user_metadata = $5,
      archived_at = null, is_delete_marker = false,
      owner = coalesce($6, owner), owner_id = coalesce($7, owner_id)
    where bucket_id = $1 and name = $2
"""


class FileMetadata(msgspec.Struct, frozen=True, rename="camel"):
    """What a copy is served with; what is None stays as it was."""

    mimetype: str | None = None
    cache_control: str | None = None


class MetadataChanges(msgspec.Struct, frozen=True):
    """What a copy has in place of the metadata of its original.

    Attributes:
        file: what it is served with.
        user_metadata: all of the user's own; that of the original is dropped.
    """

    file: FileMetadata
    user_metadata: dict[str, Any] | None


class ObjectWriter:
    """Every change of an object, made in the caller's role."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    async def store(
        self,
        caller: Caller,
        bucket: str,
        key: str,
        received: Received,
        *,
        upsert: bool,
        is_copy: bool = False,
    ) -> str:
        """Make an object of a received blob, and return its id.

        A caller without an id leaves the owner of what it uploads over, and not of what it copies
        over.

        Raises:
            StorageError: KeyAlreadyExists without `upsert`; AccessDenied; InternalError, as
                `BlobStore.require_storable` says.
        """
        replaced: Row | None = None
        overwrite = _OVERWRITE + (_CHANGE_OWNER if is_copy else _KEEP_OWNER)
        try:
            self._blobs.require_storable(key)
            async with self._database.as_owner() as connection:
                if upsert:
                    replaced = await connection.fetchrow(_LOCK, bucket, key)
                object_id = replaced["id"] if replaced else uuid.uuid4()
                await become(connection, caller)
                await connection.execute(
                    _INSERT + (overwrite if upsert else ""),
                    object_id,
                    bucket,
                    key,
                    caller.owner,
                    caller.owner_id,
                    received.version,
                    metadata_json(received),
                    _json(received.user_metadata),
                )
        except asyncpg.UniqueViolationError:
            self._blobs.remove(received.version)
            raise errors.key_already_exists() from None
        except BaseException:
            self._blobs.remove(received.version)
            raise
        if replaced:
            self._blobs.remove(replaced["version"])
        return str(object_id)

    async def require_may_store(
        self, caller: Caller, bucket: str, key: str, *, upsert: bool
    ) -> None:
        """Try what `store` would do, and undo it.

        Raises:
            StorageError: as `store` does.
        """
        undo = asyncpg.TransactionRollbackError("only asking")
        try:
            async with self._database.as_caller(caller) as connection:
                await connection.execute(
                    _INSERT + (_OVERWRITE + _KEEP_OWNER if upsert else ""),
                    uuid.uuid4(),
                    bucket,
                    key,
                    caller.owner,
                    caller.owner_id,
                    "",
                    "{}",
                    None,
                )
                raise undo
        except asyncpg.UniqueViolationError:
            raise errors.key_already_exists() from None
        except asyncpg.TransactionRollbackError as rolled_back:
            if rolled_back is not undo:
                raise

    async def replace(self, caller: Caller, bucket: str, key: str, received: Received) -> str:
        """Give an existing object new bytes, and return its id.

        Raises:
            StorageError: NoSuchKey; AccessDenied.
        """
        try:
            async with self._database.as_owner() as connection:
                replaced = await connection.fetchrow(_LOCK, bucket, key)
                await become(connection, caller)
                done = await connection.execute(
                    _REPLACE,
                    bucket,
                    key,
                    received.version,
                    metadata_json(received),
                    _json(received.user_metadata),
                    caller.owner,
                    caller.owner_id,
                )
                if replaced is None or done == "UPDATE 0":
                    raise errors.no_such_key()  # noqa: TRY301 - within the transaction
        except BaseException:
            self._blobs.remove(received.version)
            raise
        self._blobs.remove(replaced["version"])
        return str(replaced["id"])

    async def remove(self, caller: Caller, bucket: str, keys: list[str]) -> list[Row]:
        """Delete the objects that exist and that the caller may delete; return their rows."""
        await self._database.require_bucket(bucket)
        async with self._database.as_caller(caller) as connection:
            rows: list[Row] = await connection.fetch(
                "delete from storage.objects where bucket_id = $1 and name = any($2) returning *",
                bucket,
                keys,
            )
        for row in rows:
            self._blobs.remove(row["version"])
        return rows

    async def move(self, caller: Caller, source: tuple[str, str], target: tuple[str, str]) -> str:
        """Rename an object (bucket, key), keeping its id and its owner; return its id.

        Raises:
            StorageError: NoSuchKey, InvalidKey, KeyAlreadyExists, AccessDenied.
        """
        require_valid_key(target[1])
        self._blobs.require_storable(target[1])
        await self._database.require_bucket(target[0])
        try:
            async with self._database.as_caller(caller) as connection:
                object_id = await connection.fetchval(
                    "update storage.objects set bucket_id = $3, name = $4"
                    " where bucket_id = $1 and name = $2 returning id",
                    *source,
                    *target,
                )
        except asyncpg.UniqueViolationError:
            raise errors.key_already_exists() from None
        if object_id is None:
            raise errors.no_such_key()
        return str(object_id)

    async def copy(
        self,
        caller: Caller,
        source: tuple[str, str],
        target: tuple[str, str],
        *,
        upsert: bool,
        changes: MetadataChanges | None = None,
    ) -> Row:
        """Copy an object (bucket, key) for the caller to own; return the new row.

        An object may be copied onto itself, with `upsert`. It then has a new version, and its id
        stays. The ETag of a copy is that of one part, whatever it was before.

        Args:
            caller: becomes the owner; a caller without an id leaves the copy without one.
            source: what to copy.
            target: where to.
            upsert: whether it may be there already.
            changes: what replaces metadata of the original; None for a copy with all of it.

        Raises:
            StorageError: NoSuchKey, InvalidKey, KeyAlreadyExists, AccessDenied.
        """
        require_valid_key(target[1])
        await self._database.require_bucket(target[0])
        async with self._database.as_caller(caller) as connection:
            original = await connection.fetchrow(
                "select version, metadata, user_metadata"  # noqa: S608 - a constant
                f" from storage.objects where bucket_id = $1 and name = $2 and {IS_OBJECT}",
                *source,
            )
        if original is None:
            raise errors.no_such_key()
        try:
            version = self._blobs.copy(original["version"])
            copied = await asyncio.to_thread(self._copied, version, original, changes)
        except FileNotFoundError:
            raise self._blobs.lost() from None
        await self.store(caller, *target, copied, upsert=upsert, is_copy=True)
        async with self._database.as_owner() as connection:
            return await fetch_object(connection, *target)

    def _copied(self, version: str, original: Row, changes: MetadataChanges | None) -> Received:
        """The blob of a copy, with the metadata that it is to have."""
        metadata = orjson.loads(original["metadata"])
        user_metadata = orjson.loads(original["user_metadata"] or "null")
        if changes is not None:
            user_metadata = changes.user_metadata
            metadata |= {
                "mimetype": changes.file.mimetype or metadata["mimetype"],
                "cacheControl": changes.file.cache_control or metadata["cacheControl"],
            }
        is_multipart = "-" in metadata["eTag"]
        return Received(
            version=version,
            etag=f'"{self._blobs.md5(version)}"' if is_multipart else metadata["eTag"],
            size=metadata["size"],
            mimetype=metadata["mimetype"],
            cache_control=metadata["cacheControl"],
            user_metadata=user_metadata,
        )


async def fetch_object(connection: Connection, bucket: str, key: str) -> Row:
    """An object's whole row, as the connection's role sees it.

    Raises:
        StorageError: NoSuchKey.
    """
    row: Row | None = await connection.fetchrow(
        "select * from storage.objects"  # noqa: S608 - a constant
        f" where bucket_id = $1 and name = $2 and {IS_OBJECT}",
        bucket,
        key,
    )
    if row is None:
        raise errors.no_such_key()
    return row


def metadata_json(received: Received) -> str:
    """What goes into the column `metadata`, key by key as the real server writes it."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return orjson.dumps(
        {
            "eTag": received.etag,
            "size": received.size,
            "mimetype": received.mimetype,
            "cacheControl": received.cache_control,
            "lastModified": now,
            "contentLength": received.size,
            "httpStatusCode": 200,
        }
    ).decode()


def _json(value: dict[str, Any] | None) -> str | None:
    return None if value is None else orjson.dumps(value).decode()
