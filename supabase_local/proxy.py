"""A streaming reverse proxy: `/rest/v1` to PostgREST, `/functions/v1` to the functions' server."""

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
    }
)
_OURS = frozenset({b"date"})


class Proxy:
    """An ASGI app that passes requests on to another server of this machine."""

    def __init__(
        self,
        target: Callable[[], str | None],
        *,
        strip: str = "",
        keep_host: bool = False,
        caller_header: bytes | None = None,
        away: str,
    ) -> None:
        """Take the server's address from a function, for it may change with a restart.

        Args:
            target: the address, as `http://127.0.0.1:4000`; None while the server is away.
            strip: what is taken off the start of each path; else the path stays whole.
            keep_host: tell the server the `Host` that the client asked for, and not its own.
            caller_header: tell the server the caller's address in this header, whatever the caller
                said there.
            away: the message of the 503 while the server does not answer.
        """
        self._target = target
        self._strip = strip
        self._caller_header = caller_header
        replaced = {caller_header} if caller_header else set()
        self._dropped = _HOP_BY_HOP | replaced | (set() if keep_host else {b"host"})
        self._away = away
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._session.close()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        target = self._target()
        if target is None:
            await self._unavailable(send)
            return
        query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
        path = scope["raw_path"].decode("latin-1").removeprefix(self._strip) or "/"
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in scope["headers"]
            if name not in self._dropped
        ]
        if self._caller_header and scope["client"]:
            headers.append((self._caller_header.decode("latin-1"), scope["client"][0]))
        try:
            async with self._session.request(
                scope["method"],
                URL(f"{target}{path}{query}", encoded=True),
                headers=headers,
                data=await _body(receive),
                allow_redirects=False,
            ) as answer:
                await _relay(answer, send)
        except aiohttp.ClientConnectionError:
            await self._unavailable(send)

    async def _unavailable(self, send: Any) -> None:
        body = orjson.dumps({"message": self._away})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": body})


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
