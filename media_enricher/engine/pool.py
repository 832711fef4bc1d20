"""The engine as its callers see it: objects in, outcomes out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from media_enricher.engine.calls import Call, Caller, PoolClosed
from media_enricher.engine.crew import Crew
from media_enricher.engine.options import EngineOptions
from media_enricher.models import Depth, Outcome, StorageObject

_Version = tuple[StorageObject, Depth]
"""What tells whether two calls ask for the same: the object as it was listed, and the depth."""


class EnrichPool:
    """Downloads and probes objects on all lanes. Thread-safe; a context manager.

    The lanes start at the first use and die with this process, however it dies. After a fork, the
    child needs a pool of its own.
    """

    def __init__(self, options: EngineOptions, *, idle_seconds: float | None = None) -> None:
        """Nothing is started yet.

        Args:
            options: how the lanes work.
            idle_seconds: after so long without work the lanes end, and start again with the next;
                None keeps them. For a process that goes on when those who use it have gone.
        """
        self._options = options
        self._idle_seconds = idle_seconds
        self._callers = 0
        self._idle: threading.Timer | None = None
        self._lock = threading.RLock()  # a signal's handler may close while this thread starts
        self._lanes: Crew | None = None
        self._is_closed = False
        self._left_under_way: dict[_Version, tuple[Call, int]] = {}

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
    def lane_pids(self) -> list[int]:
        """The process ids of the lanes that are running."""
        return [] if self._lanes is None else self._lanes.pids

    def start(self) -> None:
        """Start the lanes without waiting for them, where there is something else to do first.

        Raises:
            PoolClosed: the pool was closed.
        """
        self._started()

    def enrich(
        self, objects: Sequence[StorageObject], depth: Depth, *, patience: float | None = None
    ) -> list[Outcome]:
        """Read objects and say what they are. Many threads may call.

        Blocks until all are done; with `patience`, only for so many seconds after the first of them
        had an outcome that is more than a failure for now. What is still under way then goes on,
        and a later call that asks for the same objects gets what became of it.

        Returns:
            One outcome for each object that is done, in their order. An object that cannot be read,
            or that no probe can cope with, has an outcome that says so.

        Raises:
            PoolClosed: `close` was called, before or meanwhile.
            LaneStartError: the lane processes cannot start.
        """
        lanes = self._engaged()
        try:
            if not objects:
                return []
            return self._wait_for(lanes, objects, depth, patience)
        finally:
            self._disengage()

    def _wait_for(
        self,
        lanes: Crew,
        objects: Sequence[StorageObject],
        depth: Depth,
        patience: float | None,
    ) -> list[Outcome]:
        caller = Caller(len(objects))
        under_way = self._adopted(objects, depth)
        new = [at for at in range(len(objects)) if at not in under_way]
        call = Call([objects[at] for at in new], depth, caller, new)
        for at, (its_call, index) in under_way.items():
            its_call.bring(index, caller, at)
        under_way |= {at: (call, index) for index, at in enumerate(new)}
        if new:
            lanes.submit(call)
        try:
            outcomes = caller.wait(patience)
        except BaseException:  # Ctrl-C in the caller: nobody is waiting for the rest any more
            call.is_abandoned = True
            raise
        with self._lock:
            for at, outcome in enumerate(outcomes):
                if outcome is None:
                    its_call, index = under_way[at]
                    its_call.keep(index)
                    self._left_under_way[objects[at], depth] = under_way[at]
        return [outcome for outcome in outcomes if outcome is not None]

    def _adopted(
        self, objects: Sequence[StorageObject], depth: Depth
    ) -> dict[int, tuple[Call, int]]:
        """What an earlier call has left under way of these objects."""
        with self._lock:
            if not self._left_under_way:
                return {}
            known = {
                at: self._left_under_way.pop((each, depth), None) for at, each in enumerate(objects)
            }
        return {at: place for at, place in known.items() if place is not None}

    def close(self) -> None:
        """Kill the lanes at once and free whoever waits in `enrich` with `PoolClosed`."""
        with self._lock:
            self._is_closed = True
            lanes = self._lanes
        if lanes is not None:
            lanes.close()

    def _engaged(self) -> Crew:
        """The lanes, which do not end for want of work before `_disengage` is called."""
        with self._lock:
            lanes = self._started()
            self._callers += 1
            if self._idle is not None:
                self._idle.cancel()
            return lanes

    def _disengage(self) -> None:
        with self._lock:
            self._callers -= 1
            if not self._callers and self._idle_seconds is not None:
                self._idle = threading.Timer(self._idle_seconds, self._rest)
                self._idle.daemon = True
                self._idle.start()

    def _rest(self) -> None:
        """End the lanes, unless somebody has work for them after all."""
        with self._lock:
            if self._callers or self._idle is not threading.current_thread():
                return
            lanes, self._lanes = self._lanes, None
            self._left_under_way.clear()  # nobody came back for it
        if lanes is not None:
            lanes.close()

    def _started(self) -> Crew:
        with self._lock:
            if self._is_closed:
                raise PoolClosed("the pool was closed")
            if self._lanes is None:
                self._lanes = Crew(self._options)
            return self._lanes
