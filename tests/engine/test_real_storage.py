"""The engine over the local stack: real keys, real etags, and memory that stays bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import httpx
import msgspec
import psutil
import pytest

from media_enricher.engine import EngineOptions, EnrichPool
from media_enricher.engine.options import MIB
from media_enricher.models import AssetStatus, Depth, ErrorCode, StorageObject
from media_enricher.settings import settings, supabase_settings
from supabase_local import LocalStack
from tests.conftest import Put
from tests.engine.conftest import png


@pytest.fixture
def put_real(http: httpx.Client) -> Put:
    """`put` of the whole suite, which a fixture of this folder hides."""

    def upload(
        bucket: str, path: str, data: bytes, content_type: str = "image/png"
    ) -> httpx.Response:
        answer = http.post(
            f"/object/{bucket}/{path}",
            content=data,
            headers={"content-type": content_type, "x-upsert": "true"},
        )
        return answer.raise_for_status()

    return upload


@pytest.fixture
def listing(http: httpx.Client) -> Callable[[str], list[StorageObject]]:
    """The objects at the top of a bucket, as the database describes them."""

    def listing(bucket: str) -> list[StorageObject]:
        answer = http.post(f"/object/list/{bucket}", json={"prefix": "", "limit": 1000})
        return [
            StorageObject(
                bucket=bucket,
                path=row["name"],
                etag=row["metadata"]["eTag"],
                size_bytes=row["metadata"]["size"],
                declared_content_type=row["metadata"]["mimetype"],
            )
            for row in answer.json()
        ]

    return listing


@pytest.fixture
def pool(stack: LocalStack, supabase_environment: dict[str, str]) -> Iterator[EnrichPool]:
    """A pool as a run makes it, from the environment."""
    with EnrichPool(EngineOptions.from_settings(settings(), supabase_settings())) as pool:
        yield pool


@pytest.mark.parametrize("depth", list(Depth))
def test_a_bucket_of_everything(
    depth: Depth,
    pool: EnrichPool,
    make_bucket: Callable[[], str],
    put_real: Put,
    listing: Callable[[str], list[StorageObject]],
) -> None:
    bucket = make_bucket()
    put_real(bucket, "a%20%2B%20b%3F.png", png(11))
    put_real(bucket, "empty.jpg", b"", "image/jpeg")
    put_real(bucket, "page.jpg", b"<!doctype html><title>Not found</title>" * 50, "image/jpeg")
    put_real(bucket, "overwritten.png", png(12))
    put_real(bucket, "removed.png", png(13))
    objects = {member.path: member for member in listing(bucket)}
    put_real(bucket, "overwritten.png", png(14))
    objects["removed.png"] = StorageObject(bucket=bucket, path="removed-since.png")
    outcomes = pool.enrich(list(objects.values()), depth)
    assets = {outcome.asset.path: outcome.asset for outcome in outcomes}
    now = {member.path: member.etag for member in listing(bucket)}

    assert assets["a + b?.png"].width == 11
    assert assets["a + b?.png"].etag == now["a + b?.png"]
    assert assets["empty.jpg"].error_code is ErrorCode.EMPTY
    assert assets["page.jpg"].error_code is ErrorCode.MISLABELLED
    assert assets["overwritten.png"].width == 14
    assert assets["overwritten.png"].etag == now["overwritten.png"]
    assert assets["overwritten.png"].etag != objects["overwritten.png"].etag
    assert assets["removed-since.png"].error_code is ErrorCode.NOT_FOUND


Listing = Callable[[str], list[StorageObject]]


@pytest.fixture
def lose(stack: LocalStack, http: httpx.Client) -> Callable[[str, str], None]:
    """Deletes the bytes of an object, and leaves its row."""

    def lose(bucket: str, path: str) -> None:
        version = http.get(f"/object/info/{bucket}/{path}").json()["version"]
        (stack.folder / "blobs" / version[:2] / version).unlink()

    return lose


@pytest.mark.parametrize("depth", list(Depth))
def test_bytes_that_are_missing_are_named(
    depth: Depth,
    pool: EnrichPool,
    make_bucket: Callable[[], str],
    put_real: Put,
    listing: Listing,
    lose: Callable[[str, str], None],
) -> None:
    """A row outlives its bytes where a backup of the database is restored without those."""
    bucket = make_bucket()
    for number in range(1, 8):
        put_real(bucket, f"{number}.png", png(number))
    for number in (1, 2, 7):
        lose(bucket, f"{number}.png")
    outcomes = pool.enrich(listing(bucket), depth)
    lost = {each.asset.path for each in outcomes if each.asset.error_code}
    assert lost == {"1.png", "2.png", "7.png"}
    for outcome in outcomes:
        if outcome.asset.path in lost:
            assert outcome.asset.error_code is ErrorCode.BYTES_MISSING
            assert not outcome.is_transient_failure
            assert "Upload it again" in (outcome.asset.error_message or "")

    (alone,) = (member for member in listing(bucket) if member.path == "1.png")
    (again,) = pool.enrich([alone], depth)
    assert again.asset.error_code is ErrorCode.BYTES_MISSING, "with nothing else in its batch"
    put_real(bucket, "1.png", png(1))
    (again,) = pool.enrich([alone], depth)
    assert again.asset.width == 1


def test_a_bucket_that_has_lost_all_its_bytes_may_be_an_outage(
    pool: EnrichPool,
    make_bucket: Callable[[], str],
    put_real: Put,
    listing: Listing,
    lose: Callable[[str, str], None],
) -> None:
    """As a disk that is not mounted: who can tell?"""
    bucket = make_bucket()
    for number in range(1, 4):
        put_real(bucket, f"{number}.png", png(number))
        lose(bucket, f"{number}.png")
    outcomes = pool.enrich(listing(bucket), Depth.FULL)
    assert {outcome.asset.error_code for outcome in outcomes} == {ErrorCode.UNAVAILABLE}


def test_a_very_large_object_is_hashed_without_holding_it(
    pool: EnrichPool, make_bucket: Callable[[], str], put_real: Put
) -> None:
    bucket = make_bucket()
    data = png(100, 100) + b"\0" * (100 * MIB)
    put_real(bucket, "large.png", data)
    small = StorageObject(bucket=bucket, path="missing")
    pool.enrich([small], Depth.FULL)
    with PeakMemory(pool.worker_pids) as memory:
        (outcome,) = pool.enrich(
            [StorageObject(bucket=bucket, path="large.png", size_bytes=len(data))], Depth.FULL
        )
    assert outcome.asset.status is AssetStatus.ENRICHED
    assert outcome.asset.width == 100
    assert outcome.asset.sha256
    assert outcome.bytes_read == len(data)
    assert memory.grown_bytes < 32 * MIB


def test_memory_is_bounded_by_bytes_in_flight(
    stack: LocalStack,
    supabase_environment: dict[str, str],
    make_bucket: Callable[[], str],
    put_real: Put,
) -> None:
    bucket = make_bucket()
    data = png(500, 500) + b"\0" * (5 * MIB)
    for number in range(5):
        put_real(bucket, f"{number}.png", data)
    objects = [
        StorageObject(bucket=bucket, path=f"{number % 5}.png", size_bytes=len(data))
        for number in range(300)
    ]
    small = settings().model_copy(
        update={"memory_mb": 48, "engine_workers": 2, "downloads_per_engine_worker": 64}
    )
    with EnrichPool(EngineOptions.from_settings(small, supabase_settings())) as pool:
        pool.enrich([StorageObject(bucket=bucket, path="missing")] * 20, Depth.FULL)
        with PeakMemory(pool.worker_pids) as memory:
            outcomes = pool.enrich(objects, Depth.FULL)
    assert {outcome.asset.status for outcome in outcomes} == {AssetStatus.ENRICHED}
    assert memory.grown_bytes < 48 * MIB + 48 * MIB  # the budget, and what decoding takes


class PeakMemory:
    """The most memory that processes came to have, above what they began with.

    Of their own (anonymous): the pages of a mapped file are the kernel's to drop.
    """

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch)

    def __enter__(self) -> PeakMemory:
        self._base = self._peak = self._now()
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._watcher.join()

    @property
    def grown_bytes(self) -> int:
        return self._peak - self._base

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self._peak = max(self._peak, self._now())

    def _now(self) -> int:
        return sum(
            info.rss - info.shared
            for info in (psutil.Process(pid).memory_info() for pid in self._pids)
        )


@pytest.mark.parametrize("knows_size", [True, False])
def test_what_is_too_large_to_be_read_whole_costs_a_few_ranges(
    knows_size: bool,
    stack: LocalStack,
    supabase_environment: dict[str, str],
    make_bucket: Callable[[], str],
    put_real: Put,
    listing: Callable[[str], list[StorageObject]],
) -> None:
    bucket = make_bucket()
    put_real(bucket, "poster.png", png(11) + bytes(3 * MIB))
    (poster,) = listing(bucket)
    if not knows_size:  # as some listings have it
        poster = msgspec.structs.replace(poster, size_bytes=None)
    options = EngineOptions.from_settings(settings(), supabase_settings())
    with EnrichPool(msgspec.structs.replace(options, max_whole_bytes=2 * MIB)) as pool:
        (outcome,) = pool.enrich([poster], Depth.FULL)
    assert outcome is not None
    asset = outcome.asset
    assert (asset.status, asset.width, asset.depth) == (AssetStatus.ENRICHED, 11, Depth.FULL)
    assert (asset.sha256, asset.blurhash, asset.warnings) == (None, None, ["not-read-whole"])
    assert outcome.bytes_read < MIB
