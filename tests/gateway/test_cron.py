"""`POST /media-enricher/cron`: a sweep by schedule, or a health report."""

from __future__ import annotations

from collections.abc import Callable

from supabase_local.ports import HOST, free_port
from tests.gateway.conftest import Gateway


def test_it_sweeps_what_is_missing_one_run_at_a_time_per_bucket(
    gateway: Gateway, bucket: str
) -> None:
    under_way = gateway.as_service("/backfill", bucket=bucket, prefix="images/", mode="all")

    while_it_runs = gateway.as_service("/cron", bucket=bucket)
    gateway.as_service(f"/runs/{under_way.json()['run_id']}/cancel")
    swept = gateway.as_service("/cron", bucket=bucket)

    assert while_it_runs.status_code == 200
    assert while_it_runs.json()["run_id"] == under_way.json()["run_id"]
    assert swept.status_code == 202
    row = gateway.run(swept.json()["run_id"])
    assert (row["mode"], row["trigger"], row["prefix"]) == ("missing", "schedule", "")


def test_without_a_bucket_it_reports_what_is_there(gateway: Gateway) -> None:
    answer = gateway.as_service("/cron")

    assert answer.status_code == 503, "no worker is there"
    told = answer.json()
    assert told["status"] == "unavailable"
    assert {name: check["status"] for name, check in told["checks"].items()} == {
        "database": "ok",
        "storage": "ok",
        "prefect": "ok",
        "worker": "unavailable",
    }
    assert "prefect worker start" in told["checks"]["worker"]["detail"]


def test_the_report_tells_what_is_away(start_gateway: Callable[..., Gateway]) -> None:
    gateway = start_gateway(PREFECT_API_URL=f"http://{HOST}:{free_port()}/api")

    with gateway.stack.without_rest():
        checks = gateway.as_service("/cron").json()["checks"]

    assert [checks[name]["status"] for name in ("database", "storage", "prefect")] == [
        *("unavailable", "ok", "unavailable"),
    ]


def test_whether_it_lives_is_told_to_everyone(gateway: Gateway) -> None:
    assert gateway.http.get(f"{gateway.url}/healthz").json() == {"status": "ok"}
