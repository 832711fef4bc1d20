"""The routes under `/bucket`."""

from __future__ import annotations

import re
from typing import Any

import asyncpg
import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from supabase_local.storage import errors
from supabase_local.storage.database import Row
from supabase_local.storage.names import require_valid_bucket_name
from supabase_local.storage.requests import caller_of, json_body
from supabase_local.storage.service import Storage
from supabase_local.tokens import Caller

_SIZE = re.compile(r"(\d+(?:\.\d+)?)(GB|MB|KB|B)", re.IGNORECASE)
_UNITS = {"GB": 10**9, "MB": 10**6, "KB": 10**3, "B": 1}
_COLUMNS = (
    "id, name, owner, public, file_size_limit, allowed_mime_types, created_at, updated_at,"
    " type::text"
)


class BucketBody(msgspec.Struct):
    """What creating or changing a bucket takes; what is unset stays as it is."""

    name: str | None = None
    id: str | None = None
    public: bool | msgspec.UnsetType = msgspec.UNSET
    file_size_limit: int | str | msgspec.UnsetType | None = msgspec.UNSET
    allowed_mime_types: list[str] | msgspec.UnsetType | None = msgspec.UNSET

    def columns(self) -> dict[str, Any]:
        """The columns that were given, with a size as `10MB` in bytes."""
        given = {
            "public": self.public,
            "file_size_limit": _bytes(self.file_size_limit),
            "allowed_mime_types": self.allowed_mime_types,
        }
        return {name: value for name, value in given.items() if value is not msgspec.UNSET}


def routes(storage: Storage) -> list[Route]:
    """The routes."""
    handlers = _Buckets(storage)
    return [
        Route("/bucket", handlers.list, methods=["GET"]),
        Route("/bucket/", handlers.list, methods=["GET"]),
        Route("/bucket", handlers.create, methods=["POST"]),
        Route("/bucket/", handlers.create, methods=["POST"]),
        Route("/bucket/{bucket}", handlers.get, methods=["GET", "HEAD"]),
        Route("/bucket/{bucket}", handlers.update, methods=["PUT"]),
        Route("/bucket/{bucket}", handlers.delete, methods=["DELETE"]),
        Route("/bucket/{bucket}/empty", handlers.empty, methods=["POST"]),
    ]


class _Buckets:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def list(self, request: Request) -> Response:
        async with self._storage.database.as_caller(self._caller(request)) as connection:
            rows = await connection.fetch(f"select {_COLUMNS} from storage.buckets order by name")  # noqa: S608
        return _json([_shown(row) for row in rows])

    async def get(self, request: Request) -> Response:
        async with self._storage.database.as_caller(self._caller(request)) as connection:
            row = await connection.fetchrow(
                f"select {_COLUMNS} from storage.buckets where id = $1",  # noqa: S608
                request.path_params["bucket"],
            )
        if row is None:
            raise errors.no_such_bucket()
        return _json(_shown(row))

    async def create(self, request: Request) -> Response:
        caller = self._caller(request)
        body: BucketBody = await json_body(request, BucketBody)
        name = require_valid_bucket_name(body.name or body.id or "")
        columns = body.columns()
        try:
            async with self._storage.database.as_caller(caller) as connection:
                await connection.execute(
                    "insert into storage.buckets"
                    " (id, name, owner, owner_id, public, file_size_limit, allowed_mime_types)"
                    " values ($1, $2, $3, $4, $5, $6, $7)",
                    body.id or name,
                    name,
                    caller.owner,
                    caller.owner_id,
                    columns.get("public", False),
                    columns.get("file_size_limit"),
                    columns.get("allowed_mime_types"),
                )
        except asyncpg.UniqueViolationError:
            raise errors.bucket_already_exists() from None
        return _json({"name": name})

    async def update(self, request: Request) -> Response:
        caller = self._caller(request)
        body: BucketBody = await json_body(request, BucketBody)
        columns = body.columns()
        assignments = ", ".join(f"{name} = ${place}" for place, name in enumerate(columns, 2))
        async with self._storage.database.as_caller(caller) as connection:
            done = await connection.execute(
                f"update storage.buckets set {assignments or 'public = public'},"  # noqa: S608
                " updated_at = now() where id = $1",
                request.path_params["bucket"],
                *columns.values(),
            )
        if done == "UPDATE 0":
            raise errors.no_such_bucket()
        return _json({"message": "Successfully updated"})

    async def empty(self, request: Request) -> Response:
        caller = self._caller(request)
        bucket = request.path_params["bucket"]
        await self._storage.database.require_bucket(bucket)
        async with self._storage.database.as_caller(caller) as connection:
            rows = await connection.fetch(
                "delete from storage.objects where bucket_id = $1 returning version", bucket
            )
        for row in rows:
            self._storage.blobs.remove(row["version"])
        return _json(
            {"message": "Empty bucket has been queued. Completion may take up to an hour."}
        )

    async def delete(self, request: Request) -> Response:
        caller = self._caller(request)
        bucket = request.path_params["bucket"]
        await self._storage.database.require_bucket(bucket)
        async with self._storage.database.as_owner() as connection:
            is_used = await connection.fetchval(
                "select exists (select from storage.objects where bucket_id = $1)", bucket
            )
        if is_used:
            raise errors.bucket_not_empty()
        async with self._storage.database.as_caller(caller) as connection:
            done = await connection.execute("delete from storage.buckets where id = $1", bucket)
        if done == "DELETE 0":
            raise errors.no_such_bucket()
        return _json({"message": "Successfully deleted"})

    def _caller(self, request: Request) -> Caller:
        return caller_of(request.headers.get("authorization"), self._storage.verifier)


def _bytes(limit: int | str | msgspec.UnsetType | None) -> int | msgspec.UnsetType | None:
    if not isinstance(limit, str):
        return limit
    match = _SIZE.fullmatch(limit)
    if match is None:
        raise errors.invalid_request("Invalid file size format, hint: use 20GB / 20MB / 30KB / 3B")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _shown(row: Row) -> dict[str, Any]:
    return {**dict(row), "owner": str(row["owner"] or "")}


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value, default=str), media_type="application/json")
