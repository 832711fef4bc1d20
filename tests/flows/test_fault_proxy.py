"""Faults at random between the flow and Storage: one clean run later, nothing of them is left.

Planning and writing go to the stack; its objects are read through a proxy that disturbs answers.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from media_enricher.orchestration import resources
from media_enricher.settings import settings
from supabase_local import LocalStack
from tests.engine.faulty_storage import FaultyStorage, cut_short
from tests.engine.test_fault_proxy import FAULTS
from tests.flows.conftest import FilledBucket, photo
from tests.flows.test_backfill import findings, run

OBJECTS = 100
MIXED = [*FAULTS.values(), cut_short(20, reset=False)]
HEADERS = ("ETag", "Content-Type", "Content-Range", "Last-Modified")


class FaultProxy(FaultyStorage):
    """Passes requests for objects on to the real Storage, whose answers it may disturb.

    Attributes:
        share: of the answers that are disturbed.
        given: how many faults of each kind there were.
    """

    def __init__(self, upstream: str) -> None:
        super().__init__()
        self.share = 0.0
        self.given: Counter[int] = Counter()
        self._upstream = upstream
        self._chance = random.Random(10)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        return await self._passed_on(request)

    async def _info(self, request: web.Request) -> web.StreamResponse:
        return await self._passed_on(request)

    async def _passed_on(self, request: web.Request) -> web.StreamResponse:
        asked = {
            name: value
            for name, value in request.headers.items()
            if name in {"apikey", "Authorization", "Range"}
        }
        async with (
            aiohttp.ClientSession(self._upstream) as session,
            session.get(request.rel_url, headers=asked) as answer,
        ):
            data = await answer.read()
            if answer.ok and self._chance.random() < self.share:
                kind = self._chance.randrange(len(MIXED))
                self.given[kind] += 1
                return await MIXED[kind](request, data)
            sent = {name: answer.headers[name] for name in HEADERS if name in answer.headers}
            return web.Response(status=answer.status, body=data, headers=sent)


@pytest.fixture
def proxy(migrated_stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """What the flow takes for Storage when it reads objects. It does not disturb them yet."""
    monkeypatch.setenv("MEDIA_ENRICHER_RETRY_DELAY_SECONDS", "0.1")
    monkeypatch.setenv("MEDIA_ENRICHER_FAILURE_THRESHOLD", "1")
    settings.cache_clear()
    with FaultProxy(migrated_stack.url) as server:
        options = msgspec.structs.replace(
            resources.engine_options(), supabase_url=server.url, silence_seconds=1.0
        )
        with monkeypatch.context() as patched:
            patched.setattr(resources, "engine_options", lambda: options)
            yield server
    settings.cache_clear()


@pytest.fixture
def filled(bucket: FilledBucket) -> FilledBucket:
    """Photographs, and what no run can enrich: those verdicts must not change either."""
    bucket.put_all(
        {
            f"{number:03}.jpg": photo(number)[:300] if number % 9 == 0 else photo(number)
            for number in range(OBJECTS)
        }
    )
    bucket.put("empty.png", b"", "image/png")
    bucket.put("notes.txt", b"not an image at all", "text/plain")
    return bucket


@pytest.mark.parametrize("depth", ["full", "header"])
@pytest.mark.parametrize(("share", "retries"), [(0.05, 0), (0.4, 1)])
def test_one_clean_run_later_the_table_is_as_if_undisturbed(
    filled: FilledBucket,
    proxy: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    share: float,
    retries: int,
    depth: str,
) -> None:
    monkeypatch.setenv("MEDIA_ENRICHER_RETRIES", str(retries))
    undisturbed = verdicts(filled, monkeypatch, tmp_path / "one", depth)
    filled.query("delete from public.media_assets where bucket = $1", filled.name)

    proxy.share = share
    disturbed = verdicts(filled, monkeypatch, tmp_path / "another", depth)
    assert set(proxy.given) == set(range(len(MIXED))) or share < 0.1
    assert disturbed != undisturbed, "every fault was mended amid the run: the next has no work"
    proxy.share = 0.0
    assert verdicts(filled, monkeypatch, tmp_path / "another", depth) == undisturbed


def verdicts(
    filled: FilledBucket, monkeypatch: pytest.MonkeyPatch, results: Path, depth: str
) -> dict[str, dict[str, Any]]:
    """The table after a run whose task cache is a folder of its own."""
    monkeypatch.setenv("MEDIA_ENRICHER_RESULT_STORAGE", str(results))
    settings.cache_clear()
    assert run(filled, depth=depth).is_completed()
    rows = findings(filled)
    assert len(rows) == OBJECTS + 2
    for row in rows.values():
        del row["id"]  # the rows are made anew
    return rows
