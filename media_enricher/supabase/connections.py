"""Connections to Storage, opened ahead of need: to set one up takes two or three round trips."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp import connector
from aiohttp.tracing import Trace
from yarl import URL

_IDLE_SECONDS = 30.0
_DNS_SECONDS = 300
_WORTH_OPENING = 8
"""Fewer connections than this are not opened ahead."""

connected_at: ContextVar[float] = ContextVar("connected_at", default=0.0)
"""When the last request of this task got its connection, by `time.perf_counter`."""


class Connections(aiohttp.TCPConnector):
    """The connections to one server, as many as there are requests at once.

    Attributes:
        opening: the tasks that open connections ahead.
    """

    def __init__(self, url: str, connect_seconds: float) -> None:
        """Open none yet. Needs a running event loop.

        Args:
            url: of the server.
            connect_seconds: the longest that opening one ahead may take.
        """
        super().__init__(limit=0, keepalive_timeout=_IDLE_SECONDS, ttl_dns_cache=_DNS_SECONDS)
        self._url = URL(url)
        self._connect_timeout = aiohttp.ClientTimeout(sock_connect=connect_seconds)
        self._is_proxied = proxy_for(url) is not None
        self._opened = 0
        self.opening: set[asyncio.Task[None]] = set()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own
    ) -> connector.Connection:
        """An idle connection, or a new one. Notes when that was."""
        connection = await super().connect(req, traces, timeout)
        connected_at.set(time.perf_counter())
        return connection

    def open_ahead(self, count: int) -> None:
        """Have so many connections opened in the background, those of earlier calls included.

        What the server closed meanwhile is not replaced. One that cannot be opened is no error
        here: the request that needs it tells. Through a proxy, none are opened.
        """
        missing = count - self._opened
        if self._is_proxied or missing < _WORTH_OPENING:
            return
        self._opened = count
        task = asyncio.get_running_loop().create_task(self._open(missing))
        self.opening.add(task)
        task.add_done_callback(self.opening.discard)

    async def _open(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        request = aiohttp.ClientRequest("GET", self._url, loop=loop)

        async def open_one() -> None:
            # Not by `connect`: that would take an idle one, which a request may need meanwhile.
            protocol = await self._create_connection(request, [], self._connect_timeout)
            connector.Connection(self, request.connection_key, protocol, loop).release()

        for error in await asyncio.gather(
            *(open_one() for _ in range(count)), return_exceptions=True
        ):
            if error and not isinstance(error, (aiohttp.ClientError, OSError, TimeoutError)):
                raise error


def proxy_for(url: str) -> str | None:
    """The proxy of the environment for a URL. Looked up once, which aiohttp does for each GET."""
    parts = urlsplit(url)
    if parts.hostname is None or proxy_bypass(parts.hostname):
        return None
    return getproxies().get(parts.scheme)
