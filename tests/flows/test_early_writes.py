"""What is done is written, whatever the rest of its batch waits for; and nothing is read twice."""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from aiohttp import web
from prefect.utilities.annotations import quote

import tasks.enrich
import tasks.enrichment
from media_enricher import batching
from media_enricher.batching import BatchLimits
from media_enricher.models import Depth
from media_enricher.orchestration.run import Run
from media_enricher.settings import settings
from tests.engine.faulty_storage import Answer, FaultyStorage, held, plain, refuse
from tests.flows.conftest import FilledBucket, photo
from tests.flows.test_backfill import run
from tests.flows.test_retries import filled, requests, storage
from tests.waiting import wait_for

__all__ = ["filled", "storage"]  # fixtures


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.enrich, "GRACE_SECONDS", 0.3)


@pytest.fixture
def meanwhile() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Do something beside the run, in a thread whose error is the test's."""
    errors: list[BaseException] = []
    threads: list[threading.Thread] = []

    def start(what: Callable[[], None]) -> None:
        def work() -> None:
            try:
                what()
            except BaseException as error:  # noqa: BLE001 - it is the test's
                errors.append(error)

        threads.append(threading.Thread(target=work))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join()
    assert not errors


Meanwhile = Callable[[Callable[[], None]], None]


def test_rows_are_there_while_another_member_of_their_batch_is_read(
    filled: FilledBucket, storage: FaultyStorage, meanwhile: Meanwhile
) -> None:
    released = threading.Event()
    storage.next_answers[f"{filled.name}/3.jpg"] = [held(released)]

    def watch() -> None:
        try:
            wait_for(lambda: len(filled.rows()) == 4)
            row = filled.latest_run()
            assert (row["processed_files"], row["total_files"]) == (4, 5)
        finally:
            released.set()

    meanwhile(watch)
    assert run(filled).is_completed()
    assert len(filled.rows()) == 5
    assert requests(storage, filled) == [1, 1, 1, 1, 1]


def test_a_run_whose_batch_was_written_in_part_is_repeated_without_reading_anything_again(
    filled: FilledBucket, storage: FaultyStorage, meanwhile: Meanwhile
) -> None:
    released = threading.Event()
    for slow in (2, 3):
        storage.next_answers[f"{filled.name}/{slow}.jpg"] = [held(released)]

    def break_down() -> None:
        try:
            wait_for(lambda: len(filled.rows()) == 3)
            filled.block_writes()
        finally:
            released.set()

    meanwhile(break_down)
    try:
        assert run(filled).is_failed()
    finally:
        filled.allow_writes()
    assert len(filled.rows()) == 3
    # What comes behind must not be glued to the rest of that batch.
    filled.put("6.jpg", photo(6))
    storage.objects[f"{filled.name}/6.jpg"] = photo(6)
    assert run(filled).is_completed()
    assert len(filled.rows()) == 6
    assert requests(storage, filled) == [1, 1, 1, 1, 1]


def test_a_storage_that_refuses_four_of_ten_requests_costs_time_alone(
    filled: FilledBucket, storage: FaultyStorage, meanwhile: Meanwhile
) -> None:
    for i in range(6, 21):
        filled.put(f"{i}.jpg", photo(i))
        storage.objects[f"{filled.name}/{i}.jpg"] = photo(i)
    served: Counter[str] = Counter()
    storage.usual = _overloaded(0.4, random.Random(7), served)
    rows_before_the_end: list[int] = []

    def watch() -> None:
        wait_for(lambda: bool(filled.rows()))
        rows_before_the_end.append(len(filled.rows()))

    meanwhile(watch)
    assert run(filled).is_completed()
    assert 0 < rows_before_the_end[0] < 20, "some were written while others waited"
    assert {row["status"] for row in filled.rows().values()} == {"enriched"}
    assert len(filled.rows()) == 20
    assert set(served.values()) == {1}, "nothing was read twice"


def _overloaded(share: float, chance: random.Random, served: Counter[str]) -> Answer:
    usual, too_many = plain(), refuse(429, Retry_After="1")

    async def answer(request: web.Request, data: bytes) -> web.StreamResponse:
        if chance.random() < share:
            return await too_many(request, data)
        served[request.path] += 1
        return await usual(request, data)

    return answer


def test_objects_are_read_while_others_are_written(
    bucket: FilledBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first write waits for more downloads than batches were in flight when it began."""
    module = sys.modules["flows.backfill"]
    write, window = module.write, settings().batches_in_flight
    monkeypatch.setitem(
        batching.LIMITS, Depth.FULL, BatchLimits(objects=1, size_bytes=2**40, cut_every=2**31)
    )
    read: Counter[str] = Counter()

    def write_late(flow_run: Run, outcomes: quote) -> None:
        seen = len(outcomes.unquote()) + window

        def is_more_read() -> bool:
            read.update(bucket.downloads())
            return len(read) > seen

        if not flow_run.stats.processed:
            wait_for(is_more_read, "the engine waits until the outcomes are written")
        write(flow_run, outcomes)

    monkeypatch.setattr(module, "write", write_late)
    bucket.fill(8 * window)
    assert run(bucket).is_completed()
    assert len(bucket.rows()) == 8 * window


def test_what_is_done_soon_after_another_is_written_with_it(
    bucket: FilledBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is written at once, and all others at the end, which comes within the hour."""
    module = sys.modules["flows.backfill"]
    write, written = module.write, list[int]()
    monkeypatch.setitem(
        batching.LIMITS, Depth.FULL, BatchLimits(objects=1, size_bytes=2**40, cut_every=2**31)
    )
    monkeypatch.setattr(tasks.enrichment, "GRACE_SECONDS", 3_600.0)

    def write_and_count(flow_run: Run, outcomes: quote) -> None:
        written.append(len(outcomes.unquote()))
        write(flow_run, outcomes)

    monkeypatch.setattr(module, "write", write_and_count)
    bucket.fill(12)
    assert run(bucket).is_completed()
    assert sum(written) == 12
    assert len(written) <= 2
