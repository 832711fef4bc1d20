"""The worker processes of a pool: which object goes to which, and what happens when one dies.

One thread owns all of it, and no other touches it, so there are no locks. It gives objects to the
worker with the least to do, a few at a time, and no more than keep a worker busy for a moment. So
all workers finish a batch together, and a worker that dies loses little.

A worker that dies is replaced, and the objects that it held are given out again. A worker never
reads untrusted bytes (its decoder does, and the worker replaces a decoder that dies), so its death
is an accident, as when memory runs out. An object that was held at the death of several workers
fails with an error that says so, because it would never end otherwise.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from math import ceil

from media_enricher.engine.allowance import extent_of
from media_enricher.engine.options import EngineOptions
from media_enricher.engine.outcomes import outcome_of_failure, outcome_received
from media_enricher.engine.rate_limit import SharedMoment
from media_enricher.engine.requests import EnrichRequest, PoolClosed, WorkItem
from media_enricher.engine.worker_process import WorkerProcess
from media_enricher.models import Depth, ErrorCode, Outcome, StorageObject

_ITEMS_AT_ONCE = 4
_ENOUGH_SECONDS = 0.5
_ENOUGH_OBJECTS = 64
"""A worker with work for this long, and so many objects, gets no more for now. It is enough to last
while this process is busy elsewhere, and for the downloads of a far server: a worker that takes
1,500 headers a second holds 2,000, and 300 of them are under way over a round trip of 0.2 s."""
_HEADER_SECONDS = 0.00025
_FULL_SECONDS = 0.0015
_FULL_BYTES_A_SECOND = 50e6
_UNKNOWN_BYTES = 500_000
_FALSE_STARTS_ALLOWED = 3
_DEATHS_ALLOWED = 3
_WATCH_SECONDS = 1.0


class WorkerStartError(Exception):
    """Workers die before they are ready, so nothing can be enriched. Carries their last stderr."""


def estimated_seconds(source: StorageObject, depth: Depth) -> float:
    """Roughly how long a worker takes for an object: only to share the objects out evenly."""
    if depth is Depth.HEADER:
        return _HEADER_SECONDS
    size_bytes = _UNKNOWN_BYTES if source.size_bytes is None else source.size_bytes
    return _FULL_SECONDS + size_bytes / _FULL_BYTES_A_SECOND


class WorkerPool:
    """Worker processes and the thread that runs them. Thread-safe, `close` included."""

    def __init__(self, options: EngineOptions, first_workers: int | None = None) -> None:
        """Start the thread, which starts the workers.

        Args:
            options: how they work, and how many there are.
            first_workers: how many start now; the others once there is work for them. None: all.
        """
        self._options = options
        self._first_workers = options.workers if first_workers is None else first_workers
        self._inbox: deque[EnrichRequest] = deque()
        self._requests: set[EnrichRequest] = set()
        self._queue: deque[WorkItem] = deque()
        self._not_begun: dict[EnrichRequest, deque[WorkItem]] = {}
        self._workers: list[WorkerProcess] = []
        self._shared_moment: SharedMoment | None = None
        if options.max_bytes_per_second is not None:
            self._shared_moment = SharedMoment.create(time.monotonic())
        self._false_starts = 0
        self._closing = False
        self._end: Exception | None = None
        self._selector = selectors.DefaultSelector()
        self._wakeup, self._waker = socket.socketpair()
        self._wakeup.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._wakeup, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="engine-workers", daemon=True)
        self._thread.start()

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers."""
        return [worker.pid for worker in list(self._workers)]

    def start(self, workers: int | None = None) -> None:
        """Have at least so many workers start now; None: all."""
        wanted = self._options.workers if workers is None else workers
        if wanted > self._first_workers:
            self._first_workers = wanted
            self._wake()

    def submit(self, request: EnrichRequest) -> None:
        """Queue a request. It is finished, or fails, in any case."""
        self._inbox.append(request)
        self._wake()
        if self._end is not None:  # the thread may have ended before it saw it
            request.fail(self._end)

    def close(self) -> None:
        """Kill the workers, fail what is in work with `PoolClosed`, and wait for both."""
        self._closing = True
        self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _wake(self) -> None:
        with suppress(OSError):  # full: the thread wakes up anyway; closed: it has ended
            self._waker.send(b"\0")

    def _run(self) -> None:
        end: Exception = PoolClosed("the pool was closed")
        try:
            self._start_workers()
            while not self._closing:
                self._wait()
                self._take_requests()
                self._start_workers()
                self._hand_out()
        except WorkerStartError as error:
            end = error
        except BaseException as error:
            end = RuntimeError(f"the engine failed: {type(error).__name__}: {error}")
            raise
        finally:
            self._finish(end)

    def _finish(self, end: Exception) -> None:
        for worker in self._workers:
            worker.kill()
        self._end = end  # from here on `submit` fails requests by itself
        self._take_requests()
        for request in self._requests:
            request.fail(end)
        while self._workers:
            self._workers.pop().reap()
        if self._shared_moment is not None:
            self._shared_moment.close()
        self._selector.close()
        self._wakeup.close()
        self._waker.close()

    def _start_workers(self) -> None:
        """Start workers until there are as many as are wanted, or as the options allow."""
        wanted = max(self._first_workers, ceil(len(self._queue) / _ITEMS_AT_ONCE))
        while len(self._workers) < min(wanted, self._options.workers):
            self._start_worker()

    def _start_worker(self) -> None:
        worker = WorkerProcess(self._options, self._shared_moment)
        self._workers.append(worker)
        self._selector.register(worker.control, worker.events, worker)

    def _wait(self) -> None:
        """Wait for messages of workers and callers, and handle those of workers."""
        for worker in self._workers:
            self._selector.modify(worker.control, worker.events, worker)
        for key, events in self._selector.select(_WATCH_SECONDS):
            worker = key.data
            if worker is None:
                with suppress(BlockingIOError):
                    self._wakeup.recv(4096)
                continue
            if events & selectors.EVENT_WRITE:
                worker.write()
            if events & selectors.EVENT_READ:
                self._receive(worker)

    def _take_requests(self) -> None:
        while self._inbox:
            request = self._inbox.popleft()
            self._requests.add(request)
            self._not_begun[request] = deque(
                WorkItem(request, index, estimated_seconds(source, request.depth))
                for index, source in enumerate(request.objects)
            )
            self._begin(request)

    def _begin(self, request: EnrichRequest) -> None:
        """Queue the objects of a request in their order, as far as its allowance has room.

        The others wait until objects under way have ended, and are refused if none is.
        """
        items = self._not_begun[request]
        while items and self._may_begin(items[0]):
            self._queue.append(items.popleft())
        if items and request.allowance and request.allowance.is_idle:
            for item in items:
                request.refuse(item.index)
            items.clear()
        if not items:
            del self._not_begun[request]

    def _may_begin(self, item: WorkItem) -> bool:
        request = item.request
        if request.allowance is None:
            return True
        reserved = request.allowance.reserve(
            extent_of(item.object, request.depth, max_whole_bytes=self._options.max_whole_bytes)
        )
        if reserved is None:
            return False
        item.reserved = reserved
        return True

    def _receive(self, worker: WorkerProcess) -> None:
        finished = worker.read()
        if finished is None:
            self._replace(worker)
            return
        self._false_starts = 0
        for one in finished:
            item = worker.release(one.number)
            if item is not None:
                self._deliver(item, outcome_received(item.object, item.request.depth, one.outcome))

    def _deliver(self, item: WorkItem, outcome: Outcome) -> None:
        """Hand an outcome over. The bytes that were reserved and not read may be read otherwise."""
        request = item.request
        if request.allowance is not None:
            request.allowance.settle(item.reserved, outcome.bytes_read)
        request.finish(item.index, outcome)
        if request in self._not_begun:
            self._begin(request)
        self._forget(request)

    def _forget(self, request: EnrichRequest) -> None:
        if request.is_done:
            self._requests.discard(request)

    def _hand_out(self) -> None:
        shares: dict[WorkerProcess, list[WorkItem]] = {
            worker: [] for worker in self._workers if worker.is_ready
        }
        while self._queue and shares:
            worker = min(shares, key=lambda worker: worker.load)
            if self._has_enough(worker):
                break
            for _ in range(min(_ITEMS_AT_ONCE, len(self._queue))):
                item = self._queue.popleft()
                if item.request.is_abandoned:
                    self._requests.discard(item.request)
                    self._not_begun.pop(item.request, None)
                else:
                    shares[worker].append(item)
                    worker.hold(item)
        for worker, items in shares.items():
            if items:
                worker.send(items)

    def _has_enough(self, worker: WorkerProcess) -> bool:
        return worker.load >= _ENOUGH_SECONDS and len(worker.held) >= _ENOUGH_OBJECTS

    def _replace(self, worker: WorkerProcess) -> None:
        """Reap a dead worker, start another, and queue again what the dead one held."""
        self._workers.remove(worker)
        self._selector.unregister(worker.control)
        death = worker.reap()
        if not worker.is_ready:
            self._false_starts += 1
            if self._false_starts >= _FALSE_STARTS_ALLOWED:
                raise WorkerStartError(
                    f"{self._false_starts} worker processes in a row died before they were ready, "
                    f"the last one of {death}\n{worker.stderr_tail}"
                )
        self._queue.extendleft(
            item for item in reversed(worker.held.values()) if self._may_try_again(item, death)
        )
        self._start_worker()

    def _may_try_again(self, item: WorkItem, death: str) -> bool:
        """Count the death of a worker that held an object. Fail the object after several."""
        item.deaths += 1
        item.renumber()
        if item.deaths < _DEATHS_ALLOWED:
            return True
        message = f"{item.deaths} worker processes that held it died, the last one of {death}"
        outcome = outcome_of_failure(
            item.object, item.request.depth, ErrorCode.PROBE_CRASHED, message
        )
        self._deliver(item, outcome)
        return False
