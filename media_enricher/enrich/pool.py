"""The engine as its callers see it: objects in, outcomes out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from media_enricher.enrich.calls import Call, PoolClosed
from media_enricher.enrich.crew import Crew
from media_enricher.enrich.options import EngineOptions
from media_enricher.models import Depth, Outcome, StorageObject

if TYPE_CHECKING:
    from media_enricher.enrich.lane_thread import LaneThread


class EnrichPool:
    """Downloads and probes objects on all lanes. Thread-safe; a context manager.

    The lanes start at the first use and die with this process, however it dies. After a fork, the
    child needs a pool of its own.
    """

    def __init__(self, options: EngineOptions) -> None:
        """Nothing is started yet."""
        self._options = options
        self._lock = threading.RLock()  # a signal's handler may close while this thread starts
        self._lanes: Crew | LaneThread | None = None
        self._is_closed = False

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

    def enrich(self, objects: Sequence[StorageObject], depth: Depth) -> list[Outcome]:
        """Read objects and say what they are; block until all are done. Many threads may call.

        Returns:
            One outcome for each object, in their order. An object that cannot be read, or that no
            probe can cope with, has an outcome that says so.

        Raises:
            PoolClosed: `close` was called, before or meanwhile.
            LaneStartError: the lane processes cannot start.
        """
        lanes = self._started()
        if not objects:
            return []
        call = Call(objects, depth)
        lanes.submit(call)
        return call.wait()

    def close(self) -> None:
        """Kill the lanes at once and free whoever waits in `enrich` with `PoolClosed`."""
        with self._lock:
            self._is_closed = True
            lanes = self._lanes
        if lanes is not None:
            lanes.close()

    def _started(self) -> Crew | LaneThread:
        with self._lock:
            if self._is_closed:
                raise PoolClosed("the pool was closed")
            if self._lanes is None:
                self._lanes = Crew(self._options) if self._options.lanes else self._lane_thread()
            return self._lanes

    def _lane_thread(self) -> LaneThread:
        # Brings in what a lane needs, aiohttp and uvloop: for those who work in this process only.
        from media_enricher.enrich.lane_thread import LaneThread  # noqa: PLC0415

        return LaneThread(self._options)
