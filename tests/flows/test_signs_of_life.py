"""What others see of a run: its row while it runs and however it ends, and its artifacts."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import psutil
import pytest
from prefect import Flow, get_client, runtime
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import Artifact, FlowRun
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows.backfill import backfill
from flows.repair_types import repair_types
from media_enricher import labels
from media_enricher.models import Trigger
from media_enricher.orchestration.state_hooks import trigger_of
from media_enricher.settings import settings
from tasks.report import Progress
from tests.flows.conftest import SLOWLY, FilledBucket, FlowProcess, photo
from tests.flows.test_backfill import run
from tests.waiting import PATIENCE_SECONDS, wait_for, wait_until_gone


def test_a_run_under_way_stamps_its_heartbeat(
    bucket: FilledBucket, start_flow: Callable[..., FlowProcess]
) -> None:
    bucket.fill(1_200)
    flow = start_flow(SLOWLY | {"MEDIA_ENRICHER_HEARTBEAT_SECONDS": "0.2"}, bucket=bucket.name)
    run_id = flow.wait_for_run_id()
    seen = set()

    def has_ended() -> bool:
        row = bucket.run(run_id)
        if row["status"] == "running":
            seen.add(row["heartbeat_at"])
            assert row["finished_at"] is None
        return flow.process.poll() is not None

    wait_for(has_ended, "the run does not end")
    assert flow.process.returncode == 0
    assert len(seen) >= 3
    assert bucket.run(run_id)["status"] == "completed"


def test_a_terminated_run_is_crashed_and_leaves_no_process(
    bucket: FilledBucket, start_flow: Callable[..., FlowProcess]
) -> None:
    bucket.fill(1_500)
    flow = start_flow(SLOWLY, bucket=bucket.name)
    run_id = flow.wait_for_run_id()
    bucket.wait_for_downloads(50)
    children = psutil.Process(flow.process.pid).children(recursive=True)
    flow.process.send_signal(signal.SIGTERM)
    flow.process.wait(timeout=PATIENCE_SECONDS)
    assert flow.process.returncode != 0
    wait_until_gone(children)
    row = bucket.run(run_id)
    assert row["status"] == "crashed"
    assert row["finished_at"]


def test_artifacts_show_the_progress_the_failures_and_a_summary(bucket: FilledBucket) -> None:
    bucket.fill(5)
    bucket.put("broken.jpg", photo(1)[:300])
    run(bucket)
    found = artifacts_of(bucket.latest_run()["id"])
    assert found["media-enricher-summary"].startswith(f"# {bucket.name}/")
    assert "5 enriched, 1 failed of 6" in found["media-enricher-summary"]
    assert "| jpeg | 5 |" in found["media-enricher-summary"]
    (failure,) = json.loads(found["media-enricher-failures"])
    assert failure["error_code"] == "truncated"
    assert failure["objects"] == 1
    assert failure["example"] == "broken.jpg"
    assert found[None] == 100.0, "the progress bar stands at its end"


@pytest.fixture
def no_artifacts(prefect_database: str) -> Iterator[None]:
    """Prefect's server refuses to create or update artifacts, and nobody asks it again."""

    def execute(statement: str) -> None:
        async def connected() -> None:
            connection = await asyncpg.connect(prefect_database)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        asyncio.run(connected())

    execute(
        "create function refuse() returns trigger language plpgsql"
        " as $$ begin raise 'not now'; end $$;"
        "create trigger refuse before insert or update on artifact"
        " for each row execute function refuse()"
    )
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        yield
    execute("drop function refuse cascade")


@pytest.mark.usefixtures("no_artifacts")
@pytest.mark.parametrize(
    ("flow", "parameters"),
    [(backfill, {}), (backfill, {"dry_run": True}), (repair_types, {})],
    ids=["backfill", "dry run", "repair-types"],
)
def test_a_run_does_not_fail_for_want_of_an_artifact(
    bucket: FilledBucket,
    flow: Flow[..., Any],
    parameters: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    bucket.fill(5)
    bucket.put("broken.jpg", photo(1)[:300])
    state = run(bucket, flow, **parameters)
    assert state.is_completed(), state.message
    assert "did not take an artifact" in caplog.text
    if flow is backfill and not parameters:
        record = bucket.latest_run()
        assert (record["status"], record["processed_files"]) == ("completed", 6)


def test_a_progress_bar_that_is_deleted_is_made_anew(
    bucket: FilledBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.fill(2)

    def delete_and_show(progress: Progress) -> None:
        with get_client(sync_client=True) as client:
            for artifact in artifacts(runtime.flow_run.id):
                client.delete_artifact(artifact.id)
        progress.show()

    monkeypatch.setattr(Progress, "move", delete_and_show)
    assert run(bucket).is_completed()
    assert artifacts_of(bucket.latest_run()["id"])[None] == 100.0


def artifacts(run_id: Any) -> list[Artifact]:
    with get_client(sync_client=True) as client:
        return client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
        )


def artifacts_of(run_id: Any) -> dict[str | None, Any]:
    return {artifact.key: artifact.data for artifact in artifacts(run_id)}


def test_a_snapshot_target_that_cannot_be_used_fails_the_run_before_anything_is_read(
    bucket: FilledBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.fill(2)
    monkeypatch.setenv("MEDIA_ENRICHER_SNAPSHOT", "/proc/nowhere")
    settings.cache_clear()
    state = run(bucket)
    assert state.is_failed()
    assert "/proc/nowhere" in (state.message or "")
    assert bucket.downloads() == {}


@pytest.mark.parametrize(
    ("started_by", "trigger"),
    [
        ({}, Trigger.MANUAL),
        ({"auto_scheduled": True}, Trigger.SCHEDULE),
        ({"created_by": {"type": "AUTOMATION"}}, Trigger.EVENT),
        ({"created_by": {"type": "USER"}}, Trigger.MANUAL),
        ({"labels": {labels.TRIGGER: "http"}}, Trigger.HTTP),
        ({"labels": {labels.TRIGGER: "event"}, "auto_scheduled": True}, Trigger.EVENT),
        ({"labels": {labels.TRIGGER: "no such thing"}}, Trigger.MANUAL),
    ],
)
def test_the_trigger_is_what_a_label_or_else_prefect_says_started_the_run(
    started_by: dict[str, Any], trigger: Trigger
) -> None:
    flow_run = FlowRun(
        flow_id=uuid4(), expected_start_time=datetime.now(UTC) - timedelta(1), **started_by
    )
    assert trigger_of(flow_run) is trigger
