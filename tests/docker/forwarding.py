"""A way from the containers' network to what listens on this machine's loopback interface."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress

from anyio.from_thread import start_blocking_portal

from supabase_local.ports import HOST

_Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def forwarded(address: str, *ports: int) -> Iterator[None]:
    """Pass on connections to these ports of an address of this machine, while the block runs."""
    with (
        start_blocking_portal() as elsewhere,
        elsewhere.wrap_async_context_manager(_forwarding(address, ports)),
    ):
        yield


@asynccontextmanager
async def _forwarding(address: str, ports: tuple[int, ...]) -> AsyncIterator[None]:
    async with AsyncExitStack() as servers:
        for port in ports:
            server = await asyncio.start_server(_passing_on_to(port), address, port)
            servers.callback(server.close)
        yield


def _passing_on_to(port: int) -> _Handler:
    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection(HOST, port)
        await asyncio.gather(_copy(reader, requests), _copy(answers, writer))

    return pass_on


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):  # either end may go at any time, and then the other goes, too
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    target.close()
