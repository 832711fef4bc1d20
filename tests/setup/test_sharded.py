"""A sharded backfill as deployed: the worker runs it, and the shards that it starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from media_enricher.demo.filling import settings_of
from media_enricher.dev.environment import DevEnvironment
from media_enricher.supabase.assets import AssetTable
from media_enricher.supabase.bucket import Bucket
from media_enricher.supabase.client import connect
from supabase_local import LocalStack
from tests.flows.conftest import photo
from tests.prefect_api import PrefectApi
from tests.setup.conftest import Operator
from tests.waiting import wait_for

SHARDED = "backfill-sharded/backfill-sharded"


def shards_of(operator: Operator, run_id: str) -> list[dict[str, Any]]:
    return operator.rows(f"parent_run_id=eq.{run_id}&order=created_at")


def test_its_shards_do_all_of_it_once_and_it_adds_them_up(
    operator: Operator,
    prefect: PrefectApi,
    site: DevEnvironment,
    site_stack: LocalStack,
    site_bucket: Callable[..., str],
) -> None:
    bucket = site_bucket(*(f"{number}.jpg" for number in range(8)))
    supabase = connect(settings_of(site_stack))
    Bucket(supabase, bucket).upload("5.png", photo(1)[:300], "image/png")
    run_id = prefect.start_run(SHARDED, bucket=bucket, shards=2)
    wait_for(lambda: len(shards_of(operator, run_id)) == 2)
    under_way = httpx.post(
        f"{site.gateway_url}/media-enricher/backfill?bucket={bucket}",
        headers={"authorization": f"Bearer {site_stack.service_key}"},
    )
    assert (under_way.json()["run_id"], under_way.json()["already_running"]) == (run_id, True)

    row = operator.wait_for_row(f"id=eq.{run_id}&status=eq.completed")
    assert prefect.state_of(run_id)["message"].startswith("8 enriched, 1 failed of 9 in ")
    shards = shards_of(operator, run_id)
    assert {shard["status"] for shard in shards} == {"completed"}
    assert all(shard["processed_files"] for shard in shards)
    assert {(shard["flow"], shard["trigger"]) for shard in shards} == {("backfill", "manual")}
    assert (row["flow"], row["trigger"]) == ("backfill-sharded", "manual")
    for figure in ("total_files", "succeeded", "failed", "skipped", "bytes_read"):
        assert row[figure] == sum(shard[figure] for shard in shards)
    (reason,) = AssetTable(supabase).failures_by_reason(run_id)
    assert (reason.error_code, reason.objects, reason.path) == ("truncated", 1, "5.png")


def test_cancelling_it_cancels_its_shards(
    operator: Operator, prefect: PrefectApi, site_bucket: Callable[..., str]
) -> None:
    bucket = site_bucket(*(f"{number:03}.jpg" for number in range(60)))
    run_id = prefect.start_run(SHARDED, bucket=bucket, shards=2)
    # Of one that is only about to begin, Prefect tells nobody; the next sweep sets its row right.
    wait_for(
        lambda: (
            [shard["status"] != "queued" for shard in shards_of(operator, run_id)] == [True, True]
        )
    )

    prefect.set_state(run_id, type="CANCELLING")

    operator.wait_for_row(f"id=eq.{run_id}&status=eq.cancelled")
    wait_for(
        lambda: (
            {shard["status"] for shard in shards_of(operator, run_id)} <= {"cancelled", "completed"}
        )
    )
    assert "cancelled" in {shard["status"] for shard in shards_of(operator, run_id)}


def test_a_shard_that_failed_is_named_and_a_retry_starts_it_alone(
    operator: Operator,
    prefect: PrefectApi,
    site_stack: LocalStack,
    site_bucket: Callable[..., str],
) -> None:
    bucket = site_bucket(*(f"a/{number:02}.jpg" for number in range(12)))
    storage = Bucket(connect(settings_of(site_stack)), bucket)
    for number in range(12):
        storage.upload(f"b/{number:02}.jpg", photo(number)[:300], "image/jpeg")
    run_id = prefect.start_run(SHARDED, bucket=bucket, shards=2)
    row = operator.wait_for_row(f"id=eq.{run_id}&status=eq.failed")
    assert "12 failed of 24" in row["error"]
    assert ": shard 2 of 2 failed (" in row["error"]
    assert (
        "more than the 10% allowed (12 of the 17 objects processed so far: 12 truncated))"
        in row["error"]
    )
    (first, second) = shards_of(operator, run_id)
    assert (first["status"], second["status"]) == ("completed", "failed")
    for number in range(12):
        storage.upload(f"b/{number:02}.jpg", photo(number), "image/jpeg")

    prefect.set_state(run_id, type="SCHEDULED", name="AwaitingRetry", message="Retry from the UI")

    row = operator.wait_for_row(f"id=eq.{run_id}&status=eq.completed")
    shards = shards_of(operator, run_id)
    assert [shard["id"] for shard in shards[:2]] == [first["id"], second["id"]]
    assert [shard["succeeded"] for shard in shards[2:]] == [12]
    assert (row["succeeded"], row["failed"]) == (24, 12), "what this run did, over both attempts"
