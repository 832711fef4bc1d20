"""What a lane does, in a process or a thread: download on an event loop, and have it decoded.

A fixed number of workers take objects from one queue. Downloads run ahead of the decoding as far
as the lane's memory allows, so that the decoder, the scarce thing, always has something to do. The
decoder is a process apart: a lane holds a key, and looks at no bytes of strangers.
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
from media_enricher.engine.messages import Assignment, Effort, ProbeRequest, encode
from media_enricher.engine.options import MIB, EngineOptions
from media_enricher.engine.outcomes import outcome_of_failure
from media_enricher.engine.template import Template
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
    """Takes an encoded `Outcome`, as soon as there is one."""

    def __call__(self, ticket: int, outcome: bytes | msgspec.Raw, /) -> None: ...


class LaneCore:
    """Enriches what it is assigned. For one event loop, whose thread calls all its methods."""

    def __init__(self, options: EngineOptions, template: Template, deliver: Deliver) -> None:
        """Prepare.

        Args:
            options: how to work.
            template: what its decoders are forked from.
            deliver: called on the loop's thread with each outcome.
        """
        self._options = options
        self._deliver = deliver
        self._assigned: asyncio.Queue[Assignment] = asyncio.Queue()
        self._limiter = AdaptiveLimiter(options.downloads_per_lane)
        self._budget = ByteBudget(options.lane_memory_bytes)
        self._spool_bytes = min(options.spool_bytes, options.lane_memory_bytes)
        self._decoder = Decoder(options, template)

    async def ready(self) -> None:
        """Wait until there is a decoder. `run` must be running."""
        await self._decoder.ready

    def assign(self, assignments: list[Assignment]) -> None:
        """Queue objects; each one's outcome is delivered, in whatever order they are done."""
        for assignment in assignments:
            self._assigned.put_nowait(assignment)

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            DecoderStartError: there is nothing to decode with.
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
            # Twice as many as downloads: the others wait for the decoder with what they have.
            for _ in range(2 * options.downloads_per_lane):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            assignment = await self._assigned.get()
            self._deliver(assignment.ticket, await self._enrich(assignment))

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
        except LargerThanExpectedError as larger:  # the listing was wrong, or is old by now
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
            download = await self._paced(lambda: self._downloader.whole(source, room=room), effort)
            with download:
                answer = await self._probe(source, depth, download, effort)
            if isinstance(answer, int):
                return _asked_for_nothing(source, depth, answer, effort)
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
                return _asked_for_nothing(source, Depth.HEADER, answer, effort)
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
            return await self._paced(
                lambda: self._downloader.part(source, start, stop, of_etag=of_etag), effort
            )
        finally:
            self._budget.release(share)

    async def _paced(self, request: Callable[[], Awaitable[Download]], effort: Effort) -> Download:
        """Make a request when it is its turn; a few times over if the server is overloaded."""
        tries_left = self._options.overload_tries
        while True:
            asked_at = await self._limiter.acquire()
            started = time.perf_counter()
            try:
                download = await request()
            except SupabaseError as error:
                tries_left -= 1
                if not error.is_overload:
                    raise
                self._limiter.overloaded(asked_at, error.retry_after)
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
        """Have bytes decoded: an encoded outcome, or how many of the first bytes it takes."""
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


def _asked_for_nothing(source: StorageObject, depth: Depth, answer: int, effort: Effort) -> bytes:
    """The outcome of an object whose probe asks for bytes that it has, which is a bug of ours."""
    message = f"the probe asked for the first {answer:,} bytes, and had them"
    return encode(outcome_of_failure(source, depth, ErrorCode.PROBE_CRASHED, message, effort))
