"""Limits the open requests of a worker, and finds the limit by the server's answers.

How many requests a server has to be sent at once depends on how far away it is (Little 1961): 1,000
answers a second over a round trip of 200 ms take 200 requests under way. The limit is found as TCP
finds its window. It grows by one for each answer (slow start, Jacobson 1988), so it doubles in a
round trip, until one of two signals:

* Answers take longer than the fastest ones (as in TCP Vegas, Brakmo and Peterson 1994): requests
  queue, where more of them only wait longer. From then on the limit moves by a part of itself, up
  or down. That part doubles while answers stay quick: what was slow at first may have been a
  process that had just started. The fastest time is measured anew now and then, with a quarter of
  the requests, so that they do not queue (as BBR does, Cardwell et al. 2016). All workers of a
  machine do so at the same moments, because each would otherwise measure the queue of the others.
* An overload answer (429, 503, 544). It halves the limit, and no request is sent until its
  Retry-After is over. How many requests the server took of those under way then bounds the limit,
  which soon comes back to there. The bound is raised a little after a while without overloads.

It never grows beyond what this process can take in the time of an answer: a server that is near
answers nearly as fast with hundreds of requests at once, but no more of them.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from statistics import fmean

START = 16
LEAST_BY_LATENCY = 8
"""Slow answers alone never bring the limit below this; overload answers bring it down to 1."""
LEAST_ANSWERS = 16
"""The times of fewer answers say nothing."""
GROW_BELOW = 2.0
"""The limit grows while answers take less than this many times the fastest ones."""
LEAST_GROWTH, MOST_GROWTH = 1 / 8, 1 / 2
"""After slow start, the limit grows by this part of itself in a window of answers."""
SHRINK_ABOVE = 4.0
SLACK_SECONDS = 0.025
"""A queue as short as this does no harm, and keeps a server busy that is near."""
MOST_ANSWERS_A_SECOND = 6_000
"""A worker process with a processor for itself and its decoder takes some 0.17 ms for a header. So
no more requests at once are of use than this many times the seconds of an answer, or than 32."""
ALWAYS_OF_USE = 32
"""Where Storage is on the same machine, the limit went up to 512 requests at once."""
MEASURE_EVERY_SECONDS = 20.0
"""So often is the fastest time measured anew. It costs two or three round trips at a quarter of
the requests, where those do not just queue."""
MEASURING_WINDOWS = 3
"""In the first one, other workers may not have begun to measure. In the last one, the requests are
as many as before, and their queue is not."""
TAKEN_SHARE = 0.95
"""The bound after an overload is this share of what the server took."""
RAISE_AFTER_SECONDS = 10.0
"""The bound is raised for the first time after so long without overload; with each overload it
takes twice as long, up to `RAISE_AFTER_AT_MOST_SECONDS`, and half as long with each success."""
RAISE_AFTER_AT_MOST_SECONDS = 320.0
LONGEST_PAUSE_SECONDS = 120.0
FIRST_PAUSE_SECONDS = 0.5


class AdaptiveLimiter:
    """Slots for requests. For one event loop; not thread-safe.

    Attributes:
        limit: the number of slots.
        in_flight: the slots that are taken. They may be more for a while after a cut.
    """

    def __init__(
        self,
        most: int,
        *,
        clock: Callable[[], float] | None = None,
        jitter: float = 0.25,
        grown: Callable[[int], None] | None = None,
    ) -> None:
        """Prepare.

        Args:
            most: the highest limit.
            clock: the time in seconds; that of the running event loop by default.
            jitter: spreads the pauses of many workers, by up to this share of them.
            grown: told the new limit whenever it has grown.
        """
        self.limit = min(START, most)
        self.in_flight = 0
        self._bound = most
        self._most = most
        self._clock = clock or asyncio.get_running_loop().time
        self._jitter = jitter
        self._grown = grown
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._resume_at = 0.0
        self._resuming: asyncio.TimerHandle | None = None
        self._overloads_in_a_row = 0
        self._last_cut_at = float("-inf")
        self._under_way_at_cut = 0
        self._refused_since_cut = 0
        self._raise_after = RAISE_AFTER_SECONDS
        self._raise_at = float("inf")
        self._is_starting = True
        self._growth = LEAST_GROWTH
        self._measuring_windows_left = 0
        self._counts_from = float("-inf")
        self._window: list[float] = []
        self._was_full = False
        self._fastest = float("inf")
        self._fastest_mean = float("inf")
        self._measure_at = self._next_measuring()

    async def acquire(self) -> float:
        """Wait for a slot. Returns the time it was given, which `overloaded` takes."""
        now = self._clock()
        if self._waiting or self.in_flight >= self._allowed or now < self._resume_at:
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
        self.in_flight -= 1
        if self._waiting:
            self._wake()

    def answered(self, seconds: float, own_delay: float = 0.0) -> None:
        """Note a normal answer.

        Args:
            seconds: from when the request was sent to when the answer's headers were read.
            own_delay: how much of that this process may have taken itself. It does not lower the
                limit, because the server is not to blame; but it does not raise it either, because
                a process that is busy gains nothing by more downloads.
        """
        self._overloads_in_a_row = 0
        if self._waiting:
            self._was_full = True
            if self._is_starting:
                self._set_limit(self.limit + 1)
        now = self._clock()
        if now - seconds >= self._counts_from:
            self._window.append(seconds)
            enough = LEAST_ANSWERS if self._is_starting else max(LEAST_ANSWERS, self._allowed)
            if len(self._window) >= enough:
                self._adapt(now, own_delay)

    def overloaded(self, requested_at: float, retry_after: float | None) -> None:
        """Note that the server is overloaded, in answer to a request made at `requested_at`."""
        now = self._clock()
        if requested_at >= self._last_cut_at:  # a request from before the last cut would cut twice
            self._last_cut_at = now
            self._under_way_at_cut = self.in_flight
            self._refused_since_cut = 0
            self._overloads_in_a_row += 1
            self.limit = max(1, self.limit // 2)
            self._raise_at = now + self._raise_after
            self._raise_after = min(2 * self._raise_after, RAISE_AFTER_AT_MOST_SECONDS)
            self._is_starting = True
            self._begin_window(now)
        self._refused_since_cut += 1
        taken = self._under_way_at_cut - self._refused_since_cut
        self._bound = min(max(1, self.limit, int(TAKEN_SHARE * taken)), self._most)
        if retry_after is None:
            retry_after = FIRST_PAUSE_SECONDS * 2 ** (self._overloads_in_a_row - 1)
        pause = min(retry_after, LONGEST_PAUSE_SECONDS)
        pause *= 1 + self._jitter * random.random()  # noqa: S311 - no secret depends on it
        self._resume_at = max(self._resume_at, now + pause)

    @property
    def downloads_soon(self) -> int:
        """The limit that connections should be there for.

        In slow start that is one that is reached two round trips later, because setting up a
        connection takes as long. A server that is near has them at once.
        """
        if not self._is_starting or self._fastest < SLACK_SECONDS:
            return self.limit
        is_known = self._fastest < float("inf")
        return min((4 if is_known else 2) * self.limit, self._bound)

    @property
    def _allowed(self) -> int:
        """The slots for now: a quarter of the limit while the fastest time is measured."""
        if self._measuring_windows_left > 1:
            return min(self.limit, max(LEAST_BY_LATENCY, self.limit // 4))
        return self.limit

    @property
    def _of_use(self) -> int:
        """More requests at once than this only wait longer, for the server or for this process."""
        in_time_of_answer = min(self._most, MOST_ANSWERS_A_SECOND * self._fastest_mean)
        return max(ALWAYS_OF_USE, int(in_time_of_answer))

    def _adapt(self, now: float, own_delay: float) -> None:
        """Move the limit by the times of the last window of answers.

        Their lower quartile counts: what is slow for the object's own sake, or because its
        connection was new, is no queue.
        """
        typical = sorted(self._window)[len(self._window) // 4]
        self._fastest = min(self._fastest, typical)
        self._fastest_mean = min(self._fastest_mean, fmean(self._window))
        is_slow = typical >= GROW_BELOW * self._fastest + SLACK_SECONDS
        if is_slow:
            self._growth = LEAST_GROWTH
        if self._measuring_windows_left:
            self._measuring_windows_left -= 1
        elif self._is_starting:
            if is_slow:  # a doubling ago it was not
                self._is_starting = False
                self._set_limit(max(LEAST_BY_LATENCY, self.limit // 2))
        elif now >= self._measure_at:
            self._measuring_windows_left = MEASURING_WINDOWS
            self._measure_at = self._next_measuring()
            self._fastest = self._fastest_mean = float("inf")
        elif typical - own_delay > SHRINK_ABOVE * self._fastest + SLACK_SECONDS:
            self._set_limit(max(min(LEAST_BY_LATENCY, self.limit), self.limit * 3 // 4))
        elif self._was_full and not is_slow:
            self._set_limit(self.limit + max(1, int(self.limit * self._growth)))
            self._growth = min(2 * self._growth, MOST_GROWTH)
        self._set_limit(self.limit)  # within what is of use, which may be less now
        self._raise_bound(now)
        self._begin_window(now)
        self._wake()

    def _next_measuring(self) -> float:
        """A multiple of a time, of a clock that all processes of this machine share."""
        return (self._clock() // MEASURE_EVERY_SECONDS + 1) * MEASURE_EVERY_SECONDS

    def _raise_bound(self, now: float) -> None:
        """Try a little more than an overloaded server took, after a while without overload."""
        if now < self._raise_at or self.limit < self._bound or self._bound == self._most:
            return
        self._bound = min(self._most, self._bound + max(1, self._bound // 10))
        self._raise_after = max(RAISE_AFTER_SECONDS, self._raise_after / 2)
        self._raise_at = now + self._raise_after

    def _set_limit(self, limit: int) -> None:
        limit = min(limit, self._bound, self._of_use)
        has_grown = limit > self.limit
        self.limit = limit
        if has_grown and self._grown is not None:
            self._grown(limit)

    def _begin_window(self, now: float) -> None:
        """Count what is asked from now on. In slow start, all answers count."""
        self._counts_from = float("-inf") if self._is_starting else now
        self._window.clear()
        self._was_full = False

    def _wake(self) -> None:
        """Give free slots to those who wait, or come back when the pause is over."""
        pause = self._resume_at - self._clock()
        if pause > 0:
            if self._resuming is None:
                self._resuming = asyncio.get_running_loop().call_later(pause, self._resume)
            return
        while self._waiting and self.in_flight < self._allowed:
            turn = self._waiting.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)

    def _resume(self) -> None:
        self._resuming = None
        self._wake()
