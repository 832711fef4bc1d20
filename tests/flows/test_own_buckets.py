"""What runs store is an upload as any other, and must start no run: never feed on ourselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
from prefect import get_client
from prefect.client.schemas.objects import State

from flows.backfill import backfill
from flows.backfill_sharded import backfill_sharded
from flows.enrich_object import enrich_object
from flows.sweep import sweep
from media_enricher.blocks import SupabaseBucket
from media_enricher.settings import settings
from supabase_local import LocalStack
from tests.flows.conftest import FilledBucket
from tests.flows.test_task_cache import cached, results  # noqa: F401 - fixtures
from tests.gateway.conftest import WEBHOOK_SECRET, Gateway, gateway_process

Sees = Callable[[], "list[httpx.Response]"]


@pytest.fixture
def gateway(migrated_stack: LocalStack, prefect_server: None, tmp_path: Path) -> Iterator[Gateway]:
    """One that is told of no bucket, and follows changes in all."""
    with get_client(sync_client=True) as client:
        for flow in ("backfill", "enrich-object"):
            client.create_deployment(client.create_flow_from_name(flow), flow)
    with gateway_process(migrated_stack, tmp_path) as running:
        yield running


@pytest.fixture
def stores(cached: SupabaseBucket, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:  # noqa: F811
    """The buckets that runs of this process store in: results by a block, and snapshots."""
    snapshots = f"snapshots-{uuid4().hex[:8]}"
    monkeypatch.setenv("MEDIA_ENRICHER_SNAPSHOT", f"bucket:{snapshots}")
    settings.cache_clear()
    return cached.bucket, snapshots


@pytest.fixture
def webhook(bucket: FilledBucket, gateway: Gateway) -> Sees:
    """The database webhook on `storage.objects`: tells the gateway of each upload, once."""
    seen = {row["id"] for row in bucket.query("select id from storage.objects")}

    def tell() -> list[httpx.Response]:
        new = bucket.query(
            "select id, bucket_id, name from storage.objects where id <> all ($1)", list(seen)
        )
        seen.update(row["id"] for row in new)
        return [
            gateway.http.post(
                "/enrich",
                json={
                    "type": "INSERT",
                    "table": "objects",
                    "schema": "storage",
                    "record": {"bucket_id": row["bucket_id"], "name": row["name"]},
                    "old_record": None,
                },
                headers={"x-webhook-secret": WEBHOOK_SECRET},
            )
            for row in new
        ]

    return tell


def asked_for(bucket: FilledBucket) -> set[str]:
    """The buckets with a run that was asked for and has not ended.

    Those of other tests are among them, and may be let go at any moment: a request that nobody
    came for is released by the next request or sweep, whatever bucket that one is for.
    """
    rows = bucket.query(
        "select distinct bucket from media_enricher.run_requests where released_at is null"
        " union select distinct bucket from media_enricher.requested_objects"
    )
    return {row["bucket"] for row in rows}


def test_one_upload_is_one_run_and_its_results_and_snapshot_start_none(
    bucket: FilledBucket, gateway: Gateway, stores: tuple[str, str], webhook: Sees
) -> None:
    others = asked_for(bucket)
    bucket.fill(1)
    assert [answer.status_code for answer in webhook()] == [202]
    assert asked_for(bucket) - others == {bucket.name}

    state = cast("State[Any]", enrich_object(bucket.name, return_state=True))
    assert (state.message or "").startswith("1 enriched of 1")
    stored = bucket.query(
        "select bucket_id from storage.objects where bucket_id = any ($1)", list(stores)
    )
    assert {row["bucket_id"] for row in stored} == set(stores), "the run stored in both"

    answers = webhook()
    assert len(answers) == len(stored)
    assert {(answer.status_code, answer.json()["status"]) for answer in answers} == {
        (200, "ignored")
    }
    assert asked_for(bucket) - others <= {bucket.name}


def test_whoever_names_one_over_http_is_told_why_not(
    bucket: FilledBucket, gateway: Gateway, stores: tuple[str, str]
) -> None:
    """The gateway has no such setting, and loads no block: a run has told the database."""
    bucket.fill(1)
    assert backfill(bucket.name, return_state=True).is_completed()
    for own in (*stores, "media-enricher-results"):
        for route, body in {
            "/backfill": {"bucket": own},
            "/backfill?dry_run=true": {"bucket": own, "mode": "all"},
            "/cron": {"bucket": own},
            "/enrich": {"bucket": own, "path": "a"},
        }.items():
            answer = gateway.as_service(route, json=body)
            told = answer.json()
            assert (answer.status_code, told["code"]) == (400, "own_bucket"), (route, told)
            assert own in told["error"]
    listed = gateway.get("/buckets", gateway.stack.service_key).json()["buckets"]
    assert bucket.name in listed
    assert not {*stores, "media-enricher-results"} & set(listed)


@pytest.mark.parametrize(
    "start",
    [
        lambda own: backfill(own, return_state=True),
        lambda own: backfill(own, dry_run=True, return_state=True),
        lambda own: backfill_sharded(own, return_state=True),
        lambda own: enrich_object(own, return_state=True),
    ],
    ids=["backfill", "dry run", "sharded", "enrich-object"],
)
def test_a_run_over_one_fails_with_a_sentence(
    bucket: FilledBucket, stores: tuple[str, str], start: Callable[[str], State[Any]]
) -> None:
    for own in stores:
        state = start(own)
        assert state.is_failed()
        assert f"stores its own task results or snapshots in the bucket '{own}'" in (
            state.message or ""
        )


def test_a_sweep_leaves_them_alone_and_does_the_rest(
    bucket: FilledBucket, stores: tuple[str, str], gateway: Gateway
) -> None:
    bucket.fill(1)
    assert backfill(bucket.name, return_state=True).is_completed()
    others = asked_for(bucket)
    bucket.fill(1, folder="new")
    state = cast("State[Any]", sweep([*stores, bucket.name], return_state=True))
    assert state.is_completed()
    assert f"enriches the missing objects of {bucket.name}" in (state.message or "")
    assert asked_for(bucket) - others == {bucket.name}


def test_one_that_was_used_before_stays_known(
    bucket: FilledBucket, stores: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.fill(1)
    assert backfill(bucket.name, return_state=True).is_completed()
    monkeypatch.setenv("MEDIA_ENRICHER_SNAPSHOT", "bucket:media-enricher-snapshots")
    monkeypatch.delenv("MEDIA_ENRICHER_RESULT_STORAGE")
    settings.cache_clear()
    for own in stores:
        assert cast("State[Any]", backfill(own, return_state=True)).is_failed()
