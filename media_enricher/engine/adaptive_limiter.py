"""Limits the open requests of a worker, and adapts the limit to the server's answers.

Additive increase, multiplicative decrease (Chiu and Jain 1989), with two signals. An overload
answer (429, 503, 544) halves the limit, and no request is sent until its Retry-After is over. And
as in TCP Vegas (Brakmo and Peterson 1994), answers that take several times as long as the fastest
ones mean that requests queue at the server, where more of them only make it slower.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable

START = 8
LEAST_BY_LATENCY = 4
"""Slow answers alone never bring the limit below this; overload answers bring it down to 1."""
GROW_BELOW = 2.0
"""The limit grows while the median answer takes less than this many times the fastest median."""
SHRINK_ABOVE = 4.0
SLACK_SECONDS = 0.005
"""Differences this small come from this process, not from the server."""
LONGEST_PAUSE_SECONDS = 120.0
FIRST_PAUSE_SECONDS = 0.5
_FLOOR_AGEING = 1.02


class AdaptiveLimiter:
    """Slots for requests. For one event loop; not thread-safe."""

    def __init__(
        self, most: int, *, clock: Callable[[], float] | None = None, jitter: float = 0.25
    ) -> None:
        """`most` is the highest limit. `jitter` spreads the pauses of many workers."""
        self.limit = min(START, most)
        self.in_flight = 0
        self._most = most
        self._clock = clock or asyncio.get_running_loop().time
        self._jitter = jitter
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._resume_at = 0.0
        self._resuming: asyncio.TimerHandle | None = None
        self._overloads_in_a_row = 0
        self._last_cut_at = float("-inf")
        self._window: list[float] = []
        self._was_full = False
        self._floor = float("inf")

    async def acquire(self) -> float:
        """Wait for a slot. Returns the time it was given, which `overloaded` takes."""
        now = self._clock()
        if self._waiting or self.in_flight >= self.limit or now < self._resume_at:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            self._wake()
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.in_flight -= 1
                    self._wake()
                raise
            return self._clock()
        self.in_flight += 1
        return now

    def release(self) -> None:
        """Give the slot back."""
        self._was_full = self._was_full or bool(self._waiting)
        self.in_flight -= 1
        if self._waiting:
            self._wake()

    def answered(self, seconds: float) -> None:
        """Note a normal answer, whose headers came after this many seconds."""
        self._overloads_in_a_row = 0
        self._window.append(seconds)
        if len(self._window) >= 2 * self.limit:
            self._adapt()

    def overloaded(self, requested_at: float, retry_after: float | None) -> None:
        """Note that the server is overloaded, in answer to a request made at `requested_at`."""
        now = self._clock()
        if requested_at >= self._last_cut_at:  # a request from before the last cut would cut twice
            self.limit = max(1, self.limit // 2)
            self._last_cut_at = now
            self._overloads_in_a_row += 1
            self._window.clear()
        if retry_after is None:
            retry_after = FIRST_PAUSE_SECONDS * 2 ** (self._overloads_in_a_row - 1)
        pause = min(retry_after, LONGEST_PAUSE_SECONDS)
        pause *= 1 + self._jitter * random.random()  # noqa: S311 - no secret depends on it
        self._resume_at = max(self._resume_at, now + pause)

    def _adapt(self) -> None:
        """Move the limit by the times of the last window of answers."""
        typical = sorted(self._window)[len(self._window) // 2]
        self._floor = min(self._floor * _FLOOR_AGEING, typical)
        if typical > SHRINK_ABOVE * self._floor + SLACK_SECONDS:
            self.limit = max(min(LEAST_BY_LATENCY, self.limit), self.limit * 3 // 4)
        elif self._was_full and typical < GROW_BELOW * self._floor + SLACK_SECONDS:
            self.limit = min(self._most, self.limit + max(1, self.limit // 4))
        self._window.clear()
        self._was_full = False
        self._wake()

    def _wake(self) -> None:
        """Give free slots to those who wait, or come back when the pause is over."""
        pause = self._resume_at - self._clock()
        if pause > 0:
            if self._resuming is None:
                self._resuming = asyncio.get_running_loop().call_later(pause, self._resume)
            return
        while self._waiting and self.in_flight < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)

    def _resume(self) -> None:
        self._resuming = None
        self._wake()
