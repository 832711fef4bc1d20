"""The rate of downloads: exact by the clock, shared by all processes, whoever reads."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from media_enricher.engine.rate_limit import CATCH_UP_SECONDS, RateLimit, SharedMoment
from media_enricher.models import AssetStatus, Depth
from tests.engine.conftest import MakePool, Put, png

RATE = 1_250_000.0
"""10 Mbit/s."""


class Simulated:
    """A clock that only sleeping moves on, for coroutines that do nothing but sleep."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self._order = itertools.count()
        self._due: list[tuple[float, int, asyncio.Future[None]]] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._due, (self.now + seconds, next(self._order), woken))
        await woken

    def run(self, *readers: Coroutine[Any, Any, None]) -> None:
        async def all_of_them() -> None:
            tasks = [asyncio.ensure_future(reader) for reader in readers]
            while not all(task.done() for task in tasks):
                for _ in range(5):
                    await asyncio.sleep(0)
                if self._due:
                    self.now, _, woken = heapq.heappop(self._due)
                    woken.set_result(None)
            await asyncio.gather(*tasks)

        asyncio.run(all_of_them())


@pytest.fixture
def time() -> Simulated:
    return Simulated()


@pytest.fixture
def shared(time: Simulated) -> Iterator[SharedMoment]:
    moment = SharedMoment.create(time.now)
    yield moment
    moment.close()


def limit_of_a_process(shared: SharedMoment, time: Simulated) -> RateLimit:
    """A limit as another process has it: it sees the shared memory through its own descriptor."""
    return RateLimit(
        SharedMoment(os.dup(shared.descriptor)), RATE, clock=time.clock, sleep=time.sleep
    )


async def read(limit: RateLimit, pieces: int, piece: int = 65_536) -> None:
    for _ in range(pieces):
        await limit.received(piece)


@pytest.mark.parametrize("readers", [1, 2, 7])
def test_all_processes_together_read_at_the_limit(
    readers: int, shared: SharedMoment, time: Simulated
) -> None:
    began = time.now
    time.run(*(read(limit_of_a_process(shared, time), 200) for _ in range(readers)))
    assert time.now - began == pytest.approx(readers * 200 * 65_536 / RATE)


def test_a_process_with_nothing_to_read_leaves_the_whole_rate_to_the_others(
    shared: SharedMoment, time: Simulated
) -> None:
    began = time.now
    busy, idle = limit_of_a_process(shared, time), limit_of_a_process(shared, time)
    time.run(read(busy, 300), read(idle, 10))
    assert time.now - began == pytest.approx(310 * 65_536 / RATE)


def test_processes_that_read_alike_get_alike(shared: SharedMoment, time: Simulated) -> None:
    began, ended = time.now, []

    async def timed(limit: RateLimit) -> None:
        await read(limit, 100)
        ended.append(time.now - began)

    time.run(*(timed(limit_of_a_process(shared, time)) for _ in range(4)))
    assert min(ended) > 0.95 * max(ended)


def test_time_in_which_nothing_was_read_is_made_up_for_a_little(
    shared: SharedMoment, time: Simulated
) -> None:
    limit = limit_of_a_process(shared, time)
    time.now += 60
    began = time.now
    time.run(read(limit, 200))
    assert time.now - began == pytest.approx(200 * 65_536 / RATE - CATCH_UP_SECONDS)


@pytest.mark.usefixtures("needs_processes")
def test_workers_with_a_limit_read_all_there_is(make_pool: MakePool, put: Put) -> None:
    """How long it takes is no test's to say: `python -m tests.bench.rate` measures it."""
    objects = [put(f"{width}.png", png(width)) for width in range(1, 41)]
    pool = make_pool(workers=2, max_bytes_per_second=1e6)
    outcomes = pool.enrich(objects, Depth.FULL)
    assert {outcome.asset.status for outcome in outcomes} == {AssetStatus.ENRICHED}
    assert [outcome.bytes_read for outcome in outcomes] == [each.size_bytes for each in objects]
