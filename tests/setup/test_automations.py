"""The automations of `deployments/automations/`, on a real server and by real events."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import msgspec
import pytest

from media_enricher.dev.environment import DevEnvironment
from media_enricher.project_files import AUTOMATIONS
from media_enricher.setup.automations import make_automation
from media_enricher.setup.resources import Resource
from tests.prefect_api import PrefectApi
from tests.setup.conftest import Operator
from tests.waiting import wait_for

BACKFILL = "backfill/backfill"


def test_an_event_starts_a_backfill_with_the_parameters_of_its_payload(
    operator: Operator, prefect: PrefectApi, site_bucket: Callable[..., str]
) -> None:
    bucket = site_bucket("images/a.jpg", "images/b.jpg", "c.jpg")
    asked = {"bucket": bucket, "prefix": "images/", "depth": "header", "mode": "all", "limit": 1}
    resource = {"prefect.resource.id": f"media-enricher.bucket.{bucket}"}

    prefect.emit("media-enricher.backfill.requested", resource, asked)

    row = operator.wait_for_row(f"bucket=eq.{bucket}&status=eq.completed")
    assert row["trigger"] == "event"
    assert row["succeeded"] == 1
    parameters = prefect.ask("GET", f"/flow_runs/{row['id']}")["parameters"]
    assert {name: parameters[name] for name in asked} == asked


def test_from_the_command_line_a_bucket_is_enough(operator: Operator, site_bucket: Any) -> None:
    bucket = site_bucket("a.jpg")

    operator.run(
        *("prefect", "event", "emit", "media-enricher.backfill.requested"),
        *("--resource-id", f"media-enricher.bucket.{bucket}"),
        *("--payload", json.dumps({"bucket": bucket})),
    )

    row = operator.wait_for_row(f"bucket=eq.{bucket}&status=eq.completed")
    assert (row["mode"], row["depth"], row["prefix"], row["max_files"]) == (
        "missing",
        "full",
        "",
        None,
    )


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A receiver of webhooks: its URL, and what it was told."""
    told: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["content-type"] == "application/json"
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook?token=hidden", told
    server.shutdown()
    server.server_close()


def test_somebody_is_told_of_a_failed_run_and_of_no_other(
    operator: Operator,
    prefect: PrefectApi,
    receiver: tuple[str, list[dict[str, Any]]],
    site_bucket: Callable[..., str],
) -> None:
    url, told = receiver
    said = operator.run("media-enricher", "setup", MEDIA_ENRICHER_NOTIFICATION_URL=url)
    assert "hidden" not in said
    assert "hidden" not in json.dumps(prefect.ask("POST", "/block_documents/filter", {}))

    done = prefect.start_run(BACKFILL, bucket=site_bucket("a.jpg"), depth="header")
    prefect.wait_for_state(done, "COMPLETED")
    failed = prefect.start_run(BACKFILL, bucket='no "such" bucket')
    prefect.wait_for_state(failed, "FAILED")

    wait_for(lambda: told)
    texts = [each["text"] for each in told]
    assert len(texts) == 1, texts
    assert 'no "such" bucket' in texts[0]
    assert "Failed" in texts[0]
    assert failed in texts[0], "a link to the run"
    assert done not in texts[0]


@pytest.fixture
def impatience(prefect: PrefectApi, site: DevEnvironment) -> Iterator[None]:
    """The automation that calls zombies crashed, after ten seconds already.

    It is deleted at the end, since others' runs need not beat as often.
    """
    described = msgspec.yaml.decode((AUTOMATIONS / "crash-zombies.yaml").read_bytes())
    described["name"] += "-soon"
    described["trigger"]["within"] = 10
    make(described, site)
    yield
    (made,) = (
        each
        for each in prefect.ask("POST", "/automations/filter", {})
        if each["name"] == described["name"]
    )
    prefect.ask("DELETE", f"/automations/{made['id']}")


@pytest.mark.usefixtures("impatience")
def test_a_zombie_is_called_crashed_and_a_run_that_ended_or_waits_is_not(
    prefect: PrefectApi,
) -> None:
    zombie, ended, waiting = (running(prefect) for _ in range(3))
    for run in (zombie, ended, waiting):
        beat(prefect, run)
    prefect.set_state(ended, type="COMPLETED")
    prefect.set_state(waiting, type="SCHEDULED", name="AwaitingRetry", **in_a_century())

    prefect.wait_for_state(zombie, "CRASHED")

    assert "No sign of life" in prefect.state_of(zombie)["message"]
    assert prefect.state_of(ended)["type"] == "COMPLETED"
    assert prefect.state_of(waiting)["name"] == "AwaitingRetry"
    prefect.set_state(waiting, type="CANCELLED")


def make(described: dict[str, Any], site: DevEnvironment) -> Resource:
    from prefect import get_client
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    async def make_it() -> Resource:
        async with get_client() as client:
            return await make_automation(client, described)

    with temporary_settings(
        {
            PREFECT_API_URL: f"{site.prefect_url}/api",
            PREFECT_API_AUTH_STRING: site.auth_string or "",
        }
    ):
        return asyncio.run(make_it())


def in_a_century() -> dict[str, Any]:
    return {"state_details": {"scheduled_time": "2100-01-01T00:00:00Z"}}


def running(prefect: PrefectApi) -> str:
    """A run that Prefect takes for running, without any process; its id."""
    backfill = prefect.deployment(BACKFILL)
    body = {"parameters": {"bucket": "none"}, "state": {"type": "SCHEDULED"} | in_a_century()}
    run = prefect.ask("POST", f"/deployments/{backfill['id']}/create_flow_run", body)
    for state in ("PENDING", "RUNNING"):
        prefect.set_state(run["id"], type=state)
    return str(run["id"])


def beat(prefect: PrefectApi, run_id: str) -> None:
    """Send a heartbeat of a run, as Prefect's engine does."""
    tag = {"prefect.resource.id": "prefect.tag.media-enricher", "prefect.resource.role": "tag"}
    resource = {"prefect.resource.id": f"prefect.flow-run.{run_id}"}
    prefect.emit("prefect.flow-run.heartbeat", resource, related=[tag])
