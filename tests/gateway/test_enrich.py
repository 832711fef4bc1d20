"""`POST /media-enricher/enrich`: single objects, and the webhooks of `storage.objects`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from prefect import get_client

from tests.gateway.conftest import WEBHOOK_SECRET, Gateway, Tokens


def change(
    kind: str, bucket: str, path: str, *, before: str | None = None, **record: Any
) -> dict[str, Any]:
    """What Supabase's database webhook sends."""
    now = {"id": "1c8a6f5e-0000-4000-8000-000000000000", "bucket_id": bucket, "name": path} | record
    old = {"bucket_id": bucket, "name": before or path, "metadata": {"size": 3}}
    return {
        "type": kind,
        "table": "objects",
        "schema": "storage",
        "record": None if kind == "DELETE" else now,
        "old_record": None if kind == "INSERT" else old,
    }


def send(gateway: Gateway, payload: object, secret: str = WEBHOOK_SECRET) -> httpx.Response:
    return gateway.http.post("/enrich", json=payload, headers={"x-webhook-secret": secret})


def requested(gateway: Gateway, bucket: str) -> dict[str, bool]:
    """The objects that wait to be done, and whether they are done whatever their state."""
    rows = gateway.query(
        "select path, is_forced from media_enricher.requested_objects where bucket = $1", bucket
    )
    return {row["path"]: row["is_forced"] for row in rows}


def test_an_object_is_asked_for_again_whatever_its_state(gateway: Gateway, bucket: str) -> None:
    answer = gateway.as_service("/enrich", json={"bucket": bucket, "path": "two.jpg"})

    assert answer.status_code == 202
    told = answer.json()
    run_id = told["run_id"]
    assert told == {
        "run_id": run_id,
        "status": "queued",
        "bucket": bucket,
        "path": "two.jpg",
        "status_url": f"{gateway.url}/media-enricher/runs/{run_id}",
    }
    row = gateway.run(run_id)
    assert (row["flow"], row["trigger"]) == ("enrich-object", "http")
    assert requested(gateway, bucket) == {"two.jpg": True}
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(run_id)
        deployment = client.read_deployment_by_name("enrich-object/enrich-object")
    assert run.deployment_id == deployment.id, "a deployment of its own"


def test_it_does_not_wait_for_a_backfill_nor_is_it_taken_for_one(
    gateway: Gateway, bucket: str
) -> None:
    backfill = gateway.as_service("/backfill", bucket=bucket)
    single = gateway.as_service("/enrich", json={"bucket": bucket, "path": "two.jpg"})

    assert (backfill.status_code, single.status_code) == (202, 202)
    assert single.json()["run_id"] != backfill.json()["run_id"]


def test_a_thousand_webhooks_become_one_run_and_none_is_lost(gateway: Gateway, bucket: str) -> None:
    def upload(number: int) -> int:
        answer = send(gateway, change("INSERT", bucket, f"new/{number:04}.jpg"))
        if answer.status_code == 503:
            answer = send(gateway, change("INSERT", bucket, f"new/{number:04}.jpg"))
        return answer.status_code

    with ThreadPoolExecutor(32) as pool:
        statuses = list(pool.map(upload, range(1000)))

    assert set(statuses) == {202}
    runs = gateway.query("select trigger from media_enrich_runs where bucket = $1", bucket)
    assert [run["trigger"] for run in runs] == ["event"]
    assert requested(gateway, bucket) == {f"new/{number:04}.jpg": False for number in range(1000)}


@pytest.mark.parametrize(
    ("kind", "before", "paths"),
    [
        ("INSERT", None, {"now.jpg"}),
        ("UPDATE", None, {"now.jpg"}),
        ("UPDATE", "before.jpg", {"now.jpg", "before.jpg"}),
        ("DELETE", "now.jpg", {"now.jpg"}),
    ],
    ids=["new", "overwritten", "moved", "deleted"],
)
def test_each_change_asks_for_the_objects_it_is_about(
    gateway: Gateway, bucket: str, kind: str, before: str | None, paths: set[str]
) -> None:
    answer = send(gateway, change(kind, bucket, "now.jpg", before=before))

    assert answer.status_code in {202, 503}
    assert set(requested(gateway, bucket)) == paths
    (row,) = gateway.audit(bucket)
    assert (row["caller_role"], row["route"]) == ("webhook", "enrich")
    assert row["path"] in paths


def test_the_snapshots_of_runs_start_no_runs(gateway: Gateway, http: httpx.Client) -> None:
    """Each run writes one, so it would never end."""
    http.post("/bucket", json={"name": "media-enricher-snapshots", "public": False})

    answer = send(gateway, change("INSERT", "media-enricher-snapshots", "part-00000.parquet"))

    assert answer.status_code == 200
    assert answer.json()["status"] == "ignored"
    assert requested(gateway, "media-enricher-snapshots") == {}


def test_only_the_buckets_of_the_setting_are_followed(
    start_gateway: Callable[..., Gateway], bucket: str, make_bucket: Callable[[], str]
) -> None:
    gateway, other = start_gateway(MEDIA_ENRICHER_BUCKETS=f"photos,{bucket}"), make_bucket()

    assert send(gateway, change("INSERT", bucket, "a.jpg")).status_code in {202, 503}
    assert send(gateway, change("INSERT", other, "a.jpg")).json()["status"] == "ignored"
    assert requested(gateway, other) == {}


def test_a_webhook_needs_its_secret_or_a_service_key(
    gateway: Gateway, tokens: Tokens, bucket: str
) -> None:
    payload = change("INSERT", bucket, "a.jpg")

    assert send(gateway, payload, "guessed").status_code == 401
    assert send(gateway, payload, "").status_code == 401
    assert gateway.post("/enrich", json=payload).status_code == 401
    assert gateway.post("/enrich", tokens.admin, json=payload).status_code == 422
    assert requested(gateway, bucket) == {}
    assert gateway.as_service("/enrich", json=payload).status_code == 202


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (change("TRUNCATE", "photos", "a.jpg"), "type"),
        (change("INSERT", "photos", "a.jpg") | {"table": "users"}, "table"),
        (change("INSERT", "photos", "a.jpg") | {"schema": "public"}, "schema"),
        (change("INSERT", "photos", "a.jpg", name=7), "record.name"),
        (change("INSERT", "photos", "a\x00b.jpg"), "record.name"),
        ({}, "type"),
    ],
)
def test_a_payload_of_something_else_is_named(
    gateway: Gateway, payload: dict[str, Any], field: str
) -> None:
    answer = send(gateway, payload)

    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_an_unknown_bucket_and_a_missing_path_are_named(gateway: Gateway) -> None:
    unknown = gateway.as_service("/enrich", json={"bucket": "no-such-bucket", "path": "a.jpg"})
    missing = gateway.as_service("/enrich", json={"bucket": "photos"})

    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_bucket")
    assert (missing.status_code, missing.json()["field"]) == (422, "path")
