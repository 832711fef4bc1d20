"""Transient failures through the whole flow: Storage has bad minutes, planning and writing do not.

The objects are read from a server that fails on request; everything else is the real stack.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from media_enricher.settings import settings
from tasks import resources
from tests.enrich.faulty_storage import FaultyStorage, refuse
from tests.flows.conftest import FilledBucket, photo
from tests.flows.test_backfill import run

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


def test_objects_read_before_a_batch_failed_transiently_are_not_cached(
    filled: FilledBucket, storage: FaultyStorage
) -> None:
    storage.next_answers[f"{filled.name}/3.jpg"] = [OUTAGE] * 3
    filled.block_writes()
    try:
        assert run(filled).is_failed()
    finally:
        filled.allow_writes()
    assert run(filled).is_completed()
    assert requests(storage, filled) == [2, 2, 4, 2, 2]
