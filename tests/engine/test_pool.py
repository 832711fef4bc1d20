"""What callers of the engine rely on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from media_enricher.engine import EnrichPool, PoolClosed
from media_enricher.models import AssetStatus, Depth, ErrorCode, Outcome, StorageObject
from tests.engine.conftest import MakePool, Put, png
from tests.engine.faulty_storage import FaultyStorage, etag_of, held, refuse, silent
from tests.waiting import PROMPT_SECONDS, wait_for

pytestmark = pytest.mark.usefixtures("needs_processes")

WORKERS = 2


@pytest.mark.parametrize("depth", list(Depth))
def test_outcomes_are_in_the_order_of_the_objects(
    depth: Depth, make_pool: MakePool, put: Put
) -> None:
    objects = [put(f"{width}.png", png(width)) for width in range(1, 301)]
    outcomes = make_pool(workers=WORKERS).enrich(objects, depth)
    assert [outcome.asset.width for outcome in outcomes] == list(range(1, 301))
    assert [outcome.asset.path for outcome in outcomes] == [member.path for member in objects]
    assert {outcome.asset.depth for outcome in outcomes} == {depth}


def test_the_same_object_twice_has_two_outcomes(shared_pool: EnrichPool, put: Put) -> None:
    one = put("a.png", png(7))
    assert [o.asset.width for o in shared_pool.enrich([one, one], Depth.FULL)] == [
        7,
        7,
    ]


def test_what_is_done_does_not_wait_for_what_is_not(
    make_pool: MakePool, put: Put, storage: FaultyStorage
) -> None:
    objects = [put(f"{width}.png", png(width)) for width in range(1, 21)]
    released = threading.Event()
    for slow in (3, 17):
        storage.next_answers[f"b/{slow}.png"] = [held(released)]
    pool = make_pool(workers=WORKERS)
    done = pool.enrich(objects, Depth.FULL, grace_seconds=0.5)
    assert [o.asset.width for o in done] == [w for w in range(1, 21) if w not in (3, 17)]
    released.set()
    rest = pool.enrich([objects[2], objects[16]], Depth.FULL)
    assert [outcome.asset.width for outcome in rest] == [3, 17]
    assert len(storage.requests) == len(objects), "what was under way is not asked for again"


def test_a_failure_for_now_is_not_worth_an_early_answer(
    make_pool: MakePool, put: Put, storage: FaultyStorage
) -> None:
    failing, slow = put("failing.png", png(1)), put("slow.png", png(2))
    released = threading.Event()
    storage.next_answers["b/failing.png"] = [refuse(500)]
    storage.next_answers["b/slow.png"] = [held(released)]
    pool = make_pool(workers=WORKERS)
    with ThreadPoolExecutor(1) as callers:
        answer = callers.submit(pool.enrich, [failing, slow], Depth.FULL, grace_seconds=0.01)
        wait_for(lambda: len(storage.requests) == 2)
        threading.Timer(0.5, released.set).start()
        codes = [outcome.asset.error_code for outcome in answer.result()]
    assert codes == [ErrorCode.UNAVAILABLE, None]


def test_many_threads_share_one_pool(make_pool: MakePool, put: Put) -> None:
    objects = [put(f"{width}.png", png(width)) for width in range(1, 201)]
    pool = make_pool(workers=WORKERS)
    with ThreadPoolExecutor(8) as callers:
        batches = [objects[start : start + 10] for start in range(0, 200, 10)]
        answers = list(callers.map(lambda batch: pool.enrich(batch, Depth.FULL), batches))
    widths = [[outcome.asset.width for outcome in answer] for answer in answers]
    assert widths == [list(range(start, start + 10)) for start in range(1, 201, 10)]
    assert len(pool.worker_pids) == WORKERS


def test_no_objects_no_outcomes(shared_pool: EnrichPool) -> None:
    assert shared_pool.enrich([], Depth.FULL) == []


def test_an_outcome_says_what_it_took(
    shared_pool: EnrichPool, put: Put, storage: FaultyStorage
) -> None:
    data = png(50)
    storage.delay_seconds = 0.05
    tried = put("a.png", data, attempts=2, previous_etag='"old"', declared_content_type="image/x")
    (outcome,) = shared_pool.enrich([tried], Depth.FULL)
    assert outcome.attempts == 3
    assert outcome.previous_etag == '"old"'
    assert outcome.bytes_read == outcome.asset.size_bytes == len(data)
    assert outcome.download_seconds >= 0.05
    assert outcome.probe_seconds > 0
    assert outcome.asset.declared_content_type == "image/x"


def test_the_etag_is_that_of_the_bytes_and_counts_their_tries(
    shared_pool: EnrichPool, put: Put
) -> None:
    """An object overwritten after it was listed."""
    listed = put("a.png", png(50), etag='"of the version before"', size_bytes=3, attempts=2)
    (outcome,) = shared_pool.enrich([listed], Depth.FULL)
    assert outcome.asset.etag == etag_of(png(50))
    assert outcome.asset.size_bytes == len(png(50))
    assert outcome.asset.status is AssetStatus.ENRICHED
    assert outcome.attempts == 1


def test_a_missing_object_keeps_the_etag_it_was_listed_with(
    shared_pool: EnrichPool, storage: FaultyStorage
) -> None:
    listed = StorageObject(bucket="b", path="gone.png", etag='"it"', size_bytes=10)
    (outcome,) = shared_pool.enrich([listed], Depth.HEADER)
    assert outcome.asset.error_code is ErrorCode.NOT_FOUND
    assert outcome.asset.etag == '"it"'


def test_close_frees_callers_at_once(make_pool: MakePool, put: Put, storage: FaultyStorage) -> None:
    pool = make_pool(workers=WORKERS)
    pool.enrich([put("warm.png", png(1))], Depth.FULL)
    stuck = put("stuck.png", png(2))
    storage.usual = silent()
    freed: list[float] = []

    def call() -> None:
        with pytest.raises(PoolClosed):
            pool.enrich([stuck] * 5, Depth.FULL)
        freed.append(time.monotonic())

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    wait_for(lambda: len(storage.requests_for("b/stuck.png")) >= 4)
    closed = time.monotonic()
    pool.close()
    for caller in callers:
        caller.join(PROMPT_SECONDS)
    assert len(freed) == 4
    assert max(freed) - closed < PROMPT_SECONDS


def test_a_closed_pool_stays_closed(make_pool: MakePool, put: Put) -> None:
    one = put("a.png", png(1))
    never_used, used = make_pool(workers=WORKERS), make_pool(workers=WORKERS)
    used.enrich([one], Depth.FULL)
    for pool in (never_used, used):
        pool.close()
        pool.close()
        with pytest.raises(PoolClosed):
            pool.enrich([one], Depth.FULL)


def test_callers_that_race_with_close_never_hang(make_pool: MakePool, put: Put) -> None:
    one = put("a.png", png(1))
    for _ in range(5):
        pool = make_pool(workers=WORKERS)
        with ThreadPoolExecutor(4) as callers:
            ends = [callers.submit(_enrich_until_closed, pool, one) for _ in range(4)]
            time.sleep(0.02)
            pool.close()
            assert [end.result(PROMPT_SECONDS) for end in ends] == ["closed"] * 4


def _enrich_until_closed(pool: EnrichPool, one: StorageObject) -> str:
    try:
        while True:
            pool.enrich([one], Depth.HEADER)
    except PoolClosed:
        return "closed"


def test_workers_without_work_end_and_start_again_with_the_next(
    make_pool: MakePool, put: Put
) -> None:
    one = put("a.png", png(7))
    pool = make_pool(workers=WORKERS, idle_seconds=0.2)
    pool.enrich([one], Depth.FULL)
    first = pool.worker_pids
    wait_for(lambda: not any(map(psutil.pid_exists, first)), "the workers do not end")
    assert [outcome.asset.width for outcome in pool.enrich([one], Depth.FULL)] == [7]
    assert len(pool.worker_pids) == WORKERS
    assert not set(pool.worker_pids) & set(first)


def test_workers_at_work_do_not_end_however_long_it_takes(
    make_pool: MakePool, put: Put, storage: FaultyStorage
) -> None:
    pool = make_pool(workers=WORKERS, idle_seconds=0.1)
    pool.enrich([put("warm.png", png(1))], Depth.FULL)
    storage.delay_seconds = 0.5
    (outcome,) = pool.enrich([put("slow.png", png(2))], Depth.FULL)
    assert outcome.asset.width == 2


GRACE_SECONDS = 0.2


def paths(members: Sequence[StorageObject] | Sequence[Outcome]) -> list[str]:
    return [each.asset.path if isinstance(each, Outcome) else each.path for each in members]


class Half:
    """Ten objects, of which Storage holds back the answers for every other."""

    def __init__(self, storage: FaultyStorage, put: Put) -> None:
        self.storage = storage
        self.released = threading.Event()
        self.objects = [put(f"{width:02}.png", png(width)) for width in range(1, 11)]
        self.held, self.ready = self.objects[::2], self.objects[1::2]
        for member in self.held:
            storage.next_answers[f"b/{member.path}"] = [held(self.released)]

    def read_the_ready(self, pool: EnrichPool) -> list[Outcome]:
        """Ask for what is left, as a run does, until all that is not held back is there."""
        outcomes: list[Outcome] = []
        while len(outcomes) < len(self.ready):
            left = [member for member in self.objects if member.path not in paths(outcomes)]
            outcomes += pool.enrich(left, Depth.FULL, grace_seconds=GRACE_SECONDS)
        return outcomes

    def requests(self) -> dict[str, int]:
        return {path: len(self.storage.requests_for(path)) for path in self.storage.objects}


@pytest.fixture
def half(storage: FaultyStorage, put: Put) -> Iterator[Half]:
    objects = Half(storage, put)
    yield objects
    objects.released.set()


def test_what_arrives_while_nobody_waits_is_kept_for_the_next_to_ask(
    make_pool: MakePool, half: Half, put: Put
) -> None:
    pool = make_pool(workers=WORKERS)
    half.read_the_ready(pool)
    half.released.set()
    # Released before these are asked for: when they have arrived, so have most of those.
    others = [put(f"other-{i}.png", png(i)) for i in range(1, 31)]
    pool.enrich(others, Depth.FULL)
    rest = pool.enrich([half.objects[1], *half.held], Depth.FULL)
    assert [outcome.asset.width for outcome in rest] == [2, 1, 3, 5, 7, 9]
    requests = half.requests()
    assert requests.pop("b/02.png") == 2, "its outcome was given already: this is a new look"
    assert set(requests.values()) == {1}


def test_an_outcome_that_comes_meanwhile_is_for_whoever_asks_now(
    make_pool: MakePool, half: Half, put: Put, storage: FaultyStorage
) -> None:
    pool = make_pool(workers=WORKERS)
    half.read_the_ready(pool)
    new = put("new.png", png(99))
    with ThreadPoolExecutor(1) as callers:
        later = callers.submit(pool.enrich, [new, *half.held], Depth.FULL)
        wait_for(lambda: storage.requests_for("b/new.png"), "the call is not under way")
        half.released.set()
        rest = later.result(PROMPT_SECONDS)
    assert [outcome.asset.width for outcome in rest] == [99, 1, 3, 5, 7, 9]
    assert set(half.requests().values()) == {1}


def test_close_frees_who_waits_for_what_an_earlier_call_left(
    make_pool: MakePool, half: Half, put: Put, storage: FaultyStorage
) -> None:
    pool = make_pool(workers=WORKERS)
    half.read_the_ready(pool)
    new = put("new.png", png(99))
    storage.next_answers["b/new.png"] = [held(half.released)]
    with ThreadPoolExecutor(2) as callers:
        calls = [
            callers.submit(pool.enrich, half.held[:2], Depth.FULL),  # nothing of its own
            callers.submit(pool.enrich, [new, *half.held[2:]], Depth.FULL, grace_seconds=60.0),
        ]
        wait_for(lambda: storage.requests_for("b/new.png"), "the call is not under way")
        pool.close()
        for call in calls:
            assert isinstance(call.exception(PROMPT_SECONDS), PoolClosed)
    with pytest.raises(PoolClosed):
        pool.enrich(half.held, Depth.FULL)
