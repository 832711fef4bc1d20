"""The routes under `/object` that are not plain downloads."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from supabase_local.storage import errors
from supabase_local.storage.database import Row
from supabase_local.storage.lookups import IS_OBJECT
from supabase_local.storage.names import require_valid_key
from supabase_local.storage.requests import caller_of, json_body
from supabase_local.storage.service import Storage
from supabase_local.storage.uploads import (
    MAX_OBJECT_BYTES,
    Limits,
    decode_user_metadata,
    receive,
)
from supabase_local.storage.writes import FileMetadata, MetadataChanges, fetch_object
from supabase_local.tokens import Caller


class _KeyConvertor(PathConvertor):
    """The rest of the path, line breaks too: whether it is a key, `require_valid_key` says."""

    regex = r"[\s\S]*"


register_url_convertor("key", _KeyConvertor())
_UNSIGNABLE = "Either the object does not exist or you do not have access to it"


class SignBody(msgspec.Struct, rename="camel"):
    expires_in: int
    paths: list[str] = []


class RemoveBody(msgspec.Struct):
    prefixes: list[str]


class TransferBody(msgspec.Struct, rename="camel"):
    bucket_id: str
    source_key: str
    destination_key: str
    destination_bucket: str | None = None


class CopyBody(TransferBody):
    copy_metadata: bool = True
    metadata: FileMetadata = FileMetadata()


def routes(storage: Storage) -> list[Route]:
    """The routes, those with a fixed first word before those that take it for a bucket."""
    handlers = _Objects(storage)
    return [
        Route("/object/move", handlers.move, methods=["POST"]),
        Route("/object/copy", handlers.copy, methods=["POST"]),
        Route("/object/info/authenticated/{bucket}/{key:key}", handlers.info, methods=["GET"]),
        Route("/object/info/public/{bucket}/{key:key}", handlers.public_info, methods=["GET"]),
        Route("/object/info/{bucket}/{key:key}", handlers.info, methods=["GET"]),
        Route("/object/upload/sign/{bucket}/{key:key}", handlers.sign_upload, methods=["POST"]),
        Route("/object/upload/sign/{bucket}/{key:key}", handlers.signed_upload, methods=["PUT"]),
        Route("/object/sign/{bucket}", handlers.sign_many, methods=["POST"]),
        Route("/object/sign/{bucket}/{key:key}", handlers.sign, methods=["POST"]),
        Route("/object/{bucket}", handlers.remove_many, methods=["DELETE"]),
        Route("/object/{bucket}/{key:key}", handlers.remove, methods=["DELETE"]),
        Route("/object/{bucket}/{key:key}", handlers.upload, methods=["POST"]),
        Route("/object/{bucket}/{key:key}", handlers.update, methods=["PUT"]),
    ]


class _Objects:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def upload(self, request: Request) -> Response:
        caller = self._caller(request)
        return await self._receive(request, caller, upsert=_wants_upsert(request))

    async def update(self, request: Request) -> Response:
        return await self._receive(request, self._caller(request), upsert=None)

    async def signed_upload(self, request: Request) -> Response:
        bucket, key = _address(request)
        token = request.query_params.get("token", "")
        claims = self._storage.signer.claims(token, bucket, key, "upload")
        owner = claims.get("owner")
        # Whether the signer may upload was checked when the URL was made.
        signer = Caller("service_role", {"sub": owner, "role": "service_role"}, "{}")
        return await self._receive(request, signer, upsert=bool(claims.get("upsert")))

    async def _receive(self, request: Request, caller: Caller, *, upsert: bool | None) -> Response:
        """Store the request's body; `upsert` None replaces an object that must exist."""
        bucket, key = _address(request)
        row = await self._storage.database.require_bucket(bucket)
        limits = Limits(row["file_size_limit"] or MAX_OBJECT_BYTES, row["allowed_mime_types"] or ())
        received = await receive(request.headers, request.stream(), self._storage.blobs, limits)
        writer = self._storage.writer
        if upsert is None:
            object_id = await writer.replace(caller, bucket, key, received)
        else:
            object_id = await writer.store(caller, bucket, key, received, upsert=upsert)
        return _json({"Key": f"{bucket}/{key}", "Id": object_id})

    async def remove(self, request: Request) -> Response:
        bucket, key = _address(request)
        if not await self._storage.writer.remove(self._caller(request), bucket, [key]):
            raise errors.no_such_key()
        return _json({"message": "Successfully deleted"})

    async def remove_many(self, request: Request) -> Response:
        caller = self._caller(request)
        body: RemoveBody = await json_body(request, RemoveBody)
        bucket = request.path_params["bucket"]
        rows = await self._storage.writer.remove(caller, bucket, body.prefixes)
        return _json([_row(row) for row in rows])

    async def move(self, request: Request) -> Response:
        caller = self._caller(request)
        body: TransferBody = await json_body(request, TransferBody)
        target = body.destination_bucket or body.bucket_id
        object_id = await self._storage.writer.move(
            caller, (body.bucket_id, body.source_key), (target, body.destination_key)
        )
        key = f"{target}/{body.destination_key}"
        return _json({"message": "Successfully moved", "Id": object_id, "Key": key})

    async def copy(self, request: Request) -> Response:
        caller = self._caller(request)
        body: CopyBody = await json_body(request, CopyBody)
        target = body.destination_bucket or body.bucket_id
        row = await self._storage.writer.copy(
            caller,
            (body.bucket_id, body.source_key),
            (target, body.destination_key),
            upsert=_wants_upsert(request),
            changes=None if body.copy_metadata else _changes(request, body.metadata),
        )
        key = f"{target}/{body.destination_key}"
        return _json({"Key": key, "Id": str(row["id"]), **_row(row)})

    async def info(self, request: Request) -> Response:
        bucket, key = _address(request)
        async with self._storage.database.as_caller(self._caller(request)) as connection:
            return _json(_info(await fetch_object(connection, bucket, key)))

    async def public_info(self, request: Request) -> Response:
        bucket, key = _address(request)
        found = await self._storage.database.require_bucket(bucket)
        if not found["public"]:
            raise errors.no_such_bucket()
        async with self._storage.database.as_owner() as connection:
            return _json(_info(await fetch_object(connection, bucket, key)))

    async def sign(self, request: Request) -> Response:
        bucket, key = _address(request)
        caller = self._caller(request)
        body: SignBody = await json_body(request, SignBody)
        async with self._storage.database.as_caller(caller) as connection:
            await fetch_object(connection, bucket, key)
        url = self._storage.signer.download_url(bucket, key, body.expires_in)
        return _json({"signedURL": url})

    async def sign_many(self, request: Request) -> Response:
        bucket = request.path_params["bucket"]
        caller = self._caller(request)
        body: SignBody = await json_body(request, SignBody)
        async with self._storage.database.as_caller(caller) as connection:
            rows = await connection.fetch(
                "select name from storage.objects"  # noqa: S608 - a constant
                f" where bucket_id = $1 and name = any($2) and {IS_OBJECT}",
                bucket,
                body.paths,
            )
        visible = {row["name"] for row in rows}
        return _json([self._signed(bucket, key, body.expires_in, visible) for key in body.paths])

    def _signed(self, bucket: str, key: str, seconds: int, visible: set[str]) -> dict[str, Any]:
        if key not in visible:
            return {"error": _UNSIGNABLE, "path": key, "signedURL": None}
        url = self._storage.signer.download_url(bucket, key, seconds)
        return {"error": None, "path": key, "signedURL": url}

    async def sign_upload(self, request: Request) -> Response:
        bucket, key = _address(request)
        caller = self._caller(request)
        await self._storage.database.require_bucket(bucket)
        upsert = _wants_upsert(request)
        await self._storage.writer.require_may_store(caller, bucket, key, upsert=upsert)
        url = self._storage.signer.upload_url(bucket, key, caller.owner_id, upsert=upsert)
        return _json({"url": url, "token": url.rpartition("token=")[2]})

    def _caller(self, request: Request) -> Caller:
        return caller_of(request.headers.get("authorization"), self._storage.verifier)


def _address(request: Request) -> tuple[str, str]:
    return request.path_params["bucket"], require_valid_key(request.path_params["key"])


def _wants_upsert(request: Request) -> bool:
    return request.headers.get("x-upsert") == "true"


def _changes(request: Request, metadata: FileMetadata) -> MetadataChanges:
    """What a copy is to have in place of the metadata of its original."""
    encoded = request.headers.get("x-metadata")
    return MetadataChanges(metadata, decode_user_metadata(encoded) if encoded else None)


def _row(row: Row) -> dict[str, Any]:
    """A row of `storage.objects` as the API shows it."""
    shown = {
        name: row[name] for name in ("name", "bucket_id", "owner", "owner_id", "version", "id")
    }
    moments = {name: row[name] for name in ("updated_at", "created_at", "last_accessed_at")}
    return {
        **shown,
        **moments,
        "metadata": orjson.loads(row["metadata"] or "null"),
        "user_metadata": orjson.loads(row["user_metadata"] or "null"),
    }


def _info(row: Row) -> dict[str, Any]:
    metadata = orjson.loads(row["metadata"] or "{}")
    return {
        "id": row["id"],
        "name": row["name"],
        "version": row["version"],
        "bucket_id": row["bucket_id"],
        "size": metadata.get("size"),
        "content_type": metadata.get("mimetype"),
        "cache_control": metadata.get("cacheControl"),
        "etag": metadata.get("eTag"),
        "metadata": orjson.loads(row["user_metadata"] or "null"),
        "last_modified": metadata.get("lastModified"),
        "created_at": row["created_at"],
    }


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value, default=str), media_type="application/json")
