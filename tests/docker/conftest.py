"""The compose file's services, with the image built from the checkout, beside a local Supabase."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import docker
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from supabase_local import LocalStack
from supabase_local.ports import HOST, free_port
from tests.conftest import Put
from tests.corpora import KEPT
from tests.docker import podman, stand_ins
from tests.docker.composed import Composed
from tests.docker.forwarding import forwarded
from tests.docker.indexes import pip_settings
from tests.docker.podman import ROOT, SOCKET_GROUP, Podman
from tests.flows.conftest import FilledBucket

IMAGE = f"media-enricher:{version('media-enricher')}"
"""By the name that the work pool has for it."""
NETWORK = "media-enricher"
AUTH_STRING = "prefect:a-password"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_THIS_MACHINE = "host.containers.internal"


@pytest.fixture(scope="session")
def engine(needs_processes: None) -> Podman:
    """An engine that has the images."""
    if reason := podman.missing():
        pytest.skip(f"NOTHING OF THE DOCKER WORK POOL IS TESTED: {reason}")
    engine = Podman(KEPT / "podman")
    stand_ins.make_base(engine)
    stand_ins.make_database(engine)
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as pip:
        pip.write(pip_settings())
        pip.flush()
        secrets = (f"--secret=id=pip,src={pip.name}", f"--secret=id=ca,src={_CERTIFICATES}")
        engine.build(stand_ins.DOCKERFILE, IMAGE, ROOT, *secrets)
    return engine


@pytest.fixture(scope="session")
def containers(engine: Podman) -> Iterator[docker.DockerClient]:
    """The engine's own say on which containers there are."""
    with engine.serving() as client:
        yield client


@pytest.fixture(scope="session")
def ports() -> dict[str, int]:
    """Of this machine, for the services that are published."""
    return {"PREFECT_PORT": free_port(), "GATEWAY_PORT": free_port()}


@pytest.fixture(scope="session")
def composed(
    engine: Podman,
    containers: docker.DockerClient,
    migrated_stack: LocalStack,
    ports: dict[str, int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Composed]:
    """All of the services, started in the order that they need."""

    def from_containers(url: str) -> str:
        return url.replace(HOST, _THIS_MACHINE)

    env = {
        "SUPABASE_URL": from_containers(migrated_stack.url),
        "SUPABASE_SECRET_KEY": migrated_stack.service_key,
        "SUPABASE_PUBLISHABLE_KEY": migrated_stack.anon_key,
        "DATABASE_URL": from_containers(migrated_stack.database_url),
        "PREFECT_AUTH_STRING": AUTH_STRING,
        "POSTGRES_PASSWORD": "another-password",
        "DOCKER_GROUP": str(SOCKET_GROUP),
        "DOCKER_SOCKET": str(engine.socket),
        **{name: str(port) for name, port in ports.items()},
    }
    composed = Composed(engine, tmp_path_factory.mktemp("composed"), env)
    used = [urlsplit(url).port or 0 for url in (migrated_stack.url, migrated_stack.database_url)]
    try:
        composed.start("database")
        composed.start("prefect")
        with forwarded(engine.gateway_of(NETWORK), *used):
            composed.run("migrate")
            composed.run("setup")
            composed.start("worker")
            composed.start("gateway")
            yield composed
    finally:
        composed.stop()


@pytest.fixture(scope="session")
def prefect(composed: Composed, ports: dict[str, int]) -> Iterator[SyncPrefectClient]:
    """Prefect's API, as the machine's own browser reaches it."""
    api_url = f"http://{HOST}:{ports['PREFECT_PORT']}/api"
    with (
        temporary_settings({PREFECT_API_URL: api_url, PREFECT_API_AUTH_STRING: AUTH_STRING}),
        get_client(sync_client=True) as client,
    ):
        yield client


@pytest.fixture
def bucket(migrated_stack: LocalStack, make_bucket: Callable[[], str], put: Put) -> FilledBucket:
    """A bucket of one's own."""
    filled = FilledBucket(migrated_stack, make_bucket(), put)
    filled.downloads()
    return filled
