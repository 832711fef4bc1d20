"""The shards of a run, with nobody there to run them: who starts which, finds them, and stops them.

That they do the work is a test of `tests/setup`, where there is a worker.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from uuid import uuid4

import pytest
from prefect import flow, get_client
from prefect.client.schemas.objects import State
from prefect.states import Failed

from flows.backfill import backfill
from flows.backfill_sharded import start_shards
from media_enricher.models import Selection
from media_enricher.orchestration import sharded_run
from media_enricher.orchestration.sharded_run import ShardedRun
from media_enricher.orchestration.shards import Shard, cancel_shards, find_shards, start_shard
from tests.flows.conftest import FilledBucket, FlowProcess
from tests.flows.test_backfill import run
from tests.waiting import PATIENCE_SECONDS, PROMPT_SECONDS, wait_for

SHARDED = "backfill-sharded"


@pytest.fixture(autouse=True)
def _deployed() -> None:
    with get_client(sync_client=True) as client:
        client.create_deployment(client.create_flow(backfill), name="backfill")


@flow(name="start-shards")
def start_for(
    run_id: str, bucket: str, shards: int, attempt: int, max_bytes: int | None = None
) -> None:
    """As the flow itself does, under an id of the test's choosing."""
    selection = Selection(bucket=bucket)
    run = ShardedRun(
        run_id,
        selection,
        {"media-enricher.trigger": "manual"},
        attempt=attempt,
        max_bytes=max_bytes,
    )
    start_shards(run, shards)


def start(
    bucket: FilledBucket,
    run_id: str,
    *,
    shards: int = 3,
    attempt: int = 1,
    max_bytes: int | None = None,
) -> State[None]:
    bucket.query(
        "insert into public.media_enrich_runs (id, bucket, flow)"
        " values ($1, $2, 'backfill-sharded') on conflict do nothing",
        *(run_id, bucket.name),
    )
    state: State[None] = start_for(
        run_id, bucket.name, shards, attempt, max_bytes, return_state=True
    )
    return state


def ranges(shards: list[Shard]) -> list[tuple[str, str]]:
    return [(shard.after, shard.until) for shard in shards]


def statuses(bucket: FilledBucket, run_id: str) -> list[str]:
    rows = bucket.query(
        "select status from public.media_enrich_runs where parent_run_id = $1", run_id
    )
    return sorted(row["status"] for row in rows)


def test_ranges_follow_each_other_and_leave_nothing_out(bucket: FilledBucket) -> None:
    bucket.fill(9)
    run_id = str(uuid4())
    assert start(bucket, run_id).is_completed()
    shards = find_shards(run_id)
    assert ranges(shards) == [
        ("", "photos/00003.jpg"),
        ("photos/00003.jpg", "photos/00006.jpg"),
        ("photos/00006.jpg", ""),
    ]
    assert [shard.number for shard in shards] == [1, 2, 3]
    assert statuses(bucket, run_id) == ["queued"] * 3
    assert bucket.run(run_id)["total_files"] == 9


def test_shards_share_a_budget_and_a_restarted_one_has_what_it_did_not_read(
    bucket: FilledBucket,
) -> None:
    bucket.fill(9)
    run_id = str(uuid4())
    assert start(bucket, run_id, max_bytes=10_000).is_completed()
    shards = find_shards(run_id)
    budgets = [shard.max_bytes or 0 for shard in shards]
    assert sum(budgets) == 10_000
    assert min(budgets) > 2_500, "by their work, which is about the same"
    rows = bucket.query(
        "select max_bytes from public.media_enrich_runs where parent_run_id = $1", run_id
    )
    assert sorted(row["max_bytes"] for row in rows) == sorted(budgets)

    second = shards[1].flow_run.id
    bucket.query("update public.media_enrich_runs set bytes_read = 1000 where id = $1", second)
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(second, Failed(), force=True)
    assert start(bucket, run_id, attempt=2, max_bytes=10_000).is_completed()
    again = [shard.max_bytes for shard in find_shards(run_id)]
    assert again == [budgets[0], budgets[1] - 1000, budgets[2]]


def test_a_later_attempt_finds_the_shards_of_the_one_before(bucket: FilledBucket) -> None:
    bucket.fill(9)
    run_id = str(uuid4())
    start(bucket, run_id)
    before = find_shards(run_id)
    assert start(bucket, run_id, attempt=2).is_completed()
    assert find_shards(run_id) == before
    assert len(statuses(bucket, run_id)) == 3


def test_a_later_attempt_starts_what_the_one_before_did_not_come_to(
    bucket: FilledBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.fill(9)
    run_id = str(uuid4())

    def start_one(parent_id: str, number: int, *rest: object, **named: object) -> Shard:
        if number > 1:
            raise RuntimeError("the machine is gone")
        return start_shard(parent_id, number, *rest, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as dying:
        dying.setattr(sharded_run, "start_shard", start_one)
        assert start(bucket, run_id).is_failed()
    (first,) = find_shards(run_id)
    assert start(bucket, run_id, attempt=2).is_completed()
    shards = find_shards(run_id)
    assert shards[0].flow_run.id == first.flow_run.id
    assert ranges(shards) == [
        ("", "photos/00003.jpg"),
        ("photos/00003.jpg", "photos/00006.jpg"),
        ("photos/00006.jpg", ""),
    ]


def test_there_are_no_more_shards_than_there_is_work_for(bucket: FilledBucket) -> None:
    bucket.fill(2)
    run_id = str(uuid4())
    start(bucket, run_id, shards=50)
    assert ranges(find_shards(run_id)) == [("", "photos/00001.jpg"), ("photos/00001.jpg", "")]
    assert run(bucket).is_completed()
    assert start(bucket, idle := str(uuid4())).is_completed()
    assert find_shards(idle) == []


def test_shards_that_nobody_took_up_are_cancelled_in_the_table_too(bucket: FilledBucket) -> None:
    bucket.fill(4)
    run_id = str(uuid4())
    start(bucket, run_id, shards=2)
    for _ in range(2):
        cancel_shards(run_id)
        assert statuses(bucket, run_id) == ["cancelled"] * 2
    assert all(shard.has_ended for shard in find_shards(run_id))


def test_a_cancelled_run_of_the_command_line_cancels_its_shards(
    bucket: FilledBucket, start_flow: Callable[..., FlowProcess]
) -> None:
    bucket.fill(4)
    parent = start_flow(flow=SHARDED, bucket=bucket.name, shards=2)
    run_id = parent.wait_for_run_id()
    wait_for(lambda: len(statuses(bucket, run_id)) == 2)
    assert parent.cancel_through_prefect() < PROMPT_SECONDS
    assert parent.result()[1]["state"] == "CANCELLED"
    assert bucket.run(run_id)["status"] == "cancelled"
    assert statuses(bucket, run_id) == ["cancelled"] * 2


def test_shards_go_on_without_a_run_that_was_terminated(
    bucket: FilledBucket, start_flow: Callable[..., FlowProcess]
) -> None:
    bucket.fill(4)
    parent = start_flow(flow=SHARDED, bucket=bucket.name, shards=2)
    run_id = parent.wait_for_run_id()
    wait_for(lambda: len(statuses(bucket, run_id)) == 2)
    parent.process.send_signal(signal.SIGTERM)
    parent.process.wait(timeout=PATIENCE_SECONDS)
    assert bucket.run(run_id)["status"] == "crashed"
    assert statuses(bucket, run_id) == ["queued"] * 2
