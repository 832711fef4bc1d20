"""A Storage server that misbehaves on request: what the real one does only on its bad days."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiohttp import web

ROUTE = "/storage/v1/object/authenticated/"
INFO_ROUTE = "/storage/v1/object/info/authenticated/"
Answer = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]


@dataclass
class ReceivedRequest:
    """One request that the server got."""

    path: str
    at: float
    byte_range: str | None
    headers: dict[str, str] = field(repr=False)


def etag_of(data: bytes) -> str:
    """As Storage writes it, in quotes."""
    return f'"{hashlib.md5(data).hexdigest()}"'


def plain(*, ranges: bool = True, **headers: str) -> Answer:
    """What a healthy server answers; or one that knows no ranges, or adds headers."""

    with_dashes = {name.replace("_", "-"): value for name, value in headers.items()}

    async def answer(request: web.Request, data: bytes) -> web.StreamResponse:
        sent = {"ETag": etag_of(data)} | with_dashes
        wanted = request.http_range if ranges else slice(None)
        if wanted.start is None:
            return web.Response(body=data, headers=sent, content_type="image/png")
        if wanted.start >= len(data):
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(data)}"})
        body = data[wanted.start : wanted.stop]
        sent["Content-Range"] = f"bytes {wanted.start}-{wanted.start + len(body) - 1}/{len(data)}"
        return web.Response(status=206, body=body, headers=sent, content_type="image/png")

    return answer


def refuse(status: int, body: dict[str, str] | str = "", **headers: str) -> Answer:
    """An error."""

    async def answer(request: web.Request, data: bytes) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, str):
            return web.Response(status=status, text=body, headers=named)
        return web.json_response(body, status=status, headers=named)

    return answer


def cut_short(after: int, *, reset: bool) -> Answer:
    """A body that ends before its announced length: by a reset, or by an orderly close."""

    async def answer(request: web.Request, data: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"ETag": etag_of(data)})
        response.content_length = len(data)
        await response.prepare(request)
        await response.write(data[:after])
        await asyncio.sleep(0.05)
        transport = request.transport
        assert transport is not None
        transport.abort() if reset else transport.close()
        return response

    return answer


def trickle(piece: int, every: float) -> Answer:
    """A body in small pieces, each after a pause."""

    async def answer(request: web.Request, data: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"ETag": etag_of(data)})
        response.content_length = len(data)
        await response.prepare(request)
        for start in range(0, len(data), piece):
            await response.write(data[start : start + piece])
            await asyncio.sleep(every)
        return response

    return answer


def chunked() -> Answer:
    """A body whose length is not announced."""

    async def answer(request: web.Request, data: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"ETag": etag_of(data)})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(data)
        return response

    return answer


def misleading(*, body: bytes | None = None, etag: str | None = None, half: bool = False) -> Answer:
    """Status 200, and a length that fits: a proxy's page, a part of the body, or another etag."""

    async def answer(request: web.Request, data: bytes) -> web.StreamResponse:
        sent = data[: len(data) // 2] if half else data
        headers = {"ETag": etag or etag_of(data)} if body is None or etag else {}
        return web.Response(body=sent if body is None else body, headers=headers)

    return answer


def silent() -> Answer:
    """Nothing at all, for longer than anybody waits."""

    async def answer(request: web.Request, data: bytes) -> web.StreamResponse:
        await asyncio.sleep(3600)
        return await plain()(request, data)

    return answer


def held(until: threading.Event) -> Answer:
    """Nothing until an event has happened, and then what is usual."""

    async def answer(request: web.Request, data: bytes) -> web.StreamResponse:
        while not until.is_set():  # noqa: ASYNC110 - it is set by another thread
            await asyncio.sleep(0.01)
        return await plain()(request, data)

    return answer


class FaultyStorage:
    """Serves `objects` (by `bucket/path`) over HTTP, from a thread of its own.

    `next_answers` holds, for an object, what becomes of the next requests for it; after those it
    gets the `usual` answer.
    """

    def __init__(self) -> None:
        self.forget()
        self._at_once = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def forget(self) -> None:
        """Be as at the start: empty, well, and asked for nothing yet."""
        self.objects: dict[str, bytes] = {}
        self.next_answers: dict[str, list[Answer]] = defaultdict(list)
        self.usual: Answer = plain()
        self.delay_seconds = 0.0
        self.requests: list[ReceivedRequest] = []
        self.most_at_once = 0
        self._peers: set[object] = set()

    @property
    def connections(self) -> int:
        """How many connections were made so far."""
        return len(self._peers)

    def requests_for(self, path: str) -> list[ReceivedRequest]:
        """The requests that came for one object, in order."""
        return [request for request in self.requests if request.path == path]

    async def _start(self) -> None:
        application = web.Application()
        application.router.add_get(INFO_ROUTE + "{path:.*}", self._info)
        application.router.add_get(ROUTE + "{path:.*}", self._get)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def _stop(self) -> None:
        await self._runner.cleanup()
        answers_held_back = asyncio.all_tasks() - {asyncio.current_task()}
        for task in answers_held_back:
            task.cancel()
        await asyncio.gather(*answers_held_back, return_exceptions=True)

    async def _info(self, request: web.Request) -> web.StreamResponse:
        data = self.objects[request.match_info["path"]]
        return web.json_response({"etag": etag_of(data), "size": len(data)})

    async def _get(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        headers = dict(request.headers)
        self.requests.append(ReceivedRequest(path, time.monotonic(), headers.get("Range"), headers))
        self._peers.add(request.transport.get_extra_info("peername") if request.transport else None)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            queued = self.next_answers[path]
            answer = queued.pop(0) if queued else self.usual
            data = self.objects.get(path)
            if data is None:
                answer = refuse(
                    400,
                    {
                        "statusCode": "404",
                        "error": "not_found",
                        "message": "Object not found",
                        "code": "NoSuchKey",
                    },
                )
            return await answer(request, data or b"")
        finally:
            self._at_once -= 1


def overwriting(storage: FaultyStorage, path: str, data: bytes) -> Answer:
    """What a healthy server answers, of a version that is uploaded just before."""

    async def answer(request: web.Request, _before: bytes) -> web.StreamResponse:
        storage.objects[path] = data
        return await plain()(request, data)

    return answer
