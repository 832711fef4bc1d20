"""What an engine worker does: download objects on an event loop, and pass them to its decoder.

Tasks take objects from one queue, twice as many as there may be downloads. Downloads run ahead of
the decoding as far as the worker's memory allows, so that the decoder, which is the bottleneck,
always has work. The decoder is another process: a worker holds a key, so it never reads untrusted
bytes.
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
from media_enricher.engine.loop_delay import LoopDelay
from media_enricher.engine.messages import Assignment, Effort, ProbeRequest, encode
from media_enricher.engine.options import MIB, EngineOptions
from media_enricher.engine.outcomes import outcome_of_failure
from media_enricher.engine.rate_limit import RateLimit
from media_enricher.models import Depth, ErrorCode, StorageObject
from media_enricher.probe import MOST_RANGE_BYTES, first_range
from media_enricher.probe.parts import Parts
from media_enricher.probe.source import ByteRange
from media_enricher.supabase.answers import (
    Download,
    LargerThanExpectedError,
    ObjectChangedError,
    Received,
)
from media_enricher.supabase.downloads import Downloader
from media_enricher.supabase.errors import SupabaseError

_ROOM_FOR_UNKNOWN_SIZE = MIB
_MOST_ROUNDS = 64
"""Far more than any probe needs: what it asks for grows with what it has."""


class Deliver(Protocol):
    """Takes the encoded `Outcome` of an assignment, named by its number."""

    def __call__(self, number: int, outcome: bytes | msgspec.Raw, /) -> None: ...


class EngineWorker:
    """Enriches what it is assigned. For one event loop, whose thread calls all its methods."""

    def __init__(
        self,
        options: EngineOptions,
        fork_server: ForkServer,
        deliver: Deliver,
        rate_limit: RateLimit | None = None,
    ) -> None:
        """Prepare.

        Args:
            options: how to work.
            fork_server: what its decoders are forked from.
            deliver: called on the loop's thread with each outcome.
            rate_limit: of this worker's downloads, together with those of others.
        """
        self._rate_limit = rate_limit
        self._options = options
        self._deliver = deliver
        self._assigned: asyncio.Queue[Assignment] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        self._loop_delay = LoopDelay(loop.time, loop.call_later)
        self._limiter = AdaptiveLimiter(options.downloads_per_worker, grown=self._grown)
        self._working = 0
        self._budget = ByteBudget(options.worker_memory_bytes)
        self._spool_bytes = min(options.spool_bytes, options.worker_memory_bytes)
        self._range_bytes = min(MOST_RANGE_BYTES, self._spool_bytes)
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
            self._group = group
            group.create_task(self._decoder.run())
            self._grown(self._limiter.limit)

    def _grown(self, downloads: int) -> None:
        """Have enough tasks and connections for so many downloads, and for soon."""
        # Twice as many as downloads: the others have downloaded, and wait for the decoder.
        for _ in range(2 * downloads - self._working):
            self._working += 1
            self._group.create_task(self._work())
        self._downloader.open_ahead(self._limiter.downloads_soon)

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
        """Read all of an object, or a little of one that is too large for that."""
        room = _ROOM_FOR_UNKNOWN_SIZE if source.size_bytes is None else source.size_bytes
        try:
            return await self._read_whole_or_ranges(source, effort, room)
        except LargerThanExpectedError as larger:  # the listing was wrong, or is outdated
            room = larger.size_bytes
        try:
            return await self._read_whole_or_ranges(source, effort, room)
        except LargerThanExpectedError:
            raise ObjectChangedError from None

    async def _read_whole_or_ranges(
        self, source: StorageObject, effort: Effort, size_bytes: int
    ) -> bytes | msgspec.Raw:
        if size_bytes > self._options.max_whole_bytes:
            first = first_range(source.path, source.declared_content_type)
            return await self._read_ranges(
                source, Depth.FULL, effort, first, room=self._range_bytes
            )
        room = min(size_bytes, self._spool_bytes)
        share = await self._budget.acquire(room)
        try:
            download = await self._limited(
                lambda: self._downloader.whole(
                    source,
                    room=room,
                    most=self._options.max_whole_bytes,
                    received=self._counting(effort),
                ),
                effort,
            )
            with download:
                answer = await self._probe(
                    source, Depth.FULL, download, [(0, download.length)], effort
                )
            if isinstance(answer, list):
                return _needs_what_it_had(source, Depth.FULL, answer, effort)
            return answer
        finally:
            self._budget.release(share)

    async def _read_header(self, source: StorageObject, effort: Effort) -> bytes | msgspec.Raw:
        # Few headers need more than the first range, and then not much more.
        first = first_range(source.path, source.declared_content_type)
        return await self._read_ranges(source, Depth.HEADER, effort, first, room=first)

    async def _read_ranges(
        self, source: StorageObject, depth: Depth, effort: Effort, first: int, *, room: int
    ) -> bytes | msgspec.Raw:
        """Read the `first` bytes of an object, and then whatever the probe asks for."""
        share = await self._budget.acquire(room)
        try:
            stop = min(first, self._range_bytes)
            download = await self._read_part(source, ByteRange(0, stop), effort)
            if download.size_bytes is None:
                download.size_bytes = source.size_bytes
            parts = Parts(download.data)
            rounds = 0
            while True:
                download.data, download.length = parts.joined, parts.length
                answer = await self._probe(source, depth, download, parts.layout, effort)
                if not isinstance(answer, list):
                    return answer
                rounds += 1
                missing = parts.missing(answer)
                if not missing or rounds == _MOST_ROUNDS:
                    return _needs_what_it_had(source, depth, answer, effort)
                for each in missing:
                    more = await self._read_part(source, each, effort, of_etag=download.etag)
                    parts.add(each.start, more.data)
        finally:
            self._budget.release(share)

    async def _read_part(
        self, source: StorageObject, wanted: ByteRange, effort: Effort, of_etag: str | None = None
    ) -> Download:
        return await self._limited(
            lambda: self._downloader.part(
                source,
                wanted.start,
                wanted.stop,
                of_etag=of_etag,
                received=self._counting(effort),
            ),
            effort,
        )

    def _counting(self, effort: Effort) -> Received:
        """Count what arrives for an object, and keep to the rate limit."""

        async def received(count: int) -> None:
            effort.bytes_read += count
            if self._rate_limit is not None:
                await self._rate_limit.received(count)

        return received

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
                self._limiter.answered(download.answer_seconds, self._loop_delay.seconds)
                return download
            finally:
                effort.download_seconds += time.perf_counter() - started
                self._limiter.release()

    async def _probe(
        self,
        source: StorageObject,
        depth: Depth,
        download: Download,
        parts: list[tuple[int, int]],
        effort: Effort,
    ) -> msgspec.Raw | list[ByteRange]:
        """Have bytes decoded. Returns an encoded outcome, or the bytes that are needed as well."""
        request = ProbeRequest(
            number=0,
            depth=depth,
            object=source,
            start=None,
            length=download.length,
            parts=parts,
            limit=self._range_bytes,
            size_bytes=download.size_bytes,
            etag=download.recorded_etag,
            content_type=download.content_type,
            effort=effort,
            cpu_seconds=self._options.cpu_seconds(download.length),
        )
        answer = await self._decoder.probe(request, download.data, download.file)
        effort.probe_seconds += answer.probe_seconds
        return answer.ranges or answer.outcome


def _needs_what_it_had(
    source: StorageObject, depth: Depth, ranges: list[ByteRange], effort: Effort
) -> bytes:
    """The outcome of an object whose probe does not stop asking for bytes: a bug of the probe."""
    asked = ", ".join(f"{each.start:,} to {each.stop:,}" for each in ranges)
    message = f"the probe asked again and again for bytes of the object, at last for {asked}"
    return encode(outcome_of_failure(source, depth, ErrorCode.PROBE_CRASHED, message, effort))
