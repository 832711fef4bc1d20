"""`/object/list` (folders as rows without an id) and `/object/list-v2` (by cursor)."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Any, Literal

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from supabase_local.storage import errors
from supabase_local.storage.database import Row
from supabase_local.storage.lookups import IS_OBJECT
from supabase_local.storage.requests import caller_of, json_body
from supabase_local.storage.service import Storage
from supabase_local.tokens import Caller

MAX_PAGE = 1000
_MOMENTS = ("updated_at", "created_at", "last_accessed_at")

# The part of a name after the prefix, up to the next slash: a file, or a folder once.
_LIST = """
    with below as (
      select substr(name, length($2) + 1) as rest, *
      from storage.objects
      where bucket_id = $1 and name collate "C" >= $2 and starts_with(name, $2) and {is_object}
        and starts_with(lower(substr(name, length($2) + 1)), lower($3))
    ), entries as (
      select rest as entry, id, updated_at, created_at, last_accessed_at, metadata
      from below where strpos(rest, '/') = 0 and rest <> ''
      union all
      select distinct split_part(rest, '/', 1), null::uuid, null::timestamptz, null::timestamptz,
        null::timestamptz, null::jsonb
      from below where strpos(rest, '/') > 0
    )
    select * from entries order by {order} limit $4 offset $5
"""
# The same over whole names, where a folder is a name that ends with a slash.
_LIST_V2 = """
    with below as (
      select substr(name, length($2) + 1) as rest, *
      from storage.objects
      where bucket_id = $1 and name collate "C" >= $2 and starts_with(name, $2) and {is_object}
    ), entries as (
      select name as entry, id, updated_at, created_at, last_accessed_at, metadata
      from below where not $3 or strpos(rest, '/') = 0
      union all
      select distinct $2 || split_part(rest, '/', 1) || '/', null::uuid, null::timestamptz,
        null::timestamptz, null::timestamptz, null::jsonb
      from below where $3 and strpos(rest, '/') > 0
    )
    select * from entries where {after} order by {order} limit $4
"""


class SortBy(msgspec.Struct):
    column: Literal["name", "updated_at", "created_at", "last_accessed_at"] = "name"
    order: str | None = "asc"

    @property
    def direction(self) -> str:
        return "desc" if (self.order or "asc").lower() == "desc" else "asc"


class ListBody(msgspec.Struct, rename="camel"):
    prefix: str = ""
    limit: int = 100
    offset: int = 0
    search: str | None = None
    sort_by: SortBy = msgspec.field(default_factory=SortBy)


class ListV2Body(msgspec.Struct):
    prefix: str = ""
    limit: int = MAX_PAGE
    cursor: str | None = None
    with_delimiter: bool = False
    sort_by: SortBy = msgspec.field(default_factory=SortBy, name="sortBy")


class Cursor(msgspec.Struct):
    """The last entry of a page, and the order it was the last in."""

    entry: str
    column: str
    direction: str
    moment: str | None = None

    def encode(self) -> str:
        """As clients get it and send it back."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode()

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Read what `encode` made.

        Raises:
            StorageError: it is not such a cursor.
        """
        try:
            cursor = msgspec.json.decode(base64.urlsafe_b64decode(text), type=cls)
        except (binascii.Error, ValueError, msgspec.DecodeError):
            raise errors.invalid_request("Invalid Parameter continuation token") from None
        if cursor.column not in ("name", *_MOMENTS) or cursor.direction not in ("asc", "desc"):
            raise errors.invalid_request("Invalid Parameter continuation token")
        return cursor


def routes(storage: Storage) -> list[Route]:
    """The routes."""
    handlers = _Listing(storage)
    return [
        Route("/object/list/{bucket}", handlers.list, methods=["POST"]),
        Route("/object/list-v2/{bucket}", handlers.list_v2, methods=["POST"]),
    ]


class _Listing:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def list(self, request: Request) -> Response:
        """One level of folders and files. A bucket that is missing or hidden lists as empty."""
        body: ListBody = await json_body(request, ListBody)
        prefix = body.prefix if not body.prefix or body.prefix.endswith("/") else f"{body.prefix}/"
        order = _order(body.sort_by.column, body.sort_by.direction)
        async with self._storage.database.as_caller(self._caller(request)) as connection:
            rows = await connection.fetch(
                _LIST.format(is_object=IS_OBJECT, order=order),
                request.path_params["bucket"],
                prefix,
                body.search or "",
                body.limit,
                body.offset,
            )
        return _json([{"name": row["entry"], **_details(row)} for row in rows])

    async def list_v2(self, request: Request) -> Response:
        """Whole names under a literal prefix, page by page."""
        body: ListV2Body = await json_body(request, ListV2Body)
        cursor = Cursor.decode(body.cursor) if body.cursor else None
        column = cursor.column if cursor else body.sort_by.column
        direction = cursor.direction if cursor else body.sort_by.direction
        limit = max(1, min(body.limit, MAX_PAGE))
        after, arguments = _after(cursor)
        async with self._storage.database.as_caller(self._caller(request)) as connection:
            rows = await connection.fetch(
                _LIST_V2.format(is_object=IS_OBJECT, after=after, order=_order(column, direction)),
                request.path_params["bucket"],
                body.prefix,
                body.with_delimiter,
                limit + 1,
                *arguments,
            )
        page, has_next = rows[:limit], len(rows) > limit
        answer: dict[str, Any] = {
            "hasNext": has_next,
            "folders": [
                {"name": row["entry"], "key": row["entry"].rstrip("/")}
                for row in page
                if row["id"] is None
            ],
            "objects": [
                {"name": row["entry"], "key": row["entry"], **_details(row)}
                for row in page
                if row["id"] is not None
            ],
        }
        if has_next:
            answer["nextCursor"] = _cursor_after(page[-1], column, direction).encode()
            answer["nextCursorKey"] = page[-1]["entry"]
        return _json(answer)

    def _caller(self, request: Request) -> Caller:
        return caller_of(request.headers.get("authorization"), self._storage.verifier)


def _order(column: str, direction: str) -> str:
    by_name = f'entry collate "C" {direction}'
    if column == "name":
        return by_name
    return f"coalesce({column}, '-infinity') {direction}, {by_name}"


def _after(cursor: Cursor | None) -> tuple[str, tuple[Any, ...]]:
    """The condition that an entry comes after the cursor, and its arguments ($5, $6)."""
    if cursor is None:
        return "true", ()
    comparison = ">" if cursor.direction == "asc" else "<"
    if cursor.column == "name":
        return f'entry collate "C" {comparison} $5', (cursor.entry,)
    return (
        f"(coalesce({cursor.column}, '-infinity'), entry collate \"C\") {comparison}"
        " (coalesce($6, '-infinity'::timestamptz), $5)",
        (cursor.entry, datetime.fromisoformat(cursor.moment) if cursor.moment else None),
    )


def _cursor_after(row: Row, column: str, direction: str) -> Cursor:
    moment = row[column] if column != "name" else None
    return Cursor(row["entry"], column, direction, moment.isoformat() if moment else None)


def _details(row: Row) -> dict[str, Any]:
    moments = {name: row[name] for name in _MOMENTS}
    return {"id": row["id"], **moments, "metadata": orjson.loads(row["metadata"] or "null")}


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value, default=str), media_type="application/json")
