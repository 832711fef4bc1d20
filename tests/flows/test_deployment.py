"""A run of a deployment, started and stopped through Prefect's API as its UI does."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling

from supabase_local import LocalStack
from tests.flows.conftest import SLOWLY, FilledBucket
from tests.prefect_here import prefect_environment
from tests.waiting import PATIENCE_SECONDS, PROMPT_SECONDS, command_of, wait_for, wait_until_gone

SERVE = "from flows.backfill import backfill; backfill.serve(name='test')"


def is_there(client: SyncPrefectClient, deployment: str) -> bool:
    try:
        client.read_deployment_by_name(deployment)
    except ObjectNotFound:
        return False
    return True


@pytest.fixture
def served(migrated_stack: LocalStack) -> Iterator[subprocess.Popen[bytes]]:
    """A process that serves the deployment `backfill/test`, and supervises its runs."""
    quickly = {"PREFECT_RUNNER_POLL_FREQUENCY": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        env=prefect_environment() | migrated_stack.environment() | SLOWLY | quickly,
    )
    with get_client(sync_client=True) as client:
        wait_for(lambda: is_there(client, "backfill/test"), "it is not deployed")
    yield process
    process.terminate()
    process.wait(timeout=PATIENCE_SECONDS)


def test_cancelling_it_takes_seconds_keeps_what_is_done_and_leaves_no_process(
    bucket: FilledBucket, served: subprocess.Popen[bytes]
) -> None:
    bucket.fill(1_500)
    started = run_deployment("backfill/test", parameters={"bucket": bucket.name}, timeout=0)
    assert isinstance(started, FlowRun)
    bucket.wait_for_downloads(300)
    children = [
        child
        for child in psutil.Process(served.pid).children(recursive=True)
        if "resource_tracker" not in command_of(child)  # the supervisor's own
    ]
    assert len(children) >= 2, "the run and its engine worker"
    asked = time.monotonic()
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(started.id, Cancelling())
    wait_for(lambda: bucket.run(started.id)["status"] != "running", "the run does not stop")
    assert time.monotonic() - asked < PROMPT_SECONDS
    wait_until_gone(children)
    record = bucket.run(started.id)
    assert record["status"] == "cancelled"
    assert record["trigger"] == "manual"
    assert record["finished_at"]
    assert len(bucket.rows()) >= record["processed_files"]
