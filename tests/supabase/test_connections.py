"""Connections are opened before there are requests, and used by them."""

from __future__ import annotations

import asyncio
import time

import aiohttp
from aiohttp import web

from media_enricher.supabase.connections import Connections, connected_at

COUNT = 20


class CountingServer:
    """Counts its connections."""

    def __init__(self) -> None:
        self.connections = 0
        self.url = ""

    async def start(self) -> web.ServerRunner:
        runner = web.ServerRunner(web.Server(self._answer))
        make = runner.server or web.Server(self._answer)
        await runner.setup()
        loop = asyncio.get_running_loop()

        def count() -> asyncio.BaseProtocol:
            self.connections += 1
            return make()

        listening = await loop.create_server(count, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        return runner

    async def _answer(self, _request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=b"x")


async def opened(connections: Connections) -> None:
    await asyncio.gather(*connections.opening)


def test_requests_find_what_was_opened_ahead() -> None:
    async def run() -> None:
        server = CountingServer()
        runner = await server.start()
        connections = Connections(server.url, 5.0)
        async with aiohttp.ClientSession(connector=connections) as session:
            connections.open_ahead(COUNT)
            await opened(connections)
            assert server.connections == COUNT

            async def get() -> None:
                async with session.get(server.url + "/a") as answer:
                    await answer.read()

            began = time.perf_counter()
            await asyncio.gather(*(get() for _ in range(COUNT)))
            assert server.connections == COUNT
            await get()
            assert connected_at.get() >= began

            connections.open_ahead(COUNT)  # they are there
            connections.open_ahead(COUNT + 1)  # not worth it
            await opened(connections)
            assert server.connections == COUNT
            connections.open_ahead(2 * COUNT)
            await opened(connections)
            assert server.connections == 2 * COUNT
        await runner.cleanup()

    asyncio.run(run())


def test_no_server_is_no_error_before_there_is_a_request() -> None:
    async def run() -> None:
        connections = Connections("http://127.0.0.1:9", 1.0)
        connections.open_ahead(COUNT)
        await opened(connections)
        await connections.close()

    asyncio.run(run())
