"""Watching and cancelling runs over HTTP, each within what the caller may see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect import get_client

from media_enricher.snapshot import layout
from tests.conftest import Put
from tests.gateway.conftest import Gateway, Tokens, let_users_read


def start(gateway: Gateway, bucket: str, **params: Any) -> str:
    answer = gateway.as_service("/backfill", bucket=bucket, **params)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["run_id"])


def half_done(gateway: Gateway, run_id: str) -> None:
    """As if a worker had the run for ten seconds."""
    gateway.query(
        "update media_enrich_runs set status = 'running', total_files = 100, succeeded = 40,"
        " failed = 10, started_at = now() - interval '10 s', heartbeat_at = now() where id = $1",
        run_id,
    )


def test_a_run_has_all_columns_of_its_row_its_pace_and_a_link(
    gateway: Gateway, bucket: str
) -> None:
    run_id = start(gateway, bucket)
    half_done(gateway, run_id)

    run = gateway.get(f"/runs/{run_id}", gateway.stack.service_key).json()

    row = gateway.run(run_id)
    assert set(row) <= set(run)
    assert {name: run[name] for name in row if not name.endswith("_at")} == {
        name: str(value) if name == "id" else value
        for name, value in row.items()
        if not name.endswith("_at")
    }
    assert run["objects_per_second"] == pytest.approx(5, rel=0.3)
    assert run["seconds_left"] == pytest.approx(10, rel=0.3)
    assert run["prefect_url"].endswith(f"/runs/flow-run/{run_id}")


def test_failures_are_counted_by_reason_with_an_example(gateway: Gateway, bucket: str) -> None:
    run_id = start(gateway, bucket)
    half_done(gateway, run_id)
    gateway.query(
        "insert into media_enricher.run_failures values"
        " ($1, 'empty', 1, 'bad-3', 'why'), ($1, 'corrupt', 3, 'bad-0', 'why')",
        run_id,
    )

    run = gateway.get(f"/runs/{run_id}", gateway.stack.service_key).json()

    assert run["failures"] == [
        {"error_code": "corrupt", "objects": 3, "path": "bad-0", "error_message": "why"},
        {"error_code": "empty", "objects": 1, "path": "bad-3", "error_message": "why"},
    ]


def test_runs_are_listed_newest_first_and_narrowed(gateway: Gateway, bucket: str) -> None:
    first = start(gateway, bucket, prefix="a/")
    second = start(gateway, bucket, prefix="b/")
    half_done(gateway, first)

    def listed(**params: Any) -> list[str]:
        answer = gateway.get("/runs", gateway.stack.service_key, **params)
        return [run["id"] for run in answer.raise_for_status().json()["runs"]]

    assert listed(bucket=bucket) == [second, first]
    assert listed(bucket=bucket, status="running") == [first]
    assert listed(limit=1, bucket=bucket) == [second]
    assert gateway.get("/runs", gateway.stack.service_key, limit=0).status_code == 422
    assert gateway.get("/runs", gateway.stack.service_key, staus="x").status_code == 422


def test_a_tenants_admin_sees_the_tenants_runs_and_no_others(
    gateway: Gateway, tokens: Tokens, bucket: str
) -> None:
    """By what a run looks at, whoever asked for it."""
    tenant = str(uuid4())
    ours = start(gateway, bucket, prefix=f"{tenant}/albums/")
    others = start(gateway, bucket, prefix=f"{uuid4()}/")
    everyones = start(gateway, bucket)
    token = tokens.tenant_admin(tenant)

    runs = gateway.get("/runs", token).json()["runs"]
    assert [run["id"] for run in runs] == [ours]
    assert gateway.get(f"/runs/{ours}", token).status_code == 200
    for run_id in (others, everyones):
        for route in ("", "/assets", "/snapshot"):
            assert gateway.get(f"/runs/{run_id}{route}", token).status_code == 404
        assert gateway.post(f"/runs/{run_id}/cancel", token).status_code == 404


def test_a_user_sees_how_others_runs_get_on_and_not_what_they_look_at(
    start_gateway: Callable[..., Gateway], tokens: Tokens, bucket: str
) -> None:
    gateway = start_gateway(MEDIA_ENRICHER_WHO_MAY_TRIGGER="signed_in")
    theirs, user = start(gateway, bucket, prefix="private/"), tokens.of()
    let_users_read(gateway, bucket, "name like 'mine/%'")
    mine = gateway.post("/backfill", user, bucket=bucket, prefix="mine/").json()["run_id"]

    seen = gateway.get(f"/runs/{theirs}", user).json()

    assert (seen["id"], seen["status"], seen["total_files"]) == (theirs, "queued", 0)
    hidden = ("bucket", "prefix", "requested_by", "error", "snapshot_path", "prefect_url")
    assert {seen[name] for name in hidden} == {None}
    assert gateway.get(f"/runs/{mine}", user).json()["prefix"] == "mine/"
    assert [run["id"] for run in gateway.get("/runs", user).json()["runs"]] == [mine]
    assert gateway.post(f"/runs/{theirs}/cancel", user).status_code == 403
    assert gateway.get(f"/runs/{mine}/assets", user).status_code == 403


class TestCancelling:
    def test_a_queued_run_is_cancelled_at_once(self, gateway: Gateway, bucket: str) -> None:
        run_id = start(gateway, bucket)

        answer = gateway.as_service(f"/runs/{run_id}/cancel")

        assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
        assert gateway.run(run_id)["status"] == "cancelled"
        with get_client(sync_client=True) as client:
            assert client.read_flow_run(run_id).state.is_cancelled()  # type: ignore[union-attr, arg-type]
        assert gateway.as_service("/backfill", bucket=bucket).status_code == 202, "it is free again"

    def test_one_that_has_ended_is_a_conflict(self, gateway: Gateway, bucket: str) -> None:
        run_id = start(gateway, bucket)
        gateway.as_service(f"/runs/{run_id}/cancel")

        answer = gateway.as_service(f"/runs/{run_id}/cancel")

        assert (answer.status_code, answer.json()["code"]) == (409, "run_has_ended")
        assert answer.json()["status"] == "cancelled"

    def test_one_that_prefect_does_not_know_is_a_conflict(
        self, gateway: Gateway, bucket: str
    ) -> None:
        run_id = str(uuid4())
        gateway.query(
            "insert into media_enrich_runs (id, bucket, status) values ($1, $2, 'running')",
            run_id,
            bucket,
        )

        answer = gateway.as_service(f"/runs/{run_id}/cancel")

        assert (answer.status_code, answer.json()["code"]) == (409, "unknown_to_prefect")

    def test_an_unknown_one_is_404_and_no_uuid_is_invalid(self, gateway: Gateway) -> None:
        assert gateway.as_service(f"/runs/{uuid4()}/cancel").json()["code"] == "unknown_run"
        assert gateway.as_service("/runs/none/cancel").json()["field"] == "run_id"


def test_assets_come_in_pages_with_pictures_that_can_be_fetched(
    gateway: Gateway, bucket: str, put: Put
) -> None:
    run_id = start(gateway, bucket)
    paths = sorted(["a b.jpg", "a//c.jpg", "d.jpg"])
    for path in paths:
        put(bucket, path, path.encode(), "image/jpeg")
    gateway.query(
        "insert into media_assets (bucket, path, run_id, status, depth, enricher_version, width,"
        " height, palette) select $1, p, $2, 'enriched', 'full', 1, 4, 3, '{#ff0000}'"
        " from unnest($3::text[]) p",
        bucket,
        run_id,
        [*paths, "gone.jpg"],
    )

    def page(**params: Any) -> dict[str, Any]:
        answer = gateway.get(f"/runs/{run_id}/assets", gateway.stack.service_key, **params)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    first = page(limit=2)
    rest = page(limit=3, after=first["next"])
    found = first["assets"] + rest["assets"]
    assert [asset["path"] for asset in found] == [*paths, "gone.jpg"]
    assert rest["next"] is None
    for asset in found[:-1]:
        assert httpx.get(asset["picture_url"]).content == asset["path"].encode()
    assert found[-1]["picture_url"] is None
    assert (found[0]["width"], found[0]["height"], found[0]["palette"]) == (4, 3, ["#ff0000"])
    assert page(status="failed")["assets"] == []


def test_a_run_without_a_snapshot_says_so(gateway: Gateway, bucket: str) -> None:
    run_id = start(gateway, bucket)

    answer = gateway.get(f"/runs/{run_id}/snapshot", gateway.stack.service_key)

    assert answer.json() == {"path": None, "parts": []}


def test_a_snapshot_is_what_is_recorded_of_it(gateway: Gateway, bucket: str, put: Put) -> None:
    run_id = start(gateway, bucket)
    folder = f"bucket={bucket}/date=2026-11-28/run_id={run_id}"
    for name in (layout.part_name(0), layout.unrecorded_name(1)):
        put(bucket, f"{folder}/{name}", b"PAR1", "application/vnd.apache.parquet")
    gateway.query(
        "update media_enrich_runs set snapshot_path = $2 where id = $1",
        *(run_id, f"bucket:{bucket}/{folder}"),
    )

    answer = gateway.get(f"/runs/{run_id}/snapshot", gateway.stack.service_key)

    (part,) = answer.json()["parts"]
    assert part["name"] == "part-00000.parquet"
    assert httpx.get(part["url"]).content == b"PAR1"


def test_buckets_are_listed_without_that_of_the_snapshots(
    gateway: Gateway, http: httpx.Client, bucket: str
) -> None:
    http.post("/bucket", json={"name": "media-enricher-snapshots", "public": False})

    names = gateway.get("/buckets", gateway.stack.service_key).json()["buckets"]

    assert bucket in names
    assert "media-enricher-snapshots" not in names
