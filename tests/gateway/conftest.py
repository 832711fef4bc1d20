"""A gateway as its users meet it: a process of its own, with a real Supabase and Prefect behind it.

No worker is there, so runs stay queued: what a run does is for the tests of flows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect import get_client
from prefect.client.schemas.sorting import FlowRunSort

from media_enricher.dev.gateway_process import GatewayProcess
from supabase_local import LocalStack, User
from supabase_local.folder import StackFolder
from supabase_local.ports import free_port, on_free_ports
from tests.conftest import Put
from tests.database import database_of
from tests.prefect_here import prefect_environment

QUOTAS = ("", "TENANT_", "USER_", "SERVICE_")
WEBHOOK_SECRET = "a-shared-secret-that-only-the-database-and-the-gateway-know"
EDGE_FUNCTION_SECRET = "a-shared-secret-that-only-the-function-and-the-gateway-know"


class Gateway:
    """A running gateway, and the database behind it."""

    def __init__(self, url: str, stack: LocalStack, log: Path) -> None:
        self.url = url
        self.stack = stack
        self.log = log
        self.http = httpx.Client(base_url=f"{url}/media-enricher", timeout=30)

    def post(
        self, route: str, token: str | None = None, *, json: Any = None, **params: Any
    ) -> httpx.Response:
        """Ask with a token; again after a 503, as a client should, for machines are busy."""
        for _ in range(5):
            answer = self.post_once(route, token, json=json, **params)
            if answer.status_code != 503 or "checks" in answer.json():
                break
            time.sleep(int(answer.headers["retry-after"]))
        return answer

    def post_once(
        self, route: str, token: str | None = None, *, json: Any = None, **params: Any
    ) -> httpx.Response:
        """Ask with a token."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return self.http.post(route, headers=headers, json=json, params=params)

    def get(self, route: str, token: str | None = None, **params: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return self.http.get(route, headers=headers, params=params)

    def as_service(self, route: str, **params: Any) -> httpx.Response:
        """Ask with the secret key."""
        return self.post(route, self.stack.service_key, **params)

    def query(self, sql: str, *arguments: object) -> list[dict[str, Any]]:
        """Ask the database itself."""
        return database_of(self.stack.database_url).rows(sql, *arguments)

    def run(self, run_id: str) -> dict[str, Any]:
        """The row of a run."""
        (row,) = self.query("select * from public.media_enrich_runs where id = $1", run_id)
        return row

    def audit(self, bucket: str) -> list[dict[str, Any]]:
        """The rows of the audit that are about a bucket, in the order of the requests."""
        return self.query(
            "select * from audit.enricher_invocations where bucket = $1 order by invoked_at", bucket
        )


@contextmanager
def gateway_process(
    stack: LocalStack, folder: Path, environment: dict[str, str] | None = None
) -> Iterator[Gateway]:
    """`media-enricher serve`, until the block is left."""
    whole_environment = (
        prefect_environment()
        | stack.environment()
        | {"MEDIA_ENRICHER_WEBHOOK_SECRET": WEBHOOK_SECRET}
        | {"MEDIA_ENRICHER_EDGE_FUNCTION_SECRET": EDGE_FUNCTION_SECRET}
        # Those of all tests.
        | {f"MEDIA_ENRICHER_{name}ACTIVE_RUNS": "1000" for name in QUOTAS}
        | {"MEDIA_ENRICHER_UNAUTHENTICATED_PER_MINUTE": "100000"}
        | (environment or {})
    )

    def start() -> GatewayProcess:
        port = free_port()
        log = folder / f"gateway-{port}.log"
        return GatewayProcess.start(port, log, whole_environment).wait_until_ready()

    with on_free_ports(start) as process:
        yield Gateway(process.url, stack, process.log)


def let_users_read(gateway: Gateway, bucket: str, condition: str = "true") -> None:
    """A policy of Storage's, as a project's owner writes them."""
    gateway.query(
        f"""create policy "users read {bucket} {uuid4()}" on storage.objects
        for select to authenticated using (bucket_id = '{bucket}' and {condition})"""
    )


def runs_of(bucket: str) -> list[str]:
    """Prefect's flow runs for a bucket of which there were runs lately."""
    latest = FlowRunSort.EXPECTED_START_TIME_DESC
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(sort=latest, limit=200)
    return [str(run.id) for run in runs if run.parameters.get("bucket") == bucket]


@pytest.fixture(scope="session")
def deployments(prefect_server: None) -> None:
    """What `prefect deploy --all` makes, as far as starting runs needs it."""
    with get_client(sync_client=True) as client:
        for flow, deployment in (("backfill", "backfill"), ("enrich-object", "enrich-object")):
            client.create_deployment(client.create_flow_from_name(flow), deployment)


@pytest.fixture(scope="session")
def gateway_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gateway")


@pytest.fixture(scope="session")
def gateway(
    migrated_stack: LocalStack, deployments: None, gateway_folder: Path
) -> Iterator[Gateway]:
    """One with the settings that most have."""
    with gateway_process(migrated_stack, gateway_folder) as running:
        yield running


@pytest.fixture
def start_gateway(
    migrated_stack: LocalStack, deployments: None, gateway_folder: Path
) -> Iterator[Callable[..., Gateway]]:
    """Start another one, with settings of its own."""
    with ExitStack() as running:

        def start(**environment: str) -> Gateway:
            return running.enter_context(
                gateway_process(migrated_stack, gateway_folder, environment)
            )

        yield start


@pytest.fixture
def bucket(migrated_stack: LocalStack, make_bucket: Callable[[], str], put: Put) -> str:
    """A bucket of one's own, with two objects in it."""
    name = make_bucket()
    put(name, "images/one.jpg", b"one", "image/jpeg")
    put(name, "two.jpg", b"two", "image/jpeg")
    return name


class Tokens:
    """Tokens of users, as the local stack's Auth signs them."""

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack
        self._keys = StackFolder(stack.folder).keys()

    def sign_in(self, user: User) -> str:
        """By their password."""
        answer = httpx.post(
            f"{self._stack.url}/auth/v1/token?grant_type=password",
            json={"email": user.email, "password": user.password},
            headers={"apikey": self._stack.anon_key},
        )
        return str(answer.raise_for_status().json()["access_token"])

    def of(
        self, *, app_metadata: dict[str, Any] | None = None, seconds: int = 600, **claims: Any
    ) -> str:
        """Of a user who is not in the database."""
        usual = {
            "iss": f"{self._stack.url}/auth/v1",
            "sub": str(uuid4()),
            "aud": "authenticated",
            "role": "authenticated",
            "app_metadata": app_metadata or {},
            "is_anonymous": False,
        }
        return self._keys.access_token(usual | claims, seconds=seconds)

    @property
    def admin(self) -> str:
        """Of an admin of everything."""
        return self.of(app_metadata={"user_role": "admin"})

    def tenant_admin(self, tenant_id: str) -> str:
        """Of an admin of one tenant."""
        return self.of(app_metadata={"role": "admin", "tenant_id": tenant_id})


@pytest.fixture(scope="session")
def tokens(migrated_stack: LocalStack) -> Tokens:
    return Tokens(migrated_stack)
