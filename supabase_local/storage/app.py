"""The Storage server as one ASGI app: downloads first, everything else through Starlette."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from supabase_local.storage import buckets, errors, listing, objects
from supabase_local.storage.downloads import Download, send_object
from supabase_local.storage.names import require_valid_key
from supabase_local.storage.requests import caller_of
from supabase_local.storage.service import Storage
from supabase_local.tokens import Caller

_DOWNLOAD_ROUTES = frozenset({"authenticated", "public", "sign"})
_OBJECT_COMMANDS = frozenset({"info", "list", "list-v2", "move", "copy", "upload"})


class StorageApp:
    """`/storage/v1`, mounted with that prefix taken off the path."""

    def __init__(self, storage: Storage, access_log: AccessLog) -> None:
        self._storage = storage
        self._access_log = access_log
        self._api = Starlette(
            routes=[
                Route("/status", _status),
                Route("/health", _status),
                *listing.routes(storage),
                *objects.routes(storage),
                *buckets.routes(storage),
            ],
            exception_handlers={errors.StorageError: _refuse, 404: _no_route, 405: _no_route},
        )
        self._api.router.redirect_slashes = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        entry = _Entry(scope, send)
        try:
            if scope["method"] in ("GET", "HEAD") and scope["path"].startswith("/object/"):
                await self._read(scope, receive, entry.send)
            else:
                await self._api(scope, receive, entry.send)
        finally:
            self._access_log.write(entry)

    async def _read(self, scope: Any, receive: Any, send: Any) -> None:
        word, _, rest = scope["path"].removeprefix("/object/").partition("/")
        if word in _OBJECT_COMMANDS:
            await self._api(scope, receive, send)
            return
        route = word if word in _DOWNLOAD_ROUTES else ""
        bucket, _, key = (rest if route else f"{word}/{rest}").partition("/")
        headers: Mapping[bytes, bytes] = dict(scope["headers"])
        query = _query(scope)
        download = Download(scope["method"], headers, query.get("download"))
        try:
            require_valid_key(key)
            caller = await self._admit(route, bucket, key, download, query)
            found = await self._storage.database.find_download(caller, bucket, key)
            await send_object(found, self._storage.blobs, download, send)
        except errors.StorageError as refusal:
            await _answer(refusal)(scope, receive, send)

    async def _admit(
        self, route: str, bucket: str, key: str, download: Download, query: Mapping[str, str]
    ) -> Caller | None:
        """Who reads: a caller whom row level security binds, or None when leave is given already.

        Raises:
            StorageError: the route's own condition is not met.
        """
        database = self._storage.database
        if route == "sign":
            claims = self._storage.signer.claims(query.get("token", ""), bucket, key, "download")
            download.expires = formatdate(claims["exp"], usegmt=True)
            return None
        if route == "public":
            if not (await database.require_bucket(bucket))["public"]:
                raise errors.no_such_bucket()
            return None
        authorization = download.headers.get(b"authorization", b"").decode("latin-1")
        try:
            caller = caller_of(authorization, self._storage.verifier)
        except errors.StorageError:
            if route == "authenticated":
                raise
            if not (await database.require_bucket(bucket))["public"]:
                raise errors.no_such_bucket() from None  # never says whether it exists
            return None
        if caller.bypasses_rls or (await database.require_bucket(bucket))["public"]:
            return None
        return caller


class AccessLog:
    """One line of JSON for every request: method, path, status, bytes, range, and when."""

    def __init__(self, file: Path) -> None:
        self.path = file
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)

    def write(self, entry: _Entry) -> None:
        """Append a line, at once."""
        os.write(self._descriptor, orjson.dumps(entry.line(), option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class _Entry:
    """A request under way, for the log: the request, and what was sent of its answer so far."""

    __slots__ = ("_bytes", "_scope", "_send", "_status")

    def __init__(self, scope: Any, send: Any) -> None:
        self._scope = scope
        self._send = send
        self._status = 0
        self._bytes = 0

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        else:
            self._bytes += len(message.get("body", b""))
        await self._send(message)

    def line(self) -> dict[str, Any]:
        range_header = next(
            (value for name, value in self._scope["headers"] if name == b"range"), None
        )
        return {
            "time": time.time(),
            "method": self._scope["method"],
            "path": self._scope["path"],
            "status": self._status,
            "bytes": self._bytes,
            "range": range_header.decode("latin-1") if range_header else None,
        }


def _query(scope: Any) -> dict[str, str]:
    raw = scope["query_string"]
    if not raw:
        return {}
    parsed = parse_qs(raw.decode("latin-1"), keep_blank_values=True)
    return {name: values[-1] for name, values in parsed.items()}


def _answer(refusal: errors.StorageError) -> Response:
    return Response(
        orjson.dumps(refusal.body()),
        status_code=refusal.http_status,
        media_type="application/json",
    )


async def _refuse(request: Request, refusal: Exception) -> Response:  # noqa: ARG001
    if not isinstance(refusal, errors.StorageError):
        raise refusal
    return _answer(refusal)


async def _no_route(request: Request, _: Exception) -> Response:
    return _answer(
        errors.StorageError(
            404,
            "NotFound",
            f"Route {request.method}:{request.url.path} not found",
            error="Not Found",
        )
    )


async def _status(_: Request) -> Response:
    return Response(b'{"healthy":true}', media_type="application/json")
