"""Podman, the image built from the checkout, and a Docker worker between Prefect and Supabase."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from media_enricher.local import LocalStack, children
from media_enricher.local.prefect_server import PrefectServer
from tests.conftest import Put
from tests.corpora import KEPT
from tests.docker import podman
from tests.docker.podman import Podman
from tests.flows.conftest import FilledBucket

IMAGE = "media-enricher:0.1.0"
"""By the name that the work pool has for it."""


@pytest.fixture(scope="session")
def engine() -> Podman:
    """An engine that has the image."""
    if reason := podman.missing():
        pytest.skip(f"NOTHING OF THE DOCKER WORK POOL IS TESTED: {reason}")
    engine = Podman(KEPT / "podman")
    engine.build(IMAGE)
    return engine


@pytest.fixture(scope="session")
def containers(engine: Podman) -> Iterator[docker.DockerClient]:
    """The engine's own say on which containers there are."""
    with engine.serving() as client:
        yield client


@pytest.fixture(scope="session")
def own_prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A Prefect server that has been told nothing yet."""
    with PrefectServer.start(tmp_path_factory.mktemp("prefect")) as server:
        server.wait_until_ready()
        yield server


@pytest.fixture(scope="session")
def set_up(own_prefect: PrefectServer, migrated_stack: LocalStack) -> Callable[[], str]:
    """Does `media-enricher setup` for a Docker work pool, and returns what it says."""

    def run() -> str:
        done = subprocess.run(
            [Path(sys.executable).with_name("media-enricher"), "setup", "--work-pool", "docker"],
            env=os.environ | own_prefect.environment() | migrated_stack.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def work_pool(
    engine: Podman,
    containers: docker.DockerClient,
    own_prefect: PrefectServer,
    set_up: Callable[[], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[SyncPrefectClient]:
    """A Docker work pool, as `media-enricher setup` makes it, and a worker; yields Prefect."""
    logs = tmp_path_factory.mktemp("logs")
    with temporary_settings(
        {
            PREFECT_API_URL: f"{own_prefect.url}/api",
            PREFECT_API_AUTH_STRING: own_prefect.auth_string,
        }
    ):
        set_up()
        worker = children.spawn(
            [
                *(sys.executable, "-m", "prefect", "worker", "start"),
                *("--pool", "media-enricher", "--type", "docker"),
            ],
            log=logs / "worker.log",
            # Of Supabase it knows nothing: what a run needs of it comes from blocks.
            environment=own_prefect.environment()
            | engine.environment
            | {"PREFECT_WORKER_QUERY_SECONDS": "1"},
        )
        try:
            with get_client(sync_client=True) as client:
                yield client
        finally:
            children.stop(worker)
            print((logs / "worker.log").read_text())  # noqa: T201 - shown where a test failed


@pytest.fixture
def bucket(migrated_stack: LocalStack, make_bucket: Callable[[], str], put: Put) -> FilledBucket:
    """A bucket of one's own."""
    filled = FilledBucket(migrated_stack, make_bucket(), put)
    filled.downloads()
    return filled
