"""What may be read within a number of bytes: never more, and all but less than one object."""

from __future__ import annotations

import random
from collections import deque

import pytest

from media_enricher.engine.allowance import Allowance, Extent, extent_of, extent_of_all
from media_enricher.models import MOST_RANGE_BYTES, Depth, StorageObject
from tests.engine.conftest import MakePool, Put, png
from tests.engine.faulty_storage import FaultyStorage, cut_short, refuse

MIB = 2**20
WHOLE = 256 * MIB


def listed(size_bytes: int | None, path: str = "a.png") -> StorageObject:
    return StorageObject(bucket="b", path=path, size_bytes=size_bytes)


@pytest.mark.parametrize(
    ("size_bytes", "depth", "extent"),
    [
        (5 * MIB, Depth.FULL, Extent(5 * MIB, 5 * MIB)),
        (WHOLE, Depth.FULL, Extent(WHOLE, WHOLE)),
        (WHOLE + 1, Depth.FULL, Extent(16 * 1024, MOST_RANGE_BYTES)),
        (5 * MIB, Depth.HEADER, Extent(16 * 1024, 5 * MIB)),
        (50 * MIB, Depth.HEADER, Extent(16 * 1024, MOST_RANGE_BYTES)),
        (100, Depth.HEADER, Extent(100, 100)),
        (0, Depth.FULL, Extent(0, 0)),
        (None, Depth.FULL, Extent(16 * 1024, WHOLE)),
        (None, Depth.HEADER, Extent(16 * 1024, MOST_RANGE_BYTES)),
    ],
)
def test_how_much_of_an_object_is_read(
    size_bytes: int | None, depth: Depth, extent: Extent
) -> None:
    assert extent_of(listed(size_bytes), depth, max_whole_bytes=WHOLE) == extent


def test_a_batch_takes_its_first_object_at_least_and_all_of_them_at_most() -> None:
    objects = [listed(3 * MIB), listed(4 * MIB)]
    assert extent_of_all(objects, Depth.FULL, max_whole_bytes=WHOLE) == Extent(3 * MIB, 7 * MIB)


def test_what_does_not_fit_is_not_begun_and_what_was_not_read_comes_back() -> None:
    allowance = Allowance(100)
    assert allowance.reserve(Extent(10, 60)) == 60
    assert allowance.reserve(Extent(10, 60)) is None, "beside another, the most that it may read"
    assert allowance.reserve(Extent(0, 40)) == 40
    allowance.settle(60, read=5)
    allowance.settle(40, read=40)
    assert allowance.left == 55
    assert allowance.reserve(Extent(10, 60)) == 55, "alone, the least will do"
    assert allowance.reserve(Extent(0, 1)) is None
    allowance.settle(55, read=60)
    assert (allowance.left, allowance.is_idle) == (-5, True)
    assert allowance.reserve(Extent(0, 0)) is None


@pytest.mark.parametrize("seed", range(50))
def test_reading_ends_within_one_object_of_the_limit(seed: int) -> None:
    """Objects whose true extent shows only as they are read, up to eight at once."""
    chance = random.Random(seed)
    limit = chance.randrange(1_000, 100_000)
    allowance, under_way, read, refused = Allowance(limit), deque[tuple[int, int]](), 0, None
    while refused is None:
        least = chance.randrange(1, 500)
        extent = Extent(least, chance.randrange(least, 10 * least))
        while (reserved := allowance.reserve(extent)) is None and under_way:
            took, was_read = under_way.popleft()
            allowance.settle(took, was_read)
        if reserved is None:
            refused = extent
            break
        took = chance.randrange(extent.least, extent.most + 1)
        read += took
        under_way.append((reserved, took))
        if len(under_way) == 8:
            allowance.settle(*under_way.popleft())
    assert limit - refused.most < read < limit + 5_000


@pytest.mark.parametrize("depth", list(Depth))
@pytest.mark.usefixtures("needs_processes")
def test_the_engine_begins_objects_in_their_order_while_there_is_room(
    depth: Depth, make_pool: MakePool, put: Put
) -> None:
    objects = [put(f"{width:03}.png", png(width)) for width in range(1, 61)]
    sizes = [each.size_bytes or 0 for each in objects]
    limit = sum(sizes[:40]) + sizes[40] // 2
    allowance = Allowance(limit)
    outcomes = make_pool(workers=2).enrich(objects, depth, allowance=allowance)
    assert [outcome.asset.width for outcome in outcomes] == list(range(1, 41))
    assert allowance.has_refused
    assert allowance.left == limit - sum(sizes[:40])


@pytest.mark.usefixtures("needs_processes")
def test_an_allowance_for_all_refuses_nothing(make_pool: MakePool, put: Put) -> None:
    objects = [put(f"{width:03}.png", png(width)) for width in range(1, 21)]
    allowance = Allowance(sum(each.size_bytes or 0 for each in objects))
    assert len(make_pool().enrich(objects, Depth.FULL, allowance=allowance)) == 20
    assert (allowance.has_refused, allowance.left) == (False, 0)


@pytest.mark.usefixtures("needs_processes")
def test_an_allowance_without_room_for_the_first_object_reads_nothing(
    make_pool: MakePool, put: Put, storage: FaultyStorage
) -> None:
    allowance = Allowance(10)
    assert make_pool().enrich([put("a.png", png(5))], Depth.FULL, allowance=allowance) == []
    assert allowance.has_refused
    assert storage.requests == []


@pytest.mark.usefixtures("needs_processes")
def test_what_failed_gives_its_room_back_and_what_broke_off_was_read(
    make_pool: MakePool, put: Put, storage: FaultyStorage
) -> None:
    objects = [put(f"{name}.png", png(400, 400)) for name in "abc"]
    size = objects[0].size_bytes or 0
    storage.next_answers["b/a.png"] = [refuse(500)] * 9
    storage.next_answers["b/b.png"] = [cut_short(size // 2, reset=False)] * 9
    allowance = Allowance(size * 5 // 2)
    outcomes = make_pool().enrich(objects, Depth.FULL, allowance=allowance)
    assert [outcome.bytes_read for outcome in outcomes] == [0, size // 2, size]
    assert allowance.left == size
