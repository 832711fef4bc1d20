"""`/rest/v1`: a streaming proxy to PostgREST."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import orjson
from yarl import URL

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"host",
    }
)
_OURS = frozenset({b"access-control-allow-origin", b"access-control-expose-headers", b"date"})


class RestProxy:
    """An ASGI app, mounted with `/rest/v1` taken off the path."""

    def __init__(self, postgrest_url: Callable[[], str | None]) -> None:
        """Take PostgREST's address from a function, for it changes with a restart."""
        self._postgrest_url = postgrest_url
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Close the connections to PostgREST."""
        await self._session.close()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        target = self._postgrest_url()
        if target is None:
            await _unavailable(send)
            return
        query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
        raw_path = scope["raw_path"].decode("latin-1").partition("/rest/v1")[2] or "/"
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in scope["headers"]
            if name not in _HOP_BY_HOP
        ]
        try:
            async with self._session.request(
                scope["method"],
                URL(f"{target}{raw_path}{query}", encoded=True),
                headers=headers,
                data=await _body(receive),
                allow_redirects=False,
            ) as answer:
                await _relay(answer, send)
        except aiohttp.ClientConnectionError:
            await _unavailable(send)


async def _body(receive: Any) -> bytes | AsyncIterator[bytes] | None:
    """The request's body: as it is if it came in one piece, else as a stream."""
    message = await receive()
    first: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        return first or None

    async def rest() -> AsyncIterator[bytes]:
        yield first
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            yield message.get("body", b"")

    return rest()


async def _relay(answer: aiohttp.ClientResponse, send: Any) -> None:
    headers = [
        (name.lower(), value)
        for name, value in answer.raw_headers
        if name.lower() not in _HOP_BY_HOP and name.lower() not in _OURS
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    async for chunk in answer.content.iter_any():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _unavailable(send: Any) -> None:
    body = orjson.dumps({"message": "name resolution failed: PostgREST does not answer"})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
