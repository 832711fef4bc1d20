"""Runs in containers of the very image: `make test-docker`, for it takes minutes.

Not collected otherwise: the file's name does not start with `test_`.
"""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import docker
import httpx
import pytest
from docker.models.containers import Container
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.objects import State
from prefect.states import Cancelling, Scheduled

from supabase_local import LocalStack
from supabase_local.ports import HOST
from tests.docker.composed import Composed
from tests.docker.conftest import AUTH_STRING, IMAGE
from tests.docker.podman import Podman
from tests.flows.conftest import SLOWLY, FilledBucket
from tests.waiting import wait_for

RESULTS = "media-enricher-results"


class Runs:
    """Runs of a deployment in the work pool, started through Prefect's API as its UI does."""

    def __init__(self, prefect: SyncPrefectClient, containers: docker.DockerClient) -> None:
        self.prefect = prefect
        self._containers = containers

    def start(self, bucket: FilledBucket, **env: str) -> UUID:
        deployment = self.prefect.read_deployment_by_name("backfill/backfill")
        run = self.prefect.create_flow_run_from_deployment(
            deployment.id,
            parameters={"bucket": bucket.name},
            state=Scheduled(),
            job_variables={"env": env} if env else {},
        )
        return run.id

    def wait_for_end(self, run_id: UUID) -> State[Any]:
        state = wait_for(lambda: self._final_state(run_id), "the run does not end")
        assert isinstance(state, State)
        return state

    def container_of(self, run_id: UUID) -> Container:
        return wait_for(lambda: self._container(run_id), "the run has no container")

    def wait_until_removed(self, run_id: UUID) -> None:
        wait_for(lambda: self._container(run_id) is None, "the container is not removed")

    def _final_state(self, run_id: UUID) -> State[Any] | None:
        state = self.prefect.read_flow_run(run_id).state
        return state if state and state.is_final() else None

    def _container(self, run_id: UUID) -> Container | None:
        found = self._containers.containers.list(
            all=True,
            ignore_removed=True,
            filters={"label": f"io.prefect.flow-run-id={run_id}"},
        )
        return found[0] if found else None


@pytest.fixture
def runs(prefect: SyncPrefectClient, containers: docker.DockerClient) -> Runs:
    return Runs(prefect, containers)


def test_the_image_has_little_in_it_and_may_little(engine: Podman) -> None:
    image = engine.inspect(IMAGE)
    assert image["User"] == "10001"
    assert image["Labels"]["org.opencontainers.image.version"] == IMAGE.partition(":")[2]
    assert "PIP_" not in str(image["Config"]["Env"])
    compilers = engine.run(IMAGE, "command -v cc gcc g++ make; true")
    assert compilers == ""
    build_settings = engine.run(IMAGE, "cat /etc/pip.conf; true")
    assert build_settings == ""
    files = engine.run(IMAGE, "touch file; ls -A . deployments").split()
    assert {"flows", "sql", "prefect.yaml", "work_pools"} < set(files)
    assert not {"file", ".env", ".git", ".venv", "tests", "shared"} & set(files)


def test_what_was_read_outlives_the_container_that_read_it(
    runs: Runs, bucket: FilledBucket
) -> None:
    bucket.fill(30)
    bucket.block_writes()
    try:
        failed = runs.start(bucket)
        assert runs.wait_for_end(failed).is_failed()
    finally:
        bucket.allow_writes()
    assert bucket.rows() == {}
    assert bucket.downloads().total() == 30
    (results,) = bucket.query("select count(*) from storage.objects where bucket_id = $1", RESULTS)
    assert results["count"] > 0
    runs.wait_until_removed(failed)

    completed = runs.start(bucket)
    state = runs.wait_for_end(completed)
    assert state.is_completed(), state
    assert str(state.message).startswith("30 enriched of 30")
    assert {row["status"] for row in bucket.rows().values()} == {"enriched"}
    assert len(bucket.rows()) == 30
    assert bucket.downloads().total() == 0
    row = bucket.run(completed)
    assert (row["status"], row["trigger"], row["succeeded"]) == ("completed", "manual", 30)
    runs.wait_until_removed(completed)


def test_no_key_is_where_prefect_shows_it(
    runs: Runs, migrated_stack: LocalStack, bucket: FilledBucket
) -> None:
    run_id = runs.start(bucket, MEDIA_ENRICHER_ENGINE_WORKERS="1")
    container = runs.container_of(run_id)
    assert container.attrs["HostConfig"]["Memory"] == 4 * 1024**3
    given = dict(line.split("=", 1) for line in container.attrs["Config"]["Env"])
    assert given["SUPABASE_SECRET_KEY"] == migrated_stack.service_key
    assert given["MEDIA_ENRICHER_ENGINE_WORKERS"] == "1"
    runs.wait_for_end(run_id)

    keys = (migrated_stack.service_key, migrated_stack.service_role_jwt, AUTH_STRING)
    shown = [
        runs.prefect.read_work_pool("media-enricher").model_dump_json(),
        runs.prefect.read_deployment_by_name("backfill/backfill").model_dump_json(),
        runs.prefect.read_flow_run(run_id).model_dump_json(),
        *(log.message for log in runs.prefect.read_logs()),
        str(container.labels),
    ]
    assert not [text for text in shown if any(key in text for key in keys)]


def test_cancelling_takes_seconds_and_keeps_what_is_done(runs: Runs, bucket: FilledBucket) -> None:
    bucket.fill(1_500)
    run_id = runs.start(bucket, **SLOWLY)
    bucket.wait_for_downloads(300)
    asked = time.monotonic()
    runs.prefect.set_flow_run_state(run_id, Cancelling())
    assert runs.wait_for_end(run_id).is_cancelled()
    assert time.monotonic() - asked < 20
    runs.wait_until_removed(run_id)
    row = bucket.run(run_id)
    assert row["status"] == "cancelled"
    assert len(bucket.rows()) >= row["processed_files"]


def test_a_container_that_is_stopped_hands_its_run_to_the_next(
    runs: Runs, bucket: FilledBucket
) -> None:
    bucket.fill(1_500)
    run_id = runs.start(bucket, **SLOWLY)
    bucket.wait_for_downloads(300)
    stopped = runs.container_of(run_id)
    stopped.stop(timeout=20)  # as Docker does when the machine shuts down
    assert runs.wait_for_end(run_id).is_completed()
    assert len(bucket.rows()) == 1_500
    assert bucket.run(run_id)["status"] == "completed"
    assert runs.prefect.read_flow_run(run_id).run_count == 2


def test_a_second_set_up_finds_all_and_keeps_what_an_operator_chose(
    runs: Runs, composed: Composed
) -> None:
    pool = runs.prefect.read_work_pool("media-enricher")
    pool.base_job_template["variables"]["properties"]["mem_limit"]["default"] = "3g"
    runs.prefect.update_work_pool(
        "media-enricher", WorkPoolUpdate(base_job_template=pool.base_job_template)
    )
    said = composed.run("setup")
    assert "created" not in said
    assert "updated" not in said
    now = runs.prefect.read_work_pool("media-enricher").base_job_template
    assert now["variables"]["properties"]["mem_limit"]["default"] == "3g"


def test_a_request_over_http_becomes_a_run_in_a_container(
    runs: Runs, bucket: FilledBucket, migrated_stack: LocalStack, ports: dict[str, int]
) -> None:
    bucket.fill(3)
    answer = httpx.post(
        f"http://{HOST}:{ports['GATEWAY_PORT']}/media-enricher/backfill?bucket={bucket.name}",
        headers={"authorization": f"Bearer {migrated_stack.service_key}"},
        timeout=30,
    )
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    run_id = UUID(answer.json()["run_id"])
    assert runs.wait_for_end(run_id).is_completed()
    row = bucket.run(run_id)
    assert (row["status"], row["trigger"], row["succeeded"]) == ("completed", "http", 3)


def test_prefect_asks_for_its_password(runs: Runs, ports: dict[str, int]) -> None:
    api = f"http://{HOST}:{ports['PREFECT_PORT']}/api"
    assert httpx.get(f"{api}/flows/count").status_code == httpx.codes.UNAUTHORIZED
