"""Concurrency finds the server's measure. Time is simulated."""

from __future__ import annotations

import asyncio

import pytest

from media_enricher.engine.adaptive_limiter import (
    ALWAYS_OF_USE,
    LEAST_BY_LATENCY,
    MOST_ANSWERS_A_SECOND,
    START,
    AdaptiveLimiter,
)
from tests.engine.virtual_time import run_in_virtual_time


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def answer_windows(
    limiter: AdaptiveLimiter, clock: Clock, windows: int, *, seconds: float, own_delay: float = 0.0
) -> None:
    """Keep every slot in use, and someone waiting, while the server answers in `seconds`."""
    for _ in range(windows):
        while limiter.in_flight < limiter.limit:
            await limiter.acquire()
        waiting = [asyncio.create_task(limiter.acquire()) for _ in range(limiter.limit)]
        await asyncio.sleep(0)
        clock.now += seconds
        for _ in range(limiter.in_flight):
            limiter.answered(seconds, own_delay)
            limiter.release()
        for each in waiting:
            each.cancel()  # unless it has its slot by now
        await asyncio.gather(*waiting, return_exceptions=True)


class Server:
    """A server in virtual time: so far away, with so many answers a second.

    Above `most` at once, it refuses.
    """

    def __init__(self, *, rtt: float, rate: float, most: int | None = None) -> None:
        self._rtt = rtt
        self._rate = rate
        self._most = most
        self._at_once = 0
        self._free_at = 0.0
        self.answered = 0
        self.refused = 0

    async def answers(self) -> bool:
        """Whether it answers, when it does."""
        if self._most is not None and self._at_once >= self._most:
            self.refused += 1
            await asyncio.sleep(self._rtt)
            return False
        self._at_once += 1
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now + self._rtt / 2) + 1 / self._rate
        await asyncio.sleep(self._free_at + self._rtt / 2 - now)
        self._at_once -= 1
        self.answered += 1
        return True


def limits_after(server: Server, seconds: float, *, workers: int, most: int) -> list[int]:
    """The limits of workers that have had enough to do for so long."""

    async def run() -> list[int]:
        loop = asyncio.get_running_loop()
        limiters = [AdaptiveLimiter(most) for _ in range(workers)]

        async def work(limiter: AdaptiveLimiter) -> None:
            while True:
                requested_at = await limiter.acquire()
                if await server.answers():
                    limiter.answered(loop.time() - requested_at)
                else:
                    limiter.overloaded(requested_at, None)
                limiter.release()

        tasks = [loop.create_task(work(each)) for each in limiters for _ in range(most + 1)]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        return [each.limit for each in limiters]

    return run_in_virtual_time(run())


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_it_starts_moderate_and_grows_while_answers_stay_quick(clock: Clock) -> None:
    async def run() -> None:
        limiter = AdaptiveLimiter(64, clock=clock)
        assert limiter.limit == START
        await answer_windows(limiter, clock, 10, seconds=0.02)
        assert limiter.limit == 64

    asyncio.run(run())


@pytest.mark.parametrize("rtt", [0.0, 0.02, 0.08, 0.2])
def test_it_finds_how_many_a_server_needs(rtt: float) -> None:
    seconds, rate = 10.0, 2_000.0
    server = Server(rtt=rtt, rate=rate)
    limits = limits_after(server, seconds, workers=2, most=512)
    ramp_seconds = 10 * rtt
    assert server.answered > 0.95 * rate * (seconds - ramp_seconds)
    assert sum(limits) <= 4 * rate * (rtt + 0.025), "a queue that does nobody good"


def test_a_slow_moment_at_the_start_costs_few_windows(clock: Clock) -> None:
    async def run() -> None:
        limiter = AdaptiveLimiter(512, clock=clock)
        await answer_windows(limiter, clock, 1, seconds=0.2)
        await answer_windows(limiter, clock, 1, seconds=0.6)
        after = limiter.limit
        assert after < 2 * START, "slow start is over"
        await answer_windows(limiter, clock, 12, seconds=0.2)
        assert limiter.limit > 8 * after

    asyncio.run(run())


def test_where_all_answers_queue_for_long_the_queue_stays_short() -> None:
    server = Server(rtt=0.02, rate=500.0)
    limits = limits_after(server, 100.0, workers=2, most=512)
    assert server.answered > 0.95 * 500 * 100
    assert sum(limits) <= 4 * 500 * (0.02 + 0.025)


@pytest.mark.parametrize("rtt", [0.08, 0.2])
def test_it_stays_near_the_best_number_where_more_are_refused(rtt: float) -> None:
    seconds, most = 40.0, 100
    server = Server(rtt=rtt, rate=10_000.0, most=most)
    limits = limits_after(server, seconds, workers=2, most=512)
    assert server.answered > 0.85 * seconds * most / (rtt + 1 / 10_000)
    assert server.refused < 0.01 * server.answered + 2 * most
    assert sum(limits) <= 1.1 * most


def test_connections_are_wanted_for_what_it_grows_to(clock: Clock) -> None:
    async def run() -> None:
        limiter = AdaptiveLimiter(512, clock=clock)
        assert limiter.downloads_soon == 2 * START
        await answer_windows(limiter, clock, 2, seconds=0.1)
        assert limiter.downloads_soon == 4 * limiter.limit
        near = AdaptiveLimiter(512, clock=clock)
        await answer_windows(near, clock, 2, seconds=0.001)
        assert near.downloads_soon == near.limit

    asyncio.run(run())


def test_it_does_not_grow_when_nobody_waits(clock: Clock) -> None:
    async def run() -> None:
        limiter = AdaptiveLimiter(64, clock=clock)
        for _ in range(500):
            await limiter.acquire()
            limiter.answered(0.02)
            limiter.release()
        assert limiter.limit == START

    asyncio.run(run())


def test_it_yields_when_answers_take_several_times_as_long(clock: Clock) -> None:
    async def run() -> None:
        limiter = AdaptiveLimiter(64, clock=clock)
        await answer_windows(limiter, clock, 10, seconds=0.02)
        await answer_windows(limiter, clock, 10, seconds=0.5)
        assert limiter.limit < 20
        assert limiter.limit >= LEAST_BY_LATENCY

    asyncio.run(run())


def test_what_this_process_took_itself_neither_raises_nor_lowers_it(clock: Clock) -> None:
    async def run() -> None:
        limiter = AdaptiveLimiter(64, clock=clock)
        await answer_windows(limiter, clock, 1, seconds=0.02)
        await answer_windows(limiter, clock, 2, seconds=0.2, own_delay=0.19)
        first = limiter.limit
        await answer_windows(limiter, clock, 10, seconds=0.2, own_delay=0.19)
        assert limiter.limit == first < 64

    asyncio.run(run())


def test_one_wave_of_overload_answers_halves_it_once(clock: Clock) -> None:
    async def run() -> None:
        limiter = AdaptiveLimiter(64, clock=clock, jitter=0)
        requested_at = [await limiter.acquire() for _ in range(START)]
        clock.now += 0.1
        for moment in requested_at:
            limiter.overloaded(moment, retry_after=None)
            limiter.release()
        assert limiter.limit == START // 2

    asyncio.run(run())


def test_nothing_is_asked_before_retry_after_is_over() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        limiter = AdaptiveLimiter(64)
        requested_at = await limiter.acquire()
        limiter.overloaded(requested_at, retry_after=0.3)
        limiter.release()
        waited_from = loop.time()
        await asyncio.gather(*(limiter.acquire() for _ in range(4)))
        assert 0.3 <= loop.time() - waited_from < 5.0

    asyncio.run(run())


def test_a_server_that_names_no_time_gets_longer_and_longer_pauses(clock: Clock) -> None:
    async def run() -> None:
        limiter = AdaptiveLimiter(64, clock=clock, jitter=0)
        pauses = []
        for _ in range(4):
            requested_at = clock.now
            clock.now += 0.01
            limiter.overloaded(requested_at, retry_after=None)
            pauses.append(limiter._resume_at - clock.now)
            clock.now = limiter._resume_at + 0.01
        assert pauses == pytest.approx([0.5, 1, 2, 4])
        assert limiter.limit == 1

    asyncio.run(run())


def test_giving_up_waiting_gives_the_slot_back(clock: Clock) -> None:
    async def run() -> None:
        limiter = AdaptiveLimiter(1, clock=clock)
        await limiter.acquire()
        given_up = asyncio.create_task(limiter.acquire())
        patient = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(0)
        limiter.release()
        given_up.cancel()
        await asyncio.wait_for(patient, 1)
        assert limiter.in_flight == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    ("seconds", "most"),
    [(0.001, ALWAYS_OF_USE), (0.02, int(0.02 * MOST_ANSWERS_A_SECOND)), (0.2, 512)],
)
def test_it_grows_to_what_a_process_can_take_in_the_time_of_an_answer(
    seconds: float, most: int
) -> None:
    async def run() -> None:
        clock = Clock()
        limiter = AdaptiveLimiter(512, clock=clock)
        await answer_windows(limiter, clock, 20, seconds=seconds)
        assert limiter.limit == pytest.approx(most, abs=1)

    asyncio.run(run())


def test_what_was_of_use_for_slow_answers_is_not_for_fast_ones() -> None:
    async def run() -> None:
        clock = Clock()
        limiter = AdaptiveLimiter(512, clock=clock)
        await answer_windows(limiter, clock, 10, seconds=0.05)  # a server that has just started
        assert limiter.limit > 2 * ALWAYS_OF_USE
        await answer_windows(limiter, clock, 10, seconds=0.002)
        assert limiter.limit == ALWAYS_OF_USE

    asyncio.run(run())
