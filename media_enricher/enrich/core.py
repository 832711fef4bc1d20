"""What a lane does, in a process or a thread: download on an event loop, decode beside it.

A fixed number of workers take objects from one queue. Downloads run ahead of the decoding as far
as the lane's memory allows, so that the decoder, the scarce thing, always has something to do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar

from media_enricher.enrich.budget import ByteBudget
from media_enricher.enrich.messages import Assignment, encode
from media_enricher.enrich.options import MIB, EngineOptions
from media_enricher.enrich.outcomes import (
    Effort,
    crashed,
    outcome_of_failure,
    outcome_of_findings,
)
from media_enricher.enrich.pace import Pace
from media_enricher.models import Depth, ErrorCode, Findings, Outcome, StorageObject
from media_enricher.probe import NeedMoreBytes, first_range, probe_full, probe_header
from media_enricher.supabase.downloads import (
    Download,
    Downloader,
    LargerThanExpectedError,
    ObjectChangedError,
)
from media_enricher.supabase.errors import SupabaseError

_ROOM_FOR_UNKNOWN_SIZE = MIB
_HANDED_OVER_BYTES = 128 * 1024
"""Two threads that take turns at the interpreter's lock cost 0.5 ms an object, and the decoding of
a small file not much more; so up to this size the loop does it by itself."""
_ON_LOOP, _ON_DECODER = 0, 1
"""The marks of the two threads that probe."""
_Probed = TypeVar("_Probed", Findings, Findings | NeedMoreBytes)


class Deliver(Protocol):
    """Takes an encoded `Outcome`, as soon as there is one."""

    def __call__(self, ticket: int, outcome: bytes, /) -> None: ...


class Marks(Protocol):
    """Numbers, kept where they outlive this process."""

    def __setitem__(self, index: int, number: int, /) -> None: ...


class LaneCore:
    """Enriches what it is assigned. For one event loop, whose thread calls all its methods."""

    def __init__(self, options: EngineOptions, deliver: Deliver, marks: Marks) -> None:
        """Prepare.

        Args:
            options: how to work.
            deliver: called on the loop's thread with each outcome.
            marks: item 0 is set to the ticket of the object that is probed on the loop's thread,
                item 1 to that on the decoder's, or to 0: if this process does not survive it, the
                parent knows whose bytes they were.
        """
        self._options = options
        self._deliver = deliver
        self._marks = marks
        self._assigned: asyncio.Queue[Assignment] = asyncio.Queue()
        self._pace = Pace(options.downloads_per_lane)
        self._budget = ByteBudget(options.lane_memory_bytes)
        self._spool_bytes = min(options.spool_bytes, options.lane_memory_bytes)
        self._decoder = ThreadPoolExecutor(1, thread_name_prefix="decoder")

    def assign(self, assignments: list[Assignment]) -> None:
        """Queue objects; each one's outcome is delivered, in whatever order they are done."""
        for assignment in assignments:
            self._assigned.put_nowait(assignment)

    async def run(self) -> None:
        """Work until cancelled."""
        options = self._options
        async with Downloader(
            options.supabase_url,
            options.service_key,
            silence_seconds=options.silence_seconds,
            spool_bytes=self._spool_bytes,
        ) as self._downloader:
            # Twice as many as downloads: the others wait for the decoder with what they have.
            workers = [self._work() for _ in range(2 * options.downloads_per_lane)]
            try:
                async with asyncio.TaskGroup() as group:
                    for worker in workers:
                        group.create_task(worker)
            finally:
                self._decoder.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        while True:
            assignment = await self._assigned.get()
            outcome = await self._enrich(assignment)
            self._deliver(assignment.ticket, _encoded(outcome))

    async def _enrich(self, assignment: Assignment) -> Outcome:
        source, depth = assignment.object, assignment.depth
        effort = Effort()
        read = self._read_header if depth is Depth.HEADER else self._read_full
        try:
            try:
                findings, download = await read(assignment, effort)
            except ObjectChangedError:
                findings, download = await read(assignment, effort)
        except SupabaseError as error:
            return outcome_of_failure(source, depth, error.code, str(error), effort)
        return outcome_of_findings(source, depth, findings, download, effort)

    async def _read_full(self, assignment: Assignment, effort: Effort) -> tuple[Findings, Download]:
        source = assignment.object
        room = _ROOM_FOR_UNKNOWN_SIZE if source.size_bytes is None else source.size_bytes
        try:
            return await self._read_whole(assignment, effort, room)
        except LargerThanExpectedError as larger:  # the listing was wrong, or is old by now
            room = larger.size_bytes
        try:
            return await self._read_whole(assignment, effort, room)
        except LargerThanExpectedError:
            raise ObjectChangedError from None

    async def _read_whole(
        self, assignment: Assignment, effort: Effort, room: int
    ) -> tuple[Findings, Download]:
        source = assignment.object
        room = min(room, self._spool_bytes)
        share = await self._budget.acquire(room)
        try:
            download = await self._paced(lambda: self._downloader.whole(source, room=room), effort)
            findings = await self._decode(assignment, download, effort)
            download.data = b""  # what the budget counts must be gone before it is given back
            return findings, download
        finally:
            self._budget.release(share)

    async def _read_header(
        self, assignment: Assignment, effort: Effort
    ) -> tuple[Findings, Download]:
        source = assignment.object
        part = await self._read_part(
            source, 0, first_range(source.path, source.declared_content_type), effort
        )
        data = bytes(part.data)
        while True:
            size_bytes = source.size_bytes if part.size_bytes is None else part.size_bytes
            size_bytes = len(data) if size_bytes is None else size_bytes
            probe = partial(
                probe_header,
                data,
                size_bytes=size_bytes,
                path=source.path,
                declared_content_type=source.declared_content_type or part.content_type,
                options=self._options.probe,
            )
            findings = self._guarded(_ON_LOOP, assignment.ticket, probe, effort)
            if not isinstance(findings, NeedMoreBytes):
                return findings, part
            stop = min(findings.first_bytes, size_bytes)
            if stop <= len(data):
                return crashed(f"the probe asked for {stop:,} bytes of {len(data):,}"), part
            rest = await self._read_part(source, len(data), stop, effort, of_etag=part.etag)
            data += rest.data

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
            asked_at = await self._pace.acquire()
            started = time.perf_counter()
            try:
                download = await request()
            except SupabaseError as error:
                tries_left -= 1
                if not error.is_overload:
                    raise
                self._pace.overloaded(asked_at, error.retry_after)
                if not tries_left:
                    raise
            else:
                effort.bytes_read += len(download.data)
                self._pace.answered(download.answer_seconds)
                return download
            finally:
                effort.download_seconds += time.perf_counter() - started
                self._pace.release()

    async def _decode(self, assignment: Assignment, download: Download, effort: Effort) -> Findings:
        """Probe a whole object: on the decoder's thread, unless handing it over costs more."""
        source, ticket = assignment.object, assignment.ticket
        probe = partial(
            probe_full,
            download.data,
            path=source.path,
            declared_content_type=source.declared_content_type or download.content_type,
            options=self._options.probe,
        )
        if len(download.data) <= _HANDED_OVER_BYTES:
            return self._guarded(_ON_LOOP, ticket, probe, effort)
        return await asyncio.get_running_loop().run_in_executor(
            self._decoder, self._guarded, _ON_DECODER, ticket, probe, effort
        )

    def _guarded(
        self, mark: int, ticket: int, probe: Callable[[], _Probed], effort: Effort
    ) -> _Probed | Findings:
        """Run a probe, so that whatever becomes of it costs this object alone."""
        started = time.perf_counter()
        self._marks[mark] = ticket
        try:
            return probe()
        except Exception as error:  # noqa: BLE001 - a decoder's bug must cost one object, not a run
            return crashed(f"{type(error).__name__}: {error}")
        finally:
            self._marks[mark] = 0
            effort.probe_seconds += time.perf_counter() - started


def _encoded(outcome: Outcome) -> bytes:
    """The outcome as it goes to the parent, or that of a crash if it holds what can't be said."""
    try:
        return encode(outcome)
    except (TypeError, ValueError, OverflowError) as error:
        asset = outcome.asset
        source = StorageObject(
            bucket=asset.bucket,
            path=asset.path,
            etag=asset.etag,
            size_bytes=asset.size_bytes,
            declared_content_type=asset.declared_content_type,
            previous_etag=outcome.previous_etag,
            attempts=outcome.attempts - 1,
        )
        message = f"what was found cannot be stored: {error}"
        return encode(outcome_of_failure(source, asset.depth, ErrorCode.PROBE_CRASHED, message))
