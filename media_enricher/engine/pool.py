"""The engine as its callers see it: objects in, outcomes out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from media_enricher.engine.allowance import Allowance
from media_enricher.engine.options import EngineOptions
from media_enricher.engine.requests import Caller, EnrichRequest, PoolClosed
from media_enricher.engine.worker_pool import WorkerPool
from media_enricher.models import Depth, Outcome, StorageObject

_Version = tuple[StorageObject, Depth]
"""The object as it was listed, and the depth: two calls with the same of both ask for the same."""
_Place = tuple[EnrichRequest, int]
"""A request, and the index of one object in it."""


class EnrichPool:
    """Downloads and probes objects on all engine workers. Thread-safe; a context manager.

    The workers start at the first use and die with this process, however it dies. After a fork, the
    child needs a pool of its own.
    """

    def __init__(self, options: EngineOptions, *, idle_seconds: float | None = None) -> None:
        """Nothing is started yet.

        Args:
            options: how the workers work.
            idle_seconds: workers without work for this long end, and the next work starts new ones.
                None keeps them. For a process that outlives the runs that use it.
        """
        self._options = options
        self._idle_seconds = idle_seconds
        self._callers = 0
        self._idle_timer: threading.Timer | None = None
        self._lock = threading.RLock()  # a signal's handler may close while this thread starts
        self._workers: WorkerPool | None = None
        self._is_closed = False
        self._unfinished: dict[_Version, _Place] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def worker_pids(self) -> list[int]:
        """The process ids of the workers that are running."""
        return [] if self._workers is None else self._workers.pids

    def start(self, first_workers: int | None = None) -> None:
        """Start the workers and do not wait for them. For callers with something else to do first.

        Args:
            first_workers: how many start now, at least; the others once there is work for them.
                None: all.

        Raises:
            PoolClosed: the pool was closed.
        """
        self._started(first_workers).start(first_workers)

    def enrich(
        self,
        objects: Sequence[StorageObject],
        depth: Depth,
        *,
        grace_seconds: float | None = None,
        allowance: Allowance | None = None,
    ) -> list[Outcome]:
        """Download and probe objects. Many threads may call.

        Blocks until all are done. With `grace_seconds`, blocks only that long after the first
        outcome that is not a transient failure. Objects that are not done by then stay in work, and
        a later call that asks for the same objects gets their outcomes.

        With an `allowance`, objects are begun in their order for as long as it has room. The others
        have no outcome, and its `has_refused` is set. Objects that an earlier call left in work
        are under the allowance of that call.

        Returns:
            One outcome for each object that is done, in their order. The outcome of an object that
            cannot be read, or that no probe can cope with, has the status failed and a reason.

        Raises:
            PoolClosed: `close` was called, before or meanwhile.
            WorkerStartError: the worker processes cannot start.
        """
        workers = self._begin_call()
        try:
            if not objects:
                return []
            return self._wait_for(workers, objects, depth, grace_seconds, allowance)
        finally:
            self._end_call()

    def _wait_for(
        self,
        workers: WorkerPool,
        objects: Sequence[StorageObject],
        depth: Depth,
        grace_seconds: float | None,
        allowance: Allowance | None,
    ) -> list[Outcome]:
        caller = Caller(len(objects))
        places = self._take_unfinished(objects, depth)
        new = [at for at in range(len(objects)) if at not in places]
        request = EnrichRequest([objects[at] for at in new], depth, caller, new, allowance)
        for at, (earlier_request, index) in places.items():
            earlier_request.send_to(caller, index, at)
        places |= {at: (request, index) for index, at in enumerate(new)}
        if new:
            workers.submit(request)
        try:
            outcomes = caller.wait(grace_seconds)
        except BaseException:  # Ctrl-C in the caller: nobody waits for the rest any more
            request.is_abandoned = True
            raise
        with self._lock:
            for at, outcome in enumerate(outcomes):
                if outcome is None and at not in caller.refused:
                    its_request, index = places[at]
                    its_request.store(index)
                    self._unfinished[objects[at], depth] = places[at]
        if allowance is not None and caller.refused:
            allowance.has_refused = True
        return [outcome for outcome in outcomes if outcome is not None]

    def _take_unfinished(self, objects: Sequence[StorageObject], depth: Depth) -> dict[int, _Place]:
        """Those of these objects that an earlier call left in work, by their position."""
        with self._lock:
            if not self._unfinished:
                return {}
            known = {
                at: self._unfinished.pop((each, depth), None) for at, each in enumerate(objects)
            }
        return {at: place for at, place in known.items() if place is not None}

    def close(self) -> None:
        """Kill the workers at once. Callers that wait in `enrich` get `PoolClosed`."""
        with self._lock:
            self._is_closed = True
            workers = self._workers
        if workers is not None:
            workers.close()

    def _begin_call(self) -> WorkerPool:
        """The workers. They do not end for want of work before `_end_call` is called."""
        with self._lock:
            workers = self._started()
            self._callers += 1
            if self._idle_timer is not None:
                self._idle_timer.cancel()
            return workers

    def _end_call(self) -> None:
        with self._lock:
            self._callers -= 1
            if not self._callers and self._idle_seconds is not None:
                self._idle_timer = threading.Timer(self._idle_seconds, self._end_idle_workers)
                self._idle_timer.daemon = True
                self._idle_timer.start()

    def _end_idle_workers(self) -> None:
        """End the workers, unless a call came after this timer had fired."""
        with self._lock:
            if self._callers or self._idle_timer is not threading.current_thread():
                return
            workers, self._workers = self._workers, None
            self._unfinished.clear()  # nobody came back for it
        if workers is not None:
            workers.close()

    def _started(self, first_workers: int | None = None) -> WorkerPool:
        with self._lock:
            if self._is_closed:
                raise PoolClosed("the pool was closed")
            if self._workers is None:
                self._workers = WorkerPool(self._options, first_workers)
            return self._workers
