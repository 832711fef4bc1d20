"""Downloads that share a query: none is forgotten, whenever it comes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest

from supabase_local.storage.lookups import DownloadLookup


class SlowPool:
    """A pool that takes its time to take a connection back, and may fail to answer."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.is_being_released = asyncio.Event()
        self.queries: list[Sequence[str]] = []
        self._failure = failure

    @contextlib.asynccontextmanager
    async def acquire(self) -> AsyncIterator[SlowPool]:
        yield self
        self.is_being_released.set()
        await asyncio.sleep(0.01)

    async def fetch(self, _: str, buckets: Sequence[str], keys: Sequence[str]) -> list[Any]:
        self.queries.append(keys)
        await asyncio.sleep(0.01)
        if self._failure:
            raise self._failure
        return [(bucket, key, f"v-{key}", None) for bucket, key in zip(buckets, keys, strict=True)]


def test_a_lookup_that_comes_as_the_connection_is_let_go_is_answered() -> None:
    async def run() -> None:
        pool = SlowPool()
        lookup = DownloadLookup(pool)
        first = asyncio.create_task(lookup.find("b", "first"))
        await pool.is_being_released.wait()
        second = await asyncio.wait_for(lookup.find("b", "second"), 2)

        assert second
        assert second.version == "v-second"
        assert (await first) is not None

    asyncio.run(run())


def test_lookups_that_come_during_a_query_share_the_next() -> None:
    async def run() -> None:
        pool = SlowPool()
        lookup = DownloadLookup(pool)
        found = await asyncio.gather(*(lookup.find("b", f"{n % 10}") for n in range(100)))

        assert [one.version for one in found if one] == [f"v-{n % 10}" for n in range(100)]
        assert len(pool.queries) <= 2

    asyncio.run(run())


def test_a_failing_query_fails_those_who_wait_and_no_others() -> None:
    async def run() -> None:
        pool = SlowPool(asyncpg.PostgresConnectionError("gone"))
        lookup = DownloadLookup(pool)
        for _ in range(2):
            with pytest.raises(asyncpg.PostgresConnectionError):
                await asyncio.wait_for(lookup.find("b", "a"), 2)

    asyncio.run(run())
