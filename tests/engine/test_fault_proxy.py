"""Faults at random, 5 to 40% of all answers: what they leave, one clean look puts right."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest
from aiohttp import web

from media_enricher.engine import EnrichPool
from media_enricher.models import Depth, MediaAsset, Outcome, StorageObject
from tests.engine.conftest import MakePool, Put, png
from tests.engine.faulty_storage import (
    Answer,
    FaultyStorage,
    cut_short,
    misleading,
    plain,
    refuse,
    silent,
)

OBJECTS = 60
PAGE = b"<!doctype html><title>Back soon</title>" * 20
FAULTS: dict[str, Answer] = {
    "429": refuse(429, Retry_After="0"),
    "500": refuse(500),
    "544": refuse(544, Retry_After="0"),
    "reset": cut_short(20, reset=True),
    "short": misleading(half=True),
    "wrong body": misleading(body=PAGE),
    "wrong body with an etag": misleading(body=PAGE, etag='"a-page"'),
    "wrong etag": misleading(etag='"another"'),
    "stall": silent(),
}
OWN_POOL: dict[str, dict[str, float]] = {
    "429": {},
    "500": {},
    "544": {},
    "stall": {"silence_seconds": 1.0},
}
"""The options of a pool for the faults that slow one, or need it to be less patient."""


def sometimes(fault: Answer, share: float, given: list[str]) -> Answer:
    """A fault, whose path is then noted, or what a healthy server answers."""
    chance = random.Random(7)
    healthy = plain()

    async def answer(request: web.Request, data: bytes) -> web.StreamResponse:
        if chance.random() >= share:
            return await healthy(request, data)
        given.append(request.path)
        return await fault(request, data)

    return answer


def rows(outcomes: list[Outcome]) -> dict[str, MediaAsset]:
    return {outcome.asset.path: outcome.asset for outcome in outcomes}


@pytest.mark.parametrize("depth", list(Depth))
@pytest.mark.parametrize("share", [0.05, 0.4])
@pytest.mark.parametrize("name", FAULTS)
def test_after_one_clean_look_all_is_as_if_undisturbed(
    name: str,
    share: float,
    depth: Depth,
    make_pool: MakePool,
    shared_pool: EnrichPool,
    put: Put,
    storage: FaultyStorage,
) -> None:
    broken: Callable[[int], bytes] = lambda width: png(width)[:60]  # noqa: E731
    objects = [
        put(f"{number}.png", broken(number) if number % 9 == 0 else png(number))
        for number in range(1, OBJECTS + 1)
    ]
    pool = make_pool(**OWN_POOL[name]) if name in OWN_POOL else shared_pool
    undisturbed = rows(pool.enrich(objects, depth))

    given: list[str] = []
    storage.usual = sometimes(FAULTS[name], share, given)
    first = pool.enrich(objects, depth)
    left = transient_of(first, objects)
    assert len(given) > 0, "nothing was disturbed"
    storage.usual = plain()
    found = rows(first) | rows(pool.enrich(left, depth))

    assert msgspec.to_builtins(found) == msgspec.to_builtins(undisturbed)


def transient_of(outcomes: list[Outcome], objects: list[StorageObject]) -> list[StorageObject]:
    """What the next run plans again."""
    failed = {outcome.asset.path for outcome in outcomes if outcome.is_transient_failure}
    return [each for each in objects if each.path in failed]
