"""Concurrency finds the server's measure. Time is simulated."""

from __future__ import annotations

import asyncio

import pytest

from media_enricher.engine.adaptive_limiter import LEAST_BY_LATENCY, START, AdaptiveLimiter


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def answer_windows(limiter: AdaptiveLimiter, windows: int, *, seconds: float) -> None:
    """Keep every slot in use, and someone waiting, while the server answers in `seconds`."""
    for _ in range(windows * 2 * 64):
        while limiter.in_flight < limiter.limit:
            await limiter.acquire()
        waiting = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(0)
        limiter.answered(seconds)
        limiter.release()
        waiting.cancel()  # unless it has its slot by now
        await asyncio.gather(waiting, return_exceptions=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_it_starts_moderate_and_grows_while_answers_stay_quick(clock: Clock) -> None:
    async def run() -> None:
        limiter = AdaptiveLimiter(64, clock=clock)
        assert limiter.limit == START
        await answer_windows(limiter, 10, seconds=0.02)
        assert limiter.limit == 64

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
        await answer_windows(limiter, 10, seconds=0.02)
        await answer_windows(limiter, 10, seconds=0.5)
        assert limiter.limit < 20
        assert limiter.limit >= LEAST_BY_LATENCY

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
