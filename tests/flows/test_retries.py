"""Transient failures through the whole flow: Storage has bad minutes, planning and writing do not.

The objects are read from a server that fails on request; everything else is the real stack.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prefect import get_client

import tasks.enrichment
from flows.backfill import backfill
from media_enricher import batching
from media_enricher.batching import BatchLimits
from media_enricher.models import Depth, StorageObject
from media_enricher.orchestration import resources
from media_enricher.settings import settings
from tests.engine.faulty_storage import FaultyStorage, refuse
from tests.flows.conftest import FilledBucket, photo
from tests.flows.test_backfill import run
from tests.waiting import wait_for

OUTAGE = refuse(500, {"statusCode": "500", "error": "internal", "message": "out of order"})


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyStorage]:
    """Where the flow reads objects from, in place of the stack's Storage."""
    monkeypatch.setenv("MEDIA_ENRICHER_RETRY_DELAY_SECONDS", "0.1")
    monkeypatch.setenv("MEDIA_ENRICHER_RETRIES", "2")
    settings.cache_clear()
    with FaultyStorage() as server:
        options = msgspec.structs.replace(resources.engine_options(), supabase_url=server.url)
        with monkeypatch.context() as patched:
            patched.setattr(resources, "engine_options", lambda: options)
            yield server


@pytest.fixture
def filled(bucket: FilledBucket, storage: FaultyStorage) -> FilledBucket:
    """Five objects, in the bucket and on the faulty server alike."""
    for i in range(1, 6):
        bucket.put(f"{i}.jpg", photo(i))
        storage.objects[f"{bucket.name}/{i}.jpg"] = photo(i)
    return bucket


def requests(storage: FaultyStorage, bucket: FilledBucket) -> list[int]:
    return [len(storage.requests_for(f"{bucket.name}/{i}.jpg")) for i in range(1, 6)]


def test_a_passing_failure_is_retried_for_that_object_alone(
    filled: FilledBucket, storage: FaultyStorage
) -> None:
    storage.next_answers[f"{filled.name}/3.jpg"] = [OUTAGE, OUTAGE]
    state = run(filled)
    assert state.is_completed()
    assert (state.message or "").startswith("5 enriched of 5")
    assert requests(storage, filled) == [1, 1, 3, 1, 1]


def test_a_lasting_failure_costs_one_row_and_the_next_run_tries_it_alone(
    filled: FilledBucket, storage: FaultyStorage
) -> None:
    storage.next_answers[f"{filled.name}/3.jpg"] = [OUTAGE] * 3
    state = run(filled)
    assert state.is_completed()
    assert (state.message or "").startswith("4 enriched, 1 failed of 5")
    row = filled.rows()["3.jpg"]
    assert (row["status"], row["error_code"], row["attempts"]) == ("failed", "unavailable", 1)
    assert "out of order" in row["error_message"]

    assert (run(filled).message or "").startswith("1 enriched of 1")
    assert requests(storage, filled) == [1, 1, 4, 1, 1]
    row = filled.rows()["3.jpg"]
    assert (row["status"], row["error_code"], row["attempts"]) == ("enriched", None, 2)


def test_transient_failures_are_given_up_after_so_many_runs(
    filled: FilledBucket, storage: FaultyStorage
) -> None:
    storage.next_answers[f"{filled.name}/3.jpg"] = [OUTAGE] * 100
    for _ in range(3):
        run(filled)
    assert filled.rows()["3.jpg"]["attempts"] == 3
    asked = len(storage.requests_for(f"{filled.name}/3.jpg"))
    assert run(filled).message == "Nothing to do"
    assert len(storage.requests_for(f"{filled.name}/3.jpg")) == asked == 9


def test_an_outage_fails_the_run(filled: FilledBucket, storage: FaultyStorage) -> None:
    storage.usual = OUTAGE
    state = run(filled)
    assert state.is_failed()
    assert "none of 5 objects could be read (5 unavailable)" in (state.message or "")
    assert filled.latest_run()["status"] == "failed"

    storage.usual = type(storage)().usual
    assert run(filled).is_completed()
    assert {row["status"] for row in filled.rows().values()} == {"enriched"}


def test_an_outage_stops_the_run_before_it_has_marked_everything(
    bucket: FilledBucket, storage: FaultyStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.enrichment, "OUTAGE_OBJECTS", 50)
    monkeypatch.setitem(
        batching.LIMITS, Depth.FULL, BatchLimits(objects=50, size_bytes=2**40, cut_every=2**31)
    )
    bucket.fill(600)
    storage.usual = OUTAGE
    for i in range(1, 601):
        storage.objects[f"{bucket.name}/photos/{i:05}.jpg"] = b"unread"
    state = run(bucket)
    assert state.is_failed()
    assert "Start the run again once Storage answers" in (state.message or "")
    assert 50 <= len(bucket.rows()) < 600
    assert bucket.latest_run()["status"] == "failed"


def test_failures_among_what_is_read_are_no_outage_however_many(
    bucket: FilledBucket, storage: FaultyStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.enrichment, "OUTAGE_OBJECTS", 20)
    monkeypatch.setitem(
        batching.LIMITS, Depth.FULL, BatchLimits(objects=40, size_bytes=2**40, cut_every=2**31)
    )
    bucket.fill(240)
    for i in range(1, 241):
        path = f"{bucket.name}/photos/{i:05}.jpg"
        storage.objects[path] = photo(i)
        if i % 5 < 2:
            storage.next_answers[path] = [OUTAGE] * 100
    state = run(bucket)
    assert "start the run again" not in (state.message or "")
    assert len(bucket.rows()) == 240, "it went on to the end"
    assert {row["error_code"] for row in bucket.rows().values()} == {None, "unavailable"}


def test_what_was_read_is_written_though_planning_fails_after_it(
    filled: FilledBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["flows.backfill"]
    plan_all, window = module.pending_objects, settings().batches_in_flight
    monkeypatch.setitem(
        batching.LIMITS, Depth.FULL, BatchLimits(objects=1, size_bytes=2**40, cut_every=2**31)
    )

    def plan_some(*arguments: Any, **options: Any) -> Iterator[StorageObject]:
        yield from islice(plan_all(*arguments, **options), window + 1)
        raise ConnectionError("the database went away")

    monkeypatch.setattr(module, "pending_objects", plan_some)
    state = run(filled)
    assert state.is_failed()
    assert "the database went away" in (state.message or "")
    assert filled.rows()
    assert filled.latest_run()["processed_files"] == len(filled.rows())


def state_of(bucket: FilledBucket) -> str | None:
    """The state of the bucket's latest flow run, as Prefect calls it."""
    if not bucket.runs():
        return None
    with get_client(sync_client=True) as client:
        return client.read_flow_run(bucket.latest_run()["id"]).state_name


def test_a_flow_run_that_prefect_retries_goes_on_in_its_row(bucket: FilledBucket) -> None:
    bucket.fill(30)
    bucket.block_writes()

    def mend() -> None:
        wait_for(lambda: state_of(bucket) == "AwaitingRetry", "the first try does not fail")
        bucket.allow_writes()

    with ThreadPoolExecutor(1) as mender:
        mended = mender.submit(copy_context().run, mend)  # which knows the tests' Prefect server
        state = run(bucket, backfill.with_options(retries=1, retry_delay_seconds=8))
        mended.result()
    assert state.is_completed(), state.message
    assert sum(bucket.downloads().values()) == 30
    record = bucket.latest_run()
    assert record["status"] == "completed"
    assert record["succeeded"] == record["total_files"] == 30
    assert len(bucket.rows()) == 30


def test_expired_results_are_swept_and_others_stay(
    bucket: FilledBucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MEDIA_ENRICHER_RESULT_STORAGE", str(tmp_path))
    settings.cache_clear()
    old, young, foreign = tmp_path / ("0" * 64), tmp_path / ("1" * 64), tmp_path / "notes.txt"
    for file in (old, young, foreign):
        file.write_text("{}")
    eight_days_ago = time.time() - 8 * 86_400
    for file in (old, foreign):
        os.utime(file, (eight_days_ago, eight_days_ago))
    bucket.fill(1)
    assert run(bucket).is_completed()
    assert not old.exists()
    assert young.exists()
    assert foreign.exists(), "somebody keeps other things there"
    assert len(list(tmp_path.iterdir())) == 3, "the batch's own result is kept there"


def test_of_a_batch_that_failed_in_part_what_was_read_is_cached(
    filled: FilledBucket, storage: FaultyStorage
) -> None:
    storage.next_answers[f"{filled.name}/3.jpg"] = [OUTAGE] * 3
    filled.block_writes()
    try:
        assert run(filled).is_failed()
    finally:
        filled.allow_writes()
    assert run(filled).is_completed()
    assert requests(storage, filled) == [1, 1, 4, 1, 1], "what had been read is in the cache"
