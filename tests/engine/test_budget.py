"""A worker's memory is bounded, and shared out in the order of asking."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from media_enricher.engine.budget import ByteBudget

TOTAL = 100


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 3)), max_size=60))
def test_never_more_than_the_total_and_always_in_turn(wants: list[tuple[int, int]]) -> None:
    async def run() -> None:
        budget = ByteBudget(TOTAL)
        order: list[int] = []

        async def use(number: int, size: int, turns: int) -> None:
            share = await budget.acquire(size)
            order.append(number)
            assert budget.held <= TOTAL
            assert share == min(size, TOTAL)
            for _ in range(turns):
                await asyncio.sleep(0)
            budget.release(share)

        users = [use(number, size, turns) for number, (size, turns) in enumerate(wants)]
        await asyncio.wait_for(asyncio.gather(*users), 10)
        assert budget.held == 0
        assert order == sorted(order)

    asyncio.run(run())


def test_what_is_too_large_passes_alone() -> None:
    async def run() -> None:
        budget = ByteBudget(TOTAL)
        share = await budget.acquire(1000)
        small = asyncio.create_task(budget.acquire(1))
        await asyncio.sleep(0)
        assert not small.done()
        budget.release(share)
        assert await small == 1

    asyncio.run(run())


def test_giving_up_waiting_gives_nothing_away() -> None:
    async def run() -> None:
        budget = ByteBudget(TOTAL)
        held = await budget.acquire(80)
        large = asyncio.create_task(budget.acquire(50))
        small = asyncio.create_task(budget.acquire(20))
        await asyncio.sleep(0)
        large.cancel()
        budget.release(held)
        assert await small == 20
        assert budget.held == 20

    asyncio.run(run())
