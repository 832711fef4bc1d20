"""Parameters of a query that say nothing: taken out before a route reads it.

Forms and clients send them with every request, and to most routes they would be invalid values.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_plus

_NOT_OURS = frozenset({"forceFunctionRegion"})
"""Added by supabase-js for Supabase's own routing (`invoke(…, {region})`)."""
_NONE_IF_EMPTY = frozenset({"limit", "prefix"})
"""A form sends these empty when they are not filled in. Others have no empty value that is safe to
leave out: without `bucket`, `POST /cron` does something else."""


class NormalizedQuery:
    """ASGI middleware: takes out of the query what is not for us, or counts as not given."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["query_string"]:
            scope = {**scope, "query_string": normalized(scope["query_string"])}
        await self._app(scope, receive, send)


def normalized(query: bytes) -> bytes:
    """The query without such parameters; all others stay as they were sent."""
    return b"&".join(pair for pair in query.split(b"&") if not _says_nothing(pair))


def _says_nothing(pair: bytes) -> bool:
    given, _, value = pair.partition(b"=")
    name = unquote_plus(given.decode("latin-1"))
    return name in _NOT_OURS or (name in _NONE_IF_EMPTY and not value)
