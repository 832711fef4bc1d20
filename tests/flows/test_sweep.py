"""The sweep: runs that died are known for dead, what is missing gets a run, and all of it once."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, cast
from uuid import UUID, uuid4
from zlib import crc32

import psutil
import pytest
from prefect import Flow, get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import (
    AwaitingRetry,
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    Paused,
    Pending,
    Running,
    Scheduled,
)

from flows.backfill import backfill
from flows.enrich_object import enrich_object
from flows.sweep import sweep
from media_enricher.batching import LIMITS
from media_enricher.models import Depth, EnrichRun, RunStatus
from media_enricher.orchestration import resources
from media_enricher.settings import settings
from media_enricher.supabase.runs import RunTable
from tasks import reconcile as reconciling
from tests.flows import test_backfill
from tests.flows.conftest import SLOWLY, FilledBucket, photo
from tests.flows.test_enrich_object import TENANT, ask
from tests.prefect_here import prefect_environment
from tests.waiting import wait_for, wait_until_gone

IMPATIENT = {"MEDIA_ENRICHER_SILENCE_SECONDS": "0.01", "MEDIA_ENRICHER_HEARTBEAT_SECONDS": "0.001"}
"""An environment in which whoever has not been heard of just now is taken for dead."""
MANY = 400
"""Photographs that a slow run works on for seconds."""


@pytest.fixture
def prefect(prefect_server: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in IMPATIENT.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()


@pytest.fixture(autouse=True)
def _nobody_else_s(bucket: FilledBucket) -> None:
    """Other tests leave runs that look alive, and objects that nobody does."""
    bucket.query("delete from public.media_enrich_runs where status in ('queued', 'running')")
    bucket.query("delete from media_enricher.requested_objects")


class Deployments:
    """The deployments that sweeps start, in a work pool that nobody works for yet."""

    def __init__(self, prefect: SyncPrefectClient) -> None:
        self._prefect = prefect
        self.pool = f"sweep-{uuid4().hex[:8]}"
        prefect.create_work_pool(WorkPoolCreate(name=self.pool, type="process"))
        self.ids = {flow.name: self._deploy(flow) for flow in (backfill, enrich_object)}
        self._earlier = {run.id for flow in self.ids for run in self._runs(flow)}

    def _deploy(self, flow: Flow[..., Any]) -> UUID:
        return self._prefect.create_deployment(
            self._prefect.create_flow(flow),
            flow.name,
            concurrency_limit=1,
            work_pool_name=self.pool,
            entrypoint=f"{flow.fn.__module__}.{flow.fn.__name__}",
            pull_steps=[],
            job_variables={"command": f"{sys.executable} -m prefect.engine"},
        )

    def started(self, flow: str = "backfill") -> list[FlowRun]:
        """All runs of a deployment but those that other tests left, which name theirs the same."""
        return [run for run in self._runs(flow) if run.id not in self._earlier]

    def _runs(self, flow: str) -> list[FlowRun]:
        of_it = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[self.ids[flow]]))
        return self._prefect.read_flow_runs(flow_run_filter=of_it)

    def delete(self) -> None:
        for deployment_id in self.ids.values():
            self._prefect.delete_deployment(deployment_id)
        self._prefect.delete_work_pool(self.pool)


@pytest.fixture
def deployments(prefect: SyncPrefectClient) -> Iterator[Deployments]:
    made = Deployments(prefect)
    yield made
    made.delete()


def swept(*buckets: FilledBucket | str) -> State[Any]:
    """Sweep in this process; the final state."""
    names = [each if isinstance(each, str) else each.name for each in buckets]
    return cast("State[Any]", sweep(names or None, return_state=True))


def a_run(
    prefect: SyncPrefectClient, bucket: FilledBucket, *states: State[Any], status: str = "running"
) -> str:
    """A backfill whose row has this status, and that went through these states at Prefect."""
    flow_run = prefect.create_flow_run(backfill, parameters={"bucket": bucket.name})
    for state in states:
        prefect.set_flow_run_state(flow_run.id, state, force=True)
    told: dict[str, Any] = {"status": status}
    if status == "running":
        told["heartbeat_at"] = datetime.now(UTC) - timedelta(seconds=1)
    resources.run_table().record(str(flow_run.id), bucket=bucket.name, **told)
    return str(flow_run.id)


def test_a_silent_run_ends_as_prefect_says_or_is_given_up_or_waits(
    bucket: FilledBucket, prefect: SyncPrefectClient, impatient: None
) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    told: dict[str, tuple[State[Any], str, str | None, StateType]] = {
        "completed": (Completed(message="3 of 3"), "completed", None, StateType.COMPLETED),
        "failed": (Failed(message="too many"), "failed", "too many", StateType.FAILED),
        "cancelled": (Cancelled(message="enough"), "cancelled", "enough", StateType.CANCELLED),
        "crashed": (Crashed(message="killed"), "crashed", "killed", StateType.CRASHED),
        "running": (Running(), "crashed", "No sign of life since", StateType.CRASHED),
        "cancelling": (Cancelling(), "cancelled", "No sign of life since", StateType.CANCELLED),
        "starting": (Pending(), "running", None, StateType.PENDING),
        "scheduled": (Scheduled(scheduled_time=soon), "running", None, StateType.SCHEDULED),
        "retried": (AwaitingRetry(scheduled_time=soon), "running", None, StateType.SCHEDULED),
        "paused": (Paused(timeout_seconds=3600), "running", None, StateType.PAUSED),
    }
    runs = {name: a_run(prefect, bucket, case[0]) for name, case in told.items()}
    unknown = str(uuid4())
    resources.run_table().record(unknown, bucket=bucket.name)

    state = swept()

    assert state.is_completed(), state.message
    for name, (_, status, error, at_prefect) in told.items():
        row = bucket.run(runs[name])
        assert row["status"] == status, name
        assert (row["error"] or "").startswith(error or ""), name
        assert (row["error"] is None) is (error is None), name
        flow_run = prefect.read_flow_run(UUID(runs[name]))
        assert flow_run.state_type is at_prefect, name
        if name == "failed":
            assert flow_run.state
            assert row["finished_at"] == flow_run.state.timestamp
    lost = bucket.run(unknown)
    assert (lost["status"], lost["error"]) == ("crashed", "Prefect has no flow run with this id")


def test_one_that_a_worker_does_not_come_to_start_is_given_up_in_the_end(
    bucket: FilledBucket,
    prefect: SyncPrefectClient,
    impatient: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_id = a_run(prefect, bucket, Pending(), status="queued")
    swept()
    assert bucket.run(run_id)["status"] == "queued"
    monkeypatch.setattr(reconciling, "STARTING", timedelta(0))
    swept()
    assert bucket.run(run_id)["status"] == "crashed"


def test_one_that_a_process_should_have_started_long_ago_is_given_up_sooner(
    bucket: FilledBucket,
    prefect: SyncPrefectClient,
    deployments: Deployments,
    impatient: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No image has to be pulled there."""
    flow_run = prefect.create_flow_run_from_deployment(
        deployments.ids["enrich-object"], parameters={"bucket": bucket.name}, state=Pending()
    )
    resources.run_table().record(str(flow_run.id), bucket=bucket.name, status="queued")
    swept()
    assert bucket.run(flow_run.id)["status"] == "queued"
    monkeypatch.setattr(reconciling, "STARTING_A_PROCESS", timedelta(0))
    swept()
    assert bucket.run(flow_run.id)["status"] == "crashed"


def test_one_that_beats_is_left_alone(bucket: FilledBucket, prefect: SyncPrefectClient) -> None:
    beating = a_run(prefect, bucket, Running())
    over = a_run(prefect, bucket, Crashed(message="says Prefect"))
    assert swept().message == "Nothing to do"
    assert {bucket.run(each)["status"] for each in (beating, over)} == {"running"}
    assert prefect.read_flow_run(UUID(beating)).state_type is StateType.RUNNING


@pytest.mark.parametrize("stirs_before", [RunTable.get, RunTable.end_silent])
def test_one_that_beats_just_then_is_running(
    bucket: FilledBucket,
    prefect: SyncPrefectClient,
    impatient: None,
    monkeypatch: pytest.MonkeyPatch,
    stirs_before: Callable[..., Any],
) -> None:
    run_id = a_run(prefect, bucket, Running())

    def after_a_beat(table: RunTable, run: EnrichRun | str, *arguments: Any) -> Any:
        table.record(run_id, status=RunStatus.RUNNING, heartbeat_at=datetime.now(UTC))
        return stirs_before(table, run, *arguments)

    monkeypatch.setattr(RunTable, stirs_before.__name__, after_a_beat)
    assert swept().message == "Nothing to do"
    assert bucket.run(run_id)["status"] == "running"
    if stirs_before is RunTable.get:
        assert prefect.read_flow_run(UUID(run_id)).state_type is StateType.RUNNING


def test_a_dead_run_gives_its_slot_back(
    bucket: FilledBucket, prefect: SyncPrefectClient, deployments: Deployments, impatient: None
) -> None:
    """Of a deployment that lets one run at a time."""

    def take_slot() -> tuple[UUID, bool]:
        run = prefect.create_flow_run_from_deployment(deployments.ids["backfill"])
        prefect.set_flow_run_state(run.id, Pending())
        return run.id, prefect.read_flow_run(run.id).state_type is StateType.PENDING

    dead, is_free = take_slot()
    assert is_free
    prefect.set_flow_run_state(dead, Running())
    resources.run_table().record(str(dead), bucket=bucket.name, status=RunStatus.RUNNING)
    assert not take_slot()[1]
    swept()
    assert bucket.run(dead)["status"] == "crashed"
    assert take_slot()[1]


def test_what_is_missing_from_a_bucket_gets_one_run(
    bucket: FilledBucket, deployments: Deployments
) -> None:
    bucket.fill(2)
    elsewhere_in_it = str(uuid4())
    resources.run_table().record(elsewhere_in_it, bucket=bucket.name, prefix="a/", status="running")
    assert swept(bucket).message == "Nothing to do"
    resources.run_table().record(elsewhere_in_it, status="completed")

    assert "enriches the missing objects" in str(swept(bucket).message)
    (started,) = deployments.started()
    assert started.parameters == {
        "bucket": bucket.name, "prefix": "", "depth": "full", "limit": None, "mode": "missing",
    }  # fmt: skip
    assert started.tags == ["schedule"]
    row = bucket.run(started.id)
    assert (row["status"], row["trigger"], row["flow"]) == ("queued", "schedule", "backfill")
    assert swept(bucket).message == "Nothing to do"
    assert len(deployments.started()) == 1


def test_snapshots_are_not_what_the_next_run_is_for(
    bucket: FilledBucket, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.fill(1)
    monkeypatch.setenv("MEDIA_ENRICHER_SNAPSHOT", f"bucket:{bucket.name}")
    settings.cache_clear()
    assert swept(bucket).message == "Nothing to do"
    assert deployments.started() == []


def test_two_at_once_start_one_run(bucket: FilledBucket, deployments: Deployments) -> None:
    bucket.fill(1)
    with ThreadPoolExecutor(2) as pool:
        states = list(pool.map(swept, [bucket, bucket]))
    assert all(state.is_completed() for state in states), states
    assert len(deployments.started()) == 1


def test_what_left_a_bucket_is_gone_and_nothing_else_is_left_behind(
    bucket: FilledBucket, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.fill(2)
    test_backfill.run(bucket)
    monkeypatch.setenv("MEDIA_ENRICHER_BUCKETS", bucket.name)
    settings.cache_clear()
    kept = (
        "select (select count(*) from audit.enricher_invocations) as asked,"
        " (select count(*) from public.media_enrich_runs) as runs"
    )
    before = bucket.query(kept)
    assert swept().message == "Nothing to do"
    bucket.delete("photos/00001.jpg")
    assert swept().message == f"marked 1 asset of {bucket.name} as gone"
    assert bucket.rows()["photos/00001.jpg"]["gone_at"]
    assert bucket.query(kept) == before
    assert deployments.started() == []


def test_a_bucket_that_is_not_there_is_named_and_the_others_are_swept(
    bucket: FilledBucket, deployments: Deployments
) -> None:
    bucket.fill(1)
    state = swept("never-there", bucket)
    assert state.is_failed()
    assert "there is no bucket 'never-there'" in str(state.message)
    assert [run.parameters["bucket"] for run in deployments.started()] == [bucket.name]


def test_a_run_that_could_not_be_started_is_started_by_the_next_sweep(
    bucket: FilledBucket, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.fill(1)
    with monkeypatch.context() as misled:
        misled.setenv("MEDIA_ENRICHER_BACKFILL_DEPLOYMENT", "backfill/nowhere")
        settings.cache_clear()
        state = swept(bucket)
    settings.cache_clear()
    assert state.is_failed()
    assert "Prefect has no deployment 'backfill/nowhere'" in str(state.message)
    assert swept(bucket).is_completed()
    (started,) = deployments.started()
    asked = bucket.query(
        "select http_status, run_id from audit.enricher_invocations where bucket = $1"
        " order by invoked_at",
        bucket.name,
    )
    assert [each["http_status"] for each in asked] == [503, 202]
    assert asked[1]["run_id"] == started.id


def test_objects_that_were_asked_for_and_nobody_does_get_a_run(
    bucket: FilledBucket, deployments: Deployments
) -> None:
    """As a gateway leaves them that died before it could start one."""
    ask(bucket, "a.jpg", "b.jpg")
    ask(bucket, f"{TENANT}/c.jpg", prefix=f"{TENANT}/")
    assert swept().is_completed()
    started = deployments.started("enrich-object")
    assert {run.parameters["prefix"] for run in started} == {"", f"{TENANT}/"}
    assert {run.parameters["bucket"] for run in started} == {bucket.name}
    assert swept().message == "Nothing to do"


@pytest.fixture
def start_worker(
    deployments: Deployments, supabase_environment: dict[str, str]
) -> Iterator[Callable[..., psutil.Process]]:
    """Start a worker of the deployments' pool; whatever is left of it in the end is killed."""
    started: list[psutil.Process] = []

    def start(environment: dict[str, str]) -> psutil.Process:
        quickly = {"PREFECT_WORKER_QUERY_SECONDS": "0.5"}
        worker = subprocess.Popen(
            [
                *(sys.executable, "-m", "prefect", "worker", "start"),
                *("--pool", deployments.pool, "--type", "process"),
            ],
            env=prefect_environment() | supabase_environment | quickly | environment,
        )
        started.append(psutil.Process(worker.pid))
        return started[-1]

    yield start
    for worker in started:
        kill_all(worker)


def ends_a_batch() -> str:
    """A name that comes first and ends a batch, which is written while others are read."""
    names = (f"a{number}.jpg" for number in count())
    return next(name for name in names if crc32(name.encode()) % LIMITS[Depth.FULL].cut_every == 0)


def kill_all(worker: psutil.Process) -> None:
    """Kill a worker, its runs and their engines at once, as the loss of their machine does."""
    if not worker.is_running():
        return
    family = [worker, *worker.children(recursive=True)]
    for end in (signal.SIGSTOP, signal.SIGKILL):  # stopped, so that none notices the others' end
        for process in family:
            with suppress(psutil.NoSuchProcess):  # it had ended by itself
                process.send_signal(end)
    wait_until_gone(family)


def test_a_lost_worker_s_run_is_crashed_by_one_sweep_and_the_next_run_finishes_its_job(
    bucket: FilledBucket,
    prefect: SyncPrefectClient,
    deployments: Deployments,
    start_worker: Callable[..., psutil.Process],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    beating = {"MEDIA_ENRICHER_HEARTBEAT_SECONDS": "0.2", "MEDIA_ENRICHER_SILENCE_SECONDS": "2"}
    for name, value in beating.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    worker = start_worker(SLOWLY | beating)
    bucket.put(ends_a_batch(), photo(0))
    bucket.fill(MANY)
    assert swept(bucket).is_completed()
    (lost,) = deployments.started()
    wait_for(lambda: len(bucket.rows()) > 0)
    kill_all(worker)
    start_worker(beating)
    written = set(bucket.rows())
    assert 0 < len(written) < MANY
    silent_since = bucket.run(lost.id)["heartbeat_at"]
    assert bucket.run(lost.id)["status"] == "running"
    wait_for(lambda: datetime.now(UTC) - silent_since > timedelta(seconds=2))
    bucket.downloads()

    state = swept(bucket)

    assert state.is_completed(), state.message
    row = bucket.run(lost.id)
    assert (row["status"], row["error"][:21]) == ("crashed", "No sign of life since")
    assert prefect.read_flow_run(lost.id).state_type is StateType.CRASHED
    (following,) = (run for run in deployments.started() if run.id != lost.id)
    wait_for(lambda: bucket.run(following.id)["status"] == "completed")
    assert len(bucket.rows()) == 1 + MANY
    assert not written & set(bucket.downloads())
    for each in (lost, following):
        bucket.assert_accounts_agree(each.id)
