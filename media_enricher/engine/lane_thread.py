"""A lane in a thread of this process: for where processes cannot, or need not, be started."""

from __future__ import annotations

import asyncio
import threading

import msgspec

from media_enricher.engine.calls import Call, PoolClosed, Ticket
from media_enricher.engine.core import LaneCore
from media_enricher.engine.loops import new_event_loop
from media_enricher.engine.messages import Assignment
from media_enricher.engine.options import EngineOptions
from media_enricher.engine.outcomes import outcome_received
from media_enricher.engine.template import Template


class LaneThread:
    """The same work as a lane process does; its decoder is a process here, too."""

    def __init__(self, options: EngineOptions) -> None:
        """Start the thread."""
        self._options = options
        self._tickets: dict[int, Ticket] = {}
        self._end: Exception | None = None
        self._loop = new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="enrich-lane", daemon=True)
        self._thread.start()
        self._started.wait()

    @property
    def pids(self) -> list[int]:
        """No process but this one."""
        return []

    def submit(self, call: Call) -> None:
        """Take a call on. It is finished, or fails, in any case."""
        try:
            self._loop.call_soon_threadsafe(self._take, call)
        except RuntimeError:  # the loop is closed
            call.fail(self._end or PoolClosed("the pool was closed"))

    def close(self) -> None:
        """Stop working, fail what is under way with `PoolClosed`, and wait for both."""
        try:
            self._loop.call_soon_threadsafe(self._running.cancel)
        except RuntimeError:
            return
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._work())

    async def _work(self) -> None:
        self._core = LaneCore(self._options, Template.started(), self._deliver)
        self._running = asyncio.create_task(self._core.run())
        self._started.set()
        end: Exception = PoolClosed("the pool was closed")
        try:
            await self._running
        except asyncio.CancelledError:
            pass
        except Exception as error:
            end = RuntimeError(f"the engine failed: {type(error).__name__}: {error}")
            raise
        finally:
            self._end = end
            for ticket in self._tickets.values():
                ticket.call.fail(end)

    def _take(self, call: Call) -> None:
        if self._end is not None:
            call.fail(self._end)
            return
        tickets = [Ticket(call, index, cost=0.0) for index in range(len(call.objects))]
        self._tickets |= {ticket.number: ticket for ticket in tickets}
        self._core.assign(
            [Assignment(ticket.number, call.depth, ticket.object) for ticket in tickets]
        )

    def _deliver(self, number: int, outcome: bytes | msgspec.Raw, /) -> None:
        ticket = self._tickets.pop(number)
        ticket.call.finish(
            ticket.index, outcome_received(ticket.object, ticket.call.depth, outcome)
        )
