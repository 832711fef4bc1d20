"""The lane processes of a pool: who gets what, and what happens when one dies.

One thread owns all of it and is the only one to touch it, so there are no locks. It hands the
objects out a few at a time, to whichever lane has least to do, and no more than keeps a lane busy
for a moment: a batch is finished by all lanes together, and little is at stake when one dies.

A lane that dies is replaced, and what it held is handed out again. It looks at no bytes of
strangers (its decoder does, and what becomes of that is the lane's to deal with), so that is an
accident, as when memory ran out. An object that was there each time when several lanes died gets a
row that says so: there is no other end to it.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections import deque
from contextlib import suppress

from media_enricher.engine.calls import Call, PoolClosed, Ticket
from media_enricher.engine.lane_process import LaneProcess
from media_enricher.engine.options import EngineOptions
from media_enricher.engine.outcomes import outcome_of_failure, outcome_received
from media_enricher.models import Depth, ErrorCode, StorageObject

_HANDFUL = 4
_ENOUGH_SECONDS = 0.5
"""A lane with so much to do, and twice its downloads, is fed. It covers a busy parent's delays."""
_HEADER_SECONDS = 0.00025
_FULL_SECONDS = 0.0015
_FULL_BYTES_A_SECOND = 50e6
_UNKNOWN_BYTES = 500_000
_FALSE_STARTS_ALLOWED = 3
_DEATHS_ALLOWED = 3
_WATCH_SECONDS = 1.0


class LaneStartError(Exception):
    """Lanes die before they are ready, so nothing can be enriched. Says what they complained of."""


def estimated_seconds(source: StorageObject, depth: Depth) -> float:
    """Roughly how long a lane works on an object: only to share objects out evenly."""
    if depth is Depth.HEADER:
        return _HEADER_SECONDS
    size_bytes = _UNKNOWN_BYTES if source.size_bytes is None else source.size_bytes
    return _FULL_SECONDS + size_bytes / _FULL_BYTES_A_SECOND


class Crew:
    """Lane processes and the thread that runs them. Thread-safe, `close` included."""

    def __init__(self, options: EngineOptions) -> None:
        """Start the thread, which starts the lanes."""
        self._options = options
        self._inbox: deque[Call] = deque()
        self._calls: set[Call] = set()
        self._queue: deque[Ticket] = deque()
        self._lanes: list[LaneProcess] = []
        self._false_starts = 0
        self._closing = False
        self._end: Exception | None = None
        self._selector = selectors.DefaultSelector()
        self._wakeup, self._waker = socket.socketpair()
        self._wakeup.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._wakeup, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="enrich-crew", daemon=True)
        self._thread.start()

    @property
    def pids(self) -> list[int]:
        """The process ids of the lanes."""
        return [lane.pid for lane in list(self._lanes)]

    def submit(self, call: Call) -> None:
        """Take a call on. It is finished, or fails, in any case."""
        self._inbox.append(call)
        self._wake()
        if self._end is not None:  # it may have come too late for the thread to see it
            call.fail(self._end)

    def close(self) -> None:
        """Kill the lanes, fail what is under way with `PoolClosed`, and wait for both."""
        self._closing = True
        self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _wake(self) -> None:
        with suppress(OSError):  # full: it is ringing; closed: there is nobody to hear it
            self._waker.send(b"\0")

    def _run(self) -> None:
        end: Exception = PoolClosed("the pool was closed")
        try:
            for _ in range(self._options.lanes):
                self._start_lane()
            while not self._closing:
                self._wait()
                self._take_calls()
                self._hand_out()
        except LaneStartError as error:
            end = error
        except BaseException as error:
            end = RuntimeError(f"the engine failed: {type(error).__name__}: {error}")
            raise
        finally:
            self._finish(end)

    def _finish(self, end: Exception) -> None:
        for lane in self._lanes:
            lane.kill()
        self._end = end  # from here on `submit` fails calls by itself
        self._take_calls()
        for call in self._calls:
            call.fail(end)
        while self._lanes:
            self._lanes.pop().reap()
        self._selector.close()
        self._wakeup.close()
        self._waker.close()

    def _start_lane(self) -> None:
        lane = LaneProcess(self._options)
        self._lanes.append(lane)
        self._selector.register(lane.control, lane.events, lane)

    def _wait(self) -> None:
        """Until a lane or a caller has something to say; deal with what lanes say."""
        for lane in self._lanes:
            self._selector.modify(lane.control, lane.events, lane)
        for key, events in self._selector.select(_WATCH_SECONDS):
            lane = key.data
            if lane is None:
                with suppress(BlockingIOError):
                    self._wakeup.recv(4096)
                continue
            if events & selectors.EVENT_WRITE:
                lane.write()
            if events & selectors.EVENT_READ:
                self._hear(lane)

    def _take_calls(self) -> None:
        while self._inbox:
            call = self._inbox.popleft()
            self._calls.add(call)
            self._queue.extend(
                Ticket(call, index, estimated_seconds(source, call.depth))
                for index, source in enumerate(call.objects)
            )

    def _hear(self, lane: LaneProcess) -> None:
        finished = lane.read()
        if finished is None:
            self._replace(lane)
            return
        self._false_starts = 0
        for one in finished:
            ticket = lane.settle(one.ticket)
            if ticket is not None:
                ticket.call.finish(
                    ticket.index,
                    outcome_received(ticket.object, ticket.call.depth, one.outcome),
                )
                self._forget(ticket.call)

    def _forget(self, call: Call) -> None:
        if call.is_done:
            self._calls.discard(call)

    def _hand_out(self) -> None:
        handfuls: dict[LaneProcess, list[Ticket]] = {
            lane: [] for lane in self._lanes if lane.is_ready
        }
        while self._queue and handfuls:
            lane = min(handfuls, key=lambda lane: lane.load)
            if self._is_fed(lane):
                break
            for _ in range(min(_HANDFUL, len(self._queue))):
                ticket = self._queue.popleft()
                if ticket.call.is_abandoned:
                    self._calls.discard(ticket.call)
                else:
                    handfuls[lane].append(ticket)
                    lane.hold(ticket)
        for lane, tickets in handfuls.items():
            if tickets:
                lane.send(tickets)

    def _is_fed(self, lane: LaneProcess) -> bool:
        enough_objects = 2 * self._options.downloads_per_lane
        return lane.load >= _ENOUGH_SECONDS and len(lane.held) >= enough_objects

    def _replace(self, lane: LaneProcess) -> None:
        """Bury a dead lane, start another, and see to what the dead one held."""
        self._lanes.remove(lane)
        self._selector.unregister(lane.control)
        death = lane.reap()
        if not lane.is_ready:
            self._false_starts += 1
            if self._false_starts >= _FALSE_STARTS_ALLOWED:
                raise LaneStartError(
                    f"{self._false_starts} lane processes in a row died before they were ready, "
                    f"the last one of {death}\n{lane.stderr_tail}"
                )
        self._queue.extendleft(
            ticket for ticket in reversed(lane.held.values()) if self._survives(ticket, death)
        )
        self._start_lane()

    def _survives(self, ticket: Ticket, death: str) -> bool:
        """Whether an object that a dead lane held is to be tried again."""
        ticket.deaths += 1
        ticket.renumber()
        if ticket.deaths < _DEATHS_ALLOWED:
            return True
        message = f"{ticket.deaths} lanes that held it died, the last one of {death}"
        outcome = outcome_of_failure(
            ticket.object, ticket.call.depth, ErrorCode.PROBE_CRASHED, message
        )
        ticket.call.finish(ticket.index, outcome)
        self._forget(ticket.call)
        return False
