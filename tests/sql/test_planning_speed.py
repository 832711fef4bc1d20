"""Planning over very many objects: a run with nothing to do, a page wherever it begins, and a few
objects of them all.

There are 250,000: each of a many costs as much, but four times the time to make them here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psutil
import pytest

from media_enricher import migrations
from supabase_local.postgres import SUPERUSER, running_postgres
from tests.database import Database
from tests.sql.conftest import Objects, Pipeline
from tests.sql.test_requested_objects import RequestedObjects

MANY = 250_000
_FILL = """
    -- Only what planning rides on: the other indexes cost most of the time it takes to fill them.
    drop index storage.bucketid_objname, storage.idx_objects_bucket_id_name_lower,
      storage.name_prefix_search;
    alter table storage.objects drop constraint "objects_bucketId_fkey";
    drop index media_assets_sha256_idx, media_assets_phash_idx, media_assets_tags_idx;
    insert into storage.objects (bucket_id, name, metadata, version)
    select '{bucket}', to_char(n / 1000, 'FM0000') || '/IMG_' || to_char(n, 'FM0000000') || '.jpg',
      jsonb_build_object('eTag', '"' || md5(n::text) || '"', 'size', n, 'mimetype', 'image/jpeg',
        'cacheControl', 'max-age=3600', 'lastModified', '2026-01-01T00:00:00.000Z',
        'contentLength', n, 'httpStatusCode', 200), 'v'
    from generate_series(1, {objects}) as n;
    insert into public.media_assets
      (bucket, path, object_id, etag, declared_content_type, status, depth, enricher_version,
       blurhash, sha256, exif)
    select bucket_id, name, id, metadata ->> 'eTag', 'image/jpeg', 'enriched', 'full', 1,
      'LEHV6nWB2yk8pyo0adR*.7kCMdnj', repeat('ab', 32), jsonb_build_object('Make', repeat('x', 300))
    from storage.objects;
"""


@pytest.fixture(scope="module")
def database(needs_stack: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with running_postgres(tmp_path_factory.mktemp("many")) as server:
        migrations.apply(server.url())
        database = Database(server.url(SUPERUSER))
        database.run("set max_parallel_workers_per_gather = 0")  # all in the one we measure
        yield database
        database.close()


@pytest.fixture(scope="module")
def many(database: Database) -> Pipeline:
    objects = Objects(database)
    database.run(_FILL.format(bucket=objects.bucket, objects=MANY))
    database.run("vacuum analyze storage.objects")
    database.run("vacuum analyze public.media_assets")
    return Pipeline(database, objects)


def database_seconds(database: Database, work: Callable[[], object]) -> float:
    """Processor seconds of the database, the best of three: others use this machine too."""
    backend = psutil.Process(database.value("select pg_backend_pid()"))

    def used() -> float:
        times = backend.cpu_times()
        return times.user + times.system

    def once() -> float:
        before = used()
        work()
        return used() - before

    return min(once() for _ in range(3))


_BY_HAND = """
    select count(*) from storage.objects o
    left join public.media_assets a on a.bucket = o.bucket_id and a.path = o.name
    where o.bucket_id = $1 and (a.path is null or a.etag is distinct from o.metadata ->> 'eTag'
      or a.declared_content_type is distinct from o.metadata ->> 'mimetype')
"""
"""The heart of the question alone, put as anyone would."""


def test_each_step_of_planning_nothing_costs_no_more_than_the_bare_question(
    database: Database, many: Pipeline
) -> None:
    """A ratio, for how fast this machine is today is nobody's promise."""
    assert many.count() == (0, 0)
    assert many.pending() == []
    assert many.mark_gone() == 0
    by_hand = database_seconds(database, lambda: database.rows(_BY_HAND, many.bucket))
    steps: list[Callable[[], object]] = [many.count, many.pending, many.mark_gone]
    taken = [database_seconds(database, step) for step in steps]
    assert max(taken) < 1.2 * by_hand, (taken, by_hand)


def test_the_last_page_takes_no_longer_than_the_first(database: Database, many: Pipeline) -> None:
    near_end = "0249/IMG_0249000.jpg"
    first = many.pending(mode="all", limit=1000)
    last = many.pending(mode="all", after=near_end, limit=1000)
    assert (first[0]["path"], last[-1]["path"]) == ("0000/IMG_0000001.jpg", "0250/IMG_0250000.jpg")
    at_start = database_seconds(database, lambda: many.pending(mode="all", limit=1000))
    at_end = database_seconds(
        database, lambda: many.pending(mode="all", after=near_end, limit=1000)
    )
    assert at_end < at_start + 0.05


def test_a_prefix_costs_what_is_under_it(database: Database, many: Pipeline) -> None:
    assert len(many.pending(mode="all", prefix="0125/", limit=1000)) == 1000
    assert database_seconds(database, lambda: many.pending(prefix="0125/")) < 0.05
    assert database_seconds(database, lambda: many.mark_gone("0125/")) < 0.05


def test_a_range_costs_what_lies_in_it(database: Database, many: Pipeline) -> None:
    after, until = "0124/IMG_0124999.jpg", "0125/IMG_0125999.jpg"
    assert many.count(mode="all", after=after, until=until)[0] == 1000
    assert database_seconds(database, lambda: many.count(after=after, until=until)) < 0.05
    assert database_seconds(database, lambda: many.mark_gone("", after, until)) < 0.05


def test_cutting_all_into_shares_is_one_pass(database: Database, many: Pipeline) -> None:
    """A ratio again: adding up as it goes costs more than counting, and no more than that."""
    shares = many.split(8, mode="all", depth="header")
    assert [share["objects"] for share in shares] == [MANY / 8] * 8
    taken = database_seconds(database, lambda: many.split(8, mode="all", depth="header"))
    counting = database_seconds(database, lambda: many.count(mode="all"))
    assert taken < 6 * counting, (taken, counting)


@pytest.mark.parametrize("has_statistics", [True, False])
def test_requested_objects_are_looked_up_singly(
    database: Database, many: Pipeline, has_statistics: bool
) -> None:
    database.run("begin")
    try:
        if not has_statistics:
            database.run(
                """
                delete from pg_statistic
                where starelid in ('storage.objects'::regclass, 'public.media_assets'::regclass)
                """
            )
        requested = RequestedObjects(database, many.bucket)
        requested.ask(*_every_five_hundredth(1), is_forced=True)
        requested.ask(*_every_five_hundredth(250))
        assert len(requested.page()) == 1000
        assert len(requested.pending()) == 500
        assert database_seconds(database, requested.page) < 0.08
    finally:
        database.run("rollback")


def _every_five_hundredth(start: int) -> list[str]:
    return [f"{n // 1000:04}/IMG_{n:07}.jpg" for n in range(start, MANY, 500)]
