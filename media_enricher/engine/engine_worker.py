"""What an engine worker does: download objects on an event loop, and pass them to its decoder.

A fixed number of tasks take objects from one queue. Downloads run ahead of the decoding as far as
the worker's memory allows, so that the decoder, which is the bottleneck, always has work. The
decoder is another process: a worker holds a key, so it never reads untrusted bytes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from media_enricher.engine.adaptive_limiter import AdaptiveLimiter
from media_enricher.engine.budget import ByteBudget
from media_enricher.engine.decoder_process import Decoder
from media_enricher.engine.fork_server import ForkServer
from media_enricher.engine.messages import Assignment, Effort, ProbeRequest, encode
from media_enricher.engine.options import MIB, EngineOptions
from media_enricher.engine.outcomes import outcome_of_failure
from media_enricher.models import Depth, ErrorCode, StorageObject
from media_enricher.probe import first_range
from media_enricher.supabase.downloads import (
    Download,
    Downloader,
    LargerThanExpectedError,
    ObjectChangedError,
)
from media_enricher.supabase.errors import SupabaseError

_ROOM_FOR_UNKNOWN_SIZE = MIB


class Deliver(Protocol):
    """Takes the encoded `Outcome` of an assignment, named by its number."""

    def __call__(self, number: int, outcome: bytes | msgspec.Raw, /) -> None: ...


class EngineWorker:
    """Enriches what it is assigned. For one event loop, whose thread calls all its methods."""

    def __init__(self, options: EngineOptions, fork_server: ForkServer, deliver: Deliver) -> None:
        """Prepare.

        Args:
            options: how to work.
            fork_server: what its decoders are forked from.
            deliver: called on the loop's thread with each outcome.
        """
        self._options = options
        self._deliver = deliver
        self._assigned: asyncio.Queue[Assignment] = asyncio.Queue()
        self._limiter = AdaptiveLimiter(options.downloads_per_worker)
        self._budget = ByteBudget(options.worker_memory_bytes)
        self._spool_bytes = min(options.spool_bytes, options.worker_memory_bytes)
        self._decoder = Decoder(options, fork_server)

    async def ready(self) -> None:
        """Wait until there is a decoder. `run` must be running."""
        await self._decoder.ready

    def assign(self, assignments: list[Assignment]) -> None:
        """Queue objects. Each one's outcome is delivered, in the order in which they are done."""
        for assignment in assignments:
            self._assigned.put_nowait(assignment)

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            DecoderStartError: no decoder can be started.
        """
        options = self._options
        async with (
            Downloader(
                options.supabase_url,
                options.service_key,
                silence_seconds=options.silence_seconds,
                spool_bytes=self._spool_bytes,
            ) as self._downloader,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._decoder.run())
            # Twice as many as downloads: the others have downloaded, and wait for the decoder.
            for _ in range(2 * options.downloads_per_worker):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            assignment = await self._assigned.get()
            self._deliver(assignment.number, await self._enrich(assignment))

    async def _enrich(self, assignment: Assignment) -> bytes | msgspec.Raw:
        source, depth = assignment.object, assignment.depth
        effort = Effort()
        read = self._read_header if depth is Depth.HEADER else self._read_full
        try:
            try:
                return await read(source, effort)
            except ObjectChangedError:
                return await read(source, effort)
        except SupabaseError as error:
            return encode(outcome_of_failure(source, depth, error.code, str(error), effort))

    async def _read_full(self, source: StorageObject, effort: Effort) -> bytes | msgspec.Raw:
        room = _ROOM_FOR_UNKNOWN_SIZE if source.size_bytes is None else source.size_bytes
        try:
            return await self._read_whole(source, effort, room)
        except LargerThanExpectedError as larger:  # the listing was wrong, or is outdated
            room = larger.size_bytes
        try:
            return await self._read_whole(source, effort, room)
        except LargerThanExpectedError:
            raise ObjectChangedError from None

    async def _read_whole(
        self, source: StorageObject, effort: Effort, room: int, depth: Depth = Depth.FULL
    ) -> bytes | msgspec.Raw:
        room = min(room, self._spool_bytes)
        share = await self._budget.acquire(room)
        try:
            download = await self._limited(
                lambda: self._downloader.whole(source, room=room), effort
            )
            with download:
                answer = await self._probe(source, depth, download, effort)
            if isinstance(answer, int):
                return _needs_what_it_had(source, depth, answer, effort)
            return answer
        finally:
            self._budget.release(share)

    async def _read_header(self, source: StorageObject, effort: Effort) -> bytes | msgspec.Raw:
        part = await self._read_part(
            source, 0, first_range(source.path, source.declared_content_type), effort
        )
        if part.size_bytes is None:
            part.size_bytes = source.size_bytes
        while True:
            answer = await self._probe(source, Depth.HEADER, part, effort)
            if not isinstance(answer, int):
                return answer
            held = len(part.data)
            stop = answer if part.size_bytes is None else min(answer, part.size_bytes)
            if stop <= held:
                return _needs_what_it_had(source, Depth.HEADER, answer, effort)
            if stop > self._spool_bytes:  # a header at the end of a large file
                return await self._read_whole(source, effort, stop, Depth.HEADER)
            rest = await self._read_part(source, held, stop, effort, of_etag=part.etag)
            part.data += rest.data
            part.length = len(part.data)

    async def _read_part(
        self,
        source: StorageObject,
        start: int,
        stop: int,
        effort: Effort,
        of_etag: str | None = None,
    ) -> Download:
        share = await self._budget.acquire(stop)
        try:
            return await self._limited(
                lambda: self._downloader.part(source, start, stop, of_etag=of_etag), effort
            )
        finally:
            self._budget.release(share)

    async def _limited(
        self, request: Callable[[], Awaitable[Download]], effort: Effort
    ) -> Download:
        """Make a request once the limiter allows it. Repeat it if the server is overloaded."""
        tries_left = self._options.overload_tries
        while True:
            requested_at = await self._limiter.acquire()
            started = time.perf_counter()
            try:
                download = await request()
            except SupabaseError as error:
                tries_left -= 1
                if not error.is_overload:
                    raise
                self._limiter.overloaded(requested_at, error.retry_after)
                if not tries_left:
                    raise
            else:
                effort.bytes_read += download.length
                self._limiter.answered(download.answer_seconds)
                return download
            finally:
                effort.download_seconds += time.perf_counter() - started
                self._limiter.release()

    async def _probe(
        self, source: StorageObject, depth: Depth, download: Download, effort: Effort
    ) -> msgspec.Raw | int:
        """Have bytes decoded. Returns an encoded outcome, or how many first bytes it needs."""
        request = ProbeRequest(
            number=0,
            depth=depth,
            object=source,
            start=None,
            length=download.length,
            size_bytes=download.size_bytes,
            etag=download.etag,
            content_type=download.content_type,
            effort=effort,
            cpu_seconds=self._options.cpu_seconds(download.length),
        )
        answer = await self._decoder.probe(request, download.data, download.file)
        effort.probe_seconds += answer.probe_seconds
        return answer.first_bytes or answer.outcome


def _needs_what_it_had(source: StorageObject, depth: Depth, answer: int, effort: Effort) -> bytes:
    """The outcome of an object whose probe asks for bytes that it had: a bug of the probe."""
    message = f"the probe asked for the first {answer:,} bytes, although it had them"
    return encode(outcome_of_failure(source, depth, ErrorCode.PROBE_CRASHED, message, effort))
